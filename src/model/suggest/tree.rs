//! A tree of znodes, and what in it is worth a rule.

use std::collections::BTreeMap;

use super::names::{is_instance, is_lock};

/// How many siblings make a glob.
const ALIKE: usize = 3;

/// What the server says of one znode.
#[derive(Clone, Copy, Debug)]
pub struct Seen {
    /// Whether a session owns it.
    pub ephemeral: bool,
    /// How many children it has.
    pub children: u32,
    /// How often its children changed, modulo 2³².
    pub cversion: i32,
}

/// One znode, as it was seen from first to last.
#[derive(Debug)]
pub struct Node {
    /// What is below it, by name.
    pub children: BTreeMap<String, Node>,
    /// What is below it was not read, or is left out on purpose.
    pub hidden: bool,
    pub(super) ephemeral: bool,
    gone: bool,
    pub(super) least: u32,
    pub(super) most: u32,
    cversion: i32,
    changes: u32,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Count,
    Exists,
}

/// Patterns relative to a znode.
type Patterns = BTreeMap<String, Kind>;

/// What one rule asks for, with the numbers that its comment tells.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Ask {
    Children {
        min: u32,
        most: u32,
        changes: u32,
        ephemeral: bool,
    },
    Exists,
    /// An exception of a glob: watched, and never alerts.
    Nothing,
}

#[derive(Debug)]
pub(super) struct Suggestion {
    pub(super) ask: Ask,
    /// How many znodes it governs.
    pub(super) matches: usize,
}

impl Node {
    /// A znode of which nothing is known but that it is there.
    pub fn hidden() -> Self {
        Self { hidden: true, ..Self::new(Seen { ephemeral: false, children: 0, cversion: 0 }) }
    }

    /// A znode that was seen once.
    pub fn new(seen: Seen) -> Self {
        Self {
            children: BTreeMap::new(),
            hidden: false,
            ephemeral: seen.ephemeral,
            gone: false,
            least: seen.children,
            most: seen.children,
            cversion: seen.cversion,
            changes: 0,
        }
    }

    /// It was seen again, or was not there.
    pub fn see(&mut self, seen: Option<Seen>) {
        let Some(seen) = seen else {
            (self.gone, self.least) = (true, 0);
            return;
        };
        self.least = self.least.min(seen.children);
        self.most = self.most.max(seen.children);
        self.changes = self.changes.saturating_add(seen.cversion.wrapping_sub(self.cversion).unsigned_abs());
        self.cversion = seen.cversion;
    }

    /// The znode at a path below this one; an empty path is this one.
    pub fn at(&mut self, path: &str) -> Option<&mut Self> {
        let mut levels = path.split('/').filter(|level| !level.is_empty());
        levels.try_fold(self, |node, level| node.children.get_mut(level))
    }

    /// Paths below this one, this one as an empty path, which decide what is suggested: to be seen again.
    pub fn targets(&self) -> Vec<String> {
        let mut targets = Vec::new();
        self.add_targets("", &mut targets);
        targets
    }

    fn add_targets(&self, path: &str, targets: &mut Vec<String>) {
        if self.is_group() {
            targets.push(path.to_owned());
        }
        for (name, child) in &self.children {
            let path = format!("{path}/{name}");
            if child.ephemeral && !self.is_group() {
                targets.push(path);
            } else {
                child.add_targets(&path, targets);
            }
        }
    }

    /// Whether its children are instances of something, rather than znodes with a meaning each.
    fn is_group(&self) -> bool {
        let mut ephemeral = self.children.iter().filter(|(_, child)| child.ephemeral);
        let all = self.is_all_ephemeral() && self.children.len() > 1;
        all || ephemeral.any(|(name, _)| is_instance(name))
    }

    fn is_all_ephemeral(&self) -> bool {
        self.children.values().all(|child| child.ephemeral)
    }

    fn is_lock_queue(&self) -> bool {
        self.children.iter().any(|(name, child)| child.ephemeral && is_lock(name))
    }

    /// Whether this was so all the time.
    fn satisfies(&self, kind: Kind) -> bool {
        match kind {
            Kind::Count => self.is_group() && self.least > 0 && !self.is_lock_queue(),
            Kind::Exists => !self.gone && self.ephemeral,
        }
    }

    /// Whether something below was not read, or has a star in its name and so cannot be an exception of a glob.
    fn has_hidden(&self) -> bool {
        let mut below = self.children.iter();
        self.hidden || below.any(|(name, child)| name.contains('*') || child.has_hidden())
    }

