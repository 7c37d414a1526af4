//! One file a kind of receiver; each makes one attempt and tells what became of it.
//!
//! What an attempt came to is what the whole alert protocol stands on, so it is told with care: `Accepted` only
//! if the receiver said so, `Failed` only if it surely did not take it, `Ambiguous` if the request was handed
//! over whole and the answer was lost, `Refused` if the receiver said no for good. The reason holds no secret,
//! no URL and no mail address, since `/status` shows it.

mod alertmanager;
mod email;
mod encode;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod hipchat;
mod http;
mod key;
mod labels;
mod pagerduty;
mod proxy;
mod reason;
mod roots;
mod slack;
mod smtp;
mod transport;
mod webhook;
mod wire;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use crate::model::notifier::{ATTEMPT, Notifier};
use crate::model::receiver::{Outcome, Receiver, Secret, Settings, Slack};

/// What reaches this receiver. Each of its attempts ends within [`ATTEMPT`].
pub fn notifier(receiver: &Receiver) -> Box<dyn Notifier> {
    notifier_within(receiver, ATTEMPT)
}

/// The same with another bound, for tests.
fn notifier_within(receiver: &Receiver, limit: Duration) -> Box<dyn Notifier> {
    let ca = receiver.ca.as_deref();
    match receiver.settings.clone() {
        Settings::Email(email) => Box::new(email::EmailNotifier::new(email, &receiver.name, limit)),
        Settings::Slack(slack) => Box::new(slack::SlackNotifier::new(slack, limit, ca)),
        Settings::HipChat(hipchat) => Box::new(hipchat::HipChatNotifier::new(hipchat, limit, ca)),
        Settings::Webhook(webhook) => {
            Box::new(webhook::WebhookNotifier::new(webhook, &receiver.name, limit, ca))
        }
        Settings::Alertmanager(settings) => {
            Box::new(alertmanager::AlertmanagerNotifier::new(&settings, limit, ca))
        }
        Settings::PagerDuty(settings) => Box::new(pagerduty::PagerDutyNotifier::new(settings, limit, ca)),
    }
}

/// The host that a receiver's messages go to, with its port. It may stand in a log.
pub fn host(receiver: &Receiver) -> Arc<str> {
    match &receiver.settings {
        Settings::Email(email) => format!("{}:{}", email.smtp.host, email.smtp.port).into(),
        Settings::Slack(Slack::Api { api_url, .. }) => http::authority(api_url),
        Settings::Slack(Slack::Webhook { url, .. }) => http::authority(url.reveal()),
        Settings::HipChat(hipchat) => http::authority(&hipchat.api_url),
        Settings::Webhook(webhook) => http::authority(webhook.url.reveal()),
        Settings::Alertmanager(alertmanager) => http::authority(alertmanager.url.reveal()),
        Settings::PagerDuty(pagerduty) => http::authority(&pagerduty.api_url),
    }
}

/// Pings a dead-man's switch: one GET, which ends within [`ATTEMPT`].
pub fn heartbeat(url: &Secret) -> Outcome {
    let answer = http::Client::new(url.reveal(), ATTEMPT, None).get();
    answer.and_then(|answer| answer.check()).err().unwrap_or(Outcome::Accepted)
}
