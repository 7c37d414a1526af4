//! What is owed is delivered: after refusals, after steps of the clock, and in digests that a receiver dislikes.

use std::collections::BTreeMap;
use std::time::SystemTime;

use super::*;
use crate::model::rule::Rule;

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

#[test]
fn who_leads_next_tells_of_a_refusal_that_the_others_have_not_heard_of() {
    let follow = |world: &World, epoch: u64| {
        let mut next = World::follower(vec![rule("/0", &["a", "b"])], &["a", "b"], world.ledger.clone());
        next.error("/0");
        next.lead(epoch);
        next
    };
    let mut world = World::new(1, &["a", "b"]);
    world.error("/0");
    assert_eq!(words(&world.answer(secs(0), a_refuses)), ["a Firing /0", "b Firing /0"]);
    // It dies before its notice leaves, or before `b` could be told at all.
    let mut next = follow(&world, 2);
    assert_eq!(words(&next.answer(secs(10), a_refuses)), ["a Firing /0", "b Notice /0"]);
    assert_eq!(next.mark("/0", "a"), Some((Mark::Refused, Mark::Pending)));
    let mut last = follow(&next, 3);
    assert_eq!(words(&last.answer(secs(10), a_refuses)), ["a Firing /0"], "that is known by now");
    let mut world = World::new(1, &["a", "b"]);
    world.error("/0");
    world.answer(secs(5), |receiver| if receiver == "b" { failed() } else { refused() });
    let told = follow(&world, 2).answer(secs(10), a_refuses);
    let is_noted = |(_, told): &(String, Notification)| !told.items[0].notes.is_empty();
    assert!(told.iter().any(|one| one.0 == "b" && is_noted(one)), "{told:?}");
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
    world.judged(EvaluatorOutput::LedgerChanged(LedgerChange::Any));
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
    let until = Until::Time(world.now.wall + secs(7_200));
    let silence = Silence { id: "s".into(), path: "/0".into(), until, comment: "".into(), by: "".into() };
    let effects = world.dispatcher.handle(Input::Silences(vec![silence]), world.now);
    world.perform(effects);
    world.error("/0");
    assert_eq!(world.told(), [""; 0]);
    world.now.wall += secs(7_200);
    assert_eq!(words(&world.answer(secs(60), |_| Outcome::Accepted)), ["a Firing /0"]);
}

#[test]
fn a_silence_is_in_force_again_when_the_clock_steps_back_before_its_end() {
    let mut world = World::new(2, &["a"]);
    let until = Until::Time(world.now.wall + secs(7_200));
    let of = |id: &str| Silence {
        id: id.into(),
        path: "/1".into(),
        until: until.clone(),
        comment: "".into(),
        by: "".into(),
    };
    world.silence(vec![of("s")]);
    world.now.wall += secs(10_000);
    world.wait(secs(61));
    assert_eq!(world.dispatcher.silences(world.now).count(), 0);
    world.now.wall -= secs(10_000);
    world.error("/1");
    assert_eq!(world.told(), [""; 0]);
    assert_eq!(world.dispatcher.silences(world.now).count(), 1);
    // Told by the clock that is ahead, reminded of by none after it was set right.
    world.now.wall += secs(10_000);
    assert_eq!(words(&world.answer(secs(61), |_| Outcome::Accepted)), ["a Firing /1"]);
    let quiet = |world: &World| {
        let mut all = world.dispatcher.alert_status();
        all.find_map(|(_, status)| status.quiet.map(|quiet| quiet.words()))
    };
    assert_eq!(quiet(&world), None);
    world.now.wall -= secs(10_000);
    world.wait(secs(61));
    assert_eq!(quiet(&world), Some("silenced by s".to_owned()));
}

/// All of `/0`, `/1` … are out of spec, and `a` answers as told. What it was sent and how it answered.
fn storm(
    world: &mut World,
    paths: usize,
    answer: impl Fn(&Notification) -> Outcome,
) -> Vec<(Notification, Outcome)> {
    (0..paths).for_each(|n| world.error(&format!("/{n}")));
    let mut sent = Vec::new();
    for _ in 0..600 {
        while let Some(attempt) = world.waiting.pop() {
            let outcome =
                if *attempt.receiver.0 == *"a" { answer(&attempt.notification) } else { Outcome::Accepted };
            world.outcome(&attempt, outcome.clone());
            if *attempt.receiver.0 == *"a" {
                sent.push((attempt.notification, outcome));
            }
        }
        world.wait(Duration::from_millis(100));
    }
    sent
}

fn holds(notification: &Notification, path: &str) -> bool {
    notification.items.iter().any(|item| &*item.path == path)
}

/// How many paths the receiver has taken an alert of.
fn taken(sent: &[(Notification, Outcome)]) -> usize {
    let taken = sent.iter().filter(|(_, outcome)| *outcome == Outcome::Accepted);
    taken.flat_map(|(n, _)| &n.items).map(|item| &item.path).collect::<BTreeSet<_>>().len()
}

