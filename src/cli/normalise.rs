//! The spellings that people use, turned into the one that argh takes.
//!
//! argh knows `--long-name value`, once. Here `--name=value`, `-n value`, `-nvalue`, `_` for `-`, unambiguous
//! prefixes and repeats are turned into that.

use super::table::{Entry, OPTIONS};

/// What the arguments come to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Normalised {
    Help,
    Version,
    /// `--long-name value` or `--long-name`, each at most once.
    Arguments(Vec<String>),
}

/// Normalises the arguments; an error is a usage error in words. `--help` and `--version` count where they
/// stand: what is wrong before them is told, what follows is not looked at.
pub(super) fn normalise(arguments: Vec<String>) -> Result<Normalised, String> {
    let mut values: [Option<Vec<String>>; OPTIONS.len()] = [const { None }; OPTIONS.len()];
    let mut arguments = arguments.into_iter();
    while let Some(argument) = arguments.next() {
        if argument == "--" {
            refuse_positional(arguments.next())?;
            break;
        }
        let (index, attached) = option(&argument)?;
        let entry = &OPTIONS[index];
        match entry.long {
            "help" => return Ok(Normalised::Help),
            "version" => return Ok(Normalised::Version),
            _ => {}
        }
        let name = format!("--{}", entry.canonical());
        let value = match (entry.metavar, attached) {
            (None, None) => vec![name],
            (None, Some(_)) => return Err(format!("--{} takes no value", entry.long)),
            (Some(_), Some(attached)) => vec![name, attached],
            // Whatever follows is the value, even if it starts with a dash.
            (Some(metavar), None) => {
                let value =
                    arguments.next().ok_or_else(|| format!("--{} needs a value: {metavar}", entry.long))?;
                vec![name, value]
            }
        };
        values[index] = Some(value);
    }
    Ok(Normalised::Arguments(values.into_iter().flatten().flatten().collect()))
}

/// Which option an argument is, and the value that is attached to it.
fn option(argument: &str) -> Result<(usize, Option<String>), String> {
    if let Some(long) = argument.strip_prefix("--") {
        let (name, attached) = match long.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (long, None),
        };
        return Ok((by_prefix(name)?, attached));
    }
    let mut rest = argument.strip_prefix('-').unwrap_or_default().chars();
    let Some(short) = rest.next() else {
        refuse_positional(Some(argument.to_owned()))?;
        return Err("an option is missing".to_owned());
    };
    let index = OPTIONS.iter().position(|entry| entry.short == Some(short));
    let index = index.ok_or_else(|| format!("there is no option -{}", short.escape_debug()))?;
    let attached = rest.as_str();
    Ok((index, (!attached.is_empty()).then(|| attached.to_owned())))
}

/// The option that a long name, or the start of one, stands for.
fn by_prefix(name: &str) -> Result<usize, String> {
    let canonical = name.replace('_', "-");
    let shown: String = name.chars().take(60).flat_map(char::escape_debug).collect();
    if let Some(exact) = OPTIONS.iter().position(|entry| entry.canonical() == canonical) {
        return Ok(exact);
    }
    let starts =
        |(_, entry): &(usize, &Entry)| !canonical.is_empty() && entry.canonical().starts_with(&canonical);
    let candidates: Vec<(usize, &Entry)> = OPTIONS.iter().enumerate().filter(starts).collect();
    match candidates.as_slice() {
        [] => Err(format!("there is no option --{shown}")),
        [(index, _)] => Ok(*index),
        several => {
            let names: Vec<String> = several.iter().map(|(_, entry)| format!("--{}", entry.long)).collect();
            Err(format!("--{shown} is ambiguous: {}", names.join(", ")))
        }
    }
}

fn refuse_positional(argument: Option<String>) -> Result<(), String> {
    match argument {
        None => Ok(()),
        Some(argument) => {
            let shown: String = argument.chars().take(60).flat_map(char::escape_debug).collect();
            Err(format!("unexpected argument '{shown}': all arguments are options"))
        }
    }
}
