//! What files held that a configuration names.

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What was read from files that one of the configuration names: secrets, certificates, templates.
#[derive(Clone, Default)]
pub(super) struct NamedFiles(HashMap<PathBuf, Arc<[u8]>>);

impl NamedFiles {
    pub(super) fn get(&self, path: &Path) -> Option<Arc<[u8]>> {
        self.0.get(path).cloned()
    }

    pub(super) fn insert(&mut self, path: PathBuf, content: &Arc<[u8]>) {
        self.0.insert(path, Arc::clone(content));
    }
}

/// What is in them can be used, and never be printed.
impl fmt::Debug for NamedFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}
