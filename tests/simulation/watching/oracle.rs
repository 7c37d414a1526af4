//! What must hold, whatever happens. Each check names the promise that it holds the machine to.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;

use zk_monitor::model::alert_key::AlertKey;
use zk_monitor::model::children::Children;
use zk_monitor::model::judge::{EachChild, Needs, Verdict};
use zk_monitor::model::message;
use zk_monitor::model::observation::{Adoption, Observation};
use zk_monitor::model::path_status::{PathState, PathStatus};
use zk_monitor::model::reading::{EachRead, Reading, Written};
use zk_monitor::model::rule::{Rule, RuleSet, Rules, glob_matches};
use zk_monitor::model::status::Compliance;
use zk_monitor::model::transition::{EvaluatorOutput, State};

use super::tree::{Path, Session, Tree};
use crate::world::Millis;

#[derive(Debug, Default)]
pub struct Oracle {
    rules: Arc<RuleSet>,
    /// How the tree was, and since when.
    states: Vec<(Millis, Rc<Tree>)>,
    /// What was told of each path last, in this session.
    told: BTreeMap<Arc<str>, Reading>,
    /// When each barrier that is still awaited was asked for, and where the server kept events back then.
    fences: BTreeMap<u64, (Millis, BTreeSet<Path>)>,
    connected: Millis,
    reloaded: Millis,
    /// What the alert side holds of each alert: in spec, or out of it in these words; and whether it takes that for fresh.
    known: BTreeMap<AlertKey, (Option<Arc<str>>, bool)>,
    /// Matches that were adopted, and not seen since.
    adopted: BTreeSet<Arc<str>>,
    /// Whether a server kept an event back.
    pub was_blind: bool,
    pub broken: Option<String>,
}

impl Oracle {
    pub fn fail(&mut self, words: String) {
        self.broken.get_or_insert(words);
    }

    pub fn committed(&mut self, tree: &Tree, now: Millis) {
        self.states.push((now, Rc::new(tree.clone())));
    }

    pub fn connected(&mut self, now: Millis) {
        self.connected = now;
    }

    pub fn reloaded(&mut self, rules: &Arc<RuleSet>, now: Millis) {
        self.adopted.retain(|path| rules.for_path(path).is_some_and(|rules| rules.is_glob()));
        (self.rules, self.reloaded) = (Arc::clone(rules), now);
    }

    /// Paths with open incidents, which some agent saw exist.
    pub fn adopts(&mut self, incidents: &[Adoption]) {
        let rules = Arc::clone(&self.rules);
        let matches = incidents.iter().map(|adoption| &adoption.key.path);
        let matches = matches.filter(|path| rules.for_path(path).is_some_and(|rules| rules.is_glob()));
        self.adopted.extend(matches.cloned());
    }

    /// The alerts of a path.
    pub fn alerts(&self, path: &Arc<str>) -> Vec<AlertKey> {
        let rules = self.rules.for_path(path).into_iter().flat_map(|rules| rules.iter());
        rules.map(|rule| rule.key(path)).collect()
    }

    pub fn fenced(&mut self, barrier: u64, server: &Session, now: Millis) {
        self.fences.insert(barrier, (now, server.blind.keys().cloned().collect()));
    }

    /// The states from `from` on, the one that stood then included.
    fn since(&self, from: Millis) -> impl Iterator<Item = &Tree> {
        let first = self.states.partition_point(|(at, _)| *at <= from).saturating_sub(1);
        self.states[first..].iter().map(|(_, tree)| &**tree)
    }

