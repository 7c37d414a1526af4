//! Which children are counted.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::age::Ages;
use super::compiled::Compiled;
use super::data::DataSpec;
use super::json::Find;
use super::matcher::Matcher;
use super::needs::EachChild;
use super::violation::Violation;
use crate::model::children::Children;
use crate::model::reading::{ChildReading, ChildZnode, EachRead};

/// Which children are counted, and as what. By default each is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Counting {
    /// What has to hold of a child.
    pub only: Where,
    /// Of children that have the same value at this JSON pointer one is counted, and none that has no value there.
    pub distinct: Option<Compiled<Find>>,
}

/// What has to hold of a child that is counted, all of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Where {
    /// Its name matches this expression.
    pub name: Option<Compiled<Matcher>>,
    /// It goes with the session that made it, or does not.
    pub ephemeral: Option<bool>,
    /// How long ago it may have been written at most, by ZooKeeper's clock.
    pub max_age: Option<Duration>,
    /// What its data has to be.
    pub data: Option<DataSpec>,
}

/// How many children were counted, and why others were not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tally {
    /// How many count.
    pub counted: u32,
    /// Of how many.
    pub of: u32,
    /// Names that do not count and why: at most [`Tally::NAMES`]. Those whose name is none that is counted stand last,
    /// since they are the least of a surprise.
    pub ignored: Vec<(Box<str>, Why)>,
}

/// Why a child does not count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    /// Its name does not match this expression.
    Name(Arc<str>),
    /// It is not ephemeral.
    Persistent,
    /// It is ephemeral.
    Ephemeral,
    /// It could not be read, for this reason.
    Unreadable(Arc<str>),
    /// Its data is not what it has to be, or too old, or has no value to tell it apart by.
    Data(Violation),
    /// It has the same value at this JSON pointer as the child of that name.
    Same(Arc<str>, Box<str>),
}

/// Values that were seen, and of which child.
type Values<'n> = HashMap<Box<str>, &'n str>;

impl Tally {
    /// How many names are given: more would bury the message.
    pub const NAMES: usize = 10;
}

impl Counting {
    /// Whether each child is counted.
    pub fn is_plain(&self) -> bool {
        *self == Self::default()
    }

    /// What has to be read of each child.
    pub(super) fn each_child(&self) -> EachChild {
        let Where { name: _, ephemeral, max_age, data } = &self.only;
        if data.is_some() || max_age.is_some() || self.distinct.is_some() {
            EachChild::Data
        } else if ephemeral.is_some() {
            EachChild::Stat
        } else {
            EachChild::Nothing
        }
    }

    /// Counts.
    pub(super) fn tally(&self, children: &Children, each: &EachRead, ages: &mut Ages) -> Tally {
        let mut count = Count::default();
        let mut values = HashMap::new();
        match each {
            EachRead::Read(read) => {
                for ChildReading { name, znode } in read {
                    count.take(name, self.check(name, Some(znode), &mut values, ages));
                }
            }
            EachRead::Unasked | EachRead::TooMany | EachRead::Recorded(_) => {
                for name in children.names() {
                    count.take(name, self.check(name, None, &mut values, ages));
                }
            }
        }
        count.end()
    }

    fn check<'n>(
        &self,
        name: &'n str,
        znode: Option<&Result<ChildZnode, Arc<str>>>,
        values: &mut Values<'n>,
        ages: &mut Ages,
    ) -> Result<(), Why> {
        if let Some(pattern) = self.only.name.as_ref().filter(|pattern| !(pattern.run)(name.as_bytes())) {
            return Err(Why::Name(Arc::clone(&pattern.source)));
        }
        if self.each_child() == EachChild::Nothing {
            return Ok(());
        }
        let unread = || Err(Why::Unreadable("not read".into()));
        let znode = match znode {
            Some(Ok(znode)) => znode,
            Some(Err(reason)) => return Err(Why::Unreadable(Arc::clone(reason))),
            None => return unread(),
        };
        match self.only.ephemeral {
            Some(true) if !znode.ephemeral => return Err(Why::Persistent),
            Some(false) if znode.ephemeral => return Err(Why::Ephemeral),
            Some(_) | None => {}
        }
        if self.each_child() == EachChild::Stat {
            return Ok(());
        }
        let Some(written) = &znode.written else { return unread() };
        if let Some(violation) = self.only.max_age.and_then(|max| ages.check(written.at, max)) {
            return Err(Why::Data(violation));
        }
        if let Some(violation) = self.only.data.as_ref().and_then(|spec| spec.judge(Some(&written.data))) {
            return Err(Why::Data(violation));
        }
        self.check_distinct(name, &written.data, values)
    }

    fn check_distinct<'n>(&self, name: &'n str, data: &[u8], values: &mut Values<'n>) -> Result<(), Why> {
        let Some(pointer) = &self.distinct else { return Ok(()) };
        let (value, _) = pointer.value(data).map_err(Why::Data)?;
        match values.get(&value) {
            Some(first) => Err(Why::Same(Arc::clone(&pointer.source), (*first).into())),
            None => {
                values.insert(value, name);
                Ok(())
            }
        }
    }
}

/// A count under way.
#[derive(Default)]
struct Count {
    counted: u32,
    of: u32,
    /// Those that have another name than those that are counted.
    strangers: Vec<(Box<str>, Why)>,
    ignored: Vec<(Box<str>, Why)>,
}

impl Count {
    fn take(&mut self, name: &str, check: Result<(), Why>) {
        self.of += 1;
        let Err(why) = check else {
            self.counted += 1;
            return;
        };
        let list = if matches!(why, Why::Name(_)) { &mut self.strangers } else { &mut self.ignored };
        if list.len() < Tally::NAMES {
            list.push((name.into(), why));
        }
    }

    fn end(self) -> Tally {
        let Self { counted, of, strangers, mut ignored } = self;
        ignored.extend(strangers);
        ignored.truncate(Tally::NAMES);
        Tally { counted, of, ignored }
    }
}
