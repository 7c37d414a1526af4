//! What a command has to say.

use std::path::Path;

use crate::config::{self, Config};
use crate::daemon::EX_CONFIG;

/// What a command has to print, and its exit code.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Answer {
    pub stdout: String,
    pub stderr: String,
    pub code: u8,
}

impl Answer {
    pub(super) fn failed(code: u8, reason: &str) -> Self {
        Self { stderr: format!("zk_monitor: {reason}\n"), code, ..Self::default() }
    }
}

/// Reads the configuration, or says what is wrong with it.
pub(super) fn load(file: &Path) -> Result<Config, Answer> {
    config::load(file, &crate::env).map_err(|errors| Answer {
        stderr: format!("{errors}\n"),
        code: EX_CONFIG,
        ..Answer::default()
    })
}
