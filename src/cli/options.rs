//! What the operator asks for.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use log::LevelFilter;
use syslog::Facility;

use crate::model::receiver::Secret;

/// What the operator asks for.
#[derive(Clone, Debug)]
pub enum Command {
    Run {
        file: PathBuf,
    },
    CheckConfig {
        file: PathBuf,
    },
    Once {
        file: PathBuf,
    },
    Replay {
        file: PathBuf,
        /// Where the journal is.
        directory: PathBuf,
        /// How far to look back; `None` is to its beginning.
        since: Option<Duration>,
    },
    Explain {
        file: PathBuf,
        /// A path, or a path or glob of the configuration; with `@` and a name behind it, one rule of it.
        path: String,
    },
    TestAlert {
        file: PathBuf,
        /// The path whose rule's receivers get it.
        path: String,
    },
    Suggest {
        /// The tree to look at.
        path: String,
        /// How long to look at it.
        watch: Duration,
    },
    Silence {
        /// A path or a pattern.
        path: String,
        /// For how long; more than nothing. If nothing is said: until what is open now is over.
        duration: Option<Duration>,
        /// Why; may be empty.
        comment: String,
        /// Who asks, by the environment.
        by: String,
    },
    Unsilence {
        /// The silence's id: one level of a znode's path.
        id: String,
    },
    Silences,
}

/// What all commands share, validated.
#[derive(Clone, Debug)]
pub struct Options {
    pub zookeeper: ZooKeeper,
    /// How often each path is verified, whatever its watch says; at least a second.
    pub reread: Duration,
    /// Where the journal is kept; `None` is in memory alone.
    pub state_dir: Option<PathBuf>,
    /// The name of the cluster of agents: one level of a znode's path.
    pub cluster_name: String,
    /// The parent of all clusters: an absolute path other than `/`, without a slash at its end.
    pub cluster_prefix: String,
    /// The HTTP port; 0 is any free one.
    pub port: u16,
    /// The address that the HTTP server listens on; `None` is all.
    pub bind: Option<IpAddr>,
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
    pub credentials: Option<(String, Secret)>,
    pub session_timeout: Duration,
    pub tls: Option<Tls>,
}

/// TLS to ZooKeeper; files in PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// The certificates to trust; `None` is the system's.
    pub ca: Option<PathBuf>,
    pub identity: Option<(PathBuf, PathBuf)>,
}
