//! The command line and the file, seen from outside.

use std::net::TcpListener;

use crate::common::{Daemon, Folder, Output, SOON, SmtpSink, eventually, run, run_full, shared};

#[test]
fn usage_errors_end_with_2() {
    let check = |args: [&str; 2], word: &str| {
        let output = run(args);
        assert_eq!(output.code, Some(2), "{args:?}: {}", output.stderr);
        assert!(output.stderr.contains(word), "{args:?}: {}", output.stderr);
    };
    check(["--nonsense", "x"], "nonsense");
    check(["--zoo", "x"], "zoo");
    check(["--port", "80"], "file");
    check(["-z", "a:1;b:2"], "separate hosts by commas");
    check(["-z", "http://a:1"], "leave out \"http://\"");
    check(["-z", "a:1/x,b:2/y"], "different chroots");
}

#[test]
fn version_and_help_are_told() {
    let version = run(["--version"]);
    assert_eq!(version.code, Some(0));
    assert!(version.stdout.contains(env!("CARGO_PKG_VERSION")), "{}", version.stdout);
    let help = run(["--help"]);
    assert_eq!(help.code, Some(0));
    for option in ["--zookeeper", "--file", "--port", "--syslog", "--once", "--check-config"] {
        assert!(help.stdout.contains(option), "{option}: {}", help.stdout);
    }
}

#[test]
fn a_file_is_judged_whole() {
    let bad = "/a:\n  children: -1\n/b/:\n  children: 1\n/c:\n  childen: 1\n";
    let output = Daemon::with("127.0.0.1:1", bad).args(["--check-config"]).finish();
    assert_eq!(output.code, Some(78), "{}", output.stderr);
    let told = format!("{}{}", output.stdout, output.stderr);
    for place in ["zk_monitor.yaml:2:", "zk_monitor.yaml:3:", "zk_monitor.yaml:6:"] {
        assert!(told.contains(place), "{place}: {told}");
    }
    assert!(told.contains("children"), "did you mean: {told}");
    let good = Daemon::with("127.0.0.1:1", "/a: {children: 1}\n").args(["--check-config"]).finish();
    assert_eq!(good.code, Some(0), "{}", good.stderr);
    assert_eq!(good.stdout.trim().lines().count(), 1, "{}", good.stdout);
}

#[test]
fn output_that_a_full_disk_does_not_take_is_no_success() {
    let folder = Folder::new("full");
    let file = folder.write("zk_monitor.yaml", "/a: {children: 1}\n").display().to_string();
    let check = |output: Output, code| {
        assert_eq!(output.code, Some(code), "{}", output.stderr);
        assert!(output.stderr.contains("cannot write the output"), "{}", output.stderr);
    };
    check(run_full(["--help"]), 1);
    check(run_full(["-f", &file, "--check-config"]), 1);
    // To nothing it has to ask anybody.
    check(run_full(["-z", "127.0.0.1:1", "-f", &file, "--once"]), 3);
}

/// Whether the file is taken, and all that is said of it.
fn check_config(yaml: &str) -> (Option<i32>, String) {
    let output = Daemon::with("127.0.0.1:1", yaml).args(["--check-config"]).finish();
    (output.code, format!("{}{}", output.stdout, output.stderr))
}

#[test]
fn two_workspaces_with_one_channel_are_told_apart_by_a_name() {
    let slack = |more: &str| {
        let channels = format!("[{{channel: ops, token: one}}, {{channel: ops, token: two{more}}}]");
        check_config(&format!("/a:\n  children: 1\n  alerter:\n    slack: {channels}\n"))
    };
    let (code, told) = slack("");
    assert_eq!(code, Some(78), "{told}");
    assert!(told.contains("zk_monitor.yaml:4:41: ") && told.contains("`name`"), "{told}");
    let (code, told) = slack(", name: second");
    assert_eq!(code, Some(0), "{told}");
}

