//! An HTTP server that keeps what it is asked, and answers as it is told.

use std::collections::{HashMap, VecDeque};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::server::{Server, hangs_up_within};
use super::{SOON, eventually};

/// A longer head or body ends the connection.
const LONGEST: u64 = 32 << 20;

/// What is answered to one request.
#[derive(Clone, Debug)]
pub struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    body: String,
    delay: Duration,
    end: End,
}

/// How an exchange ends.
#[derive(Clone, Copy, Debug)]
enum End {
    Answered,
    /// The request is read, and nothing is ever said.
    Hang,
    /// The request is read, and the connection closed.
    Drop,
    /// A body that has no end.
    Endless,
}

impl Answer {
    /// This status, with a body that says nothing.
    pub fn status(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: "ok".into(), delay: Duration::ZERO, end: End::Answered }
    }

    /// 200 with this JSON.
    pub fn json(value: &Value) -> Self {
        Self::status(200).header("Content-Type", "application/json").body(&value.to_string())
    }

    /// Nothing, for ever.
    pub fn hang() -> Self {
        Self { end: End::Hang, ..Self::status(200) }
    }

    /// Nothing, and the end of the connection.
    pub fn hang_up() -> Self {
        Self { end: End::Drop, ..Self::status(200) }
    }

    /// 200 and a body without an end.
    pub fn endless() -> Self {
        Self { end: End::Endless, ..Self::status(200) }
    }

    /// With this header field too.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// With this body.
    pub fn body(mut self, body: &str) -> Self {
        body.clone_into(&mut self.body);
        self
    }

    /// Not before this time has passed.
    pub fn after(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }
}

/// One request that a sink read whole.
#[derive(Clone, Debug)]
pub struct Request {
    /// `GET`, `POST` …
    pub method: String,
    /// The path without the query.
    pub path: String,
    /// The query without the question mark; empty if there is none.
    pub query: String,
    /// The header fields, names in lower case.
    pub headers: HashMap<String, String>,
    /// The body.
    pub body: String,
    /// When its last byte came.
    pub at: Instant,
    /// The status that it is answered with, if it is answered.
    pub answered: Option<u16>,
}

impl Request {
    /// The body as JSON.
    ///
    /// # Panics
    /// If it is none.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {:?}", self.body))
    }
}

#[derive(Default)]
struct State {
    always: HashMap<String, Answer>,
    next: HashMap<String, VecDeque<Answer>>,
    requests: Vec<Request>,
}

/// The server, on a port of the loopback. Answers 200 to all that nobody told it about.
pub struct HttpSink {
    server: Server,
    state: Arc<Mutex<State>>,
}

impl HttpSink {
    /// Starts one.
    pub fn start() -> Self {
        Self::on(Ipv4Addr::LOCALHOST)
    }

    /// Starts one on this address, which is ours.
    pub fn on(ip: Ipv4Addr) -> Self {
        let state = Arc::new(Mutex::new(State::default()));
        let shared = Arc::clone(&state);
        let server = Server::on(ip, move |stream| {
            // A client that goes away in the middle ends its own connection only.
            drop(serve(&stream, &shared));
        });
        Self { server, state }
    }

    /// `http://address:port` and this path.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.server.address())
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.server.port()
    }

    /// Answers `path` so from now on.
    pub fn answer(&self, path: &str, answer: Answer) {
        self.lock().always.insert(path.to_owned(), answer);
    }

    /// Answers the next request of `path` so; several are answered in their order.
    pub fn answer_once(&self, path: &str, answer: Answer) {
        self.lock().next.entry(path.to_owned()).or_default().push_back(answer);
    }

    /// Refuses connections and ends those that are open.
    pub fn down(&mut self) {
        self.server.down();
    }

    /// Listens again.
    pub fn up(&mut self) {
        self.server.up();
    }

    /// All requests of `path`, in their order.
    pub fn requests(&self, path: &str) -> Vec<Request> {
        self.lock().requests.iter().filter(|request| request.path == path).cloned().collect()
    }

    /// The requests of `path` that came after the first `known`.
    pub fn requests_since(&self, path: &str, known: usize) -> Vec<Request> {
        let state = self.lock();
        state.requests.iter().filter(|request| request.path == path).skip(known).cloned().collect()
    }

    /// Waits until there were `count` requests of `path`.
    ///
    /// # Panics
    /// If they do not come, or more came.
    #[track_caller]
    pub fn wait_for(&self, path: &str, count: usize) -> Vec<Request> {
        let requests = eventually(SOON, &format!("{count} requests of {path}"), || {
            let requests = self.requests(path);
            if requests.len() >= count { Ok(requests) } else { Err(requests.len()) }
        });
        assert_eq!(requests.len(), count, "{requests:?}");
        requests
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
}

