//! Argument vectors, as people type them.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use log::LevelFilter;
use syslog::Facility;

use super::*;
use crate::model::receiver::Secret;

fn parse_with(arguments: &[&str], env: &[(&str, &str)]) -> Result<(Options, Command), Answer> {
    let lookup = |name: &str| env.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
    super::parse(arguments.iter().map(Into::into).collect(), &lookup)
}

fn parse(arguments: &[&str]) -> Result<(Options, Command), Answer> {
    parse_with(arguments, &[])
}

/// The options of a daemon that is to run.
fn run(arguments: &[&str]) -> (Options, PathBuf) {
    match parse(arguments) {
        Ok((options, Command::Run { file })) => (options, file),
        other => panic!("{arguments:?}: {other:?}"),
    }
}

#[test]
fn every_spelling_of_an_option_is_understood() {
    let check = |arguments: &[&str]| {
        let all = [&["-f", "f.yaml"], arguments].concat();
        assert_eq!(run(&all).0.port, 9090, "{arguments:?}");
    };
    check(&["--port", "9090"]);
    check(&["--port=9090"]);
    check(&["-p", "9090"]);
    check(&["-p9090"]);
    check(&["--por", "9090"]);
    check(&["--po=9090"]);
    check(&["-p", "1", "--port=2", "-p9090"]);
    check(&["--port", "abc", "--port", "9090"]);
    check(&["--port", "9090", "--"]);
    check(&["--port", "9090", "--cluster_name", "x"]);
}

#[test]
fn underscores_and_dashes_are_alike_in_names_alone() {
    let check = |arguments: &[&str]| {
        let all = [&["-f", "f"], arguments].concat();
        assert_eq!(run(&all).0.cluster_name, "a_b-c", "{arguments:?}");
    };
    check(&["--cluster_name", "a_b-c"]);
    check(&["--cluster-name", "a_b-c"]);
    check(&["--cluster-name=a_b-c"]);
    check(&["--cluster_n=a_b-c"]);
    check(&["-ca_b-c"]);
    for name in ["--check_config", "--check-config", "--check", "--ch"] {
        assert!(matches!(parse(&["-f", "f", name]), Ok((_, Command::CheckConfig { .. }))), "{name}");
    }
    assert!(matches!(parse(&["-f", "f", "--test_alert=/a"]), Ok((_, Command::TestAlert { .. }))));
}

#[test]
fn a_value_may_look_like_an_option() {
    let check = |arguments: &[&str], expected: &str| {
        assert_eq!(run(arguments).1, PathBuf::from(expected), "{arguments:?}");
    };
    check(&["-f", "-x"], "-x");
    check(&["--file", "--once"], "--once");
    check(&["--file", "--"], "--");
    check(&["--file", "--help"], "--help");
    check(&["-f=x"], "=x");
    check(&["--file=a=b"], "a=b");
    check(&["--file=", "--file", "x"], "x");
}

#[test]
fn the_defaults_are_those_of_the_contract() {
    let (options, file) = run(&["-f", "f.yaml"]);
    let zookeeper = ZooKeeper {
        hosts: vec![("localhost".to_owned(), 2181)],
        chroot: None,
        credentials: None,
        session_timeout: Duration::from_secs(10),
        tls: None,
    };
    assert_eq!((options.zookeeper, file), (zookeeper, PathBuf::from("f.yaml")));
    assert_eq!(
        (options.cluster_name.as_str(), options.cluster_prefix.as_str()),
        ("zkmonitor", "/zk_monitor")
    );
    assert_eq!((options.port, options.bind, options.level), (8080, None, LevelFilter::Warn));
    assert!(options.syslog.is_none());
}

#[test]
fn every_option_is_read() {
    let (options, _) = run(&[
        "-f",
        "f",
        "-z",
        "a:1,[::1]:2/c",
        "-c",
        "n",
        "--cluster_prefix",
        "/p/q",
        "-p0",
        "--bind",
        "[::1]",
        "-l",
        "debug",
        "-s",
        "local0",
        "--session_timeout=4",
        "--zookeeper_user",
        "u",
        "--zookeeper_pass",
        "p:w",
        "--zookeeper_tls",
        "--zookeeper_ca",
        "ca",
        "--zookeeper_cert",
        "cert",
        "--zookeeper_key",
        "key",
    ]);
    let zookeeper = ZooKeeper {
        hosts: vec![("a".to_owned(), 1), ("::1".to_owned(), 2)],
        chroot: Some("/c".to_owned()),
        credentials: Some(("u".to_owned(), Secret::new("p:w".to_owned()))),
        session_timeout: Duration::from_secs(4),
        tls: Some(Tls { ca: Some("ca".into()), identity: Some(("cert".into(), "key".into())) }),
    };
    assert_eq!(options.zookeeper, zookeeper);
    assert_eq!((options.cluster_name.as_str(), options.cluster_prefix.as_str()), ("n", "/p/q"));
    assert_eq!((options.port, options.bind), (0, Some(IpAddr::from(std::net::Ipv6Addr::LOCALHOST))));
    assert_eq!(options.level, LevelFilter::Debug);
    assert!(matches!(options.syslog, Some(Facility::LOG_LOCAL0)));
}

