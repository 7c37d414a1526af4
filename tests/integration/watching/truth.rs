//! What is shown is what there is, whatever the watches say.

use std::time::Duration;

use crate::common::{
    Access, Answer, Client, Daemon, HttpSink, SOON, SmtpSink, Space, ZooKeeper, eventually, kazoo, shared,
    throughout,
};

/// The period of verification in these tests.
const REREAD: [&str; 2] = ["--reread", "2s"];
const MAIL: &str = "alerter: {email: you@home.com}";
const SHUT: &str = "Unknown: not authorised to read this path";
const FEW: &str = "Found children (0) less than minimum (1)";

/// A client that may do what nobody else may.
fn owner(space: &Space) -> Client {
    let mut owner = space.client();
    owner.authenticate("owner:secret");
    owner
}

fn metric(daemon: &Daemon, name: &str) -> f64 {
    let body = daemon.get("/metrics").body;
    let line =
        body.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("no {name}: {body}"));
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

#[test]
fn a_path_that_may_not_be_read_for_a_while_is_unknown_and_then_judged_and_told() {
    let (space, sink) = (shared(), SmtpSink::start());
    let mut owner = owner(&space);
    owner.create("/p/c", "");
    let daemon = Daemon::with(space.address(), &format!("/p: {{children: 1, {MAIL}}}\n"))
        .args(REREAD)
        .smtp(sink.port())
        .start();
    daemon.wait_for("/p", true);
    owner.allow("/p", Access::Creator);
    owner.delete("/p/c");
    daemon.wait_for("/p", SHUT);
    owner.allow("/p", Access::Open);
    daemon.wait_for("/p", FEW);
    assert_eq!(sink.wait_for(1)[0].subject(), "Warning! /p has an alert!");
    // The watch is set again: what follows is told at once, and not by the next verification.
    owner.create("/p/c", "");
    daemon.wait_for("/p", true);
    assert!(sink.wait_for(2)[1].body.contains("in spec"));
}

#[test]
fn what_changed_while_nobody_might_look_is_found_said_and_counted() {
    let space = shared();
    let mut owner = owner(&space);
    owner.create("/p/c", "");
    // Longer than it takes to shut the path, to change it and to open it again.
    let daemon = Daemon::with(space.address(), "/p: {children: 1}\n").args(["--reread", "5s"]).start();
    daemon.wait_for("/p", true);
    assert_eq!(metric(&daemon, "zk_monitor_missed_changes_total"), 0.0);
    owner.allow("/p", Access::Creator);
    owner.delete("/p/c");
    owner.allow("/p", Access::Open);
    daemon.wait_for("/p", FEW);
    eventually(SOON, "the change that was missed, in log and metrics", || {
        daemon.log().iter().any(|line| line.contains("/p: changed, and no event told of it"))
            && metric(&daemon, "zk_monitor_missed_changes_total") >= 1.0
    });
    let oldest = || daemon.status()["monitor"]["oldest_reading"].as_u64();
    eventually(SOON, "the age of the oldest reading", || oldest().is_some_and(|age| age <= 6));
    throughout(Duration::from_secs(1), "young readings", || oldest().is_some_and(|age| age <= 6));
}

#[test]
fn who_takes_over_tells_no_end_by_a_reading_that_is_out_of_date() {
    let (space, sink) = (shared(), SmtpSink::start());
    let mut owner = owner(&space);
    owner.create("/p/c", "");
    let yaml = format!("/p: {{children: 1, {MAIL}}}\n");
    let mut first = Daemon::with(space.address(), &yaml).args(REREAD).smtp(sink.port()).start();
    first.wait_until_it_leads();
    // It reads again by itself only after minutes.
    let second = Daemon::with(space.address(), &yaml).smtp(sink.port()).start();
    second.wait_for("/p", true);
    second.wait_until("follower", |status| status["zookeeper"]["connected"] == true);
    owner.allow("/p", Access::Creator);
    owner.delete("/p/c");
    owner.allow("/p", Access::Open);
    first.wait_for("/p", FEW);
    sink.wait_for(1);
    first.stop();
    second.wait_until_it_leads();
    second.wait_for("/p", FEW);
    owner.create("/p/c", "");
    second.wait_for("/p", true);
    let mails = sink.wait_for(2);
    assert!(mails[1].body.contains("in spec"), "{mails:?}");
}

