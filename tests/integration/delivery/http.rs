//! Chat, pagers and webhooks, and what stands between them and the daemon.

use std::time::{Duration, Instant, SystemTime};

use serde_json::{Value, json};

use crate::common::{
    Answer, Authority, Daemon, HttpSink, SOON, SmtpSink, TlsFront, Tunnel, eventually, shared, throughout,
};

const SLACK: &str = "/slack/chat.postMessage";
const HIPCHAT: &str = "/v1/rooms/message";
const PAGERDUTY: &str = "/v2/enqueue";

/// The last error of any receiver.
fn complaint(status: &Value) -> String {
    let receivers = status["receivers"].as_object().unwrap();
    receivers.values().map(|receiver| receiver["last_error"].to_string()).collect()
}

/// A rule for `/bad`, which does not exist, that tells one webhook.
fn hook(url: &str) -> String {
    format!("/bad: {{children: 1, alerter: {{webhook: {{url: \"{url}\"}}}}}}\n")
}

#[test]
fn each_service_is_told_both_ends_whatever_it_answers_at_first() {
    let (space, sink) = (shared(), HttpSink::start());
    let mut client = space.client();
    client.create("/services/foo/a", "");
    let limited = json!({"ok": false, "error": "ratelimited"});
    sink.answer_once(SLACK, Answer::json(&limited).header("Retry-After", "1"));
    sink.answer(SLACK, Answer::json(&json!({"ok": true})));
    sink.answer_once(HIPCHAT, Answer::hang_up());
    sink.answer(HIPCHAT, Answer::json(&json!({"status": "sent"})));
    sink.answer_once(PAGERDUTY, Answer::status(500).body("{\"message\": \"of s3cret-pager\"}"));
    sink.answer(PAGERDUTY, Answer::status(202).body("{\"status\": \"success\"}"));
    sink.answer_once("/hook", Answer::hang_up());
    let yaml = format!(
        "/services/foo:\n  children: 1\n  alerter:\n    slack: {{channel: \"#ops\", token: s3cret-slack, api_url: \
         \"{0}/slack\"}}\n    hipchat: {{room: ops, token: s3cret-hipchat, api_url: \"{0}\"}}\n    pagerduty: \
         {{routing_key: s3cret-pager, api_url: \"{0}\"}}\n    webhook: {{url: \"http://u:s3cret-hook@{1}/hook\"}}\n",
        sink.url(""),
        sink.url("").trim_start_matches("http://"),
    );
    let daemon = Daemon::with(space.address(), &yaml).start();
    daemon.wait_until_it_leads();
    daemon.wait_for("/services/foo", true);
    client.delete("/services/foo/a");
    let paths = [SLACK, HIPCHAT, PAGERDUTY, "/hook"];
    let tries = paths.map(|path| sink.wait_for(path, 2));
    client.create("/services/foo/a", "");
    let all = paths.map(|path| sink.wait_for(path, 3));
    for (path, tries) in paths.iter().zip(&tries) {
        assert_eq!(tries[0].body, tries[1].body, "{path}");
    }
    let [slack, hipchat, pagerduty, hook] = &all;
    assert!(slack[2].json()["text"].as_str().unwrap().starts_with("OK /services/foo: "));
    assert!(hipchat[1].body.contains("color=red") && hipchat[2].body.contains("color=green"));
    let (trigger, resolve) = (pagerduty[1].json(), pagerduty[2].json());
    assert_eq!((&trigger["event_action"], &resolve["event_action"]), (&json!("trigger"), &json!("resolve")));
    assert_eq!(trigger["dedup_key"], resolve["dedup_key"]);
    assert_eq!(hook[0].headers["idempotency-key"], hook[1].headers["idempotency-key"]);
    throughout(Duration::from_secs(2), "told once", || {
        all.iter().zip(paths).all(|(all, path)| sink.requests(path).len() == all.len())
    });
    let shown = [daemon.status().to_string(), daemon.get("/metrics").body, daemon.log().join("\n")].concat();
    assert!(!shown.contains("s3cret"), "{shown}");
}

#[test]
fn a_receiver_that_asks_to_be_left_alone_is() {
    let check = |retry_after: String, least: Duration| {
        let (space, sink) = (shared(), HttpSink::start());
        sink.answer_once("/hook", Answer::status(429).header("Retry-After", &retry_after));
        let _daemon = Daemon::with(space.address(), &hook(&sink.url("/hook"))).start();
        let tries = sink.wait_for("/hook", 2);
        let pause = tries[1].at - tries[0].at;
        assert!(pause >= least, "{retry_after}: tried again after {pause:?}");
    };
    // Without the wish it would have been tried again after a second.
    check("4".to_owned(), Duration::from_secs(4));
    let later = SystemTime::now() + Duration::from_secs(8);
    check(httpdate::fmt_http_date(later), Duration::from_secs(3));
}

#[test]
fn a_redirect_is_no_acceptance_and_the_others_are_told() {
    let (space, sink, mails) = (shared(), HttpSink::start(), SmtpSink::start());
    sink.answer("/hook", Answer::status(302).header("Location", "/elsewhere"));
    let yaml = format!(
        "/bad: {{children: 1, alerter: {{email: you@home.com, webhook: {{url: \"{}\"}}}}}}\n",
        sink.url("/hook")
    );
    let daemon = Daemon::with(space.address(), &yaml).smtp(mails.port()).start();
    eventually(SOON, "mail that tells of the refusal", || {
        mails.mails().iter().any(|mail| mail.body.contains("refused the alert: HTTP 302 Found"))
    });
    throughout(Duration::from_secs(2), "not followed, not tried again", || {
        sink.requests("/hook").len() == 1 && sink.requests("/elsewhere").is_empty()
    });
    assert!(complaint(&daemon.status()).contains("HTTP 302"), "{}", daemon.status());
}

