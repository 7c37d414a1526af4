//! Agents that may not, or cannot, do all they want, and hands that meddle with their znodes.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::common::{Access, Daemon, Mode, SOON, SmtpSink, Space, eventually, kazoo, shared, throughout};

const YAML: &str = "/services/foo: {children: 1, alerter: {email: you@home.com}}\n";
const CLUSTER: &str = "/zk_monitor/zkmonitor";
const LOCK: &str = "/zk_monitor/zkmonitor/locks/alerter";
const ENTRY: &str = "/zk_monitor/zkmonitor/alerts/%2Fservices%2Ffoo";
/// What could not be done is tried again after ten seconds.
const AGAIN: Duration = Duration::from_secs(10 + 10);

fn start(space: &Space, sink: &SmtpSink) -> Daemon {
    let daemon = Daemon::with(space.address(), YAML).smtp(sink.port()).start();
    daemon.wait_until_ready();
    daemon
}

fn leads(daemon: &Daemon) -> bool {
    daemon.status()["monitor"]["alerter"]["alerting"] == true
}

fn problem(daemon: &Daemon) -> String {
    daemon.status()["cluster"]["problem"].as_str().unwrap_or_default().to_owned()
}

fn wait_for_problem(daemon: &Daemon, wanted: impl Fn(&str) -> bool) -> String {
    eventually(AGAIN, "problem in /status", || {
        let problem = problem(daemon);
        if wanted(&problem) { Ok(problem) } else { Err(problem) }
    })
}

fn agents(daemon: &Daemon) -> Vec<String> {
    let status = daemon.status();
    let agents = status["cluster"]["agents"].as_array().cloned().unwrap_or_default();
    let name = |agent: &Value| agent["name"].as_str().or(agent.as_str()).unwrap().to_owned();
    agents.iter().map(name).collect()
}

/// An alert and its recovery, each once.
fn works(space: &Space, sink: &SmtpSink) {
    let before = sink.mails().len();
    space.client().delete("/services/foo/a");
    sink.wait_for(before + 1);
    space.client().create("/services/foo/a", "");
    sink.wait_for(before + 2);
    space.wait_for_children("/zk_monitor/zkmonitor/alerts", 0);
}

#[test]
fn an_agent_without_write_access_watches_and_says_why_once() {
    let (space, sink) = (shared(), SmtpSink::start());
    let mut client = space.client();
    client.create_as("/zk_monitor", "", Mode::Persistent, Access::ReadOnly);
    client.create("/services/foo", "");
    let daemon = start(&space, &sink);
    let why = wait_for_problem(&daemon, |why| !why.is_empty());
    assert!(why.contains("cannot create /zk_monitor/zkmonitor: NoAuth"), "{why}");
    daemon.wait_for_log("cannot create /zk_monitor/zkmonitor: NoAuth");
    assert_eq!(daemon.compliance("/services/foo"), "Found children (0) less than minimum (1)");
    throughout(Duration::from_secs(2), "silent", || sink.mails().is_empty() && !leads(&daemon));
    assert_eq!(daemon.log().iter().filter(|line| line.contains("NoAuth")).count(), 1);
}

#[test]
fn access_that_is_mended_is_used() {
    let (space, sink) = (shared(), SmtpSink::start());
    let mut client = space.client();
    client.authenticate("admin:secret");
    client.create("/services/foo", "");
    client.create("/zk_monitor", "");
    client.allow("/zk_monitor", Access::Creator);
    let daemon = start(&space, &sink);
    wait_for_problem(&daemon, |why| why.contains("NoAuth"));
    client.allow("/zk_monitor", Access::Open);
    sink.wait_for(1);
    wait_for_problem(&daemon, str::is_empty);
    assert!(leads(&daemon));
}

#[test]
fn an_agent_that_cannot_read_the_ledger_makes_way_for_one_that_can() {
    let (space, sink) = (shared(), SmtpSink::start());
    let mut client = space.client();
    client.authenticate("admin:secret");
    client.create("/services/foo/a", "");
    client.create("/zk_monitor/zkmonitor/alerts", "");
    client.allow("/zk_monitor/zkmonitor/alerts", Access::Creator);
    let stranger = start(&space, &sink);
    wait_for_problem(&stranger, |why| why.contains("NoAuth"));
    let admin = Daemon::with(space.address(), YAML).smtp(sink.port());
    let admin = admin.args(["--zookeeper_user", "admin", "--zookeeper_pass", "secret"]).start();
    admin.wait_until_it_leads();
    works(&space, &sink);
    assert!(!leads(&stranger));
}

