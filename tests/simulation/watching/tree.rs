//! ZooKeeper's tree, and what its watches tell of a change.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use zk_monitor::model::children::Children;
use zk_monitor::model::judge::Needs;
use zk_monitor::model::reading::Reading;
use zk_monitor::model::watches::{Call, Reply};

pub type Path = Rc<str>;

/// Why a path cannot be read.
pub const SHUT: &str = "not authorised";

/// One change. Those of one transaction are seen together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// Makes a znode, and its parents where they are missing.
    Create(Path),
    /// Removes a znode and all below it.
    Delete(Path),
    /// Replaces its data.
    Set(Path, Path),
    /// Lets the watchers read it, or not.
    Open(Path, bool),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Znode {
    pub data: Path,
    pub open: bool,
}

/// All znodes at one moment.
#[derive(Clone, Debug, Default)]
pub struct Tree(BTreeMap<Path, Znode>);

/// A watch that a change sets off, and whether the session may hear of it.
#[derive(Clone, Debug)]
pub struct Trigger {
    pub watch: Watch,
    pub path: Path,
    pub heard: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Watch {
    Data,
    Children,
    /// There is none for who may read a znode.
    Acl,
}

pub fn parent(path: &str) -> Option<&str> {
    path.rsplit_once('/').map(|(parent, _)| parent).filter(|parent| !parent.is_empty())
}

impl Tree {
    pub fn get(&self, path: &str) -> Option<&Znode> {
        self.0.get(path)
    }

    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.0.keys()
    }

    fn names(&self, path: &str) -> Vec<String> {
        let below = format!("{path}/");
        let all =
            self.0.range::<str, _>((std::ops::Bound::Included(below.as_str()), std::ops::Bound::Unbounded));
        let all = all.map_while(|(child, _)| child.strip_prefix(&below));
        all.filter(|name| !name.contains('/')).map(str::to_owned).collect()
    }

    /// What a reading of the path would show.
    pub fn reading(&self, path: &str, needs: Needs) -> Reading {
        let Some(znode) = self.get(path) else { return Reading::Missing };
        if !znode.open && (needs.children || needs.data) {
            return Reading::Unreadable(SHUT.into());
        }
        Reading::Present {
            children: needs.children.then(|| Children::new(self.names(path))),
            data: needs.data.then(|| znode.data.as_bytes().into()),
        }
    }

    /// Carries a change out; gives what it sets off, in the order in which it does.
    pub fn apply(&mut self, op: &Op) -> Vec<Trigger> {
        let mut triggers = Vec::new();
        match op {
            Op::Create(path) => self.create(path, &mut triggers),
            Op::Delete(path) => {
                let below = format!("{path}/");
                let gone = |other: &Path| *other == *path || other.starts_with(&below);
                let all: Vec<Path> = self.0.keys().rev().filter(|other| gone(other)).cloned().collect();
                all.iter().for_each(|path| self.delete(path, &mut triggers));
            }
            Op::Set(path, data) => {
                if let Some(znode) = self.0.get_mut(path) {
                    znode.data = Rc::clone(data);
                    triggers.push(Trigger { watch: Watch::Data, path: Rc::clone(path), heard: znode.open });
                }
            }
            Op::Open(path, open) => {
                if let Some(znode) = self.0.get_mut(path) {
                    znode.open = *open;
                    triggers.push(Trigger { watch: Watch::Acl, path: Rc::clone(path), heard: false });
                }
            }
        }
        triggers
    }

    fn create(&mut self, path: &Path, triggers: &mut Vec<Trigger>) {
        if self.0.contains_key(path) {
            return;
        }
        if let Some(parent) = parent(path) {
            self.create(&parent.into(), triggers);
        }
        self.0.insert(Rc::clone(path), Znode { data: "ok".into(), open: true });
        triggers.push(Trigger { watch: Watch::Data, path: Rc::clone(path), heard: true });
        self.of_parent(path, triggers);
    }

    fn delete(&mut self, path: &Path, triggers: &mut Vec<Trigger>) {
        let Some(znode) = self.0.remove(path) else { return };
        for watch in [Watch::Data, Watch::Children] {
            triggers.push(Trigger { watch, path: Rc::clone(path), heard: znode.open });
        }
        self.of_parent(path, triggers);
    }

    fn of_parent(&self, path: &str, triggers: &mut Vec<Trigger>) {
        if let Some((parent, znode)) = parent(path).and_then(|parent| self.0.get_key_value(parent)) {
            triggers.push(Trigger { watch: Watch::Children, path: Rc::clone(parent), heard: znode.open });
        }
    }
}

/// What a server keeps for one session: watches that fire once, data and children apart.
#[derive(Debug, Default)]
pub struct Session {
    data: BTreeSet<Path>,
    children: BTreeSet<Path>,
    /// Where a watch was spent without a word, or refused, or who may read has changed since it was set; and how often
    /// such a thing had happened by then.
    pub blind: BTreeMap<Path, u32>,
    spent: u32,
}

impl Session {
    /// Answers a call, and leaves its watch. `creation` says whether this server keeps watches for znodes that are
    /// missing.
    pub fn answer(&mut self, tree: &Tree, path: &str, call: Call, creation: bool) -> Reply {
        let path = Path::from(path);
        let found = tree.get(&path);
        match (call, found) {
            (Call::Unwatch, _) => {
                self.data.remove(&path);
                Reply::Yes
            }
            (Call::Exists, found) => {
                if creation || found.is_some() {
                    self.data.insert(Rc::clone(&path));
                }
                if found.is_some() { Reply::Yes } else { Reply::Missing }
            }
            (Call::Children | Call::Data, None) => Reply::Missing,
            (Call::Children | Call::Data, Some(Znode { open: false, .. })) => {
                self.spend(&path);
                Reply::Refused(SHUT.into())
            }
            (Call::Children, Some(_)) => {
                self.children.insert(Rc::clone(&path));
                Reply::Children(Children::new(tree.names(&path)))
            }
            (Call::Data, Some(znode)) => {
                self.data.insert(Rc::clone(&path));
                Reply::Data(znode.data.as_bytes().into())
            }
        }
    }

    fn spend(&mut self, path: &Path) {
        self.spent += 1;
        self.blind.insert(Rc::clone(path), self.spent);
    }

    /// How often a watch was spent without a word so far.
    pub fn spent(&self) -> u32 {
        self.spent
    }

    /// A reading that began when so many had been spent is known: it showed what those before had not told.
    pub fn heal(&mut self, path: &str, spent: u32) {
        if self.blind.get(path).is_some_and(|number| *number <= spent) {
            self.blind.remove(path);
        }
    }

    /// Whether an event is sent for what a change has set off. The watch is spent in any case.
    pub fn fires(&mut self, trigger: &Trigger) -> bool {
        let watches = match trigger.watch {
            Watch::Data => &mut self.data,
            Watch::Children => &mut self.children,
            Watch::Acl => {
                self.spend(&trigger.path);
                return false;
            }
        };
        let watched = watches.remove(&trigger.path);
        if watched && !trigger.heard {
            self.spend(&trigger.path);
        }
        watched && trigger.heard
    }

    /// The paths of watches for znodes that are missing.
    pub fn awaited<'a>(&'a self, tree: &'a Tree) -> impl Iterator<Item = &'a Path> {
        self.data.iter().filter(|path| tree.get(path).is_none())
    }
}
