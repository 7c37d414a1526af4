//! How far the number of children may be below the most that was seen lately.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use crate::model::duration;
use crate::model::time::Now;

/// Into how many parts the time is cut: of each the most that was seen in it is remembered, so that a path takes little
/// memory however often its children come and go.
const PARTS: u32 = 64;

/// What a rule asks: not more than so much below the most that was seen within that time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DropSpec {
    /// How much.
    pub by: By,
    /// The time.
    pub within: Duration,
}

/// How far below is too far if it is more than this.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum By {
    /// Of a hundred of the most.
    Percent(u32),
    /// So many children.
    Count(u32),
}

/// `30%`, or `3`.
impl fmt::Display for By {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Percent(percent) => write!(f, "{percent}%"),
            Self::Count(count) => write!(f, "{count}"),
        }
    }
}

impl By {
    fn is_exceeded(self, found: u32, most: u32) -> bool {
        let (found, most) = (u64::from(found), u64::from(most));
        match self {
            Self::Percent(percent) => found * 100 < most * 100_u64.saturating_sub(percent.into()),
            Self::Count(count) => found + u64::from(count) < most,
        }
    }
}

/// What an open violation is measured by. The ledger keeps it as long as the incident is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Base {
    /// The most that was seen before the fall.
    pub most: u32,
    /// When the fall was.
    pub fell: SystemTime,
}

/// How the number of children has gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Course {
    /// It is too far below this.
    Fallen(Base),
    /// It was, and is not any more: for this reason, in words.
    Ended(Arc<str>),
}

/// What was seen of one path, and what it is measured by if it has fallen.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// Numbers and when each was seen last: each is later and smaller than the one before.
    past: VecDeque<(Instant, u32)>,
    /// The number that is there, since it was read; `None` while it is unknown.
    found: Option<u32>,
    /// Since when it was not unknown any more.
    sighted: Option<Instant>,
    fall: Option<Fall>,
    ended: Option<Arc<str>>,
    /// The most that a fall was from that was seen to end, and when the last did, as long as there was sight since.
    ended_from: Option<(u32, SystemTime)>,
}

#[derive(Clone, Copy, Debug)]
struct Fall {
    most: u32,
    at: Now,
}

impl Course {
    /// How it ended, in words.
    pub fn ending(&self) -> Option<&Arc<str>> {
        match self {
            Self::Fallen(_) => None,
            Self::Ended(words) => Some(words),
        }
    }
}

impl History {
    /// So many were found.
    pub fn see(&mut self, found: u32, spec: &DropSpec, now: Now) {
        if self.found.is_none() {
            self.sighted = Some(now.mono);
        }
        if self.found != Some(found) {
            self.note_past(spec, now);
        }
        self.found = Some(found);
        self.turn(spec, now);
    }

    /// How many there are is not known from now on.
    pub fn lose_sight(&mut self, spec: &DropSpec, now: Now) {
        self.note_past(spec, now);
        self.ended_from = None;
    }

    fn note_past(&mut self, spec: &DropSpec, now: Now) {
        let Some(before) = self.found.take() else { return };
        while self.past.back().is_some_and(|(_, most)| *most <= before) {
            self.past.pop_back();
        }
        let part = (spec.within / PARTS).max(Duration::from_millis(1));
        // In the same part there was more: that is what counts.
        let is_there = self.past.back().is_some_and(|(at, _)| now.mono.saturating_duration_since(*at) < part);
        if !is_there {
            self.past.push_back((now.mono, before));
        }
    }

    /// Time has passed: what was seen too long ago does not count any more.
    pub fn pass(&mut self, spec: &DropSpec, now: Now) {
        self.turn(spec, now);
    }

