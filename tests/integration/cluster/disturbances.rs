//! What the chaos test lays its hands on: znodes that fall out of spec and come back, sessions that end.

use std::time::{Duration, Instant, SystemTime};

use crossbeam_channel::Receiver;
use fastrand::Rng;

use super::promises::{Millis, Violation, millis};
use crate::common::{Client, Ensemble, close_session, eventually, session_of};

/// How many paths there are.
pub const PATHS: usize = 12;
/// The session timeout that agents ask for, in seconds.
pub const SESSION: u64 = 3;
/// Where the cluster keeps its znodes.
pub const PLACE: &str = "/zk_monitor/zkmonitor";

/// The wall clock.
pub fn now() -> Millis {
    millis(SystemTime::now())
}

/// A path that is watched.
pub fn path(index: usize) -> String {
    format!("/chaos/p{index}")
}

/// Hold-downs, in milliseconds: none for most.
pub fn hold_down(index: usize) -> Millis {
    if index % 3 == 2 { 1_000 } else { 0 }
}

/// Makes and mends violations until told to stop, then mends all.
pub fn drive(servers: &str, mut rng: Rng, stopped: &Receiver<()>) -> Vec<Violation> {
    let mut hand = Hand { servers: servers.split(',').map(str::to_owned).collect(), client: None };
    let mut violations: Vec<Violation> = Vec::new();
    let mut open: [Option<usize>; PATHS] = [None; PATHS];
    let start = Instant::now();
    let mut due = [start; PATHS].map(|start| start + Duration::from_millis(rng.u64(0..4_000)));
    loop {
        let index = (0..PATHS).min_by_key(|index| due[*index]).unwrap();
        let wait = due[index].saturating_duration_since(Instant::now());
        if stopped.recv_timeout(wait).is_err_and(|error| error.is_disconnected()) {
            break;
        }
        let next = match open[index].take() {
            Some(violation) => {
                violations[violation].ended = Some(hand.put(index, true));
                rng.u64(2_000..6_000)
            }
            None => {
                let began = hand.put(index, false);
                open[index] = Some(violations.len());
                let (path, hold_down) = (path(index), hold_down(index));
                violations.push(Violation { path, hold_down, began, ended: None });
                if rng.u8(..4) == 0 { rng.u64(200..1_500) } else { rng.u64(3_000..12_000) }
            }
        };
        due[index] = Instant::now() + Duration::from_millis(next);
    }
    for (index, violation) in open.into_iter().enumerate().filter_map(|(i, v)| Some((i, v?))) {
        violations[violation].ended = Some(hand.put(index, true));
    }
    violations
}

/// A client that goes on with another server when its own dies.
struct Hand {
    servers: Vec<String>,
    client: Option<Client>,
}

impl Hand {
    /// Makes or removes the child of a path; gives when it was begun and when it was surely done.
    fn put(&mut self, index: usize, present: bool) -> (Millis, Millis) {
        let (began, child) = (now(), format!("{}/a", path(index)));
        eventually(Duration::from_secs(60), "server that makes a change", || {
            if self.client.is_none() {
                self.servers.rotate_left(1);
                self.client = Client::try_connect(&self.servers[0]).ok();
            }
            let client = self.client.as_mut().ok_or("no connection".to_owned())?;
            let result = client.try_make(&child, present);
            if result.is_err() {
                self.client = None;
            }
            result.map_err(|error| error.to_string())
        });
        (began, now())
    }
}

/// Ends an agent's session at the servers: a second connection takes the session over and closes it.
pub fn expire(ensemble: &mut Ensemble, agent: &str) {
    let node = format!("{PLACE}/agents/{agent}");
    let (address, session) = eventually(Duration::from_secs(30), "session of the agent", || {
        (0..3).find_map(|index| {
            let server = ensemble.server(index);
            let dump = server.ask("dump").ok()?;
            Some((server.address(), session_of(&dump, |line| line == node)?))
        })
    });
    close_session(&address, session, SESSION, Duration::from_secs(5)).unwrap();
}
