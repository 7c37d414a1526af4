//! Several rules for one path, each with an alert of its own.

use super::*;
use crate::model::judge::{Bounds, Specs};
use crate::model::rule::{Rule, Terms};
use crate::model::succession::in_place_of;

fn named(path: &str, name: &str, hold: u64, receivers: &[&str]) -> Rule {
    let receivers = receivers.iter().map(|name| id(name)).collect();
    let terms = Terms { name: Some(name.into()), cancel_timeout: secs(hold), receivers, ..Terms::default() };
    Rule { path: path.into(), terms: Arc::new(terms) }
}

fn two() -> Vec<Rule> {
    vec![named("/0", "warn", 0, &["a"]), named("/0", "page", 30, &["b"])]
}

fn reload(world: &mut World, rules: Vec<Rule>) {
    world.rules = Arc::new(in_place_of(RuleSet::new(rules), &world.rules));
    world.judged(EvaluatorOutput::Rules(Arc::clone(&world.rules)));
}

#[test]
fn each_rule_of_a_path_has_its_own_alert_receivers_and_entry() {
    let mut world = World::with(two(), &["a", "b"], BTreeMap::new());
    world.error("/0@warn");
    world.error("/0@page");
    assert_eq!(world.told(), ["a Firing /0@warn"]);
    assert_eq!(world.ledger.keys().map(|key| &**key).collect::<Vec<_>>(), ["/0@warn"]);
    world.wait(secs(30));
    assert_eq!(world.told(), ["b Firing /0@page"]);
    let incident = |name: &str| Arc::clone(&world.ledger[name].entry.incident);
    assert_ne!(incident("/0@warn"), incident("/0@page"));
    world.ok("/0@page");
    assert_eq!(world.told(), ["b Resolved /0@page"]);
    assert_eq!(world.ledger.len(), 1);
    world.ok("/0@warn");
    assert_eq!(world.told(), ["a Resolved /0@warn"]);
    assert!(world.ledger.is_empty());
}

#[test]
fn the_next_leader_goes_on_with_each() {
    let mut before = World::with(two(), &["a", "b"], BTreeMap::new());
    before.error("/0@warn");
    before.error("/0@page");
    before.wait(secs(30));
    before.told();
    let mut world = World::follower(two(), &["a", "b"], before.ledger.clone());
    world.ok("/0@warn");
    world.error("/0@page");
    world.lead(2);
    assert_eq!(world.told(), ["a Resolved /0@warn"]);
    world.ok("/0@page");
    assert_eq!(world.told(), ["b Resolved /0@page"]);
}

#[test]
fn a_silence_of_a_path_is_of_all_its_rules_and_one_of_a_rule_of_that_alone() {
    let check = |silenced: &str, expected: &[&str]| {
        let rules = vec![named("/0", "warn", 0, &["a"]), named("/0", "page", 0, &["a"])];
        let mut world = World::with(rules, &["a"], BTreeMap::new());
        let silence = Silence {
            id: "s".into(),
            path: silenced.into(),
            until: Until::Time(world.now.wall + secs(60)),
            comment: "".into(),
            by: "".into(),
        };
        let effects = world.dispatcher.handle(Input::Silences(vec![silence]), world.now);
        world.perform(effects);
        world.error("/0@warn");
        world.error("/0@page");
        assert_eq!(world.told(), expected, "{silenced}");
    };
    check("/0", &[]);
    check("/*", &[]);
    check("/0@warn", &["a Firing /0@page"]);
    check("/*@page", &["a Firing /0@warn"]);
    check("/0@other", &["a Firing /0@page", "a Firing /0@warn"]);
}

