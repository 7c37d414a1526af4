//! What is kept of a znode's children, so that one that rings does not have all of them read again.
//!
//! A child's reading is kept as long as the watch that it left tells of the next change: whatever happens to the child
//! rings, its end and its being made again too, and before what that does to the listing. One that could not be read
//! left no watch, nor did one that was gone, so that these are read each time.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::model::children::Children;
use crate::model::judge::EachChild;
use crate::model::reading::{ChildReading, EachRead, Reading};

/// How much is kept of the children of one znode. Who has more has mostly more to read of one child than a call takes.
const MOST_OF_ONE: usize = 4 * 1024 * 1024;
/// How much is kept of all: three hundred thousand children with little data, and no more than a few of those that
/// are as large as may be read.
const MOST: usize = 32 * 1024 * 1024;
/// What an allocation costs beside what it holds.
const OVERHEAD: usize = 16;
/// How many children that rang are told apart. To read as many one by one is no quick thing any more.
const MOST_RUNG: usize = 256;

/// How much is kept, and the place to keep it.
#[derive(Debug, Default)]
pub(super) struct Shelf {
    used: Arc<AtomicUsize>,
}

impl Shelf {
    /// Keeps what a reading showed of children.
    pub(super) fn keep_reading(&self, reading: &Reading, asked: EachChild) -> Option<Arc<Kept>> {
        match reading {
            Reading::Present { children: Some(children), each: EachRead::Read(each), .. }
                if asked == EachChild::Data =>
            {
                self.keep(children, each)
            }
            Reading::Present { .. } | Reading::Missing | Reading::Shut(_) | Reading::Unreadable(_) => None,
        }
    }

    /// Keeps what was read of children, each of which has left a watch if it could be read; nothing if that is too much.
    fn keep(&self, children: &Children, each: &[ChildReading]) -> Option<Arc<Kept>> {
        let bytes = each.iter().map(weight).sum::<usize>() + children.names().map(str::len).sum::<usize>();
        // Nobody but the machine's own thread puts anything there.
        if bytes > MOST_OF_ONE || self.used.load(Ordering::Relaxed) + bytes > MOST {
            return None;
        }
        self.used.fetch_add(bytes, Ordering::Relaxed);
        let used = Arc::clone(&self.used);
        Some(Arc::new(Kept { children: children.clone(), each: each.into(), bytes, used }))
    }
}

fn weight(child: &ChildReading) -> usize {
    let data =
        child.znode.iter().filter_map(|znode| znode.written.as_ref()).map(|written| written.data.len());
    size_of::<ChildReading>() + child.name.len() + data.sum::<usize>() + 2 * OVERHEAD
}

/// The children of a znode as last read, with a watch on each.
#[derive(Debug)]
pub struct Kept {
    children: Children,
    /// By name.
    each: Box<[ChildReading]>,
    bytes: usize,
    used: Arc<AtomicUsize>,
}

impl Kept {
    fn get(&self, name: &str) -> Option<&ChildReading> {
        let at = self.each.binary_search_by(|child| (*child.name).cmp(name)).ok()?;
        self.each.get(at)
    }

    /// Whether a child of this name could be read.
    pub(super) fn has(&self, name: &str) -> bool {
        self.get(name).is_some_and(|child| child.znode.is_ok())
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// How much has to be read anew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Extent {
    /// Everything.
    Whole,
    /// The children that rang, and all that is no child's.
    Rung {
        /// Whether the znode itself rang, so that its children have to be listed.
        listing: bool,
        /// The children's names, at most [`MOST_RUNG`].
        children: BTreeSet<Box<str>>,
    },
}

impl Extent {
    /// The znode itself rang.
    pub(super) fn of_itself() -> Self {
        Self::Rung { listing: true, children: BTreeSet::new() }
    }

    /// A child of it rang.
    pub(super) fn of_child(name: &str) -> Self {
        Self::Rung { listing: false, children: BTreeSet::from([name.into()]) }
    }

    /// What serves both.
    pub(super) fn merged(self, other: Self) -> Self {
        match (self, other) {
            (
                Self::Rung { listing, mut children },
                Self::Rung { listing: other_listing, children: mut others },
            ) if children.len() + others.len() <= MOST_RUNG => {
                children.append(&mut others);
                Self::Rung { listing: listing || other_listing, children }
            }
            (Self::Rung { .. }, Self::Rung { .. }) | (Self::Whole, _) | (_, Self::Whole) => Self::Whole,
        }
    }

    /// What a reading of that begins with, if what was read before is kept.
    pub(super) fn part(&self, kept: Option<&Arc<Kept>>) -> Option<Part> {
        let Self::Rung { listing, children } = self else { return None };
        let kept = Arc::clone(kept?);
        // A child that is not known may be in a newer listing.
        let listing = *listing || !children.iter().all(|name| kept.has(name));
        Some(Part { kept, listing, anew: children.clone() })
    }
}

/// What a reading can take over from the one before it.
#[derive(Clone, Debug)]
pub struct Part {
    kept: Arc<Kept>,
    listing: bool,
    anew: BTreeSet<Box<str>>,
}

impl Part {
    /// Whether the children have to be listed again.
    pub fn lists(&self) -> bool {
        self.listing
    }

    /// Has the children listed again.
    pub(super) fn list(&mut self) {
        self.listing = true;
    }

    /// The listing that is taken over, if it is.
    pub(super) fn listing(&self) -> Option<&Children> {
        (!self.listing).then_some(&self.kept.children)
    }

    /// What is taken over of a child, if it is.
    pub(super) fn child(&self, name: &str) -> Option<&ChildReading> {
        self.kept.get(name).filter(|child| child.znode.is_ok() && !self.anew.contains(name))
    }

    /// Takes a child over although it rang, as one that forgets would.
    pub fn forget(&mut self, name: &str) {
        self.anew.remove(name);
    }
}

/// Parts are the same if they ask for the same of the same reading.
impl PartialEq for Part {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.kept, &other.kept) && (self.listing, &self.anew) == (other.listing, &other.anew)
    }
}

impl Eq for Part {}