    /// Whoever was blind does not know when the number fell meanwhile: it counts from when there was sight again.
    fn turn(&mut self, spec: &DropSpec, now: Now) {
        let is_old = |at: Instant| now.mono.saturating_duration_since(at) >= spec.within;
        while self.past.front().is_some_and(|(at, _)| is_old(*at)) {
            self.past.pop_front();
        }
        let Some(found) = self.found else { return };
        let over = self.fall.take_if(|fall| is_old(fall.at.mono) || !spec.by.is_exceeded(found, fall.most));
        if let Some(Fall { most, .. }) = over {
            let by_count = !spec.by.is_exceeded(found, most);
            // Who has just got sight of it again may have missed other falls since.
            if self.sighted.is_some_and(|at| at < now.mono) {
                let most = self.ended_from.map_or(most, |(before, _)| before.max(most));
                self.ended_from = Some((most, now.wall));
            }
            self.ended = Some(if by_count {
                format!("The count is back within {} of {most}", spec.by).into()
            } else {
                format!("{} has passed since the fall from {most}", duration::words(spec.within)).into()
            });
        }
        let most = self.past.front().filter(|(_, most)| spec.by.is_exceeded(found, *most)).copied();
        if let (Some((seen, most)), None) = (most, self.fall) {
            // After a fall that is over by time there may have been another, from a lower number.
            let fell = self.sighted.map_or(seen, |sighted| sighted.max(seen));
            let at = if over.is_some() { now.before(fell) } else { now };
            (self.fall, self.ended) = (Some(Fall { most, at }), None);
        }
    }

    /// An incident is open for a fall that another agent saw, or this process before its start. Whoever led may have been
    /// gone before it saw that end.
    pub fn adopt(&mut self, base: Base, now: Now) {
        // A later one may be of a number that was there too briefly to be seen. What is yet to come is by another clock.
        let is_later = |ended: SystemTime| base.fell > ended && base.fell <= now.wall;
        let at = now.mono_at(base.fell);
        // Who was blind then has seen the end of another fall, from a number of before.
        let had_sight = self.sighted.is_some_and(|sighted| sighted <= at);
        let ended_from = self.ended_from.filter(|_| had_sight);
        let is_known = ended_from.is_some_and(|(most, ended)| most >= base.most && !is_later(ended));
        if self.fall.is_none() && is_known {
            return;
        }
        self.remember(at, base.most);
        let adopted = Fall { most: base.most, at: Now { mono: at, wall: base.fell } };
        let fall = self.fall.get_or_insert(adopted);
        fall.most = fall.most.max(base.most);
    }

    /// So many were there until then, as another agent says.
    fn remember(&mut self, at: Instant, most: u32) {
        self.past.retain(|(seen, other)| *seen > at || *other > most);
        let place = self.past.partition_point(|(seen, _)| *seen <= at);
        if self.past.get(place).is_none_or(|(_, other)| *other < most) {
            self.past.insert(place, (at, most));
        }
    }

    /// What it has fallen from, if it has.
    pub fn fallen_from(&self) -> Option<u32> {
        self.fall.filter(|_| self.found.is_some()).map(|fall| fall.most)
    }

    /// How it has gone; nothing if it never fell.
    pub fn course(&self) -> Option<Course> {
        let fallen = self.fall.map(|Fall { most, at }| Course::Fallen(Base { most, fell: at.wall }));
        fallen.or_else(|| self.ended.clone().map(Course::Ended))
    }

    /// The rule is broken otherwise: how an earlier fall ended has nothing to do with it.
    pub fn forget_end(&mut self) {
        self.ended = None;
    }

    /// The most that was seen within the time, or that it is measured by.
    pub fn most(&self) -> Option<u32> {
        let past = self.past.front().map(|(_, most)| *most);
        self.fall.map(|fall| fall.most).or(past.max(self.found))
    }

