//! Who is told how often: many violations in a row and at once, and what one receiver hears of another.

use super::*;

const MINUTE: Duration = Duration::from_secs(60);

#[test]
fn who_is_not_told_is_known_with_the_reason() {
    let mut world = World::with(vec![rule("/0", &["a"]), rule("/1", &[])], &["a"], BTreeMap::new());
    world.error("/0");
    world.error("/1");
    let quiet = |world: &World| -> Vec<Option<String>> {
        let all = world.dispatcher.alert_status();
        all.map(|(_, status)| status.quiet.map(|quiet| quiet.words())).collect()
    };
    assert_eq!(quiet(&world), [None, Some("told nobody".to_owned())]);
    let silence = Silence {
        id: "s1".into(),
        path: "/*".into(),
        until: Until::Time(world.now.wall + secs(60)),
        comment: "".into(),
        by: "".into(),
    };
    let effects = world.dispatcher.handle(Input::Silences(vec![silence]), world.now);
    world.perform(effects);
    assert_eq!(quiet(&world), [Some("silenced by s1".to_owned()), Some("told nobody".to_owned())]);
    world.wait(secs(61));
    assert_eq!(quiet(&world)[0], None);
}

#[test]
fn a_thousand_violations_a_minute_apart_are_a_thousand_mails_each_way() {
    let mut world = World::new(1_000, &["a"]);
    let mut told = Vec::new();
    for n in 0..1_000 {
        world.error(&format!("/{n}"));
        assert_eq!(world.waiting.len(), 1, "/{n} leaves at once: nothing else did within the group_wait");
        told.extend(world.answer(MINUTE, |_| Outcome::Accepted));
    }
    for n in 0..1_000 {
        world.ok(&format!("/{n}"));
        told.extend(world.answer(MINUTE, |_| Outcome::Accepted));
    }
    assert!(told.iter().all(|(_, notification)| notification.items.len() == 1), "nothing was a digest");
    let mut expected: Vec<String> =
        (0..1_000).flat_map(|n| [format!("a Firing /{n}"), format!("a Resolved /{n}")]).collect();
    expected.sort();
    assert_eq!(words(&told), expected);
    assert!(world.ledger.is_empty() && world.dispatcher.paths.iter().next().is_none());
}

#[test]
fn fifty_at_once_are_told_to_all_three_receivers() {
    let receivers = ["a", "b", "pager"];
    let mut world = World::new(50, &receivers);
    (0..50).for_each(|n| world.error(&format!("/{n}")));
    let expected = |kind: &str| {
        let each = |receiver: &str| (0..50).map(|n| format!("{receiver} {kind} /{n}")).collect::<Vec<_>>();
        let mut all = receivers.map(each).concat();
        all.sort();
        all
    };
    assert_eq!(world.told(), expected("Firing"));
    (0..50).for_each(|n| world.ok(&format!("/{n}")));
    assert_eq!(world.told(), expected("Resolved"));
}

#[test]
fn a_refusal_is_told_to_those_whose_own_message_is_under_way() {
    let mut world = World::new(1, &["a", "b"]);
    world.error("/0");
    let deliveries = std::mem::take(&mut world.waiting);
    let [a, b] = &deliveries[..] else { panic!("{deliveries:?}") };
    world.outcome(a, refused());
    world.outcome(b, Outcome::Accepted);
    let told = world.answer(secs(10), |_| Outcome::Accepted);
    assert_eq!(words(&told), ["b Notice /0"]);
    assert_eq!(told[0].1.items[0].notes, ["a refused the alert: never"]);
    assert_eq!(world.told(), [""; 0], "once");
}

#[test]
fn a_refusal_that_the_message_itself_tells_is_no_further_message() {
    let mut world = World::new(1, &["a", "b"]);
    world.error("/0");
    let deliveries = std::mem::take(&mut world.waiting);
    let [a, b] = &deliveries[..] else { panic!("{deliveries:?}") };
    world.outcome(b, failed());
    world.outcome(a, refused());
    let told = world.answer(secs(10), |_| Outcome::Accepted);
    assert_eq!(words(&told), ["b Firing /0"]);
    assert_eq!(told[0].1.items[0].notes, ["a refused the alert: never"]);
}

#[test]
fn a_recovery_waits_for_keep_firing_for() {
    let mut rule = rule("/0", &["a"]);
    Arc::make_mut(&mut rule.terms).keep_firing_for = secs(30);
    let mut world = World::with(vec![rule], &["a"], BTreeMap::new());
    world.error("/0");
    assert_eq!(world.told(), ["a Firing /0"]);
    world.ok("/0");
    assert_eq!(words(&world.answer(secs(20), |_| Outcome::Accepted)), [""; 0]);
    world.error("/0");
    world.ok("/0");
    assert_eq!(words(&world.answer(secs(29), |_| Outcome::Accepted)), [""; 0], "its time began anew");
    assert_eq!(words(&world.answer(secs(2), |_| Outcome::Accepted)), ["a Resolved /0"]);
}

