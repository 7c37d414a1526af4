//! A mail server that keeps what it gets, and misbehaves on demand.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use super::server::{Server, hangs_up_within};
use super::{Mail, SOON, eventually};

/// More mails than this are not kept, only counted.
const KEPT: usize = 100_000;

/// How the server behaves; a change counts from the next command on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Manner {
    /// As it should.
    Good,
    /// Closes each connection at once.
    CloseAtConnect,
    /// Greets with this line, `421 4.3.2 too busy`, and closes.
    Greeting(&'static str),
    /// Takes connections and says nothing, ever.
    Silent,
    /// Waits so long before each line it says.
    Slow(Duration),
    /// Says each line byte by byte, one in this time.
    Tarpit(Duration),
    /// Answers MAIL with this line.
    RefuseSender(&'static str),
    /// Answers DATA with this line.
    RefuseData(&'static str),
    /// Answers the final dot with this line, and does not keep the mail.
    RefuseMail(&'static str),
    /// Closes the connection in the middle of the mail.
    DropInData,
    /// Keeps the mail, and closes the connection instead of answering.
    DropAfterDot,
}

#[derive(Default)]
struct State {
    manner: Option<Manner>,
    refused: HashMap<String, &'static str>,
    mails: Vec<Mail>,
    attempts: Vec<String>,
    hellos: Vec<String>,
}

/// The server, on a port of the loopback.
pub struct SmtpSink {
    server: Server,
    state: Arc<Mutex<State>>,
}

impl SmtpSink {
    /// Starts one that behaves.
    pub fn start() -> Self {
        Self::on(Ipv4Addr::LOCALHOST)
    }

    /// Starts one that behaves, on this address, which is ours.
    pub fn on(ip: Ipv4Addr) -> Self {
        let state = Arc::new(Mutex::new(State::default()));
        let shared = Arc::clone(&state);
        let server = Server::on(ip, move |stream| {
            // A client that goes away in the middle ends its own conversation only.
            drop(Conversation { stream, state: &shared }.hold());
        });
        Self { server, state }
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.server.port()
    }

    /// Behaves otherwise from now on.
    pub fn behave(&self, manner: Manner) {
        self.lock().manner = Some(manner);
    }

    /// Answers the recipient `address` with `reply` (`550 5.1.1 no such user`) from now on.
    pub fn refuse(&self, address: &str, reply: &'static str) {
        self.lock().refused.insert(address.to_owned(), reply);
    }

    /// Takes the recipient again.
    pub fn accept(&self, address: &str) {
        self.lock().refused.remove(address);
    }

    /// Refuses connections and ends those that are open.
    pub fn down(&mut self) {
        self.server.down();
    }

    /// Listens again.
    pub fn up(&mut self) {
        self.server.up();
    }

    /// How many connections there were.
    pub fn connections(&self) -> usize {
        self.server.accepted()
    }

    /// All mails that were taken, in their order.
    pub fn mails(&self) -> Vec<Mail> {
        self.lock().mails.clone()
    }

    /// The mails that were taken after the first `known`.
    pub fn mails_since(&self, known: usize) -> Vec<Mail> {
        self.lock().mails.iter().skip(known).cloned().collect()
    }

    /// The recipient of each RCPT command, refused ones too.
    pub fn attempts(&self) -> Vec<String> {
        self.lock().attempts.clone()
    }

    /// What clients called themselves in EHLO.
    pub fn hellos(&self) -> Vec<String> {
        self.lock().hellos.clone()
    }

    /// Waits until `count` mails were taken.
    ///
    /// # Panics
    /// If they do not come, or more came.
    #[track_caller]
    pub fn wait_for(&self, count: usize) -> Vec<Mail> {
        let mails = eventually(SOON, &format!("{count} mails"), || {
            let mails = self.mails();
            if mails.len() >= count { Ok(mails) } else { Err(subjects(&mails)) }
        });
        assert_eq!(mails.len(), count, "{:?}", subjects(&mails));
        mails
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
}

fn subjects(mails: &[Mail]) -> Vec<String> {
    mails.iter().map(|mail| format!("{:?}: {}", mail.to, mail.subject())).collect()
}

/// One client's dialogue.
struct Conversation<'a> {
    stream: TcpStream,
    state: &'a Mutex<State>,
}

impl Conversation<'_> {
    fn hold(mut self) -> std::io::Result<()> {
        let manner = self.manner();
        if manner == Manner::CloseAtConnect {
            return Ok(());
        }
        if let Manner::Greeting(line) = manner {
            return self.say(line);
        }
        self.say("220 sink ESMTP")?;
        let mut input = BufReader::new(self.stream.try_clone()?);
        let (mut from, mut to) = (String::new(), Vec::new());
        loop {
            let mut line = String::new();
            if input.by_ref().take(4096).read_line(&mut line)? == 0 {
                return Ok(());
            }
            let line = line.trim_end();
            let verb = line.split([' ', ':']).next().unwrap_or("").to_ascii_uppercase();
            match verb.as_str() {
                "EHLO" => self.hello(line)?,
                "HELO" | "NOOP" => self.say("250 ok")?,
                "RSET" => {
                    to.clear();
                    self.say("250 ok")?;
                }
                "MAIL" => {
                    from = address(line);
                    to.clear();
                    let refusal =
                        if let Manner::RefuseSender(reply) = self.manner() { Some(reply) } else { None };
                    self.say(refusal.unwrap_or("250 ok"))?;
                }
                "RCPT" => self.recipient(address(line), &mut to)?,
                "DATA" => {
                    if !self.data(&mut input, &from, &to)? {
                        return Ok(());
                    }
                }
                "QUIT" => return self.say("221 bye"),
                _ => self.say("502 5.5.2 not here")?,
            }
        }
    }

    fn hello(&mut self, line: &str) -> std::io::Result<()> {
        let name = line.split_whitespace().nth(1).unwrap_or_default().to_owned();
        self.state.lock().unwrap().hellos.push(name);
        self.say("250-sink\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250 SIZE 10485760")
    }

    fn recipient(&mut self, address: String, to: &mut Vec<String>) -> std::io::Result<()> {
        let refusal = {
            let mut state = self.state.lock().unwrap();
            state.attempts.push(address.clone());
            state.refused.get(&address).copied()
        };
        if refusal.is_none() {
            to.push(address);
        }
        self.say(refusal.unwrap_or("250 ok"))
    }

    /// Takes a mail. Tells whether the conversation goes on.
    fn data(&mut self, input: &mut BufReader<TcpStream>, from: &str, to: &[String]) -> std::io::Result<bool> {
        if to.is_empty() {
            return self.say("554 5.5.1 no valid recipients").map(|()| true);
        }
        if let Manner::RefuseData(reply) = self.manner() {
            return self.say(reply).map(|()| true);
        }
        self.say("354 go on")?;
        let mut raw = Vec::new();
        loop {
            let start = raw.len();
            if input.by_ref().take(65_536).read_until(b'\n', &mut raw)? == 0
                || self.manner() == Manner::DropInData
            {
                return Ok(false);
            }
            if &raw[start..] == b".\r\n" {
                raw.truncate(start);
                break;
            }
            if raw[start..].starts_with(b".") {
                raw.remove(start);
            }
        }
        let mail = Mail::parse(from, to, &String::from_utf8_lossy(&raw), Instant::now());
        let manner = self.manner();
        if let Manner::RefuseMail(reply) = manner {
            return self.say(reply).map(|()| true);
        }
        self.keep(mail);
        if manner == Manner::DropAfterDot {
            return Ok(false);
        }
        self.say("250 2.0.0 taken").map(|()| true)
    }

    fn keep(&self, mail: Mail) {
        let mut state = self.state.lock().unwrap();
        if state.mails.len() < KEPT {
            state.mails.push(mail);
        }
    }

    fn manner(&self) -> Manner {
        self.state.lock().unwrap().manner.clone().unwrap_or(Manner::Good)
    }

    fn say(&mut self, text: &str) -> std::io::Result<()> {
        let line = format!("{text}\r\n");
        let manner = self.manner();
        if let Manner::Tarpit(pause) = manner {
            return line.as_bytes().iter().try_for_each(|byte| {
                self.linger(pause)?;
                self.stream.write_all(&[*byte])
            });
        }
        if let Manner::Slow(pause) = manner {
            self.linger(pause)?;
        }
        if manner == Manner::Silent {
            return self.linger(Duration::from_secs(3600));
        }
        self.stream.write_all(line.as_bytes())
    }

    /// Waits, but not longer than the client stays.
    fn linger(&self, pause: Duration) -> std::io::Result<()> {
        if hangs_up_within(&self.stream, pause) { Err(ErrorKind::ConnectionAborted.into()) } else { Ok(()) }
    }
}

/// What stands between the angle brackets.
fn address(line: &str) -> String {
    let start = line.find('<').map_or(0, |at| at + 1);
    let end = line.rfind('>').unwrap_or(line.len());
    line.get(start..end).unwrap_or("").to_owned()
}
