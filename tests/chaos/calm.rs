//! The end of a run: nothing is done any more, and everything must become as it should be.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::common::{Client, eventually, throughout};
use crate::disturbances::Fault;
use crate::network::AGENTS;
use crate::oracle::Evidence;
use crate::told::RECEIVERS;
use crate::truth::Truth;
use crate::workload::{Step, subjects};
use crate::world::{CLUSTER, World};

/// How soon everything is well: receivers that were down for some seconds are tried again within half a minute.
const CALM: Duration = Duration::from_secs(90);
/// How soon a violation is told when nothing is wrong.
const PROMPT: Duration = Duration::from_secs(10);
/// What an agent may need at most when all is well, whatever was before.
const THREADS: u64 = 100;
const DESCRIPTORS: usize = 120;
const RESIDENT_KB: u64 = 60 << 10;

impl World {
    /// Waits until all is well, and tells what is not in time.
    pub fn settle(&mut self) -> Vec<String> {
        let mut wrong = Vec::new();
        let start = Instant::now();
        while let Err(state) = self.calmness() {
            if start.elapsed() > CALM {
                wrong.push(format!("not calm within {CALM:?}: {state}"));
                return wrong;
            }
            throughout(Duration::from_millis(300), "waiting", || true);
        }
        println!("calm after {:.1} s", start.elapsed().as_secs_f64());
        self.one_more_violation(&mut wrong);
        // What should not be sent would be by now.
        throughout(Duration::from_secs(2), "waiting", || true);
        self.healthy(&mut wrong);
        wrong
    }

    /// One agent leads, every path is as it is, and nobody is owed anything.
    fn calmness(&self) -> Result<(), String> {
        let leaders = self.leaders();
        if leaders.len() != 1 {
            return Err(format!("agents that lead: {leaders:?}"));
        }
        let entries = self.client().children(&format!("{CLUSTER}/alerts")).unwrap_or_default();
        if !entries.is_empty() {
            return Err(format!("open incidents: {entries:?}"));
        }
        for seat in 0..AGENTS.len() {
            let status = self.status(seat).ok_or_else(|| format!("agent {seat} has no status"))?;
            let compliance = &status["monitor"]["compliance"];
            for subject in subjects() {
                if compliance[&subject.path] != true {
                    return Err(format!("agent {seat}: {}: {}", subject.path, compliance[&subject.path]));
                }
            }
            if status["zookeeper"]["connected"] != true {
                return Err(format!("agent {seat} is not connected"));
            }
        }
        Ok(())
    }

    /// A last violation reaches everybody at once, and so does its end.
    fn one_more_violation(&mut self, wrong: &mut Vec<String>) {
        let subject = &subjects()[0];
        let mut client = self.client();
        for (steps, firing) in [(&subject.toggle.broken, true), (&subject.toggle.mended, false)] {
            let known = self.told().len();
            steps.iter().for_each(|step| take(&mut client, step));
            let start = Instant::now();
            loop {
                let told = self.told();
                let missing: Vec<&str> = RECEIVERS
                    .into_iter()
                    .filter(|receiver| {
                        !told[known.min(told.len())..].iter().any(|told| {
                            told.receiver == *receiver && told.path == subject.path && told.firing == firing
                        })
                    })
                    .collect();
                if missing.is_empty() {
                    break;
                }
                if start.elapsed() > PROMPT {
                    wrong.push(format!(
                        "a violation in quiet times (firing: {firing}) did not reach {missing:?}"
                    ));
                    break;
                }
                throughout(Duration::from_millis(100), "waiting", || true);
            }
        }
        eventually(PROMPT, "calm after that", || self.calmness());
    }

    fn healthy(&self, wrong: &mut Vec<String>) {
        for (index, seat) in self.seats.iter().enumerate() {
            let daemon = seat.daemon.as_ref().unwrap();
            let (threads, fds, rss) = (daemon.threads(), daemon.fds(), daemon.rss_kb());
            println!("agent {index}: {threads} threads, {fds} descriptors, {rss} KiB");
            if threads > THREADS || fds > DESCRIPTORS || rss > RESIDENT_KB {
                wrong.push(format!("agent {index} has {threads} threads, {fds} descriptors, {rss} KiB"));
            }
        }
        let logs = self.seats.iter().filter_map(|seat| seat.daemon.as_ref()).flat_map(|daemon| daemon.log());
        let panics = logs.chain(self.logs.iter().cloned()).filter(|line| line.contains("panicked"));
        wrong.extend(panics);
    }

    /// All that is known, for the oracle.
    ///
    /// # Errors
    /// If the servers do not agree on what happened.
    pub fn evidence(&self, faults: &[Fault]) -> Result<Evidence, String> {
        let subjects = subjects();
        let truth = Truth::of(&subjects, &self.transactions()?);
        Ok(Evidence {
            truth,
            subjects,
            told: self.told(),
            blind: self.told_blind(),
            faults: faults.to_vec(),
            lives: self.lives.clone(),
        })
    }

    /// Leaves what is needed to understand a failure.
    pub fn leave_traces(&self, seed: u64, evidence: &Evidence) {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("chaos-{seed}"));
        std::fs::create_dir_all(&folder).unwrap();
        let mut trace = String::new();
        writeln!(trace, "faults: {:#?}\nlives: {:#?}", evidence.faults, evidence.lives).unwrap();
        writeln!(trace, "leads: {:#?}\ntold: {:#?}", evidence.truth.leads, evidence.told).unwrap();
        for (subject, states) in evidence.subjects.iter().zip(&evidence.truth.states) {
            writeln!(trace, "{}: {states:?}", subject.path).unwrap();
        }
        std::fs::write(folder.join("evidence"), trace).unwrap();
        let running = self.seats.iter().filter_map(|seat| seat.daemon.as_ref());
        let logs: Vec<String> =
            self.logs.iter().cloned().chain(running.flat_map(|daemon| daemon.log())).collect();
        std::fs::write(folder.join("logs"), logs.join("\n")).unwrap();
        if let Ok(txns) = self.transactions() {
            let lines: Vec<String> = txns.iter().map(|txn| format!("{txn:?}")).collect();
            std::fs::write(folder.join("transactions"), lines.join("\n")).unwrap();
        }
        for (index, server) in self.servers.iter().enumerate() {
            let mut copy = Command::new("cp");
            copy.arg("-r").arg(server.folder()).arg(folder.join(format!("server-{index}")));
            assert!(copy.status().unwrap().success());
        }
        println!("traces: {}", folder.display());
    }
}

fn take(client: &mut Client, step: &Step) {
    match step {
        Step::Put(path, data) => client.try_put(path, data).unwrap(),
        Step::Delete(path) => client.delete(path),
        Step::Allow(path, access) => client.allow(path, *access),
    }
}
