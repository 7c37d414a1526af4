//! What a notification says to people: subject, mail body and chat line.

use std::collections::HashSet;

use super::children::{Ignored, Left};
use super::message::{Item, Kind, Notification};
use super::rfc3339::rfc3339;

/// How many paths a chat line names; it counts the rest.
const NAMED_IN_CHAT: usize = 100;
/// How long the list of paths in a chat line may get, in bytes: chat services cut or refuse longer messages.
const CHAT_LIST: usize = 6_000;

/// The state of a path, as one item tells it.
pub fn state(kind: Kind) -> &'static str {
    match kind {
        Kind::Firing | Kind::Reminder(_) | Kind::Refresh => "ALERT",
        Kind::Resolved | Kind::Late => "OK",
        Kind::Notice => "NOTICE",
        Kind::Test => "TEST",
    }
}

/// The message of an item, with what its kind adds to it.
pub fn headline(item: &Item) -> String {
    let message = &item.message;
    match item.kind {
        Kind::Firing | Kind::Notice => message.to_string(),
        Kind::Reminder(_) | Kind::Refresh => format!("Still out of spec: {message}"),
        Kind::Resolved => format!("Now in spec, was: {message}"),
        Kind::Late => format!("Now in spec; was, while no message got through: {message}"),
        Kind::Test => format!("This is only a test, nothing is wrong: {message}"),
    }
}

/// Which children left, in words: `a, b and 3 more`; empty if none did.
pub fn left(left: &Left) -> String {
    let mut text = left.names.join(", ");
    let more = (left.count as usize).saturating_sub(left.names.len());
    if more > 0 {
        let and = if text.is_empty() { "" } else { " and " };
        text += &format!("{and}{more} more");
    }
    text
}

