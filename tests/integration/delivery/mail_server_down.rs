//! The mail server is down, slow, or refuses.

use std::time::{Duration, Instant};

use crate::common::{Daemon, HttpSink, Manner, SmtpSink, Space, eventually, shared, throughout};

/// One path whose mails go through the server in trouble, and whose posts do not.
fn yaml(web: &HttpSink) -> String {
    format!(
        "/services/foo: {{children: 1, alerter: {{email: you@home.com, webhook: {{url: \"{}\"}}}}}}\n",
        web.url("/hook")
    )
}

fn start(space: &Space, sink: &SmtpSink, web: &HttpSink) -> Daemon {
    space.client().create("/services/foo/a", "");
    let daemon = Daemon::with(space.address(), &yaml(web)).smtp(sink.port()).start();
    daemon.wait_until_it_leads();
    daemon.wait_for("/services/foo", true);
    daemon
}

/// Everything else goes on while mail is in trouble; and the mail comes when the trouble ends.
fn check(space: &Space, trouble: &str, begin: impl FnOnce(&mut SmtpSink), end: impl FnOnce(&mut SmtpSink)) {
    let (mut sink, web) = (SmtpSink::start(), HttpSink::start());
    let daemon = start(space, &sink, &web);
    begin(&mut sink);
    let broken = Instant::now();
    space.client().delete("/services/foo/a");
    web.wait_for("/hook", 1);
    assert!(broken.elapsed() < Duration::from_secs(3), "{trouble}: posted after {:?}", broken.elapsed());
    throughout(Duration::from_secs(2), "quick /status", || {
        let asked = Instant::now();
        let answer = daemon.get("/status");
        answer.status == 200 && asked.elapsed() < Duration::from_secs(1)
    });
    assert!(sink.mails().is_empty(), "{trouble}");
    end(&mut sink);
    let mails = sink.wait_for(1);
    assert_eq!(mails[0].subject(), "Warning! /services/foo has an alert!", "{trouble}");
    space.client().create("/services/foo/a", "");
    sink.wait_for(2);
}

#[test]
fn a_mail_server_that_is_down_loses_nothing_and_delays_nobody() {
    check(&shared(), "down", SmtpSink::down, SmtpSink::up);
}

#[test]
fn a_mail_server_that_is_busy_loses_nothing_and_delays_nobody() {
    let busy = |sink: &mut SmtpSink| sink.behave(Manner::Greeting("421 4.3.2 busy"));
    check(&shared(), "busy", busy, |sink| sink.behave(Manner::Good));
    let later = |sink: &mut SmtpSink| sink.refuse("you@home.com", "450 4.2.1 later");
    check(&shared(), "later", later, |sink| sink.accept("you@home.com"));
}

#[test]
fn a_mail_server_that_is_slow_or_silent_delays_nobody() {
    let space = shared();
    let (sink, web) = (SmtpSink::start(), HttpSink::start());
    let mut daemon = start(&space, &sink, &web);
    let mut client = space.client();
    sink.behave(Manner::Silent);
    for round in 0..3 {
        client.delete("/services/foo/a");
        web.wait_for("/hook", 2 * round + 1);
        client.create("/services/foo/a", "");
        web.wait_for("/hook", 2 * round + 2);
    }
    let asked = Instant::now();
    assert_eq!(daemon.get("/status").status, 200);
    assert!(asked.elapsed() < Duration::from_secs(1));
    // The attempt that is under way ends with the daemon.
    assert_eq!(daemon.stop(), Some(0));
}

#[test]
fn one_address_that_is_put_off_does_not_hold_up_the_other() {
    let (space, sink) = (shared(), SmtpSink::start());
    sink.refuse("busy@home.com", "450 4.2.1 later");
    let yaml = "/bad: {children: 1, alerter: {email: [busy@home.com, you@home.com]}}\n";
    let daemon = Daemon::with(space.address(), yaml).smtp(sink.port()).start();
    assert_eq!(sink.wait_for(1)[0].to, ["you@home.com"]);
    eventually(Duration::from_secs(20), "another attempt at the one put off", || {
        sink.attempts().iter().filter(|address| *address == "busy@home.com").count() > 1
    });
    assert_eq!(sink.mails().len(), 1);
    sink.accept("busy@home.com");
    assert_eq!(sink.wait_for(2)[1].to, ["busy@home.com"]);
    drop(daemon);
}
