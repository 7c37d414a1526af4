//! tiny_http, behind the gate: a few connections that last for ever, each with a thread of tiny_http's.
//!
//! tiny_http takes a thread a connection, waits for ever, and never accepts again once a descriptor was not to be
//! had. So it gets all its connections at the start, over a socket that nobody else can reach, and then its
//! socket is closed for new ones.
//!
//! Only heads pass through it. A body goes straight from the thread that answers to the gate: it would be copied
//! twice on the way, and be held once for each slow reader, while this way all who read the same snapshot share
//! one copy.

use std::io::{self, Read, Write};
use std::mem::ManuallyDrop;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded};
use rustix::net::{AddressFamily, Shutdown, SocketAddrUnix, SocketFlags, SocketType};

use super::request::Request;

/// How many requests can be inside at once. One thread answers them all, from memory; more than one only
/// keeps it busy while heads are on their way.
const CONNS: usize = 4;
/// How long an answer may take to be made, and tiny_http to start.
pub const ANSWER_TIME: Duration = Duration::from_secs(10);
/// The header that tells which backend connection a request came by.
pub const CONN: &str = "X-Conn";
/// The header that tells a request's number.
pub const TICKET: &str = "X-Ticket";

/// Text on its way out.
pub type Bytes = Arc<Vec<u8>>;

/// The gate's end.
pub struct Backend {
    /// The backend connections that work.
    pub(super) conns: Vec<BackendConn>,
    server: Arc<ManuallyDrop<tiny_http::Server>>,
    /// Dropped to tell the other end that no more requests come.
    alive: Option<Sender<()>>,
    tickets: u64,
}

/// The answering thread's end.
pub struct Requests {
    // Its destructor panics for a socket without a file. All it would do is to end the accepting thread, which
    // has ended by then.
    server: Arc<ManuallyDrop<tiny_http::Server>>,
    /// Where the body goes, by backend connection.
    pub bodies: Vec<Sender<(u64, Bytes)>>,
    alive: Receiver<()>,
}

/// One connection to tiny_http.
pub(super) struct BackendConn {
    number: usize,
    stream: UnixStream,
    bodies: Receiver<(u64, Bytes)>,
    head: Vec<u8>,
    asked: Option<Asked>,
}

/// What a backend connection is busy with.
struct Asked {
    client: u64,
    ticket: u64,
    since: Instant,
}

/// An answer, from the status line on.
pub struct Reply {
    pub client: u64,
    /// The head with the empty line that ends it.
    pub head: Vec<u8>,
    pub body: Bytes,
}

impl Backend {
    /// Starts tiny_http.
    ///
    /// # Errors
    /// No descriptor or thread was to be had.
    pub fn start() -> io::Result<(Self, Requests)> {
        let listener = unnamed_listener()?;
        let address = listener.local_addr()?;
        let mut conns = Vec::new();
        let mut bodies = Vec::new();
        for number in 0..CONNS {
            let stream = UnixStream::connect_addr(&address)?;
            stream.set_nonblocking(true)?;
            let (body, from_answers) = bounded(1);
            conns.push(BackendConn { number, stream, bodies: from_answers, head: Vec::new(), asked: None });
            bodies.push(body);
        }
        // From here on nobody can connect; what has connected is still accepted, and then tiny_http's accepting
        // thread ends with an error, which shows that it ran.
        rustix::net::shutdown(&listener, Shutdown::Both)?;
        let server = tiny_http::Server::from_listener(listener, None).map_err(io::Error::other)?;
        if let Ok(answer) = server.recv_timeout(ANSWER_TIME) {
            let what = if answer.is_some() { "an early request" } else { "no thread" };
            return Err(io::Error::other(format!("tiny_http did not start: {what}")));
        }
        let server = Arc::new(ManuallyDrop::new(server));
        let (alive, watched) = bounded(0);
        let requests = Requests { server: Arc::clone(&server), bodies, alive: watched };
        Ok((Self { conns, server, alive: Some(alive), tickets: 0 }, requests))
    }

    /// Passes a request on, if a backend connection is free. Says whether it was.
    pub fn ask(&mut self, client: u64, request: &Request, now: Instant) -> bool {
        let Some(conn) = self.conns.iter_mut().find(|conn| conn.asked.is_none()) else { return false };
        self.tickets += 1;
        conn.ask(Asked { client, ticket: self.tickets, since: now }, request);
        true
    }

