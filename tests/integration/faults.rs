//! Threads that panic: nothing waits for them.

use rustix::process::Signal;

use crate::common::{Builder, Daemon, HttpSink, SOON, shared};

/// The daemon ends, and says which thread was at fault. What is under way is parked before, as at any other end.
#[track_caller]
fn ends_by(thread: &str, daemon: Builder) {
    let output = daemon.env("ZK_MONITOR_FAULT", thread).finish();
    assert_eq!(output.code, Some(1), "{thread}: {}", output.stderr);
    let words = format!("thread {thread} panicked; the daemon ends with it");
    assert!(output.stderr.contains(&words), "{thread}: {}", output.stderr);
}

#[test]
fn a_panic_in_any_thread_ends_the_daemon_and_names_it() {
    let lasting = [
        "signals",
        "zk-session",
        "zk-watch",
        "evaluator",
        "alert",
        "zk-ledger",
        "zk-election",
        "heartbeat",
        "blind",
        "http",
        "http-answers",
        "journal",
    ];
    for thread in lasting {
        ends_by(thread, Daemon::with("127.0.0.1:1", "/services/foo: {children: 1}\n"));
    }
}

#[test]
fn a_panic_in_a_thread_that_notifies_ends_the_daemon_and_names_it() {
    let (space, sink) = (shared(), HttpSink::start());
    let yaml = format!("/bad: {{children: 1, alerter: {{webhook: {{url: \"{}\"}}}}}}\n", sink.url("/hook"));
    ends_by("notify", Daemon::with(space.address(), &yaml));
}

#[test]
fn a_panic_in_a_sessions_thread_ends_that_session_and_no_more() {
    let space = shared();
    for thread in ["zk-link", "zk-pulse"] {
        let daemon = Daemon::with(space.address(), "/services/foo: {children: 1}\n");
        let mut daemon = daemon.env("ZK_MONITOR_FAULT", thread).start();
        daemon.wait_for_log(&format!("thread {thread}: panicked"));
        daemon.wait_for_log("cannot connect to ZooKeeper, and will keep trying");
        assert_eq!(daemon.status()["zookeeper"]["connected"], false, "{thread}");
        daemon.signal(Signal::TERM);
        assert_eq!(daemon.wait(SOON), Some(0), "{thread}");
    }
}