    pub fn observed(&mut self, observation: &Observation, server: Option<&Session>) {
        match observation {
            Observation::Up | Observation::Down(_) => {
                self.told.clear();
                self.fences.clear();
            }
            Observation::Read { path, reading, .. } => {
                if *reading != Reading::Missing {
                    self.adopted.remove(path);
                }
                self.told.insert(Arc::clone(path), reading.clone());
            }
            Observation::Rules(rules) => self.told.retain(|path, _| rules.for_path(path).is_some()),
            Observation::Barrier(barrier) => {
                let from = self.fences.remove(barrier);
                // A later takeover makes an earlier one void.
                self.fences = self.fences.split_off(barrier);
                if let Some((from, mut blind)) = from
                    && self.reloaded < from
                    && let Some(server) = server
                {
                    blind.extend(server.blind.keys().cloned());
                    self.check_since("fence", from, &blind);
                }
            }
            Observation::Armed(_) | Observation::Unlisted { .. } | Observation::Listed { .. } => {}
            Observation::Expanded { .. } | Observation::Adopted { .. } => {}
            Observation::LedgerChanged(_) | Observation::Clock(_) => {}
        }
    }

    /// Every path is told as it was at some moment since then, but where the server keeps events back.
    fn check_since(&mut self, promise: &str, from: Millis, blind: &BTreeSet<Path>) {
        let shut = blind;
        let blind =
            |path: &str| blind.iter().any(|blind| path == &**blind || path.starts_with(&format!("{blind}/")));
        let mut paths: BTreeSet<Arc<str>> = self.told.keys().cloned().collect();
        paths.extend(self.rules.exact().map(|rules| Arc::clone(rules.path())));
        for tree in self.since(from) {
            paths.extend(tree.paths().map(|path| Arc::from(&**path)));
        }
        for path in paths {
            let Some(rules) = self.rules.for_path(&path).filter(|_| !blind(&path)) else { continue };
            let told = self.told.get(&path);
            let needs = rules.needs();
            if needs.each_child == EachChild::Data && shut.contains(&*format!("{path}/")) {
                continue;
            }
            let hidden = rules.is_glob() && self.since(from).any(|tree| is_hidden(tree, &path));
            let holds = match told {
                Some(told) => self.was(told, &path, needs, from),
                // A match that was not told of may be missing.
                None if rules.is_glob() => hidden || self.since(from).any(|tree| tree.get(&path).is_none()),
                None => false,
            };
            if !holds {
                return self.fail(format!("{promise}: {path} is known as {told:?} of before {from}"));
            }
        }
    }

    /// Whether a reading is how the path was at some moment since then; its parts may be of different ones.
    fn was(&self, told: &Reading, path: &str, needs: Needs, from: Millis) -> bool {
        let any =
            |needs: Needs, told: &Reading| self.since(from).any(|tree| tree.reading(path, needs) == *told);
        let Reading::Present { children, each, data } = told else {
            // What cannot be read may be what a glob wants of it, and not its rule.
            return any(needs, told) || any(Needs { children: true, ..Needs::default() }, told);
        };
        let part = |children: bool, data: bool| Needs { children, data, ..Needs::default() };
        let alone = |children: Option<&Children>, data: Option<&Written>| Reading::Present {
            children: children.cloned(),
            each: EachRead::Unasked,
            data: data.cloned(),
        };
        any(part(false, false), &alone(None, None))
            && (children.is_none() || any(part(true, false), &alone(children.as_ref(), None)))
            && (data.is_none() || any(part(false, true), &alone(None, data.as_ref())))
            && self.were(children.as_ref(), each, path, needs.each_child, from)
    }

    /// Whether each child was at some moment as it was read, and each that was listed and not read was missing.
    fn were(
        &self,
        children: Option<&Children>,
        each: &EachRead,
        path: &str,
        asked: EachChild,
        from: Millis,
    ) -> bool {
        let EachRead::Read(read) = each else { return asked == EachChild::Nothing };
        children.into_iter().flat_map(Children::names).all(|name| {
            let child = read.iter().find(|child| *child.name == *name).map(|child| &child.znode);
            let path = format!("{path}/{name}");
            self.since(from).any(|tree| tree.child(&path, asked).as_ref() == child)
        })
    }

