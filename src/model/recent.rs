//! The last events, ready to be served.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::SystemTime;

/// How many events are kept at most.
pub const RECENT: usize = 10_000;

/// Up to so many stand together. A reader shares them with the writer, who copies the last few alone to add one.
const TOGETHER: usize = 128;

/// One event as it is served.
#[derive(Clone, Debug)]
pub struct RecentEvent {
    /// When it happened.
    pub time: SystemTime,
    /// The path that it is about.
    pub path: Option<Arc<str>>,
    /// The whole event: one line of JSON without its end.
    pub json: Arc<str>,
}

/// The last events. A copy is cheap.
#[derive(Clone, Debug, Default)]
pub struct Recent {
    /// Those that happened first stand first.
    parts: VecDeque<Arc<Vec<RecentEvent>>>,
    count: usize,
    /// Whether there are to be files, and they cannot be written at present.
    pub is_failing: bool,
}

impl Recent {
    /// Adds what happened since; the oldest make room.
    pub fn extend(&mut self, events: impl IntoIterator<Item = RecentEvent>) {
        let mut last = match self.parts.pop_back() {
            Some(part) if part.len() < TOGETHER => part.to_vec(),
            whole => {
                self.parts.extend(whole);
                Vec::new()
            }
        };
        for event in events {
            last.push(event);
            self.count += 1;
            if last.len() == TOGETHER {
                self.parts.push_back(Arc::new(std::mem::take(&mut last)));
            }
        }
        self.parts.push_back(Arc::new(last));
        while self.count > RECENT + TOGETHER {
            self.count -= self.parts.pop_front().map_or(0, |part| part.len());
        }
    }

    /// The newest first.
    pub fn newest_first(&self) -> impl Iterator<Item = &RecentEvent> {
        self.parts.iter().rev().flat_map(|part| part.iter().rev()).take(RECENT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_ten_thousand_are_there_newest_first_however_they_came() {
        for size in [1, 7, TOGETHER, 999] {
            let mut recent = Recent::default();
            let event = |number: usize| RecentEvent {
                time: SystemTime::UNIX_EPOCH,
                path: None,
                json: number.to_string().into(),
            };
            let all: Vec<usize> = (0..RECENT + 1500).collect();
            all.chunks(size).for_each(|numbers| recent.extend(numbers.iter().map(|number| event(*number))));
            let found: Vec<String> = recent.newest_first().map(|event| event.json.to_string()).collect();
            let expected: Vec<String> = all.iter().rev().take(RECENT).map(usize::to_string).collect();
            assert_eq!(found, expected, "in parts of {size}");
        }
    }
}
