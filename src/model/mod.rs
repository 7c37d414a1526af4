//! The pure core: what a violation is, when it becomes an alert, and who must still hear of it.
//!
//! Nothing here does I/O, logs, reads a clock or waits. Every function gets the time as an argument and
//! returns what has to be done; the shells in [`crate::pipeline`] do it. That is what lets the simulation run
//! the very same code through thousands of crashes.
#![doc = include_str!("protocol.md")]
#![warn(missing_docs)]

pub mod alert;
pub mod alert_key;
pub mod asks;
pub mod blind;
pub mod children;
pub mod dispatcher;
pub mod duration;
pub mod election_update;
pub mod evaluator;
pub mod event;
pub mod former_names;
pub mod jitter;
pub mod judge;
pub mod labels;
pub mod lease;
pub mod ledger;
pub mod ledger_change;
pub mod message;
pub mod notifier;
pub mod observation;
pub mod one_or_many;
pub mod path;
pub mod path_list;
pub mod path_status;
pub mod printable;
pub mod reading;
pub mod receiver;
pub mod recent;
pub mod render;
pub mod replay;
pub mod rfc3339;
pub mod rule;
pub mod server_clock;
pub mod severity;
pub mod slots;
pub mod small_map;
pub mod status;
pub mod succession;
pub mod suggest;
pub mod time;
pub mod transition;
pub mod watches;