#[test]
fn different_configurations_are_told() {
    let (space, sink) = (shared(), SmtpSink::start());
    space.client().create("/services/foo/a", "");
    let first = start(&space, &sink);
    let other = format!("{YAML}/services/bar: {{children: 0}}\n");
    let mut second = Daemon::with(space.address(), &other).start();
    let name = |daemon: &Daemon| daemon.status()["cluster"]["agent"].as_str().unwrap().to_owned();
    for (daemon, other) in [(&first, &second), (&second, &first)] {
        let why = wait_for_problem(daemon, |why| !why.is_empty());
        assert_eq!(why, format!("the configuration differs from that of {}", name(other)));
    }
    second.reload(YAML);
    wait_for_problem(&second, str::is_empty);
    wait_for_problem(&first, str::is_empty);
    works(&space, &sink);
}

#[test]
fn agents_that_start_together_do_not_complain_of_each_other() {
    let (space, sink) = (shared(), SmtpSink::start());
    space.client().create("/services/foo/a", "");
    let first = start(&space, &sink);
    let second = start(&space, &sink);
    eventually(SOON, "both agents", || agents(&first).len() == 2 && agents(&second).len() == 2);
    for daemon in [&first, &second] {
        let warnings: Vec<String> = daemon
            .log()
            .into_iter()
            .filter(|line| line.contains("(WARN)") || line.contains("(ERROR)"))
            .collect();
        assert!(warnings.iter().all(|line| line.contains("sends the alerts now")), "{warnings:?}");
    }
}

#[test]
fn a_lock_or_agent_znode_removed_by_hand_is_made_again() {
    let (space, sink) = (shared(), SmtpSink::start());
    let mut client = space.client();
    client.create("/services/foo/a", "");
    let first = start(&space, &sink);
    first.wait_until_it_leads();
    let second = start(&space, &sink);
    let line = space.wait_for_children(LOCK, 2);
    let mut by_number = line.clone();
    by_number.sort_by_key(|name| name.rsplit("__").next().unwrap().to_owned());
    client.delete(&format!("{LOCK}/{}", by_number[0]));
    second.wait_until_it_leads();
    eventually(SOON, "one leader", || !leads(&first) && leads(&second));
    space.wait_for_children(LOCK, 2);
    works(&space, &sink);
    for znode in space.wait_for_children("/zk_monitor/zkmonitor/agents", 2) {
        client.delete(&format!("{CLUSTER}/agents/{znode}"));
    }
    space.wait_for_children("/zk_monitor/zkmonitor/agents", 2);
    // For longer than a lease without an acknowledged write lasts.
    throughout(Duration::from_secs(4), "leading", || leads(&second));
    works(&space, &sink);
}

#[test]
fn a_cluster_removed_by_hand_is_made_again() {
    let (space, sink) = (shared(), SmtpSink::start());
    space.client().create("/services/foo/a", "");
    let first = start(&space, &sink);
    first.wait_until_it_leads();
    let second = start(&space, &sink);
    space.wait_for_children(LOCK, 2);
    space.client().delete_recursive("/zk_monitor/zkmonitor/alerts");
    space.client().delete("/services/foo/a");
    sink.wait_for(1);
    space.client().create("/services/foo/a", "");
    sink.wait_for(2);
    // All at once: the agents are quick to make again what is missing.
    let script = "def remove(path):\n    \
                  for name in zk.get_children(path):\n        remove(path + '/' + name)\n    \
                  everything.delete(path)\n\
                  everything = zk.transaction()\nremove('/zk_monitor')\nprint(everything.commit())";
    let results = kazoo(space.address(), script);
    assert!(results.contains("True") && !results.contains("Error"), "{results}");
    space.wait_for_children(LOCK, 2);
    eventually(AGAIN, "leader", || leads(&first) || leads(&second));
    works(&space, &sink);
    assert!(first.log().len() + second.log().len() < 500, "too many words");
}

