//! `--once`: every path read once, as a Nagios plugin tells it.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{RecvTimeoutError, unbounded};

use super::load::load;
use crate::cli::{Answer, ZooKeeper};
use crate::clock;
use crate::model::path_status::{PathState, PathStatus};
use crate::model::rule::RuleSet;
use crate::model::severity::Severity;
use crate::model::status::Compliance;
use crate::pipeline::EventSink;
use crate::published::cell;
use crate::threads::Threads;
use crate::watching::{self, Watched, Watching, session_settings};

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
        unwritten: UNKNOWN,
        ..Answer::default()
    };
    let read = read(zookeeper, RuleSet::new(config.rules), began);
    read.map(|(compliance, reason)| report(&compliance, reason.as_deref())).map_err(unknown)
}

/// What was read, and why there is no session if there is none.
pub(super) fn read(
    zookeeper: &ZooKeeper,
    rules: RuleSet,
    began: Instant,
) -> Result<(Arc<Compliance>, Option<Arc<str>>), String> {
    let settings = session_settings(zookeeper)?;
    let mut threads = Threads::default();
    let (election, _) = unbounded();
    let (_, own) = cell(None);
    let journal = EventSink { queue: unbounded().0, lost: Arc::default(), has_files: false };
    let watched = Watched { rules: Arc::new(rules), ledger: "".into(), reread: NEVER };
    let watching = Watching::start(&mut threads, settings, election, own, watched, journal)
        .map_err(|e| format!("cannot start the threads that read: {e}"))?;
    watching.trust_own_clock();
    while !watching.compliance.get().ready && clock::mono() < began + READING {
        // What is told here is in the snapshot soon after; a pause of silence means that nothing is coming.
        match watching.judged.recv_timeout(Duration::from_millis(20)) {
            Ok(_) | Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    let (compliance, connection) = (watching.compliance.get(), watching.connection.get());
    let reason = connection.last_error.clone().filter(|_| connection.session.is_none());
    watching.stop();
    threads.wait_for(&watching::THREADS, began + ENDING);
    Ok((compliance, reason))
}

/// The answer. `outage` is why nothing could be read.
fn report(compliance: &Compliance, outage: Option<&str>) -> Answer {
    // A glob is no path. One of which it is not known what it matches is unknown all the same.
    let globs = compliance.globs.iter().filter(|glob| matches!(glob.state, PathState::Unknown(_)));
    let paths: Vec<&PathStatus> = compliance.paths.iter().chain(globs).collect();
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
    let worst = outage.map_or_else(|| worst(&paths), |reason| format!(": {reason}"));
    let sum = format!("{ok} paths in spec, {error} out of spec, {unknown} unknown{worst}");
    // What stands behind a bar is data to Nagios.
    let sum = sum.replace('|', "/");
    let mut stdout = format!("ZK_MONITOR {word} - {sum} | ok={ok} error={error} unknown={unknown}\n");
    for PathStatus { path, state, .. } in paths {
        match state {
            PathState::Ok => stdout.push_str(&format!("{path}: true\n")),
            PathState::Error(message) => stdout.push_str(&format!("{path}: {message}\n")),
            PathState::Unknown(reason) => {
                let reason = outage.unwrap_or(reason);
                stdout.push_str(&format!("{path}: Unknown: {reason}\n"));
            }
        }
    }
    Answer { stdout, code, unwritten: UNKNOWN, ..Answer::default() }
}

/// The names of those that are worst, a few of them: `: /a, /b, /c and 4 more`.
fn worst(paths: &[&PathStatus]) -> String {
    const NAMED: usize = 3;
    let rank = |path: &PathStatus| match path.state {
        PathState::Ok => None,
        PathState::Error(_) => Some((1, path.particulars().severity)),
        PathState::Unknown(_) => Some((0, Severity::default())),
    };
    let Some(most) = paths.iter().filter_map(|path| rank(path)).max() else { return String::new() };
    let worst: Vec<&str> =
        paths.iter().filter(|path| rank(path) == Some(most)).map(|path| &*path.path).collect();
    let more = worst.len().saturating_sub(NAMED);
    let and = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!(": {}{and}", worst[..worst.len() - more].join(", "))
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;
    use crate::model::path_list::PathList;

    fn path(path: &str, state: PathState) -> PathStatus {
        let (path, since) = (Arc::<str>::from(path), SystemTime::UNIX_EPOCH);
        PathStatus { rule: Arc::clone(&path), path, state, children: None, since, particulars: None }
    }

    #[test]
    fn the_first_line_counts_paths_and_names_the_worst() {
        let bad = |name: &str| path(name, PathState::Error("bad".into()));
        let check = |paths: Vec<PathStatus>, globs: Vec<PathStatus>, outage: Option<&str>, first: &str| {
            let [paths, globs] = [paths, globs].map(PathList::from_iter);
            let compliance = Compliance { paths, globs, ..Compliance::default() };
            let answer = report(&compliance, outage);
            assert_eq!(answer.stdout.lines().next(), Some(first));
            answer.stdout
        };
        let lost = || path("/u", PathState::Unknown("not read yet".into()));
        check(
            vec![path("/ok", PathState::Ok), bad("/a"), bad("/b"), lost()],
            vec![path("/*", PathState::Ok)],
            None,
            "ZK_MONITOR CRITICAL - 1 paths in spec, 2 out of spec, 1 unknown: /a, /b | ok=1 error=2 unknown=1",
        );
        let many = ["/a", "/b|c", "/d", "/e", "/f"].map(bad).into();
        check(
            many,
            vec![path("/g/*", PathState::Unknown("cannot be listed".into()))],
            None,
            "ZK_MONITOR CRITICAL - 0 paths in spec, 5 out of spec, 1 unknown: /a, /b/c, /d and 2 more | ok=0 error=5 \
             unknown=1",
        );
        let said = check(
            vec![lost()],
            vec![],
            Some("Connection refused"),
            "ZK_MONITOR UNKNOWN - 0 paths in spec, 0 out of spec, 1 unknown: Connection refused | ok=0 error=0 unknown=1",
        );
        assert!(said.ends_with("\n/u: Unknown: Connection refused\n"), "{said}");
    }
}
