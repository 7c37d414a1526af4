//! Several files, judged as one configuration.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bumpalo::Bump;

use super::configuration::{Blind, Config, Heartbeat};
use super::document::{self, Node, SyntaxError};
use super::finding::Errors;
use super::located::Located;
use super::map::{Entry, listed};
use super::named_files::NamedFiles;
use super::receivers::Place;
use super::rule::Body;
use super::url::Url;
use super::validator::{Env, File, Layout, Notes, Validator};
use super::{digest, suggestion};
use crate::model::receiver::{Secret, Smtp};
use crate::model::rule::Rule;

/// How long alerts for one receiver are gathered into one message, unless the file says otherwise.
const GROUP_WAIT: Duration = Duration::from_secs(2);

/// How long an agent is without ZooKeeper before it says so, unless the file says otherwise.
const BLIND_AFTER: Duration = Duration::from_secs(120);
/// The least that the file may say.
const BLIND_SOONEST: Duration = Duration::from_secs(10);
/// How often the heartbeat is sent, unless the file says otherwise.
const HEARTBEAT_EVERY: Duration = Duration::from_secs(60);

/// The top-level keys that are no paths.
const RESERVED: [&str; 6] = ["blind", "defaults", "external_url", "group_wait", "heartbeat", "smtp"];

/// A configuration file's content, and what has to be known of the file to judge it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Source<'a> {
    /// The file's name, for messages.
    pub(super) name: &'a str,
    pub(super) bytes: &'a [u8],
    /// The directory that names of files within it start from.
    pub(super) base: &'a Path,
    /// Whether every user of the machine may read it.
    pub(super) is_world_readable: bool,
    /// What the files that it names held when it was good last, if it is to be judged by that.
    pub(super) earlier: Option<&'a NamedFiles>,
}

/// Files that are good together.
#[derive(Debug)]
pub(super) struct Judged {
    pub(super) config: Config,
    /// What the files hold that each of them names.
    pub(super) named: Vec<NamedFiles>,
}

/// Why one of the files is refused.
#[derive(Debug)]
pub(super) struct Refusal {
    /// Which of them.
    pub(super) file: usize,
    pub(super) errors: Errors,
    /// Whether nothing is wrong with it but that a file before it says the same thing.
    pub(super) is_conflict: bool,
}

/// A document as it stands in its file.
pub(super) struct Document<'n> {
    pub(super) root: Located<'n, 'n>,
    pub(super) entries: Vec<Entry<'n>>,
}

impl<'n> Document<'n> {
    fn find(&self, key: &'static str) -> Option<Located<'n, '_>> {
        let entry = self.entries.iter().find(|entry| entry.key == key)?;
        Some(self.root.key(key, entry.value))
    }
}

