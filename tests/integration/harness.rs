//! The harness itself: a tool that lies makes every test lie.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use lettre::{SmtpTransport, Transport as _};
use serde_json::json;

use crate::common::{
    Access, Answer, Client, Ensemble, HttpSink, Manner, Mode, Proxy, SOON, SmtpSink, ZooKeeper, eventually,
    kazoo, shared, throughout,
};

#[test]
fn znodes_are_arranged_and_a_second_client_agrees() {
    let space = shared();
    let mut client = space.client();
    client.create("/services/foo/min_1", "data");
    client.create("/services/foo/min_1/a", "");
    client.create_as("/services/foo/min_1/e", "", Mode::Ephemeral, Access::Open);
    assert_eq!(client.children("/services/foo/min_1").unwrap(), ["a", "e"]);
    assert_eq!(client.get("/services/foo/min_1").as_deref(), Some("data"));
    client.set("/services/foo/min_1", "other");
    let seen = kazoo(
        space.address(),
        "print(sorted(zk.get_children('/services/foo/min_1')), zk.get('/services/foo/min_1')[0])",
    );
    assert_eq!(seen.trim(), "['a', 'e'] b'other'");
    let many: Vec<String> = (0..1200).map(|number| format!("/services/{number}")).collect();
    client.create_many(&many);
    assert_eq!(client.children("/services").unwrap().len(), 1201);
    client.delete_many(&many);
    client.delete_recursive("/services");
    assert!(!client.exists("/services/foo") && client.children("/services").is_none());
}

#[test]
fn an_ephemeral_znode_goes_with_its_client_and_access_is_kept() {
    let space = shared();
    let mut owner = space.client();
    owner.authenticate("user:secret");
    owner.create_as("/mine", "x", Mode::Persistent, Access::Creator);
    owner.create_as("/lock-", "", Mode::EphemeralSequential, Access::Open);
    assert_eq!(space.wait_for_children("/", 2), ["lock-0000000001", "mine"]);
    assert_eq!(space.client().get("/mine"), None, "others may not read it");
    assert_eq!(owner.get("/mine").as_deref(), Some("x"));
    owner.allow("/mine", Access::ReadOnly);
    assert_eq!(space.client().get("/mine").as_deref(), Some("x"));
    drop(owner);
    space.wait_for_children("/", 1);
}

#[test]
fn a_server_is_killed_restarted_and_paused() {
    let mut server = ZooKeeper::start();
    server.client().create("/kept", "");
    server.kill();
    assert!(Client::try_connect(&server.address()).is_err());
    server.restart();
    assert!(server.client().exists("/kept"));
    server.pause();
    let mut held = TcpStream::connect(server.address()).unwrap();
    held.write_all(b"ruok").unwrap();
    held.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    let silence = held.read(&mut [0; 4]).unwrap_err();
    assert_eq!(silence.kind(), ErrorKind::WouldBlock);
    server.resume();
    assert_eq!(server.ask("ruok").unwrap(), "imok");
}

#[test]
fn an_ensemble_survives_its_leader() {
    let mut ensemble = Ensemble::start();
    let leader = ensemble.leader();
    ensemble.client().create("/kept", "");
    ensemble.server(leader).kill();
    eventually(SOON, "another leader", || (ensemble.leader() != leader).then_some(()));
    eventually(SOON, "znode at the new leader", || {
        ensemble.client().try_exists("/kept").is_ok_and(|found| found)
    });
    ensemble.restart_all();
    assert!(ensemble.client().exists("/kept"));
    assert_eq!(ensemble.address().split(',').count(), 3);
}

/// A line sent through the proxy to an echo, and what came back within 200 ms.
fn echo(stream: &mut TcpStream) -> std::io::Result<usize> {
    stream.set_read_timeout(Some(Duration::from_millis(200)))?;
    stream.write_all(b"hello")?;
    stream.read(&mut [0; 5])
}

#[test]
fn a_network_freezes_cuts_refuses_and_passes_at_once() {
    let far = crate::common::echo_server();
    let proxy = Proxy::to(&format!("127.0.0.1:{}", far.port()));
    let connect = || TcpStream::connect(proxy.address());
    let mut stream = connect().unwrap();
    assert_eq!(echo(&mut stream).unwrap(), 5);

    proxy.freeze();
    assert_eq!(echo(&mut stream).unwrap_err().kind(), ErrorKind::WouldBlock);
    let mut held = connect().unwrap();
    assert_eq!(echo(&mut held).unwrap_err().kind(), ErrorKind::WouldBlock);
    proxy.pass();
    let mut late = [0; 5];
    stream.read_exact(&mut late).unwrap();
    held.read_exact(&mut late).unwrap();
    assert_eq!(&late, b"hello");

    proxy.cut();
    assert_eq!(stream.read(&mut late).unwrap_err().kind(), ErrorKind::ConnectionReset);
    assert_eq!(echo(&mut connect().unwrap()).unwrap(), 5);

    proxy.refuse();
    assert_eq!(connect().unwrap_err().kind(), ErrorKind::ConnectionRefused);
    proxy.pass();
    assert_eq!(echo(&mut connect().unwrap()).unwrap(), 5);

    proxy.blip(Duration::from_millis(100));
    assert_eq!(connect().unwrap_err().kind(), ErrorKind::ConnectionRefused);
    let mut after = eventually(SOON, "end of the blip", connect);
    assert_eq!(echo(&mut after).unwrap(), 5);
    assert_eq!(proxy.connections(), 5);
}

