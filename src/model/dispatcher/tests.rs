//! What the dispatcher tells, and when.

mod drop;
mod held;
mod labels;
mod named;
mod owed;
mod protocol;
mod told;
mod unreported;
mod world;

use self::world::{World, ambiguous, failed, id, profile, refused, rule, secs, words};
use std::collections::BTreeMap;

use super::*;
use crate::model::ledger::{Change, Entry, Mark, Stored};
use crate::model::ledger_change::LedgerChange;
use crate::model::message::{Kind, Notification};
use crate::model::status::Until;

#[test]
fn an_alert_and_its_recovery_reach_every_receiver_once() {
    let mut world = World::new(1, &["a", "b"]);
    world.error("/0");
    assert_eq!(world.mark("/0", "a"), Some((Mark::Ambiguous, Mark::Pending)), "the intent comes first");
    assert_eq!(world.told(), ["a Firing /0", "b Firing /0"]);
    assert_eq!(world.mark("/0", "a"), Some((Mark::Sent, Mark::Pending)));
    world.error("/0");
    assert_eq!(world.told(), [""; 0]);
    world.ok("/0");
    assert_eq!(world.told(), ["a Resolved /0", "b Resolved /0"]);
    assert!(world.ledger.is_empty() && world.dispatcher.paths.iter().next().is_none());
    assert!(world.dispatcher.paths.compliant.contains(&AlertKey::unnamed("/0")));
}

#[test]
fn a_follower_runs_its_alerts_and_says_nothing() {
    let mut world = World::follower(vec![rule("/0", &["a"])], &["a"], BTreeMap::new());
    world.error("/0");
    assert_eq!(world.told(), [""; 0]);
    assert_eq!(world.dispatcher.alert_status().count(), 1);
    world.lead(7);
    assert_eq!(world.told(), ["a Firing /0"]);
}

#[test]
fn a_silence_is_shown_though_nothing_is_out_of_spec() {
    let mut world = World::new(1, &["a"]);
    let before = world.dispatcher.version();
    world.dispatcher.handle(Input::Silences(Vec::new()), world.now);
    assert_ne!(world.dispatcher.version(), before);
}

#[test]
fn the_lease_counts_from_its_barrier_whichever_comes_first() {
    for barrier_first in [false, true] {
        let mut world = World::follower(vec![rule("/0", &["a"])], &["a"], BTreeMap::new());
        world.error("/0");
        let grant = Takeover { barrier: 9, epoch: 3, ..Takeover::default() };
        if barrier_first {
            world.judged(EvaluatorOutput::Barrier(9));
            assert_eq!(world.dispatcher.epoch(), None);
        }
        let effects = world.dispatcher.handle(Input::Granted(grant), world.now);
        world.perform(effects);
        if !barrier_first {
            assert_eq!((world.dispatcher.epoch(), world.waiting.len()), (None, 0));
            world.judged(EvaluatorOutput::Barrier(9));
        }
        assert_eq!(world.dispatcher.epoch(), Some(3));
        assert_eq!(world.told(), ["a Firing /0"]);
    }
}

#[test]
fn ten_thousand_paths_are_few_messages_and_none_is_missing() {
    let mut world = World::new(10_000, &["a", "pager"]);
    for n in 0..10_000 {
        world.error(&format!("/{n}"));
    }
    let told = world.answer(secs(20), |_| Outcome::Accepted);
    assert!(told.len() <= 25, "{} messages", told.len());
    for receiver in ["a", "pager"] {
        let items = told.iter().filter(|(name, _)| name == receiver).flat_map(|(_, n)| &n.items);
        let paths: BTreeSet<_> = items.map(|item| &item.path).collect();
        assert_eq!(paths.len(), 10_000, "{receiver}");
    }
    for n in 0..10_000 {
        world.ok(&format!("/{n}"));
    }
    let over = world.answer(secs(20), |_| Outcome::Accepted);
    assert!(over.len() <= 25, "{} messages", over.len());
    let key = |(receiver, notification): &(String, Notification)| {
        (receiver == "pager").then(|| Arc::clone(&notification.items[0].incident))
    };
    let keys = |told: &[(String, Notification)]| told.iter().filter_map(key).collect::<BTreeSet<_>>();
    assert_eq!(keys(&told), keys(&over), "each event that was opened is closed");
    assert!(world.ledger.is_empty());
}

#[test]
fn a_receiver_that_is_down_is_told_later() {
    let mut world = World::new(1, &["a", "b"]);
    world.error("/0");
    let down = |receiver: &str| if receiver == "a" { failed() } else { Outcome::Accepted };
    assert_eq!(words(&world.answer(secs(2), down)), ["a Firing /0", "a Firing /0", "b Firing /0"]);
    assert_eq!(world.mark("/0", "a"), Some((Mark::Pending, Mark::Pending)));
    world.ok("/0");
    let tried = words(&world.answer(secs(1000), down));
    assert!(tried.contains(&"a Late /0".to_owned()) && tried.contains(&"b Resolved /0".to_owned()));
    assert_eq!(words(&world.answer(secs(301), |_| Outcome::Accepted)), ["a Late /0"]);
    assert!(world.ledger.is_empty());
}

