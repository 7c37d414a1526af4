//! The far ends of the log: standard error, the journal behind it, the syslog daemon.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::Path;
use std::time::{Duration, Instant};

use log::Level;
use rustix::io::Errno;
use syslog::{Facility, Formatter3164, LoggerBackend};

use super::line::Line;
use crate::clock;

/// Where a local syslog daemon listens.
const SOCKET: &str = "/dev/log";

/// Where it may listen if it is not there.
const UDP: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 514);

/// How long one line may take the syslog daemon.
const DEADLINE: Duration = Duration::from_secs(1);

/// How long to leave a syslog daemon alone that was not there.
const PAUSE: Duration = Duration::from_secs(1);

/// Whether systemd's journal reads standard error: it names the device and inode of the stream it passed on.
fn stderr_is_journal() -> bool {
    let named = std::env::var("JOURNAL_STREAM").ok();
    let stat = rustix::fs::fstat(io::stderr()).ok();
    match (named, stat) {
        (Some(named), Some(stat)) => named == format!("{}:{}", stat.st_dev, stat.st_ino),
        _ => false,
    }
}

/// What the writing thread writes to.
pub enum Sink {
    /// Standard error, each line with its time.
    Stderr,
    /// Standard error that systemd reads: each line with its priority, `<4>`, in place of the time.
    Journal,
    /// The local syslog daemon.
    Syslog(Box<Syslog>),
    /// What tests read.
    #[cfg(test)]
    Memory(crossbeam_channel::Sender<String>),
}

impl Sink {
    /// Syslog if a facility is named, else standard error in the form that suits its reader. A syslog daemon is called
    /// when the first line comes.
    pub fn choose(facility: Option<Facility>) -> Self {
        match facility {
            Some(facility) => Self::Syslog(Box::new(Syslog::new(facility, Path::new(SOCKET), UDP))),
            None if stderr_is_journal() => Self::Journal,
            None => Self::Stderr,
        }
    }

    /// Writes one line, or loses it: a log has nobody to complain to.
    pub fn write(&mut self, line: &Line) {
        match self {
            Self::Stderr => write_stderr(&line.for_stderr(std::process::id())),
            Self::Journal => write_stderr(&line.for_journal(std::process::id())),
            Self::Syslog(syslog) => write_syslog(syslog, line),
            #[cfg(test)]
            Self::Memory(out) => out.send(line.text.clone()).unwrap(),
        }
    }
}

/// One call to the system, so that lines of several processes on one terminal do not mix. It does not take the lock of the
/// standard library: nobody reads a pipe that is full, and whoever wants that lock would wait with this thread for ever.
fn write_stderr(text: &str) {
    let mut rest = text.as_bytes();
    while !rest.is_empty() {
        match rustix::io::write(io::stderr(), rest) {
            Ok(written) if written > 0 => rest = &rest[written..],
            Err(Errno::INTR) => {}
            // A closed standard error must not end the daemon.
            Ok(_) | Err(_) => return,
        }
    }
}

fn write_syslog(syslog: &mut Syslog, line: &Line) {
    let outcome = syslog.write(line, clock::mono());
    if let Some(news) = outcome.news {
        write_stderr(&line.beside(Level::Warn, &news).for_stderr(std::process::id()));
    }
    if !outcome.written {
        write_stderr(&line.for_stderr(std::process::id()));
    }
}

/// The local syslog daemon: found again when it was restarted.
pub struct Syslog {
    facility: Facility,
    socket: Box<Path>,
    udp: SocketAddr,
    connection: Option<syslog::Logger<LoggerBackend, Formatter3164>>,
    /// When the daemon was last called on; not again within [`PAUSE`].
    called: Option<Instant>,
    /// Whether the last line reached the daemon; `None` before the first.
    reached: Option<bool>,
}

/// What became of a line.
#[derive(Debug, PartialEq, Eq)]
pub struct Outcome {
    pub written: bool,
    /// What is to be told on standard error: that syslog went away, or that it came back.
    pub news: Option<String>,
}

impl Syslog {
    fn new(facility: Facility, socket: &Path, udp: SocketAddr) -> Self {
        Self { facility, socket: socket.into(), udp, connection: None, called: None, reached: None }
    }

    /// Hands one line to the daemon, on a new connection if the old one is broken.
    fn write(&mut self, line: &Line, now: Instant) -> Outcome {
        let written = self.send(line).or_else(|_| self.connect(now).and_then(|()| self.send(line)));
        let before = self.reached.replace(written.is_ok());
        let news = match (&written, before) {
            (Err(error), None | Some(true)) => {
                self.connection = None;
                let (socket, udp) = (self.socket.display(), self.udp);
                Some(format!(
                    "syslog answers neither at {socket} nor at {udp}: {error}; log lines go here until it does"
                ))
            }
            (Ok(()), Some(false)) => Some("syslog answers again; log lines go there".to_owned()),
            (Err(_), Some(false)) | (Ok(()), None | Some(true)) => None,
        };
        Outcome { written: written.is_ok(), news }
    }

    fn send(&mut self, line: &Line) -> io::Result<()> {
        let logger = self.connection.as_mut().ok_or(io::ErrorKind::NotConnected)?;
        let text = &line.text;
        let sent = match line.level {
            Level::Error => logger.err(text),
            Level::Warn => logger.warning(text),
            Level::Info => logger.info(text),
            Level::Debug | Level::Trace => logger.debug(text),
        };
        let refused = match &logger.backend {
            // A refusal of a datagram comes as an error of its own, at once where it is local.
            LoggerBackend::Udp(socket, _) => socket.take_error()?,
            LoggerBackend::Unix(_) | LoggerBackend::UnixStream(_) | LoggerBackend::Tcp(_) => None,
        };
        match (sent, refused) {
            (Ok(()), None) => Ok(()),
            (Ok(()), Some(refusal)) => Err(refusal),
            (Err(syslog::Error::Write(error) | syslog::Error::Io(error)), _) => Err(error),
            (Err(syslog::Error::Initialization(error)), _) => Err(io::Error::other(error)),
        }
    }

