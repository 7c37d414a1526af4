//! The options, in the order of the help text.

pub(super) struct Entry {
    /// The long name as it is documented; `_` and `-` are alike when it is read.
    pub(super) long: &'static str,
    pub(super) short: Option<char>,
    /// What stands for its value in the help; `None` if it takes none.
    pub(super) metavar: Option<&'static str>,
    help: &'static str,
}

impl Entry {
    /// The long name with `-` alone, as argh has it.
    pub(super) fn canonical(&self) -> String {
        self.long.replace('_', "-")
    }
}

const fn flag(long: &'static str, help: &'static str) -> Entry {
    Entry { long, short: None, metavar: None, help }
}

const fn value(long: &'static str, metavar: &'static str, help: &'static str) -> Entry {
    Entry { long, short: None, metavar: Some(metavar), help }
}

const fn short(short: char, entry: Entry) -> Entry {
    Entry { short: Some(short), ..entry }
}

/// Every option.
pub(super) const OPTIONS: [Entry; 33] = [
    short('h', flag("help", "show this help and exit")),
    flag("version", "show the version and exit"),
    short(
        'f',
        value(
            "file",
            "FILE",
            "YAML file with the znodes to monitor, or directory of such files; required, but for silences and --suggest",
        ),
    ),
    short(
        'z',
        value(
            "zookeeper",
            "HOSTS",
            "comma-separated host:port list, optional /chroot at the end; IPv6 addresses in brackets \
             [localhost:2181]",
        ),
    ),
    value("zookeeper_user", "USER", "user for digest authentication"),
    value(
        "zookeeper_pass",
        "PASS",
        "password of that user; every local user can see it in the process list, so prefer the next, or the \
         environment variable ZK_MONITOR_ZOOKEEPER_PASS",
    ),
    value("zookeeper_pass_file", "FILE", "file that holds the password"),
    flag("zookeeper_tls", "connect to ZooKeeper with TLS"),
    value("zookeeper_ca", "FILE", "certificates to trust, in PEM [the system's]"),
    value("zookeeper_cert", "FILE", "own certificate, in PEM"),
    value("zookeeper_key", "FILE", "key of the own certificate, in PEM"),
    value("session_timeout", "SECONDS", "ZooKeeper session timeout to ask for [10]"),
    value(
        "reread",
        "DURATION",
        "how often each path is verified, whatever its watch says, such as 90, 10m or 1h [10m]",
    ),
    value("state_dir", "DIR", "directory in which the journal of what happened is kept [in memory alone]"),
    short('c', value("cluster_name", "NAME", "unique name of this cluster of agents [zkmonitor]")),
    value("cluster_prefix", "PATH", "parent znode of all clusters [/zk_monitor]"),
    short('p', value("port", "PORT", "HTTP port; 0 is any free one [8080]")),
    value("bind", "ADDRESS", "address that the HTTP server listens on [all]"),
    short('l', value("level", "LEVEL", "DEBUG, INFO, WARN or ERROR [WARN]")),
    short('s', value("syslog", "FACILITY", "log to syslog under that facility, such as local0")),
    flag("check-config", "judge the configuration, print what is wrong or a summary, and exit"),
    flag("once", "read every path once, print a line each, and exit with the worst state (Nagios codes)"),
    flag(
        "replay",
        "judge the journal in --state_dir by the configuration, print what would have been sent, and exit",
    ),
    value("since", "DURATION", "how far --replay looks back, such as 12h or 7d [to the beginning]"),
    value(
        "test-alert",
        "PATH",
        "send a test alert to the receivers of that path's rule, print their answers, and exit",
    ),
    value(
        "explain",
        "PATH",
        "tell by which rules a path is judged, how it stands, who hears of it and what holds that back, and exit",
    ),
    value(
        "suggest",
        "PATH",
        "look at the tree below a path, print YAML that would watch it, and exit; --for says how long [10s]",
    ),
    value(
        "silence",
        "PATH_OR_GLOB",
        "silence the alerts of a path, or of all that a pattern matches, and exit; needs --for or --until-recovery",
    ),
    value("for", "DURATION", "how long the silence lasts, or --suggest looks, such as 90, 30m or 2h"),
    flag("until-recovery", "acknowledge: the silence is of what is open now, and ends when that is over"),
    value("comment", "TEXT", "why the silence is made"),
    value("unsilence", "ID", "end a silence, and exit"),
    flag("silences", "list the silences of the cluster, and exit"),
];

/// Where the help of an option starts.
const COLUMN: usize = 34;

/// How wide a line of help may be.
pub(super) const WIDTH: usize = 80;

pub(super) fn help() -> String {
    let mut text = "Usage: zk_monitor [options]\n\n\
                    Watches ZooKeeper paths for compliance with specs, and alerts when one falls\n\
                    out of spec and when it comes back.\n\nOptions:\n"
        .to_owned();
    for entry in &OPTIONS {
        let short = entry.short.map_or_else(|| "    ".to_owned(), |short| format!("-{short}, "));
        let metavar = entry.metavar.map(|metavar| format!(" {metavar}")).unwrap_or_default();
        let mut line = format!("  {short}--{}{metavar}", entry.long);
        if line.len() + 2 > COLUMN {
            text += &line;
            text.push('\n');
            line.clear();
        }
        append_wrapped(&mut text, line, entry.help);
    }
    text
}

fn append_wrapped(text: &mut String, mut line: String, help: &str) {
    line = format!("{line:COLUMN$}");
    for word in help.split(' ') {
        if line.len() + word.len() > WIDTH {
            text.push_str(line.trim_end());
            text.push('\n');
            line = " ".repeat(COLUMN);
        }
        line.push_str(word);
        line.push(' ');
    }
    text.push_str(line.trim_end());
    text.push('\n');
}
