//! The link: what stands between the client library and the network, one per generation.
//!
//! The library has no deadline on anything, hangs when it is closed on a dead connection, and reconnects by
//! itself to a session that nobody watches over any more. So it never sees the network. It is given one
//! loopback port; this thread copies bytes between that and the server, and can be cut from outside at any time.
//! After the end it accepts the library's attempts to reconnect and says nothing, until the library has given
//! the session up: refused, it would spin; answered, it would resume.
//!
//! It begins after the first exchange ([`super::handshake`]), which the library then has once more with the link itself.
//! Of the rest of the protocol the link knows the start of each frame, so that only answers to what was asked pass.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crossbeam_channel::{Receiver, bounded};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::dial::Wire;
use super::frames::Frames;
use super::handshake::Opened;
use super::peer;
use crate::threads::fault;

/// How long the library may take to connect to the loopback port, in which it only has to start a thread.
const ACCEPT: Duration = Duration::from_secs(5);
/// How many silent connections are kept: the library has one at a time.
const HELD: usize = 4;
/// Bytes buffered each way. The library reads in larger pieces, but more would only sit in memory.
const BUFFER: usize = 32 * 1024;

/// The owner's side of a link.
#[derive(Debug)]
pub struct Link {
    /// Where the library has to connect to.
    pub address: SocketAddr,
    /// Why the link ended, once it has.
    pub ended: Receiver<String>,
    control: UnixStream,
    thread: JoinHandle<()>,
}

/// Cuts a link; may be used from any thread, and more than once.
#[derive(Debug)]
pub struct Cutter(UnixStream);

impl Cutter {
    /// Ends the connection to the server. Calls in flight fail at once.
    pub fn cut(&self) {
        // Fails only if the link has ended already.
        (&self.0).write_all(b"x").ok();
    }
}

impl Link {
    /// Starts copying between a server that has greeted and whoever of this process connects to `address`.
    pub fn open(opened: Opened) -> io::Result<Self> {
        opened.wire.socket().set_nonblocking(true)?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let (control, orders) = UnixStream::pair()?;
        control.set_nonblocking(true)?;
        let (end, ended) = bounded(1);
        let thread = thread::Builder::new().name("zk-link".to_owned()).spawn(move || {
            // Whatever ends it, the library must not meet a port that is closed: it would try it again without a pause.
            let served = catch_unwind(AssertUnwindSafe(|| {
                fault("zk-link");
                serve(opened, &listener, &orders)
            }));
            let reason = served
                .unwrap_or_else(|_| Err("the link panicked".to_owned()))
                .unwrap_or_else(|reason| reason);
            // The receiver may be gone in a shutdown; then nobody asks for the reason.
            end.send(reason).ok();
            hold(&listener, &orders);
        })?;
        Ok(Self { address, ended, control, thread })
    }

    /// A handle that can cut this link.
    pub fn cutter(&self) -> io::Result<Cutter> {
        self.control.try_clone().map(Cutter)
    }

    /// Lets go of the library's connections and ends the thread. To be called once the library has ended.
    pub fn release(self) {
        // Every clone shares the one stream, so shutting it down reaches the thread whoever holds a cutter.
        self.control.shutdown(Shutdown::Both).ok();
        if self.thread.join().is_err() {
            log::error!("the link's thread panicked");
        }
    }
}

/// Copies until one side ends or the order to cut comes; the result either way is the reason in words.
fn serve(opened: Opened, listener: &TcpListener, orders: &UnixStream) -> Result<String, String> {
    let Opened { mut wire, bytes, mut frames, .. } = opened;
    let mut local = accept(listener, orders)?;
    let mut up = Pipe::new();
    let mut down = Pipe::new();
    // The server has answered already what the library is about to ask.
    swallow_frame(&mut local).map_err(|e| format!("the client did not ask for a session: {e}"))?;
    down.fill(&mut bytes.as_slice()).map_err(|e| format!("no greeting: {e}"))?;
    let mut ready = Ready { local: true, wire: true };
    let ended = loop {
        ready = match turn(&mut local, &mut wire, &mut up, &mut down, &mut frames, ready) {
            Ok(more) => more,
            Err(reason) => break reason,
        };
        if ready.local || ready.wire {
            continue;
        }
        let found = wait(&local, &wire, orders, &up, &down);
        match found.map_err(|e| format!("cannot wait for the network: {e}"))? {
            Some(found) => ready = found,
            None => break "cut".to_owned(),
        }
    };
    // Whatever has come whole, such as the answer to a close, still belongs to the library.
    down.drain(&mut local).ok();
    wire.socket().shutdown(Shutdown::Both).ok();
    Err(ended)
}

/// Where there may be something to read.
#[derive(Clone, Copy, Debug)]
struct Ready {
    local: bool,
    wire: bool,
}

