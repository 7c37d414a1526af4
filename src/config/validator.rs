//! What validating the file carries along, and how single values are read.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::digest::Identity;
use super::document::Value;
use super::finding::Findings;
use super::located::{Located, shown};
use super::receivers::Receivers;
use crate::model::duration::{self, DurationFault};
use crate::model::receiver::{ReceiverId, Secret, Settings};
use crate::model::rule::Terms;

/// Reads an environment variable.
pub type Env<'a> = &'a dyn Fn(&str) -> Option<String>;

/// How much of a wrong value is shown.
const SHOWN: usize = 60;

/// Something is wrong, and was reported.
pub(super) struct Reported;

/// What validating a file carries along: what was found so far.
pub(super) struct Validator<'a> {
    pub(super) env: Env<'a>,
    /// The directory that relative file names start from.
    pub(super) base: &'a Path,
    pub(super) errors: Findings,
    pub(super) warnings: Findings,
    pub(super) receivers: Receivers,
    /// The value of the first secret that stands in the file itself, and its key's path.
    pub(super) inline_secret: Option<(u32, String)>,
    /// Files already read: a thousand rules may name the same one.
    pub(super) secrets: HashMap<PathBuf, Result<Secret, String>>,
    /// What rules said already.
    pub(super) terms: HashSet<Arc<Terms>>,
}

impl<'a> Validator<'a> {
    pub(super) fn new(env: Env<'a>, base: &'a Path) -> Self {
        Self {
            env,
            base,
            errors: Findings::default(),
            warnings: Findings::default(),
            receivers: Receivers::default(),
            inline_secret: None,
            secrets: HashMap::new(),
            terms: HashSet::new(),
        }
    }

    pub(super) fn error(&mut self, at: &Located<'_, '_>, message: impl Into<String>) {
        self.errors.add(Some(at.node.id), at.to_string(), message.into());
    }

    /// An error whose message ends in another value's position.
    pub(super) fn error_with_other(&mut self, at: &Located<'_, '_>, other: u32, message: String) {
        self.errors.add_with_other(at.node.id, other, at.to_string(), message);
    }

    /// An error in the environment.
    pub(super) fn env_error(&mut self, variable: &str, message: &str) {
        self.errors.add(None, format!("environment variable {variable}"), message.to_owned());
    }

    pub(super) fn warn(&mut self, at: &Located<'_, '_>, message: impl Into<String>) {
        self.warnings.add(Some(at.node.id), at.to_string(), message.into());
    }

    pub(super) fn wrong_type(&mut self, at: &Located<'_, '_>, wanted: &str) {
        self.error(at, format!("must be {wanted}, found {}", at.value().kind()));
    }

    /// Takes down a receiver that is called `label` among its kind.
    pub(super) fn receiver(
        &mut self,
        at: &Located<'_, '_>,
        identity: Identity<'_>,
        label: &str,
        settings: Settings,
    ) -> Option<ReceiverId> {
        let added = self.receivers.add(at.node.id, identity, label, settings);
        added
            .map_err(|first| {
                let message = "is the same receiver with other settings (token, URL, from, headers …): if both \
                               are meant, give one of them a `name` of its own; the other is at ";
                self.error_with_other(at, first, message.to_owned());
            })
            .ok()
    }

    /// Text that is not empty.
    pub(super) fn text<'n>(&mut self, at: &Located<'n, '_>) -> Option<&'n str> {
        match at.value() {
            Value::Text(text) if !text.is_empty() => return Some(text),
            Value::Text(_) => self.error(at, "must not be empty"),
            Value::Bool(_) | Value::Integer(_) | Value::Float(_) => {
                self.error(at, format!("must be text, found {}: put it in quotes", at.value().kind()));
            }
            Value::Null | Value::List(_) | Value::Map(_) | Value::Tagged => self.wrong_type(at, "text"),
        }
        None
    }

    /// Text that is not empty and fits a line.
    pub(super) fn line<'n>(&mut self, at: &Located<'n, '_>) -> Option<&'n str> {
        let text = self.text(at)?;
        if text.contains(char::is_control) {
            self.error(at, "must be one line without control characters");
            return None;
        }
        if text.len() > 1000 {
            self.error(at, "must be at most 1000 bytes long");
            return None;
        }
        Some(text)
    }

    /// `true` or `false`, also as YAML 1.1 wrote them.
    pub(super) fn boolean(&mut self, at: &Located<'_, '_>) -> Option<bool> {
        if let Value::Bool(value) = at.value() {
            return Some(value);
        }
        if let Value::Text(text) = at.value() {
            match text.to_ascii_lowercase().as_str() {
                "yes" | "on" => return Some(true),
                "no" | "off" => return Some(false),
                _ => {}
            }
        }
        self.wrong_type(at, "true or false");
        None
    }

    /// A number of children.
    pub(super) fn count(&mut self, at: &Located<'_, '_>) -> Option<u32> {
        match at.value() {
            Value::Integer(number) => match u32::try_from(number) {
                Ok(count) => return Some(count),
                Err(_) if number < 0 => self.error(at, format!("must not be negative, found {number}")),
                Err(_) => self.error(at, format!("must be at most {}, found {number}", u32::MAX)),
            },
            Value::Float(number) => self.error(at, format!("must be a whole number, found {number:?}")),
            Value::Text(text) => {
                let quoted = text.bytes().all(|byte| byte.is_ascii_digit());
                let hint = if quoted && !text.starts_with('0') { ": remove the quotes" } else { "" };
                let message = format!("must be a whole number, found \"{}\"{hint}", shown(text, SHOWN));
                self.error(at, message);
            }
            Value::Null | Value::Bool(_) | Value::List(_) | Value::Map(_) | Value::Tagged => {
                self.wrong_type(at, "a whole number");
            }
        }
        None
    }

    /// A duration: a number of seconds, or text with units.
    pub(super) fn duration(&mut self, at: &Located<'_, '_>) -> Option<Duration> {
        let (read, found) = match at.value() {
            // Seconds beyond the precision of a floating-point number are beyond the longest duration, too.
            Value::Integer(seconds) => (duration::from_seconds(seconds as f64), seconds.to_string()),
            Value::Float(seconds) => (duration::from_seconds(seconds), format!("{seconds:?}")),
            Value::Text(text) => (duration::parse(text), format!("\"{}\"", shown(text, SHOWN))),
            Value::Null | Value::Bool(_) | Value::List(_) | Value::Map(_) | Value::Tagged => {
                (Err(DurationFault::Unreadable), at.value().kind().to_owned())
            }
        };
        match read {
            Ok(duration) => Some(duration),
            Err(fault) => {
                self.error(at, format!("{fault}; found {found}"));
                None
            }
        }
    }
}
