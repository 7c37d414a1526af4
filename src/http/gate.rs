//! The gate: one thread that waits on all connections at once and bounds what each of them can take.
//!
//! Whatever clients do, there are at most [`CLIENTS`] of them, fewer if descriptors are few, each with at most one
//! head in memory, and at most [`HELD`] bytes of bodies beside those that are cached anyway. One more client, or one
//! more body, is paid for by the one who has had the most time: a fresh request is never refused for the sake of
//! stale ones.

use std::collections::BTreeMap;
use std::io;
use std::net::TcpListener;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Resource, getrlimit};

use super::backend::{Backend, Bytes};
use super::client::Client;
use crate::clock;

/// How many connections there can be at most.
pub const CLIENTS: usize = 256;
/// Which part of the descriptors clients can have: the others are for ZooKeeper and the receivers.
const SHARE: u64 = 4;
/// How many bytes of bodies slow readers may keep in memory, shared ones counted once.
const HELD: usize = 64 << 20;
/// How many connections to accept in one turn.
const ACCEPTS: usize = 64;
/// How long to leave the socket alone when no descriptor is to be had and no connection can be given up.
const PAUSE: Duration = Duration::from_millis(100);

pub struct Gate {
    listener: TcpListener,
    stop: UnixStream,
    backend: Backend,
    /// By number; a higher one was accepted later.
    clients: BTreeMap<u64, Client>,
    /// How many of them there can be.
    most: usize,
    accepted: u64,
    /// Until when nothing is accepted.
    paused: Option<Instant>,
}

/// What can be gone on with.
#[derive(Default)]
struct Ready {
    stop: bool,
    accept: bool,
    conns: Vec<usize>,
    clients: Vec<u64>,
}

impl Gate {
    /// A gate before `backend`. `listener` does not block; `stop` becomes readable in the end.
    pub fn new(listener: TcpListener, stop: UnixStream, backend: Backend) -> Self {
        let limit = getrlimit(Resource::Nofile).current;
        Self {
            listener,
            stop,
            backend,
            clients: BTreeMap::new(),
            most: most(limit),
            accepted: 0,
            paused: None,
        }
    }

    /// Serves until `stop` becomes readable.
    ///
    /// # Errors
    /// The thread that answers hangs, or waiting itself fails.
    pub fn run(mut self) -> io::Result<()> {
        loop {
            let now = clock::mono();
            self.expire(now);
            self.backend.renew(now)?;
            self.ask(now);
            let ready = self.wait(now)?;
            if ready.stop {
                return Ok(());
            }
            self.go_on(&ready, clock::mono());
        }
    }

    /// Does one turn of work for each that is ready. After each turn this thread steps back behind those that wait
    /// for the core: they watch and alert, and would wait for milliseconds if it worked on.
    fn go_on(&mut self, ready: &Ready, now: Instant) {
        // From the last to the first, so that a removal moves none that is still to be looked at.
        for conn in ready.conns.iter().rev() {
            self.hear(*conn, now);
            thread::yield_now();
        }
        for id in &ready.clients {
            self.with(*id, |client| client.proceed(now));
            thread::yield_now();
        }
        if ready.accept {
            self.accept(now);
        }
    }

    /// Does something with a client, if it is still there, and removes it if that ends it.
    fn with<E>(&mut self, id: u64, act: impl FnOnce(&mut Client) -> Result<(), E>) {
        if self.clients.get_mut(&id).is_some_and(|client| act(client).is_err()) {
            self.clients.remove(&id);
        }
    }

    fn expire(&mut self, now: Instant) {
        self.backend.expire(now);
        self.clients.retain(|_, client| client.deadline() > now || client.expire(now).is_ok());
        self.paused = self.paused.filter(|until| *until > now);
    }

    /// Gives free backend connections to waiting requests, the one that has waited longest first.
    fn ask(&mut self, now: Instant) {
        let waiting = |(id, client): (&u64, &Client)| Some((client.waiting()?.0, *id));
        let mut queue: Vec<_> = self.clients.iter().filter_map(waiting).collect();
        queue.sort_unstable();
        for (_, id) in queue {
            let Some(client) = self.clients.get_mut(&id) else { continue };
            let Some((_, request)) = client.waiting() else { continue };
            if !self.backend.ask(id, request, now) {
                return;
            }
            client.asked(now);
        }
    }

