//! What is told, when, and by whom: reminders, tests, heartbeats, names of children.

use std::time::Duration;

use crate::common::{Answer, Daemon, HttpSink, SOON, SmtpSink, ZooKeeper, eventually, shared, throughout};

#[test]
fn reminders_come_until_the_recovery_has_held_for_a_while() {
    let (space, sink) = (shared(), SmtpSink::start());
    let mut client = space.client();
    let yaml = "/services/foo:\n  children: 1\n  repeat_interval: 1s\n  keep_firing_for: 3s\n  \
                alerter: {email: you@home.com}\n";
    let daemon = Daemon::with(space.address(), yaml).smtp(sink.port()).start();
    let about = |words: &str| sink.mails().iter().filter(|mail| mail.body.starts_with(words)).count();
    eventually(SOON, "three reminders", || about("Still out of spec: ") >= 3);
    assert_eq!(about("Found children (0)"), 1);
    client.create("/services/foo/a", "");
    daemon.wait_for("/services/foo", true);
    throughout(Duration::from_secs(2), "no recovery yet", || about("Now in spec") == 0);
    eventually(SOON, "recovery", || about("Now in spec") == 1);
    let mails = sink.mails().len();
    throughout(Duration::from_secs(3), "no reminder after the recovery", || sink.mails().len() == mails);
}

#[test]
fn the_children_that_left_are_named_up_to_twenty() {
    let (space, sink) = (shared(), SmtpSink::start());
    let mut client = space.client();
    client.create("/services/foo", "");
    let children: Vec<String> = (10..35).map(|n| format!("/services/foo/host-{n}")).collect();
    client.create_many(&children);
    let yaml = "/services/foo: {children: 25, cancel_timeout: 2s, alerter: {email: you@home.com}}\n";
    let daemon = Daemon::with(space.address(), yaml).smtp(sink.port()).start();
    daemon.wait_until_it_leads();
    daemon.wait_for("/services/foo", true);
    client.delete_many(&children[..24]);
    let body = sink.wait_for(1).remove(0).body;
    let left = body.lines().find(|line| line.starts_with("Left:")).unwrap();
    let named = left.matches("host-").count();
    assert!(named == 20 && left.ends_with(" and 4 more"), "{left}");
    assert!(body.contains("Found children (1) less than minimum (25)"), "{body}");
}

#[test]
fn a_test_alert_tells_what_each_receiver_said() {
    let (space, mails, sink) = (shared(), SmtpSink::start(), HttpSink::start());
    mails.refuse("gone@home.com", "550 5.1.1 no such user");
    let yaml = format!(
        "/good: {{children: 1, alerter: {{email: you@home.com, webhook: {{url: \"{0}\"}}}}}}\n\
         /half: {{children: 1, alerter: {{email: [gone@home.com, you@home.com]}}}}\n\
         /mute: {{children: 1, alerter: {{}}}}\n/watched: {{alerter: {{email: you@home.com}}}}\n",
        sink.url("/hook")
    );
    let test = |path: &str| {
        let builder = Daemon::with(space.address(), &yaml).smtp(mails.port());
        let output = builder.args(["--test-alert", path]).finish();
        (output.code, output.stdout + &output.stderr)
    };
    let (code, said) = test("/good");
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("email you@home.com (") && said.contains("): accepted\n"), "{said}");
    assert!(said.lines().any(|line| line.starts_with("webhook ") && line.ends_with(": accepted")), "{said}");
    assert_eq!(mails.wait_for(1)[0].subject(), "[TEST] Warning! /good has an alert!");
    assert_eq!(sink.wait_for("/hook", 1)[0].json()["alerts"][0]["labels"]["test"], "true");

    let (code, said) = test("/half");
    assert_eq!(code, Some(1), "{said}");
    let refused = format!(") by 127.0.0.1:{}: FAILED: refused: SMTP, at RCPT TO: 550", mails.port());
    assert!(said.contains(&refused), "{said}");
    let accepted = |line: &str| line.starts_with("email you@home.com (") && line.ends_with("): accepted");
    assert!(said.lines().any(accepted), "{said}");
    assert_eq!(test("/mute").0, Some(1));
    let before = mails.mails().len();
    let (code, said) = test("/watched");
    assert!(code == Some(1) && said.contains("nothing was sent: /watched has no `children`"), "{said}");
    assert_eq!(mails.mails().len(), before);
    assert_eq!(test("/unknown").0, Some(1));
}

