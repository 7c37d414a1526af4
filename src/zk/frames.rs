//! What the link understands of the bytes that come from the server.

use std::time::Duration;

/// The largest frame taken for real. The server's own limit is 1 MiB for a request; a listing of a million
/// children is some tens of megabytes.
const MAX_FRAME: u32 = 128 * 1024 * 1024;
/// Every frame after the greeting starts with xid, zxid and error.
const REPLY_HEADER: u32 = 4 + 8 + 4;
/// Protocol version, timeout, session id, password length: what a greeting has at least.
const GREETING: u32 = 4 + 4 + 8 + 4;
/// The longest greeting: with a password of 16 bytes and the read-only flag it is 41 bytes.
const MAX_GREETING: u32 = 64;

/// What the first reply tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Greeting {
    /// The session timeout that the server granted.
    pub timeout: Duration,
    /// The session's id.
    pub session: i64,
}

/// Follows the frames of the server's stream, byte by byte in whatever pieces they come.
#[derive(Debug, Default)]
pub struct Frames {
    greeting: Vec<u8>,
    greeted: bool,
    header: [u8; 4],
    header_len: usize,
    body_left: u32,
}

impl Frames {
    /// Whether the greeting has come whole and was good.
    pub fn greeted(&self) -> bool {
        self.greeted
    }

    /// Takes the next bytes; gives the greeting when it is complete.
    ///
    /// # Errors
    /// In words, if these are not the bytes of a ZooKeeper server that accepted the session.
    pub fn pass(&mut self, mut bytes: &[u8]) -> Result<Option<Greeting>, String> {
        let mut complete = None;
        while let Some((byte, rest)) = bytes.split_first() {
            if self.body_left > 0 {
                let skipped = bytes.len().min(self.body_left as usize);
                if !self.greeted {
                    self.greeting.extend_from_slice(&bytes[..skipped]);
                }
                // A piece is at most one buffer long, far below 4 GiB.
                self.body_left -= u32::try_from(skipped).unwrap_or(self.body_left);
                bytes = &bytes[skipped..];
                if self.body_left == 0 && !self.greeted {
                    complete = Some(greeting(&self.greeting)?);
                    self.greeted = true;
                    self.greeting = Vec::new();
                }
                continue;
            }
            self.header[self.header_len] = *byte;
            self.header_len += 1;
            bytes = rest;
            if self.header_len == self.header.len() {
                self.header_len = 0;
                self.body_left = self.length()?;
            }
        }
        Ok(complete)
    }

    fn length(&self) -> Result<u32, String> {
        let length = u32::from_be_bytes(self.header);
        let (least, most) = if self.greeted { (REPLY_HEADER, MAX_FRAME) } else { (GREETING, MAX_GREETING) };
        if (least..=most).contains(&length) {
            return Ok(length);
        }
        Err(format!(
            "not a ZooKeeper: it sent {:?}, which is no frame's length",
            self.header.escape_ascii().to_string()
        ))
    }
}

fn greeting(body: &[u8]) -> Result<Greeting, String> {
    let word = |at: usize| -> Option<[u8; 4]> { body.get(at..at + 4)?.try_into().ok() };
    let long = |at: usize| -> Option<[u8; 8]> { body.get(at..at + 8)?.try_into().ok() };
    let parts = || Some((word(0)?, word(4)?, long(8)?, word(16)?));
    let (version, timeout, session, password) =
        parts().ok_or("not a ZooKeeper: its greeting is too short")?;
    let password = usize::try_from(u32::from_be_bytes(password)).unwrap_or(usize::MAX);
    if u32::from_be_bytes(version) != 0 || !(20..=21).contains(&body.len().saturating_sub(password)) {
        return Err("not a ZooKeeper: its greeting makes no sense".to_owned());
    }
    match i32::from_be_bytes(timeout) {
        ..=0 => Err("the server refused the session".to_owned()),
        millis => Ok(Greeting {
            timeout: Duration::from_millis(millis.unsigned_abs().into()),
            session: i64::from_be_bytes(session),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hello(timeout: i32) -> Vec<u8> {
        let mut body = vec![0; 4];
        body.extend(timeout.to_be_bytes());
        body.extend(7_i64.to_be_bytes());
        body.extend(16_u32.to_be_bytes());
        body.extend([1; 16]);
        body.push(0);
        let mut frame = u32::try_from(body.len()).unwrap().to_be_bytes().to_vec();
        frame.extend(body);
        frame
    }

    #[test]
    fn a_greeting_is_read_in_any_pieces() {
        for piece in 1..=41 {
            let mut frames = Frames::default();
            let found: Vec<_> =
                hello(4000).chunks(piece).filter_map(|bytes| frames.pass(bytes).unwrap()).collect();
            assert_eq!(
                found,
                [Greeting { timeout: Duration::from_secs(4), session: 7 }],
                "pieces of {piece}"
            );
            assert!(frames.greeted());
        }
    }

    #[test]
    fn what_follows_the_greeting_is_counted() {
        let mut stream = hello(4000);
        for length in [16_u8, 45] {
            stream.extend([0, 0, 0, length]);
            stream.resize(stream.len() + usize::from(length), 9);
        }
        for piece in 1..=stream.len() {
            let mut frames = Frames::default();
            for bytes in stream.chunks(piece) {
                frames.pass(bytes).unwrap();
            }
            assert_eq!(frames.pass(&[0xff, 0, 0, 0]).unwrap_err().split(':').next(), Some("not a ZooKeeper"));
        }
    }

    #[test]
    fn strangers_are_named() {
        let check = |bytes: &[u8], words: &str| {
            let error = Frames::default().pass(bytes).unwrap_err();
            assert!(error.contains(words), "{error}");
        };
        check(b"HTTP/1.1 400 Bad Request\r\n", "not a ZooKeeper: it sent \"HTTP\"");
        check(&hello(0), "refused the session");
        check(&[0, 0, 0, 20, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0], "makes no sense");
        check(&[0, 0, 0, 5], "no frame's length");
    }
}