#[test]
fn an_entry_that_may_not_be_written_makes_an_agent_step_aside() {
    let (space, sink) = (shared(), SmtpSink::start());
    space.client().create("/services/foo/a", "");
    let admin = |space: &Space| {
        let admin = Daemon::with(space.address(), YAML).smtp(sink.port());
        admin.args(["--zookeeper_user", "admin", "--zookeeper_pass", "secret"]).start()
    };
    // The cluster's places are everybody's, and the entry is the admin's.
    let mut opener = start(&space, &sink);
    opener.wait_until_it_leads();
    opener.stop();
    let mut first = admin(&space);
    first.wait_until_it_leads();
    space.client().delete("/services/foo/a");
    sink.wait_for(1);
    let second = start(&space, &sink);
    first.stop();
    second.wait_until_it_leads();
    space.client().create("/services/foo/a", "");
    let why = wait_for_problem(&second, |why| !why.is_empty());
    assert!(why.starts_with(&format!("cannot write {ENTRY}: NoAuth")), "{why}");
    space.wait_for_children(LOCK, 0);
    // Longer than until it tries again.
    throughout(Duration::from_secs(12), "aside", || !leads(&second) && problem(&second) == why);
    let lines = second.log().iter().filter(|line| line.contains("%2Fservices%2Ffoo")).count();
    assert_eq!(lines, 1, "{:#?}", second.log());
    let third = admin(&space);
    third.wait_until_it_leads();
    sink.wait_for(2);
    wait_for_problem(&second, str::is_empty);
    space.wait_for_children(LOCK, 2);
}

/// The lease that an entry of the ledger was written under.
fn epoch(space: &Space, entry: &str) -> u64 {
    let entry = space.client().get(entry).expect("an entry");
    serde_json::from_str::<Value>(&entry).unwrap()["epoch"].as_u64().unwrap()
}

#[test]
fn locks_removed_by_hand_do_not_number_the_leases_anew() {
    let (space, sink) = (shared(), SmtpSink::start());
    space.client().create("/services/foo", "");
    space.client().create("/services/bar/a", "");
    let yaml = format!("{YAML}/services/bar: {{children: 1, alerter: {{email: you@home.com}}}}\n");
    let daemon = Daemon::with(space.address(), &yaml).smtp(sink.port()).start();
    sink.wait_for(1);
    let before = epoch(&space, ENTRY);
    space.client().delete_recursive("/zk_monitor/zkmonitor/locks");
    daemon.wait_for_log("does not send the alerts any more");
    eventually(AGAIN, "a place in line", || {
        space.client().children(LOCK).is_some_and(|line| line.len() == 1)
    });
    daemon.wait_until_it_leads();
    space.client().delete("/services/bar/a");
    sink.wait_for(2);
    let after = epoch(&space, "/zk_monitor/zkmonitor/alerts/%2Fservices%2Fbar");
    assert!(after > before, "{after} after {before}");
}

#[test]
fn foreign_and_faulty_znodes_are_lived_with() {
    let (space, sink) = (shared(), SmtpSink::start());
    let mut client = space.client();
    client.create("/services/foo/a", "");
    client.create(ENTRY, "no JSON at all");
    client.create("/zk_monitor/zkmonitor/alerts/%zz", "");
    client.create("/zk_monitor/zkmonitor/alerts/%2Fnot%2Fours", "{\"v\":1}");
    client.create("/zk_monitor/zkmonitor/agents/junk", "\u{1}");
    client.create("/zk_monitor/zkmonitor/silences/junk", "[]");
    client.create(&format!("{LOCK}/junk"), "");
    client.create(&format!("{LOCK}/0__lock__12"), "");
    let daemon = start(&space, &sink);
    daemon.wait_until_it_leads();
    daemon.wait_for_log("/services/foo: its entry in the ledger cannot be read or understood");
    // The path is in spec, so that its entry is of no use.
    eventually(SOON, "removal of the entry", || !space.client().exists(ENTRY));
    client.delete("/services/foo/a");
    sink.wait_for(1);
    client.set(ENTRY, "no JSON any more");
    client.create("/services/foo/a", "");
    sink.wait_for(2);
    eventually(SOON, "removal of the entry", || !space.client().exists(ENTRY));
    throughout(Duration::from_secs(1), "told once", || sink.mails().len() == 2);
}

