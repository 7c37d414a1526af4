//! The whole of it over real sockets, by clients that mean well and by those that do not.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::thread::{self, JoinHandle};
use std::time::{Duration, UNIX_EPOCH};

use serde_json::{Value, json};

use super::client::HEAD_TIME;
use super::fixture::{self, Cells, now};
use super::gate::CLIENTS;
use super::{Stopper, bind, serve};
use crate::model::recent::{Recent, RecentEvent};
use crate::model::status::{Compliance, Connection};
use crate::threads::Threads;

/// A server over the snapshots of the fixture, ended and joined when dropped.
struct Server {
    address: SocketAddr,
    cells: Cells,
    running: Option<(Stopper, JoinHandle<io::Result<()>>)>,
}

impl Server {
    fn start() -> Self {
        let (cells, snapshots) = fixture::cells();
        let (listener, stopper) = bind(Some(Ipv4Addr::LOCALHOST.into()), 0).unwrap();
        let address = listener.local_addr().unwrap();
        let spawner = Threads::default().spawner();
        let thread = thread::spawn(move || serve(listener, snapshots, &spawner));
        Self { address, cells, running: Some((stopper, thread)) }
    }

    fn stop(&mut self) -> io::Result<()> {
        let Some((stopper, thread)) = self.running.take() else { return Ok(()) };
        drop(stopper);
        thread.join().unwrap()
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        stream.set_write_timeout(Some(Duration::from_secs(10))).unwrap();
        stream
    }

