//! Resolving, connecting and talking under one absolute deadline: whatever the other side does, no call lasts beyond
//! it.
//!
//! A time-out per system call is not enough: a tarpit that sends a byte every few seconds would never meet it.
//! So each call gets what is left until the deadline.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream, ToSocketAddrs};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use rustls::ClientConnection;

use crate::clock;

/// How long one address may take to accept a connection while others are left to try.
const CONNECT: Duration = Duration::from_secs(5);

/// A connection whose reads and writes fail from the deadline on.
#[derive(Debug)]
pub struct Timed {
    stream: TcpStream,
    deadline: Instant,
}

impl Timed {
    /// Connects to the first of the addresses that accepts. An error is the last address's.
    pub fn connect(addresses: &[SocketAddr], deadline: Instant) -> io::Result<Self> {
        let mut failure = io::Error::from(ErrorKind::TimedOut);
        for (at, address) in addresses.iter().enumerate() {
            let left = left(deadline)?;
            let is_last = at + 1 == addresses.len();
            match TcpStream::connect_timeout(address, if is_last { left } else { left.min(CONNECT) }) {
                Ok(stream) => {
                    // Requests leave in one piece each; waiting for more to send would only delay them.
                    stream.set_nodelay(true)?;
                    return Ok(Self { stream, deadline });
                }
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }

    /// Shakes hands for TLS on it.
    pub fn handshake(&mut self, session: &mut ClientConnection) -> io::Result<()> {
        while session.is_handshaking() {
            session.complete_io(self)?;
        }
        Ok(())
    }

    /// The connection without its deadline.
    pub fn into_stream(self) -> TcpStream {
        self.stream
    }

    /// Sets another deadline for what follows.
    pub fn set_deadline(&mut self, deadline: Instant) {
        self.deadline = deadline;
    }
}

impl Read for Timed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            self.stream.set_read_timeout(Some(left(self.deadline)?))?;
            match self.stream.read(buffer) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                other => return other.map_err(as_timeout),
            }
        }
    }
}

impl Write for Timed {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.stream.set_write_timeout(Some(left(self.deadline)?))?;
        self.stream.write(buffer).map_err(as_timeout)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

/// A socket's time-out shows as "would block".
fn as_timeout(error: io::Error) -> io::Error {
    if error.kind() == ErrorKind::WouldBlock { ErrorKind::TimedOut.into() } else { error }
}

/// The time until the deadline; never zero, which would stand for no time-out at all.
fn left(deadline: Instant) -> io::Result<Duration> {
    let left = deadline.saturating_duration_since(clock::mono());
    if left.is_zero() { Err(ErrorKind::TimedOut.into()) } else { Ok(left) }
}

/// Resolves one host name, again and again.
///
/// The system's resolver cannot be interrupted, so it runs in a thread. There is never more than one: a lookup
/// that outlives its deadline is waited for by the next call.
#[derive(Debug)]
pub struct Resolver {
    host: String,
    port: u16,
    pending: Option<Receiver<io::Result<Vec<SocketAddr>>>>,
}

impl Resolver {
    /// For a host name or address; an IPv6 address may stand in brackets.
    pub fn new(host: &str, port: u16) -> Self {
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        Self { host: bare.to_owned(), port, pending: None }
    }

    pub fn host(&self) -> &str {
        &self.host
    }

    /// The addresses, at least one.
    ///
    /// # Errors
    /// `TimedOut` at the deadline, `NotFound` if the host has no address; else the system's.
    pub fn resolve(&mut self, deadline: Instant) -> io::Result<Vec<SocketAddr>> {
        if let Ok(address) = self.host.parse::<IpAddr>() {
            return Ok(vec![SocketAddr::new(address, self.port)]);
        }
        let pending = match self.pending.take() {
            Some(pending) => pending,
            None => look_up(self.host.clone(), self.port)?,
        };
        match pending.recv_timeout(left(deadline)?) {
            Ok(Ok(addresses)) if addresses.is_empty() => Err(ErrorKind::NotFound.into()),
            Ok(answer) => answer,
            Err(RecvTimeoutError::Timeout) => {
                self.pending = Some(pending);
                Err(ErrorKind::TimedOut.into())
            }
            Err(RecvTimeoutError::Disconnected) => Err(ErrorKind::NotFound.into()),
        }
    }
}

/// Starts a lookup in a thread of its own, which ends with it.
fn look_up(host: String, port: u16) -> io::Result<Receiver<io::Result<Vec<SocketAddr>>>> {
    let (sender, receiver) = sync_channel(1);
    thread::Builder::new().name("resolve".to_owned()).spawn(move || {
        let addresses = (host.as_str(), port).to_socket_addrs().map(Iterator::collect);
        #[expect(clippy::let_underscore_must_use, reason = "nobody waits any more for a removed receiver")]
        let _ = sender.send(addresses);
    })?;
    Ok(receiver)
}
