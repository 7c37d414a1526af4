//! One reading: which calls it takes, and what their answers make of it.

use std::sync::Arc;

use super::kept::Part;
use super::node::{Creation, Wants};
use crate::model::children::Children;
use crate::model::judge::EachChild;
use crate::model::reading::{ChildReading, ChildZnode, EachRead, Reading, Written};

/// How often a znode that comes and goes between two calls is tried before others get their turn.
const TRIES: u32 = 3;

/// One call to ZooKeeper.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Call {
    /// The names of the children, leaving a watch on them.
    Children,
    /// The data, leaving a watch on it.
    Data,
    /// Whether the znode exists, leaving a watch for its creation, its end and its data.
    Exists,
    /// Take back the watch for the creation.
    Unwatch,
    /// Whether the child of this name exists, and what it is; no watch is left.
    ChildStat(Box<str>),
    /// The data of the child of this name, and what it is, leaving a watch on the data.
    ChildData(Box<str>),
}

/// What a call was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// The names of the children.
    Children(Children),
    /// The data, and when it was written.
    Data(Written),
    /// What a child is.
    Child(ChildZnode),
    /// It exists, or what was asked for is done.
    Yes,
    /// There is no such znode.
    Missing,
    /// It exists, and may not be read, for this reason; a watch is not left.
    Shut(Arc<str>),
    /// The server refuses, for this reason; a watch is not left.
    Refused(Arc<str>),
}

/// What comes after an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Another call.
    Call(Call),
    /// The reading; `None` if the znode comes and goes faster than it can be read, so that it has to be read again.
    Done(Option<Reading>),
}

/// A reading that is being made. Whatever it shows, it leaves watches for the next change of that, but where the
/// server refuses.
#[derive(Debug)]
pub struct Reader {
    wants: Wants,
    tries: u32,
    children: Option<Children>,
    each: Each,
    data: Option<Written>,
    /// Whether the znode is known to be missing by a call that left no watch for its creation.
    missing: bool,
    /// What is taken over from the reading before it.
    part: Option<Part>,
}

impl Reader {
    /// A reading for what is wanted, of which that part is known.
    pub fn new(wants: Wants, part: Option<Part>) -> Self {
        let missing = wants.creation == Creation::Dismiss;
        let mut reader =
            Self { wants, tries: TRIES, children: None, each: Each::default(), data: None, missing, part };
        reader.begin();
        reader
    }

    /// Takes the listing over, if it is known.
    fn begin(&mut self) {
        if let Some(children) = self.part.as_ref().and_then(Part::listing).cloned() {
            self.each.begin(&children, self.part.as_ref());
            self.children = Some(children);
        }
    }

    /// The call to make now.
    pub fn call(&self) -> Call {
        if self.missing {
            return if self.wants.creation == Creation::Watch { Call::Exists } else { Call::Unwatch };
        }
        if self.wants.children && self.children.is_none() {
            return Call::Children;
        }
        match (self.each.ahead.last(), self.wants.each_child, self.wants.data) {
            (Some(name), EachChild::Stat, _) => Call::ChildStat(name.clone()),
            (Some(name), EachChild::Data, _) => Call::ChildData(name.clone()),
            (Some(_), EachChild::Nothing, true) | (None, _, true) => Call::Data,
            (Some(_), EachChild::Nothing, false) | (None, _, false) => Call::Exists,
        }
    }

    /// Takes the answer to that call.
    pub fn take(&mut self, reply: Reply) -> Step {
        match (self.call(), reply) {
            // A server that cannot take a watch back is no reason not to go on.
            (Call::Unwatch, _) => Step::Done(Some(Reading::Missing)),
            (Call::ChildStat(_) | Call::ChildData(_), reply) => self.child(reply),
            (_, Reply::Shut(reason)) => Step::Done(Some(Reading::Shut(reason))),
            (_, Reply::Refused(reason)) => Step::Done(Some(Reading::Unreadable(reason))),
            (Call::Exists, Reply::Missing) => self.missing(true),
            (_, Reply::Missing) => self.missing(false),
            (Call::Exists, _) if self.missing => self.again(),
            (_, Reply::Children(children)) => {
                if self.wants.each_child != EachChild::Nothing {
                    self.each.begin(&children, self.part.as_ref());
                }
                self.children = Some(children);
                self.go_on()
            }
            (_, Reply::Data(data)) => {
                self.data = Some(data);
                self.done()
            }
            (_, Reply::Yes | Reply::Child(_)) => self.done(),
        }
    }