#[test]
fn znodes_that_are_deleted_and_made_again_at_once_are_seen_as_they_are() {
    let space = shared();
    let mut client = space.client();
    for n in 0..20 {
        client.create(&format!("/g/{n}"), "");
        client.create(&format!("/dd/{n}/x"), "");
    }
    let daemon = Daemon::start(space.address(), "/g/*: {children: 0}\n/dd/*/*: {children: 0}\n");
    for round in 0..30 {
        for n in 0..20 {
            client.delete(&format!("/g/{n}"));
            client.create(&format!("/g/{n}"), "");
        }
        if round % 10 == 0 {
            kazoo(
                space.address(),
                "for n in range(20):\n    t = zk.transaction()\n    p = '/dd/%d' % n\n    t.delete(p + '/x')\n    \
                 t.delete(p)\n    t.create(p)\n    t.create(p + '/x')\n    assert t.commit()[3] == p + '/x'",
            );
        }
    }
    eventually(Duration::from_secs(4), "all as they are", || {
        let status = daemon.status();
        let compliance = status["monitor"]["compliance"].as_object().unwrap();
        compliance.len() == 40 && compliance.values().all(|value| *value == true)
    });
}

#[test]
fn levels_that_come_one_by_one_are_seen_in_any_order() {
    let space = shared();
    let mut client = space.client();
    client.create("/services/s1/instances/a", "");
    client.create("/mark", "");
    let daemon = Daemon::start(
        space.address(),
        "/services/*/instances: {children: 1}\n/mark: {data: {matches: \".\"}, children: 0}\n",
    );
    daemon.wait_for("/services/s1/instances", true);
    // What was changed before the mark has been seen once the mark has: its event comes behind the others.
    let mut rounds = 0;
    let mut settle = |client: &mut Client| {
        rounds += 1;
        client.set("/mark", if rounds % 2 == 1 { "x" } else { "" });
        eventually(SOON, "seen mark", || (daemon.compliance("/mark") == true) == (rounds % 2 == 1));
    };
    client.delete_recursive("/services/s1/instances");
    daemon.wait_for("/services/s1/instances", &format!("{FEW}: path does not exist")[..]);
    settle(&mut client);
    client.create("/services/s1/instances", "");
    daemon.wait_for("/services/s1/instances", FEW);
    settle(&mut client);
    client.create("/services/s1/instances/a", "");
    daemon.wait_for("/services/s1/instances", true);

    client.create("/services/s9", "");
    settle(&mut client);
    client.create("/services/s9/instances", "");
    daemon.wait_for("/services/s9/instances", FEW);
    client.delete_recursive("/services");
    daemon.wait_for("/services/s9/instances", &format!("{FEW}: path does not exist")[..]);
    settle(&mut client);
    client.create("/services", "");
    settle(&mut client);
    client.create("/services/s9", "");
    settle(&mut client);
    client.create("/services/s9/instances/b", "");
    daemon.wait_for("/services/s9/instances", true);
}

#[test]
fn no_set_of_rules_keeps_a_leader_from_sending() {
    let check = |yaml: &str, nodes: Vec<String>| {
        let (space, sink) = (shared(), SmtpSink::start());
        let mut client = space.client();
        client.create("/s", "");
        client.create_many(&nodes);
        let yaml = format!("/x: {{children: 1, {MAIL}}}\n{yaml}");
        let daemon = Daemon::with(space.address(), &yaml).smtp(sink.port()).start();
        daemon.wait_until_it_leads();
        assert_eq!(sink.wait_for(1)[0].subject(), "Warning! /x has an alert!");
    };
    let globs = "/s/*-prod: {exists: true}\n/s/*/*: {children: 0}\n";
    let nodes = (0..700).flat_map(|n| [format!("/s/{n}-prod"), format!("/s/{n}-prod/x")]);
    check(globs, nodes.collect());
    let data = "/s/*: {data: {matches: \"^$\"}}\n/s/*/x: {children: 0}\n";
    check(data, (0..3_000).map(|n| format!("/s/{n}")).collect());
}