    fn wait(&self, now: Instant) -> io::Result<Ready> {
        let mut fds = vec![PollFd::new(&self.stop, PollFlags::IN)];
        let accepts = self.paused.is_none() && self.has_room();
        // It is listed even when nothing is asked of it, so that what follows it keeps its place.
        fds.push(PollFd::new(&self.listener, if accepts { PollFlags::IN } else { PollFlags::empty() }));
        fds.extend(self.backend.server.conns.iter().map(|conn| PollFd::new(conn, PollFlags::IN)));
        fds.extend(self.clients.values().map(|client| PollFd::new(client, client.interest())));
        match poll(&mut fds, self.timeout(now).as_ref()) {
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => return Ok(Ready::default()),
            Err(error) => return Err(error.into()),
        }
        let happened: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
        let (fixed, rest) = happened.split_at(2);
        let (conns, clients) = rest.split_at(self.backend.server.conns.len());
        Ok(Ready {
            stop: fixed[0],
            accept: fixed[1] && accepts,
            conns: conns.iter().enumerate().filter(|(_, is)| **is).map(|(at, _)| at).collect(),
            clients: self.clients.keys().zip(clients).filter(|(_, is)| **is).map(|(id, _)| *id).collect(),
        })
    }

    /// How long to wait at most; every client has a deadline, and so has every backend connection that is busy.
    fn timeout(&self, now: Instant) -> Option<Timespec> {
        let deadlines = self.clients.values().map(Client::deadline);
        let first = deadlines.chain(self.paused).chain(self.backend.deadline()).min()?;
        Timespec::try_from(first.saturating_duration_since(now)).ok()
    }

    /// Reads from a backend connection.
    fn hear(&mut self, at: usize, now: Instant) {
        match self.backend.server.conns[at].read() {
            Ok(Some(reply)) => {
                let body = Arc::clone(&reply.body);
                self.with(reply.client, |client| client.answer(reply.head, reply.body, now));
                self.bound_bodies(&body);
            }
            Ok(None) => {}
            // Its client hears of it at its deadline.
            Err(_) => drop(self.backend.server.conns.remove(at)),
        }
    }

    /// Gives up the oldest slow readers, as long as bodies take too much memory. The newest body is spared.
    fn bound_bodies(&mut self, newest: &Bytes) {
        while self.held() > HELD {
            let others = self.clients.iter().filter_map(|(id, client)| {
                let (body, began) = client.sending()?;
                (!Arc::ptr_eq(body, newest)).then_some((began, *id))
            });
            let Some((_, oldest)) = others.min() else { return };
            self.clients.remove(&oldest);
        }
    }

    fn held(&self) -> usize {
        let bodies = self.clients.values().filter_map(Client::sending);
        let sizes: BTreeMap<_, _> = bodies.map(|(body, _)| (Arc::as_ptr(body), body.len())).collect();
        sizes.values().sum()
    }

    fn accept(&mut self, now: Instant) {
        for _ in 0..ACCEPTS {
            if !self.has_room() {
                return;
            }
            match self.listener.accept() {
                Ok((stream, _)) => self.admit(Client::new(stream, now), now),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if is_exhaustion(&error) => {
                    if !self.give_one_up() {
                        self.paused = Some(now + PAUSE);
                        return;
                    }
                }
                // This one connection has ended before it was accepted.
                Err(_) => {}
            }
        }
    }

    /// Whether one more can be admitted, if need be in the place of another.
    fn has_room(&self) -> bool {
        self.clients.len() < self.most || self.expendable().is_some()
    }

    fn admit(&mut self, client: io::Result<Client>, now: Instant) {
        let Ok(client) = client else { return };
        if self.clients.len() >= self.most {
            self.give_one_up();
        }
        self.accepted += 1;
        self.clients.insert(self.accepted, client);
        // Its request is often there already; then it is no candidate for being given up.
        self.with(self.accepted, |client| client.proceed(now));
    }

    /// Closes the connection that has had the most time. Says whether there was one.
    fn give_one_up(&mut self) -> bool {
        let Some(id) = self.expendable() else { return false };
        self.clients.remove(&id).is_some()
    }

    fn expendable(&self) -> Option<u64> {
        let candidates = self.clients.iter().filter_map(|(id, client)| Some((client.expendable()?, *id)));
        candidates.min().map(|(_, id)| id)
    }
}

/// How many clients there can be when the process can have so many descriptors.
fn most(limit: Option<u64>) -> usize {
    limit.map_or(CLIENTS, |limit| usize::try_from(limit / SHARE).unwrap_or(CLIENTS).clamp(1, CLIENTS))
}

/// Whether the system has no descriptor or no memory left for a connection.
fn is_exhaustion(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let code = Errno::from_io_error(error);
    [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM].map(Some).contains(&code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_leave_descriptors_for_what_matters_more() {
        let check = |limit: Option<u64>, wanted: usize| assert_eq!(most(limit), wanted, "{limit:?}");
        check(None, CLIENTS);
        check(Some(u64::MAX), CLIENTS);
        check(Some(1024), 256);
        check(Some(64), 16);
        check(Some(3), 1);
    }
}
