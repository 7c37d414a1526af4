//! tiny_http, behind the gate: a few connections that last for ever, each with a thread of tiny_http's.
//!
//! tiny_http takes a thread a connection, waits for ever, and never accepts again once a descriptor was not to be
//! had. So it gets all its connections at the start, over a socket that nobody else can reach, and then its
//! socket is closed for new ones. Once one of them is lost, tiny_http is started anew, as soon as the others are free.
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
/// How much longer a backend connection has once it was seen to be overdue. If the whole process was stopped for
/// longer than an answer may take, the answer is on its way.
const GRACE: Duration = Duration::from_secs(1);
/// How long to wait after tiny_http could not be started anew.
const RETRY: Duration = Duration::from_secs(1);
/// The header that tells which backend connection a request came by.
pub const CONN: &str = "X-Conn";
/// The header that tells a request's number.
pub const TICKET: &str = "X-Ticket";

/// Text on its way out.
pub type Bytes = Arc<Vec<u8>>;

/// The gate's end.
pub struct Backend {
    pub server: Server,
    /// Takes the other end of each server to the thread that answers.
    requests: Sender<Requests>,
    /// When to try again to start tiny_http anew.
    retry: Option<Instant>,
    tickets: u64,
}

/// One tiny_http and the connections to it that work.
pub struct Server {
    pub conns: Vec<BackendConn>,
    server: Arc<ManuallyDrop<tiny_http::Server>>,
    /// Dropped to tell the other end that no more requests come.
    alive: Option<Sender<()>>,
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
pub struct BackendConn {
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
    /// When it was first seen to be overdue.
    overdue: Option<Instant>,
}

/// An answer, from the status line on.
pub struct Reply {
    pub client: u64,
    /// The head with the empty line that ends it.
    pub head: Vec<u8>,
    pub body: Bytes,
}

impl Backend {
    /// Starts tiny_http. Its requests come through the channel, one server's after the other's.
    pub fn start() -> io::Result<(Self, Receiver<Requests>)> {
        let (server, first) = Server::start()?;
        let (requests, servers) = bounded(1);
        // The channel is empty, and its other end is here.
        requests.try_send(first).ok();
        Ok((Self { server, requests, retry: None, tickets: 0 }, servers))
    }

    /// Passes a request on, if a backend connection is free. Says whether it was.
    pub fn ask(&mut self, client: u64, request: &Request, now: Instant) -> bool {
        if self.drains(now) {
            return false;
        }
        let Some(conn) = self.server.conns.iter_mut().find(|conn| conn.asked.is_none()) else { return false };
        self.tickets += 1;
        conn.ask(Asked { client, ticket: self.tickets, since: now, overdue: None }, request);
        true
    }

    /// Gives up backend connections whose answer is overdue.
    pub fn expire(&mut self, now: Instant) {
        self.server.conns.retain_mut(|conn| conn.asked.as_mut().is_none_or(|asked| asked.may_go_on(now)));
    }

    /// Replaces what is lost: starts tiny_http anew once nothing is under way in the old one. As long as that fails,
    /// what is left of the old one serves.
    ///
    /// # Errors
    /// The thread that answers has not even begun with the server before.
    pub fn renew(&mut self, now: Instant) -> io::Result<()> {
        if !self.drains(now) || self.server.conns.iter().any(|conn| conn.asked.is_some()) {
            return Ok(());
        }
        match Server::start() {
            Ok((server, requests)) => {
                let hangs = |_| io::Error::other("the thread that answers HTTP hangs");
                self.requests.try_send(requests).map_err(hangs)?;
                (self.server, self.retry) = (server, None);
                log::info!("replaced the connections between the HTTP gate and its server: one was lost");
            }
            Err(error) => {
                if self.retry.is_none() {
                    log::warn!(
                        "cannot replace a lost connection to the HTTP server, and will keep trying: {error}"
                    );
                }
                self.retry = Some(now + RETRY);
            }
        }
        Ok(())
    }

    /// When to call [`Self::expire`] and [`Self::renew`].
    pub fn deadline(&self) -> Option<Instant> {
        let asked =
            self.server.conns.iter().filter_map(|conn| conn.asked.as_ref()).map(Asked::deadline).min();
        // As long as something is under way nothing is replaced, and a time that has passed would never be waited for.
        asked.or(self.retry)
    }

