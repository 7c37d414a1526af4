use super::*;
use crate::model::receiver::Outcome;

#[expect(clippy::disallowed_methods, reason = "an Instant can be made in no other way; its value is free")]
fn start() -> Now {
    Now { mono: Instant::now(), wall: SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000) }
}

fn profile(name: &str) -> Profile {
    Profile {
        id: ReceiverId(name.into()),
        name: name.into(),
        public_name: name.into(),
        kind: "email",
        digest: true,
        keyed: name == "am",
        refresh: (name == "am").then_some(Duration::from_secs(60)),
    }
}

/// An agent that is told at moments, in seconds: `up K` and `down` are of its session, `ok`, `fail`, `lost` and `no` are the
/// outcome of the oldest attempt, empty is another look at the session. What it does stands behind.
struct Story {
    blind: Blind,
    start: Now,
    place: u32,
    is_up: bool,
    attempts: Vec<(AttemptId, String)>,
}

impl Story {
    fn new(after: u64, receivers: &[&str]) -> Self {
        let speaker = Speaker { cluster: "c".into(), agent: "a".into(), instance: "i".into(), seed: 1 };
        let start = start();
        let mut blind = Blind::new(speaker, start);
        let receivers = receivers.iter().copied().map(profile).collect();
        let effects = blind.on_terms(Some(Terms { after: Duration::from_secs(after), receivers }), start);
        assert!(effects.is_empty());
        Self { blind, start, place: 0, is_up: false, attempts: Vec::new() }
    }

    fn tell(&mut self, at: u64, what: &str) -> String {
        let now = self.start.after(Duration::from_secs(at));
        let effects = match what.split_once(' ') {
            Some((_, place)) => {
                (self.place, self.is_up) = (place.parse().expect("a number"), true);
                self.blind.on_session(true, self.place, now)
            }
            None if what == "down" || what.is_empty() => {
                self.is_up &= what.is_empty();
                self.blind.on_session(self.is_up, self.place, now)
            }
            None => {
                let reason = "why".to_owned();
                let outcome = match what {
                    "ok" => Outcome::Accepted,
                    "fail" => Outcome::Failed { reason, retry_after: None },
                    "lost" => Outcome::Ambiguous { reason },
                    _ => Outcome::Refused { reason },
                };
                self.blind.on_outcome(self.attempts.remove(0).0, &outcome, now)
            }
        };
        let words = effects.into_iter().map(|effect| match effect {
            Effect::Told(message, count) => format!("{message} to {count}"),
            Effect::Failed(name, reason) => format!("{name} {reason}"),
            Effect::Attempt(attempt) => {
                let item = &attempt.notification.items[0];
                let words = format!("{} {:?} {}", attempt.receiver.0, item.kind, item.incident);
                self.attempts.push((attempt.id, words.clone()));
                words
            }
        });
        words.collect::<Vec<_>>().join(", ")
    }
}

fn check(after: u64, receivers: &[&str], script: &[(u64, &str, &str)]) {
    let mut story = Story::new(after, receivers);
    for (at, what, expected) in script {
        assert_eq!(story.tell(*at, what), *expected, "{what:?} at {at}: {:?}", story.blind);
    }
}

#[test]
fn it_is_told_once_and_so_is_its_end() {
    let told = "No ZooKeeper for 2m: nothing is watched to 1, a Firing i-blind-1";
    let script = [(1, "up 0", ""), (10, "down", ""), (129, "", ""), (130, "", told), (131, "ok", "")];
    check(120, &["a"], &script);
    let end = [(1000, "", ""), (1001, "up 0", "a Resolved i-blind-1"), (1002, "ok", ""), (9000, "", "")];
    check(120, &["a"], &[&script[..], &end].concat());
    // A short one is told to nobody, and one that never was a session is an outage too.
    check(120, &["a"], &[(1, "up 0", ""), (10, "down", ""), (100, "up 0", ""), (9000, "", "")]);
    check(120, &["a"], &[(119, "", ""), (120, "", told)]);
    // That it is back may be known no sooner than the moment at which it would be told.
    check(120, &["a"], &[(119, "", ""), (120, "up 0", ""), (9000, "", "")]);
}

