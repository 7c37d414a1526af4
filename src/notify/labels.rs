//! Labels and annotations of an alert, as Alertmanager and those who read its webhooks know them.

use serde_json::{Map, Value};

use super::encode::sha256;
use crate::model::message::{About, Item, Kind, Notification};
use crate::model::render;

/// The name of the alerts of paths.
const ALERT: &str = "ZooKeeperPathOutOfSpec";
/// The name of the alert that an agent has no ZooKeeper.
const BLIND: &str = "ZooKeeperUnreachable";

/// The name of the alert that an item is of.
pub(super) fn alert_name(item: &Item) -> &'static str {
    match item.about {
        About::Path => ALERT,
        About::Agent => BLIND,
    }
}

/// The labels of an item. They are the alert's identity: the same from its first message to its last.
pub(super) fn labels(item: &Item, notification: &Notification) -> Map<String, Value> {
    let mut labels = Map::new();
    labels.insert("alertname".to_owned(), alert_name(item).into());
    // Agents that are blind together are one alert.
    if item.about == About::Path {
        labels.insert("path".to_owned(), (*item.path).into());
    }
    labels.insert("cluster".to_owned(), (*notification.cluster).into());
    labels.extend(item.labels.iter().map(|(name, value)| (name.to_owned(), value.into())));
    if item.kind == Kind::Test {
        labels.insert("test".to_owned(), "true".into());
    }
    labels
}

/// The annotations of an item: what may change from message to message. Strings, as Alertmanager wants them;
/// what there is nothing to say of is left out.
pub(super) fn annotations(item: &Item) -> Map<String, Value> {
    let message = if item.kind == Kind::Test { render::headline(item) } else { item.message.to_string() };
    let all = [
        ("message", message),
        ("description", item.description.as_deref().unwrap_or_default().to_owned()),
        ("runbook_url", item.runbook.as_deref().unwrap_or_default().to_owned()),
        ("incident", item.incident.to_string()),
        ("children", item.children.map_or(String::new(), |children| children.to_string())),
        ("left", render::left(&item.left)),
        ("rule_path", item.pattern.as_deref().unwrap_or_default().to_owned()),
        ("notes", item.notes.join("; ")),
    ];
    let said = all.into_iter().filter(|(_, text)| !text.is_empty());
    said.map(|(name, text)| (name.to_owned(), text.into())).collect()
}

/// A short hash of the labels.
pub(super) fn fingerprint(labels: &Map<String, Value>) -> String {
    let text = Value::Object(labels.clone()).to_string();
    sha256(&[&text])[..16].to_owned()
}

/// What all of the maps agree on.
pub(super) fn common(maps: &[Map<String, Value>]) -> Map<String, Value> {
    let mut common = maps.first().cloned().unwrap_or_default();
    common.retain(|name, value| maps.iter().all(|map| map.get(name) == Some(value)));
    common
}
