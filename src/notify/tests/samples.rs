//! What the configuration's templates are tried on is what webhooks are given.

use std::sync::Arc;

use serde_json::Value;

use super::*;
use crate::model::labels::Labels;
use crate::notify::webhook::payload;

/// Has all that an alert can have, with what a template has to protect.
fn alert() -> Item {
    let odd = item("/services/\"web\"\\é🦀", Kind::Firing);
    Item {
        incident: "a1b2c3-1".into(),
        rule: Some("page".into()),
        pattern: Some("/services/*".into()),
        message: "Found data (\"DOWN\\\") not equal to (UP)".into(),
        labels: labels("critical", Some("page")),
        description: Some("Call \"Ada\"\n@everyone <b>\\o/</b>".into()),
        runbook: Some("https://wiki.example.com/web?a=b&c=%22#down".into()),
        notes: vec!["a \"note\"".into()],
        ..odd
    }
}

/// Has no more than all have.
fn recovery() -> Item {
    Item {
        incident: "a1b2c3-2".into(),
        message: "Found children (0) less than minimum (1)".into(),
        children: None,
        left: Left::default(),
        labels: labels("warning", None),
        description: None,
        runbook: None,
        ..item("/services/\"db\"", Kind::Resolved)
    }
}

fn labels(severity: &str, rule: Option<&str>) -> Arc<Labels> {
    let rule = rule.map(|rule| ("rule", rule));
    Arc::new([("severity", severity)].into_iter().chain(rule).collect())
}

fn told(items: Vec<Item>) -> Notification {
    Notification { cluster: "\"prod\" & co".into(), ..notification(items) }
}

#[test]
fn templates_are_tried_on_what_webhooks_are_given() {
    let check = |sample: &str, items: Vec<Item>| {
        let given = payload(&told(items), "a receiver");
        assert_eq!(serde_json::from_str::<Value>(sample).unwrap(), given, "{given:#}");
    };
    check(include_str!("../../config/samples/alert.json"), vec![alert()]);
    check(include_str!("../../config/samples/recovery.json"), vec![recovery()]);
    check(include_str!("../../config/samples/digest.json"), vec![alert(), recovery()]);
}