#[test]
fn what_is_owed_goes_on_under_the_new_name() {
    let check = |before: Vec<Rule>, alert: &str, after: Vec<Rule>, heir: &str| {
        let mut world = World::with(before, &["a", "b"], BTreeMap::new());
        world.error(alert);
        world.told();
        let incident = Arc::clone(&world.ledger[alert].entry.incident);
        reload(&mut world, after);
        assert_eq!(world.told(), [""; 0], "{heir}");
        assert_eq!(world.ledger.keys().map(|key| &**key).collect::<Vec<_>>(), [heir]);
        assert_eq!(world.ledger[heir].entry.incident, incident);
        world.error(heir);
        assert_eq!(world.told(), [""; 0], "{heir}");
        world.ok(heir);
        assert_eq!(world.told(), [format!("a Resolved {heir}")]);
        assert!(world.ledger.is_empty());
    };
    let unnamed = || vec![rule("/0", &["a"])];
    let renamed = || vec![named("/0", "page", 30, &["b"]), named("/0", "notice", 0, &["a"])];
    check(unnamed(), "/0", two(), "/0@warn");
    check(two(), "/0@warn", unnamed(), "/0");
    check(two(), "/0@warn", renamed(), "/0@notice");
}

#[test]
fn an_acknowledgement_is_of_its_incident_whatever_its_rule_is_called_by_now() {
    let reminding = |name: &str| {
        let mut rule = named("/0", name, 0, &["a"]);
        Arc::make_mut(&mut rule.terms).repeat_interval = Some(secs(600));
        rule
    };
    let mut world = World::with(vec![reminding("warn")], &["a"], BTreeMap::new());
    world.error("/0@warn");
    assert_eq!(world.told(), ["a Firing /0@warn"]);
    world.acknowledge();
    reload(&mut world, vec![reminding("notice")]);
    world.error("/0@notice");
    assert_eq!(words(&world.answer(secs(1_500), |_| Outcome::Accepted)), [""; 0], "no reminder");
    world.ok("/0@notice");
    assert_eq!(world.told(), ["a Resolved /0@notice"]);
    world.error("/0@notice");
    assert_eq!(world.told(), ["a Firing /0@notice"], "nobody has acknowledged that");
}

#[test]
fn a_rule_that_is_taken_from_a_list_ends_silently() {
    let mut world = World::with(two(), &["a", "b"], BTreeMap::new());
    world.error("/0@warn");
    world.told();
    reload(&mut world, vec![named("/0", "page", 30, &["b"])]);
    assert_eq!(world.told(), [""; 0]);
    assert!(world.ledger.is_empty() && world.dispatcher.paths.iter().next().is_none());
}

#[test]
fn the_hold_down_of_a_rule_that_gets_a_name_goes_on() {
    let mut world = World::with(vec![named("/0", "old", 30, &["b"])], &["b"], BTreeMap::new());
    world.error("/0@old");
    world.wait(secs(20));
    reload(&mut world, vec![named("/0", "page", 30, &["b"])]);
    world.error("/0@page");
    world.wait(secs(10));
    assert_eq!(world.told(), ["b Firing /0@page"]);
}

/// The outcome comes for an alert that has another name by now.
#[test]
fn an_attempt_under_way_counts_for_the_new_name() {
    let mut world = World::with(vec![rule("/0", &["a"])], &["a"], BTreeMap::new());
    world.error("/0");
    let attempt = world.waiting.pop().expect("an attempt");
    reload(&mut world, two());
    world.error("/0@warn");
    world.outcome(&attempt, Outcome::Accepted);
    assert_eq!(world.told(), [""; 0]);
    assert_eq!(world.mark("/0@warn", "a"), Some((Mark::Sent, Mark::Pending)));
    world.ok("/0@warn");
    assert_eq!(world.told(), ["a Resolved /0@warn"]);
}

/// A leader that dies between the two writes leaves the incident in one entry at least.
#[test]
fn the_old_entry_goes_after_the_new_one_is_there() {
    let mut world = World::with(vec![rule("/0", &["a"])], &["a"], BTreeMap::new());
    world.error("/0");
    world.told();
    world.held = Some(Vec::new());
    reload(&mut world, two());
    let held = world.held.as_ref().expect("a slow ledger");
    let kinds: Vec<_> = held.iter().map(|write| (write.key.to_string(), &write.change)).collect();
    assert!(matches!(&kinds[..], [(key, Change::Create(_))] if key == "/0@warn"), "{kinds:?}");
    world.release();
    assert_eq!(world.ledger.keys().map(|key| &**key).collect::<Vec<_>>(), ["/0@warn"]);
}

