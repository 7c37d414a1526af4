//! Files that are taken, and what they mean.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::*;
use crate::model::judge::{Bounds, By, DataSpec, DropSpec, Found, Include, Specs, Verdict};
use crate::model::message;
use crate::model::reading::{EachRead, Reading, Written};
use crate::model::receiver::{
    Alertmanager, Email, HipChat, PagerDuty, Receiver, ReceiverId, Secret, Settings, Slack, SmtpTls, Webhook,
};
use crate::model::rule::{Rule, Terms};
use crate::model::severity::Severity;

fn good(text: &str) -> Config {
    parse(text).unwrap_or_else(|errors| panic!("{text}\n{errors}"))
}

fn rule<'c>(config: &'c Config, path: &str) -> &'c Rule {
    config.rules.iter().find(|rule| &*rule.path == path).expect("the rule is there")
}

fn secret(text: &str) -> Secret {
    Secret::new(text.to_owned())
}

/// The receivers that a rule with this alerter has, by name.
fn receivers(alerter: &str) -> Vec<Receiver> {
    let config = good(&format!("/a: {{children: 1, alerter: {alerter}}}"));
    let rule = rule(&config, "/a");
    let find = |id: &ReceiverId| {
        config.receivers.iter().find(|receiver| receiver.id == *id).expect("it is listed").clone()
    };
    assert_eq!(rule.terms.receivers.len(), config.receivers.len());
    rule.terms.receivers.iter().map(find).collect()
}

#[test]
fn the_predecessors_shapes_load() {
    let config = good(
        "---\n/services/foo/min_1:\n    alerter:\n        email: you@home.com, other@home.com\n    children: 1\n    \
         cancel_timeout: 10\n/services/foo/min_0:\n    children: 0\n/services/foo/min_3:\n    alerter:\n        \
         hipchat:\n            - room: Ops\n            - token: T\n            - from: ZK\n    children: 3\n",
    );
    assert_eq!(
        config.rules.iter().map(|rule| &*rule.path).collect::<Vec<_>>(),
        ["/services/foo/min_1", "/services/foo/min_0", "/services/foo/min_3"]
    );
    let first = rule(&config, "/services/foo/min_1");
    assert_eq!(first.terms.specs.children, Some(Bounds::Range { min: Some(1), max: None }));
    assert_eq!(first.terms.cancel_timeout, Duration::from_secs(10));
    assert_eq!(
        config.receivers.iter().map(|receiver| &*receiver.name).collect::<Vec<_>>(),
        ["email you@home.com", "email other@home.com", "hipchat Ops"]
    );
    assert_eq!(config.warnings.len(), 1, "{:?}", config.warnings);
}

#[test]
fn a_path_can_have_several_rules_with_names() {
    let config = good(
        "defaults: {cancel_timeout: 30s}\n\
         /a:\n  - {name: warn, children: 5, severity: warning, alerter: {email: a@example.com}}\n  \
         - name: page\n    children: 3\n    cancel_timeout: 1m\n    severity: critical\n\
         /b/*: [{name: only, exists: true}]\n/c: {name: own, children: 1}\n/d:\n",
    );
    let found: Vec<_> = config
        .rules
        .iter()
        .map(|rule| {
            let Terms { name, severity, cancel_timeout, .. } = &*rule.terms;
            (&*rule.path, name.as_deref().unwrap_or_default(), *severity, cancel_timeout.as_secs())
        })
        .collect();
    let expected = [
        ("/a", "warn", Severity::Warning, 30),
        ("/a", "page", Severity::Critical, 60),
        ("/b/*", "only", Severity::Error, 30),
        ("/c", "own", Severity::Error, 30),
        ("/d", "", Severity::Error, 30),
    ];
    assert_eq!(found, expected);
    assert_eq!(config.rules[1].terms.receivers, [], "each says by itself who hears");
}

#[test]
fn labels_and_runbook_are_the_rules_own_or_else_the_defaults() {
    let config = good(
        "defaults: {labels: {team: ops, tier: one}, runbook: \"https://wiki.example.com/all\"}\n\
         /a:\n/b: {labels: {team: web}, runbook: \"http://[::1]:8080/b?x=1#down\"}\n/c: {labels: {}}\n",
    );
    let check = |path: &str, labels: &[(&str, &str)], runbook: &str| {
        let terms = &rule(&config, path).terms;
        let found: Vec<_> = terms.labels.iter().map(|(name, value)| (&**name, &**value)).collect();
        assert_eq!((&*found, terms.runbook.as_deref()), (labels, Some(runbook)), "{path}");
    };
    check("/a", &[("team", "ops"), ("tier", "one")], "https://wiki.example.com/all");
    check("/b", &[("team", "web")], "http://[::1]:8080/b?x=1#down");
    check("/c", &[], "https://wiki.example.com/all");
    let digest = |text: &str| good(text).digest;
    let all =
        ["/a:", "/a: {labels: {a: b}}", "/a: {labels: {b: a}}", "/a: {runbook: \"http://h/\"}"].map(digest);
    let different: std::collections::HashSet<_> = all.iter().collect();
    assert_eq!(different.len(), all.len());
    assert_eq!(digest("/a:"), digest("/a: {labels: {}}"), "the same as for a version without labels");
}