    /// Sends `text` and reads all answers until the server closes.
    fn say(&self, text: &str) -> String {
        let mut stream = self.connect();
        stream.write_all(text.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    fn get(&self, target: &str) -> Reply {
        self.ask("GET", target, "")
    }

    fn ask(&self, method: &str, target: &str, headers: &str) -> Reply {
        let text = format!("{method} {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{headers}\r\n");
        Reply::new(&self.say(&text))
    }

    /// A fresh request must be answered before any of the others could have been given up, whatever else goes on.
    fn must_answer_at_once(&self, meanwhile: &str) {
        let start = now();
        let reply = self.get("/status");
        assert_eq!(reply.status, 200, "{meanwhile}");
        assert!((now() - start) < HEAD_TIME * 4 / 5, "{meanwhile}: {:?}", (now() - start));
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop().unwrap();
    }
}

struct Reply {
    status: u16,
    head: String,
    body: String,
}

impl Reply {
    fn new(text: &str) -> Self {
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no head: {text:?}"));
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Self { status, head: head.to_owned(), body: body.to_owned() }
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {:?}", self.body))
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }
}

#[test]
fn a_path_and_a_glob_have_rules_in_words_whatever_their_state() {
    let server = Server::start();
    let foo = json!({
        "alerts": "after 30s out of spec, severity error", "asks": ["children: 1 to 9"],
        "depends_on": ["/services/*/hosts"], "description": "the \"foo\" service", "name": "page",
        "path": "/services/foo/min_1", "receivers": [{"id": "a1", "name": "email o…"}],
        "runbook": "https://wiki.example.com/foo",
    });
    let hosts = json!({
        "alerts": "at once, severity error", "asks": [], "depends_on": [], "description": null, "name": null,
        "path": "/services/*/hosts", "receivers": [], "runbook": null,
    });
    let check = |path: &str, rules: Value| {
        let reply = server.get(&format!("/rules{path}"));
        let status = server.get(&format!("/status{path}"));
        let status = if status.status == 404 { Value::Null } else { status.json() };
        assert_eq!((reply.status, reply.json()), (200, json!({"rules": rules, "status": status})), "{path}");
    };
    check("/services/foo/min_1", json!([foo]));
    check("/services/web/hosts", json!([hosts]));
    check("/services/*/hosts", json!([hosts]));
    check("/services/unseen/hosts", json!([hosts]));
    check("/nothing", json!([]));
}

#[test]
fn events_are_served_newest_first_and_not_again_to_who_has_them() {
    let server = Server::start();
    let mut recent = Recent::default();
    let event = |path: &str| RecentEvent {
        time: UNIX_EPOCH,
        path: Some(path.into()),
        json: format!("{{\"path\":\"{path}\"}}").into(),
    };
    recent.extend(["/a", "/b"].map(event));
    server.cells.events.publish(recent);
    let reply = server.get("/events");
    assert_eq!(reply.json(), json!({"events": [{"path": "/b"}, {"path": "/a"}]}));
    let tag = format!("If-None-Match: {}\r\n", reply.header("ETag").unwrap());
    assert_eq!(server.ask("GET", "/events", &tag).status, 304);
    assert_eq!(server.get("/events?path=/a").json(), json!({"events": [{"path": "/a"}]}));
    assert_eq!(server.get("/events?limit=x").status, 400);
}

#[test]
fn routes() {
    let server = Server::start();
    let check = |target: &str, status: u16, pointer: &str, wanted: Value| {
        let reply = server.get(target);
        assert_eq!(reply.status, status, "{target}: {}", reply.body);
        assert_eq!(reply.header("Content-Type"), Some("application/json"), "{target}");
        assert_eq!(reply.header("Content-Length"), Some(reply.body.len().to_string().as_str()), "{target}");
        assert_eq!(reply.json().pointer(pointer), Some(&wanted), "{target}: {}", reply.body);
    };
    check("/", 200, "", json!({"version": env!("CARGO_PKG_VERSION")}));
    check("/status", 200, "/monitor/compliance/~1services~1foo~1min_0", json!(true));
    check("/state", 200, "/zookeeper/connected", json!(true));
    check(
        "/status?state=unknown",
        200,
        "/monitor/compliance",
        json!({"/services/secret": "Unknown: not authorised to read it"}),
    );
    check("/status?detail=1", 200, "/monitor/paths/~1services~1foo~1min_1/alert", json!("firing"));
    check("http://any:1/status", 200, "/version", json!(env!("CARGO_PKG_VERSION")));
    check("/status/services/foo/min_0", 200, "/state", json!("ok"));
    check("/status/services%2Ffoo%2Fmin_1", 503, "/state", json!("error"));
    check("/status//services/secret", 503, "/state", json!("unknown"));
    check("/status/services/foo", 404, "/error", json!("this path is not monitored"));
    check("/status?state=x", 400, "/error", json!("state must be ok, error or unknown"));
    check("/-/healthy", 200, "", json!({"healthy": true, "reason": null}));
    check("/-/ready", 200, "", json!({"ready": true, "reason": null}));
    assert_eq!(server.get("/other").status, 404);
}

#[test]
fn a_check_fails_when_it_should() {
    let server = Server::start();
    server.cells.compliance.publish(Compliance::default());
    let ready = server.get("/-/ready");
    assert_eq!((ready.status, ready.json()["ready"].clone()), (503, json!(false)));
    server.cells.connection.publish(Connection { last_error: Some("refused".into()), ..Default::default() });
    assert_eq!(server.get("/-/ready").json()["reason"], json!("not connected to ZooKeeper: refused"));

    let long_ago = now().checked_sub(Duration::from_secs(4000)).unwrap();
    server.cells.pulse.publish(long_ago);
    let healthy = server.get("/-/healthy");
    assert_eq!(healthy.status, 503);
    assert!(
        healthy.body.contains("thread evaluator has shown no sign of life for 4000 s"),
        "{}",
        healthy.body
    );
}

#[test]
fn methods_and_negotiation() {
    let server = Server::start();
    let head = server.ask("HEAD", "/status", "");
    let get = server.get("/status");
    assert_eq!((head.status, head.body.as_str()), (200, ""));
    assert_eq!(head.header("Content-Length"), get.header("Content-Length"));
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "BREW"] {
        let reply = server.ask(method, "/status", "Content-Length: 3\r\n");
        assert_eq!((reply.status, reply.header("Allow")), (405, Some("GET, HEAD")), "{method}");
        assert!(reply.json()["error"].is_string());
    }
    let page = server.ask("GET", "/", "Accept: text/html,*/*;q=0.8\r\n");
    assert_eq!(page.header("Content-Type"), Some("text/html; charset=utf-8"));
    assert!(
        page.header("Content-Security-Policy")
            .unwrap()
            .starts_with("default-src 'none'; script-src 'sha256-")
    );
    assert_eq!(page.header("Vary"), Some("Accept"));
    let tag = get.header("ETag").unwrap();
    let same = server.ask("GET", "/status", &format!("If-None-Match: \"x\", W/{tag}\r\n"));
    assert_eq!((same.status, same.body.as_str()), (304, ""));
    assert_eq!(server.ask("GET", "/status", "If-None-Match: \"x\"\r\n").status, 200);
    assert!(server.get("/metrics").body.contains("\nzk_monitor_paths{state=\"ok\"} 2\n"));
}

#[test]
fn connections_are_kept_and_pipelines_answered_in_order() {
    let server = Server::start();
    let next = |target: &str, last: &str| format!("GET {target} HTTP/1.1\r\nHost: a\r\n{last}\r\n");
    let pipeline = next("/", "")
        + &next("/-/ready", "")
        + &next("/nothing", "")
        + &next("/-/healthy", "Connection: close\r\n");
    let answers = server.say(&(pipeline + &next("/never", "")));
    let statuses: Vec<_> = answers.matches("HTTP/1.1 ").collect();
    assert_eq!(statuses.len(), 4, "{answers}");
    let place = |text: &str| answers.find(text).unwrap_or_else(|| panic!("{text}: {answers}"));
    assert!(place("version") < place("\"ready\"") && place("\"ready\"") < place("nothing is here"));
    assert!(place("nothing is here") < place("\"healthy\""));
    assert_eq!(answers.matches("Connection: keep-alive").count(), 3);

    assert!(server.say("GET / HTTP/1.0\r\n\r\n").contains("Connection: close"));
    let mut stream = server.connect();
    stream.write_all(b"GET / HTTP/1.0\n\n").unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.contains("version"), "a client that has closed its side is answered too");
}

