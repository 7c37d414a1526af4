//! What goes wrong, and when: a list that can be printed, and shortened.

use crate::alerts::{FILES, PATHS, POOL};
use crate::pool::FIRST;
use crate::random::Random;
use crate::world::{AGENTS, Millis, RECEIVERS};

/// One thing that happens to the cluster.
#[derive(Clone, Copy, Debug)]
pub struct Fault {
    pub at: Millis,
    pub what: What,
}

/// What happens. Times are durations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// The path falls out of spec, or comes back.
    Toggle(usize),
    /// The pool has so many children from now on. No number comes twice, so that a message that names one tells when
    /// that was.
    Children(u32),
    /// The file is another on every host, and every agent re-reads it.
    Rename(usize),
    /// kill -9, and a restart so much later.
    Crash(usize, Millis),
    /// SIGTERM, and a restart so much later.
    Stop(usize, Millis),
    /// SIGSTOP, and SIGCONT so much later.
    Pause(usize, Millis),
    /// The agent is cut off from ZooKeeper.
    Partition(usize, Millis),
    /// The agent's server is cut off from its quorum: it answers reads, from the past.
    Isolate(usize, Millis),
    /// The agent's server lags so much from now on.
    Lag(usize, Millis),
    /// What goes out to the server from this agent now is applied so much later.
    Delay(usize, Millis),
    /// The agent's evaluator is slow for a while.
    Slow(usize, Millis),
    /// The receiver behaves like this for a while.
    Receiver(usize, Mood, Millis),
    /// All receivers fail for so long.
    Outage(Millis),
    /// The agent re-reads its file: with or without the last path's rule.
    Reload(usize, bool),
    /// The agent's wall clock steps, and is so many milliseconds ahead from now on.
    Clock(usize, i64),
    /// A silence on the path.
    Silence(usize, Millis),
    /// What is open of the path is acknowledged.
    Acknowledge(usize),
    /// Somebody removes the lock nodes and their parent.
    RemoveLocks,
}

impl What {
    /// For how long agents may be slow to see and to act.
    pub fn length(self) -> Millis {
        match self {
            Self::Crash(_, length) | Self::Stop(_, length) | Self::Pause(_, length) => length,
            Self::Partition(_, length) | Self::Isolate(_, length) | Self::Slow(_, length) => length,
            Self::Lag(..) | Self::Delay(..) => HORIZON,
            Self::Children(_) | Self::Rename(_) => 0,
            Self::Toggle(_) | Self::Receiver(..) | Self::Reload(..) | Self::Silence(..) => 0,
            Self::Outage(_) => 0,
            Self::Clock(..) | Self::RemoveLocks | Self::Acknowledge(_) => 0,
        }
    }

    /// The agent that may be slow, if it is one.
    pub fn agent(self) -> Option<usize> {
        match self {
            Self::Crash(agent, _) | Self::Stop(agent, _) | Self::Pause(agent, _) => Some(agent),
            Self::Partition(agent, _) | Self::Isolate(agent, _) | Self::Slow(agent, _) => Some(agent),
            Self::Lag(agent, _) | Self::Delay(agent, _) => Some(agent),
            Self::Toggle(_) | Self::Children(_) | Self::Rename(_) | Self::Receiver(..) => None,
            Self::Outage(_) => None,
            Self::Reload(..) | Self::Clock(..) | Self::Silence(..) | Self::Acknowledge(_) => None,
            Self::RemoveLocks => None,
        }
    }
}

/// How a receiver behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mood {
    Accepts,
    Slow,
    Fails,
    Refuses,
    /// Refuses whatever tells of this path.
    Dislikes(usize),
    /// Refuses whatever tells of more than one path.
    OneByOne,
    /// Takes nothing and does not answer.
    Hangs,
    /// Takes it, and the answer is lost.
    LosesAnswer,
}

/// How many children the pool has at most, before all is over.
pub const MOST_CHILDREN: u32 = 24;

/// When faults end.
pub const HORIZON: Millis = 40_000;

