//! Observations in, judgements and snapshots out, as a story told step by step.

use std::time::{Duration, Instant, SystemTime};

use super::*;
use crate::model::alert_key::AlertKey;
use crate::model::children::Ignored;
use crate::model::children::{Children, Counted};
use crate::model::judge::Course;
use crate::model::judge::{Base, Bounds, By, Compiled, Counting, DropSpec, Specs, Where};
use crate::model::reading::{ChildReading, ChildZnode, EachRead, Recorded, Written};
use crate::model::receiver::ReceiverId;
use crate::model::rule::Rule;
use crate::model::rule::Terms;
use crate::model::server_clock::ClockSample;
use crate::model::severity::Severity;
use crate::model::transition::State;

const HOUR: Duration = Duration::from_secs(3600);

fn rule(path: &str, specs: Specs) -> Rule {
    let receivers = vec![ReceiverId("r".into())];
    let terms = Terms { specs, forget_after: HOUR, receivers, ..Terms::default() };
    Rule { path: path.into(), terms: Arc::new(terms) }
}

fn at_least(path: &str, min: u32) -> Rule {
    rule(path, Specs { children: Some(Bounds::Range { min: Some(min), max: None }), ..Specs::default() })
}

fn present(names: &[&str]) -> Reading {
    let names = names.iter().map(|name| (*name).to_owned()).collect();
    Reading::Present { children: Some(Children::new(names)), each: EachRead::Unasked, data: None }
}

struct Story {
    evaluator: Evaluator,
    now: Now,
}

impl Story {
    #[expect(clippy::disallowed_methods, reason = "a test tells the time from some moment on")]
    fn of(rules: Vec<Rule>) -> Self {
        let now = Now { mono: Instant::now(), wall: SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000) };
        Self { evaluator: Evaluator::new(Arc::new(RuleSet::new(rules)), now), now }
    }

    /// Tells one observation; gives what follows from it, in words.
    fn tell(&mut self, observation: Observation) -> Vec<String> {
        let mut out = Vec::new();
        self.evaluator.observe(observation, self.now, &mut out);
        self.show();
        out.iter().map(words).collect()
    }

    fn read(&mut self, path: &str, reading: Reading) -> Vec<String> {
        self.tell(Observation::Read { path: path.into(), reading, delay: None })
    }

    fn expand(&mut self, glob: &str) -> Vec<String> {
        self.tell(Observation::Expanded { glob: glob.into() })
    }

    fn pass(&mut self, time: Duration) -> Vec<String> {
        self.now = self.now.after(time);
        let mut out = Vec::new();
        self.evaluator.tick(self.now, &mut out);
        self.show();
        out.iter().map(words).collect()
    }

    /// What is shown next builds on this, which is checked for changes that were not noted.
    fn show(&mut self) {
        if self.evaluator.paths.len() < 100 {
            self.evaluator.snapshot();
        }
    }

    fn shown(&mut self, path: &str) -> String {
        let snapshot = self.evaluator.snapshot();
        let Some(status) = snapshot.paths.iter().find(|status| &*status.path == path) else {
            return "not shown".to_owned();
        };
        match &status.state {
            PathState::Ok => "ok".to_owned(),
            PathState::Error(words) => format!("error: {words}"),
            PathState::Unknown(words) => format!("unknown: {words}"),
        }
    }
}

fn words(judged: &EvaluatorOutput) -> String {
    match judged {
        EvaluatorOutput::Rules(_) => "rules".to_owned(),
        EvaluatorOutput::Transition(transition) => match &transition.state {
            State::Ok => format!("{} ok", transition.key),
            State::Error { message, left, .. } => {
                format!("{} {message} left {:?}", transition.key, left.names)
            }
        },
        EvaluatorOutput::Forgotten(path, _) => format!("{path} forgotten"),
        EvaluatorOutput::Stale => "stale".to_owned(),
        EvaluatorOutput::StaleAlert(path) => format!("{path} stale"),
        EvaluatorOutput::LedgerChanged(_) => "ledger changed".to_owned(),
        EvaluatorOutput::Barrier(number) => format!("barrier {number}"),
    }
}

fn lost() -> Observation {
    Observation::Down("cut".into())
}

