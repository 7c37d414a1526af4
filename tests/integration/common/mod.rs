//! What the tests are made of: servers to talk to, receivers to be told, the daemon between them.
//!
//! Everything ends with the value that stands for it, and with the test process however that ends.

mod alertmanager;
mod authority;
mod children;
mod chromium;
mod client;
mod daemon;
mod ensemble;
mod folder;
mod http_sink;
mod kazoo;
mod mail;
mod port;
mod postfix;
mod prometheus;
mod proxy;
mod records;
mod response;
mod run;
mod server;
mod smtp_sink;
mod tls_front;
mod tunnel;
mod zookeeper;

use std::fmt::Debug;
use std::time::{Duration, Instant};

pub use alertmanager::Alertmanager;
pub use authority::Authority;
pub use children::{Process, bound_to_us, bound_within};
pub use chromium::{Chromium, Key};
pub use client::{Access, Client, Mode};
pub use daemon::{Builder, Daemon, Tap};
pub use ensemble::Ensemble;
pub use folder::Folder;
pub use http_sink::{Answer, HttpSink, Request};
pub use kazoo::{kazoo, python};
pub use mail::Mail;
pub use port::free_port;
pub use postfix::{PASSWORD, Postfix, USER};
pub use prometheus::Prometheus;
pub use proxy::Proxy;
pub use response::Response;
pub use run::{Output, run, run_full};
pub use server::{Server, echo_server};
pub use smtp_sink::{Manner, SmtpSink};
pub use tls_front::TlsFront;
pub use tunnel::Tunnel;
pub use zookeeper::{Place, Space, Version, ZooKeeper, other_clock, shared};

/// How long to wait for what takes a moment: generous, because two cores run many tests at once.
pub const SOON: Duration = Duration::from_secs(20);

/// One try of something that is waited for: done, or not yet and why.
pub trait Attempt {
    /// What it gives when done.
    type Value;

    /// The value, or the state of things in words.
    fn outcome(self) -> Result<Self::Value, String>;
}

impl Attempt for bool {
    type Value = ();

    fn outcome(self) -> Result<(), String> {
        if self { Ok(()) } else { Err("not yet".to_owned()) }
    }
}

impl<T> Attempt for Option<T> {
    type Value = T;

    fn outcome(self) -> Result<T, String> {
        self.ok_or_else(|| "nothing yet".to_owned())
    }
}

impl<T, E: Debug> Attempt for Result<T, E> {
    type Value = T;

    fn outcome(self) -> Result<T, String> {
        self.map_err(|state| format!("{state:?}"))
    }
}

/// Tries until it is done. The only place of the tests that sleeps.
///
/// # Panics
/// After `within`, with what was waited for and how things stood at last.
#[track_caller]
pub fn eventually<A: Attempt>(within: Duration, what: &str, mut attempt: impl FnMut() -> A) -> A::Value {
    let start = Instant::now();
    let mut pause = Duration::from_millis(2);
    loop {
        match attempt().outcome() {
            Ok(value) => return value,
            Err(state) if start.elapsed() > within => panic!("no {what} within {within:?}; at last: {state}"),
            Err(_) => std::thread::sleep(pause),
        }
        pause = (pause * 2).min(Duration::from_millis(50));
    }
}

/// Holds that something stays as it is: tries for the whole of `during`.
///
/// # Panics
/// As soon as it is otherwise.
#[track_caller]
pub fn throughout<A: Attempt>(during: Duration, what: &str, mut attempt: impl FnMut() -> A) {
    let start = Instant::now();
    eventually(during + SOON, what, || {
        if let Err(state) = attempt().outcome() {
            panic!("not {what} after {:?}: {state}", start.elapsed());
        }
        start.elapsed() >= during
    });
}
