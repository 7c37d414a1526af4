//! What the receivers were told, as they logged it.

use std::collections::{BTreeMap, HashSet};

use serde_json::Value;

use crate::common::{Mail, Request};
use crate::network::{AGENTS, ip};
use crate::txnlog::Millis;
use crate::workload;
use crate::world::{ADDRESS, BLIND_HOOK, FLAKY, HOOK, MANAGER, NEVER, World};

/// Who is told of every path.
pub const RECEIVERS: [&str; 4] = [HOOK, FLAKY, MANAGER, ADDRESS];
/// What a message says that tells both ends at once.
const LATE: &str = "Now in spec; was, while no message got through: ";

/// What a message says that tells of earlier violations too.
const MISSED: &str = "Earlier violations of this path ended before every receiver could be told";

/// What a message says when another receiver refused.
const REFUSED: &str = " refused the alert: ";

/// One item of a message that a receiver got.
#[derive(Clone, Debug)]
pub struct Told {
    pub receiver: &'static str,
    /// The process that sent it: seat and process id.
    pub seat: usize,
    pub pid: u32,
    pub at: Millis,
    /// `/path`, or `/path@name`.
    pub alert: String,
    pub incident: String,
    pub firing: bool,
    /// Whether it says that the alert did not get through, and tells both ends at once.
    pub late: bool,
    /// Whether it says that there were others before, of which not everybody was told.
    pub missed: bool,
    /// By the sender's clock, to the second.
    pub since: Millis,
    pub until: Option<Millis>,
}

/// Reads `2014-05-31T16:20:25Z`.
pub fn parse_time(text: &str) -> Option<Millis> {
    let parts = text.split(|c: char| !c.is_ascii_digit()).filter(|part| !part.is_empty());
    let numbers: Vec<u64> = parts.map(|part| part.parse().ok()).collect::<Option<_>>()?;
    let [year, month, day, hour, minute, second, ..] = numbers[..] else { return None };
    // Days since 1970-01-01, with years that begin in March.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = year * 365 + year / 4 - year / 100 + year / 400 + (month * 153 + 2) / 5 + day;
    // What fires has not ended, which a webhook writes as the year 1.
    let days = days.checked_sub(719_469)?;
    Some((((days * 24 + hour) * 60 + minute) * 60 + second) * 1000)
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}")).to_owned()
}

impl World {
    /// What was told about paths since a moment.
    pub fn told(&self, from: Millis) -> Vec<Told> {
        let mut all: Vec<Told> = Vec::new();
        for receiver in [HOOK, FLAKY, MANAGER] {
            // What it answers with an error it was not told; what it answers with nothing it was.
            let taken = |request: &Request| request.answered.is_none_or(|status| status / 100 == 2);
            let requests = self.web.requests(receiver).into_iter();
            let requests = requests.filter(|request| self.wall(request.at) >= from).filter(taken);
            requests.for_each(|request| self.posted(receiver, &request, &mut all));
        }
        let mails = self.mail.mails().into_iter().filter(|mail| self.wall(mail.at) >= from);
        mails.for_each(|mail| self.mailed(&mail, &mut all));
        mark_late(&mut all);
        all
    }

    /// When the receiver of such news was told that an agent is blind, or sees again, and by which seat.
    pub fn told_blind(&self) -> Vec<(Millis, usize, bool)> {
        let items = self.web.requests(BLIND_HOOK).into_iter().map(|request| {
            let json = request.json();
            (self.wall(request.at), seat(&json["externalURL"]), json["status"] == "firing")
        });
        items.collect()
    }

    /// When each incident was tried at the webhook that refuses everything.
    pub fn refused(&self) -> BTreeMap<String, Vec<Millis>> {
        let mut tries: BTreeMap<String, Vec<Millis>> = BTreeMap::new();
        for request in self.web.requests(NEVER) {
            for alert in request.json()["alerts"].as_array().unwrap() {
                let incident = text(&alert["annotations"]["incident"]);
                tries.entry(incident).or_default().push(self.wall(request.at));
            }
        }
        tries
    }