#[test]
fn levels_are_read_in_any_case() {
    let check = |text: &str, expected| assert_eq!(run(&["-f", "f", "-l", text]).0.level, expected, "{text}");
    check("DEBUG", LevelFilter::Debug);
    check("Info", LevelFilter::Info);
    check("warn", LevelFilter::Warn);
    check("WARNING", LevelFilter::Warn);
    check("eRRor", LevelFilter::Error);
}

#[test]
fn silences_need_no_file() {
    let env = [("SUDO_USER", ""), ("USER", "ada\n")];
    let made = parse_with(&["--silence", "/a/*", "--for", "1h30m", "--comment", "-x"], &env);
    let Ok((_, Command::Silence { path, duration, comment, by })) = made else { panic!("{made:?}") };
    assert_eq!((path.as_str(), duration), ("/a/*", Some(Duration::from_secs(5400))));
    assert_eq!((comment.as_str(), by.as_str()), ("-x", "ada"));
    let Ok((_, Command::Silence { by, .. })) = parse(&["--silence", "/a", "--for", "1h"]) else {
        panic!("refused")
    };
    assert!(!by.is_empty() && by != "unknown", "the process's user: {by}");
    let made = parse(&["--silence", "/a", "--until-recovery"]);
    assert!(matches!(&made, Ok((_, Command::Silence { duration: None, .. }))), "{made:?}");
    let ended = parse(&["--unsilence=x1"]);
    assert!(matches!(&ended, Ok((_, Command::Unsilence { id })) if id == "x1"), "{ended:?}");
    assert!(matches!(parse(&["--silences"]), Ok((_, Command::Silences))));
    assert!(matches!(parse(&["--once", "-f", "f"]), Ok((_, Command::Once { .. }))));
}

#[test]
fn the_password_has_three_sources() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/config/secret");
    let check = |arguments: &[&str], env: &[(&str, &str)], expected: &str| {
        let all = [&["-f", "f", "--zookeeper_user", "u"], arguments].concat();
        let Ok((options, Command::Run { .. })) = parse_with(&all, env) else { panic!("{arguments:?}") };
        let (_, password) = options.zookeeper.credentials.expect("credentials");
        assert_eq!(password.reveal(), expected, "{arguments:?}");
    };
    let env = [("ZK_MONITOR_ZOOKEEPER_PASS", "from env")];
    check(&["--zookeeper_pass", "p"], &env, "p");
    check(&["--zookeeper_pass_file", file], &env, "s3cret");
    check(&[], &env, "from env");
}

