//! The alerters that are a URL: webhooks and Alertmanagers.

use std::sync::Arc;

use super::digest::Identity;
use super::document::Value;
use super::located::Located;
use super::url::Url;
use super::validator::Validator;
use crate::model::receiver::{Alertmanager, ReceiverId, Secret, Settings, Webhook};

/// Headers that each webhook sets itself, in lower case.
const OWN_HEADERS: [&str; 6] = [
    "connection",
    "content-length",
    "content-type",
    "idempotency-key",
    "transfer-encoding",
    "x-zk-monitor-signature",
];

/// More headers than any server takes.
const MAX_HEADERS: usize = 100;

/// What an endpoint may be given beside its URL, of whichever kind it is.
#[derive(Clone, Debug, Default)]
struct Named<'t> {
    name: Option<&'t str>,
    ca: Option<Arc<[u8]>>,
}

impl Validator<'_> {
    /// `webhook`: a URL, a map, or a list of such.
    pub(super) fn webhooks(&mut self, at: &Located<'_, '_>) -> Vec<ReceiverId> {
        let Value::List(items) = at.value() else { return self.webhook(at).into_iter().collect() };
        if items.is_empty() {
            self.error(at, "must hold a URL");
        }
        items.iter().enumerate().filter_map(|(n, item)| self.webhook(&at.item(n, item))).collect()
    }

    fn webhook(&mut self, at: &Located<'_, '_>) -> Option<ReceiverId> {
        if matches!(at.value(), Value::Text(_)) {
            return self.endpoint(at, Named::default(), Vec::new(), None);
        }
        let map = self.map(*at, "`webhook`", &["url", "headers", "secret_file", "name", "ca_file"])?;
        let named = Named { name: self.name(&map).ok()?, ca: self.ca_file(&map).ok()? };
        let headers = match map.get("headers") {
            Some(at) => self.headers(&at)?,
            None => Vec::new(),
        };
        let secret = match map.get("secret_file") {
            Some(at) => Some(self.secret_file(&at)?),
            None => None,
        };
        let Some(url) = map.get("url") else {
            self.lacks(&map, "`url`");
            return None;
        };
        self.endpoint(&url, named, headers, secret)
    }

    fn endpoint(
        &mut self,
        at: &Located<'_, '_>,
        Named { name, ca }: Named<'_>,
        headers: Vec<(String, Secret)>,
        secret: Option<Secret>,
    ) -> Option<ReceiverId> {
        let text = self.line(at)?;
        let url = Url::parse(text).map_err(|reason| self.error(at, reason)).ok()?;
        if url.has_credentials() {
            self.note_inline_secret(at);
        }
        let settings = Webhook { url: Secret::new(text.to_owned()), headers, secret };
        let identity = Identity { what: &url.identity(), name };
        // The paths of many such URLs are secrets.
        self.receiver(at, identity, &url.origin(), Settings::Webhook(settings), ca)
    }

    fn headers(&mut self, at: &Located<'_, '_>) -> Option<Vec<(String, Secret)>> {
        let entries = self.entries(*at)?;
        if entries.len() > MAX_HEADERS {
            self.error(at, format!("must hold at most {MAX_HEADERS} headers"));
            return None;
        }
        let mut headers = Vec::new();
        for entry in &entries {
            let (key, value) = (at.key(entry.key, entry.key_node), at.key(entry.key, entry.value));
            let name = entry.key.to_ascii_lowercase();
            if OWN_HEADERS.contains(&name.as_str()) {
                self.error(&key, "is a header that zk_monitor sets itself");
            } else if !is_header_name(&name) {
                self.error(&key, "is not the name of an HTTP header");
            } else if headers.iter().any(|(other, _): &(String, Secret)| other.eq_ignore_ascii_case(&name)) {
                self.error(&key, "stands twice, in other letters");
            } else if let Some(text) = self.line(&value) {
                if !text.is_ascii() {
                    self.error(&value, "must be plain ASCII, as HTTP headers are");
                }
                if name == "authorization" {
                    self.note_inline_secret(&value);
                }
                headers.push((entry.key.to_owned(), Secret::new(text.to_owned())));
            }
        }
        Some(headers)
    }

    /// `alertmanager`: a URL, a list of URLs, or a map with `url`, which is one of both.
    pub(super) fn alertmanagers(&mut self, at: &Located<'_, '_>) -> Vec<ReceiverId> {
        if !matches!(at.value(), Value::Map(_)) {
            return self.alertmanager_urls(at, &Named::default());
        }
        let Some(map) = self.map(*at, "`alertmanager`", &["url", "name", "ca_file"]) else {
            return Vec::new();
        };
        let (Ok(name), Ok(ca)) = (self.name(&map), self.ca_file(&map)) else { return Vec::new() };
        let Some(urls) = map.get("url") else {
            self.lacks(&map, "`url`");
            return Vec::new();
        };
        self.alertmanager_urls(&urls, &Named { name, ca })
    }

    fn alertmanager_urls(&mut self, at: &Located<'_, '_>, named: &Named<'_>) -> Vec<ReceiverId> {
        let Value::List(items) = at.value() else {
            return self.alertmanager(at, named).into_iter().collect();
        };
        if items.is_empty() {
            self.error(at, "must hold a URL");
        }
        items.iter().enumerate().filter_map(|(n, item)| self.alertmanager(&at.item(n, item), named)).collect()
    }

    fn alertmanager(&mut self, at: &Located<'_, '_>, named: &Named<'_>) -> Option<ReceiverId> {
        let text = self.line(at)?.trim_end_matches('/');
        let url = Url::parse_base(text).map_err(|reason| self.error(at, reason)).ok()?;
        if url.has_credentials() {
            self.note_inline_secret(at);
        }
        let settings = Alertmanager { url: Secret::new(text.to_owned()) };
        let identity = Identity { what: &url.identity(), name: named.name };
        let settings = Settings::Alertmanager(settings);
        self.receiver(at, identity, &url.origin(), settings, named.ca.clone())
    }
}

fn is_header_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}