#[test]
fn a_transition_is_told_when_the_judgement_or_its_words_change() {
    let mut story = Story::of(vec![at_least("/a", 2)]);
    assert_eq!(story.shown("/a"), "unknown: not read yet");
    story.tell(Observation::Up);
    assert!(!story.evaluator.is_ready());
    assert_eq!(story.read("/a", present(&["x", "y"])), ["/a ok"]);
    assert!(story.evaluator.is_ready());
    assert!(story.read("/a", present(&["x", "y", "z"])).is_empty());
    assert_eq!(
        story.read("/a", present(&["z"])),
        [r#"/a Found children (1) less than minimum (2) left ["x", "y"]"#]
    );
    assert!(story.read("/a", present(&["z"])).is_empty());
    assert_eq!(
        story.read("/a", Reading::Missing),
        [r#"/a Found children (0) less than minimum (2): path does not exist left ["x", "y", "z"]"#]
    );
    assert_eq!(story.shown("/a"), "error: Found children (0) less than minimum (2): path does not exist");
}

fn named(path: &str, name: &str, min: u32) -> Rule {
    let rule = at_least(path, min);
    Rule { terms: Arc::new(Terms { name: Some(name.into()), ..(*rule.terms).clone() }), ..rule }
}

#[test]
fn each_rule_of_a_path_judges_by_itself() {
    let mut story = Story::of(vec![named("/a", "warn", 3), named("/a", "page", 2)]);
    story.tell(Observation::Up);
    assert_eq!(story.read("/a", present(&["x", "y", "z"])), ["/a@warn ok", "/a@page ok"]);
    assert_eq!(
        story.read("/a", present(&["x", "y"])),
        [r#"/a@warn Found children (2) less than minimum (3) left ["z"]"#]
    );
    assert_eq!(story.shown("/a"), "error: Found children (2) less than minimum (3)");
    assert_eq!(
        story.read("/a", present(&["x"])),
        [
            r#"/a@warn Found children (1) less than minimum (3) left ["y", "z"]"#,
            r#"/a@page Found children (1) less than minimum (2) left ["y"]"#
        ]
    );
    assert_eq!(
        story.shown("/a"),
        "error: Found children (1) less than minimum (3); Found children (1) less than minimum (2)"
    );
    let status = story.evaluator.snapshot().paths.first().unwrap().clone();
    let rules: Vec<_> =
        status.particulars().rules.iter().map(|rule| (&*rule.name, rule.state == PathState::Ok)).collect();
    assert_eq!(rules, [("warn", false), ("page", false)]);
    assert_eq!(story.read("/a", Reading::Unreadable("no".into())), ["/a@warn stale", "/a@page stale"]);
    assert_eq!(story.shown("/a"), "unknown: no");
}

#[test]
fn a_path_is_as_bad_as_the_worst_rule_that_it_is_out_of_spec_by() {
    let severe = |name: &str, min, severity| {
        let rule = named("/a", name, min);
        Rule { terms: Arc::new(Terms { severity, ..(*rule.terms).clone() }), ..rule }
    };
    let mut story =
        Story::of(vec![severe("warn", 3, Severity::Warning), severe("page", 2, Severity::Critical)]);
    let severity =
        |story: &mut Story| story.evaluator.snapshot().paths.first().unwrap().particulars().severity;
    story.tell(Observation::Up);
    assert_eq!(severity(&mut story), Severity::Critical, "it would be as bad as that");
    story.read("/a", present(&["x", "y"]));
    assert_eq!(severity(&mut story), Severity::Warning);
    story.read("/a", present(&["x"]));
    assert_eq!(severity(&mut story), Severity::Critical);
}

#[test]
fn a_list_that_changes_is_judged_anew_as_a_whole() {
    let mut story = Story::of(vec![named("/a", "warn", 3)]);
    story.tell(Observation::Up);
    story.read("/a", present(&["x"]));
    let rules = |rules| Observation::Rules(Arc::new(RuleSet::new(rules)));
    assert_eq!(story.tell(rules(vec![named("/a", "warn", 3)])), ["rules"]);
    assert_eq!(
        story.tell(rules(vec![named("/a", "warn", 3), named("/a", "page", 1)])),
        ["rules", "/a@warn stale", "/a@page stale"]
    );
    assert_eq!(story.shown("/a"), "unknown: not read yet");
    assert_eq!(
        story.read("/a", present(&["x"])),
        ["/a@warn Found children (1) less than minimum (3) left []", "/a@page ok"]
    );
    assert_eq!(story.tell(rules(vec![at_least("/a", 1)])), ["rules", "/a stale"]);
}

#[test]
fn a_vanished_match_goes_with_all_its_alerts_when_the_longest_time_has_passed() {
    let long = |rule: Rule| {
        let terms = Terms { forget_after: 2 * HOUR, ..(*rule.terms).clone() };
        Rule { terms: Arc::new(terms), ..rule }
    };
    let mut story = Story::of(vec![named("/s/*", "warn", 1), long(named("/s/*", "page", 1))]);
    story.tell(Observation::Up);
    story.read("/s/a", present(&["x"]));
    assert_eq!(story.read("/s/a", Reading::Missing).len(), 2);
    assert!(story.pass(HOUR + HOUR / 2).is_empty());
    assert_eq!(story.pass(HOUR / 2), ["/s/a@warn forgotten", "/s/a@page forgotten"]);
}

#[test]
fn a_match_that_has_vanished_is_forgotten_when_its_rules_say_so_by_then() {
    let check = |next: fn(Rule) -> Rule, left: Duration| {
        let mut story = Story::of(vec![at_least("/s/*", 1)]);
        story.tell(Observation::Up);
        story.read("/s/a", present(&["x"]));
        story.read("/s/a", Reading::Missing);
        assert!(story.pass(HOUR / 2).is_empty());
        story.tell(Observation::Rules(Arc::new(RuleSet::new(vec![next(at_least("/s/*", 1))]))));
        const SHORT: Duration = Duration::from_millis(1);
        assert!(left < SHORT || story.pass(left - SHORT).is_empty());
        assert_eq!(story.pass(SHORT), ["/s/a forgotten"]);
        assert_eq!(story.evaluator.next_deadline(), None);
    };
    fn after(rule: Rule, forget_after: Duration) -> Rule {
        Rule { terms: Arc::new(Terms { forget_after, ..(*rule.terms).clone() }), ..rule }
    }
    check(|rule| after(rule, 3 * HOUR), 5 * HOUR / 2);
    check(|rule| after(rule, HOUR * 3 / 4), HOUR / 4);
    check(|rule| after(rule, HOUR / 4), Duration::ZERO);
    // It is judged anew, too.
    check(|_| after(at_least("/s/*", 2), 2 * HOUR), 3 * HOUR / 2);
}

#[test]
fn what_asks_only_whether_it_is_there_is_judged_where_nothing_may_be_read() {
    let absent = rule("/a", Specs { exists: Some(false), ..Specs::default() });
    let mut story = Story::of(vec![absent.clone()]);
    story.tell(Observation::Up);
    story.read("/a", Reading::Missing);
    let shut = || Reading::Shut("not authorised".into());
    assert_eq!(story.read("/a", shut()), ["/a Path exists and must not left []"]);
    assert_eq!(story.read("/a", Reading::Missing), ["/a ok"]);
    // Another rule of the same path asks for more, and is not judged.
    let name = |rule: Rule, name: &str| Rule {
        terms: Arc::new(Terms { name: Some(name.into()), ..(*rule.terms).clone() }),
        ..rule
    };
    let mut story = Story::of(vec![name(absent, "maint"), name(at_least("/a", 1), "many")]);
    story.tell(Observation::Up);
    assert_eq!(story.read("/a", shut()), ["/a@maint Path exists and must not left []", "/a@many stale"]);
}

fn may_fall(path: &str, min: Option<u32>) -> Rule {
    let bounds = min.map(|min| Bounds::Range { min: Some(min), max: None });
    let drop = Some(DropSpec { by: By::Percent(30), within: HOUR });
    rule(path, Specs { children: bounds, drop, ..Specs::default() })
}

fn so_many(count: usize) -> Reading {
    Reading::Present {
        each: EachRead::Unasked,
        children: Some(Children::new((0..count).map(|n| n.to_string()).collect())),
        data: None,
    }
}

/// How the number of children has gone, as it was told last.
fn course(story: &mut Story, observation: Observation) -> Option<Course> {
    let mut out = Vec::new();
    story.evaluator.observe(observation, story.now, &mut out);
    out.into_iter().find_map(|output| {
        let EvaluatorOutput::Transition(transition) = output else { return None };
        transition.course
    })
}

const FALLEN: &str = "Found children (6) more than 30% below 10, the most within 1h";

#[test]
fn a_number_that_falls_too_far_is_out_of_spec_until_its_time_has_passed() {
    let mut story = Story::of(vec![may_fall("/a", None)]);
    story.tell(Observation::Up);
    assert_eq!(story.read("/a", so_many(10)), ["/a ok"]);
    assert_eq!(story.shown("/a"), "ok");
    assert!(story.evaluator.next_deadline().is_none());
    assert_eq!(story.read("/a", so_many(6)), [format!(r#"/a {FALLEN} left ["6", "7", "8", "9"]"#)]);
    assert_eq!(story.shown("/a"), format!("error: {FALLEN}"));
    assert_eq!(story.evaluator.snapshot().paths.first().unwrap().particulars().most, Some(10));
    assert!(story.pass(HOUR - Duration::from_secs(1)).is_empty());
    assert_eq!(story.evaluator.next_deadline(), Some(story.now.mono + Duration::from_secs(1)));
    assert_eq!(story.pass(Duration::from_secs(1)), ["/a ok"]);
    assert!(story.evaluator.next_deadline().is_none());
    assert_eq!(story.evaluator.snapshot().paths.first().unwrap().particulars().most, Some(6));
    // What is in spec by now is what the next that leaves is told of.
    assert_eq!(story.read("/a", so_many(4)).len(), 1);
    assert_eq!(story.read("/a", so_many(5)), ["/a ok"], "it is back within 30% of 6");
    assert_eq!(story.evaluator.next_deadline(), None);
}

#[test]
fn the_other_specs_of_the_rule_hold_on_while_a_fall_passes() {
    let mut story = Story::of(vec![may_fall("/a", Some(8))]);
    story.tell(Observation::Up);
    story.read("/a", so_many(10));
    let few = "Found children (6) less than minimum (8)";
    assert!(story.read("/a", so_many(6))[0].starts_with(&format!("/a {few}; {FALLEN} left")));
    assert!(story.pass(HOUR)[0].starts_with(&format!("/a {few} left")));
    assert_eq!(story.read("/a", Reading::Missing).len(), 1);
    assert!(story.shown("/a").ends_with("more than 30% below 6, the most within 1h: path does not exist"));
}

#[test]
fn how_a_fall_ended_is_told() {
    let mut story = Story::of(vec![may_fall("/a", None)]);
    let read = |count| Observation::Read { path: "/a".into(), reading: so_many(count), delay: None };
    story.tell(Observation::Up);
    assert_eq!(course(&mut story, read(10)), None);
    let fallen = Course::Fallen(Base { most: 10, fell: story.now.wall });
    assert_eq!(course(&mut story, read(6)), Some(fallen));
    let back = Course::Ended("The count is back within 30% of 10".into());
    assert_eq!(course(&mut story, read(9)), Some(back));
}

/// The rule before it in the list has not fallen.
#[test]
fn a_rule_that_gets_another_name_goes_on_with_what_it_is_measured_by() {
    let falls = |name: &str, by: u32, minutes: u32| {
        let drop = Some(DropSpec { by: By::Count(by), within: minutes * (HOUR / 60) });
        let terms =
            Terms { name: Some(name.into()), specs: Specs { drop, ..Specs::default() }, ..Terms::default() };
        Rule { path: "/a".into(), terms: Arc::new(terms) }
    };
    let mut story = Story::of(vec![falls("slow", 9, 6000), falls("fast", 3, 60)]);
    story.tell(Observation::Up);
    story.read("/a", so_many(12));
    story.pass(HOUR / 2);
    story.read("/a", so_many(10));
    story.pass(HOUR);
    let fallen = "Found children (6) more than 3 below 10, the most within 1h left [";
    assert!(story.read("/a", so_many(6))[0].starts_with(&format!("/a@fast {fallen}")));
    let renamed = RuleSet::new(vec![falls("slow", 9, 6000), falls("quick", 3, 60)]);
    story.tell(Observation::Rules(Arc::new(renamed)));
    let told = story.read("/a", so_many(6));
    assert!(told[1].starts_with(&format!("/a@quick {fallen}")), "{told:?}");
}

#[test]
fn a_fall_lasts_through_time_in_which_nothing_is_known() {
    let mut story = Story::of(vec![may_fall("/a", None)]);
    story.tell(Observation::Up);
    story.read("/a", so_many(10));
    story.read("/a", so_many(6));
    story.tell(lost());
    assert!(story.evaluator.next_deadline().is_none() && story.pass(HOUR / 2).is_empty());
    story.tell(Observation::Up);
    assert_eq!(story.read("/a", so_many(6)).len(), 1);
    assert_eq!(story.shown("/a"), format!("error: {FALLEN}"));
    assert_eq!(story.pass(HOUR / 2), ["/a ok"]);
    // Nothing was seen for longer than that.
    story.read("/a", so_many(10));
    story.tell(lost());
    story.pass(HOUR);
    story.tell(Observation::Up);
    assert_eq!(story.read("/a", so_many(1)), ["/a ok"]);
}

#[test]
fn an_agent_that_did_not_see_a_fall_measures_by_what_the_ledger_says() {
    let adopt = |story: &Story, ago: Duration| {
        let base = Some(Base { most: 10, fell: story.now.wall - ago });
        Observation::Adopted(Adoption {
            key: AlertKey::unnamed("/a"),
            former: Vec::new(),
            since: story.now.wall - ago,
            base,
        })
    };
    let mut story = Story::of(vec![may_fall("/a", None)]);
    story.tell(Observation::Up);
    assert_eq!(story.read("/a", so_many(6)), ["/a ok"]);
    let told = adopt(&story, HOUR / 2);
    assert_eq!(story.tell(told), [format!("/a {FALLEN} left []")]);
    assert_eq!(story.pass(HOUR / 2), ["/a ok"]);
    // It may hear of it before it has read the path.
    let mut story = Story::of(vec![may_fall("/a", None)]);
    story.tell(Observation::Up);
    let told = adopt(&story, HOUR / 2);
    assert!(story.tell(told).is_empty());
    assert_eq!(story.read("/a", so_many(6)), [format!("/a {FALLEN} left []")]);
    // By now it is over.
    let mut story = Story::of(vec![may_fall("/a", None)]);
    story.tell(Observation::Up);
    story.read("/a", so_many(6));
    let told = adopt(&story, HOUR);
    assert!(story.tell(told).is_empty() || story.shown("/a") == "ok");
}

#[test]
fn a_reload_keeps_what_a_number_is_measured_by() {
    let mut story = Story::of(vec![may_fall("/a", None)]);
    story.tell(Observation::Up);
    story.read("/a", so_many(10));
    story.read("/a", so_many(6));
    story.tell(Observation::Rules(Arc::new(RuleSet::new(vec![may_fall("/a", Some(1))]))));
    assert_eq!(story.read("/a", so_many(6)).len(), 1);
    assert_eq!(story.shown("/a"), format!("error: {FALLEN}"));
}

#[test]
fn nothing_is_taken_for_known_after_the_session() {
    let mut story = Story::of(vec![at_least("/a", 1), at_least("/b", 1)]);
    story.tell(Observation::Up);
    story.read("/a", present(&["x"]));
    story.read("/b", Reading::Missing);
    assert_eq!(story.tell(lost()), ["stale"]);
    assert_eq!(story.shown("/a"), "unknown: connection to ZooKeeper lost (cut); last known: in spec");
    assert!(
        story
            .shown("/b")
            .ends_with("last known: Found children (0) less than minimum (1): path does not exist")
    );
    assert!(!story.evaluator.is_ready());
    story.tell(Observation::Up);
    assert_eq!(story.shown("/a"), "unknown: not read yet since the reconnect; last known: in spec");
    assert_eq!(
        story.read("/a", present(&["x"])),
        ["/a ok"],
        "told again, so that the alert side knows it fresh"
    );
    assert_eq!(story.shown("/a"), "ok");
}

#[test]
fn an_unreadable_path_is_unknown_and_stale() {
    let mut story = Story::of(vec![at_least("/a", 1)]);
    story.tell(Observation::Up);
    story.read("/a", present(&["x"]));
    let refusal = Reading::Unreadable("not authorised to read this path".into());
    assert_eq!(story.read("/a", refusal.clone()), ["/a stale"]);
    assert_eq!(story.shown("/a"), "unknown: not authorised to read this path");
    assert!(story.evaluator.is_ready(), "it was read, for what that is worth");
    assert_eq!(story.read("/a", present(&["x"])), ["/a ok"]);
}

#[test]
fn a_vanished_match_stays_in_error_until_it_is_forgotten() {
    let mut story = Story::of(vec![at_least("/s/*", 1)]);
    story.tell(Observation::Up);
    assert!(story.read("/s/never", Reading::Missing).is_empty());
    assert_eq!(story.read("/s/a", present(&["x"])), ["/s/a ok"]);
    assert!(!story.evaluator.is_ready());
    story.expand("/s/*");
    assert!(story.evaluator.is_ready());
    assert_eq!(story.read("/s/a", Reading::Missing).len(), 1);
    assert!(story.pass(HOUR - Duration::from_secs(1)).is_empty());
    // A reconnect in between neither resets the hour nor leaves the path unknown.
    story.tell(lost());
    story.tell(Observation::Up);
    assert!(story.shown("/s/a").starts_with("unknown"));
    assert_eq!(story.expand("/s/*").len(), 1);
    assert!(story.shown("/s/a").starts_with("error"));
    assert_eq!(story.pass(Duration::from_secs(1)), ["/s/a forgotten"]);
    assert_eq!(story.shown("/s/a"), "not shown");
}

#[test]
fn a_vanished_match_is_out_of_spec_whatever_its_rule_asks() {
    let check = |specs: Specs, expected: &str| {
        let mut story = Story::of(vec![rule("/s/*", specs)]);
        story.tell(Observation::Up);
        story.read("/s/a", present(&["x"]));
        story.read("/s/a", Reading::Missing);
        assert_eq!(story.shown("/s/a"), expected);
    };
    let max = Bounds::Range { min: None, max: Some(5) };
    check(Specs { children: Some(max), ..Specs::default() }, "error: Path does not exist");
    check(Specs { exists: Some(false), ..Specs::default() }, "ok");
    check(Specs::default(), "not shown");
}

#[test]
fn a_match_that_another_agent_saw_is_adopted() {
    let mut story = Story::of(vec![at_least("/s/*", 1)]);
    story.tell(Observation::Up);
    let since = story.now.wall - Duration::from_secs(600);
    story.tell(Observation::Adopted(Adoption {
        key: AlertKey::unnamed("/s/a"),
        former: Vec::new(),
        since,
        base: None,
    }));
    assert_eq!(story.read("/s/a", Reading::Missing).len(), 1);
    assert!(story.pass(HOUR - Duration::from_secs(601)).is_empty());
    assert_eq!(story.pass(Duration::from_secs(1)), ["/s/a forgotten"]);
}

#[test]
fn a_reload_leaves_unchanged_rules_alone() {
    let mut story = Story::of(vec![at_least("/a", 1), at_least("/b", 1), at_least("/c", 1)]);
    story.tell(Observation::Up);
    for path in ["/a", "/b", "/c"] {
        story.read(path, present(&["x"]));
    }
    let reloaded = vec![at_least("/a", 1), at_least("/b", 2), at_least("/d", 1)];
    assert_eq!(story.tell(Observation::Rules(Arc::new(RuleSet::new(reloaded)))), ["rules", "/b stale"]);
    let shown = ["/a", "/b", "/c", "/d"].map(|path| story.shown(path));
    assert_eq!(shown, ["ok", "unknown: not read yet", "not shown", "unknown: not read yet"]);
    assert!(!story.evaluator.is_ready());
    story.read("/b", present(&["x"]));
    story.read("/d", present(&["x"]));
    assert!(story.evaluator.is_ready());
}

#[test]
fn barriers_keep_their_place() {
    let mut story = Story::of(vec![at_least("/a", 1)]);
    assert_eq!(story.tell(Observation::Barrier(7)), ["barrier 7"]);
}

#[test]
fn without_rules_it_is_ready_once_there_is_a_session() {
    let mut story = Story::of(Vec::new());
    assert!(!story.evaluator.is_ready());
    story.tell(Observation::Up);
    assert!(story.evaluator.is_ready());
    story.tell(lost());
    assert!(!story.evaluator.is_ready());
}

#[test]
fn what_is_told_of_globs_tells_apart_what_is_known_and_what_is_not() {
    let mut story = Story::of(vec![at_least("/s/*", 1), at_least("/s/*/x", 1)]);
    let glob = |story: &mut Story, path: &str| {
        let snapshot = story.evaluator.snapshot();
        let status = snapshot.globs.iter().find(|status| &*status.path == path).unwrap().clone();
        (format!("{:?}", status.state), status.children)
    };
    let unknown = |why: &str| format!("Unknown(\"{why}\")");
    assert_eq!(glob(&mut story, "/s/*"), (unknown("not read yet"), Some(0)));
    story.tell(Observation::Up);
    story.read("/s/a", present(&["x"]));
    story.expand("/s/*");
    assert_eq!(glob(&mut story, "/s/*"), ("Ok".to_owned(), Some(1)));
    story.expand("/s/*/x");
    assert!(story.evaluator.is_ready());
    story.tell(Observation::Unlisted { place: "/s/a".into(), reason: "no".into() });
    assert_eq!(glob(&mut story, "/s/*"), ("Ok".to_owned(), Some(1)), "its places are others");
    assert_eq!(glob(&mut story, "/s/*/x").0, "Ok", "and there it is a fixed level");
    assert!(!story.evaluator.is_ready());
    story.tell(Observation::Listed { place: "/s/a".into() });
    story.tell(Observation::Unlisted { place: "/s".into(), reason: "no".into() });
    assert_eq!(glob(&mut story, "/s/*").0, unknown("/s cannot be listed: no"));
    assert_eq!(glob(&mut story, "/s/*/x").0, unknown("/s cannot be listed: no"));
    story.tell(lost());
    assert_eq!(glob(&mut story, "/s/*").0, unknown("connection to ZooKeeper lost (cut)"));
    story.tell(Observation::Up);
    assert_eq!(glob(&mut story, "/s/*").0, unknown("not read yet"), "a new session may list it");
}

#[test]
fn a_match_that_vanished_is_unknown_while_its_place_cannot_be_listed() {
    let mut story = Story::of(vec![at_least("/s/*", 1), at_least("/s/named", 1)]);
    story.tell(Observation::Up);
    for path in ["/s/a", "/s/b", "/s/named"] {
        story.read(path, present(&["x"]));
    }
    story.expand("/s/*");
    story.read("/s/a", Reading::Missing);
    let shut = Observation::Unlisted { place: "/s".into(), reason: "no".into() };
    assert_eq!(story.tell(shut.clone()), ["/s/a stale"], "one that is there is watched by itself");
    assert_eq!(story.shown("/s/a"), "unknown: /s cannot be listed: no");
    // The next session finds it so, and one that was there is gone meanwhile for all that is known.
    story.tell(lost());
    story.tell(Observation::Up);
    story.tell(shut);
    story.read("/s/named", present(&["x"]));
    assert_eq!(story.expand("/s/*"), ["/s/a stale", "/s/b stale"]);
    story.read("/s/b", present(&["x"]));
    assert_eq!(story.tell(Observation::Listed { place: "/s".into() }).len(), 1);
    assert!(story.shown("/s/a").starts_with("error"));
    assert_eq!(story.shown("/s/b"), "ok");
    // What it is forgotten by did not begin anew.
    assert_eq!(story.pass(HOUR), ["/s/a forgotten"]);
}

#[test]
fn a_rule_that_judges_otherwise_makes_a_judgement_stale_and_says_so() {
    let rules = |rules: Vec<Rule>| Observation::Rules(Arc::new(RuleSet::new(rules)));
    let mut story = Story::of(vec![at_least("/s/*", 1)]);
    story.tell(Observation::Up);
    story.read("/s/a", present(&[]));
    story.read("/s/gone", present(&["x"]));
    story.read("/s/gone", Reading::Missing);
    story.expand("/s/*");
    // The same specs by another glob: nothing is stale.
    assert_eq!(story.tell(rules(vec![at_least("/*/*", 1)])), ["rules"]);
    assert!(story.shown("/s/a").starts_with("error"));
    // A rule that names the path judges its absence otherwise than a glob.
    let named = vec![at_least("/*/*", 1), at_least("/s/a", 1)];
    assert_eq!(story.tell(rules(named)), ["rules", "/s/a stale"]);
    assert_eq!(story.read("/s/a", present(&[])).len(), 1, "told again, though nothing has changed");
    // Other specs: one that is gone is judged at once, as nothing will be read of it.
    let told = story.tell(rules(vec![at_least("/s/*", 2)]));
    assert_eq!(told[..3], ["rules", "/s/a stale", "/s/gone stale"]);
    assert_eq!(told[3..].len(), 1);
    assert!(told[3].starts_with("/s/gone Found children (0) less than minimum (2)"), "{told:?}");
    story.tell(lost());
    let told = story.tell(rules(vec![at_least("/s/*", 3)]));
    assert_eq!(told, ["rules", "/s/a stale", "/s/gone stale"], "without a session nothing is known");
}

#[test]
fn a_vanished_match_of_which_a_new_rule_asks_nothing_is_forgotten() {
    let mut story = Story::of(vec![at_least("/s/*", 1)]);
    story.tell(Observation::Up);
    story.read("/s/a", present(&["x"]));
    story.read("/s/a", Reading::Missing);
    story.expand("/s/*");
    let told = story.tell(Observation::Rules(Arc::new(RuleSet::new(vec![rule("/s/*", Specs::default())]))));
    assert_eq!(told, ["rules", "/s/a stale", "/s/a forgotten"]);
    assert_eq!(story.evaluator.next_deadline(), None);
}

#[test]
fn what_changed_by_a_reload_counts_from_then() {
    let mut story = Story::of(vec![at_least("/s/*", 1)]);
    story.tell(Observation::Up);
    story.read("/s/a", present(&["x"]));
    story.pass(HOUR * 100);
    story.tell(Observation::Rules(Arc::new(RuleSet::new(vec![at_least("/s/*", 2)]))));
    story.read("/s/a", Reading::Missing);
    assert_eq!(story.evaluator.next_deadline(), Some(story.now.mono + HOUR), "not from when it was in spec");
}

#[test]
fn a_name_that_is_too_long_is_never_judged() {
    let long = format!("/s/{}", "x".repeat(LONGEST - 2));
    let fits = &long[..LONGEST];
    let mut story = Story::of(vec![at_least("/s/*", 1), rule("/t/*", Specs::default())]);
    story.tell(Observation::Up);
    assert_eq!(story.read(&long, present(&[])), [format!("{long} stale")]);
    assert!(story.shown(&long).starts_with("unknown: name too long: 4097 bytes"));
    assert_eq!(story.read(&long, Reading::Missing), [format!("{long} forgotten")]);
    assert_eq!(story.read(fits, present(&[])).len(), 1);
    assert!(story.shown(fits).starts_with("error"));
    assert_eq!(story.read(fits, Reading::Missing).len(), 1);
    assert!(story.read("/t/never", Reading::Missing).is_empty());
}

#[test]
fn so_many_vanished_matches_are_remembered() {
    let mut story = Story::of(vec![at_least("/s/*", 1)]);
    story.tell(Observation::Up);
    for number in 0..VANISHED {
        let path = format!("/s/{number}");
        story.read(&path, present(&["x"]));
        assert_eq!(story.read(&path, Reading::Missing).len(), 1);
        story.now = story.now.after(Duration::from_millis(1));
    }
    story.read("/s/last", present(&["x"]));
    let told = story.read("/s/last", Reading::Missing);
    assert_eq!(told[1..], ["/s/0 forgotten"]);
    assert_eq!(story.evaluator.snapshot().paths.len(), VANISHED);
}

#[test]
fn the_snapshot_counts() {
    let mut story = Story::of(vec![at_least("/a", 1)]);
    story.tell(Observation::Up);
    let read = |story: &mut Story, reading, delay| {
        story.tell(Observation::Read { path: "/a".into(), reading, delay });
    };
    read(&mut story, present(&["x"]), None);
    let began = story.now.wall;
    story.now = story.now.after(HOUR);
    read(&mut story, present(&["x", "y"]), Some(Duration::from_millis(3)));
    let snapshot = story.evaluator.snapshot();
    assert_eq!((snapshot.transitions, snapshot.paths.first().unwrap().since), (0, began));
    assert_eq!(snapshot.paths.first().unwrap().children, Some(2));
    read(&mut story, Reading::Missing, None);
    let snapshot = story.evaluator.snapshot();
    assert_eq!((snapshot.transitions, snapshot.paths.first().unwrap().since), (1, story.now.wall));
    assert_eq!(snapshot.paths.first().unwrap().children, Some(0));
    assert_eq!(snapshot.watch_latency.counts.iter().sum::<u64>(), 1);
    read(&mut story, Reading::Unreadable("no".into()), None);
    let unreadable_since = story.now.wall;
    story.now = story.now.after(HOUR);
    read(&mut story, Reading::Unreadable("still no".into()), None);
    assert_eq!(story.evaluator.snapshot().paths.first().unwrap().since, unreadable_since);
}

#[test]
fn a_reload_keeps_what_is_known_of_globs_that_stay() {
    let mut story = Story::of(vec![at_least("/s/*", 1), at_least("/t/*", 1)]);
    story.tell(Observation::Up);
    story.expand("/s/*");
    story.expand("/t/*");
    story.tell(Observation::Rules(Arc::new(RuleSet::new(vec![at_least("/s/*", 1), at_least("/u/*", 1)]))));
    assert_eq!(expanded(&mut story), [("/s/*".into(), true), ("/u/*".into(), false)]);
    assert!(!story.evaluator.is_ready());
    story.tell(Observation::Rules(Arc::new(RuleSet::new(vec![at_least("/t/*", 1), at_least("/v/*", 1)]))));
    let states = expanded(&mut story);
    assert_eq!(states, [("/t/*".into(), false), ("/v/*".into(), false)], "it was not asked for in between");
}

fn expanded(story: &mut Story) -> Vec<(String, bool)> {
    let globs = story.evaluator.snapshot().globs;
    globs.iter().map(|glob| (glob.path.to_string(), glob.state == PathState::Ok)).collect()
}

#[test]
fn what_vanished_below_the_root_is_unknown_while_that_cannot_be_listed() {
    let mut story = Story::of(vec![at_least("/*", 1), at_least("/a/*", 1)]);
    story.tell(Observation::Up);
    for path in ["/a", "/a/b"] {
        story.read(path, present(&["x"]));
        story.read(path, Reading::Missing);
    }
    story.expand("/*");
    story.expand("/a/*");
    let told = story.tell(Observation::Unlisted { place: "/".into(), reason: "no".into() });
    assert_eq!(told, ["/a stale"], "the other is found by the listing of /a");
    assert_eq!(story.shown("/a"), "unknown: / cannot be listed: no");
    assert!(story.shown("/a/b").starts_with("error"));
    assert_eq!(story.tell(Observation::Listed { place: "/".into() }).len(), 1);
}

#[test]
fn a_path_that_never_was_is_no_vanished_match_of_a_glob_that_takes_it_over() {
    let absent = Specs { exists: Some(false), ..Specs::default() };
    let mut story = Story::of(vec![rule("/h/a", absent.clone()), rule("/h/b", absent), at_least("/h/c", 1)]);
    story.tell(Observation::Up);
    story.read("/h/a", Reading::Missing);
    story.read("/h/b", present(&[]));
    story.read("/h/c", Reading::Missing);
    let told = story.tell(Observation::Rules(Arc::new(RuleSet::new(vec![at_least("/h/*", 0)]))));
    assert_eq!(told, ["rules", "/h/a forgotten", "/h/b stale", "/h/c stale"]);
    assert!(story.read("/h/a", Reading::Missing).is_empty());
    assert_eq!(story.shown("/h/a"), "not shown");
    assert_eq!(story.read("/h/b", present(&[])), ["/h/b ok"]);
    assert_eq!(story.read("/h/c", Reading::Missing).len(), 1, "it was out of spec, and stays so");
}

#[test]
fn a_path_is_in_its_state_since_it_was_found_in_it() {
    let mut story = Story::of(vec![at_least("/a", 1), at_least("/s/*", 0)]);
    let adopted = story.now.wall - HOUR;
    story.tell(Observation::Adopted(Adoption {
        key: AlertKey::unnamed("/s/gone"),
        former: Vec::new(),
        since: adopted,
        base: None,
    }));
    story.tell(Observation::Up);
    story.pass(HOUR / 2);
    story.read("/a", Reading::Missing);
    story.read("/s/there", present(&[]));
    let first_read = story.now.wall;
    assert_eq!(
        since(&mut story),
        [("/a".into(), first_read), ("/s/gone".into(), adopted), ("/s/there".into(), first_read)]
    );
    story.pass(HOUR / 2);
    story.read("/s/there", Reading::Missing);
    story.expand("/s/*");
    let vanished = story.now.wall;
    assert_eq!(
        since(&mut story),
        [("/a".into(), first_read), ("/s/gone".into(), adopted), ("/s/there".into(), vanished)]
    );
}

fn since(story: &mut Story) -> Vec<(String, SystemTime)> {
    let paths = story.evaluator.snapshot().paths;
    paths.iter().map(|status| (status.path.to_string(), status.since)).collect()
}

#[test]
fn what_was_counted_is_shown() {
    let only = Where { ephemeral: Some(true), ..Where::default() };
    let specs = Specs {
        children: Some(Bounds::Range { min: Some(2), max: None }),
        counting: Counting { only, distinct: None },
        ..Specs::default()
    };
    let mut story = Story::of(vec![rule("/a", specs)]);
    story.tell(Observation::Up);
    let child = |name: &str, ephemeral| ChildReading {
        name: name.into(),
        znode: Ok(ChildZnode { ephemeral, written: None }),
    };
    let read = |owned| Reading::Present {
        children: Some(Children::new(vec!["x".to_owned(), "y".to_owned()])),
        each: EachRead::Read([child("x", true), child("y", owned)].into()),
        data: None,
    };
    story.read("/a", read(true));
    let counted = |story: &mut Story| {
        story.evaluator.snapshot().paths.first().unwrap().particulars().counted.as_deref().cloned()
    };
    let all = Counted { counted: 2, of: 2, ignored: Box::default() };
    assert_eq!((story.shown("/a"), counted(&mut story)), ("ok".to_owned(), Some(all)));
    story.read("/a", read(false));
    let ignored = Ignored { name: "y".into(), reason: "not ephemeral".into() };
    let one = Counted { counted: 1, of: 2, ignored: [ignored].into() };
    assert_eq!(counted(&mut story), Some(one));
    assert_eq!(story.shown("/a"), "error: Found children (1 of 2) less than minimum (2)");
}

#[test]
fn a_fall_is_one_of_those_that_count() {
    let only = Where {
        name: Some(Compiled { source: "^w".into(), run: Arc::new(|name| name[0] == b'w') }),
        ..Where::default()
    };
    let specs = Specs {
        drop: Some(DropSpec { by: By::Count(1), within: HOUR }),
        counting: Counting { only, distinct: None },
        ..Specs::default()
    };
    let mut story = Story::of(vec![rule("/a", specs)]);
    story.tell(Observation::Up);
    assert_eq!(story.read("/a", present(&["w1", "w2", "w3", "x"])), ["/a ok"]);
    story.read("/a", present(&["w1", "x", "y", "z"]));
    assert_eq!(story.shown("/a"), "error: Found children (1) more than 1 below 3, the most within 1h");
}

impl Story {
    /// A write shows that it is so many seconds later at ZooKeeper than here.
    fn write(&mut self, ahead: u64) -> Vec<String> {
        let Now { mono, wall } = self.now;
        let written = wall + Duration::from_secs(ahead);
        self.tell(Observation::Clock(ClockSample { sent: mono, answered: mono, written }))
    }

    /// The path was written so many seconds ago, by a clock that is so many ahead.
    fn read_written(&mut self, path: &str, ago: u64, ahead: u64) -> Vec<String> {
        let at = self.now.wall + Duration::from_secs(ahead) - Duration::from_secs(ago);
        let data = Some(Written { at, data: Box::from(*b"x") });
        self.read(path, Reading::Present { children: None, each: EachRead::Unasked, data })
    }
}

fn written_within(path: &str, seconds: u64) -> Rule {
    rule(path, Specs { max_age: Some(Duration::from_secs(seconds)), ..Specs::default() })
}

#[test]
fn what_is_not_written_again_in_time_is_out_of_spec_without_an_event() {
    let second = Duration::from_secs(1);
    let mut story = Story::of(vec![written_within("/cron", 600)]);
    story.tell(Observation::Up);
    // ZooKeeper's clock is five minutes ahead, and that is known before anything is judged by it.
    assert_eq!(story.read_written("/cron", 10, 300), ["/cron stale"]);
    let unknown = "unknown: this agent has not written to ZooKeeper yet, which tells the time there";
    assert_eq!(story.shown("/cron"), unknown);
    assert_eq!(story.write(300), ["/cron ok"]);
    assert!(story.pass(590 * second).is_empty());
    let told = story.pass(second);
    assert_eq!(told, ["/cron Not written for 10m, at most 10m left []"]);
    // It is told of again as it grows older, and a write of another znode changes nothing.
    assert!(story.write(300).is_empty());
    assert!(story.pass(100 * second).is_empty());
    assert_eq!(story.pass(60 * second), ["/cron Not written for 12m, at most 10m left []"]);
    assert_eq!(story.read_written("/cron", 0, 300), ["/cron ok"]);
    assert!(story.pass(600 * second).is_empty());
    assert_eq!(story.pass(10 * second).len(), 1);
}

#[test]
fn when_a_clock_is_set_ages_are_judged_by_it_at_once() {
    let second = Duration::from_secs(1);
    let mut story = Story::of(vec![written_within("/cron", 600)]);
    story.tell(Observation::Up);
    assert!(story.write(0).is_empty());
    assert_eq!(story.read_written("/cron", 0, 0), ["/cron ok"]);
    assert_eq!(story.write(900), ["/cron Not written for 15m, at most 10m left []"]);
    assert_eq!(story.write(1), ["/cron ok"]);
    assert!(story.pass(590 * second).is_empty());
    // A session that is over tells nothing of what time does.
    story.tell(Observation::Down("gone".into()));
    assert!(story.pass(60 * second).is_empty());
    story.tell(Observation::Up);
    assert!(story.write(1).is_empty());
    assert_eq!(story.read_written("/cron", 700, 1), ["/cron Not written for 11m, at most 10m left []"]);
}

/// A heartbeat tells the time every second or two: what it does not change is not shown anew.
#[test]
fn a_clock_that_is_right_changes_nothing_that_is_shown() {
    let second = Duration::from_secs(1);
    let mut story = Story::of(vec![written_within("/cron", 600), at_least("/a", 1)]);
    story.tell(Observation::Up);
    story.write(0);
    story.read_written("/cron", 0, 0);
    assert!(story.evaluator.take_changed() && !story.evaluator.take_changed());
    assert!(story.pass(second).is_empty() && story.write(0).is_empty());
    assert!(!story.evaluator.take_changed());
    // It is otherwise if ages are judged anew, by the clock or by time, though what is told stays the same.
    assert!(story.write(10).is_empty());
    assert!(story.evaluator.take_changed());
    assert_eq!(story.pass(600 * second).len(), 1);
    assert!(story.evaluator.take_changed());
}

/// What was recorded since, as the journal tells it: the path, whether its content is in spec, and whether it is no change.
fn recorded(story: &mut Story) -> Vec<(String, Option<bool>, bool)> {
    let records = story.evaluator.take_records().into_iter();
    let words = records.filter_map(|what| {
        let What::Reading { path, recorded, first } = what else { return None };
        let Recorded::Present { rules, .. } = recorded else { return None };
        Some((path.to_string(), rules.first().and_then(|rule| rule.content), first))
    });
    words.collect()
}

#[test]
fn a_reading_is_recorded_when_it_or_by_time_alone_what_it_means_is_another() {
    let second = Duration::from_secs(1);
    let mut story = Story::of(vec![written_within("/cron", 600), at_least("/a", 1)]);
    story.evaluator = story.evaluator.recording();
    story.tell(Observation::Up);
    story.write(0);
    let record = |path: &str, content, first| vec![(path.to_owned(), content, first)];
    story.read_written("/cron", 0, 0);
    assert_eq!(recorded(&mut story), record("/cron", Some(true), true));
    story.pass(601 * second);
    assert_eq!(recorded(&mut story), record("/cron", Some(false), false));
    story.read("/a", present(&["x"]));
    assert_eq!(recorded(&mut story), record("/a", None, true));
    story.read("/a", present(&["y"]));
    assert_eq!(recorded(&mut story), [], "as many children");
    story.read("/a", present(&[]));
    assert_eq!(recorded(&mut story), record("/a", None, false));
    // What is out of spec is recorded again on the next session, and what is in spec is not.
    story.read_written("/cron", 0, 0);
    assert_eq!(recorded(&mut story), record("/cron", Some(true), false));
    story.tell(Observation::Up);
    story.write(0);
    story.read("/a", present(&[]));
    assert_eq!(recorded(&mut story), record("/a", None, true));
    story.read_written("/cron", 0, 0);
    assert_eq!(recorded(&mut story), []);
}
