//! What an alert is routed by, beside what it is about.

use std::sync::Arc;

use super::severity::Severity;
use super::small_map::SmallMap;

/// What may not be one of a rule's own labels: the alert's identity, and what a rule says in another way.
pub const RESERVED: [&str; 5] = ["alertname", "path", "cluster", "rule", "severity"];

/// The labels of one incident. They are part of its identity at an Alertmanager, which takes the end of an alert with
/// other labels for that of another one. So an incident keeps those that it began with, whatever a reload makes of its
/// rule.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Labels {
    /// How bad it is. `None` is an incident that was begun by a version without this label.
    pub severity: Option<Severity>,
    /// The rule's name, if it has one.
    pub rule: Option<Arc<str>>,
    /// The rule's own.
    pub own: SmallMap<Arc<str>, Arc<str>>,
}

impl Labels {
    /// Those of an incident of which no labels are known: those it had before rules could have any.
    pub fn of_old(rule: Option<&Arc<str>>) -> Self {
        Self { rule: rule.cloned(), ..Self::default() }
    }

    /// All of them by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        let severity = self.severity.map(|severity| ("severity", severity.word()));
        let rule = self.rule.as_deref().map(|rule| ("rule", rule));
        let own = self.own.iter().map(|(name, value)| (&**name, &**value));
        severity.into_iter().chain(rule).chain(own)
    }

    /// How many bytes names and values have.
    pub fn size(&self) -> usize {
        self.iter().map(|(name, value)| name.len() + value.len()).sum()
    }
}

impl<'a> FromIterator<(&'a str, &'a str)> for Labels {
    /// From all of them. A severity that is none is kept as it is, since a later version may know more of them.
    fn from_iter<I: IntoIterator<Item = (&'a str, &'a str)>>(all: I) -> Self {
        let mut labels = Self::default();
        for (name, value) in all {
            match (name, Severity::from_word(value)) {
                ("severity", Some(severity)) => labels.severity = Some(severity),
                ("rule", _) => labels.rule = Some(value.into()),
                _ => labels.own.insert_new(name.into(), || value.into()),
            }
        }
        labels
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_the_same_after_they_were_taken_apart() {
        let check = |all: &[(&str, &str)]| {
            let labels: Labels = all.iter().copied().collect();
            let mut again: Vec<_> = labels.iter().collect();
            again.sort_unstable();
            assert_eq!(again, all);
            labels
        };
        check(&[]);
        let labels = check(&[("rule", "page"), ("severity", "critical"), ("team", "web")]);
        assert_eq!((labels.severity, labels.rule.as_deref()), (Some(Severity::Critical), Some("page")));
        assert_eq!(labels.size(), "rulepageseveritycriticalteamweb".len());
        // One that this version does not know.
        assert_eq!(check(&[("severity", "fatal")]).severity, None);
    }
}
