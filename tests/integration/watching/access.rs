//! Who may read what: credentials, access lists, and the part of the tree that is ours.

use std::time::{Duration, Instant};

use crate::common::{Access, Daemon, Mode, Space, eventually, shared};

const YAML: &str = "/secret: {children: 1}\n";
/// How long after an access list is mended the path has been read: nothing rings for that.
const MENDED: Duration = Duration::from_secs(15);

/// A space with a path in spec that only `user:secret` may read.
fn protected() -> Space {
    let space = shared();
    let mut owner = space.client();
    owner.authenticate("user:secret");
    owner.create_as("/secret", "", Mode::Persistent, Access::Creator);
    owner.create_as("/secret/child", "", Mode::Persistent, Access::Creator);
    space
}

fn wait_until_unauthorised(daemon: &Daemon) {
    daemon.wait_until("unknown for want of rights", |status| {
        let shown = status["monitor"]["compliance"]["/secret"].as_str().unwrap_or("");
        shown.starts_with("Unknown: ") && shown.contains("not authorised")
    });
    assert_eq!(daemon.get("/status/secret").status, 503);
}

#[test]
fn the_right_credentials_open_a_path_and_others_do_not() {
    let space = protected();
    let start = |credentials: [&str; 4]| Daemon::with(space.address(), YAML).args(credentials).start();
    let right = start(["--zookeeper_user", "user", "--zookeeper_pass", "secret"]);
    right.wait_for("/secret", true);
    right.wait_until_it_leads();
    let wrong = start(["--zookeeper_user", "user", "--zookeeper_pass", "wrong"]);
    wait_until_unauthorised(&wrong);
    assert_eq!(wrong.compliance("/secret"), "Unknown: not authorised to read this path; is the login right?");
    let by_variable = Daemon::with(space.address(), YAML)
        .env("ZK_MONITOR_ZOOKEEPER_PASS", "secret")
        .args(["--zookeeper-user=user"])
        .start();
    by_variable.wait_for("/secret", true);
    let mut owner = space.client();
    owner.authenticate("user:secret");
    owner.delete("/secret/child");
    right.wait_for("/secret", "Found children (0) less than minimum (1)");
    by_variable.wait_for("/secret", "Found children (0) less than minimum (1)");
}

#[test]
fn an_access_list_that_is_mended_later_is_noticed() {
    let space = protected();
    let daemon = Daemon::with(space.address(), YAML).start();
    wait_until_unauthorised(&daemon);
    let mut owner = space.client();
    owner.authenticate("user:secret");
    owner.allow("/secret", Access::Open);
    let mended = Instant::now();
    eventually(MENDED, "readable path", || daemon.compliance("/secret") == true);
    assert!(mended.elapsed() < MENDED);
    // Watched like any other from now on.
    owner.delete("/secret/child");
    daemon.wait_for("/secret", "Found children (0) less than minimum (1)");
}

#[test]
fn a_chroot_may_come_later() {
    let space = shared();
    let daemon = Daemon::with(&format!("{}/not/yet", space.address()), "/foo: {children: 1}\n").start();
    daemon.wait_for("/foo", "Found children (0) less than minimum (1): path does not exist");
    space.client().create("/not/yet/foo/a", "");
    daemon.wait_for("/foo", true);
    daemon.wait_until_it_leads();
}

#[test]
fn the_sample_file_and_the_options_of_old_work() {
    let space = shared();
    space.client().create("/services/foo/min_1/a", "");
    let cluster = ["--cluster_name=other", "--cluster-pref", "/other", "-lINFO", "-p0"];
    let daemon =
        Daemon::with(space.address(), include_str!("../../../zk_monitor.yaml")).args(cluster).start();
    daemon.wait_until_it_leads();
    daemon.wait_for("/services/foo/min_0", true);
    daemon.wait_for("/services/foo/min_1", true);
    daemon.wait_for("/services/foo/min_3", "Found children (0) less than minimum (3): path does not exist");
    space.wait_for_children("/other/other/agents", 1);
}