/// As are paths that it does not know: its file may be behind another's.
#[test]
fn an_entry_of_a_rule_that_an_agent_does_not_know_is_left_alone() {
    let mut before = World::with(two(), &["a", "b"], BTreeMap::new());
    before.error("/0@warn");
    before.told();
    let rules = vec![named("/0", "other", 0, &["a"])];
    let mut world = World::follower(rules, &["a"], before.ledger.clone());
    world.ok("/0@other");
    world.lead(2);
    assert_eq!(world.told(), [""; 0]);
    assert_eq!(world.ledger.len(), 1);
    world.wait(PATIENCE);
    assert!(world.ledger.is_empty());
}

/// Both have another name from one reload to the next, and one of them alone has an incident.
#[test]
fn each_goes_on_under_the_name_of_the_rule_that_asks_the_same() {
    let asks = |name: &str, min: u32| {
        let Rule { path, terms } = named("/0", name, 0, &["a"]);
        let children = Some(Bounds::Range { min: Some(min), max: None });
        let specs = Specs { children, ..Specs::default() };
        Rule { path, terms: Arc::new(Terms { specs, ..(*terms).clone() }) }
    };
    let mut world = World::with(vec![asks("page", 3), asks("warn", 5)], &["a"], BTreeMap::new());
    world.error("/0@warn");
    world.told();
    reload(&mut world, vec![asks("call", 3), asks("chat", 5)]);
    assert_eq!(world.ledger.keys().map(|key| &**key).collect::<Vec<_>>(), ["/0@chat"]);
    world.ok("/0@call");
    world.ok("/0@chat");
    assert_eq!(world.told(), ["a Resolved /0@chat"]);
}

/// The entry of the old name is still there when the rule gets that name again.
#[test]
fn a_name_that_comes_back_at_once_has_its_incident_again() {
    let mut world = World::with(vec![rule("/0", &["a"])], &["a"], BTreeMap::new());
    world.error("/0");
    world.told();
    let incident = Arc::clone(&world.ledger["/0"].entry.incident);
    world.held = Some(Vec::new());
    reload(&mut world, two());
    reload(&mut world, vec![rule("/0", &["a"])]);
    world.release();
    world.held = None;
    world.error("/0");
    assert_eq!(world.told(), [""; 0]);
    assert_eq!(world.ledger.keys().map(|key| &**key).collect::<Vec<_>>(), ["/0"]);
    assert_eq!(world.ledger["/0"].entry.incident, incident);
    world.ok("/0");
    assert_eq!((world.told(), world.ledger.len()), (vec!["a Resolved /0".to_owned()], 0));
}

/// A leader that dies at any point of that leaves the incident in one entry at least.
#[test]
fn the_entry_of_the_first_name_goes_after_that_of_the_last_is_there() {
    let mut world = World::with(vec![rule("/0", &["a"])], &["a"], BTreeMap::new());
    world.error("/0");
    world.told();
    world.held = Some(Vec::new());
    reload(&mut world, two());
    reload(&mut world, vec![named("/0", "chat", 0, &["a"])]);
    for _ in 0..10 {
        let Some(write) = world.held.as_mut().and_then(|held| (!held.is_empty()).then(|| held.remove(0)))
        else {
            break;
        };
        let id = write.id;
        let written = world.write(write);
        let effects = world.dispatcher.handle(Input::Written(id, written), world.now);
        world.perform(effects);
        assert!(!world.ledger.is_empty(), "the incident is in no entry");
    }
    assert_eq!(world.ledger.keys().map(|key| &**key).collect::<Vec<_>>(), ["/0@chat"]);
}

