//! What the program does besides running as a daemon: one question or errand, and an exit code.

mod check;
mod once;
mod silence;
mod test_alert;

pub use check::check_config;
pub use once::once;
pub use silence::{silence, silences, unsilence};
pub use test_alert::test_alert;

use std::path::Path;
use std::time::Duration;

use crate::config::{self, Config};
use crate::daemon::EX_CONFIG;

/// How long an errand at ZooKeeper may take.
const ERRAND: Duration = Duration::from_secs(10);

/// What a command has to print, and its exit code.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// For standard output.
    pub stdout: String,
    /// For standard error.
    pub stderr: String,
    /// The exit code.
    pub code: u8,
}

impl Answer {
    fn failed(code: u8, reason: &str) -> Self {
        Self { stderr: format!("zk_monitor: {reason}\n"), code, ..Self::default() }
    }
}

/// Reads the configuration, or says what is wrong with it.
fn load(file: &Path) -> Result<Config, Answer> {
    config::load(file, &crate::env).map_err(|errors| Answer {
        stderr: format!("{errors}\n"),
        code: EX_CONFIG,
        ..Answer::default()
    })
}
