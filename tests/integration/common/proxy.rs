//! A network between the daemon and one server, that fails on demand.
//!
//! One thread polls all connections. A command has taken effect when the call that gives it returns.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::sockopt::set_socket_linger;

use super::{SOON, eventually, free_port};

/// What waits to be sent in one direction at most; more is left in the sender's socket.
const BUFFER: usize = 1 << 20;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Rule {
    /// Bytes pass.
    Pass,
    /// Nothing passes, and nobody is told: as if all packets were lost. New connections are taken and held.
    Freeze,
    /// New connections are refused; those that are open are cut.
    Refuse,
}

enum Command {
    Set(Rule),
    LeadTo(SocketAddr),
    Cut,
    Blip(Duration),
    End,
}

/// The network. Cut when dropped.
pub struct Proxy {
    port: u16,
    commands: Sender<(Command, Sender<()>)>,
    wake: UnixStream,
    connections: Arc<AtomicUsize>,
    thread: Option<JoinHandle<()>>,
}

impl Proxy {
    /// A network before `127.0.0.1:port` that passes all.
    pub fn to(server: &str) -> Self {
        let server = server.parse().unwrap();
        let port = free_port();
        let (commands, inbox) = unbounded();
        let (wake, bell) = UnixStream::pair().unwrap();
        bell.set_nonblocking(true).unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let mut relay = Relay {
            port,
            server,
            listener: None,
            rule: Rule::Pass,
            until: None,
            pairs: Vec::new(),
            connections: Arc::clone(&connections),
        };
        relay.set(Rule::Pass);
        let thread = Some(thread::spawn(move || relay.run(&inbox, &bell)));
        Self { port, commands, wake, connections, thread }
    }

    /// `127.0.0.1:port` of this side.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// How many connections there were.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// All passes again; what was held back arrives.
    pub fn pass(&self) {
        self.order(Command::Set(Rule::Pass));
    }

    /// All packets are lost: both sides keep their connections, and hear nothing.
    pub fn freeze(&self) {
        self.order(Command::Set(Rule::Freeze));
    }

    /// Cuts what is open and refuses what comes.
    pub fn refuse(&self) {
        self.order(Command::Set(Rule::Refuse));
    }

    /// New connections lead to this server, `127.0.0.1:port`.
    pub fn lead_to(&self, server: &str) {
        self.order(Command::LeadTo(server.parse().unwrap()));
    }

    /// Resets the connections that are open; new ones pass.
    pub fn cut(&self) {
        self.order(Command::Cut);
    }

    /// Cuts, refuses for so long, and passes again.
    pub fn blip(&self, duration: Duration) {
        self.order(Command::Blip(duration));
    }