#[test]
fn znodes_that_shut_readers_out_are_left_out_and_said_once() {
    let (space, sink) = (shared(), SmtpSink::start());
    let mut client = space.client();
    client.authenticate("admin:secret");
    client.create("/services/foo", "");
    let shut =
        ["agents/shut", "silences/shut", "alerts/%2Fservices%2Ffoo"].map(|name| format!("{CLUSTER}/{name}"));
    for znode in &shut {
        client.create(znode, "{}");
        client.allow(znode, Access::Creator);
    }
    let daemon = start(&space, &sink);
    sink.wait_for(1);
    assert_eq!(problem(&daemon), "");
    client.create("/services/foo/a", "");
    sink.wait_for(2);
    space.wait_for_children("/zk_monitor/zkmonitor/alerts", 0);
    // Each is read again with every silence and agent that comes or goes.
    client.create(&format!("{CLUSTER}/silences/junk"), "[]");
    client.create(&format!("{CLUSTER}/agents/junk"), "[]");
    daemon.wait_for_log("/silences/junk: left out: no silence");
    daemon.wait_for_log("/agents/junk: left out: no agent");
    for znode in &shut[..2] {
        let lines = daemon.log().iter().filter(|line| line.contains(znode.as_str())).count();
        assert_eq!(lines, 1, "{:#?}", daemon.log());
    }
    daemon.wait_for_log("/services/foo: its entry in the ledger cannot be read or understood");
}

