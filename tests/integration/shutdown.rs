//! The end of the daemon.

use std::time::Duration;

use rustix::process::Signal;

use crate::common::{Daemon, Manner, Proxy, SOON, SmtpSink, ZooKeeper, eventually, shared, throughout};

const YAML: &str = "/services/foo: {children: 1}\n";
const TWO_SECONDS: Duration = Duration::from_secs(2);

#[test]
fn a_signal_ends_it_in_time_and_nothing_stays_in_zookeeper() {
    // Several times, since at the moment at which it begins to lead there is much that can meet.
    for signal in [Signal::TERM, Signal::INT, Signal::TERM, Signal::TERM, Signal::TERM] {
        let space = shared();
        let mut daemon = Daemon::start(space.address(), YAML);
        daemon.wait_until_it_leads();
        space.wait_for_children("/zk_monitor/zkmonitor/agents", 1);
        daemon.signal(signal);
        assert_eq!(daemon.wait(TWO_SECONDS), Some(0), "{signal:?}");
        let mut client = space.client();
        for place in ["agents", "locks/alerter"] {
            let left = client.children(&format!("/zk_monitor/zkmonitor/{place}"));
            assert_eq!(left, Some(Vec::new()), "{place} after {signal:?}");
        }
    }
}

#[test]
fn it_ends_in_time_though_zookeeper_hangs() {
    let mut server = ZooKeeper::start();
    let mut daemon = Daemon::start(&server.address(), YAML);
    daemon.wait_until_it_leads();
    server.pause();
    daemon.signal(Signal::TERM);
    assert_eq!(daemon.wait(TWO_SECONDS), Some(0));
}

#[test]
fn it_ends_in_time_at_every_moment_of_an_outage() {
    let server = ZooKeeper::start();
    let network = Proxy::to(&server.address());
    // While the session is missed, while its end is noticed, and while another is sought.
    for after in [0, 1500, 2600, 3500, 5000].map(Duration::from_millis) {
        network.pass();
        let mut daemon = Daemon::start(&network.address(), YAML);
        daemon.wait_until_it_leads();
        network.freeze();
        throughout(after, "frozen", || true);
        daemon.signal(Signal::TERM);
        assert_eq!(daemon.wait(TWO_SECONDS), Some(0), "{after:?} after the freeze");
    }
}

#[test]
fn it_ends_in_time_though_zookeeper_never_was() {
    for hosts in ["127.0.0.1:1", "nowhere.test:1"] {
        let mut daemon = Daemon::with(hosts, YAML).hosts("127.0.0.1 localhost\n").start();
        daemon.signal(Signal::TERM);
        assert_eq!(daemon.wait(TWO_SECONDS), Some(0), "{hosts}");
    }
}

#[test]
fn it_ends_in_time_though_a_mail_server_says_one_letter_a_second() {
    for manner in [Manner::Silent, Manner::Tarpit(Duration::from_secs(1))] {
        let (space, sink) = (shared(), SmtpSink::start());
        sink.behave(manner.clone());
        let yaml = "/services/foo: {children: 1, alerter: {email: you@home.com}}\n";
        let mut daemon = Daemon::with(space.address(), yaml).smtp(sink.port()).start();
        eventually(Duration::from_secs(20), "attempt under way", || sink.connections() > 0);
        daemon.signal(Signal::TERM);
        assert_eq!(daemon.wait(TWO_SECONDS), Some(0), "{manner:?}");
        for place in ["agents", "locks/alerter"] {
            let left = space.client().children(&format!("/zk_monitor/zkmonitor/{place}"));
            assert_eq!(left, Some(Vec::new()), "{place} with {manner:?}");
        }
    }
}

#[test]
fn it_ends_in_time_while_thousands_of_paths_are_armed() {
    let server = ZooKeeper::start();
    let network = Proxy::to(&server.address());
    let yaml: String = (0..20_000).map(|number| format!("/absent/{number}: {{children: 1}}\n")).collect();
    for answered in [true, false] {
        network.pass();
        let mut daemon = Daemon::with(&network.address(), &yaml).start();
        daemon.wait_for_log("established");
        if !answered {
            network.freeze();
        }
        daemon.signal(Signal::TERM);
        assert_eq!(daemon.wait(TWO_SECONDS), Some(0), "answered: {answered}");
    }
}

#[test]
fn it_ends_in_time_though_nobody_reads_its_log() {
    let space = shared();
    let (mut daemon, _unread) = Daemon::with(space.address(), YAML).start_unread();
    daemon.wait_until_ready();
    daemon.signal(Signal::TERM);
    assert_eq!(daemon.wait(Duration::from_secs(5)), Some(0));

    let (mut daemon, _unread) =
        Daemon::with(space.address(), YAML).env("ZK_MONITOR_FAULT", "evaluator").start_unread();
    assert_eq!(daemon.wait(SOON), Some(1), "a thread that died ends it");
}