/// Moves what can be moved without waiting; tells where there may be more to read. What left room in its pipe was all
/// there was: to look again each time would be every third call to the kernel.
fn turn(
    local: &mut TcpStream,
    wire: &mut Wire,
    up: &mut Pipe,
    down: &mut Pipe,
    frames: &mut Frames,
    ready: Ready,
) -> Result<Ready, String> {
    let ended = |e: io::Error| format!("the client ended: {e}");
    let lost = |e: io::Error| format!("connection lost: {e}");
    let left = if ready.local { up.fill(local).map_err(ended)? } else { 0 };
    frames.sent(up.newest(left));
    let more_left = left > 0 && !up.has_room();
    up.drain(wire).map_err(lost)?;
    if wire.wants_write() {
        wire.flush().or_else(ignore_passing).map_err(lost)?;
    }
    let came = if ready.wire { down.fill(wire).map_err(lost)? } else { 0 };
    let more_came = came > 0 && (!down.has_room() || wire.may_hold_more());
    // What is refused must not reach the library, not even at the end.
    frames.pass(down.newest(came)).inspect_err(|_| down.clear())?;
    down.drain(local).map_err(ended)?;
    Ok(Ready { local: more_left, wire: more_came })
}

/// Waits until something can move; nothing if the order to cut has come.
fn wait(
    local: &TcpStream,
    wire: &Wire,
    orders: &UnixStream,
    up: &Pipe,
    down: &Pipe,
) -> io::Result<Option<Ready>> {
    let interest = |fill: bool, drain: bool| {
        let mut flags = PollFlags::empty();
        flags.set(PollFlags::IN, fill);
        flags.set(PollFlags::OUT, drain);
        flags
    };
    let drains_up = up.has_bytes() || wire.wants_write();
    let mut fds = [
        PollFd::new(orders, PollFlags::IN),
        PollFd::new(local, interest(up.has_room(), down.has_bytes())),
        PollFd::new(wire.socket(), interest(down.has_room(), drains_up)),
    ];
    // Without a time-out: the owner watches over the session, and its order to cut ends the wait.
    match poll(&mut fds, None) {
        Ok(_) => {
            let [cut, local, wire] = fds.map(|fd| !fd.revents().is_empty());
            Ok((!cut).then_some(Ready { local, wire }))
        }
        Err(rustix::io::Errno::INTR) => Ok(Some(Ready { local: false, wire: false })),
        Err(e) => Err(e.into()),
    }
}

/// Accepts the library's connection, and nobody else's: any local user can connect to a loopback port, and
/// would be in the middle of an authenticated session.
fn accept(listener: &TcpListener, orders: &UnixStream) -> Result<TcpStream, String> {
    let here = listener.local_addr().map_err(|e| format!("the loopback port has no address: {e}"))?;
    let mut fds = [PollFd::new(orders, PollFlags::IN), PollFd::new(listener, PollFlags::IN)];
    loop {
        let patience = Timespec::try_from(ACCEPT).map_err(|e| e.to_string())?;
        match poll(&mut fds, Some(&patience)) {
            Ok(0) => return Err("the client did not connect to the link".to_owned()),
            Ok(_) if !fds[0].revents().is_empty() => return Err("cut".to_owned()),
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(e) => return Err(format!("cannot wait for the client: {e}")),
        }
        let (socket, from) = listener.accept().map_err(|e| format!("cannot accept the client: {e}"))?;
        if !peer::is_this_process(from, here)
            .map_err(|e| format!("cannot tell whose connection it is: {e}"))?
        {
            log::warn!("refused a connection of another process to the ZooKeeper link");
            continue;
        }
        return Ok(socket);
    }
}

/// Takes the first frame of a connection that is then made ready for polling.
fn swallow_frame(socket: &mut TcpStream) -> io::Result<()> {
    socket.set_nonblocking(false)?;
    socket.set_read_timeout(Some(ACCEPT))?;
    let mut length = [0; 4];
    socket.read_exact(&mut length)?;
    let rest = u64::from(u32::from_be_bytes(length));
    io::copy(&mut socket.take(rest), &mut io::sink())?;
    socket.set_nonblocking(true)?;
    socket.set_nodelay(true)
}

/// Accepts connections and leaves them in silence until the owner lets go.
fn hold(listener: &TcpListener, orders: &UnixStream) {
    let mut held = std::collections::VecDeque::with_capacity(HELD);
    loop {
        let mut fds = [PollFd::new(orders, PollFlags::IN), PollFd::new(listener, PollFlags::IN)];
        if poll(&mut fds, None).is_err() {
            continue;
        }
        if !fds[0].revents().is_empty() && released(orders) {
            return;
        }
        if fds[1].revents().is_empty() {
            continue;
        }
        match listener.accept() {
            Ok((socket, _)) => held.push_back(socket),
            // Out of descriptors: those held are the ones to give back.
            Err(_) => held.clear(),
        }
        if held.len() > HELD {
            held.pop_front();
        }
    }
}