#[test]
fn what_is_refused_is_told_in_json() {
    let server = Server::start();
    let check = |text: &str, status: u16| {
        let reply = Reply::new(&server.say(text));
        assert_eq!(reply.status, status, "{text:?}");
        assert!(reply.json()["error"].is_string(), "{text:?}");
    };
    check("nonsense\r\n\r\n", 400);
    check("GET /status HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello", 413);
    check("GET /status HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400);
    check("GET /status HTTP/2.0\r\nHost: a\r\n\r\n", 505);
    check(&format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "a".repeat(20_000)), 431);
    check("GET /status HTTP/1.1\r\nHost", 408);
}

#[test]
fn a_fault_ends_its_own_request_only() {
    let server = Server::start();
    // Keys out of order break the writer's invariant, which debug builds assert.
    let mut paths: Vec<_> = fixture::many(3).paths.iter().cloned().collect();
    paths.reverse();
    let paths = paths.into_iter().collect();
    server.cells.compliance.publish(Compliance { paths, ..Default::default() });
    let reply = server.get("/status");
    assert_eq!(reply.status, if cfg!(debug_assertions) { 500 } else { 200 });
    server.cells.compliance.publish(fixture::many(3));
    server.must_answer_at_once("after a fault");
}

#[test]
fn half_open_connections_and_endless_heads_hold_nothing_up() {
    let server = Server::start();
    let before = threads();
    let idle: Vec<_> = (0..500).map(|_| server.connect()).collect();
    server.must_answer_at_once("500 connections that say nothing");
    let mut endless: Vec<_> = (0..100).map(|_| server.connect()).collect();
    for round in 0..20 {
        for stream in &mut endless {
            let begin = if round == 0 { "GET /status HTTP/1.1\r\n" } else { "X: y\r\n" };
            // The server may have closed it in favour of a newer one.
            stream.write_all(begin.as_bytes()).ok();
        }
        server.must_answer_at_once("100 endless heads");
    }
    let during = threads();
    assert!(during < before + 40 && during < 100, "{before} threads, then {during}");
    drop(idle);
}

