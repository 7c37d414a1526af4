//! Observations in, judgements and snapshots out, as a story told step by step.

use std::time::{Duration, Instant, SystemTime};

use super::*;
use crate::model::receiver::ReceiverId;
use crate::model::rule::{Bounds, Specs, Terms};

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
    Reading::Present { children: Some(Children::new(names)), data: None }
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
        out.iter().map(words).collect()
    }

    fn shown(&self, path: &str) -> String {
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
            State::Ok => format!("{} ok", transition.path),
            State::Error { message, left } => format!("{} {message} left {:?}", transition.path, left.names),
        },
        EvaluatorOutput::Forgotten(path, _) => format!("{path} forgotten"),
        EvaluatorOutput::Stale => "stale".to_owned(),
        EvaluatorOutput::StalePath(path) => format!("{path} stale"),
        EvaluatorOutput::LedgerChanged => "ledger changed".to_owned(),
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
    story.tell(Observation::Adopted { path: "/s/a".into(), since });
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
