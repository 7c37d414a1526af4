//! The paths of a snapshot. Snapshots share the parts in which nothing has changed between them, so that one change
//! among a hundred thousand paths costs what a hundred paths cost.

use std::ops::Bound;
use std::sync::Arc;

use super::path_status::PathStatus;

/// How many paths a part holds when all are made at once; a part that has twice as many is divided. In unit tests the
/// fewest, so that a handful of paths has several parts.
pub const PART: usize = if cfg!(test) { 1 } else { 128 };

/// Paths, sorted.
#[derive(Clone, Debug, Default)]
pub struct PathList {
    /// None of them is empty.
    parts: Vec<Arc<[PathStatus]>>,
}

impl PathList {
    /// In the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = &PathStatus> {
        self.parts.iter().flat_map(|part| part.iter())
    }

    /// The one whose name is the first.
    pub fn first(&self) -> Option<&PathStatus> {
        self.iter().next()
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.parts.iter().map(|part| part.len()).sum()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// How this path stands; `None` if it is none of these.
    pub fn get(&self, path: &str) -> Option<&PathStatus> {
        let part = self.parts.get(self.part_of(path))?;
        part.binary_search_by(|status| (*status.path).cmp(path)).ok().map(|at| &part[at])
    }

    /// Makes anew the part where a path is, was, or would be. `within` gives what there is in a range by now.
    pub fn renew(&mut self, path: &str, within: impl FnOnce((Bound<&str>, Bound<&str>)) -> Vec<PathStatus>) {
        let at = self.part_of(path);
        let first = |at: usize| self.parts.get(at).map(|part| &*part[0].path);
        let from = first(at).filter(|_| at > 0).map_or(Bound::Unbounded, Bound::Included);
        let to = first(at + 1).map_or(Bound::Unbounded, Bound::Excluded);
        let fresh = parts(within((from, to)), 2 * PART);
        self.parts.splice(at..self.parts.len().min(at + 1), fresh);
    }

    /// The last part that begins at this path or before it, or else the first one.
    fn part_of(&self, path: &str) -> usize {
        self.parts.partition_point(|part| &*part[0].path <= path).saturating_sub(1)
    }
}

impl FromIterator<PathStatus> for PathList {
    /// Of paths that are sorted.
    fn from_iter<S: IntoIterator<Item = PathStatus>>(all: S) -> Self {
        Self { parts: parts(all.into_iter().collect(), PART) }
    }
}

/// Divides paths into parts of about the same size, none of more than so many.
fn parts(all: Vec<PathStatus>, most: usize) -> Vec<Arc<[PathStatus]>> {
    let count = all.len().div_ceil(most);
    let size = all.len().div_ceil(count.max(1));
    let mut all = all.into_iter();
    (0..count).map(|_| all.by_ref().take(size).collect()).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::SystemTime;

    use super::super::path_status::PathState;
    use super::*;

    fn status(path: &Arc<str>, children: u32) -> PathStatus {
        PathStatus {
            path: Arc::clone(path),
            rule: Arc::clone(path),
            state: PathState::Ok,
            children: Some(children),
            since: SystemTime::UNIX_EPOCH,
            particulars: None,
        }
    }

    fn shown(list: &PathList) -> Vec<(Arc<str>, u32)> {
        list.iter().map(|status| (Arc::clone(&status.path), status.children.unwrap())).collect()
    }

    #[test]
    fn it_is_what_was_renewed_path_by_path() {
        let mut random = fastrand::Rng::with_seed(7);
        let (mut truth, mut list) = (BTreeMap::<Arc<str>, u32>::new(), PathList::default());
        for round in 0..3000 {
            // First most come, and later most go.
            let path: Arc<str> = format!("/{}", random.u32(0..900)).into();
            let gone = random.u32(0..3000) < round;
            let _ = if gone { truth.remove(&path) } else { truth.insert(Arc::clone(&path), round) };
            let before = list.clone();
            list.renew(&path, |range| {
                truth.range::<str, _>(range).map(|(path, n)| status(path, *n)).collect()
            });
            let others =
                list.parts.iter().filter(|part| !before.parts.iter().any(|old| Arc::ptr_eq(old, part)));
            assert!(others.count() <= 2, "one part was made anew, or two of it");
            assert!(list.parts.iter().all(|part| (1..=2 * PART).contains(&part.len())));
            assert_eq!(list.get(&path).map(|status| status.children.unwrap()), truth.get(&path).copied());
            if round % 100 == 0 {
                assert_eq!(
                    shown(&list),
                    truth.iter().map(|(path, n)| (Arc::clone(path), *n)).collect::<Vec<_>>()
                );
            }
        }
        assert_eq!((list.len(), list.is_empty()), (truth.len(), truth.is_empty()));
    }

    #[test]
    fn parts_are_even() {
        let names: Vec<Arc<str>> = (0..1000).map(|n| format!("/{n:04}").into()).collect();
        let all = names.iter().map(|path| status(path, 1)).collect();
        let list = PathList { parts: parts(all, 128) };
        assert_eq!(list.parts.iter().map(|part| part.len()).collect::<Vec<_>>(), [125; 8]);
        assert!(names.iter().all(|path| list.get(path).is_some_and(|status| status.path == *path)));
        assert!(list.get("/0000/a").is_none() && list.get("").is_none() && list.get("/z").is_none());
        assert!(PathList::default().get("/a").is_none());
    }
}
