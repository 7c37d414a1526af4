//! `--check-config`

use std::path::Path;

use super::load::load;
use crate::cli::Answer;

pub fn check_config(file: &Path) -> Result<Answer, Answer> {
    let config = load(file)?;
    let globs = config.rules.iter().filter(|rule| rule.is_glob()).count();
    let (rules, receivers) = (config.rules.len(), config.receivers.len());
    Ok(Answer {
        stdout: format!("{}: good: {rules} rules ({globs} globs), {receivers} receivers\n", file.display()),
        stderr: config.warnings.iter().map(|warning| format!("{warning}\n")).collect(),
        code: 0,
    })
}