#[test]
fn the_heartbeat_beats_for_the_leader_while_it_sees() {
    let (mut server, sink) = (ZooKeeper::start(), HttpSink::start());
    let start = |path: &str| {
        let yaml = format!("heartbeat: {{url: \"{}\", every: 1s}}\n/bad: {{children: 1}}\n", sink.url(path));
        Daemon::with(&server.address(), &yaml).start()
    };
    let mut first = start("/first");
    first.wait_until_it_leads();
    let beats = |path: &str| sink.requests(path).len();
    eventually(SOON, "heartbeat of the leader", || beats("/first") >= 2);
    let second = start("/second");
    second.wait_until_ready();
    throughout(Duration::from_secs(3), "no heartbeat of who does not lead", || beats("/second") == 0);
    first.kill();
    second.wait_until_it_leads();
    eventually(SOON, "heartbeat of the next leader", || beats("/second") >= 2);
    server.pause();
    second.wait_until("end of the lease", |status| status["monitor"]["alerter"]["alerting"] == false);
    let before = beats("/second");
    throughout(Duration::from_secs(3), "no heartbeat while ZooKeeper is gone", || {
        beats("/second") <= before + 1
    });
    server.resume();
    eventually(SOON, "heartbeat after the outage", || beats("/second") > before + 1);
}

#[test]
fn a_chat_says_what_to_do_and_where_to_look() {
    let (space, sink, mails) = (shared(), HttpSink::start(), SmtpSink::start());
    sink.answer("/chat", Answer::status(200).body("ok"));
    let mut client = space.client();
    client.create("/services/foo/a", "");
    let yaml = |first: &str| {
        format!(
            "{first}\ndefaults:\n  children: 1\n  description: Call Ada.\n  runbook: https://wiki.example.com/foo\n  \
             alerter: {{email: you@home.com, slack: {{webhook_url: \"{}\"}}}}\n/services/*:\n",
            sink.url("/chat")
        )
    };
    let page = "external_url: https://zk.example.com/";
    let mut daemon = Daemon::with(space.address(), &yaml(page)).smtp(mails.port()).start();
    daemon.wait_until_it_leads();
    daemon.wait_for("/services/foo", true);
    client.delete("/services/foo/a");
    let text = |number: usize| sink.wait_for("/chat", number).remove(number - 1).json()["text"].clone();
    let advice = "Call Ada.\nRunbook: https://wiki.example.com/foo\nPage: ";
    let expected = format!(
        "ALERT /services/foo: Found children (0) less than minimum (1)\nRule: /services/*\nLeft: a\n\
         {advice}https://zk.example.com"
    );
    assert_eq!(text(1), expected.as_str());
    let body = mails.wait_for(1).remove(0).body;
    for line in ["Rule:        /services/*", "Runbook:     https://wiki.example.com/foo", "Left:        a"] {
        assert!(body.contains(line), "{line}: {body}");
    }
    assert!(body.contains("Page:        https://zk.example.com\n"), "{body}");
    client.create("/services/foo/b", "");
    let back = text(2);
    let back = back.as_str().unwrap();
    assert!(back.starts_with("OK /services/foo: Now in spec, was: Found children (0)"), "{back}");
    assert!(!back.contains("Left:") && back.contains(advice), "{back}");
    daemon.stop();
    // Who says nothing of it links to the agent itself.
    let next = Daemon::with(space.address(), &yaml("")).smtp(mails.port()).start();
    next.wait_until_it_leads();
    client.delete("/services/foo/b");
    let text = text(3);
    assert!(text.as_str().unwrap().ends_with(&format!("\nPage: http://{}", next.address())), "{text}");
}
