//! Files damaged at random: whatever the bytes, an answer comes, and soon.

use crate::clock;
use std::time::Duration;

use super::*;

/// Files that use everything, to be damaged.
const SEEDS: [&str; 3] = [
    include_str!("../../../zk_monitor.yaml"),
    include_str!("../../../tests/config/wrong.txt"),
    "defaults: &d {cancel_timeout: 1h30m, alerter: {email: 'a@b.c, d@e.f'}}\nsmtp: {host: h, port: 25, tls: none}\n\
     heartbeat: {url: 'https://h/x', every: 1m}\nblind: {after: 2m, alerter: {email: a@b.c}}\n/a/*/b: {<<: [*d, {children: {min: 1, max: 2}}], data: {matches: '^x$'}}\n\
     /c:\n  alerter:\n    slack:\n    - {channel: '#ops'}\n    - {token: !!str 1}\n    webhook: {url: \"http://u:p@[::1]:1/\", headers: {A: b}}\n\
     /d: {exists: yes, description: >\n  folded\n  text\n  , repeat_interval: 1e3}\n",
];

/// Pieces that mean something to YAML or to the judge.
const PIECES: [&str; 40] = [
    "\n", " ", "  ", "\t", "\r\n", ":", ": ", "- ", "? ", "{", "}", "[", "]", ",", "&a ", "*a", "<<: ",
    "!x ", "!!int ", "\"", "'", "#", "|\n", ">\n", "---\n", "...\n", "%", "@", "`", "\\", "~", "null", "-1",
    "1e999", ".nan", "/", "/*", "\u{feff}", "\u{202e}", "alerter",
];

/// A small generator (xorshift), so that a failure can be had again from its seed.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % limit as u64).expect("a remainder of a usize is one")
    }
}

fn damaged(seed: u64) -> Vec<u8> {
    let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let mut bytes = SEEDS[random.below(SEEDS.len())].as_bytes().to_vec();
    if random.below(2) == 0 {
        let from = random.below(bytes.len());
        let until = (from + 50 + random.below(2000)).min(bytes.len());
        bytes = bytes[from..until].to_vec();
    }
    for _ in 0..random.below(8) {
        let at = random.below(bytes.len().max(1)).min(bytes.len());
        let end = (at + random.below(20)).min(bytes.len());
        let piece = PIECES[random.below(PIECES.len())].repeat(1 + random.below(3) * random.below(100));
        match random.below(5) {
            0 => drop(bytes.drain(at..end)),
            1 => bytes.insert(at, u8::try_from(random.below(256)).expect("below 256")),
            2 => drop(bytes.splice(at..at, bytes[at..end].to_vec())),
            _ => drop(bytes.splice(at..end, piece.bytes())),
        }
    }
    bytes
}

#[test]
fn damaged_files_are_answered() {
    let seconds = std::env::var("ZK_MONITOR_FUZZ_SECONDS").ok().and_then(|text| text.parse().ok());
    let end = seconds.map(|seconds| clock::mono() + Duration::from_secs(seconds));
    let mut answers = [0_u32; 2];
    for seed in 0_u64.. {
        if end.map_or(seed >= 2000, |end| clock::mono() >= end) {
            break;
        }
        let bytes = damaged(seed);
        let started = clock::mono();
        let answer = parse_with(&bytes, true, &|_| None);
        assert!(
            (clock::mono() - started) < Duration::from_secs(5),
            "seed {seed} took {:?}",
            (clock::mono() - started)
        );
        let lines = answer.as_ref().map_or_else(ToString::to_string, |config| format!("{config:?}"));
        assert!(!lines.is_empty(), "seed {seed}");
        answers[usize::from(answer.is_ok())] += 1;
    }
    assert!(answers.iter().all(|count| *count > 0), "wrong and right files are both met: {answers:?}");
}
