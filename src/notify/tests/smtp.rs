//! The SMTP dialogue, and what becomes of a mail at each of its steps.

use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::Duration;

use super::sink::{Act, Script, no_host, nobody, smtp};
use super::{LIMIT, SECRET, SHORT, attempt, firing, is_discreet, item, kind, notification};
use crate::model::message::Kind;
use crate::model::notifier::Notifier;
use crate::model::receiver::{Email, Outcome, Secret, Settings, Smtp, SmtpTls};
use crate::notify::email::EmailNotifier;

const ADDRESS: &str = "ops@example.com";
const AUTH: &str = "250-sink\r\n250-8BITMIME\r\n250 auth PLAIN LOGIN\r\n";
const LOGIN: &str = "250-sink\r\n250 AUTH LOGIN\r\n";

fn email(port: u16) -> Email {
    let smtp = Smtp {
        host: "127.0.0.1".into(),
        port,
        tls: SmtpTls::None,
        ca: None,
        credentials: None,
        from: "zk_monitor@example.com".into(),
        hello: None,
        subject: None,
    };
    Email { address: ADDRESS.into(), smtp: Arc::new(smtp) }
}

/// The same with one thing changed.
fn with(port: u16, change: impl FnOnce(&mut Smtp)) -> Email {
    let mut email = email(port);
    change(Arc::make_mut(&mut email.smtp));
    email
}

fn with_password(port: u16) -> Email {
    with(port, |smtp| smtp.credentials = Some(("zk".into(), Secret::new(SECRET.into()))))
}

/// One mail to a server that follows the script.
fn outcome(script: Script, change: impl FnOnce(&mut Smtp), limit: Duration) -> (Outcome, Receiver<String>) {
    let (port, lines) = smtp(vec![script]);
    (attempt(Settings::Email(with(port, change)), &firing(), limit), lines)
}

fn check(verb: &'static str, act: Act, limit: Duration, expected: &str) {
    let (outcome, _lines) = outcome(Script::but(&[(verb, act)]), |_| (), limit);
    assert_eq!(kind(&outcome), expected, "{verb} {act:?} gave {outcome:?}");
}

#[test]
fn an_answer_counts_by_the_step_it_is_given_at() {
    let check = |verb, answer, expected| check(verb, Act::Say(answer), LIMIT, expected);
    check("QUIT", "221 bye\r\n", "accepted");
    check("MAIL", "250\r\n", "accepted");
    check("RCPT", "251 will forward\r\n", "accepted");
    check("EHLO", "550 who are you\r\n", "accepted"); // HELO does.
    check("EHLO", "421 too busy\r\n", "failed");
    check("EHLO", "250-sink\r\n250- \t\r\n250 8BITMIME\r\n", "accepted");
    check("MAIL", "451 later\r\n", "failed");
    check("MAIL", "530 5.7.0 authenticate first\r\n", "failed");
    check("MAIL", "553 sender <zk_monitor@example.com> not allowed\r\n", "failed");
    check("RCPT", "450 4.2.0 greylisted\r\n", "failed");
    check("RCPT", "421 closing\r\n", "failed");
    check("RCPT", "503 bad sequence\r\n", "failed");
    check("RCPT", "550 5.1.1 <ops@example.com>: User unknown: ops\r\n", "refused");
    check("RCPT", "554-5.7.1 no\r\n554 5.7.1 relay access denied\r\n", "refused");
    check("RCPT", "354 what\r\n", "failed");
    check("DATA", "554 no valid recipients\r\n", "refused");
    check("DATA", "451 later\r\n", "failed");
    check("DATA", "250 what\r\n", "failed");
    check(".", "250 2.0.0 queued as 1\r\n", "accepted");
    check(".", "421 closing\r\n", "failed");
    check(".", "452 no space\r\n", "failed");
    check(".", "554 5.7.1 spam\r\n", "refused");
    check(".", "hello\r\n", "ambiguous");
    check(".", "354 what\r\n", "ambiguous");
}

