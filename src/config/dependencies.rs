//! What rules depend on, and whether that leads around in a circle.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use super::receivers::Place;
use crate::model::rule::{Rule, Rules};

/// How many circles are told of: most have their cause in common.
const CIRCLES: usize = 10;

/// What was said of dependencies, to be judged once all rules are known.
#[derive(Default)]
pub(super) struct Dependencies {
    /// What somebody depends on, and where that stands: the path of its key, and the value.
    pub(super) named: Vec<(Arc<str>, String, Place)>,
    /// Where the rules stand that depend on something, by their paths.
    pub(super) dependants: HashMap<Arc<str>, Place>,
}

/// What leads from one to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Node<'a> {
    /// The rules of a path or glob.
    Rules(&'a str),
    /// What some depend on.
    Pattern(&'a str),
}

/// Paths and globs of rules that depend on themselves, each time as the way around, and no more than [`CIRCLES`].
pub(super) fn circles<'a>(
    rules: &'a [Rule],
    targets: &'a BTreeMap<Arc<str>, Vec<&Rules>>,
) -> Vec<Vec<&'a str>> {
    let mut patterns = BTreeMap::<&str, Vec<Node<'_>>>::new();
    for rule in rules.iter().filter(|rule| !rule.terms.depends_on.is_empty()) {
        let depends_on = rule.terms.depends_on.iter().map(|pattern| Node::Pattern(pattern));
        patterns.entry(&rule.path).or_default().extend(depends_on);
    }
    let next = |node: Node<'a>| match node {
        Node::Rules(path) => patterns.get(path).cloned().unwrap_or_default(),
        Node::Pattern(pattern) => {
            let targets = targets.get(pattern).into_iter().flatten();
            targets.map(|rules| Node::Rules(rules.path())).collect()
        }
    };
    let (mut found, mut seen) = (Vec::new(), HashSet::new());
    for start in patterns.keys().map(|path| Node::Rules(path)) {
        let mut way = Vec::new();
        let mut open = if seen.insert(start) { vec![next(start).into_iter()] } else { Vec::new() };
        way.push(start);
        while let (Some(siblings), true) = (open.last_mut(), found.len() < CIRCLES) {
            match siblings.next() {
                None => drop((open.pop(), way.pop())),
                Some(node) if seen.insert(node) => {
                    way.push(node);
                    open.push(next(node).into_iter());
                }
                Some(node) => found.extend(around(&way, node)),
            }
        }
    }
    found
}

/// The rules on the way from a node back to itself, if the way comes from there.
fn around<'a>(way: &[Node<'a>], node: Node<'a>) -> Option<Vec<&'a str>> {
    let start = way.iter().position(|known| *known == node)?;
    let path = |node: &Node<'a>| match node {
        Node::Rules(path) => Some(*path),
        Node::Pattern(_) => None,
    };
    Some(way[start..].iter().filter_map(path).collect())
}
