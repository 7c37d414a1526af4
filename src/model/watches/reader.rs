//! One reading: which calls it takes, and what their answers make of it.

use std::sync::Arc;

use super::node::{Creation, Wants};
use crate::model::children::Children;
use crate::model::reading::Reading;

/// How often a znode that comes and goes between two calls is tried before others get their turn.
const TRIES: u32 = 3;

/// One call to ZooKeeper.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// The names of the children, leaving a watch on them.
    Children,
    /// The data, leaving a watch on it.
    Data,
    /// Whether the znode exists, leaving a watch for its creation, its end and its data.
    Exists,
    /// Take back the watch for the creation.
    Unwatch,
}

/// What a call was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// The names of the children.
    Children(Children),
    /// The data.
    Data(Box<[u8]>),
    /// It exists, or what was asked for is done.
    Yes,
    /// There is no such znode.
    Missing,
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
    data: Option<Box<[u8]>>,
    /// Whether the znode is known to be missing by a call that left no watch for its creation.
    missing: bool,
}

impl Reader {
    /// A reading for what is wanted.
    pub fn new(wants: Wants) -> Self {
        let missing = wants.creation == Creation::Dismiss;
        Self { wants, tries: TRIES, children: None, data: None, missing }
    }

    /// The call to make now.
    pub fn call(&self) -> Call {
        if self.missing {
            return if self.wants.creation == Creation::Watch { Call::Exists } else { Call::Unwatch };
        }
        match (self.wants.children && self.children.is_none(), self.wants.data) {
            (true, _) => Call::Children,
            (false, true) => Call::Data,
            (false, false) => Call::Exists,
        }
    }

    /// Takes the answer to that call.
    pub fn take(&mut self, reply: Reply) -> Step {
        match (self.call(), reply) {
            // A server that cannot take a watch back is no reason not to go on.
            (Call::Unwatch, _) => Step::Done(Some(Reading::Missing)),
            (_, Reply::Refused(reason)) => Step::Done(Some(Reading::Unreadable(reason))),
            (Call::Exists, Reply::Missing) => self.missing(true),
            (_, Reply::Missing) => self.missing(false),
            (Call::Exists, _) if self.missing => self.again(),
            (_, Reply::Children(children)) => {
                self.children = Some(children);
                if self.wants.data { Step::Call(Call::Data) } else { self.done() }
            }
            (_, Reply::Data(data)) => {
                self.data = Some(data);
                self.done()
            }
            (_, Reply::Yes) => self.done(),
        }
    }

    fn done(&mut self) -> Step {
        Step::Done(Some(Reading::Present { children: self.children.take(), data: self.data.take() }))
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
        (self.children, self.data, self.missing) = (None, None, false);
        Step::Call(self.call())
    }
}