#[test]
fn how_far_a_number_may_fall_is_a_share_or_a_count() {
    let specs = |text: &str| rule(&good(text), "/a").terms.specs.clone();
    let hour = Duration::from_secs(3600);
    let found = specs("/a: {children: {min: 3, drop: {by: 30%, within: 1h}}}");
    assert_eq!(found.children, Some(Bounds::Range { min: Some(3), max: None }));
    assert_eq!(found.drop, Some(DropSpec { by: By::Percent(30), within: hour }));
    let found = specs("/a: {children: {drop: {by: 2, within: 3600}}}");
    assert_eq!((found.children, found.drop), (None, Some(DropSpec { by: By::Count(2), within: hour })));
    let found = specs("defaults: {children: {drop: {by: 2, within: 1h}}}\n/a: {children: 1}");
    assert_eq!(found.drop, None, "a rule's own key replaces the default's whole");
    let digest = |text: &str| good(text).digest;
    assert_ne!(
        digest("/a: {children: {drop: {by: 2, within: 1h}}}"),
        digest("/a: {children: {drop: {by: 2%, within: 1h}}}")
    );
}

#[test]
fn the_digest_tells_names_and_severities_and_not_their_order() {
    let digest = |text: &str| good(text).digest;
    let both = digest("/a: [{name: x, children: 1}, {name: y, children: 2}]\n");
    assert_eq!(both, digest("/a: [{name: y, children: 2}, {name: x, children: 1}]\n"));
    assert_ne!(both, digest("/a: [{name: x, children: 2}, {name: y, children: 1}]\n"));
    let plain = digest("/a: {children: 1}\n");
    assert_eq!(plain, digest("/a: {children: 1, severity: error}\n"));
    assert_ne!(plain, digest("/a: {children: 1, severity: warning}\n"));
    assert_ne!(plain, digest("/a: {children: 1, name: x}\n"));
}

#[test]
fn a_name_tells_apart_what_would_be_one_receiver() {
    let check = |alerter: &str, expected: &[&str]| {
        let names: Vec<String> = receivers(alerter).iter().map(|one| one.name.to_string()).collect();
        assert_eq!(names, expected, "{alerter}");
    };
    check(
        "{slack: [{channel: c, token: a}, {channel: c, token: b, name: two}]}",
        &["slack c", "slack c (two)"],
    );
    check(
        "{slack: [{channel: c, token: a, from: x, name: one}, {channel: c, token: a, from: y, name: two}]}",
        &["slack c (one)", "slack c (two)"],
    );
    check(
        "{webhook: [{url: 'http://h', headers: {X: a}}, {url: 'http://h', headers: {X: b}, name: B}]}",
        &["webhook http://h", "webhook http://h (B)"],
    );
    check(
        "{hipchat: [{room: r, token: a, api_url: 'http://h'}, {room: r, token: b, api_url: 'http://h', name: b}]}",
        &["hipchat r", "hipchat r (b)"],
    );
    check("{alertmanager: {url: 'http://h', name: am}}", &["alertmanager http://h (am)"]);
}

#[test]
fn a_receiver_without_a_name_keeps_the_id_that_open_incidents_bear() {
    let check =
        |alerter: &str, expected: &str| assert_eq!(&*receivers(alerter)[0].id.0, expected, "{alerter}");
    check("{email: a@b.c}", "11f02785ea6386ba");
    check("{slack: {channel: c, token: a}}", "bd7abdd6039f74bd");
    check("{webhook: 'http://h'}", "f34c477269e7540e");
    check("{alertmanager: 'http://h'}", "c1030405c4f6aa36");
    check("{pagerduty: {routing_key: k}}", "db54db3ac7cb81b9");
}

#[test]
fn a_long_key_has_a_question_mark() {
    let path = format!("/services/{}", "x".repeat(1030));
    let config = good(&format!("? {path}\n: children: 2\n/short: {{}}\n"));
    assert_eq!(rule(&config, &path).terms.specs.children, Some(Bounds::Range { min: Some(2), max: None }));
}

#[test]
fn a_bare_rule_has_the_defaults_of_the_contract() {
    let config = good("/a:\n");
    let rule = rule(&config, "/a");
    assert!(
        rule.terms.specs.is_empty() && rule.terms.receivers.is_empty() && rule.terms.description.is_none()
    );
    let hold = (
        rule.terms.cancel_timeout,
        rule.terms.keep_firing_for,
        rule.terms.repeat_interval,
        rule.terms.forget_after,
    );
    assert_eq!(hold, (Duration::ZERO, Duration::ZERO, None, Duration::from_secs(86_400)));
    assert_eq!((config.group_wait, config.heartbeat), (Duration::from_secs(2), None));
}

#[test]
fn specs_are_read() {
    let check = |spec: &str, expected: Specs| {
        assert_eq!(rule(&good(&format!("/a: {{{spec}}}")), "/a").terms.specs, expected, "{spec}");
    };
    let children = |bounds| Specs { children: Some(bounds), ..Specs::default() };
    let exists = |exists| Specs { exists: Some(exists), ..Specs::default() };
    check("children: 3", children(Bounds::Range { min: Some(3), max: None }));
    check("children: 0x10", children(Bounds::Range { min: Some(16), max: None }));
    check("children: !!int 3", children(Bounds::Range { min: Some(3), max: None }));
    check("children: {min: 3, max: 3}", children(Bounds::Range { min: Some(3), max: Some(3) }));
    check("children: {max: 0}", children(Bounds::Range { min: None, max: Some(0) }));
    check("children: {equals: 2}", children(Bounds::Equals(2)));
    check("exists: true", exists(true));
    check("exists: No", exists(false));
    check("exists: on", exists(true));
    let data = |data| Specs { data: Some(data), ..Specs::default() };
    check("data: {equals: ready}", data(DataSpec::Equals("ready".into())));
    let ten = Some(Duration::from_secs(600));
    check("data: {max_age: 10m}", Specs { max_age: ten, ..Specs::default() });
    check("data: {equals: up, max_age: 600}", Specs { max_age: ten, ..data(DataSpec::Equals("up".into())) });
    check("data: {equals: ''}", data(DataSpec::Equals("".into())));
    check("data: {equals: !!str 3}", data(DataSpec::Equals("3".into())));
    let include = |names: &[&str]| Some(Include(names.iter().map(|name| (*name).into()).collect()));
    check("children: {include: [b, a]}", Specs { include: include(&["a", "b"]), ..Specs::default() });
    let both = Specs { include: include(&["a"]), ..children(Bounds::Range { min: Some(2), max: None }) };
    check("children: {include: [a], min: 2}", both);
}

