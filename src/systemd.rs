//! What systemd is told: ready, reloading, stopping, a line of status, and that the daemon is alive.
//!
//! Each message is one datagram to the socket that systemd names in `NOTIFY_SOCKET`. Without systemd nothing is
//! sent. The socket does not block: a service manager that is stuck delays nobody.

use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::{Duration, Instant};

use crate::published::Liveness;

/// How much of a line of status is told, in characters.
const LONGEST: usize = 400;

/// How often the watchdog is fed within the time that systemd allows.
const BEATS: u32 = 3;

/// What can be told.
#[derive(Clone, Copy, Debug)]
pub enum News<'a> {
    /// All threads run, or run again with a new configuration; with a line for `systemctl status`.
    Ready(&'a str),
    Reloading,
    Stopping,
}

/// The service manager, if there is one.
#[derive(Debug)]
pub struct Systemd {
    link: Option<(UnixDatagram, SocketAddr)>,
    watchdog: Option<Duration>,
    hung: bool,
}

impl Systemd {
    /// The service manager that the environment names.
    pub fn from_env(env: &dyn Fn(&str) -> Option<String>) -> Self {
        let link = env("NOTIFY_SOCKET").and_then(|name| match connect(&name) {
            Ok(link) => Some(link),
            Err(e) => {
                log::warn!("systemd is not told that the daemon runs: NOTIFY_SOCKET is {name:?}: {e}");
                None
            }
        });
        let is_ours = env("WATCHDOG_PID").is_none_or(|pid| pid == std::process::id().to_string());
        let micros = env("WATCHDOG_USEC").and_then(|text| text.parse().ok()).filter(|micros| *micros > 0);
        let watchdog = micros.filter(|_| is_ours && link.is_some()).map(Duration::from_micros);
        Self { link, watchdog, hung: false }
    }

    /// How often [`Systemd::beat`] is wanted; `None` if there is no watchdog.
    pub fn interval(&self) -> Option<Duration> {
        self.watchdog.map(|limit| limit / BEATS)
    }

    pub fn notify(&self, news: News<'_>) {
        match news {
            News::Ready(status) => self.send(&format!("READY=1\nSTATUS={}\n", line(status))),
            News::Reloading => self.send("RELOADING=1\nSTATUS=re-reading the configuration\n"),
            News::Stopping => self.send("STOPPING=1\nSTATUS=stopping\n"),
        }
    }

    /// Feeds the watchdog if every thread turns. If one does not, systemd restarts the daemon in a while; the
    /// log tells why.
    pub fn beat(&mut self, pulses: &[Liveness], now: Instant) {
        let hung = pulses.iter().find_map(|pulse| pulse.overdue(now).map(|silent| (pulse.name, silent)));
        match hung {
            None => self.send("WATCHDOG=1\n"),
            Some((name, silent)) if !self.hung => {
                log::error!("thread {name} has hung for {} s: the watchdog is not fed", silent.as_secs());
            }
            Some(_) => {}
        }
        self.hung = hung.is_some();
    }

    fn send(&self, message: &str) {
        let Some((socket, address)) = &self.link else { return };
        // A message that is lost leaves `systemctl status` behind; a lost beat is followed by two more in time.
        if let Err(e) = socket.send_to_addr(message.as_bytes(), address) {
            log::debug!("systemd did not take {message:?}: {e}");
        }
    }
}

/// A socket that can send to `name`: a path, or after `@` a name without a file.
fn connect(name: &str) -> io::Result<(UnixDatagram, SocketAddr)> {
    let address = match name.strip_prefix('@') {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(name)?,
    };
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    Ok((socket, address))
}

