//! Normalised arguments as values that go together.

use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use argh::FromArgs;
use log::LevelFilter;
use syslog::Facility;

use super::hosts::{self, Hosts};
use super::options::{Command, Options, Tls, ZooKeeper};
use crate::credentials;
use crate::model::lease::LONGEST_SESSION;
use crate::model::receiver::Secret;
use crate::model::{duration, path};

/// Reads an environment variable.
type Env<'a> = &'a dyn Fn(&str) -> Option<String>;

/// The environment variable that the password may stand in.
const PASS_VARIABLE: &str = "ZK_MONITOR_ZOOKEEPER_PASS";

/// How long `--suggest` looks if nothing is said.
const SUGGEST_FOR: Duration = Duration::from_secs(10);

/// The largest password file, in bytes.
const MAX_PASS_FILE: u64 = 64 << 10;

/// the arguments, each by itself; the help is in the table
#[derive(Debug, FromArgs)]
struct Arguments {
    /// YAML file
    #[argh(option)]
    file: Option<PathBuf>,
    /// hosts and chroot
    #[argh(option, from_str_fn(hosts::parse), default = "default_hosts()")]
    zookeeper: Hosts,
    /// digest user
    #[argh(option)]
    zookeeper_user: Option<String>,
    /// digest password
    #[argh(option)]
    zookeeper_pass: Option<String>,
    /// file with the digest password
    #[argh(option)]
    zookeeper_pass_file: Option<PathBuf>,
    /// TLS to ZooKeeper
    #[argh(switch)]
    zookeeper_tls: bool,
    /// certificates to trust
    #[argh(option)]
    zookeeper_ca: Option<PathBuf>,
    /// own certificate
    #[argh(option)]
    zookeeper_cert: Option<PathBuf>,
    /// key of the own certificate
    #[argh(option)]
    zookeeper_key: Option<PathBuf>,
    /// session timeout in seconds
    #[argh(option, from_str_fn(session_timeout), default = "Duration::from_secs(10)")]
    session_timeout: Duration,
    /// period of verification
    #[argh(option, from_str_fn(reread), default = "Duration::from_secs(600)")]
    reread: Duration,
    /// directory of the journal
    #[argh(option, from_str_fn(directory))]
    state_dir: Option<PathBuf>,
    /// name of the cluster
    #[argh(option, from_str_fn(level_of_a_path), default = "String::from(\"zkmonitor\")")]
    cluster_name: String,
    /// parent of all clusters
    #[argh(option, from_str_fn(cluster_prefix), default = "String::from(\"/zk_monitor\")")]
    cluster_prefix: String,
    /// HTTP port
    #[argh(option, from_str_fn(port), default = "8080")]
    port: u16,
    /// HTTP address
    #[argh(option, from_str_fn(bind))]
    bind: Option<IpAddr>,
    /// level of the log
    #[argh(option, from_str_fn(level), default = "LevelFilter::Warn")]
    level: LevelFilter,
    /// syslog facility
    #[argh(option, from_str_fn(facility))]
    syslog: Option<Facility>,
    /// judge the configuration
    #[argh(switch)]
    check_config: bool,
    /// read once
    #[argh(switch)]
    once: bool,
    /// judge the journal
    #[argh(switch)]
    replay: bool,
    /// how far to look back
    #[argh(option, from_str_fn(more_than_nothing))]
    since: Option<Duration>,
    /// explain a path
    #[argh(option, from_str_fn(znode_path))]
    explain: Option<String>,
    /// suggest rules for a tree
    #[argh(option, from_str_fn(one_znode))]
    suggest: Option<String>,
    /// test the receivers of a path
    #[argh(option, from_str_fn(znode_path))]
    test_alert: Option<String>,
    /// path or pattern to silence
    #[argh(option, from_str_fn(pattern))]
    silence: Option<String>,
    /// duration of the silence
    #[argh(option, long = "for", from_str_fn(more_than_nothing))]
    duration: Option<Duration>,
    /// the silence is an acknowledgement
    #[argh(switch)]
    until_recovery: bool,
    /// comment on the silence
    #[argh(option, from_str_fn(comment))]
    comment: Option<String>,
    /// silence to end
    #[argh(option, from_str_fn(level_of_a_path))]
    unsilence: Option<String>,
    /// list the silences
    #[argh(switch)]
    silences: bool,
}

