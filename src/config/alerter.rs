//! Alerters: what a rule says about who hears of it, as receivers.

use std::collections::HashSet;
use std::sync::Arc;

use super::address;
use super::digest::Identity;
use super::document::Value;
use super::located::Located;
use super::map::Map;
use super::url::Url;
use super::validator::{Reported, Validator};
use crate::model::receiver::{Email, HipChat, PagerDuty, ReceiverId, Settings, Slack, Smtp};

const KINDS: [&str; 6] = ["email", "slack", "hipchat", "webhook", "alertmanager", "pagerduty"];

impl Validator<'_> {
    /// The receivers of one alerter, each once. None at all: the rule is muted.
    pub(super) fn alerter(&mut self, at: &Located<'_, '_>, smtp: &Arc<Smtp>) -> Vec<ReceiverId> {
        if matches!(at.value(), Value::Null) {
            return Vec::new();
        }
        let Some(map) = self.map(*at, "an alerter", &KINDS) else { return Vec::new() };
        let found = [
            map.get("email").map(|at| self.email(&at, smtp)),
            map.get("slack").map(|at| self.slack(&at)),
            map.get("hipchat").map(|at| self.hipchat(&at)),
            map.get("webhook").map(|at| self.webhooks(&at)),
            map.get("alertmanager").map(|at| self.alertmanagers(&at)),
            map.get("pagerduty").map(|at| self.pagerduty(&at)),
        ];
        let mut ids: Vec<ReceiverId> = found.into_iter().flatten().flatten().collect();
        let mut seen = HashSet::new();
        ids.retain(|id| seen.insert(id.clone()));
        ids
    }

    /// `email`: a text of addresses, or a list of them.
    fn email(&mut self, at: &Located<'_, '_>, smtp: &Arc<Smtp>) -> Vec<ReceiverId> {
        let mut ids = Vec::new();
        if let Value::List(items) = at.value() {
            for (n, item) in items.iter().enumerate() {
                ids.extend(self.addresses(&at.item(n, item), smtp));
            }
            if items.is_empty() {
                self.error(at, "must hold an address");
            }
        } else {
            ids.extend(self.addresses(at, smtp));
        }
        ids
    }

    fn addresses(&mut self, at: &Located<'_, '_>, smtp: &Arc<Smtp>) -> Vec<ReceiverId> {
        let mut ids = Vec::new();
        let Some(text) = self.text(at) else { return ids };
        let all: Vec<&str> = address::split(text).collect();
        if all.is_empty() {
            self.error(at, "must hold an address");
        }
        for (n, address) in all.iter().enumerate() {
            let address = match address::parse(address) {
                Ok(address) => address,
                Err(reason) if all.len() == 1 => {
                    self.error(at, format!("the address {reason}"));
                    continue;
                }
                Err(reason) => {
                    self.error(at, format!("address {} of {} {reason}", n + 1, all.len()));
                    continue;
                }
            };
            let settings =
                Settings::Email(Email { address: address.as_str().into(), smtp: Arc::clone(smtp) });
            ids.extend(self.receiver(at, Identity { what: &address, name: None }, &address, settings, None));
        }
        ids
    }

    fn slack(&mut self, at: &Located<'_, '_>) -> Vec<ReceiverId> {
        const KEYS: [&str; 9] = [
            "channel",
            "token",
            "token_file",
            "webhook_url",
            "webhook_url_file",
            "from",
            "api_url",
            "name",
            "ca_file",
        ];
        let maps = self.maps(at, "`slack`", &KEYS).unwrap_or_default();
        maps.iter().filter_map(|map| self.slack_channel(map)).collect()
    }

    fn slack_channel(&mut self, map: &Map<'_, '_>) -> Option<ReceiverId> {
        let (token, url) =
            (self.secret(map, "token", "token_file"), self.secret(map, "webhook_url", "webhook_url_file"));
        let (Ok(token), Ok(url)) = (token, url) else { return None };
        let channel = self.optional_line(map, "channel").ok()?;
        let from = self.optional_line(map, "from").ok()?;
        let name = self.name(map).ok()?;
        let ca = self.ca_file(map).ok()?;
        let api_url = self.base_url(map, "https://slack.com/api")?;
        match (token, url) {
            (Some(_), Some(_)) => {
                self.error(&map.at, "has both a token and a webhook URL: one of them is too much");
                None
            }
            (None, None) => {
                self.lacks(
                    map,
                    "`channel` and `token_file` (or `token`), or `webhook_url_file` (or `webhook_url`)",
                );
                None
            }
            (Some(token), None) => {
                let Some(channel) = channel else {
                    self.lacks(map, "`channel`");
                    return None;
                };
                let (what, label) = (format!("channel {channel}"), channel.clone());
                let settings = Slack::Api { api_url, channel, token, from };
                self.receiver(&map.at, Identity { what: &what, name }, &label, Settings::Slack(settings), ca)
            }
            (None, Some(url)) => {
                let origin = match Url::parse(url.reveal()) {
                    Ok(parsed) => parsed.origin(),
                    Err(reason) => {
                        self.error(&map.at, format!("the webhook URL {reason}"));
                        return None;
                    }
                };
                if let Some(at) = map.get("api_url") {
                    self.error(&at, "has no meaning beside a webhook URL");
                }
                let what = format!("webhook {}", url.reveal());
                let label = channel.clone().unwrap_or_else(|| format!("webhook {origin}"));
                let settings = Slack::Webhook { url, channel, from };
                self.receiver(&map.at, Identity { what: &what, name }, &label, Settings::Slack(settings), ca)
            }
        }
    }

    fn hipchat(&mut self, at: &Located<'_, '_>) -> Vec<ReceiverId> {
        const KEYS: [&str; 7] = ["room", "token", "token_file", "from", "api_url", "name", "ca_file"];
        let maps = self.maps(at, "`hipchat`", &KEYS).unwrap_or_default();
        maps.iter().filter_map(|map| self.hipchat_room(map)).collect()
    }

    fn hipchat_room(&mut self, map: &Map<'_, '_>) -> Option<ReceiverId> {
        const PUBLIC: &str = "https://api.hipchat.com";
        let Ok(token) = self.secret(map, "token", "token_file") else { return None };
        let from = self.optional_line(map, "from").ok()?.unwrap_or_else(|| "zk_monitor".to_owned());
        let name = self.name(map).ok()?;
        let ca = self.ca_file(map).ok()?;
        let api_url = self.base_url(map, PUBLIC)?;
        // Rooms have numbers, too.
        let room = map.get("room").map(|at| {
            let number =
                if let Value::Integer(number) = at.value() { Some(number.to_string()) } else { None };
            number.or_else(|| self.line(&at).map(str::to_owned))
        });
        let (Some(room), Some(token)) = (room, token) else {
            self.lacks(map, "`room` and `token_file` (or `token`)");
            return None;
        };
        let room = room?;
        if api_url == PUBLIC && !self.receivers.has_kind("hipchat") {
            self.warn(
                &map.at,
                "HipChat's public service is gone: without `api_url` nothing will take these alerts",
            );
        }
        let label = room.clone();
        let settings = Settings::HipChat(HipChat { api_url, room, token, from });
        self.receiver(&map.at, Identity { what: &label, name }, &label, settings, ca)
    }

    fn pagerduty(&mut self, at: &Located<'_, '_>) -> Vec<ReceiverId> {
        const KEYS: [&str; 5] = ["routing_key", "routing_key_file", "api_url", "name", "ca_file"];
        let maps = self.maps(at, "`pagerduty`", &KEYS).unwrap_or_default();
        maps.iter().filter_map(|map| self.pagerduty_service(map)).collect()
    }

    fn pagerduty_service(&mut self, map: &Map<'_, '_>) -> Option<ReceiverId> {
        let Ok(key) = self.secret(map, "routing_key", "routing_key_file") else { return None };
        let name = self.name(map).ok()?;
        let ca = self.ca_file(map).ok()?;
        let api_url = self.base_url(map, "https://events.pagerduty.com")?;
        let Some(routing_key) = key else {
            self.lacks(map, "`routing_key_file` (or `routing_key`)");
            return None;
        };
        let what = routing_key.reveal().to_owned();
        let settings = Settings::PagerDuty(PagerDuty { api_url, routing_key });
        self.receiver(&map.at, Identity { what: &what, name }, "", settings, ca)
    }

    /// `api_url`, without a slash at its end.
    fn base_url(&mut self, map: &Map<'_, '_>, default: &str) -> Option<String> {
        let Some(at) = map.get("api_url") else { return Some(default.to_owned()) };
        let text = self.line(&at)?.trim_end_matches('/');
        match Url::parse_base(text) {
            Ok(url) if url.has_credentials() => self.error(&at, "must not hold a user or a password"),
            Ok(_) => return Some(text.to_owned()),
            Err(reason) => self.error(&at, reason),
        }
        None
    }

    /// `ca_file`: certificates to trust beside the system's.
    pub(super) fn ca_file(&mut self, map: &Map<'_, '_>) -> Result<Option<Arc<[u8]>>, Reported> {
        let Some(at) = map.get("ca_file") else { return Ok(None) };
        self.certificates(&at).map(Some).ok_or(Reported)
    }

    fn optional_line(&mut self, map: &Map<'_, '_>, key: &'static str) -> Result<Option<String>, Reported> {
        let Some(at) = map.get(key) else { return Ok(None) };
        self.line(&at).map(|line| Some(line.to_owned())).ok_or(Reported)
    }
}
