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
