//! `--check-config`

use std::path::Path;

use super::load::load;
use super::number::number;
use crate::cli::Answer;

pub fn check_config(file: &Path) -> Result<Answer, Answer> {
    let config = load(file)?;
    let globs = config.rules.iter().filter(|rule| rule.is_glob()).count();
    Ok(Answer {
        stdout: format!(
            "{}: good: {} ({}), {}\n",
            file.display(),
            number(config.rules.len() as u64, "rule"),
            number(globs as u64, "glob"),
            number(config.receivers.len() as u64, "receiver")
        ),
        stderr: config.warnings.iter().map(|warning| format!("{warning}\n")).collect(),
        ..Answer::default()
    })
}
