//! Everything at once goes wrong, and the contract holds: agents and servers die, hang and are cut off from each other,
//! receivers lie, clocks step and disks fill, while paths fall out of spec and come back.
//!
//! The run follows from a seed, which it prints: `ZK_MONITOR_CHAOS_SEED` repeats the plan of an earlier one. A short run
//! always has the same plan, so that what it finds is of the change that is tested; one that `ZK_MONITOR_CHAOS_SECONDS` makes
//! longer looks for more, and draws its plan. The oracle reads what the receivers got and ZooKeeper's transaction log.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails where it stands")]
#![allow(clippy::disallowed_methods, reason = "tests are shells: they tell the daemon the time")]

mod calm;
#[path = "../integration/common/mod.rs"]
#[allow(dead_code, unused_imports, reason = "a toolbox: not every tool is in use here")]
mod common;
mod disturbances;
mod expire;
mod messages;
mod network;
mod oracle;
mod samples;
mod told;
mod truth;
mod txnlog;
mod workload;
mod world;

use std::process::Command;
use std::time::Duration;

use crossbeam_channel::bounded;
use fastrand::Rng;

use disturbances::plan;
use world::World;

/// A short run, and the seed of its plan: each kind of harm is in it that takes no long time.
const SECONDS: u64 = 25;
const SEED: u64 = 2;
/// From which length on a run looks at what a process takes over time.
const LONG: Duration = Duration::from_secs(600);
/// Says that this process has a network of its own.
const INSIDE: &str = "ZK_MONITOR_CHAOS_INSIDE";

#[test]
fn the_contract_holds_whatever_happens() {
    if std::env::var_os(INSIDE).is_none() {
        return in_namespaces_of_its_own();
    }
    let wrong = run();
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

/// Tells what was wrong. Servers and agents have ended when it returns.
fn run() -> Vec<String> {
    let number = |name| std::env::var(name).ok().map(|text: String| text.parse::<u64>().unwrap());
    let seconds = number("ZK_MONITOR_CHAOS_SECONDS");
    let length = Duration::from_secs(seconds.unwrap_or(SECONDS));
    let drawn = || seconds.map_or(SEED, |_| fastrand::u64(..));
    let seed = number("ZK_MONITOR_CHAOS_SEED").unwrap_or_else(drawn);
    println!("ZK_MONITOR_CHAOS_SEED={seed}");
    let mut rng = Rng::with_seed(seed);
    let plan = plan(&mut rng, length);
    let mut world = World::start(seed);
    world.spared = (length >= LONG).then_some(0);
    let (stop, stopped) = bounded(0);
    let servers: Vec<String> = world.servers.iter().map(common::ZooKeeper::address).collect();
    let (end, ended) = bounded(0);
    let pumped = servers.clone();
    let pump = std::thread::spawn(move || workload::pump(&pumped, &ended));
    let driver = std::thread::spawn(move || workload::drive(&servers, rng, &stopped));
    let faults = world.suffer(&plan);
    drop(stop);
    driver.join().unwrap();
    let mut wrong = world.settle();
    wrong.extend(world.samples.grown());
    world.samples.leave(&calm::traces(seed));
    let evidence = world.evidence(&faults).unwrap();
    drop(end);
    pump.join().unwrap();
    let (tally, found) = evidence.judge();
    wrong.extend(found);
    println!("seed {seed}: {tally:?}");
    if !wrong.is_empty() {
        world.leave_traces(seed, &evidence);
    }
    wrong
}

/// Runs this test again where it can do no harm: with a network and mounts that nobody else has.
fn in_namespaces_of_its_own() {
    let mut command = Command::new("unshare");
    command.args(["--map-root-user", "--net", "--mount", "--kill-child=KILL", "--fork"]);
    command.arg(std::env::current_exe().unwrap());
    command.args(["--exact", "the_contract_holds_whatever_happens", "--nocapture"]);
    let status = command.env(INSIDE, "1").status().unwrap();
    assert!(status.success(), "the run failed: see above");
}