/// The command that normalised arguments make; an error is a usage error in words.
pub(super) fn command(arguments: &[String], env: Env<'_>) -> Result<(Options, Command), String> {
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let arguments = Arguments::from_args(&["zk_monitor"], &arguments);
    let arguments = arguments.map_err(|exit| exit.output.trim_end().to_owned())?;
    arguments.refuse_two_commands()?;
    arguments.refuse_stray_details()?;
    let credentials = arguments.credentials(env)?;
    let tls = arguments.tls(env)?;
    let command = arguments.command(env)?;
    let Hosts { hosts, chroot } = arguments.zookeeper;
    let options = Options {
        zookeeper: ZooKeeper { hosts, chroot, credentials, session_timeout: arguments.session_timeout, tls },
        reread: arguments.reread,
        state_dir: arguments.state_dir,
        cluster_name: arguments.cluster_name,
        cluster_prefix: arguments.cluster_prefix,
        port: arguments.port,
        bind: arguments.bind,
        level: arguments.level,
        syslog: arguments.syslog,
    };
    Ok((options, command))
}

impl Arguments {
    fn command(&self, env: Env<'_>) -> Result<Command, String> {
        if let Some(path) = self.silence.clone() {
            let duration = match (self.duration, self.until_recovery) {
                (None, false) => return Err("--silence needs --for DURATION or --until-recovery".to_owned()),
                (Some(_), true) => return Err("--for and --until-recovery exclude each other".to_owned()),
                (duration, _) => duration,
            };
            let comment = self.comment.clone().unwrap_or_default();
            return Ok(Command::Silence { path, duration, comment, by: user(env) });
        }
        if let Some(id) = self.unsilence.clone() {
            return Ok(Command::Unsilence { id });
        }
        if self.silences {
            return Ok(Command::Silences);
        }
        if let Some(path) = self.suggest.clone() {
            let watch = self.duration.unwrap_or(SUGGEST_FOR);
            return Ok(Command::Suggest { path, watch });
        }
        let file = self.file.clone().ok_or("--file FILE is required")?;
        if file.as_os_str().is_empty() {
            return Err("--file must not be empty".to_owned());
        }
        if self.replay {
            let directory = self.state_dir.clone().ok_or("--replay needs --state_dir DIR")?;
            return Ok(Command::Replay { file, directory, since: self.since });
        }
        if let Some(path) = self.explain.clone() {
            return Ok(Command::Explain { file, path });
        }
        Ok(match (self.test_alert.clone(), self.check_config, self.once) {
            (Some(path), _, _) => Command::TestAlert { file, path },
            (None, true, _) => Command::CheckConfig { file },
            (None, false, true) => Command::Once { file },
            (None, false, false) => Command::Run { file },
        })
    }

    fn refuse_two_commands(&self) -> Result<(), String> {
        let commands = [
            ("--check-config", self.check_config),
            ("--once", self.once),
            ("--replay", self.replay),
            ("--test-alert", self.test_alert.is_some()),
            ("--explain", self.explain.is_some()),
            ("--suggest", self.suggest.is_some()),
            ("--silence", self.silence.is_some()),
            ("--unsilence", self.unsilence.is_some()),
            ("--silences", self.silences),
        ];
        let given: Vec<&str> = commands.iter().filter(|(_, given)| *given).map(|(name, _)| *name).collect();
        if given.len() > 1 { Err(format!("{} exclude each other", given.join(" and "))) } else { Ok(()) }
    }

