//! A second opinion: Python's ZooKeeper client, which shares no code with ours.

use std::process::Stdio;
use std::time::Duration;

use super::children::bound_to_us;
use super::run::finish;

/// Runs a Python script in which `zk` is a started kazoo client of `address`, and tells what it printed.
///
/// # Panics
/// If it fails, with what it said.
#[track_caller]
pub fn kazoo(address: &str, script: &str) -> String {
    let whole = format!(
        "import sys\nfrom kazoo.client import KazooClient\nfrom kazoo.security import *\n\
         zk = KazooClient(hosts=sys.argv[1], timeout=10)\nzk.start(15)\n{script}\nzk.stop()\nzk.close()\n"
    );
    python(&whole, &[address])
}

/// Runs a Python script with these arguments, and tells what it printed.
///
/// # Panics
/// If it fails, with what it said.
#[track_caller]
pub fn python(script: &str, arguments: &[&str]) -> String {
    // Debian's own interpreter: another one on the search path does not know Debian's packages.
    let mut command = bound_to_us("/usr/bin/python3");
    command.args(["-c", script]).args(arguments).stdin(Stdio::null());
    let output = finish(command, Duration::from_secs(60));
    assert_eq!(output.code, Some(0), "failed (tests/run installs what it imports): {}", output.stderr);
    output.stdout
}
