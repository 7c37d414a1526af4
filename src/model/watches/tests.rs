//! What the simulation cannot tell apart: words, times, and the order of calls.

use std::collections::BTreeMap;

use super::verification::GRACE;
use super::*;
use crate::clock;
use crate::model::alert_key::AlertKey;
use crate::model::judge::{Bounds, Counting, DataSpec, EachChild, Specs, Where};
use crate::model::reading::{ChildReading, ChildZnode, EachRead, Written};
use crate::model::rule::{Rule, Terms};

const REREAD: Duration = Duration::from_secs(100);

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn rule(path: &str, specs: Specs) -> Rule {
    Rule { path: path.into(), terms: Arc::new(Terms { specs, ..Terms::default() }) }
}

fn some_children() -> Specs {
    Specs { children: Some(Bounds::Equals(1)), ..Specs::default() }
}

fn present(names: &[&str]) -> Option<Reading> {
    let names = names.iter().map(|name| (*name).to_owned()).collect();
    Some(Reading::Present { children: Some(Children::new(names)), each: EachRead::Unasked, data: None })
}

/// Data, and when it was written.
fn x() -> Written {
    Written { at: std::time::SystemTime::UNIX_EPOCH, data: Box::from(*b"x") }
}

fn shut() -> Option<Reading> {
    Some(Reading::Unreadable("no".into()))
}

struct Story {
    machine: Watches,
    start: Instant,
    now: Instant,
    /// What was asked for and not answered, by path.
    asked: BTreeMap<Arc<str>, Request>,
}

impl Story {
    fn of(rules: Vec<Rule>) -> Self {
        let start = clock::mono();
        let machine = Watches::new("/ledger".into(), REREAD, start);
        let mut story = Self { machine, start, now: start, asked: BTreeMap::new() };
        story.hear(Input::Rules(Arc::new(RuleSet::new(rules))));
        story
    }

    /// Gives what follows but requests, in words.
    fn hear(&mut self, input: Input) -> Vec<String> {
        let mut told = Vec::new();
        for effect in self.machine.handle(input, self.now) {
            match effect {
                Effect::Read(request) => {
                    let before = self.asked.insert(Arc::clone(&request.path), request);
                    assert!(before.is_none(), "asked for while it was being read: {before:?}");
                }
                Effect::Observe(observation) => told.extend(words(&observation)),
                Effect::Armed => told.push("armed".to_owned()),
                Effect::Log(event) => told.push(format!("{event:?}")),
            }
        }
        told
    }

    fn up(&mut self) -> Vec<String> {
        self.asked.clear();
        self.hear(Input::Up)
    }

    fn ring(&mut self, path: &str) -> Vec<String> {
        self.hear(Input::Rang { path: path.into(), at: self.now })
    }

    fn answer(&mut self, path: &str, reading: Option<Reading>) -> Vec<String> {
        let request = self.asked.remove(path).unwrap_or_else(|| panic!("{path} was not asked for"));
        self.hear(Input::Answered { ticket: request.ticket, path: request.path, reading })
    }

    fn pass(&mut self, time: Duration) -> Vec<String> {
        self.now += time;
        self.hear(Input::Tick)
    }

    fn wants(&self, path: &str) -> Wants {
        self.asked[path].wants
    }

    fn asked(&self) -> Vec<&str> {
        self.asked.keys().map(|path| &**path).collect()
    }

    /// Passes time until the path is asked for; how long that took.
    fn until_asked(&mut self, path: &str) -> Duration {
        let began = self.now;
        while !self.asked.contains_key(path) {
            let deadline = self.machine.next_deadline().expect("something is due");
            assert!(deadline <= began + REREAD * 2, "nothing is asked for");
            self.now = self.now.max(deadline);
            self.hear(Input::Tick);
        }
        self.now - began
    }
}

fn words(observation: &Observation) -> Option<String> {
    Some(match observation {
        Observation::Rules(_) | Observation::Up => return None,
        Observation::Armed(_) | Observation::Clock(_) => return None,
        Observation::Down(reason) => format!("down: {reason}"),
        Observation::Read { path, reading, delay } => {
            let what = match reading {
                Reading::Missing => "missing",
                Reading::Present { .. } => "present",
                Reading::Shut(_) | Reading::Unreadable(_) => "unreadable",
            };
            format!("{path} {what}{}", delay.map_or(String::new(), |delay| format!(" after {delay:?}")))
        }
        Observation::Adopted(adoption) => format!("{} adopted", adoption.key),
        Observation::Expanded { glob } => format!("{glob} expanded"),
        Observation::Unlisted { place, reason } => format!("{place} unlisted: {reason}"),
        Observation::Listed { place } => format!("{place} listed"),
        Observation::LedgerChanged(LedgerChange::Any) => "any entry changed".to_owned(),
        Observation::LedgerChanged(LedgerChange::Of(alerts)) => {
            format!("entries of {:?} changed", alerts.iter().map(ToString::to_string).collect::<Vec<_>>())
        }
        Observation::LedgerChanged(LedgerChange::Unwatched) => "the ledger is not watched".to_owned(),
        Observation::Barrier(number) => format!("barrier {number}"),
    })
}

