//! From the host list to a server that answers.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use crate::common::{Daemon, Proxy, ZooKeeper, eventually, free_port};

const YAML: &str = "/services/foo: {children: 1}\n";
/// How long the first of two hosts may keep the daemon from the second.
const NEXT: Duration = Duration::from_secs(5);
/// The slowness of a machine that runs other tests beside.
const SLACK: Duration = Duration::from_secs(1);

fn wait_until_connected(daemon: &Daemon, within: Duration) {
    eventually(within + SLACK, "connection", || {
        let status = daemon.status();
        if status["zookeeper"]["connected"] == true { Ok(()) } else { Err(status) }
    });
}

/// A listener whose queue is full, so that no packet to it is answered.
struct Hole {
    address: SocketAddr,
    _listener: TcpListener,
    _queued: Vec<TcpStream>,
}

impl Hole {
    fn new() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        rustix::net::listen(&listener, 0).unwrap();
        let address = listener.local_addr().unwrap();
        let connect = || TcpStream::connect_timeout(&address, Duration::from_millis(200));
        let mut queued = Vec::new();
        while let Ok(stream) = connect() {
            queued.push(stream);
            assert!(queued.len() < 10, "a queue of one is full soon");
        }
        Self { address, _listener: listener, _queued: queued }
    }
}

#[test]
fn a_first_host_that_is_of_no_use_delays_the_second_little() {
    let server = ZooKeeper::start();
    let frozen = Proxy::to(&server.address());
    frozen.freeze();
    let hole = Hole::new();
    let firsts = [
        ("holds and says nothing", frozen.address()),
        ("does not answer packets", hole.address.to_string()),
        ("refuses", format!("127.0.0.1:{}", free_port())),
        ("does not resolve", "nowhere.test:2181".to_owned()),
    ];
    let start = |(what, first): &(&'static str, String)| {
        let hosts = format!("{first},{}", server.address());
        let began = Instant::now();
        (*what, Daemon::with(&hosts, YAML).hosts("127.0.0.1 localhost\n").start(), began)
    };
    let daemons: Vec<_> = firsts.iter().map(start).collect();
    for (what, daemon, began) in &daemons {
        wait_until_connected(daemon, NEXT.saturating_sub(began.elapsed()));
        assert_eq!(daemon.status()["zookeeper"]["server"], server.address(), "first {what}");
    }
}

#[test]
fn a_name_server_that_is_silent_delays_the_second_host_little() {
    // Only root may have this port; others test the rest.
    let Ok(_silent) = UdpSocket::bind((Ipv4Addr::LOCALHOST, 53)) else { return };
    let server = ZooKeeper::start();
    let hosts = format!("nowhere.test,{}", server.address());
    let mut daemon = Daemon::with(&hosts, YAML).hosts("127.0.0.1 localhost\n").start();
    wait_until_connected(&daemon, NEXT);
    assert_eq!(daemon.stop(), Some(0));
}

#[test]
fn all_addresses_of_a_name_are_tried() {
    let server = ZooKeeper::start();
    let port = server.address().rsplit(':').next().unwrap().to_owned();
    let lines = "::1 zk.test\n127.0.0.1 zk.test\n";
    let start = || Daemon::with(&format!("zk.test:{port}"), YAML).hosts(lines).start();
    let daemon = start();
    wait_until_connected(&daemon, NEXT);
    // Now the first address takes connections, and says nothing.
    let _silent = TcpListener::bind(format!("[::1]:{port}")).unwrap();
    let daemon = start();
    wait_until_connected(&daemon, NEXT);
    assert_eq!(daemon.status()["zookeeper"]["server"], server.address());
}

#[test]
fn a_server_is_reached_by_ipv6() {
    let server = ZooKeeper::with(&["clientPortAddress=::"], &[]);
    server.client().create("/services/foo/a", "");
    let port = server.address().rsplit(':').next().unwrap().to_owned();
    let daemon = Daemon::start(&format!("[::1]:{port}"), YAML);
    daemon.wait_for("/services/foo", true);
    assert_eq!(daemon.status()["zookeeper"]["server"], format!("[::1]:{port}"));
    // The loopback is the first interface of every host.
    let daemon = Daemon::start(&format!("[::1%1]:{port}"), YAML);
    daemon.wait_for("/services/foo", true);
    assert_eq!(daemon.status()["zookeeper"]["server"], format!("[::1%1]:{port}"));
}

#[test]
fn a_chroot_may_stand_behind_each_host() {
    let server = ZooKeeper::start();
    server.client().create("/app/services/foo/a", "");
    let hosts = format!(" {0}/app , {0}/app ", server.address());
    let daemon = Daemon::start(&hosts, YAML);
    daemon.wait_for("/services/foo", true);
}