/// Each write is out of date when it is answered, until the incident is done: whoever leads next must not find the entry of
/// the old name alone.
#[test]
fn the_new_entry_does_not_go_before_the_old_one() {
    let mut world = World::with(vec![named("/0", "old", 0, &["a", "b"])], &["a", "b"], BTreeMap::new());
    world.error("/0@old");
    world.land("a", Outcome::Accepted);
    world.held = Some(Vec::new());
    reload(&mut world, vec![named("/0", "new", 0, &["a", "b"])]);
    world.ok("/0@new");
    let mut course = Vec::new();
    for round in 0..20 {
        let write = world.held.as_mut().and_then(|held| (!held.is_empty()).then(|| held.remove(0)));
        // One receiver answers while the write is under way.
        if let Some(attempt) = world.waiting.pop_if(|_| round > 0) {
            world.outcome(&attempt, Outcome::Accepted);
        }
        world.wait(secs(3));
        let Some(write) = write else { continue };
        let id = write.id;
        let written = world.write(write);
        let effects = world.dispatcher.handle(Input::Written(id, written), world.now);
        world.perform(effects);
        course.push(world.ledger.keys().map(|key| key.to_string()).collect::<Vec<_>>().join(" "));
    }
    course.dedup();
    assert_eq!(course, ["/0@new /0@old", "/0@new", ""]);
}

/// An entry that the leader did not know has the name that one of its own alerts gets.
#[test]
fn an_incident_of_the_leaders_own_outlives_one_that_it_did_not_know() {
    outlives_an_unknown_one(false);
    outlives_an_unknown_one(true);
}

/// Whether that one is gone by then.
fn outlives_an_unknown_one(gone: bool) {
    let mut before = World::with(vec![named("/0", "first", 0, &["a"])], &["a"], BTreeMap::new());
    before.error("/0@first");
    before.told();
    let only = || vec![named("/0", "only", 0, &["a"])];
    let mut world = World::follower(only(), &["a"], before.ledger.clone());
    world.ok("/0@only");
    world.lead(2);
    world.error("/0@only");
    assert_eq!(world.told(), ["a Firing /0@only"]);
    let incident = Arc::clone(&world.ledger["/0@only"].entry.incident);
    if gone {
        world.ledger.remove("/0@first");
    }
    reload(&mut world, vec![named("/0", "first", 0, &["a"])]);
    world.ok("/0@first");
    let told = world.answer(secs(10), |_| Outcome::Accepted);
    assert_eq!(
        (words(&told), &told[0].1.items[0].incident),
        (vec!["a Resolved /0@first".to_owned()], &incident)
    );
    assert!(world.ledger.is_empty());
}

/// The leader is gone before it has read the file again, or between its two writes; a follower has read it, or is started
/// with it.
#[test]
fn the_next_leader_goes_on_with_the_entry_of_the_old_name() {
    let check = |before: Vec<Rule>, alert: &str, after: Vec<Rule>, heir: &str, reloads: bool| {
        let mut gone = World::with(before.clone(), &["a", "b"], BTreeMap::new());
        gone.error(alert);
        gone.told();
        let incident = Arc::clone(&gone.ledger[alert].entry.incident);
        let first = if reloads { before } else { after.clone() };
        let mut world = World::follower(first, &["a", "b"], gone.ledger.clone());
        if reloads {
            reload(&mut world, after);
        }
        world.error(heir);
        world.lead(2);
        assert_eq!(world.told(), [""; 0], "{heir}");
        assert_eq!(world.ledger.keys().map(|key| &**key).collect::<Vec<_>>(), [heir]);
        assert_eq!(world.ledger[heir].entry.incident, incident);
        world.ok(heir);
        assert_eq!(world.told(), [format!("a Resolved {heir}")]);
        assert!(world.ledger.is_empty() && world.dispatcher.paths.iter().next().is_none());
    };
    let unnamed = || vec![rule("/0", &["a"])];
    let renamed = || vec![named("/0", "page", 30, &["b"]), named("/0", "notice", 0, &["a"])];
    for reloads in [true, false] {
        check(unnamed(), "/0", two(), "/0@warn", reloads);
        check(two(), "/0@warn", unnamed(), "/0", reloads);
    }
    check(two(), "/0@warn", renamed(), "/0@notice", true);
}