#[test]
fn what_is_counted_is_read() {
    let counting = |spec: &str| {
        rule(&good(&format!("/a: {{children: {{min: 1, {spec}}}}}")), "/a").terms.specs.counting.clone()
    };
    let all =
        counting("where: {name: '^web-', ephemeral: true, max_age: 2m, data: {json: /up, equals: true}}");
    let name = all.only.name.as_ref().expect("an expression");
    assert_eq!([&b"web-1"[..], b"a-web-1"].map(|name_| (name.run)(name_)), [true, false]);
    assert!(all.only.ephemeral == Some(true) && matches!(all.only.data, Some(DataSpec::Json(_))));
    assert!(all.distinct.is_none() && all.only.max_age == Some(Duration::from_secs(120)));
    let distinct = counting("distinct: {json: /host}").distinct.expect("a pointer");
    let value = |data: &[u8]| match (distinct.run)(data) {
        Found::Value { json, .. } => json.into_string(),
        other @ (Found::NoJson | Found::Nothing) => format!("{other:?}"),
    };
    let values = [&br#"{"host": 1}"#[..], br#"{"host": "1"}"#, b"[]", b"x"].map(value);
    assert_eq!(values, ["1", "\"1\"", "Nothing", "NoJson"]);
    // What was written alike is the same, and what was not is another configuration.
    assert_eq!(counting("where: {name: '^a'}"), counting("where: {name: '^a'}"));
    assert_ne!(counting("where: {name: '^a'}"), counting("where: {name: '^b'}"));
    let digests = [
        "",
        ", where: {name: a}",
        ", where: {max_age: 1m}",
        ", where: {name: b}",
        ", distinct: {json: /a}",
        ", distinct: {json: /b}",
    ]
    .map(|spec| good(&format!("/a: {{children: {{min: 1{spec}}}}}")).digest);
    let different: std::collections::BTreeSet<_> = digests.iter().collect();
    assert_eq!(different.len(), digests.len());
}

#[test]
fn values_within_json_are_found_as_the_pointer_says() {
    let check = |spec: &str, data: &[u8], expected: &str| {
        let config = good(&format!("/a: {{data: {{{spec}}}}}"));
        let reading = Reading::Present {
            children: None,
            each: EachRead::Unasked,
            data: Some(Written { at: SystemTime::UNIX_EPOCH, data: data.into() }),
        };
        let words = match rule(&config, "/a").terms.specs.judge(&reading, None).verdict {
            Verdict::Ok => "ok".to_owned(),
            Verdict::Violated(violations) => message::violations(&violations),
            Verdict::Unreadable(reason) => reason.to_string(),
        };
        assert_eq!(words, expected, "{spec}");
    };
    let data = br#" {"status": "UP", "port": 1, "hosts": [{"up": true}], "none": null, "a/b": {"~": "1"}} "#;
    check("json: /status, equals: UP", data, "ok");
    check("json: /status, matches: '^U.$'", data, "ok");
    check("json: /status, matches: '\"'", data, "Found data at /status (\"UP\") that does not match \"");
    check("json: /port, equals: 1", data, "ok");
    check("json: /port, equals: '1'", data, "Found data at /port (1) not equal to \"1\"");
    check("json: /port, matches: '^[0-9]$'", data, "ok");
    check("json: /port, equals: 1.0", data, "ok");
    check("json: /n, equals: 1", br#"{"n": 1.0}"#, "ok");
    check("json: /n, equals: 1", br#"{"n": 10e-1}"#, "ok");
    check("json: /n, equals: 0", br#"{"n": -0.0}"#, "ok");
    check("json: /n, equals: 1.5", br#"{"n": 15e-1}"#, "ok");
    check("json: /n, equals: 1", br#"{"n": 1.5}"#, "Found data at /n (1.5) not equal to 1");
    check("json: /n, matches: '^1$'", br#"{"n": 1.0}"#, "ok");
    check("json: /n, equals: 1e300", br#"{"n": 1e300}"#, "ok");
    check("json: /n, equals: 9007199254740993", br#"{"n": 9007199254740993}"#, "ok");
    check("json: /hosts/0/up, equals: true", data, "ok");
    check("json: /hosts/1/up, equals: true", data, "Found no data at /hosts/1/up");
    check("json: /none, equals: ~", data, "ok");
    check("json: /a~1b/~0, equals: '1'", data, "ok");
    check("json: /a~1b, equals: '1'", data, "Found data at /a~1b ({\"~\":\"1\"}) not equal to \"1\"");
    check("json: /status, equals: UP", b"UP", "Found data that is not JSON");
    check("json: '', equals: 7", b"7", "ok");
    let deep = "[".repeat(100_000);
    check("json: /0, equals: 7", deep.as_bytes(), "Found data that is not JSON");
}

#[test]
fn a_regular_expression_judges_text_alone() {
    let config = good("/a: {data: {matches: '^v[0-9]+$'}}");
    let Some(DataSpec::Matches(pattern)) = &rule(&config, "/a").terms.specs.data else {
        panic!("not an expression")
    };
    assert_eq!(&*pattern.source, "^v[0-9]+$");
    let judged = [&b"v12"[..], b"v", b"v1\xff", b""].map(|data| (pattern.run)(data));
    assert_eq!(judged, [true, false, false, false]);
}

#[test]
fn a_rules_own_key_replaces_the_default_whole() {
    let config = good(
        "defaults:\n  children: {min: 2, max: 5}\n  cancel_timeout: 30s\n  keep_firing_for: 1m\n  \
         repeat_interval: 1h\n  description: all\n  alerter: {email: ops@example.com, webhook: 'http://h/'}\n\
         /a:\n/b: {children: {max: 9}, cancel_timeout: 0, repeat_interval: 0, alerter: {email: b@example.com}}\n\
         /c: {alerter: {}}\n/d: {alerter: ~}\n/e/*: {forget_after: 2d, description: 'its own'}\n",
    );
    let names = |path| {
        let ids = &rule(&config, path).terms.receivers;
        let name = |id: &ReceiverId| {
            config.receivers.iter().find(|r| r.id == *id).expect("it is listed").name.to_string()
        };
        ids.iter().map(name).collect::<Vec<_>>()
    };
    assert_eq!(names("/a"), ["email ops@example.com", "webhook http://h"]);
    assert_eq!(names("/b"), ["email b@example.com"]);
    assert!(names("/c").is_empty() && names("/d").is_empty());
    let b = rule(&config, "/b");
    assert_eq!(b.terms.specs.children, Some(Bounds::Range { min: None, max: Some(9) }));
    assert_eq!((b.terms.cancel_timeout, b.terms.repeat_interval), (Duration::ZERO, None));
    assert_eq!(b.terms.keep_firing_for, Duration::from_secs(60));
    let e = rule(&config, "/e/*");
    assert_eq!(e.terms.specs.children, Some(Bounds::Range { min: Some(2), max: Some(5) }));
    assert_eq!(e.terms.repeat_interval, Some(Duration::from_secs(3600)));
    assert_eq!(
        (e.terms.forget_after, e.terms.description.as_deref()),
        (Duration::from_secs(172_800), Some("its own"))
    );
    assert!(config.warnings.is_empty(), "{:?}", config.warnings);
}

#[test]
fn anchors_and_merge_keys_mean_what_yaml_says() {
    let config = good(
        "x-base: &base {children: 1, cancel_timeout: 10}\nx-slow: &slow {cancel_timeout: 99, keep_firing_for: 5}\n\
         /alias: *base\n/merge: {<<: *base, children: 7}\n/list: {<<: [*base, *slow]}\n\
         /deep:\n  <<: {<<: *slow, cancel_timeout: 3}\n",
    );
    let seconds = |path: &str| {
        let rule = rule(&config, path);
        (rule.terms.specs.children, rule.terms.cancel_timeout.as_secs(), rule.terms.keep_firing_for.as_secs())
    };
    let min = |min| Some(Bounds::Range { min: Some(min), max: None });
    assert_eq!(seconds("/alias"), (min(1), 10, 0));
    assert_eq!(seconds("/merge"), (min(7), 10, 0));
    assert_eq!(seconds("/list"), (min(1), 10, 5));
    assert_eq!(seconds("/deep"), (None, 3, 5));
}

#[test]
fn mail_addresses_come_in_any_shape() {
    let check = |shape: &str, expected: &[&str]| {
        let found = receivers(&format!("{{email: {shape}}}"));
        let addresses = found.iter().map(|receiver| {
            let Settings::Email(Email { address, .. }) = &receiver.settings else { panic!("{receiver:?}") };
            address.to_string()
        });
        assert_eq!(addresses.collect::<Vec<_>>(), expected, "{shape}");
    };
    check("a@b.c", &["a@b.c"]);
    check("'a@b.c, d@e.f'", &["a@b.c", "d@e.f"]);
    check("a@b.c d@e.f", &["a@b.c", "d@e.f"]);
    check("[a@b.c, d@e.f]", &["a@b.c", "d@e.f"]);
    check("['a@b.c d@e.f', g@h.i]", &["a@b.c", "d@e.f", "g@h.i"]);
    check("[a@b.c, a@B.C]", &["a@b.c"]);
}

#[test]
fn every_kind_of_alerter_is_read() {
    let check = |alerter: &str, name: &str, expected: Settings| {
        let found = receivers(alerter);
        assert_eq!(found.len(), 1, "{alerter}");
        assert_eq!((&*found[0].name, &found[0].settings), (name, &expected), "{alerter}");
    };
    let api = |api_url: &str, from: Option<&str>| {
        let (api_url, from) = (api_url.to_owned(), from.map(str::to_owned));
        Settings::Slack(Slack::Api { api_url, channel: "#ops".into(), token: secret("s3cret"), from })
    };
    let slack = "https://slack.com/api";
    check("{slack: {channel: '#ops', token: s3cret}}", "slack #ops", api(slack, None));
    check("{slack: {channel: '#ops', token_file: secret, from: zk}}", "slack #ops", api(slack, Some("zk")));
    check(
        "{slack: [channel: '#ops', token: s3cret, api_url: 'http://h:1/x/']}",
        "slack #ops",
        api("http://h:1/x", None),
    );
    let hook = |channel: Option<&str>| {
        let channel = channel.map(str::to_owned);
        Settings::Slack(Slack::Webhook { url: secret("https://h/T/B"), channel, from: None })
    };
    check("{slack: {webhook_url: 'https://h/T/B'}}", "slack webhook https://h", hook(None));
    check("{slack: {webhook_url: 'https://h/T/B', channel: c}}", "slack c", hook(Some("c")));
    let hipchat = |room: &str, from: &str, api_url: &str| {
        let (room, from, api_url) = (room.to_owned(), from.to_owned(), api_url.to_owned());
        Settings::HipChat(HipChat { api_url, room, token: secret("T"), from })
    };
    let public = "https://api.hipchat.com";
    check("{hipchat: [room: X, token: T, from: Z]}", "hipchat X", hipchat("X", "Z", public));
    check(
        "{hipchat: {room: 12, token: T, api_url: 'http://h'}}",
        "hipchat 12",
        hipchat("12", "zk_monitor", "http://h"),
    );
    let webhook = |url: &str, headers: &[(&str, &str)], key: Option<&str>| {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), secret(value))).collect();
        Settings::Webhook(Webhook { url: secret(url), headers, secret: key.map(secret), template: None })
    };
    check(
        "{webhook: 'http://u:p@H/x?token=t'}",
        "webhook http://h",
        webhook("http://u:p@H/x?token=t", &[], None),
    );
    check(
        "{webhook: {url: 'http://h/', headers: {X-A: b}, secret_file: secret}}",
        "webhook http://h",
        webhook("http://h/", &[("X-A", "b")], Some("s3cret")),
    );
    let alertmanager = Settings::Alertmanager(Alertmanager { url: secret("http://am:9093") });
    check("{alertmanager: 'http://am:9093/'}", "alertmanager http://am:9093", alertmanager.clone());
    check("{alertmanager: {url: 'http://am:9093'}}", "alertmanager http://am:9093", alertmanager.clone());
    check("{alertmanager: {url: ['http://am:9093']}}", "alertmanager http://am:9093", alertmanager);
    let found = receivers("{pagerduty: {routing_key_file: secret}}");
    assert_eq!(*found[0].name, *format!("pagerduty {}", &found[0].id.0[..8]));
    let expected =
        PagerDuty { api_url: "https://events.pagerduty.com".into(), routing_key: secret("s3cret") };
    assert_eq!(found[0].settings, Settings::PagerDuty(expected));
}

#[test]
fn a_receiver_may_have_an_authority_of_its_own() {
    for alerter in [
        "webhook: {url: 'https://h/', ca_file: ca.pem}",
        "alertmanager: {url: 'https://h', ca_file: ca.pem}",
        "slack: {webhook_url: 'https://h/', ca_file: ca.pem}",
        "hipchat: {room: a, token: t, api_url: 'https://h', ca_file: ca.pem}",
        "pagerduty: {routing_key: k, ca_file: ca.pem}",
    ] {
        let (with, without) =
            (receivers(&format!("{{{alerter}}}")), alerter.replace(", ca_file: ca.pem", ""));
        assert!(with[0].ca.as_deref().is_some_and(|ca| ca.starts_with(b"-----BEGIN")), "{alerter}");
        let without = receivers(&format!("{{{without}}}"));
        assert_eq!((&without[0].id, &without[0].ca), (&with[0].id, &None), "the same receiver");
    }
}

#[test]
fn lists_are_several_receivers() {
    let check = |alerter: &str, expected: &[&str]| {
        let found = receivers(alerter);
        assert_eq!(found.iter().map(|receiver| &*receiver.name).collect::<Vec<_>>(), expected, "{alerter}");
    };
    check("{webhook: ['http://a/', {url: 'http://b/'}]}", &["webhook http://a", "webhook http://b"]);
    check("{alertmanager: ['http://a', 'http://b']}", &["alertmanager http://a", "alertmanager http://b"]);
    check("{slack: [{channel: a, token: t}, {channel: b, token: t}]}", &["slack a", "slack b"]);
    let all =
        "{email: a@b.c, slack: {channel: a, token: t}, webhook: 'http://a/', pagerduty: {routing_key: k}}";
    assert_eq!(receivers(all).len(), 4);
}

#[test]
fn a_receivers_id_is_its_identity() {
    let id = |alerter: &str| receivers(alerter)[0].id.clone();
    let same = |a: &str, b: &str| assert_eq!(id(a), id(b), "{a} {b}");
    let other = |a: &str, b: &str| assert_ne!(id(a), id(b), "{a} {b}");
    same("{email: Ops@example.com}", "{email: Ops@EXAMPLE.com}");
    other("{email: Ops@example.com}", "{email: ops@example.com}");
    same("{slack: {channel: c, token: one}}", "{slack: {channel: c, token: two, from: x}}");
    same("{slack: {channel: c, token: one}}", "{slack: {channel: c, token_file: secret}}");
    other("{slack: {channel: c, token: t}}", "{hipchat: {room: c, token: t}}");
    same("{webhook: 'http://u:one@h/?token=1&t=a'}", "{webhook: 'http://h/?t=a&token=2'}");
    other("{webhook: 'http://h/?t=a'}", "{webhook: 'http://h/?t=b'}");
    other("{webhook: 'http://h/a'}", "{alertmanager: 'http://h/a'}");
    same("{pagerduty: {routing_key: s3cret}}", "{pagerduty: {routing_key_file: secret}}");
    let shown = id("{email: ops@example.com}").to_string();
    assert!(shown.len() == 16 && shown.bytes().all(|byte| byte.is_ascii_hexdigit()), "{shown}");
}

#[test]
fn the_mail_server_comes_from_the_file_then_the_environment() {
    let check = |yaml: &str, env: &[(&str, &str)], host: &str, port: u16| {
        let text = format!("{yaml}\n/a: {{alerter: {{email: a@b.c}}, children: 1}}\n");
        let lookup =
            |name: &str| env.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        let config = parse_with(text.as_bytes(), false, &lookup).unwrap();
        let Settings::Email(Email { smtp, .. }) = &config.receivers[0].settings else { panic!("no mail") };
        assert_eq!((smtp.host.as_str(), smtp.port), (host, port), "{yaml} {env:?}");
    };
    let env = [("SMTP_HOST", "mail"), ("SMTP_PORT", "2525")];
    check("", &[], "localhost", 25);
    check("", &env, "mail", 2525);
    check("", &[("SMTP_HOST", ""), ("SMTP_PORT", "")], "localhost", 25);
    check("smtp: {host: other}", &env, "other", 2525);
    check("smtp: {host: '[::1]', port: 587}", &env, "::1", 587);
    let wrong = |name: &str| (name == "SMTP_PORT").then(|| "smtp".to_owned());
    let errors = parse_with(b"/a:", false, &wrong).unwrap_err().to_string();
    assert_eq!(errors, "f.yaml: environment variable SMTP_PORT: must be a port from 1 to 65535");
}

#[test]
fn the_mail_servers_settings_are_read() {
    let config = good(
        "smtp: {host: mail.example.com, tls: starttls, user: zk, password_file: secret, ca_file: ca.pem, from: zk@E.com}\n\
         /a: {alerter: {email: a@b.c}, children: 1}\n",
    );
    let Settings::Email(Email { smtp, .. }) = &config.receivers[0].settings else { panic!("no mail") };
    assert_eq!((smtp.tls, smtp.from.as_str()), (SmtpTls::StartTls, "zk@e.com"));
    assert_eq!(smtp.credentials, Some(("zk".to_owned(), secret("s3cret"))));
    assert_eq!(smtp.ca.as_deref(), std::fs::read(Path::new(BASE).join("ca.pem")).ok().as_deref());
    assert!(config.warnings.is_empty(), "{:?}", config.warnings);
}

#[test]
fn the_heartbeat_is_read() {
    let heartbeat =
        |yaml: &str| good(yaml).heartbeat.map(|beat| (beat.url.reveal().to_owned(), beat.every.as_secs()));
    assert_eq!(
        heartbeat("heartbeat: {url: 'https://h/abc?x', every: 5m}"),
        Some(("https://h/abc?x".into(), 300))
    );
    assert_eq!(heartbeat("heartbeat: {url: 'https://h/abc'}"), Some(("https://h/abc".into(), 60)));
    let page = |text: &str| good(text).external_url;
    assert_eq!(page("external_url: https://zk.example.com/"), Some("https://zk.example.com".into()));
    assert_eq!(page("/a:"), None);
    assert_eq!(good("group_wait: 0.5").group_wait, Duration::from_millis(500));
}

#[test]
fn who_hears_of_a_blind_agent_is_read() {
    let blind = |yaml: &str| {
        let config = good(yaml);
        let blind = config.blind.expect("one");
        let receivers = config.receivers.iter().filter(|receiver| blind.receivers.contains(&receiver.id));
        (blind.after.as_secs(), receivers.map(|receiver| receiver.name.to_string()).collect::<Vec<_>>())
    };
    let rules = "/a: {children: 1, alerter: {email: a@x.org}}\n";
    let long = blind(&format!("blind: {{after: 5m, alerter: {{email: ops@x.org}}}}\n{rules}"));
    assert_eq!(long, (300, vec!["email ops@x.org".to_owned()]));
    assert_eq!(
        blind(&format!("{rules}blind: {{alerter: {{email: a@x.org}}}}")),
        (120, vec!["email a@x.org".to_owned()])
    );
    assert_eq!(good(rules).blind, None);
}

#[test]
fn warnings_tell_what_is_most_likely_not_meant() {
    let check = |text: &str, is_world_readable: bool, expected: &[&str]| {
        let config = parse_with(text.as_bytes(), is_world_readable, &|_| None).unwrap();
        assert_eq!(config.warnings.iter().map(ToString::to_string).collect::<Vec<_>>(), expected, "{text}");
    };
    check("x-a: 1", false, &["f.yaml:1:1: no rule: nothing is watched"]);
    check(
        "/a: {alerter: {email: a@b.c}}",
        false,
        &["f.yaml:1:1: /a: has an alerter and no `children`, `exists` or `data`: it never alerts"],
    );
    check(
        "/a: {children: 1, forget_after: 1h}",
        false,
        &["f.yaml:1:1: /a: has `forget_after`, which means something only for a path with a `*`"],
    );
    check(
        "/a: {children: {include: [a, b, c], max: 2}}\n/b: {children: {include: [a], equals: 1}}",
        false,
        &["f.yaml:1:1: /a: includes 3 children and may have 2 at most: it can never be in spec"],
    );
    check("/a: {children: {include: [a, b, c], max: 2, where: {ephemeral: true}}}", false, &[]);
    check(
        "/a/*: {exists: true}\n/b/*/c: {exists: true}\n/c/*: {children: 0}",
        false,
        &[
            "f.yaml:1:1: /a/*: asks that each match exists, and the last level has a `*`: each name that goes is an \
           error for `forget_after`, also where a new name takes its place on every registration",
        ],
    );
    check(
        "/a: {exists: false, children: 1}",
        false,
        &[
            "f.yaml:1:1: /a: asks that the path does not exist and for something that only an existing path can \
           have: it can never be in spec",
        ],
    );
    check("/a: {exists: false, children: {max: 3}}", false, &[]);
    check(
        "x-h: &h {hipchat: {room: R, token: T}}\n/a: {children: 1, alerter: *h}\n/b: {children: 1, alerter: *h}",
        false,
        &[
            "f.yaml:1:19: /a/alerter/hipchat: HipChat's public service is gone: without `api_url` nothing will take \
           these alerts",
        ],
    );
    check(
        "smtp: {host: mail, user: u, password: p}\n/a:",
        true,
        &[
            "f.yaml:1:7: smtp: the password is sent unencrypted: set `tls: starttls` or `tls: implicit`",
            "f.yaml:1:39: smtp/password: is a secret in a file that every user can read: use a `…_file` key, or \
             chmod o-r",
        ],
    );
    check("smtp: {host: 127.0.0.1, user: u, password_file: secret}\n/a:", true, &[]);
}

#[test]
fn the_digest_is_of_the_meaning() {
    let digest = |text: &str| good(text).digest;
    let base = digest("/a: {children: 1, alerter: {email: a@b.c}}\n/b:\n");
    let same = |text: &str| assert_eq!(digest(text), base, "{text}");
    let other = |text: &str| assert_ne!(digest(text), base, "{text}");
    same("# comment\n/b: {}\n/a:\n  alerter: {email: [a@b.c]}\n  children: {min: 1}\n");
    same("smtp: {host: elsewhere}\n/b:\n/a: {children: 1, alerter: {email: a@b.c}}");
    other("/a: {children: 2, alerter: {email: a@b.c}}\n/b:\n");
    other("/a: {children: 1, alerter: {email: x@b.c}}\n/b:\n");
    other("/a: {children: 1, cancel_timeout: 1, alerter: {email: a@b.c}}\n/b:\n");
    other("/a: {children: 1, alerter: {email: a@b.c}}\n/c:\n");
    other("/a: {children: 1, alerter: {email: a@b.c}}\n");
}

#[test]
fn the_shipped_sample_is_good() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("zk_monitor.yaml");
    let config = crate::config::load(&file, &|_| None).unwrap_or_else(|errors| panic!("{errors}"));
    assert!(config.warnings.is_empty(), "{:?}", config.warnings);
    for path in ["/services/foo/min_0", "/services/foo/min_1", "/services/foo/min_3"] {
        assert!(!rule(&config, path).terms.specs.is_empty());
    }
}

#[test]
fn rules_that_say_the_same_share_it() {
    let config = good(
        "/a: {children: 1, alerter: {email: a@b.c}}\n/b: {children: 2}\n/c: {children: 1, alerter: {email: a@b.c}}\n\
         /d: {data: {matches: x}}\n/e: {data: {matches: y}}\n/f: {data: {matches: x}}\n/g: {data: {equals: x}}\n",
    );
    let shared = |one, other| Arc::ptr_eq(&rule(&config, one).terms, &rule(&config, other).terms);
    assert!(shared("/a", "/c") && shared("/d", "/f"));
    assert!(!shared("/a", "/b") && !shared("/d", "/e") && !shared("/d", "/g"));
}

/// What a webhook's template makes of a body, or why it does not.
fn rendered(keys: &str, body: &str) -> Result<(String, String), String> {
    let file = format!("/a:\n  alerter:\n    webhook:\n      url: http://h\n{keys}");
    let config = parse(&file).unwrap_or_else(|errors| panic!("{errors}"));
    let Settings::Webhook(Webhook { template: Some(template), .. }) = &config.receivers[0].settings else {
        panic!("no template: {config:?}")
    };
    let path = template.path.as_ref().map_or(Ok(String::new()), |path| (path.run)(body))?;
    Ok(((template.body.run)(body)?, path))
}

#[test]
fn templates_are_rendered() {
    let body = include_str!("../samples/alert.json");
    let check = |keys: &str, expected: &str| {
        assert_eq!(rendered(keys, body).map(|(text, _)| text).as_deref(), Ok(expected), "{keys}");
    };
    let text = "      content_type: text/plain\n      template: ";
    check(&format!("{text}'{{{{ alerts[0].labels.severity | upper }}}}'\n"), "CRITICAL");
    check(&format!("{text}'{{% for a in alerts %}}{{{{ a.status }}}}{{% endfor %}}'\n"), "firing");
    // A field that messages do not always have is nothing when it is asked for with care.
    check(&format!("{text}'a{{{{ commonLabels.team | default(\"-\") }}}}'\n"), "a-");
    check(&format!("{text}'a{{% if commonLabels.team %}}b{{% endif %}}'\n"), "a");
    check("      template: '{{ alerts[0].labels.path | tojson }}'\n", "\"/services/\\\"web\\\"\\\\é🦀\"");
    check("      template: |\n        {\"a\": {{ status | tojson }}}\n", "{\"a\": \"firing\"}");
    let keys =
        "      digest: no\n      path: '/{{ alerts[0].labels.path | urlencode }}'\n      template: '1'\n";
    let path = "/services/%22web%22%5C%C3%A9%F0%9F%A6%80";
    assert_eq!(rendered(keys, body).unwrap().1, format!("/{path}"));
}

#[test]
fn texts_are_cut_as_services_count() {
    let check = |length: usize, expected: &str| {
        let keys = format!(
            "      content_type: text/plain\n      template: \"x{{{{ 'añ🦀z' | truncate({length}) }}}}\"\n"
        );
        assert_eq!(rendered(&keys, "{}").unwrap().0, format!("x{expected}"), "{length}");
    };
    for (length, expected) in
        [(9, "añ🦀z"), (5, "añ🦀z"), (4, "añ…"), (3, "añ…"), (2, "a…"), (1, "…"), (0, "")]
    {
        check(length, expected);
    }
}

#[test]
fn a_template_that_fails_while_it_is_used_says_so_to_everybody() {
    let check = |keys: &str, body: &str, expected: &str| {
        assert_eq!(rendered(keys, body).unwrap_err(), expected, "{keys}");
    };
    let json = "      template: '{\"a\": \"{{ groupLabels.own | default(1) }}\"}'\n";
    check(json, "{\"groupLabels\": {\"own\": \"s3\\\"cret\"}}", "its template does not make JSON of this");
    check(
        "      template: '{{ alerts[0].startsAt[:4] | int }}'\n",
        "{\"alerts\": [{\"startsAt\": \"s3cret\"}]}",
        "its template fails in line 1, column 29: invalid operation",
    );
    check(
        "      template: '1'\n      path: '/{{ status }}'\n",
        "{\"status\": \"s3 cret\"}",
        "its template does not serve: what it makes must be nothing, or begin with / or ? and be fit for a URL: \
         write {{ … | urlencode }}",
    );
    let large = format!("{{\"status\": \"{}\"}}", "x".repeat(1 << 20));
    check(
        "      content_type: text/plain\n      template: 'x{{ status }}'\n",
        &large,
        "its template does not serve: it makes more than 1048576 bytes",
    );
    // What a message lacks is nothing: it is sent without it.
    assert_eq!(rendered("      template: '{{ alerts[0].labels.path | tojson }}'\n", "{}").unwrap().0, "\"\"");
}

#[test]
fn a_subject_is_one_line() {
    let subject = |template: &str, body: &str| {
        let config =
            parse(&format!("smtp: {{subject: \"{template}\"}}\n/a: {{alerter: {{email: a@b.c}}}}\n"));
        let config = config.unwrap_or_else(|errors| panic!("{errors}"));
        let Settings::Email(email) = &config.receivers[0].settings else { panic!("no mail") };
        (email.smtp.subject.as_ref().unwrap().run)(body)
    };
    let body = "{\"status\": \" a\\r\\nBcc: x\\tb\\u0000 \"}";
    assert_eq!(subject("{{ status }}", body).unwrap(), "a Bcc: x b");
    assert_eq!(subject("{{ status }}", "{}").unwrap_err(), "its template does not serve: it makes nothing");
}

#[test]
fn a_rule_may_depend_on_others() {
    let config = good(
        "defaults: {depends_on: /network}\n/network: {children: 1, depends_on: []}\n/a: {children: 1}\n\
         /s/*: {children: 1, depends_on: [/s/db, /s/store-*, /network]}\n\
         /s/db: {children: 1}\n/s/store-*: {children: 1}\n/s/store-1: {children: 1}\n",
    );
    let check = |path: &str, expected: &[&str]| {
        let rule = config.rules.iter().find(|rule| *rule.path == *path).expect("a rule");
        assert_eq!(rule.terms.depends_on.iter().map(|on| &**on).collect::<Vec<_>>(), expected, "{path}");
    };
    check("/network", &[]);
    check("/a", &["/network"]);
    check("/s/*", &["/s/db", "/s/store-*", "/network"]);
    let digest = |text: &str| good(text).digest;
    let of_c = |depends_on: &str| digest(&format!("/a:\n/b:\n/c: {{depends_on: {depends_on}}}\n"));
    assert_eq!(of_c("[]"), digest("/a:\n/b:\n/c:\n"), "the same as for a version without dependencies");
    assert_eq!(of_c("[/a, /b]"), of_c("[/b, /a]"));
    assert_ne!(of_c("/a"), of_c("/b"));
    assert_eq!(of_c("/a"), of_c("[/a]"));
}

/// Ten thousand rules in a chain, and as many that all depend on one.
#[test]
fn chains_of_dependencies_may_be_long() {
    let chain = |last: &str| {
        let links = (0..10_000).map(|n| format!("/c/{n}: {{children: 1, depends_on: /c/{}}}\n", n + 1));
        links.chain([format!("/c/10000: {{children: 1, depends_on: {last}}}\n")]).collect::<String>()
    };
    assert_eq!(good(&chain("[]")).rules.len(), 10_001);
    let circle = parse(&chain("/c/0")).unwrap_err().to_string();
    assert!(circle.contains("/c/10000 → /c/0 → /c/1 → ") && circle.ends_with(" → …"), "{circle}");
    assert_eq!(circle.lines().count(), 1);
    let many = (0..10_000).map(|n| format!("/m/{n}: {{children: 1, depends_on: /c}}\n"));
    assert_eq!(good(&many.chain(["/c:\n".to_owned()]).collect::<String>()).rules.len(), 10_001);
}

#[test]
fn keys_are_read_however_long_they_are() {
    let keys = ["ж".repeat(510), "x".repeat(1021)].map(|name| format!("\"/{name}\":"));
    let longer = ["ж".repeat(511), "x".repeat(4000)].map(|name| format!("? \"/{name}\"\n:"));
    for key in keys.iter().chain(&longer) {
        let config = parse(&format!("{key}\n  exists: true\n")).unwrap_or_else(|errors| panic!("{errors}"));
        assert_eq!(config.rules.len(), 1);
    }
}
