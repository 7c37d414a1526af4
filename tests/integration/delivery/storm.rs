//! Very many paths at once.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::common::{Answer, Client, Daemon, HttpSink, Mail, SmtpSink, Space, eventually, shared};

const STORM: usize = 10_000;
/// How long a storm may take on a machine that is busy with other tests, and a program that is not optimised.
const PATIENCE: Duration = Duration::from_secs(120);
/// How many messages each receiver may get for each end.
const MESSAGES: usize = 50;
const ALERTMANAGER: &str = "/api/v2/alerts";
const SLACK: &str = "/slack/chat.postMessage";
const PAGERDUTY: &str = "/v2/enqueue";

/// The ways that leave nothing out.
const WAYS: [&str; 3] = ["mail", "/hook", ALERTMANAGER];

/// All kinds of receivers, and as many paths as are to break, in spec and watched.
struct Scene {
    space: Space,
    mails: SmtpSink,
    sink: HttpSink,
    children: Vec<String>,
    daemon: Daemon,
    tallies: [Tally; WAYS.len()],
}

/// What came by one way. Messages are read once: a test that computes takes the time from the daemon.
#[derive(Default)]
struct Tally {
    /// How often each path was told of: broken and mended.
    told: BTreeMap<String, [usize; 2]>,
    /// How many messages were read.
    read: usize,
    /// How many of them told something new.
    news: usize,
    /// When the last of those came.
    last: Option<Instant>,
}

impl Tally {
    /// Reads one more message. Alertmanager is told again every minute of what goes on, which is one alert to it:
    /// that counts once.
    fn add(&mut self, at: Instant, refreshed: bool, items: impl FnOnce(&mut dyn FnMut(&str, bool))) {
        let mut new = false;
        items(&mut |path, over| {
            let counts = self.told.entry(path.to_owned()).or_default();
            if !refreshed || over || counts[0] == 0 {
                counts[usize::from(over)] += 1;
                new = true;
            }
        });
        self.read += 1;
        if new {
            (self.news, self.last) = (self.news + 1, Some(at));
        }
    }
}

impl Scene {
    fn new(paths: usize) -> Self {
        let (space, mails, sink) = (shared(), SmtpSink::start(), HttpSink::start());
        sink.answer(SLACK, Answer::json(&json!({"ok": true})));
        sink.answer(PAGERDUTY, Answer::status(202));
        let mut client = space.client();
        client.create("/storm", "");
        let nodes: Vec<String> = (0..paths).map(|n| format!("/storm/p{n}")).collect();
        let children: Vec<String> = nodes.iter().map(|path| format!("{path}/c")).collect();
        client.create_many(&nodes);
        client.create_many(&children);
        let yaml = format!(
            "/storm/*:\n  children: 1\n  alerter:\n    email: you@home.com\n    webhook: {{url: \"{0}/hook\"}}\n    \
             alertmanager: {{url: \"{0}\"}}\n    slack: {{channel: \"#ops\", token: t, api_url: \"{0}/slack\"}}\n    \
             pagerduty: {{routing_key: k, api_url: \"{0}\"}}\n",
            sink.url("")
        );
        let builder = Daemon::with(space.address(), &yaml).smtp(mails.port());
        let daemon = builder.args(["--session_timeout", "10", "-l", "INFO"]).start();
        daemon.wait_until_ready();
        daemon.wait_until_it_leads();
        Self { space, mails, sink, children, daemon, tallies: Default::default() }
    }

    fn client(&self) -> Client {
        self.space.client()
    }

    /// Reads what came.
    fn update(&mut self) {
        for (way, tally) in WAYS.iter().zip(&mut self.tallies) {
            if *way == "mail" {
                for mail in self.mails.mails_since(tally.read) {
                    tally.add(mail.at, false, |count| of_mail(&mail, count));
                }
            } else {
                for request in self.sink.requests_since(way, tally.read) {
                    tally.add(request.at, *way == ALERTMANAGER, |count| of_alerts(&request.json(), count));
                }
            }
        }
    }

    /// Waits until every path was told so often by each of those ways, and tells when the last message came.
    fn wait_until_told(&mut self, expected: [usize; 2]) -> Instant {
        eventually(PATIENCE, &format!("message: each path told {expected:?} times"), || {
            self.update();
            let right = |tally: &Tally| tally.told.values().filter(|counts| **counts == expected).count();
            let right: Vec<usize> = self.tallies.iter().map(right).collect();
            if right.iter().all(|right| *right == self.children.len()) { Ok(()) } else { Err(right) }
        });
        self.tallies.iter().filter_map(|tally| tally.last).max().unwrap()
    }

