//! Alerts to a Prometheus Alertmanager, by version 2 of its API.

use std::time::{Duration, Instant, SystemTime};

use serde_json::{Value, json};

use super::http::{Answer, Client, failed, join};
use super::labels::{annotations, labels};
use crate::clock;
use crate::model::message::{Item, Kind, Notification};
use crate::model::notifier::Notifier;
use crate::model::receiver::{Alertmanager, Outcome};
use crate::model::rfc3339::rfc3339;
use crate::model::time::Now;

/// An alert ends by itself so long after it was told last. It is told again every minute, so this outlasts a
/// change of leader with ease, and no alert stays for ever when all agents are gone.
const FIRING: Duration = Duration::from_secs(15 * 60);
/// Nobody tells a test again, so it ends soon.
const TEST: Duration = Duration::from_secs(60);

/// By so much less than it could be, its clock is taken to be past: the two clocks run apart a little between two answers.
const DRIFT: Duration = Duration::from_secs(1);

/// Alertmanager holds what it is told against its own clock: an alert whose end is past on arrival is over, and one whose
/// end is to come goes on. So times that it decides by are times of its clock, which its answers tell.
pub(super) struct AlertmanagerNotifier {
    client: Client,
    limit: Duration,
    clock: Clock,
}

impl AlertmanagerNotifier {
    /// Each attempt ends within `limit`.
    pub(super) fn new(settings: &Alertmanager, limit: Duration, ca: Option<&[u8]>) -> Self {
        let client = Client::new(&join(settings.url.reveal(), "/api/v2/alerts"), limit, ca);
        Self { client, limit, clock: Clock::Unknown }
    }

    fn post(&mut self, notification: &Notification) -> Result<(), Outcome> {
        let deadline = clock::mono() + self.limit;
        if matches!(self.clock, Clock::Unknown) {
            // An empty list tells nothing and is answered with a date. Whatever became of it, no alert was sent.
            self.ask(b"[]", self.limit / 3).map_err(not_sent)?;
        }
        let body = alerts(notification, self.clock.now(clock::now())).to_string();
        let left = deadline.saturating_duration_since(clock::mono());
        self.ask(body.as_bytes(), left)?.check()
    }

    /// Posts this, and learns the clock from the answer.
    fn ask(&mut self, body: &[u8], limit: Duration) -> Result<Answer, Outcome> {
        let answer = self.client.post_within(limit, &[("Content-Type", "application/json")], body)?;
        self.clock = Clock::told(answer.date(), clock::mono());
        Ok(answer)
    }
}

fn not_sent(outcome: Outcome) -> Outcome {
    match outcome {
        Outcome::Ambiguous { reason } => failed(reason),
        Outcome::Accepted | Outcome::Failed { .. } | Outcome::Refused { .. } | Outcome::NotTried => outcome,
    }
}

/// The clock of a receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Clock {
    /// It has not answered yet.
    Unknown,
    /// Its answers bear no date, so that this host's clock has to do.
    Ours,
    /// The date of its last answer, which came at that moment.
    Theirs(SystemTime, Instant),
}

impl Clock {
    fn told(date: Option<SystemTime>, at: Instant) -> Self {
        date.map_or(Self::Ours, |date| Self::Theirs(date, at))
    }

    /// What it shows now, or a little less, never more: an answer's date is cut to the second, and older than the answer.
    fn now(self, now: Now) -> SystemTime {
        match self {
            Self::Unknown | Self::Ours => now.wall,
            Self::Theirs(date, at) => date + now.mono.saturating_duration_since(at) - DRIFT,
        }
    }
}

impl Notifier for AlertmanagerNotifier {
    fn send(&mut self, notification: &Notification) -> Outcome {
        self.post(notification).err().unwrap_or(Outcome::Accepted)
    }
}

/// The body of the request, at this time of the receiver's clock.
fn alerts(notification: &Notification, now: SystemTime) -> Value {
    let alert = |item: &Item| {
        let (begin, end) = span(item, now);
        let mut alert = json!({
            "labels": labels(item, notification),
            "annotations": annotations(item),
            "startsAt": rfc3339(begin),
            "endsAt": rfc3339(end),
        });
        notification.page.iter().for_each(|page| alert["generatorURL"] = (**page).into());
        alert
    };
    notification.items.iter().map(alert).collect()
}

/// When an alert began, and when it ended or will end if it is not told again. It began before now and ended before now,
/// and before its end, whatever the clocks of those who saw it say.
fn span(item: &Item, now: SystemTime) -> (SystemTime, SystemTime) {
    let end = match item.kind {
        Kind::Firing | Kind::Reminder(_) | Kind::Refresh | Kind::Notice => now + FIRING,
        Kind::Test => now + TEST,
        Kind::Resolved | Kind::Late => item.until.map_or(now, |until| until.min(now)),
    };
    (item.since.min(now).min(end), end)
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;
    use crate::notify::tests::item;

    const fn secs(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn its_clock_is_the_date_of_its_answer_and_what_went_by_since() {
        let ours = Now { mono: clock::mono(), wall: UNIX_EPOCH + secs(9_000) };
        let date = UNIX_EPOCH + secs(5_000);
        assert_eq!(Clock::told(Some(date), ours.mono).now(ours.after(secs(40))), date + secs(40) - DRIFT);
        assert_eq!(Clock::told(None, ours.mono).now(ours), ours.wall);
    }

    #[test]
    fn an_end_is_past_or_to_come_by_the_receivers_clock_and_never_before_the_beginning() {
        // All in seconds; the path was out of spec for that time by the clock of its agent.
        let check = |kind, since, until: Option<u64>, now, expected| {
            let mut item = item("/p", kind);
            item.since = UNIX_EPOCH + secs(since);
            item.until = until.map(|until| UNIX_EPOCH + secs(until));
            let (begin, end) = span(&item, UNIX_EPOCH + secs(now));
            let since_epoch = |time: SystemTime| time.duration_since(UNIX_EPOCH).unwrap().as_secs();
            assert_eq!((since_epoch(begin), since_epoch(end)), expected, "{kind:?} {since} {until:?} {now}");
        };
        check(Kind::Firing, 10_000, None, 10_002, (10_000, 10_902));
        // An agent behind, one ahead, and one ahead by more than an alert is kept for.
        check(Kind::Firing, 1_000, None, 10_002, (1_000, 10_902));
        check(Kind::Refresh, 10_004, None, 10_002, (10_002, 10_902));
        check(Kind::Notice, 20_000, None, 10_002, (10_002, 10_902));
        check(Kind::Test, 20_000, None, 10_002, (10_002, 10_062));
        check(Kind::Resolved, 10_000, Some(10_060), 10_062, (10_000, 10_060));
        check(Kind::Resolved, 10_004, Some(10_064), 10_062, (10_004, 10_062));
        check(Kind::Late, 20_000, Some(20_060), 10_062, (10_062, 10_062));
        // The clock was set back between the two.
        check(Kind::Resolved, 10_000, Some(9_000), 10_062, (9_000, 9_000));
        check(Kind::Resolved, 10_000, None, 10_062, (10_000, 10_062));
    }
}
