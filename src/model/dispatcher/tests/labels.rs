//! What an incident is routed by stays what it was.

use std::collections::BTreeMap;

use super::*;
use crate::model::labels::Labels;
use crate::model::rule::{Rule, Terms};
use crate::model::severity::Severity;

/// A rule for `/0` of this team that tells `am`.
fn of_team(team: &str, name: Option<&str>) -> Rule {
    let labels = Labels::from_iter([("team", team)]).own;
    let severity = if team == "web" { Severity::Critical } else { Severity::Info };
    let (name, receivers) = (name.map(Into::into), vec![id("am")]);
    Rule {
        path: "/0".into(),
        terms: Arc::new(Terms { name, severity, labels, receivers, ..Terms::default() }),
    }
}

fn reload(world: &mut World, rule: Rule) {
    world.rules = Arc::new(RuleSet::new(vec![rule]));
    world.judged(EvaluatorOutput::Rules(Arc::clone(&world.rules)));
}

/// What is told within a minute and some: the kind of each item and its labels.
fn told(world: &mut World) -> Vec<String> {
    let told = world.answer(secs(70), |_| Outcome::Accepted);
    let items = told.iter().flat_map(|(_, notification)| &notification.items);
    let items = items.map(|item| {
        let labels: Vec<_> = item.labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let kind: String = format!("{:?}", item.kind).chars().take_while(|c| c.is_alphabetic()).collect();
        format!("{kind} {}", labels.join(","))
    });
    items.collect()
}

const WEB: &str = "severity=critical,team=web";
const DB: &str = "severity=info,team=db";

#[test]
fn an_incident_keeps_its_labels_through_a_reload() {
    let mut world = World::with(vec![of_team("web", None)], &["am"], BTreeMap::new());
    world.error("/0");
    assert_eq!(told(&mut world), [format!("Firing {WEB}"), format!("Refresh {WEB}")]);
    // Other labels, and a name: what Alertmanager holds is known to it by the old ones.
    reload(&mut world, of_team("db", Some("page")));
    assert_eq!(told(&mut world), [format!("Refresh {WEB}")]);
    world.ok("/0@page");
    assert_eq!(told(&mut world), [format!("Resolved {WEB}")]);
    world.error("/0@page");
    assert_eq!(told(&mut world)[0], "Firing severity=info,rule=page,team=db");
}

#[test]
fn an_incident_keeps_its_labels_through_a_takeover() {
    let mut before = World::with(vec![of_team("web", None)], &["am"], BTreeMap::new());
    before.error("/0");
    told(&mut before);
    let mut world = World::follower(vec![of_team("db", None)], &["am"], before.ledger.clone());
    world.error("/0");
    world.lead(2);
    assert_eq!(told(&mut world)[0], format!("Refresh {WEB}"));
    world.ok("/0");
    assert_eq!(told(&mut world), [format!("Resolved {WEB}")]);
}

#[test]
fn who_is_behind_hears_of_each_end_with_its_own_labels() {
    let mut world = World::with(vec![of_team("web", None)], &["am"], BTreeMap::new());
    world.error("/0");
    assert_eq!(told(&mut world)[0], format!("Firing {WEB}"));
    reload(&mut world, of_team("db", None));
    world.ok("/0");
    world.answer(secs(2), |_| failed());
    world.error("/0");
    world.answer(secs(2), |_| failed());
    // So does the next leader, which has it from the ledger.
    let mut next = World::follower(vec![of_team("db", None)], &["am"], world.ledger.clone());
    next.error("/0");
    next.lead(2);
    for world in [&mut world, &mut next] {
        assert_eq!(told(world)[..2], [format!("Resolved {WEB}"), format!("Firing {DB}")]);
        world.ok("/0");
        assert_eq!(told(world)[0], format!("Resolved {DB}"));
    }
}
