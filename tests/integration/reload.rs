//! Reloads, silences and large globs, as an operator meets them.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::common::{Daemon, SOON, SmtpSink, eventually, kazoo, run, shared, throughout};

const MAIL: &str = "alerter: {email: you@home.com}";

fn subjects(sink: &SmtpSink) -> Vec<String> {
    sink.mails().iter().map(|mail| mail.subject().to_owned()).collect()
}

/// The time of the last reload, as `/status` has it, and whether the file was good.
fn loaded(daemon: &Daemon) -> (Value, bool) {
    let config = daemon.status()["config"].clone();
    (config["digest"].clone(), config["error"].is_null())
}

/// Rewrites the file, sends SIGHUP, and waits until the new file is in force.
fn reload(daemon: &mut Daemon, yaml: &str) {
    let before = loaded(daemon).0;
    daemon.reload(yaml);
    eventually(SOON, "the new configuration in force", || loaded(daemon).0 != before);
}

#[test]
fn a_reload_leaves_thousands_of_unchanged_rules_alone() {
    const COUNT: usize = 5_000;
    let (space, sink) = (shared(), SmtpSink::start());
    let mut client = space.client();
    client.create("/many", "");
    let path = |n: usize| format!("/many/p{n:04}");
    client.create_many(&(0..COUNT).map(path).collect::<Vec<_>>());
    // A third is in spec, a third fires, a third is pending for longer than the test.
    client.create_many(&(0..COUNT).filter(|n| n % 3 == 0).map(|n| path(n) + "/child").collect::<Vec<_>>());
    let mut yaml = String::from("group_wait: 0\n");
    for n in 0..COUNT {
        let hold = if n % 3 == 2 { "cancel_timeout: 1h, " } else { "" };
        writeln!(yaml, "{}: {{children: 1, {hold}{MAIL}}}", path(n)).unwrap();
    }
    let mut daemon = Daemon::with(space.address(), &yaml).smtp(sink.port()).start();
    let firing = (0..COUNT).filter(|n| n % 3 == 1).count();
    let told = || -> usize {
        let bodies: String = sink.mails().iter().map(|mail| mail.body.clone()).collect();
        (0..COUNT).filter(|n| n % 3 == 1 && bodies.contains(&path(*n))).count()
    };
    eventually(SOON * 3, "mails about all that fire", || (told() == firing).then_some(()));
    let mails = sink.mails().len();
    let before = daemon.get("/status?detail=1").json()["monitor"]["paths"].clone();

    // One rule is added and one removed; changes made during the reload are seen.
    let removed = path(1);
    let added = yaml.replace(&format!("{removed}: {{children: 1, {MAIL}}}\n"), "") + "/many: {children: 1}\n";
    daemon.rewrite(&added);
    daemon.signal(Signal::HUP);
    client.delete(&(path(0) + "/child"));
    client.create(&(path(4) + "/child"), "");
    daemon.wait_for("/many", true);
    daemon.wait_for(&path(0), "Found children (0) less than minimum (1)");
    daemon.wait_for(&path(4), true);
    sink.wait_for(mails + 2);
    let after = daemon.get("/status?detail=1").json()["monitor"]["paths"].clone();
    assert!(after.get(&removed).is_none());
    for n in (0..COUNT).filter(|n| ![0, 1, 4].contains(n)) {
        assert_eq!(after[path(n)], before[path(n)], "{}", path(n));
    }
    throughout(Duration::from_secs(1), "silent about the rest", || sink.mails().len() == mails + 2);
}

#[test]
fn a_thousand_reloads_leave_nothing_behind() {
    let space = shared();
    space.client().create("/services/foo/a", "");
    let yaml = |n: usize| {
        format!(
            "/services/foo: {{children: 1}}\n/services/bar-{}: {{children: 0}}\n/services/*/x: {{exists: true}}\n",
            n % 7
        )
    };
    let mut daemon = Daemon::start(space.address(), &yaml(0));
    let mut again = |numbers: std::ops::Range<usize>| {
        for n in numbers {
            reload(&mut daemon, &yaml(n));
        }
        (daemon.threads(), daemon.fds(), daemon.rss_kb())
    };
    // The first reloads pay for what is made once.
    let (threads, fds, memory) = again(1..50);
    let after = again(50..1_050);
    assert!(after.0 <= threads && after.1 <= fds + 2, "{after:?} from {:?}", (threads, fds));
    assert!(after.2 <= memory + 2 * 1024, "{} KB from {memory} KB", after.2);
}

