//! Agents that have no ZooKeeper say so themselves.

use std::time::Duration;

use serde_json::json;

use crate::common::{Alertmanager, Daemon, Proxy, SOON, SmtpSink, eventually, shared, throughout};

/// The third in line says so after 40 seconds.
const LONG: Duration = Duration::from_secs(90);

#[test]
fn each_agent_says_so_once_an_alertmanager_shows_one_alert_and_nothing_else_is_told() {
    let (space, sink, alertmanager) = (shared(), SmtpSink::start(), Alertmanager::start());
    let (server, root) = space.address().split_once('/').unwrap();
    let network = Proxy::to(server);
    let mut client = space.client();
    client.create("/services/foo/a", "");
    let yaml = format!(
        "blind: {{after: 10s, alerter: {{email: ops@x.org, alertmanager: {{url: \"{}\"}}}}}}\n\
         /services/foo: {{children: 1, alerter: {{email: you@x.org}}}}\n\
         /services/bar: {{children: 1, alerter: {{email: you@x.org}}}}\n",
        alertmanager.url()
    );
    let address = format!("{}/{root}", network.address());
    let daemon = || Daemon::with(&address, &yaml).smtp(sink.port()).args(["--session_timeout", "4"]).start();
    let agents: Vec<Daemon> = (0..3).map(|_| daemon()).collect();
    agents.iter().for_each(|agent| agent.wait_for("/services/foo", true));
    eventually(SOON, "three in line", || {
        let places: Vec<_> = agents.iter().map(|agent| agent.status()["cluster"]["agents"].clone()).collect();
        if places.iter().all(|all| all.as_array().is_some_and(|all| all.len() == 3)) {
            Ok(())
        } else {
            Err(places)
        }
    });
    assert_eq!(sink.wait_for(1)[0].header("Subject"), Some("Warning! /services/bar has an alert!"));
    space.wait_until_noted(1);

    network.refuse();
    let told = eventually(LONG, "a mail of each agent", || {
        let mails = sink.mails();
        if mails.len() == 4 { Ok(mails) } else { Err(mails.len()) }
    });
    let mut waits: Vec<&str> = told[1..].iter().filter_map(|mail| mail.header("Subject")).collect();
    waits.sort_unstable();
    let no = |wait: &str| format!("Warning! No ZooKeeper for {wait}: nothing is watched");
    assert_eq!(waits, [no("10s"), no("25s"), no("40s")]);
    assert!(
        told[1..].iter().all(|mail| mail.to == ["ops@x.org"] && !mail.body.contains("Path:")),
        "{told:?}"
    );
    let shown = alertmanager.wait_for(1).remove(0);
    let labels = json!({"alertname": "ZooKeeperUnreachable", "cluster": "zkmonitor", "severity": "critical"});
    assert_eq!(shown["labels"], labels);

    network.pass();
    let back = eventually(LONG, "the end of each", || {
        let mails = sink.mails();
        if mails.len() == 7 { Ok(mails) } else { Err(mails.len()) }
    });
    for mail in &back[4..] {
        let subject = mail.header("Subject").unwrap_or_default();
        assert!(
            subject.starts_with("OK: ") && subject.ends_with(" of zkmonitor has ZooKeeper again"),
            "{subject}"
        );
        let alert = told[1..].iter().find(|told| told.header("Message-ID") == mail.header("In-Reply-To"));
        assert!(alert.is_some(), "it answers an alert: {mail:?}");
    }
    alertmanager.wait_for(0);
    agents.iter().for_each(|agent| agent.wait_for("/services/foo", true));
    throughout(Duration::from_secs(3), "nothing else", || {
        let mails = sink.mails();
        if mails.len() == 7 { Ok(()) } else { Err(mails) }
    });
}
