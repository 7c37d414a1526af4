//! Making the znodes that the agents of a cluster share.

use zookeeper::{CreateMode, ZkError};

use super::client::Client;
use super::names::Places;

/// Makes those that are missing, parents first.
///
/// # Errors
/// The path that could not be made, and the library's error.
pub fn prepare(client: &Client, places: &Places, credentials: bool) -> Result<(), (String, ZkError)> {
    for path in places.all() {
        // Who may not make a znode is told so even if it is there.
        match client.exists(&path, false) {
            Ok(None) => {}
            Ok(Some(_)) => continue,
            Err(e) => return Err((path, e)),
        }
        match client.create(&path, b"", &places.acl(&path, credentials), CreateMode::Persistent) {
            Ok(_) | Err(ZkError::NodeExists) => {}
            Err(e) => return Err((path, e)),
        }
    }
    Ok(())
}
