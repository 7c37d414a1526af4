//! What listens on ZooKeeper's port and is none.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use crate::common::{Daemon, Proxy, Server, ZooKeeper, throughout};

const YAML: &str = "/services/foo: {children: 1}\n";

/// A greeting as of ZooKeeper: version 0, a timeout of four seconds, session 7, a password of 16 bytes, not read-only.
const GREETING: [u8; 41] = [
    0, 0, 0, 37, 0, 0, 0, 0, 0, 0, 15, 160, 0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 16, 1, 2, 3, 4, 5, 6, 7, 8, 9,
    10, 11, 12, 13, 14, 15, 16, 0,
];

/// Takes what the client says first, says this, and waits for the client's end.
fn say(mut stream: &TcpStream, bytes: &[u8]) -> std::io::Result<()> {
    hear(stream)?;
    stream.write_all(bytes)
}

/// What the client sends next, without its length.
fn hear(mut stream: &TcpStream) -> std::io::Result<Vec<u8>> {
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let mut request = vec![0; usize::try_from(u32::from_be_bytes(length)).unwrap()];
    stream.read_exact(&mut request)?;
    Ok(request)
}

fn stay(mut stream: &TcpStream) -> std::io::Result<()> {
    std::io::copy(&mut stream, &mut std::io::sink()).map(drop)
}

/// A frame of this xid: zxid 1, no error, then `body`.
fn frame(xid: i32, body: &[u8]) -> Vec<u8> {
    let mut frame = u32::try_from(16 + body.len()).unwrap().to_be_bytes().to_vec();
    frame.extend(xid.to_be_bytes());
    frame.extend(1_i64.to_be_bytes());
    frame.extend(0_i32.to_be_bytes());
    frame.extend(body);
    frame
}

/// Answers every request with its own xid and this body.
fn answer(mut stream: &TcpStream, body: &[u8]) -> std::io::Result<()> {
    loop {
        let request = hear(stream)?;
        let xid = i32::from_be_bytes(request[..4].try_into().unwrap());
        stream.write_all(&frame(xid, body))?;
    }
}

type Manner = fn(&TcpStream) -> std::io::Result<()>;

/// What it does, how the daemon names it, and how it does it.
const STRANGERS: [(&str, &str, Manner); 11] = [
    ("web server", "not a ZooKeeper", |stream| say(stream, b"HTTP/1.1 400 Bad Request\r\n\r\n")),
    ("mail server", "not a ZooKeeper", |mut stream| {
        stream.write_all(b"220 mail ESMTP\r\n")?;
        stay(stream)
    }),
    ("silence", "did not greet within", stay),
    ("hanging up", "closed the connection before it greeted", |_| Ok(())),
    ("half a greeting, and the end", "before it greeted", |stream| say(stream, &GREETING[..20])),
    ("half a greeting, and silence", "did not greet within", |stream| {
        say(stream, &GREETING[..20])?;
        stay(stream)
    }),
    ("silence after the greeting", "left the first call unanswered", |stream| {
        say(stream, &GREETING)?;
        stay(stream)
    }),
    ("noise after the greeting", "not a ZooKeeper", |mut stream| {
        say(stream, &GREETING)?;
        stream.write_all(&[0xa5; 4096])?;
        stay(stream)
    }),
    ("answers that nobody asked for", "not a ZooKeeper", |mut stream| {
        say(stream, &GREETING)?;
        (0..100).try_for_each(|number| stream.write_all(&frame(number * 7919, &[0xff; 40])))?;
        stay(stream)
    }),
    ("answers cut short", "not a ZooKeeper", |stream| {
        say(stream, &GREETING)?;
        answer(stream, &[])
    }),
    // A stat of zeros to the first call, which asks whether a path exists; then lists of 2^31 - 1 children.
    ("lists without end", "not a ZooKeeper", |stream| {
        say(stream, &GREETING)?;
        let mut body = vec![0x7f, 0xff, 0xff, 0xff];
        body.resize(68, 0);
        answer(stream, &body)
    }),
];

#[test]
fn strangers_are_named_and_borne_until_a_zookeeper_comes() {
    let server = ZooKeeper::start();
    server.client().create("/services/foo/a", "");
    let start = |(what, words, manner): (&'static str, &'static str, Manner)| {
        // Whoever goes away in the middle ends its own conversation only.
        let stranger = Server::start(move |stream| drop(manner(&stream)));
        let network = Proxy::to(&format!("127.0.0.1:{}", stranger.port()));
        let daemon =
            Daemon::with(&network.address(), YAML).args(["-l", "INFO", "--session_timeout", "60"]).start();
        (what, words, stranger, network, daemon)
    };
    let meetings: Vec<_> = STRANGERS.into_iter().map(start).collect();
    throughout(Duration::from_secs(6), "borne", || true);
    for (what, words, stranger, network, mut daemon) in meetings {
        assert!(daemon.log_contains(words), "{what}: no {words:?} in {:#?}", daemon.log());
        assert!(!daemon.log_contains("panic"), "{what}: {:#?}", daemon.log());
        let (tries, lines) = (stranger.accepted(), daemon.log().len());
        assert!((2..=30).contains(&tries), "{what}: {tries} connections in six seconds");
        assert!(lines <= 10, "{what}: {lines} lines in six seconds");
        let (threads, fds) = (daemon.threads(), daemon.fds());
        assert!(threads < 120 && fds < 200, "{what}: {threads} threads, {fds} descriptors");
        assert!(daemon.cpu_time() < Duration::from_secs(1), "{what}: computed {:?}", daemon.cpu_time());
        network.lead_to(&server.address());
        network.cut();
        daemon.wait_for("/services/foo", true);
        assert_eq!(daemon.stop(), Some(0), "{what}");
        assert!(!daemon.log_contains("panic"), "{what}: {:#?}", daemon.log());
    }
}
