//! What each HTTP receiver is sent, exactly, and what it makes of the answers of its kind.

use std::sync::Arc;

use serde_json::{Value, json};

use super::sink::{Act, Request, http};
use super::{LIMIT, SECRET, attempt, firing, item, kind, notification};
use crate::model::judge::Compiled;
use crate::model::message::{Kind, Notification};
use crate::model::receiver::{
    Alertmanager, HipChat, Outcome, PagerDuty, Renderer, Secret, Settings, Slack, Template, Webhook,
};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

/// Sends and returns the requests that arrived.
fn sent(
    settings: impl FnOnce(String) -> Settings,
    notification: &Notification,
    answers: &[&'static str],
) -> Vec<Request> {
    let (address, requests) = http(answers.iter().map(|answer| Act::Say(answer)).collect());
    let outcome = attempt(settings(format!("http://{address}")), notification, LIMIT);
    assert_eq!(kind(&outcome), "accepted", "{outcome:?}");
    // Alertmanager is asked for its time first.
    requests.try_iter().filter(|request| request.body != b"[]").collect()
}

/// Sends, has this answered, and returns the kind of the outcome.
fn answered(settings: impl FnOnce(String) -> Settings, status: &str, body: &str) -> &'static str {
    let text = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    let (address, _requests) = http(vec![Act::Say(text.leak())]);
    kind(&attempt(settings(format!("http://{address}")), &firing(), LIMIT))
}

fn slack_api(api_url: String) -> Settings {
    let (token, from) = (Secret::new(SECRET.into()), Some("zk".into()));
    Settings::Slack(Slack::Api { api_url, channel: "#ops".into(), token, from })
}

fn slack_webhook(url: String) -> Settings {
    let url = Secret::new(format!("{url}/services/{SECRET}"));
    Settings::Slack(Slack::Webhook { url, channel: None, from: None })
}

fn hipchat(api_url: String) -> Settings {
    let token = Secret::new(format!("{SECRET}&x"));
    Settings::HipChat(HipChat { api_url, room: "Ops & Co".into(), token, from: "zk_monitor_at_home".into() })
}

fn webhook(url: String) -> Settings {
    let headers = vec![("X-Team".to_owned(), Secret::new(SECRET.into()))];
    let url = Secret::new(format!("{url}/hook"));
    Settings::Webhook(Webhook { url, headers, secret: Some(Secret::new("key".into())), template: None })
}

fn alertmanager(url: String) -> Settings {
    let url = url.replace("http://", &format!("http://zk:{SECRET}@"));
    Settings::Alertmanager(Alertmanager { url: Secret::new(format!("{url}/prefix/")) })
}

fn pagerduty(api_url: String) -> Settings {
    Settings::PagerDuty(PagerDuty { api_url, routing_key: Secret::new(SECRET.into()) })
}

/// A renderer that is what the configuration makes of a template.
fn renderer(run: fn(&str) -> Result<String, String>) -> Compiled<Renderer> {
    Compiled { source: "".into(), run: Arc::new(run) }
}

fn with_template(url: String, body: fn(&str) -> Result<String, String>, path: &'static str) -> Settings {
    let Settings::Webhook(webhook) = webhook(url) else { panic!("another kind") };
    let path: Renderer = Arc::new(move |_| Ok(path.to_owned()));
    let path = Some(Compiled { source: "".into(), run: path });
    let content_type = "text/plain; charset=utf-8".to_owned();
    let template = Some(Template { body: renderer(body), content_type, path, digest: true });
    Settings::Webhook(Webhook { template, ..webhook })
}

#[test]
fn a_template_makes_what_is_sent_and_signed() {
    let shorten = |body: &str| Ok(body.chars().filter(|c| "0123456789".contains(*c)).take(8).collect());
    let requests = sent(|url| with_template(url, shorten, "/end?a=b"), &firing(), &[OK]);
    let plain = sent(webhook, &firing(), &[OK]);
    let [request, plain] = [&requests[0], &plain[0]];
    assert_eq!(request.line, "POST /hook/end?a=b HTTP/1.1");
    assert_eq!(request.header("Content-Type"), Some("text/plain; charset=utf-8"));
    assert_eq!(request.header("Idempotency-Key"), plain.header("Idempotency-Key"));
    let given = String::from_utf8(plain.body.clone()).unwrap();
    let expected: String = given.chars().filter(char::is_ascii_digit).take(8).collect();
    assert_eq!(String::from_utf8(request.body.clone()).unwrap(), expected);
    let signature = format!("sha256={}", crate::notify::encode::signature("key", expected.as_bytes()));
    assert_eq!(request.header("X-Zk-Monitor-Signature"), Some(signature.as_str()));
}

