//! What an HTTP answer, or the lack of one, means.

use std::time::Duration;

use super::sink::{Act, http, no_host, nobody, slow_reader};
use super::{LIMIT, SECRET, SHORT, attempt, firing, kind};
use crate::clock;
use crate::model::receiver::{Outcome, Secret, Settings, Slack, Webhook};
use crate::notify::heartbeat;
use crate::notify::http::Client;

fn webhook(address: &str) -> Settings {
    let url = Secret::new(format!("http://user:{SECRET}@{address}/hook/{SECRET}"));
    Settings::Webhook(Webhook { url, headers: Vec::new(), secret: None, template: None })
}

fn slack(address: &str) -> Settings {
    let url = Secret::new(format!("http://{address}/{SECRET}"));
    Settings::Slack(Slack::Webhook { url, channel: None, from: None })
}

fn check(act: Act, limit: Duration, expected: &str) {
    let (address, _requests) = http(vec![act]);
    let outcome = attempt(webhook(&address), &firing(), limit);
    assert_eq!(kind(&outcome), expected, "{act:?} gave {outcome:?}");
}

#[test]
fn a_status_tells_what_became_of_the_request() {
    let check = |answer, expected| check(Act::Say(answer), LIMIT, expected);
    check("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "accepted");
    check("HTTP/1.1 202 Accepted\r\nContent-Length: 2\r\n\r\nok", "accepted");
    check("HTTP/1.1 204 No Content\r\n\r\n", "accepted");
    check("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n", "refused");
    check("HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n", "refused");
    check("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n", "refused");
    check("HTTP/1.1 404 s3cret ops@example.com\r\nContent-Length: 0\r\n\r\n", "refused");
    check("HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n", "failed");
    check("HTTP/1.1 425 Too Early\r\nContent-Length: 0\r\n\r\n", "failed");
    check("HTTP/1.1 429 Too Many Requests\r\nContent-Length: 0\r\n\r\n", "failed");
    check("HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n", "failed");
    check("HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n", "failed");
    check("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n", "failed");
    check("HTTP/1.1 504 Gateway Timeout\r\nContent-Length: 0\r\n\r\n", "ambiguous");
}

#[test]
fn a_redirect_is_not_followed() {
    for status in ["301 Moved", "302 Found", "303 See Other", "307 Temporary", "308 Permanent"] {
        let text = format!("HTTP/1.1 {status}\r\nLocation: /other\r\nContent-Length: 0\r\n\r\n");
        let (address, requests) = http(vec![Act::Say(text.leak()), Act::Say("HTTP/1.1 200 OK\r\n\r\n")]);
        assert_eq!(kind(&attempt(webhook(&address), &firing(), LIMIT)), "refused", "{status}");
        assert_eq!((requests.try_iter().count(), status), (1, status));
    }
}

#[test]
fn a_lost_answer_is_ambiguous() {
    check(Act::Close, LIMIT, "ambiguous");
    check(Act::Silence, SHORT, "ambiguous");
    check(Act::Say("hello\r\n\r\n"), LIMIT, "ambiguous");
    check(Act::Endless("HTTP/1.1 200 OK\r\nX: "), LIMIT, "ambiguous");
    check(Act::Drip("HTTP/1.1 200 OK\r\nX: "), SHORT, "ambiguous");
}

#[test]
fn what_was_not_handed_over_has_failed() {
    let outcome = attempt(webhook(&nobody().to_string()), &firing(), LIMIT);
    assert_eq!(outcome, Outcome::Failed { reason: "connection refused".into(), retry_after: None });

    let unknown = attempt(webhook(&no_host()), &firing(), LIMIT);
    let reason = "the host name cannot be resolved".into();
    assert_eq!(unknown, Outcome::Failed { reason, retry_after: None });

    for odd in ["", "no url", "ftp://host/", "http://", "http://a b/"] {
        let settings =
            Webhook { url: Secret::new(odd.into()), headers: Vec::new(), secret: None, template: None };
        assert_eq!(kind(&attempt(Settings::Webhook(settings), &firing(), LIMIT)), "failed", "{odd:?}");
    }
}

#[test]
fn a_server_that_takes_no_tls_has_taken_nothing() {
    let (address, _requests) = http(vec![Act::Say("HTTP/1.1 400 Bad Request\r\n\r\n")]);
    let url = Secret::new(format!("https://{address}/{SECRET}"));
    let settings = Settings::Webhook(Webhook { url, headers: Vec::new(), secret: None, template: None });
    let outcome = attempt(settings, &firing(), SHORT);
    assert_eq!(kind(&outcome), "failed", "{outcome:?}");
}

#[test]
fn a_server_that_hardly_reads_is_left_at_the_deadline() {
    let client = Client::new(&format!("http://{}/", slow_reader()), SHORT, None);
    let body = vec![b'x'; 64 << 20];
    let start = clock::mono();
    let outcome = client.post(&[], &body).map(drop).unwrap_err();
    let took = clock::mono() - start;
    assert_eq!(kind(&outcome), "failed", "{outcome:?}");
    assert!((SHORT..SHORT * 2).contains(&took), "{took:?}");
}

#[test]
fn a_body_without_end_neither_hangs_nor_grows() {
    const HEAD: &str = "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n";
    check(Act::Endless(HEAD), LIMIT, "accepted");
    check(Act::Drip(HEAD), LIMIT, "accepted");

    // Slack may say that it did not take it.
    let check = |act, limit, expected| {
        let (address, _requests) = http(vec![act]);
        let start = clock::mono();
        assert_eq!(kind(&attempt(slack(&address), &firing(), limit)), expected, "{act:?}");
        clock::mono() - start
    };
    assert!(check(Act::Endless(HEAD), LIMIT, "accepted") < LIMIT / 2);
    check(Act::Drip(HEAD), Duration::from_secs(2), "ambiguous");
}

#[test]
fn retry_after_is_honoured() {
    let check = |status: &str, value: String, expected: std::ops::RangeInclusive<u64>| {
        let text = format!("HTTP/1.1 {status}\r\nRetry-After: {value}\r\nContent-Length: 0\r\n\r\n");
        let (address, _requests) = http(vec![Act::Say(text.leak())]);
        let outcome = attempt(webhook(&address), &firing(), LIMIT);
        let Outcome::Failed { retry_after: Some(after), .. } = outcome else {
            panic!("{value} gave {outcome:?}");
        };
        assert!(expected.contains(&after.as_secs()), "{value} gave {after:?}");
    };
    check("429 Too Many Requests", "17".into(), 17..=17);
    check("503 Service Unavailable", "86400".into(), 3600..=3600);
    let date = |time| httpdate::fmt_http_date(time);
    let now = clock::wall();
    check("429 Too Many Requests", date(now + Duration::from_secs(100)), 80..=100);
    // By the receiver's clock, where it tells what that shows.
    let theirs = now - Duration::from_secs(3000);
    let both = format!("{}\r\nDate: {}", date(theirs + Duration::from_secs(50)), date(theirs));
    check("429 Too Many Requests", both, 50..=50);
}

#[test]
fn a_heartbeat_is_a_get() {
    let (address, requests) = http(vec![Act::Say("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")]);
    assert_eq!(heartbeat(&Secret::new(format!("http://{address}/ping/{SECRET}"))), Outcome::Accepted);
    assert_eq!(requests.recv().unwrap().line, format!("GET /ping/{SECRET} HTTP/1.1"));

    let (address, _requests) = http(vec![Act::Say("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")]);
    assert_eq!(kind(&heartbeat(&Secret::new(format!("http://{address}/")))), "refused");
}
