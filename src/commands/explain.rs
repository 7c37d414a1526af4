//! `--explain`: by which rules a path is judged, how it stands, who hears of it, and what holds that back.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::load::load;
use super::silence::{end, left_out};
use super::test_alert::meant;
use super::{once, watched};
use crate::cli::{Answer, Options};
use crate::clock;
use crate::config::{self, Config, Problem, RulePlace};
use crate::daemon::EX_FAILURE;
use crate::model::alert_key::AlertKey;
use crate::model::asks::{alerts, asks};
use crate::model::children::Counted;
use crate::model::duration;
use crate::model::path_status::{PathState, PathStatus};
use crate::model::receiver::Receiver;
use crate::model::rule::{Rule, RuleSet, glob_matches, level_matches};
use crate::model::status::{Compliance, OpenIncident, Silence};
use crate::watching::session_settings;
use crate::zk::agents;
use crate::zk::client::describe;
use crate::zk::names::Places;
use crate::zk::once::with_client;
use crate::zk::silences;

/// How long asking ZooKeeper for silences and agents may take: who asks is waiting.
const ERRAND: Duration = Duration::from_secs(5);
/// How many rules are named to who asks for a path that none is for, and how many matches of a glob that are not in spec.
const NAMED: usize = 10;

/// What the cluster's znodes say.
#[derive(Default)]
struct Cluster {
    silences: Vec<Silence>,
    agents: Vec<String>,
    /// What was left out of the silences, in lines for standard error.
    left_out: String,
}

/// What the answer is made of, beside the rules.
struct Scene {
    /// The path or glob that was asked for.
    path: Arc<str>,
    places: Vec<RulePlace>,
    receivers: Vec<Receiver>,
    warnings: Vec<Problem>,
    /// Or why ZooKeeper cannot be reached.
    cluster: Result<Cluster, String>,
    compliance: Arc<Compliance>,
    /// What the rules depend on, as it is read.
    dependencies: Arc<Compliance>,
}

/// Explains. The exit code is 0 unless no rule is for the path, or ZooKeeper cannot be reached.
pub fn explain(options: &Options, file: &Path, text: &str) -> Result<Answer, Answer> {
    let Config { rules, receivers, warnings, .. } = load(file)?;
    let rules = RuleSet::new(rules);
    let Some((path, meant)) = meant(&rules, text) else {
        return Ok(Answer { stdout: unwatched(&rules, file, text), code: EX_FAILURE, ..Answer::default() });
    };
    let is_beaten = |glob: &&Arc<str>| glob_matches(glob, path) && meant[0].path != **glob;
    let beaten: Vec<Arc<str>> =
        rules.globs().iter().map(|rules| rules.path()).filter(is_beaten).cloned().collect();
    let wanted = beaten.iter().chain([&meant[0].path]).map(|path| &**path).collect();
    let mut cluster = ask(options);
    let mut seen = |rules: RuleSet| {
        if cluster.is_err() || rules.is_empty() {
            return Arc::default();
        }
        read(options, rules).unwrap_or_else(|reason| {
            cluster = Err(reason);
            Arc::default()
        })
    };
    let rule = |rule: &Arc<Rule>| Rule { path: path.into(), terms: Arc::clone(&rule.terms) };
    let compliance = seen(RuleSet::new(meant.iter().map(rule).collect()));
    let dependencies = seen(dependencies(&rules, &meant));
    let places = config::places(file, &wanted);
    let scene = Scene { path: path.into(), places, receivers, warnings, cluster, compliance, dependencies };
    let mut stdout = format!("{path}\n");
    scene.state(&mut stdout);
    scene.agent(&mut stdout);
    for rule in &meant {
        scene.rule(rule, &mut stdout);
    }
    for glob in beaten {
        stdout.push_str(&format!("beats: {}, which matches too\n", scene.place(&glob, None)));
    }
    let code = if scene.cluster.is_ok() { 0 } else { EX_FAILURE };
    let stderr = scene.cluster.map(|cluster| cluster.left_out).unwrap_or_default();
    Ok(Answer { stdout, stderr, code, ..Answer::default() })
}

/// The rules that are next to a path that none is for.
fn unwatched(rules: &RuleSet, file: &Path, path: &str) -> String {
    let likeness = |rule: &str| {
        let pairs = rule.split('/').zip(path.split('/'));
        pairs.take_while(|(level, name)| level_matches(level, name)).count()
    };
    let all = rules.exact().chain(rules.globs()).map(|rules| &**rules.path());
    // All paths begin with the same, empty level.
    let mut near: Vec<(usize, &str)> =
        all.map(|rule| (likeness(rule), rule)).filter(|(like, _)| *like > 1).collect();
    near.sort_by_key(|(like, rule)| (Reverse(*like), rule.len().abs_diff(path.len()), *rule));
    near.truncate(NAMED);
    let mut text = format!("{path}\nrule: none of {}: nothing watches it\n", file.display());
    let wanted: BTreeSet<&str> = near.iter().map(|(_, rule)| *rule).collect();
    let places = config::places(file, &wanted);
    for (_, rule) in near {
        text.push_str(&format!("near: {}\n", place(&places, rule, None)));
    }
    text
}