    pub fn judged(&mut self, output: &EvaluatorOutput) {
        match output {
            EvaluatorOutput::Rules(rules) => self.known.retain(|key, _| rules.rule(key).is_some()),
            EvaluatorOutput::Transition(transition) => {
                let words = match &transition.state {
                    State::Ok => None,
                    State::Error { message, .. } => Some(Arc::clone(message)),
                };
                self.known.insert(transition.key.clone(), (words, true));
            }
            EvaluatorOutput::Forgotten(key, _) => drop(self.known.remove(key)),
            EvaluatorOutput::Stale => self.known.values_mut().for_each(|(_, fresh)| *fresh = false),
            EvaluatorOutput::StaleAlert(key) => {
                if let Some((_, fresh)) = self.known.get_mut(key) {
                    *fresh = false;
                }
            }
            EvaluatorOutput::LedgerChanged(_) | EvaluatorOutput::Barrier(_) => {}
        }
    }

    /// What is shown is what there is, and the alert side has it fresh.
    pub fn check_truth(&mut self, tree: &Tree, shown: &Compliance) {
        let shown_paths: BTreeMap<&str, &PathStatus> =
            shown.paths.iter().map(|status| (&*status.path, status)).collect();
        let rules = Arc::clone(&self.rules);
        let exact = rules.exact().map(|rules| &**rules.path());
        let mut all: BTreeSet<&str> = exact.chain(shown_paths.keys().copied()).collect();
        all.extend(tree.paths().map(|path| &**path));
        let adopted = self.adopted.clone();
        all.extend(adopted.iter().map(|path| &**path));
        for path in all {
            let Some(rules) = rules.for_path(path) else { continue };
            if let Err(words) = self.check_path(tree, path, rules, shown_paths.get(path).copied()) {
                return self.fail(format!("truth: {path} {words}"));
            }
        }
        for glob in shown.globs.iter() {
            let shut = tree.paths().any(|place| is_place(&glob.path, place) && is_shut(tree, place));
            if shut != matches!(glob.state, PathState::Unknown(_)) {
                return self.fail(format!("globs: {} is shown as {:?}", glob.path, glob.state));
            }
        }
        let shut = shown.globs.iter().any(|glob| glob.state != PathState::Ok);
        if shown.ready == shut {
            self.fail(format!("ready: {}, with a place that cannot be listed: {shut}", shown.ready));
        }
    }

    fn check_path(
        &self,
        tree: &Tree,
        path: &str,
        rules: &Rules,
        shown: Option<&PathStatus>,
    ) -> Result<(), String> {
        let mut needs = rules.needs();
        // One reading serves the rules and the globs that unfold there, if they are known to.
        needs.children |= shown.is_some_and(|shown| matches!(shown.state, PathState::Unknown(_)))
            && is_shut(tree, path)
            && self.rules.globs().iter().any(|glob| is_place(glob.path(), path));
        let reading = tree.reading(path, needs);
        if needs.each_child == EachChild::Data
            && let Some(Reading::Present { each, .. }) = self.told.get(path)
            && let Reading::Present { each: true_each, .. } = &reading
            && each != true_each
        {
            return Err(format!("has children {each:?}, and they are {true_each:?}"));
        }
        let hidden = rules.is_glob() && is_hidden(tree, path);
        let gone = rules.is_glob() && reading == Reading::Missing;
        let Some(shown) = shown else {
            let adopted = self.adopted.contains(path) && !rules.ask_nothing();
            let fine = (gone || hidden) && !adopted;
            return if fine { Ok(()) } else { Err("is not shown".to_owned()) };
        };
        if gone && rules.ask_nothing() {
            return Err("is gone, nothing is asked of it, and it is still shown".to_owned());
        }
        // One that was gone before, where nothing can be listed that would tell of its being back.
        if hidden && matches!(shown.state, PathState::Unknown(_)) {
            return Ok(());
        }
        let expected: Vec<_> = rules.iter().map(|rule| state_by(rule, &reading)).collect();
        let states: Vec<_> = match &shown.particulars().rules[..] {
            [] => vec![&shown.state],
            all => all.iter().map(|rule| &rule.state).collect(),
        };
        if states != expected.iter().collect::<Vec<_>>() || shown.state != sum(&expected) {
            return Err(format!("is shown as {shown:?}, and is {expected:?}"));
        }
        rules.iter().zip(&expected).try_for_each(|(rule, state)| self.check_alert(rule, path, state))
    }

