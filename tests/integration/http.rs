//! The HTTP server of the executable: what needs a whole daemon behind it.

use crate::common::{Daemon, shared};

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
