//! zk_monitor watches ZooKeeper paths for compliance with specs, and alerts when a path falls out of spec and
//! when it comes back.
//!
//! Facts travel one way: blocking ZooKeeper watchers → [`zk`] → the evaluator → the alert thread → a thread a
//! receiver. Nothing calls back. What readers want to know is published in single-writer cells
//! ([`published`]) that the HTTP side reads.

pub mod cli;
pub mod clock;
pub mod commands;
pub mod config;
pub mod credentials;
pub mod daemon;
pub mod http;
pub mod logging;
pub mod model;
pub mod notify;
pub mod pipeline;
pub mod published;
pub mod roots;
pub mod systemd;
pub mod threads;
pub mod watching;
pub mod zk;

/// A variable of the environment, if it is set and is text.
pub fn env(name: &str) -> Option<String> {
    std::env::var(name).ok()
}
