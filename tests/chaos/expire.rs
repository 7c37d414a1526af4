//! The end of an agent's session at the servers, while its connection stays.

use std::time::Duration;

use crate::common::{ZooKeeper, close_session, session_of};
use crate::world::{CLUSTER, SESSION};

/// Ends the session of the agent with this process id, if it has one: a second connection takes it over and closes it.
pub fn expire(servers: &[ZooKeeper], pid: u32) {
    let (prefix, suffix) = (format!("{CLUSTER}/agents/"), format!("-{pid}"));
    let is_wanted = |line: &str| line.starts_with(&prefix) && line.ends_with(&suffix);
    let session = servers.iter().find_map(|server| {
        let dump = server.ask("dump").ok()?;
        Some((server.address(), session_of(&dump, is_wanted)?))
    });
    let patience = Duration::from_secs(2);
    let closed = session.map(|(address, session)| close_session(&address, session, SESSION, patience));
    if !matches!(closed, Some(Ok(()))) {
        println!("       no session to end: {closed:?}");
    }
}
