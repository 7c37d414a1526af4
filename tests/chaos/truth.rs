//! What was so, by the transaction log: when each path was out of spec, who led, whose heartbeats were written.

use std::collections::{BTreeMap, HashMap};

use crate::txnlog::{Millis, Op, Txn};
use crate::workload::{SILENCE, SILENCED, Spec, Subject};

/// Where the cluster keeps its znodes.
const LOCKS: &str = "/zk_monitor/zkmonitor/locks/alerter/";
const AGENTS: &str = "/zk_monitor/zkmonitor/agents/";

/// One znode.
#[derive(Clone, Debug)]
struct Node {
    data: Vec<u8>,
    /// When that was written.
    at: Millis,
    readable: bool,
    /// The session that it ends with.
    owner: Option<u64>,
}

/// How a path stood from some moment on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct State {
    pub is_bad: bool,
    pub is_readable: bool,
    pub is_silenced: bool,
}

/// A time without an end goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    pub from: Millis,
    pub until: Option<Millis>,
}

impl Span {
    /// The end, or the end of all.
    pub fn end(&self) -> Millis {
        self.until.unwrap_or(Millis::MAX)
    }
}

/// The time during which an agent was first in line.
#[derive(Clone, Debug)]
pub struct Lead {
    /// The znode of its lock: an agent that lost its session and has another stands in line anew.
    pub lock: String,
    pub agent: String,
    pub span: Span,
}

/// All that the log says.
#[derive(Debug, Default)]
pub struct Truth {
    /// By subject: the states, each with the time at which it began.
    pub states: Vec<Vec<(Millis, State)>>,
    pub leads: Vec<Lead>,
    /// When each agent's node was written.
    pub beats: HashMap<String, Vec<Millis>>,
    /// When each agent's node was made, by a session that stands in line anew.
    pub sessions: HashMap<String, Vec<Millis>>,
    /// What cannot have been done after what was done before: the servers lost what they had agreed on.
    pub contradictions: Vec<(Millis, String)>,
}

/// The tree, as far as the log has been played.
#[derive(Default)]
struct Tree(BTreeMap<String, Node>);

impl Tree {
    /// Makes a change, and tells what speaks against its having been made.
    fn apply(&mut self, txn: &Txn) -> Vec<String> {
        let mut wrong = Vec::new();
        for op in &txn.ops {
            match op {
                Op::Create { path, data, readable, is_ephemeral } => {
                    let owner = is_ephemeral.then_some(txn.session);
                    let node = Node { data: data.clone(), at: txn.at, readable: *readable, owner };
                    wrong.extend(self.0.insert(path.clone(), node).map(|_| format!("{path} came twice")));
                }
                Op::Delete { path } if self.0.remove(path).is_none() => {
                    wrong.push(format!("{path} went twice"));
                }
                Op::SetData { path, data } => match self.0.get_mut(path) {
                    Some(node) => (node.at, node.data) = (txn.at, data.clone()),
                    None => wrong.push(format!("{path} was set and was not there")),
                },
                Op::SetAcl { path, readable } => {
                    self.0.entry(path.clone()).and_modify(|node| node.readable = *readable);
                }
                Op::CloseSession => self.0.retain(|_, node| node.owner != Some(txn.session)),
                Op::Delete { .. } | Op::CreateSession | Op::Other => {}
            }
        }
        wrong
    }

    fn below<'a>(&'a self, path: &'a str) -> impl Iterator<Item = (&'a str, &'a Node)> {
        let from = format!("{path}/");
        let all = self.0.range(from.clone()..);
        let below = all.map_while(move |(name, node)| Some((name.strip_prefix(&from)?, name, node)));
        below.filter(|(rest, ..)| !rest.contains('/')).map(|(_, name, node)| (name.as_str(), node))
    }

    fn state(&self, subject: &Subject, at: Millis) -> State {
        let (path, node) = (subject.path.as_str(), self.0.get(&subject.path));
        let count = self.below(path).count();
        let is_enabled = |data: &[u8]| data.windows(6).any(|word| word == b": true");
        let is_bad = match subject.spec {
            Spec::Children(min) => count < min,
            Spec::Exists => node.is_none(),
            Spec::Data(data) => node.is_none_or(|node| node.data != data.as_bytes()),
            Spec::Enabled(min) => self.below(path).filter(|(_, node)| is_enabled(&node.data)).count() < min,
            Spec::Drop(most) => count * 2 < most,
            Spec::Fresh(_) => self.stale_at(subject).is_none_or(|stale| stale <= at),
        };
        let is_silenced = subject.path == SILENCED && self.0.contains_key(SILENCE);
        State { is_bad, is_readable: node.is_none_or(|node| node.readable), is_silenced }
    }

    /// When a path that has to be written again and again was so too long ago.
    fn stale_at(&self, subject: &Subject) -> Option<Millis> {
        let Spec::Fresh(seconds) = subject.spec else { return None };
        Some(self.0.get(&subject.path)?.at + seconds * 1_000)
    }

    /// The lock that is the first in line, and whose it is.
    fn leader(&self) -> Option<(String, String)> {
        let locks = self.below(LOCKS.trim_end_matches('/'));
        let first = locks.min_by_key(|(path, _)| path[path.len() - 10..].to_owned());
        first.map(|(path, node)| (path.to_owned(), String::from_utf8_lossy(&node.data).into_owned()))
    }
}

