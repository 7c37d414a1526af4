//! Clients that mean ill. What matters goes on beside them: `/status` answers, alerts leave, memory stays.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, bounded};
use rustix::net::sockopt;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::Value;

use crate::common::{Client, Daemon, Proxy, SOON, SmtpSink, Space, eventually, shared};

/// How long each attack goes on.
const ATTACK: Duration = Duration::from_secs(3);
/// How many connections a second a flood is made of.
const FLOOD: usize = 1_000;
const FLOODERS: usize = 4;
/// How soon a new `/status` is answered.
const LIMIT: Duration = Duration::from_secs(1);
/// How much later at worst, once in fifty: other tests may keep this process from computing for a while.
const SLACK: Duration = Duration::from_secs(2);
/// How soon a change is told by mail meanwhile: a moment, and the slowness of a machine that runs other tests.
const TOLD: Duration = Duration::from_secs(5);
/// How much memory an attack may cost, in KiB.
const MEMORY: u64 = 15 * 1024;
const THREADS: u64 = 100;

/// Goes on until it is stopped; tells how many connections it made.
type Attack = fn(&str, &Receiver<()>) -> usize;

const ATTACKS: [(&str, Attack); 4] = [
    ("500 half-open connections", half_open),
    ("100 endless heads", endless_heads),
    ("a head of 64 MB", giant_head),
    ("a flood of connections", flood),
];

/// Waits so long; says whether the attack is over.
fn over(stop: &Receiver<()>, pause: Duration) -> bool {
    stop.recv_timeout(pause) != Err(RecvTimeoutError::Timeout)
}

/// A connection, if there is one to be had at the moment, that never blocks for long.
fn connect(address: &str) -> Option<TcpStream> {
    let stream = TcpStream::connect(address).ok()?;
    stream.set_write_timeout(Some(Duration::from_secs(1))).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(1))).ok()?;
    Some(stream)
}

/// Whether the other side has closed the connection.
fn is_closed(mut stream: &TcpStream) -> bool {
    stream.set_nonblocking(true).unwrap();
    let closed = !matches!(stream.read(&mut [0; 512]), Err(error) if error.kind() == ErrorKind::WouldBlock);
    stream.set_nonblocking(false).unwrap();
    closed
}

/// Keeps 500 connections open, half of which say nothing, half of which half a line.
fn half_open(address: &str, stop: &Receiver<()>) -> usize {
    let (mut open, mut made) = (Vec::<TcpStream>::new(), 0);
    loop {
        open.retain(|stream| !is_closed(stream));
        while open.len() < 500 {
            made += 1;
            let Some(mut stream) = connect(address) else { break };
            if made % 2 == 0 {
                drop(stream.write_all(b"GET /sta"));
            }
            open.push(stream);
        }
        if over(stop, Duration::from_millis(50)) {
            return made;
        }
    }
}

/// Keeps 100 heads growing by a line every 10 ms.
fn endless_heads(address: &str, stop: &Receiver<()>) -> usize {
    let line = format!("X-Endless: {}\r\n", "and then ".repeat(30));
    let (mut heads, mut made) = (Vec::<TcpStream>::new(), 0);
    loop {
        heads.retain_mut(|stream| stream.write_all(line.as_bytes()).is_ok());
        while heads.len() < 100 {
            made += 1;
            let Some(mut stream) = connect(address) else { break };
            drop(stream.write_all(b"GET /status HTTP/1.1\r\nHost: a\r\n"));
            heads.push(stream);
        }
        if over(stop, Duration::from_millis(10)) {
            return made;
        }
    }
}

/// Sends one header line of 64 MB, and again.
fn giant_head(address: &str, stop: &Receiver<()>) -> usize {
    let piece = vec![b'a'; 1 << 20];
    let mut made = 0;
    while !over(stop, Duration::from_millis(1)) {
        made += 1;
        let Some(mut stream) = connect(address) else { continue };
        drop(stream.write_all(b"GET /status HTTP/1.1\r\nHost: a\r\nX: "));
        // Whether all is taken and thrown away, or the connection closed, is the server's choice.
        (0..64).take_while(|_| stream.write_all(&piece).is_ok()).for_each(drop);
    }
    made
}