    fn order(&self, command: Command) {
        let (done, obeyed) = bounded(1);
        self.commands.send((command, done)).unwrap();
        (&self.wake).write_all(&[1]).unwrap();
        obeyed.recv_timeout(SOON).expect("the relay obeys");
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.order(Command::End);
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

struct Relay {
    port: u16,
    server: SocketAddr,
    listener: Option<TcpListener>,
    rule: Rule,
    /// When a blip ends.
    until: Option<Instant>,
    pairs: Vec<Pair>,
    connections: Arc<AtomicUsize>,
}

/// One connection; without a far side until it may be made.
struct Pair {
    near: TcpStream,
    far: Option<TcpStream>,
    outward: Flow,
    inward: Flow,
}

/// Bytes on their way in one direction.
#[derive(Default)]
struct Flow {
    bytes: Vec<u8>,
    /// No more come.
    ended: bool,
}

impl Relay {
    fn run(mut self, inbox: &Receiver<(Command, Sender<()>)>, mut bell: &UnixStream) {
        loop {
            self.wait(bell);
            drop(bell.read(&mut [0; 64]));
            for (command, done) in inbox.try_iter() {
                let ends = matches!(command, Command::End);
                self.obey(&command);
                done.send(()).expect("whoever gave the order waits for this");
                if ends {
                    return;
                }
            }
            if self.until.is_some_and(|until| until <= Instant::now()) {
                self.set(Rule::Pass);
            }
            self.accept();
            if self.rule == Rule::Pass {
                let server = self.server;
                self.pairs.retain_mut(|pair| pair.move_bytes(server));
            }
        }
    }

    fn obey(&mut self, command: &Command) {
        match command {
            Command::Set(rule) => self.set(*rule),
            Command::LeadTo(server) => self.server = *server,
            Command::Cut => self.cut(),
            Command::Blip(duration) => {
                self.set(Rule::Refuse);
                self.until = Some(Instant::now() + *duration);
            }
            Command::End => self.set(Rule::Refuse),
        }
    }

    fn set(&mut self, rule: Rule) {
        (self.rule, self.until) = (rule, None);
        if rule == Rule::Refuse {
            self.listener = None;
            self.cut();
        } else if self.listener.is_none() {
            let port = self.port;
            let listener = eventually(SOON, "listener", || TcpListener::bind((Ipv4Addr::LOCALHOST, port)));
            listener.set_nonblocking(true).unwrap();
            self.listener = Some(listener);
        }
    }

    /// Closes both sides of all so that they are reset.
    fn cut(&mut self) {
        for pair in self.pairs.drain(..) {
            for side in [Some(pair.near), pair.far].into_iter().flatten() {
                set_socket_linger(&side, Some(Duration::ZERO)).unwrap();
            }
        }
    }

    fn accept(&mut self) {
        while let Some(Ok((near, _))) = self.listener.as_ref().map(TcpListener::accept) {
            near.set_nonblocking(true).unwrap();
            near.set_nodelay(true).unwrap();
            self.connections.fetch_add(1, Ordering::SeqCst);
            self.pairs.push(Pair { near, far: None, outward: Flow::default(), inward: Flow::default() });
        }
    }

    /// Waits until there is something to do.
    fn wait(&self, bell: &UnixStream) {
        let mut wanted = vec![PollFd::new(bell, PollFlags::IN)];
        if let Some(listener) = &self.listener {
            wanted.push(PollFd::new(listener, PollFlags::IN));
        }
        if self.rule == Rule::Pass {
            wanted.extend(self.pairs.iter().flat_map(Pair::wanted));
        }
        let left = self.until.map(|until| until.saturating_duration_since(Instant::now()));
        let limit = left.map(|left| Timespec::try_from(left).unwrap());
        poll(&mut wanted, limit.as_ref()).unwrap();
    }
}

impl Pair {
    fn wanted(&self) -> Vec<PollFd<'_>> {
        let Some(far) = &self.far else { return Vec::new() };
        let flags = |from: &Flow, to: &Flow| {
            let mut flags = PollFlags::empty();
            flags.set(PollFlags::IN, !from.ended && from.bytes.len() < BUFFER);
            flags.set(PollFlags::OUT, !to.bytes.is_empty());
            flags
        };
        let near = PollFd::from_borrowed_fd(self.near.as_fd(), flags(&self.outward, &self.inward));
        let far = PollFd::from_borrowed_fd(far.as_fd(), flags(&self.inward, &self.outward));
        vec![near, far]
    }

    /// Moves what can be moved. Tells whether the connection goes on.
    fn move_bytes(&mut self, server: SocketAddr) -> bool {
        let Some(far) = self.far.take().or_else(|| dial(server)) else {
            // Nobody there: the near side learns it as a reset.
            set_socket_linger(&self.near, Some(Duration::ZERO)).unwrap();
            return false;
        };
        let goes_on = carry(&mut self.outward, &self.near, &far)
            .and_then(|()| carry(&mut self.inward, &far, &self.near));
        self.far = Some(far);
        let ended = self.outward.is_done() || self.inward.is_done();
        goes_on.is_ok() && !ended
    }
}

impl Flow {
    fn is_done(&self) -> bool {
        self.ended && self.bytes.is_empty()
    }
}

fn dial(server: SocketAddr) -> Option<TcpStream> {
    let far = TcpStream::connect_timeout(&server, Duration::from_secs(1)).ok()?;
    far.set_nonblocking(true).ok()?;
    far.set_nodelay(true).ok()?;
    Some(far)
}

/// Reads and writes until either would wait.
fn carry(flow: &mut Flow, mut from: &TcpStream, mut to: &TcpStream) -> std::io::Result<()> {
    let mut chunk = [0; 16_384];
    while !flow.ended && flow.bytes.len() < BUFFER {
        match from.read(&mut chunk) {
            Ok(0) => flow.ended = true,
            Ok(length) => flow.bytes.extend_from_slice(&chunk[..length]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) => return Err(error),
        }
    }
    while !flow.bytes.is_empty() {
        match to.write(&flow.bytes) {
            Ok(length) => drop(flow.bytes.drain(..length)),
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