fn serve(stream: &TcpStream, state: &Mutex<State>) -> std::io::Result<()> {
    let mut input = BufReader::new(stream.try_clone()?.take(LONGEST));
    while let Some(request) = read_request(&mut input, stream)? {
        let answer = {
            let mut state = state.lock().unwrap();
            let next = state.next.get_mut(&request.path).and_then(VecDeque::pop_front);
            let answer = next.or_else(|| state.always.get(&request.path).cloned());
            let answer = answer.unwrap_or_else(|| Answer::status(200));
            let answered = matches!(answer.end, End::Answered).then_some(answer.status);
            state.requests.push(Request { answered, ..request });
            answer
        };
        if hangs_up_within(stream, answer.delay) || !respond(stream, &answer)? {
            return Ok(());
        }
    }
    Ok(())
}

/// Answers. Tells whether the connection goes on.
fn respond(mut stream: &TcpStream, answer: &Answer) -> std::io::Result<bool> {
    let mut head = format!("HTTP/1.1 {} Told\r\n", answer.status);
    for (name, value) in &answer.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    match answer.end {
        End::Drop => Ok(false),
        End::Hang => {
            hangs_up_within(stream, Duration::from_secs(3600));
            Ok(false)
        }
        End::Endless => {
            stream.write_all(format!("{head}Connection: close\r\n\r\n").as_bytes())?;
            loop {
                stream.write_all(&[b'x'; 4096])?;
            }
        }
        End::Answered => {
            let body = &answer.body;
            stream.write_all(format!("{head}Content-Length: {}\r\n\r\n{body}", body.len()).as_bytes())?;
            Ok(true)
        }
    }
}

type Input = BufReader<std::io::Take<TcpStream>>;

fn read_request(input: &mut Input, mut stream: &TcpStream) -> std::io::Result<Option<Request>> {
    let mut first = String::new();
    if input.read_line(&mut first)? == 0 {
        return Ok(None);
    }
    let mut headers = HashMap::new();
    loop {
        let mut line = String::new();
        input.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    if headers.get("expect").is_some_and(|expected| expected.eq_ignore_ascii_case("100-continue")) {
        stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
    }
    let length = headers.get("content-length").and_then(|length| length.parse().ok());
    let body = match length {
        Some(length) => read_exactly(input, length)?,
        None if headers.get("transfer-encoding").is_some_and(|coding| coding == "chunked") => {
            read_chunks(input)?
        }
        None => Vec::new(),
    };
    let mut words = first.split_whitespace();
    let (method, target) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    Ok(Some(Request {
        method: method.to_owned(),
        path: path.to_owned(),
        query: query.to_owned(),
        headers,
        body: String::from_utf8_lossy(&body).into_owned(),
        at: Instant::now(),
        answered: None,
    }))
}

fn read_exactly(input: &mut Input, length: u64) -> std::io::Result<Vec<u8>> {
    let mut body = Vec::new();
    input.by_ref().take(length).read_to_end(&mut body)?;
    if body.len() as u64 == length { Ok(body) } else { Err(std::io::ErrorKind::UnexpectedEof.into()) }
}

fn read_chunks(input: &mut Input) -> std::io::Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let mut line = String::new();
        input.read_line(&mut line)?;
        let length = u64::from_str_radix(line.trim_end(), 16).map_err(|_| std::io::ErrorKind::InvalidData)?;
        body.extend(read_exactly(input, length)?);
        input.read_line(&mut line)?;
        if length == 0 {
            return Ok(body);
        }
    }
}
