//! An ensemble of three loses the server that the daemon uses.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::common::{Client, Daemon, Ensemble, Proxy, SmtpSink, eventually, throughout};

const YAML: &str = "/services/foo: {children: 1, alerter: {email: you@home.com}}\n";
const T: Duration = Duration::from_secs(4);
/// The slowness of a machine that runs other tests beside.
const SLACK: Duration = Duration::from_secs(1);

/// Three servers, the one that leads them last, each behind a network of its own.
struct Setup {
    ensemble: Ensemble,
    /// Indices into the ensemble.
    order: [usize; 3],
    networks: Vec<Proxy>,
    sink: SmtpSink,
}

impl Setup {
    fn start() -> Self {
        let mut ensemble = Ensemble::start();
        let leader = ensemble.leader();
        ensemble.client().create("/services/foo/a", "");
        let order = [(leader + 1) % 3, (leader + 2) % 3, leader];
        let networks = order.iter().map(|index| Proxy::to(&ensemble.server(*index).address())).collect();
        Self { ensemble, order, networks, sink: SmtpSink::start() }
    }

    fn daemon(&self) -> Daemon {
        let hosts: Vec<String> = self.networks.iter().map(Proxy::address).collect();
        let daemon = Daemon::with(&hosts.join(","), YAML).smtp(self.sink.port()).start();
        daemon.wait_until_it_leads();
        daemon.wait_for("/services/foo", true);
        assert_eq!(self.in_use(&daemon), Some(0), "the first of the list is used first");
        daemon
    }

    /// Which place of the list the daemon is connected to.
    fn in_use(&self, daemon: &Daemon) -> Option<usize> {
        let status = daemon.status();
        let server = status["zookeeper"]["server"].as_str()?;
        self.networks.iter().position(|network| network.address() == server)
    }

    /// A client of one place of the list, round the networks.
    fn client(&mut self, place: usize) -> Client {
        self.ensemble.server(self.order[place]).client()
    }

    /// Waits until another server is in use, and holds that changes are seen and told through it.
    #[track_caller]
    fn moved(&mut self, daemon: &Daemon, from: usize, to: usize, lost: Instant) {
        eventually(Duration::from_secs(20), "another server in use", || {
            let place = self.in_use(daemon);
            if place == Some(to) && daemon.compliance("/services/foo") == true {
                Ok(())
            } else {
                Err(daemon.status())
            }
        });
        let took = lost.elapsed();
        assert!(took < T + Duration::from_secs(2) + SLACK, "{took:?} from server {from} to {to}");
        let before = self.sink.mails().len();
        assert!(before.is_multiple_of(2), "nothing is told of the loss");
        let mut client = self.client(to);
        client.delete("/services/foo/a");
        self.sink.wait_for(before + 1);
        client.create("/services/foo/a", "");
        self.sink.wait_for(before + 2);
    }
}

#[test]
fn whichever_way_a_server_is_lost_another_is_in_use_soon() {
    let mut setup = Setup::start();
    let daemon = setup.daemon();
    let threads = daemon.threads();

    setup.networks[0].freeze();
    setup.moved(&daemon, 0, 1, Instant::now());
    setup.networks[0].pass();

    let second = setup.order[1];
    setup.ensemble.server(second).pause();
    setup.moved(&daemon, 1, 2, Instant::now());
    setup.ensemble.server(second).resume();

    setup.networks[2].cut();
    setup.moved(&daemon, 2, 0, Instant::now());

    let first = setup.order[0];
    setup.ensemble.server(first).kill();
    setup.moved(&daemon, 0, 1, Instant::now());

    eventually(Duration::from_secs(30), "threads as before", || {
        let now = daemon.threads();
        if now <= threads + 1 { Ok(()) } else { Err((now, threads)) }
    });
    throughout(Duration::from_secs(1), "nothing more told", || setup.sink.mails().len() == 8);
}

#[test]
fn the_leader_of_the_ensemble_is_stopped_while_it_is_in_use() {
    let mut setup = Setup::start();
    setup.networks.reverse();
    setup.order.reverse();
    let mut daemon = setup.daemon();
    let leader = setup.order[0];
    setup.ensemble.server(leader).pause();
    let mut lost = Instant::now();
    eventually(Duration::from_secs(60), "quorum of the other two", || {
        lost = Instant::now();
        Client::try_connect(&setup.ensemble.server(setup.order[1]).address())?.try_exists("/")
    });
    setup.moved(&daemon, 0, 1, lost);

    // The end, too, is not kept by servers that do not answer.
    for network in &setup.networks {
        network.freeze();
    }
    daemon.signal(Signal::TERM);
    assert_eq!(daemon.wait(Duration::from_secs(2)), Some(0));
}
