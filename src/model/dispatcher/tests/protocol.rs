//! The ledger, silences, reloads and time.

use super::*;

#[test]
fn a_write_that_fails_keeps_the_attempt_back() {
    let mut world = World::new(1, &["a"]);
    world.writable = false;
    world.error("/0");
    assert_eq!(world.told(), [""; 0]);
    assert!(world.writes > 1 && world.writes < 10, "{} writes", world.writes);
    world.writable = true;
    assert_eq!(words(&world.answer(secs(40), |_| Outcome::Accepted)), ["a Firing /0"]);
}

#[test]
fn what_this_process_knows_outranks_the_ledger() {
    let mut world = World::new(1, &["a"]);
    world.error("/0");
    let delivery = world.waiting.pop().expect("an attempt");
    let effects = world.dispatcher.handle(Input::Revoked, world.now);
    world.perform(effects);
    world.outcome(&delivery, Outcome::Accepted);
    assert_eq!(world.mark("/0", "a"), Some((Mark::Ambiguous, Mark::Pending)));
    world.lead(2);
    assert_eq!(world.told(), [""; 0]);
    world.ok("/0");
    assert_eq!(world.told(), ["a Resolved /0"]);
}

/// Nor is it forgotten when the path falls out of spec again before the ledger says so, and another leads in between.
#[test]
fn a_recovery_that_this_process_knows_was_told_is_not_told_again() {
    let mut world = World::new(1, &["a", "b"]);
    world.error("/0");
    world.told();
    world.ok("/0");
    world.writable = false;
    world.land("a", Outcome::Accepted);
    world.error("/0");
    let effects = world.dispatcher.handle(Input::Revoked, world.now);
    world.perform(effects);
    world.land("b", Outcome::NotTried);
    assert_eq!(world.mark("/0", "a"), Some((Mark::Sent, Mark::Ambiguous)), "the ledger knows no better");
    world.writable = true;
    let stored = world.ledger.get_mut("/0").expect("an entry");
    (stored.entry.epoch, stored.version) = (2, stored.version + 1);
    world.lead(3);
    assert_eq!(world.told(), ["a Firing /0", "b Firing /0", "b Resolved /0"]);
}

#[test]
fn an_attempt_that_was_not_made_goes_back_to_what_it_was() {
    let mut world = World::new(1, &["a"]);
    world.error("/0");
    let delivery = world.waiting.pop().expect("an attempt");
    world.outcome(&delivery, Outcome::NotTried);
    assert_eq!(world.mark("/0", "a"), Some((Mark::Pending, Mark::Pending)));
    assert!(world.waiting.is_empty(), "it is not asked for again at once");
    assert_eq!(world.told(), ["a Firing /0"]);
}

#[test]
fn a_new_violation_waits_for_the_recovery_that_a_receiver_is_owed() {
    let mut world = World::new(1, &["a"]);
    world.error("/0");
    world.told();
    world.ok("/0");
    world.answer(secs(0), |_| failed());
    world.error("/0");
    let told = world.answer(secs(30), |_| Outcome::Accepted);
    let kinds: Vec<Kind> = told.iter().flat_map(|(_, n)| n.items.iter().map(|item| item.kind)).collect();
    assert_eq!(kinds, [Kind::Resolved, Kind::Firing]);
    assert_ne!(told[0].1.items[0].incident, told[1].1.items[0].incident);
    world.ok("/0");
    assert_eq!(world.told(), ["a Resolved /0"]);
    assert!(world.ledger.is_empty());
}

#[test]
fn violations_that_a_receiver_never_heard_of_are_merged_into_the_next() {
    let mut world = World::new(1, &["a"]);
    for _ in 0..3 {
        world.error("/0");
        world.answer(secs(1), |_| failed());
        world.ok("/0");
    }
    world.error("/0");
    let told = world.answer(secs(400), |_| Outcome::Accepted);
    assert_eq!(words(&told), ["a Firing /0"]);
    assert!(told[0].1.items[0].notes[0].ends_with(": 3"), "{:?}", told[0].1.items[0].notes);
}

