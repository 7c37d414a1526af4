//! The argument vector: normalised, then parsed by argh, then judged.

mod arguments;
mod hosts;
mod normalise;
mod options;
mod table;
#[cfg(test)]
mod tests;

use std::ffi::OsString;

use normalise::Normalised;
pub use options::{Command, Options, Tls, ZooKeeper};

/// The end of the process before it began.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exit {
    /// The exit code: 0, or 2 for a usage error.
    pub code: u8,
    pub stdout: String,
    pub stderr: String,
}

impl Exit {
    fn success(stdout: String) -> Self {
        Self { code: 0, stdout, stderr: String::new() }
    }

    fn usage(message: &str) -> Self {
        let stderr = format!("zk_monitor: {message}\nTry 'zk_monitor --help'.\n");
        Self { code: 2, stdout: String::new(), stderr }
    }
}

/// Reads the arguments, without the program's name. `env` reads an environment variable; the password file is
/// read, too.
pub fn parse(arguments: Vec<OsString>, env: &dyn Fn(&str) -> Option<String>) -> Result<Command, Exit> {
    let utf8: Result<Vec<String>, OsString> = arguments.into_iter().map(OsString::into_string).collect();
    let utf8 = utf8.map_err(|bad| Exit::usage(&format!("the argument {bad:?} is not UTF-8")))?;
    match normalise::normalise(utf8).map_err(|message| Exit::usage(&message))? {
        Normalised::Help => Err(Exit::success(table::help())),
        Normalised::Version => Err(Exit::success(format!("zk_monitor {}\n", env!("CARGO_PKG_VERSION")))),
        Normalised::Arguments(canonical) => {
            arguments::command(&canonical, env).map_err(|message| Exit::usage(&message))
        }
    }
}
