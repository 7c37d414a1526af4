//! Benchmarks beside the peers, on one ZooKeeper: `tests/bench/run`, or `cargo bench --bench daemon [-- --quick NAME…]`
//! with what that installed. Each figure is taken several times, the daemon and its peers in turns.
#![allow(clippy::unwrap_used, reason = "a benchmark that cannot go on fails where it stands")]
#![allow(clippy::disallowed_methods, reason = "benchmarks measure time")]

mod checks;
#[path = "../integration/common/mod.rs"]
#[allow(dead_code, unused_imports, reason = "a toolbox: not every tool is in use here")]
mod common;
mod floor;
mod http;
mod instructions;
mod load;
mod nested;
mod table;
mod watcher;
mod watching;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use common::{Client, SmtpSink, ZooKeeper, eventually};
use table::Table;
use watcher::{Kind, WATCHED};

const MINUTES: Duration = Duration::from_secs(120);
/// The time between two changes: those that are timed come alone, after the last one was noted everywhere.
const APART: Duration = Duration::from_millis(20);

/// How much is measured.
struct Plan {
    /// How many paths are watched.
    sizes: &'static [usize],
    /// How often each figure of arming and latency is taken.
    repetitions: usize,
    /// How often the others are, which take longer.
    rounds: usize,
    /// How many changes each percentile is taken from.
    changes: usize,
    /// How many paths go out of spec at once.
    storm: usize,
    /// How long nothing happens.
    idle: Duration,
    /// How long changes come without a pause.
    churn: Duration,
    /// How long requests come without a pause.
    requests: Duration,
}

const FULL: Plan = Plan {
    sizes: &[10, 1_000, 10_000, 100_000],
    repetitions: 3,
    rounds: 3,
    changes: 200,
    storm: 10_000,
    idle: Duration::from_secs(20),
    churn: Duration::from_secs(60),
    requests: Duration::from_secs(5),
};

/// Within five minutes.
const QUICK: Plan = Plan {
    sizes: &[10, 1_000, 10_000],
    repetitions: 2,
    rounds: 1,
    changes: 30,
    storm: 2_000,
    idle: Duration::from_secs(3),
    churn: Duration::from_secs(5),
    requests: Duration::from_secs(1),
};

type Bench = fn(&mut Bed, &mut Table);

/// The server that all are measured on, and the paths there, each with one child.
struct Bed {
    server: ZooKeeper,
    client: Client,
    paths: Vec<String>,
    plan: &'static Plan,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let ["--floor", address, file, mail @ ..] =
        arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice()
    {
        floor::run(address, file, mail.first().map(|port| port.parse().unwrap()));
        return ExitCode::SUCCESS;
    }
    let quick = arguments.iter().any(|word| word == "--quick");
    // cargo says --bench.
    let wanted: Vec<&String> = arguments.iter().filter(|word| !word.starts_with('-')).collect();
    let all: [(&str, Bench); 9] = [
        ("watching", watching::watching),
        ("checks", checks::checks),
        ("storm", load::storm),
        ("churn", load::churn),
        ("wide", load::wide),
        ("reconnect", load::reconnect),
        ("nested", nested::nested),
        ("http", http::http),
        ("instructions", instructions::instructions),
    ];
    if let Some(name) = wanted.iter().find(|word| all.iter().all(|(name, _)| name != **word)) {
        eprintln!("there is no benchmark {name}; there are: {}", all.map(|(name, _)| name).join(" "));
        return ExitCode::from(2);
    }
    let (mut bed, mut table) = (Bed::new(if quick { &QUICK } else { &FULL }), Table::default());
    for (name, bench) in all {
        if wanted.is_empty() || wanted.contains(&&name.to_owned()) {
            bench(&mut bed, &mut table);
        }
    }
    print!("{}", table.markdown());
    if table.failed(Kind::Daemon) { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

impl Bed {
    fn new(plan: &'static Plan) -> Self {
        let server = ZooKeeper::with(&[], &["-Xmx2g"]);
        let mut client = server.client();
        let groups: Vec<String> = (0..100).map(|group| format!("/bench/group-{group}")).collect();
        let most = plan.sizes.iter().max().unwrap();
        let paths: Vec<String> =
            (0..*most).map(|n| format!("{}/path-{n:06}", groups[n % groups.len()])).collect();
        for path in [WATCHED, floor::LEDGER] {
            client.create(path, "");
        }
        client.create_many(&groups);
        client.create_many(&paths);
        client.create_many(&children_of(&paths));
        Self { server, client, paths, plan }
    }

    /// The first `count` paths, and [`WATCHED`], which is in spec.
    fn with_watched(&mut self, count: usize) -> Vec<String> {
        self.client.create(&format!("{WATCHED}/child"), "");
        let mut paths = self.paths[..count].to_vec();
        paths.push(WATCHED.to_owned());
        paths
    }
}

/// The one child of each of these paths.
fn children_of(paths: &[String]) -> Vec<String> {
    paths.iter().map(|path| format!("{path}/child")).collect()
}

/// When the mail came that is the `count`th. Earlier ones are not looked at, so that a question costs the same each time.
fn told_at(sink: &SmtpSink, count: usize) -> Instant {
    eventually(common::SOON, "mail", || sink.mails_since(count - 1).first().map(|mail| mail.at))
}

/// In milliseconds.
fn percentile(times: &mut [Duration], share: usize) -> f64 {
    times.sort();
    times[(times.len() - 1) * share / 100].as_secs_f64() * 1000.0
}

/// A count as it is read: `10,000`.
fn count(number: usize) -> String {
    if number < 1000 { number.to_string() } else { format!("{},{:03}", count(number / 1000), number % 1000) }
}