#[test]
fn a_reload_that_gives_a_path_another_rule_keeps_what_is_pending() {
    let (space, sink) = (shared(), SmtpSink::start());
    space.client().create("/g/a", "");
    let rule = |path: &str| format!("{path}: {{children: 1, cancel_timeout: 3s, {MAIL}}}\n");
    let mut daemon = Daemon::with(space.address(), &rule("/g/*")).smtp(sink.port()).start();
    daemon.wait_until("pending alert", |status| status["monitor"]["paths"]["/g/a"]["alert"] == "pending");
    daemon.reload(&(rule("/g/*") + &rule("/g/a")));
    assert_eq!(sink.wait_for(1)[0].subject(), "Warning! /g/a has an alert!");
}

#[test]
fn a_reload_that_gives_a_path_another_rule_keeps_what_is_owed() {
    let (space, sink) = (shared(), HttpSink::start());
    space.client().create("/m/web-1", "");
    sink.answer("/hook", Answer::status(503));
    let rule = |path: &str| {
        format!("{path}: {{children: 1, alerter: {{webhook: {{url: \"{}\"}}}}}}\n", sink.url("/hook"))
    };
    let mut daemon = Daemon::start(space.address(), &rule("/m/*"));
    sink.wait_for("/hook", 1);
    let before = daemon.status()["config"]["digest"].clone();
    daemon.reload(&rule("/m/web-*"));
    daemon.wait_until("new rules", |status| status["config"]["digest"] != before);
    sink.answer("/hook", Answer::status(200));
    eventually(SOON, "delivered alert", || {
        let status = daemon.status();
        status["receivers"].as_object().unwrap().values().any(|receiver| receiver["sent"] == 1)
    });
}

#[test]
fn short_lived_matches_of_which_nothing_is_asked_are_forgotten() {
    let space = shared();
    let mut client = space.client();
    client.create("/locks", "");
    let daemon = Daemon::start(space.address(), "/locks/*: {}\n");
    for round in 0..10 {
        let nodes: Vec<String> = (0..400).map(|n| format!("/locks/{round}-{n}")).collect();
        client.create_many(&nodes);
        client.delete_many(&nodes);
    }
    client.create("/locks/last", "");
    daemon.wait_for("/locks/last", true);
    eventually(SOON, "nothing else", || {
        daemon.status()["monitor"]["compliance"].as_object().unwrap().len() == 1
    });
}

#[test]
fn a_glob_whose_place_may_not_be_listed_is_unknown_and_not_ready() {
    let space = shared();
    let mut owner = owner(&space);
    owner.create("/shut/a", "");
    owner.allow("/shut", Access::Creator);
    let daemon = Daemon::with(space.address(), "/shut/*: {exists: true}\n").args(REREAD).start();
    daemon.wait_until("unknown glob", |status| {
        status["monitor"]["globs"]["/shut/*"]
            == "Unknown: /shut cannot be listed: not authorised to read this path"
    });
    assert_eq!(daemon.get("/-/ready").status, 503);
    owner.allow("/shut", Access::Open);
    daemon.wait_for("/shut/a", true);
    daemon.wait_until_ready();
    assert_eq!(daemon.status()["monitor"]["globs"]["/shut/*"], 1);
}