/// A rule and where it stands: `/path@name at file:line:column`.
fn place(places: &[RulePlace], path: &str, name: Option<&str>) -> String {
    let of = |found: &&RulePlace| found.path == path && (name.is_none() || found.name.as_deref() == name);
    let at = places.iter().find(of).map(|found| format!(" at {}", found.place)).unwrap_or_default();
    let name = name.map(|name| format!("@{name}")).unwrap_or_default();
    format!("{path}{name}{at}")
}

/// What is known of silences and agents. Where there is no cluster there are none.
fn ask(options: &Options) -> Result<Cluster, String> {
    let places = Places::new(&options.cluster_prefix, &options.cluster_name);
    let settings = session_settings(&options.zookeeper)?;
    with_client(settings, ERRAND, move |client| {
        let there = client.exists(&places.cluster, false).map_err(describe)?.is_some();
        if !there {
            return Ok(Cluster::default());
        }
        let (silences, skipped) = silences::all(client, &places).map_err(describe)?;
        let agents = agents::addresses(client, &places).unwrap_or_default();
        Ok(Cluster { silences, agents, left_out: left_out(&skipped) })
    })
}

/// The rules by which it is judged what these depend on.
fn dependencies(rules: &RuleSet, of: &[Arc<Rule>]) -> RuleSet {
    let patterns = of.iter().flat_map(|rule| &rule.terms.depends_on);
    let needed = patterns.flat_map(|pattern| rules.for_pattern(pattern));
    let needed: BTreeMap<_, _> = needed.map(|rules| (rules.path(), rules)).collect();
    RuleSet::new(needed.values().flat_map(|rules| rules.iter()).map(|rule| Rule::clone(rule)).collect())
}

/// Reads all that these rules are for, and judges it as `--once` does.
fn read(options: &Options, rules: RuleSet) -> Result<Arc<Compliance>, String> {
    match once::read(&options.zookeeper, rules, clock::mono())? {
        (_, Some(reason)) => Err(reason.to_string()),
        (compliance, None) => Ok(compliance),
    }
}

impl Scene {
    fn place(&self, path: &str, name: Option<&str>) -> String {
        place(&self.places, path, name)
    }

    /// How the path stands, or the matches of the glob.
    fn state(&self, text: &mut String) {
        if let Err(reason) = &self.cluster {
            text.push_str(&format!("state: Unknown: ZooKeeper cannot be reached: {reason}\n"));
            return;
        }
        let all = &self.compliance.paths;
        if let Some(glob) = self.compliance.globs.first() {
            let unlisted = if let PathState::Unknown(reason) = &glob.state {
                format!(", Unknown: {reason}")
            } else {
                String::new()
            };
            let bad = || all.iter().filter(|path| path.state != PathState::Ok);
            text.push_str(&format!(
                "state: {} matches, {} of them not in spec{unlisted}\n",
                all.len(),
                bad().count()
            ));
            for path in bad().take(NAMED) {
                text.push_str(&format!("  {}: {}\n", path.path, words(&path.state)));
            }
        } else if let Some(path) = all.first() {
            text.push_str(&format!("state: {}\n", words(&path.state)));
        }
    }

    /// What an agent says of the alert: it knows since when, and how far it is.
    fn agent(&self, text: &mut String) {
        let Ok(cluster) = &self.cluster else { return };
        if !self.compliance.globs.is_empty() {
            return;
        }
        match watched::path_status(&self.path, &cluster.agents) {
            Ok((agent, status)) if status["alert"].is_string() => {
                let field = |name: &str, label: &str| {
                    status[name].as_str().map(|value| format!(", {label}{value}")).unwrap_or_default()
                };
                let alert = status["alert"].as_str().unwrap_or_default();
                let more = field("since", "since ") + &field("incident", "incident ") + &field("quiet", "");
                text.push_str(&format!("alert: {alert}{more}, says the agent at {agent}\n"));
            }
            Ok((agent, _)) => text.push_str(&format!(
                "alert: the agent at {agent} does not watch it: it has another configuration, or nothing was ever there\n"
            )),
            Err(reason) => text.push_str(&format!("alert: not known: {reason}\n")),
        }
    }

