//! Rules: a path, what must hold of it, and who hears when it does not.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use regex_lite::Regex;

use super::data::Data;
use super::document::{Node, Value};
use super::located::{Located, shown};
use super::map::{DEFAULTS_KEYS, Map, RULE_KEYS};
use super::validator::Validator;
use crate::model::judge::{Bounds, By, Compiled, Counting, DropSpec, Include, Matcher, Specs};
use crate::model::ledger::RECEIVERS_MAX;
use crate::model::path;
use crate::model::receiver::{ReceiverId, Smtp};
use crate::model::rule::{Rule, Terms, is_glob};
use crate::model::severity::Severity;
use crate::model::small_map::SmallMap;

/// How long a vanished match of a glob stays in error, unless a rule says otherwise.
const FORGET_AFTER: Duration = Duration::from_secs(24 * 60 * 60);

/// How many names a rule can include: each is compared with every listing.
const MAX_INCLUDED: usize = 1000;

/// The longest description, in bytes.
const MAX_DESCRIPTION: usize = 4096;

/// The longest regular expression, in bytes: it stands in messages.
const MAX_PATTERN: usize = 4096;

/// How many rules a path can have: each is an alert of its own, and an alert more for each match of a glob.
const MAX_RULES: usize = 100;

/// What a rule says, or `defaults` does; what it does not say is `None`.
#[derive(Clone, Debug, Default)]
pub(super) struct Body {
    /// Never said by `defaults`. The inner `None` is one that is wrong, and was told of.
    name: Option<Option<Arc<str>>>,
    children: Option<Children>,
    exists: Option<bool>,
    data: Option<Data>,
    cancel_timeout: Option<Duration>,
    keep_firing_for: Option<Duration>,
    /// The inner `None` is "never".
    repeat_interval: Option<Option<Duration>>,
    forget_after: Option<Duration>,
    description: Option<Arc<str>>,
    receivers: Option<Vec<ReceiverId>>,
    severity: Option<Severity>,
    labels: Option<SmallMap<Arc<str>, Arc<str>>>,
    runbook: Option<Arc<str>>,
    depends_on: Option<Vec<Arc<str>>>,
}

/// What a rule asks of children.
#[derive(Clone, Debug, Default)]
struct Children {
    bounds: Option<Bounds>,
    include: Option<Include>,
    drop: Option<DropSpec>,
    counting: Counting,
}

impl Body {
    /// What a rule says, where `defaults` says what this does not.
    fn terms(self, defaults: &Self) -> Terms {
        let Data { content, max_age } = self.data.or_else(|| defaults.data.clone()).unwrap_or_default();
        let Children { bounds, include, drop, counting } =
            self.children.or_else(|| defaults.children.clone()).unwrap_or_default();
        Terms {
            name: self.name.flatten(),
            severity: self.severity.or(defaults.severity).unwrap_or_default(),
            labels: self.labels.or_else(|| defaults.labels.clone()).unwrap_or_default(),
            specs: Specs {
                children: bounds,
                include,
                drop,
                counting,
                exists: self.exists.or(defaults.exists),
                data: content,
                max_age,
            },
            cancel_timeout: self.cancel_timeout.or(defaults.cancel_timeout).unwrap_or_default(),
            keep_firing_for: self.keep_firing_for.or(defaults.keep_firing_for).unwrap_or_default(),
            repeat_interval: self.repeat_interval.or(defaults.repeat_interval).flatten(),
            forget_after: self.forget_after.or(defaults.forget_after).unwrap_or(FORGET_AFTER),
            description: self.description.or_else(|| defaults.description.clone()),
            runbook: self.runbook.or_else(|| defaults.runbook.clone()),
            receivers: self.receivers.or_else(|| defaults.receivers.clone()).unwrap_or_default(),
            depends_on: self.depends_on.or_else(|| defaults.depends_on.clone()).unwrap_or_default(),
        }
    }
}

