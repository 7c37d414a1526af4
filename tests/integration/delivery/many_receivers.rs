//! More receivers than can be told at once.

use std::time::{Duration, Instant};

use crate::common::{Answer, Daemon, HttpSink, Manner, SOON, SmtpSink, eventually, shared, throughout};

/// How many attempts there may be at once, and at one host.
const SLOTS: usize = 64;
const PER_HOST: usize = 8;
/// How many threads the daemon has beside those that notify, at most.
const OTHERS: u64 = 50;
/// How soon `/status` is answered.
const LIMIT: Duration = Duration::from_secs(1);
/// Long enough for everything that could be under way to be under way, and shorter than an attempt.
const WATCHED: Duration = Duration::from_secs(3);

fn quick_status(daemon: &Daemon) -> bool {
    let asked = Instant::now();
    daemon.get("/status").status == 200 && asked.elapsed() < LIMIT
}

/// The soft and the hard limit of descriptors.
fn limits(daemon: &Daemon) -> (String, String) {
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", daemon.pid())).unwrap();
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files")).unwrap();
    let mut fields = line.split_whitespace().map(str::to_owned);
    (fields.next().unwrap(), fields.next().unwrap())
}

#[test]
fn a_silent_mail_server_takes_eight_connections_and_holds_up_nobody_else() {
    const ADDRESSES: usize = 1_100;
    let (space, mut mail, web) = (shared(), SmtpSink::start(), HttpSink::start());
    mail.behave(Manner::Silent);
    let addresses: Vec<String> = (0..ADDRESSES).map(|number| format!("a{number}@home.com")).collect();
    let yaml = format!(
        "/bad: {{children: 1, alerter: {{email: \"{}\", webhook: {{url: \"{}\"}}}}}}\n",
        addresses.join(", "),
        web.url("/hook")
    );
    let daemon = Daemon::with(space.address(), &yaml).smtp(mail.port()).few_descriptors(1024).start();
    let (soft, hard) = limits(&daemon);
    assert_eq!(soft, hard);
    eventually(SOON, "as many connections as there may be", || mail.connections() >= PER_HOST);
    web.wait_for("/hook", 1);
    throughout(WATCHED, "few connections, few threads and quick /status", || {
        let (connections, threads) = (mail.connections(), daemon.threads());
        let few = connections <= PER_HOST && threads <= SLOTS as u64 + OTHERS;
        if few && quick_status(&daemon) { Ok(()) } else { Err((connections, threads)) }
    });
    // Those whose turn comes later are told, too.
    mail.down();
    mail.behave(Manner::Good);
    mail.up();
    let all = eventually(4 * SOON, "a mail to each address", || {
        let mails = mail.mails();
        if mails.len() >= ADDRESSES { Ok(mails) } else { Err(mails.len()) }
    });
    let mut told: Vec<String> = all.into_iter().flat_map(|mail| mail.to).collect();
    told.sort_unstable();
    let mut addresses = addresses;
    addresses.sort_unstable();
    assert_eq!(told, addresses, "each once");
}

#[test]
fn hosts_that_do_not_answer_take_eight_attempts_each_and_64_in_all() {
    const HOOKS: usize = 20;
    let (space, webs) = (shared(), (0..10).map(|_| HttpSink::start()).collect::<Vec<_>>());
    let mut urls = Vec::new();
    for number in 0..HOOKS {
        for web in &webs {
            let path = format!("/hook{number}");
            web.answer(&path, Answer::hang());
            urls.push(web.url(&path));
        }
    }
    let yaml = format!("/bad: {{children: 1, alerter: {{webhook: [\"{}\"]}}}}\n", urls.join("\", \""));
    let daemon = Daemon::with(space.address(), &yaml).start();
    let asked = |web: &HttpSink| -> usize {
        (0..HOOKS).map(|number| web.requests(&format!("/hook{number}")).len()).sum()
    };
    let all = || webs.iter().map(asked).sum::<usize>();
    eventually(SOON, "as many attempts as there may be", || all() >= SLOTS);
    throughout(WATCHED, "no more attempts than there may be", || {
        all() == SLOTS && webs.iter().all(|web| asked(web) <= PER_HOST) && quick_status(&daemon)
    });
}

#[test]
fn a_test_alert_takes_no_more_connections_than_an_alert() {
    const ADDRESSES: usize = 100;
    let mail = SmtpSink::start();
    mail.behave(Manner::Slow(Duration::from_millis(50)));
    let addresses: Vec<String> = (0..ADDRESSES).map(|number| format!("a{number}@home.com")).collect();
    let yaml = format!("/bad: {{children: 1, alerter: {{email: \"{}\"}}}}\n", addresses.join(", "));
    let command = Daemon::with("127.0.0.1:1", &yaml).smtp(mail.port()).descriptors(40);
    let output = command.args(["--test-alert", "/bad"]).finish();
    let accepted: Vec<&str> = output.stdout.lines().filter(|line| line.ends_with("): accepted")).collect();
    let named = |(line, address): (&&str, &String)| line.starts_with(&format!("email {address} ("));
    assert!(accepted.len() == ADDRESSES && accepted.iter().zip(&addresses).all(named), "{}", output.stdout);
}