/// It heard late of the first, and was due the second by that. The third is silenced from its beginning to its end.
#[test]
fn what_a_receiver_waited_for_once_does_not_make_a_silenced_violation_due() {
    let mut world = World::new(1, &["a"]);
    world.error("/0");
    world.answer(secs(1), |_| failed());
    world.ok("/0");
    world.error("/0");
    assert_eq!(words(&world.answer(secs(400), |_| Outcome::Accepted)), ["a Firing /0"]);
    world.ok("/0");
    world.answer(secs(0), |_| failed());
    let until = Until::Time(world.now.wall + secs(1000));
    let silence = Silence { id: "s".into(), path: "/0".into(), until, comment: "".into(), by: "".into() };
    let effects = world.dispatcher.handle(Input::Silences(vec![silence]), world.now);
    world.perform(effects);
    world.error("/0");
    world.ok("/0");
    assert_eq!(words(&world.answer(secs(400), |_| Outcome::Accepted)), ["a Resolved /0"]);
    assert_eq!(words(&world.answer(secs(1000), |_| Outcome::Accepted)), [""; 0], "the silence ended");
    assert!(world.ledger.is_empty());
}

#[test]
fn silences_hold_alerts_back_and_never_a_recovery() {
    let mut world = World::new(2, &["a"]);
    world.error("/0");
    assert_eq!(world.told(), ["a Firing /0"]);
    let until = Until::Time(world.now.wall + secs(100));
    let silence = Silence { id: "s".into(), path: "/*".into(), until, comment: "".into(), by: "".into() };
    let effects = world.dispatcher.handle(Input::Silences(vec![silence]), world.now);
    world.perform(effects);
    world.ok("/0");
    world.error("/1");
    assert_eq!(world.told(), ["a Resolved /0"]);
    assert_eq!(words(&world.answer(secs(100), |_| Outcome::Accepted)), ["a Firing /1"], "the silence ended");
}

/// It is still there when its incident is over: nobody led meanwhile who would have removed it.
#[test]
fn an_acknowledgement_is_of_its_incident_alone() {
    let mut reminding = rule("/0", &["a"]);
    Arc::make_mut(&mut reminding.terms).repeat_interval = Some(secs(600));
    let mut world = World::with(vec![reminding, rule("/1", &["a"])], &["a"], BTreeMap::new());
    world.error("/0");
    assert_eq!(world.told(), ["a Firing /0"]);
    let quiet = |world: &World| world.dispatcher.alert_status().next().and_then(|(_, alert)| alert.quiet);
    assert_eq!(quiet(&world), None);
    world.acknowledge();
    assert_eq!(quiet(&world).map(|quiet| quiet.words()), Some("silenced by s".to_owned()));
    assert_eq!(words(&world.answer(secs(1500), |_| Outcome::Accepted)), [""; 0], "no reminder");
    world.error("/1");
    assert_eq!(world.told(), ["a Firing /1"], "it was not open then");
    let effects = world.dispatcher.handle(Input::Revoked, world.now);
    world.perform(effects);
    assert_eq!(
        quiet(&world).map(|quiet| quiet.words()),
        Some("silenced by s".to_owned()),
        "a follower says so too"
    );
    world.lead(2);
    assert_eq!(words(&world.answer(secs(1500), |_| Outcome::Accepted)), [""; 0], "nor after a takeover");
    world.ok("/0");
    assert_eq!(world.told(), ["a Resolved /0"]);
    world.error("/0");
    assert_eq!(world.told(), ["a Firing /0"], "nobody has acknowledged that");
    assert_eq!(quiet(&world), None);
    assert_eq!(words(&world.answer(secs(700), |_| Outcome::Accepted)), ["a Reminder(600) /0"]);
    assert_eq!(world.dispatcher.silences(world.now).count(), 1);
}

/// What was noted was not told yet: its end, and with it that of the acknowledgement, does not wait for the latter.
#[test]
fn an_acknowledged_incident_that_nobody_heard_of_ends() {
    let mut world = World::new(1, &["a"]);
    world.error("/0");
    world.wait(secs(3));
    world.land("a", failed());
    world.acknowledge();
    assert_eq!(world.mark("/0", "a"), Some((Mark::Pending, Mark::Pending)));
    assert_eq!(words(&world.answer(secs(600), |_| Outcome::Accepted)), [""; 0]);
    world.ok("/0");
    assert_eq!(words(&world.answer(secs(600), |_| Outcome::Accepted)), ["a Late /0"]);
    assert!(world.ledger.is_empty());
}

#[test]
fn a_removed_rule_closes_its_incident_and_nobody_is_told() {
    let mut world = World::new(1, &["a"]);
    world.error("/0");
    world.told();
    assert_eq!(world.ledger.len(), 1);
    world.judged(EvaluatorOutput::Rules(Arc::default()));
    assert_eq!(world.told(), [""; 0]);
    assert!(world.ledger.is_empty() && world.dispatcher.paths.iter().next().is_none());
}

