//! TLS to a real ZooKeeper that wants to see a certificate.

use std::path::PathBuf;
use std::process::Command;
use std::sync::LazyLock;

use serde_json::Value;

use crate::common::{Builder, Daemon, Folder, ZooKeeper, free_port};

const YAML: &str = "/services/foo: {children: 1}\n";

/// Certificates of two authorities, made once for all tests.
static CERTIFICATES: LazyLock<Folder> = LazyLock::new(|| {
    let folder = Folder::new("certificates");
    let script = r#"
        set -e
        authority() {
            openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj "/CN=$1" \
                -keyout "$1.key" -out "$1.pem" -addext basicConstraints=critical,CA:TRUE
        }
        # signed NAME AUTHORITY DAYS: a key and a certificate for localhost, and both in one file.
        signed() {
            openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=$1" -keyout "$1.key" -out "$1.csr"
            printf 'subjectAltName=DNS:localhost\nextendedKeyUsage=serverAuth,clientAuth\n' > "$1.ext"
            openssl x509 -req -in "$1.csr" -CA "$2.pem" -CAkey "$2.key" -CAcreateserial -days "$3" -extfile "$1.ext" -out "$1.pem"
            cat "$1.key" "$1.pem" > "$1.both.pem"
        }
        authority ours
        authority other
        signed server ours 2
        signed client ours 2
        signed stranger other 2
        signed expired ours -1
    "#;
    let made = Command::new("bash").args(["-c", script]).current_dir(folder.path()).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    folder
});

fn certificate(name: &str) -> PathBuf {
    CERTIFICATES.path().join(name)
}

/// A server that is reached by TLS on the port told, and wants a certificate of our authority.
fn server(certificate_of: &str) -> (ZooKeeper, u16) {
    let port = free_port();
    let lines = [
        format!("secureClientPort={port}"),
        "secureClientPortAddress=127.0.0.1".to_owned(),
        "serverCnxnFactory=org.apache.zookeeper.server.NettyServerCnxnFactory".to_owned(),
        format!("ssl.keyStore.location={}", certificate(&format!("{certificate_of}.both.pem")).display()),
        "ssl.keyStore.type=PEM".to_owned(),
        format!("ssl.trustStore.location={}", certificate("ours.pem").display()),
        "ssl.trustStore.type=PEM".to_owned(),
        "ssl.clientAuth=need".to_owned(),
        "ssl.hostnameVerification=false".to_owned(),
    ];
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    (ZooKeeper::with(&lines, &[]), port)
}

fn daemon(host: &str, port: u16, authority: &str) -> Builder {
    let authority = certificate(&format!("{authority}.pem"));
    let address = format!("{host}:{port}");
    Daemon::with(&address, YAML).args(["--zookeeper_tls", "--zookeeper_ca", authority.to_str().unwrap()])
}

fn with_certificate(builder: Builder, name: &str) -> Builder {
    let (own, key) = (certificate(&format!("{name}.pem")), certificate(&format!("{name}.key")));
    builder.args(["--zookeeper_cert", own.to_str().unwrap(), "--zookeeper_key", key.to_str().unwrap()])
}

#[test]
fn a_certificate_of_our_authority_is_let_in() {
    let (server, port) = server("server");
    server.client().create("/services/foo/a", "");
    let daemon = with_certificate(daemon("localhost", port, "ours"), "client").start();
    daemon.wait_for("/services/foo", true);
    server.client().delete("/services/foo/a");
    daemon.wait_for("/services/foo", "Found children (0) less than minimum (1)");
}

#[test]
fn others_are_not_and_are_told_why() {
    let (_server, port) = server("server");
    let check = |builder: Builder, words: &str| {
        let daemon = builder.start();
        daemon.wait_for_log("cannot connect to ZooKeeper, and will keep trying");
        // A server that has just started may be too slow for the first handshake.
        let says =
            |status: &Value| status["zookeeper"]["last_error"].as_str().is_some_and(|e| e.contains(words));
        daemon.wait_until(words, says);
        let log = daemon.log().join("\n");
        assert_eq!(daemon.status()["zookeeper"]["connected"], Value::Bool(false));
        assert_eq!(log.matches("panic").count(), 0, "{log}");
    };
    check(with_certificate(daemon("localhost", port, "other"), "client"), "UnknownIssuer");
    check(with_certificate(daemon("127.0.0.1", port, "ours"), "client"), "not valid for name");
    check(daemon("localhost", port, "ours"), "received fatal alert");
    check(with_certificate(daemon("localhost", port, "ours"), "stranger"), "received fatal alert");
    check(with_certificate(daemon("localhost", port, "ours"), "expired"), "received fatal alert");
    let plain = format!("127.0.0.1:{port}");
    check(Daemon::with(&plain, YAML), "127.0.0.1");
}

#[test]
fn an_expired_server_is_not_trusted() {
    let (_server, port) = server("expired");
    let daemon = with_certificate(daemon("localhost", port, "ours"), "client").start();
    daemon.wait_until("complaint about the expiry", |status| {
        status["zookeeper"]["last_error"].as_str().is_some_and(|error| error.contains("certificate: Expired"))
    });
}

#[test]
fn files_that_cannot_be_used_are_named() {
    let check = |option: &str, file: &str, words: &str| {
        let output = Daemon::with("127.0.0.1:1", YAML).args(["--zookeeper_tls", option, file]).finish();
        assert_eq!(output.code, Some(1), "{}", output.stderr);
        assert!(output.stderr.contains(words) && output.stderr.contains(file), "{}", output.stderr);
    };
    check("--zookeeper_ca", "/no/such/file", "cannot read");
    check("--zookeeper_ca", certificate("ours.key").to_str().unwrap(), "no certificate");
}
