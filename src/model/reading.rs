//! What was seen of one znode.

use std::sync::Arc;

use super::children::Children;

/// What a reading of one path showed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Reading {
    /// There is no such znode.
    Missing,
    /// The znode exists. A part that its rule does not ask for is `None`.
    Present {
        /// The names of its children.
        children: Option<Children>,
        /// Its data.
        data: Option<Box<[u8]>>,
    },
    /// The server does not show it, for this reason.
    Unreadable(Arc<str>),
}
