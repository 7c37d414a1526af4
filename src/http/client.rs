//! One client's connection: where it stands, and how long it may stand there.

use std::io::{self, IoSlice, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::event::PollFlags;

use super::backend::{ANSWER_TIME, Bytes, is_passing};
use super::json;
use super::request::{self, Refused, Request};

/// How long a client may take for a request's head, from its first byte on, or until that first byte.
pub const HEAD_TIME: Duration = Duration::from_secs(5);
/// How long a connection is kept for another request.
const IDLE_TIME: Duration = Duration::from_secs(15);
/// How long a client may take nothing of its answer.
const STALL_TIME: Duration = Duration::from_secs(10);
/// How long a client may take for all of its answer.
const ANSWERING_TIME: Duration = Duration::from_secs(120);
/// How long to wait for the client to close too. Closing at once, with bytes of it unread, would make the system
/// throw away the answer that it has not read yet.
const DRAIN_TIME: Duration = Duration::from_secs(1);
/// How much to write in one turn, so that one fast reader makes neither the others wait nor, on a full core, the
/// threads that watch and alert.
const TURN: usize = 64 << 10;

/// The connection is over.
#[derive(Debug)]
pub struct Closed;

pub struct Client {
    stream: TcpStream,
    /// What was read and not yet understood; at most one head and one read long.
    inbox: Vec<u8>,
    phase: Phase,
}

enum Phase {
    /// Between requests, or before the first.
    Idle { since: Instant, limit: Duration },
    /// A head has begun.
    Head { since: Instant },
    /// A request waits for a backend connection.
    Waiting { since: Instant, request: Request },
    /// A request is being answered.
    Asked { since: Instant, request: Request },
    /// The answer is on its way.
    Answering(Outgoing),
    /// All is said; what still comes is thrown away.
    Draining { since: Instant },
}

/// An answer on its way.
struct Outgoing {
    head: Vec<u8>,
    body: Bytes,
    sent: usize,
    keep_alive: bool,
    began: Instant,
    progressed: Instant,
}

impl Client {
    /// A connection that was just accepted.
    pub fn new(stream: TcpStream, now: Instant) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        stream.set_nodelay(true)?;
        let phase = Phase::Idle { since: now, limit: HEAD_TIME };
        Ok(Self { stream, inbox: Vec::new(), phase })
    }

    /// What to wait for.
    pub fn interest(&self) -> PollFlags {
        match self.phase {
            Phase::Idle { .. } | Phase::Head { .. } | Phase::Draining { .. } => PollFlags::IN,
            Phase::Waiting { .. } | Phase::Asked { .. } => PollFlags::empty(),
            Phase::Answering(_) => PollFlags::OUT,
        }
    }

    /// Goes on after something happened to the connection.
    pub fn proceed(&mut self, now: Instant) -> Result<(), Closed> {
        match self.phase {
            Phase::Idle { .. } | Phase::Head { .. } => self.receive(now),
            // Nothing was waited for: only an end can have happened.
            Phase::Waiting { .. } | Phase::Asked { .. } => Err(Closed),
            Phase::Answering(_) => self.send(now),
            Phase::Draining { .. } => self.read().map(|_| ()),
        }
    }

    /// When to call [`Client::expire`].
    pub fn deadline(&self) -> Instant {
        match &self.phase {
            Phase::Idle { since, limit } => *since + *limit,
            Phase::Head { since } => *since + HEAD_TIME,
            Phase::Waiting { since, .. } | Phase::Asked { since, .. } => *since + ANSWER_TIME,
            Phase::Answering(out) => (out.progressed + STALL_TIME).min(out.began + ANSWERING_TIME),
            Phase::Draining { since } => *since + DRAIN_TIME,
        }
    }

    /// Does what a passed deadline asks for.
    pub fn expire(&mut self, now: Instant) -> Result<(), Closed> {
        match self.phase {
            Phase::Head { .. } => {
                self.refuse(&Refused { status: 408, reason: "the request's head took longer than 5 s" }, now)
            }
            Phase::Waiting { .. } | Phase::Asked { .. } => {
                self.refuse(&Refused { status: 503, reason: "no answer within 10 s; try again later" }, now)
            }
            Phase::Idle { .. } | Phase::Answering(_) | Phase::Draining { .. } => Err(Closed),
        }
    }

    /// How ready this connection is to be given up for another: the smaller, the sooner; `None` while it is being
    /// answered. Those that are done come first, then the oldest incomplete request, then the oldest slow reader.
    pub fn expendable(&self) -> Option<(u8, Instant)> {
        match &self.phase {
            Phase::Draining { since } => Some((0, *since)),
            Phase::Idle { since, .. } | Phase::Head { since } => Some((1, *since)),
            Phase::Answering(out) => Some((2, out.began)),
            Phase::Waiting { .. } | Phase::Asked { .. } => None,
        }
    }

    /// The request that waits for a backend connection, and since when.
    pub fn waiting(&self) -> Option<(Instant, &Request)> {
        let Phase::Waiting { since, request } = &self.phase else { return None };
        Some((*since, request))
    }

    pub fn sending(&self) -> Option<(&Bytes, Instant)> {
        let Phase::Answering(out) = &self.phase else { return None };
        Some((&out.body, out.began))
    }

    /// The waiting request got a backend connection.
    pub fn asked(&mut self, now: Instant) {
        if let Phase::Waiting { request, .. } = &mut self.phase {
            self.phase = Phase::Asked { since: now, request: std::mem::take(request) };
        }
    }

    /// Begins to send the answer. `head` ends with an empty line and says nothing about the connection.
    pub fn answer(&mut self, head: Vec<u8>, body: Bytes, now: Instant) -> Result<(), Closed> {
        let Phase::Asked { request, .. } = &self.phase else { return Ok(()) };
        let has_body = !request.is_head && !head.starts_with(b"HTTP/1.1 304");
        let body = if has_body { body } else { Bytes::default() };
        let keep_alive = request.keep_alive;
        self.begin(head, body, keep_alive, now)
    }

    fn refuse(&mut self, refused: &Refused, now: Instant) -> Result<(), Closed> {
        let body = json::error(refused.reason);
        let allow = if refused.status == 405 { "Allow: GET, HEAD\r\n" } else { "" };
        let head = format!(
            "HTTP/1.1 {} {}\r\nServer: zk_monitor\r\nContent-Type: application/json\r\n{allow}Content-Length: {}\r\n\r\n",
            refused.status,
            tiny_http::StatusCode(refused.status).default_reason_phrase(),
            body.len()
        );
        self.begin(head.into_bytes(), Arc::new(body), false, now)
    }

    fn begin(
        &mut self,
        mut head: Vec<u8>,
        body: Bytes,
        keep_alive: bool,
        now: Instant,
    ) -> Result<(), Closed> {
        head.truncate(head.len().saturating_sub(2));
        let connection = if keep_alive { "keep-alive" } else { "close" };
        head.extend_from_slice(format!("Connection: {connection}\r\n\r\n").as_bytes());
        self.phase =
            Phase::Answering(Outgoing { head, body, sent: 0, keep_alive, began: now, progressed: now });
        self.send(now)
    }

    fn receive(&mut self, now: Instant) -> Result<(), Closed> {
        if let Some(read) = self.read()? {
            self.inbox.extend_from_slice(&read);
            self.understand(now)?;
        }
        Ok(())
    }

    /// Looks for a request in what was read.
    fn understand(&mut self, now: Instant) -> Result<(), Closed> {
        match request::parse(&self.inbox) {
            Ok(Some((length, request))) => {
                self.inbox.drain(..length);
                self.phase = Phase::Waiting { since: now, request };
                Ok(())
            }
            Ok(None) => {
                if let (Phase::Idle { .. }, false) = (&self.phase, self.inbox.is_empty()) {
                    self.phase = Phase::Head { since: now };
                }
                Ok(())
            }
            Err(refused) => {
                self.inbox = Vec::new();
                self.refuse(&refused, now)
            }
        }
    }

    /// Reads once; `None` if nothing is there yet.
    fn read(&mut self) -> Result<Option<Vec<u8>>, Closed> {
        let mut chunk = [0; 8192];
        match self.stream.read(&mut chunk) {
            Ok(0) => Err(Closed),
            Ok(count) => Ok(Some(chunk[..count].to_vec())),
            Err(error) if is_passing(&error) => Ok(None),
            Err(_) => Err(Closed),
        }
    }

    fn send(&mut self, now: Instant) -> Result<(), Closed> {
        let Phase::Answering(out) = &mut self.phase else { return Ok(()) };
        match out.write(&mut self.stream) {
            Ok(0) => return Err(Closed),
            Ok(count) => {
                out.sent += count;
                out.progressed = now;
            }
            Err(error) if is_passing(&error) => return Ok(()),
            Err(_) => return Err(Closed),
        }
        if out.sent < out.head.len() + out.body.len() {
            return Ok(());
        }
        if out.keep_alive {
            self.phase = Phase::Idle { since: now, limit: IDLE_TIME };
            return self.understand(now);
        }
        self.phase = Phase::Draining { since: now };
        self.stream.shutdown(Shutdown::Write).map_err(|_| Closed)
    }
}

impl Outgoing {
    fn write(&self, stream: &mut TcpStream) -> io::Result<usize> {
        let head = self.head.get(self.sent..).unwrap_or_default();
        let body = &self.body[self.sent.saturating_sub(self.head.len())..];
        let body = body.get(..TURN).unwrap_or(body);
        stream.write_vectored(&[IoSlice::new(head), IoSlice::new(body)])
    }
}

impl AsFd for Client {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}
