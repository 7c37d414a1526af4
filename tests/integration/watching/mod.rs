//! From ZooKeeper to `/status`.

mod access;
mod addresses;
mod ages;
mod changes;
mod compliance;
mod encrypted;
mod instances;
mod lost_server;
mod not_zookeeper;
mod outage;
mod truth;
mod upgrade;