/// The subject of a mail, which tells the state: what needs no hand is not to wake anybody. Mailers put an alert and its
/// recovery in one thread by other headers.
pub fn subject(notification: &Notification) -> String {
    match notification.items.as_slice() {
        [item] => match item.kind {
            Kind::Test => format!("[TEST] Warning! {} has an alert!", item.path),
            Kind::Firing | Kind::Notice => format!("Warning! {} has an alert!", item.path),
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
    body
}

/// One item, in full.
fn letter(item: &Item) -> String {
    let mut text = format!("{}\n\n", headline(item));
    field(&mut text, "Path", &item.path);
    if let Some(rule) = &item.rule {
        field(&mut text, "Rule", rule);
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

/// All items, each in a few lines.
fn digest(notification: &Notification) -> String {
    let mut text = format!("{}:\n\n", summary(notification));
    for item in &notification.items {
        paragraph(&mut text, item);
    }
    text.push('\n');
    text
}

/// One item of a digest.
fn paragraph(text: &mut String, item: &Item) {
    *text += &format!("{} {}: {}\n", state(item.kind), item.alert(), headline(item));
    *text += &format!("    {}; incident {}\n", facts(item), item.incident);
    let words = item.description.iter().chain(&item.runbook).map(AsRef::as_ref);
    let more = words.chain(item.notes.iter().map(String::as_str));
    for line in more {
        *text += &format!("    {}\n", line.trim().replace('\n', "\n    "));
    }
}

/// Times and children in one line.
fn facts(item: &Item) -> String {
    let mut facts = vec![format!("since {}", rfc3339(item.since))];
    facts.extend(item.until.map(|until| format!("until {}", rfc3339(until))));
    facts.extend(children(item).map(|children| format!("children: {children}")));
    if item.left.count > 0 {
        facts.push(format!("left: {}", left(&item.left)));
    }
    facts.join("; ")
}

/// A notification in one line of chat: state, path and message; a digest names up to 100 paths and counts the
/// rest.
pub fn chat(notification: &Notification) -> String {
    let line = match notification.items.as_slice() {
        [item] => chat_item(item),
        items => chat_digest(items, &notification.cluster),
    };
    // A path or message with a line break must not make two lines of one.
    line.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

fn chat_item(item: &Item) -> String {
    let mut line = format!("{} {}: {}", state(item.kind), item.alert(), headline(item));
    if let Some(until) = item.until {
        line += &format!(" (from {} to {})", rfc3339(item.since), rfc3339(until));
    }
    for note in &item.notes {
        line += "; ";
        line += note;
    }
    line
}

/// The items of a digest by state, what is wrong first.
fn chat_digest(items: &[Item], cluster: &str) -> String {
    let mut named = 0;
    let mut parts = Vec::new();
    for state_word in ["ALERT", "NOTICE", "OK", "TEST"] {
        let alerts = items.iter().filter(|item| state(item.kind) == state_word);
        let paths = alerts.clone().map(|item| &item.path).collect::<HashSet<_>>().len();
        if paths > 0 {
            let alerts: Vec<_> = alerts.map(|item| item.alert().to_string()).collect();
            let list = list(&alerts, &mut named);
            let noun = if paths == 1 { "path" } else { "paths" };
            parts.push(format!("{state_word} {paths} {noun} of {cluster}: {list}"));
        }
    }
    parts.join("; ")
}

/// As many alerts as a chat line has room for, given how many it names already, and a count of the others.
fn list(alerts: &[String], named: &mut usize) -> String {
    let mut list = String::new();
    let mut taken = 0;
    for alert in alerts {
        if *named == NAMED_IN_CHAT || list.len() + alert.len() > CHAT_LIST {
            break;
        }
        list += if list.is_empty() { "" } else { ", " };
        list += alert;
        taken += 1;
        *named += 1;
    }
    match (taken, alerts.len() - taken) {
        (_, 0) => list,
        (0, more) => format!("{more} not named here"),
        (_, more) => format!("{list} and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;
    use crate::model::children::Counted;

    fn item(path: &str, kind: Kind) -> Item {
        Item {
            incident: "i1".into(),
            path: path.into(),
            rule: None,
            kind,
            message: "Found children (0) less than minimum (1)".into(),
            since: UNIX_EPOCH + Duration::from_secs(1_401_553_225),
            until: (!kind.is_firing()).then(|| UNIX_EPOCH + Duration::from_secs(1_401_553_285)),
            children: Some(0),
            left: Left { names: vec!["a".into(), "b".into()], count: 5 },
            counted: None,
            labels: Arc::default(),
            runbook: None,
            description: None,
            notes: Vec::new(),
        }
    }

    fn notification(items: Vec<Item>) -> Notification {
        Notification { cluster: "c".into(), agent: "host-1".into(), items }
    }

    #[test]
    fn those_that_do_not_count_are_named() {
        let ignored = |name: &str, reason: &str| Ignored { name: name.into(), reason: reason.into() };
        let ignored = [ignored("web-3", "not ephemeral"), ignored("x", "its name does not match ^web-")];
        let counted = Counted { counted: 2, of: 4, ignored: ignored.into() };
        let item = Item { counted: Some(Arc::new(counted)), ..item("/a", Kind::Firing) };
        let text = body(&notification(vec![item.clone()]));
        let lines = "Children:    2 of 4\nLeft:        a, b and 3 more\n\
                     Ignored:     web-3: not ephemeral\n             x: its name does not match ^web-\n";
        assert!(text.contains(lines), "{text}");
        let text = body(&notification(vec![item.clone(), item]));
        assert!(text.contains("; children: 2 of 4; left: a, b and 3 more; incident i1"), "{text}");
    }

    #[test]
    fn subjects() {
        let check = |items, expected| assert_eq!(subject(&notification(items)), expected);
        check(vec![item("/p", Kind::Firing)], "Warning! /p has an alert!");
        check(vec![item("/p", Kind::Notice)], "Warning! /p has an alert!");
        check(vec![item("/p", Kind::Reminder(2))], "Reminder: /p has an alert!");
        check(vec![item("/p", Kind::Resolved)], "OK: /p is in spec again");
        check(vec![item("/p", Kind::Late)], "OK: /p is in spec again");
        check(vec![item("/p", Kind::Test)], "[TEST] Warning! /p has an alert!");
        let many = |kinds: &[Kind]| -> Vec<Item> {
            kinds.iter().zip(["/p", "/q", "/r", "/s"]).map(|(kind, path)| item(path, *kind)).collect()
        };
        check(many(&[Kind::Firing, Kind::Reminder(1)]), "Warning! 2 paths of c have alerts!");
        check(many(&[Kind::Reminder(1), Kind::Reminder(3)]), "Reminder: 2 paths of c have alerts!");
        check(many(&[Kind::Resolved, Kind::Late]), "OK: 2 paths of c are in spec again");
        let mixed = [Kind::Firing, Kind::Resolved, Kind::Firing, Kind::Late];
        check(many(&mixed), "Warning! 2 paths of c have alerts, 2 are in spec again");
        check(many(&mixed[..2]), "Warning! /p has an alert, 1 is in spec again");
    }

    #[test]
    fn an_alert_of_one_of_several_rules_names_it() {
        let named = |name: &str, kind| Item { rule: Some(name.into()), ..item("/p", kind) };
        let one = notification(vec![named("page", Kind::Firing)]);
        assert_eq!(subject(&one), "Warning! /p has an alert!");
        assert!(body(&one).contains("\nPath:        /p\nRule:        page\nState:       ALERT\n"));
        assert_eq!(chat(&one), "ALERT /p@page: Found children (0) less than minimum (1)");
        let both = notification(vec![named("warn", Kind::Firing), named("page", Kind::Firing)]);
        assert_eq!(subject(&both), "Warning! /p has alerts!");
        assert!(body(&both).starts_with("/p has alerts:\n\nALERT /p@warn: Found"));
        assert_eq!(chat(&both), "ALERT 1 path of c: /p@warn, /p@page");
        let more = notification([both.items, vec![item("/q", Kind::Firing)]].concat());
        assert_eq!(subject(&more), "Warning! 2 paths of c have alerts!");
        assert_eq!(chat(&more), "ALERT 2 paths of c: /p@warn, /p@page, /q");
    }

    #[test]
    fn chat_lines() {
        let check = |kind, expected: &str| assert_eq!(chat(&notification(vec![item("/p", kind)])), expected);
        check(Kind::Firing, "ALERT /p: Found children (0) less than minimum (1)");
        check(Kind::Reminder(2), "ALERT /p: Still out of spec: Found children (0) less than minimum (1)");
        check(
            Kind::Resolved,
            "OK /p: Now in spec, was: Found children (0) less than minimum (1) \
             (from 2014-05-31T16:20:25Z to 2014-05-31T16:21:25Z)",
        );
        check(
            Kind::Test,
            "TEST /p: This is only a test, nothing is wrong: Found children (0) less than minimum (1)",
        );
    }

    #[test]
    fn a_chat_line_stays_one_line() {
        let mut odd = item("/p\nq", Kind::Notice);
        odd.notes = vec!["email\r\nx refused it".into()];
        let line = chat(&notification(vec![odd]));
        assert!(!line.contains(char::is_control), "{line:?}");
        assert!(line.starts_with("NOTICE /p q: "), "{line:?}");
    }

    #[test]
    fn a_chat_digest_names_a_hundred_and_counts_the_rest() {
        let mut items: Vec<Item> = (0..150).map(|n| item(&format!("/p{n:03}"), Kind::Firing)).collect();
        items.push(item("/ok", Kind::Resolved));
        let line = chat(&notification(items));
        assert!(line.starts_with("ALERT 150 paths of c: /p000, /p001, "), "{line}");
        assert!(line.ends_with("/p099 and 50 more; OK 1 path of c: 1 not named here"), "{line}");
    }

    #[test]
    fn a_chat_digest_of_long_paths_is_bounded() {
        let long = "/x".repeat(1_000);
        let line = chat(&notification(vec![item(&long, Kind::Firing); 90]));
        assert!(line.len() < CHAT_LIST + 100, "{}", line.len());
        assert!(line.ends_with(" and 88 more"), "{}", &line[line.len() - 50..]);
    }

    #[test]
    fn a_letter_tells_everything() {
        let mut full = item("/p", Kind::Resolved);
        full.description = Some(Arc::from("first\nsecond"));
        full.notes = vec!["slack #x refused it: channel_not_found".into()];
        assert_eq!(
            body(&notification(vec![full])),
            "Now in spec, was: Found children (0) less than minimum (1)\n\n\
             Path:        /p\n\
             State:       OK\n\
             Since:       2014-05-31T16:20:25Z\n\
             Until:       2014-05-31T16:21:25Z\n\
             Children:    0\n\
             Left:        a, b and 3 more\n\
             Description: first\n             second\n\
             Note:        slack #x refused it: channel_not_found\n\
             Cluster:     c\n\
             Agent:       host-1\n\
             Incident:    i1\n"
        );
    }

    #[test]
    fn a_digest_leaves_nothing_out() {
        let items: Vec<Item> = (0..1_000).map(|n| item(&format!("/p{n}"), Kind::Firing)).collect();
        let body = body(&notification(items));
        for n in 0..1_000 {
            assert!(body.contains(&format!("ALERT /p{n}: Found children (0) less than minimum (1)\n")));
        }
        assert!(
            body.contains(
                "    since 2014-05-31T16:20:25Z; children: 0; left: a, b and 3 more; incident i1\n"
            )
        );
    }
}
