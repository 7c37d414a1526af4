//! What happened, kept in files that are full, read-only, torn or somebody else's, and judged again.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use rustix::process::Signal;
use serde_json::Value;

use crate::common::{Daemon, Folder, HttpSink, SOON, Space, eventually, run, shared};

fn yaml(sink: &HttpSink, cancel: &str) -> String {
    let url = sink.url("/hook");
    let terms = format!("cancel_timeout: {cancel}, alerter: {{webhook: {{url: '{url}'}}}}");
    format!(
        "group_wait: 100ms\n\
         /a: {{children: 1, {terms}}}\n\
         /b: {{children: {{where: {{name: '^x'}}, min: 1}}, {terms}}}\n\
         /data: {{data: {{equals: s3cret-word}}, {terms}}}\n"
    )
}

fn keep(space: &Space, yaml: &str, directory: &Path) -> Daemon {
    let daemon =
        Daemon::with(space.address(), yaml).args(["--state_dir", &directory.display().to_string()]).start();
    daemon.wait_until_it_leads();
    daemon
}

/// All events, the newest first.
fn events(daemon: &Daemon, query: &str) -> Vec<Value> {
    let response = daemon.get(&format!("/events?limit=10000{query}"));
    assert_eq!(response.status, 200, "{}", response.body);
    response.json()["events"].as_array().unwrap().clone()
}

/// Waits for an event with these fields.
#[track_caller]
fn wait_for(daemon: &Daemon, fields: &[(&str, Value)]) {
    eventually(SOON, &format!("event {fields:?}"), || {
        let has = |event: &Value| fields.iter().all(|(key, value)| event[key] == *value);
        let all = events(daemon, "");
        if all.iter().any(has) { Ok(()) } else { Err(all) }
    });
}

/// Waits until `path` was told `times` times of an alert's beginning.
#[track_caller]
fn wait_for_alerts(daemon: &Daemon, path: &str, times: usize) {
    eventually(SOON, &format!("{times} alerts of {path}"), || {
        let told = events(daemon, &format!("&path={path}"));
        told.iter().filter(|event| event["told"] == "firing" && event["outcome"] == "accepted").count()
            == times
    });
}

/// How often a sink was told of the beginning of an alert, by path.
fn firing(sink: &HttpSink) -> BTreeMap<String, u64> {
    let mut told = BTreeMap::new();
    for request in sink.requests("/hook") {
        let alerts = request.json()["alerts"].as_array().unwrap().clone();
        for alert in alerts.iter().filter(|alert| alert["status"] == "firing") {
            *told.entry(alert["labels"]["path"].as_str().unwrap().to_owned()).or_default() += 1;
        }
    }
    told
}

fn files(directory: &Path) -> String {
    let mut files: Vec<PathBuf> =
        fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|end| end == "jsonl"));
    files.sort();
    files.iter().map(|path| String::from_utf8_lossy(&fs::read(path).unwrap()).into_owned()).collect()
}

/// What `--replay` prints, and of each path how many alerts it gives and how many were sent.
fn replay(file: &Path, directory: &Path) -> (String, Vec<(String, u64, u64)>) {
    let (file, directory) = (file.display().to_string(), directory.display().to_string());
    let output = run(["--replay", "-f", &file, "--state_dir", &directory]);
    assert_eq!((output.code, output.stderr.as_str()), (Some(0), ""), "{}", output.stdout);
    let rows = output.stdout.lines().skip(1).take_while(|line| !line.is_empty());
    let rows = rows.map(|line| {
        let cells: Vec<&str> = line.split_whitespace().collect();
        (cells[0].to_owned(), cells[1].parse().unwrap(), cells[5].parse().unwrap())
    });
    let rows = rows.collect();
    (output.stdout, rows)
}

