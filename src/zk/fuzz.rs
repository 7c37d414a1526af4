//! What a server, and others who write beside the agents, may send: targets for fuzzing.

use std::time::Duration;

use super::agents::AgentInfo;
use super::contenders::Contender;
use super::frames::Frames;
use super::{ledger, names, silences};

/// Both directions of a link. The first byte of each piece says whose it is, the second how long.
///
/// However a stream is cut into pieces, the same of it passes; and what is kept of it is bounded by what was asked.
pub fn link(bytes: &[u8]) {
    let (mut whole, mut single) = (Frames::default(), Frames::default());
    let (mut rest, mut sent) = (bytes, 0);
    while let [direction, length, tail @ ..] = rest {
        let (piece, after) = tail.split_at((*length as usize).min(tail.len()));
        rest = after;
        if direction % 2 == 0 {
            sent += piece.len();
            whole.sent(piece);
            piece.chunks(1).for_each(|byte| single.sent(byte));
            assert!(whole.awaited() * 8 <= sent);
            assert_eq!(whole.awaited(), single.awaited());
            continue;
        }
        let at_once = whole.pass(piece);
        let mut in_bytes = Ok(None);
        for byte in piece.chunks(1) {
            let (Ok(found), Ok(more)) = (&in_bytes, single.pass(byte)) else {
                in_bytes = Err(());
                break;
            };
            in_bytes = Ok(more.or(*found));
        }
        assert_eq!(at_once.as_ref().map_err(drop), in_bytes.as_ref().map_err(drop));
        match at_once {
            Ok(timeout) => assert!(timeout.is_none_or(|timeout| timeout > Duration::ZERO)),
            Err(reason) => {
                assert!(!reason.is_empty() && reason.len() < 200 && !reason.contains(char::is_control));
                return;
            }
        }
    }
}

/// Names and data of the znodes that agents share: what is read is what was written, and stays so when it is written again.
pub fn znodes(bytes: &[u8]) {
    ledger::fuzz(bytes);
    silences::fuzz(bytes);
    if let Some(info) = AgentInfo::decode(bytes) {
        let again = AgentInfo::decode(&info.encode());
        assert_eq!(again.map(|info| info.encode()), Some(info.encode()));
    }
    let name = String::from_utf8_lossy(bytes);
    if let Some(key) = names::decode_alert(&name) {
        assert_eq!(names::decode_alert(&names::encode_alert(&key)), Some(key));
    }
    if let Some(contender) = Contender::parse(&name) {
        assert!(contender.number < 10_000_000_000 && contender.name == name);
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_link_takes_any_bytes() {
        crate::fuzz::run("link", super::link);
    }

    #[test]
    fn znodes_may_hold_anything() {
        crate::fuzz::run("znodes", super::znodes);
    }
}