#[test]
fn an_entry_that_no_rule_knows_is_left_alone_for_a_day() {
    let mut world = World::new(1, &["a"]);
    world.error("/0");
    world.told();
    let mut other = World::with(Vec::new(), &[], world.ledger.clone());
    other.wait(secs(23 * 3600));
    assert_eq!(other.ledger.len(), 1);
    other.wait(secs(2 * 3600));
    assert!(other.ledger.is_empty());
}

#[test]
fn reminders_come_by_the_interval_and_alertmanager_is_refreshed() {
    let mut reminding = rule("/0", &["a", "am"]);
    Arc::make_mut(&mut reminding.terms).repeat_interval = Some(secs(600));
    let mut world = World::with(vec![reminding], &["a", "am"], BTreeMap::new());
    world.error("/0");
    let told = words(&world.answer(secs(1250), |_| Outcome::Accepted));
    let count = |what: &str| told.iter().filter(|words| **words == what).count();
    assert_eq!((count("a Reminder(600) /0"), count("a Reminder(1200) /0"), count("a Firing /0")), (1, 1, 1));
    assert!((19..=21).contains(&count("am Refresh /0")), "{}", count("am Refresh /0"));
    world.ok("/0");
    let told = words(&world.answer(secs(200), |_| Outcome::Accepted));
    assert_eq!(told, ["a Resolved /0", "am Resolved /0"], "nothing is refreshed after the recovery");
}

#[test]
fn a_parked_agent_starts_nothing_and_notes_what_ends() {
    let mut world = World::new(2, &["a"]);
    world.error("/0");
    let effects = world.dispatcher.handle(Input::Park, world.now);
    world.perform(effects);
    world.error("/1");
    assert!(world.dispatcher.is_busy());
    assert_eq!(world.told(), ["a Firing /0"]);
    assert_eq!(world.mark("/0", "a"), Some((Mark::Sent, Mark::Pending)));
    assert_eq!(world.mark("/1", "a"), Some((Mark::Pending, Mark::Pending)));
    assert!(!world.dispatcher.is_busy());
}

#[test]
fn compliant_paths_cost_nothing() {
    let mut world = World::new(1000, &["a"]);
    (0..1000).for_each(|n| world.ok(&format!("/{n}")));
    assert!(world.dispatcher.paths.iter().next().is_none() && world.dispatcher.next_deadline().is_none());
}

/// The removal by an older lease that came late: its holder had told everybody of both ends.
#[test]
fn an_entry_that_the_leader_before_removed_late_is_over() {
    let mut before = World::new(1, &["a"]);
    before.error("/0");
    assert_eq!(before.told(), ["a Firing /0"]);
    let mut world = World::follower(vec![rule("/0", &["a"])], &["a"], before.ledger.clone());
    world.ok("/0");
    world.held = Some(Vec::new());
    world.lead(2);
    world.wait(secs(5));
    world.ledger.clear();
    world.release();
    world.held = None;
    assert_eq!(world.told(), [""; 0]);
    assert!(world.events.contains(&Report::Conflict(AlertKey::unnamed("/0"))) && world.ledger.is_empty());
    world.error("/0");
    assert_eq!(world.told(), ["a Firing /0"]);
}

/// A write of an older lease that came late: what it tells is taken over, under its incident.
#[test]
fn a_conflict_is_decided_anew() {
    let mut world = World::follower(vec![rule("/0", &["a", "b"])], &["a", "b"], BTreeMap::new());
    let mut other = World::new(1, &["a", "b"]);
    other.error("/0");
    let down = |receiver: &str| if receiver == "a" { Outcome::Accepted } else { failed() };
    other.answer(secs(0), down);
    world.lead(5);
    world.ledger = other.ledger.clone();
    world.error("/0");
    let told = world.answer(secs(10), |_| Outcome::Accepted);
    assert!(world.events.contains(&Report::Conflict(AlertKey::unnamed("/0"))));
    assert_eq!(words(&told), ["b Firing /0"], "a has it already");
    assert_eq!(told[0].1.items[0].incident, other.ledger["/0"].entry.incident);
}

