//! What happens between the death of the agent that led and the next lease.

use std::time::Duration;

use rustix::process::Signal;

use crate::common::{Daemon, HttpSink, SOON, SmtpSink, Space, eventually, shared, throughout};

const LOCK: &str = "/zk_monitor/zkmonitor/locks/alerter";
const LEDGER: &str = "/zk_monitor/zkmonitor/alerts";
const MISSING: &str = "Found children (0) less than minimum (1)";
/// How many paths are watched, `/services/0` and so on.
const PATHS: usize = 3;

fn path(index: usize) -> String {
    format!("/services/{index}")
}

/// Three agents that watch the same paths and tell both sinks, the first in the lead.
fn three(space: &Space, mail: &SmtpSink, hook: &HttpSink) -> [Daemon; 3] {
    let alerter = format!("{{email: you@home.com, webhook: {{url: \"{}\"}}}}", hook.url("/hook"));
    let mut yaml = format!("group_wait: 0\ndefaults: {{children: 1, alerter: {alerter}}}\n");
    for index in 0..PATHS {
        yaml += &format!("{}: {{}}\n", path(index));
        space.client().create(&format!("{}/a", path(index)), "");
    }
    let mut count = 0;
    let agents = [(); 3].map(|()| {
        let daemon = Daemon::with(space.address(), &yaml).smtp(mail.port()).start();
        daemon.wait_until_ready();
        count += 1;
        space.wait_for_children(LOCK, count);
        daemon
    });
    agents[1..].iter().for_each(wait_until_it_follows);
    agents
}

/// Only from then on it knows what nobody was told of.
fn wait_until_it_follows(agent: &Daemon) {
    let watches = || agent.log_contains("watches which entries the ledger has");
    eventually(SOON, "an agent that watches the ledger", watches);
}

/// Has a path fall out of spec and come back, as these agents see it.
fn blink(space: &Space, index: usize, agents: &[&Daemon]) {
    let child = format!("{}/a", path(index));
    space.client().delete(&child);
    agents.iter().for_each(|agent| agent.wait_for(&path(index), MISSING));
    space.client().create(&child, "");
    agents.iter().for_each(|agent| agent.wait_for(&path(index), true));
}

/// What the webhook was told: path and state of each item, in order.
fn hooked(hook: &HttpSink) -> Vec<String> {
    let bodies = hook.requests("/hook");
    let items = bodies.iter().flat_map(|request| request.json()["alerts"].as_array().unwrap().clone());
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    items.map(|item| format!("{} {}", text(&item["labels"]["path"]), text(&item["status"]))).collect()
}

fn wait_until_hooked(hook: &HttpSink, count: usize) {
    eventually(SOON, "items at the webhook", || {
        let told = hooked(hook);
        if told.len() == count { Ok(()) } else { Err(told) }
    });
}

#[test]
fn what_comes_and_goes_while_nobody_leads_is_told_once_with_both_ends() {
    let (space, mail, hook) = (shared(), SmtpSink::start(), HttpSink::start());
    let [mut first, mut second, third] = three(&space, &mail, &hook);
    first.wait_until_it_leads();
    // Told by the leader: the others saw it too, and that it was told.
    space.client().delete("/services/0/a");
    wait_until_hooked(&hook, 1);
    mail.wait_for(1);
    space.client().create("/services/0/a", "");
    mail.wait_for(2);
    space.wait_for_children(LEDGER, 0);
    throughout(Duration::from_secs(1), "told once", || mail.mails().len() == 2);
    first.kill();
    blink(&space, 1, &[&second, &third]);
    assert!(mail.mails().len() == 2, "somebody leads already, so this test shows nothing");
    second.wait_until_it_leads();
    let late = mail.wait_for(3).remove(2);
    assert!(late.body.contains(MISSING) && late.body.contains("Until:"), "{}", late.body);
    assert!(late.body.contains(&path(1)), "{}", late.body);
    space.wait_for_children(LEDGER, 0);
    second.kill();
    third.wait_until_it_leads();
    throughout(Duration::from_secs(2), "told once", || mail.mails().len() == 3);
    eventually(SOON, "the same for the webhook", || {
        let told = hooked(&hook);
        let expected = ["/services/0 firing", "/services/0 resolved", "/services/1 resolved"];
        if told == expected { Ok(()) } else { Err(told) }
    });
}

#[test]
fn the_dead_leaders_session_timeout_counts_and_not_the_next_ones() {
    let (space, mail) = (shared(), SmtpSink::start());
    let yaml = "/services/0: {children: 1, alerter: {email: you@home.com}}\n";
    space.client().create("/services/0/a", "");
    let slow = Daemon::with(space.address(), yaml).smtp(mail.port());
    let mut slow = slow.args(["--session_timeout", "12"]).start();
    slow.wait_until_it_leads();
    let next = Daemon::with(space.address(), yaml).smtp(mail.port()).start();
    next.wait_until_ready();
    space.wait_for_children(LOCK, 2);
    wait_until_it_follows(&next);
    slow.kill();
    // By the time that the dead one's session is over this was longer ago than a session of the next one lasts.
    blink(&space, 0, &[&next]);
    eventually(Duration::from_secs(40), "another leader", || {
        next.status()["monitor"]["alerter"]["alerting"] == true
    });
    let late = mail.wait_for(1).remove(0);
    assert!(late.body.contains(MISSING) && late.body.contains("Until:"), "{}", late.body);
}

#[test]
fn what_the_leader_told_just_before_its_death_is_not_told_again() {
    let (space, mail, hook) = (shared(), SmtpSink::start(), HttpSink::start());
    let [mut first, mut second, third] = three(&space, &mail, &hook);
    first.wait_until_it_leads();
    // One that follows stands still meanwhile, and learns of all at once.
    second.signal(Signal::STOP);
    for index in 0..PATHS {
        space.client().delete(&format!("{}/a", path(index)));
        wait_until_hooked(&hook, 2 * index + 1);
        space.client().create(&format!("{}/a", path(index)), "");
        wait_until_hooked(&hook, 2 * index + 2);
    }
    space.wait_for_children(LEDGER, 0);
    let told = mail.mails().len();
    first.kill();
    second.signal(Signal::CONT);
    let next =
        || [&second, &third].iter().any(|agent| agent.status()["monitor"]["alerter"]["alerting"] == true);
    eventually(SOON, "another leader", next);
    throughout(Duration::from_secs(2), "told once", || mail.mails().len() == told);
    assert_eq!(hooked(&hook).len(), 2 * PATHS);
}
