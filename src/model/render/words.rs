//! What mails and chat messages have in common.

use std::collections::HashSet;
use std::time::Duration;

use crate::model::children::Left;
use crate::model::duration;
use crate::model::message::{About, Item, Kind, Notification};

/// The states in which a path can be, as items tell them: what is wrong first.
pub const STATES: [&str; 4] = ["ALERT", "NOTICE", "OK", "TEST"];

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
        _ if item.about == About::Agent => match item.until {
            Some(_) => format!("ZooKeeper is back, was: {message}"),
            None => message.to_string(),
        },
        Kind::Firing | Kind::Notice => message.to_string(),
        Kind::Reminder(_) | Kind::Refresh => format!("Still out of spec: {message}"),
        Kind::Resolved => format!("Now in spec, was: {message}"),
        Kind::Late => format!("Now in spec; was, while no message got through: {message}"),
        Kind::Test => format!("This is only a test, nothing is wrong: {message}"),
    }
}

/// For how long the path was out of spec, if that is over: to the second, and to the minute after an hour.
pub fn lasted(item: &Item) -> Option<String> {
    let seconds = item.until?.duration_since(item.since).unwrap_or_default().as_secs();
    let seconds = if seconds < 3600 { seconds } else { seconds / 60 * 60 };
    Some(duration::words(Duration::from_secs(seconds)))
}

/// The rule by which the path is judged, as the configuration has it; nothing if the path says as much.
pub fn rule(item: &Item) -> Option<String> {
    match (&item.pattern, &item.rule) {
        (Some(pattern), Some(name)) => Some(format!("{pattern}@{name}")),
        (one, other) => one.as_ref().or(other.as_ref()).map(|only| only.to_string()),
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

/// How many paths these items tell of: there may be several alerts of one.
pub fn paths<'a>(items: impl Iterator<Item = &'a Item>) -> usize {
    items.map(|item| &item.path).collect::<HashSet<_>>().len()
}

/// What all items say of this, if they say the same; nothing if any says nothing.
pub fn common<'a>(
    notification: &'a Notification,
    of: impl Fn(&'a Item) -> Option<&'a str>,
) -> Option<&'a str> {
    let mut all = notification.items.iter().map(of);
    let first = all.next().flatten()?;
    all.all(|other| other == Some(first)).then_some(first)
}
