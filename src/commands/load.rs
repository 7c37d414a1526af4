//! The configuration, for a command that needs one.

use std::path::Path;

use crate::cli::Answer;
use crate::config::{self, Config};
use crate::daemon::EX_CONFIG;

/// Reads the configuration, or says what is wrong with it.
pub(super) fn load(file: &Path) -> Result<Config, Answer> {
    let wrong = |errors| Answer { stderr: format!("{errors}\n"), code: EX_CONFIG, ..Answer::default() };
    config::load(file, &crate::env).map_err(wrong)
}
