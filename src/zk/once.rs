//! A session for one errand.

use std::thread;
use std::time::Duration;

use crossbeam_channel::{bounded, unbounded};

use super::client::Client;
use super::session::{self, Outlets, Settings};
use super::watch_input::WatchInput;
use crate::clock;
use crate::model::status::Connection;
use crate::published::cell;

/// Connects, runs the errand, closes the session; all within `limit`, or with why not in words.
///
/// # Errors
/// If there is no session within the limit, or the errand failed.
pub fn with_client<T>(
    settings: Settings,
    limit: Duration,
    errand: impl FnOnce(&Client) -> Result<T, String> + Send + 'static,
) -> Result<T, String>
where
    T: Send + 'static,
{
    with_client_for(settings, limit, limit, errand)
}

/// The same with a limit of its own for connecting, which is within the other.
///
/// # Errors
/// If there is no session within the one limit, or the errand failed or was not done within the other.
pub fn with_client_for<T>(
    settings: Settings,
    connecting: Duration,
    limit: Duration,
    errand: impl FnOnce(&Client) -> Result<T, String> + Send + 'static,
) -> Result<T, String>
where
    T: Send + 'static,
{
    let began = clock::mono();
    let (connected, deadline) = (began + connecting, began + limit);
    let no_thread = |e| format!("cannot start a thread: {e}");
    let (watch, bells) = unbounded();
    let (election, _) = unbounded();
    let (stop, stopped) = bounded(0);
    let (connection_writer, connection) = cell(Connection::default());
    let (_, own) = cell(None);
    let (pulse, _) = cell(clock::mono());
    let outlets = Outlets { watch, election, connection: connection_writer, pulse };
    let session = thread::Builder::new()
        .name("zk-session".to_owned())
        .spawn(move || session::run(settings, own, outlets, &stopped))
        .map_err(no_thread)?;
    let client = loop {
        match bells.recv_deadline(connected) {
            Ok(WatchInput::Up(client)) => break client,
            Ok(_) => {}
            Err(_) => {
                let reason = connection.get().last_error.clone();
                let reason = reason.as_deref().unwrap_or("no server answered");
                return Err(format!(
                    "no connection to ZooKeeper within {} s: {reason}",
                    connecting.as_secs()
                ));
            }
        }
    };
    let (done, result) = bounded(1);
    thread::Builder::new()
        .name("errand".to_owned())
        .spawn(move || done.send(errand(&client)).ok())
        .map_err(no_thread)?;
    let result =
        result.recv_deadline(deadline).unwrap_or_else(|_| Err("ZooKeeper did not answer in time".to_owned()));
    drop(stop);
    // Closing the session is bounded in there.
    if session.join().is_err() {
        log::error!("the session's thread panicked");
    }
    result
}
