//! Input damaged at random, for the targets of `tests/fuzz` where no compiler guides it: each for a second in any run of
//! the tests, or for as long as `ZK_MONITOR_FUZZ_SECONDS` says.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;
use std::thread;
use std::time::Duration;

use fastrand::Rng;

use crate::clock;

/// How long an input may be: none of those read has its faults at its length alone.
const LONGEST: usize = 64 << 10;

/// As the threads that talk with receivers have it; what is not optimised takes several times as much.
const STACK: usize = if cfg!(debug_assertions) { 20 << 20 } else { 2 << 20 };

/// Tries a target on what is kept of it in `tests/fuzz/corpus`, and on that damaged.
pub fn run(name: &'static str, target: fn(&[u8])) {
    let work = move || run_here(name, target);
    if let Err(panic) = thread::Builder::new().stack_size(STACK).spawn(work).unwrap().join() {
        resume_unwind(panic);
    }
}

fn run_here(name: &str, target: fn(&[u8])) {
    let seconds = std::env::var("ZK_MONITOR_FUZZ_SECONDS").ok().and_then(|text| text.parse().ok());
    let end = clock::mono() + Duration::from_secs(seconds.unwrap_or(1));
    let corpus = corpus(name);
    corpus.iter().for_each(|bytes| check(name, target, bytes));
    // From a seed, so that a failure can be had again.
    let mut rng = Rng::with_seed(19);
    while clock::mono() < end {
        check(name, target, &damaged(&corpus, &mut rng));
    }
}

fn corpus(name: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus").join(name);
    let mut paths: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(!paths.is_empty(), "{name} has no corpus");
    paths.sort();
    paths.iter().map(|path| fs::read(path).unwrap()).collect()
}

fn check(name: &str, target: fn(&[u8]), bytes: &[u8]) {
    let started = clock::mono();
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| target(bytes))) {
        eprintln!("{name}: {}", bytes.escape_ascii());
        resume_unwind(panic);
    }
    let took = clock::mono() - started;
    assert!(took < Duration::from_secs(5), "{name} took {took:?}: {}", bytes.escape_ascii());
}

/// One of the corpus with a few changes, most of which bring a piece of another.
fn damaged(corpus: &[Vec<u8>], rng: &mut Rng) -> Vec<u8> {
    let mut bytes = pick(corpus, rng).clone();
    for _ in 0..rng.usize(1..8) {
        let start = rng.usize(..=bytes.len());
        let end = (start + rng.usize(..20)).min(bytes.len());
        let other = pick(corpus, rng);
        let from = rng.usize(..=other.len());
        let piece = &other[from..(from + rng.usize(..40)).min(other.len())];
        match rng.u8(..6) {
            0 => drop(bytes.drain(start..end)),
            1 => bytes.insert(start, rng.u8(..)),
            2 if start < bytes.len() => bytes[start] ^= 1 << rng.u8(..8),
            3 => drop(bytes.splice(start..start, bytes[start..end].repeat(rng.usize(1..200)))),
            _ => drop(bytes.splice(start..end, piece.iter().copied())),
        }
    }
    bytes.truncate(LONGEST);
    bytes
}

fn pick<'c>(corpus: &'c [Vec<u8>], rng: &mut Rng) -> &'c Vec<u8> {
    &corpus[rng.usize(..corpus.len())]
}
