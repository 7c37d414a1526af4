//! The alerters that are a URL: webhooks and Alertmanagers.

use std::sync::Arc;

use super::digest::Identity;
use super::document::Value;
use super::located::Located;
use super::map::Map;
use super::template::Purpose;
use super::url::Url;
use super::validator::{Reported, Validator};
use crate::model::receiver::{Alertmanager, ReceiverId, Secret, Settings, Template, Webhook};

/// Headers that each webhook sets itself, in lower case.
const OWN_HEADERS: [&str; 6] = [
    "connection",
    "content-length",
    "content-type",
    "idempotency-key",
    "transfer-encoding",
    "x-zk-monitor-signature",
];

/// The keys of a webhook.
const WEBHOOK: [&str; 11] = [
    "url",
    "url_file",
    "headers",
    "secret_file",
    "name",
    "ca_file",
    "template",
    "template_file",
    "content_type",
    "path",
    "digest",
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
            let url = Secret::new(self.line(at)?.to_owned());
            let settings = Webhook { url, headers: Vec::new(), secret: None, template: None };
            return self.endpoint(at, Named::default(), settings);
        }
        let map = self.map(*at, "`webhook`", &WEBHOOK)?;
        let named = Named { name: self.name(&map).ok()?, ca: self.ca_file(&map).ok()? };
        let headers = match map.get("headers") {
            Some(at) => self.headers(&at)?,
            None => Vec::new(),
        };
        let secret = match map.get("secret_file") {
            Some(at) => Some(self.secret_file(&at)?),
            None => None,
        };
        let template = self.webhook_template(&map).ok()?;
        let (at, url) = match (map.get("url"), map.get("url_file")) {
            (Some(at), None) => (at, Secret::new(self.line(&at)?.to_owned())),
            (None, Some(at)) => (at, self.secret_file(&at)?),
            (Some(_), Some(file)) => {
                self.error(&file, "stands beside `url`: one of them is too much");
                return None;
            }
            (None, None) => {
                self.lacks(&map, "`url` or `url_file`");
                return None;
            }
        };
        if template.as_ref().is_some_and(|template| template.path.is_some()) && url.reveal().contains('?') {
            self.error(&at, "must not have a query (\"?\"): `path` is appended to it");
            return None;
        }
        self.endpoint(&at, named, Webhook { url, headers, secret, template })
    }

    fn endpoint(
        &mut self,
        at: &Located<'_, '_>,
        Named { name, ca }: Named<'_>,
        settings: Webhook,
    ) -> Option<ReceiverId> {
        let text = settings.url.reveal().to_owned();
        let url = Url::parse(&text).map_err(|reason| self.error(at, reason)).ok()?;
        if url.has_credentials() {
            self.note_inline_secret(at);
        }
        let identity = Identity { what: &url.identity(), name };
        // The paths of many such URLs are secrets.
        self.receiver(at, identity, &url.origin(), Settings::Webhook(settings), ca)
    }

    /// `template` or `template_file`, and what has a meaning beside them alone.
    fn webhook_template(&mut self, map: &Map<'_, '_>) -> Result<Option<Template>, Reported> {
        let content_type = match map.get("content_type") {
            Some(at) => self.content_type(&at).ok_or(Reported)?,
            None => "application/json",
        };
        let purpose = if is_json(content_type) { Purpose::Json } else { Purpose::Text };
        let Some(body) = self.template_or_file(map, purpose)? else {
            let beside = ["content_type", "path", "digest"].into_iter().find_map(|key| map.get(key));
            let Some(at) = beside else { return Ok(None) };
            self.error(&at, "has no meaning without `template` or `template_file`");
            return Err(Reported);
        };
        let path = match map.get("path") {
            Some(at) => Some(self.template(&at, Purpose::Path).ok_or(Reported)?),
            None => None,
        };
        let digest = match map.get("digest") {
            Some(at) => self.boolean(&at).ok_or(Reported)?,
            None => true,
        };
        Ok(Some(Template { body, content_type: content_type.to_owned(), path, digest }))
    }

    fn content_type<'n>(&mut self, at: &Located<'n, '_>) -> Option<&'n str> {
        let text = self.line(at)?;
        let (kind, subtype) = text.split(';').next()?.trim().split_once('/').unwrap_or_default();
        if !text.is_ascii() || !is_header_name(kind) || !is_header_name(subtype) {
            self.error(at, "must be a media type, such as application/json or text/plain; charset=utf-8");
            return None;
        }
        Some(text)
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
            } else if matches!(value.value(), Value::Map(_)) {
                headers.extend(self.header_file(&value).map(|text| (entry.key.to_owned(), text)));
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

    /// The value of a header, in the file that `{file: …}` names.
    fn header_file(&mut self, at: &Located<'_, '_>) -> Option<Secret> {
        let map = self.map(*at, "a header", &["file"])?;
        let Some(file) = map.get("file") else {
            self.lacks(&map, "`file`");
            return None;
        };
        let text = self.secret_file(&file)?;
        if !text.reveal().is_ascii() {
            self.error(&file, "names a file that is not plain ASCII, as HTTP headers are");
            return None;
        }
        Some(text)
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

/// Whether this media type is that of JSON.
fn is_json(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence == "application/json" || essence.ends_with("+json")
}

fn is_header_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}
