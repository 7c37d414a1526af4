//! One generation after the other: connect, authenticate, keep alive, give up, begin anew.
//!
//! A generation is one connection and one session. It ends when the connection does, or when its calls are not
//! answered for two thirds of the session timeout; it is never resumed, because the library loses watches and
//! authentication on every reconnect and does not say so.

use std::collections::VecDeque;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam_channel::{
    Receiver, RecvTimeoutError, Sender, TryRecvError, after, bounded, select, unbounded,
};
use rustls::ClientConfig;
use zookeeper::{WatchedEvent, ZkState, ZooKeeper};

use super::client::{Client, cut_chroot, describe};
use super::dial::{self, STEP};
use super::handshake;
use super::link::Link;
use super::outage::{Line, Outage};
use super::pulse::{self, Beat, OwnNode, Pulse};
use super::watch_input::WatchInput;
use crate::clock;
use crate::model::receiver::Secret;
use crate::model::status::{Connection, Session};
use crate::net::Resolver;
use crate::published::{Reader, Writer};

/// The longest wait between two rounds of attempts: a server that comes back is used within this and a bit.
const BACKOFF_MAX: Duration = Duration::from_millis(800);
/// The first wait between two rounds of attempts.
const BACKOFF_MIN: Duration = Duration::from_millis(100);
/// How long closing the session may take at the end of the daemon, which has two seconds for everything.
const CLOSE: Duration = Duration::from_millis(1000);
/// The longest wait if sessions end faster than the library gives them up.
const CROWDED: Duration = Duration::from_secs(5);
/// How many ended sessions that the library has not given up yet are no reason for that.
const ENDING_MAX: usize = 32;
/// How long after the session timeout the library is given to notice that its session is gone.
const BURIAL: Duration = Duration::from_secs(10);

/// Where ZooKeeper is and how to be admitted.
pub struct Settings {
    /// Servers, in the order in which they are tried.
    pub hosts: Vec<(String, u16)>,
    /// The part of the tree that is ours; empty or starts with `/`.
    pub chroot: String,
    /// The session timeout to ask for.
    pub timeout: Duration,
    /// User and password of digest authentication.
    pub credentials: Option<(String, Secret)>,
    /// TLS, if the connection is to be encrypted.
    pub tls: Option<Arc<ClientConfig>>,
}

/// Where a session's news go.
pub struct Outlets {
    /// Watch events and generations, to the watch thread.
    pub watch: Sender<WatchInput>,
    /// The same, to the election.
    pub election: Sender<super::election::Input>,
    /// What readers see of the connection.
    pub connection: Writer<Connection>,
    /// The thread's pulse.
    pub pulse: Writer<Instant>,
}

