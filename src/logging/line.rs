//! One event as one line.

use std::fmt::{self, Display, Write as _};
use std::time::SystemTime;

use log::Level;

use crate::model::printable;
use crate::model::rfc3339::rfc3339;

/// How many bytes of a message are kept; what is longer ends in a count of what is missing.
const LONGEST: usize = 4000;

/// One event, all of it printable.
#[derive(Debug)]
pub struct Line {
    at: SystemTime,
    pub level: Level,
    /// `[module] (LEVEL) message`.
    pub text: String,
}

impl Line {
    /// The line for a message of the module `target`.
    pub fn new(at: SystemTime, level: Level, target: &str, message: &dyn Display) -> Self {
        let module = target.strip_prefix("zk_monitor::").unwrap_or(target);
        let mut message_text = OneLine { text: String::new(), missing: 0 };
        // What a failing Display wrote is all that can be told.
        write!(message_text, "{message}").ok();
        let mut text = format!("[{module}] ({level}) {}", message_text.text);
        if message_text.missing > 0 {
            text.push_str(&format!("... ({} more bytes)", message_text.missing));
        }
        Self { at, level, text }
    }

    /// A line of the log about itself, of the same moment.
    pub fn beside(&self, level: Level, message: &str) -> Self {
        Self::new(self.at, level, "zk_monitor::logging", &message)
    }

    /// As a terminal or file shows it: `2014-05-31 16:20:25,862 [pid] [module] (LEVEL) message`, in UTC.
    pub fn for_stderr(&self, pid: u32) -> String {
        format!("{} [{pid}] {}\n", timestamp(self.at), self.text)
    }

    /// As systemd's journal reads it: the syslog priority stands for the time, which the journal knows.
    pub fn for_journal(&self, pid: u32) -> String {
        format!("<{}>[{pid}] {}\n", priority(self.level), self.text)
    }
}

/// The syslog severity of a level.
fn priority(level: Level) -> u8 {
    match level {
        Level::Error => 3,
        Level::Warn => 4,
        Level::Info => 6,
        Level::Debug | Level::Trace => 7,
    }
}

/// Takes text, escapes what would break a line or command a terminal, and keeps [`LONGEST`] bytes.
struct OneLine {
    text: String,
    missing: usize,
}

impl fmt::Write for OneLine {
    fn write_str(&mut self, part: &str) -> fmt::Result {
        for character in part.chars() {
            if self.missing > 0 || self.text.len() >= LONGEST {
                self.missing += character.len_utf8();
            } else {
                printable::push(&mut self.text, character);
            }
        }
        Ok(())
    }
}

/// `2014-05-31 16:20:25,862`, in UTC: neither the standard library nor the system interface that needs no
/// unsafe code knows the local time zone, and UTC compares across agents.
fn timestamp(at: SystemTime) -> String {
    let millis = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().subsec_millis();
    let text = rfc3339(at).replace('T', " ");
    format!("{},{millis:03}", text.trim_end_matches('Z'))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn line(message: &str) -> Line {
        let at = SystemTime::UNIX_EPOCH + Duration::from_millis(1_401_553_225_862);
        Line::new(at, Level::Warn, "zk_monitor::zk::session", &message)
    }

    #[test]
    fn the_time_and_the_priority_stand_first() {
        let line = line("connection lost");
        assert_eq!(
            line.for_stderr(77),
            "2014-05-31 16:20:25,862 [77] [zk::session] (WARN) connection lost\n"
        );
        assert_eq!(line.for_journal(77), "<4>[77] [zk::session] (WARN) connection lost\n");
    }

    #[test]
    fn an_event_is_one_line() {
        let check = |message: &str, expected: &str| {
            assert_eq!(line(message).text, format!("[zk::session] (WARN) {expected}"), "{message:?}");
        };
        check("two\nlines\r\n", "two\\nlines\\r\\n");
        check("colour \u{1b}[31m", "colour \\u{1b}[31m");
        check("\u{85}\u{2028}\u{202e}", "\\u{85}\\u{2028}\\u{202e}");
        check("/services/f\u{fc}r/\u{96ea}", "/services/f\u{fc}r/\u{96ea}");
        check(&"x".repeat(LONGEST), &"x".repeat(LONGEST));
        check(&"x".repeat(LONGEST + 5), &format!("{}... (5 more bytes)", "x".repeat(LONGEST)));
    }
}
