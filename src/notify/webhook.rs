//! A POST of JSON in the shape of Alertmanager's webhook, version 4, or of what a template makes of that.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::http::Client;
use super::labels::{alert_name, annotations, common, fingerprint, labels};
use super::{encode, key};
use crate::model::message::{About, Item, Notification};
use crate::model::notifier::Notifier;
use crate::model::receiver::{Outcome, Webhook};
use crate::model::rfc3339::rfc3339;

/// The end of an alert that has none yet, as Alertmanager writes it.
const NO_END: &str = "0001-01-01T00:00:00Z";

/// One request.
struct Message<'a> {
    body: String,
    content_type: &'a str,
    /// What stands behind the URL.
    path: String,
}

pub(super) struct WebhookNotifier {
    settings: Webhook,
    /// What operators call this receiver.
    name: String,
    client: Client,
}

impl WebhookNotifier {
    /// Each attempt ends within `limit`.
    pub(super) fn new(settings: Webhook, name: &str, limit: Duration, ca: Option<&[u8]>) -> Self {
        let client = Client::new(settings.url.reveal(), limit, ca);
        Self { settings, name: name.to_owned(), client }
    }

    fn post(&self, notification: &Notification) -> Result<(), Outcome> {
        let refused = |reason| Outcome::Refused { reason };
        let Message { body, content_type, path } = self.message(notification).map_err(refused)?;
        let key = key::of(notification);
        let secret = self.settings.secret.as_ref();
        let signature =
            secret.map(|secret| format!("sha256={}", encode::signature(secret.reveal(), body.as_bytes())));
        let mut headers = vec![("Content-Type", content_type), ("Idempotency-Key", &key)];
        headers.extend(signature.as_deref().map(|signature| ("X-Zk-Monitor-Signature", signature)));
        // What the operator sets takes the place of what we would say.
        let own = &self.settings.headers;
        headers.retain(|(name, _)| !own.iter().any(|(other, _)| other.eq_ignore_ascii_case(name)));
        headers.extend(own.iter().map(|(name, value)| (name.as_str(), value.reveal())));
        self.client.post_below(&path, &headers, body.as_bytes())?.check()
    }

    /// What is sent. An error says why the template gives nothing for this: the same would come of another attempt.
    fn message(&self, notification: &Notification) -> Result<Message<'_>, String> {
        let body = payload(notification, &self.name).to_string();
        let Some(template) = &self.settings.template else {
            return Ok(Message { body, content_type: "application/json", path: String::new() });
        };
        let path = template.path.as_ref().map_or(Ok(String::new()), |path| (path.run)(&body))?;
        Ok(Message { body: (template.body.run)(&body)?, content_type: &template.content_type, path })
    }
}

impl Notifier for WebhookNotifier {
    fn send(&mut self, notification: &Notification) -> Outcome {
        self.post(notification).err().unwrap_or(Outcome::Accepted)
    }
}

/// The body of the request, and what templates are given.
pub(super) fn payload(notification: &Notification, receiver: &str) -> Value {
    let (items, page) = (&notification.items, notification.page.as_deref().unwrap_or_default());
    let labels: Vec<Map<String, Value>> = items.iter().map(|item| labels(item, notification)).collect();
    let annotations: Vec<Map<String, Value>> = items.iter().map(annotations).collect();
    let alerts: Vec<Value> = items
        .iter()
        .zip(labels.iter().zip(&annotations))
        .map(|(item, (labels, annotations))| alert(item, labels, annotations, page))
        .collect();
    let group = group(notification);
    json!({
        "version": "4",
        "groupKey": group_key(&group),
        "status": status(items.iter().any(|item| item.kind.is_firing())),
        "receiver": receiver,
        "groupLabels": group,
        "commonLabels": common(&labels),
        "commonAnnotations": common(&annotations),
        "externalURL": page,
        "alerts": alerts,
    })
}

fn alert(item: &Item, labels: &Map<String, Value>, annotations: &Map<String, Value>, page: &str) -> Value {
    json!({
        "status": status(item.kind.is_firing()),
        "labels": labels,
        "annotations": annotations,
        "startsAt": rfc3339(item.since),
        "endsAt": item.until.filter(|_| !item.kind.is_firing()).map_or(NO_END.to_owned(), rfc3339),
        "generatorURL": page,
        "fingerprint": fingerprint(labels),
    })
}

fn status(is_firing: bool) -> &'static str {
    if is_firing { "firing" } else { "resolved" }
}

/// What the alerts of one message are grouped by: an alert and its recovery are one group.
fn group(notification: &Notification) -> Map<String, Value> {
    let mut group = Map::new();
    let name = notification.items.first().map(alert_name).unwrap_or_default();
    group.insert("alertname".to_owned(), name.into());
    group.insert("cluster".to_owned(), (*notification.cluster).into());
    if let [item] = notification.items.as_slice()
        && item.about == About::Path
    {
        group.insert("path".to_owned(), (*item.path).into());
        if let Some(rule) = &item.labels.rule {
            group.insert("rule".to_owned(), (**rule).into());
        }
    }
    group
}

/// The name of a group, in Alertmanager's way of writing it.
fn group_key(group: &Map<String, Value>) -> String {
    let labels: Vec<String> = group.iter().map(|(name, value)| format!("{name}={value}")).collect();
    format!("{{}}:{{{}}}", labels.join(", "))
}
