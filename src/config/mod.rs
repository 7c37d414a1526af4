//! YAML to a validated configuration.
//!
//! The file is read into a tree of numbered values (`document`), judged as a whole, and what is wrong is told
//! with its place: all of it, not the first alone. Nothing that is invalid leaves this module.

mod address;
mod alerter;
mod counting;
mod data;
mod digest;
mod document;
mod endpoint;
mod finding;
mod json;
mod located;
mod map;
mod receivers;
mod rule;
mod secrets;
mod smtp;
mod suggestion;
#[cfg(test)]
mod tests;
mod url;
mod validator;

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

pub use finding::{Errors, Problem};
pub use validator::Env;

use crate::credentials;
use crate::model::receiver::{Receiver, Secret};
use crate::model::rule::Rule;
use bumpalo::Bump;
use document::{Node, SyntaxError};
use located::Located;
use map::Entry;
use rule::Body;
use url::Url;
use validator::Validator;

/// The largest configuration file, in bytes.
const MAX_FILE: u64 = 16 << 20;

/// How long alerts for one receiver are gathered into one message, unless the file says otherwise.
const GROUP_WAIT: Duration = Duration::from_secs(2);

/// How often the heartbeat is sent, unless the file says otherwise.
const HEARTBEAT_EVERY: Duration = Duration::from_secs(60);

/// The top-level keys that are no paths.
const RESERVED: [&str; 4] = ["defaults", "group_wait", "heartbeat", "smtp"];

/// A valid configuration.
#[derive(Debug)]
pub struct Config {
    /// The rules, in the order of the file; no two have the same path and name.
    pub rules: Vec<Rule>,
    /// Every receiver that a rule names, and those of `defaults`; no two have the same id.
    pub receivers: Vec<Receiver>,
    /// The dead-man's switch, if one is wanted.
    pub heartbeat: Option<Heartbeat>,
    /// How long what follows a receiver's first alert is gathered into one message.
    pub group_wait: Duration,
    /// What is valid, and most likely not what was meant.
    pub warnings: Vec<Problem>,
    /// A hash of what is watched, judged and told to whom, in hexadecimal: two agents compare theirs.
    pub digest: String,
}

/// A URL that is fetched while all is well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heartbeat {
    pub url: Secret,
    pub every: Duration,
}

/// Reads and judges a configuration file. Names of files within it start from its directory.
pub fn load(file: &Path, env: Env<'_>) -> Result<Config, Errors> {
    let name = file.display().to_string();
    let unusable = |reason: String| Errors::file(&name, format!("cannot use the file: {reason}"));
    let bytes = credentials::read(file, MAX_FILE).map_err(unusable)?;
    let is_world_readable = std::fs::metadata(file).is_ok_and(|data| data.permissions().mode() & 0o004 != 0);
    let base = file.parent().unwrap_or(Path::new(""));
    Source { name: &name, bytes: &bytes, base, is_world_readable }.parse(env)
}

/// A configuration file's content, and what has to be known of the file to judge it.
#[derive(Clone, Copy, Debug)]
struct Source<'a> {
    /// The file's name, for messages.
    name: &'a str,
    bytes: &'a [u8],
    /// The directory that names of files within it start from.
    base: &'a Path,
    /// Whether every user of the machine may read it.
    is_world_readable: bool,
}

impl Source<'_> {
    /// Judges the content.
    fn parse(self, env: Env<'_>) -> Result<Config, Errors> {
        let text = decode(self.bytes).map_err(|error| Errors::syntax(self.name, error))?;
        let memory = Bump::new();
        let root = document::parse(text, &memory).map_err(|error| Errors::syntax(self.name, error))?;
        let mut validator = Validator::new(env, self.base);
        let config = validator.document(&root);
        if self.is_world_readable
            && let Some((id, path)) = validator.inline_secret.take()
        {
            let message = "is a secret in a file that every user can read: use a `…_file` key, or chmod o-r";
            validator.warnings.add(Some(id), path, message.to_owned());
        }
        let Validator { errors, warnings, receivers, .. } = validator;
        match config {
            Some(config) if errors.is_empty() => {
                let (warnings, _) = warnings.problems(self.name, text);
                Ok(Config { warnings, receivers: receivers.into_list(), ..config })
            }
            Some(_) | None => {
                let (problems, omitted) = errors.problems(self.name, text);
                Err(Errors { problems, omitted })
            }
        }
    }
}

