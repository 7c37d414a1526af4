//! ZooKeeper's tree, and what its watches tell of a change.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use zk_monitor::model::children::Children;
use zk_monitor::model::judge::{EachChild, Needs};
use zk_monitor::model::reading::{ChildReading, ChildZnode, EachRead, Reading, Written};
use zk_monitor::model::watches::{Call, Reply};

pub type Path = Rc<str>;

/// Why a path cannot be read.
pub const SHUT: &str = "not authorised";

/// One change. Those of one transaction are seen together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// Makes a znode, and its parents where they are missing.
    Create(Path),
    /// Makes it anew, as one that goes with a session.
    Own(Path),
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
    pub ephemeral: bool,
    /// When it was written last, in numbers of writes.
    pub written: u64,
}

/// All znodes at one moment.
#[derive(Clone, Debug, Default)]
pub struct Tree {
    znodes: BTreeMap<Path, Znode>,
    writes: u64,
}

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

impl Znode {
    /// What its data is, and when it was written.
    fn shown(&self) -> Written {
        let at = SystemTime::UNIX_EPOCH + Duration::from_millis(self.written);
        Written { at, data: self.data.as_bytes().into() }
    }
}

impl Tree {
    pub fn get(&self, path: &str) -> Option<&Znode> {
        self.znodes.get(path)
    }

    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.znodes.keys()
    }

    fn names(&self, path: &str) -> Vec<String> {
        let below = format!("{path}/");
        let all = self
            .znodes
            .range::<str, _>((std::ops::Bound::Included(below.as_str()), std::ops::Bound::Unbounded));
        let all = all.map_while(|(child, _)| child.strip_prefix(&below));
        all.filter(|name| !name.contains('/')).map(str::to_owned).collect()
    }

    /// What a reading of the path would show.
    pub fn reading(&self, path: &str, needs: Needs) -> Reading {
        let Some(znode) = self.get(path) else { return Reading::Missing };
        if !znode.open && (needs.children || needs.data) {
            return Reading::Shut(SHUT.into());
        }
        Reading::Present {
            children: needs.children.then(|| Children::new(self.names(path))),
            each: self.each(path, needs.each_child),
            data: needs.data.then(|| znode.shown()),
        }
    }

    fn each(&self, path: &str, asked: EachChild) -> EachRead {
        if asked == EachChild::Nothing {
            return EachRead::Unasked;
        }
        let read = |name: &String| {
            let child = self.child(&format!("{path}/{name}"), asked)?;
            Some(ChildReading { name: name.as_str().into(), znode: child })
        };
        EachRead::Read(self.names(path).iter().filter_map(read).collect())
    }

    /// What a reading would show of a child; nothing if there is none.
    pub fn child(&self, path: &str, asked: EachChild) -> Option<Result<ChildZnode, Arc<str>>> {
        let znode = self.get(path)?;
        let with_data = asked == EachChild::Data;
        if with_data && !znode.open {
            return Some(Err(SHUT.into()));
        }
        let written = with_data.then(|| znode.shown());
        Some(Ok(ChildZnode { ephemeral: znode.ephemeral, written }))
    }

    /// Carries a change out; gives what it sets off, in the order in which it does.
    pub fn apply(&mut self, op: &Op) -> Vec<Trigger> {
        let mut triggers = Vec::new();
        match op {
            Op::Create(path) => self.create(path, &mut triggers),
            Op::Own(path) => {
                self.delete_all(path, &mut triggers);
                self.create(path, &mut triggers);
                if let Some(znode) = self.znodes.get_mut(path) {
                    znode.ephemeral = true;
                }
            }
            Op::Delete(path) => self.delete_all(path, &mut triggers),
            Op::Set(path, data) => {
                self.writes += 1;
                if let Some(znode) = self.znodes.get_mut(path) {
                    (znode.data, znode.written) = (Rc::clone(data), self.writes);
                    triggers.push(Trigger { watch: Watch::Data, path: Rc::clone(path), heard: znode.open });
                }
            }
            Op::Open(path, open) => {
                if let Some(znode) = self.znodes.get_mut(path) {
                    znode.open = *open;
                    triggers.push(Trigger { watch: Watch::Acl, path: Rc::clone(path), heard: false });
                }
            }
        }
        triggers
    }

    fn create(&mut self, path: &Path, triggers: &mut Vec<Trigger>) {
        if self.znodes.contains_key(path) {
            return;
        }
        if let Some(parent) = parent(path) {
            self.create(&parent.into(), triggers);
        }
        self.writes += 1;
        let znode = Znode { data: "ok".into(), open: true, ephemeral: false, written: self.writes };
        self.znodes.insert(Rc::clone(path), znode);
        triggers.push(Trigger { watch: Watch::Data, path: Rc::clone(path), heard: true });
        self.of_parent(path, triggers);
    }

    fn delete_all(&mut self, path: &Path, triggers: &mut Vec<Trigger>) {
        let below = format!("{path}/");
        let gone = |other: &Path| *other == *path || other.starts_with(&below);
        let all: Vec<Path> = self.znodes.keys().rev().filter(|other| gone(other)).cloned().collect();
        all.iter().for_each(|path| self.delete(path, triggers));
    }

    fn delete(&mut self, path: &Path, triggers: &mut Vec<Trigger>) {
        let Some(znode) = self.znodes.remove(path) else { return };
        for watch in [Watch::Data, Watch::Children] {
            triggers.push(Trigger { watch, path: Rc::clone(path), heard: znode.open });
        }
        self.of_parent(path, triggers);
    }

    fn of_parent(&self, path: &str, triggers: &mut Vec<Trigger>) {
        if let Some((parent, znode)) = parent(path).and_then(|parent| self.znodes.get_key_value(parent)) {
            triggers.push(Trigger { watch: Watch::Children, path: Rc::clone(parent), heard: znode.open });
        }
    }
}