/// Whether the owner has let go; an order to cut that came late is read and forgotten.
fn released(mut orders: &UnixStream) -> bool {
    let mut bytes = [0; 16];
    !matches!(orders.read(&mut bytes), Ok(1..))
}

/// Nothing, if an error means no more than: not now.
fn ignore_passing<T: Default>(e: io::Error) -> io::Result<T> {
    if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) { Ok(T::default()) } else { Err(e) }
}

/// Bytes on their way in one direction.
struct Pipe {
    bytes: Box<[u8]>,
    start: usize,
    end: usize,
}

impl Pipe {
    fn new() -> Self {
        Self { bytes: vec![0; BUFFER].into_boxed_slice(), start: 0, end: 0 }
    }

    fn has_room(&self) -> bool {
        self.end < self.bytes.len()
    }

    fn has_bytes(&self) -> bool {
        self.start < self.end
    }

    fn clear(&mut self) {
        (self.start, self.end) = (0, 0);
    }

    /// The last `count` bytes that came in.
    fn newest(&self, count: usize) -> &[u8] {
        &self.bytes[self.end - count..self.end]
    }

    /// Reads once, if there is room; tells how many bytes came. The end of the stream is an error.
    fn fill(&mut self, from: &mut impl Read) -> io::Result<usize> {
        if !self.has_room() {
            return Ok(0);
        }
        match from.read(&mut self.bytes[self.end..]) {
            Ok(0) => Err(io::Error::new(ErrorKind::UnexpectedEof, "closed by the other side")),
            Ok(count) => {
                self.end += count;
                Ok(count)
            }
            Err(e) => ignore_passing(e),
        }
    }

    /// Writes once, if there is something.
    fn drain(&mut self, to: &mut impl Write) -> io::Result<()> {
        if !self.has_bytes() {
            return Ok(());
        }
        let count = to.write(&self.bytes[self.start..self.end]).or_else(ignore_passing)?;
        self.start += count;
        if self.start == self.end {
            self.clear();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::zk::handshake;
    use std::process::Command;

    /// Asks for a session, as a frame.
    const REQUEST: [u8; 8] = [0, 0, 0, 4, 0, 0, 0, 0];

    /// A link to a server that greets, and the server's end.
    fn linked() -> (Link, TcpStream) {
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let wire = Wire::Plain(TcpStream::connect(server.local_addr().unwrap()).unwrap());
        let greeting = thread::spawn(move || {
            let (mut far, _) = server.accept().unwrap();
            let mut length = [0; 4];
            far.read_exact(&mut length).unwrap();
            far.read_exact(&mut vec![0; u32::from_be_bytes(length) as usize]).unwrap();
            let mut frame = vec![0, 0, 0, 37, 0, 0, 0, 0, 0, 0, 15, 160];
            frame.extend([0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 16]);
            frame.extend([0; 17]);
            far.write_all(&frame).unwrap();
            far
        });
        let opened = handshake::exchange(wire, Duration::from_secs(4)).unwrap();
        (Link::open(opened).unwrap(), greeting.join().unwrap())
    }

    #[test]
    fn another_process_is_not_let_in() {
        let (link, mut far) = linked();

        // It connects first, sends, and reads to the end, which comes at once.
        let port = link.address.port();
        let script = format!("exec 3<>/dev/tcp/127.0.0.1/{port}; echo theirs >&3; cat <&3");
        let output = Command::new("bash").args(["-c", &script]).output().unwrap();
        assert!(output.stdout.is_empty());

        let mut ours = TcpStream::connect(link.address).unwrap();
        ours.write_all(&REQUEST).unwrap();
        ours.read_exact(&mut [0; 41]).unwrap();
        // What we send is a request: length, xid, operation.
        let request = [0, 0, 0, 8, 0, 0, 0, 1, 0, 0, 0, 3];
        ours.write_all(&request).unwrap();
        let mut received = [0; 12];
        far.read_exact(&mut received).unwrap();
        assert_eq!(received, request);
        drop(ours);
        link.release();
    }

    #[test]
    fn after_the_end_there_is_silence() {
        let (link, far) = linked();
        let mut first = TcpStream::connect(link.address).unwrap();
        first.write_all(&REQUEST).unwrap();
        first.read_exact(&mut [0; 41]).unwrap();
        drop(far);
        assert!(link.ended.recv_timeout(Duration::from_secs(10)).unwrap().contains("connection lost"));
        assert!(matches!(first.read(&mut [0]), Ok(0) | Err(_)), "the first connection is closed");
        let mut again = TcpStream::connect(link.address).unwrap();
        again.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        let kind = again.read(&mut [0]).unwrap_err().kind();
        assert_eq!(kind, ErrorKind::WouldBlock, "accepted, and neither answered nor closed");
        link.release();
        assert!(matches!(again.read(&mut [0]), Ok(0) | Err(_)));
    }
}
