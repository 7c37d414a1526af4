//! The table of watched znodes: what the rules and the listings of globs put into it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::SystemTime;

use super::Watcher;
use super::node::{Node, Phase};
use crate::model::children::Children;
use crate::model::observation::Fact;
use crate::model::rule::{RuleSet, Specs, is_glob};
use crate::zk::bell::Wants;
use crate::zk::globs::{Globs, Site};

impl Watcher {
    /// Makes the table anew from the rules. Znodes that stay keep what is known of them and are not read again,
    /// unless they are now judged otherwise.
    pub(super) fn change_rules(&mut self, rules: Arc<RuleSet>) {
        let before = std::mem::replace(&mut self.rules, Arc::clone(&rules));
        self.globs = Globs::new(rules.globs().iter().map(AsRef::as_ref));
        self.tell(Fact::Rules(Arc::clone(&rules)));
        let mut old = std::mem::take(&mut self.nodes);
        for rule in rules.exact() {
            self.restore(&rule.path, &mut old).rooted = true;
        }
        let roots: Vec<_> = self.globs.roots().collect();
        let mut unfolded = Vec::new();
        for (path, site) in roots {
            let node = self.restore(&path, &mut old);
            node.rooted = true;
            let unfolds = node.unfolds.get_or_insert_default();
            unfolds.sites.push(site);
            unfolded.push((Arc::<str>::from(path), site));
        }
        while let Some((path, site)) = unfolded.pop() {
            for child in self.listing(&path).names() {
                let Some(step) = self.globs.step(site, &path, child) else { continue };
                let node = self.restore(&step.path, &mut old);
                node.listed += 1;
                if let Some(site) = step.site {
                    let unfolds = node.unfolds.get_or_insert_default();
                    unfolds.sites.push(site);
                    unfolds.beyond |= step.beyond;
                    unfolded.push((step.path.into(), site));
                }
            }
        }
        for path in old.keys() {
            self.unreadable.remove(path);
        }
        self.drop_from_fence(old.values().filter(|node| node.fenced > 0).count());
        old.values().filter(|node| node.marked).for_each(|_| self.pass_mark());
        self.finish_change(&before);
    }

    /// A znode of the new table: with what the old one knew of it, but none of its reasons to be there.
    fn restore(&mut self, path: &str, old: &mut HashMap<Arc<str>, Node>) -> &mut Node {
        let rule = self.rules.for_path(path);
        // A path that a rule names is kept once for both.
        let named = rule.filter(|rule| *rule.path == *path).map(|rule| Arc::clone(&rule.path));
        let rule = rule.map(|rule| wants_of(&rule.terms.specs));
        if let Some((path, mut node)) = old.remove_entry(path) {
            node.rooted = false;
            node.listed = 0;
            node.rule = rule;
            if let Some(unfolds) = &mut node.unfolds {
                unfolds.sites.clear();
                unfolds.beyond = false;
            }
            return self.nodes.entry(named.unwrap_or(path)).or_insert(node);
        }
        let path = named.unwrap_or_else(|| path.into());
        self.nodes.entry(path).or_insert_with(|| Node { rule, ..Node::new() })
    }

    /// Reads what is new in the table, or judged by another condition than before.
    fn finish_change(&mut self, before: &RuleSet) {
        for node in self.nodes.values_mut() {
            if node.unfolds.as_ref().is_some_and(|unfolds| unfolds.sites.is_empty()) {
                node.unfolds = None;
            }
        }
        self.unread = self.nodes.values().filter(|node| !node.read).count();
        self.announce = true;
        let changed = |path: &str| match (before.for_path(path), self.rules.for_path(path)) {
            (Some(before), Some(now)) => !before.same_condition(now),
            (None, Some(_)) => true,
            (Some(_) | None, None) => false,
        };
        let again: Vec<_> = self
            .nodes
            .iter()
            .filter(|(path, node)| {
                let unlisted = node.unfolds.as_ref().is_some_and(|unfolds| unfolds.listing.is_none());
                (!node.read || unlisted) && node.phase == Phase::Idle || changed(path)
            })
            .map(|(path, _)| Arc::clone(path))
            .collect();
        for path in again {
            self.read(&path);
        }
        self.announce_globs();
    }

