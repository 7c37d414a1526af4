//! The table of watched znodes: what the rules and the listings of globs put into it.

use std::cmp::Ordering;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use super::globs::{Globs, Site};
use super::node::{Asked, Node};
use crate::model::children::Children;
use crate::model::observation::Adoption;
use crate::model::path::parent;
use crate::model::rule::{RuleSet, Rules};

/// Which znodes are watched, and why.
#[derive(Debug, Default)]
pub(super) struct Table {
    nodes: HashMap<Arc<str>, Node>,
    rules: Arc<RuleSet>,
    globs: Globs,
}

/// A znode of which a reading is missing after a change of the rules.
pub(super) enum Missing {
    /// It is judged otherwise than before: one that begins now.
    Anew(Arc<str>),
    /// It is new, or more is wanted of it: the one that is under way is good enough.
    Any(Arc<str>),
}

impl Table {
    pub(super) fn rules(&self) -> &Arc<RuleSet> {
        &self.rules
    }

    pub(super) fn len(&self) -> usize {
        self.nodes.len()
    }

    pub(super) fn get(&self, path: &str) -> Option<&Node> {
        self.nodes.get(path)
    }

    pub(super) fn get_mut(&mut self, path: &str) -> Option<&mut Node> {
        self.nodes.get_mut(path)
    }

    pub(super) fn paths(&self) -> Vec<Arc<str>> {
        self.nodes.keys().cloned().collect()
    }

    pub(super) fn nodes(&self) -> impl Iterator<Item = &Node> {
        self.nodes.values()
    }

    pub(super) fn nodes_mut(&mut self) -> impl Iterator<Item = &mut Node> {
        self.nodes.values_mut()
    }

    /// Makes the table anew from the rules. Znodes that stay keep what is known of them. Gives those of which a reading
    /// is missing, since they are new or judged otherwise than before, and the readings under way that nobody wants
    /// any more.
    pub(super) fn change_rules(&mut self, rules: Arc<RuleSet>) -> (Vec<Missing>, Vec<Asked>) {
        let before = std::mem::replace(&mut self.rules, Arc::clone(&rules));
        self.globs = Globs::new(rules.globs().iter().map(|rules| &**rules.path()));
        let mut old = std::mem::take(&mut self.nodes);
        for rules in rules.exact() {
            self.restore(rules.path(), &mut old).rooted = true;
        }
        let mut unfolded = Vec::new();
        for (path, site) in self.globs.roots().collect::<Vec<_>>() {
            let node = self.restore(&path, &mut old);
            node.rooted = true;
            node.unfolds.get_or_insert_default().sites.push(site);
            unfolded.push((path, site));
        }
        while let Some((path, site)) = unfolded.pop() {
            for child in self.listing(&path).names() {
                let Some(step) = self.globs.step(site, &path, child) else { continue };
                let node = self.restore(&step.path, &mut old);
                node.leads += 1;
                if let Some(site) = step.site {
                    node.unfolds.get_or_insert_default().sites.push(site);
                    unfolded.push((step.path, site));
                }
            }
        }
        let dropped = self.keep_matches(old);
        for node in self.nodes.values_mut() {
            node.unfolds.take_if(|unfolds| unfolds.sites.is_empty());
        }
        (self.to_be_read(&before), dropped)
    }

    /// A znode of the new table: with what the old one knew of it, but none of its reasons to be there.
    fn restore(&mut self, path: &str, old: &mut HashMap<Arc<str>, Node>) -> &mut Node {
        let rules = self.rules.for_path(path);
        // A path that a rule names is kept once for both.
        let named = rules.filter(|rules| **rules.path() == *path).map(|rules| Arc::clone(rules.path()));
        let needs = rules.map(Rules::needs);
        let (path, mut node) = match old.remove_entry(path) {
            Some((path, node)) => (named.unwrap_or(path), without_reasons(node)),
            None => (named.unwrap_or_else(|| path.into()), Node::default()),
        };
        node.needs = needs;
        self.nodes.entry(path).or_insert(node)
    }

    /// Keeps those matches that no listing leads to, as they may stand where nothing may be listed; gives what was
    /// asked of the rest.
    fn keep_matches(&mut self, old: HashMap<Arc<str>, Node>) -> Vec<Asked> {
        let mut dropped = Vec::new();
        for (path, mut node) in old {
            match self.rules.for_path(&path) {
                Some(rules) => {
                    let needs = Some(rules.needs());
                    self.nodes.insert(path, Node { needs, ..without_reasons(node) });
                }
                None => dropped.extend(node.asked.take().map(|asked| *asked)),
            }
        }
        dropped
    }

    fn to_be_read(&self, before: &RuleSet) -> Vec<Missing> {
        let changed = |path: &str| match (before.for_path(path), self.rules.for_path(path)) {
            (Some(before), Some(now)) => !before.judge_like(now),
            (None, Some(_)) => true,
            (Some(_) | None, None) => false,
        };
        let missing = |(path, node): (&Arc<str>, &Node)| {
            let path = Arc::clone(path);
            match (changed(&path), node.is_covered()) {
                (true, _) => Some(Missing::Anew(path)),
                (false, false) => Some(Missing::Any(path)),
                (false, true) => None,
            }
        };
        self.nodes.iter().filter_map(missing).collect()
    }

