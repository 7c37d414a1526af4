//! The mails themselves: their headers, as a mailer decodes them, and their names.

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use super::{firing, item, notification};
use crate::model::judge::Compiled;
use crate::model::message::{Kind, Notification};
use crate::model::receiver::{Email, Renderer, Smtp, SmtpTls};
use crate::notify::email::compose;

fn settings(address: &str, from: &str) -> Email {
    let (host, from) = ("localhost".into(), from.into());
    let smtp = Smtp {
        host,
        port: 25,
        tls: SmtpTls::None,
        ca: None,
        credentials: None,
        from,
        hello: None,
        subject: None,
    };
    Email { address: address.into(), smtp: Arc::new(smtp) }
}

/// A mail as it travels.
fn mail(notification: &Notification) -> String {
    let date = UNIX_EPOCH + Duration::from_secs(1_401_553_225);
    let mail = compose(&settings("ops@example.com", "zk@example.com"), "email", notification, date).unwrap();
    String::from_utf8(mail.content).unwrap()
}

#[test]
fn a_template_makes_the_subject_or_the_usual_one_stands() {
    let check = |run: fn(&str) -> Result<String, String>, expected: &str| {
        let mut settings = settings("ops@example.com", "zk@example.com");
        let subject: Compiled<Renderer> = Compiled { source: "".into(), run: Arc::new(run) };
        Arc::make_mut(&mut settings.smtp).subject = Some(subject);
        let mail = compose(&settings, "email", &firing(), UNIX_EPOCH).unwrap();
        let mail = String::from_utf8(mail.content).unwrap();
        assert_eq!(header(&mail, "Subject").as_deref(), Some(expected));
    };
    check(|body| Ok(format!("{} of the body", body.find("version").is_some())), "true of the body");
    check(|_| Ok("é".into()), "=?utf-8?q?=C3=A9?=");
    check(|_| Err("it fails".into()), "Warning! /services/foo has an alert!");
}

/// The headers, unfolded.
fn headers(mail: &str) -> Vec<(String, String)> {
    let head = mail.split("\r\n\r\n").next().unwrap().replace("\r\n ", " ");
    let pair = |line: &str| line.split_once(": ").map(|(name, value)| (name.to_owned(), value.to_owned()));
    head.split("\r\n").map(|line| pair(line).unwrap_or_else(|| panic!("{line:?}"))).collect()
}

fn header(mail: &str, name: &str) -> Option<String> {
    headers(mail).into_iter().find(|(other, _)| other == name).map(|(_, value)| value)
}

/// A subject as a mailer shows it, even one that decodes what does not stand alone: neighbouring encoded words
/// run together, `_` is a space, `=XX` a byte.
fn shown(subject: &str) -> String {
    let subject = subject.replace("?= =?utf-8?q?", "");
    let Some((before, rest)) = subject.split_once("=?utf-8?q?") else { return subject };
    let (code, after) = rest.split_once("?=").unwrap();
    let bytes = code.replace('_', " ").replace('=', "%");
    let decoded = String::from_utf8(crate::percent::decode(&bytes).unwrap()).unwrap();
    format!("{before}{decoded}{}", shown(after))
}

#[test]
fn headers_of_an_alert() {
    let mail = mail(&firing());
    let check = |name, expected: &str| assert_eq!(header(&mail, name).as_deref(), Some(expected), "{name}");
    check("Subject", "Warning! /services/foo has an alert!");
    check("From", "zk@example.com");
    check("To", "ops@example.com");
    check("Date", "Sat, 31 May 2014 16:20:25 +0000");
    check("Auto-Submitted", "auto-generated");
    check("MIME-Version", "1.0");
    check("Content-Type", "text/plain; charset=utf-8");
    assert_eq!((header(&mail, "In-Reply-To"), header(&mail, "References")), (None, None));
    let id = header(&mail, "Message-ID").unwrap();
    assert!(id.starts_with('<') && id.ends_with("@example.com>"), "{id}");
    assert!(
        mail.contains("Found children (0) less than minimum (1)\r\n\r\nPath:        /services/foo\r\n"),
        "{mail}"
    );
}

