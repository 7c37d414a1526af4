//! The recipes of the README, against a sink that holds each service's documented shape and limits.

use std::collections::HashSet;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use serde_json::{Value, json};
use zk_monitor::model::message::{About, Item, Kind, Notification};
use zk_monitor::model::notifier::Notifier;
use zk_monitor::model::receiver::Outcome;
use zk_monitor::{config, notify};

use super::common::{Daemon, Folder, HttpSink, Request, SOON, eventually, shared};

/// What a path's data or a team may put into a message.
const ODD: &str = "\"quoted\" \\ <b>&amp;</b>\n@everyone `*_~ 🦀é\u{1}";

/// The recipe whose rule has this path, as it stands in the README.
fn recipe(service: &str) -> String {
    let readme = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let mut blocks = readme.split("```yaml\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    let start = format!("/services/{service}:\n");
    blocks
        .find(|block| block.starts_with(&start))
        .unwrap_or_else(|| panic!("no recipe for {service}"))
        .to_owned()
}

/// A service as its recipe reaches it.
struct Service {
    sink: HttpSink,
    notifier: Box<dyn Notifier>,
    _folder: Folder,
}

impl Service {
    /// Its recipe, with the sink in the place of this URL, or else in the file that holds the service's.
    fn new(name: &str, url: Option<&str>) -> Self {
        let (sink, folder) = (HttpSink::start(), Folder::new(name));
        let recipe = recipe(name);
        let text = url.map_or(recipe.clone(), |url| recipe.replace(url, &sink.url("")));
        folder.write(&format!("{name}-url"), &sink.url("/secret"));
        folder.write("opsgenie-key", "GenieKey k");
        folder.write("ntfy-token", "Bearer t");
        let file = folder.write("zk_monitor.yaml", &text);
        let config = config::load(&file, &|_| None).unwrap_or_else(|errors| panic!("{errors}"));
        assert!(config.warnings.is_empty(), "{:?}", config.warnings);
        let notifier = notify::notifier(&config.receivers[0]);
        Self { sink, notifier, _folder: folder }
    }

    /// What is sent for these items.
    fn told(&mut self, path: &str, items: Vec<Item>) -> Request {
        let known = self.sink.requests(path).len();
        let notification = Notification {
            cluster: format!("prod {ODD}").into(),
            agent: "zk1".into(),
            page: Some("https://zk.example.com:8080".into()),
            items,
        };
        assert_eq!(self.notifier.send(&notification), Outcome::Accepted);
        let mut requests = self.sink.requests_since(path, known);
        assert_eq!(requests.len(), 1, "{requests:?}");
        let request = requests.remove(0);
        assert_eq!(request.headers["content-type"], "application/json");
        request
    }
}

/// One item whose every word is as long as it may be, and holds what breaks templates.
fn item(number: usize, kind: Kind) -> Item {
    let long = |text: &str| format!("{text} {}", ODD.repeat(40));
    Item {
        incident: format!("a1b2c3-{number}").into(),
        path: format!("/services/{number}/{}", long("path")).into(),
        rule: None,
        pattern: None,
        kind,
        about: About::Path,
        message: long("Found data").into(),
        since: UNIX_EPOCH + Duration::from_secs(1_401_553_225),
        until: (!kind.is_firing()).then(|| UNIX_EPOCH + Duration::from_secs(1_401_553_285)),
        children: Some(0),
        left: Default::default(),
        counted: None,
        labels: Arc::new([("severity", "critical")].into_iter().collect()),
        description: Some(long("Call Ada").into()),
        runbook: Some("https://wiki.example.com/web".into()),
        notes: vec![long("a note")],
    }
}

/// An alert, a recovery, and digests of what falls out of spec and comes back together, each with how many items it has.
fn messages() -> Vec<Vec<Item>> {
    let many =
        |count: usize| (0..count).map(|n| item(n, if n % 3 == 2 { Kind::Resolved } else { Kind::Firing }));
    let plain = Item {
        path: "/services/foo".into(),
        message: "Found children (0) less than minimum (1)".into(),
        description: None,
        runbook: None,
        notes: Vec::new(),
        ..item(7, Kind::Firing)
    };
    let over = Item { kind: Kind::Resolved, ..plain.clone() };
    vec![
        vec![plain],
        vec![over],
        vec![item(0, Kind::Firing)],
        vec![item(0, Kind::Resolved)],
        many(40).collect(),
        many(500).collect(),
    ]
}

/// How long a text is to services that count in UTF-16, as their documents and those of JavaScript do.
fn length(text: &Value) -> usize {
    text.as_str().unwrap_or_else(|| panic!("no text: {text}")).encode_utf16().count()
}

/// Holds that a text names what it tells of, and counts what it does not name.
fn tells_all(text: &str, items: &[Item], named: usize) {
    for item in items.iter().take(named) {
        let start: String = item.path.chars().take(20).collect();
        assert!(text.contains(start.trim_end_matches(['"', '\\', ' '])), "{start} in {text}");
    }
    let rest = items.len().saturating_sub(named);
    assert_eq!(text.contains(&format!("and {rest} more")), rest > 0, "{text}");
}

/// <https://learn.microsoft.com/microsoftteams/platform/webhooks-and-connectors/how-to/add-incoming-webhook>: 28 KB, of which
/// some have seen no more than 21 taken; `…/connectors-using`: a message of Adaptive Cards.
#[test]
fn teams_gets_an_adaptive_card() {
    let mut service = Service::new("teams", None);
    for items in messages() {
        let request = service.told("/secret", items.clone());
        assert!(request.body.len() <= 21_000, "{} bytes", request.body.len());
        let message = request.json();
        let card = &message["attachments"][0];
        assert_eq!(
            (&message["type"], message["attachments"].as_array().unwrap().len()),
            (&json!("message"), 1)
        );
        assert_eq!(card["contentType"], "application/vnd.microsoft.card.adaptive");
        let card = &card["content"];
        assert_eq!((&card["type"], &card["version"]), (&json!("AdaptiveCard"), &json!("1.4")));
        let blocks = card["body"].as_array().unwrap();
        assert!(
            blocks.iter().all(|block| block["type"] == "TextBlock" && length(&block["text"]) > 0),
            "{blocks:?}"
        );
        let is_over = items.iter().all(|item| !item.kind.is_firing());
        assert_eq!(blocks[0]["color"], if is_over { "Good" } else { "Attention" });
        let texts: Vec<_> = blocks.iter().filter_map(|block| block["text"].as_str()).collect();
        tells_all(&texts.join("\n"), &items, 12);
    }
}

/// <https://discord.com/developers/docs/resources/webhook#execute-webhook>: `content` of up to 2,000 characters;
/// `allowed_mentions` with nothing to parse mentions nobody.
#[test]
fn discord_gets_a_short_message_that_wakes_nobody() {
    let mut service = Service::new("discord", None);
    for items in messages() {
        let message = service.told("/secret", items.clone()).json();
        assert!((1..=2000).contains(&length(&message["content"])), "{message}");
        assert_eq!(message["allowed_mentions"], json!({"parse": []}));
        tells_all(message["content"].as_str().unwrap(), &items, 10);
    }
    let first = service.sink.requests("/secret").remove(0).json();
    let content = first["content"].as_str().unwrap();
    assert!(
        content.starts_with("🔴 `/services/foo` Found children (0) less than minimum (1)\n(prod "),
        "{content}"
    );
}

/// <https://core.telegram.org/bots/api#sendmessage>: `chat_id`, `text` of 1 to 4,096 characters.
#[test]
fn telegram_gets_a_text() {
    let mut service = Service::new("telegram", None);
    for items in messages() {
        let message = service.told("/secret", items.clone()).json();
        assert!((1..=4096).contains(&length(&message["text"])), "{message}");
        assert!(message["chat_id"].is_i64(), "{message}");
        assert_eq!(message.get("parse_mode"), None, "what looks like markup would be refused");
        tells_all(message["text"].as_str().unwrap(), &items, 20);
    }
}

/// <https://docs.opsgenie.com/docs/alert-api>: create at `/v2/alerts`, close at `/v2/alerts/:alias/close?identifierType=alias`;
/// `message` of 130 characters, `alias` 512, `description` 15,000, `entity` 512, `source` 100, `note` 25,000, `details` 8,000.
#[test]
fn opsgenie_opens_and_closes_an_alert_by_its_alias() {
    let mut service = Service::new("opsgenie", Some("https://api.opsgenie.com"));
    let storm = |kind| (0..500).map(|n| Item { incident: "a1b2c3-9".into(), ..item(n, kind) }).collect();
    for items in [vec![item(3, Kind::Firing)], storm(Kind::Firing), vec![item(3, Kind::Reminder(1))]] {
        let request = service.told("/v2/alerts", items.clone());
        assert_eq!((request.query.as_str(), request.headers["authorization"].as_str()), ("", "GenieKey k"));
        let alert = request.json();
        assert!((1..=130).contains(&length(&alert["message"])), "{alert}");
        assert_eq!(alert["alias"], *items[0].incident);
        assert!(length(&alert["description"]) <= 15_000 && length(&alert["entity"]) <= 512);
        assert!(length(&alert["details"]["cluster"]) <= 8000);
        assert_eq!((&alert["source"], &alert["priority"]), (&json!("zk_monitor"), &json!("P1")));
    }
    for items in [vec![item(3, Kind::Resolved)], storm(Kind::Resolved)] {
        let path = format!("/v2/alerts/{}/close", items[0].incident);
        let request = service.told(&path, items);
        assert_eq!(request.query, "identifierType=alias");
        assert!(length(&request.json()["note"]) <= 25_000);
    }
}

/// The whole way: each path is opened and closed under an alias, and what is told as one is closed as one.
#[test]
fn a_daemon_opens_and_closes_each_alert_at_opsgenie_once() {
    const PATHS: usize = 80;
    let (space, sink, folder) = (shared(), HttpSink::start(), Folder::new("opsgenie-daemon"));
    let key = folder.write("opsgenie-key", "GenieKey k");
    let yaml = recipe("opsgenie")
        .replace("/services/opsgenie:", "/many/*:")
        .replace("https://api.opsgenie.com", &sink.url(""))
        .replace("opsgenie-key", key.to_str().unwrap());
    let mut client = space.client();
    client.create("/many", "");
    let nodes: Vec<_> = (0..PATHS).map(|n| format!("/many/p{n}")).collect();
    let children: Vec<_> = nodes.iter().map(|node| format!("{node}/c")).collect();
    client.create_many(&nodes);
    client.create_many(&children);
    let daemon = Daemon::start(space.address(), &yaml);
    daemon.wait_until_ready();
    daemon.wait_until_it_leads();

    client.delete_many(&children);
    let told = |request: &Request| {
        let message = request.json()["message"].as_str().unwrap().to_owned();
        message.split_once(" paths, ").map_or(1, |(count, _)| count.parse().unwrap())
    };
    eventually(SOON, "an alert of each path", || {
        let told: usize = sink.requests("/v2/alerts").iter().map(told).sum();
        if told >= PATHS { Ok(()) } else { Err(told) }
    });
    let opened = sink.requests("/v2/alerts");
    assert_eq!(opened.iter().map(told).sum::<usize>(), PATHS);
    assert!(opened.iter().any(|request| told(request) > 50), "no storm: {} alerts", opened.len());

    client.create_many(&children);
    space.wait_for_children("/zk_monitor/zkmonitor/alerts", 0);
    let aliases: HashSet<_> =
        opened.iter().map(|request| request.json()["alias"].as_str().unwrap().to_owned()).collect();
    assert_eq!(aliases.len(), opened.len(), "one alias for two alerts");
    for alias in aliases {
        sink.wait_for(&format!("/v2/alerts/{alias}/close"), 1);
    }
    assert_eq!(sink.requests("/v2/alerts").len(), opened.len(), "an end opens nothing");
}

/// <https://docs.ntfy.sh/publish/#publish-as-json>: at the root, with `topic`; a `priority` of 1 to 5, a list of `tags`;
/// <https://docs.ntfy.sh/publish/#limitations>: a message of up to 4,096 bytes.
#[test]
fn ntfy_gets_a_message() {
    let mut service = Service::new("ntfy", Some("https://ntfy.sh"));
    for items in messages() {
        let request = service.told("/", items.clone());
        assert_eq!(request.headers["authorization"], "Bearer t");
        let message = request.json();
        let text = message["message"].as_str().unwrap();
        assert!((1..=4096).contains(&text.len()), "{} bytes", text.len());
        assert_eq!(
            (&message["topic"], &message["click"]),
            (&json!("zookeeper-alerts"), &json!("https://zk.example.com:8080"))
        );
        assert!(
            matches!(message["priority"].as_u64(), Some(1..=5)) && message["tags"][0].is_string(),
            "{message}"
        );
        assert!((1..=250).contains(&length(&message["title"])), "{message}");
        tells_all(text, &items, 8);
    }
}

/// What the README shows is tried with the rest.
#[test]
fn the_readme_shows_a_subject() {
    let readme = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let line = readme.lines().find(|line| line.starts_with("smtp: {subject: ")).unwrap();
    let folder = Folder::new("subject");
    let file =
        folder.write("zk_monitor.yaml", &format!("{line}\n/a: {{children: 1, alerter: {{email: a@b.c}}}}\n"));
    config::load(&file, &|_| None).unwrap_or_else(|errors| panic!("{errors}"));
}
