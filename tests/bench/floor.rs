//! The same work by the bare client library: what no daemon built on it can do better than.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crossbeam_channel::{Receiver, unbounded};
use zookeeper::{Acl, CreateMode, WatchedEvent, ZkState, ZooKeeper as Library};

use crate::watcher::WATCHED;

/// As many as the daemon has: what one session carries best.
const THREADS: usize = 16;
/// A path that was not read yet.
const UNREAD: usize = usize::MAX;

/// Where a mail's account is kept, as the daemon keeps it in its ledger.
pub const LEDGER: &str = "/floor";

/// What the threads share.
struct Floor {
    library: Library,
    paths: Arc<[String]>,
    counts: Vec<AtomicUsize>,
    unread: AtomicUsize,
    mail: Option<u16>,
}

/// Watches the children of the paths in a file, prints each path's number of children when it was read again and
/// differs, and with a port there, notes a change of [`WATCHED`] in a znode and mails it. Runs until it is killed.
pub fn run(address: &str, file: &str, mail: Option<u16>) {
    println!("begin");
    let mut paths: Vec<String> = std::fs::read_to_string(file).unwrap().lines().map(str::to_owned).collect();
    paths.sort();
    let (paths, (jobs, inbox)) = (Arc::<[String]>::from(paths), unbounded());
    let (known, changed, lost, count) = (Arc::clone(&paths), jobs.clone(), jobs.clone(), paths.len());
    let ring = move |event: WatchedEvent| {
        if let Some(Ok(number)) = event.path.map(|path| known.binary_search(&path)) {
            changed.send(number).unwrap();
        }
    };
    let library = Library::connect(address, Duration::from_secs(10), ring).unwrap();
    // The library loses its watches with the connection.
    library.add_listener(move |state| {
        if state == ZkState::Connected {
            (0..count).for_each(|number| lost.send(number).unwrap());
        }
    });
    let (counts, unread) = (paths.iter().map(|_| UNREAD.into()).collect(), count.into());
    let floor = Floor { library, paths, counts, unread, mail };
    (0..count).for_each(|number| jobs.send(number).unwrap());
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| floor.read(&inbox));
        }
    });
}

impl Floor {
    fn read(&self, inbox: &Receiver<usize>) {
        for number in inbox {
            let path = &self.paths[number];
            // What a lost connection leaves unread is read on the next one.
            let Ok(children) = self.library.get_children(path, true) else { continue };
            let before = self.counts[number].swap(children.len(), Ordering::Relaxed);
            if before == UNREAD {
                if self.unread.fetch_sub(1, Ordering::Relaxed) == 1 {
                    println!("armed");
                }
            } else if before != children.len() {
                println!("{path} {}", children.len());
                self.notify(path);
            }
        }
    }

    /// One create, and the dialogue with the mail server.
    fn notify(&self, path: &str) {
        if let Some(port) = self.mail.filter(|_| path == WATCHED) {
            let (entry, acl) = (format!("{LEDGER}/entry-"), Acl::open_unsafe().clone());
            self.library.create(&entry, vec![0; 300], acl, CreateMode::PersistentSequential).unwrap();
            tell(port).unwrap();
        }
    }
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
