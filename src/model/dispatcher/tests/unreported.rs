//! Violations that come and go while nobody leads.

use super::world::VACANCY;
use super::*;
use crate::model::rule::{Rule, Terms};

/// A follower that watches the ledger's listing, with `/0` in spec.
fn follower() -> World {
    let mut world = World::follower(vec![rule("/0", &["a", "b"])], &["a", "b"], BTreeMap::new());
    world.judged(EvaluatorOutput::LedgerChanged(LedgerChange::Any));
    world.ok("/0");
    world
}

/// Entries of these paths have come or gone.
fn changed(world: &mut World, paths: &[&str]) {
    let alerts = paths.iter().map(|path| AlertKey::unnamed(*path)).collect();
    world.judged(EvaluatorOutput::LedgerChanged(LedgerChange::Of(alerts)));
}

fn blink(world: &mut World) {
    world.error("/0");
    world.wait(secs(1));
    world.ok("/0");
}

#[test]
fn what_came_and_went_while_nobody_led_is_told_late() {
    let mut world = follower();
    let began = world.now.wall;
    blink(&mut world);
    world.wait(secs(3));
    world.lead(1);
    let told = world.answer(secs(10), |_| Outcome::Accepted);
    assert_eq!(words(&told), ["a Late /0", "b Late /0"]);
    let item = &told[0].1.items[0];
    assert_eq!((item.since, item.until), (began, Some(began + secs(1))));
    assert!(
        item.notes.is_empty() && world.ledger.is_empty() && world.dispatcher.paths.iter().next().is_none()
    );
    assert!(world.events.contains(&Report::ToldLate(AlertKey::unnamed("/0"))));
}

#[test]
fn nobody_leads_until_the_lease_takes_effect() {
    let mut world = follower();
    blink(&mut world);
    world.wait(secs(3));
    let vacant_since = world.now.mono.checked_sub(VACANCY);
    let grant = Takeover { barrier: 1, epoch: 1, vacant_since, ..Takeover::default() };
    let effects = world.dispatcher.handle(Input::Granted(grant), world.now);
    world.perform(effects);
    world.wait(VACANCY);
    world.judged(EvaluatorOutput::Barrier(1));
    assert_eq!(world.told(), ["a Late /0", "b Late /0"]);
}

#[test]
fn what_may_have_been_told_is_not_told_again() {
    /// What happens to a follower from which another takes over, or not.
    type Story = fn(&mut World);
    let check = |what: &str, story: Story| {
        let mut world = follower();
        story(&mut world);
        world.lead(1);
        assert_eq!(world.told(), [""; 0], "{what}");
    };
    check("an entry came or went meanwhile", |world| {
        world.error("/0");
        world.judged(EvaluatorOutput::LedgerChanged(LedgerChange::Any));
        world.ok("/0");
    });
    check("an entry came or went afterwards", |world| {
        blink(world);
        world.judged(EvaluatorOutput::LedgerChanged(LedgerChange::Any));
    });
    check("its own entry came or went meanwhile", |world| {
        world.error("/0");
        changed(world, &["/0"]);
        world.ok("/0");
    });
    check("its own entry came or went afterwards", |world| {
        blink(world);
        changed(world, &["/1", "/0"]);
    });
    check("the ledger was not read yet", |world| {
        world.judged(EvaluatorOutput::Stale);
        changed(world, &[]);
        world.ok("/0");
        blink(world);
    });
    check("the session was lost", |world| {
        blink(world);
        world.judged(EvaluatorOutput::Stale);
        world.judged(EvaluatorOutput::LedgerChanged(LedgerChange::Any));
        world.ok("/0");
    });
    check("it began before the ledger was watched", |world| {
        world.judged(EvaluatorOutput::Stale);
        world.error("/0");
        world.judged(EvaluatorOutput::LedgerChanged(LedgerChange::Any));
        world.ok("/0");
    });
    check("it was over long ago", |world| {
        blink(world);
        world.wait(VACANCY);
    });
    check("it was silenced", |world| {
        let until = Until::Time(world.now.wall + secs(2));
        let silence = Silence { id: "s".into(), path: "/0".into(), until, comment: "".into(), by: "".into() };
        world.dispatcher.handle(Input::Silences(vec![silence]), world.now);
        blink(world);
        world.wait(secs(3));
    });
}

#[test]
fn entries_of_other_paths_say_nothing_of_it() {
    let mut world = follower();
    world.error("/0");
    changed(&mut world, &["/1", "/00"]);
    world.wait(secs(1));
    world.ok("/0");
    changed(&mut world, &["/1"]);
    world.lead(1);
    assert_eq!(world.told(), ["a Late /0", "b Late /0"]);
}

#[test]
fn one_that_begins_behind_a_change_of_its_path_is_another() {
    let mut world = follower();
    blink(&mut world);
    changed(&mut world, &["/0"]);
    blink(&mut world);
    world.lead(1);
    let told = world.answer(secs(10), |_| Outcome::Accepted);
    assert_eq!(words(&told), ["a Late /0", "b Late /0"]);
    assert!(told[0].1.items[0].notes.is_empty(), "the first was told by somebody: {told:?}");
}