/// A line break would begin another assignment.
fn line(text: &str) -> String {
    text.chars().take(LONGEST).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::published::cell;

    /// A stand-in for systemd, with the environment that it gives.
    struct Manager {
        socket: UnixDatagram,
        name: String,
    }

    impl Manager {
        fn new(test: &str) -> Self {
            let name = format!("zk_monitor-{test}-{}", std::process::id());
            let address = SocketAddr::from_abstract_name(&name).unwrap();
            let socket = UnixDatagram::bind_addr(&address).unwrap();
            socket.set_nonblocking(true).unwrap();
            Self { socket, name: format!("@{name}") }
        }

        fn systemd(&self, watchdog: &[(&str, &str)]) -> Systemd {
            Systemd::from_env(&|name| {
                if name == "NOTIFY_SOCKET" {
                    return Some(self.name.clone());
                }
                watchdog.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
            })
        }

        /// What has arrived; nothing is nothing, as a local datagram arrives at once.
        fn heard(&self) -> Option<String> {
            let mut buffer = [0; 4096];
            let length = self.socket.recv(&mut buffer).ok()?;
            Some(String::from_utf8(buffer[..length].to_vec()).unwrap())
        }
    }

    #[test]
    fn news_are_assignments_and_a_status_is_one_line() {
        let manager = Manager::new("news");
        let systemd = manager.systemd(&[]);
        let check = |news, expected: &str| {
            systemd.notify(news);
            assert_eq!(manager.heard().as_deref(), Some(expected));
        };
        check(News::Ready("watches 2 rules"), "READY=1\nSTATUS=watches 2 rules\n");
        check(News::Ready("a\nWATCHDOG=1"), "READY=1\nSTATUS=a WATCHDOG=1\n");
        check(News::Reloading, "RELOADING=1\nSTATUS=re-reading the configuration\n");
        check(News::Stopping, "STOPPING=1\nSTATUS=stopping\n");
        systemd.notify(News::Ready(&"x".repeat(100_000)));
        assert!(manager.heard().is_some_and(|heard| heard.len() < 500));
    }

    #[test]
    fn the_watchdog_is_fed_only_while_every_thread_turns() {
        let manager = Manager::new("watchdog");
        let mut systemd = manager.systemd(&[("WATCHDOG_USEC", "30000000")]);
        let start = crate::clock::mono();
        let limit = Duration::from_secs(60);
        let (_writer, last) = cell(start);
        let (writer, slow) = cell(start);
        let pulses = [
            Liveness { name: "late", last: slow, limit },
            Liveness { name: "other", last, limit: Duration::MAX },
        ];
        systemd.beat(&pulses, start + limit);
        assert_eq!(manager.heard().as_deref(), Some("WATCHDOG=1\n"));
        systemd.beat(&pulses, start + 2 * limit);
        assert_eq!(manager.heard(), None);
        writer.publish(start + 2 * limit);
        systemd.beat(&pulses, start + 2 * limit);
        assert_eq!(manager.heard().as_deref(), Some("WATCHDOG=1\n"));
    }

    #[test]
    fn the_interval_is_a_third_of_what_systemd_allows_this_process() {
        let manager = Manager::new("interval");
        let own = std::process::id().to_string();
        let check = |watchdog: &[(&str, &str)], expected: Option<u64>| {
            let interval = manager.systemd(watchdog).interval();
            assert_eq!(interval, expected.map(Duration::from_secs), "{watchdog:?}");
        };
        check(&[], None);
        check(&[("WATCHDOG_USEC", "30000000")], Some(10));
        check(&[("WATCHDOG_USEC", "30000000"), ("WATCHDOG_PID", &own)], Some(10));
        check(&[("WATCHDOG_USEC", "30000000"), ("WATCHDOG_PID", "1")], None);
        check(&[("WATCHDOG_USEC", "0")], None);
        check(&[("WATCHDOG_USEC", "soon")], None);
    }

    #[test]
    fn without_a_service_manager_nothing_is_told_or_wanted() {
        let only_a_watchdog = |name: &str| (name == "WATCHDOG_USEC").then(|| "30000000".to_owned());
        let systemd = Systemd::from_env(&only_a_watchdog);
        systemd.notify(News::Ready("nobody hears"));
        assert_eq!(systemd.interval(), None);
    }
}
