//! Seeded histories of a tree, a session and rules, over the very watch machine and evaluator that the daemon runs.
//!
//! At the end of each everything is quiet, and what is shown has to be what there is (protocol.md, "Seeing").
//! `ZK_MONITOR_WATCHING_SEEDS` says how many seeds to run, `ZK_MONITOR_WATCHING_SEED` runs one and tells what happens.

pub mod client;
mod history;
mod oracle;
mod run;
pub mod tree;

use client::Faults;
use history::{Happening, history};
use run::run;

use crate::{in_parallel, number, schedule::shrink};

/// How many seeds an ordinary test run takes.
const SEEDS: u64 = 10_000;

#[test]
fn what_is_seen_is_true_for_every_seed() {
    if let Some(seed) = number("ZK_MONITOR_WATCHING_SEED") {
        return tell(seed);
    }
    in_parallel(number("ZK_MONITOR_WATCHING_SEEDS").unwrap_or(SEEDS), check);
}

fn tell(seed: u64) {
    let fails = |history: &[Happening]| run(seed, history, Faults::default(), false).is_some();
    let whole = history(seed);
    let short = if fails(&whole) { shrink(whole, fails) } else { whole };
    assert_eq!(run(seed, &short, Faults::default(), true), None, "seed {seed}: {short:#?}");
}

/// The promise that the seed breaks, with the shortest history that was found to break the same one.
fn check(seed: u64) -> Option<String> {
    let run = |history: &[Happening]| run(seed, history, Faults::default(), false);
    let broken = run(&history(seed))?;
    let promise = |words: &str| words.split(':').next().map(str::to_owned);
    let same = |history: &[Happening]| run(history).is_some_and(|words| promise(&words) == promise(&broken));
    let short = shrink(history(seed), same);
    let lines: Vec<String> = short.iter().map(|happening| format!("  {happening:?}\n")).collect();
    Some(format!(
        "seed {seed} breaks a promise: {}\nwith\n{}",
        run(&short).unwrap_or_default(),
        lines.concat()
    ))
}

/// Some seed has to find a shell, or a server, that does not do its part.
fn finds(name: &str, faults: Faults) {
    let found = (0..3_000).find_map(|seed| Some((seed, run(seed, &history(seed), faults, false)?)));
    let (seed, broken) = found.unwrap_or_else(|| panic!("no seed finds that {name}"));
    println!("seed {seed} finds that {name}: {broken}");
}

#[test]
fn a_missing_match_that_is_not_watched_is_found() {
    finds("a match that is missing is not watched", Faults { no_creation: true, ..Faults::default() });
}

#[test]
fn a_verification_that_never_comes_is_found() {
    finds("nothing is verified", Faults { no_tick: true, ..Faults::default() });
}

#[test]
fn a_reading_of_less_than_is_wanted_is_found() {
    finds("less is read than is wanted", Faults { first_wants: true, ..Faults::default() });
}

#[test]
fn a_barrier_that_does_not_wait_is_found() {
    finds("a barrier does not wait for readings", Faults { hasty_fence: true, ..Faults::default() });
}

#[test]
fn a_child_that_rang_and_is_not_read_again_is_found() {
    finds(
        "a child that rang during a reading is forgotten",
        Faults { rung_forgotten: true, ..Faults::default() },
    );
}

#[test]
fn a_child_that_is_read_without_a_watch_is_found() {
    finds("the data of a child is not watched", Faults { child_unwatched: true, ..Faults::default() });
}
