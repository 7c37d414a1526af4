//! What the link understands of the bytes that it copies.
//!
//! The library trusts its server with its life: an answer that nobody asked for ends its I/O thread, a list of
//! two thousand million names the whole process. So the start of each frame is looked at before it gets there.

use std::collections::VecDeque;
use std::time::Duration;

use super::splitter::Splitter;

/// The largest frame taken for real. The server's own limit is 1 MiB for a request; a listing of a million
/// children is some tens of megabytes.
const MAX_FRAME: u32 = 128 * 1024 * 1024;
/// Every frame after the greeting starts with xid, zxid and error.
const REPLY_HEADER: u32 = 4 + 8 + 4;
/// Of a reply its header is looked at, and two numbers behind it.
const REPLY_START: u32 = REPLY_HEADER + 4 + 4;
/// Of a request its xid and its operation are looked at.
const REQUEST_START: u32 = 4 + 4;
/// Protocol version, timeout, session id, password length: what a greeting has at least.
const GREETING: u32 = 4 + 4 + 8 + 4;
/// The longest greeting: with a password of 16 bytes and the read-only flag it is 41 bytes.
const MAX_GREETING: u32 = 64;

/// The xid of a watch event, which no request asks for.
const EVENT: i32 = -1;
/// Operations whose answer begins with the length of what follows.
const CREATE: i32 = 1;
const GET_DATA: i32 = 4;
const GET_CHILDREN: i32 = 8;

/// Follows the frames of both directions in whatever pieces they come.
#[derive(Debug, Default)]
pub struct Frames {
    requests: Splitter,
    replies: Splitter,
    asked: bool,
    greeted: bool,
    /// The xids and operations of requests without an answer, in their order, which is that of the answers.
    awaited: VecDeque<(i32, i32)>,
}

impl Frames {
    /// Takes the next bytes of the library, before they are sent.
    pub fn sent(&mut self, mut bytes: &[u8]) {
        while let Some((_, start)) = self.requests.next(&mut bytes, REQUEST_START) {
            // The first frame asks for the session, and has its own answer.
            if !std::mem::replace(&mut self.asked, true) {
                continue;
            }
            if let (Some(xid), Some(operation)) = (number(start, 0), number(start, 4)) {
                self.awaited.push_back((xid, operation));
            }
        }
    }

    /// Takes the next bytes of the server; gives the session timeout when the greeting that tells it is complete.
    ///
    /// # Errors
    /// In words, if these are not the bytes of a ZooKeeper server that accepted the session.
    pub fn pass(&mut self, mut bytes: &[u8]) -> Result<Option<Duration>, String> {
        let mut complete = None;
        loop {
            let kept = if self.greeted { REPLY_START } else { MAX_GREETING };
            let Some((length, start)) = self.replies.next(&mut bytes, kept) else { break };
            check_length(length, self.greeted)?;
            if self.greeted {
                check_reply(&mut self.awaited, length, start)?;
            } else {
                complete = Some(greeting(start)?);
                self.greeted = true;
            }
        }
        self.replies.length().map_or(Ok(()), |length| check_length(length, self.greeted))?;
        Ok(complete)
    }

    /// How many requests are without an answer.
    #[cfg(any(test, fuzzing))]
    pub(super) fn awaited(&self) -> usize {
        self.awaited.len()
    }
}

fn check_length(length: u32, greeted: bool) -> Result<(), String> {
    let (least, most) = if greeted { (REPLY_HEADER, MAX_FRAME) } else { (GREETING, MAX_GREETING) };
    if (least..=most).contains(&length) {
        return Ok(());
    }
    let sent = length.to_be_bytes().escape_ascii().to_string();
    Err(format!("not a ZooKeeper: it sent {sent:?}, which is no frame's length"))
}

/// Judges the start of a reply: it has to be what the first of the awaited requests can be answered with.
fn check_reply(awaited: &mut VecDeque<(i32, i32)>, length: u32, start: &[u8]) -> Result<(), String> {
    let (xid, error, first) = (number(start, 0), number(start, 12), number(start, 16));
    if xid == Some(EVENT) {
        let known = matches!(first, Some(-1 | 1..=4)) && matches!(number(start, 20), Some(-112 | 0 | 3..=6));
        return if known { Ok(()) } else { Err("not a ZooKeeper: it sent an unknown event".to_owned()) };
    }
    let asked = awaited.pop_front();
    let Some((_, operation)) = asked.filter(|(asked, _)| Some(*asked) == xid) else {
        return Err("not a ZooKeeper: it sent an answer that was not asked for".to_owned());
    };
    let least = match operation {
        CREATE | GET_DATA => 1,
        // Each name has its length before it.
        GET_CHILDREN => 4,
        _ => return Ok(()),
    };
    let room = i64::from(length) - i64::from(REPLY_HEADER) - 4;
    let fits =
        first.is_some_and(|count| i64::from(count) * least <= room && (operation == GET_DATA || count >= 0));
    if error != Some(0) || fits {
        return Ok(());
    }
    Err(format!("not a ZooKeeper: its answer of {length} bytes says that it is longer"))
}