#[test]
fn a_digest_that_is_refused_is_halved_until_the_bad_items_stand_alone() {
    let mut world = World::new(30, &["a", "b"]);
    let picky =
        |n: &Notification| if holds(n, "/7") || holds(n, "/23") { refused() } else { Outcome::Accepted };
    let sent = storm(&mut world, 30, picky);
    assert_eq!(taken(&sent), 28);
    assert!(sent.len() < 25, "{} attempts", sent.len());
    for n in 0..30 {
        let expected = if n == 7 || n == 23 { Mark::Refused } else { Mark::Sent };
        assert_eq!(world.mark(&format!("/{n}"), "a"), Some((expected, Mark::Pending)), "/{n}");
    }
    let reports = world.events.iter().filter(|event| matches!(event, Report::Refused(..)));
    assert_eq!(reports.count(), 2, "one for each that was refused alone");
    (0..30).for_each(|n| world.ok(&format!("/{n}")));
    let over = world.answer(secs(20), |_| Outcome::Accepted);
    let over: BTreeSet<String> = words(&over).into_iter().filter(|words| words.starts_with("a ")).collect();
    assert_eq!(over.len(), 28, "who refused the alert gets no recovery");
    assert!(world.ledger.is_empty());
}

#[test]
fn a_receiver_that_takes_few_at_a_time_is_told_of_all() {
    let mut world = World::new(1_000, &["a"]);
    let few = |n: &Notification| if n.items.len() > 40 { refused() } else { Outcome::Accepted };
    let sent = storm(&mut world, 1_000, few);
    assert_eq!(taken(&sent), 1_000);
    assert!(sent.len() < 100, "{} attempts", sent.len());
}

#[test]
fn no_message_is_larger_than_half_a_megabyte() {
    let describe =
        |rule: &mut Rule| Arc::make_mut(&mut rule.terms).description = Some("ä\"".repeat(1_200).into());
    let rules = (0..450).map(|n| {
        let mut rule = rule(&format!("/{n}"), &["a"]);
        describe(&mut rule);
        rule
    });
    let mut world = World::with(rules.collect(), &["a"], BTreeMap::new());
    let described = |n: &Notification| {
        n.items.iter().map(|i| i.description.as_ref().map_or(0, |d| d.len())).sum::<usize>()
    };
    let sent = storm(&mut world, 450, |_| Outcome::Accepted);
    assert_eq!(taken(&sent), 450);
    // In a mail each byte that is no ASCII takes three.
    assert!(
        sent.iter().all(|(n, _)| described(n) * 3 <= 512 * 1024),
        "{:?}",
        sent.iter().map(|(n, _)| n.items.len()).collect::<Vec<_>>()
    );
    assert!(sent.len() < 20, "{} messages", sent.len());
}

#[test]
fn a_receiver_that_refuses_everything_is_not_asked_for_each_item() {
    let mut world = World::new(3_000, &["a"]);
    let sent = storm(&mut world, 3_000, |_| refused());
    assert!(sent.len() < 40, "{} attempts", sent.len());
    assert!((0..3_000).all(|n| world.mark(&format!("/{n}"), "a") == Some((Mark::Refused, Mark::Pending))));
}

#[test]
fn one_item_that_is_refused_keeps_no_other_from_being_told_again() {
    let mut world = World::new(30, &["am"]);
    (0..30).for_each(|n| world.error(&format!("/{n}")));
    world.answer(secs(10), |_| Outcome::Accepted);
    let mut again = BTreeSet::new();
    for _ in 0..1_000 {
        while let Some(attempt) = world.waiting.pop() {
            let bad = holds(&attempt.notification, "/7");
            if !bad {
                again.extend(attempt.notification.items.iter().map(|item| Arc::clone(&item.path)));
            }
            world.outcome(&attempt, if bad { refused() } else { Outcome::Accepted });
        }
        world.wait(Duration::from_millis(100));
    }
    assert_eq!(again.len(), 29);
}

/// Reads a configuration in which these receivers are there, and the rule of `/0` tells those.
fn reload(world: &mut World, receivers: &[&str]) {
    let profiles = receivers.iter().map(|name| profile(name)).collect();
    let effects = world.dispatcher.handle(Input::Receivers(profiles, secs(2)), world.now);
    world.perform(effects);
    world.rules = Arc::new(RuleSet::new(vec![rule("/0", receivers)]));
    world.judged(EvaluatorOutput::Rules(Arc::clone(&world.rules)));
}

#[test]
fn a_recovery_goes_with_the_new_key_when_pagerdutys_was_rotated() {
    let mut world = World::new(1, &["pager", "a"]);
    world.error("/0");
    assert_eq!(world.told(), ["a Firing /0", "pager Firing /0"]);
    reload(&mut world, &["pager-new", "a"]);
    assert_eq!(world.told(), [""; 0], "what was told by the old key is told");
    world.ok("/0");
    assert_eq!(world.told(), ["a Resolved /0", "pager-new Resolved /0"]);
    assert!(world.ledger.is_empty());
}

