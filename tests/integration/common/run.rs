//! Programs that run to their end.

use std::process::{Command, Stdio};
use std::time::Duration;

use super::SOON;
use super::children::{Process, bound_to_us};

/// The executable under test.
pub const EXECUTABLE: &str = env!("CARGO_BIN_EXE_zk_monitor");

/// What a run of the executable gave.
#[derive(Debug)]
pub struct Output {
    /// The exit code; `None` if it was killed.
    pub code: Option<i32>,
    /// What it printed.
    pub stdout: String,
    /// What it complained of.
    pub stderr: String,
}

/// Runs the executable with these arguments to its end.
///
/// # Panics
/// If it lives on.
#[track_caller]
pub fn run<const N: usize>(args: [&str; N]) -> Output {
    let mut command = bound_to_us(EXECUTABLE);
    command.args(args).stdin(Stdio::null());
    finish(command, SOON)
}

/// Runs the executable with these arguments to its end, with standard output on a disk that is full.
///
/// # Panics
/// If it lives on.
#[track_caller]
pub fn run_full<const N: usize>(args: [&str; N]) -> Output {
    let mut command = bound_to_us("sh");
    command.args(["-c", "exec \"$@\" > /dev/full", "sh", EXECUTABLE]).args(args).stdin(Stdio::null());
    finish(command, SOON)
}

/// Runs a command to its end.
///
/// # Panics
/// If it lives on.
#[track_caller]
pub fn finish(mut command: Command, within: Duration) -> Output {
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut process = Process::start(command);
    let stdout = read_aside(process.0.stdout.take().unwrap());
    let stderr = read_aside(process.0.stderr.take().unwrap());
    let code = process.wait(within).code();
    Output { code, stdout: stdout.join().unwrap(), stderr: stderr.join().unwrap() }
}

fn read_aside(mut from: impl std::io::Read + Send + 'static) -> std::thread::JoinHandle<String> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        from.read_to_end(&mut bytes).unwrap();
        String::from_utf8_lossy(&bytes).into_owned()
    })
}