#[test]
fn a_lost_connection_counts_by_the_dot() {
    for verb in ["EHLO", "MAIL", "RCPT", "DATA"] {
        check(verb, Act::Close, LIMIT, "failed");
        check(verb, Act::Silence, SHORT, "failed");
        check(verb, Act::Say("garbage\r\n"), LIMIT, "failed");
        check(verb, Act::Drip("250-"), SHORT, "failed");
        check(verb, Act::Endless("250-"), LIMIT, "failed");
    }
    check(".", Act::Close, LIMIT, "ambiguous");
    check(".", Act::Silence, SHORT, "ambiguous");
    check(".", Act::Drip("250-"), SHORT, "ambiguous");
    check(".", Act::Endless("250 "), LIMIT, "ambiguous");
}

#[test]
fn a_server_that_does_not_greet_has_failed() {
    let check = |greeting, limit| {
        let (outcome, _lines) = outcome(Script { greeting, answers: Vec::new() }, |_| (), limit);
        assert_eq!(kind(&outcome), "failed", "{greeting:?} gave {outcome:?}");
    };
    check(Act::Say("421 too many connections\r\n"), LIMIT);
    check(Act::Say("554 go away\r\n"), LIMIT);
    check(Act::Silence, SHORT);
    check(Act::Drip("220-"), SHORT);
    check(Act::Close, LIMIT);

    let refused = attempt(Settings::Email(email(nobody().port())), &firing(), LIMIT);
    assert!(
        matches!(&refused, Outcome::Failed { reason, .. } if reason == "SMTP, connecting: connection refused"),
        "{refused:?}"
    );
    let unknown = with(25, |smtp| smtp.host = no_host());
    assert_eq!(kind(&attempt(Settings::Email(unknown), &firing(), LIMIT)), "failed");
}

#[test]
fn the_dialogue() {
    let (outcome, lines) = outcome(Script::but(&[]), |_| (), LIMIT);
    assert_eq!(outcome, Outcome::Accepted);
    let lines: Vec<String> = lines.iter().collect();
    let commands: Vec<&str> = [0, 2, 3, 4].map(|at| lines[at].as_str()).to_vec();
    assert_eq!(
        commands,
        ["(connected)", "MAIL FROM:<zk_monitor@example.com>", "RCPT TO:<ops@example.com>", "DATA"]
    );
    assert!(lines[1].starts_with("EHLO "), "{lines:?}");
    assert!(lines.contains(&"Subject: Warning! /services/foo has an alert!".to_owned()), "{lines:?}");
    assert_eq!(lines[lines.len() - 2..], [".", "QUIT"]);
}

