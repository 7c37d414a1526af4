//! Alerts that wait for what their rules depend on.

use super::*;
use crate::model::rule::{Rule, Terms};
use crate::model::status::AlertPhase;
use crate::model::transition::Forgetting;

/// Another rule by these terms.
fn with(rule: Rule, change: impl FnOnce(&mut Terms)) -> Rule {
    let mut rule = rule;
    change(Arc::make_mut(&mut rule.terms));
    rule
}

fn dependant(path: &str, on: &[&str]) -> Rule {
    with(rule(path, &["a"]), |terms| terms.depends_on = on.iter().map(|path| (*path).into()).collect())
}

/// `/db`, and three that depend on it.
fn rules() -> Vec<Rule> {
    let dependants = ["/1", "/2", "/3"].map(|path| dependant(path, &["/db"]));
    dependants.into_iter().chain([rule("/db", &["a"])]).collect()
}

fn world() -> World {
    World::with(rules(), &["a"], BTreeMap::new())
}

fn told_within(world: &mut World, seconds: u64) -> Vec<String> {
    words(&world.answer(secs(seconds), |_| Outcome::Accepted))
}

/// How an alert stands, and why nobody is told of it.
fn status(world: &World, path: &str) -> String {
    let found = world.dispatcher.alert_status().find(|(key, _)| *key.path == *path);
    let Some((_, status)) = found else { return "inactive".to_owned() };
    let quiet = status.quiet.map(|quiet| format!(", {}", quiet.words())).unwrap_or_default();
    format!("{:?}{quiet}", status.phase)
}

#[test]
fn those_that_fall_with_what_they_depend_on_are_not_told_and_those_that_stay_are() {
    for order in [["/db", "/1", "/2", "/3"], ["/1", "/2", "/3", "/db"]] {
        let mut world = world();
        order.iter().for_each(|path| world.error(path));
        assert_eq!(told_within(&mut world, 60), ["a Firing /db"], "{order:?}");
        assert_eq!(status(&world, "/1"), "Held, held by /db");
        world.ok("/1");
        world.ok("/db");
        assert_eq!(status(&world, "/2"), "Pending");
        assert_eq!(told_within(&mut world, 9), ["a Resolved /db"]);
        world.ok("/2");
        assert_eq!(told_within(&mut world, 60), ["a Firing /3"]);
        world.ok("/3");
        assert_eq!(told_within(&mut world, 5), ["a Resolved /3"]);
        assert!(world.dispatcher.paths.iter().next().is_none() && world.ledger.is_empty());
    }
}

#[test]
fn the_hold_down_is_ten_seconds_at_least_and_begins_anew_each_time_it_is_back() {
    let check = |cancel_timeout: u64, before: u64| {
        let slow = with(dependant("/1", &["/db"]), |terms| terms.cancel_timeout = secs(cancel_timeout));
        let mut world = World::with(vec![slow, rule("/db", &[])], &["a"], BTreeMap::new());
        world.error("/1");
        assert_eq!(told_within(&mut world, before), [""; 0], "{cancel_timeout}");
        for _ in 0..2 {
            world.error("/db");
            assert_eq!(told_within(&mut world, 100), [""; 0], "{cancel_timeout}: held");
            world.ok("/db");
            assert_eq!(told_within(&mut world, before), [""; 0], "{cancel_timeout}: anew");
        }
        assert_eq!(told_within(&mut world, 2), ["a Firing /1"], "{cancel_timeout}");
    };
    check(0, 9);
    check(30, 29);
}

#[test]
fn an_incident_goes_on_with_its_reminders_held_and_its_end_told() {
    let mut rules = rules();
    rules[0] = with(rules[0].clone(), |terms| terms.repeat_interval = Some(secs(60)));
    let mut world = World::with(rules, &["a"], BTreeMap::new());
    world.error("/1");
    world.error("/2");
    assert_eq!(told_within(&mut world, 15), ["a Firing /1", "a Firing /2"]);
    world.error("/db");
    assert_eq!(status(&world, "/1"), "Firing, held by /db");
    assert_eq!(told_within(&mut world, 300), ["a Firing /db"], "no reminder");
    world.ok("/2");
    assert_eq!(told_within(&mut world, 5), ["a Resolved /2"], "a recovery does not wait");
    world.ok("/db");
    assert_eq!(told_within(&mut world, 9), ["a Resolved /db"]);
    assert_eq!(told_within(&mut world, 2), ["a Reminder(300) /1"], "the last that it missed");
}

/// It fired, but the receiver was down until it was held: what has outlived its hold-down is told, later.
#[test]
fn what_could_not_be_told_before_is_told_after() {
    let mut world = world();
    world.error("/1");
    words(&world.answer(secs(15), |_| failed()));
    world.error("/db");
    assert_eq!(told_within(&mut world, 600), ["a Firing /db"]);
    world.ok("/db");
    let told = told_within(&mut world, 600);
    assert_eq!(told, ["a Firing /1", "a Resolved /db"]);
}