/// Its receivers change while the intents of the one before are being written.
#[test]
fn a_new_incident_leaves_no_delivery_waiting_for_the_old_one() {
    let rules = |of_first: &[&str]| vec![rule("/0", of_first), rule("/1", &["b"])];
    let mut world = World::with(rules(&["a", "b"]), &["a", "b"], BTreeMap::new());
    world.held = Some(Vec::new());
    world.error("/0");
    world.rules = Arc::new(RuleSet::new(rules(&["a"])));
    world.judged(EvaluatorOutput::Rules(Arc::clone(&world.rules)));
    world.ok("/0");
    world.error("/0");
    world.release();
    world.held = None;
    assert_eq!(world.told(), ["a Firing /0"]);
    world.error("/1");
    assert_eq!(world.told(), ["b Firing /1"]);
}

/// What a storm noted ahead for a receiver that fails is taken back: it was surely never tried.
#[test]
fn nothing_stays_noted_ahead_for_a_receiver_that_fails() {
    let mut world = World::new(DIGEST * 2 + 1, &["a", "b"]);
    world.error("/1000");
    world.answer(secs(0), |_| Outcome::Accepted);
    (0..DIGEST * 2).for_each(|n| world.error(&format!("/{n}")));
    world.wait(secs(3));
    // The one that is quicker has its next digest noted, for both.
    world.land("a", Outcome::Accepted);
    world.land("b", failed());
    let marks = |world: &World, name: &str| -> BTreeSet<String> {
        let mark = |n: usize| world.mark(&format!("/{n}"), name);
        (0..DIGEST * 2).filter_map(mark).map(|(firing, _)| format!("{firing:?}")).collect()
    };
    assert_eq!(marks(&world, "a"), ["Ambiguous", "Sent"].map(str::to_owned).into());
    assert_eq!(marks(&world, "b"), ["Pending"].map(str::to_owned).into());
}

/// What is told from when a reload made the interval another, within so many seconds, by when.
fn reminded_after_reload(before: u64, age: u64, after: u64, within: u64) -> Vec<(u64, Kind)> {
    let reminding = |interval: u64| {
        let mut rule = rule("/0", &["a"]);
        Arc::make_mut(&mut rule.terms).repeat_interval = Some(secs(interval)).filter(|_| interval > 0);
        rule
    };
    let mut world = World::with(vec![reminding(before)], &["a"], BTreeMap::new());
    world.error("/0");
    world.answer(secs(age), |_| Outcome::Accepted);
    world.rules = Arc::new(RuleSet::new(vec![reminding(after)]));
    world.judged(EvaluatorOutput::Rules(Arc::clone(&world.rules)));
    let mut told = Vec::new();
    for second in 0..=within {
        let items = world.answer(secs(1), |_| Outcome::Accepted);
        told.extend(items.into_iter().flat_map(|(_, n)| n.items).map(|item| (second, item.kind)));
    }
    told
}

#[test]
fn what_falls_again_is_not_what_was_acknowledged() {
    let check = |acknowledged: u64, recovers: u64, expected: &[&str]| {
        let mut leader = World::new(1, &["a"]);
        leader.error("/0");
        leader.told();
        // The leader dies; this one sees the end, and the next beginning, before it leads.
        let mut next = World::follower(vec![rule("/0", &["a"])], &["a"], leader.ledger.clone());
        next.error("/0");
        let start = next.now.mono;
        for second in 0..40 {
            if second == acknowledged {
                next.acknowledge();
            }
            if second == recovers {
                next.ok("/0");
            }
            if next.now.mono - start == secs(recovers + 1) {
                next.error("/0");
            }
            next.wait(secs(1));
        }
        next.lead(2);
        let told = next.answer(secs(10), |_| Outcome::Accepted);
        assert_eq!(words(&told), expected);
        next.ok("/0");
        assert_eq!(next.told(), ["a Resolved /0"]);
        assert!(next.ledger.is_empty());
    };
    check(3, 30, &["a Firing /0", "a Resolved /0"]);
    // It was of this one that somebody said that he knows.
    check(33, 30, &[]);
    check(3, 90, &[]);
}

/// A follower, whose leader has told `a` of `/0`.
fn follower_of_one_told(keep_firing_for: Duration) -> World {
    let mut rule = rule("/0", &["a"]);
    Arc::make_mut(&mut rule.terms).keep_firing_for = keep_firing_for;
    let mut leader = World::with(vec![rule.clone()], &["a"], BTreeMap::new());
    leader.error("/0");
    leader.told();
    World::follower(vec![rule], &["a"], leader.ledger)
}