    /// Every znode that a relative pattern matches, with its relative path.
    fn matches<'n>(&'n self, pattern: &str, path: &str, found: &mut Vec<(String, &'n Self)>) {
        let Some(rest) = pattern.strip_prefix('/') else {
            found.push((path.to_owned(), self));
            return;
        };
        let end = rest.find('/').unwrap_or(rest.len());
        let (level, rest) = rest.split_at(end);
        if level == "*" {
            for (name, child) in &self.children {
                child.matches(rest, &format!("{path}/{name}"), found);
            }
        } else if let Some(child) = self.children.get(level) {
            child.matches(rest, &format!("{path}/{level}"), found);
        }
    }

    fn has_match(&self, pattern: &str) -> bool {
        let mut found = Vec::new();
        self.matches(pattern, "", &mut found);
        !found.is_empty()
    }

    /// Relative patterns of what is worth a rule; what is not, and why, goes to the notes.
    fn patterns(&self, path: &str, notes: &mut Vec<String>) -> Patterns {
        let mut patterns = Patterns::new();
        if self.is_group() {
            if self.satisfies(Kind::Count) {
                patterns.insert(String::new(), Kind::Count);
            } else {
                notes.push(format!("{path:?}: {}", self.reason()));
            }
        }
        let mut shared = BTreeMap::<(String, Kind), Vec<&str>>::new();
        for (name, child) in &self.children {
            let below = format!("{path}/{name}");
            if name.contains('*') {
                notes.push(format!("{below:?}: a name with a \"*\" cannot be told from a pattern"));
            } else if !child.ephemeral {
                for pattern in child.patterns(&below, notes) {
                    shared.entry(pattern).or_default().push(name);
                }
            } else if !self.is_group() {
                if child.gone {
                    notes.push(format!("{below:?}: it went away meanwhile"));
                } else {
                    patterns.insert(format!("/{name}"), Kind::Exists);
                }
            }
        }
        // Of siblings that were not read it is not known whether a glob would hold.
        let may_glob = !self.has_hidden();
        for ((rest, kind), names) in shared {
            let alike = || self.children.values().filter(|child| child.has_match(&rest)).count();
            if may_glob && names.len() >= ALIKE && names.len() * 2 >= alike() {
                patterns.entry(format!("/*{rest}")).or_insert(kind);
                continue;
            }
            let (instances, named): (Vec<&str>, Vec<&str>) =
                names.into_iter().partition(|name| is_instance(name));
            patterns.extend(named.iter().map(|name| (format!("/{name}{rest}"), kind)));
            notes.extend(instances.iter().map(|name| {
                format!(
                    "{:?}: too few alike for a glob, and its name is no lasting one",
                    format!("{path}/{name}")
                )
            }));
        }
        patterns
    }

    /// Why a group is not counted.
    fn reason(&self) -> String {
        if self.is_lock_queue() {
            "holders of a lock and those that wait, none of which may be right".to_owned()
        } else {
            format!("0 to {} children meanwhile: no minimum holds", self.most)
        }
    }
}

/// What would watch the tree below `root`, by path or glob, and what is left out and why.
pub(super) fn suggestions(root: &str, tree: &Node) -> (BTreeMap<String, Suggestion>, Vec<String>) {
    let root = root.trim_end_matches('/');
    let full = |path: &str| {
        if root.is_empty() && path.is_empty() { "/".to_owned() } else { format!("{root}{path}") }
    };
    let mut notes = Vec::new();
    let (mut rules, mut exceptions) = (BTreeMap::new(), Vec::new());
    for (pattern, kind) in tree.patterns(root, &mut notes) {
        let mut found = Vec::new();
        tree.matches(&pattern, "", &mut found);
        let (good, bad): (Vec<_>, Vec<_>) = found.into_iter().partition(|(_, node)| node.satisfies(kind));
        let good: Vec<&Node> = good.into_iter().map(|(_, node)| node).collect();
        rules.insert(full(&pattern), Suggestion { ask: ask(kind, &good), matches: good.len() });
        exceptions.extend(bad.into_iter().map(|(path, _)| full(&path)));
    }
    for path in exceptions {
        rules.entry(path).or_insert(Suggestion { ask: Ask::Nothing, matches: 1 });
    }
    (rules, notes)
}

fn ask(kind: Kind, nodes: &[&Node]) -> Ask {
    match kind {
        Kind::Exists => Ask::Exists,
        Kind::Count => Ask::Children {
            min: nodes.iter().map(|node| node.least).min().unwrap_or_default(),
            most: nodes.iter().map(|node| node.most).max().unwrap_or_default(),
            changes: nodes.iter().fold(0, |sum, node| sum.saturating_add(node.changes)),
            ephemeral: nodes.iter().all(|node| node.is_all_ephemeral()),
        },
    }
}