/// Makes the schedule of a seed.
pub fn schedule(seed: u64) -> Vec<Fault> {
    let mut random = Random::new(seed);
    let mut faults = Vec::new();
    for path in 0..PATHS {
        let mut at = random.between(500, 8_000);
        let mut counts: Vec<u32> = (0..=MOST_CHILDREN).filter(|count| *count != FIRST).collect();
        while at < HORIZON && faults.len() < 40 {
            let what = match path {
                POOL => What::Children(counts.swap_remove(random.below(counts.len()))),
                _ => What::Toggle(path),
            };
            faults.push(Fault { at, what });
            at += if random.chance(30) { random.between(50, 3_000) } else { random.between(2_000, 20_000) };
        }
    }
    for _ in 0..random.between(0, 9) {
        let at = random.between(0, HORIZON);
        faults.push(Fault { at, what: fault(&mut random) });
    }
    if random.chance(4) {
        fall_again(&mut random, &mut faults);
    }
    faults.sort_by_key(|fault| fault.at);
    faults
}

/// What is acknowledged comes back and falls again while whoever leads at first is away, for good, or until it comes back before
/// anybody leads: chance alone hardly ever brings that about.
fn fall_again(random: &mut Random, faults: &mut Vec<Fault>) {
    let (path, at) = (random.below(2), random.between(9_000, 25_000));
    let is_before = |fault: &Fault| fault.at + 6_000 < at;
    faults.retain(|fault| fault.what != What::Toggle(path) || is_before(fault));
    let toggles = faults.iter().filter(|fault| fault.what == What::Toggle(path)).count();
    let falls = toggles.is_multiple_of(2).then(|| at - 6_000);
    let back = at + random.between(2_000, 3_500);
    let again = back + random.between(3_600, 5_000);
    let ends = random.chance(50).then(|| again + random.between(1_600, 2_600));
    let toggles = falls.into_iter().chain([back, again]).chain(ends);
    faults.extend(toggles.map(|at| Fault { at, what: What::Toggle(path) }));
    faults.push(Fault { at, what: What::Acknowledge(path) });
    faults.push(Fault { at: at + 1_600, what: What::Crash(0, 12_000) });
    // That takes longer than one session: whoever may be next goes as well.
    faults.extend(ends.map(|_| Fault { at: at + 5_000, what: What::Crash(1, 12_000) }));
}

fn fault(random: &mut Random) -> What {
    let agent = random.below(AGENTS);
    let long = random.between(200, 12_000);
    match random.below(19) {
        0 => What::Crash(agent, long),
        1 => What::Stop(agent, long),
        2 | 3 => What::Pause(agent, long),
        4 => What::Partition(agent, long),
        5 => What::Isolate(agent, long),
        6 => What::Lag(agent, random.between(0, 2_000)),
        7 => What::Delay(agent, random.between(500, 6_000)),
        8 | 9 | 13 => {
            let picky = if random.chance(50) { Mood::OneByOne } else { Mood::Dislikes(random.below(PATHS)) };
            let moods = [Mood::Slow, Mood::Fails, Mood::Hangs, Mood::LosesAnswer, Mood::Refuses, picky];
            What::Receiver(random.below(RECEIVERS), moods[random.below(moods.len())], long)
        }
        10 => What::Slow(agent, long),
        11 => What::Reload(agent, random.chance(50)),
        14 => What::RemoveLocks,
        15 => What::Rename(random.below(FILES)),
        16 | 17 => What::Outage(random.between(3_000, 12_000)),
        12 => What::Clock(agent, random.between(0, 7_200_000) as i64 - 3_600_000),
        _ if long.is_multiple_of(2) => What::Acknowledge(random.below(PATHS)),
        _ => What::Silence(random.below(PATHS), long),
    }
}

/// Drops fault by fault while `fails` still holds.
pub fn shrink<F: Clone>(mut faults: Vec<F>, fails: impl Fn(&[F]) -> bool) -> Vec<F> {
    loop {
        let before = faults.len();
        let mut at = 0;
        while at < faults.len() {
            let mut fewer = faults.clone();
            fewer.remove(at);
            if fails(&fewer) {
                faults = fewer;
            } else {
                at += 1;
            }
        }
        if faults.len() == before {
            return faults;
        }
    }
}