#[test]
fn it_waits_for_any_match_of_a_glob_until_that_is_forgotten_and_for_any_rule_of_a_path() {
    let named = |name: &str| with(rule("/b", &[]), |terms| terms.name = Some(name.into()));
    let rules = vec![
        dependant("/1", &["/db/*", "/b"]),
        dependant("/g/*", &["/b"]),
        rule("/db/*", &[]),
        rule("/db/x", &[]),
        named("warn"),
        named("page"),
    ];
    let mut world = World::with(rules, &["a"], BTreeMap::new());
    world.error("/1");
    world.error("/g/1");
    world.error("/db/x");
    world.error("/db/y");
    assert_eq!(status(&world, "/1"), "Held, held by /db/x");
    world.ok("/db/x");
    assert_eq!(status(&world, "/1"), "Held, held by /db/y");
    world.judged(EvaluatorOutput::Forgotten(AlertKey::unnamed("/db/y"), Forgetting::Expired));
    assert_eq!(status(&world, "/1"), "Pending");
    world.error("/b@page");
    world.error("/b@warn");
    world.ok("/b@page");
    assert_eq!([status(&world, "/1"), status(&world, "/g/1")], ["Held, held by /b"; 2]);
    world.ok("/b@warn");
    assert_eq!([status(&world, "/1"), status(&world, "/g/1")], ["Pending"; 2]);
}

#[test]
fn what_cannot_be_read_is_neither_out_of_spec_nor_back() {
    let mut world = world();
    world.error("/db");
    world.error("/1");
    assert_eq!(told_within(&mut world, 5), ["a Firing /db"]);
    world.judged(EvaluatorOutput::StaleAlert(AlertKey::unnamed("/db")));
    assert_eq!(status(&world, "/1"), "Held, held by /db");
    world.judged(EvaluatorOutput::Stale);
    world.error("/1");
    assert_eq!(told_within(&mut world, 60), [""; 0], "the new session has not come to /db yet");
    world.ok("/db");
    assert_eq!(told_within(&mut world, 60), ["a Firing /1", "a Resolved /db"]);
}

#[test]
fn a_new_leader_judges_itself_and_tells_nothing_of_what_is_held() {
    let mut world = world();
    world.error("/1");
    assert_eq!(told_within(&mut world, 15), ["a Firing /1"]);
    ["/db", "/2", "/3"].iter().for_each(|path| world.error(path));
    assert_eq!(told_within(&mut world, 15), ["a Firing /db"]);
    // One that has seen it all, and one that has just started.
    for seen_before in [60, 0] {
        let mut next = World::follower(rules(), &["a"], world.ledger.clone());
        ["/1", "/2"].iter().for_each(|path| next.error(path));
        next.wait(secs(seen_before));
        ["/db", "/3"].iter().for_each(|path| next.error(path));
        next.lead(2);
        assert_eq!(told_within(&mut next, 60), [""; 0], "{seen_before}");
        ["/1", "/3"].iter().for_each(|path| next.ok(path));
        assert_eq!(told_within(&mut next, 5), ["a Resolved /1"], "{seen_before}: one was told");
        next.ok("/db");
        assert_eq!(told_within(&mut next, 9), ["a Resolved /db"], "{seen_before}");
        assert_eq!(told_within(&mut next, 2), ["a Firing /2"], "{seen_before}");
    }
}

#[test]
fn a_reload_may_bring_a_dependency_and_take_it_away() {
    let mut world = World::with(vec![rule("/1", &["a"]), rule("/db", &[])], &["a"], BTreeMap::new());
    world.error("/db");
    let reload = |world: &mut World, rules: Vec<Rule>| {
        world.rules = Arc::new(RuleSet::new(rules));
        world.judged(EvaluatorOutput::Rules(Arc::clone(&world.rules)));
    };
    reload(&mut world, vec![dependant("/1", &["/db"]), rule("/db", &[])]);
    world.error("/1");
    assert_eq!(told_within(&mut world, 60), [""; 0]);
    reload(&mut world, vec![dependant("/1", &["/2"]), rule("/db", &[]), rule("/2", &["a"])]);
    assert_eq!(told_within(&mut world, 11), ["a Firing /1"], "it does not depend on that any more");
    reload(&mut world, vec![dependant("/1", &["/db"]), rule("/db", &[])]);
    assert_eq!(status(&world, "/1"), "Firing, held by /db");
    reload(&mut world, vec![dependant("/1", &["/db"])]);
    assert_eq!(status(&world, "/1"), "Firing", "nothing watches what it depends on");
    world.ok("/1");
    assert_eq!(told_within(&mut world, 5), ["a Resolved /1"]);
}

/// A thousand that depend on one path, and a thousand others: a change costs as much as it concerns.
#[test]
fn only_those_that_depend_on_it_are_looked_at() {
    let names = |prefix: &str| (0..1_000).map(move |n| format!("/{prefix}{n}")).collect::<Vec<_>>();
    let (dependants, others) = (names("d"), names("o"));
    let rules = dependants.iter().map(|path| dependant(path, &["/db"]));
    let rules = rules.chain(others.iter().map(|path| rule(path, &[]))).chain([rule("/db", &[])]);
    let mut world = World::follower(rules.collect(), &["a"], BTreeMap::new());
    let all = dependants.iter().chain(&others);
    all.for_each(|path| world.error(path));
    let looked_at = |world: &mut World, act: &dyn Fn(&mut World)| {
        let before = world.dispatcher.version();
        act(world);
        world.dispatcher.version() - before
    };
    assert_eq!(looked_at(&mut world, &|world| world.error("/o1")), 1);
    assert_eq!(looked_at(&mut world, &|world| world.ok("/d1")), 1);
    assert_eq!(looked_at(&mut world, &|world| world.error("/db")), 1_000);
    assert_eq!(looked_at(&mut world, &|world| world.error("/db")), 1);
    assert_eq!(looked_at(&mut world, &|world| world.ok("/db")), 1_000);
    let pending = world.dispatcher.alert_status().filter(|(_, status)| status.phase == AlertPhase::Pending);
    assert_eq!(pending.count(), 999);
}
