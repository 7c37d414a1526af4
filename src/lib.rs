//! zk_monitor watches ZooKeeper paths for compliance with specs, and alerts when a path falls out of spec and
//! when it comes back.
//!
//! The rooms, in reading order:
//!
//! - [`model`]: the pure core: what a violation is, when it becomes an alert, who must still hear of it
//! - [`pipeline`]: the loops that feed the model and act on what it returns
//! - [`zk`]: one ZooKeeper session at a time: watches, election, ledger
//! - [`notify`]: one file a kind of receiver, each of which makes one attempt
//! - [`http`]: `/status`, metrics and the page, behind a gate that bounds what a client can take
//! - [`journal`]: what happened, in memory and in files
//! - [`config`]: YAML to a validated configuration
//! - [`cli`]: the argument vector to options
//! - [`daemon`]: what connects all this, and in which order it starts and ends
//! - [`watching`]: the part of the wiring that the daemon shares with `--once`
//! - [`commands`]: what else the program can do: one question or errand, and an exit code
//! - [`logging`]: a bounded queue to standard error, the journal or syslog
//! - [`systemd`]: readiness, reload and watchdog
//! - [`threads`]: threads that are named and watched
//! - [`published`]: values with one writer and many readers, the only locks
//! - [`credentials`]: files with secrets
//! - [`net`]: resolving, connecting and talking with a deadline
//! - [`percent`]: percent-encoding, strictly read
//! - [`roots`]: which authorities are trusted
//! - [`memory`]: how the C library keeps memory
//! - [`clock`]: the only reader of clocks
#![doc = include_str!("architecture.md")]

pub mod cli;
pub mod clock;
pub mod commands;
pub mod config;
pub mod credentials;
pub mod daemon;
pub mod http;
pub mod journal;
pub mod logging;
pub mod memory;
pub mod model;
pub mod net;
pub mod notify;
pub mod percent;
pub mod pipeline;
pub mod published;
pub mod roots;
pub mod systemd;
pub mod threads;
pub mod watching;
pub mod zk;

#[cfg(test)]
mod fuzz;

/// A variable of the environment, if it is set and is text.
pub fn env(name: &str) -> Option<String> {
    std::env::var(name).ok()
}
