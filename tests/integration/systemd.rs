//! What the daemon tells a service manager.

use std::os::unix::net::UnixDatagram;

use super::common::{Daemon, Folder, SOON, free_port};

const RULE: &str = "/a:\n  children: 1\n";

/// A stand-in for systemd.
struct Manager {
    folder: Folder,
    socket: UnixDatagram,
}

impl Manager {
    fn start() -> Self {
        let folder = Folder::new("systemd");
        let socket = UnixDatagram::bind(folder.path().join("notify")).unwrap();
        socket.set_read_timeout(Some(SOON)).unwrap();
        Self { folder, socket }
    }

    fn name(&self) -> String {
        self.folder.path().join("notify").display().to_string()
    }

    /// The next message that does not feed the watchdog.
    #[track_caller]
    fn hears(&self) -> String {
        loop {
            let message = self.next();
            if message != "WATCHDOG=1\n" {
                return message;
            }
        }
    }

    #[track_caller]
    fn next(&self) -> String {
        let mut buffer = [0; 4096];
        let length = self.socket.recv(&mut buffer).expect("no message to systemd");
        String::from_utf8(buffer[..length].to_vec()).unwrap()
    }
}

#[test]
fn systemd_hears_of_the_start_of_reloads_and_of_the_end() {
    let manager = Manager::start();
    let nobody = format!("127.0.0.1:{}", free_port());
    let mut daemon = Daemon::with(&nobody, RULE).env("NOTIFY_SOCKET", &manager.name()).start();
    assert_eq!(manager.hears(), "READY=1\nSTATUS=rules in force: 1\n", "even while ZooKeeper is away");

    daemon.reload("/a:\n  childen: 1\n");
    assert!(manager.hears().starts_with("RELOADING=1\n"));
    let refused = manager.hears();
    assert!(refused.starts_with("READY=1\nSTATUS=configuration not re-read: "), "{refused}");
    assert!(refused.contains("zk_monitor.yaml:2:3: /a/childen: "), "{refused}");

    daemon.reload(&format!("{RULE}/b:\n  children: 1\n"));
    assert!(manager.hears().starts_with("RELOADING=1\n"));
    assert_eq!(manager.hears(), "READY=1\nSTATUS=rules in force: 2\n");

    // One of several files is wrong, and the others take effect.
    let folder = daemon.folder().join("conf.d");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("team.yaml"), "/c: {childen: 1}\n").unwrap();
    daemon.reload(&format!("{RULE}/d:\n  children: 1\n"));
    assert!(manager.hears().starts_with("RELOADING=1\n"));
    let partly = manager.hears();
    assert!(partly.starts_with("READY=1\nSTATUS=rules in force: 2; configuration not re-read: "), "{partly}");
    assert!(partly.contains("conf.d/team.yaml:1:6: /c/childen: "), "{partly}");

    assert_eq!(daemon.stop(), Some(0));
    assert!(manager.hears().starts_with("STOPPING=1\n"));
}

#[test]
fn the_watchdog_is_fed_in_time() {
    let manager = Manager::start();
    let nobody = format!("127.0.0.1:{}", free_port());
    let daemon = Daemon::with(&nobody, RULE);
    let daemon = daemon.env("NOTIFY_SOCKET", &manager.name()).env("WATCHDOG_USEC", "1500000").start();
    manager.hears();
    for _ in 0..3 {
        assert_eq!(manager.next(), "WATCHDOG=1\n");
    }
    drop(daemon);
}

#[test]
fn a_secret_that_does_not_exist_is_an_error_whatever_copies_there_are() {
    let folder = Folder::new("credentials");
    let yaml = "smtp: {user: u, password_file: absent/smtp}\n/a:\n  children: 1\n";
    std::fs::write(folder.path().join("absent_smtp"), "copy").unwrap();
    let nobody = format!("127.0.0.1:{}", free_port());
    let output = Daemon::with(&nobody, yaml)
        .env("CREDENTIALS_DIRECTORY", &folder.path().display().to_string())
        .args(["--check-config"])
        .finish();
    assert_eq!(output.code, Some(78), "{output:?}");
    assert!(output.stderr.contains("absent/smtp: No such file"), "{output:?}");
}
