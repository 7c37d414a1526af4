//! ZooKeeper goes away, in every way it can, and comes back.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::common::{Daemon, Proxy, SOON, SmtpSink, ZooKeeper, eventually, throughout};

const YAML: &str = "/services/foo: {children: 1, alerter: {email: you@home.com}}\n";
/// The session timeout of the daemons here.
const T: Duration = Duration::from_secs(4);
/// How soon after the return of a server all that changed has been told.
const RETURN: Duration = Duration::from_secs(2);
/// The slowness of a machine that runs other tests beside.
const SLACK: Duration = Duration::from_secs(1);

fn connected(daemon: &Daemon) -> bool {
    daemon.status()["zookeeper"]["connected"] == true
}

fn unknown(daemon: &Daemon) -> bool {
    daemon.compliance("/services/foo").as_str().is_some_and(|message| message.starts_with("Unknown: "))
}

/// A leading daemon with its path in spec.
fn lead(zookeeper: &str, server: &ZooKeeper, sink: &SmtpSink) -> Daemon {
    server.client().create("/services/foo/a", "");
    let daemon = Daemon::with(zookeeper, YAML).smtp(sink.port()).args(["-l", "INFO"]).start();
    daemon.wait_until_it_leads();
    daemon.wait_for("/services/foo", true);
    daemon
}

/// Lets time pass without asking the daemon for anything.
fn pass(time: Duration) {
    throughout(time, "passed", || true);
}

/// Waits for a mail that has to be there soon after `returned`.
#[track_caller]
fn wait_for_mail(sink: &SmtpSink, count: usize, returned: Instant) {
    sink.wait_for(count);
    let took = returned.elapsed();
    assert!(took < RETURN + SLACK, "mail {count} came {took:?} after the server");
}

#[test]
fn a_killed_server_is_missed_at_once_and_found_again_soon() {
    for outage in [Duration::from_millis(1500), T + Duration::from_secs(3)] {
        let (mut server, sink) = (ZooKeeper::start(), SmtpSink::start());
        let daemon = lead(&server.address(), &server, &sink);
        server.kill();
        let killed = Instant::now();
        eventually(T, "unknown path", || !connected(&daemon) && unknown(&daemon));
        // What is told of the beginning may be written a moment after `/status` shows it.
        daemon.wait_for_log("lost the session");
        daemon.wait_for_log("does not send the alerts any more");
        let (lines, computed, from) = (daemon.log().len(), daemon.cpu_time(), Instant::now());
        pass(outage.saturating_sub(killed.elapsed()));
        let (computed, lasted) = (daemon.cpu_time() - computed, from.elapsed());
        assert!(computed <= lasted / 20, "computed {computed:?} in {lasted:?} of outage");
        let told = daemon.log().split_off(lines);
        assert!(told.len() <= 1, "a line a minute, not {told:#?}");
        assert!(unknown(&daemon) && !connected(&daemon) && sink.mails().is_empty());
        server.restart();
        let returned = Instant::now();
        server.client().delete("/services/foo/a");
        wait_for_mail(&sink, 1, returned);
        throughout(Duration::from_secs(1), "told once", || sink.mails().len() == 1);
    }
}

#[test]
fn what_changed_behind_a_broken_network_is_told_on_its_return() {
    let (server, sink) = (ZooKeeper::start(), SmtpSink::start());
    let proxy = Proxy::to(&server.address());
    let daemon = lead(&proxy.address(), &server, &sink);
    let mut client = server.client();
    for (round, outage) in [(0, Duration::from_secs(1)), (1, T + Duration::from_secs(2))] {
        proxy.refuse();
        client.delete("/services/foo/a");
        throughout(outage, "silent", || sink.mails().len() == 2 * round);
        assert!(unknown(&daemon) && !connected(&daemon));
        proxy.pass();
        wait_for_mail(&sink, 2 * round + 1, Instant::now());
        client.create("/services/foo/a", "");
        sink.wait_for(2 * round + 2);
    }
}

#[test]
fn nobody_is_alarmed_by_an_outage_alone() {
    let (mut server, sink) = (ZooKeeper::start(), SmtpSink::start());
    let daemon = lead(&server.address(), &server, &sink);
    server.restart();
    daemon.wait_for("/services/foo", true);
    daemon.wait_until_it_leads();
    throughout(Duration::from_secs(1), "silent", || sink.mails().is_empty());
}

#[test]
fn lost_packets_are_noticed_within_the_session_time_out() {
    let (server, sink) = (ZooKeeper::start(), SmtpSink::start());
    let proxy = Proxy::to(&server.address());
    let daemon = lead(&proxy.address(), &server, &sink);
    proxy.freeze();
    let frozen = Instant::now();
    eventually(SOON, "end of the lease", || daemon.status()["monitor"]["alerter"]["alerting"] == false);
    assert!(frozen.elapsed() < T * 2 / 3 + SLACK, "{:?}", frozen.elapsed());
    eventually(SOON, "unknown path", || unknown(&daemon) && !connected(&daemon));
    assert!(frozen.elapsed() < T + SLACK, "{:?}", frozen.elapsed());
    server.client().delete("/services/foo/a");
    throughout(Duration::from_secs(1), "silent", || sink.mails().is_empty());
    proxy.pass();
    sink.wait_for(1);
    throughout(Duration::from_secs(2), "told once", || sink.mails().len() == 1);
}