#[test]
fn passwords() {
    let check = |ehlo, answers: &[(&'static str, Act)], expected, dialogue: &[&str]| {
        let mut all = vec![("EHLO", Act::Say(ehlo))];
        all.extend_from_slice(answers);
        let (port, lines) = smtp(vec![Script::but(&all)]);
        let outcome = attempt(Settings::Email(with_password(port)), &firing(), LIMIT);
        assert_eq!(kind(&outcome), expected, "{outcome:?}");
        let lines: Vec<String> = lines.iter().skip(2).take_while(|line| !line.starts_with("MAIL")).collect();
        assert_eq!(lines, dialogue);
    };
    let plain = "AUTH PLAIN AHprAHMzY3JldA==";
    check(AUTH, &[("AUTH", Act::Say("235 welcome\r\n"))], "accepted", &[plain]);
    check(AUTH, &[("AUTH", Act::Say("535 5.7.8 no, zk, s3cret is wrong\r\n"))], "failed", &[plain]);
    check(AUTH, &[("AUTH", Act::Say("334 more\r\n"))], "failed", &[plain]);
    check("250 sink\r\n", &[], "failed", &[]);
    let asks = [
        ("AUTH", Act::Say("334 VXNlcm5hbWU6\r\n")),
        ("ems=", Act::Say("334 UGFzc3dvcmQ6\r\n")),
        ("czNjcmV0", Act::Say("235 welcome\r\n")),
    ];
    check(LOGIN, &asks, "accepted", &["AUTH LOGIN", "ems=", "czNjcmV0"]);
}

#[test]
fn starttls_is_required_once_it_is_asked_for() {
    const OFFER: &str = "250-sink\r\n250 STARTTLS\r\n";
    let check = |answers: &[(&'static str, Act)], limit| {
        let starttls = |smtp: &mut Smtp| smtp.tls = SmtpTls::StartTls;
        let (outcome, lines) = outcome(Script::but(answers), starttls, limit);
        assert_eq!(kind(&outcome), "failed", "{answers:?} gave {outcome:?}");
        assert!(!lines.iter().any(|line| line.starts_with("MAIL")), "{answers:?}");
        format!("{outcome:?}")
    };
    check(&[("EHLO", Act::Say("250 sink\r\n"))], LIMIT);
    check(&[("EHLO", Act::Say(OFFER)), ("STARTTLS", Act::Say("454 not now\r\n"))], LIMIT);
    let injected = [("EHLO", Act::Say(OFFER)), ("STARTTLS", Act::Say("220 go\r\n250 injected\r\n"))];
    assert!(check(&injected, LIMIT).contains("went on in the clear"));
    check(&[("EHLO", Act::Say(OFFER)), ("STARTTLS", Act::Close)], LIMIT);
    check(&[("EHLO", Act::Say(OFFER)), ("STARTTLS", Act::Drip("220 go\r\n"))], SHORT);
}

#[test]
fn implicit_tls_with_a_server_in_the_clear_fails() {
    let (outcome, _lines) = outcome(Script::but(&[]), |smtp| smtp.tls = SmtpTls::Implicit, LIMIT);
    assert_eq!(kind(&outcome), "failed", "{outcome:?}");
}

/// Two mails by one notifier to servers that follow the scripts; how many connections were made.
fn two_mails(scripts: Vec<Script>) -> (Outcome, Outcome, usize) {
    let (port, lines) = smtp(scripts);
    let mut notifier = EmailNotifier::new(email(port), "email", LIMIT);
    let recovery = notification(vec![item("/services/foo", Kind::Resolved)]);
    let outcomes = (notifier.send(&firing()), notifier.send(&recovery));
    is_discreet(&outcomes.0);
    is_discreet(&outcomes.1);
    drop(notifier);
    (outcomes.0, outcomes.1, lines.iter().filter(|line| line == "(connected)").count())
}

#[test]
fn a_connection_serves_the_next_mail() {
    let (first, second, connections) = two_mails(vec![Script::but(&[])]);
    assert_eq!((first, second, connections), (Outcome::Accepted, Outcome::Accepted, 1));
}

#[test]
fn a_kept_connection_that_is_dead_is_replaced_within_the_attempt() {
    // It takes one mail, and is gone before the next.
    let (first, second, connections) =
        two_mails(vec![Script::but(&[(".", Act::LastWords("250 taken\r\n"))]), Script::but(&[])]);
    assert_eq!((first, second, connections), (Outcome::Accepted, Outcome::Accepted, 2));
}

#[test]
fn a_mail_is_never_sent_twice_within_an_attempt() {
    let (first, second, connections) =
        two_mails(vec![Script::but(&[(".", Act::Close)]), Script::but(&[("RCPT", Act::Close)])]);
    assert_eq!((kind(&first), kind(&second), connections), ("ambiguous", "failed", 2));
}

#[test]
fn a_bad_sender_is_a_fault_of_the_configuration() {
    for from in ["", "nobody", "a b@example.com", "x@\r\nRCPT TO:<y@example.com>"] {
        let settings = with(nobody().port(), |smtp| smtp.from = from.into());
        let outcome = attempt(Settings::Email(settings), &firing(), LIMIT);
        assert!(
            matches!(&outcome, Outcome::Failed { reason, .. } if reason.starts_with("smtp.from")),
            "{from:?} gave {outcome:?}"
        );
    }
}