/// The content as text, without a byte-order mark.
fn decode(bytes: &[u8]) -> Result<&str, SyntaxError> {
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        return Err(SyntaxError::new(None, "the file is UTF-16: save it as UTF-8"));
    }
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    str::from_utf8(bytes).map_err(|error| {
        let valid = String::from_utf8_lossy(&bytes[..error.valid_up_to()]);
        let position = document::position_at(&valid, valid.len());
        SyntaxError::new(Some(position), "the file is not UTF-8 text")
    })
}

impl Validator<'_> {
    /// The whole document; receivers and warnings stay with the validator.
    fn document(&mut self, root: &Node<'_>) -> Option<Config> {
        let root = Located::root(root);
        self.duplicates(root);
        let entries = self.entries(root)?;
        let find = |key: &'static str| entries.iter().find(|entry| entry.key == key);
        let smtp = Arc::new(self.smtp(find("smtp").map(|entry| root.key(entry.key, entry.value))));
        let defaults = find("defaults").map(|entry| root.key(entry.key, entry.value));
        let defaults = defaults.and_then(|at| self.defaults(at, &smtp)).unwrap_or_default();
        let heartbeat = find("heartbeat").map(|entry| root.key(entry.key, entry.value));
        let heartbeat = heartbeat.and_then(|at| self.heartbeat(&at));
        let group_wait = find("group_wait").map(|entry| root.key(entry.key, entry.value));
        let group_wait = group_wait.and_then(|at| self.duration(&at)).unwrap_or(GROUP_WAIT);
        let rules = self.rules(root, &entries, &defaults, &smtp);
        if rules.is_empty() && self.errors.is_empty() {
            self.warn(&root, "no rule: nothing is watched");
        }
        let digest = digest::configuration(&rules);
        Some(Config { rules, receivers: Vec::new(), heartbeat, group_wait, warnings: Vec::new(), digest })
    }

    fn rules(
        &mut self,
        root: Located<'_, '_>,
        entries: &[Entry<'_>],
        defaults: &Body,
        smtp: &Arc<crate::model::receiver::Smtp>,
    ) -> Vec<Rule> {
        let mut rules = Vec::with_capacity(entries.len());
        for entry in entries {
            let (key, at) = (root.key(entry.key, entry.key_node), root.key(entry.key, entry.value));
            if entry.key.starts_with('/') {
                rules.extend(self.rules_of(entry.key, &key, &at, defaults, smtp));
            } else if !RESERVED.contains(&entry.key) && !entry.key.starts_with("x-") {
                self.unknown_top_level_key(&key, entry.key);
            }
        }
        rules
    }

    fn unknown_top_level_key(&mut self, at: &Located<'_, '_>, key: &str) {
        if key.contains('/') {
            self.error(at, "a path must start with \"/\"");
            return;
        }
        let hint = match suggestion::did_you_mean(key, &RESERVED) {
            hint if hint.is_empty() => {
                format!("; a path starts with \"/\", and reserved are {}", map::listed(&RESERVED))
            }
            hint => hint,
        };
        self.error(at, format!("unknown key{hint}"));
    }

    fn heartbeat(&mut self, at: &Located<'_, '_>) -> Option<Heartbeat> {
        let map = self.map(*at, "`heartbeat`", &["url", "every"])?;
        let every = match map.get("every") {
            None => HEARTBEAT_EVERY,
            Some(at) => {
                let every = self.duration(&at)?;
                if every < Duration::from_secs(1) {
                    self.error(&at, "must be at least 1s");
                }
                every
            }
        };
        let Some(at) = map.get("url") else {
            self.lacks(&map, "`url`");
            return None;
        };
        let text = self.line(&at)?;
        Url::parse(text).map_err(|reason| self.error(&at, reason)).ok()?;
        Some(Heartbeat { url: Secret::new(text.to_owned()), every })
    }
}
