//! The real executable against a real ZooKeeper and receivers that misbehave on demand.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails where it stands")]
#![allow(
    clippy::disallowed_methods,
    reason = "tests are shells: they tell the model and the daemon the time"
)]

mod access;
mod addresses;
mod architecture;
mod attacks;
mod changes;
mod cluster;
mod cluster_chaos;
mod cluster_degraded;
mod cluster_gap;
mod cluster_hands;
mod cluster_judge;
mod cluster_restart;
#[allow(dead_code, unused_imports, reason = "a toolbox: not every tool is in use at every time")]
mod common;
mod compliance;
mod config;
mod delivery;
mod delivery_alertmanager;
mod delivery_http;
mod delivery_mail;
mod encrypted;
mod failover;
#[cfg(debug_assertions)]
mod faults;
mod harness;
mod http;
mod mail_trouble;
mod notification;
mod outage;
mod packaging;
mod page;
mod reload;
mod shutdown;
mod storm;
mod strangers;
mod systemd;
#[path = "watching/truth.rs"]
mod watching_truth;