/// The four bytes at a place, as a number.
fn number(bytes: &[u8], at: usize) -> Option<i32> {
    Some(i32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

/// The session timeout that a greeting tells.
fn greeting(body: &[u8]) -> Result<Duration, String> {
    let word = |at: usize| -> Option<[u8; 4]> { body.get(at..at + 4)?.try_into().ok() };
    let parts = || Some((word(0)?, word(4)?, word(16)?));
    let (version, timeout, password) = parts().ok_or("not a ZooKeeper: its greeting is too short")?;
    let password = usize::try_from(u32::from_be_bytes(password)).unwrap_or(usize::MAX);
    if u32::from_be_bytes(version) != 0 || !(20..=21).contains(&body.len().saturating_sub(password)) {
        return Err("not a ZooKeeper: its greeting makes no sense".to_owned());
    }
    match i32::from_be_bytes(timeout) {
        ..=0 => Err("the server refused the session".to_owned()),
        millis => Ok(Duration::from_millis(millis.unsigned_abs().into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn granted(timeout: i32) -> Vec<u8> {
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
                granted(4000).chunks(piece).filter_map(|bytes| frames.pass(bytes).unwrap()).collect();
            assert_eq!(found, [Duration::from_secs(4)], "pieces of {piece}");
            assert!(frames.greeted);
        }
    }

    /// A frame of these numbers and then so many bytes.
    fn frame(numbers: &[i32], more: usize) -> Vec<u8> {
        let length = u32::try_from(numbers.len() * 4 + more).unwrap();
        let mut frame = length.to_be_bytes().to_vec();
        frame.extend(numbers.iter().flat_map(|number| number.to_be_bytes()));
        frame.resize(frame.len() + more, 9);
        frame
    }

    /// The request for a session, then requests of these xids and operations.
    fn requests(asked: &[[i32; 2]]) -> Vec<u8> {
        let mut stream = frame(&[0; 11], 1);
        stream.extend(asked.iter().flat_map(|numbers| frame(numbers, 30)));
        stream
    }

    #[test]
    fn what_follows_the_greeting_is_counted_in_any_pieces() {
        let asked = requests(&[[1, 3], [2, 8], [-2, 11]]);
        let mut stream = granted(4000);
        stream.extend(frame(&[1, 0, 1, 0], 68));
        stream.extend(frame(&[-1, 0, 1, 0, 4, 3, 1], 1));
        stream.extend(frame(&[2, 0, 1, 0, 3], 40));
        stream.extend(frame(&[-2, 0, 1, 0], 0));
        for piece in 1..=stream.len() {
            let mut frames = Frames::default();
            asked.chunks(piece).for_each(|bytes| frames.sent(bytes));
            for bytes in stream.chunks(piece) {
                frames.pass(bytes).unwrap();
            }
            assert_eq!(frames.pass(&[0xff, 0, 0, 0]).unwrap_err().split(':').next(), Some("not a ZooKeeper"));
        }
    }

    #[test]
    fn only_possible_answers_pass() {
        let check = |asked: [i32; 2], reply: Vec<u8>, words: &str| {
            let mut frames = Frames::default();
            frames.sent(&requests(&[asked]));
            frames.pass(&granted(4000)).unwrap();
            let found = frames.pass(&reply).err().unwrap_or_default();
            assert_eq!(found.is_empty(), words.is_empty(), "{asked:?} {found}");
            assert!(found.contains(words), "{asked:?} {found}");
        };
        check([7, 3], frame(&[7, 0, 1, 0], 68), "");
        check([7, 3], frame(&[8, 0, 1, 0], 68), "not asked for");
        check([7, 3], [frame(&[7, 0, 1, 0], 68), frame(&[-2, 0, 1, 0], 0)].concat(), "not asked for");
        check([7, 8], frame(&[7, 0, 1, 0, 2], 8), "");
        check([7, 8], frame(&[7, 0, 1, 0, 3], 8), "longer");
        check([7, 8], frame(&[7, 0, 1, 0, -1], 8), "longer");
        check([7, 8], frame(&[7, 0, 1, 0], 0), "longer");
        check([7, 8], frame(&[7, 0, 1, -101], 0), "");
        check([7, 4], frame(&[7, 0, 1, 0, -1], 68), "");
        check([7, 4], frame(&[7, 0, 1, 0, i32::MAX], 68), "longer");
        check([7, 3], frame(&[-1, 0, 1, 0, 3, 3, 1], 1), "");
        check([7, 3], frame(&[-1, 0, 1, 0, 77, 3, 1], 1), "unknown event");
        check([7, 3], frame(&[-1, 0, 1, 0, 3, 77, 1], 1), "unknown event");
        check([7, 3], frame(&[-1, 0, 1, 0], 0), "unknown event");
    }

    #[test]
    fn strangers_are_named() {
        let check = |bytes: &[u8], words: &str| {
            let error = Frames::default().pass(bytes).unwrap_err();
            assert!(error.contains(words), "{error}");
        };
        check(b"HTTP/1.1 400 Bad Request\r\n", "not a ZooKeeper: it sent \"HTTP\"");
        check(&granted(0), "refused the session");
        check(&[0, 0, 0, 20, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0], "makes no sense");
        check(&[0, 0, 0, 5], "no frame's length");
    }
}
