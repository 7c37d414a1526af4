//! What judging the file carries along, and how single values are read.

use std::collections::{HashMap, HashSet};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::at::{At, shown};
use super::document::Value;
use super::finding::Findings;
use super::map::Map;
use super::receivers::Receivers;
use crate::credentials;
use crate::model::duration::{self, DurationFault};
use crate::model::receiver::Secret;
use crate::model::rule::Terms;

/// Reads an environment variable.
pub type Env<'a> = &'a dyn Fn(&str) -> Option<String>;

/// How much of a wrong value is shown.
const SHOWN: usize = 60;

/// The largest file that a key may name, in bytes.
const MAX_NAMED_FILE: u64 = 1 << 20;

/// Something is wrong, and was told.
pub(super) struct Told;

/// What judging a file carries along: what was found so far.
pub(super) struct Judge<'a> {
    pub(super) env: Env<'a>,
    /// The directory that relative file names start from.
    base: &'a Path,
    pub(super) errors: Findings,
    pub(super) warnings: Findings,
    pub(super) receivers: Receivers,
    /// The value of the first secret that stands in the file itself, and its key's path.
    pub(super) inline_secret: Option<(u32, String)>,
    /// Files already read: a thousand rules may name the same one.
    secrets: HashMap<PathBuf, Result<Secret, String>>,
    /// What rules said already.
    pub(super) terms: HashSet<Arc<Terms>>,
}

impl<'a> Judge<'a> {
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

    pub(super) fn error(&mut self, at: &At<'_, '_>, message: impl Into<String>) {
        self.errors.add(Some(at.node.id), at.to_string(), message.into());
    }

    /// An error whose message ends in another value's position.
    pub(super) fn error_with_other(&mut self, at: &At<'_, '_>, other: u32, message: String) {
        self.errors.add_with_other(at.node.id, other, at.to_string(), message);
    }

    /// An error in the environment.
    pub(super) fn env_error(&mut self, variable: &str, message: &str) {
        self.errors.add(None, format!("environment variable {variable}"), message.to_owned());
    }

    pub(super) fn warn(&mut self, at: &At<'_, '_>, message: impl Into<String>) {
        self.warnings.add(Some(at.node.id), at.to_string(), message.into());
    }

    pub(super) fn wrong_type(&mut self, at: &At<'_, '_>, wanted: &str) {
        self.error(at, format!("must be {wanted}, found {}", at.value().kind()));
    }

    /// Text that is not empty.
    pub(super) fn text<'n>(&mut self, at: &At<'n, '_>) -> Option<&'n str> {
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
    pub(super) fn line<'n>(&mut self, at: &At<'n, '_>) -> Option<&'n str> {
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
    pub(super) fn boolean(&mut self, at: &At<'_, '_>) -> Option<bool> {
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
    pub(super) fn count(&mut self, at: &At<'_, '_>) -> Option<u32> {
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
    pub(super) fn duration(&mut self, at: &At<'_, '_>) -> Option<Duration> {
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

    /// A secret that a map holds under `key`, or in the file that `file_key` names, or not at all.
    pub(super) fn secret(
        &mut self,
        map: &Map<'_, '_>,
        key: &'static str,
        file_key: &'static str,
    ) -> Result<Option<Secret>, Told> {
        match (map.get(key), map.get(file_key)) {
            (Some(_), Some(file)) => {
                self.error(&file, format!("stands beside `{key}`: one of them is too much"));
                Err(Told)
            }
            (Some(inline), None) => {
                let text = self.line(&inline).ok_or(Told)?;
                self.note_inline_secret(&inline);
                Ok(Some(Secret::new(text.to_owned())))
            }
            (None, Some(file)) => self.secret_file(&file).map(Some).ok_or(Told),
            (None, None) => Ok(None),
        }
    }

    pub(super) fn note_inline_secret(&mut self, at: &At<'_, '_>) {
        if self.inline_secret.is_none() {
            self.inline_secret = Some((at.node.id, at.to_string()));
        }
    }

    /// The secret in the file that the value names.
    pub(super) fn secret_file(&mut self, at: &At<'_, '_>) -> Option<Secret> {
        let path = self.base.join(self.line(at)?);
        let env = self.env;
        let read = self.secrets.entry(path).or_insert_with_key(|path| {
            let bytes = read_file(&credentials::locate(path, env), MAX_NAMED_FILE)?;
            let text = String::from_utf8(bytes).map_err(|_| "it is not UTF-8 text".to_owned())?;
            Secret::from_file_text(&text).map_err(str::to_owned)
        });
        match read.clone() {
            Ok(secret) => Some(secret),
            Err(reason) => {
                self.unreadable(at, &reason);
                None
            }
        }
    }

    /// The content of the file that the value names.
    pub(super) fn file(&mut self, at: &At<'_, '_>) -> Option<Vec<u8>> {
        let path = credentials::locate(&self.base.join(self.line(at)?), self.env);
        read_file(&path, MAX_NAMED_FILE).map_err(|reason| self.unreadable(at, &reason)).ok()
    }

    fn unreadable(&mut self, at: &At<'_, '_>, reason: &str) {
        let Value::Text(name) = at.value() else { return };
        let path = self.base.join(name);
        let message = format!("cannot use the file {}: {reason}", shown(&path.to_string_lossy(), 300));
        self.error(at, message);
    }
}

/// Reads a regular file of at most `limit` bytes. Anything else might never end, or never begin.
pub(super) fn read_file(path: &Path, limit: u64) -> Result<Vec<u8>, String> {
    let metadata = std::fs::metadata(path).map_err(|error| error.to_string())?;
    if !metadata.is_file() {
        return Err("it is not a regular file".to_owned());
    }
    let file = std::fs::File::open(path).map_err(|error| error.to_string())?;
    let mut content = Vec::new();
    file.take(limit + 1).read_to_end(&mut content).map_err(|error| error.to_string())?;
    if content.len() as u64 > limit {
        return Err(format!("it is larger than {limit} bytes"));
    }
    Ok(content)
}
