//! `--test-alert`: a marked message to the receivers of one rule, and what each of them said.

use std::panic::catch_unwind;
use std::path::Path;
use std::sync::Arc;
use std::thread;

use crossbeam_channel::unbounded;

use super::load::load;
use crate::cli::{Answer, Options};
use crate::clock;
use crate::daemon::EX_FAILURE;
use crate::model::children::Left;
use crate::model::dispatcher::{Attempt, AttemptId};
use crate::model::message::{About, Item, Kind, Notification};
use crate::model::receiver::{Outcome, Receiver, Settings};
use crate::model::rule::{Rule, RuleSet};
use crate::model::slots::Slots;
use crate::notify;

/// Sends the test alert. The exit code is 0 if every receiver took it.
pub fn test_alert(options: &Options, file: &Path, path: &str) -> Result<Answer, Answer> {
    let config = load(file)?;
    let rules = RuleSet::new(config.rules);
    let Some((path, meant)) = meant(&rules, path) else {
        let reason = format!("no rule of {} is for {path}", file.display());
        return Err(Answer::failed(EX_FAILURE, &reason));
    };
    // What asks for nothing never alerts, so that a test would promise what does not come.
    let meant: Vec<_> = meant.into_iter().filter(|rule| !rule.terms.specs.is_empty()).collect();
    if meant.is_empty() {
        let reason =
            format!("nothing was sent: {path} has no `children`, `exists` or `data`, and never alerts");
        return Err(Answer::failed(EX_FAILURE, &reason));
    }
    let hears = |one: &&Receiver| meant.iter().any(|rule| rule.terms.receivers.contains(&one.id));
    let receivers: Vec<_> = config.receivers.iter().filter(hears).collect();
    if receivers.is_empty() {
        let rule = meant.first().map_or(path, |rule| &*rule.path);
        return Err(Answer::failed(EX_FAILURE, &format!("the rule {rule} has no receiver")));
    }
    let notification = notification(options, path, &meant, config.external_url);
    let outcomes = attempts(&receivers, &notification);
    let mut answer = Answer::default();
    for (receiver, outcome) in receivers.iter().zip(&outcomes) {
        let name = format!("{} ({})", receiver.name, receiver.id.0);
        match outcome {
            Ok(()) => answer.stdout.push_str(&format!("{name}: accepted\n")),
            Err(reason) => {
                answer.stdout.push_str(&format!("{name}{}: FAILED: {reason}\n", through(receiver)));
                answer.code = EX_FAILURE;
            }
        }
    }
    Ok(answer)
}

/// By which server mail leaves: neither its name nor what becomes of it tells.
fn through(receiver: &Receiver) -> String {
    let Settings::Email(email) = &receiver.settings else { return String::new() };
    format!(" by {}:{}", email.smtp.host, email.smtp.port)
}

/// The path and the rules that an operator means: those of the path, or of `path@name` the one of that name.
pub(super) fn meant<'a>(rules: &RuleSet, text: &'a str) -> Option<(&'a str, Vec<Arc<Rule>>)> {
    let one = || {
        let (path, name) = text.rsplit_once('@')?;
        Some((path, vec![Arc::clone(rules.meant(path)?.named(Some(name))?)]))
    };
    one().or_else(|| Some((text, rules.meant(text)?.iter().cloned().collect())))
}

/// Makes an attempt at each receiver, as many at once as the daemon would, and gives their outcomes in the same order.
fn attempts(receivers: &[&Receiver], notification: &Notification) -> Vec<Result<(), String>> {
    let mut outcomes = vec![Err("the attempt panicked".to_owned()); receivers.len()];
    let mut slots = Slots::default();
    for (number, receiver) in (0..).zip(receivers) {
        let (receiver_id, notification) = (receiver.id.clone(), notification.clone());
        let attempt = Attempt { id: AttemptId(number), epoch: 0, receiver: receiver_id, notification };
        slots.wait(attempt, notify::host(receiver));
    }
    let (sender, ended) = unbounded();
    thread::scope(|scope| {
        let mut running = 0;
        loop {
            while let Some((slot, one)) = slots.grant() {
                let Some((at, receiver)) = receivers.iter().enumerate().find(|(_, of)| of.id == one.receiver)
                else {
                    continue;
                };
                let sender = sender.clone();
                scope.spawn(move || {
                    let outcome = catch_unwind(|| attempt(receiver, &one.notification));
                    // The other end outlives this thread.
                    sender.send((slot, at, outcome)).ok();
                });
                running += 1;
            }
            if running == 0 {
                return;
            }
            // This end of it is here, so that it does not close.
            let Ok((slot, at, outcome)) = ended.recv() else { return };
            slots.finish(slot);
            running -= 1;
            if let Ok(outcome) = outcome {
                outcomes[at] = outcome;
            }
        }
    });
    outcomes
}

fn attempt(receiver: &Receiver, notification: &Notification) -> Result<(), String> {
    let outcome = notify::notifier(receiver).send(notification);
    match outcome {
        Outcome::Accepted => Ok(()),
        Outcome::Failed { reason, .. } => Err(reason),
        Outcome::Ambiguous { reason } => Err(format!("it may have been taken: {reason}")),
        Outcome::Refused { reason } => Err(format!("refused: {reason}")),
        Outcome::NotTried => Err("not tried".to_owned()),
    }
}

fn notification(options: &Options, path: &str, meant: &[Arc<Rule>], page: Option<Arc<str>>) -> Notification {
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let one = if let [rule] = meant { Some(rule) } else { None };
    let item = Item {
        incident: format!("test-{:012x}", fastrand::u64(..1 << 48)).into(),
        path: path.into(),
        rule: one.and_then(|rule| rule.terms.name.clone()),
        pattern: one.filter(|rule| rule.is_glob()).map(|rule| Arc::clone(&rule.path)),
        kind: Kind::Test,
        about: About::Path,
        message: "This is a test alert. Nothing is wrong.".into(),
        since: clock::wall(),
        until: None,
        children: None,
        left: Left::default(),
        counted: None,
        labels: one.map(|rule| rule.labels()).unwrap_or_default(),
        description: one.and_then(|rule| rule.terms.description.clone()),
        runbook: one.and_then(|rule| rule.terms.runbook.clone()),
        notes: Vec::new(),
    };
    Notification {
        cluster: options.cluster_name.as_str().into(),
        agent: format!("{host}-{}", std::process::id()).into(),
        page,
        items: vec![item],
    }
}
