//! A line to a Slack channel, by API token or by incoming webhook.

use std::time::Duration;

use serde_json::{Value, json};

use super::http::{Answer, Client, join};
use crate::model::message::Notification;
use crate::model::notifier::Notifier;
use crate::model::receiver::{Outcome, Slack};
use crate::model::render;

/// Errors that will not go away by themselves: about the token, the channel, or the message. Slack says them
/// with status 200, too.
const FINAL: [&str; 27] = [
    "access_denied",
    "account_inactive",
    "action_prohibited",
    "as_user_not_supported",
    "channel_is_archived",
    "channel_not_found",
    "deprecated_endpoint",
    "ekm_access_denied",
    "invalid_arguments",
    "invalid_auth",
    "invalid_payload",
    "invalid_token",
    "is_archived",
    "messages_tab_disabled",
    "method_deprecated",
    "missing_scope",
    "msg_too_long",
    "no_permission",
    "no_service",
    "no_text",
    "not_allowed_token_type",
    "not_authed",
    "not_in_channel",
    "restricted_action",
    "token_expired",
    "token_revoked",
    "user_not_found",
];
/// Errors after which, as Slack documents, a part of the operation may have succeeded.
const HALFWAY: [&str; 2] = ["internal_error", "fatal_error"];

pub(super) struct SlackNotifier {
    settings: Slack,
    client: Client,
}

impl SlackNotifier {
    /// Each attempt ends within `limit`.
    pub(super) fn new(settings: Slack, limit: Duration, ca: Option<&[u8]>) -> Self {
        let client = match &settings {
            Slack::Api { api_url, .. } => Client::new(&join(api_url, "/chat.postMessage"), limit, ca),
            Slack::Webhook { url, .. } => Client::new(url.reveal(), limit, ca),
        };
        Self { settings, client }
    }

    fn post(&self, notification: &Notification) -> Result<(), Outcome> {
        let text = escaped(&render::chat(notification));
        let json = ("Content-Type", "application/json; charset=utf-8");
        match &self.settings {
            Slack::Api { channel, token, from, .. } => {
                let bearer = format!("Bearer {}", token.reveal());
                let body = payload(text, Some(channel), from.as_deref()).to_string();
                understood(self.client.post(&[json, ("Authorization", &bearer)], body.as_bytes())?)
            }
            Slack::Webhook { channel, from, .. } => {
                let body = payload(text, channel.as_deref(), from.as_deref()).to_string();
                understood(self.client.post(&[json], body.as_bytes())?)
            }
        }
    }
}

impl Notifier for SlackNotifier {
    fn send(&mut self, notification: &Notification) -> Outcome {
        self.post(notification).err().unwrap_or(Outcome::Accepted)
    }
}

/// The message. Its text is no markup: the `_` and `*` of a path are to be seen.
fn payload(text: String, channel: Option<&str>, from: Option<&str>) -> Value {
    let mut payload = json!({"text": text, "mrkdwn": false, "unfurl_links": false});
    if let Some(channel) = channel {
        payload["channel"] = channel.into();
    }
    if let Some(from) = from {
        payload["username"] = from.into();
    }
    payload
}

/// The three characters that have a meaning in any text of Slack's.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// The API, and those that imitate it or its webhooks, say in JSON whether they did it, mostly with status 200; a
/// webhook says `ok`, or nothing. What was taken and is not understood is taken: the message would be repeated for as
/// long as it is answered so.
pub(super) fn understood(mut answer: Answer) -> Result<(), Outcome> {
    answer.check_with(word)?;
    let Some(body) = answer.body() else {
        return Err(Outcome::Ambiguous { reason: "Slack's answer broke off".to_owned() });
    };
    let said: Value = serde_json::from_slice(&body).unwrap_or_default();
    match said["ok"].as_bool().or(said["success"].as_bool()) {
        Some(false) => Err(refusal(said["error"].as_str().unwrap_or_default(), answer.retry_after())),
        Some(true) | None => Ok(()),
    }
}

/// What an error that Slack names means. One that is not known to be final may pass.
fn refusal(error: &str, retry_after: Option<Duration>) -> Outcome {
    let reason = match word(error.as_bytes()) {
        Some(word) => format!("Slack: {word}"),
        None => "Slack refused it".to_owned(),
    };
    if FINAL.contains(&error) {
        Outcome::Refused { reason }
    } else if HALFWAY.contains(&error) {
        Outcome::Ambiguous { reason }
    } else {
        Outcome::Failed { reason, retry_after }
    }
}

/// An error's name, if it is one: such words hold no secret.
fn word(said: &[u8]) -> Option<String> {
    let said = said.trim_ascii();
    let is_word =
        (1..=60).contains(&said.len()) && said.iter().all(|byte| byte.is_ascii_lowercase() || *byte == b'_');
    is_word.then(|| String::from_utf8_lossy(said).into_owned())
}
