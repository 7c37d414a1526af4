//! What `/status` says of paths, while znodes come and go.

use std::time::Duration;

use serde_json::{Value, json};

use crate::common::{Daemon, SOON, eventually, shared, throughout};

#[test]
fn every_spec_is_judged_in_the_words_of_the_contract() {
    let space = shared();
    let mut client = space.client();
    // Path, spec, how many children; `None` is a path that does not exist.
    let cases: [(&str, &str, Option<usize>, Value); 10] = [
        ("/a", "1", Some(1), json!(true)),
        ("/b", "1", Some(0), json!("Found children (0) less than minimum (1)")),
        ("/c", "{min: 3}", Some(2), json!("Found children (2) less than minimum (3)")),
        ("/d", "{max: 1}", Some(2), json!("Found children (2) more than maximum (1)")),
        ("/e", "{equals: 3}", Some(2), json!("Found children (2) not equal to (3)")),
        ("/f", "{equals: 2}", Some(2), json!(true)),
        ("/g", "{min: 1, max: 2}", Some(2), json!(true)),
        ("/h", "2", None, json!("Found children (0) less than minimum (2): path does not exist")),
        ("/i", "0", None, json!(true)),
        ("/j/f\u{fc}r", "1", Some(1), json!(true)),
    ];
    let mut yaml = String::new();
    for (path, spec, children, _) in &cases {
        yaml.push_str(&format!("{path}:\n  children: {spec}\n"));
        if let Some(count) = children {
            client.create(path, "");
            for number in 0..*count {
                client.create(&format!("{path}/{number}"), "");
            }
        }
    }
    let daemon = Daemon::start(space.address(), &yaml);
    let compliance = daemon.status()["monitor"]["compliance"].clone();
    let expected: serde_json::Map<_, _> =
        cases.iter().map(|(path, _, _, value)| ((*path).to_owned(), value.clone())).collect();
    assert_eq!(compliance, Value::Object(expected));
}

#[test]
fn all_paths_are_shown_from_the_first_request_on_and_ready_means_that_all_were_read() {
    const COUNT: usize = 20_000;
    let space = shared();
    let yaml: String = (0..COUNT).map(|n| format!("/absent/{n}: {{children: 0}}\n")).collect();
    let daemon = Daemon::with(space.address(), &yaml).start();
    let first = daemon.status()["monitor"]["compliance"].as_object().unwrap().len();
    assert_eq!(first, COUNT, "before anything is known");
    daemon.wait_until_ready();
    let status = daemon.status();
    let read = status["monitor"]["compliance"].as_object().unwrap().values().filter(|one| **one == true);
    assert_eq!(read.count(), COUNT);
}

#[test]
fn changes_are_seen_as_often_as_they_come() {
    let space = shared();
    let mut client = space.client();
    let daemon = Daemon::start(space.address(), "/services/foo:\n  children: 1\n");
    let missing = "Found children (0) less than minimum (1): path does not exist";
    daemon.wait_for("/services/foo", missing);
    for _ in 0..5 {
        client.create("/services/foo/a", "");
        daemon.wait_for("/services/foo", true);
        client.delete("/services/foo/a");
        daemon.wait_for("/services/foo", "Found children (0) less than minimum (1)");
        client.delete_recursive("/services");
        daemon.wait_for("/services/foo", missing);
    }
}

