//! Alerts to a Prometheus Alertmanager, by version 2 of its API.

use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use super::http::{Client, join};
use super::labels::{annotations, labels};
use crate::clock;
use crate::model::message::{Item, Kind, Notification};
use crate::model::notifier::Notifier;
use crate::model::receiver::{Alertmanager, Outcome};
use crate::model::rfc3339::rfc3339;

/// An alert ends by itself so long after it was told last. It is told again every minute, so this outlasts a
/// change of leader with ease, and no alert stays for ever when all agents are gone.
const FIRING: Duration = Duration::from_secs(15 * 60);
/// Nobody tells a test again, so it ends soon.
const TEST: Duration = Duration::from_secs(60);

pub(super) struct AlertmanagerNotifier {
    client: Client,
}

impl AlertmanagerNotifier {
    /// Each attempt ends within `limit`.
    pub(super) fn new(settings: &Alertmanager, limit: Duration, ca: Option<&[u8]>) -> Self {
        Self { client: Client::new(&join(settings.url.reveal(), "/api/v2/alerts"), limit, ca) }
    }

    fn post(&self, notification: &Notification, now: SystemTime) -> Result<(), Outcome> {
        let body = alerts(notification, now).to_string();
        self.client.post(&[("Content-Type", "application/json")], body.as_bytes())?.check()
    }
}

impl Notifier for AlertmanagerNotifier {
    fn send(&mut self, notification: &Notification) -> Outcome {
        self.post(notification, clock::wall()).err().unwrap_or(Outcome::Accepted)
    }
}

/// The body of the request.
fn alerts(notification: &Notification, now: SystemTime) -> Value {
    let alert = |item: &Item| {
        let mut alert = json!({
            "labels": labels(item, notification),
            "annotations": annotations(item),
            "startsAt": rfc3339(item.since),
            "endsAt": rfc3339(ends(item, now)),
        });
        notification.page.iter().for_each(|page| alert["generatorURL"] = (**page).into());
        alert
    };
    notification.items.iter().map(alert).collect()
}

/// When an alert ended, or will end if it is not told again.
fn ends(item: &Item, now: SystemTime) -> SystemTime {
    match item.kind {
        Kind::Firing | Kind::Reminder(_) | Kind::Refresh | Kind::Notice => now + FIRING,
        Kind::Test => now + TEST,
        Kind::Resolved | Kind::Late => item.until.unwrap_or(now),
    }
}
