//! What agents and servers take while everything happens: it must not grow with time. A run of ten minutes or more leaves
//! it as a table and as curves.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::common::ZooKeeper;
use crate::world::Seat;

/// How often it is looked at.
const EVERY: Duration = Duration::from_secs(10);
/// Fewer are too short to show anything: ten minutes of three agents, or half an hour of one process.
const LEAST: usize = 180;
/// What is looked at, in this order.
const COLUMNS: [&str; 6] = ["threads", "descriptors", "resident KiB", "log KiB", "journal KiB", "znodes"];
/// What must not grow while a process lives, by its column.
const BOUNDED: [usize; 4] = [0, 1, 2, 5];
/// How many hundredths more it may be in the last quarter of its life than in the second.
const MORE: u64 = 25;
/// The size of one curve's field, in pixels.
const FIELD: (f64, f64) = (1_000.0, 120.0);
const COLOURS: [&str; 3] = ["#0b62a4", "#c2410c", "#15803d"];

/// One look at one agent.
struct Sample {
    seconds: f64,
    agent: usize,
    pid: u32,
    values: [u64; COLUMNS.len()],
}

pub struct Samples {
    start: Instant,
    next: Instant,
    all: Vec<Sample>,
}

impl Samples {
    pub fn new() -> Self {
        let start = Instant::now();
        Self { start, next: start, all: Vec::new() }
    }

    /// Looks, if it is time.
    pub fn take(&mut self, seats: &[Seat], servers: &[ZooKeeper]) {
        if Instant::now() < self.next {
            return;
        }
        self.next = Instant::now() + EVERY;
        let znodes = servers.iter().find_map(znodes).unwrap_or_default();
        for (agent, seat) in seats.iter().enumerate() {
            let Some(daemon) = &seat.daemon else { continue };
            self.all.push(Sample {
                seconds: self.start.elapsed().as_secs_f64(),
                agent,
                pid: daemon.pid(),
                values: [
                    daemon.threads(),
                    daemon.fds() as u64,
                    daemon.rss_kb(),
                    daemon.logged() >> 10,
                    seat.journal_bytes() >> 10,
                    znodes,
                ],
            });
        }
    }

    /// Leaves a table and curves in a folder.
    pub fn leave(&self, folder: &Path) {
        if self.all.len() < LEAST {
            return;
        }
        std::fs::create_dir_all(folder).unwrap();
        std::fs::write(folder.join("samples.csv"), self.table()).unwrap();
        std::fs::write(folder.join("samples.svg"), self.curves()).unwrap();
        println!("samples: {}", folder.display());
    }

    /// What a process that lived long took more of in the last quarter of its life than in the second.
    ///
    /// In the first it takes what it needs.
    pub fn grown(&self) -> Vec<String> {
        let pids: BTreeSet<u32> = self.all.iter().map(|sample| sample.pid).collect();
        pids.into_iter().flat_map(|pid| self.grown_in(pid)).collect()
    }

    fn grown_in(&self, pid: u32) -> Vec<String> {
        let life: Vec<&Sample> = self.all.iter().filter(|sample| sample.pid == pid).collect();
        if life.len() < LEAST {
            return Vec::new();
        }
        let quarter = life.len() / 4;
        let most =
            |quarter: &[&Sample], column: usize| quarter.iter().map(|it| it.values[column]).max().unwrap();
        let grown = BOUNDED.into_iter().filter_map(|column| {
            let (base, end) = (most(&life[quarter..2 * quarter], column), most(&life[3 * quarter..], column));
            let is_more = end * 100 > base * (100 + MORE);
            is_more.then(|| format!("process {pid}: {} went from {base} to {end}", COLUMNS[column]))
        });
        grown.collect()
    }

    fn table(&self) -> String {
        let mut table = format!("seconds,agent,pid,{}\n", COLUMNS.join(","));
        for Sample { seconds, agent, pid, values } in &self.all {
            let values = values.map(|value| value.to_string()).join(",");
            writeln!(table, "{seconds:.0},{agent},{pid},{values}").unwrap();
        }
        table
    }

    fn curves(&self) -> String {
        let (width, height) = FIELD;
        let mut top = 0.0;
        let mut fields = String::new();
        for (column, name) in COLUMNS.iter().enumerate() {
            let most = self.all.iter().map(|sample| sample.values[column]).max().unwrap_or(0);
            writeln!(fields, "<text x=\"4\" y=\"{}\">{name}, at most {most}</text>", top + 14.0).unwrap();
            for (agent, colour) in COLOURS.iter().enumerate() {
                let points = self.points(column, agent, most, top + 20.0);
                writeln!(fields, "<path fill=\"none\" stroke=\"{colour}\" d=\"{points}\"/>").unwrap();
            }
            top += height + 20.0;
        }
        let size = format!("width=\"{width}\" height=\"{top}\"");
        format!("<svg xmlns=\"http://www.w3.org/2000/svg\" {size}>\n{fields}</svg>\n")
    }

    /// One agent's curve; each of its processes begins another.
    #[expect(clippy::cast_precision_loss, reason = "pixels")]
    fn points(&self, column: usize, agent: usize, most: u64, top: f64) -> String {
        let (width, height) = FIELD;
        let length = self.all.last().map_or(1.0, |sample| sample.seconds.max(1.0));
        let (mut points, mut last) = (String::new(), 0);
        for sample in self.all.iter().filter(|sample| sample.agent == agent) {
            let word = if sample.pid == last { 'L' } else { 'M' };
            last = sample.pid;
            let (x, share) =
                (sample.seconds / length * width, sample.values[column] as f64 / most.max(1) as f64);
            write!(points, "{word}{x:.1} {:.1} ", top + height * (1.0 - share)).unwrap();
        }
        points
    }
}

/// How many znodes a server has, if it says so.
fn znodes(server: &ZooKeeper) -> Option<u64> {
    let answer = server.ask("srvr").ok()?;
    let count = answer.lines().find_map(|line| line.strip_prefix("Node count: "))?;
    count.trim().parse().ok()
}

#[test]
fn what_grows_is_told() {
    let samples = |value: fn(u64) -> u64| {
        let mut samples = Samples::new();
        let take = |at: u64| Sample { seconds: 0.0, agent: 0, pid: 7, values: [value(at); COLUMNS.len()] };
        samples.all.extend((0..400).map(take));
        samples.grown().len()
    };
    assert_eq!(samples(|at| at), BOUNDED.len());
    assert_eq!(samples(|at| 100 + at % 20), 0);
}