#[test]
fn reloads_change_receivers_and_timers_of_open_incidents() {
    let (space, sink) = (shared(), SmtpSink::start());
    let mut client = space.client();
    client.create("/open", "");
    let rule = |rest: &str| format!("group_wait: 0\n/open: {{children: 1, {rest}}}\n");
    let mut daemon = Daemon::with(space.address(), &rule(MAIL)).smtp(sink.port()).start();
    sink.wait_for(1);
    // The receivers of an incident are fixed when it opens; a new one hears of the next.
    reload(&mut daemon, &rule("keep_firing_for: 1s, alerter: {email: [you@home.com, new@home.com]}"));
    client.create("/open/a", "");
    let mails = sink.wait_for(2);
    assert_eq!(mails[1].to, ["you@home.com"]);
    client.delete("/open/a");
    let told: BTreeSet<_> = sink.wait_for(4)[2..].iter().map(|mail| mail.to[0].clone()).collect();
    assert_eq!(told, BTreeSet::from(["new@home.com".to_owned(), "you@home.com".to_owned()]));
    // The incident of a removed rule is closed silently.
    reload(&mut daemon, "/other: {children: 0}\n");
    space.wait_for_children("/zk_monitor/zkmonitor/alerts", 0);
    assert_eq!(sink.mails().len(), 4);
    // A rule that comes back is judged anew.
    reload(&mut daemon, &rule(MAIL));
    sink.wait_for(5);
}

#[test]
fn a_faulty_file_changes_nothing_and_is_shown() {
    let space = shared();
    let good = "/services/foo: {children: 0}\n";
    let mut daemon = Daemon::start(space.address(), good);
    daemon.reload("/services/foo: {childen: 0}\n");
    let shown = daemon.wait_until("error of the reload", |status| !status["config"]["error"].is_null());
    let error = shown["config"]["error"].as_str().unwrap();
    assert!(error.contains("zk_monitor.yaml:1:") && error.contains("children"), "{error}");
    assert_eq!(daemon.compliance("/services/foo"), json!(true));
    daemon.reload(good);
    daemon.wait_until("no error", |status| status["config"]["error"].is_null());
}