    fn messages(&self) -> HashMap<&'static str, usize> {
        let chats = [SLACK, PAGERDUTY].map(|way| (way, self.sink.requests(way).len()));
        WAYS.into_iter().zip(self.tallies.iter().map(|tally| tally.news)).chain(chats).collect()
    }

    fn few_messages_since(&self, before: &HashMap<&'static str, usize>) {
        for (way, count) in self.messages() {
            let count = count - before.get(way).copied().unwrap_or(0);
            assert!(count <= MESSAGES, "{way}: {count} messages");
        }
    }

    /// Every event that was opened was closed.
    fn pager_is_calm(&self) {
        eventually(PATIENCE, "end of all events", || {
            let mut open = BTreeSet::new();
            for event in self.sink.requests(PAGERDUTY).iter().map(crate::common::Request::json) {
                let key = event["dedup_key"].as_str().unwrap().to_owned();
                if event["event_action"] == "trigger" {
                    open.insert(key)
                } else {
                    open.remove(&key)
                };
            }
            if open.is_empty() { Ok(()) } else { Err(open) }
        });
    }

    /// How many paths the chat heard of: broken and mended.
    fn chat(&self) -> [usize; 2] {
        let mut counts = [0, 0];
        for request in self.sink.requests(SLACK) {
            let text = request.json()["text"].as_str().unwrap().to_owned();
            for part in text.lines().filter(|line| line.starts_with("ALERT ") || line.starts_with("OK ")) {
                let place = usize::from(part.starts_with("OK "));
                let count = part.split(' ').nth(1).unwrap();
                counts[place] += count.parse::<usize>().unwrap_or(1);
            }
        }
        counts
    }
}

/// The paths of a mail, alone or in a digest.
fn of_mail(mail: &Mail, count: &mut dyn FnMut(&str, bool)) {
    let lines = mail.body.lines();
    for line in lines.clone().filter(|line| line.starts_with("ALERT /") || line.starts_with("OK /")) {
        let (state, rest) = line.split_once(' ').unwrap();
        count(rest.split(':').next().unwrap(), state == "OK");
    }
    if let Some(path) = lines.clone().find_map(|line| line.strip_prefix("Path:")) {
        count(path.trim(), lines.clone().any(|line| line.trim_end() == "State:       OK"));
    }
}

/// The alerts of a webhook's or Alertmanager's body.
fn of_alerts(body: &Value, count: &mut dyn FnMut(&str, bool)) {
    let alerts = body["alerts"].as_array().or(body.as_array()).unwrap();
    for alert in alerts {
        // Alertmanager's own alerts have no status: one that goes on ends minutes from now.
        let over =
            alert["status"].as_str().map_or_else(|| is_past(&alert["endsAt"]), |status| status == "resolved");
        count(alert["labels"]["path"].as_str().unwrap(), over);
    }
}

/// Whether a time in RFC 3339 is not minutes away.
fn is_past(time: &Value) -> bool {
    let soon = zk_monitor::model::rfc3339::rfc3339(std::time::SystemTime::now() + Duration::from_secs(60));
    time.as_str().unwrap() < soon.as_str()
}

/// All paths break, perhaps the mail server is away for a while, and all are mended.
fn storm(away: Option<Duration>) {
    let mut scene = Scene::new(STORM);
    let mut client = scene.client();
    let start = Instant::now();
    client.delete_many(&scene.children);
    let changed = Instant::now();
    if let Some(away) = away {
        // The first alert leaves at once; the digests follow after the group_wait.
        eventually(PATIENCE, "first mail", || !scene.mails.mails().is_empty());
        scene.mails.down();
        let gone = Instant::now();
        eventually(away + PATIENCE, "end of the outage", || gone.elapsed() >= away);
        scene.mails.up();
    }
    let last = scene.wait_until_told([1, 0]);
    scene.few_messages_since(&HashMap::new());
    let fallen = scene.messages();
    eventually(PATIENCE, "chat", || if scene.chat() == [STORM, 0] { Ok(()) } else { Err(scene.chat()) });

    let mending = Instant::now();
    client.create_many(&scene.children);
    let mended = Instant::now();
    let last_mended = scene.wait_until_told([1, 1]);
    scene.few_messages_since(&fallen);
    eventually(PATIENCE, "chat", || if scene.chat() == [STORM, STORM] { Ok(()) } else { Err(scene.chat()) });
    scene.pager_is_calm();
    scene.space.wait_for_children("/zk_monitor/zkmonitor/alerts", 0);
    eprintln!(
        "storm: {STORM} broken within {:?}, last told {:?} after; mended within {:?}, last told {:?} after; \
         messages {:?}, then {:?}; peak {} MB, {} threads, {:?} computed",
        changed - start,
        last.saturating_duration_since(changed),
        mended - mending,
        last_mended.saturating_duration_since(mended),
        fallen,
        scene.messages(),
        scene.daemon.peak_kb() / 1024,
        scene.daemon.threads(),
        scene.daemon.cpu_time(),
    );
    // 16 MB of it are this build's executable, and some ten the last events and those that wait for the journal.
    assert!(scene.daemon.peak_kb() < 120 * 1024, "{} KiB", scene.daemon.peak_kb());
}

#[test]
fn ten_thousand_paths_are_told_once_for_each_end_in_few_messages() {
    storm(None);
}

#[test]
fn a_mail_server_that_is_away_in_the_middle_gets_it_all_after() {
    let seconds = std::env::var("ZK_MONITOR_STORM_SECONDS").ok().and_then(|seconds| seconds.parse().ok());
    storm(Some(Duration::from_secs(seconds.unwrap_or(5))));
}

#[test]
fn fifty_at_once_are_told_to_all_of_their_receivers() {
    let mut scene = Scene::new(50);
    let mut client = scene.client();
    client.delete_many(&scene.children);
    scene.wait_until_told([1, 0]);
    client.create_many(&scene.children);
    scene.wait_until_told([1, 1]);
    eventually(PATIENCE, "chat", || if scene.chat() == [50, 50] { Ok(()) } else { Err(scene.chat()) });
    scene.pager_is_calm();
    let pager = scene.sink.requests(PAGERDUTY).len();
    assert_eq!(pager, 100, "each is an event of its own up to fifty");
}
