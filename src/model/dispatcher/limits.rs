//! How much, how often and how long.

use std::time::Duration;

/// How long a receiver is tried for one item before it is given up.
pub const PATIENCE: Duration = Duration::from_secs(24 * 60 * 60);
/// How many items one message may hold.
pub const DIGEST: usize = 500;
/// How many bytes the items of one message may take, by [`Item::size`](crate::model::message::Item::size). A single one that
/// takes more is sent alone.
pub const DIGEST_BYTES: usize = 512 * 1024;
/// After how many items that were refused alone, with nothing accepted in between, a receiver is taken to refuse
/// everything: its digests are not halved any more until it accepts one.
pub const REFUSED_ALONE: u32 = 8;
/// Above how many waiting items a receiver that takes no digests gets one event for all.
pub const STORM: usize = 50;