impl Validator<'_> {
    /// The rules of one path: `key` is the path as a value, for errors about it; `at` is what it says, which is one rule,
    /// or a list of several with a name each.
    pub(super) fn rules_of(
        &mut self,
        path: &str,
        key: &Located<'_, '_>,
        at: &Located<'_, '_>,
        defaults: &Body,
        smtp: &Arc<Smtp>,
    ) -> Vec<Rule> {
        if let Err(fault) = path::check_pattern(path) {
            self.error(key, fault.to_string());
        }
        let path: Arc<str> = path.into();
        let bodies = match at.value() {
            Value::Null => vec![Body::default()],
            Value::List(items) => self.list(at, items, smtp),
            Value::Bool(_)
            | Value::Integer(_)
            | Value::Float(_)
            | Value::Text(_)
            | Value::Map(_)
            | Value::Tagged => self.body(*at, "a rule", &RULE_KEYS, smtp).into_iter().collect(),
        };
        bodies.into_iter().map(|body| self.rule(&path, key, body, defaults)).collect()
    }

    /// Several rules for one path.
    fn list(&mut self, at: &Located<'_, '_>, items: &[Node<'_>], smtp: &Arc<Smtp>) -> Vec<Body> {
        if items.is_empty() || items.len() > MAX_RULES {
            let count = items.len();
            self.error(at, format!("is a list of {count} rules: a path can have 1 to {MAX_RULES}"));
            return Vec::new();
        }
        let mut first = HashMap::<Arc<str>, u32>::new();
        let mut bodies = Vec::with_capacity(items.len());
        for (number, item) in items.iter().enumerate() {
            let at = at.item(number, item);
            let Some(body) = self.body(at, "a rule", &RULE_KEYS, smtp) else { continue };
            match &body.name {
                Some(Some(name)) => match first.get(name) {
                    Some(other) => self.error_with_other(
                        &at,
                        *other,
                        format!("has the name of another rule of this path, \"{name}\", which is at "),
                    ),
                    None => drop(first.insert(Arc::clone(name), item.id)),
                },
                Some(None) => {}
                None => self.error(&at, "needs a `name`, by which a path's rules are told apart"),
            }
            bodies.push(body);
        }
        bodies
    }

    fn rule(&mut self, path: &Arc<str>, key: &Located<'_, '_>, body: Body, defaults: &Body) -> Rule {
        let has_own_alerter = body.receivers.as_ref().is_some_and(|receivers| !receivers.is_empty());
        let has_own_forget_after = body.forget_after.is_some();
        let terms = body.terms(defaults);
        if has_own_alerter && terms.specs.is_empty() {
            self.warn(key, "has an alerter and no `children`, `exists` or `data`: it never alerts");
        }
        if has_own_forget_after && !is_glob(path) {
            self.warn(key, "has `forget_after`, which means something only for a path with a `*`");
        }
        if !terms.depends_on.is_empty() {
            self.depends(path, key);
        }
        if let Some((names, most)) = too_many_names(&terms.specs) {
            self.warn(
                key,
                format!("includes {names} children and may have {most} at most: it can never be in spec"),
            );
        }
        let last = path.rsplit('/').next().unwrap_or_default();
        if last.contains('*') && terms.specs.exists == Some(true) {
            self.warn(
                key,
                "asks that each match exists, and the last level has a `*`: each name that goes is an error for \
                 `forget_after`, also where a new name takes its place on every registration",
            );
        }
        if is_impossible(&terms.specs) {
            self.warn(key, "asks that the path does not exist and for something that only an existing path can have: it can never be in spec");
        }
        Rule { path: Arc::clone(path), terms: self.share(terms) }
    }

    /// The same terms as before, if a rule had them already: a hundred thousand rules that say the same take little.
    fn share(&mut self, terms: Terms) -> Arc<Terms> {
        if let Some(shared) = self.terms.get(&terms) {
            return Arc::clone(shared);
        }
        let shared = Arc::new(terms);
        self.terms.insert(Arc::clone(&shared));
        shared
    }

    /// What `defaults` says.
    pub(super) fn defaults(&mut self, at: Located<'_, '_>, smtp: &Arc<Smtp>) -> Option<Body> {
        self.body(at, "`defaults`", &DEFAULTS_KEYS, smtp)
    }

    /// What a rule or `defaults` says.
    fn body(&mut self, at: Located<'_, '_>, what: &str, known: &[&str], smtp: &Arc<Smtp>) -> Option<Body> {
        let map = self.map(at, what, known)?;
        Some(Body {
            name: self.name(&map).map_or(Some(None), |name| name.map(|name| Some(name.into()))),
            children: map.get("children").and_then(|at| self.children(&at)),
            exists: map.get("exists").and_then(|at| self.boolean(&at)),
            data: map.get("data").and_then(|at| self.data(&at)),
            cancel_timeout: map.get("cancel_timeout").and_then(|at| self.duration(&at)),
            keep_firing_for: map.get("keep_firing_for").and_then(|at| self.duration(&at)),
            repeat_interval: map.get("repeat_interval").and_then(|at| self.repeat_interval(&at)),
            forget_after: map.get("forget_after").and_then(|at| self.duration(&at)),
            description: map.get("description").and_then(|at| self.description(&at)),
            receivers: map.get("alerter").map(|at| self.rule_receivers(&at, smtp)),
            severity: map.get("severity").and_then(|at| self.severity(&at)),
            labels: map.get("labels").and_then(|at| self.labels(at)),
            runbook: map.get("runbook").and_then(|at| self.runbook(&at)),
            depends_on: map.get("depends_on").map(|at| self.depends_on(&at)),
        })
    }

    fn rule_receivers(&mut self, at: &Located<'_, '_>, smtp: &Arc<Smtp>) -> Vec<ReceiverId> {
        let receivers = self.alerter(at, smtp);
        if receivers.len() > RECEIVERS_MAX {
            let count = receivers.len();
            self.error(
                at,
                format!("names {count} receivers, and a rule can have {RECEIVERS_MAX}: use a mailing list"),
            );
        }
        receivers
    }

    fn children(&mut self, at: &Located<'_, '_>) -> Option<Children> {
        let Value::Map(_) = at.value() else {
            let bounds = self.count(at).map(|min| Bounds::Range { min: Some(min), max: None });
            return Some(Children { bounds, ..Children::default() });
        };
        let keys = ["min", "max", "equals", "include", "drop", "where", "distinct"];
        let map = self.map(*at, "`children`", &keys)?;
        let include = map.get("include").map(|at| self.include(&at));
        let drop = map.get("drop").map(|at| self.drop(&at));
        let has_bound = ["min", "max", "equals", "drop"].iter().any(|key| map.get(key).is_some());
        let counting = self.counting(&map, has_bound);
        let is_optional = include.is_some() || drop.is_some() || !counting.is_plain();
        let bounds = self.bounds(at, &map, is_optional);
        Some(Children { bounds, include: include.flatten(), drop: drop.flatten(), counting })
    }

    /// How far the number of children may fall.
    fn drop(&mut self, at: &Located<'_, '_>) -> Option<DropSpec> {
        let map = self.map(*at, "`drop`", &["by", "within"])?;
        let (by, within) = (map.get("by"), map.get("within"));
        if by.is_none() || within.is_none() {
            self.lacks(&map, "`by` and `within`");
        }
        let by = by.and_then(|at| self.drop_by(&at));
        let within = within.and_then(|at| {
            let within = self.duration(&at)?;
            if within < Duration::from_secs(1) {
                self.error(&at, "must be at least 1s");
            }
            Some(within)
        });
        Some(DropSpec { by: by?, within: within? })
    }

    fn drop_by(&mut self, at: &Located<'_, '_>) -> Option<By> {
        let Value::Text(text) = at.value() else { return self.count(at).map(By::Count) };
        let percent = text.strip_suffix('%').and_then(|number| number.trim_end().parse().ok());
        let percent = percent.filter(|percent| (1..100).contains(percent));
        if percent.is_none() {
            let found = shown(text, 60);
            self.error(at, format!("must be a number of children, or 1% to 99%, found \"{found}\""));
        }
        percent.map(By::Percent)
    }

    fn bounds(&mut self, at: &Located<'_, '_>, map: &Map<'_, '_>, is_optional: bool) -> Option<Bounds> {
        let mut count = |key| map.get(key).map(|at| self.count(&at));
        let (min, max, equals) = (count("min"), count("max"), count("equals"));
        match (min, max, equals) {
            (None, None, None) if is_optional => None,
            (None, None, None) => {
                self.lacks(map, "`min`, `max`, `equals`, `include` or `drop`");
                None
            }
            (None, None, Some(equals)) => equals.map(Bounds::Equals),
            (_, _, Some(_)) => {
                self.error(at, "has `equals` beside `min` or `max`: `equals` stands alone");
                None
            }
            (Some(Some(min)), Some(Some(max)), None) if min > max => {
                self.error(
                    at,
                    format!("has a `min` ({min}) above its `max` ({max}): it can never be in spec"),
                );
                None
            }
            (min, max, None) => Some(Bounds::Range { min: min.flatten(), max: max.flatten() }),
        }
    }

    /// The names of children that have to be there.
    fn include(&mut self, at: &Located<'_, '_>) -> Option<Include> {
        let Value::List(items) = at.value() else {
            self.wrong_type(at, "a list of names");
            return None;
        };
        if items.is_empty() || items.len() > MAX_INCLUDED {
            self.error(at, format!("must have 1 to {MAX_INCLUDED} names, found {}", items.len()));
        }
        let mut names = BTreeSet::new();
        for (index, item) in items.iter().enumerate() {
            let at = at.item(index, item);
            let Some(name) = self.text(&at) else { continue };
            if name.contains('/') {
                self.error(&at, "must be the name of a child, without a \"/\"");
            } else if let Err(fault) = path::check(&format!("/{name}")) {
                self.error(&at, fault.to_string());
            } else if !names.insert(name.into()) {
                self.error(&at, "stands in the list twice");
            }
        }
        Some(Include(names))
    }

    pub(super) fn expression(&mut self, at: &Located<'_, '_>) -> Option<Compiled<Matcher>> {
        let pattern = self.text(at)?;
        if pattern.len() > MAX_PATTERN {
            self.error(at, format!("must be at most {MAX_PATTERN} bytes long"));
            return None;
        }
        let regex = match Regex::new(pattern) {
            Ok(regex) => regex,
            Err(error) => {
                let reason = shown(&error.to_string(), 200);
                self.error(at, format!("is not a regular expression: {reason}"));
                return None;
            }
        };
        // Data that is not text matches nothing.
        let run = Arc::new(move |data: &[u8]| str::from_utf8(data).is_ok_and(|text| regex.is_match(text)));
        Some(Compiled { source: pattern.into(), run })
    }

    /// The inner `None` is "never", written as 0, so that a rule can switch a default off.
    fn repeat_interval(&mut self, at: &Located<'_, '_>) -> Option<Option<Duration>> {
        let interval = self.duration(at)?;
        if interval.is_zero() {
            return Some(None);
        }
        if interval < Duration::from_secs(1) {
            self.error(at, "must be at least 1s, or 0 for no reminders");
            return None;
        }
        Some(Some(interval))
    }

    fn severity(&mut self, at: &Located<'_, '_>) -> Option<Severity> {
        let text = self.text(at)?;
        let found = Severity::from_word(text);
        if found.is_none() {
            self.error(
                at,
                format!("must be info, warning, error or critical, found \"{}\"", shown(text, 60)),
            );
        }
        found
    }

    fn description(&mut self, at: &Located<'_, '_>) -> Option<Arc<str>> {
        let text = self.text(at)?.trim_end();
        if text.len() > MAX_DESCRIPTION {
            self.error(at, format!("must be at most {MAX_DESCRIPTION} bytes long"));
        } else if text.contains(|c: char| c.is_control() && c != '\n' && c != '\t') {
            self.error(at, "must not hold control characters");
        } else {
            return Some(text.into());
        }
        None
    }
}

/// How many children have to be there by name, and how many there may be, if that is fewer. Where not all children count,
/// those that are named need not.
fn too_many_names(specs: &Specs) -> Option<(usize, u32)> {
    let most = match specs.children.filter(|_| specs.counting.is_plain())? {
        Bounds::Range { max, .. } => max?,
        Bounds::Equals(count) => count,
    };
    let names = specs.include.as_ref()?.0.len();
    (names > most as usize).then_some((names, most))
}

/// Whether a path would have to be missing, and to have what a missing path has not.
fn is_impossible(specs: &Specs) -> bool {
    let wants_children = match specs.children {
        Some(Bounds::Range { min: Some(count), .. } | Bounds::Equals(count)) => count > 0,
        Some(Bounds::Range { min: None, .. }) | None => false,
    };
    specs.exists == Some(false) && (wants_children || specs.include.is_some() || specs.needs().data)
}