    /// Gives up backend connections whose answer is overdue.
    pub fn expire(&mut self, now: Instant) {
        self.conns.retain(|conn| conn.asked.as_ref().is_none_or(|asked| now < asked.since + ANSWER_TIME));
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.alive = None;
        self.server.unblock();
    }
}

impl Requests {
    /// The next request; `None` if there was none for `timeout`.
    ///
    /// # Errors
    /// The gate has ended.
    pub fn next(&self, timeout: Duration) -> io::Result<Option<tiny_http::Request>> {
        let request = self.server.recv_timeout(timeout)?;
        let ended = self.alive.try_recv() == Err(crossbeam_channel::TryRecvError::Disconnected);
        if ended { Err(io::ErrorKind::BrokenPipe.into()) } else { Ok(request) }
    }
}

impl BackendConn {
    fn ask(&mut self, asked: Asked, request: &Request) {
        let method = if request.is_head { "HEAD" } else { "GET" };
        let mut head = format!(
            "{method} {} HTTP/1.1\r\n{CONN}: {}\r\n{TICKET}: {}\r\n",
            request.target, self.number, asked.ticket
        );
        if request.wants_html {
            head.push_str("Accept: text/html\r\n");
        }
        if let Some(tags) = &request.if_none_match {
            head.push_str(&format!("If-None-Match: {tags}\r\n"));
        }
        head.push_str("\r\n");
        // The socket's buffer is empty and takes several times the longest head. If the write fails all the
        // same, no answer comes, and the backend connection is given up when that is overdue.
        (&self.stream).write_all(head.as_bytes()).ok();
        self.asked = Some(asked);
    }

    /// Reads what came; gives the reply once its head is complete.
    ///
    /// # Errors
    /// The backend connection is lost.
    pub fn read(&mut self) -> io::Result<Option<Reply>> {
        let mut chunk = [0; 4096];
        let count = match self.stream.read(&mut chunk) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => count,
            Err(error) if is_passing(&error) => return Ok(None),
            Err(error) => return Err(error),
        };
        self.head.extend_from_slice(&chunk[..count]);
        if !self.head.ends_with(b"\r\n\r\n") {
            return Ok(None);
        }
        let head = std::mem::take(&mut self.head);
        let Some(asked) = self.asked.take() else { return Err(io::ErrorKind::InvalidData.into()) };
        let mine = |(ticket, body)| (ticket == asked.ticket).then_some(body);
        let body = self.bodies.try_iter().find_map(mine).unwrap_or_default();
        Ok(Some(Reply { client: asked.client, head, body }))
    }
}

impl AsFd for BackendConn {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

/// A listening socket with an abstract name that the kernel chose: it needs no directory to write to.
fn unnamed_listener() -> io::Result<UnixListener> {
    let socket =
        rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    rustix::net::bind(&socket, &SocketAddrUnix::new_unnamed())?;
    rustix::net::listen(&socket, CONNS as i32)?;
    Ok(UnixListener::from(socket))
}

/// Whether an I/O error means no more than: not now.
pub fn is_passing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

#[cfg(test)]
mod tests {
    use super::super::fixture::now;
    use super::*;

    #[test]
    fn nobody_else_can_reach_tiny_http() {
        let (backend, _questions) = Backend::start().unwrap();
        let address = backend.conns[0].stream.peer_addr().unwrap();
        let refused = UnixStream::connect_addr(&address).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
    }

    #[test]
    fn a_lane_that_does_not_answer_is_given_up() {
        let request = Request {
            is_head: false,
            target: "/".to_owned(),
            wants_html: false,
            if_none_match: None,
            keep_alive: true,
        };
        let (mut backend, _questions) = Backend::start().unwrap();
        let start = now();
        for client in 0..CONNS {
            assert!(backend.ask(client as u64, &request, start));
        }
        assert!(!backend.ask(99, &request, start), "all are busy");
        backend.expire(start + ANSWER_TIME - Duration::from_millis(1));
        assert_eq!(backend.conns.len(), CONNS);
        backend.expire(start + ANSWER_TIME);
        assert_eq!(backend.conns.len(), 0);
    }

    #[test]
    fn the_end_of_the_gate_ends_the_questions() {
        let (backend, requests) = Backend::start().unwrap();
        assert!(requests.next(Duration::from_millis(1)).unwrap().is_none());
        drop(backend);
        assert!(requests.next(Duration::from_secs(9)).is_err());
    }
}
