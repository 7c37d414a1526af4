//! What the dispatcher has to say, in log lines.

use crate::model::dispatcher::Event;

/// Logs one event. What needs an operator is a warning or an error; the rest is there for those who look.
pub fn log(event: &Event) {
    match event {
        Event::Pending(path) => log::info!("{path}: out of spec, pending"),
        Event::Cancelled(path) => log::info!("{path}: back in spec before its cancel_timeout"),
        Event::Firing(path, message) => log::warn!("{path}: {message}"),
        Event::Recovering(path) => log::info!("{path}: back in spec, waiting for its keep_firing_for"),
        Event::Relapsed(path) => log::info!("{path}: out of spec again before its keep_firing_for"),
        Event::Resolved(path) => log::warn!("{path}: now in spec"),
        Event::Missed(path) => {
            log::warn!("{path}: was out of spec while no agent sent the alerts, and is told of now");
        }
        Event::Leading(epoch, open) => {
            log::warn!("this agent sends the alerts now (lease {epoch}, {open} open)")
        }
        Event::Following(epoch) => log::warn!("this agent does not send the alerts any more (lease {epoch})"),
        Event::Unreadable(path) => {
            log::warn!("{path}: its entry in the ledger cannot be understood, and is treated as absent");
        }
        Event::Conflict(path) => log::info!("{path}: its entry in the ledger was changed by somebody else"),
        Event::NotWritten(path, reason) => {
            log::warn!("{path}: cannot write its entry in the ledger, and will try again: {reason}");
        }
        Event::Collected(path) => log::info!("{path}: removed its entry in the ledger, as no rule names it"),
        Event::Down(receiver, reason) => {
            log::error!("{receiver}: not delivered, and will try again: {reason}")
        }
        Event::Up(receiver, failures) => log::warn!("{receiver}: delivered after {failures} failed attempts"),
        Event::Refused(receiver, count, reason) => {
            log::error!("{receiver}: refused {count} for good, tried again after a reload: {reason}");
        }
        Event::GaveUp(receiver, path) => log::error!("{receiver}: gave up telling of {path} after a day"),
        Event::Told(receiver, count) => log::info!("{receiver}: told of {count}"),
    }
}