    /// When [`Self::pass`] ends a fall.
    pub fn deadline(&self, spec: &DropSpec) -> Option<Instant> {
        self.fall.filter(|_| self.found.is_some())?.at.mono.checked_add(spec.within)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn start() -> Now {
        Now { mono: crate::clock::mono(), wall: SystemTime::UNIX_EPOCH + 1000 * HOUR }
    }

    /// How many are found at which minute, and how that stands then: what it has fallen from, or how that ended.
    fn check(by: By, script: &[(u64, u32, &str)]) {
        let spec = DropSpec { by, within: HOUR };
        let (start, mut history) = (start(), History::default());
        for (minute, found, expected) in script {
            history.see(*found, &spec, start.after(Duration::from_secs(minute * 60)));
            assert_eq!(words(&history), *expected, "{found} in minute {minute}, {history:?}");
        }
    }

    fn words(history: &History) -> String {
        match history.course() {
            None => String::new(),
            Some(Course::Fallen(base)) => format!("below {}", base.most),
            Some(Course::Ended(words)) => words.to_string(),
        }
    }

    #[test]
    fn by_how_much_is_measured_from_the_most() {
        let percent = By::Percent(30);
        check(percent, &[(0, 10, ""), (1, 7, ""), (2, 6, "below 10")]);
        check(percent, &[(0, 10, ""), (1, 6, "below 10"), (2, 7, "The count is back within 30% of 10")]);
        check(By::Count(3), &[(0, 10, ""), (1, 7, ""), (2, 6, "below 10"), (3, 0, "below 10")]);
        check(By::Count(0), &[(0, 1, ""), (1, 0, "below 1"), (2, 1, "The count is back within 0 of 1")]);
        check(By::Percent(50), &[(0, u32::MAX, ""), (1, u32::MAX / 2, "below 4294967295")]);
        check(percent, &[(0, 0, ""), (1, 0, "")]);
    }

    #[test]
    fn what_was_seen_long_ago_does_not_count() {
        // Ten were there until minute 30.
        check(By::Percent(30), &[(0, 10, ""), (30, 8, ""), (89, 6, "below 10")]);
        check(By::Percent(30), &[(0, 10, ""), (30, 8, ""), (90, 6, "")]);
        // A number counts for as long as it is there, and not from when it was first seen.
        check(By::Percent(30), &[(0, 10, ""), (600, 6, "below 10")]);
    }

    #[test]
    fn a_fall_is_over_when_its_time_has_passed() {
        let passed = "1h has passed since the fall from 10";
        check(By::Percent(30), &[(0, 10, ""), (10, 6, "below 10"), (69, 6, "below 10"), (70, 6, passed)]);
        // The ten count until minute 65, and the fall is of minute 10: what is measured by stays.
        check(By::Percent(30), &[(0, 10, ""), (5, 8, ""), (10, 6, "below 10"), (68, 6, "below 10")]);
        // Another fall meanwhile, from a lower number, is one of its own.
        let again = "1h has passed since the fall from 6";
        check(
            By::Percent(30),
            &[(0, 10, ""), (10, 6, "below 10"), (40, 2, "below 10"), (70, 2, "below 6"), (100, 2, again)],
        );
    }

    #[test]
    fn unknown_time_is_no_sample() {
        let spec = DropSpec { by: By::Percent(30), within: HOUR };
        let at = |minute: u64| start().after(Duration::from_secs(minute * 60));
        let mut history = History::default();
        history.see(10, &spec, at(0));
        history.lose_sight(&spec, at(5));
        history.see(6, &spec, at(64));
        assert_eq!(words(&history), "below 10");
        history.lose_sight(&spec, at(65));
        assert_eq!((history.fallen_from(), history.deadline(&spec)), (None, None));
        history.see(6, &spec, at(200));
        assert_eq!(words(&history), "1h has passed since the fall from 10");
        let mut unseen = History::default();
        unseen.see(10, &spec, at(0));
        unseen.lose_sight(&spec, at(5));
        unseen.see(6, &spec, at(66));
        assert_eq!(words(&unseen), "");
    }

    #[test]
    fn what_another_agent_saw_is_measured_by() {
        let spec = DropSpec { by: By::Percent(30), within: HOUR };
        let now = start();
        let mut history = History::default();
        history.see(6, &spec, now);
        history.adopt(Base { most: 10, fell: now.wall - HOUR / 2 }, now);
        history.pass(&spec, now);
        assert_eq!((words(&history), history.most()), ("below 10".to_owned(), Some(10)));
        assert_eq!(history.deadline(&spec), Some(now.mono + HOUR / 2));
        history.pass(&spec, now.after(HOUR / 2));
        assert_eq!(words(&history), "1h has passed since the fall from 10");
        // One that is over by the count ends at once.
        let mut history = History::default();
        history.see(9, &spec, now.after(HOUR));
        history.adopt(Base { most: 10, fell: now.wall + HOUR }, now.after(HOUR));
        history.pass(&spec, now.after(HOUR));
        assert_eq!(words(&history), "The count is back within 30% of 10");
        // And what it fell from counts as long as if it had been seen.
        history.see(6, &spec, now.after(HOUR * 3 / 2));
        assert_eq!(words(&history), "below 10");
        history.see(8, &spec, now.after(HOUR * 7 / 4));
        history.see(6, &spec, now.after(HOUR * 8 / 3));
        assert_eq!(words(&history), "The count is back within 30% of 10");
    }

    #[test]
    fn who_saw_a_fall_end_does_not_have_it_end_otherwise() {
        let spec = DropSpec { by: By::Percent(30), within: HOUR };
        let (start, passed) = (start(), "1h has passed since the fall from 10");
        let mut history = History::default();
        history.see(10, &spec, start);
        history.see(6, &spec, start.after(HOUR / 60));
        history.pass(&spec, start.after(2 * HOUR));
        history.see(10, &spec, start.after(3 * HOUR));
        // The leader was gone before that, and left it open.
        let now = start.after(4 * HOUR);
        let mut blind = history.clone();
        history.adopt(Base { most: 10, fell: start.wall }, now);
        history.pass(&spec, now);
        assert_eq!(words(&history), passed);
        // One that began after that end is another, be it from a number that was not seen.
        let mut missed = History::default();
        missed.see(20, &spec, start);
        missed.see(2, &spec, start.after(HOUR / 60));
        missed.pass(&spec, start.after(2 * HOUR));
        assert_eq!(words(&missed), "1h has passed since the fall from 20");
        missed.adopt(Base { most: 10, fell: now.wall - HOUR / 2 }, now);
        missed.pass(&spec, now);
        assert_eq!(words(&missed), "below 10");
        // Who did not see all that was since cannot know that it is the same fall.
        blind.lose_sight(&spec, now);
        blind.see(6, &spec, now);
        blind.adopt(Base { most: 10, fell: now.wall }, now);
        assert_eq!(words(&blind), "below 10");
        // Nor who was blind while it ended.
        let mut blind = History::default();
        blind.see(20, &spec, start);
        blind.see(2, &spec, start.after(HOUR / 60));
        blind.lose_sight(&spec, start.after(HOUR / 2));
        blind.see(6, &spec, now);
        assert_eq!(words(&blind), "1h has passed since the fall from 20");
        blind.adopt(Base { most: 10, fell: now.wall }, now);
        assert_eq!(words(&blind), "below 10");
        // Nor who was blind when it began, and saw a higher one end since.
        let mut blind = History::default();
        blind.see(20, &spec, start);
        blind.see(2, &spec, start.after(HOUR / 60));
        blind.lose_sight(&spec, start.after(HOUR / 4));
        blind.see(2, &spec, start.after(HOUR * 3 / 4));
        blind.pass(&spec, start.after(HOUR * 5 / 4));
        assert_eq!(words(&blind), "1h has passed since the fall from 20");
        blind.adopt(Base { most: 10, fell: start.wall + HOUR / 2 }, start.after(HOUR * 5 / 4));
        assert_eq!(words(&blind), "below 10");
    }

    #[test]
    fn a_fall_that_was_not_seen_counts_from_when_it_is() {
        let spec = DropSpec { by: By::Percent(30), within: HOUR };
        let (begin, mut history) = (start(), History::default());
        let at = |minute: u64| begin.after(Duration::from_secs(minute * 60));
        history.see(10, &spec, at(0));
        history.see(6, &spec, at(1));
        history.lose_sight(&spec, at(50));
        // The first fall is over meanwhile, and there was another.
        history.see(3, &spec, at(70));
        assert_eq!(words(&history), "below 6");
        assert_eq!(history.deadline(&spec), Some(at(130).mono));
        // The first is over later than the second was seen, which nobody saw begin.
        let mut history = History::default();
        history.see(10, &spec, at(0));
        history.see(6, &spec, at(30));
        history.lose_sight(&spec, at(50));
        history.see(3, &spec, at(60));
        history.pass(&spec, at(91));
        assert_eq!(words(&history), "below 6");
        assert_eq!(history.deadline(&spec), Some(at(120).mono));
    }

    #[test]
    fn memory_is_bounded_and_little_is_forgotten_too_soon() {
        let spec = DropSpec { by: By::Percent(30), within: HOUR };
        let (start, mut history) = (start(), History::default());
        for second in 0..7200_u32 {
            history.see(100_000 - second, &spec, start.after(Duration::from_secs(second.into())));
        }
        assert!(history.past.len() <= PARTS as usize + 1, "{}", history.past.len());
        let most = history.most().expect("it was seen");
        let exact = 100_000 - 7199 + 3600;
        assert!(most <= exact && most > exact - 120, "{most} of {exact}");
    }
}
