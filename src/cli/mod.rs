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
use std::io::{self, Write};

use crate::model::printable;
use normalise::Normalised;
pub use options::{Command, Options, Tls, ZooKeeper};

/// The exit code for a usage error.
const USAGE: u8 = 2;

/// What the process has to print, and its exit code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub stdout: String,
    pub stderr: String,
    pub code: u8,
    /// The exit code in place of 0 if the output could not be written.
    pub unwritten: u8,
}

impl Default for Answer {
    fn default() -> Self {
        Self { stdout: String::new(), stderr: String::new(), code: 0, unwritten: 1 }
    }
}

impl Answer {
    pub fn failed(code: u8, reason: &str) -> Self {
        Self { stderr: format!("zk_monitor: {reason}\n"), code, ..Self::default() }
    }

    fn usage(reason: &str) -> Self {
        Self::failed(USAGE, &format!("{}\nTry 'zk_monitor --help'.", printable::lines(reason)))
    }

    /// Prints it, and gives the exit code. Much of it was written by others, who shall not command the operator's terminal.
    pub fn print(&self) -> u8 {
        self.print_to(&mut std::io::stdout(), &mut std::io::stderr())
    }

    fn print_to(&self, stdout: &mut dyn Write, stderr: &mut dyn Write) -> u8 {
        let written = write(stdout, &self.stdout);
        // There is nobody to complain to about standard error; the exit code tells all the same.
        write(stderr, &self.stderr).ok();
        let Err(error) = written else { return self.code };
        write(stderr, &format!("zk_monitor: cannot write the output, which is not complete: {error}\n")).ok();
        if self.code == 0 { self.unwritten } else { self.code }
    }
}

/// Nothing is not written: even that would wait for whoever holds a stream that nobody reads, and the daemon has nothing to
/// print when it ends.
fn write(to: &mut dyn Write, text: &str) -> io::Result<()> {
    if text.is_empty() {
        return Ok(());
    }
    let written = to.write_all(printable::lines(text).as_bytes()).and_then(|()| to.flush());
    // Whoever closed our output does not want to know the rest.
    written.or_else(|error| if error.kind() == io::ErrorKind::BrokenPipe { Ok(()) } else { Err(error) })
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
