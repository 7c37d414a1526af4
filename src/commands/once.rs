//! `--once`: every path read once, as a Nagios plugin tells it.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{RecvTimeoutError, unbounded};

use super::load::load;
use crate::cli::{Answer, ZooKeeper};
use crate::clock;
use crate::model::rule::RuleSet;
use crate::model::severity::Severity;
use crate::model::status::{Compliance, PathState, PathStatus};
use crate::published::cell;
use crate::threads::Threads;
use crate::watching::{self, Watching, session_settings};

/// How long reading may take. Cron and Nagios allow ten seconds; the whole answer comes within eight.
const READING: Duration = Duration::from_millis(7000);
/// The end of the threads, within the same eight seconds.
const ENDING: Duration = Duration::from_millis(7900);

/// Nothing is verified: this ends before.
const NEVER: Duration = Duration::from_secs(3600);

/// Out of spec, and not worse than a warning.
const WARNING: u8 = 1;
/// Out of spec.
const CRITICAL: u8 = 2;
/// Not known.
const UNKNOWN: u8 = 3;

/// Reads every path once.
pub fn once(zookeeper: &ZooKeeper, file: &Path) -> Result<Answer, Answer> {
    let began = clock::mono();
    let config = load(file)?;
    let unknown = |reason| Answer {
        stdout: format!("ZK_MONITOR UNKNOWN - {reason}\n"),
        code: UNKNOWN,
        ..Answer::default()
    };
    let read = read(zookeeper, RuleSet::new(config.rules), began);
    read.map(|compliance| report(&compliance)).map_err(unknown)
}

fn read(zookeeper: &ZooKeeper, rules: RuleSet, began: Instant) -> Result<Arc<Compliance>, String> {
    let settings = session_settings(zookeeper)?;
    let mut threads = Threads::default();
    let (election, _) = unbounded();
    let (_, own) = cell(None);
    let watching = Watching::start(&mut threads, settings, election, own, Arc::new(rules), "".into(), NEVER)
        .map_err(|e| format!("cannot start the threads that read: {e}"))?;
    watching.trust_own_clock();
    while !watching.compliance.get().ready && clock::mono() < began + READING {
        // What is told here is in the snapshot soon after; a pause of silence means that nothing is coming.
        match watching.judged.recv_timeout(Duration::from_millis(20)) {
            Ok(_) | Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    let compliance = watching.compliance.get();
    watching.stop();
    threads.wait_for(&watching::THREADS, began + ENDING);
    Ok(compliance)
}

fn report(compliance: &Compliance) -> Answer {
    let paths: Vec<&PathStatus> = compliance.paths.iter().chain(&compliance.globs).collect();
    let count = |wanted: fn(&PathState) -> bool| paths.iter().filter(|path| wanted(&path.state)).count();
    let ok = count(|state| matches!(state, PathState::Ok));
    let error = count(|state| matches!(state, PathState::Error(_)));
    let unknown = count(|state| matches!(state, PathState::Unknown(_)));
    let is_bad = |path: &&PathStatus| {
        matches!(path.state, PathState::Error(_)) && path.particulars().severity >= Severity::Error
    };
    let (word, code) = match (paths.iter().copied().any(|path| is_bad(&path)), unknown, error) {
        (true, _, _) => ("CRITICAL", CRITICAL),
        (false, 1.., _) => ("UNKNOWN", UNKNOWN),
        (false, 0, 1..) => ("WARNING", WARNING),
        (false, 0, 0) => ("OK", 0),
    };
    let sum = format!("{ok} paths in spec, {error} out of spec, {unknown} unknown");
    let mut stdout = format!("ZK_MONITOR {word} - {sum} | ok={ok} error={error} unknown={unknown}\n");
    for PathStatus { path, state, .. } in paths {
        match state {
            PathState::Ok => stdout.push_str(&format!("{path}: true\n")),
            PathState::Error(message) => stdout.push_str(&format!("{path}: {message}\n")),
            PathState::Unknown(reason) => stdout.push_str(&format!("{path}: Unknown: {reason}\n")),
        }
    }
    Answer { stdout, code, ..Answer::default() }
}