#[test]
fn who_stands_further_back_waits_longer() {
    let told = "No ZooKeeper for 2m30s: nothing is watched to 1, a Firing i-blind-1";
    check(120, &["a"], &[(0, "up 2", ""), (10, "down", ""), (159, "", ""), (160, "", told)]);
}

#[test]
fn who_was_surely_not_told_hears_no_end_and_who_may_have_been_does() {
    let told = "No ZooKeeper for 1m: nothing is watched to 1, a Firing i-blind-1";
    check(60, &["a"], &[(60, "", told), (61, "fail", "a (a) why"), (61, "up 0", ""), (9000, "", "")]);
    check(60, &["a"], &[(60, "", told), (61, "no", "a (a) why"), (70, "up 0", ""), (9000, "", "")]);
    let end = "a Resolved i-blind-1";
    check(60, &["a"], &[(60, "", told), (61, "lost", "a (a) why"), (61, "up 0", end), (62, "ok", "")]);
    // The outcome comes when it is over.
    check(60, &["a"], &[(60, "", told), (61, "up 0", ""), (62, "ok", end), (63, "ok", "")]);
    check(60, &["a"], &[(60, "", told), (61, "up 0", ""), (62, "fail", "a (a) why"), (9000, "", "")]);
}

#[test]
fn what_failed_is_tried_again_later_and_the_failure_is_told_once() {
    let told = "No ZooKeeper for 1m: nothing is watched to 1, a Firing i-blind-1";
    let script = [(60, "", told), (61, "fail", "a (a) why"), (61, "", ""), (62, "", "a Firing i-blind-1")];
    check(60, &["a"], &[&script[..], &[(63, "fail", ""), (65, "", "a Firing i-blind-1")]].concat());
}

#[test]
fn who_forgets_is_told_again() {
    let told = "No ZooKeeper for 1m: nothing is watched to 1, am Firing i-blind-1";
    let again = "am Refresh i-blind-1";
    let script = [(60, "", told), (61, "ok", ""), (120, "", ""), (121, "", again), (122, "ok", "")];
    check(60, &["am"], &[&script[..], &[(130, "up 0", "am Resolved i-blind-1")]].concat());
}

#[test]
fn another_outage_is_another_incident_unless_the_last_ones_end_is_not_told_yet() {
    let (first, second) = ("a Firing i-blind-1", "a Firing i-blind-4");
    let told = |what: &str| format!("No ZooKeeper for 1m: nothing is watched to 1, {what}");
    let known = "No ZooKeeper for 1m: nothing is watched to 1";
    let begin = [(60, "", &*told(first)), (61, "ok", ""), (70, "up 0", "a Resolved i-blind-1")];
    let ended = [(71, "ok", ""), (80, "down", ""), (140, "", &*told(second))];
    check(60, &["a"], &[&begin[..], &ended].concat());
    let failing = [(71, "fail", "a (a) why"), (71, "down", "")];
    let rest = [
        (72, "", "a Resolved i-blind-1"),
        (73, "fail", ""),
        (80, "", "a Resolved i-blind-1"),
        (81, "fail", ""),
    ];
    let end = [(131, "", known), (300, "", ""), (301, "up 0", "a Resolved i-blind-1"), (302, "ok", "")];
    check(60, &["a"], &[&begin[..], &failing, &rest, &end].concat());
}

#[test]
fn who_leaves_the_configuration_hears_nothing_more() {
    let mut story = Story::new(60, &["a"]);
    story.tell(60, "");
    let now = story.start.after(Duration::from_secs(61));
    assert!(story.blind.on_terms(None, now).is_empty());
    assert_eq!(story.tell(62, "ok"), "");
    assert_eq!(story.tell(63, "up 0"), "");
    assert_eq!(story.blind.next_deadline(), None);
}
