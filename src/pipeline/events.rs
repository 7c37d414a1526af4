//! What the dispatcher has to say, in log lines.

use crate::model::alert_key::AlertKey;
use crate::model::dispatcher::{Report, Tale};
use crate::model::event::{AlertStep, What};
use crate::model::message::Kind;

/// Logs one event. What needs an operator is a warning or an error; the rest is there for those who look. Every agent
/// sees each alert come and go, and one of several sends: the others, which know `elsewhere` which that is, say it
/// without raising their voice.
pub fn log(event: &Report, elsewhere: Option<&str>) {
    match event {
        Report::Pending(key) => log::info!("{key}: out of spec, pending"),
        Report::Cancelled(key) => log::info!("{key}: back in spec before its cancel_timeout"),
        Report::Held(key, Some(path)) => log::info!("{key}: held by {path}, which is out of spec too"),
        Report::Held(key, None) => log::info!("{key}: not held any more, its hold-down runs anew"),
        Report::Firing(key, message) => match elsewhere {
            None => log::warn!("{key}: {message}"),
            Some(agent) => log::info!("{key}: {message}; {agent} sends the alert"),
        },
        Report::Recovering(key) => log::info!("{key}: back in spec, waiting for its keep_firing_for"),
        Report::Relapsed(key) => log::info!("{key}: out of spec again before its keep_firing_for"),
        Report::Resolved(key) => match elsewhere {
            None => log::warn!("{key}: now in spec"),
            Some(agent) => log::info!("{key}: now in spec; {agent} sends the recovery"),
        },
        Report::ToldLate(key) => {
            log::warn!("{key}: was out of spec while no agent sent the alerts, and is told of now");
        }
        Report::Leading(epoch, open) => {
            log::warn!("this agent sends the alerts now (lease {epoch}, {open} open)")
        }
        Report::Following(epoch) => {
            log::warn!("this agent does not send the alerts any more (lease {epoch})")
        }
        Report::Unreadable(key) => {
            log::warn!(
                "{key}: its entry in the ledger cannot be read or understood, and is treated as absent"
            );
        }
        Report::Conflict(key) => log::info!("{key}: its entry in the ledger was changed by somebody else"),
        Report::NotWritten(key, reason) => {
            log::warn!("{key}: cannot write its entry in the ledger, and will try again: {reason}");
        }
        Report::Collected(key) => log::info!("{key}: removed its entry in the ledger, as no rule names it"),
        Report::Down(receiver, reason) => {
            log::error!("{receiver}: not delivered, and will try again: {reason}")
        }
        Report::Up(receiver, failures) => {
            log::warn!("{receiver}: delivered after {failures} failed attempts")
        }
        Report::Refused(receiver, count, reason) => {
            log::error!(
                "{receiver}: refused {count} for good, tried again after a reload or restart: {reason}"
            );
        }
        Report::Halved(receiver, count, reason) => {
            log::warn!("{receiver}: refused {count} at once, and gets them in halves: {reason}");
        }
        Report::GaveUp(receiver, key) => log::error!("{receiver}: gave up telling of {key} after a day"),
        Report::Dropped(receiver, count, key) => log::warn!(
            "{receiver}: left the configuration, and is not told of the end of {count} alerts, {key} among them"
        ),
        Report::Told(receiver, tale) => log::info!("{receiver}: told {}", told(tale)),
    }
}

/// What the journal has to know of it. Messages are noted by what became of each.
pub fn noted(event: &Report) -> Option<What> {
    let alert = |key: &AlertKey, step| Some(What::Alert(key.clone(), step));
    match event {
        Report::Pending(key) => alert(key, AlertStep::Pending),
        Report::Cancelled(key) => alert(key, AlertStep::Cancelled),
        Report::Firing(key, _) => alert(key, AlertStep::Firing),
        Report::Recovering(key) => alert(key, AlertStep::Recovering),
        Report::Relapsed(key) => alert(key, AlertStep::Relapsed),
        Report::Resolved(key) => alert(key, AlertStep::Resolved),
        Report::Held(key, Some(_)) => alert(key, AlertStep::Held),
        Report::Held(key, None) => alert(key, AlertStep::Released),
        Report::ToldLate(key) => alert(key, AlertStep::ToldLate),
        Report::Leading(epoch, _) => Some(What::Leading(*epoch)),
        Report::Following(epoch) => Some(What::Following(*epoch)),
        Report::Unreadable(_) | Report::Conflict(_) | Report::NotWritten(..) | Report::Collected(_) => None,
        Report::Down(..) | Report::Up(..) | Report::Refused(..) | Report::Halved(..) => None,
        Report::GaveUp(..) | Report::Dropped(..) | Report::Told(..) => None,
    }
}

/// What a message told, in words.
fn told(tale: &Tale) -> String {
    let (key, kind, incident) = &tale.first;
    match (tale.firing, tale.over) {
        (1, 0) | (0, 1) => {
            let what = match kind {
                Kind::Firing => "out of spec",
                Kind::Reminder(_) | Kind::Refresh => "still out of spec",
                Kind::Resolved => "in spec again",
                Kind::Late => "in spec again, and that it was not",
                Kind::Notice => "out of spec, and that another receiver was not told",
                Kind::Test => "being tested",
            };
            format!("that {key} is {what} (incident {incident})")
        }
        (firing, 0) => format!("in one message of {firing} out of spec, {key} first (incident {incident})"),
        (0, over) => format!("in one message of {over} in spec again, {key} first (incident {incident})"),
        (firing, over) => format!(
            "in one message of {firing} out of spec and {over} in spec again, {key} first (incident {incident})"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_told_by_what_it_told() {
        let check = |firing, over, kind, expected: &str| {
            let first = (AlertKey::unnamed("/p"), kind, "i-1".into());
            assert_eq!(told(&Tale { firing, over, first }), expected);
        };
        check(1, 0, Kind::Firing, "that /p is out of spec (incident i-1)");
        check(1, 0, Kind::Reminder(2), "that /p is still out of spec (incident i-1)");
        check(0, 1, Kind::Resolved, "that /p is in spec again (incident i-1)");
        check(82, 0, Kind::Firing, "in one message of 82 out of spec, /p first (incident i-1)");
        check(0, 2, Kind::Late, "in one message of 2 in spec again, /p first (incident i-1)");
        let mixed = "in one message of 2 out of spec and 1 in spec again, /p first (incident i-1)";
        check(2, 1, Kind::Resolved, mixed);
    }
}