#[test]
fn a_certificate_for_another_name_is_none() {
    let (space, sink, authority) = (shared(), HttpSink::start(), Authority::new());
    let front = TlsFront::start(&authority.issue("DNS:localhost"), sink.port());
    let yaml = format!(
        "/bad: {{children: 1, alerter: {{webhook: [{{url: \"{}\"}}, {{url: \"{}\"}}]}}}}\n",
        front.url("127.0.0.1", "/wrong"),
        front.url("localhost", "/right")
    );
    let daemon = Daemon::with(space.address(), &yaml)
        .env("SSL_CERT_FILE", &authority.ca().display().to_string())
        .start();
    daemon.wait_until("complaint about the name", |status| complaint(status).contains("is for another name"));
    assert_eq!(sink.wait_for("/right", 1)[0].json()["status"], "firing");
    assert!(sink.requests("/wrong").is_empty());
}

#[test]
fn a_receiver_can_have_an_authority_of_its_own() {
    let (space, sink, authority) = (shared(), HttpSink::start(), Authority::new());
    sink.answer("/chat", Answer::status(200).body("ok"));
    let front = TlsFront::start(&authority.issue("DNS:localhost"), sink.port());
    let (ca, url) = (authority.ca().display().to_string(), |path: &str| front.url("localhost", path));
    let yaml = format!(
        "/bad:\n  children: 1\n  alerter:\n    webhook: [{{url: \"{}\", ca_file: {ca}}}, {{url: \"{}\"}}]\n    \
         alertmanager: {{url: \"{}\", ca_file: {ca}}}\n    slack: {{webhook_url: \"{}\", ca_file: {ca}}}\n    \
         pagerduty: {{routing_key: k, api_url: \"{}\", ca_file: {ca}}}\n",
        url("/mine"),
        url("/system"),
        url("/am"),
        url("/chat"),
        url("")
    );
    let daemon = Daemon::with(space.address(), &yaml).start();
    for path in ["/mine", "/chat", PAGERDUTY] {
        sink.wait_for(path, 1);
    }
    // A new leader refreshes what is open, so that there may be a second one.
    eventually(SOON, "alert", || !sink.requests("/am/api/v2/alerts").is_empty());
    daemon.wait_until("complaint about the authority", |status| {
        complaint(status).contains("unknown authority")
    });
    assert!(sink.requests("/system").is_empty(), "who names no authority trusts the system's");
}

#[test]
fn a_proxy_is_taken_from_the_environment() {
    let (space, sink) = (shared(), HttpSink::start());
    let tunnel = Tunnel::to(&format!("127.0.0.1:{}", sink.port()));
    let yaml = format!(
        "/bad:\n  children: 1\n  alerter:\n    webhook: {{url: \"http://hooks.example.net/far\"}}\n    slack: \
         {{webhook_url: \"{}\"}}\n",
        sink.url("/near")
    );
    let proxy = format!("http://user:s3cret@127.0.0.1:{}", tunnel.port());
    let daemon = Daemon::with(space.address(), &yaml)
        .env("HTTP_PROXY", &proxy)
        .env("NO_PROXY", "localhost, 127.0.0.1")
        .start();
    assert_eq!(sink.wait_for("/far", 1)[0].headers["host"], "hooks.example.net");
    sink.wait_for("/near", 1);
    let heads = tunnel.heads();
    assert_eq!(heads.len(), 1, "{heads:?}");
    assert!(heads[0].starts_with("CONNECT hooks.example.net:80 "), "{heads:?}");
    assert!(heads[0].contains("Proxy-Authorization: Basic dXNlcjpzM2NyZXQ="), "{heads:?}");
    assert!(!daemon.log_contains("s3cret"));
}

#[test]
fn a_silent_receiver_delays_no_other_and_not_the_end() {
    use crate::common::Manner;
    for manner in [Manner::Silent, Manner::Tarpit(Duration::from_secs(1))] {
        let (space, sink, mails) = (shared(), HttpSink::start(), SmtpSink::start());
        mails.behave(manner.clone());
        sink.answer("/silent", Answer::hang());
        sink.answer("/chat", Answer::status(200).body("ok"));
        let mut client = space.client();
        client.create("/services/foo/a", "");
        let yaml = format!(
            "/services/foo: {{children: 1, alerter: {{email: you@home.com, webhook: {{url: \"{}\"}}, slack: \
             {{webhook_url: \"{}\"}}}}}}\n",
            sink.url("/silent"),
            sink.url("/chat")
        );
        let mut daemon = Daemon::with(space.address(), &yaml).smtp(mails.port()).start();
        daemon.wait_until_it_leads();
        daemon.wait_for("/services/foo", true);
        client.delete("/services/foo/a");
        let changed = Instant::now();
        sink.wait_for("/silent", 1);
        let told = sink.wait_for("/chat", 1)[0].at - changed;
        assert!(told < Duration::from_secs(3), "{manner:?}: the chat was told after {told:?}");
        client.create("/services/foo/a", "");
        sink.wait_for("/chat", 2);
        let stopped = Instant::now();
        assert_eq!(daemon.stop(), Some(0));
        let took = stopped.elapsed();
        assert!(took < Duration::from_secs(3), "{manner:?}: ended after {took:?}");
    }
}