    fn refuse_stray_details(&self) -> Result<(), String> {
        if self.since.is_some() && !self.replay {
            return Err("--since needs --replay".to_owned());
        }
        if self.duration.is_some() && self.silence.is_none() && self.suggest.is_none() {
            return Err("--for needs --silence or --suggest".to_owned());
        }
        let details = [("--until-recovery", self.until_recovery), ("--comment", self.comment.is_some())];
        match details.iter().find(|(_, given)| *given && self.silence.is_none()) {
            Some((name, _)) => Err(format!("{name} needs --silence")),
            None => Ok(()),
        }
    }

    fn credentials(&self, env: Env<'_>) -> Result<Option<(String, Secret)>, String> {
        let (password, source) = match (&self.zookeeper_pass, &self.zookeeper_pass_file) {
            (Some(_), Some(_)) => {
                return Err("--zookeeper_pass and --zookeeper_pass_file exclude each other".to_owned());
            }
            (Some(password), None) => (Some(Secret::new(password.clone())), "--zookeeper_pass"),
            (None, Some(file)) => (Some(read_password(file, env)?), "--zookeeper_pass_file"),
            (None, None) => {
                let password = env(PASS_VARIABLE).filter(|password| !password.is_empty());
                (password.map(Secret::new), PASS_VARIABLE)
            }
        };
        match (&self.zookeeper_user, password) {
            (None, None) => Ok(None),
            (None, Some(_)) => Err(format!("{source} needs --zookeeper_user")),
            (Some(_), None) => Err(format!(
                "--zookeeper_user needs --zookeeper_pass, --zookeeper_pass_file or the environment variable {PASS_VARIABLE}"
            )),
            (Some(user), Some(_)) if user.is_empty() || user.contains(':') => {
                Err("--zookeeper_user must not be empty or hold a \":\"".to_owned())
            }
            (Some(_), Some(password)) if password.reveal().is_empty() => {
                Err(format!("{source} must not be empty"))
            }
            (Some(user), Some(password)) => Ok(Some((user.clone(), password))),
        }
    }

    fn tls(&self, env: Env<'_>) -> Result<Option<Tls>, String> {
        let files = [
            ("--zookeeper_ca", &self.zookeeper_ca),
            ("--zookeeper_cert", &self.zookeeper_cert),
            ("--zookeeper_key", &self.zookeeper_key),
        ];
        for (name, file) in files {
            if !self.zookeeper_tls && file.is_some() {
                return Err(format!("{name} needs --zookeeper_tls"));
            }
        }
        let identity = match (&self.zookeeper_cert, &self.zookeeper_key) {
            (Some(certificate), Some(key)) => {
                Some((credentials::locate(certificate, env), credentials::locate(key, env)))
            }
            (None, None) => None,
            (Some(_), None) => return Err("--zookeeper_cert needs --zookeeper_key".to_owned()),
            (None, Some(_)) => return Err("--zookeeper_key needs --zookeeper_cert".to_owned()),
        };
        Ok(self.zookeeper_tls.then(|| Tls { ca: self.zookeeper_ca.clone(), identity }))
    }
}

fn read_password(file: &Path, env: Env<'_>) -> Result<Secret, String> {
    credentials::read_secret(&credentials::locate(file, env), MAX_PASS_FILE)
        .map_err(|reason| format!("--zookeeper_pass_file {}: {reason}", file.display()))
}

/// Who asks, by the environment; `sudo` tells who stands behind root. Cron and containers tell nothing: then it is the
/// process's user, by name if the host knows it.
fn user(env: Env<'_>) -> String {
    let name = ["SUDO_USER", "USER", "LOGNAME"]
        .into_iter()
        .find_map(|name| env(name).filter(|user| !user.is_empty()));
    let name = name.unwrap_or_else(|| {
        let (id, users) = (rustix::process::getuid().as_raw(), fs::read_to_string("/etc/passwd"));
        named_user(&users.unwrap_or_default(), id).unwrap_or_else(|| format!("uid {id}"))
    });
    name.chars().filter(|c| !c.is_control()).take(100).collect()
}

