//! Hashes that may be shown to everybody.

use std::collections::BTreeSet;

use ring::digest::{Context, SHA256};

use crate::model::judge::{Bounds, DataSpec};
use crate::model::receiver::ReceiverId;
use crate::model::rule::Rule;
use crate::model::severity::Severity;

/// How many hexadecimal digits are kept.
const DIGITS: usize = 16;

/// A hash that is fed one part after the other; parts cannot run into each other.
struct Hash(Context);

impl Hash {
    fn new() -> Self {
        Self(Context::new(&SHA256))
    }

    fn feed(&mut self, part: &str) {
        self.0.update(&(part.len() as u64).to_be_bytes());
        self.0.update(part.as_bytes());
    }

    fn feed_debug(&mut self, part: impl std::fmt::Debug) {
        self.feed(&format!("{part:?}"));
    }

    fn hex(self) -> String {
        let digest = self.0.finish();
        digest.as_ref()[..DIGITS / 2].iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// What makes a receiver the same after a reload, whatever else changes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Identity<'t> {
    /// What it is among its kind, without secrets: the channel, the URL.
    pub(super) what: &'t str,
    /// What tells it from another that is the same in this.
    pub(super) name: Option<&'t str>,
}

/// The id of a receiver, from its kind and what identifies it within that kind. Open incidents in the ledger bear it.
pub(super) fn receiver_id(kind: &str, identity: Identity<'_>) -> ReceiverId {
    let mut hash = Hash::new();
    hash.feed(kind);
    hash.feed(identity.what);
    identity.name.into_iter().for_each(|name| hash.feed(name));
    ReceiverId(hash.hex().into())
}

/// What a configuration asks for: the same for two files that watch the same, judge the same and tell the same
/// receivers, however they are written. How a host reaches its mail server is its own business.
pub(super) fn configuration(rules: &[Rule]) -> String {
    let mut sorted: Vec<&Rule> = rules.iter().collect();
    sorted.sort_by_key(|rule| (&rule.path, &rule.terms.name));
    let mut hash = Hash::new();
    for rule in sorted {
        feed_rule(&mut hash, rule);
    }
    hash.hex()
}

fn feed_rule(hash: &mut Hash, rule: &Rule) {
    hash.feed(&rule.path);
    match rule.terms.specs.children {
        None => hash.feed("any children"),
        Some(Bounds::Range { min, max }) => hash.feed_debug(("children", min, max)),
        Some(Bounds::Equals(count)) => hash.feed_debug(("children", count)),
    }
    // What a rule does not ask for leaves the digest as it was before rules could ask for it.
    if let Some(include) = &rule.terms.specs.include {
        hash.feed_debug(("include", &include.0));
    }
    if !rule.terms.specs.counting.is_plain() {
        hash.feed_debug(&rule.terms.specs.counting);
    }
    hash.feed_debug(rule.terms.specs.exists);
    match &rule.terms.specs.data {
        None => hash.feed("any data"),
        Some(DataSpec::Equals(text)) => hash.feed_debug(("equals", text)),
        Some(DataSpec::Matches(pattern)) => hash.feed_debug(("matches", &pattern.source)),
        Some(DataSpec::Json(spec)) => hash.feed_debug(spec),
    }
    let times = [
        Some(rule.terms.cancel_timeout),
        Some(rule.terms.keep_firing_for),
        rule.terms.repeat_interval,
        Some(rule.terms.forget_after),
    ];
    hash.feed_debug(times.map(|time| time.map(|time| time.as_millis())));
    hash.feed_debug(&rule.terms.description);
    let mut receivers: Vec<&str> = rule.terms.receivers.iter().map(|id| &*id.0).collect();
    receivers.sort_unstable();
    hash.feed_debug(receivers);
    // What versions before did not know is fed only where it is said, so that what meant the same is the same.
    rule.terms.specs.drop.iter().for_each(|drop| hash.feed_debug(("drop", drop.by, drop.within.as_millis())));
    rule.terms.specs.max_age.iter().for_each(|max| hash.feed_debug(("max_age", max.as_millis())));
    let severity = Some(rule.terms.severity).filter(|severity| *severity != Severity::default());
    severity.iter().for_each(|severity| hash.feed_debug(("severity", severity)));
    if rule.terms.labels.iter().len() > 0 {
        hash.feed_debug(("labels", &rule.terms.labels));
    }
    rule.terms.runbook.iter().for_each(|runbook| hash.feed_debug(("runbook", runbook)));
    let depends_on: BTreeSet<_> = rule.terms.depends_on.iter().collect();
    if !depends_on.is_empty() {
        hash.feed_debug(("depends_on", depends_on));
    }
    rule.terms.name.iter().for_each(|name| hash.feed_debug(("name", name)));
}