#[test]
fn a_blip_loses_no_change() {
    let (server, sink) = (ZooKeeper::start(), SmtpSink::start());
    let proxy = Proxy::to(&server.address());
    let daemon = lead(&proxy.address(), &server, &sink);
    let mut client = server.client();
    for round in 1..=3 {
        proxy.blip(Duration::from_millis(20));
        client.delete("/services/foo/a");
        sink.wait_for(2 * round - 1);
        proxy.cut();
        client.create("/services/foo/a", "");
        sink.wait_for(2 * round);
    }
    daemon.wait_for("/services/foo", true);
}

#[test]
fn twenty_outages_leave_nothing_behind() {
    let (server, sink) = (ZooKeeper::start(), SmtpSink::start());
    let proxy = Proxy::to(&server.address());
    let daemon = lead(&proxy.address(), &server, &sink);
    let outage = |number: u64| {
        let connections = proxy.connections();
        if number.is_multiple_of(2) {
            proxy.cut()
        } else {
            proxy.blip(Duration::from_millis(300))
        }
        eventually(SOON, "new connection", || proxy.connections() > connections);
        daemon.wait_for("/services/foo", true);
    };
    // The first ones allocate what later ones reuse: while a session is given up, the next ones run beside it.
    (0..20).for_each(outage);
    let still = || {
        let open = (daemon.threads(), daemon.fds());
        pass(Duration::from_millis(300));
        if open == (daemon.threads(), daemon.fds()) { Ok(open) } else { Err(open) }
    };
    // What is left of a session goes when the library has given it up.
    pass(T + Duration::from_secs(4));
    let (threads, fds) = eventually(SOON, "standstill", still);
    let memory = daemon.rss_kb();
    (0..20).for_each(outage);
    eventually(SOON, "threads and descriptors as before", || {
        let now = (daemon.threads(), daemon.fds());
        if now.0 <= threads && now.1 <= fds { Ok(()) } else { Err((now, (threads, fds))) }
    });
    let more = daemon.rss_kb().saturating_sub(memory);
    assert!(more < 1500, "{more} KiB more after twenty outages than the {memory} before");
    assert!(sink.mails().is_empty());
}

#[test]
fn a_daemon_starts_without_zookeeper() {
    let (mut server, sink) = (ZooKeeper::start(), SmtpSink::start());
    server.client().create("/services/foo/a", "");
    server.kill();
    let daemon = Daemon::with(&server.address(), YAML).smtp(sink.port()).start();
    assert!(unknown(&daemon) && !connected(&daemon));
    assert_eq!(daemon.get("/-/ready").status, 503);
    assert_eq!(daemon.get("/-/healthy").status, 200);
    daemon.wait_for_log("cannot connect to ZooKeeper");
    server.restart();
    let returned = Instant::now();
    daemon.wait_for("/services/foo", true);
    assert!(returned.elapsed() < RETURN + SLACK, "{:?}", returned.elapsed());
    assert_eq!(sink.mails().len(), 0);
}

#[test]
fn a_daemon_that_was_stopped_sends_nothing_stale() {
    let (server, sink) = (ZooKeeper::start(), SmtpSink::start());
    let yaml = "defaults: {alerter: {email: you@home.com}, children: 1}\n/mended: {cancel_timeout: 3}\n\
                /blinked: {}\n/broken: {}\n";
    let mut client = server.client();
    for path in ["/mended", "/blinked/a", "/broken/a"] {
        client.create(path, "");
    }
    let mut daemon = Daemon::with(&server.address(), yaml).smtp(sink.port()).start();
    daemon.wait_until_it_leads();
    daemon.wait_for("/mended", "Found children (0) less than minimum (1)");
    daemon.wait_for("/blinked", true);
    let sessions = daemon.status()["zookeeper"]["sessions"].as_u64();
    daemon.signal(Signal::STOP);
    client.create("/mended/a", "");
    client.delete("/blinked/a");
    client.create("/blinked/a", "");
    client.delete("/broken/a");
    pass(T + Duration::from_secs(3));
    assert!(sink.mails().is_empty());
    daemon.signal(Signal::CONT);
    let mail = sink.wait_for(1).remove(0);
    assert_eq!(mail.subject(), "Warning! /broken has an alert!");
    daemon.wait_for("/mended", true);
    assert!(daemon.status()["zookeeper"]["sessions"].as_u64() > sessions);
    throughout(Duration::from_secs(3), "nothing stale", || sink.mails().len() == 1);
}

#[test]
fn an_attempt_that_was_put_off_is_not_made_on_old_knowledge() {
    let (server, mut sink) = (ZooKeeper::start(), SmtpSink::start());
    let mut daemon = lead(&server.address(), &server, &sink);
    sink.down();
    let mut client = server.client();
    client.delete("/services/foo/a");
    daemon.wait_until("failed attempt", |status| {
        let all = status["receivers"].as_object();
        all.is_some_and(|all| all.values().any(|one| one["failed"].as_u64() > Some(0)))
    });
    daemon.signal(Signal::STOP);
    client.create("/services/foo/a", "");
    sink.up();
    pass(T + Duration::from_secs(3));
    daemon.signal(Signal::CONT);
    let mail = sink.wait_for(1).remove(0);
    assert!(
        mail.body.starts_with("Now in spec"),
        "what was true before it was stopped was told: {}",
        mail.body
    );
    throughout(Duration::from_secs(2), "told once", || sink.mails().len() == 1);
}
