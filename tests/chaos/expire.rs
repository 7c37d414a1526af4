//! The end of an agent's session at the servers, while its connection stays.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use crate::common::ZooKeeper;
use crate::world::{CLUSTER, SESSION};

/// How long each answer of a server is waited for.
const PATIENCE: Duration = Duration::from_secs(2);

/// Ends the session of the agent with this process id, if it has one: a second connection takes it over and closes it.
pub fn expire(servers: &[ZooKeeper], pid: u32) {
    let (prefix, suffix) = (format!("{CLUSTER}/agents/"), format!("-{pid}"));
    let is_wanted = |line: &str| line.starts_with(&prefix) && line.ends_with(&suffix);
    let session = servers.iter().find_map(|server| {
        let dump = server.ask("dump").ok()?;
        Some((server.address(), session_of(&dump, is_wanted)?))
    });
    let closed = session.map(|(address, session)| close_session(&address, session));
    if !matches!(closed, Some(Ok(()))) {
        println!("       no session to end: {closed:?}");
    }
}

/// The session that owns an ephemeral znode which `is_wanted` takes, in a server's answer to `dump`: that lists each
/// session's znodes below its id.
fn session_of(dump: &str, is_wanted: impl Fn(&str) -> bool) -> Option<u64> {
    let mut session = None;
    for line in dump.lines().map(str::trim) {
        let id = line.strip_prefix("0x").and_then(|rest| rest.strip_suffix(':'));
        session = id.and_then(|id| u64::from_str_radix(id, 16).ok()).or(session);
        if is_wanted(line) {
            return session;
        }
    }
    None
}

/// Ends a session: a second connection takes it over and closes it.
///
/// # Errors
/// If the server does not answer.
fn close_session(address: &str, session: u64) -> std::io::Result<()> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut hello = vec![0; 12];
    hello.extend(u32::try_from(SESSION * 1_000).unwrap().to_be_bytes());
    hello.extend(session.to_be_bytes());
    hello.extend(16_u32.to_be_bytes());
    hello.extend(password(session));
    hello.push(0);
    let close = [[0; 4], (-11_i32).to_be_bytes()].concat();
    for frame in [hello, close] {
        stream.write_all(&u32::try_from(frame.len()).unwrap().to_be_bytes())?;
        stream.write_all(&frame)?;
        // What it answers does not matter, only that it did: the session is this connection's, and then closed.
        let mut answer = [0; 256];
        let _length = stream.read(&mut answer)?;
    }
    Ok(())
}

/// The password of a session, which the servers derive from its id by Java's `Random`.
fn password(session: u64) -> Vec<u8> {
    const MULTIPLIER: u64 = 0x5_DEEC_E66D;
    const MASK: u64 = (1 << 48) - 1;
    let mut state = (session ^ 0xB341_5C00 ^ MULTIPLIER) & MASK;
    let words = (0..4).map(|_| {
        state = (state.wrapping_mul(MULTIPLIER) + 0xB) & MASK;
        u32::try_from(state >> 16).unwrap()
    });
    words.flat_map(u32::to_le_bytes).collect()
}