/// Opens a thousand connections a second, as far as this machine can, each of which does one thing or another and
/// breaks off.
fn flood(address: &str, stop: &Receiver<()>) -> usize {
    let (start, made) = (Instant::now(), AtomicUsize::new(0));
    let flooder = || {
        while !over(stop, Duration::from_millis(1)) {
            while made.load(Ordering::Relaxed) < start.elapsed().as_millis() as usize * FLOOD / 1000 {
                let number = made.fetch_add(1, Ordering::Relaxed);
                let Some(stream) = connect(address) else { break };
                break_off(stream, number);
            }
        }
    };
    std::thread::scope(|scope| (0..FLOODERS).for_each(|_| drop(scope.spawn(flooder))));
    made.into_inner()
}

/// The server may close the connection at any time: whatever comes of it is fine.
fn break_off(mut stream: TcpStream, number: usize) {
    const REQUEST: &[u8] = b"GET /status?detail=1 HTTP/1.1\r\nHost: a\r\n\r\n";
    let garbage = || (0..900).map(|byte| (byte * 7 + number * 13) as u8).collect::<Vec<u8>>();
    drop(match number % 5 {
        0 => Ok(()),
        1 => stream.write_all(REQUEST),
        2 => stream.write_all(&REQUEST.repeat(50)),
        3 => stream.write_all(&garbage()),
        _ => stream.write_all(REQUEST).and_then(|()| stream.read(&mut [0; 512]).map(drop)),
    });
    // With a reset: a client that waited for the end of its connections would soon be out of ports.
    sockopt::set_socket_linger(&stream, Some(Duration::ZERO)).ok();
}

/// A daemon under attack.
struct Victim {
    _space: Space,
    client: Client,
    mails: SmtpSink,
    network: Proxy,
    daemon: Daemon,
    told: usize,
    closed: usize,
    fds: usize,
    rss: u64,
}

impl Victim {
    fn new(descriptors: u32) -> Self {
        let (space, mails) = (shared(), SmtpSink::start());
        let mut client = space.client();
        client.create("/attacked/path/child", "");
        let yaml = "group_wait: 0\n/attacked/path: {children: 1, alerter: {email: you@home.com}}\n";
        let (server, chroot) = space.address().split_once('/').unwrap();
        let network = Proxy::to(server);
        let zookeeper = format!("{}/{chroot}", network.address());
        let builder = Daemon::with(&zookeeper, yaml).smtp(mails.port()).descriptors(descriptors);
        let daemon = builder.args(["-l", "INFO"]).start();
        daemon.wait_until_ready();
        daemon.wait_until_it_leads();
        let mut victim =
            Self { _space: space, client, mails, network, daemon, told: 0, closed: 0, fds: 0, rss: 0 };
        victim.alert();
        victim.fds = victim.settled();
        victim.rss = victim.daemon.rss_kb();
        victim
    }

    /// Does something while an attack goes on, and tells how many connections that made.
    fn under(&mut self, attack: Attack, act: impl FnOnce(&mut Self)) -> usize {
        let (go_on, stop) = bounded(0);
        let address = self.daemon.address().to_owned();
        let attacker = std::thread::spawn(move || attack(&address, &stop));
        act(self);
        drop(go_on);
        attacker.join().unwrap()
    }

    /// The descriptors when nothing goes on: the same for a while.
    fn settled(&self) -> usize {
        let mut seen = (0, 0);
        eventually(SOON, "rest", || {
            let fds = self.daemon.fds();
            seen = if seen.0 == fds { (fds, seen.1 + 1) } else { (fds, 0) };
            if seen.1 > 20 { Ok(fds) } else { Err(seen) }
        })
    }

    /// One change, and how long it takes until it is told.
    fn alert(&mut self) -> Duration {
        let child = "/attacked/path/child";
        let start = Instant::now();
        if self.told.is_multiple_of(2) {
            self.client.delete(child)
        } else {
            self.client.create(child, "")
        }
        self.told += 1;
        self.mails.wait_for(self.told)[self.told - 1].at - start
    }

    /// `/status`, asked for again if the connection was closed as the oldest of too many.
    fn ask(&mut self, meanwhile: &str) -> Value {
        let (daemon, closed) = (&self.daemon, &mut self.closed);
        let answer = eventually(LIMIT + SLACK, &format!("answer, {meanwhile}"), || {
            daemon.try_get("/status").inspect_err(|_| *closed += 1)
        });
        assert_eq!(answer.status, 200, "{meanwhile}");
        answer.json()
    }

    /// How long a new `/status` takes.
    fn status(&mut self, meanwhile: &str) -> Duration {
        let start = Instant::now();
        self.ask(meanwhile);
        start.elapsed()
    }