#[test]
fn a_template_that_fails_is_a_refusal() {
    let settings = with_template("http://127.0.0.1:1".into(), |_| Err("its template fails".into()), "");
    let outcome = attempt(settings, &firing(), LIMIT);
    assert_eq!(outcome, Outcome::Refused { reason: "its template fails".into() });
}

#[test]
fn slack_api_message() {
    let answer = "HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n{\"ok\":true}";
    let odd = notification(vec![item("/a<b>&c", Kind::Firing)]);
    let requests = sent(slack_api, &odd, &[answer]);
    assert_eq!(requests[0].line, "POST /chat.postMessage HTTP/1.1");
    assert_eq!(requests[0].header("Authorization"), Some("Bearer s3cret"));
    assert_eq!(requests[0].header("Content-Type"), Some("application/json; charset=utf-8"));
    assert_eq!(
        requests[0].json(),
        json!({
            "text": "ALERT /a&lt;b&gt;&amp;c: Found children (0) less than minimum (1)\nLeft: a, b\nCall Ada\n\
                     Runbook: https://wiki.example.com/web#down\nPage: http://host:8080",
            "mrkdwn": false,
            "unfurl_links": false,
            "channel": "#ops",
            "username": "zk",
        })
    );
}

#[test]
fn slack_api_answers() {
    let check = |body, expected| assert_eq!(answered(slack_api, "200 OK", body), expected, "{body}");
    check(r#"{"ok":true}"#, "accepted");
    check(r#"{"ok":false,"error":"channel_not_found"}"#, "refused");
    check(r#"{"ok":false,"error":"invalid_auth"}"#, "refused");
    check(r#"{"ok":false,"error":"s3cret and ops@example.com"}"#, "failed");
    check(r#"{"ok":false,"error":"ratelimited"}"#, "failed");
    check(r#"{"ok":false,"error":"service_unavailable"}"#, "failed");
    check(r#"{"ok":false,"error":"fatal_error"}"#, "ambiguous");
    check(r#"{"ok":fal"#, "accepted");
    check("", "accepted");
}

#[test]
fn slack_webhook_message_and_answers() {
    let requests = sent(slack_webhook, &firing(), &["HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"]);
    assert_eq!(requests[0].line, "POST /services/s3cret HTTP/1.1");
    assert_eq!(
        requests[0].json(),
        json!({
            "text": "ALERT /services/foo: Found children (0) less than minimum (1)\nLeft: a, b\nCall Ada\n\
                     Runbook: https://wiki.example.com/web#down\nPage: http://host:8080",
            "mrkdwn": false,
            "unfurl_links": false,
        })
    );
    let check =
        |status, body, expected| assert_eq!(answered(slack_webhook, status, body), expected, "{body}");
    check("200 OK", "ok\n", "accepted");
    check("200 OK", r#"{"success":true}"#, "accepted");
    check("200 OK", r#"{"ok":false,"error":"is_archived"}"#, "refused");
    check("200 OK", r#"{"ok":false,"error":"ratelimited"}"#, "failed");
    check("200 OK", r#"{"success":false}"#, "failed");
    check("200 OK", "", "accepted");
    check("202 Accepted", "queued", "accepted");
    check("200 OK", "[]", "accepted");
    check("404 Not Found", "no_service", "refused");
    check("500 Internal Server Error", "rollup_error", "failed");
}

#[test]
fn hipchat_message_and_answers() {
    let answer = "HTTP/1.1 200 OK\r\nContent-Length: 17\r\n\r\n{\"status\":\"sent\"}";
    let requests = sent(hipchat, &firing(), &[answer]);
    assert_eq!(requests[0].line, "POST /v1/rooms/message?format=json&auth_token=s3cret%26x HTTP/1.1");
    assert_eq!(requests[0].header("Content-Type"), Some("application/x-www-form-urlencoded"));
    assert_eq!(
        String::from_utf8_lossy(&requests[0].body),
        "room_id=Ops+%26+Co&from=zk_monitor_at_\
         &message=ALERT+%2Fservices%2Ffoo%3A+Found+children+%280%29+less+than+minimum+%281%29\
         %0ALeft%3A+a%2C+b%0ACall+Ada%0ARunbook%3A+https%3A%2F%2Fwiki.example.com%2Fweb%23down\
         %0APage%3A+http%3A%2F%2Fhost%3A8080&message_format=text&color=red&notify=1"
    );
    let check = |status, body, expected| assert_eq!(answered(hipchat, status, body), expected, "{body}");
    check("200 OK", "hello", "accepted");
    check("200 OK", "", "accepted");
    check("200 OK", r#"{"status":"queued"}"#, "accepted");
    check("200 OK", r#"{"error":{"code":503}}"#, "failed");
    check("401 Unauthorized", "", "refused");
    check("429 Too Many Requests", "", "failed");
}

#[test]
fn hipchat_colors() {
    let check = |kinds: &[Kind], expected: &str| {
        let items = kinds.iter().map(|kind| item("/p", *kind)).collect();
        let answer = "HTTP/1.1 200 OK\r\nContent-Length: 17\r\n\r\n{\"status\":\"sent\"}";
        let body = sent(hipchat, &notification(items), &[answer]).remove(0).body;
        assert!(String::from_utf8_lossy(&body).contains(&format!("&color={expected}&")), "{kinds:?}");
    };
    check(&[Kind::Reminder(3)], "red");
    check(&[Kind::Resolved, Kind::Late], "green");
    check(&[Kind::Resolved, Kind::Firing], "yellow");
    check(&[Kind::Test], "yellow");
}

fn webhook_alert(status: &str, ends: &str) -> Value {
    json!({
        "status": status,
        "labels": labels("/services/foo"),
        "annotations": annotations("i1"),
        "startsAt": "2014-05-31T16:20:25Z",
        "endsAt": ends,
        "generatorURL": "http://host:8080",
        "fingerprint": "5fed3799e0288956",
    })
}

fn labels(path: &str) -> Value {
    json!({
        "alertname": "ZooKeeperPathOutOfSpec",
        "path": path,
        "cluster": "c",
        "severity": "critical",
        "team": "web",
    })
}

fn annotations(incident: &str) -> Value {
    json!({
        "message": "Found children (0) less than minimum (1)",
        "description": "Call Ada",
        "incident": incident,
        "children": "0",
        "left": "a, b",
        "runbook_url": "https://wiki.example.com/web#down",
    })
}

#[test]
fn webhook_message() {
    let requests = sent(webhook, &firing(), &[OK]);
    assert_eq!(requests[0].line, "POST /hook HTTP/1.1");
    assert_eq!(requests[0].header("Content-Type"), Some("application/json"));
    assert_eq!(requests[0].header("Idempotency-Key"), Some("i1:firing:0"));
    assert_eq!(requests[0].header("X-Team"), Some("s3cret"));
    let mac = ring::hmac::sign(&ring::hmac::Key::new(ring::hmac::HMAC_SHA256, b"key"), &requests[0].body);
    let expected: String = mac.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(requests[0].header("X-Zk-Monitor-Signature"), Some(&*format!("sha256={expected}")));
    let group = json!({"alertname": "ZooKeeperPathOutOfSpec", "path": "/services/foo", "cluster": "c"});
    assert_eq!(
        requests[0].json(),
        json!({
            "version": "4",
            "groupKey": r#"{}:{alertname="ZooKeeperPathOutOfSpec", cluster="c", path="/services/foo"}"#,
            "status": "firing",
            "receiver": "the receiver",
            "groupLabels": group,
            "commonLabels": labels("/services/foo"),
            "commonAnnotations": annotations("i1"),
            "externalURL": "http://host:8080",
            "alerts": [webhook_alert("firing", "0001-01-01T00:00:00Z")],
        })
    );
}

#[test]
fn a_recovery_by_webhook_is_of_the_same_group() {
    let body = sent(webhook, &firing(), &[OK])[0].json();
    let recovery = sent(webhook, &notification(vec![item("/services/foo", Kind::Resolved)]), &[OK]);
    assert_eq!(recovery[0].header("Idempotency-Key"), Some("i1:resolved:0"));
    assert_eq!(recovery[0].json()["groupKey"], body["groupKey"]);
    assert_eq!(recovery[0].json()["alerts"], json!([webhook_alert("resolved", "2014-05-31T16:21:25Z")]));
}

#[test]
fn a_digest_by_webhook_holds_every_alert_and_what_they_share() {
    let mut items: Vec<_> = (0..300).map(|n| item(&format!("/p{n}"), Kind::Resolved)).collect();
    items[7].kind = Kind::Reminder(1);
    let requests = sent(webhook, &notification(items), &[OK]);
    let body = requests[0].json();
    assert_eq!(requests[0].header("Idempotency-Key").map(str::len), Some(64));
    assert_eq!(body["alerts"].as_array().map(Vec::len), Some(300));
    assert_eq!(body["status"], "firing");
    assert_eq!(body["alerts"][8]["status"], "resolved");
    let common = json!({
        "alertname": "ZooKeeperPathOutOfSpec", "cluster": "c", "severity": "critical", "team": "web",
    });
    assert_eq!(body["commonLabels"], common);
    assert_eq!(body["groupKey"], r#"{}:{alertname="ZooKeeperPathOutOfSpec", cluster="c"}"#);
}

#[test]
fn messages_have_names_of_their_own() {
    let key = |kind, notes: &[&str]| {
        let mut item = item("/p", kind);
        item.notes = notes.iter().map(|note| (*note).to_owned()).collect();
        sent(webhook, &notification(vec![item]), &[OK])[0].header("Idempotency-Key").map(str::to_owned)
    };
    assert_eq!(key(Kind::Reminder(2), &[]).as_deref(), Some("i1:reminder:2"));
    assert_eq!(key(Kind::Late, &[]).as_deref(), Some("i1:resolved:0"));
    let notice = key(Kind::Notice, &["slack refused"]);
    assert!(notice.as_ref().is_some_and(|key| key.starts_with("i1:notice:")), "{notice:?}");
    assert_ne!(notice, key(Kind::Notice, &["email refused"]));
}

#[test]
fn alertmanager_message() {
    let requests = sent(alertmanager, &notification(vec![item("/p", Kind::Resolved)]), &[OK, OK]);
    assert_eq!(requests[0].line, "POST /prefix/api/v2/alerts HTTP/1.1");
    assert_eq!(requests[0].header("Authorization"), Some("Basic ems6czNjcmV0"));
    let labels = labels("/p");
    assert_eq!(
        requests[0].json(),
        json!([{
            "labels": labels,
            "annotations": annotations("i1"),
            "startsAt": "2014-05-31T16:20:25Z",
            "endsAt": "2014-05-31T16:21:25Z",
            "generatorURL": "http://host:8080",
        }])
    );
    let firing = sent(alertmanager, &notification(vec![item("/p", Kind::Refresh)]), &[OK, OK])[0].json();
    assert_eq!(firing[0]["labels"], labels);
    assert_eq!(firing[0]["startsAt"], "2014-05-31T16:20:25Z");
    let from = crate::model::rfc3339::rfc3339(crate::clock::wall());
    assert!(firing[0]["endsAt"].as_str().is_some_and(|ends| ends > from.as_str()), "{firing}");
}

#[test]
fn alertmanager_is_told_times_of_its_own_clock() {
    const THEN: &str =
        "HTTP/1.1 400 Bad Request\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nContent-Length: 0\r\n\r\n";
    let body = |kind| sent(alertmanager, &notification(vec![item("/p", kind)]), &[THEN, OK])[0].json();
    let firing = body(Kind::Firing);
    assert!(firing[0]["startsAt"].as_str().is_some_and(|begins| begins.starts_with("1994-11-06T08:4")));
    assert!(
        firing[0]["endsAt"].as_str().is_some_and(|ends| ends.starts_with("1994-11-06T09:04")),
        "{firing}"
    );
    let resolved = body(Kind::Resolved);
    assert!(resolved[0]["endsAt"].as_str().is_some_and(|ends| ends.starts_with("1994-11-06T08:49")));
}

#[test]
fn an_alertmanager_that_does_not_tell_the_time_was_sent_no_alert() {
    let (address, requests) = http(vec![Act::Close]);
    let outcome = attempt(alertmanager(format!("http://{address}")), &firing(), LIMIT);
    assert_eq!(kind(&outcome), "failed", "{outcome:?}");
    assert_eq!(requests.try_iter().map(|request| request.body).collect::<Vec<_>>(), [b"[]"]);
}

#[test]
fn what_there_is_nothing_to_say_of_is_left_out() {
    let mut bare = item("/p", Kind::Firing);
    (bare.description, bare.runbook, bare.children, bare.left) = (None, None, None, Default::default());
    let body = sent(webhook, &notification(vec![bare]), &[OK])[0].json();
    let annotations = json!({"message": "Found children (0) less than minimum (1)", "incident": "i1"});
    assert_eq!(body["alerts"][0]["annotations"], annotations);
}

#[test]
fn an_incident_of_a_version_without_labels_has_none() {
    let mut item = item("/p", Kind::Resolved);
    item.labels = std::sync::Arc::default();
    (item.runbook, item.rule) = (None, Some("page".into()));
    let body = sent(alertmanager, &notification(vec![item]), &[OK, OK])[0].json();
    // A rule that got its name while the incident was open does not name it.
    assert_eq!(
        body[0]["labels"],
        json!({"alertname": "ZooKeeperPathOutOfSpec", "path": "/p", "cluster": "c"})
    );
    assert_eq!(body[0]["annotations"].get("runbook_url"), None);
}

#[test]
fn a_test_alert_is_marked_and_apart() {
    let body = sent(alertmanager, &notification(vec![item("/p", Kind::Test)]), &[OK, OK])[0].json();
    assert_eq!(body[0]["labels"]["test"], "true");
    let message = body[0]["annotations"]["message"].as_str();
    assert!(message.is_some_and(|message| message.starts_with("This is only a test")), "{message:?}");
}

#[test]
fn pagerduty_events() {
    const TAKEN: &str = "HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n";
    let event = |action: &str| json!({"routing_key": "s3cret", "dedup_key": "i1", "event_action": action, "client": "zk_monitor"});
    let requests = sent(pagerduty, &firing(), &[TAKEN]);
    assert_eq!(requests[0].line, "POST /v2/enqueue HTTP/1.1");
    let mut trigger = event("trigger");
    trigger["payload"] = json!({
        "summary": "/services/foo: Found children (0) less than minimum (1)",
        "source": "host-1",
        "severity": "critical",
        "timestamp": "2014-05-31T16:20:25Z",
        "component": "/services/foo",
        "group": "c",
        "class": "ZooKeeperPathOutOfSpec",
        "custom_details": annotations("i1"),
    });
    trigger["payload"]["custom_details"]["labels"] = labels("/services/foo");
    trigger["client_url"] = "http://host:8080".into();
    trigger["links"] = json!([{"href": "https://wiki.example.com/web#down", "text": "Runbook"}]);
    assert_eq!(requests[0].json(), trigger);

    let resolved = sent(pagerduty, &notification(vec![item("/p", Kind::Resolved)]), &[TAKEN]);
    assert_eq!(resolved[0].json(), event("resolve"));

    let late = sent(pagerduty, &notification(vec![item("/p", Kind::Late)]), &[TAKEN, TAKEN]);
    let actions: Vec<Value> = late.iter().map(|request| request.json()["event_action"].clone()).collect();
    assert_eq!(actions, ["trigger", "resolve"]);
}

#[test]
fn a_storm_is_one_event_by_pagerduty() {
    const TAKEN: &str = "HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n";
    let storm = |kind| {
        let items = (0..60).map(|n| item(&format!("/p{n}"), kind)).collect();
        sent(pagerduty, &notification(items), &[TAKEN]).remove(0).json()
    };
    let (begin, end) = (storm(Kind::Firing), storm(Kind::Resolved));
    assert_eq!((&begin["payload"]["severity"], &end["payload"]), (&json!("critical"), &Value::Null));
    assert_eq!(begin["links"].as_array().map(Vec::len), Some(1), "the same runbook once");
    assert_eq!(begin["payload"]["summary"], "60 paths of c are out of spec");
    assert_eq!((&begin["event_action"], &end["event_action"]), (&json!("trigger"), &json!("resolve")));
    let last = sent(pagerduty, &notification(vec![item("/p1", Kind::Resolved)]), &[TAKEN]).remove(0).json();
    assert_eq!(last["dedup_key"], begin["dedup_key"], "the end of what is left of it");
    assert_eq!(end["dedup_key"], begin["dedup_key"]);
    let late = notification((0..60).map(|n| item(&format!("/p{n}"), Kind::Late)).collect());
    let late = sent(pagerduty, &late, &[TAKEN, TAKEN]);
    let actions: Vec<Value> = late.iter().map(|request| request.json()["event_action"].clone()).collect();
    assert_eq!(actions, ["trigger", "resolve"]);
}

#[test]
fn pagerduty_bounds_its_summary_and_hides_its_key() {
    const TAKEN: &str = "HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n";
    let body = sent(pagerduty, &notification(vec![item(&"/ü".repeat(2_000), Kind::Firing)]), &[TAKEN]);
    assert_eq!(body[0].json()["payload"]["summary"].as_str().map(|text| text.chars().count()), Some(1024));
    let answer = r#"{"message":"bad event","errors":["'routing_key' s3cret is incorrect"]}"#;
    assert_eq!(answered(pagerduty, "400 Bad Request", answer), "refused");
    assert_eq!(answered(pagerduty, "429 Too Many Requests", ""), "failed");
}
