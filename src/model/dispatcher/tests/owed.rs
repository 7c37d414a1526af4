//! What is owed is delivered: after refusals, after steps of the clock, and in digests that a receiver dislikes.

use std::collections::BTreeMap;
use std::time::SystemTime;

use super::*;

/// `a` refuses everything, all others take it.
fn a_refuses(receiver: &str) -> Outcome {
    if receiver == "a" { refused() } else { Outcome::Accepted }
}

#[test]
fn what_was_refused_is_tried_again_once_by_each_lease() {
    let mut world = World::new(1, &["a", "b"]);
    world.error("/0");
    assert_eq!(words(&world.answer(secs(600), a_refuses)), ["a Firing /0", "b Firing /0", "b Notice /0"]);
    for epoch in [2, 3] {
        let effects = world.dispatcher.handle(Input::Revoked, world.now);
        world.perform(effects);
        world.lead(epoch);
        assert_eq!(words(&world.answer(secs(600), a_refuses)), ["a Firing /0"], "nobody hears of it again");
    }
    let mut other = World::follower(vec![rule("/0", &["a", "b"])], &["a", "b"], world.ledger.clone());
    other.error("/0");
    other.lead(4);
    assert_eq!(words(&other.answer(secs(600), |_| Outcome::Accepted)), ["a Firing /0"]);
    other.ok("/0");
    assert_eq!(other.told(), ["a Resolved /0", "b Resolved /0"]);
}

#[test]
fn a_refusal_that_is_repeated_after_a_reload_is_no_news_to_the_others() {
    let mut world = World::new(1, &["a", "b"]);
    world.error("/0");
    assert_eq!(words(&world.answer(secs(600), a_refuses)), ["a Firing /0", "b Firing /0", "b Notice /0"]);
    let receivers = Input::Receivers(vec![profile("a"), profile("b")], secs(2));
    let effects = world.dispatcher.handle(receivers, world.now);
    world.perform(effects);
    assert_eq!(words(&world.answer(secs(600), a_refuses)), ["a Firing /0"]);
}

/// The beginning and the end that a receiver is told.
fn ends(told: &[(String, Notification)]) -> (SystemTime, Option<SystemTime>) {
    let item = &told.last().expect("something was told").1.items[0];
    (item.since, item.until)
}

#[test]
fn no_end_comes_before_its_beginning_whatever_the_clocks_say() {
    // The clock of the leader that died was ahead.
    let mut before = World::new(1, &["a"]);
    before.now.wall += secs(45);
    before.error("/0");
    assert_eq!(before.told(), ["a Firing /0"]);
    let mut world = World::follower(vec![rule("/0", &["a"])], &["a"], before.ledger.clone());
    world.now.wall = before.now.wall - secs(45);
    world.error("/0");
    world.lead(2);
    world.ok("/0");
    let (since, until) = ends(&world.answer(secs(10), |_| Outcome::Accepted));
    assert_eq!(until, Some(since), "the end of a violation that is yet to begin");
    // The clock steps back during the violation, and the alert was never told.
    let mut world = World::new(1, &["a"]);
    world.error("/0");
    world.answer(secs(0), |_| failed());
    world.now.wall -= secs(3_600);
    world.ok("/0");
    let (since, until) = ends(&world.answer(secs(10), |_| Outcome::Accepted));
    assert_eq!(until, Some(since));
    // The same while nobody leads.
    let mut world = World::follower(vec![rule("/0", &["a"])], &["a"], BTreeMap::new());
    world.judged(Judged::LedgerChanged);
    world.error("/0");
    world.now.wall -= secs(3_600);
    world.ok("/0");
    world.lead(1);
    let (since, until) = ends(&world.answer(secs(10), |_| Outcome::Accepted));
    assert_eq!(until, Some(since));
    // An entry says so.
    let mut stored = before.ledger["/0"].clone();
    stored.entry.until = Some(stored.entry.since - secs(45));
    let mut world = World::follower(vec![rule("/0", &["a"])], &["a"], [("/0".into(), stored)].into());
    world.ok("/0");
    world.lead(2);
    let (since, until) = ends(&world.answer(secs(10), |_| Outcome::Accepted));
    assert_eq!(until, Some(since));
}

#[test]
fn reminders_go_by_the_time_that_passed_and_not_by_the_clock_on_the_wall() {
    let reminding = || {
        let mut rule = rule("/0", &["a"]);
        Arc::make_mut(&mut rule.terms).repeat_interval = Some(secs(600));
        rule
    };
    let reminders = |world: &mut World, duration: Duration| {
        words(&world.answer(duration, |_| Outcome::Accepted))
            .iter()
            .filter(|w| w.contains("Reminder"))
            .count()
    };
    for back in [true, false] {
        let mut world = World::with(vec![reminding()], &["a"], BTreeMap::new());
        world.error("/0");
        assert_eq!(reminders(&mut world, secs(650)), 1);
        let hour = secs(3_600);
        world.now.wall = if back { world.now.wall - hour } else { world.now.wall + hour };
        assert_eq!(reminders(&mut world, secs(1_200)), 2, "back: {back}");
        // Another agent goes by when the entry says that it began, as its own clock has it.
        let mut other = World::follower(vec![reminding()], &["a"], world.ledger.clone());
        other.now.wall = world.now.wall;
        other.error("/0");
        other.lead(2);
        assert!(reminders(&mut other, secs(1_250)) >= 2, "back: {back}");
    }
}

#[test]
fn a_clock_that_steps_over_the_end_of_a_silence_ends_it() {
    let mut world = World::new(1, &["a"]);
    let until = world.now.wall + secs(7_200);
    let silence = Silence { id: "s".into(), path: "/0".into(), until, comment: "".into(), by: "".into() };
    let effects = world.dispatcher.handle(Input::Silences(vec![silence]), world.now);
    world.perform(effects);
    world.error("/0");
    assert_eq!(world.told(), [""; 0]);
    world.now.wall += secs(7_200);
    assert_eq!(words(&world.answer(secs(60), |_| Outcome::Accepted)), ["a Firing /0"]);
}
