//! All paths that an evaluator knows of, and which of them may stand otherwise than they were shown last: nobody gets
//! at a path to change it without that being noted here.

use std::collections::{BTreeMap, BTreeSet};
use std::mem;
use std::ops::Deref;
use std::sync::Arc;

use super::path::Path;
use crate::model::path_list::{PART, PathList};
use crate::model::path_status::PathStatus;

#[derive(Debug, Default)]
pub(super) struct Known {
    paths: Paths,
    touched: Touched,
    /// How they were shown last.
    shown: PathList,
    /// How many paths match each glob, if that was counted since a path came or went.
    matches: Option<BTreeMap<Arc<str>, u32>>,
}

type Paths = BTreeMap<Arc<str>, Path>;

/// Which paths may stand otherwise than they were shown last.
#[derive(Debug)]
enum Touched {
    These(BTreeSet<Arc<str>>),
    /// So many that it is less work to show all anew.
    All,
}

impl Default for Touched {
    fn default() -> Self {
        Self::These(BTreeSet::new())
    }
}

impl Deref for Known {
    type Target = Paths;

    fn deref(&self) -> &Paths {
        &self.paths
    }
}

impl Known {
    pub fn get_mut(&mut self, path: &Arc<str>) -> Option<&mut Path> {
        self.touch(path);
        self.paths.get_mut(path)
    }

    pub fn each_mut(&mut self) -> impl Iterator<Item = &mut Path> {
        self.touched = Touched::All;
        self.paths.values_mut()
    }

    pub fn insert(&mut self, path: Arc<str>, known: Path) {
        self.touch(&path);
        self.matches = None;
        self.paths.insert(path, known);
    }

    /// Takes in paths none of which is known. Put in all at once they fill the map's nodes, which single insertions
    /// leave half empty.
    pub fn append(&mut self, mut fresh: Paths) {
        (self.touched, self.matches) = (Touched::All, None);
        self.paths.append(&mut fresh);
    }

    pub fn remove(&mut self, path: &Arc<str>) -> Option<Path> {
        self.touch(path);
        self.matches = None;
        self.paths.remove(path)
    }

    pub fn retain(&mut self, keep: impl FnMut(&Arc<str>, &mut Path) -> bool) {
        (self.touched, self.matches) = (Touched::All, None);
        self.paths.retain(keep);
    }

    /// How each path stands. Of those that may stand otherwise than they were shown last, and of those shown beside them,
    /// `status` says how.
    pub fn show(&mut self, status: impl Fn(&Arc<str>, &Path) -> PathStatus) -> PathList {
        let status = |(path, known): (&Arc<str>, &Path)| status(path, known);
        match mem::take(&mut self.touched) {
            Touched::All => self.shown = self.paths.iter().map(status).collect(),
            Touched::These(paths) => paths.iter().for_each(|path| {
                self.shown.renew(path, |range| self.paths.range::<str, _>(range).map(status).collect());
            }),
        }
        debug_assert!(!cfg!(test) || self.is_shown(status), "a path was changed that nobody noted");
        self.shown.clone()
    }

    /// How many paths match a glob.
    pub fn matches(&mut self, glob: &str) -> u32 {
        let matches = self.matches.get_or_insert_with(|| {
            let mut matches = BTreeMap::new();
            for known in self.paths.values().filter(|known| known.is_match()) {
                *matches.entry(Arc::clone(known.pattern())).or_default() += 1;
            }
            matches
        });
        matches.get(glob).copied().unwrap_or_default()
    }

    /// Whether each path is shown as it stands.
    fn is_shown(&self, status: impl Fn((&Arc<str>, &Path)) -> PathStatus) -> bool {
        let words = |status: &PathStatus| format!("{status:?}");
        self.shown.iter().map(words).eq(self.paths.iter().map(status).map(|status| words(&status)))
    }

    fn touch(&mut self, path: &Arc<str>) {
        let Touched::These(paths) = &mut self.touched else { return };
        paths.insert(Arc::clone(path));
        // Each of them may stand in a part of its own.
        if paths.len() * PART > self.paths.len() {
            self.touched = Touched::All;
        }
    }
}