/// The entry says nothing of the kind of a receiver that the next leader does not know.
#[test]
fn the_same_holds_when_the_agent_is_restarted_for_it() {
    let mut before = World::new(1, &["pager", "a"]);
    before.error("/0");
    assert_eq!(before.told(), ["a Firing /0", "pager Firing /0"]);
    let check = |receivers: &[&str], expected: &[&str]| {
        let rules = vec![rule("/0", receivers)];
        let mut world = World::follower(rules, receivers, before.ledger.clone());
        world.error("/0");
        world.lead(2);
        assert_eq!(world.told(), [""; 0]);
        world.ok("/0");
        assert_eq!(world.told(), expected);
    };
    check(&["pager-new", "a"], &["a Resolved /0", "pager-new Resolved /0"]);
    check(&["pager-1", "pager-2", "a"], &["a Resolved /0"]);
    check(&["pager", "pager-new", "a"], &["a Resolved /0", "pager Resolved /0"]);
    check(&["pager-new"], &[]);
}

#[test]
fn an_alert_that_the_old_key_was_refused_goes_with_the_new_one() {
    let mut world = World::new(1, &["pager"]);
    world.error("/0");
    world.answer(secs(10), |_| refused());
    reload(&mut world, &["pager-new"]);
    assert_eq!(world.told(), ["pager-new Firing /0"]);
    // Whether an attempt that was under way has arrived nobody will know.
    let mut world = World::new(1, &["pager"]);
    world.error("/0");
    let attempt = world.waiting.pop().expect("an attempt");
    reload(&mut world, &["pager-new"]);
    world.outcome(&attempt, failed());
    assert_eq!(world.told(), ["pager-new Firing /0"]);
    world.ok("/0");
    assert_eq!(world.told(), ["pager-new Resolved /0"]);
    assert!(world.ledger.is_empty());
}

#[test]
fn a_recovery_that_goes_to_nobody_is_said_to_be_dropped() {
    for left in [&["a"] as &[&str], &["pager-1", "pager-2", "a"]] {
        let mut world = World::new(1, &["pager", "a"]);
        world.error("/0");
        world.told();
        reload(&mut world, left);
        assert!(
            world.events.contains(&Report::Dropped("pager (pager)".into(), 1, AlertKey::unnamed("/0"))),
            "{left:?}"
        );
        world.ok("/0");
        assert_eq!(world.told(), ["a Resolved /0"]);
        assert!(world.ledger.is_empty());
    }
}

/// A receiver is owed the end of the first violation when the second comes and goes and the third begins.
#[test]
fn a_new_leader_tells_that_one_was_missed_by_who_was_owed_an_earlier_end() {
    let mut leader = World::new(1, &["a", "b"]);
    let down = |receiver: &str| if receiver == "a" { failed() } else { Outcome::Accepted };
    leader.error("/0");
    assert_eq!(leader.told(), ["a Firing /0", "b Firing /0"]);
    for _ in 0..2 {
        leader.ok("/0");
        leader.answer(secs(5), down);
        leader.error("/0");
        leader.answer(secs(5), down);
    }
    let mut world = World::follower(vec![rule("/0", &["a", "b"])], &["a", "b"], leader.ledger.clone());
    world.error("/0");
    world.lead(2);
    let told = world.answer(secs(10), |_| Outcome::Accepted);
    assert_eq!(words(&told), ["a Firing /0", "a Resolved /0"]);
    let is_noted = |(_, told): &(String, Notification)| {
        told.items.iter().any(|item| item.kind == Kind::Firing && !item.notes.is_empty())
    };
    assert!(told.iter().any(is_noted), "{told:?}");
}

#[test]
fn what_waits_for_a_receiver_that_is_down_outlives_its_leader() {
    let down = |_: &str| Outcome::Failed { reason: "down".into(), retry_after: Some(secs(60)) };
    let mut world = World::new(3, &["a"]);
    world.error("/0");
    world.answer(secs(1), down);
    // Nobody is tried to be told of these.
    world.error("/1");
    world.error("/2");
    world.ok("/2");
    let owed = Some((Mark::Pending, Mark::Pending));
    assert_eq!([world.mark("/1", "a"), world.mark("/2", "a")], [owed, owed]);
    let rules = (0..3).map(|n| rule(&format!("/{n}"), &["a"])).collect();
    let mut next = World::follower(rules, &["a"], world.ledger.clone());
    (0..3).for_each(|n| next.ok(&format!("/{n}")));
    next.lead(2);
    let mut told = words(&next.answer(secs(60), |_| Outcome::Accepted));
    told.sort();
    assert_eq!(told, ["a Late /0", "a Late /1", "a Late /2"]);
    assert!(next.ledger.is_empty());
}

#[test]
fn what_waits_behind_an_attempt_is_written_after_a_while() {
    let mut world = World::new(2, &["a"]);
    world.error("/0");
    world.error("/1");
    world.wait(secs(2));
    assert_eq!(world.mark("/1", "a"), None, "most are told by then");
    world.wait(secs(2));
    assert_eq!(world.mark("/1", "a"), Some((Mark::Pending, Mark::Pending)));
}