#[test]
fn patience_ends_after_a_day() {
    let mut world = World::new(1, &["a", "b"]);
    world.error("/0");
    let down = |receiver: &str| if receiver == "a" { failed() } else { Outcome::Accepted };
    let told = words(&world.answer(secs(25 * 3600), down));
    let tried = told.iter().filter(|words| *words == "a Firing /0").count();
    assert!((280..600).contains(&tried), "{tried} attempts");
    assert!(told.contains(&"b Notice /0".to_owned()), "the others are told");
    assert_eq!(world.mark("/0", "a"), Some((Mark::Refused, Mark::Pending)));
    world.ok("/0");
    assert_eq!(world.told(), ["b Resolved /0"]);
    assert!(world.ledger.is_empty());
}

#[test]
fn what_was_refused_is_not_tried_again_until_a_reload() {
    let mut world = World::new(1, &["a", "b"]);
    world.error("/0");
    let refuses = |receiver: &str| if receiver == "a" { refused() } else { Outcome::Accepted };
    let told = words(&world.answer(secs(3600), refuses));
    assert_eq!(told, ["a Firing /0", "b Firing /0", "b Notice /0"]);
    let effects =
        world.dispatcher.handle(Input::Receivers(vec![profile("a"), profile("b")], secs(2)), world.now);
    world.perform(effects);
    assert_eq!(world.told(), ["a Firing /0"]);
    world.ok("/0");
    assert_eq!(world.told(), ["a Resolved /0", "b Resolved /0"]);
}

#[test]
fn an_answer_that_was_lost_is_repeated_with_the_same_id() {
    let mut world = World::new(1, &["a"]);
    world.error("/0");
    let first = world.answer(secs(0), |_| ambiguous());
    assert_eq!(world.mark("/0", "a"), Some((Mark::Ambiguous, Mark::Pending)));
    let again = world.answer(secs(10), |_| Outcome::Accepted);
    assert_eq!(
        (words(&first), words(&again)),
        (vec!["a Firing /0".to_owned()], vec!["a Firing /0".to_owned()])
    );
    assert_eq!(first[0].1.items[0].incident, again[0].1.items[0].incident);
}

#[test]
fn a_failure_after_a_lost_answer_leaves_it_possible_that_it_was_told() {
    let mut world = World::new(1, &["a"]);
    world.error("/0");
    world.answer(secs(0), |_| ambiguous());
    world.answer(secs(3), |_| failed());
    world.ok("/0");
    assert_eq!(words(&world.answer(secs(400), |_| Outcome::Accepted)), ["a Resolved /0"]);
}

/// What a new leader tells, given the marks that it finds and what it sees.
#[test]
fn a_takeover_tells_what_was_not_surely_told() {
    #[derive(Clone, Copy)]
    enum Seen {
        Error,
        Ok,
        Nothing,
    }
    let check = |firing, resolved, over: bool, seen, expected: &[&str]| {
        let mut world = World::follower(vec![rule("/0", &["a"])], &["a"], BTreeMap::new());
        let since = world.now.wall - secs(60);
        let progress = crate::model::ledger::Progress {
            incident: "old-1".into(),
            storm: None,
            past: None,
            firing,
            resolved,
            extra: "".into(),
        };
        let entry = Entry {
            epoch: 3,
            incident: "old-1".into(),
            key: AlertKey::unnamed("/0"),
            since,
            until: over.then_some(world.now.wall),
            message: "bad".into(),
            labels: Arc::default(),
            receivers: [(id("a"), progress)].into(),
            base: None,
            ending: None,
            former: Vec::new(),
            missed: 0,
            extra: "".into(),
        };
        world.ledger.insert("/0".into(), Stored { entry, version: 4, modified: 1 });
        match seen {
            Seen::Error => world.error("/0"),
            Seen::Ok => world.ok("/0"),
            Seen::Nothing => {}
        }
        world.lead(9);
        let told = world.answer(secs(10), |_| Outcome::Accepted);
        let what = format!("{firing:?} {resolved:?} over: {over}");
        assert_eq!(words(&told), expected, "{what}");
        let old = |told: &(String, Notification)| &*told.1.items[0].incident == "old-1";
        assert!(told.iter().all(|told| old(told) || over), "the id stays: {what}");
    };
    use Mark::{Ambiguous, Pending, Refused, Sent};
    let none: &[&str] = &[];
    check(Sent, Pending, false, Seen::Error, none);
    check(Ambiguous, Pending, false, Seen::Error, &["a Firing /0"]);
    check(Pending, Pending, false, Seen::Error, &["a Firing /0"]);
    check(Refused, Pending, false, Seen::Error, &["a Firing /0"]);
    check(Refused, Pending, false, Seen::Nothing, none);
    check(Refused, Pending, true, Seen::Ok, none);
    check(Sent, Pending, false, Seen::Ok, &["a Resolved /0"]);
    check(Ambiguous, Pending, false, Seen::Ok, &["a Resolved /0"]);
    check(Pending, Pending, false, Seen::Ok, &["a Late /0"]);
    check(Refused, Pending, false, Seen::Ok, &["a Late /0"]);
    check(Sent, Pending, false, Seen::Nothing, none);
    check(Pending, Pending, false, Seen::Nothing, none);
    check(Sent, Ambiguous, true, Seen::Ok, &["a Resolved /0"]);
    check(Sent, Sent, true, Seen::Ok, none);
    check(Sent, Sent, true, Seen::Error, &["a Firing /0"]);
    check(Sent, Pending, true, Seen::Error, &["a Firing /0", "a Resolved /0"]);
    check(Pending, Pending, true, Seen::Error, &["a Firing /0"]);
}