    /// Connects to the socket, else by UDP.
    fn connect(&mut self, now: Instant) -> io::Result<()> {
        if self.called.is_some_and(|called| now < called + PAUSE) {
            return Err(io::ErrorKind::NotConnected.into());
        }
        self.called = Some(now);
        self.connection = None;
        let mut formatter = Formatter3164 {
            facility: self.facility,
            hostname: None,
            process: "zk_monitor".to_owned(),
            pid: std::process::id(),
        };
        let logger = if let Ok(logger) = syslog::unix_custom(formatter.clone(), &self.socket) {
            logger
        } else {
            // Over a network, even this one, a message names its host.
            formatter.hostname = Some(rustix::system::uname().nodename().to_string_lossy().into_owned());
            syslog::Logger::new(by_udp(self.udp)?, formatter)
        };
        limit(&logger.backend)?;
        self.connection = Some(logger);
        Ok(())
    }
}

/// A connected socket, because only such a one learns of refusals.
fn by_udp(to: SocketAddr) -> io::Result<LoggerBackend> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    socket.connect(to)?;
    Ok(LoggerBackend::Udp(socket, to))
}

/// Bounds how long a write may take.
fn limit(backend: &LoggerBackend) -> io::Result<()> {
    match backend {
        LoggerBackend::Unix(socket) => socket.set_write_timeout(Some(DEADLINE)),
        LoggerBackend::UnixStream(stream) => stream.get_ref().set_write_timeout(Some(DEADLINE)),
        LoggerBackend::Udp(socket, _) => socket.set_write_timeout(Some(DEADLINE)),
        LoggerBackend::Tcp(stream) => stream.get_ref().set_write_timeout(Some(DEADLINE)),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixDatagram;
    use std::time::SystemTime;

    use super::*;

    fn line(text: &str) -> Line {
        Line::new(SystemTime::UNIX_EPOCH, Level::Warn, "zk_monitor::daemon", &text)
    }

    fn received(from: impl FnOnce(&mut [u8]) -> io::Result<usize>) -> String {
        let mut buffer = [0; 2048];
        let length = from(&mut buffer).unwrap();
        String::from_utf8(buffer[..length].to_vec()).unwrap()
    }

    /// A directory of its own, gone with the test.
    struct Folder(std::path::PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("zk_monitor-{name}-{}", std::process::id()));
            std::fs::create_dir_all(&path).unwrap();
            Self(path)
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            std::fs::remove_dir_all(&self.0).unwrap();
        }
    }

    /// A port where nobody listens: it was free a moment ago, and stays bound to nothing.
    fn nobody() -> SocketAddr {
        UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap()
    }

    #[test]
    fn a_line_arrives_at_the_socket_with_facility_and_severity() {
        let folder = Folder::new("syslog-socket");
        let path = folder.0.join("log");
        let daemon = UnixDatagram::bind(&path).unwrap();
        let mut syslog = Syslog::new(Facility::LOG_LOCAL0, &path, nobody());
        assert_eq!(syslog.write(&line("hello"), clock::mono()), Outcome { written: true, news: None });
        let text = received(|buffer| daemon.recv(buffer));
        let (local0, warning) = (16 * 8, 4);
        assert!(text.starts_with(&format!("<{}>", local0 + warning)), "{text}");
        let tail = format!("zk_monitor[{}]: [daemon] (WARN) hello", std::process::id());
        assert!(text.ends_with(&tail), "{text}");
    }

    #[test]
    fn a_restarted_daemon_is_found_again_and_its_absence_told_once() {
        let folder = Folder::new("syslog-restart");
        let path = folder.0.join("log");
        let mut syslog = Syslog::new(Facility::LOG_LOCAL0, &path, nobody());
        let start = clock::mono();
        let away = syslog.write(&line("one"), start);
        assert!(!away.written && away.news.is_some_and(|news| news.contains("syslog answers neither at")));
        assert_eq!(syslog.write(&line("two"), start), Outcome { written: false, news: None });

        let daemon = UnixDatagram::bind(&path).unwrap();
        let early = syslog.write(&line("three"), start + PAUSE / 2);
        assert_eq!(early, Outcome { written: false, news: None }, "the pause is kept");
        let back = syslog.write(&line("four"), start + PAUSE);
        assert!(back.written && back.news.is_some_and(|news| news.contains("again")));
        assert!(received(|buffer| daemon.recv(buffer)).ends_with("four"));

        drop(daemon);
        std::fs::remove_file(&path).unwrap();
        let daemon = UnixDatagram::bind(&path).unwrap();
        let restarted = syslog.write(&line("five"), start + 3 * PAUSE);
        assert_eq!(restarted, Outcome { written: true, news: None });
        assert!(received(|buffer| daemon.recv(buffer)).ends_with("five"));
    }

    #[test]
    fn without_a_socket_lines_go_by_udp_and_a_refusal_is_noticed() {
        let daemon = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let nowhere = Path::new("/nonexistent/log");
        let mut syslog = Syslog::new(Facility::LOG_DAEMON, nowhere, daemon.local_addr().unwrap());
        assert!(syslog.write(&line("hello"), clock::mono()).written);
        assert!(received(|buffer| daemon.recv(buffer)).ends_with("[daemon] (WARN) hello"));
        drop(daemon);
        let refused = syslog.write(&line("lost?"), clock::mono());
        assert!(!refused.written && refused.news.is_some());
    }
}