/// Judges the files together. Of two that say the same thing the later one is wrong.
pub(super) fn judge(sources: &[Source<'_>], layout: Layout, env: Env<'_>) -> Result<Judged, Vec<Refusal>> {
    let memories: Vec<Bump> = sources.iter().map(|_| Bump::new()).collect();
    let texts: Vec<_> = sources.iter().map(|source| decode(source.bytes)).collect();
    let files: Vec<File<'_>> = sources
        .iter()
        .zip(&texts)
        .map(|(Source { name, base, earlier, .. }, text)| File {
            name,
            base,
            earlier: *earlier,
            text: text.as_deref().unwrap_or_default(),
        })
        .collect();
    let trees: Vec<Result<Node<'_>, SyntaxError>> = texts
        .iter()
        .zip(&memories)
        .map(|(text, memory)| text.clone().and_then(|text| document::parse(text, memory)))
        .collect();
    let mut validator = Validator::new(env, &files, layout);
    let documents: Vec<_> =
        (0..).zip(&trees).map(|(file, tree)| validator.open(file, tree.as_ref().ok()?)).collect();
    let config = validator.together(&documents);
    let (notes, receivers) = validator.into_findings();
    let (mut refusals, mut warnings, mut named) = (Vec::new(), Vec::new(), Vec::new());
    for (number, (tree, mut notes)) in trees.into_iter().zip(notes).enumerate() {
        let File { name, text, .. } = files[number];
        if let Some((id, path)) = notes.inline_secret.take()
            && sources[number].is_world_readable
        {
            let message = "is a secret in a file that every user can read: use a `…_file` key, or chmod o-r";
            notes.warnings.add(Some(id), path, message.to_owned());
        }
        named.push(std::mem::take(&mut notes.named));
        match tree {
            Err(error) => {
                let errors = Errors::syntax(name, error);
                refusals.push(Refusal { file: number, errors, is_conflict: false });
            }
            Ok(_) if notes.errors.is_empty() => warnings.extend(notes.warnings.problems(name, text).0),
            Ok(_) => refusals.push(refusal(number, files[number], notes)),
        }
    }
    if refusals.is_empty() {
        let config = Config { warnings, receivers: receivers.into_list(), ..config };
        Ok(Judged { config, named })
    } else {
        Err(refusals)
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

fn refusal(number: usize, file: File<'_>, notes: Notes) -> Refusal {
    let is_conflict = notes.errors.count() == notes.conflicts;
    let (problems, omitted) = notes.errors.problems(file.name, file.text);
    Refusal { file: number, errors: Errors { problems, omitted }, is_conflict }
}

impl Validator<'_> {
    /// A document of which the keys are known.
    fn open<'n>(&mut self, file: usize, root: &'n Node<'n>) -> Option<Document<'n>> {
        self.turn_to(file);
        let root = Located::root(root);
        self.duplicates(root);
        Some(Document { root, entries: self.entries(root)? })
    }

    /// What the documents say together; receivers and warnings stay with the validator.
    fn together(&mut self, documents: &[Option<Document<'_>>]) -> Config {
        let smtp = self.alone(documents, "smtp", |validator, at| validator.smtp(Some(at)));
        let smtp = Arc::new(smtp.unwrap_or_else(|| self.smtp(None)));
        let heartbeat =
            self.alone(documents, "heartbeat", |validator, at| validator.heartbeat(&at)).flatten();
        let blind = self.alone(documents, "blind", |validator, at| validator.blind(&at, &smtp)).flatten();
        let group_wait =
            self.alone(documents, "group_wait", |validator, at| validator.duration(&at)).flatten();
        let page = |validator: &mut Self, at: Located<'_, '_>| validator.external_url(&at);
        let external_url = self.alone(documents, "external_url", page).flatten();
        let mut defaults: Vec<Option<Body>> = Vec::with_capacity(documents.len());
        for (file, document) in documents.iter().enumerate() {
            self.turn_to(file);
            let at = document.as_ref().and_then(|document| document.find("defaults"));
            defaults.push(at.map(|at| self.defaults(at, &smtp).unwrap_or_default()));
        }
        let (none, mut first, mut rules) = (Body::default(), HashMap::new(), Vec::new());
        let shared =
            (0..documents.len()).find(|file| self.is_for_all(*file)).and_then(|file| defaults[file].as_ref());
        for (file, document) in documents.iter().enumerate() {
            self.turn_to(file);
            let Some(document) = document else { continue };
            let defaults = defaults[file].as_ref().or(shared).unwrap_or(&none);
            rules.extend(self.rules(document, defaults, &smtp, &mut first));
        }
        self.judge_dependencies(&rules);
        self.turn_to(0);
        if let (true, false, Some(Some(document))) = (rules.is_empty(), self.has_errors(), documents.first())
        {
            self.warn(&document.root, "no rule: nothing is watched");
        }
        let digest = digest::configuration(&rules);
        let group_wait = group_wait.unwrap_or(GROUP_WAIT);
        let (receivers, warnings) = (Vec::new(), Vec::new());
        Config { rules, receivers, heartbeat, blind, group_wait, external_url, warnings, digest }
    }

    /// What a key says that may stand in one of the files only.
    fn alone<T>(
        &mut self,
        documents: &[Option<Document<'_>>],
        key: &'static str,
        read: impl Fn(&mut Self, Located<'_, '_>) -> T,
    ) -> Option<T> {
        let (mut first, mut said) = (None, None);
        for (file, document) in documents.iter().enumerate() {
            let Some(at) = document.as_ref().and_then(|document| document.find(key)) else { continue };
            self.turn_to(file);
            match first {
                None => {
                    first = Some(self.place(&at));
                    said = Some(read(self, at));
                }
                Some(other) => {
                    self.error_with_place(&at, other, "may stand in one file only: it is also in ")
                }
            }
        }
        self.turn_to(0);
        said
    }

    /// The rules of one document; receivers and warnings stay with the validator. `first` tells in which file a path stood
    /// before.
    fn rules<'n>(
        &mut self,
        document: &Document<'n>,
        defaults: &Body,
        smtp: &Arc<Smtp>,
        first: &mut HashMap<&'n str, Place>,
    ) -> Vec<Rule> {
        let mut rules = Vec::with_capacity(document.entries.len());
        for entry in &document.entries {
            let root = &document.root;
            let (key, at) = (root.key(entry.key, entry.key_node), root.key(entry.key, entry.value));
            if entry.key.starts_with('/') {
                let place = self.place(&key);
                // Within one file it is a duplicate key, which was told of.
                if let Some(other) = first.insert(entry.key, place)
                    && other.file != place.file
                {
                    self.error_with_place(&key, other, "stands in two files: it is also in ");
                }
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
                format!("; a path starts with \"/\", and reserved are {}", listed(&RESERVED))
            }
            hint => hint,
        };
        self.error(at, format!("unknown key{hint}"));
    }

    /// `external_url`: everybody who gets a message sees it.
    fn external_url(&mut self, at: &Located<'_, '_>) -> Option<Arc<str>> {
        let text = self.line(at)?.trim_end_matches('/');
        match Url::parse(text) {
            Ok(url) if url.has_credentials() => {
                self.error(at, "must not hold a user or a password: it stands in messages");
            }
            Ok(_) => return Some(text.into()),
            Err(reason) => self.error(at, reason),
        }
        None
    }

    fn blind(&mut self, at: &Located<'_, '_>, smtp: &Arc<Smtp>) -> Option<Blind> {
        let map = self.map(*at, "`blind`", &["after", "alerter"])?;
        let after = match map.get("after") {
            None => BLIND_AFTER,
            Some(at) => {
                let after = self.duration(&at)?;
                if after < BLIND_SOONEST {
                    self.error(&at, "must be at least 10s: a new session takes a moment");
                }
                after
            }
        };
        let Some(at) = map.get("alerter") else {
            self.lacks(&map, "`alerter`");
            return None;
        };
        let receivers = self.alerter(&at, smtp);
        if receivers.is_empty() {
            self.warn(&at, "names nobody: nobody is told when an agent has no ZooKeeper");
        }
        Some(Blind { after, receivers })
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
