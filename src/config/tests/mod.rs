//! Whole files, wrong and right.

mod files;
mod mutation;
mod right;
mod wrong;

use std::path::Path;

use super::judge::{Source, judge};
use super::validator::Layout;
use super::{Config, Errors};

/// The directory of the files that the tests name.
const BASE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/config");

/// Judges a text, with nothing in the environment.
fn parse(text: &str) -> Result<Config, Errors> {
    parse_with(text.as_bytes(), false, &|_| None)
}

fn parse_with(bytes: &[u8], is_world_readable: bool, env: super::Env<'_>) -> Result<Config, Errors> {
    let source = Source { name: "f.yaml", bytes, base: Path::new(BASE), is_world_readable, earlier: None };
    judge(&[source], Layout::File, env)
        .map(|judged| judged.config)
        .map_err(|refusals| refusals.into_iter().next().expect("something is wrong").errors)
}
