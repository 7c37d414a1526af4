//! What the number of children is measured by stands in the ledger while an incident is open for it.

use std::time::SystemTime;

use super::*;
use crate::model::children::Left;
use crate::model::judge::{Base, Course};

fn judged(world: &mut World, state: State, course: Option<Course>) {
    let key = AlertKey::unnamed("/0");
    let rule = Arc::clone(world.rules.rule(&key).expect("a rule"));
    world.judged(EvaluatorOutput::Transition(Transition { key, rule, state, children: Some(6), course }));
}

fn fall(world: &mut World, most: u32) {
    let base = Base { most, fell: world.now.wall };
    let state =
        State::Error { message: format!("below {most}").into(), left: Left::default(), counted: None };
    judged(world, state, Some(Course::Fallen(base)));
}

fn base(world: &World) -> Option<(u32, SystemTime)> {
    world.ledger["/0"].entry.base.map(|base| (base.most, base.fell))
}

#[test]
fn the_ledger_says_what_is_measured_by_and_the_recovery_how_it_ended() {
    let mut world = World::new(1, &["a"]);
    let began = world.now.wall;
    fall(&mut world, 10);
    world.told();
    assert_eq!(base(&world), Some((10, began)));
    assert_eq!(world.ledger["/0"].entry.adoption().base, Some(Base { most: 10, fell: began }));
    // Another fall, from a lower number.
    world.wait(secs(60));
    let again = world.now.wall;
    fall(&mut world, 6);
    assert_eq!((world.told(), base(&world)), (vec![], Some((6, again))));
    judged(&mut world, State::Ok, Some(Course::Ended("The count is back".into())));
    let told = world.answer(secs(10), |_| Outcome::Accepted);
    assert_eq!(words(&told), ["a Resolved /0"]);
    assert_eq!(told[0].1.items[0].notes, ["The count is back"]);
    assert!(world.ledger.is_empty());
}

#[test]
fn how_it_ended_is_told_by_the_next_leader_too() {
    let mut before = World::new(1, &["a"]);
    fall(&mut before, 10);
    before.told();
    judged(&mut before, State::Ok, Some(Course::Ended("1h has passed".into())));
    before.answer(secs(1), |_| failed());
    let entry = &before.ledger["/0"].entry;
    assert_eq!(
        (entry.base, entry.adoption().base),
        (None, None),
        "an incident that is over is measured by nothing"
    );
    let mut world = World::follower(vec![rule("/0", &["a"])], &["a"], before.ledger.clone());
    world.ok("/0");
    world.lead(2);
    let told = world.answer(secs(10), |_| Outcome::Accepted);
    assert_eq!(words(&told), ["a Resolved /0"]);
    assert_eq!(told[0].1.items[0].notes, ["1h has passed"]);
}

#[test]
fn a_new_incident_is_measured_by_its_own() {
    let mut world = World::new(1, &["a"]);
    fall(&mut world, 10);
    world.told();
    judged(&mut world, State::Ok, Some(Course::Ended("over".into())));
    world.answer(secs(1), |_| failed());
    world.error("/0");
    assert_eq!(world.told(), ["a Firing /0", "a Resolved /0"]);
    let entry = &world.ledger["/0"].entry;
    assert_eq!((entry.base, &entry.ending), (None, &None));
}

fn ended(words: &str) -> Option<Course> {
    Some(Course::Ended(words.into()))
}

/// What the one message that is told says beside the violation.
fn notes(world: &mut World) -> (Vec<String>, Vec<String>) {
    let told = world.answer(secs(10), |_| Outcome::Accepted);
    let notes =
        told.iter().flat_map(|(_, notification)| &notification.items).flat_map(|item| item.notes.clone());
    (words(&told), notes.collect())
}

#[test]
fn who_saw_the_end_while_nobody_led_says_which_it_was() {
    let mut before = World::new(1, &["a"]);
    fall(&mut before, 10);
    before.told();
    let follower = |course: Option<Course>, saw_it: bool| {
        let mut world = World::follower(vec![rule("/0", &["a"])], &["a"], before.ledger.clone());
        world.judged(EvaluatorOutput::LedgerChanged(LedgerChange::Any));
        if saw_it {
            fall(&mut world, 10);
            world.wait(secs(1));
        }
        judged(&mut world, State::Ok, course);
        world.lead(2);
        notes(&mut world)
    };
    let resolved = vec!["a Resolved /0".to_owned()];
    assert_eq!(follower(ended("1h has passed"), true), (resolved.clone(), vec!["1h has passed".to_owned()]));
    // Or who measures by what the ledger says, and finds that it is over.
    assert_eq!(follower(ended("The count is back"), false), (resolved, vec!["The count is back".to_owned()]));
}

#[test]
fn a_fall_that_came_and_went_while_nobody_led_is_told_with_its_end() {
    let mut world = World::follower(vec![rule("/0", &["a"])], &["a"], BTreeMap::new());
    world.judged(EvaluatorOutput::LedgerChanged(LedgerChange::Any));
    fall(&mut world, 10);
    world.wait(secs(1));
    judged(&mut world, State::Ok, ended("The count is back"));
    world.lead(1);
    let told = (vec!["a Late /0".to_owned()], vec!["The count is back".to_owned()]);
    assert_eq!(notes(&mut world), told);
}

/// A receiver that is behind hears how that fall ended, and not how the next did.
#[test]
fn how_each_of_two_falls_ended_is_told_with_its_own_end() {
    let mut world = World::new(1, &["a"]);
    fall(&mut world, 10);
    world.told();
    judged(&mut world, State::Ok, ended("The count is back"));
    fall(&mut world, 9);
    assert_eq!(
        notes(&mut world),
        (vec!["a Firing /0".to_owned(), "a Resolved /0".to_owned()], vec!["The count is back".to_owned()])
    );
    judged(&mut world, State::Ok, ended("1h has passed"));
    assert_eq!(notes(&mut world), (vec!["a Resolved /0".to_owned()], vec!["1h has passed".to_owned()]));
}
