//! The name of a message: the same for the same message, whichever agent sends it and however often, so that
//! receivers can tell a repeat from news.

use super::encode::sha256;
use crate::model::message::{Item, Kind, Notification};

/// `<incident>:<what is told>:<n>`, where n counts reminders and is 0 for all else; of a digest, a hash of its
/// parts.
pub(super) fn of(notification: &Notification) -> String {
    match notification.items.as_slice() {
        [item] => of_item(item),
        items => {
            let keys: Vec<String> = items.iter().map(of_item).collect();
            sha256(&keys.iter().map(String::as_str).collect::<Vec<_>>())
        }
    }
}

/// The name of the message that this one follows: the alert, for all that comes after it.
pub(super) fn follows(notification: &Notification) -> Option<String> {
    let [item] = notification.items.as_slice() else { return None };
    match item.kind {
        Kind::Firing | Kind::Test => None,
        Kind::Reminder(_) | Kind::Refresh | Kind::Resolved | Kind::Late | Kind::Notice => {
            Some(format!("{}:firing:0", incident(item)))
        }
    }
}

fn of_item(item: &Item) -> String {
    let incident = incident(item);
    match item.kind {
        Kind::Firing | Kind::Test => format!("{incident}:firing:0"),
        Kind::Reminder(n) => format!("{incident}:reminder:{n}"),
        Kind::Refresh => format!("{incident}:refresh:0"),
        Kind::Resolved | Kind::Late => format!("{incident}:resolved:0"),
        Kind::Notice => {
            let notes: Vec<&str> = item.notes.iter().map(String::as_str).collect();
            format!("{incident}:notice:{}", &sha256(&notes)[..16])
        }
    }
}

/// The incident's id, as it can stand in a header.
fn incident(item: &Item) -> String {
    let is_plain = !item.incident.is_empty() && item.incident.bytes().all(|byte| byte.is_ascii_graphic());
    if is_plain { item.incident.to_string() } else { sha256(&[&item.incident]) }
}
