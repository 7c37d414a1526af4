//! Functions that were made of what a file says.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// A function and the text it was made of. Functions come from outside, so that the model needs no expression engine
/// and no parser; two are the same if they were written the same.
#[derive(Clone)]
pub struct Compiled<F> {
    /// As written.
    pub source: Arc<str>,
    /// What it does.
    pub run: F,
}

impl<F> fmt::Debug for Compiled<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Compiled").field(&self.source).finish()
    }
}

impl<F> PartialEq for Compiled<F> {
    fn eq(&self, other: &Self) -> bool {
        self.source == other.source
    }
}

impl<F> Eq for Compiled<F> {}

impl<F> Hash for Compiled<F> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.source.hash(state);
    }
}
