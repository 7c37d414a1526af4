//! Each receiver against a server that behaves, or does not.

mod bodies;
mod http;
mod mails;
mod samples;
mod sink;
mod smtp;

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use super::notifier_within;
use crate::clock;
use crate::model::children::Left;
use crate::model::message::{About, Item, Kind, Notification};
use crate::model::receiver::{Outcome, Receiver, ReceiverId, Settings};

/// Long enough for an honest dialogue on a busy machine.
const LIMIT: Duration = Duration::from_secs(10);
/// A deadline to be met.
const SHORT: Duration = Duration::from_millis(400);
/// What must appear in no reason.
const SECRET: &str = "s3cret";

pub(super) fn item(path: &str, kind: Kind) -> Item {
    Item {
        incident: "i1".into(),
        path: path.into(),
        rule: None,
        pattern: None,
        kind,
        about: About::Path,
        message: "Found children (0) less than minimum (1)".into(),
        since: UNIX_EPOCH + Duration::from_secs(1_401_553_225),
        until: (!kind.is_firing()).then(|| UNIX_EPOCH + Duration::from_secs(1_401_553_285)),
        children: Some(0),
        left: Left { names: vec!["a".into(), "b".into()], count: 2 },
        counted: None,
        labels: Arc::new([("severity", "critical"), ("team", "web")].into_iter().collect()),
        description: Some("Call Ada".into()),
        runbook: Some("https://wiki.example.com/web#down".into()),
        notes: Vec::new(),
    }
}

fn notification(items: Vec<Item>) -> Notification {
    Notification { cluster: "c".into(), agent: "host-1".into(), page: Some("http://host:8080".into()), items }
}

fn firing() -> Notification {
    notification(vec![item("/services/foo", Kind::Firing)])
}

/// One attempt, which must end within the limit, and whose reason must tell nobody anything.
fn attempt(settings: Settings, notification: &Notification, limit: Duration) -> Outcome {
    let id = ReceiverId(Arc::from("id"));
    let receiver = Receiver { id, name: "the receiver".into(), settings, ca: None };
    let mut notifier = notifier_within(&receiver, limit);
    let start = clock::mono();
    let outcome = notifier.send(notification);
    let took = clock::mono() - start;
    assert!(took < limit + Duration::from_millis(300), "took {took:?} of {limit:?}");
    is_discreet(&outcome);
    outcome
}

fn is_discreet(outcome: &Outcome) {
    let (Outcome::Failed { reason, .. } | Outcome::Ambiguous { reason } | Outcome::Refused { reason }) =
        outcome
    else {
        return;
    };
    for hidden in [SECRET, "127.0.0.1", "localhost", "://", "@", "ops"] {
        assert!(!reason.contains(hidden), "{reason:?} tells {hidden:?}");
    }
    assert!(!reason.is_empty() && reason.len() < 400 && !reason.contains('\n'), "{reason:?}");
}

/// The kind of an outcome, for tables.
fn kind(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Accepted => "accepted",
        Outcome::Failed { .. } => "failed",
        Outcome::Ambiguous { .. } => "ambiguous",
        Outcome::Refused { .. } => "refused",
        Outcome::NotTried => "not tried",
    }
}
