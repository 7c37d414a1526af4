//! Maps as they are meant: keys are text, `<<` is merged, and the keys are those that are known.

use std::collections::{HashMap, HashSet};

use super::document::{Node, Value};
use super::located::{Located, shown};
use super::suggestion::did_you_mean;
use super::validator::{Reported, Validator};
use crate::model::alert_key::is_name;

/// The keys of `defaults`.
pub(super) const DEFAULTS_KEYS: [&str; 13] = [
    "children",
    "exists",
    "data",
    "cancel_timeout",
    "keep_firing_for",
    "repeat_interval",
    "forget_after",
    "description",
    "alerter",
    "severity",
    "labels",
    "runbook",
    "depends_on",
];

/// The keys of a rule: those, and what is its own.
pub(super) const RULE_KEYS: [&str; 14] = {
    let mut keys = ["name"; DEFAULTS_KEYS.len() + 1];
    let (shared, _) = keys.split_at_mut(DEFAULTS_KEYS.len());
    shared.copy_from_slice(&DEFAULTS_KEYS);
    keys
};

/// How many keys a message lists about a value that is no map.
const MOST_LISTED: usize = 8;

/// One key of a map and its value.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry<'n> {
    pub(super) key: &'n str,
    /// The key as a value, for its position.
    pub(super) key_node: &'n Node<'n>,
    pub(super) value: &'n Node<'n>,
}

/// A map whose keys are known.
pub(super) struct Map<'n, 'p> {
    pub(super) at: Located<'n, 'p>,
    entries: Vec<Entry<'n>>,
    /// Whether it had keys that are not known, and were told of: what it lacks is then most likely misspelt.
    has_unknown: bool,
}

impl<'n> Map<'n, '_> {
    /// The value of a key, if the map has it.
    pub(super) fn get<'s>(&'s self, key: &'static str) -> Option<Located<'n, 's>> {
        let entry = self.entries.iter().find(|entry| entry.key == key)?;
        Some(self.at.key(key, entry.value))
    }
}

