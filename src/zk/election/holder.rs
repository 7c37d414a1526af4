//! Who holds the lock.

use std::sync::Arc;
use std::time::SystemTime;

use zookeeper::Stat;

use crate::model::rfc3339::rfc3339;
use crate::zk::ledger::time;

/// Who holds the lock.
#[derive(Debug, PartialEq, Eq)]
pub struct Holder {
    /// What it calls itself. Agents do so by the names of their znodes.
    pub name: Arc<str>,
    pub znode: String,
    /// When it joined the line, by the server's clock, if the server tells.
    since: Option<SystemTime>,
}

impl Holder {
    /// Who made this lock node, with that data.
    pub fn new(name: &[u8], lock: &Stat, znode: String) -> Self {
        let since = time(u64::try_from(lock.ctime).unwrap_or_default());
        Self { name: String::from_utf8_lossy(name).into(), znode, since: Some(since) }
    }

    /// One whose lock node nobody may read.
    pub fn shut(znode: String) -> Self {
        Self { name: "".into(), znode, since: None }
    }

    /// What an operator has to know of one who is no agent. It may call itself anything, at any length.
    pub fn words(&self) -> String {
        const LONGEST: usize = 100;
        let name: String = self.name.chars().take(LONGEST).flat_map(char::escape_debug).collect();
        let name = if name.is_empty() { String::new() } else { format!(" ({name})") };
        let since = self.since.map(|since| format!(", in line since {}", rfc3339(since))).unwrap_or_default();
        format!(
            "the lock is held by one who is no agent{name}{since}: no agent sends alerts until {} is gone",
            self.znode
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stranger_is_named_in_words_that_can_be_shown() {
        let name: Arc<str> = format!("box\n{}", "x".repeat(1000)).into();
        let since = Some(time(1_401_553_225_000));
        let holder = Holder { name, znode: "/locks/a__lock__0000000001".to_owned(), since };
        let words = holder.words();
        assert!(words.contains(r"(box\nxxx") && !words.contains('\n') && words.len() < 400, "{words}");
        assert!(words.contains("since 2014-05-31T16:20:25Z"), "{words}");
        let unnamed = Holder { name: "".into(), ..holder };
        assert!(unnamed.words().contains("no agent, in line"), "{}", unnamed.words());
        let shut = Holder::shut(unnamed.znode).words();
        assert!(shut.contains("no agent: no agent sends alerts until /locks/a__lock__0000000001"), "{shut}");
    }
}
