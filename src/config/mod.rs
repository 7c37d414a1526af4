//! YAML to a validated configuration.
//!
//! The file is read into a tree of numbered values (`document`), judged as a whole, and what is wrong is told
//! with its place: all of it, not the first alone. Nothing that is invalid leaves this module.

mod address;
mod alerter;
mod configuration;
mod counting;
mod data;
mod dependencies;
mod depends_on;
mod digest;
mod document;
mod endpoint;
mod files;
mod finding;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod json;
mod judge;
mod labels;
mod located;
mod map;
mod named_files;
mod places;
mod receivers;
mod rule;
mod secrets;
mod smtp;
mod suggestion;
mod template;
mod templates;
#[cfg(test)]
mod tests;
mod url;
mod validator;

use std::path::Path;

pub use configuration::{Blind, Config, Heartbeat};
pub use files::{Files, Reread};
pub use finding::{Errors, Problem};
pub use places::{RulePlace, places};
pub use validator::Env;

/// Reads and judges a configuration: a file, or a directory of them. Names of files within one start from its directory.
///
/// # Errors
/// All that is wrong with any of them.
pub fn load(path: &Path, env: Env<'_>) -> Result<Config, Errors> {
    Files::new(path).load(env)
}