#[test]
fn who_leads_next_can_read_what_takes_the_place_of_an_entry_that_could_only_be_written() {
    let (space, sink) = (shared(), SmtpSink::start());
    let mut client = space.client();
    client.create("/services/foo", "");
    client.create(ENTRY, "{}");
    client.allow(ENTRY, Access::WriteOnly);
    let mut daemon = start(&space, &sink);
    sink.wait_for(1);
    let is_noted = |entry: String| entry.contains(r#""firing":"sent""#);
    eventually(SOON, "the entry says that it was told", || client.get(ENTRY).is_some_and(is_noted));
    daemon.kill();
    let next = start(&space, &sink);
    next.wait_until_it_leads();
    client.create("/services/foo/a", "");
    sink.wait_for(2);
    let mails = sink.mails();
    assert!(mails[1].body.contains("OK"), "{}", mails[1].raw);
    eventually(SOON, "removal of the entry", || !space.client().exists(ENTRY));
}

#[test]
fn a_silence_is_honoured_that_no_event_has_told_of() {
    let (space, sink) = (shared(), SmtpSink::start());
    let mut client = space.client();
    client.create("/services/foo/a", "");
    let daemon = start(&space, &sink);
    daemon.wait_until_it_leads();
    // The server spends the watch, and sends no event to whoever may not read.
    let silences = format!("{CLUSTER}/silences");
    client.allow(&silences, Access::WriteOnly);
    let silence = r#"{"v":1,"path":"/services/foo","until":4102444800000}"#;
    client.create(&format!("{silences}/s0000000000"), silence);
    client.allow(&silences, Access::Open);
    eventually(AGAIN, "the silence", || daemon.status()["silences"][0]["path"] == "/services/foo");
    client.delete("/services/foo/a");
    daemon.wait_for("/services/foo", "Found children (0) less than minimum (1)");
    throughout(Duration::from_secs(3), "silent", || sink.mails().is_empty());
}

#[test]
fn a_stranger_who_holds_the_lock_is_named() {
    let (space, sink) = (shared(), SmtpSink::start());
    space.client().create("/services/foo/a", "");
    let mut opener = start(&space, &sink);
    opener.wait_until_it_leads();
    opener.stop();
    let mut stranger = space.client();
    let lock = format!("{LOCK}/{}__lock__", "f".repeat(32));
    let lock = stranger.create_as(&lock, "a forgotten box", Mode::EphemeralSequential, Access::Open);
    let daemon = start(&space, &sink);
    let why = wait_for_problem(&daemon, |why| !why.is_empty());
    let name = lock.rsplit('/').next().unwrap();
    assert!(why.contains("(a forgotten box)") && why.contains("since 20") && why.contains(name), "{why}");
    let metric =
        |value| daemon.get("/metrics").body.contains(&format!("\nzk_monitor_foreign_holder {value}\n"));
    assert!(metric(1));
    // It looks again every ten seconds.
    throughout(Duration::from_secs(12), "aside", || !leads(&daemon) && problem(&daemon) == why);
    let warned = |line: &&String| line.contains("(WARN)") && line.contains("a forgotten box");
    assert_eq!(daemon.log().iter().filter(warned).count(), 1);
    drop(stranger);
    daemon.wait_until_it_leads();
    wait_for_problem(&daemon, str::is_empty);
    daemon.wait_for_log("all is well again");
    assert!(metric(0));
}

#[test]
fn a_stranger_whose_lock_node_may_not_be_read_drives_nobody_out_of_line() {
    let (space, sink) = (shared(), SmtpSink::start());
    space.client().create("/services/foo/a", "");
    let mut first = start(&space, &sink);
    first.wait_until_it_leads();
    let mut stranger = space.client();
    stranger.authenticate("stranger:secret");
    let lock = format!("{LOCK}/{}__lock__", "f".repeat(32));
    let lock = stranger.create_as(&lock, "a forgotten box", Mode::EphemeralSequential, Access::Creator);
    let name = lock.rsplit('/').next().unwrap();
    let next = start(&space, &sink);
    next.wait_for_log("is first in line");
    space.wait_for_children(LOCK, 3);
    first.stop();
    let why = wait_for_problem(&next, |why| why.contains("no agent"));
    assert!(why.contains(name), "{why}");
    assert!(next.get("/metrics").body.contains("\nzk_monitor_foreign_holder 1\n"));
    drop(stranger);
    next.wait_until_it_leads();
    wait_for_problem(&next, str::is_empty);
    assert!(!next.log().iter().any(|line| line.contains("left the line")), "{:#?}", next.log());
}

#[test]
fn a_chroot_that_does_not_exist_is_named_and_used_once_it_does() {
    let (space, sink) = (shared(), SmtpSink::start());
    let daemon = Daemon::with(&format!("{}/deep", space.address()), YAML).smtp(sink.port()).start();
    let why = wait_for_problem(&daemon, |why| !why.is_empty());
    assert!(why.contains("chroot"), "{why}");
    space.client().create("/deep/services/foo", "");
    sink.wait_for(1);
    assert!(space.client().exists("/deep/zk_monitor/zkmonitor/locks/alerter"));
}

#[test]
fn clusters_with_different_credentials_share_a_prefix() {
    let (space, sink) = (shared(), SmtpSink::start());
    space.client().create("/services/foo/a", "");
    let agent = |cluster, user| {
        let builder = Daemon::with(space.address(), YAML).smtp(sink.port());
        builder.args(["-c", cluster, "--zookeeper_user", user, "--zookeeper_pass", "secret"]).start()
    };
    let first = agent("first", "alice");
    first.wait_until_it_leads();
    let second = agent("second", "bob");
    second.wait_until_it_leads();
    let intruder = agent("first", "bob");
    wait_for_problem(&intruder, |why| why.contains("NoAuth"));
    let script = "for path in ['', '/first', '/first/agents', '/first/locks/alerter', '/first/alerts']:\n    \
                  print(path, *sorted((a.id.scheme, a.perms) for a in zk.get_acls('/zk_monitor' + path)[0]))\n\
                  for place in ['/first/agents', '/first/locks/alerter']:\n    \
                  print(*sorted((a.id.scheme, a.perms) for n in zk.get_children('/zk_monitor' + place) \
                  for a in zk.get_acls('/zk_monitor' + place + '/' + n)[0]))\n";
    let seen = kazoo(space.address(), script);
    let own = "('digest', 31) ('world', 1)";
    let expected = format!(
        " ('digest', 31) ('world', 1) ('world', 5)\n/first {own}\n/first/agents {own}\n\
         /first/locks/alerter {own}\n/first/alerts {own}\n{own}\n{own}\n"
    );
    assert_eq!(seen, expected);
    space.client().delete("/services/foo/a");
    sink.wait_for(2);
}

#[test]
fn agents_of_one_name_are_told_apart() {
    let (space, sink) = (shared(), SmtpSink::start());
    space.client().create("/services/foo/a", "");
    let start = || Daemon::with(space.address(), YAML).smtp(sink.port()).contained().start();
    let mut first = start();
    first.wait_until_it_leads();
    let name = first.status()["cluster"]["agent"].as_str().unwrap().to_owned();
    assert!(name.ends_with("-1"), "{name}");
    let second = start();
    let both = [name.clone(), format!("{name}-2")];
    eventually(AGAIN, "both agents", || agents(&first) == both && agents(&second) == both);
    // A container that is started anew waits for its predecessor's znode to go, and then has its name.
    first.kill();
    let killed = Instant::now();
    let first = start();
    second.wait_until_it_leads();
    eventually(AGAIN, "both agents again", || agents(&first) == both);
    assert!(killed.elapsed() < Duration::from_secs(4 + 4), "{:?}", killed.elapsed());
    works(&space, &sink);
    let line = format!("Agent:       {name}-2");
    assert!(sink.mails().iter().all(|mail| mail.body.lines().any(|found| found.trim_end() == line)));
}