    /// What is to hold while the attack goes on.
    fn bear(&mut self, during: Duration, what: &str) {
        let start = Instant::now();
        self.closed = 0;
        let (mut answers, mut mails, mut rss, mut threads) = (Vec::new(), Vec::new(), 0, 0);
        while start.elapsed() < during {
            answers.extend((0..20).map(|_| self.status(what)));
            mails.push(self.alert());
            rss = self.daemon.rss_kb().max(rss);
            threads = self.daemon.threads().max(threads);
        }
        answers.sort();
        let late = answers.iter().filter(|took| **took > LIMIT).count();
        let worst = *answers.last().unwrap();
        let slowest = *mails.iter().max().unwrap();
        eprintln!(
            "attacks: {what}: /status {} times, median {:?}, worst {worst:?}, {} closed; {} mails, slowest \
             {slowest:?}; {rss} KiB of {}, {threads} threads, {} descriptors of {}",
            answers.len(),
            answers[answers.len() / 2],
            self.closed,
            mails.len(),
            self.rss,
            self.daemon.fds(),
            self.fds,
        );
        assert!(self.closed * 50 <= answers.len(), "{what}: {} of {} closed", self.closed, answers.len());
        assert!(late * 50 <= answers.len() && worst <= LIMIT + SLACK, "{what}: {late} late, worst {worst:?}");
        assert!(slowest <= TOLD, "{what}: told after {slowest:?}");
        assert!(rss <= self.rss + MEMORY, "{what}: {rss} KiB, {} before", self.rss);
        assert!(threads < THREADS, "{what}: {threads} threads");
    }

    /// A connection to ZooKeeper that is lost meanwhile is replaced.
    fn reconnect(&mut self, what: &str) {
        let start = Instant::now();
        let before = self.ask(what)["zookeeper"]["sessions"].as_u64().unwrap();
        self.network.cut();
        eventually(SOON, &format!("new session under {what}"), || {
            let zookeeper = self.ask(what)["zookeeper"].clone();
            if zookeeper["sessions"].as_u64().unwrap() > before { Ok(()) } else { Err(zookeeper) }
        });
        self.alert();
        eprintln!("attacks: {what}: ZooKeeper back, and told, after {:?}", start.elapsed());
    }

    /// What is to hold afterwards.
    fn recover(&mut self, what: &str) {
        eventually(SOON, "end of what the attack left", || {
            let fds = self.daemon.fds();
            if fds <= self.fds { Ok(()) } else { Err((fds, self.fds)) }
        });
        let slow = self.status(what).max(self.status(what));
        assert!(slow <= LIMIT + SLACK, "after {what}: {slow:?}");
        let told = self.alert();
        assert!(told <= TOLD, "after {what}: told after {told:?}");
        assert!(self.daemon.rss_kb() <= self.rss + MEMORY, "after {what}: {} KiB", self.daemon.rss_kb());
        assert!(!self.daemon.log_contains("panic"), "{what}: {:#?}", self.daemon.log());
    }
}

/// How long the flood goes on: by `ZK_MONITOR_FLOOD_SECONDS`, for those who have the time.
fn flood_time() -> Duration {
    let seconds = std::env::var("ZK_MONITOR_FLOOD_SECONDS").ok().and_then(|seconds| seconds.parse().ok());
    Duration::from_secs(seconds.unwrap_or(5))
}

/// The attackers need descriptors too.
fn raise_own_limit() {
    let limits = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limits.maximum, ..limits }).unwrap();
}

#[test]
fn attackers_hold_nothing_up() {
    raise_own_limit();
    for descriptors in [1024, 64] {
        let mut victim = Victim::new(descriptors);
        for (what, attack) in ATTACKS {
            let is_flood = what.contains("flood");
            let during = if is_flood { flood_time() } else { ATTACK };
            let what = format!("{what}, {descriptors} descriptors");
            let made = victim.under(attack, |victim| victim.bear(during, &what));
            eprintln!("attacks: {what}: {made} connections");
            let enough = during.as_secs() as usize * FLOOD / 4;
            assert!(!is_flood || made >= enough, "{what}: {made} connections are no flood");
            victim.recover(&what);
        }
        // Last, as a new session takes memory that no attacker has taken.
        victim.under(half_open, |victim| victim.reconnect(&format!("{descriptors} descriptors")));
        assert_eq!(victim.daemon.stop(), Some(0));
    }
}