#[test]
fn usage_errors_say_what_is_wrong_and_exit_with_2() {
    let check = |arguments: &[&str], expected: &str| {
        let Err(exit) = parse(arguments) else { panic!("{arguments:?}") };
        let stderr = format!("zk_monitor: {expected}\nTry 'zk_monitor --help'.\n");
        assert_eq!((exit.code, exit.stdout.as_str(), exit.stderr), (2, "", stderr), "{arguments:?}");
    };
    let f = |rest: &[&'static str]| [&["-f", "f"], rest].concat();
    let parsing = |option: &str, value: &str, reason: &str| {
        format!("Error parsing option '{option}' with value '{value}': {reason}")
    };
    check(&[], "--file FILE is required");
    check(&["--check-config"], "--file FILE is required");
    check(&["--file="], "--file must not be empty");
    check(&["--file"], "--file needs a value: FILE");
    check(&["-f"], "--file needs a value: FILE");
    check(
        &f(&["--zoo", "x"]),
        "--zoo is ambiguous: --zookeeper, --zookeeper_user, --zookeeper_pass, \
        --zookeeper_pass_file, --zookeeper_tls, --zookeeper_ca, --zookeeper_cert, --zookeeper_key",
    );
    check(
        &f(&["--s=x"]),
        "--s is ambiguous: --session_timeout, --state_dir, --syslog, --since, --suggest, --silence, --silences",
    );
    check(&f(&["--nonsense"]), "there is no option --nonsense");
    check(&f(&["--=x"]), "there is no option --");
    check(&f(&["-x"]), "there is no option -x");
    check(&f(&["-é"]), "there is no option -é");
    check(&f(&["extra"]), "unexpected argument 'extra': all arguments are options");
    check(&f(&["-"]), "unexpected argument '-': all arguments are options");
    check(&f(&[""]), "unexpected argument '': all arguments are options");
    check(&f(&["help"]), "unexpected argument 'help': all arguments are options");
    check(&f(&["--", "--once"]), "unexpected argument '--once': all arguments are options");
    check(&f(&["--once=1"]), "--once takes no value");
    check(&f(&["-p", "x"]), &parsing("--port", "x", "must be a port from 0 to 65535"));
    check(&f(&["-p", "65536"]), &parsing("--port", "65536", "must be a port from 0 to 65535"));
    check(&f(&["-p", "-1"]), &parsing("--port", "-1", "must be a port from 0 to 65535"));
    check(&f(&["-l", "loud"]), &parsing("--level", "loud", "must be DEBUG, INFO, WARN or ERROR"));
    check(&f(&["-s", "x"]), &parsing("--syslog", "x", "must be a syslog facility, such as daemon or local0"));
    check(&f(&["--bind", "host"]), &parsing("--bind", "host", "must be an IP address"));
    let seconds = "must be a whole number of seconds from 1 to 3600";
    check(&f(&["--session_timeout", "0"]), &parsing("--session-timeout", "0", seconds));
    check(&f(&["--session_timeout", "1.5"]), &parsing("--session-timeout", "1.5", seconds));
    let level = "must be one level of a path: not empty, and without \"/\"";
    check(&f(&["-c", ""]), &parsing("--cluster-name", "", level));
    check(&f(&["-c", "a/b"]), &parsing("--cluster-name", "a/b", level));
    let dot = "a path must not have \".\" or \"..\" as a component";
    check(&f(&["-c", ".."]), &parsing("--cluster-name", "..", dot));
    check(&f(&["--cluster_prefix", "/"]), &parsing("--cluster-prefix", "/", "must be a path below \"/\""));
    check(&f(&["--cluster_prefix", "a"]), &parsing("--cluster-prefix", "a", "a path must start with \"/\""));
    check(
        &f(&["--cluster_prefix", "/a/"]),
        &parsing("--cluster-prefix", "/a/", "a path must not end in \"/\""),
    );
    check(&f(&["--test-alert", "a"]), &parsing("--test-alert", "a", "a path must start with \"/\""));
    check(
        &f(&["-z", "::1"]),
        &parsing("--zookeeper", "::1", "an IPv6 address must stand in brackets: [::1]"),
    );
    check(&f(&["--once", "--check-config"]), "--check-config and --once exclude each other");
    check(&f(&["--replay"]), "--replay needs --state_dir DIR");
    check(&["--replay", "--state_dir", "d"], "--file FILE is required");
    check(&f(&["--since", "1h"]), "--since needs --replay");
    check(&f(&["--replay", "--once", "--state_dir", "d"]), "--once and --replay exclude each other");
    check(&f(&["--state_dir="]), &parsing("--state-dir", "", "must not be empty"));
    check(&["--silence", "/a"], "--silence needs --for DURATION or --until-recovery");
    check(
        &["--silence", "/a", "--for", "1h", "--until-recovery"],
        "--for and --until-recovery exclude each other",
    );
    check(&f(&["--until-recovery"]), "--until-recovery needs --silence");
    check(&["--silence", "/a", "--for", "0"], &parsing("--for", "0", "must be more than nothing"));
    check(&["--silence", "/a", "--for", "-1h"], &parsing("--for", "-1h", "must not be negative"));
    check(&f(&["--for", "1h"]), "--for needs --silence or --suggest");
    check(&["--suggest", "/a/*"], &parsing("--suggest", "/a/*", "must be one path, without \"*\""));
    check(&f(&["--comment", "x"]), "--comment needs --silence");
    check(&f(&["--zookeeper_tls", "--zookeeper_cert", "c"]), "--zookeeper_cert needs --zookeeper_key");
    check(&f(&["--zookeeper_tls", "--zookeeper_key", "c"]), "--zookeeper_key needs --zookeeper_cert");
    check(&f(&["--zookeeper_ca", "c"]), "--zookeeper_ca needs --zookeeper_tls");
    check(&f(&["--zookeeper_pass", "p"]), "--zookeeper_pass needs --zookeeper_user");
    check(
        &f(&["--zookeeper_user", "u"]),
        "--zookeeper_user needs --zookeeper_pass, --zookeeper_pass_file or the environment variable \
         ZK_MONITOR_ZOOKEEPER_PASS",
    );
    let user = ["-f", "f", "--zookeeper_user", "u", "--zookeeper_pass"];
    check(&[&user[..], &[""]].concat(), "--zookeeper_pass must not be empty");
    check(
        &[&user[..], &["p", "--zookeeper_pass_file", "x"]].concat(),
        "--zookeeper_pass and --zookeeper_pass_file exclude each other",
    );
    let colon = "--zookeeper_user must not be empty or hold a \":\"";
    check(&f(&["--zookeeper_user", "a:b", "--zookeeper_pass", "p"]), colon);
    let missing = "--zookeeper_pass_file /nonexistent/x: No such file or directory (os error 2)";
    check(&f(&["--zookeeper_user", "u", "--zookeeper_pass_file", "/nonexistent/x"]), missing);
    let folder = "--zookeeper_pass_file /: it is not a regular file";
    check(&f(&["--zookeeper_user", "u", "--zookeeper_pass_file", "/"]), folder);
}

#[test]
fn an_argument_that_is_no_text_is_a_usage_error() {
    use std::os::unix::ffi::OsStringExt;
    let exit = super::parse(vec![OsString::from_vec(vec![b'-', 0xff])], &|_| None).unwrap_err();
    assert_eq!(exit.code, 2);
    assert!(exit.stderr.contains("is not UTF-8"), "{}", exit.stderr);
}

#[test]
fn help_and_version_end_well() {
    let check = |arguments: &[&str], start: &str| {
        let exit = parse(arguments).expect_err("it exits");
        assert_eq!((exit.code, exit.stderr.as_str()), (0, ""), "{arguments:?}");
        assert!(exit.stdout.starts_with(start), "{arguments:?} {}", exit.stdout);
    };
    for arguments in [&["-h"][..], &["--help"], &["--he"], &["-p", "1", "--help", "--nonsense"]] {
        check(arguments, "Usage: zk_monitor [options]\n");
    }
    check(&["--version"], concat!("zk_monitor ", env!("CARGO_PKG_VERSION"), "\n"));
    assert_eq!(parse(&["--nonsense", "--help"]).expect_err("it exits").code, 2);
}

#[test]
fn the_help_names_every_option_and_argh_knows_each() {
    let help = table::help();
    for line in help.lines() {
        assert!(line.chars().count() <= table::WIDTH, "{line}");
    }
    for entry in &table::OPTIONS {
        let metavar = entry.metavar.map(|metavar| format!(" {metavar}")).unwrap_or_default();
        let shown = format!("--{}{metavar}", entry.long);
        assert!(help.lines().any(|line| line.contains(&shown)), "{shown}");
        let given = match entry.metavar {
            None => vec![format!("--{}", entry.long)],
            Some(_) => vec![format!("--{}", entry.long), "1".to_owned()],
        };
        let given: Vec<&str> = given.iter().map(String::as_str).collect();
        let unknown = parse(&given).err().is_some_and(|exit| exit.stderr.contains("nrecognized"));
        assert!(!unknown, "argh does not know {shown}");
    }
}

#[test]
fn output_that_is_lost_is_told_unless_nobody_wants_it() {
    struct Failing(std::io::ErrorKind);

    impl std::io::Write for Failing {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(self.0.into())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    let check = |kind, (code, unwritten), expected, told: &str| {
        let answer = Answer { stdout: "text\n".to_owned(), code, unwritten, ..Answer::default() };
        let mut stderr = Vec::new();
        assert_eq!(answer.print_to(&mut Failing(kind), &mut stderr), expected, "{kind}");
        assert_eq!(String::from_utf8(stderr).unwrap(), told, "{kind}");
    };
    let told = "zk_monitor: cannot write the output, which is not complete: no storage space\n";
    check(std::io::ErrorKind::StorageFull, (0, 1), 1, told);
    check(std::io::ErrorKind::StorageFull, (0, 3), 3, told);
    check(std::io::ErrorKind::StorageFull, (2, 3), 2, told);
    check(std::io::ErrorKind::BrokenPipe, (0, 1), 0, "");
    // What is buffered is lost only when it is flushed.
    let mut full = std::io::BufWriter::new(std::fs::File::options().write(true).open("/dev/full").unwrap());
    let answer = Answer { stdout: "text\n".to_owned(), ..Answer::default() };
    assert_eq!(answer.print_to(&mut full, &mut Vec::new()), 1);
    // Nothing is not written, not even to what fails.
    let nothing = Answer::default().print_to(&mut Failing(std::io::ErrorKind::StorageFull), &mut Vec::new());
    assert_eq!(nothing, 0);
}
