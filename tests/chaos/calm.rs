//! The end of a run: nothing is done any more, and everything must become as it should be.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::common::{Client, throughout};
use crate::disturbances::Fault;
use crate::messages::Messages;
use crate::network::AGENTS;
use crate::oracle::Evidence;
use crate::told::{RECEIVERS, Told};
use crate::truth::Truth;
use crate::workload::{Step, Subject, standing, subjects};
use crate::world::{CLUSTER, World, now};

/// How soon everything is well: receivers that were down for some seconds are tried again within half a minute.
const CALM: Duration = Duration::from_secs(90);
/// How soon a violation is told when nothing is wrong.
const PROMPT: Duration = Duration::from_secs(10);
/// What an agent may need at most when all is well, whatever was before.
const THREADS: u64 = 90;
const DESCRIPTORS: usize = 60;
const RESIDENT_KB: u64 = 40 << 10;
/// What is said of what is left out of spec.
const FALLEN: &str = "Found children (0) less than minimum (1)";

impl World {
    /// Waits until all is as it should be, with what is left out of spec and then without it, and tells what is not.
    pub fn settle(&mut self) -> Vec<String> {
        let mut wrong = Vec::new();
        let standing = standing();
        wrong.extend(self.calm(&standing, CALM).err());
        let toggles = |one: fn(&Subject) -> &Vec<Step>| standing.iter().flat_map(one).cloned().collect();
        let (broken, mended): (Vec<Step>, Vec<Step>) =
            (toggles(|subject| &subject.toggle.broken), toggles(|subject| &subject.toggle.mended));
        // All that was owed has been told; from here on the news arrives at once.
        for (steps, left, firing) in
            [(&mended, &[][..], false), (&broken, &standing, true), (&mended, &[], false)]
        {
            if wrong.is_empty() {
                self.everybody_hears(steps, &standing, firing, &mut wrong);
                wrong.extend(self.calm(left, PROMPT).err());
            }
        }
        // What should not be sent would be by now.
        throughout(Duration::from_secs(2), "waiting", || true);
        self.healthy(&mut wrong);
        wrong
    }

    fn calm(&self, standing: &[Subject], within: Duration) -> Result<(), String> {
        let start = Instant::now();
        while let Err(state) = self.calmness(standing) {
            if start.elapsed() > within {
                return Err(format!("not calm within {within:?}: {state}"));
            }
            throughout(Duration::from_millis(200), "waiting", || true);
        }
        println!("calm after {:.1} s", start.elapsed().as_secs_f64());
        Ok(())
    }

    /// One agent leads, all say of every path what is so, and nobody is owed anything.
    fn calmness(&self, standing: &[Subject]) -> Result<(), String> {
        let leaders = self.leaders();
        if leaders.len() != 1 {
            return Err(format!("agents that lead: {leaders:?}"));
        }
        let told = self.told_entries();
        // As many others are no sign that these were told.
        if told != standing.iter().map(|subject| Some(subject.path.clone())).collect() {
            return Err(format!("open incidents that everybody was told of: {told:?}"));
        }
        for seat in 0..AGENTS.len() {
            let status = self.status(seat).ok_or_else(|| format!("agent {seat} has no status"))?;
            for Subject { path, .. } in subjects() {
                let compliance = &status["monitor"]["compliance"][&path];
                let stands = standing.iter().any(|subject| subject.path == path);
                let is_right = if stands { compliance == FALLEN } else { *compliance == true };
                if !is_right {
                    return Err(format!("agent {seat}: {path}: {compliance}"));
                }
            }
            if status["zookeeper"]["connected"] != true {
                return Err(format!("agent {seat} is not connected"));
            }
        }
        Ok(())
    }

    /// The paths of the ledger's entries; none for one whose beginning somebody has yet to hear of. Whoever refuses all that he
    /// is told may have got it when its sender died, so that his part may stay open.
    fn told_entries(&self) -> BTreeSet<Option<String>> {
        let (mut client, ledger) = (self.client(), format!("{CLUSTER}/alerts"));
        let entries = client.children(&ledger).unwrap_or_default();
        let path = |entry: String| {
            let data = client.get(&format!("{ledger}/{entry}"))?;
            let entry: Value = serde_json::from_str(&data).ok()?;
            let receivers = entry["receivers"].as_object()?.values();
            let has_heard = |part: &&Value| part["incident"] == entry["incident"] && part["firing"] == "sent";
            let is_told = receivers.filter(has_heard).count() == RECEIVERS.len();
            entry["path"].as_str().filter(|_| is_told).map(str::to_owned)
        };
        entries.into_iter().map(path).collect()
    }

    /// Takes steps, and holds that everybody hears at once of what they do to these.
    fn everybody_hears(&self, steps: &[Step], of: &[Subject], firing: bool, wrong: &mut Vec<String>) {
        let from = now();
        let mut client = self.client();
        steps.iter().for_each(|step| take(&mut client, step));
        let start = Instant::now();
        loop {
            let told: Vec<Told> = self.told(from);
            let hears = |receiver: &&str, alert: &str| {
                let news =
                    |told: &Told| told.receiver == *receiver && told.alert == alert && told.firing == firing;
                told.iter().any(news)
            };
            let is_deaf = |receiver: &&str| !of.iter().all(|subject| hears(receiver, &subject.alert()));
            let deaf: Vec<&str> = RECEIVERS.into_iter().filter(is_deaf).collect();
            if deaf.is_empty() {
                return;
            }
            if start.elapsed() > PROMPT {
                wrong.push(format!("{deaf:?} did not hear in quiet times (firing: {firing})"));
                return;
            }
            throughout(Duration::from_millis(100), "waiting", || true);
        }
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
            told: Messages::new(self.told(0)),
            blind: self.told_blind(),
            refused: self.refused(),
            faults: faults.to_vec(),
            lives: self.lives.clone(),
        })
    }

    /// Leaves what is needed to understand a failure.
    pub fn leave_traces(&self, seed: u64, evidence: &Evidence) {
        let folder = traces(seed);
        std::fs::create_dir_all(&folder).unwrap();
        let mut trace = String::new();
        writeln!(trace, "faults: {:#?}\nlives: {:#?}", evidence.faults, evidence.lives).unwrap();
        writeln!(trace, "leads: {:#?}\ntold: {:#?}", evidence.truth.leads, evidence.told.all).unwrap();
        for (subject, states) in evidence.subjects.iter().zip(&evidence.truth.states) {
            writeln!(trace, "{}: {states:?}", subject.alert()).unwrap();
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

/// Where a run leaves what there is to be looked at.
pub fn traces(seed: u64) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("chaos-{seed}"))
}

fn take(client: &mut Client, step: &Step) {
    match step {
        Step::Put(path, data) => client.try_put(path, data).unwrap(),
        Step::Delete(path) => client.delete(path),
        Step::Allow(path, access) => client.allow(path, *access),
    }
}