/// As brokers of Kafka register, and services of Spring.
#[test]
fn names_and_values_within_json_are_specs_too() {
    let space = shared();
    let mut client = space.client();
    client.create("/brokers/ids/1", "");
    client.create("/app", r#"{"payload": {"status": "UP"}, "port": 8080}"#);
    let yaml = "/brokers/ids: {children: {include: [\"1\", \"2\"], max: 3}}\n\
                /app: {data: {json: /payload/status, equals: UP}}\n";
    let daemon = Daemon::start(space.address(), yaml);
    daemon.wait_for("/brokers/ids", "Missing children: 2");
    client.create("/brokers/ids/2", "");
    daemon.wait_for("/brokers/ids", true);
    client.create("/brokers/ids/3", "");
    client.create("/brokers/ids/4", "");
    client.delete("/brokers/ids/1");
    client.delete("/brokers/ids/2");
    daemon.wait_for("/brokers/ids", "Missing children: 1, 2");
    daemon.wait_for("/app", true);
    client.set("/app", r#"{"payload": {"status": "DOWN"}}"#);
    daemon.wait_for("/app", "Found data at /payload/status (\"DOWN\") not equal to \"UP\"");
    client.set("/app", r#"{"payload": "UP"}"#);
    daemon.wait_for("/app", "Found no data at /payload/status");
    client.set("/app", "UP");
    daemon.wait_for("/app", "Found data that is not JSON");
    client.set("/app", r#"{"payload": {"status": "UP"}}"#);
    daemon.wait_for("/app", true);
}

#[test]
fn data_and_existence_are_specs_too() {
    let space = shared();
    let mut client = space.client();
    client.create("/on", "yes");
    client.create("/version", "v1.2");
    let yaml = "/on: {data: {equals: \"yes\"}}\n/version: {data: {matches: \"^v1[.]\"}}\n/there: {exists: true}\n\
                /not/there: {exists: false}\n";
    let daemon = Daemon::start(space.address(), yaml);
    let in_spec = |path: &str, expected: bool| {
        eventually(SOON, &format!("{path} in spec: {expected}"), || {
            (daemon.compliance(path) == true) == expected
        });
    };
    in_spec("/on", true);
    in_spec("/version", true);
    in_spec("/there", false);
    in_spec("/not/there", true);
    client.set("/on", "no");
    client.set("/version", "v2");
    client.create("/there", "");
    client.create("/not/there", "");
    in_spec("/on", false);
    in_spec("/version", false);
    in_spec("/there", true);
    in_spec("/not/there", false);
}

#[test]
fn matches_of_a_glob_come_with_their_znodes() {
    let space = shared();
    let mut client = space.client();
    client.create("/services/a/instances/1", "");
    let daemon = Daemon::start(space.address(), "/services/*/instances:\n  children: 1\n");
    daemon.wait_for("/services/a/instances", true);
    client.create("/services/b/instances", "");
    daemon.wait_for("/services/b/instances", "Found children (0) less than minimum (1)");
    client.delete_recursive("/services/a");
    eventually(SOON, "error of the match that vanished", || {
        daemon.compliance("/services/a/instances").is_string()
    });
    throughout(Duration::from_millis(300), "remembered", || {
        daemon.compliance("/services/a/instances").is_string()
    });
}

#[test]
fn one_path_is_a_check_of_its_own() {
    let space = shared();
    space.client().create("/good/child", "");
    let daemon = Daemon::start(space.address(), "/good: {children: 1}\n/bad: {children: 1}\n");
    let check =
        |path: &str, status: u16| assert_eq!(daemon.get(&format!("/status{path}")).status, status, "{path}");
    check("/good", 200);
    check("/bad", 503);
    check("/other", 404);
}

#[test]
fn status_has_the_shape_that_its_readers_know() {
    let space = shared();
    space.client().create("/good/child", "");
    let daemon = Daemon::start(space.address(), "/good: {children: 1}\n");
    daemon.wait_until_it_leads();
    let text = daemon.get("/status").body;
    let value: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(value["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(value["zookeeper"]["connected"], true);
    assert_eq!(value["monitor"]["alerter"]["alerting"], true);
    // Keys sorted, four blanks a level: as the standard JSON writer sorts and, with this indent, lays out.
    let mut expected = Vec::new();
    let indent = serde_json::ser::PrettyFormatter::with_indent(b"    ");
    serde::Serialize::serialize(&value, &mut serde_json::Serializer::with_formatter(&mut expected, indent))
        .unwrap();
    assert_eq!(text.trim_end(), String::from_utf8(expected).unwrap());
    assert_eq!(daemon.get("/state").status, 200);
}
