//! Servers of a few lines, each in a thread of its own that ends with its last connection.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Duration;

/// What a server does in the place of an answer.
#[derive(Clone, Copy, Debug)]
pub(super) enum Act {
    /// Says this.
    Say(&'static str),
    /// Says this, and closes the connection.
    LastWords(&'static str),
    /// Says this, and goes on with `x` for ever.
    Endless(&'static str),
    /// Says this byte by byte, and goes on with `x`, too slowly to ever be done.
    Drip(&'static str),
    /// Says nothing until the other side gives up.
    Silence,
    /// Closes the connection.
    Close,
}

/// What a request was.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) line: String,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
}

impl Request {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(other, _)| other.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    pub(super) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

/// Serves one connection for each act; returns the address and the requests.
pub(super) fn http(acts: Vec<Act>) -> (String, Receiver<Request>) {
    serve(acts, |stream, act, requests| {
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        if let Some(request) = read_request(&mut reader) {
            requests.send(request).unwrap_or_default();
            perform(stream, act);
        }
    })
}

/// An address at which nobody listens.
pub(super) fn nobody() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// A host name that the resolver knows to be none, without asking anybody: its first part is too long.
pub(super) fn no_host() -> String {
    "x".repeat(64) + ".invalid"
}

/// Reads some twenty megabytes a second, so that every write makes progress, and never answers.
pub(super) fn slow_reader() -> String {
    let pace = Pace::new();
    let (address, _) = serve(vec![()], move |stream, (), _: &Sender<()>| {
        let mut buffer = vec![0; 512 * 1024];
        while stream.read(&mut buffer).is_ok_and(|amount| amount > 0) {
            pace.wait();
        }
    });
    address
}

/// A server of mail that answers to each verb as told.
pub(super) struct Script {
    pub(super) greeting: Act,
    pub(super) answers: Vec<(&'static str, Act)>,
}

impl Script {
    /// One that takes every mail, but for these answers.
    pub(super) fn but(answers: &[(&'static str, Act)]) -> Self {
        Self { greeting: Act::Say("220 sink\r\n"), answers: answers.to_vec() }
    }

    fn answer(&self, verb: &str) -> Act {
        let told = self.answers.iter().find(|(other, _)| *other == verb).map(|(_, act)| *act);
        told.unwrap_or(match verb {
            "DATA" => Act::Say("354 go on\r\n"),
            "QUIT" => Act::Close,
            _ => Act::Say("250 fine\r\n"),
        })
    }
}

/// Serves one connection for each script; returns the port, and all lines that it was sent, each connection's
/// behind `(connected)`.
pub(super) fn smtp(scripts: Vec<Script>) -> (u16, Receiver<String>) {
    let (address, lines) = serve(scripts, |stream, script, lines| {
        lines.send("(connected)".to_owned()).unwrap_or_default();
        if perform(stream, script.greeting) {
            converse(stream, &script, lines);
        }
    });
    (address.rsplit(':').next().unwrap().parse().unwrap(), lines)
}

fn converse(stream: &mut TcpStream, script: &Script, lines: &Sender<String>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut in_content = false;
    let mut line = String::new();
    while reader.read_line(&mut line).is_ok_and(|amount| amount > 0) {
        let said = line.trim_end_matches("\r\n").to_owned();
        line.clear();
        lines.send(said.clone()).unwrap_or_default();
        if in_content && said != "." {
            continue;
        }
        let verb = if in_content { "." } else { said.split([' ', ':']).next().unwrap_or_default() };
        let act = script.answer(verb);
        in_content = verb == "DATA" && matches!(act, Act::Say(said) if said.starts_with("354"));
        if !perform(stream, act) {
            return;
        }
    }
}

/// Listens, and serves one connection for each of the parts, one after another.
fn serve<P, T>(
    parts: Vec<P>,
    serve: impl Fn(&mut TcpStream, P, &Sender<T>) + Send + 'static,
) -> (String, Receiver<T>)
where
    P: Send + 'static,
    T: Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (sender, receiver) = channel();
    thread::spawn(move || {
        for part in parts {
            let Ok((mut stream, _)) = listener.accept() else { return };
            serve(&mut stream, part, &sender);
        }
    });
    (address, receiver)
}

fn read_request(reader: &mut impl BufRead) -> Option<Request> {
    let mut lines = reader.by_ref().lines().map_while(Result::ok);
    let line = lines.next()?;
    let headers: Vec<(String, String)> = lines
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.split_once(": ").map(|(name, value)| (name.to_owned(), value.to_owned())))
        .collect();
    let mut request = Request { line, headers, body: Vec::new() };
    let length = request.header("Content-Length").map_or(0, |length| length.parse().unwrap());
    reader.take(length).read_to_end(&mut request.body).ok()?;
    Some(request)
}

/// Whether the connection can go on.
fn perform(stream: &mut TcpStream, act: Act) -> bool {
    match act {
        Act::Say(text) => stream.write_all(text.as_bytes()).is_ok(),
        Act::Close => false,
        Act::LastWords(text) => stream.write_all(text.as_bytes()).is_err(),
        Act::Silence => {
            stream.read_to_end(&mut Vec::new()).unwrap_or_default();
            false
        }
        Act::Endless(text) => {
            let mut more = text.as_bytes().to_vec();
            while stream.write_all(&more).is_ok() {
                more = vec![b'x'; 4096];
            }
            false
        }
        Act::Drip(text) => {
            let pace = Pace::new();
            let mut bytes = text.bytes().chain(std::iter::repeat(b'x'));
            while bytes.next().is_some_and(|byte| stream.write_all(&[byte]).is_ok()) {
                pace.wait();
            }
            false
        }
    }
}

/// The pace of a slow server: a wait on a channel in which nothing ever comes.
struct Pace {
    _sender: Sender<()>,
    never: Receiver<()>,
}

impl Pace {
    fn new() -> Self {
        let (_sender, never) = channel();
        Self { _sender, never }
    }

    fn wait(&self) {
        assert_eq!(self.never.recv_timeout(Duration::from_millis(20)), Err(RecvTimeoutError::Timeout));
    }
}
