//! The argument vector: normalised, then parsed by argh, then judged.

mod arguments;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod hosts;
mod normalise;
mod options;
mod table;
#[cfg(test)]
mod tests;

use std::ffi::OsString;
use std::io::Write;

use crate::model::printable;
use normalise::Normalised;
pub use options::{Command, Options, Tls, ZooKeeper};

/// The exit code for a usage error.
const USAGE: u8 = 2;

/// What the process has to print, and its exit code.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    pub stdout: String,
    pub stderr: String,
    pub code: u8,
}

impl Answer {
    pub fn failed(code: u8, reason: &str) -> Self {
        Self { stderr: format!("zk_monitor: {reason}\n"), code, ..Self::default() }
    }

    fn usage(reason: &str) -> Self {
        Self::failed(USAGE, &format!("{}\nTry 'zk_monitor --help'.", printable::lines(reason)))
    }

    /// Prints it. Much of it was written by others, who shall not command the operator's terminal.
    pub fn print(&self) {
        write(&mut std::io::stdout(), &self.stdout);
        write(&mut std::io::stderr(), &self.stderr);
    }
}

/// Nothing is not written: even that would wait for whoever holds a stream that nobody reads, and the daemon has nothing to
/// print when it ends.
fn write(to: &mut dyn Write, text: &str) {
    if !text.is_empty() {
        // Whoever closed our output does not want to know; the exit code tells all the same.
        to.write_all(printable::lines(text).as_bytes()).ok();
    }
}

/// Reads the arguments, without the program's name. `env` reads an environment variable; the password file is
/// read, too.
pub fn parse(
    arguments: Vec<OsString>,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<(Options, Command), Answer> {
    let utf8: Result<Vec<String>, OsString> = arguments.into_iter().map(OsString::into_string).collect();
    let utf8 = utf8.map_err(|bad| Answer::usage(&format!("the argument {bad:?} is not UTF-8")))?;
    let stdout = match normalise::normalise(utf8).map_err(|reason| Answer::usage(&reason))? {
        Normalised::Help => table::help(),
        Normalised::Version => format!("zk_monitor {}\n", env!("CARGO_PKG_VERSION")),
        Normalised::Arguments(canonical) => {
            return arguments::command(&canonical, env).map_err(|reason| Answer::usage(&reason));
        }
    };
    Err(Answer { stdout, ..Answer::default() })
}
