//! What validating the file carries along, and how single values are read.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::dependencies::Dependencies;
use super::digest::Identity;
use super::document::{self, Position, Value};
use super::finding::Findings;
use super::located::{Located, shown};
use super::named_files::NamedFiles;
use super::receivers::{Place, Receivers};
use super::template::{Checked, Purpose};
use crate::model::duration::{self, DurationFault};
use crate::model::receiver::{ReceiverId, Settings};
use crate::model::rule::Terms;

/// Reads an environment variable.
pub type Env<'a> = &'a dyn Fn(&str) -> Option<String>;

/// What the configuration is, however many files that are today.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Layout {
    /// A file, and there will be no other.
    File,
    /// The files of a directory, of several teams maybe.
    Directory,
}

/// How much of a wrong value is shown.
const SHOWN: usize = 60;

/// How many places in other files are looked up.
const LOCATED: usize = 100;

/// Something is wrong, and was reported.
pub(super) struct Reported;

/// A file that is judged.
#[derive(Clone, Copy)]
pub(super) struct File<'a> {
    /// Its name, for messages.
    pub(super) name: &'a str,
    /// Its content; empty if that is no text.
    pub(super) text: &'a str,
    /// The directory that relative file names in it start from.
    pub(super) base: &'a Path,
    /// What the files that it names held when it was good last, if it is judged by that.
    pub(super) earlier: Option<&'a NamedFiles>,
}

/// What was found in one file.
#[derive(Default)]
pub(super) struct Notes {
    pub(super) errors: Findings,
    pub(super) warnings: Findings,
    /// How many of the errors are that another file says the same thing.
    pub(super) conflicts: usize,
    /// The value of the first secret that stands in the file itself, and its key's path.
    pub(super) inline_secret: Option<(u32, String)>,
    /// What the files hold that it names.
    pub(super) named: NamedFiles,
}

/// What validating files carries along: what was found so far.
pub(super) struct Validator<'a> {
    pub(super) env: Env<'a>,
    files: &'a [File<'a>],
    pub(super) layout: Layout,
    /// Which of them is judged now.
    file: usize,
    /// What was found in each.
    notes: Vec<Notes>,
    pub(super) receivers: Receivers,
    /// Files already read: a thousand rules may name the same one.
    pub(super) read: HashMap<PathBuf, Result<Arc<[u8]>, String>>,
    /// What rules said already.
    pub(super) terms: HashSet<Arc<Terms>>,
    /// Templates that were tried already.
    pub(super) templates: HashMap<(String, Purpose), Checked>,
    pub(super) dependencies: Dependencies,
}

impl<'a> Validator<'a> {
    pub(super) fn new(env: Env<'a>, files: &'a [File<'a>], layout: Layout) -> Self {
        Self {
            env,
            files,
            layout,
            file: 0,
            notes: files.iter().map(|_| Notes::default()).collect(),
            receivers: Receivers::default(),
            read: HashMap::new(),
            terms: HashSet::new(),
            templates: HashMap::new(),
            dependencies: Dependencies::default(),
        }
    }

    /// Goes on with this file.
    pub(super) fn turn_to(&mut self, file: usize) {
        self.file = file;
    }

    /// What was found in each file.
    pub(super) fn into_findings(self) -> (Vec<Notes>, Receivers) {
        (self.notes, self.receivers)
    }

    pub(super) fn has_errors(&self) -> bool {
        self.notes.iter().any(|notes| !notes.errors.is_empty())
    }

    /// The directory that relative file names start from.
    pub(super) fn base(&self) -> &'a Path {
        self.files[self.file].base
    }

    /// What the files that are named held earlier, if that is what the file that is judged now is judged by.
    pub(super) fn earlier(&self) -> Option<&'a NamedFiles> {
        self.files[self.file].earlier
    }

    /// What was found in the file that is judged now.
    pub(super) fn notes(&mut self) -> &mut Notes {
        &mut self.notes[self.file]
    }

    pub(super) fn notes_of(&mut self, file: usize) -> &mut Notes {
        &mut self.notes[file]
    }

    pub(super) fn error(&mut self, at: &Located<'_, '_>, message: impl Into<String>) {
        self.notes().errors.add(Some(at.node.id), at.to_string(), message.into());
    }

    /// An error at this place of a text, in a line of it that reads so.
    pub(super) fn error_within(
        &mut self,
        at: &Located<'_, '_>,
        place: Position,
        line: &str,
        message: String,
    ) {
        self.notes().errors.add_within(at.node.id, (place, line.to_owned()), at.to_string(), message);
    }

    /// An error whose message ends in another value's position.
    pub(super) fn error_with_other(&mut self, at: &Located<'_, '_>, other: u32, message: String) {
        self.notes().errors.add_with_other(at.node.id, other, at.to_string(), message);
    }

    /// The same for a value that may stand in another file.
    pub(super) fn error_with_place(&mut self, at: &Located<'_, '_>, other: Place, message: &str) {
        if other.file == self.file {
            return self.error_with_other(at, other.node, message.to_owned());
        }
        let File { name, text, .. } = self.files[other.file];
        let conflicts = &mut self.notes().conflicts;
        *conflicts += 1;
        // Each position is a reading of that file.
        let position = (*conflicts <= LOCATED).then(|| document::locate(text, other.node)).flatten();
        let position =
            position.map(|Position { line, column }| format!(":{line}:{column}")).unwrap_or_default();
        self.error(at, format!("{message}{name}{position}"));
    }

    /// Whether the defaults of this file hold for files that have none.
    pub(super) fn is_for_all(&self, file: usize) -> bool {
        Path::new(self.files[file].name).file_stem() == Some("defaults".as_ref())
    }

    /// This value of the file that is judged now.
    pub(super) fn place(&self, at: &Located<'_, '_>) -> Place {
        Place { file: self.file, node: at.node.id }
    }

    /// An error in the environment.
    pub(super) fn env_error(&mut self, variable: &str, message: &str) {
        self.notes().errors.add(None, format!("environment variable {variable}"), message.to_owned());
    }

    pub(super) fn warn(&mut self, at: &Located<'_, '_>, message: impl Into<String>) {
        self.notes().warnings.add(Some(at.node.id), at.to_string(), message.into());
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
        ca: Option<Arc<[u8]>>,
    ) -> Option<ReceiverId> {
        let added = self.receivers.add(self.place(at), identity, label, settings, ca);
        added
            .map_err(|first| {
                let message = "is the same receiver with other settings (token, URL, from, headers …): if both \
                               are meant, give one of them a `name` of its own; the other is at ";
                self.error_with_place(at, first, message);
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