#[test]
fn a_path_is_read_told_and_read_again_when_it_rings() {
    let mut story = Story::of(vec![rule("/a", some_children())]);
    assert!(story.ring("/a").is_empty() && story.asked().is_empty(), "there is no session");
    story.up();
    assert_eq!(story.answer("/a", present(&[])), ["/a present", "armed"]);
    story.ring("/a");
    story.now += secs(2);
    assert_eq!(story.answer("/a", present(&[])), ["/a present after 2s"], "told, though it is the same");
    // An event of before the answer has it read once more; the first event is the one that counts.
    story.ring("/a");
    story.now += secs(1);
    story.ring("/a");
    story.now += secs(1);
    story.ring("/a");
    assert_eq!(story.answer("/a", present(&[])), ["/a present after 2s"]);
    assert_eq!(story.answer("/a", present(&[])), ["/a present after 1s"]);
    assert!(story.asked().is_empty());
    assert_eq!(story.hear(Input::Down("cut".into())), ["down: cut"]);
    story.up();
    assert_eq!(story.answer("/a", present(&[])), ["/a present", "armed"], "told anew on each session");
}

#[test]
fn an_answer_of_an_earlier_session_counts_for_nothing() {
    let mut story = Story::of(vec![rule("/a", some_children())]);
    story.up();
    let old = story.asked["/a"].clone();
    story.hear(Input::Down("cut".into()));
    assert!(story.hear(Input::Answered { ticket: old.ticket, path: old.path, reading: None }).is_empty());
    story.up();
    let late = Input::Answered { ticket: old.ticket, path: "/a".into(), reading: present(&[]) };
    assert!(story.hear(late).is_empty());
    assert_eq!(story.answer("/a", present(&[])).len(), 2);
}

#[test]
fn what_came_and_went_is_read_again_and_pays_then() {
    let mut story = Story::of(vec![rule("/a", some_children())]);
    story.up();
    story.ring("/a");
    story.now += secs(1);
    assert!(story.answer("/a", None).is_empty());
    assert_eq!(story.answer("/a", present(&[])), ["/a present after 1s", "armed"]);
    assert!(story.asked().is_empty(), "one reading was enough for both");
}

