//! Znodes that others have made and this agent cannot use: each is left out, and said once.

use std::collections::BTreeMap;

/// Znodes that were left out, and why.
pub type Reasons = BTreeMap<String, String>;

/// What was left out when the znodes of one place were read last.
#[derive(Debug, Default)]
pub struct Skipped(Reasons);

impl Skipped {
    /// These are left out now. Logs those that were not before, or for another reason.
    pub fn log(&mut self, now: Reasons) {
        for (znode, reason) in self.news(now) {
            log::warn!("{znode}: left out: {reason}");
        }
    }

    fn news(&mut self, now: Reasons) -> Reasons {
        let before = std::mem::replace(&mut self.0, now);
        let is_new = |znode: &str, reason: &str| before.get(znode).is_none_or(|known| known != reason);
        self.0.clone().into_iter().filter(|(znode, reason)| is_new(znode, reason)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_news_once_until_it_was_gone_or_changes() {
        let reasons = |all: &[(&str, &str)]| -> Reasons {
            all.iter().map(|(znode, reason)| ((*znode).to_owned(), (*reason).to_owned())).collect()
        };
        let mut skipped = Skipped::default();
        let mut check = |now: &[(&str, &str)], news: &[(&str, &str)]| {
            assert_eq!(skipped.news(reasons(now)), reasons(news), "{now:?}");
        };
        check(&[("/a", "NoAuth")], &[("/a", "NoAuth")]);
        check(&[("/a", "NoAuth"), ("/b", "NoAuth")], &[("/b", "NoAuth")]);
        check(&[("/a", "no JSON"), ("/b", "NoAuth")], &[("/a", "no JSON")]);
        check(&[], &[]);
        check(&[("/b", "NoAuth")], &[("/b", "NoAuth")]);
    }
}
