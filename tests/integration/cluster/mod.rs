//! Several agents and one ZooKeeper.

mod acknowledged;
mod chaos;
mod degraded;
mod disturbances;
mod drop;
mod held;
mod named;
mod nobody_leads;
mod one_sends;
mod promises;
mod restart;