#[test]
fn one_write_holds_the_intents_of_all_receivers() {
    let mut world = World::new(1, &["a", "b", "c"]);
    world.error("/0");
    assert_eq!((world.writes, world.waiting.len()), (1, 3));
}

#[test]
fn in_a_storm_intents_are_written_first_and_notes_together() {
    const PATHS: usize = 100;
    let mut world = World::new(PATHS + 1, &["a", "b"]);
    world.error("/100");
    world.told();
    (0..PATHS).for_each(|n| world.error(&format!("/{n}")));
    world.answer(secs(3), |_| Outcome::Accepted);
    (0..PATHS).for_each(|n| world.ok(&format!("/{n}")));
    world.held = Some(Vec::new());
    world.wait(secs(3));
    assert_eq!(world.held.as_ref().map(Vec::len), Some(PATHS), "an intent is never held back");
    world.release();
    let deliveries = std::mem::take(&mut world.waiting);
    let before = world.writes;
    deliveries.iter().for_each(|delivery| world.outcome(delivery, Outcome::Accepted));
    let under_way = world.held.as_ref().map_or(0, Vec::len);
    assert!(under_way < PATHS / 2, "{under_way} notes under way at once");
    world.release();
    assert!(world.writes - before < 2 * PATHS, "{} writes for two receivers", world.writes - before);
    assert_eq!(world.ledger.len(), 1, "nothing that waited was forgotten");
    assert!(!world.dispatcher.is_busy());
}

#[test]
fn receivers_that_do_not_keep_step_need_no_write_of_their_own() {
    let mut world = World::new(DIGEST * 2 + 1, &["a", "b"]);
    world.error("/1000");
    world.answer(secs(0), |_| Outcome::Accepted);
    (0..DIGEST * 2).for_each(|n| world.error(&format!("/{n}")));
    world.wait(secs(3));
    let mut turn = |receiver: &str| {
        let before = world.writes;
        let delivery = world.land(receiver, Outcome::Accepted);
        (delivery.notification.items.len(), world.writes - before)
    };
    assert_eq!(turn("a"), (DIGEST, DIGEST * 2), "what became of these, and the intents of the next");
    assert_eq!(turn("b"), (DIGEST, DIGEST), "what became of these alone");
    assert_eq!(turn("b"), (DIGEST, DIGEST));
    assert_eq!(turn("a"), (DIGEST, DIGEST));
    let sent = |progress: &crate::model::ledger::Progress| progress.firing == Mark::Sent;
    assert!(world.ledger.values().all(|stored| stored.entry.receivers.values().all(sent)));
}

#[test]
fn a_silence_made_between_the_grant_and_its_effect_counts() {
    let mut world = World::follower(vec![rule("/0", &["a"])], &["a"], BTreeMap::new());
    world.error("/0");
    let grant = Takeover { barrier: 1, epoch: 2, ..Takeover::default() };
    let effects = world.dispatcher.handle(Input::Granted(grant), world.now);
    world.perform(effects);
    let until = Until::Time(world.now.wall + secs(60));
    let silence = Silence { id: "s".into(), path: "/0".into(), until, comment: "".into(), by: "".into() };
    world.silence(vec![silence]);
    world.judged(EvaluatorOutput::Barrier(1));
    assert_eq!(world.told(), [""; 0]);
}

/// All attempts of so long are taken, each after a tenth of a second. When those of `receiver` left, what each told.
fn timed(
    world: &mut World,
    duration: Duration,
    receiver: &str,
    flaps: usize,
) -> Vec<(Duration, Notification)> {
    let (start, mut told) = (world.now, Vec::new());
    for step in 0.. {
        let passed = world.now.mono.saturating_duration_since(start.mono);
        if passed >= duration {
            break;
        }
        if flaps > 0 && step % 2 == 0 {
            let (path, down) = (format!("/{}", 1 + step / 2 % flaps), (step / 2 / flaps).is_multiple_of(2));
            if down { world.error(&path) } else { world.ok(&path) }
        }
        let attempts = std::mem::take(&mut world.waiting);
        world.wait(Duration::from_millis(100));
        for attempt in attempts {
            world.outcome(&attempt, Outcome::Accepted);
            if *attempt.receiver.0 == *receiver {
                told.push((passed, attempt.notification));
            }
        }
    }
    told
}

