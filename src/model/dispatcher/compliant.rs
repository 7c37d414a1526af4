//! Alerts of which nothing has to be remembered but that their path was in spec.

use std::collections::HashSet;
use std::sync::Arc;

use crate::model::alert_key::AlertKey;

/// Which they are. Those of rules without a name, of which there may be a hundred thousand, take no room for one.
#[derive(Debug, Default)]
pub(super) struct Compliant {
    unnamed: HashSet<Arc<str>>,
    named: HashSet<AlertKey>,
}

impl Compliant {
    pub fn insert(&mut self, key: AlertKey) {
        if key.name.is_none() {
            self.unnamed.insert(key.path);
        } else {
            self.named.insert(key);
        }
    }

    /// Returns whether it was there.
    pub fn remove(&mut self, key: &AlertKey) -> bool {
        if key.name.is_none() { self.unnamed.remove(&key.path) } else { self.named.remove(key) }
    }

    /// Keeps those that are to be kept.
    pub fn retain(&mut self, keep: impl Fn(&AlertKey) -> bool) {
        self.unnamed.retain(|path| keep(&AlertKey::unnamed(Arc::clone(path))));
        self.named.retain(keep);
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    #[cfg(test)]
    pub fn contains(&self, key: &AlertKey) -> bool {
        if key.name.is_none() { self.unnamed.contains(&key.path) } else { self.named.contains(key) }
    }
}
