//! The same work by the bare client library: what no daemon built on it can do better than.

use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use zookeeper::{Acl, CreateMode, WatchedEvent, ZooKeeper as Library};

use crate::common::{SmtpSink, ZooKeeper};

const THREADS: usize = 16;

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
    let mailer = lettre::SmtpTransport::builder_dangerous("127.0.0.1").port(sink.port()).build();
    library.get_children("/floor/path", true).unwrap();
    let mut times = Vec::new();
    for round in 0..rounds {
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
        let mail = lettre::Message::builder()
            .from("zk_monitor@localhost".parse().unwrap())
            .to("you@home.com".parse().unwrap())
            .subject("Warning!")
            .body("Found children (0) less than minimum (1)".to_owned())
            .unwrap();
        lettre::Transport::send(&mailer, &mail).unwrap();
        times.push(sink.wait_for(round + 1)[round].at - start);
    }
    times
}