#[test]
fn a_silence_holds_alerts_back_until_it_ends() {
    let (space, sink) = (shared(), SmtpSink::start());
    let mut client = space.client();
    client.create("/services/a/x", "");
    client.create("/services/b/x", "");
    let yaml = format!(
        "group_wait: 0\n/services/a: {{children: 1, {MAIL}}}\n/services/b: {{children: 1, {MAIL}}}\n"
    );
    let daemon = Daemon::with(space.address(), &yaml).smtp(sink.port()).start();
    daemon.wait_until_it_leads();
    client.delete("/services/a/x");
    sink.wait_for(1);

    let made = run(["-z", space.address(), "--silence", "/services/*", "--for", "1h", "--comment", "moving"]);
    assert_eq!(made.code, Some(0), "{}", made.stderr);
    let id = made.stdout.split(':').next().unwrap().to_owned();
    daemon
        .wait_until("the silence", |status| status["silences"].as_array().is_some_and(|all| all.len() == 1));
    assert!(made.stderr.is_empty() && made.stdout.contains(" by "), "{made:?}");
    let listed = run(["-z", space.address(), "--silences"]);
    assert!(listed.stdout.starts_with("ID\tUNTIL\tPATH\tBY\tCOMMENT\n"), "{}", listed.stdout);
    assert!(listed.stdout.contains(&id) && listed.stdout.contains("moving"), "{}", listed.stdout);
    let foreign = "/zk_monitor/zkmonitor/silences/foreign";
    client.create(foreign, "no silence");
    let left_out = run(["-z", space.address(), "--silences"]);
    assert_eq!((left_out.code, &left_out.stdout), (Some(0), &listed.stdout));
    assert!(left_out.stderr.contains(foreign), "what is left out is said: {}", left_out.stderr);
    client.delete(foreign);

    let typo = run(["-z", space.address(), "--silence", "/service/*", "--for", "1h"]);
    assert!(typo.code == Some(0) && typo.stderr.contains("is it misspelt?"), "{typo:?}");
    let nowhere = run(["-z", space.address(), "-c", "typo", "--silence", "/services/*", "--for", "1h"]);
    assert_eq!(nowhere.code, Some(1), "{nowhere:?}");
    assert!(
        nowhere
            .stderr
            .contains("there is no cluster /zk_monitor/typo: those under /zk_monitor are zkmonitor")
    );
    assert!(!client.children("/zk_monitor").iter().any(|names| names.contains(&"typo".to_owned())));

    // The recovery of what was sent is told; the new alert is not.
    client.delete("/services/b/x");
    daemon.wait_for("/services/b", "Found children (0) less than minimum (1)");
    client.create("/services/a/x", "");
    sink.wait_for(2);
    throughout(Duration::from_secs(1), "silent", || sink.mails().len() == 2);
    assert_eq!(subjects(&sink)[1], "OK: /services/a is in spec again");

    let ended = run(["-z", space.address(), "--unsilence", &id]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert_eq!(sink.wait_for(3)[2].subject(), "Warning! /services/b has an alert!");
    let unknown = run(["-z", space.address(), "--unsilence", &id]);
    assert_eq!(unknown.code, Some(1));
    assert!(unknown.stderr.contains(&id), "{}", unknown.stderr);
}

#[test]
fn a_glob_over_ten_thousand_znodes_ends_right() {
    let space = shared();
    let daemon = Daemon::start(space.address(), "/burst/*: {children: 1}\n");
    let script = r#"
zk.ensure_path('/burst')
made = [zk.create_async('/burst/n%05d' % n) for n in range(10000)]
[one.get(60) for one in made]
made = [zk.create_async('/burst/n%05d/x' % n) for n in range(0, 10000, 2)]
[one.get(60) for one in made]
"#;
    kazoo(space.address(), script);
    let totals = |status: &Value| {
        let totals = &status["monitor"]["totals"];
        (
            totals["ok"].as_u64().unwrap(),
            totals["error"].as_u64().unwrap(),
            totals["unknown"].as_u64().unwrap(),
        )
    };
    daemon.wait_until("half in spec", |status| totals(status) == (5_000, 5_000, 0));
    let status = daemon.status();
    let compliance = status["monitor"]["compliance"].as_object().unwrap();
    for (n, (path, state)) in compliance.iter().enumerate() {
        assert_eq!(path, &format!("/burst/n{n:05}"));
        assert_eq!(*state == json!(true), n % 2 == 0, "{path}: {state}");
    }
    assert_eq!(status["monitor"]["globs"]["/burst/*"], 10_000);

    let script = r#"
gone = [zk.delete_async('/burst/n%05d/x' % n) for n in range(0, 10000, 2)]
[one.get(60) for one in gone]
gone = [zk.delete_async('/burst/n%05d' % n) for n in range(10000)]
[one.get(60) for one in gone]
"#;
    kazoo(space.address(), script);
    let all_gone = |status: &Value| {
        let compliance = status["monitor"]["compliance"].as_object().unwrap();
        compliance
            .values()
            .all(|state| state.as_str().is_some_and(|words| words.ends_with("path does not exist")))
    };
    let status = daemon.wait_until("all vanished", all_gone);
    assert_eq!(totals(&status), (0, 10_000, 0), "vanished matches stay in error");
}

/// Three teams' files: one is broken, one changed, one removed, in one reload.
#[test]
fn one_teams_mistake_stops_no_other_team() {
    let (space, sink) = (shared(), SmtpSink::start());
    let mut client = space.client();
    for path in ["/a", "/b1", "/b2/x", "/c"] {
        client.create(path, "");
    }
    let rule = |path: &str| format!("{path}: {{children: 1, {MAIL}}}\n");
    let builder = Daemon::with(space.address(), "group_wait: 0\n").smtp(sink.port());
    let folder = builder.folder().join("conf.d");
    let write = |name: &str, text: &str| std::fs::write(folder.join(name), text).unwrap();
    std::fs::create_dir(&folder).unwrap();
    write("a.yaml", &rule("/a"));
    write("b.yaml", &rule("/b1"));
    write("c.yaml", &rule("/c"));
    let mut daemon = builder.start();
    daemon.wait_until_it_leads();
    eventually(SOON, "alerts of all", || {
        let bodies: String = sink.mails().iter().map(|mail| mail.body.clone()).collect();
        ["/a", "/b1", "/c"].iter().all(|path| bodies.contains(path)).then_some(()).ok_or(bodies)
    });
    let before = loaded(&daemon).0;
    write("a.yaml", "/a: {childen: 2}\n");
    write("b.yaml", &rule("/b2"));
    std::fs::remove_file(folder.join("c.yaml")).unwrap();
    daemon.signal(Signal::HUP);
    eventually(SOON, "the new configuration in force", || loaded(&daemon).0 != before);
    daemon.wait_for("/b2", true);
    let compliance = daemon.status()["monitor"]["compliance"].clone();
    assert_eq!(compliance["/a"], "Found children (0) less than minimum (1)");
    assert_eq!((&compliance["/b1"], &compliance["/c"]), (&Value::Null, &Value::Null));
    let reason = "/conf.d/a.yaml:1:6: /a/childen: a rule has no such key (did you mean `children`?)";
    let error = daemon.status()["config"]["error"].clone();
    assert!(error.as_str().is_some_and(|error| error.ends_with(reason)), "{error}");
    assert!(daemon.log_contains(reason) && daemon.log_contains("what they said before stays in force"));
    // What the broken file said last is still kept: its incident goes on, and ends.
    client.create("/a/x", "");
    eventually(SOON, "the recovery", || subjects(&sink).contains(&"OK: /a is in spec again".to_owned()));
    write("a.yaml", &rule("/a2"));
    daemon.signal(Signal::HUP);
    daemon.wait_for("/a2", "Found children (0) less than minimum (1): path does not exist");
    assert_eq!(daemon.status()["config"]["error"], Value::Null);
}
