//! Which of a path's rules takes the place of which, when they were changed.

use std::collections::HashMap;
use std::sync::Arc;

use super::former_names::Name;
use super::rule::{Rule, RuleSet, Rules};

/// One rule that is gone, and the new one that takes its place.
pub type Succession<'a> = (&'a Arc<Rule>, &'a Arc<Rule>);

/// Each rule that is gone, with the one that takes its place: one that was not there before. Where none is new a
/// rule was removed.
///
/// Whoever gives a rule another name hardly ever changes what it asks, and if so leaves the order: so one that asks the
/// same comes first, then the next in order. A rule that leaves nothing, as it has no alert, stands back for one that
/// `leaves` something.
pub fn successions<'a>(
    before: &'a Rules,
    after: &'a Rules,
    leaves: impl Fn(&Rule) -> bool,
) -> Vec<Succession<'a>> {
    let mut fresh: Vec<_> = missing(after, before).collect();
    let mut pairs = Vec::new();
    let mut gone: Vec<_> = missing(before, after).collect();
    gone.retain(|rule| {
        let like = fresh.iter().position(|heir| heir.terms.specs == rule.terms.specs);
        like.into_iter().for_each(|like| pairs.push((*rule, fresh.remove(like))));
        like.is_none()
    });
    let in_order = gone.len().min(fresh.len());
    pairs.extend(gone.drain(..in_order).zip(fresh));
    for rule in gone.into_iter().filter(|rule| leaves(rule)) {
        if let Some(pair) = pairs.iter_mut().find(|(other, _)| !leaves(other)) {
            pair.0 = rule;
        }
    }
    pairs
}

/// The rules of a configuration that is read in the place of another: they know what they were called there.
pub fn in_place_of(mut rules: RuleSet, before: &RuleSet) -> RuleSet {
    let mut former = std::mem::take(&mut rules.former);
    let globs: HashMap<_, _> = before.globs().iter().map(|rules| (rules.path(), rules)).collect();
    for after in rules.exact().chain(rules.globs()) {
        let old = before.naming(after.path()).or_else(|| globs.get(after.path()).copied());
        let Some(old) = old else { continue };
        let in_use = |name: &Name| after.named(name.as_deref()).is_some();
        former.note(after.path(), &gone_names(old, after), &before.former, in_use);
    }
    rules.former = former;
    rules
}

/// The names that are gone, each with that of the rule in its place. Where more are gone than are new some share one: it
/// is the first's, unless that leaves nothing.
fn gone_names(before: &Rules, after: &Rules) -> Vec<(Name, Name)> {
    let pairs = successions(before, after, |_| true);
    let Some((_, first)) = pairs.first() else { return Vec::new() };
    let is_paired = |rule: &Arc<Rule>| pairs.iter().any(|(gone, _)| Arc::ptr_eq(gone, rule));
    let others = missing(before, after).filter(|rule| !is_paired(rule)).map(|rule| (rule, *first));
    let name = |rule: &Rule| rule.terms.name.clone();
    pairs.iter().copied().chain(others).map(|(gone, heir)| (name(gone), name(heir))).collect()
}

/// Those of the rules that `others` has none of the same name for, in their order.
fn missing<'a>(rules: &'a Rules, others: &'a Rules) -> impl Iterator<Item = &'a Arc<Rule>> {
    rules.iter().filter(|rule| others.named(rule.terms.name.as_deref()).is_none())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::judge::{Bounds, Specs};
    use crate::model::rule::Terms;

    /// Rules by their names and minima.
    fn rules(all: &[(&str, u32)]) -> Rules {
        let rule = |(name, min): &(&str, u32)| {
            let children = Some(Bounds::Range { min: Some(*min), max: None });
            let name = Some(*name).filter(|name| !name.is_empty()).map(Into::into);
            let terms = Terms { name, specs: Specs { children, ..Specs::default() }, ..Terms::default() };
            Arc::new(Rule { path: "/p".into(), terms: Arc::new(terms) })
        };
        let mut all = all.iter().map(rule);
        let first = Rules::One(all.next().expect("a rule"));
        all.fold(first, Rules::with)
    }

    #[test]
    fn who_asks_the_same_comes_first_and_then_the_next_in_order() {
        let check = |before: &[(&str, u32)], after: &[(&str, u32)], leaving: &[&str], expected: &str| {
            let (before, after) = (rules(before), rules(after));
            let name = |rule: &Rule| rule.terms.name.as_deref().unwrap_or("-").to_owned();
            let leaves = |rule: &Rule| leaving.contains(&&*name(rule));
            let pairs = successions(&before, &after, leaves);
            let words: Vec<_> = pairs.iter().map(|(gone, heir)| name(gone) + ">" + &name(heir)).collect();
            assert_eq!(words.join(" "), expected);
        };
        check(&[("", 1)], &[("warn", 5), ("page", 1)], &[], "->page");
        check(&[("", 1)], &[("warn", 5), ("page", 3)], &[], "->warn");
        check(&[("warn", 5), ("page", 3)], &[("chat", 5), ("call", 3)], &["page"], "warn>chat page>call");
        check(&[("warn", 5), ("page", 3)], &[("call", 3), ("chat", 5)], &["warn"], "warn>chat page>call");
        check(&[("warn", 5), ("page", 3)], &[("chat", 6), ("call", 4)], &["page"], "warn>chat page>call");
        check(&[("warn", 5), ("page", 3)], &[("", 4)], &["page"], "page>-");
        check(&[("warn", 5), ("page", 3)], &[("", 4)], &["page", "warn"], "warn>-");
        check(&[("warn", 5), ("page", 3)], &[("page", 3)], &["warn"], "");
        check(&[("warn", 5)], &[("warn", 4), ("page", 5)], &["warn"], "");
    }
}
