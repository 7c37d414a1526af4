//! The first exchange with a server, before the library knows of it.
//!
//! Each client that the library starts costs threads and descriptors until the session timeout is over, whatever
//! becomes of it. A server that does not greet, of an ensemble without quorum or none at all, may be tried
//! hundreds of times in that; so the library gets to see only those that did.

use std::io::{self, ErrorKind, Read, Write};
use std::time::{Duration, Instant};

use super::dial::{STEP, Wire};
use super::frames::Frames;
use crate::clock;

/// A server that has opened a session.
#[derive(Debug)]
pub struct Opened {
    pub wire: Wire,
    /// The timeout of the session.
    pub timeout: Duration,
    /// What it sent so far.
    pub bytes: Vec<u8>,
    /// Where its stream and ours are.
    pub frames: Frames,
}

/// Asks for a session as the library would, and takes the answer, within [`STEP`].
pub fn exchange(mut wire: Wire, timeout: Duration) -> Result<Opened, String> {
    let deadline = clock::mono() + STEP;
    let request = request(timeout);
    let mut frames = Frames::default();
    frames.sent(&request);
    wire.socket().set_write_timeout(Some(STEP)).map_err(|e| lost(&e))?;
    wire.write_all(&request).and_then(|()| wire.flush()).map_err(|e| lost(&e))?;
    let mut bytes = Vec::new();
    let mut piece = [0; 256];
    loop {
        let came = match read(&mut wire, &mut piece, deadline).map_err(|e| lost(&e))? {
            0 => return Err(closed()),
            count => &piece[..count],
        };
        bytes.extend_from_slice(came);
        if let Some(timeout) = frames.pass(came)? {
            return Ok(Opened { wire, timeout, bytes, frames });
        }
    }
}

fn read(wire: &mut Wire, piece: &mut [u8], deadline: Instant) -> io::Result<usize> {
    let left = deadline.saturating_duration_since(clock::mono());
    if left.is_zero() {
        return Err(ErrorKind::TimedOut.into());
    }
    wire.socket().set_read_timeout(Some(left))?;
    wire.read(piece)
}

/// A new session of this timeout: version, last zxid, timeout, session id, password, read-only.
fn request(timeout: Duration) -> Vec<u8> {
    let mut body = vec![0; 4 + 8];
    let millis = i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX);
    body.extend(millis.to_be_bytes());
    body.extend([0; 8]);
    body.extend(16_u32.to_be_bytes());
    body.extend([0; 16 + 1]);
    let length = u32::try_from(body.len()).unwrap_or(u32::MAX);
    [length.to_be_bytes().to_vec(), body].concat()
}

fn closed() -> String {
    "the server closed the connection before it greeted: it is not serving (no quorum?), or not a ZooKeeper"
        .to_owned()
}

fn lost(e: &io::Error) -> String {
    if e.kind() == ErrorKind::UnexpectedEof {
        return closed();
    }
    if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) {
        return format!("the server accepted, and did not greet within {} s", STEP.as_secs());
    }
    format!("connection lost before the server greeted: {e}")
}