#[test]
fn a_znode_that_is_called_like_a_glob_is_shown_and_judged() {
    let space = shared();
    let mut client = space.client();
    client.create("/st/*/x", "");
    client.create("/st/b", "");
    let daemon = Daemon::start(space.address(), "/st/*: {children: 1}\n");
    daemon.wait_for("/st/*", true);
    daemon.wait_for("/st/b", FEW);
    let status = daemon.status();
    assert_eq!(status["monitor"]["compliance"].as_object().unwrap().len(), 2);
    assert_eq!(status["monitor"]["globs"]["/st/*"], 2);
    client.delete("/st/*/x");
    daemon.wait_for("/st/*", FEW);
}

#[test]
fn a_name_that_is_too_long_is_unknown_and_harms_nobody() {
    let (space, sink) = (shared(), SmtpSink::start());
    let mut client = space.client();
    let long = format!("/n/{}", "x".repeat(300_000));
    client.create(&long, "");
    client.create("/n/short", "");
    let yaml = format!("/n/*: {{children: 1, {MAIL}}}\n");
    let daemon = Daemon::with(space.address(), &yaml).smtp(sink.port()).start();
    daemon.wait_for("/n/short", FEW);
    daemon.wait_until("unknown path", |status| {
        let shown = status["monitor"]["compliance"][&long].as_str().unwrap_or("");
        shown.starts_with("Unknown: name too long")
    });
    assert_eq!(sink.wait_for(1)[0].subject(), "Warning! /n/short has an alert!");
    client.delete(&long);
    daemon.wait_until("forgotten path", |status| status["monitor"]["compliance"].get(&long).is_none());
    assert_eq!(metric(&daemon, "zk_monitor_zookeeper_sessions_total"), 1.0);
}

#[test]
fn a_quota_that_is_exceeded_ends_no_session() {
    let server = ZooKeeper::with(&["enforceQuota=true"], &["-Dzookeeper.enforceQuota=true"]);
    let mut client = server.client();
    // The limit counts the znode itself: nothing may be made below.
    client.create("/zk_monitor", "");
    let limit = "/zookeeper/quota/zk_monitor/zookeeper_limits";
    client.create("/zookeeper/quota/zk_monitor", "");
    client.create(limit, "count=-1,bytes=-1=;byteHardLimit=-1;countHardLimit=1");
    client.create("/zookeeper/quota/zk_monitor/zookeeper_stats", "count=1,bytes=0");
    let daemon = Daemon::start(&server.address(), "/a: {children: 0}\n");
    daemon.wait_until("refused by the quota", |status| {
        status["cluster"]["problem"].as_str().is_some_and(|problem| problem.contains("quota"))
    });
    assert_eq!(daemon.compliance("/a"), true);
    client.delete("/zookeeper/quota/zk_monitor/zookeeper_stats");
    client.delete(limit);
    client.delete("/zookeeper/quota/zk_monitor");
    daemon.wait_until_it_leads();
    assert_eq!(metric(&daemon, "zk_monitor_zookeeper_sessions_total"), 1.0);
}

#[test]
fn a_thousand_globs_are_no_burden() {
    let (space, sink) = (shared(), SmtpSink::start());
    let mut client = space.client();
    client.create("/s", "");
    let service = |n: usize| format!("/s/service{n}");
    client.create_many(&(0..1_000).map(service).collect::<Vec<_>>());
    let matches = (0..1_000).flat_map(|n| (0..20).map(move |m| format!("{}/{m}", service(n))));
    client.create_many(&matches.collect::<Vec<_>>());
    let mut yaml = format!("/x: {{children: 1, {MAIL}}}\n");
    for n in 0..1_000 {
        yaml.push_str(&format!("{}/*: {{children: 0}}\n", service(n)));
    }
    let daemon = Daemon::with(space.address(), &yaml).smtp(sink.port()).start();
    daemon.wait_until_it_leads();
    assert_eq!(sink.wait_for(1)[0].subject(), "Warning! /x has an alert!");
    assert_eq!(metric(&daemon, "zk_monitor_zookeeper_sessions_total"), 1.0);
}
