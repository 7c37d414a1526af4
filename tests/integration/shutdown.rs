//! The end of the daemon.

use std::time::Duration;

use rustix::process::Signal;

use crate::common::{Daemon, ZooKeeper, shared};

const YAML: &str = "/services/foo: {children: 1}\n";
const TWO_SECONDS: Duration = Duration::from_secs(2);

#[test]
fn a_signal_ends_it_in_time_and_nothing_stays_in_zookeeper() {
    for signal in [Signal::TERM, Signal::INT] {
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
fn it_ends_in_time_though_zookeeper_never_was() {
    let mut daemon = Daemon::with("127.0.0.1:1", YAML).start();
    daemon.signal(Signal::TERM);
    assert_eq!(daemon.wait(TWO_SECONDS), Some(0));
}