fn child(read: Result<ChildZnode, Arc<str>>) -> Reply {
    read.map_or_else(Reply::Shut, Reply::Child)
}

/// What a reading read anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Anew {
    /// The znode and all its children.
    All,
    /// The znode, and some of its children.
    Itself,
    /// Some of its children.
    Some,
}

/// What a server keeps for one session: watches that fire once, data and children apart.
#[derive(Debug, Default)]
pub struct Session {
    data: BTreeSet<Path>,
    children: BTreeSet<Path>,
    /// Where a watch was spent without a word, or refused, or who may read has changed since it was set; and how often
    /// such a thing had happened by then. With a `/` behind, it is the znode whose children are meant.
    pub blind: BTreeMap<Path, u32>,
    spent: u32,
}

impl Session {
    /// Answers a call, and leaves its watch. `creation` says whether this server keeps watches for znodes that are
    /// missing.
    pub fn answer(&mut self, tree: &Tree, path: &str, call: Call, creation: bool) -> Reply {
        let path = match &call {
            Call::ChildStat(name) | Call::ChildData(name) => Path::from(format!("{path}/{name}")),
            Call::Children | Call::Data | Call::Exists | Call::Unwatch => Path::from(path),
        };
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
            (Call::ChildStat(_), found) => {
                found.and_then(|_| tree.child(&path, EachChild::Stat)).map_or(Reply::Missing, child)
            }
            (Call::Children | Call::Data | Call::ChildData(_), None) => Reply::Missing,
            (Call::Children | Call::Data | Call::ChildData(_), Some(Znode { open: false, .. })) => {
                self.spend(&path);
                Reply::Shut(SHUT.into())
            }
            (Call::Children, Some(_)) => {
                self.children.insert(Rc::clone(&path));
                Reply::Children(Children::new(tree.names(&path)))
            }
            (Call::Data, Some(znode)) => {
                self.data.insert(Rc::clone(&path));
                Reply::Data(znode.shown())
            }
            (Call::ChildData(_), Some(_)) => {
                self.data.insert(Rc::clone(&path));
                tree.child(&path, EachChild::Data).map_or(Reply::Missing, child)
            }
        }
    }

    fn spend(&mut self, path: &Path) {
        self.spent += 1;
        self.blind.insert(Rc::clone(path), self.spent);
        if let Some(parent) = parent(path) {
            self.blind.insert(format!("{parent}/").into(), self.spent);
        }
    }

    /// How often a watch was spent without a word so far.
    pub fn spent(&self) -> u32 {
        self.spent
    }

    /// A reading that began when so many had been spent is known: it showed what those before had not told, of what it
    /// read anew.
    pub fn heal(&mut self, path: &str, read: Anew, spent: u32) {
        let (itself, children) = (path.to_owned(), format!("{path}/"));
        let healed = match read {
            Anew::All => vec![itself, children],
            Anew::Itself => vec![itself],
            Anew::Some => Vec::new(),
        };
        for path in &healed {
            let path = path.as_str();
            if self.blind.get(path).is_some_and(|number| *number <= spent) {
                self.blind.remove(path);
            }
        }
    }

    /// Forgets the watch on the data of a znode.
    pub fn forget(&mut self, path: &str) {
        self.data.remove(path);
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