    fn posted(&self, receiver: &'static str, request: &Request, all: &mut Vec<Told>) {
        let (json, at) = (request.json(), self.wall(request.at));
        let alerts = json.as_array().or_else(|| json["alerts"].as_array()).unwrap();
        for alert in alerts {
            let page = alert.get("generatorURL").unwrap_or(&json["externalURL"]);
            let seat = seat(page);
            let (since, end) = (&alert["startsAt"], parse_time(&text(&alert["endsAt"])));
            // At an Alertmanager what fires ends by itself, minutes ahead.
            let firing = alert
                .get("status")
                .map_or_else(|| end.is_some_and(|end| end > at + 5 * 60_000), |status| status == "firing");
            let incident = text(&alert["annotations"]["incident"]);
            let notes = alert["annotations"]["notes"].as_str().unwrap_or_default();
            // Here that another receiver refused it is an alert that is told again, with a note.
            let is_known =
                |told: &Told| told.receiver == receiver && told.incident == incident && told.firing;
            if firing && notes.contains(REFUSED) && all.iter().any(is_known) {
                continue;
            }
            all.push(Told {
                receiver,
                seat,
                pid: self.pid_at(seat, at),
                at,
                alert: workload::alert(&text(&alert["labels"]["path"]), alert["labels"]["rule"].as_str()),
                incident,
                firing,
                late: false,
                missed: notes.contains(MISSED),
                since: parse_time(&text(since)).unwrap(),
                until: end.filter(|_| !firing),
            });
        }
    }

    /// The process that ran at a seat at that time. A message may be read when its sender has been killed already.
    fn pid_at(&self, seat: usize, at: Millis) -> u32 {
        let mut lives = self.lives.iter().filter(|life| life.seat == seat && life.from <= at);
        lives.next_back().expect("an agent that sent a message").pid
    }

    fn mailed(&self, mail: &Mail, all: &mut Vec<Told>) {
        let field = |label: &str| {
            let line = mail.body.lines().find_map(|line| line.strip_prefix(label));
            line.map(|value| value.trim().to_owned())
        };
        let agent = field("Agent:").unwrap();
        let pid: u32 = agent.rsplit('-').next().unwrap().parse().unwrap();
        let seat = self.lives.iter().find(|life| life.pid == pid).unwrap().seat;
        let at = self.wall(mail.at);
        let mut tell =
            |alert: &str, state: &str, line: &str, since: &str, until: Option<&str>, incident: &str| {
                // That another receiver refused it is no news of the path, and has no end.
                if state != "ALERT" && until.is_none() {
                    return;
                }
                all.push(Told {
                    receiver: ADDRESS,
                    seat,
                    pid,
                    at,
                    alert: alert.to_owned(),
                    incident: incident.to_owned(),
                    firing: state == "ALERT",
                    late: line.contains(LATE),
                    missed: mail.body.contains(MISSED),
                    since: parse_time(since).unwrap(),
                    until: until.map(|until| parse_time(until).unwrap()),
                });
            };
        if let Some(incident) = field("Incident:") {
            let rule = field("Rule:").filter(|rule| !rule.starts_with('/'));
            let alert = workload::alert(&field("Path:").unwrap(), rule.as_deref());
            let (state, until) = (field("State:").unwrap(), field("Until:"));
            let line = mail.body.lines().next().unwrap();
            tell(&alert, &state, line, &field("Since:").unwrap(), until.as_deref(), &incident);
            return;
        }
        let lines: Vec<&str> = mail.body.lines().collect();
        for pair in lines.windows(2).filter(|pair| pair[1].contains("; incident ")) {
            let (state, rest) = pair[0].split_once(' ').unwrap();
            let fact = |label| pair[1].trim().split("; ").find_map(|fact| fact.strip_prefix(label));
            let alert = rest.split(':').next().unwrap();
            tell(alert, state, pair[0], fact("since ").unwrap(), fact("until "), fact("incident ").unwrap());
        }
    }
}

/// The seat whose page this is.
fn seat(page: &Value) -> usize {
    let page = text(page);
    let is_of = |seat: &usize| page.starts_with(&format!("http://{}:", ip(AGENTS[*seat])));
    (0..AGENTS.len()).find(is_of).unwrap_or_else(|| panic!("whose page is {page}?"))
}

/// A message without words that tells of an end tells both: that nothing was told before makes it late.
fn mark_late(all: &mut [Told]) {
    let alerts = all.iter().filter(|told| told.firing);
    let alerts: HashSet<_> = alerts.map(|told| (told.receiver, told.incident.clone())).collect();
    for told in all.iter_mut().filter(|told| !told.firing && told.receiver != ADDRESS) {
        told.late |= !alerts.contains(&(told.receiver, told.incident.clone()));
    }
}

#[test]
fn times_are_read() {
    let check = |text, expected| assert_eq!(parse_time(text), expected, "{text}");
    check("1970-01-01T00:00:00Z", Some(0));
    check("2000-02-29T00:00:00Z", Some(951_782_400_000));
    check("2000-03-01T00:00:00Z", Some(951_868_800_000));
    check("0001-01-01T00:00:00Z", None);
    check("soon", None);
}
