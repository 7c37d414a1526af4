//! Bodies of `/status`, made once a snapshot and not once a request.

use std::any::Any;
use std::hash::{DefaultHasher, Hasher};
use std::sync::{Arc, Weak};

use super::status::{self, Selection, View};

/// How many bytes of bodies are kept at most. The latest is kept whatever its size, and so is the one without a
/// filter and details: no other request makes that one slow.
const KEPT: usize = 32 << 20;

/// Text that is shared by everyone who is being sent it.
#[derive(Clone, Debug)]
pub struct Body {
    pub bytes: Arc<Vec<u8>>,
    /// Its entity tag, quoted: equal texts have equal tags.
    pub tag: Arc<str>,
}

/// The bodies made of the latest snapshot.
#[derive(Default)]
pub struct Bodies {
    /// The least recently used first.
    kept: Vec<(Selection, Body)>,
    source: Source,
}

impl Bodies {
    /// The body for what is known now.
    pub fn get(&mut self, view: &View, selection: Selection) -> Body {
        let source = Source::of(view);
        if !self.source.is(&source) {
            self.kept.clear();
            self.source = source;
        }
        let found = self.kept.iter().position(|(kept, _)| *kept == selection);
        let body = found.map_or_else(|| make(view, selection), |at| self.kept.remove(at).1);
        self.kept.push((selection, body.clone()));
        self.bound();
        body
    }

    fn bound(&mut self) {
        while self.size() > KEPT {
            let spare = &self.kept[..self.kept.len() - 1];
            let Some(oldest) = spare.iter().position(|(kept, _)| *kept != Selection::ALL) else { return };
            self.kept.remove(oldest);
        }
    }

    fn size(&self) -> usize {
        self.kept.iter().map(|(_, body)| body.bytes.len()).sum()
    }
}

fn make(view: &View, selection: Selection) -> Body {
    Body::new(status::body(view, selection))
}

impl Body {
    /// Of this text.
    pub fn new(mut bytes: Vec<u8>) -> Self {
        bytes.shrink_to_fit();
        let mut hasher = DefaultHasher::new();
        hasher.write(&bytes);
        Self { bytes: Arc::new(bytes), tag: format!("\"{:016x}\"", hasher.finish()).into() }
    }
}

/// What a body was made of. Weak pointers: they keep no old snapshot's content alive, yet no new snapshot can
/// get the address of one that they still point to.
#[derive(Default)]
struct Source {
    cells: Vec<Weak<dyn Any + Send + Sync>>,
    connected: bool,
    alerting: bool,
}

impl Source {
    fn of(view: &View) -> Self {
        let cells: [Weak<dyn Any + Send + Sync>; 6] = [
            Arc::downgrade(&view.connection) as _,
            Arc::downgrade(&view.compliance) as _,
            Arc::downgrade(&view.watch) as _,
            Arc::downgrade(&view.alerts) as _,
            Arc::downgrade(&view.cluster) as _,
            Arc::downgrade(&view.config) as _,
        ];
        Self { cells: cells.into(), connected: view.connected, alerting: view.alerting }
    }

    fn is(&self, other: &Self) -> bool {
        (self.connected, self.alerting, self.cells.len())
            == (other.connected, other.alerting, other.cells.len())
            && self.cells.iter().zip(&other.cells).all(|(mine, theirs)| mine.ptr_eq(theirs))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::fixture;
    use super::*;
    use crate::model::path_status::PathState;
    use crate::model::status::Compliance;

    #[test]
    fn a_body_is_made_once_a_snapshot_and_anew_for_the_next() {
        let (cells, snapshots) = fixture::cells();
        let now = fixture::now();
        let mut bodies = Bodies::default();
        let first = bodies.get(&snapshots.view(now), Selection::ALL);
        let again = bodies.get(&snapshots.view(now), Selection::ALL);
        assert!(Arc::ptr_eq(&first.bytes, &again.bytes));

        let paths = [fixture::path("/other", PathState::Ok, 1)].into_iter().collect();
        cells.compliance.publish(Compliance { paths, ..Compliance::default() });
        let next = bodies.get(&snapshots.view(now), Selection::ALL);
        assert!(String::from_utf8_lossy(&next.bytes).contains("/other"));
        assert_ne!(first.tag, next.tag);
    }

    #[test]
    fn the_end_of_the_lease_shows_without_a_new_snapshot() {
        let (_cells, snapshots) = fixture::cells();
        let now = fixture::now();
        let mut bodies = Bodies::default();
        let leading = bodies.get(&snapshots.view(now), Selection::ALL);
        let later = bodies.get(&snapshots.view(now + Duration::from_secs(3000)), Selection::ALL);
        assert!(String::from_utf8_lossy(&leading.bytes).contains("\"alerting\": true"));
        assert!(String::from_utf8_lossy(&later.bytes).contains("\"alerting\": false"));
    }

    #[test]
    fn equal_texts_have_equal_tags_and_old_snapshots_are_let_go() {
        let (cells, snapshots) = fixture::cells();
        let now = fixture::now();
        let mut bodies = Bodies::default();
        let first = bodies.get(&snapshots.view(now), Selection::ALL);
        let old = Arc::downgrade(&snapshots.compliance.get());
        cells.compliance.publish((*snapshots.compliance.get()).clone());
        assert!(old.upgrade().is_none(), "the cache keeps no snapshot");
        let second = bodies.get(&snapshots.view(now), Selection::ALL);
        assert!(!Arc::ptr_eq(&first.bytes, &second.bytes));
        assert_eq!(first.tag, second.tag);
    }

    #[test]
    fn the_cache_is_bounded() {
        let (cells, snapshots) = fixture::cells();
        cells.compliance.publish(fixture::many(60_000));
        let view = snapshots.view(fixture::now());
        let mut bodies = Bodies::default();
        for bits in 0..16_u8 {
            let [ok, error, unknown, detail] = [1, 2, 4, 8].map(|bit| bits & bit != 0);
            let made = bodies.get(&view, Selection { ok, error, unknown, detail });
            let plain = bodies.kept.iter().filter(|(kept, _)| *kept == Selection::ALL);
            let spared: usize = plain.map(|(_, body)| body.bytes.len()).sum();
            assert!(bodies.size() <= KEPT.max(spared + made.bytes.len()), "{} bytes", bodies.size());
        }
        assert!(bodies.kept.len() > 2 && bodies.kept.iter().any(|(kept, _)| *kept == Selection::ALL));
    }
}
