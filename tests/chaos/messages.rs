//! All that receivers were told, found by alert, by incident and by time: hours of it are too much to look through for
//! each question.

use std::collections::HashMap;

use crate::told::Told;
use crate::txnlog::Millis;

/// What one receiver was told of one incident.
#[derive(Clone, Debug)]
pub struct Incident {
    /// When the first message of it came.
    pub first: Millis,
    /// The first alert, by its place among all messages.
    alert: Option<usize>,
    /// The last end that was told.
    pub until: Option<Millis>,
    pub is_over: bool,
}

/// Messages in the order in which they came.
#[derive(Debug, Default)]
pub struct Messages {
    pub all: Vec<Told>,
    of_alerts: HashMap<(&'static str, String), Vec<usize>>,
    incidents: HashMap<(&'static str, String), Incident>,
}

impl Messages {
    pub fn new(mut all: Vec<Told>) -> Self {
        all.sort_by_key(|told| told.at);
        let mut messages = Self::default();
        for (index, told) in all.iter().enumerate() {
            messages.of_alerts.entry((told.receiver, told.alert.clone())).or_default().push(index);
            let incident = messages.incidents.entry((told.receiver, told.incident.clone()));
            let incident =
                incident.or_insert(Incident { first: told.at, alert: None, until: None, is_over: false });
            incident.until = incident.until.max(told.until);
            incident.is_over |= !told.firing;
            if told.firing {
                incident.alert.get_or_insert(index);
            }
        }
        Self { all, ..messages }
    }

    /// What a receiver was told of `/path` or `/path@name`.
    pub fn of(&self, alert: &str, receiver: &'static str) -> impl Iterator<Item = &Told> {
        let places = self.of_alerts.get(&(receiver, alert.to_owned()));
        places.into_iter().flatten().map(|index| &self.all[*index])
    }

    /// What came from one moment up to another.
    pub fn between(&self, from: Millis, until: Millis) -> &[Told] {
        let place = |at| self.all.partition_point(|told| told.at < at);
        &self.all[place(from)..place(until).max(place(from))]
    }

    /// What the receiver of a message was told of its incident.
    pub fn incident(&self, told: &Told) -> &Incident {
        &self.incidents[&(told.receiver, told.incident.clone())]
    }

    /// The first alert of a message's incident that its receiver got.
    pub fn alert(&self, told: &Told) -> Option<&Told> {
        self.incident(told).alert.map(|index| &self.all[index])
    }
}
