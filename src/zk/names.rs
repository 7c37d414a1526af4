//! Names of znodes, who may do what with them, and making those that the agents share.

use zookeeper::{Acl, CreateMode, Permission, ZkError};

use super::client::Client;
use crate::model::alert_key::{AlertKey, is_name};
use crate::percent;

/// Where a cluster keeps what its agents share.
#[derive(Clone, Debug)]
pub struct Places {
    pub prefix: String,
    pub cluster: String,
    pub agents: String,
    /// The lock that the leader holds.
    pub lock: String,
    /// Open incidents.
    pub alerts: String,
    pub silences: String,
}

impl Places {
    /// The places of one cluster. `prefix` is absolute and has no trailing slash.
    pub fn new(prefix: &str, name: &str) -> Self {
        let cluster = format!("{prefix}/{name}");
        Self {
            prefix: prefix.to_owned(),
            agents: format!("{cluster}/agents"),
            lock: format!("{cluster}/locks/alerter"),
            alerts: format!("{cluster}/alerts"),
            silences: format!("{cluster}/silences"),
            cluster,
        }
    }

    /// All persistent znodes, parents first.
    fn all(&self) -> Vec<String> {
        let mut all: Vec<String> = Vec::new();
        for leaf in [&self.agents, &self.lock, &self.alerts, &self.silences] {
            for (at, _) in leaf.match_indices('/').skip(1) {
                all.push(leaf[..at].to_owned());
            }
            all.push(leaf.clone());
        }
        all.sort();
        all.dedup();
        all
    }

    /// The first of them.
    pub fn top(&self) -> &str {
        let end = self.prefix.match_indices('/').nth(1).map_or(self.prefix.len(), |(at, _)| at);
        &self.prefix[..end]
    }

    /// Whether a path is one of ours.
    pub fn contain(&self, path: &str) -> bool {
        path.strip_prefix(&self.cluster).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    /// Makes the persistent znodes that are missing, parents first.
    ///
    /// # Errors
    /// The path that could not be made, and the library's error.
    pub fn prepare(&self, client: &Client, credentials: bool) -> Result<(), (String, ZkError)> {
        for path in self.all() {
            // Who may not make a znode is told so even if it is there.
            match client.exists(&path, false) {
                Ok(None) => {}
                Ok(Some(_)) => continue,
                Err(e) => return Err((path, e)),
            }
            match client.create(&path, b"", &self.acl(&path, credentials), CreateMode::Persistent) {
                Ok(_) | Err(ZkError::NodeExists) => {}
                Err(e) => return Err((path, e)),
            }
        }
        Ok(())
    }

    /// Who may do what with one of our persistent znodes.
    ///
    /// With credentials only their owner changes anything, and all may read. The parent of all clusters lets
    /// everybody add one, or the first cluster would lock the second out.
    fn acl(&self, path: &str, credentials: bool) -> Vec<Acl> {
        let mut acl = own_acl(credentials);
        if credentials && !self.contain(path) {
            acl.push(Acl::new(Permission::READ | Permission::CREATE, "world", "anyone"));
        }
        acl
    }
}

/// Who may do what with a znode of an agent.
pub fn own_acl(credentials: bool) -> Vec<Acl> {
    if !credentials {
        return Acl::open_unsafe().clone();
    }
    let mut acl = Acl::creator_all().clone();
    acl.push(Acl::new(Permission::READ, "world", "anyone"));
    acl
}

/// A text as the name of a znode, percent-encoded. The names `.` and `..`, which ZooKeeper refuses, are encoded too.
pub fn encode(text: &str) -> String {
    if matches!(text, "." | "..") { text.replace('.', "%2E") } else { percent::encode(text) }
}

/// The text that was encoded; `None` if the name is not of that form.
pub fn decode(name: &str) -> Option<String> {
    String::from_utf8(percent::decode(name)?).ok()
}

/// The name of an alert's entry in the ledger: its path, and behind an `@`, which no encoded path holds, the name of its
/// rule if it has one.
pub fn encode_alert(key: &AlertKey) -> String {
    let path = encode(&key.path);
    match &key.name {
        None => path,
        Some(name) => format!("{path}@{name}"),
    }
}

/// The alert whose entry has this name; `None` if the name is not of that form.
pub fn decode_alert(name: &str) -> Option<AlertKey> {
    let (path, rule) = match name.split_once('@') {
        None => (name, None),
        Some((path, rule)) => (path, Some(rule).filter(|rule| is_name(rule)).map(Some)?),
    };
    Some(AlertKey { path: decode(path)?.into(), name: rule.map(Into::into) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_survive_encoding() {
        for text in ["/services/foo/min_1", "/a b/ü%", ".", "..", "/..", "plain-~._", "/\u{1f600}"] {
            let name = encode(text);
            assert!(name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.~-%".contains(&b)), "{name}");
            assert!(!matches!(name.as_str(), "." | ".."));
            assert_eq!(decode(&name).as_deref(), Some(text));
        }
        assert_eq!((decode("%zz"), decode("%4"), decode("%FF")), (None, None, None));
    }

    #[test]
    fn the_entry_of_an_alert_is_named_by_path_and_rule() {
        let check = |path: &str, name: Option<&str>, expected: &str| {
            let key = AlertKey { path: path.into(), name: name.map(Into::into) };
            assert_eq!(encode_alert(&key), expected);
            assert_eq!(decode_alert(expected), Some(key));
        };
        check("/a/b", None, "%2Fa%2Fb");
        check("/a/b", Some("page_1-x"), "%2Fa%2Fb@page_1-x");
        check("/a@page", None, "%2Fa%40page");
        check("/a@page", Some("page"), "%2Fa%40page@page");
        for bad in ["%2Fa@", "%2Fa@b@c", "%2Fa@b.c", "%2Fa@%41", &format!("%2Fa@{}", "x".repeat(33)), "%zz@a"]
        {
            assert_eq!(decode_alert(bad), None, "{bad}");
        }
    }

    #[test]
    fn parents_come_first() {
        let places = Places::new("/a/zk_monitor", "c");
        let all = places.all();
        assert_eq!((all.first().map(String::as_str), places.top()), (Some("/a"), "/a"));
        assert_eq!(Places::new("/zk_monitor", "c").top(), "/zk_monitor");
        assert!(all.contains(&"/a/zk_monitor/c/locks/alerter".to_owned()));
        assert_eq!(all.len(), 8);
        assert!(places.contain("/a/zk_monitor/c/agents/x") && !places.contain("/a/zk_monitor/cc"));
    }
}
