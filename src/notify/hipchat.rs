//! A line to a HipChat room, by version 1 of its API: what self-hosted servers and imitations still speak.

use std::time::Duration;

use serde_json::Value;

use super::http::{Client, failed, join};
use crate::model::message::{Kind, Notification};
use crate::model::notifier::Notifier;
use crate::model::receiver::{HipChat, Outcome};
use crate::model::render;
use crate::percent;

/// How long a sender's name may be, in characters.
const FROM: usize = 14;

pub(super) struct HipChatNotifier {
    settings: HipChat,
    client: Client,
}

impl HipChatNotifier {
    /// Each attempt ends within `limit`.
    pub(super) fn new(settings: HipChat, limit: Duration, ca: Option<&[u8]>) -> Self {
        let path =
            format!("/v1/rooms/message?format=json&auth_token={}", percent::encode(settings.token.reveal()));
        let client = Client::new(&join(&settings.api_url, &path), limit, ca);
        Self { settings, client }
    }

    fn post(&self, notification: &Notification) -> Result<(), Outcome> {
        let from: String = self.settings.from.chars().take(FROM).collect();
        let message = render::chat(notification);
        let fields = [
            ("room_id", self.settings.room.as_str()),
            ("from", &from),
            ("message", &message),
            ("message_format", "text"),
            ("color", color(notification)),
            ("notify", "1"),
        ];
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        let headers = [("Content-Type", "application/x-www-form-urlencoded")];
        let mut answer = self.client.post(&headers, body.as_bytes())?;
        answer.check()?;
        let Some(body) = answer.body() else {
            return Err(Outcome::Ambiguous { reason: "HipChat's answer broke off".to_owned() });
        };
        // What was taken and is not understood is taken: it would be repeated for as long as it is answered so.
        let said: Value = serde_json::from_slice(&body).unwrap_or_default();
        if said["error"].is_null() {
            Ok(())
        } else {
            Err(failed("HipChat answered with an error".to_owned()))
        }
    }
}

impl Notifier for HipChatNotifier {
    fn send(&mut self, notification: &Notification) -> Outcome {
        self.post(notification).err().unwrap_or(Outcome::Accepted)
    }
}

/// Red if all is out of spec, green if all is back, else yellow.
fn color(notification: &Notification) -> &'static str {
    let color = |kind| match kind {
        Kind::Firing | Kind::Reminder(_) | Kind::Refresh => "red",
        Kind::Resolved | Kind::Late => "green",
        Kind::Notice | Kind::Test => "yellow",
    };
    let mut colors = notification.items.iter().map(|item| color(item.kind));
    let first = colors.next().unwrap_or("yellow");
    if colors.all(|color| color == first) { first } else { "yellow" }
}
