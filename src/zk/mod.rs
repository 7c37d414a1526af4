//! The ZooKeeper side: one session at a time, watches, election, ledger.
//!
//! The client library is contained rather than trusted. Each session is a *generation* of its own: a fresh
//! connection ([`dial`]), a [`link`] that the library talks through and that can be cut from outside, a
//! [`client`] that lives as long as the generation. Nothing is ever resumed.

pub mod agents;
pub mod client;
pub mod contenders;
pub mod dial;
pub mod election;
pub mod frames;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
pub mod handshake;
pub mod ledger;
pub mod link;
pub mod names;
pub mod once;
pub mod outage;
pub mod peer;
pub mod pulse;
pub mod reading;
pub mod session;
pub mod silences;
pub mod skipped;
pub mod splitter;
pub mod tls;
mod unwatching;
pub mod watch;
pub mod watch_input;