#[test]
fn what_fires_is_told_again_every_minute_whatever_waits() {
    for group_wait in [secs(2), secs(1_200)] {
        let mut world = World::new(21, &["am"]);
        let effects = world.dispatcher.handle(Input::Receivers(vec![profile("am")], group_wait), world.now);
        world.perform(effects);
        world.error("/0");
        let told = timed(&mut world, secs(1_000), "am", 20);
        let tells_again =
            |n: &Notification| n.items.iter().any(|item| item.kind == Kind::Refresh && &*item.path == "/0");
        let again: Vec<Duration> = told.iter().filter(|(_, n)| tells_again(n)).map(|(at, _)| *at).collect();
        assert!(again.len() >= 15, "{group_wait:?}: {again:?}");
        assert!(again.windows(2).all(|two| two[1] - two[0] < secs(63)), "{group_wait:?}: {again:?}");
        let others = told.iter().flat_map(|(_, n)| &n.items).filter(|item| item.kind == Kind::Resolved);
        assert!(others.count() > 10 || group_wait > secs(1_000), "what waits is told as well");
    }
}

#[test]
fn telling_many_again_and_what_waits_take_turns() {
    let mut world = World::new(DIGEST * 6, &["am"]);
    (0..DIGEST * 6 - 1).for_each(|n| world.error(&format!("/{n}")));
    world.answer(secs(50), |_| Outcome::Accepted);
    while world.waiting.is_empty() {
        world.wait(Duration::from_millis(100));
    }
    world.error(&format!("/{}", DIGEST * 6 - 1));
    let told: Vec<Kind> =
        (0..7).map(|_| world.land("am", Outcome::Accepted).notification.items[0].kind).collect();
    assert_eq!(told.iter().filter(|kind| **kind == Kind::Refresh).count(), 6, "{told:?}");
    assert_eq!(told[1], Kind::Firing, "{told:?}");
}

#[test]
fn what_has_failed_waits_for_its_backoff_only() {
    for (receiver, group_wait) in [("a", secs(30)), ("pager", secs(1_200))] {
        let mut world = World::new(20, &[receiver]);
        let effects =
            world.dispatcher.handle(Input::Receivers(vec![profile(receiver)], group_wait), world.now);
        world.perform(effects);
        world.error("/0");
        let first = world.answer(secs(0), |_| failed());
        let again = world.answer(secs(2), |_| ambiguous());
        assert_eq!(
            (first.len(), again.is_empty()),
            (1, false),
            "{receiver}: the first is tried again at once"
        );
        (1..20).for_each(|n| world.error(&format!("/{n}")));
        let told = words(&world.answer(secs(20), |_| Outcome::Accepted));
        assert_eq!(told.len(), 20, "{receiver}: what waited for it follows: {told:?}");
        // What comes then is gathered as ever.
        world.ok("/0");
        world.ok("/1");
        let told = words(&world.answer(group_wait - secs(22), |_| Outcome::Accepted));
        assert!(told.len() < 2, "{receiver}: {told:?}");
        assert!(!(told.is_empty() && world.answer(secs(30), |_| Outcome::Accepted).is_empty()), "{receiver}");
    }
}

/// So many paths, of which a pager was told of the first ones one by one, and these are all in spec again now.
fn with_single_ends(paths: usize, told: usize) -> World {
    let mut world = World::new(paths, &["pager"]);
    for n in 0..told {
        world.error(&format!("/{n}"));
        world.answer(secs(3), |_| Outcome::Accepted);
    }
    (0..told).for_each(|n| world.ok(&format!("/{n}")));
    world
}

#[test]
fn an_alert_does_not_wait_for_ends_that_can_only_be_told_one_by_one() {
    let mut world = with_single_ends(201, 200);
    let recoveries = timed(&mut world, secs(1), "pager", 0);
    world.error("/200");
    world.error("/0");
    let told = timed(&mut world, secs(60), "pager", 0);
    let first = told.iter().position(|(_, n)| &*n.items[0].path == "/200").expect("it is told");
    assert!(told[first].0 <= secs(3), "{:?}", told[first].0);
    let of_0 = recoveries.iter().chain(&told).filter(|(_, n)| &*n.items[0].path == "/0");
    let of_0: Vec<_> = of_0.map(|(_, n)| n.items[0].kind).collect();
    assert_eq!(of_0, [Kind::Resolved, Kind::Firing], "no end comes after the next beginning");
    assert_eq!(recoveries.len() + told.len(), 202, "all are told, one by one");
    assert!(world.ledger.len() == 2, "{:?}", world.ledger.keys());
}

#[test]
fn ends_that_are_told_one_by_one_give_no_credit_to_a_storm() {
    let mut world = with_single_ends(1_060, 60);
    (60..1_000).for_each(|n| world.error(&format!("/{n}")));
    let told = timed(&mut world, secs(4), "pager", 0);
    (1_000..1_060).for_each(|n| world.error(&format!("/{n}")));
    let told = told.len() + timed(&mut world, secs(60), "pager", 0).len();
    assert_eq!(told, 62, "60 ends and two storms");
}