/// The name of the user of this number in the host's list.
fn named_user(users: &str, id: u32) -> Option<String> {
    let mut users = users.lines().map(|line| line.split(':').collect::<Vec<_>>());
    let user = users.find(|fields| fields.get(2).and_then(|field| field.parse().ok()) == Some(id))?;
    user.first().filter(|name| !name.is_empty()).map(|name| (*name).to_owned())
}

fn default_hosts() -> Hosts {
    Hosts { hosts: vec![("localhost".to_owned(), 2181)], chroot: None }
}

fn session_timeout(text: &str) -> Result<Duration, String> {
    let longest = LONGEST_SESSION.as_secs();
    match text.parse() {
        Ok(seconds) if (1..=longest).contains(&seconds) => Ok(Duration::from_secs(seconds)),
        Ok(_) | Err(_) => Err(format!("must be a whole number of seconds from 1 to {longest}")),
    }
}

fn reread(text: &str) -> Result<Duration, String> {
    let duration = duration::parse(text).map_err(|fault| fault.to_string())?;
    if duration < Duration::from_secs(1) { Err("must be at least 1s".to_owned()) } else { Ok(duration) }
}

fn directory(text: &str) -> Result<PathBuf, String> {
    if text.is_empty() { Err("must not be empty".to_owned()) } else { Ok(text.into()) }
}

fn level_of_a_path(text: &str) -> Result<String, String> {
    if text.is_empty() || text.contains('/') {
        return Err("must be one level of a path: not empty, and without \"/\"".to_owned());
    }
    path::check(&format!("/{text}")).map_err(|fault| fault.to_string())?;
    Ok(text.to_owned())
}

fn cluster_prefix(text: &str) -> Result<String, String> {
    if text == "/" { Err("must be a path below \"/\"".to_owned()) } else { znode_path(text) }
}

fn znode_path(text: &str) -> Result<String, String> {
    path::check(text).map(|()| text.to_owned()).map_err(|fault| fault.to_string())
}

fn one_znode(text: &str) -> Result<String, String> {
    if text.contains('*') { Err("must be one path, without \"*\"".to_owned()) } else { znode_path(text) }
}

fn pattern(text: &str) -> Result<String, String> {
    path::check_pattern(text).map(|()| text.to_owned()).map_err(|fault| fault.to_string())
}

fn port(text: &str) -> Result<u16, String> {
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| is_number).ok_or_else(|| "must be a port from 0 to 65535".to_owned())
}

fn bind(text: &str) -> Result<IpAddr, String> {
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    bare.parse().map_err(|_| "must be an IP address".to_owned())
}

fn level(text: &str) -> Result<LevelFilter, String> {
    match text.to_ascii_lowercase().as_str() {
        "debug" => Ok(LevelFilter::Debug),
        "info" => Ok(LevelFilter::Info),
        "warn" | "warning" => Ok(LevelFilter::Warn),
        "error" => Ok(LevelFilter::Error),
        _ => Err("must be DEBUG, INFO, WARN or ERROR".to_owned()),
    }
}

fn facility(text: &str) -> Result<Facility, String> {
    text.parse().map_err(|()| "must be a syslog facility, such as daemon or local0".to_owned())
}

fn more_than_nothing(text: &str) -> Result<Duration, String> {
    let duration = duration::parse(text).map_err(|fault| fault.to_string())?;
    if duration.is_zero() { Err("must be more than nothing".to_owned()) } else { Ok(duration) }
}

fn comment(text: &str) -> Result<String, String> {
    if text.len() > 1000 || text.contains(char::is_control) {
        return Err("must be one line of at most 1000 bytes".to_owned());
    }
    Ok(text.to_owned())
}