#[test]
fn of_an_old_and_a_new_entry_the_later_counts_and_what_nobody_goes_on_with_is_left() {
    let mut gone = World::with(two(), &["a", "b"], BTreeMap::new());
    gone.error("/0@warn");
    gone.told();
    let first = gone.ledger["/0@warn"].clone();
    let check = |held: [(&str, &str, i64, &[&str]); 2], left: &[(&str, &str)]| {
        let stored = |(name, incident, modified, former): (&str, &str, i64, &[&str])| {
            let key = AlertKey { path: "/0".into(), name: Some(name.into()) };
            let former = former.iter().map(|name| Some((*name).into())).collect();
            let entry = Entry { key, incident: incident.into(), former, ..first.entry.clone() };
            (Arc::from(format!("/0@{name}")), Stored { entry, modified, ..first.clone() })
        };
        let rules = vec![named("/0", "old", 0, &["a"])];
        let mut world = World::follower(rules, &["a", "b"], held.map(stored).into());
        reload(&mut world, vec![named("/0", "new", 0, &["a"])]);
        world.error("/0@new");
        world.lead(2);
        let ledger = world.ledger.iter().map(|(name, stored)| (&**name, &*stored.entry.incident));
        assert_eq!(ledger.collect::<Vec<_>>(), left);
    };
    check([("old", "i-1", 1, &[]), ("new", "i-2", 2, &["old"])], &[("/0@new", "i-2")]);
    // Its name is older than all that this agent knows of.
    check([("oldest", "i-1", 1, &[]), ("old", "i-1", 2, &["oldest"])], &[("/0@new", "i-1")]);
    check([("old", "i-2", 3, &["new"]), ("new", "i-1", 2, &["old"])], &[("/0@new", "i-2")]);
    check([("old", "i-1", 2, &[]), ("other", "i-2", 1, &[])], &[("/0@new", "i-1"), ("/0@other", "i-2")]);
    // Each has told of its own.
    check([("old", "i-1", 2, &[]), ("new", "i-2", 1, &[])], &[("/0@new", "i-2"), ("/0@old", "i-1")]);
}

#[test]
fn what_nobody_was_told_of_goes_by_the_new_name() {
    let mut world = World::follower(vec![named("/0", "call", 0, &["a"])], &["a"], BTreeMap::new());
    world.judged(EvaluatorOutput::LedgerChanged(LedgerChange::Any));
    world.error("/0@call");
    world.ok("/0@call");
    reload(&mut world, vec![named("/0", "page", 0, &["a"])]);
    world.lead(1);
    assert_eq!(world.told(), ["a Late /0@page"]);
}

#[test]
fn who_has_yet_to_hear_of_a_new_name_goes_on_with_the_entry_that_bears_it() {
    let of = |name: &str| vec![named("/0", name, 0, &["a"])];
    let mut before = World::with(of("warn"), &["a"], BTreeMap::new());
    before.error("/0@warn");
    before.told();
    let incident = Arc::clone(&before.ledger["/0@warn"].entry.incident);
    reload(&mut before, of("page"));
    assert_eq!(before.told(), [""; 0]);
    let mut world = World::follower(of("warn"), &["a"], before.ledger.clone());
    world.error("/0@warn");
    world.lead(2);
    assert_eq!(world.told(), [""; 0]);
    reload(&mut world, of("page"));
    world.ok("/0@page");
    let told = world.answer(secs(10), |_| Outcome::Accepted);
    assert_eq!(words(&told), ["a Resolved /0@page"]);
    assert_eq!(told[0].1.items[0].incident, incident);
    assert!(world.ledger.is_empty());
}