    /// Takes a new listing of a znode's children: what came is watched, what went is read once more.
    pub(super) fn unfold(&mut self, path: &Arc<str>, listing: Children) {
        let Some(unfolds) = self.nodes.get_mut(path).and_then(|node| node.unfolds.as_deref_mut()) else {
            return;
        };
        let before = unfolds.listing.replace(listing.clone()).unwrap_or_default();
        let sites = unfolds.sites.clone();
        for (child, came) in difference(&before, &listing) {
            for site in &sites {
                let Some(step) = self.globs.step(*site, path, child) else { continue };
                if came {
                    self.enter(&step.path, step.site, step.beyond);
                } else {
                    self.leave(&step.path, step.site);
                }
            }
        }
    }

    fn enter(&mut self, path: &str, site: Option<Site>, beyond: bool) {
        if !self.nodes.contains_key(path) {
            let rule = self.rules.for_path(path).map(|rule| wants_of(&rule.terms.specs));
            self.nodes.insert(path.into(), Node { rule, ..Node::new() });
            self.unread += 1;
        }
        let Some(node) = self.nodes.get_mut(path) else { return };
        node.listed += 1;
        if let Some(site) = site {
            let unfolds = node.unfolds.get_or_insert_default();
            unfolds.sites.push(site);
            unfolds.beyond |= beyond;
            for child in self.listing(path).names() {
                if let Some(step) = self.globs.step(site, path, child) {
                    self.enter(&step.path, step.site, step.beyond);
                }
            }
        }
        self.read(path);
    }

    /// The children of a znode where globs unfold, as last read.
    fn listing(&self, path: &str) -> Children {
        let unfolds = self.nodes.get(path).and_then(|node| node.unfolds.as_ref());
        unfolds.and_then(|unfolds| unfolds.listing.clone()).unwrap_or_default()
    }

    fn leave(&mut self, path: &str, site: Option<Site>) {
        let Some(node) = self.nodes.get_mut(path) else { return };
        node.listed = node.listed.saturating_sub(1);
        if let (Some(site), Some(unfolds)) = (site, &mut node.unfolds) {
            unfolds.sites.retain(|other| *other != site);
            for child in self.listing(path).names() {
                if let Some(step) = self.globs.step(site, path, child) {
                    self.leave(&step.path, step.site);
                }
            }
        }
        self.read(path);
    }

    pub(super) fn forget(&mut self, path: &Arc<str>) {
        let Some(node) = self.nodes.remove(path) else { return };
        self.unread -= usize::from(!node.read);
        self.unreadable.remove(path);
        self.drop_from_fence(usize::from(node.fenced > 0));
        if node.marked {
            self.pass_mark();
        }
    }

    fn drop_from_fence(&mut self, count: usize) {
        for _ in 0..count {
            self.pass_fence();
        }
    }

    pub(super) fn adopt(&mut self, paths: Vec<(Arc<str>, SystemTime)>) {
        for (path, since) in paths {
            let Some(rule) = self.rules.for_path(&path).filter(|rule| is_glob(&rule.path)) else { continue };
            if self.nodes.contains_key(&path) {
                continue;
            }
            let node = Node { rule: Some(wants_of(&rule.terms.specs)), ..Node::new() };
            self.tell(Fact::Adopted { path: Arc::clone(&path), since });
            self.nodes.insert(Arc::clone(&path), node);
            self.unread += 1;
            self.read(&path);
        }
    }
}

/// What is to be read for a rule. A match of a glob that is missing is found again by the listing that leads to
/// it, unless fixed levels lie between.
fn wants_of(specs: &Specs) -> Wants {
    let needs = specs.needs();
    Wants { children: needs.children, data: needs.data, creation: false }
}

/// The names that are in one listing only, and whether they came.
fn difference<'a>(before: &'a Children, after: &'a Children) -> Vec<(&'a str, bool)> {
    let mut old = before.names().peekable();
    let mut new = after.names().peekable();
    let mut changes = Vec::new();
    loop {
        match (old.peek(), new.peek()) {
            (None, None) => return changes,
            (Some(a), Some(b)) if a == b => {
                old.next();
                new.next();
            }
            (Some(a), b) if b.is_none_or(|b| a < b) => {
                changes.push((*a, false));
                old.next();
            }
            (_, Some(b)) => {
                changes.push((*b, true));
                new.next();
            }
            (Some(_), None) => unreachable!("a name with nothing on the other side went"),
        }
    }
}
