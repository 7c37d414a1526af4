//! `--check-config`

use std::path::Path;

use super::answer::{Answer, load};

pub fn check_config(file: &Path) -> Answer {
    let config = match load(file) {
        Ok(config) => config,
        Err(answer) => return answer,
    };
    let globs = config.rules.iter().filter(|rule| rule.is_glob()).count();
    let (rules, receivers) = (config.rules.len(), config.receivers.len());
    Answer {
        stdout: format!("{}: good: {rules} rules ({globs} globs), {receivers} receivers\n", file.display()),
        stderr: config.warnings.iter().map(|warning| format!("{warning}\n")).collect(),
        code: 0,
    }
}