impl Validator<'_> {
    /// A map in which only these keys may stand. `what` names the map: "a rule".
    pub(super) fn map<'n, 'p>(
        &mut self,
        at: Located<'n, 'p>,
        what: &str,
        known: &[&str],
    ) -> Option<Map<'n, 'p>> {
        if !matches!(at.value(), Value::Map(_)) {
            // Who wrote something else does not know the keys; more of them nobody would read.
            let keys =
                if known.len() <= MOST_LISTED { format!(" of {}", listed(known)) } else { String::new() };
            self.wrong_type(&at, &format!("a map{keys}"));
            return None;
        }
        let mut entries = self.entries(at)?;
        let all = entries.len();
        entries.retain(|entry| self.is_known(at, entry, what, known));
        let has_unknown = entries.len() < all;
        Some(Map { at, entries, has_unknown })
    }

    /// The maps of an alerter: one; or a list of maps, each an alerter of its own; or a list of one-key maps, which
    /// are one alerter.
    pub(super) fn maps<'n, 'p>(
        &mut self,
        at: &'p Located<'n, 'p>,
        what: &str,
        known: &[&str],
    ) -> Option<Vec<Map<'n, 'p>>> {
        let Value::List(items) = at.value() else { return self.map(*at, what, known).map(|map| vec![map]) };
        if items.is_empty() {
            self.error(at, format!("{what} must not be an empty list"));
            return None;
        }
        let is_pair = |item: &Node<'_>| matches!(&item.value, Value::Map(entries) if entries.len() == 1);
        if items.iter().all(is_pair) {
            return self.pairs(*at, items, what, known).map(|map| vec![map]);
        }
        let maps: Vec<_> =
            items.iter().enumerate().map(|(n, item)| self.map(at.item(n, item), what, known)).collect();
        maps.into_iter().collect()
    }

    /// A list of one-key maps as one map.
    fn pairs<'n, 'p>(
        &mut self,
        at: Located<'n, 'p>,
        items: &'n [Node<'n>],
        what: &str,
        known: &[&str],
    ) -> Option<Map<'n, 'p>> {
        let mut entries: Vec<Entry<'n>> = Vec::new();
        let mut has_unknown = false;
        for item in items {
            for entry in self.entries(Located { node: item, ..at })? {
                match entries.iter().find(|earlier| earlier.key == entry.key) {
                    Some(earlier) => self.duplicate(&at.key(entry.key, entry.key_node), earlier.key_node),
                    None if self.is_known(at, &entry, what, known) => entries.push(entry),
                    None => has_unknown = true,
                }
            }
        }
        Some(Map { at, entries, has_unknown })
    }

    /// The `name` of an alerter or a rule: it tells apart what would otherwise be one.
    pub(super) fn name<'n>(&mut self, map: &Map<'n, '_>) -> Result<Option<&'n str>, Reported> {
        let Some(at) = map.get("name") else { return Ok(None) };
        let name = self.text(&at).ok_or(Reported)?;
        if !is_name(name) {
            self.error(&at, "must be 1 to 32 letters of A-Z, a-z, 0-9, _ and -");
            return Err(Reported);
        }
        Ok(Some(name))
    }

    /// Tells that a map lacks a key.
    pub(super) fn lacks(&mut self, map: &Map<'_, '_>, what: &str) {
        if !map.has_unknown {
            self.error(&map.at, format!("needs {what}"));
        }
    }

    fn is_known(&mut self, at: Located<'_, '_>, entry: &Entry<'_>, what: &str, known: &[&str]) -> bool {
        if known.contains(&entry.key) {
            return true;
        }
        let hint = match did_you_mean(entry.key, known) {
            _ if RULE_KEYS.contains(&entry.key) => "; it is a key of the rule itself".to_owned(),
            hint if hint.is_empty() => format!("; it may have {}", listed(known)),
            hint => hint,
        };
        self.error(&at.key(entry.key, entry.key_node), format!("{what} has no such key{hint}"));
        false
    }

    /// The entries of a map, with any keys. A map's own key wins over a merged one, an earlier merged map over a
    /// later one. Of equal keys the first counts; [`Self::duplicates`] tells of them.
    pub(super) fn entries<'n>(&mut self, at: Located<'n, '_>) -> Option<Vec<Entry<'n>>> {
        let Value::Map(pairs) = at.value() else {
            self.wrong_type(&at, "a map");
            return None;
        };
        let (mut own, mut merged) = (Vec::with_capacity(pairs.len()), Vec::new());
        for (key_node, value) in pairs {
            let Value::Text(key) = key_node.value else {
                let message = format!("a key must be text, found {}", key_node.value.kind());
                self.error(&Located { node: key_node, ..at }, message);
                continue;
            };
            if key == "<<" {
                merged.extend(self.merged(at.key(key, value))?);
            } else {
                own.push(Entry { key, key_node, value });
            }
        }
        if own.len() + merged.len() > 1 {
            let mut seen = HashSet::with_capacity(own.len() + merged.len());
            own.extend(merged);
            own.retain(|entry| seen.insert(entry.key));
        } else {
            own.extend(merged);
        }
        Some(own)
    }

    fn merged<'n>(&mut self, at: Located<'n, '_>) -> Option<Vec<Entry<'n>>> {
        let Value::List(items) = at.value() else { return self.entries(at) };
        let mut all = Vec::new();
        for (n, item) in items.iter().enumerate() {
            all.extend(self.entries(at.item(n, item))?);
        }
        Some(all)
    }

    /// Tells of every key that stands twice in one map, at any depth: the parser would keep the last and say
    /// nothing.
    pub(super) fn duplicates(&mut self, at: Located<'_, '_>) {
        if let Value::List(items) = at.value() {
            for (n, item) in items.iter().enumerate() {
                self.duplicates(at.item(n, item));
            }
        }
        let Value::Map(pairs) = at.value() else { return };
        let mut first = HashMap::<&str, &Node<'_>>::with_capacity(pairs.len());
        for (key_node, value) in pairs {
            let Value::Text(key) = key_node.value else { continue };
            if let Some(earlier) = first.get(key) {
                self.duplicate(&at.key(key, key_node), earlier);
            } else {
                first.insert(key, key_node);
            }
            self.duplicates(at.key(key, value));
        }
    }

    fn duplicate(&mut self, at: &Located<'_, '_>, earlier: &Node<'_>) {
        self.error_with_other(at, earlier.id, "duplicate key; the first is at ".to_owned());
    }
}

/// `a`, `b` and `c`
pub(super) fn listed(words: &[&str]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("`{}`", shown(word, 60))).collect();
    match quoted.split_last() {
        None => String::new(),
        Some((only, [])) => only.clone(),
        Some((last, others)) => format!("{} and {last}", others.join(", ")),
    }
}