#[test]
fn a_journal_tells_what_happened_and_gives_by_a_replay_what_was_sent() {
    let (space, sink, folder) = (shared(), HttpSink::start(), Folder::new("journal"));
    let mut client = space.client();
    client.create("/a", "");
    client.create("/a/child", "");
    client.create("/b", "");
    client.create("/b/x1", "");
    client.create("/data", "s3cret-word");
    let yaml = yaml(&sink, "0");
    let mut daemon = keep(&space, &yaml, folder.path());
    for time in 1..=2 {
        client.delete("/a/child");
        client.delete("/b/x1");
        client.set("/data", "0ther-word");
        ["/a", "/b", "/data"].iter().for_each(|path| wait_for_alerts(&daemon, path, time));
        client.create("/a/child", "");
        client.create("/b/x1", "");
        client.set("/data", "s3cret-word");
        ["/a", "/b", "/data"].iter().for_each(|path| daemon.wait_for(path, true));
    }
    // It is killed while something is out of spec, and another goes on: nobody is told twice.
    client.delete("/a/child");
    wait_for_alerts(&daemon, "/a", 3);
    daemon.kill();
    drop(daemon);
    let lines = files(folder.path());
    OpenOptions::new()
        .append(true)
        .open(folder.path().join("events-0000000001.jsonl"))
        .unwrap()
        .write_all(b"{\"time\":\"20")
        .unwrap();
    let mut daemon = keep(&space, &yaml, folder.path());
    assert!(files(folder.path()).starts_with(&lines), "nothing but the torn line is gone");
    client.create("/a/child", "");
    daemon.wait_for("/a", true);
    wait_for(&daemon, &[("kind", "message".into()), ("told", "resolved".into()), ("path", "/a".into())]);
    let kinds: BTreeSet<String> =
        events(&daemon, "").iter().map(|event| event["kind"].as_str().unwrap().to_owned()).collect();
    for kind in ["start", "session", "armed", "reading", "transition", "alert", "message", "lease"] {
        assert!(kinds.contains(kind), "{kind}: {kinds:?}");
    }
    let of_a = events(&daemon, "&path=/a&since=1h");
    assert!(of_a.len() > 10 && of_a.iter().all(|event| event["path"] == "/a"), "{of_a:?}");
    assert_eq!(daemon.get("/events?since=yesterday").status, 400);

    let (text, rows) = replay(&daemon.folder().join("zk_monitor.yaml"), folder.path());
    let expected = [("/a", 3), ("/b", 2), ("/data", 2)].map(|(path, n)| (path.to_owned(), n, n));
    assert_eq!(rows, expected, "{text}");
    assert_eq!(firing(&sink), expected.map(|(path, n, _)| (path, n)).into(), "what was received");
    assert!(text.contains("but for numbers of children: /b, /data."), "{text}");
    let slower = folder.write("slower.yaml", &self::yaml(&sink, "1h"));
    let (text, rows) = replay(&slower, folder.path());
    let expected = [("/a", 3), ("/b", 2), ("/data", 2)].map(|(path, n)| (path.to_owned(), 0, n));
    assert_eq!(rows, expected, "{text}");

    let lines = files(folder.path()) + &daemon.get("/events?limit=10000").body;
    for secret in ["s3cret", "0ther", "hook"] {
        assert!(!lines.contains(secret), "{secret} in the journal");
    }
    assert_eq!(daemon.stop(), Some(0));
}

/// The lines that have an end.
fn whole(files: &str) -> &str {
    &files[..files.rfind('\n').map_or(0, |at| at + 1)]
}

/// Starts a daemon, kills it once its journal has grown by so many bytes, cuts the last line by so many, and holds what
/// is left.
fn kill_after(growth: usize, cut: u64, space: &Space, yaml: &str, directory: &Path) {
    let before = files(directory);
    let state_dir = ["--state_dir", &directory.display().to_string()];
    let mut daemon = Daemon::with(space.address(), yaml).args(state_dir).start();
    eventually(SOON, "longer journal", || files(directory).len() >= before.len() + growth);
    let shown = events(&daemon, "");
    daemon.kill();

    let left = files(directory);
    assert!(left.starts_with(whole(&before)), "nothing but a torn line is gone");
    let lines: HashSet<Value> =
        whole(&left).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let lost: Vec<&Value> = shown.iter().filter(|event| !lines.contains(event)).collect();
    assert!(lost.is_empty(), "what was shown is in the files: {lost:?}");

    // A kill seldom comes in the middle of a write, which is short.
    let file = OpenOptions::new().write(true).open(directory.join("events-0000000001.jsonl")).unwrap();
    file.set_len(left.len() as u64 - cut).unwrap();
    let left = files(directory);
    let torn = if left == whole(&left) { "0 lines" } else { "1 line" };
    let (text, _) = replay(&daemon.folder().join("zk_monitor.yaml"), directory);
    let told = [format!("\n{} events in 1 file, ", whole(&left).lines().count()), format!(": {torn}.\n")];
    assert!(told.iter().all(|told| text.contains(told)), "{told:?}: {text}");
}

