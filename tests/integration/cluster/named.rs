//! Several rules for one path, and leaders that are killed at any point.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::Value;

use crate::common::{Client, Daemon, HttpSink, SOON, Space, eventually, shared};

/// Two rules of one path with hold-downs and receivers of their own, that count children by what they hold.
fn yaml(sink: &HttpSink) -> String {
    let hook = |path: &str| format!("alerter: {{webhook: {{url: '{}'}}}}", sink.url(path));
    format!(
        "group_wait: 0\n/path:\n  - {{name: warn, children: {{min: 2, distinct: {{json: /host}}}}, {}}}\n  \
         - {{name: page, children: {{min: 1, where: {{data: {{json: /up, equals: true}}}}}}, cancel_timeout: 1s, {}}}\n",
        hook("/warn"),
        hook("/page")
    )
}

/// What a receiver was told: the ends of each incident, and by which rule.
fn told(sink: &HttpSink, hook: &str) -> BTreeMap<(String, String), BTreeSet<String>> {
    let mut told = BTreeMap::<_, BTreeSet<String>>::new();
    for request in sink.requests(hook) {
        for alert in request.json()["alerts"].as_array().unwrap() {
            let text = |value: &Value| value.as_str().unwrap().to_owned();
            let incident = (text(&alert["labels"]["rule"]), text(&alert["annotations"]["incident"]));
            told.entry(incident).or_default().insert(text(&alert["status"]));
        }
    }
    told
}

fn start(space: &Space, yaml: &str) -> Daemon {
    let daemon = Daemon::with(space.address(), yaml).start();
    daemon.wait_until_ready();
    daemon
}

fn instances(client: &mut Client, change: fn(&mut Client, &str, &str), hosts: [u8; 2], up: bool) {
    for (path, host) in ["/path/a", "/path/b"].into_iter().zip(hosts) {
        change(client, path, &format!(r#"{{"host": {host}, "up": {up}}}"#));
    }
}

/// The instances go, or say that they are down and of one host.
fn fall(client: &mut Client, goes: bool) {
    if goes {
        client.delete_many(&["/path/a".to_owned(), "/path/b".to_owned()]);
    } else {
        instances(client, Client::set, [1, 1], false);
    }
}

fn come_back(client: &mut Client, went: bool) {
    instances(client, if went { Client::create } else { Client::set }, [1, 2], true);
}

/// A violation by both rules, in which the leader is killed so long after it began.
fn violation(space: &Space, sink: &HttpSink, agents: &mut Vec<Daemon>, after: Duration, round: usize) {
    let mut client = space.client();
    let goes = round.is_multiple_of(2);
    fall(&mut client, goes);
    let began = std::time::Instant::now();
    eventually(SOON, "the time to kill", || began.elapsed() >= after);
    agents.remove(0).kill();
    agents[0].wait_until_it_leads();
    agents.push(start(space, &yaml(sink)));
    for hook in ["/warn", "/page"] {
        eventually(SOON, "an alert by each rule", || told(sink, hook).len() == round);
    }
    come_back(&mut client, goes);
    space.wait_for_children("/zk_monitor/zkmonitor/alerts", 0);
}

#[test]
fn a_leader_killed_at_any_point_changes_nothing_for_either_rule() {
    let (space, sink) = (shared(), HttpSink::start());
    space.client().create("/path", "");
    come_back(&mut space.client(), true);
    let first = start(&space, &yaml(&sink));
    first.wait_until_it_leads();
    let mut agents = vec![first, start(&space, &yaml(&sink))];
    for (round, after) in (1..).zip([0, 5, 30, 600, 1_000, 1_100, 1_500]) {
        violation(&space, &sink, &mut agents, Duration::from_millis(after), round);
        for (hook, rule) in [("/warn", "warn"), ("/page", "page")] {
            let told = told(&sink, hook);
            assert_eq!(told.len(), round, "one incident a violation, killed after {after} ms: {told:?}");
            for ((name, _), ends) in &told {
                assert_eq!(name, rule, "each rule has its own receiver");
                assert!(ends.contains("resolved"), "killed after {after} ms: {told:?}");
            }
        }
    }
}
