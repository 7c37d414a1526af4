//! What is true of the pool, whose number of children must not fall too far: worked out from its history alone, by the
//! sentence of the contract. "Not more than so much below the most that was seen within that time. It ends when the
//! count is back within `by`, or when `within` has passed since the fall."

use zk_monitor::model::judge::{By, DropSpec};

use crate::alerts::{FAST, SLOW, drop_of};
use crate::world::Millis;

/// How many children there are at first.
pub const FIRST: u32 = 12;

/// What a message about a fall says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    pub found: u32,
    pub most: u32,
}

/// How a fall ended, as a recovery says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The count is back within so much of this.
    Count(u32),
    /// The time has passed since the fall from this.
    Time(u32),
}

#[derive(Clone, Copy, Debug)]
struct Fall {
    most: u32,
    at: Millis,
}

/// The pool's rule has turned: since when it is out of spec, and by how much the most was; or that it is in spec again.
#[derive(Clone, Copy, Debug)]
pub struct Turn {
    pub alert: usize,
    pub at: Millis,
    pub fallen_from: Option<u32>,
}

#[derive(Debug)]
pub struct Pool {
    /// Since when there were how many. No number comes twice.
    history: Vec<(Millis, u32)>,
    /// Each alert of it, and how far it has fallen by that.
    falls: Vec<(usize, Option<Fall>)>,
}

/// Whether so many are too far below the most.
pub fn is_fallen(spec: &DropSpec, found: u32, most: u32) -> bool {
    match spec.by {
        By::Count(by) => most > found + by,
        By::Percent(percent) => {
            f64::from(found) < f64::from(most) * (1.0 - f64::from(percent) / 100.0) - 1e-9
        }
    }
}

pub fn within(spec: &DropSpec) -> Millis {
    u64::try_from(spec.within.as_millis()).expect("a short time")
}

/// The number in parentheses or behind a word.
fn number_behind(text: &str, words: &str) -> Option<u32> {
    let rest = text.split(words).nth(1)?;
    rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

impl Claim {
    /// What a message says.
    pub fn of(message: &str) -> Option<Self> {
        Some(Self { found: number_behind(message, "children (")?, most: number_behind(message, " below ")? })
    }
}

impl Ending {
    /// What the notes of a recovery say of it, to the letter; none if they say none, or more than one.
    pub fn of(notes: &[String], spec: &DropSpec) -> Option<Self> {
        let by = match spec.by {
            By::Count(by) => by.to_string(),
            By::Percent(percent) => format!("{percent}%"),
        };
        let within = spec.within.as_secs();
        let within = if within >= 3600 { format!("{}h", within / 3600) } else { format!("{within}s") };
        let back = format!("The count is back within {by} of ");
        let passed = format!("{within} has passed since the fall from ");
        let mut all = notes.iter().filter_map(|note| {
            let most = |words: &str| note.strip_prefix(words)?.parse().ok();
            most(&back).map(Self::Count).or_else(|| most(&passed).map(Self::Time))
        });
        all.next().filter(|_| all.next().is_none())
    }

    pub fn most(self) -> u32 {
        match self {
            Self::Count(most) | Self::Time(most) => most,
        }
    }
}

impl Default for Pool {
    fn default() -> Self {
        Self { history: vec![(0, FIRST)], falls: vec![(SLOW, None), (FAST, None)] }
    }
}

impl Pool {
    fn spec(alert: usize) -> DropSpec {
        drop_of(alert).expect("a rule of the pool")
    }

    fn count(&self) -> u32 {
        self.history.last().expect("a first number").1
    }

    /// From when until when there were so many.
    pub fn held(&self, count: u32) -> Option<(Millis, Option<Millis>)> {
        let place = self.history.iter().position(|(_, other)| *other == count)?;
        Some((self.history[place].0, self.history.get(place + 1).map(|(at, _)| *at)))
    }

    /// The numbers that there were at any time from `from` to `to`.
    pub fn counts(&self, from: Millis, to: Millis) -> impl Iterator<Item = u32> {
        let ends = self.history.iter().skip(1).map(|(at, _)| *at).chain([Millis::MAX]);
        let all = self.history.iter().zip(ends);
        all.filter(move |((begin, _), end)| *begin <= to && *end >= from).map(|((_, count), _)| *count)
    }

    /// The most that there was within the time before `now`, and when it was there last.
    fn most(&self, spec: &DropSpec, now: Millis) -> (u32, Millis) {
        let ends = self.history.iter().skip(1).map(|(at, _)| *at).chain([now]);
        let seen = self.history.iter().zip(ends).map(|((_, count), end)| (*count, end));
        let recent = seen.filter(|(_, end)| *end == now || end + within(spec) > now);
        recent.max().expect("there is a number now")
    }

    /// Time passes, up to now: falls end, and others turn out to be open.
    pub fn pass(&mut self, now: Millis) -> Vec<Turn> {
        let mut turns = Vec::new();
        for number in 0..self.falls.len() {
            let (alert, mut fall) = self.falls[number];
            let spec = Self::spec(alert);
            let end = |fall: Fall| Some(fall.at + within(&spec)).filter(|end| *end <= now);
            while let Some(over) = fall.and_then(end) {
                let (most, seen) = self.most(&spec, over);
                fall = is_fallen(&spec, self.count(), most).then_some(Fall { most, at: seen });
                let fallen_from = fall.map(|fall| fall.most);
                turns.push(Turn { alert, at: over, fallen_from });
            }
            self.falls[number].1 = fall;
        }
        turns
    }

    /// There are so many from now on.
    pub fn change(&mut self, count: u32, now: Millis) -> Vec<Turn> {
        let mut turns = self.pass(now);
        self.history.push((now, count));
        for number in 0..self.falls.len() {
            let (alert, before) = self.falls[number];
            let spec = Self::spec(alert);
            let fall = before.filter(|fall| is_fallen(&spec, count, fall.most)).or_else(|| {
                let (most, _) = self.most(&spec, now);
                is_fallen(&spec, count, most).then_some(Fall { most, at: now })
            });
            if fall.is_some() || before.is_some() {
                turns.push(Turn { alert, at: now, fallen_from: fall.map(|fall| fall.most) });
            }
            self.falls[number].1 = fall;
        }
        turns
    }
}
