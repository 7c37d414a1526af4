//! Events to a PagerDuty service, by version 2 of its Events API.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};

use super::encode::sha256;
use super::http::{Client, join};
use super::labels::{alert_name, annotations, labels};
use super::reason;
use crate::model::message::{About, Item, Kind, Notification};
use crate::model::notifier::Notifier;
use crate::model::receiver::{Outcome, PagerDuty};
use crate::model::render;
use crate::model::rfc3339::rfc3339;
use crate::model::severity::Severity;

/// How long a summary may be, in characters.
const SUMMARY: usize = 1024;
/// How long a key may be, in bytes.
const KEY: usize = 255;
/// How many links an event has: a storm's many rules may have as many runbooks.
const LINKS: usize = 10;

pub(super) struct PagerDutyNotifier {
    settings: PagerDuty,
    client: Client,
}

impl PagerDutyNotifier {
    /// Each attempt ends within `limit`, of which each of at most two requests has half.
    pub(super) fn new(settings: PagerDuty, limit: Duration, ca: Option<&[u8]>) -> Self {
        let client = Client::new(&join(&settings.api_url, "/v2/enqueue"), limit / 2, ca);
        Self { settings, client }
    }

    fn post(&self, notification: &Notification) -> Result<(), Outcome> {
        for event in events(notification, self.settings.routing_key.reveal()) {
            let body = event.to_string();
            let mut answer = self.client.post(&[("Content-Type", "application/json")], body.as_bytes())?;
            answer.check_with(|body| said(body, self.settings.routing_key.reveal()))?;
        }
        Ok(())
    }
}

impl Notifier for PagerDutyNotifier {
    fn send(&mut self, notification: &Notification) -> Outcome {
        self.post(notification).err().unwrap_or(Outcome::Accepted)
    }
}

/// What the service had to say about an event that it did not take.
pub(super) fn said(body: &[u8], key: &str) -> Option<String> {
    let said: Value = serde_json::from_slice(body).ok()?;
    let errors = said["errors"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let text = said["message"].as_str().into_iter().chain(errors).collect::<Vec<_>>().join("; ");
    let text = reason::said(&text, &[key], &[]);
    Some(text).filter(|text| !text.is_empty())
}

/// The events of a notification: one, or two for an incident that is over before the service heard of it. It
/// takes no notice of the end of what it does not know, so that is opened and closed.
fn events(notification: &Notification, routing_key: &str) -> Vec<Value> {
    let event = |key: &str, action: &str| {
        json!({
            "routing_key": routing_key,
            "dedup_key": key,
            "event_action": action,
            "client": "zk_monitor",
        })
    };
    let trigger = |key: &str, payload: Value| {
        let mut event = event(key, "trigger");
        event["payload"] = payload;
        notification.page.iter().for_each(|page| event["client_url"] = (**page).into());
        let links: Vec<Value> =
            runbooks(notification).map(|url| json!({"href": url, "text": "Runbook"})).collect();
        if !links.is_empty() {
            event["links"] = links.into();
        }
        event
    };
    let [item] = notification.items.as_slice() else {
        // What is told as one event bears one id, whose end is told under it, too, even if only one is left then.
        let key = key(notification.items.first().map_or("", |item| &item.incident));
        let any = |wanted: fn(Kind) -> bool| notification.items.iter().any(|item| wanted(item.kind));
        let mut events = Vec::new();
        if any(|kind| kind.is_firing() || kind == Kind::Late) {
            events.push(trigger(&key, storm(notification)));
        }
        if !any(Kind::is_firing) {
            events.push(event(&key, "resolve"));
        }
        return events;
    };
    let key = match item.about {
        About::Path => key(&item.incident),
        // Agents that are blind together are one event.
        About::Agent => key(&format!("blind-{}", notification.cluster)),
    };
    match item.kind {
        Kind::Firing | Kind::Reminder(_) | Kind::Refresh | Kind::Notice | Kind::Test => {
            vec![trigger(&key, single(item, notification))]
        }
        Kind::Late => vec![trigger(&key, single(item, notification)), event(&key, "resolve")],
        Kind::Resolved => vec![event(&key, "resolve")],
    }
}

/// What there is to say about one item.
fn single(item: &Item, notification: &Notification) -> Value {
    let about = match item.about {
        About::Path => item.alert().to_string(),
        About::Agent => notification.cluster.to_string(),
    };
    json!({
        "summary": summary(format!("{about}: {}", render::headline(item))),
        "source": &*notification.agent,
        "severity": severity(item).word(),
        "timestamp": rfc3339(item.since),
        "component": &*item.path,
        "group": &*notification.cluster,
        "class": alert_name(item),
        "custom_details": details(item, notification),
    })
}

/// What a person is to see, and what events are routed by.
fn details(item: &Item, notification: &Notification) -> Value {
    let mut details = annotations(item);
    details.insert("labels".to_owned(), labels(item, notification).into());
    details.into()
}

/// How bad it is. What is over, and what is only a test, is worth no more than knowing.
fn severity(item: &Item) -> Severity {
    match item.kind {
        Kind::Firing | Kind::Reminder(_) | Kind::Refresh | Kind::Notice => {
            item.labels.severity.unwrap_or_default()
        }
        Kind::Resolved | Kind::Late | Kind::Test => Severity::Info,
    }
}

/// The runbooks of its items, each once, and a few of them.
fn runbooks(notification: &Notification) -> impl Iterator<Item = &str> {
    let runbooks: BTreeSet<_> =
        notification.items.iter().filter_map(|item| item.runbook.as_deref()).collect();
    runbooks.into_iter().take(LINKS)
}

/// One event for many paths, which is as bad as the worst of them.
fn storm(notification: &Notification) -> Value {
    let (paths, cluster) = (notification.paths(), &*notification.cluster);
    let worst = notification.items.iter().map(severity).max().unwrap_or_default();
    json!({
        "summary": summary(format!("{paths} paths of {cluster} are out of spec")),
        "source": &*notification.agent,
        "severity": worst.word(),
        "group": cluster,
        "class": notification.items.first().map(alert_name),
        "custom_details": {"paths": render::chat(notification)},
    })
}

/// A key as it is, or a hash of one that is too long.
fn key(text: &str) -> String {
    if text.len() <= KEY { text.to_owned() } else { sha256(&[text]) }
}

fn summary(text: String) -> String {
    text.chars().take(SUMMARY).collect()
}