#[test]
fn what_cannot_be_read_is_said_once_and_tried_ever_less_often() {
    let mut story = Story::of(vec![rule("/a", some_children())]);
    story.up();
    let refused = r#"Unreadable("/a", "no")"#;
    assert_eq!(story.answer("/a", shut()), ["/a unreadable", refused, "armed"]);
    for expected in [10, 20, 40, 80, 100, 100] {
        assert_eq!(story.until_asked("/a"), secs(expected));
        assert!(story.asked["/a"].in_background);
        assert!(story.answer("/a", shut()).is_empty());
    }
    story.until_asked("/a");
    assert_eq!(story.answer("/a", present(&[])), ["/a present", r#"Readable("/a")"#]);
    assert_eq!(story.pass(GRACE), [""; 0], "an ACL rings no bell, so nothing was missed");
    assert_eq!(story.until_asked("/a") + GRACE, REREAD);
    story.answer("/a", shut());
    assert_eq!(story.pass(GRACE), [r#"Missed("/a")"#], "that it went dark should have rung");
    // A new session begins with short waits.
    story.hear(Input::Down("cut".into()));
    story.up();
    story.answer("/a", shut());
    assert_eq!(story.until_asked("/a"), secs(10));
}

#[test]
fn each_path_is_verified_once_in_the_period_and_evenly_spread() {
    const COUNT: usize = 1_000;
    let path = |number: usize| format!("/p{number:03}");
    let mut story = Story::of((0..COUNT).map(|number| rule(&path(number), some_children())).collect());
    story.up();
    for number in 0..COUNT {
        story.answer(&path(number), present(&[]));
    }
    for _ in 0..2 {
        let mut most = 0;
        let mut seen = 0;
        for _ in 0..REREAD.as_secs() {
            assert_eq!(story.pass(secs(1)), [""; 0]);
            let due: Vec<String> = story.asked.keys().map(|path| path.to_string()).collect();
            most = most.max(due.len());
            seen += due.len();
            for path in due {
                assert_eq!(story.answer(&path, present(&[])), [""; 0], "what is the same is not told");
            }
        }
        assert_eq!(seen, COUNT);
        assert!(most < 30, "{most} of {COUNT} at once");
    }
}

#[test]
fn a_change_that_no_event_told_of_is_told_said_and_counted() {
    let mut story = Story::of(vec![rule("/a", some_children())]);
    story.up();
    story.answer("/a", present(&[]));
    story.until_asked("/a");
    assert_eq!(story.answer("/a", present(&["x"])), ["/a present"]);
    let almost = GRACE - Duration::from_millis(1);
    assert_eq!(story.pass(almost), [""; 0]);
    assert_eq!(story.machine.next_deadline(), Some(story.now + Duration::from_millis(1)));
    assert_eq!(story.pass(Duration::from_millis(1)), [r#"Missed("/a")"#]);
    assert_eq!(story.machine.status(story.now).missed_changes, 1);
    // One whose event comes a little later was not missed.
    story.until_asked("/a");
    story.answer("/a", present(&[]));
    story.ring("/a");
    assert_eq!(story.answer("/a", present(&[])), ["/a present after 0ns"]);
    assert_eq!(story.pass(GRACE), [""; 0]);
    // Nor one whose event came before the answer.
    story.until_asked("/a");
    story.ring("/a");
    assert_eq!(story.answer("/a", present(&["x"])), ["/a present"]);
    story.answer("/a", present(&["x"]));
    assert_eq!(story.pass(GRACE), [""; 0]);
    // Nor what belongs to a session that is over.
    story.until_asked("/a");
    story.answer("/a", present(&[]));
    story.hear(Input::Down("cut".into()));
    assert_eq!(story.pass(GRACE), [""; 0]);
    assert_eq!(story.machine.status(story.now).missed_changes, 1);
}

#[test]
fn the_oldest_reading_is_that_of_any_znode() {
    let mut story = Story::of(vec![rule("/a", some_children()), rule("/b", some_children())]);
    let oldest = |story: &Story| story.machine.status(story.now).oldest_reading;
    story.now += secs(5);
    assert_eq!(oldest(&story), Some(secs(5)), "one that was never read counts from the start");
    story.up();
    story.answer("/a", present(&[]));
    assert_eq!(oldest(&story), Some(secs(5)));
    story.answer("/b", present(&[]));
    assert_eq!(oldest(&story), Some(secs(0)));
    story.now += secs(3);
    story.ring("/a");
    story.answer("/a", present(&[]));
    assert_eq!(oldest(&story), Some(secs(3)));
    assert_eq!(Story::of(Vec::new()).machine.status(story.start).oldest_reading, None);
}

#[test]
fn a_fence_waits_for_what_rang_before_it_and_for_what_that_leads_to() {
    let mut story = Story::of(vec![rule("/a", some_children()), rule("/g/*", some_children())]);
    story.up();
    story.answer("/a", present(&[]));
    assert_eq!(story.answer("/g", present(&[])), ["/g/* expanded", "armed"]);
    story.ring("/g");
    story.hear(Input::Fence { path: "/lock".into(), barrier: 7 });
    assert_eq!(story.pass(secs(1)), [""; 0], "announced is not raised");
    assert_eq!(story.machine.fence_waits_for(), None);
    story.ring("/a");
    assert_eq!(story.ring("/lock"), [""; 0]);
    story.ring("/a");
    assert_eq!(story.machine.fence_waits_for(), Some(2));
    assert_eq!(story.answer("/g", present(&["m", "n"])), [""; 0], "its matches are new");
    assert_eq!(story.machine.fence_waits_for(), Some(3));
    story.answer("/g/n", present(&[]));
    assert_eq!(story.answer("/a", present(&[])), ["/a present after 0ns"]);
    assert_eq!(story.answer("/g/m", present(&[])), ["/g/m present", "barrier 7"]);
    assert_eq!(story.asked(), ["/a"], "what rang after the fence is not waited for");
}

#[test]
fn globs_are_told_of_again_when_a_place_can_be_listed_again() {
    let mut story = Story::of(vec![rule("/g/*", some_children())]);
    story.up();
    let refused = r#"Unreadable("/g", "no")"#;
    assert_eq!(story.answer("/g", shut()), [refused, "/g unlisted: no", "/g/* expanded", "armed"]);
    story.until_asked("/g");
    assert_eq!(story.answer("/g", present(&["m"])), [r#"Readable("/g")"#]);
    assert_eq!(story.answer("/g/m", present(&[])), ["/g/m present", "/g listed", "/g/* expanded"]);
    // A place that no glob asks for any more is listed as far as anybody cares.
    story.ring("/g");
    story.answer("/g", shut());
    let told = story.hear(Input::Rules(Arc::new(RuleSet::new(vec![rule("/g", some_children())]))));
    assert_eq!(told, ["/g listed"]);
}

fn listed(rings: u64, paths: &[&str]) -> Input {
    let alerts = paths.iter().map(|path| AlertKey::unnamed(*path)).collect();
    Input::LedgerWatched { rings, change: LedgerChange::Of(alerts) }
}

#[test]
fn the_ledger_s_changes_are_told_behind_what_was_being_read() {
    let mut story = Story::of(vec![rule("/a", some_children())]);
    story.up();
    assert_eq!(story.ring("/ledger"), [""; 0], "nobody watches it yet");
    assert_eq!(story.hear(Input::LedgerWatched { rings: 1, change: LedgerChange::Any }), [""; 0]);
    assert_eq!(story.answer("/a", present(&[])), ["/a present", "armed", "any entry changed"]);
    // The listing tells what has changed, and not the ring before it.
    story.ring("/ledger");
    story.ring("/a");
    assert_eq!(story.hear(listed(2, &["/b"])), [""; 0]);
    // Those that wait are told at once.
    story.ring("/ledger");
    assert_eq!(story.hear(listed(3, &["/c"])), [""; 0]);
    let told = ["/a present after 0ns", r#"entries of ["/b", "/c"] changed"#];
    assert_eq!(story.answer("/a", present(&[])), told);
    assert_eq!(story.hear(listed(3, &["/a"])), [r#"entries of ["/a"] changed"#], "nothing is under way");
}

#[test]
fn no_change_of_the_ledger_is_untold_at_a_takeover() {
    let mut story = Story::of(vec![rule("/a", some_children()), rule("/c", some_children())]);
    story.up();
    story.answer("/a", present(&[]));
    story.answer("/c", present(&[]));
    story.hear(listed(0, &[]));
    // It has rung and was not set again: what changed is not known, and what changed since rang no bell.
    story.hear(Input::Fence { path: "/lock".into(), barrier: 1 });
    story.ring("/ledger");
    assert_eq!(story.ring("/lock"), ["any entry changed", "barrier 1", "the ledger is not watched"]);
    // What was listed is known.
    story.hear(listed(1, &["/b"]));
    story.hear(Input::Fence { path: "/lock".into(), barrier: 2 });
    assert_eq!(story.ring("/lock"), ["barrier 2", "the ledger is not watched"]);
    // Also before what it waits for, if the fence does not.
    story.ring("/a");
    story.hear(Input::Fence { path: "/lock".into(), barrier: 3 });
    story.ring("/lock");
    story.ring("/c");
    assert_eq!(story.hear(listed(1, &["/b"])), [""; 0]);
    let told = ["/a present after 0ns", r#"entries of ["/b"] changed"#, "barrier 3"];
    assert_eq!(story.answer("/a", present(&[])), told);
    assert_eq!(story.answer("/c", present(&[])), ["/c present after 0ns"]);
    // Nothing of it outlives the session.
    story.ring("/a");
    story.ring("/ledger");
    assert_eq!(story.hear(listed(2, &["/c"])), [""; 0]);
    story.hear(Input::Down("cut".into()));
    story.up();
    story.hear(Input::Fence { path: "/lock".into(), barrier: 4 });
    story.ring("/lock");
    story.answer("/c", present(&[]));
    assert_eq!(story.answer("/a", present(&[])), ["/a present", "armed", "barrier 4"]);
}

#[test]
fn a_match_that_vanishes_is_told_and_its_watch_taken_back() {
    let mut story = Story::of(vec![rule("/g/*", some_children())]);
    story.up();
    story.answer("/g", present(&["m"]));
    assert_eq!(story.wants("/g/m").creation, Creation::Watch);
    story.answer("/g/m", present(&[]));
    story.ring("/g/m");
    assert_eq!(story.answer("/g/m", Some(Reading::Missing)), ["/g/m missing after 0ns"]);
    story.ring("/g");
    story.answer("/g", present(&[]));
    assert_eq!(story.wants("/g/m").creation, Creation::Dismiss);
    assert_eq!(story.answer("/g/m", Some(Reading::Missing)), ["/g/m missing"]);
    assert!(story.machine.table.get("/g/m").is_none());
    // One that comes back while it is dismissed is read as any other.
    story.ring("/g");
    story.answer("/g", present(&["m"]));
    story.answer("/g/m", present(&[]));
    story.ring("/g");
    story.answer("/g", present(&[]));
    assert_eq!(story.wants("/g/m").creation, Creation::Ignore);
    story.ring("/g");
    story.answer("/g", present(&["m"]));
    assert_eq!(story.answer("/g/m", Some(Reading::Missing)), [""; 0], "that was not made for a match");
    assert_eq!(story.wants("/g/m").creation, Creation::Watch);
}

#[test]
fn adopted_paths_are_watched_if_a_glob_matches_them() {
    let mut story = Story::of(vec![rule("/g/*", some_children()), rule("/a", some_children())]);
    story.up();
    let since = std::time::SystemTime::UNIX_EPOCH;
    let paths = ["/g/m", "/a", "/other"].map(|path| Adoption {
        key: AlertKey::unnamed(path),
        former: Vec::new(),
        since,
        base: None,
    });
    assert_eq!(story.hear(Input::Adopt(paths.into())), ["/g/m adopted"]);
    assert_eq!(story.asked(), ["/a", "/g", "/g/m"]);
}

#[test]
fn what_is_adopted_may_bear_a_name_that_its_rule_had_before() {
    let named = |name: &str| {
        let mut rule = rule("/g/*", some_children());
        Arc::make_mut(&mut rule.terms).name = Some(name.into());
        rule
    };
    let adopted = |rules, key: AlertKey, former: &[&str]| {
        let mut story = Story::of(rules);
        story.up();
        let former = former.iter().map(|name| Some((*name).into())).collect();
        let adoption = Adoption { key, former, since: std::time::SystemTime::UNIX_EPOCH, base: None };
        story.hear(Input::Adopt(vec![adoption])).iter().any(|told| told.ends_with(" adopted"))
    };
    let key = |name: &str| AlertKey { path: "/g/m".into(), name: Some(name.into()) };
    assert!(adopted(vec![named("page")], AlertKey::unnamed("/g/m"), &[]));
    assert!(adopted(vec![rule("/g/*", some_children())], key("page"), &[]));
    assert!(adopted(vec![named("page")], key("late"), &["page"]));
    assert!(!adopted(vec![named("page")], key("other"), &[]));
}

#[test]
fn an_adopted_path_that_is_missing_is_told_of_though_a_listing_leads_there() {
    let mut story = Story::of(vec![rule("/s/*/i", some_children())]);
    story.up();
    story.answer("/s", present(&["a", "b"]));
    story.answer("/s/a/i", Some(Reading::Missing));
    story.answer("/s/b/i", present(&[]));
    let since = std::time::SystemTime::UNIX_EPOCH;
    let paths = ["/s/a/i", "/s/b/i"].map(|path| Adoption {
        key: AlertKey::unnamed(path),
        former: Vec::new(),
        since,
        base: None,
    });
    assert_eq!(story.hear(Input::Adopt(paths.into())), ["/s/a/i adopted", "/s/b/i adopted"]);
    assert_eq!(story.asked(), ["/s/a/i", "/s/b/i"]);
    assert_eq!(story.answer("/s/a/i", Some(Reading::Missing)), ["/s/a/i missing"]);
}

#[test]
fn a_verification_under_way_is_waited_for_once_somebody_needs_it() {
    let mut story = Story::of(vec![rule("/a", some_children())]);
    story.up();
    story.answer("/a", present(&[]));
    story.until_asked("/a");
    let rules = vec![rule("/a", some_children()), rule("/a/*", some_children())];
    assert_eq!(story.hear(Input::Rules(Arc::new(RuleSet::new(rules)))), [""; 0]);
    assert_eq!(story.answer("/a", present(&["m"]))[1..], [""; 0], "its match is new");
    assert_eq!(story.answer("/a/m", present(&[])), ["/a/m present", "/a/* expanded"]);
}

#[test]
fn only_what_came_into_a_listing_is_read() {
    let mut story = Story::of(vec![rule("/g/*", some_children())]);
    story.up();
    story.answer("/g", present(&["b", "c", "e"]));
    assert_eq!(story.machine.table.len(), 4);
    for name in ["b", "c", "e"] {
        story.answer(&format!("/g/{name}"), present(&[]));
    }
    story.ring("/g");
    story.answer("/g", present(&["a", "c", "d", "e", "f"]));
    assert_eq!(story.asked(), ["/g/a", "/g/b", "/g/d", "/g/f"], "and what left it, which may be gone");
}

#[test]
fn what_an_event_or_a_listing_asks_for_is_not_in_the_background() {
    let mut story = Story::of(vec![rule("/a", some_children())]);
    story.up();
    assert!(!story.asked["/a"].in_background);
    story.answer("/a", present(&[]));
    story.ring("/a");
    assert!(!story.asked["/a"].in_background);
    story.answer("/a", present(&[]));
    story.until_asked("/a");
    assert!(story.asked["/a"].in_background);
}

#[test]
fn a_path_is_still_verified_after_another_was_scheduled_anew_many_times() {
    let mut story = Story::of(vec![rule("/a", some_children()), rule("/b", some_children())]);
    story.up();
    story.answer("/b", present(&[]));
    story.answer("/a", shut());
    for _ in 0..1_200 {
        story.ring("/a");
        story.answer("/a", shut());
    }
    story.ring("/a");
    story.until_asked("/b");
}

#[test]
fn a_watch_that_an_unaccepted_reading_may_have_left_is_taken_back() {
    let mut story = Story::of(vec![rule("/g/*", some_children())]);
    story.up();
    story.answer("/g", present(&["m"]));
    story.ring("/g");
    story.answer("/g", present(&[]));
    assert_eq!(story.answer("/g/m", None), [""; 0], "it came and went while it was read");
    assert_eq!(story.wants("/g/m").creation, Creation::Unwatch);
}

#[test]
fn few_verifications_are_under_way_at_once() {
    let path = |number: usize| format!("/p{number:03}");
    let mut story = Story::of((0..500).map(|number| rule(&path(number), some_children())).collect());
    story.up();
    for number in 0..500 {
        story.answer(&path(number), present(&[]));
    }
    story.pass(REREAD);
    assert_eq!(story.asked().len(), 16);
    assert_eq!(story.machine.next_deadline(), None, "the next begins when one of them is answered");
    let first = story.asked()[0].to_owned();
    story.answer(&first, present(&[]));
    assert_eq!(story.asked().len(), 16);
    story.hear(Input::Down("cut".into()));
    assert!(story.machine.next_deadline().is_some());
}

#[test]
fn a_reload_has_read_what_is_new_or_judged_otherwise() {
    let data = Specs { data: Some(DataSpec::Equals("x".into())), ..Specs::default() };
    let rules = |rules: Vec<Rule>| Input::Rules(Arc::new(RuleSet::new(rules)));
    let mut story = Story::of(vec![rule("/a", some_children()), rule("/b", some_children())]);
    story.up();
    story.answer("/a", present(&[]));
    story.answer("/b", present(&[]));
    story.hear(rules(vec![rule("/a", some_children()), rule("/b", data), rule("/c", some_children())]));
    assert_eq!(story.asked(), ["/b", "/c"]);
    assert!(story.wants("/b").data && !story.wants("/b").children);
    // One that is not asked for any more is forgotten with what was asked of it, and no fence waits for it.
    story.hear(Input::Fence { path: "/lock".into(), barrier: 1 });
    story.ring("/lock");
    assert_eq!(story.hear(rules(vec![rule("/a", some_children())])), ["barrier 1"]);
}

#[test]
fn wants_cover_what_is_no_more_than_them() {
    use Creation::{Dismiss, Ignore, Unwatch, Watch};
    let check = |made: Creation, wanted: [bool; 4]| {
        for (other, expected) in [Ignore, Watch, Unwatch, Dismiss].into_iter().zip(wanted) {
            let wants = |creation| Wants { creation, ..Wants::default() };
            assert_eq!(wants(made).cover(wants(other)), expected, "{made:?} {other:?}");
        }
    };
    check(Ignore, [true, false, true, true]);
    check(Watch, [true, true, true, true]);
    check(Unwatch, [true, false, true, true]);
    check(Dismiss, [false, false, false, true]);
    let parts = |children, data| Wants { children, data, creation: Ignore, ..Wants::default() };
    for (made, other, expected) in [
        ((true, true), (true, true), true),
        ((true, false), (true, true), false),
        ((false, true), (true, true), false),
        ((false, true), (false, true), true),
        ((false, true), (true, false), false),
        ((true, false), (false, false), true),
    ] {
        assert_eq!(parts(made.0, made.1).cover(parts(other.0, other.1)), expected, "{made:?} {other:?}");
    }
    let all = [EachChild::Nothing, EachChild::Stat, EachChild::Data];
    let each = |number: usize| Wants { each_child: all[number], ..parts(true, true) };
    for (made, other) in (0..3).flat_map(|made| (0..3).map(move |other| (made, other))) {
        assert_eq!(each(made).cover(each(other)), made >= other, "{made} {other}");
    }
}

/// The calls of a reading, each with its answer, and what it gives.
#[test]
fn a_reading_makes_no_more_calls_than_it_needs() {
    let names = || Reply::Children(Children::default());
    let data = || Reply::Data(x());
    let check = |wants: Wants, script: Vec<(Call, Reply)>, expected: Option<Reading>| {
        let mut reader = Reader::new(wants, None);
        let mut call = reader.call();
        let calls: Vec<Call> = script.iter().map(|(call, _)| call.clone()).collect();
        for (at, (wanted, reply)) in script.into_iter().enumerate() {
            assert_eq!(call, wanted, "{calls:?}");
            match reader.take(reply) {
                Step::Call(next) => call = next,
                Step::Done(reading) => {
                    assert_eq!((at + 1, reading), (calls.len(), expected.clone()), "{calls:?}");
                    return;
                }
            }
        }
        panic!("there should be no further call: {calls:?}, {call:?}");
    };
    let wants = |children, data, creation| Wants { children, data, creation, ..Wants::default() };
    let read = |children: bool, data: bool| {
        let children = children.then(Children::default);
        Some(Reading::Present { children, each: EachRead::Unasked, data: data.then(x) })
    };
    use Call::{Children as List, Data, Exists, Unwatch};
    let missing = Some(Reading::Missing);
    check(wants(true, false, Creation::Watch), vec![(List, names())], read(true, false));
    check(wants(true, true, Creation::Watch), vec![(List, names()), (Data, data())], read(true, true));
    check(wants(false, true, Creation::Watch), vec![(Data, data())], read(false, true));
    check(wants(false, false, Creation::Watch), vec![(Exists, Reply::Yes)], read(false, false));
    check(wants(false, false, Creation::Watch), vec![(Exists, Reply::Missing)], missing.clone());
    check(
        wants(true, false, Creation::Watch),
        vec![(List, Reply::Missing), (Exists, Reply::Missing)],
        missing.clone(),
    );
    check(wants(true, false, Creation::Ignore), vec![(List, Reply::Missing)], missing.clone());
    check(
        wants(true, true, Creation::Unwatch),
        vec![(List, names()), (Data, Reply::Missing), (Unwatch, Reply::Missing)],
        missing.clone(),
    );
    check(
        wants(false, false, Creation::Ignore),
        vec![(Exists, Reply::Missing), (Unwatch, Reply::Yes)],
        missing.clone(),
    );
    check(wants(true, true, Creation::Dismiss), vec![(Unwatch, Reply::Refused("no".into()))], missing);
    check(
        wants(true, true, Creation::Watch),
        vec![(List, names()), (Data, Reply::Refused("no".into()))],
        shut(),
    );
    let closed = vec![(List, Reply::Shut("no".into()))];
    check(wants(true, true, Creation::Watch), closed, Some(Reading::Shut("no".into())));
    let blink = || [(List, Reply::Missing), (Exists, Reply::Yes)];
    check(
        wants(true, false, Creation::Watch),
        blink().into_iter().chain([(List, names())]).collect(),
        read(true, false),
    );
    check(
        wants(true, false, Creation::Watch),
        blink().into_iter().chain(blink()).chain(blink()).collect(),
        None,
    );
}

/// Reads a znode with children; `answer` says what each of them is.
fn read_each(wants: Wants, names: &[&str], mut answer: impl FnMut(&str) -> Reply) -> (Vec<Call>, Reading) {
    let mut reader = Reader::new(wants, None);
    let (mut call, mut calls) = (reader.call(), Vec::new());
    loop {
        calls.push(call.clone());
        let reply = match &call {
            Call::Children => {
                Reply::Children(Children::new(names.iter().map(|name| (*name).to_owned()).collect()))
            }
            Call::Data => Reply::Data(x()),
            Call::Exists | Call::Unwatch => Reply::Yes,
            Call::ChildStat(name) | Call::ChildData(name) => answer(name),
        };
        match reader.take(reply) {
            Step::Call(next) => call = next,
            Step::Done(reading) => return (calls, reading.expect("a reading")),
        }
    }
}

fn owned(data: Option<&[u8]>) -> ChildZnode {
    let at = std::time::SystemTime::UNIX_EPOCH;
    ChildZnode { ephemeral: true, written: data.map(|data| Written { at, data: data.into() }) }
}

fn each_of(reading: &Reading) -> &EachRead {
    let Reading::Present { each, .. } = reading else { panic!("{reading:?} is not there") };
    each
}

#[test]
fn children_are_read_one_after_the_other() {
    let wants = |each_child, data| Wants { children: true, each_child, data, ..Wants::default() };
    let child = |name: &str, znode| ChildReading { name: name.into(), znode };
    let (calls, reading) =
        read_each(wants(EachChild::Stat, true), &["b", "a"], |_| Reply::Child(owned(None)));
    assert_eq!(calls, [Call::Children, Call::ChildStat("a".into()), Call::ChildStat("b".into()), Call::Data]);
    let both = [child("a", Ok(owned(None))), child("b", Ok(owned(None)))];
    assert_eq!(*each_of(&reading), EachRead::Read(both.into()));
    // One that went after it was listed is not there, and one that may not be read is said to be so.
    let (calls, reading) = read_each(wants(EachChild::Data, false), &["a", "b", "c"], |name| match name {
        "a" => Reply::Missing,
        "b" => Reply::Refused("no".into()),
        _ => Reply::Child(owned(Some(b"x"))),
    });
    assert_eq!(calls.last(), Some(&Call::ChildData("c".into())));
    let others = [child("b", Err("no".into())), child("c", Ok(owned(Some(b"x"))))];
    assert_eq!(*each_of(&reading), EachRead::Read(others.into()));
    let (_, reading) = read_each(wants(EachChild::Data, false), &[], |_| Reply::Missing);
    assert_eq!(*each_of(&reading), EachRead::Read(Box::default()));
}

#[test]
fn what_is_kept_of_children_is_bounded() {
    let wants = Wants { children: true, each_child: EachChild::Data, ..Wants::default() };
    let names: Vec<String> = (0..=EachRead::MOST).map(|number| format!("{number:05}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let (calls, reading) = read_each(wants, &names, |_| Reply::Child(owned(Some(b""))));
    assert_eq!((calls, each_of(&reading)), (vec![Call::Children], &EachRead::TooMany));
    let (calls, reading) = read_each(wants, &names[1..], |_| Reply::Child(owned(Some(b""))));
    assert_eq!(calls.len(), 1 + names.len() - 1);
    assert!(matches!(each_of(&reading), EachRead::Read(read) if read.len() == names.len() - 1));
    // A mebibyte is the most that a server takes.
    let data = vec![b'x'; 1 << 20];
    let (_, reading) = read_each(wants, &names[..20], |_| Reply::Child(owned(Some(&data))));
    let EachRead::Read(read) = each_of(&reading) else { panic!("not read") };
    let kept = read.iter().filter(|child| child.znode.is_ok()).count();
    assert_eq!((read.len(), kept), (20, 16));
    assert_eq!(read[16].znode, Err("the children before it hold 16 MiB, and no more is read".into()));
}

fn children_that_are_on() -> Specs {
    let only = Where { data: Some(DataSpec::Equals("on".into())), ..Where::default() };
    Specs { counting: Counting { only, distinct: None }, ..some_children() }
}

/// A reload in between does not make it a change that was missed.
#[test]
fn a_childs_event_explains_what_was_found_when_its_parent_was_verified() {
    let each = |data: &[u8]| {
        let read = ChildReading { name: "c".into(), znode: Ok(owned(Some(data))) };
        let (children, each) = (Some(Children::new(vec!["c".into()])), EachRead::Read([read].into()));
        Some(Reading::Present { children, each, data: None })
    };
    let mut story = Story::of(vec![rule("/p", children_that_are_on())]);
    story.up();
    story.answer("/p", each(b"on"));
    story.until_asked("/p");
    story.answer("/p", each(b"off"));
    let plain = || Input::Rules(Arc::new(RuleSet::new(vec![rule("/p", some_children())])));
    story.hear(plain());
    story.answer("/p", present(&["c"]));
    story.ring("/p/c");
    story.pass(GRACE);
    assert_eq!(story.machine.status(story.now).missed_changes, 0);
    // Nor does one that takes the parent away.
    let mut story = Story::of(vec![rule("/p", children_that_are_on())]);
    story.up();
    story.answer("/p", each(b"on"));
    story.until_asked("/p");
    story.answer("/p", each(b"off"));
    story.hear(Input::Rules(Arc::default()));
    story.ring("/p/c");
    story.pass(GRACE);
    assert_eq!(story.machine.status(story.now).missed_changes, 0);
    // The event may come before the answer.
    let mut story = Story::of(vec![rule("/p", children_that_are_on())]);
    story.up();
    story.answer("/p", each(b"on"));
    story.until_asked("/p");
    story.hear(plain());
    story.ring("/p/c");
    story.answer("/p", each(b"off"));
    story.pass(GRACE);
    assert_eq!(story.machine.status(story.now).missed_changes, 0);
    // What a child's event has nothing to do with is missed all the same.
    let mut story = Story::of(vec![rule("/p", some_children())]);
    story.up();
    story.answer("/p", present(&["c"]));
    story.until_asked("/p");
    story.answer("/p", present(&["c", "d"]));
    story.ring("/p/c");
    assert_eq!(story.pass(GRACE), [r#"Missed("/p")"#]);
}

#[test]
fn a_child_that_rings_has_its_parent_read() {
    let on = children_that_are_on();
    let only = Where { ephemeral: Some(true), ..Where::default() };
    let owned = Specs { counting: Counting { only, distinct: None }, ..some_children() };
    let mut story = Story::of(vec![rule("/p", on), rule("/q", owned), rule("/p/own", some_children())]);
    story.up();
    assert_eq!(
        [story.wants("/p").each_child, story.wants("/q").each_child],
        [EachChild::Data, EachChild::Stat]
    );
    for path in ["/p", "/q", "/p/own"] {
        story.answer(path, present(&[]));
    }
    story.ring("/p/c");
    assert_eq!(story.asked(), ["/p"]);
    // One that rings while its parent is read has it read once more.
    story.ring("/p/c");
    story.answer("/p", present(&["c"]));
    assert_eq!(story.asked(), ["/p"]);
    story.answer("/p", present(&["c"]));
    // What a child is does not change, and what is below it is not read.
    story.ring("/q/c");
    story.ring("/p/c/d");
    assert!(story.asked().is_empty());
    story.ring("/p/own");
    assert_eq!(story.asked(), ["/p", "/p/own"]);
}

/// A child that is missing is let go, and made again while its watch is taken back: that may be the one that its parent
/// left.
#[test]
fn a_child_whose_watch_was_taken_back_is_read_with_its_parent() {
    let each = |names: &[&str]| {
        let read = |name: &&str| ChildReading { name: (*name).into(), znode: Ok(owned(Some(b"on"))) };
        let each = EachRead::Read(names.iter().map(read).collect());
        let names = names.iter().map(|name| (*name).to_owned()).collect();
        Some(Reading::Present { children: Some(Children::new(names)), each, data: None })
    };
    let mut story = Story::of(vec![rule("/p", children_that_are_on()), rule("/p/*", some_children())]);
    story.up();
    story.answer("/p", each(&["b", "c"]));
    story.answer("/p/b", present(&[]));
    story.answer("/p/c", present(&[]));
    story.ring("/p/c");
    story.answer("/p/c", Some(Reading::Missing));
    story.ring("/p");
    story.answer("/p", each(&["b"]));
    assert_eq!(story.wants("/p/c").creation, Creation::Dismiss);
    story.answer("/p", each(&["b", "c"]));
    assert_eq!(story.asked(), ["/p/c"]);
    story.answer("/p/c", Some(Reading::Missing));
    assert_eq!(story.asked(), ["/p", "/p/c"]);
    let part = story.asked["/p"].part.clone().expect("b is taken over");
    let mut reader = Reader::new(story.wants("/p"), Some(part));
    assert_eq!(reader.call(), Call::ChildData("c".into()));
    assert_eq!(reader.take(Reply::Child(owned(Some(b"on")))), Step::Done(each(&["b", "c"])));
}

/// What is read of three children, of which all are kept, for what has rung.
#[test]
fn only_what_rang_is_read_again() {
    let child = |name: &str, data: &[u8]| ChildReading { name: name.into(), znode: Ok(owned(Some(data))) };
    let of = |all: Vec<ChildReading>| {
        let names = all.iter().map(|child| child.name.to_string()).collect();
        Reading::Present {
            children: Some(Children::new(names)),
            each: EachRead::Read(all.into()),
            data: None,
        }
    };
    let list = |names: &[&str]| {
        Reply::Children(Children::new(names.iter().map(|name| (*name).to_owned()).collect()))
    };
    let data = |name: &str| Call::ChildData(name.into());
    let on = || Reply::Child(owned(Some(b"on")));
    let off = || Reply::Child(owned(Some(b"off")));
    let check = |rung: &str, script: Vec<(Call, Reply)>, expected: Reading| {
        let mut story = Story::of(vec![rule("/p", children_that_are_on())]);
        story.up();
        let shut = ChildReading { name: "c".into(), znode: Err("no".into()) };
        story.answer("/p", Some(of(vec![child("a", b"on"), child("b", b"on"), shut])));
        story.ring(rung);
        let Request { wants, part, .. } = story.asked.remove("/p").expect("asked for");
        let mut reader = Reader::new(wants, part);
        for (number, (call, reply)) in script.iter().enumerate() {
            assert_eq!(reader.call(), *call, "{rung:?}, call {number}");
            match reader.take(reply.clone()) {
                Step::Call(_) => assert!(number + 1 < script.len(), "{rung:?}: one more"),
                Step::Done(reading) => {
                    assert_eq!((number + 1, reading), (script.len(), Some(expected.clone())), "{rung:?}");
                }
            }
        }
    };
    let all = || of(vec![child("a", b"on"), child("b", b"off"), child("c", b"on")]);
    // One that could not be read has no watch.
    check("/p/b", vec![(data("b"), off()), (data("c"), on())], all());
    check(
        "/p",
        vec![(Call::Children, list(&["a", "c", "d"])), (data("c"), on()), (data("d"), off())],
        of(vec![child("a", b"on"), child("c", b"on"), child("d", b"off")]),
    );
    // One that is gone says that the listing is out of date.
    check(
        "/p/a",
        vec![(data("a"), Reply::Missing), (Call::Children, list(&["b", "c"])), (data("c"), on())],
        of(vec![child("b", b"on"), child("c", b"on")]),
    );
    // One that is not known may be new.
    check(
        "/p/d",
        vec![(Call::Children, list(&["a", "b", "c", "d"])), (data("c"), on()), (data("d"), on())],
        of(["a", "b", "c", "d"].map(|name| child(name, b"on")).into()),
    );
}