    /// One rule, and how the path stands by it.
    fn rule(&self, rule: &Rule, text: &mut String) {
        let terms = &rule.terms;
        let name = terms.name.as_deref();
        text.push_str(&format!("rule: {}\n", self.place(&rule.path, name)));
        let mut say = |what: &str, words: &str| text.push_str(&format!("  {what}: {words}\n"));
        let asked = asks(&terms.specs);
        if asked.is_empty() {
            say("asks", "nothing: it is shown, and never alerts");
        } else {
            say("asks", &asked.join("; "));
        }
        let path = self.compliance.paths.first().filter(|_| self.compliance.globs.is_empty());
        if let Some(path) = path {
            if name.is_some() {
                say("state", &words(state_by(path, name)));
            }
            if let Some(counted) = counted_by(path, name) {
                counts(counted, &mut say);
                never(counted, rule, &mut say);
            }
            if rule.is_glob() && words(&path.state).ends_with("path does not exist") {
                say(
                    "note",
                    &format!(
                        "a match is watched from when it is first there, and for {} after it is gone",
                        duration::words(terms.forget_after)
                    ),
                );
            }
        }
        say("alerts", &alerts(terms));
        if !terms.depends_on.is_empty() {
            say("depends on", &terms.depends_on.join(", "));
        }
        say("tells", &self.tells(rule));
        say("held back by", &self.held(rule));
        for warning in self.warnings.iter().filter(|warning| warning.is_of(&rule.path)) {
            say("warning", &warning.to_string());
        }
    }

    fn tells(&self, rule: &Rule) -> String {
        let hears = self.receivers.iter().filter(|receiver| rule.terms.receivers.contains(&receiver.id));
        let names: Vec<String> =
            hears.map(|receiver| format!("{} ({})", receiver.public_name(), receiver.id.0)).collect();
        if names.is_empty() { "nobody: it has no alerter".to_owned() } else { names.join(", ") }
    }

    /// What keeps its alerts from being told.
    fn held(&self, rule: &Rule) -> String {
        let Ok(cluster) = &self.cluster else { return "not known: ZooKeeper cannot be reached".to_owned() };
        let (key, now): (AlertKey, _) = (rule.key(&self.path), clock::wall());
        let silences = cluster.silences.iter();
        let held = silences
            .filter(|silence| silence.is_in_force(now) && silence.covers(&key, OpenIncident::Unknown))
            .map(|Silence { id, path, until, comment, by }| {
                let until = end(until);
                let comment = if comment.is_empty() { String::new() } else { format!(": {comment}") };
                format!("silence {id} of {path} until {until} by {by}{comment}")
            });
        let on = |path: &&PathStatus| rule.terms.depends_on.iter().any(|on| glob_matches(on, &path.path));
        let out = self.dependencies.paths.iter().filter(on).filter_map(|path| match &path.state {
            PathState::Error(message) => Some(format!("{}, on which it depends: {message}", path.path)),
            PathState::Ok | PathState::Unknown(_) => None,
        });
        let held: Vec<String> = held.chain(out.take(NAMED)).collect();
        if held.is_empty() { "nothing".to_owned() } else { held.join("; ") }
    }
}

fn words(state: &PathState) -> String {
    match state {
        PathState::Ok => "in spec".to_owned(),
        PathState::Error(message) => format!("out of spec: {message}"),
        PathState::Unknown(reason) => format!("Unknown: {reason}"),
    }
}

/// How the path stands by the rule of this name.
fn state_by<'p>(path: &'p PathStatus, name: Option<&str>) -> &'p PathState {
    let rules = &path.particulars().rules;
    rules.iter().find(|rule| Some(&*rule.name) == name).map_or(&path.state, |rule| &rule.state)
}

fn counted_by<'p>(path: &'p PathStatus, name: Option<&str>) -> Option<&'p Counted> {
    let particulars = path.particulars();
    let rule = particulars.rules.iter().find(|rule| Some(&*rule.name) == name);
    rule.map_or(particulars.counted.as_deref(), |rule| rule.counted.as_deref())
}

fn counts(counted: &Counted, say: &mut impl FnMut(&str, &str)) {
    let Counted { counted, of, ignored } = counted;
    let ignored: Vec<String> = ignored.iter().map(|one| format!("{} ({})", one.name, one.reason)).collect();
    let but = if ignored.is_empty() { String::new() } else { format!("; not {}", ignored.join(", ")) };
    say("counts", &format!("{counted} of {of} children{but}"));
}

/// What cannot hold as things are: an instance registers as it does each time.
fn never(counted: &Counted, rule: &Rule, say: &mut impl FnMut(&str, &str)) {
    let Some(ephemeral) = rule.terms.specs.counting.only.ephemeral else { return };
    let (reason, wanted, found) = if ephemeral {
        ("not ephemeral", "ephemeral", "persistent")
    } else {
        ("ephemeral", "persistent", "ephemeral")
    };
    let all = counted.counted == 0 && counted.of > 0;
    if all && counted.ignored.iter().all(|one| *one.reason == *reason) {
        say(
            "never",
            &format!(
                "only {wanted} children count (`where.ephemeral: {ephemeral}`), and those that are there are {found}: as long as \
             they register so, none counts"
            ),
        );
    }
}
