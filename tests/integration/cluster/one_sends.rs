//! Several agents: one of them sends.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::common::{
    Access, Client, Daemon, Mode, SOON, SmtpSink, Space, eventually, kazoo, shared, throughout,
};

const YAML: &str = "/services/foo: {children: 1, alerter: {email: you@home.com}}\n";
const LOCK: &str = "/zk_monitor/zkmonitor/locks/alerter";

fn leads(daemon: &Daemon) -> bool {
    daemon.status()["monitor"]["alerter"]["alerting"] == true
}

/// Two agents with the first in the lead.
fn two(space: &Space, sink: &SmtpSink) -> (Daemon, Daemon) {
    space.client().create("/services/foo/a", "");
    let start = || Daemon::with(space.address(), YAML).smtp(sink.port()).start();
    let first = start();
    first.wait_until_it_leads();
    let second = start();
    second.wait_until_ready();
    space.wait_for_children(LOCK, 2);
    (first, second)
}

fn break_and_mend(client: &mut Client, sink: &SmtpSink, mails_before: usize) {
    client.delete("/services/foo/a");
    sink.wait_for(mails_before + 1);
    client.create("/services/foo/a", "");
    sink.wait_for(mails_before + 2);
}

#[test]
fn one_sends_and_another_takes_over_when_it_is_killed() {
    let (space, sink) = (shared(), SmtpSink::start());
    let (mut first, second) = two(&space, &sink);
    let mut client = space.client();
    second.wait_until("the leader's name", |status| status["cluster"]["leader"].is_string());
    break_and_mend(&mut client, &sink, 0);
    assert!(!leads(&second));
    // One agent says aloud what all of them see, and the others which that is.
    let agent = |daemon: &Daemon| daemon.status()["cluster"]["agent"].as_str().unwrap().to_owned();
    let (leader, said) = (agent(&first), |daemon: &Daemon, words: &str| daemon.wait_for_log(words));
    said(&first, "(WARN) /services/foo: Found children (0)");
    said(&second, &format!("(INFO) /services/foo: now in spec; {leader} sends the recovery"));
    assert!(!second.log_contains("(WARN) /services/foo"), "{:?}", second.log());
    space.wait_for_children("/zk_monitor/zkmonitor/alerts", 0);
    first.kill();
    let killed = Instant::now();
    second.wait_until_it_leads();
    // The session of four seconds, a tick of half a second, one second, and the slowness of this machine.
    assert!(killed.elapsed() < Duration::from_secs(4 + 1 + 1 + 2), "{:?}", killed.elapsed());
    said(&second, &format!("{leader}, which led, is gone; {} is first in line", agent(&second)));
    break_and_mend(&mut client, &sink, 2);
    throughout(Duration::from_secs(2), "told once", || sink.mails().len() == 4);
}

#[test]
fn a_planned_end_hands_over_at_once() {
    let (space, sink) = (shared(), SmtpSink::start());
    let (mut first, second) = two(&space, &sink);
    let start = Instant::now();
    assert_eq!(first.stop(), Some(0));
    second.wait_until_it_leads();
    assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
    throughout(Duration::from_secs(1), "silent", || sink.mails().is_empty());
}

#[test]
fn an_incident_is_ended_by_whoever_leads_then() {
    let (space, sink) = (shared(), SmtpSink::start());
    let (mut first, second) = two(&space, &sink);
    let mut client = space.client();
    client.delete("/services/foo/a");
    let alert = sink.wait_for(1).remove(0);
    space.wait_until_noted(1);
    first.kill();
    second.wait_until_it_leads();
    throughout(Duration::from_secs(1), "not told again", || sink.mails().len() == 1);
    client.create("/services/foo/a", "");
    let recovery = sink.wait_for(2).remove(1);
    assert_eq!(recovery.header("In-Reply-To"), alert.header("Message-ID"));
    space.wait_for_children("/zk_monitor/zkmonitor/alerts", 0);
}

#[test]
fn kazoo_sees_the_agents_in_line_and_can_silence_them() {
    let (space, sink) = (shared(), SmtpSink::start());
    let (mut first, second) = two(&space, &sink);
    let seen = kazoo(space.address(), &format!("print(*zk.Lock('{LOCK}').contenders())"));
    let agents: Vec<&str> = seen.split_whitespace().collect();
    let name = |daemon: &Daemon| daemon.status()["cluster"]["agent"].clone();
    assert_eq!(agents, [name(&first), name(&second)].map(|name| name.as_str().unwrap().to_owned()));
    assert!(agents[0].ends_with(&format!("-{}", first.pid())), "{agents:?}");

    // A lock node that is not an agent's, next in line behind both.
    let mut kazoo_like = space.client();
    let node = format!("{LOCK}/0123456789abcdef0123456789abcdef__lock__");
    kazoo_like.create_as(&node, "operator", Mode::EphemeralSequential, Access::Open);
    first.stop();
    second.wait_until_it_leads();
    let mut third = Daemon::with(space.address(), YAML).smtp(sink.port()).start();
    third.wait_until_ready();
    drop(second);
    eventually(SOON, "end of the second agent's session", || {
        (space.client().children(LOCK).unwrap_or_default().len() == 2).then_some(())
    });
    space.client().delete("/services/foo/a");
    third.wait_for("/services/foo", "Found children (0) less than minimum (1)");
    throughout(Duration::from_secs(2), "silent", || sink.mails().is_empty() && !leads(&third));
    drop(kazoo_like);
    sink.wait_for(1);
    assert_eq!(third.stop(), Some(0));
}

#[test]
fn an_agent_that_may_not_write_watches_and_says_why() {
    let space = shared();
    space.client().create("/services/foo/a", "");
    space.client().create_as("/zk_monitor", "", Mode::Persistent, Access::ReadOnly);
    let daemon = Daemon::start(space.address(), YAML);
    assert_eq!(daemon.compliance("/services/foo"), true);
    daemon.wait_until("reason", |status| {
        status["cluster"]["problem"].as_str().is_some_and(|why| !why.is_empty())
    });
    assert_eq!(daemon.status()["monitor"]["alerter"]["alerting"], Value::Bool(false));
}