#[test]
fn every_subject_arrives_letter_for_letter() {
    let long = "/very-long-name".repeat(10);
    let fold = format!("/{}  {}   {}", "n".repeat(50), "m".repeat(60), "o".repeat(60));
    let longest = "/0123456789".repeat(300);
    let paths = [
        "/p",
        "/größe/日本語",
        "/a b/ c  d  ",
        "/=?utf-8?q?x?=/y",
        "/tab\there",
        "/a\r\nBcc: x@example.com",
        &fold,
        &long,
        &longest,
    ];
    for path in paths {
        let mail = mail(&notification(vec![item(path, Kind::Firing)]));
        let subject = shown(&header(&mail, "Subject").unwrap());
        assert_eq!(subject, format!("Warning! {path} has an alert!"));
        assert_eq!(header(&mail, "Bcc"), None, "{path:?}");
        assert!(mail.is_ascii() && mail.split("\r\n").all(|line| line.len() < 998), "{path:?}");
        assert!(!mail.replace("\r\n", "").contains(['\r', '\n']), "{path:?}");
    }
}

#[test]
fn what_follows_an_alert_names_it() {
    let of = |kind| mail(&notification(vec![item("/services/foo", kind)]));
    let alert = header(&of(Kind::Firing), "Message-ID");
    let mut ids = vec![alert.clone()];
    let subjects = [
        (Kind::Reminder(1), "Reminder: /services/foo has an alert!"),
        (Kind::Reminder(2), "Reminder: /services/foo has an alert!"),
        (Kind::Resolved, "OK: /services/foo is in spec again"),
        (Kind::Notice, "Warning! /services/foo has an alert, and not everybody was told!"),
    ];
    for (kind, subject) in subjects {
        let mail = of(kind);
        assert_eq!(header(&mail, "In-Reply-To"), alert, "{kind:?}");
        assert_eq!(header(&mail, "References"), alert, "{kind:?}");
        assert_eq!(header(&mail, "Subject").as_deref(), Some(subject));
        ids.push(header(&mail, "Message-ID"));
    }
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 5, "{ids:?}");
}

#[test]
fn a_message_id_depends_on_the_message_and_the_address_alone() {
    let id = |address: &str, agent: &str, seconds| {
        let mut told = firing();
        told.agent = agent.into();
        let date = UNIX_EPOCH + Duration::from_secs(seconds);
        let mail = compose(&settings(address, "Zk <zk@example.com>"), "email", &told, date).unwrap();
        header(&String::from_utf8(mail.content).unwrap(), "Message-ID")
    };
    assert_eq!(id("ops@example.com", "host-1", 1), id("ops@example.com", "host-2", 2));
    assert_ne!(id("ops@example.com", "host-1", 1), id("dev@example.com", "host-1", 1));
}

#[test]
fn a_digest_has_a_subject_and_a_name_of_its_own() {
    let mail = mail(&notification(vec![item("/p", Kind::Firing), item("/q", Kind::Firing)]));
    assert_eq!(header(&mail, "Subject").as_deref(), Some("Warning! 2 paths of c have alerts!"));
    assert_eq!(header(&mail, "In-Reply-To"), None);
    assert!(header(&mail, "Message-ID").is_some());
}

#[test]
fn addresses_as_people_write_them() {
    let check = |text: &str, expected: Option<&str>| {
        let mail = compose(&settings(text, "zk@example.com"), "email", &firing(), UNIX_EPOCH);
        assert_eq!(mail.ok().map(|mail| mail.to).as_deref(), expected, "{text:?}");
    };
    check("ops@example.com", Some("ops@example.com"));
    check("ops@localhost", Some("ops@localhost"));
    check("ops@build_box", Some("ops@build_box"));
    check("ops+zk@10.0.0.1", Some("ops+zk@10.0.0.1"));
    check("Ops <ops@example.com>", Some("ops@example.com"));
    check("ops", None);
    check("ops@", None);
    check("ops@example.com>\r\nRCPT TO:<x@example.com", None);
    check("\"a\r\nRCPT TO:<x@example.com>\"@example.com", None);
    check("ops@exa mple.com", None);
}
