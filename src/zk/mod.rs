//! The ZooKeeper side: one session at a time, watches, election, ledger.
