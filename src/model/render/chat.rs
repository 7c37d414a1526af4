//! A message in a chat.

use super::words::{STATES, common, headline, lasted, left, paths, rule, state};
use crate::model::message::{About, Item, Kind, Notification};
use crate::model::printable::one_line;
use crate::model::rfc3339::rfc3339;

/// How many alerts a message names; it counts the rest.
const NAMED: usize = 100;
/// How long the list of alerts may get, in bytes: chat services cut or refuse longer messages.
const LIST: usize = 6_000;
/// How much of a description is shown, in bytes: the mail has the whole.
const DESCRIPTION: usize = 500;
/// How many runbooks a digest shows.
const RUNBOOKS: usize = 3;

/// A notification as a chat has it. Its first line is the state, the path and the message; of a digest, how many paths are
/// in which state, and below that which, by their messages. What to do about it follows.
pub fn chat(notification: &Notification) -> String {
    let mut lines = match notification.items.as_slice() {
        [item] => one(item, &subject(item, notification)),
        items => digest(items, &notification.cluster),
    };
    let description = common(notification, |item| item.description.as_deref());
    lines.extend(description.map(|text| shortened(text.trim(), DESCRIPTION)));
    let mut runbooks: Vec<&str> = Vec::new();
    for runbook in notification.items.iter().filter_map(|item| item.runbook.as_deref()) {
        if runbooks.len() < RUNBOOKS && !runbooks.contains(&runbook) {
            runbooks.push(runbook);
        }
    }
    lines.extend(runbooks.iter().map(|runbook| format!("Runbook: {runbook}")));
    lines.extend(notification.page.iter().map(|page| format!("Page: {page}")));
    // A path or message with a line break must not make two lines of one.
    lines.iter().map(|line| one_line(line)).collect::<Vec<String>>().join("\n")
}

/// One item, in a line; then what else there is to say of it.
fn one(item: &Item, subject: &str) -> Vec<String> {
    let mut line = format!("{} {subject}: {}", state(item.kind), headline(item));
    match (item.until, lasted(item)) {
        (Some(until), Some(lasted)) => {
            line += &format!(" (from {} to {}, {lasted})", rfc3339(item.since), rfc3339(until));
        }
        _ if matches!(item.kind, Kind::Reminder(_)) => line += &format!(" (since {})", rfc3339(item.since)),
        _ => {}
    }
    let mut lines = vec![line];
    lines.extend(item.pattern.as_ref().and(rule(item)).map(|rule| format!("Rule: {rule}")));
    if item.left.count > 0 {
        lines.push(format!("Left: {}", left(&item.left)));
    }
    lines.extend(item.notes.iter().cloned());
    lines
}

/// What an item is about: its alert, or an agent.
fn subject(item: &Item, notification: &Notification) -> String {
    match item.about {
        About::Path => item.alert().to_string(),
        About::Agent => format!("{} of {}", notification.agent, notification.cluster),
    }
}

/// The items of a digest by state, what is wrong first, and by message.
fn digest(items: &[Item], cluster: &str) -> Vec<String> {
    let mut room = Room { alerts: NAMED, bytes: LIST };
    let mut lines = Vec::new();
    for word in STATES {
        let alerts: Vec<&Item> = items.iter().filter(|item| state(item.kind) == word).collect();
        let count = paths(alerts.iter().copied());
        if count == 0 {
            continue;
        }
        let noun = if count == 1 { "path" } else { "paths" };
        lines.push(format!("{word} {count} {noun} of {cluster}:"));
        let mut unnamed = 0;
        for (message, names) in by_message(&alerts) {
            let (line, more) = room.line(&names, message.as_deref());
            lines.extend(line);
            unnamed += more;
        }
        if unnamed > 0 {
            lines.push(format!("and {unnamed} more"));
        }
    }
    lines
}

/// The alerts by what there is to say of them, in the order of the first of each. Why a path was out of spec that is back
/// is of no use to anybody now.
fn by_message(items: &[&Item]) -> Vec<(Option<String>, Vec<String>)> {
    let mut groups = Vec::<(Option<String>, Vec<String>)>::new();
    let mut places = std::collections::HashMap::<Option<String>, usize>::new();
    for item in items {
        let message = item.kind.is_firing().then(|| headline(item));
        let place = *places.entry(message.clone()).or_insert(groups.len());
        if place == groups.len() {
            groups.push((message, Vec::new()));
        }
        groups[place].1.push(item.alert().to_string());
    }
    groups
}

/// How many alerts may still be named, and in how many bytes.
struct Room {
    alerts: usize,
    bytes: usize,
}

impl Room {
    /// As many names as there is room for, with the message, and how many are left out.
    fn line(&mut self, names: &[String], message: Option<&str>) -> (Option<String>, usize) {
        let message = message.map(|message| format!(": {message}")).unwrap_or_default();
        let mut list = String::new();
        let mut taken = 0;
        for name in names {
            if self.alerts == 0 || list.len() + name.len() + message.len() > self.bytes {
                break;
            }
            list += if list.is_empty() { "" } else { ", " };
            list += name;
            taken += 1;
            self.alerts -= 1;
        }
        if taken == 0 {
            return (None, names.len());
        }
        let line = list + &message;
        self.bytes = self.bytes.saturating_sub(line.len());
        (Some(line), names.len() - taken)
    }
}

fn shortened(text: &str, longest: usize) -> String {
    match &text[..text.floor_char_boundary(longest)] {
        whole if whole.len() == text.len() => whole.to_owned(),
        beginning => format!("{beginning}…"),
    }
}
