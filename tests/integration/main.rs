//! The real executable against a real ZooKeeper and receivers that misbehave on demand.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails where it stands")]
#![allow(
    clippy::disallowed_methods,
    reason = "tests are shells: they tell the model and the daemon the time"
)]

mod architecture;
mod attacks;
mod cluster;
#[allow(dead_code, unused_imports, reason = "a toolbox: not every tool is in use at every time")]
mod common;
mod config;
mod delivery;
#[cfg(debug_assertions)]
mod explain;
mod faults;
mod harness;
mod http;
mod journal;
mod packaging;
mod page;
mod prometheus;
mod recipes;
mod reload;
mod schema;
mod shutdown;
mod suggest;
mod systemd;
mod watching;
