//! Seeded schedules of everything that goes wrong, over the very machines that the daemon runs: a tree of znodes,
//! watches, evaluators, dispatchers, and receivers.
//!
//! A seed is a schedule: paths that fall out of spec and come back while agents crash, stop, pause and are cut
//! off, servers lag, and receivers are down. At its end everything heals, and the promises of the alert
//! protocol have to hold. A schedule that breaks one is shortened and printed.
//!
//! `ZK_MONITOR_SIMULATION_SEEDS` says how many seeds to run, `ZK_MONITOR_SIMULATION_SEED` runs one and tells
//! what happens.

mod agent;
mod alerts;
mod due;
mod oracle;
mod pool;
mod random;
mod schedule;
mod watching;
mod world;
mod zookeeper;

use std::sync::atomic::{AtomicBool, Ordering};

use alerts::Dependence;
use schedule::{Fault, schedule, shrink};
use world::{Mutant, run};

/// How many seeds an ordinary test run takes.
const SEEDS: u64 = 10_000;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[test]
fn every_promise_holds_for_every_seed() {
    if let Some(seed) = number("ZK_MONITOR_SIMULATION_SEED") {
        return tell(seed);
    }
    in_parallel(number("ZK_MONITOR_SIMULATION_SEEDS").unwrap_or(SEEDS), check);
}

/// Runs seeds on all cores, until one breaks a promise.
fn in_parallel(seeds: u64, check: impl Fn(u64) -> Option<String> + Sync) {
    let threads = std::thread::available_parallelism().map_or(1, |count| count.get() as u64);
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for thread in 0..threads {
            let (stop, check) = (&stop, &check);
            scope.spawn(move || {
                let mut seeds = (thread..seeds).step_by(threads as usize);
                let broken =
                    seeds.find_map(|seed| if stop.load(Ordering::Relaxed) { None } else { check(seed) });
                if let Some(words) = broken {
                    stop.store(true, Ordering::Relaxed);
                    panic!("{words}");
                }
            });
        }
    });
}

/// Tells what happens in the shortest schedule of the seed that breaks a promise, or in the whole.
fn tell(seed: u64) {
    let whole = schedule(seed);
    let faults = broken(seed, whole.clone()).map_or(whole, |(short, _)| short);
    assert_eq!(run(seed, &faults, Mutant::default(), true), None, "seed {seed}: {faults:#?}");
}

/// The promise that the seed breaks, with the shortest schedule that was found to break the same one.
fn check(seed: u64) -> Option<String> {
    let (short, words) = broken(seed, schedule(seed))?;
    let lines: Vec<String> = short.iter().map(|fault| format!("  {fault:?}\n")).collect();
    Some(format!("seed {seed} breaks a promise: {words}\nwith\n{}", lines.concat()))
}

/// The shortest part of a schedule that breaks the same promise as the whole, if that breaks one, and how it does.
fn broken(seed: u64, faults: Vec<Fault>) -> Option<(Vec<Fault>, String)> {
    let run = |faults: &[Fault]| run(seed, faults, Mutant::default(), false);
    let words = run(&faults)?;
    let promise = |words: &str| words.split(':').next().map(str::to_owned);
    let same = |faults: &[Fault]| run(faults).is_some_and(|other| promise(&other) == promise(&words));
    let short = shrink(faults, same);
    let words = run(&short).unwrap_or(words);
    Some((short, words))
}

/// A mutant is a shell that does not keep its part of the protocol: some seed has to find it.
fn finds(name: &str, mutant: Mutant) {
    let found = (0..3_000).find_map(|seed| Some((seed, run(seed, &schedule(seed), mutant, false)?)));
    let (seed, broken) = found.unwrap_or_else(|| panic!("no seed finds that {name}"));
    println!("seed {seed} finds that {name}: {broken}");
}

#[test]
fn a_heartbeat_that_only_reads_is_found() {
    finds("the heartbeat only reads", Mutant { heartbeat_reads: true, ..Mutant::default() });
}

#[test]
fn a_ledger_loaded_without_a_fence_is_found() {
    finds("the ledger is loaded without a fence", Mutant { no_fence: true, ..Mutant::default() });
}

#[test]
fn a_lease_that_overtakes_transitions_is_found() {
    finds("the lease overtakes transitions", Mutant { lease_overtakes: true, ..Mutant::default() });
}

#[test]
fn a_ledger_that_followers_do_not_watch_is_found() {
    finds("followers do not watch the ledger", Mutant { ledger_unwatched: true, ..Mutant::default() });
}

#[test]
fn a_change_of_the_ledger_that_is_taken_for_another_is_found() {
    let ignored = Mutant { ledger_ignored: true, ..Mutant::default() };
    finds("the change of an entry is taken for one of no path", ignored);
    let uncounted = Mutant { ledger_uncounted: true, ..Mutant::default() };
    finds("entries that came and went unseen are not thought of", uncounted);
    let coarse = Mutant { ledger_coarse: true, ..Mutant::default() };
    finds("the change of an entry is taken for one of any path", coarse);
    let by_path = Mutant { ledger_by_path: true, ..Mutant::default() };
    finds("the change of an entry is taken for one of each alert of its path", by_path);
}

#[test]
fn an_epoch_that_begins_anew_with_the_locks_is_found() {
    finds("the epoch is the lock's number", Mutant { lock_number: true, ..Mutant::default() });
}

#[test]
fn a_lapse_that_the_election_does_not_hear_of_is_found() {
    finds(
        "a leader whose lease lapsed goes on and is mute",
        Mutant { lapse_untold: true, ..Mutant::default() },
    );
}

#[test]
fn a_lease_that_is_not_checked_is_found() {
    finds("the lease is not checked before sending", Mutant { lease_unchecked: true, ..Mutant::default() });
}

#[test]
fn followers_that_do_not_hear_of_acknowledgements_are_found() {
    let mutant = Mutant { silences_unheard: true, ..Mutant::default() };
    finds("who does not lead does not hear of silences", mutant);
}

#[test]
fn a_takeover_without_what_a_fall_is_measured_by_is_found() {
    finds("who takes over does not measure by the ledger", Mutant { base_unread: true, ..Mutant::default() });
}

#[test]
fn a_ledger_that_does_not_say_how_a_fall_ended_is_found() {
    finds(
        "the ledger does not keep how a fall ended",
        Mutant { ending_unwritten: true, ..Mutant::default() },
    );
}

#[test]
fn a_leader_that_keeps_to_itself_what_it_owes_is_found() {
    finds("the ledger hears of no alert that waits", Mutant { owed_unwritten: true, ..Mutant::default() });
}

#[test]
fn a_fall_that_time_does_not_end_is_found() {
    finds("the evaluator does not hear of the time", Mutant { judge_untimed: true, ..Mutant::default() });
}

#[test]
fn alerts_that_wait_for_nothing_or_for_too_much_are_found() {
    for dependence in [Dependence::Nothing, Dependence::Another] {
        finds("alerts wait for what they should not", Mutant { dependence, ..Mutant::default() });
    }
}

#[test]
fn a_reload_that_removes_rules_before_it_brings_them_is_found() {
    finds("a reload removes all rules first", Mutant { reload_removes: true, ..Mutant::default() });
}