#[test]
fn a_host_calls_itself_in_mail_what_it_is_told() {
    let (space, sink) = (shared(), SmtpSink::start());
    let yaml = format!(
        "smtp: {{host: 127.0.0.1, port: {}, hello: zk1.example.com}}\n/bad: {{children: 1, alerter: {{email: \
         you@home.com}}}}\n",
        sink.port()
    );
    let _daemon = Daemon::with(space.address(), &yaml).start();
    sink.wait_for(1);
    assert_eq!(sink.hellos(), ["zk1.example.com"]);
    let (code, told) = check_config("smtp:\n  hello: zk_1\n/a: {children: 1}\n");
    assert!(
        code == Some(78) && told.contains("zk_monitor.yaml:2:10: smtp/hello: must be a host name"),
        "{told}"
    );
}

#[test]
fn a_path_without_its_colon_is_told_where_it_stands() {
    let (code, told) = check_config("/a:\n  children: 1\n/services/foo\n  children: 2\n");
    assert_eq!(code, Some(78), "{told}");
    assert!(told.contains("zk_monitor.yaml:3:1: ") && told.contains("write `/services/foo:`"), "{told}");
    let (code, told) = check_config(&format!("/a: {{}}\n/{}:\n  children: 2\n", "x".repeat(1100)));
    assert_eq!(code, Some(78), "{told}");
    assert!(told.contains("zk_monitor.yaml:2:1: ") && told.contains("write \"? \""), "{told}");
}

#[test]
fn a_taken_port_ends_with_1_and_says_so() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let output = Daemon::with("127.0.0.1:1", "/a: {children: 1}\n").args(["--port", port.as_str()]).finish();
    assert_eq!(output.code, Some(1), "{}", output.stderr);
    assert!(output.stderr.contains(&port), "{}", output.stderr);
    // One of documentation (RFC 5737), which no host has.
    let output = Daemon::with("127.0.0.1:1", "/a: {children: 1}\n").args(["--bind", "192.0.2.1"]).finish();
    assert_eq!(output.code, Some(1), "{}", output.stderr);
    assert!(output.stderr.contains("at 192.0.2.1: "), "{}", output.stderr);
    assert!(output.stderr.contains("--bind needs"), "{}", output.stderr);
}

#[test]
fn once_tells_the_worst_state() {
    let space = shared();
    space.client().create("/good/a", "");
    let check = |yaml: &str, code: i32, word: &str| {
        let output = Daemon::with(space.address(), yaml).args(["--once"]).finish();
        assert_eq!(output.code, Some(code), "{yaml}: {} {}", output.stdout, output.stderr);
        let first = output.stdout.lines().next().unwrap_or("");
        assert!(first.contains(word) && first.contains('|'), "{first}");
    };
    check("/good: {children: 1}\n", 0, "OK");
    check("/good: {children: 1}\n/bad: {children: 1}\n", 2, "CRITICAL");
    let dead = Daemon::with("127.0.0.1:1", "/good: {children: 1}\n").args(["--once"]).finish();
    assert_eq!(dead.code, Some(3), "{} {}", dead.stdout, dead.stderr);
    assert_eq!(dead.stdout.to_lowercase().matches("connection refused").count(), 2, "{}", dead.stdout);
}

#[test]
fn a_reload_takes_what_is_good_and_leaves_what_is_bad() {
    let (space, sink) = (shared(), SmtpSink::start());
    let mut client = space.client();
    client.create("/old/a", "");
    client.create("/new/a", "");
    let old = "/old: {children: 1, alerter: {email: you@home.com}}\n";
    let mut daemon = Daemon::with(space.address(), old).smtp(sink.port()).start();
    daemon.wait_until_it_leads();
    client.delete("/old/a");
    sink.wait_for(1);

    daemon.reload(&format!("{old}/new: {{children: 1}}\n"));
    daemon.wait_for("/new", true);
    daemon.reload("/new: {children: one}\n");
    daemon.wait_until("error of the file", |status| status["config"]["error"].is_string());
    assert_eq!(daemon.compliance("/new"), true, "what was good stays");

    daemon.reload(&format!("{old}/new: {{children: 2}}\n"));
    daemon.wait_for("/new", "Found children (1) less than minimum (2)");
    eventually(SOON, "no error of the file", || daemon.status()["config"]["error"].is_null());
    client.create("/old/a", "");
    assert_eq!(sink.wait_for(2).len(), 2, "the open incident survived three reloads");
}
