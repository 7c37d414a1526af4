//! Several agents and one ZooKeeper.

mod acknowledged;
mod degraded;
mod drop;
mod held;
mod named;
mod nobody_leads;
mod one_sends;
mod restart;