    /// Whether nothing is to be begun on the server that is there, because another will take its place.
    fn drains(&self, now: Instant) -> bool {
        self.server.conns.len() < CONNS && self.retry.is_none_or(|at| at <= now)
    }
}

impl Server {
    fn start() -> io::Result<(Self, Requests)> {
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
        Ok((Self { conns, server, alive: Some(alive) }, requests))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.alive = None;
        self.server.unblock();
    }
}

impl Asked {
    /// Whether the answer may still come; takes note of the first time that it should have.
    fn may_go_on(&mut self, now: Instant) -> bool {
        let is_due = now < self.since + ANSWER_TIME;
        is_due || now < *self.overdue.get_or_insert(now) + GRACE
    }

    fn deadline(&self) -> Instant {
        self.overdue.map_or(self.since + ANSWER_TIME, |overdue| overdue + GRACE)
    }
}

impl Requests {
    /// The next request; `None` if there was none for `timeout`.
    ///
    /// # Errors
    /// The gate has ended, or has started another server.
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
        let (backend, _servers) = Backend::start().unwrap();
        let address = backend.server.conns[0].stream.peer_addr().unwrap();
        let refused = UnixStream::connect_addr(&address).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
    }

    fn request() -> Request {
        Request { target: "/".to_owned(), keep_alive: true, ..Request::default() }
    }

    #[test]
    fn a_connection_that_does_not_answer_is_replaced_once_the_others_are_free() {
        let (mut backend, servers) = Backend::start().unwrap();
        let first = servers.try_recv().unwrap();
        let start = now();
        let passing = |millis| start + Duration::from_millis(millis);
        assert!(backend.ask(0, &request(), start) && backend.ask(1, &request(), passing(5_000)));
        backend.expire(passing(9_999));
        assert_eq!((backend.server.conns.len(), backend.deadline()), (CONNS, Some(passing(10_000))));
        // It is seen late, as after a pause of the whole process: the answer may be on its way.
        backend.expire(passing(14_000));
        assert_eq!((backend.server.conns.len(), backend.deadline()), (CONNS, Some(passing(15_000))));
        backend.expire(passing(14_999));
        backend.renew(passing(14_999)).unwrap();
        assert_eq!(backend.server.conns.len(), CONNS);
        backend.expire(passing(15_000));
        backend.renew(passing(15_000)).unwrap();
        assert_eq!(backend.server.conns.len(), CONNS - 1, "another request is still inside");
        assert!(!backend.ask(2, &request(), passing(15_000)), "and none follows it");
        backend.expire(passing(16_000));
        backend.renew(passing(16_000)).unwrap();
        assert_eq!(backend.server.conns.len(), CONNS);
        while first.next(Duration::from_secs(9)).is_ok() {}
        assert!(backend.ask(2, &request(), passing(16_000)));
        let second = servers.try_recv().unwrap();
        assert!(second.next(Duration::from_secs(9)).unwrap().is_some(), "the new server takes requests");
    }

    #[test]
    fn another_try_waits_for_what_is_under_way() {
        let (mut backend, _servers) = Backend::start().unwrap();
        let start = now();
        backend.server.conns.pop();
        assert!(!backend.ask(0, &request(), start), "it is to be replaced first");
        // That failed, and while the next try was waited for, a request came.
        backend.retry = Some(start + RETRY);
        assert_eq!(backend.deadline(), Some(start + RETRY));
        assert!(backend.ask(0, &request(), start));
        backend.renew(start + 2 * RETRY).unwrap();
        assert_eq!(backend.deadline(), Some(start + ANSWER_TIME));
    }

    #[test]
    fn a_thread_that_never_comes_to_the_next_server_is_told() {
        let (mut backend, _servers) = Backend::start().unwrap();
        backend.server.conns.pop();
        assert!(backend.renew(now()).is_err());
    }

    #[test]
    fn all_are_busy_or_none() {
        let (mut backend, _servers) = Backend::start().unwrap();
        for client in 0..CONNS {
            assert!(backend.ask(client as u64, &request(), now()));
        }
        assert!(!backend.ask(99, &request(), now()));
    }

    #[test]
    fn the_end_of_the_gate_ends_the_questions() {
        let (backend, servers) = Backend::start().unwrap();
        let requests = servers.recv().unwrap();
        assert!(requests.next(Duration::from_millis(1)).unwrap().is_none());
        drop(backend);
        assert!(requests.next(Duration::from_secs(9)).is_err() && servers.recv().is_err());
    }
}
