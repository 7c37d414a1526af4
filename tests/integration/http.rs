//! The HTTP server of the executable: what needs a whole daemon behind it.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::common::{
    Access, Answer, Daemon, HttpSink, Mode, SOON, SmtpSink, Space, eventually, shared, throughout,
};

#[test]
fn every_place_answers_as_promised() {
    let space = shared();
    let daemon = Daemon::start(space.address(), "/services/foo: {children: 0}\n");
    let check = |path: &str, status: u16| assert_eq!(daemon.get(path).status, status, "{path}");
    check("/", 200);
    check("/status", 200);
    check("/state?state=error", 200);
    check("/-/healthy", 200);
    check("/-/ready", 200);
    check("/metrics", 200);
    check("/nothing", 404);
    assert_eq!(daemon.get("/").json()["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(daemon.get("/status").header("Content-Type"), Some("application/json"));
    let post =
        daemon.request("POST /status HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    assert_eq!(post.unwrap().status, 405);
    let page = daemon
        .request("GET / HTTP/1.1\r\nHost: x\r\nAccept: text/html\r\nConnection: close\r\n\r\n")
        .unwrap();
    assert!(page.body.to_ascii_lowercase().contains("<!doctype html>"), "{}", page.body);
}

/// What a shell command prints; it is to succeed.
fn shell(script: &str, argument: &str) -> String {
    let script = format!("set -o pipefail; {script}");
    let output =
        Command::new("timeout").args(["20", "bash", "-c", &script, "bash", argument]).output().unwrap();
    let [stdout, stderr] = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
    assert!(output.status.success(), "{script} {argument}: {} {stdout}{stderr}", output.status);
    assert_eq!(stderr, "", "{script} {argument}");
    stdout
}

/// A daemon that has told somebody and failed to tell somebody else, of paths in all states.
fn with_a_past(mails: &SmtpSink, sink: &HttpSink) -> (Space, Daemon) {
    let space = shared();
    let mut client = space.client();
    client.authenticate("somebody:else");
    client.create("/services/good/a", "");
    client.create_as("/services/secret", "", Mode::Persistent, Access::Creator);
    let yaml = format!(
        "/services/good: {{children: 1}}\n/services/bad: {{children: 1, alerter: {{email: you@home.com, \
         webhook: {{url: \"{0}/down\"}}, slack: {{channel: \"#ops\", token: t, api_url: \"{0}/refuses\"}}}}}}\n\
         /services/slow: {{children: 1, cancel_timeout: 1h}}\n/services/secret: {{children: 1}}\n\
         '/services/\"quoted\\': {{children: 1}}\n",
        sink.url("")
    );
    sink.answer("/down", Answer::status(503));
    sink.answer(
        "/refuses/chat.postMessage",
        Answer::json(&json!({"ok": false, "error": "channel_not_found"})),
    );
    let daemon = Daemon::with(space.address(), &yaml).smtp(mails.port()).start();
    daemon.wait_until_ready();
    mails.wait_for(1);
    daemon.wait_until("a delivery of each kind", |status| {
        let receivers: Vec<&Value> = status["receivers"].as_object().unwrap().values().collect();
        ["sent", "failed", "refused"].iter().all(|what| receivers.iter().any(|one| one[what] != 0))
    });
    (space, daemon)
}

#[test]
fn prometheus_accepts_the_metrics_and_json_tools_the_rest() {
    let (mails, sink) = (SmtpSink::start(), HttpSink::start());
    let (_space, daemon) = with_a_past(&mails, &sink);
    let url = |path: &str| format!("http://{}{path}", daemon.address());
    let metrics = shell("curl -sf \"$1\"", &url("/metrics"));
    for state in ["ok", "error", "unknown"] {
        let line = format!("zk_monitor_paths{{state=\"{state}\"}} 0\n");
        assert!(!metrics.contains(&line), "{metrics}");
    }
    let said = shell("curl -sf \"$1\" | promtool check metrics 2>&1", &url("/metrics"));
    assert_eq!(said, "", "promtool has nothing to remark");
    for path in [
        "/",
        "/status",
        "/state",
        "/status?detail=1",
        "/status/services/bad",
        "/rules/services/bad",
        "/-/ready",
        "/nowhere",
    ] {
        let printed = shell("curl -s \"$1\" | python3 -m json.tool", &url(path));
        // Retries go on meanwhile, so that figures change from one answer to the next.
        let keys = |body: Value| body.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
        assert_eq!(keys(serde_json::from_str(&printed).unwrap()), keys(daemon.get(path).json()), "{path}");
    }
}

#[test]
fn a_daemon_that_is_stopped_again_and_again_goes_on_answering() {
    const CLIENTS: usize = 12;
    // Longer than an answer may take.
    const STOPPED: Duration = Duration::from_millis(11_500);
    let space = shared();
    let mut daemon = Daemon::start(space.address(), "/services/foo: {children: 0}\n");
    let (stop, began, address) = (AtomicBool::new(false), Instant::now(), daemon.address().to_owned());
    let ask = || -> std::io::Result<()> {
        let mut stream = TcpStream::connect(&address)?;
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")?;
        stream.read_to_end(&mut Vec::new()).map(drop)
    };
    let client = || {
        // If the test fails they end all the same.
        while !stop.load(Ordering::Relaxed) && began.elapsed() < 12 * STOPPED {
            // Whoever waited for longer than an answer may take is turned away.
            ask().ok();
        }
    };
    std::thread::scope(|scope| {
        (0..CLIENTS).for_each(|_| drop(scope.spawn(client)));
        for _ in 0..5 {
            eventually(SOON, "an answer", || daemon.try_get("/-/healthy"));
            daemon.signal(Signal::STOP);
            throughout(STOPPED, "stopped", || true);
            daemon.signal(Signal::CONT);
        }
        // Right after the last stop the connections may be on their way to being replaced, and it says so: 503.
        eventually(SOON, "an answer with metrics", || {
            let answer = daemon.try_get("/metrics")?;
            if answer.status == 200 { Ok(()) } else { Err(std::io::Error::other(answer.body)) }
        });
        stop.store(true, Ordering::Relaxed);
    });
    assert_eq!(daemon.stop(), Some(0));
}
