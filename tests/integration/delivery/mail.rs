//! Mail by way of a real mail server, in TLS and with a password.

use serde_json::Value;
use std::collections::BTreeSet;

use crate::common::{Daemon, Folder, Mail, PASSWORD, Postfix, SOON, USER, eventually, shared};

/// A file that is written anew, and what it holds at first.
fn secret(folder: &Folder, name: &str, content: &str) -> String {
    folder.write(name, &format!("{content}\n")).display().to_string()
}

fn smtp(port: u16, tls: &str, password_file: &str, more: &str) -> String {
    format!(
        "smtp: {{host: localhost, port: {port}, tls: {tls}, user: {USER}, password_file: {password_file}, \
         from: zk_monitor@example.org{more}}}\n"
    )
}

/// The last error of any receiver.
fn complaint(status: &Value) -> String {
    let receivers = status["receivers"].as_object().unwrap();
    receivers.values().map(|receiver| receiver["last_error"].to_string()).collect()
}

fn of<'a>(mails: &'a [Mail], address: &str) -> Vec<&'a Mail> {
    let mut mine: Vec<_> = mails.iter().filter(|mail| mail.to == [address]).collect();
    mine.sort_by_key(|mail| mail.header("In-Reply-To").is_some());
    mine
}

#[test]
fn mail_goes_through_starttls_with_a_password_and_an_authority_of_ones_own() {
    let (space, postfix, folder) = (shared(), Postfix::start(), Folder::new("secrets"));
    let mut client = space.client();
    for child in ["a", "b"] {
        client.create(&format!("/services/f\u{fc}r alle/{child}"), "");
    }
    let ca = format!(", ca_file: {}", postfix.ca());
    let yaml = smtp(postfix.starttls(), "starttls", &secret(&folder, "password", PASSWORD), &ca)
        + "/services/f\u{fc}r alle:\n  children: 2\n  description: Call the night shift.\n  \
           alerter: {email: \"you@example.com, gone@example.com other@example.com\"}\n";
    let daemon = Daemon::with(space.address(), &yaml).start();
    daemon.wait_until_it_leads();
    daemon.wait_for("/services/f\u{fc}r alle", true);
    client.delete("/services/f\u{fc}r alle/a");
    // The alert to two of the three addresses, and a notice to both that the third was refused.
    postfix.wait_for(4);
    client.create("/services/f\u{fc}r alle/c", "");
    let mails = postfix.wait_for(6);
    for address in ["you@example.com", "other@example.com"] {
        let mine = of(&mails, address);
        let [alert, ..] = mine[..] else { panic!("{address}: no mail") };
        let warning = "Warning! /services/f\u{fc}r alle has an alert!";
        // A mailbox is a folder, whose order is nobody's.
        let subjects: BTreeSet<&str> = mine.iter().map(|mail| mail.subject()).collect();
        let notice = "Warning! /services/f\u{fc}r alle has an alert, and not everybody was told!";
        assert_eq!(subjects, [warning, notice, "OK: /services/f\u{fc}r alle is in spec again"].into());
        let received = alert.header("Received").unwrap();
        assert!(received.contains("ESMTPSA"), "in TLS and with a password: {received}");
        for part in
            ["less than minimum (2)", "Left:        a\n", "Call the night shift.", "State:       ALERT"]
        {
            assert!(alert.body.contains(part), "{part}: {}", alert.body);
        }
        let replies = mine.iter().filter(|mail| mail.header("In-Reply-To") == alert.header("Message-ID"));
        let replies: Vec<_> = replies.map(|mail| mail.body.as_str()).collect();
        let tells = |words: &str| replies.iter().any(|body| body.contains(words));
        assert!(replies.len() == 2 && tells("State:       OK") && tells("User unknown"), "{replies:#?}");
    }
    assert!(!daemon.log_contains(PASSWORD) && !daemon.status().to_string().contains(PASSWORD));
}

#[test]
fn mail_goes_through_implicit_tls() {
    let (space, postfix, folder) = (shared(), Postfix::start(), Folder::new("secrets"));
    let ca = format!(", ca_file: {}", postfix.ca());
    let yaml = smtp(postfix.implicit(), "implicit", &secret(&folder, "password", PASSWORD), &ca)
        + "/bad: {children: 1, alerter: {email: you@example.com}}\n";
    let _daemon = Daemon::with(space.address(), &yaml).start();
    let mail = postfix.wait_for(1).remove(0);
    assert!(mail.header("Received").unwrap().contains("ESMTPSA"));
    assert_eq!(mail.header("From"), Some("zk_monitor@example.org"));
}

#[test]
fn mistakes_about_the_mail_server_are_named_and_mended_by_a_reload() {
    let (space, postfix, folder) = (shared(), Postfix::start(), Folder::new("secrets"));
    let password = secret(&folder, "password", "wrong-s3cret");
    let rule = "/bad: {children: 1, alerter: {email: you@example.com}}\n";
    let ca = format!(", ca_file: {}", postfix.ca());
    let yaml = |ca: &str| smtp(postfix.starttls(), "starttls", &password, ca) + rule;
    let mut daemon = Daemon::with(space.address(), &yaml("")).start();
    let says =
        |daemon: &Daemon, what: &str| daemon.wait_until(what, |status| complaint(status).contains(what));
    says(&daemon, "unknown authority");
    daemon.reload(&yaml(&ca).replace("host: localhost", "host: 127.0.0.1"));
    says(&daemon, "is for another name");
    daemon.reload(&yaml(&ca));
    says(&daemon, "SMTP, at AUTH: 535");
    assert_eq!(postfix.mails().len(), 0);
    secret(&folder, "password", PASSWORD);
    daemon.reload(&yaml(&ca));
    postfix.wait_for(1);
    for told in ["wrong-s3cret", PASSWORD, "you@example.com"] {
        assert!(!daemon.status().to_string().contains(told), "{told} in /status");
    }
    eventually(SOON, "log of the delivery", || daemon.log_contains(" is out of spec (incident "));
    assert!(!daemon.log().iter().any(|line| line.contains("s3cret")), "a secret in the log");
}