/// Sends a mail as the sink's port gets it, with a short deadline.
fn send(port: u16, to: &str) -> Result<(), lettre::transport::smtp::Error> {
    let mail = lettre::Message::builder()
        .from("zk@example.com".parse().unwrap())
        .to(to.parse().unwrap())
        .subject("Warning! /f\u{fc}r has an alert!")
        .body(".a line with a dot\nand f\u{fc}nf\n".to_owned())
        .unwrap();
    let mailer =
        SmtpTransport::builder_dangerous("127.0.0.1").port(port).timeout(Some(Duration::from_millis(700)));
    mailer.build().send(&mail).map(|_| ())
}

#[test]
fn a_mail_sink_keeps_mails_and_misbehaves() {
    let mut sink = SmtpSink::start();
    let port = sink.port();
    send(port, "a@example.com").unwrap();
    let mail = sink.wait_for(1).remove(0);
    assert_eq!((mail.from.as_str(), mail.to), ("zk@example.com", vec!["a@example.com".to_owned()]));
    assert_eq!(mail.headers.iter().filter(|(name, _)| name == "Subject").count(), 1);
    assert_eq!(mail.body.trim_end(), ".a line with a dot\nand f\u{fc}nf");

    sink.refuse("b@example.com", "550 5.1.1 no such user");
    assert!(send(port, "b@example.com").unwrap_err().is_permanent());
    sink.refuse("b@example.com", "450 4.2.1 later");
    assert!(send(port, "b@example.com").unwrap_err().is_transient());
    sink.accept("b@example.com");
    send(port, "b@example.com").unwrap();
    assert_eq!(sink.attempts().len(), 4);

    let failures = [
        Manner::CloseAtConnect,
        Manner::Greeting("421 4.3.2 busy"),
        Manner::Silent,
        Manner::Slow(Duration::from_secs(5)),
        Manner::Tarpit(Duration::from_secs(2)),
        Manner::RefuseSender("451 4.3.0 later"),
        Manner::RefuseData("451 4.3.0 later"),
        Manner::RefuseMail("554 5.7.1 spam"),
        Manner::DropInData,
    ];
    for manner in failures {
        sink.behave(manner.clone());
        assert!(send(port, "c@example.com").is_err(), "{manner:?}");
    }
    assert_eq!(sink.mails().len(), 2);
    sink.behave(Manner::DropAfterDot);
    assert!(send(port, "c@example.com").is_err());
    sink.wait_for(3);

    sink.behave(Manner::Good);
    sink.down();
    assert!(send(port, "d@example.com").is_err());
    sink.up();
    send(port, "d@example.com").unwrap();
    sink.wait_for(4);
    assert!(sink.connections() > 10);
}

#[test]
fn a_web_sink_keeps_requests_and_answers_as_told() {
    let mut sink = HttpSink::start();
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .timeout_global(Some(Duration::from_millis(700)))
        .proxy(None)
        .build()
        .into();
    let post = |path: &str| agent.post(sink.url(path)).header("X-Test", "1").send(r#"{"a": 1}"#);
    assert_eq!(post("/hook?x=y").unwrap().status(), 200);
    let request = sink.wait_for("/hook", 1).remove(0);
    assert_eq!((request.method.as_str(), request.query.as_str()), ("POST", "x=y"));
    assert_eq!((request.json(), request.headers["x-test"].as_str()), (json!({"a": 1}), "1"));
    assert!(request.at <= Instant::now());

    sink.answer("/hook", Answer::json(&json!({"ok": false})));
    sink.answer_once("/hook", Answer::status(503).header("Retry-After", "1"));
    assert!(matches!(post("/hook"), Err(ureq::Error::StatusCode(503))));
    assert_eq!(post("/hook").unwrap().body_mut().read_to_string().unwrap(), r#"{"ok":false}"#);
    for failure in [Answer::hang(), Answer::hang_up(), Answer::status(200).after(Duration::from_secs(5))] {
        sink.answer("/fails", failure);
        assert!(post("/fails").is_err());
    }
    sink.answer("/endless", Answer::endless());
    assert!(post("/endless").unwrap().body_mut().read_to_string().is_err());
    sink.down();
    let url = sink.url("/hook");
    assert!(agent.get(&url).call().is_err());
    sink.up();
    assert_eq!(agent.get(&url).call().unwrap().status(), 200);
}

#[test]
fn waiting_ends_with_the_deed_or_says_what_was_missing() {
    let mut tries = 0;
    let value = eventually(SOON, "third try", || {
        tries += 1;
        (tries == 3).then_some("done")
    });
    assert_eq!((value, tries), ("done", 3));
    throughout(Duration::from_millis(20), "true", || true);
    let failure = std::panic::catch_unwind(|| {
        eventually(Duration::from_millis(5), "miracle", || Err::<(), _>("none in sight"));
    });
    let message = *failure.unwrap_err().downcast::<String>().unwrap();
    assert!(message.contains("no miracle within 5ms") && message.contains("none in sight"), "{message}");
}