#[test]
fn the_oldest_incomplete_request_makes_room() {
    let server = Server::start();
    let mut oldest = server.connect();
    oldest.write_all(b"GET /status HTTP/1.1\r\n").unwrap();
    let rest: Vec<_> = (0..CLIENTS).map(|_| server.connect()).collect();
    let mut answer = Vec::new();
    assert_eq!(oldest.read_to_end(&mut answer).unwrap_or(0), 0, "closed without an answer");
    let mut newest = rest.last().unwrap();
    newest.write_all(b"GET /-/ready HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap();
    let mut text = String::new();
    newest.read_to_string(&mut text).unwrap();
    assert!(text.contains("\"ready\": true"), "{text}");
}

#[test]
fn a_head_of_64_megabytes_is_cut_off() {
    let server = Server::start();
    let mut stream = server.connect();
    stream.write_all(b"GET /status HTTP/1.1\r\nX: ").unwrap();
    let piece = vec![b'a'; 1 << 20];
    let sent = (0..64).take_while(|_| stream.write_all(&piece).is_ok()).count();
    assert!(sent < 64 || stream.read(&mut [0; 1]).is_ok());
    server.must_answer_at_once("after a head of 64 MB");
    let long = server.say(&format!("GET /status HTTP/1.1\r\nX: {}", "a".repeat(100_000)));
    assert_eq!(Reply::new(&long).status, 431);
}

#[test]
fn slow_readers_share_one_body() {
    let server = Server::start();
    server.cells.compliance.publish(fixture::many(20_000));
    let slow: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let mut stream = server.connect();
            stream.write_all(b"GET /status HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
            stream
        })
        .collect();
    for _ in 0..5 {
        server.must_answer_at_once("256 clients that do not read");
        server.cells.compliance.publish(fixture::many(20_001));
    }
    drop(slow);
}

#[test]
fn a_flood_of_requests_and_garbage_is_survived() {
    let server = Server::start();
    let address = server.address;
    let flood = move |number: usize| {
        for at in 0..200 {
            let Ok(mut stream) = TcpStream::connect(address) else { continue };
            let garbage: Vec<u8> = (0..900).map(|byte| (byte * 7 + at * 13 + number) as u8).collect();
            // Each may be cut off at any time; what counts is the server's state afterwards.
            let sent = match at % 3 {
                0 => stream.write_all(&garbage),
                1 => stream.write_all(&b"GET /status HTTP/1.1\r\nHost: a\r\n\r\n".repeat(50)),
                _ => stream.write_all(b"\r\n"),
            };
            drop(sent);
        }
    };
    let floods: Vec<_> = (0..4).map(|number| thread::spawn(move || flood(number))).collect();
    for _ in 0..20 {
        server.must_answer_at_once("a flood");
    }
    for thread in floods {
        thread.join().unwrap();
    }
    server.must_answer_at_once("after a flood");
}

#[test]
fn it_stops_at_once_and_leaves_nothing() {
    let mut server = Server::start();
    let _half_open = server.connect();
    server.must_answer_at_once("before the stop");
    let start = now();
    server.stop().unwrap();
    assert!((now() - start) < Duration::from_millis(200), "{:?}", (now() - start));
    assert!(TcpStream::connect(server.address).is_err());
}

#[test]
fn both_families_are_served_by_default() {
    let (listener, _stopper) = bind(None, 0).unwrap();
    let port = listener.local_addr().unwrap().port();
    assert_ne!(port, 0);
    TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
    let taken = bind(None, port).unwrap_err();
    assert_eq!(taken.kind(), io::ErrorKind::AddrInUse);
}

/// How many threads this process has.
/// The threads of this test and of the server that it started: one without a name of its own has that of the
/// thread that started it. Other tests run in this process, too.
fn threads() -> usize {
    let own = fs::read_to_string("/proc/thread-self/comm").unwrap();
    let name = |task: fs::DirEntry| fs::read_to_string(task.path().join("comm")).unwrap_or_default();
    fs::read_dir("/proc/self/task").unwrap().flatten().map(name).filter(|name| *name == own).count()
}
