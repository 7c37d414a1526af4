//! What a rule says to those who route its alerts and to those who read them: labels, and where its runbook is.

use std::sync::Arc;

use super::located::Located;
use super::url::Url;
use super::validator::Validator;
use crate::model::labels::RESERVED;
use crate::model::small_map::SmallMap;

/// How many labels a rule can have. They stand in each message, and in each entry of the ledger.
const MAX_LABELS: usize = 20;

/// The longest name, in bytes.
const MAX_NAME: usize = 64;

/// The longest value, in bytes.
const MAX_VALUE: usize = 200;

impl Validator<'_> {
    /// `labels`: names and values.
    pub(super) fn labels(&mut self, at: Located<'_, '_>) -> Option<SmallMap<Arc<str>, Arc<str>>> {
        let entries = self.entries(at)?;
        if entries.len() > MAX_LABELS {
            self.error(&at, format!("has {} labels: a rule can have {MAX_LABELS} at most", entries.len()));
            return None;
        }
        let mut labels = SmallMap::default();
        for entry in entries {
            if let Some(reason) = wrong_name(entry.key) {
                self.error(&at.key(entry.key, entry.key_node), reason);
                continue;
            }
            let at = at.key(entry.key, entry.value);
            let Some(value) = self.line(&at) else { continue };
            if value.len() > MAX_VALUE {
                self.error(&at, format!("must be at most {MAX_VALUE} bytes long"));
                continue;
            }
            labels.insert_new(entry.key.into(), || value.into());
        }
        Some(labels)
    }

    /// `runbook`: a URL, which everybody may see who sees the alert.
    pub(super) fn runbook(&mut self, at: &Located<'_, '_>) -> Option<Arc<str>> {
        let text = self.line(at)?;
        // A place on the page, unlike in a URL that something is sent to, is of use here.
        let page = text.split_once('#').map_or(text, |(page, _)| page);
        match Url::parse(page) {
            Ok(url) if url.has_credentials() => {
                self.error(at, "must not hold a user or a password: it stands in messages")
            }
            Ok(_) if text.contains(char::is_whitespace) => self.error(at, "must not hold blanks"),
            Ok(_) => return Some(text.into()),
            Err(reason) => self.error(at, reason),
        }
        None
    }
}

/// What is wrong with the name of a label, if anything is.
fn wrong_name(name: &str) -> Option<String> {
    if name == "severity" {
        return Some("is no label of a rule's own: write `severity` beside `labels`".to_owned());
    }
    if RESERVED.contains(&name) {
        return Some(format!("is reserved: each alert has a label `{name}` anyway"));
    }
    let starts_well = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    let is_well = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if !(starts_well && is_well && name.len() <= MAX_NAME) {
        return Some(format!(
            "must be 1 to {MAX_NAME} letters of A-Z, a-z, 0-9 and _, the first no digit: Prometheus has such names of \
             labels"
        ));
    }
    name.starts_with("__")
        .then(|| "must not start with \"__\": Prometheus keeps such names for itself".to_owned())
}