fn note(states: &mut Vec<(Millis, State)>, at: Millis, state: State) {
    if states.last().is_none_or(|(_, last)| *last != state) {
        states.push((at, state));
    }
}

impl Truth {
    /// Plays the log.
    pub fn of(subjects: &[Subject], log: &[Txn]) -> Self {
        let mut truth = Self { states: vec![Vec::new(); subjects.len()], ..Self::default() };
        let mut tree = Tree::default();
        for txn in log {
            truth.age(subjects, &tree, txn.at);
            let wrong = tree.apply(txn).into_iter().map(|wrong| (txn.at, wrong));
            truth.contradictions.extend(wrong);
            truth.beat(txn);
            truth.lead(tree.leader(), txn.at);
            for (subject, states) in subjects.iter().zip(&mut truth.states) {
                note(states, txn.at, tree.state(subject, txn.at));
            }
        }
        truth
    }

    /// Some paths change by time alone, before the next transaction.
    fn age(&mut self, subjects: &[Subject], tree: &Tree, until: Millis) {
        for (subject, states) in subjects.iter().zip(&mut self.states) {
            if let Some(at) = tree.stale_at(subject).filter(|at| *at <= until) {
                note(states, at, tree.state(subject, at));
            }
        }
    }

    fn beat(&mut self, txn: &Txn) {
        for op in &txn.ops {
            if let Op::SetData { path, .. } | Op::Create { path, .. } = op
                && let Some(agent) = path.strip_prefix(AGENTS)
            {
                self.beats.entry(agent.to_owned()).or_default().push(txn.at);
                if matches!(op, Op::Create { .. }) {
                    self.sessions.entry(agent.to_owned()).or_default().push(txn.at);
                }
            }
        }
    }

    fn lead(&mut self, leader: Option<(String, String)>, at: Millis) {
        let last = self.leads.last_mut().filter(|lead| lead.span.until.is_none());
        if last.as_ref().map(|lead| &lead.lock) == leader.as_ref().map(|(lock, _)| lock) {
            return;
        }
        if let Some(last) = last {
            last.span.until = Some(at);
        }
        let span = Span { from: at, until: None };
        self.leads.extend(leader.map(|(lock, agent)| Lead { lock, agent, span }));
    }

    /// When a subject was out of spec.
    pub fn violations(&self, subject: usize) -> Vec<Span> {
        self.spans(subject, |state| state.is_bad)
    }

    /// When a subject's states were so.
    pub fn spans(&self, subject: usize, so: impl Fn(State) -> bool) -> Vec<Span> {
        let mut spans: Vec<Span> = Vec::new();
        for (at, state) in &self.states[subject] {
            let open = spans.last_mut().filter(|span| span.until.is_none());
            match (open, so(*state)) {
                (Some(span), false) => span.until = Some(*at),
                (None, true) => spans.push(Span { from: *at, until: None }),
                (Some(_), true) | (None, false) => {}
            }
        }
        spans
    }

    /// Whether an agent wrote its node throughout, with no gap longer than this.
    pub fn beats_on(&self, agent: &str, from: Millis, until: Millis, gap: Millis) -> bool {
        let Some(beats) = self.beats.get(agent) else { return false };
        let mut last = from.saturating_sub(gap);
        let first = beats.partition_point(|beat| *beat < last);
        for beat in &beats[first..] {
            if beat.saturating_sub(last) > gap {
                return false;
            }
            last = *beat;
            if last >= until {
                return true;
            }
        }
        false
    }
}