/// Runs generations until `stop` closes or gets a message; then closes the session and returns.
pub fn run(settings: Settings, own: Reader<Option<OwnNode>>, outlets: Outlets, stop: &Receiver<()>) {
    let resolvers = settings.hosts.iter().map(|(host, port)| Resolver::new(host, *port)).collect();
    let mut sessions = Sessions {
        settings,
        own,
        outlets,
        resolvers,
        status: Connection::default(),
        burials: Vec::new(),
        outage: Outage::default(),
    };
    let mut backoff = BACKOFF_MIN;
    loop {
        sessions.outlets.pulse.publish(clock::mono());
        let lasted = match sessions.round(stop) {
            Some(live) => sessions.serve(live, stop),
            None => Some(Duration::ZERO),
        };
        let Some(lasted) = lasted else { return };
        // A server that greets and drops at once is treated like one that refuses.
        if lasted > sessions.settings.timeout {
            backoff = BACKOFF_MIN;
            continue;
        }
        let longest = if sessions.is_crowded() { CROWDED } else { backoff };
        let wait = longest.mul_f64(0.5 + 0.5 * fastrand::f64());
        match stop.recv_timeout(wait) {
            Err(RecvTimeoutError::Timeout) => backoff = (backoff * 2).min(BACKOFF_MAX),
            Ok(()) | Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

struct Sessions {
    settings: Settings,
    own: Reader<Option<OwnNode>>,
    outlets: Outlets,
    /// One a host; the next to be tried is the first.
    resolvers: VecDeque<Resolver>,
    status: Connection,
    burials: Vec<JoinHandle<()>>,
    outage: Outage,
}

/// A generation in use.
struct Live {
    client: Client,
    zk: Arc<ZooKeeper>,
    link: Link,
    closed: Receiver<()>,
    pulses: Receiver<Pulse>,
    pulse_stop: Sender<()>,
    pulse_thread: JoinHandle<()>,
    timeout: Duration,
    server: Arc<str>,
    answered: Instant,
}

impl Sessions {
    /// Each session that has ended holds threads and descriptors until the library gives it up.
    fn is_crowded(&self) -> bool {
        self.burials.iter().filter(|burial| !burial.is_finished()).count() > ENDING_MAX
    }

    /// Tries every address of every host once, beginning after the one used last.
    fn round(&mut self, stop: &Receiver<()>) -> Option<Live> {
        let mut reasons = Vec::new();
        for _ in 0..self.resolvers.len() {
            self.resolvers.rotate_left(1);
            let Some(resolver) = self.resolvers.back_mut() else { break };
            let host = resolver.host().to_owned();
            let addresses = dial::resolve(resolver).unwrap_or_else(|reason| {
                reasons.push(reason);
                Vec::new()
            });
            for address in addresses {
                self.outlets.pulse.publish(clock::mono());
                if stop.try_recv() != Err(TryRecvError::Empty) {
                    return None;
                }
                match self.establish(address, &host) {
                    Ok(live) => return Some(live),
                    Err(reason) => reasons.push(format!("{address}: {reason}")),
                }
            }
        }
        let reason: Arc<str> = reasons.join("; ").into();
        let line = self.outage.failed(&reason, clock::mono());
        line.into_iter().for_each(Line::log);
        self.status.last_error = Some(reason);
        self.outlets.connection.publish(self.status.clone());
        None
    }

    /// One attempt at one address: connect, greet, authenticate, have a first call answered.
    fn establish(&mut self, address: std::net::SocketAddr, host: &str) -> Result<Live, String> {
        let wire = dial::connect(address, host, self.settings.tls.as_ref())?;
        let system = |e: std::io::Error| format!("cannot set up the link: {e}");
        let opened = handshake::exchange(wire, self.settings.timeout)?;
        let timeout = opened.timeout;
        let link = Link::open(opened).map_err(system)?;
        let cutter = link.cutter().map_err(system)?;
        let generation = self.status.sessions + 1;
        // Counted by attempt, so that events of an attempt that failed can never pass for a later one's.
        self.status.sessions = generation;
        let (close, closed) = bounded(1);
        let zk = ZooKeeper::connect(&link.address.to_string(), self.settings.timeout, self.bell(generation))
            .map_err(|e| format!("cannot start the client: {}", describe(e)))?;
        zk.add_listener(move |state| {
            if state == ZkState::Closed {
                close.try_send(()).ok();
            }
        });
        let zk = Arc::new(zk);
        let (hurry_sender, hurry) = bounded(1);
        let client = Client::new(Arc::clone(&zk), &self.settings.chroot, generation, cutter, hurry_sender);
        let (pulse_sender, pulses) = unbounded();
        let (pulse_stop, pulse_end) = bounded(0);
        let pulse_thread = pulse::spawn(pulse::Task {
            client: client.clone(),
            credentials: self.settings.credentials.clone(),
            own: self.own.clone(),
            every: timeout / 6,
            pulses: pulse_sender,
            hurry,
            stop: pulse_end,
        })
        .map_err(|e| format!("cannot start a thread: {e}"))?;
        let server: Arc<str> = address.to_string().into();
        let mut live = Live {
            client,
            zk,
            link,
            closed,
            pulses,
            pulse_stop,
            pulse_thread,
            timeout,
            server,
            answered: clock::mono(),
        };
        match live.pulses.recv_timeout(STEP) {
            Ok(Pulse { sent, result: Ok(_) }) => {
                live.answered = sent;
                Ok(live)
            }
            Ok(Pulse { result: Err(reason), .. }) => {
                let reason = live.reason_or(reason);
                self.give_up(live);
                Err(reason)
            }
            Err(_) => {
                self.give_up(live);
                Err(format!(
                    "the server greeted, and left the first call unanswered for {} s",
                    STEP.as_secs()
                ))
            }
        }
    }

    /// What the library calls for each event: it queues, and nothing else, since the library delivers no other
    /// event meanwhile.
    fn bell(&self, generation: u64) -> impl Fn(WatchedEvent) + Send + 'static {
        let (watch, election) = (self.outlets.watch.clone(), self.outlets.election.clone());
        let chroot = self.settings.chroot.clone();
        move |event| {
            let Some(path) = event.path else { return };
            let path: Arc<str> = cut_chroot(&chroot, &path).into();
            // Both receivers outlive every session; only in a shutdown is nobody there, and nothing to tell.
            election.send(super::election::Input::Rang { generation, path: Arc::clone(&path) }).ok();
            watch.send(WatchInput::Rang { generation, path, at: clock::mono() }).ok();
        }
    }

    /// Announces a generation, watches over it, and announces its end. Gives how long it lasted, or nothing if the
    /// daemon stops.
    fn serve(&mut self, mut live: Live, stop: &Receiver<()>) -> Option<Duration> {
        let line = self.outage.ended(&live.server, clock::mono());
        line.into_iter().for_each(Line::log);
        log::debug!("session with {} established, session timeout {:?}", live.server, live.timeout);
        let session = Session {
            generation: live.client.generation(),
            server: Arc::clone(&live.server),
            timeout: live.timeout,
            answered: live.answered,
            written: None,
        };
        self.status.session = Some(session);
        self.status.last_error = None;
        self.outlets.connection.publish(self.status.clone());
        // The election first: it has to know of the session before it hears that everything was read on it.
        self.outlets.election.send(super::election::Input::Up(live.client.clone(), live.timeout)).ok();
        self.outlets.watch.send(WatchInput::Up(live.client.clone())).ok();
        let began = clock::mono();
        let lost = self.watch_over(&mut live, stop);
        let reason: Arc<str> = lost.as_deref().unwrap_or("the daemon is stopping").into();
        self.status.session = None;
        self.status.last_error = Some(Arc::clone(&reason));
        self.outlets.connection.publish(self.status.clone());
        let generation = live.client.generation();
        self.outlets.watch.send(WatchInput::Down { generation, reason: Arc::clone(&reason) }).ok();
        self.outlets.election.send(super::election::Input::Down { generation }).ok();
        let lasted = lost.is_some().then(|| clock::mono() - began);
        match lasted {
            Some(lasted) => {
                let line = self.outage.began(&live.server, &reason, lasted < live.timeout, clock::mono());
                line.into_iter().for_each(Line::log);
            }
            None => close(&live.zk),
        }
        self.give_up(live);
        lasted
    }

    /// Returns why the generation ended, or nothing if the daemon stops.
    fn watch_over(&mut self, live: &mut Live, stop: &Receiver<()>) -> Option<String> {
        loop {
            self.outlets.pulse.publish(clock::mono());
            let written = self.status.session.as_ref().and_then(|session| session.written);
            let (deadline, reason) = deadline(live.answered, written, live.timeout);
            let late = after(deadline.saturating_duration_since(clock::mono()));
            select! {
                recv(live.pulses) -> pulse => match pulse {
                    Ok(Pulse { sent, result: Ok(beat) }) => self.beat(live, sent, beat),
                    Ok(Pulse { result: Err(reason), .. }) => return Some(live.reason_or(reason)),
                    Err(_) => return Some(live.reason_or("the pulse ended".to_owned())),
                },
                recv(live.link.ended) -> reason => return Some(reason.unwrap_or_else(|_| "the link ended".to_owned())),
                recv(stop) -> _ => return None,
                recv(late) -> _ => return Some(reason),
            }
        }
    }

    fn beat(&mut self, live: &mut Live, sent: Instant, beat: Beat) {
        live.answered = sent;
        let sample = match &beat {
            Beat::Wrote(sample) => Some(*sample),
            Beat::Answered | Beat::Gone(_) => None,
        };
        if let Some(sample) = sample {
            // Before anybody sees that it was written: whoever leads by it judges by ZooKeeper's clock.
            self.outlets.watch.send(WatchInput::Clock(sample)).ok();
        }
        if let Some(session) = &mut self.status.session {
            session.answered = sent;
            session.written = sample.map(|sample| sample.sent).or(session.written);
        }
        self.outlets.connection.publish(self.status.clone());
        if let Beat::Gone(path) = beat {
            // Without its znode the agent loses the lease: the election has to make it anew before its next turn. It
            // outlives every session.
            let generation = live.client.generation();
            self.outlets.election.send(super::election::Input::Rang { generation, path }).ok();
        }
    }

    /// Ends a generation. The library needs up to its session timeout to notice, so a thread of its own waits
    /// for that; the next generation does not.
    fn give_up(&mut self, live: Live) {
        let Live { client, zk, link, closed, pulse_stop, pulse_thread, timeout, .. } = live;
        drop(pulse_stop);
        client.end();
        drop(client);
        let patience = timeout + BURIAL;
        self.burials.retain(|burial| !burial.is_finished());
        let burial = thread::Builder::new().name("zk-burial".to_owned()).spawn(move || {
            // A time-out here means that the library's I/O thread panicked: it is gone without having said so.
            closed.recv_timeout(patience).ok();
            if pulse_thread.join().is_err() {
                log::error!("the pulse thread panicked");
            }
            drop(zk);
            link.release();
        });
        match burial {
            Ok(thread) => self.burials.push(thread),
            Err(e) => log::error!("cannot start a thread to end a session: {e}"),
        }
    }
}

impl Live {
    /// The link knows best why a call failed.
    fn reason_or(&self, reason: String) -> String {
        self.link.ended.recv_timeout(Duration::from_millis(100)).unwrap_or(reason)
    }
}

/// When a generation ends if nothing is answered until then, and the reason.
fn deadline(answered: Instant, written: Option<Instant>, timeout: Duration) -> (Instant, String) {
    let patience = timeout * 2 / 3;
    let seconds = |time: Duration| (time.as_secs_f64() * 10.0).round() / 10.0;
    match written.map(|written| written + timeout).filter(|unwritten| *unwritten < answered + patience) {
        Some(unwritten) => (unwritten, format!("no write acknowledged for {} s", seconds(timeout))),
        None => (answered + patience, format!("no call answered for {} s", seconds(patience))),
    }
}

/// Closes the session at the server, so that its ephemeral znodes go at once.
fn close(zk: &Arc<ZooKeeper>) {
    let (done, closed) = bounded(1);
    let zk = Arc::clone(zk);
    let spawned = thread::Builder::new().name("zk-close".to_owned()).spawn(move || {
        let result = zk.close();
        done.send(result).ok();
    });
    let reason = match spawned {
        Err(e) => e.to_string(),
        Ok(_) => match closed.recv_timeout(CLOSE) {
            Ok(Ok(())) => return,
            Ok(Err(e)) => describe(e),
            Err(_) => format!("no answer within {CLOSE:?}"),
        },
    };
    log::warn!("the session was not closed ({reason}); the server drops it after its timeout");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_says_what_was_waited_for() {
        let (now, timeout) = (clock::mono(), Duration::from_secs(4));
        let at = |seconds| now + Duration::from_secs(seconds);
        let (end, reason) = deadline(now, None, timeout);
        assert_eq!((end, &*reason), (now + timeout * 2 / 3, "no call answered for 2.7 s"));
        let (end, reason) = deadline(at(1), Some(at(1)), timeout);
        assert_eq!((end, &*reason), (at(1) + timeout * 2 / 3, "no call answered for 2.7 s"));
        // Reads are answered, and writes are not.
        let (end, reason) = deadline(at(3), Some(now), timeout);
        assert_eq!((end, &*reason), (at(4), "no write acknowledged for 4 s"));
    }
}
