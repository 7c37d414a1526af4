//! What the dispatcher has to say, in log lines.

use crate::model::dispatcher::Report;

/// Logs one event. What needs an operator is a warning or an error; the rest is there for those who look.
pub fn log(event: &Report) {
    match event {
        Report::Pending(path) => log::info!("{path}: out of spec, pending"),
        Report::Cancelled(path) => log::info!("{path}: back in spec before its cancel_timeout"),
        Report::Firing(path, message) => log::warn!("{path}: {message}"),
        Report::Recovering(path) => log::info!("{path}: back in spec, waiting for its keep_firing_for"),
        Report::Relapsed(path) => log::info!("{path}: out of spec again before its keep_firing_for"),
        Report::Resolved(path) => log::warn!("{path}: now in spec"),
        Report::ToldLate(path) => {
            log::warn!("{path}: was out of spec while no agent sent the alerts, and is told of now");
        }
        Report::Leading(epoch, open) => {
            log::warn!("this agent sends the alerts now (lease {epoch}, {open} open)")
        }
        Report::Following(epoch) => {
            log::warn!("this agent does not send the alerts any more (lease {epoch})")
        }
        Report::Unreadable(path) => {
            log::warn!(
                "{path}: its entry in the ledger cannot be read or understood, and is treated as absent"
            );
        }
        Report::Conflict(path) => log::info!("{path}: its entry in the ledger was changed by somebody else"),
        Report::NotWritten(path, reason) => {
            log::warn!("{path}: cannot write its entry in the ledger, and will try again: {reason}");
        }
        Report::Collected(path) => log::info!("{path}: removed its entry in the ledger, as no rule names it"),
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
        Report::GaveUp(receiver, path) => log::error!("{receiver}: gave up telling of {path} after a day"),
        Report::Dropped(receiver, count, path) => log::warn!(
            "{receiver}: left the configuration, and is not told of the end of {count} alerts, {path} among them"
        ),
        Report::Told(receiver, count) => log::info!("{receiver}: told of {count}"),
    }
}
