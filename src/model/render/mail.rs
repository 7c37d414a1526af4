//! Subject and body of a mail.

use std::collections::HashSet;
use std::sync::Arc;

use super::words::{STATES, common, headline, lasted, left, rule, state};
use crate::model::children::Ignored;
use crate::model::message::{About, Item, Kind, Notification};
use crate::model::rfc3339::rfc3339;

/// The subject of a mail, which tells the state: what needs no hand is not to wake anybody. Mailers put an alert and its
/// recovery in one thread by other headers.
pub fn subject(notification: &Notification) -> String {
    match notification.items.as_slice() {
        [item] if item.about == About::Agent => match item.until {
            Some(_) => format!("OK: {} of {} has ZooKeeper again", notification.agent, notification.cluster),
            None => format!("Warning! {}", item.message),
        },
        [item] => match item.kind {
            Kind::Test => format!("[TEST] Warning! {} has an alert!", item.path),
            Kind::Firing => format!("Warning! {} has an alert!", item.path),
            Kind::Notice => format!("Warning! {} has an alert, and not everybody was told!", item.path),
            Kind::Reminder(_) | Kind::Refresh => format!("Reminder: {} has an alert!", item.path),
            Kind::Resolved | Kind::Late => format!("OK: {} is in spec again", item.path),
        },
        items => {
            let is_reminder = |item: &Item| matches!(item.kind, Kind::Reminder(_) | Kind::Refresh);
            let firing = items.iter().filter(|item| item.kind.is_firing()).count();
            let summary = summary(notification);
            if firing == 0 {
                format!("OK: {summary}")
            } else if firing < items.len() {
                format!("Warning! {summary}")
            } else if items.iter().all(is_reminder) {
                format!("Reminder: {summary}!")
            } else {
                format!("Warning! {summary}!")
            }
        }
    }
}

/// How many paths have alerts, and how many are in spec again. One with several rules can be among both.
fn summary(notification: &Notification) -> String {
    let cluster = &notification.cluster;
    let paths = |is_firing: bool| -> HashSet<&str> {
        let items = notification.items.iter().filter(|item| item.kind.is_firing() == is_firing);
        items.map(|item| &*item.path).collect()
    };
    let (firing, over) = (paths(true), paths(false));
    let only = |paths: &HashSet<&str>| match (paths.len(), paths.iter().next()) {
        (1, Some(path)) => (*path).to_owned(),
        (count, _) => format!("{count} paths of {cluster}"),
    };
    let are = |count: usize| if count == 1 { "is" } else { "are" };
    match (firing.len(), over.len()) {
        (0, again) => format!("{} {} in spec again", only(&over), are(again)),
        (1, 0) => format!("{} has alerts", only(&firing)),
        (_, 0) => format!("{} have alerts", only(&firing)),
        (1, again) => format!("{} has an alert, {again} {} in spec again", only(&firing), are(again)),
        (_, again) => format!("{} have alerts, {again} {} in spec again", only(&firing), are(again)),
    }
}

/// The body of a mail: lines that end in `\n`.
pub fn body(notification: &Notification) -> String {
    let mut body = match notification.items.as_slice() {
        [item] => letter(item),
        _ => digest(notification),
    };
    field(&mut body, "Cluster", &notification.cluster);
    field(&mut body, "Agent", &notification.agent);
    if let [item] = notification.items.as_slice() {
        field(&mut body, "Incident", &item.incident);
    }
    if let Some(page) = &notification.page {
        field(&mut body, "Page", page);
    }
    body
}

