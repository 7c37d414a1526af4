//! The argument vector: normalised, then parsed by argh, then judged.

mod arguments;
mod hosts;
mod normalise;
mod table;
#[cfg(test)]
mod tests;

use std::ffi::OsString;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use log::LevelFilter;
use syslog::Facility;

use crate::model::receiver::Secret;
use normalise::Normalised;

/// What the operator asks for.
#[derive(Clone, Debug)]
pub enum Command {
    /// Watch, judge and alert until told to stop.
    Run {
        /// How.
        options: Options,
        /// The configuration file.
        file: PathBuf,
    },
    /// Judge the configuration file and exit.
    CheckConfig {
        /// How.
        options: Options,
        /// The configuration file.
        file: PathBuf,
    },
    /// Read every path once and exit.
    Once {
        /// How.
        options: Options,
        /// The configuration file.
        file: PathBuf,
    },
    /// Send a test alert and exit.
    TestAlert {
        /// How.
        options: Options,
        /// The configuration file.
        file: PathBuf,
        /// The path whose rule's receivers get it.
        path: String,
    },
    /// Make a silence and exit.
    Silence {
        /// How.
        options: Options,
        /// A path or a pattern.
        path: String,
        /// For how long; more than nothing.
        duration: Duration,
        /// Why; may be empty.
        comment: String,
        /// Who asks, by the environment.
        by: String,
    },
    /// End a silence and exit.
    Unsilence {
        /// How.
        options: Options,
        /// The silence's id: one level of a znode's path.
        id: String,
    },
    /// List the silences and exit.
    Silences {
        /// How.
        options: Options,
    },
}

/// What all commands share, validated.
#[derive(Clone, Debug)]
pub struct Options {
    /// How ZooKeeper is reached.
    pub zookeeper: ZooKeeper,
    /// How often each path is verified, whatever its watch says; at least a second.
    pub reread: Duration,
    /// The name of the cluster of agents: one level of a znode's path.
    pub cluster_name: String,
    /// The parent of all clusters: an absolute path other than `/`, without a slash at its end.
    pub cluster_prefix: String,
    /// The HTTP port; 0 is any free one.
    pub port: u16,
    /// The address that the HTTP server listens on; `None` is all.
    pub bind: Option<IpAddr>,
    /// What is logged.
    pub level: LevelFilter,
    /// The syslog facility to log under; `None` is no syslog.
    pub syslog: Option<Facility>,
}

/// How ZooKeeper is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ZooKeeper {
    /// Hosts and ports, never empty. An IPv6 address stands without brackets.
    pub hosts: Vec<(String, u16)>,
    /// The path that all paths are relative to: absolute, without a slash at its end; `None` for `/`.
    pub chroot: Option<String>,
    /// User and password of the digest scheme.
    pub credentials: Option<(String, Secret)>,
    /// The session timeout to ask for.
    pub session_timeout: Duration,
    /// TLS, if it is wanted.
    pub tls: Option<Tls>,
}

/// TLS to ZooKeeper; files in PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// The certificates to trust; `None` is the system's.
    pub ca: Option<PathBuf>,
    /// This side's certificate and its key.
    pub identity: Option<(PathBuf, PathBuf)>,
}

/// The end of the process before it began.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exit {
    /// The exit code: 0, or 2 for a usage error.
    pub code: u8,
    /// What goes to standard output.
    pub stdout: String,
    /// What goes to standard error.
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
