//! `--suggest`: from a tree of znodes, as it was seen for a while, to rules that would watch it.
//!
//! What lives and dies with a session is worth an alert: groups of instances are counted, and a single ephemeral znode
//! with a name of its own must be there. Configuration, queues and locks are left alone.

mod names;
#[cfg(test)]
mod tests;
mod tree;
mod yaml;

pub use tree::{Node, Seen};
pub use yaml::yaml;