    /// A child was read.
    fn child(&mut self, reply: Reply) -> Step {
        // The listing that was taken over is out of date.
        if reply == Reply::Missing
            && let Some(part) = self.part.as_mut().filter(|part| !part.lists())
        {
            part.list();
            return self.restart();
        }
        self.each.take(reply);
        // Which of them there is room for depends on all.
        if self.each.overflows && self.part.take().is_some() {
            return self.restart();
        }
        self.go_on()
    }

    fn restart(&mut self) -> Step {
        (self.children, self.each, self.data, self.missing) = (None, Each::default(), None, false);
        Step::Call(self.call())
    }

    /// The children are listed, and some of them may be read: what is left to do.
    fn go_on(&mut self) -> Step {
        if self.wants.data || !self.each.ahead.is_empty() { Step::Call(self.call()) } else { self.done() }
    }

    fn done(&mut self) -> Step {
        let each = std::mem::take(&mut self.each);
        let each = match (self.wants.each_child, each.too_many) {
            (EachChild::Nothing, _) => EachRead::Unasked,
            (_, true) => EachRead::TooMany,
            (_, false) => EachRead::Read(each.by_name()),
        };
        Step::Done(Some(Reading::Present { children: self.children.take(), each, data: self.data.take() }))
    }

    fn missing(&mut self, is_watched: bool) -> Step {
        let settled = match self.wants.creation {
            Creation::Ignore => !is_watched,
            Creation::Watch => is_watched,
            Creation::Unwatch | Creation::Dismiss => false,
        };
        if settled {
            return Step::Done(Some(Reading::Missing));
        }
        self.missing = true;
        Step::Call(self.call())
    }

    /// It came between two calls.
    fn again(&mut self) -> Step {
        self.tries -= 1;
        if self.tries == 0 {
            return Step::Done(None);
        }
        // Whoever comes and goes takes its children with it.
        self.part = None;
        self.restart()
    }
}

/// The children of a znode that are being read.
#[derive(Debug, Default)]
struct Each {
    /// Those that have to be read yet; the last is the next.
    ahead: Vec<Box<str>>,
    read: Vec<ChildReading>,
    /// How many bytes their data has.
    bytes: usize,
    too_many: bool,
    /// Whether there was no room for the data of one.
    overflows: bool,
}

impl Each {
    fn begin(&mut self, children: &Children, part: Option<&Part>) {
        self.too_many = children.count() > EachRead::MOST;
        if self.too_many {
            return;
        }
        for name in children.names() {
            match part.and_then(|part| part.child(name)) {
                Some(child) => {
                    let znode = child.znode.clone().and_then(|znode| self.keep(znode));
                    self.read.push(ChildReading { name: name.into(), znode });
                }
                None => self.ahead.push(name.into()),
            }
        }
        self.ahead.reverse();
    }

    fn by_name(mut self) -> Box<[ChildReading]> {
        self.read.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        self.read.into_boxed_slice()
    }

    /// Takes the answer for the next child.
    fn take(&mut self, reply: Reply) {
        let Some(name) = self.ahead.pop() else { return };
        let znode = match reply {
            Reply::Child(znode) => self.keep(znode),
            Reply::Shut(reason) | Reply::Refused(reason) => Err(reason),
            // It went after it was listed, so it is not there.
            Reply::Missing | Reply::Children(_) | Reply::Data(_) | Reply::Yes => return,
        };
        self.read.push(ChildReading { name, znode });
    }

    fn keep(&mut self, znode: ChildZnode) -> Result<ChildZnode, Arc<str>> {
        let bytes = self.bytes + znode.written.as_ref().map_or(0, |written| written.data.len());
        if bytes > EachRead::MOST_BYTES {
            self.overflows = true;
            let most = EachRead::MOST_BYTES >> 20;
            return Err(format!("the children before it hold {most} MiB, and no more is read").into());
        }
        self.bytes = bytes;
        Ok(znode)
    }
}