/// One item, in full.
fn letter(item: &Item) -> String {
    let mut text = format!("{}\n\n", headline(item));
    if item.about == About::Path {
        field(&mut text, "Path", &item.path);
    }
    if let Some(rule) = rule(item) {
        field(&mut text, "Rule", &rule);
    }
    field(&mut text, "State", state(item.kind));
    if let Some(severity) = item.labels.severity {
        field(&mut text, "Severity", severity.word());
    }
    if item.labels.own.iter().len() > 0 {
        field(&mut text, "Labels", &labels(item));
    }
    field(&mut text, "Since", &rfc3339(item.since));
    if let Some(until) = item.until {
        field(&mut text, "Until", &rfc3339(until));
    }
    if let Some(lasted) = lasted(item) {
        field(&mut text, "Lasted", &lasted);
    }
    if let Some(children) = children(item) {
        field(&mut text, "Children", &children);
    }
    if item.left.count > 0 {
        field(&mut text, "Left", &left(&item.left));
    }
    if let Some(counted) = item.counted.as_ref().filter(|counted| !counted.ignored.is_empty()) {
        let lines = counted.ignored.iter().map(|Ignored { name, reason }| format!("{name}: {reason}"));
        field(&mut text, "Ignored", &lines.collect::<Vec<_>>().join("\n"));
    }
    if let Some(description) = &item.description {
        field(&mut text, "Description", description);
    }
    if let Some(runbook) = &item.runbook {
        field(&mut text, "Runbook", runbook);
    }
    for note in &item.notes {
        field(&mut text, "Note", note);
    }
    text
}

/// The rule's own labels: `a=b, c=d`.
fn labels(item: &Item) -> String {
    let labels = item.labels.own.iter().map(|(name, value)| format!("{name}={value}"));
    labels.collect::<Vec<_>>().join(", ")
}

/// How many children there are: `5`, or `2 of 5`.
fn children(item: &Item) -> Option<String> {
    match &item.counted {
        Some(counted) => Some(format!("{} of {}", counted.counted, counted.of)),
        None => item.children.map(|children| children.to_string()),
    }
}

/// One labelled line; the lines that follow in a long value are indented below it.
fn field(text: &mut String, label: &str, value: &str) {
    let value = value.trim().replace('\n', "\n             ");
    *text += &format!("{:<13}{value}\n", format!("{label}:"));
}

/// All items, each in a few lines, what is wrong first. What all of them say stands below them once.
fn digest(notification: &Notification) -> String {
    let mut text = format!("{}:\n\n", summary(notification));
    let description = common(notification, |item| item.description.as_deref());
    let runbook = common(notification, |item| item.runbook.as_deref());
    for word in STATES {
        for item in notification.items.iter().filter(|item| state(item.kind) == word) {
            let own =
                |words: Option<&Arc<str>>, common: Option<&str>| words.filter(|_| common.is_none()).cloned();
            let words = [own(item.description.as_ref(), description), own(item.runbook.as_ref(), runbook)];
            paragraph(&mut text, item, &words);
        }
    }
    text.push('\n');
    for (label, words) in [("Description", description), ("Runbook", runbook)] {
        words.into_iter().for_each(|words| field(&mut text, label, words));
    }
    text
}

/// One item of a digest, with words of its rule.
fn paragraph(text: &mut String, item: &Item, words: &[Option<Arc<str>>]) {
    *text += &format!("{} {}: {}\n", state(item.kind), item.alert(), headline(item));
    *text += &format!("    {}; incident {}\n", facts(item), item.incident);
    let words = words.iter().flatten().map(AsRef::as_ref);
    for line in words.chain(item.notes.iter().map(String::as_str)) {
        *text += &format!("    {}\n", line.trim().replace('\n', "\n    "));
    }
}

/// Times and children in one line.
fn facts(item: &Item) -> String {
    let mut facts = vec![format!("since {}", rfc3339(item.since))];
    facts.extend(item.until.map(|until| format!("until {}", rfc3339(until))));
    facts.extend(lasted(item).map(|lasted| format!("lasted {lasted}")));
    facts.extend(item.pattern.as_ref().and(rule(item)).map(|rule| format!("rule {rule}")));
    facts.extend(children(item).map(|children| format!("children: {children}")));
    if item.left.count > 0 {
        facts.push(format!("left: {}", left(&item.left)));
    }
    facts.join("; ")
}
