//! Regular expressions, as functions: the model needs no expression engine.

use std::sync::Arc;

/// Says whether data matches an expression.
pub type Matcher = Arc<dyn Fn(&[u8]) -> bool + Send + Sync>;