    /// Takes a new listing of a znode's children; gives what came, and what went and has to be read once more.
    pub(super) fn unfold(&mut self, path: &str, listing: Children) -> Vec<Arc<str>> {
        let Some(unfolds) = self.nodes.get_mut(path).and_then(|node| node.unfolds.as_deref_mut()) else {
            return Vec::new();
        };
        let before = unfolds.listing.replace(listing.clone()).unwrap_or_default();
        let sites = unfolds.sites.clone();
        let mut ask = Vec::new();
        for (child, came) in difference(&before, &listing) {
            for site in &sites {
                let Some(step) = self.globs.step(*site, path, child) else { continue };
                if came {
                    self.enter(&step.path, step.site, &mut ask);
                } else {
                    self.leave(&step.path, step.site, &mut ask);
                }
            }
        }
        ask
    }

    fn enter(&mut self, path: &str, site: Option<Site>, ask: &mut Vec<Arc<str>>) {
        if !self.nodes.contains_key(path) {
            let needs = self.rules.for_path(path).map(Rules::needs);
            self.nodes.insert(path.into(), Node { needs, ..Node::default() });
        }
        let Some((path, _)) = self.nodes.get_key_value(path) else { return };
        let path = Arc::clone(path);
        if let Some(node) = self.nodes.get_mut(&path) {
            node.leads += 1;
        }
        if let Some(site) = site {
            let children = self.listing(&path);
            if let Some(node) = self.nodes.get_mut(&path) {
                node.unfolds.get_or_insert_default().sites.push(site);
            }
            for child in children.names() {
                if let Some(step) = self.globs.step(site, &path, child) {
                    self.enter(&step.path, step.site, ask);
                }
            }
        }
        ask.push(path);
    }

    fn leave(&mut self, path: &str, site: Option<Site>, ask: &mut Vec<Arc<str>>) {
        let children = site.map(|_| self.listing(path)).unwrap_or_default();
        let Some((path, _)) = self.nodes.get_key_value(path) else { return };
        let path = Arc::clone(path);
        if let Some(node) = self.nodes.get_mut(&path) {
            node.leads -= 1;
            if let Some(unfolds) = &mut node.unfolds {
                unfolds.sites.retain(|other| Some(*other) != site);
            }
        }
        for child in children.names() {
            if let Some(step) = site.and_then(|site| self.globs.step(site, &path, child)) {
                self.leave(&step.path, step.site, ask);
            }
        }
        ask.push(path);
    }

    /// The children of a znode where globs unfold, as last read.
    fn listing(&self, path: &str) -> Children {
        let unfolds = self.nodes.get(path).and_then(|node| node.unfolds.as_ref());
        unfolds.and_then(|unfolds| unfolds.listing.clone()).unwrap_or_default()
    }

    /// Whether an orphan that is missing may go: a listing tells if it comes back.
    pub(super) fn may_go(&self, path: &str) -> bool {
        self.nodes.get(path).is_some_and(Node::is_orphan) && self.listing_tells(path)
    }

    /// The znode that has to be read when a child of it rings: the one above, if a watch may have been left on what its
    /// children hold; and the child's name.
    pub(super) fn reads<'a>(&self, child: &'a str) -> Option<(Arc<str>, &'a str)> {
        let (path, node) = self.nodes.get_key_value(parent(child)?)?;
        let name = child.rsplit('/').next().unwrap_or_default();
        node.hears_children.then(|| (Arc::clone(path), name))
    }

    pub(super) fn remove(&mut self, path: &str) {
        self.nodes.remove(path);
    }

    /// Whether a listing would tell if an orphan came back: no known place above it refuses to be listed.
    pub(super) fn listing_tells(&self, path: &str) -> bool {
        if !self.nodes.get(path).is_some_and(Node::is_orphan) {
            return true;
        }
        let above = path.match_indices('/').map(|(at, _)| if at == 0 { "/" } else { &path[..at] });
        let unfolds = |place| self.nodes.get(place).and_then(|node| node.unfolds.as_ref());
        !above.filter_map(unfolds).any(|unfolds| unfolds.refusal.is_some())
    }

    /// Puts a match of a glob in, if it is not there. Tells whether the incident is of one.
    pub(super) fn adopt(&mut self, incident: &Adoption) -> bool {
        let Adoption { key, former, .. } = incident;
        let rules = self.rules.for_path(&key.path).filter(|rules| rules.is_glob());
        let Some(rules) = rules.filter(|_| self.rules.successor(key, former).is_some()) else {
            return false;
        };
        let needs = Some(rules.needs());
        self.nodes.entry(Arc::clone(&key.path)).or_insert_with(|| Node { needs, ..Node::default() });
        true
    }

    /// The places of globs that cannot be listed.
    pub(super) fn unlisted(&self) -> BTreeSet<Arc<str>> {
        let shut = |node: &Node| node.unfolds.as_ref().is_some_and(|unfolds| unfolds.refusal.is_some());
        self.nodes.iter().filter(|(_, node)| shut(node)).map(|(path, _)| Arc::clone(path)).collect()
    }
}

/// What is known of a znode, without why it is watched.
fn without_reasons(mut node: Node) -> Node {
    (node.rooted, node.leads) = (false, 0);
    if let Some(unfolds) = &mut node.unfolds {
        unfolds.sites.clear();
    }
    node
}

/// The names that are in one listing only, and whether they came.
fn difference<'a>(before: &'a Children, after: &'a Children) -> Vec<(&'a str, bool)> {
    let mut old = before.names().peekable();
    let mut new = after.names().peekable();
    let mut changes = Vec::new();
    loop {
        let order = match (old.peek(), new.peek()) {
            (None, None) => return changes,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(a), Some(b)) => a.cmp(b),
        };
        let gone = old.next_if(|_| order.is_le());
        let came = new.next_if(|_| order.is_ge());
        match (gone, came) {
            (Some(gone), None) => changes.push((gone, false)),
            (None, Some(came)) => changes.push((came, true)),
            // The same name on both sides.
            (Some(_), Some(_)) | (None, None) => {}
        }
    }
}