#[test]
fn what_was_acknowledged_and_seen_to_end_is_over_whatever_the_clocks_say() {
    let check = |kept: u64, since: fn(&mut World), expected: &[&str]| {
        let mut next = follower_of_one_told(secs(kept));
        next.judged(EvaluatorOutput::LedgerChanged(LedgerChange::Any));
        next.now.wall -= secs(100);
        next.error("/0");
        next.acknowledge();
        next.ok("/0");
        next.wait(secs(60));
        since(&mut next);
        next.lead(2);
        let told = next.answer(secs(10), |_| Outcome::Accepted);
        assert_eq!(words(&told), expected, "{kept} s");
        let mut items = told.iter().flat_map(|(_, notification)| &notification.items);
        assert!(items.all(|item| item.notes.is_empty()), "nothing else was missed: {told:?}");
        next.wait(secs(60));
        next.error("/0");
        assert_eq!(next.told(), ["a Firing /0"], "{kept} s");
    };
    check(30, |_| (), &["a Resolved /0"]);
    // Nobody knows of what has come and gone since, be keep_firing_for over or not.
    let again = |next: &mut World| {
        next.error("/0");
        next.ok("/0");
    };
    check(30, again, &["a Late /0", "a Resolved /0"]);
    check(0, again, &["a Late /0", "a Resolved /0"]);
}

#[test]
fn what_follows_an_acknowledged_incident_does_not_wait_for_the_end_of_its_storm() {
    let paths = || (0..60).map(|n| format!("/{n}"));
    let rules: Vec<_> = paths().map(|path| rule(&path, &["pager"])).collect();
    let mut leader = World::with(rules.clone(), &["pager"], BTreeMap::new());
    paths().for_each(|path| leader.error(&path));
    assert_eq!(leader.answer(secs(10), |_| Outcome::Accepted).len(), 2, "the first, and all others at once");
    let mut next = World::follower(rules, &["pager"], leader.ledger.clone());
    next.judged(EvaluatorOutput::LedgerChanged(LedgerChange::Any));
    paths().for_each(|path| next.error(&path));
    next.acknowledge();
    next.ok("/59");
    next.error("/59");
    next.ok("/59");
    next.lead(2);
    assert_eq!(words(&next.answer(secs(10), |_| Outcome::Accepted)), ["pager Late /59"]);
}

#[test]
fn what_was_acknowledged_and_seen_to_end_is_over_however_long_ago() {
    let check = |kept: u64, lasted: u64| {
        let mut next = follower_of_one_told(secs(kept));
        next.error("/0");
        next.acknowledge();
        next.ok("/0");
        next.wait(secs(kept + lasted));
        next.error("/0");
        next.lead(2);
        assert_eq!(next.told(), ["a Firing /0", "a Resolved /0"], "{kept} s, {lasted} s");
    };
    // A stranger holds the lock for an hour; the path fires on for longer than anything is remembered.
    check(0, 3600);
    check(300, 10);
}

#[test]
fn what_was_not_seen_to_end_goes_on_as_acknowledged() {
    let mut leader = World::new(1, &["a"]);
    leader.error("/0");
    leader.told();
    // No event told this one that the path fell: it sees that late.
    let mut next = World::follower(vec![rule("/0", &["a"])], &["a"], leader.ledger.clone());
    next.ok("/0");
    next.acknowledge();
    next.error("/0");
    next.lead(2);
    assert_eq!(next.told(), [""; 0]);
    next.ok("/0");
    assert_eq!(next.told(), ["a Resolved /0"]);
}

#[test]
fn another_interval_counts_from_when_it_is_read() {
    let kinds = |seconds: &[u32]| seconds.iter().map(|n| Kind::Reminder(*n)).collect::<Vec<_>>();
    let check = |before, age, after, within, expected: &[u32]| {
        let told = reminded_after_reload(before, age, after, within);
        let what = format!("{before} s, then {after} s after {age} s: {told:?}");
        assert_eq!(told.iter().map(|(_, kind)| *kind).collect::<Vec<_>>(), kinds(expected), "{what}");
        assert!(told.first().is_none_or(|(second, _)| *second > 0), "nothing is told because of it: {what}");
    };
    check(1, 16, 3, 6, &[18, 21]);
    check(0, 10, 7, 12, &[14, 21]);
    check(600, 6_100, 1_500, 1_600, &[7_500]);
    check(7_200, 6_000, 600, 700, &[6_600]);
    check(3, 10, 0, 30, &[]);
}