#[test]
fn an_entry_is_of_the_alert_whose_rule_it_names_or_may_be_of_each() {
    let named = |name: &str| {
        let plain = rule("/0", &["a"]);
        let terms = Terms { name: Some(name.into()), ..Terms::clone(&plain.terms) };
        Rule { terms: Arc::new(terms), ..plain }
    };
    let check = |name: Option<&str>, expected: &[&str]| {
        let mut world = World::follower(vec![named("over"), named("open")], &["a"], BTreeMap::new());
        world.judged(EvaluatorOutput::LedgerChanged(LedgerChange::Any));
        world.error("/0@over");
        world.error("/0@open");
        world.ok("/0@over");
        let key = AlertKey { path: "/0".into(), name: name.map(Into::into) };
        world.judged(EvaluatorOutput::LedgerChanged(LedgerChange::Of([key].into())));
        world.ok("/0@open");
        world.lead(1);
        assert_eq!(world.told(), expected, "{name:?}");
    };
    check(Some("over"), &["a Late /0@open"]);
    check(Some("open"), &["a Late /0@over"]);
    // The file of who wrote it is another.
    check(Some("page"), &[]);
    check(None, &[]);
}

#[test]
fn a_stranger_who_held_the_lock_meant_silence() {
    let mut world = follower();
    blink(&mut world);
    let grant = Takeover { barrier: 1, epoch: 1, ..Takeover::default() };
    world.judged(EvaluatorOutput::Barrier(1));
    let effects = world.dispatcher.handle(Input::Granted(grant), world.now);
    world.perform(effects);
    assert_eq!(world.told(), [""; 0]);
}

#[test]
fn it_is_told_once_though_each_follower_saw_it() {
    let mut first = follower();
    blink(&mut first);
    first.lead(1);
    assert_eq!(first.told(), ["a Late /0", "b Late /0"]);
    let effects = first.dispatcher.handle(Input::Revoked, first.now);
    first.perform(effects);
    first.lead(2);
    assert_eq!(first.told(), [""; 0]);
}

#[test]
fn one_that_follows_at_once_tells_of_those_that_were_missed() {
    let mut world = follower();
    blink(&mut world);
    world.error("/0");
    world.lead(1);
    let told = world.answer(secs(10), |_| Outcome::Accepted);
    assert_eq!(words(&told), ["a Firing /0", "b Firing /0"]);
    assert!(!told[0].1.items[0].notes.is_empty(), "{told:?}");
    let mut world = follower();
    blink(&mut world);
    blink(&mut world);
    world.lead(1);
    let told = world.answer(secs(10), |_| Outcome::Accepted);
    assert_eq!(words(&told), ["a Late /0", "b Late /0"]);
    assert!(!told[0].1.items[0].notes.is_empty(), "{told:?}");
}

#[test]
fn keep_firing_for_that_has_not_run_out_when_somebody_leads_hides_nothing() {
    let mut rule = rule("/0", &["a"]);
    Arc::make_mut(&mut rule.terms).keep_firing_for = secs(30);
    let mut world = World::follower(vec![rule], &["a"], BTreeMap::new());
    world.judged(EvaluatorOutput::LedgerChanged(LedgerChange::Any));
    blink(&mut world);
    world.lead(1);
    let until = world.now.wall;
    let told = world.answer(secs(10), |_| Outcome::Accepted);
    assert_eq!((words(&told), told[0].1.items[0].until), (vec!["a Late /0".to_owned()], Some(until)));
    world.wait(secs(31));
    assert_eq!(world.told(), [""; 0]);
    assert!(world.ledger.is_empty() && world.dispatcher.paths.iter().next().is_none());
}

#[test]
fn an_acknowledgement_is_of_one_incident() {
    let mut leader = World::with(vec![rule("/0", &["a", "b"])], &["a", "b"], BTreeMap::new());
    leader.error("/0");
    leader.told();
    leader.acknowledge();
    let mut world = follower();
    world.silence(leader.silences.clone());
    blink(&mut world);
    world.lead(2);
    assert_eq!(world.told(), ["a Late /0", "b Late /0"]);
}

#[test]
fn keep_firing_for_that_ran_out_while_nobody_led_is_over() {
    let mut rule = rule("/0", &["a"]);
    Arc::make_mut(&mut rule.terms).keep_firing_for = secs(30);
    let mut leader = World::with(vec![rule.clone()], &["a"], BTreeMap::new());
    leader.error("/0");
    assert_eq!(leader.told(), ["a Firing /0"]);
    let mut world = World::follower(vec![rule], &["a"], leader.ledger.clone());
    world.error("/0");
    world.wait(secs(20));
    world.ok("/0");
    let until = world.now.wall;
    world.wait(secs(31));
    world.lead(2);
    let told = world.answer(secs(1), |_| Outcome::Accepted);
    assert_eq!(words(&told), ["a Resolved /0"]);
    assert_eq!(told[0].1.items[0].until, Some(until));
}

#[test]
fn a_takeover_that_comes_to_nothing_ends_what_is_known_of_the_listing() {
    let mut world = World::follower(vec![rule("/0", &["a"])], &["a"], BTreeMap::new());
    world.ok("/0");
    world.judged(EvaluatorOutput::LedgerChanged(LedgerChange::Any));
    let vacant_since = world.now.mono.checked_sub(VACANCY);
    let grant = Takeover { barrier: 1, epoch: 1, vacant_since, ..Takeover::default() };
    for input in [Input::Granted(grant), Input::Revoked] {
        let effects = world.dispatcher.handle(input, world.now);
        world.perform(effects);
    }
    world.judged(EvaluatorOutput::Barrier(1));
    world.judged(EvaluatorOutput::LedgerChanged(LedgerChange::Unwatched));
    // Another leads meanwhile, whose entry comes and goes unseen.
    world.error("/0");
    world.ok("/0");
    world.lead(2);
    assert_eq!(world.told(), [""; 0]);
}
