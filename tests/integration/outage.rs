//! ZooKeeper goes away, in every way it can.

use std::time::{Duration, Instant};

use crate::common::{Daemon, Ensemble, Proxy, SOON, SmtpSink, ZooKeeper, eventually, throughout};

const YAML: &str = "/services/foo: {children: 1, alerter: {email: you@home.com}}\n";

fn connected(daemon: &Daemon) -> bool {
    daemon.status()["zookeeper"]["connected"] == true
}

fn unknown(daemon: &Daemon) -> bool {
    daemon.compliance("/services/foo").as_str().is_some_and(|message| message.starts_with("Unknown: "))
}

/// A leading daemon behind a network, with its path in spec.
fn behind(proxy: &Proxy, server: &ZooKeeper, sink: &SmtpSink) -> Daemon {
    server.client().create("/services/foo/a", "");
    let daemon = Daemon::with(&proxy.address(), YAML).smtp(sink.port()).start();
    daemon.wait_until_it_leads();
    daemon.wait_for("/services/foo", true);
    daemon
}

#[test]
fn a_restarted_server_is_found_again_and_nobody_is_alarmed() {
    let (mut server, sink) = (ZooKeeper::start(), SmtpSink::start());
    server.client().create("/services/foo/a", "");
    let daemon = Daemon::with(&server.address(), YAML).smtp(sink.port()).start();
    daemon.wait_until_it_leads();
    server.kill();
    eventually(SOON, "unknown path", || !connected(&daemon) && unknown(&daemon));
    let before = daemon.cpu_time();
    throughout(Duration::from_secs(2), "unknown", || unknown(&daemon));
    let spent = daemon.cpu_time() - before;
    assert!(spent < Duration::from_millis(500), "computed {spent:?} in two seconds of outage");
    server.restart();
    daemon.wait_for("/services/foo", true);
    daemon.wait_until_it_leads();
    assert_eq!(sink.mails().len(), 0);
}

#[test]
fn lost_packets_are_noticed_within_the_session_time_out() {
    let (server, sink) = (ZooKeeper::start(), SmtpSink::start());
    let proxy = Proxy::to(&server.address());
    let daemon = behind(&proxy, &server, &sink);
    proxy.freeze();
    let frozen = Instant::now();
    eventually(SOON, "end of the lease", || daemon.status()["monitor"]["alerter"]["alerting"] == false);
    // Two thirds of four seconds after the last acknowledged write, and the slowness of this machine.
    assert!(frozen.elapsed() < Duration::from_millis(2700 + 1000), "{:?}", frozen.elapsed());
    eventually(SOON, "unknown path", || unknown(&daemon) && !connected(&daemon));
    assert!(frozen.elapsed() < Duration::from_secs(4 + 2), "{:?}", frozen.elapsed());
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
    let daemon = behind(&proxy, &server, &sink);
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
fn many_sessions_leave_nothing_behind() {
    let (server, sink) = (ZooKeeper::start(), SmtpSink::start());
    let proxy = Proxy::to(&server.address());
    let daemon = behind(&proxy, &server, &sink);
    let session = |daemon: &Daemon| {
        eventually(SOON, "session", || connected(daemon) && daemon.compliance("/services/foo") == true);
    };
    // The first reconnect may allocate what later ones reuse.
    proxy.cut();
    session(&daemon);
    let (threads, fds) = (daemon.threads(), daemon.fds());
    for _ in 0..5 {
        let connections = proxy.connections();
        proxy.cut();
        eventually(SOON, "new connection", || proxy.connections() > connections);
        session(&daemon);
    }
    eventually(SOON, "threads and descriptors as before", || {
        let now = (daemon.threads(), daemon.fds());
        if now.0 <= threads && now.1 <= fds { Ok(()) } else { Err((now, (threads, fds))) }
    });
}

#[test]
fn a_stopped_member_of_an_ensemble_is_left_for_another() {
    let (mut ensemble, sink) = (Ensemble::start(), SmtpSink::start());
    ensemble.client().create("/services/foo/a", "");
    let daemon = Daemon::with(&ensemble.address(), YAML).smtp(sink.port()).start();
    daemon.wait_until_it_leads();
    let leader = ensemble.leader();
    ensemble.server(leader).pause();
    eventually(Duration::from_secs(60), "change by way of the other two", || {
        let other = (leader + 1) % 3;
        let mut client = crate::common::Client::try_connect(&ensemble.server(other).address())?;
        client.try_exists("/services/foo/a")?;
        client.delete("/services/foo/a");
        Ok::<_, std::io::Error>(())
    });
    sink.wait_for(1);
    ensemble.server(leader).resume();
    throughout(Duration::from_secs(2), "told once", || sink.mails().len() == 1);
}

#[test]
fn a_daemon_starts_without_zookeeper() {
    let (mut server, sink) = (ZooKeeper::start(), SmtpSink::start());
    server.client().create("/services/foo/a", "");
    server.kill();
    let daemon = Daemon::with(&server.address(), YAML).smtp(sink.port()).start();
    assert!(unknown(&daemon) && !connected(&daemon));
    assert_eq!(daemon.get("/-/ready").status, 503);
    server.restart();
    daemon.wait_for("/services/foo", true);
    assert_eq!(sink.mails().len(), 0);
}