    /// The alert side has the judgement by one rule.
    fn check_alert(&self, rule: &Rule, path: &str, expected: &PathState) -> Result<(), String> {
        let words = match expected {
            PathState::Ok => None,
            PathState::Error(words) => Some(Arc::clone(words)),
            PathState::Unknown(_) => return Ok(()),
        };
        let key = rule.key(&path.into());
        match self.known.get(&key) {
            Some((known, true)) if *known == words => Ok(()),
            other => Err(format!("is {expected:?}, and the alert side has {other:?} of {key}")),
        }
    }

    /// No server keeps a watch for something that nobody waits for; but those that a reload leaves are few.
    pub fn check_watches(&mut self, server: &Session, tree: &Tree) {
        if self.reloaded > self.connected {
            return;
        }
        let wanted = |path: &str| {
            self.rules.exact().any(|rules| **rules.path() == *path)
                || self.rules.globs().iter().any(|rules| is_awaited(rules.path(), path, tree))
        };
        let odd = server.awaited(tree).find(|path| !wanted(path) && !is_hidden(tree, path)).cloned();
        if let Some(path) = odd {
            self.fail(format!("watches: one is left for {path}, which is missing and nobody waits for"));
        }
    }

    pub fn check_fences(&mut self) {
        if let Some((barrier, (at, _))) = self.fences.first_key_value() {
            let words = format!("fence_passes: barrier {barrier}, asked for at {at}, has never come");
            self.fail(words);
        }
    }
}

/// How a path stands by one rule.
fn state_by(rule: &Rule, reading: &Reading) -> PathState {
    let specs = &rule.terms.specs;
    let gone = rule.is_glob() && *reading == Reading::Missing && !specs.is_empty();
    match specs.judge(reading, None).verdict {
        Verdict::Ok if gone && specs.exists != Some(false) => PathState::Error("Path does not exist".into()),
        Verdict::Ok => PathState::Ok,
        Verdict::Violated(violations) => PathState::Error(message::violations(&violations).into()),
        Verdict::Unreadable(reason) => PathState::Unknown(reason),
    }
}

/// How it stands by all of them.
fn sum(states: &[PathState]) -> PathState {
    let mut errors = Vec::new();
    for state in states {
        match state {
            PathState::Ok => {}
            PathState::Error(words) => errors.push(&**words),
            PathState::Unknown(_) => return state.clone(),
        }
    }
    if errors.is_empty() { PathState::Ok } else { PathState::Error(errors.join("; ").into()) }
}

/// Whether the children of a place have to be listed to find the matches of a glob.
fn is_place(glob: &str, place: &str) -> bool {
    let levels: Vec<&str> = glob.split('/').collect();
    (1..levels.len())
        .any(|level| levels[level].contains('*') && glob_matches(&levels[..level].join("/"), place))
}

fn is_shut(tree: &Tree, path: &str) -> bool {
    tree.get(path).is_some_and(|znode| !znode.open)
}

/// Whether a place above the path may not be listed, so that no listing leads to it.
fn is_hidden(tree: &Tree, path: &str) -> bool {
    path.match_indices('/').skip(1).any(|(at, _)| is_shut(tree, &path[..at]))
}

/// Whether a glob waits for this znode, which is missing: it begins there, or fixed levels lead there from a znode
/// that exists.
fn is_awaited(glob: &str, path: &str, tree: &Tree) -> bool {
    let levels: Vec<&str> = glob.split('/').collect();
    let depth = path.split('/').count();
    if depth > levels.len() || !glob_matches(&levels[..depth].join("/"), path) {
        return false;
    }
    let star = levels[..depth].iter().rposition(|level| level.contains('*'));
    let ends = depth == levels.len() || levels[depth].contains('*');
    let listed = star.is_none_or(|star| {
        let above: Vec<&str> = path.split('/').take(star + 1).collect();
        star + 1 < depth && tree.get(&above.join("/")).is_some()
    });
    ends && listed
}