#[test]
fn killed_at_any_moment_a_daemon_loses_nothing_that_it_has_shown() {
    let (space, folder) = (shared(), Folder::new("killed"));
    let yaml: String = (0..8).map(|number| format!("/p{number}: {{children: 1}}\n")).collect();
    let (mut random, stop, began) = (fastrand::Rng::with_seed(7), AtomicBool::new(false), Instant::now());
    let mut client = space.client();
    (0..8).for_each(|number| client.create(&format!("/p{number}"), ""));
    let flicker = || {
        // If the test fails it ends all the same.
        while !stop.load(Ordering::Relaxed) && began.elapsed() < 3 * SOON {
            let child = |number: u32| format!("/p{number}/child");
            (0..8).for_each(|number| client.create(&child(number), ""));
            (0..8).for_each(|number| client.delete(&child(number)));
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(flicker);
        for _ in 0..20 {
            let (growth, cut) = (random.usize(0..30_000), random.u64(0..40));
            kill_after(growth, cut, &space, &yaml, folder.path());
        }
        stop.store(true, Ordering::Relaxed);
    });
}

#[test]
fn the_second_daemon_of_a_directory_says_so_and_goes_on_in_memory() {
    let (space, folder) = (shared(), Folder::new("two"));
    let yaml = "/a: {children: 0}\n";
    let first = keep(&space, yaml, folder.path());
    let directory = folder.path().display().to_string();
    let mut second = Daemon::with(space.address(), yaml).args(["--state_dir", &directory]).start();
    second.wait_until_ready();
    second.wait_for_log("another daemon keeps its journal there");
    wait_for(&second, &[("kind", "armed".into())]);
    drop(first);
    second.wait_for_log("again; ");
    assert_eq!(second.stop(), Some(0));
    assert!(files(folder.path()).contains("\"kind\":\"lost\""));
}

#[test]
fn a_directory_that_cannot_be_written_ends_nothing() {
    let space = shared();
    let daemon =
        Daemon::with(space.address(), "/a: {children: 0}\n").args(["--state_dir", "/proc/1/none"]).start();
    daemon.wait_until_ready();
    daemon.wait_for_log("cannot write the journal to /proc/1/none, and keep it in memory");
    eventually(SOON, "metric", || daemon.get("/metrics").body.contains("\nzk_monitor_journal_failing 1\n"));
    wait_for(&daemon, &[("kind", "armed".into())]);
    let said = daemon.log().iter().filter(|line| line.contains("cannot write the journal")).count();
    assert_eq!(said, 1);
}

/// A file system of 64 KiB, or one that is read-only, stands where the daemon keeps its journal.
fn mounted(space: &Space, options: &str) -> Daemon {
    let daemon =
        Daemon::with(space.address(), "/a: {children: 0}\n/b: {children: 1}\n").mount(options).start();
    daemon.wait_until_ready();
    daemon
}

#[test]
fn a_read_only_directory_is_said_once() {
    let space = shared();
    let mut daemon = mounted(&space, "ro");
    daemon.wait_for_log("Read-only file system");
    wait_for(&daemon, &[("kind", "armed".into())]);
    assert_eq!(daemon.stop(), Some(0));
}

#[test]
fn a_full_disk_is_said_and_so_is_that_there_is_room_again() {
    let space = shared();
    let mut client = space.client();
    client.create("/b", "");
    let mut daemon = mounted(&space, "size=64k");
    // What stands in its root is reached through the process.
    let filler = PathBuf::from(format!("/proc/{}/root", daemon.pid()))
        .join(daemon.folder().strip_prefix("/").unwrap())
        .join("state/filler");
    assert!(fs::write(&filler, vec![0; 64 << 10]).is_err(), "there is more room than that");
    let mut is_there = false;
    // What is deleted as soon as it was made is often never seen.
    eventually(SOON, "full disk", || {
        if is_there {
            client.delete("/b/x")
        } else {
            client.create("/b/x", "")
        };
        is_there = !is_there;
        daemon.log_contains("No space left on device")
    });
    fs::remove_file(&filler).unwrap();
    daemon.wait_for_log("again; ");
    assert_eq!(daemon.compliance("/a"), true);
    daemon.signal(Signal::TERM);
    assert_eq!(daemon.wait(SOON), Some(0));
}
