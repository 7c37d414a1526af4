//! What the chaos test lays its hands on: znodes that fall out of spec and come back, sessions that end.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant, SystemTime};

use crossbeam_channel::Receiver;
use fastrand::Rng;

use super::promises::{Millis, Violation, millis};
use crate::common::{Client, Ensemble, eventually};

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
            let mut session = None;
            for line in dump.lines() {
                let id = line.trim().strip_prefix("0x").and_then(|rest| rest.strip_suffix(':'));
                session = id.and_then(|id| u64::from_str_radix(id, 16).ok()).or(session);
                if line.trim() == node {
                    return Some((server.address(), session?));
                }
            }
            None
        })
    });
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let mut hello = vec![0; 12];
    hello.extend(u32::try_from(SESSION * 1_000).unwrap().to_be_bytes());
    hello.extend(session.to_be_bytes());
    hello.extend(16_u32.to_be_bytes());
    hello.extend(password(session));
    hello.push(0);
    let close = [[0; 4], (-11_i32).to_be_bytes()].concat();
    for frame in [hello, close] {
        stream.write_all(&u32::try_from(frame.len()).unwrap().to_be_bytes()).unwrap();
        stream.write_all(&frame).unwrap();
        // What it answers does not matter, only that it did: the session is this connection's, and then closed.
        let mut answer = [0; 256];
        assert!(stream.read(&mut answer).is_ok());
    }
}

/// The password of a session, which the servers derive from its id by Java's `Random`.
fn password(session: u64) -> Vec<u8> {
    const MULTIPLIER: u64 = 0x5_DEEC_E66D;
    const MASK: u64 = (1 << 48) - 1;
    let mut state = (session ^ 0xB341_5C00 ^ MULTIPLIER) & MASK;
    let words = (0..4).map(|_| {
        state = (state.wrapping_mul(MULTIPLIER) + 0xB) & MASK;
        u32::try_from(state >> 16).unwrap()
    });
    words.flat_map(u32::to_le_bytes).collect()
}
