//! The same work by the bare client library: what no daemon built on it can do better than.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use zookeeper::{Acl, CreateMode, WatchedEvent, ZooKeeper as Library};

use crate::common::{SmtpSink, ZooKeeper};

const THREADS: usize = 16;
/// The time between two changes: those that are timed come alone, after the last one was noted everywhere.
pub const APART: Duration = Duration::from_millis(20);

fn connect(address: &str, watcher: impl Fn(WatchedEvent) + Send + 'static) -> Library {
    Library::connect(address, Duration::from_secs(10), watcher).unwrap()
}

/// Reads all paths and leaves watches, from connecting on.
pub fn arm(address: &str, paths: &[String]) -> Duration {
    let start = Instant::now();
    let library = Arc::new(connect(address, |_| {}));
    std::thread::scope(|scope| {
        for share in paths.chunks(paths.len().div_ceil(THREADS)) {
            let library = Arc::clone(&library);
            scope
                .spawn(move || share.iter().for_each(|path| drop(library.get_children(path, true).unwrap())));
        }
    });
    start.elapsed()
}

/// One change: the watch and the re-read, one create, and the dialogue with the mail server.
pub fn latency(server: &ZooKeeper, rounds: usize) -> Vec<Duration> {
    let sink = SmtpSink::start();
    let (ring, bells) = channel();
    let library = connect(&server.address(), move |event| drop(ring.send(event)));
    let mut client = server.client();
    // What an earlier run on this server left.
    client.delete_recursive("/floor");
    client.create("/floor/path", "");
    client.create("/floor/ledger", "");
    library.get_children("/floor/path", true).unwrap();
    let mut times = Vec::new();
    for round in 0..rounds {
        crate::common::throughout(APART, "at rest", || true);
        let start = Instant::now();
        if round % 2 == 0 {
            client.create("/floor/path/child", "")
        } else {
            client.delete("/floor/path/child")
        }
        bells.recv().unwrap();
        library.get_children("/floor/path", true).unwrap();
        let entry = format!("/floor/ledger/{round}");
        library.create(&entry, vec![0; 300], Acl::open_unsafe().clone(), CreateMode::Persistent).unwrap();
        tell(sink.port()).unwrap();
        times.push(crate::told_at(&sink, round + 1) - start);
    }
    times
}

/// One mail by the plainest dialogue. lettre's would wait 40 ms for the kernel to send what it wrote in two pieces.
fn tell(port: u16) -> std::io::Result<()> {
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_nodelay(true)?;
    let mut replies = BufReader::new(&stream).lines();
    let message = "Subject: Warning!\r\n\r\nFound children (0) less than minimum (1)\r\n.";
    let lines = ["EHLO bench", "MAIL FROM:<zk_monitor@localhost>", "RCPT TO:<you@home.com>", "DATA", message];
    for line in lines.into_iter().chain(["QUIT"]) {
        until_last(&mut replies)?;
        (&stream).write_all(format!("{line}\r\n").as_bytes())?;
    }
    until_last(&mut replies)
}

/// A reply is over with the line that has a blank after its code.
fn until_last(replies: &mut impl Iterator<Item = std::io::Result<String>>) -> std::io::Result<()> {
    for line in replies {
        if line?.as_bytes().get(3) == Some(&b' ') {
            return Ok(());
        }
    }
    Err(std::io::ErrorKind::UnexpectedEof.into())
}
