//! Whether anything that a cluster watches is meant by a silence: its agents are asked, as anybody may.

use std::time::Duration;

use serde_json::Value;

use crate::model::alert_key::AlertKey;
use crate::model::rule::glob_matches;
use crate::model::status::Silence;
use crate::percent;

/// How many agents are asked at most: each may be out of reach from here.
const ASKED: usize = 3;
/// How long one may take to answer.
const PATIENCE: Duration = Duration::from_secs(3);
/// The longest answer: that of some hundred thousand paths.
const LONGEST: u64 = 64 << 20;

/// Whether the silence is of anything that is watched, by the first of these agents (`host:port`) that says so.
///
/// # Errors
/// If none can be asked.
pub(super) fn is_of_something(silence: &Silence, agents: &[String]) -> Result<bool, String> {
    let (_, status) = first_answer("/status?detail=1", agents)?;
    Ok(covers_any(silence, &status["monitor"]))
}

/// What the first of these agents (`host:port`) that answers says of a path, as JSON.
///
/// # Errors
/// If none can be asked.
pub(super) fn path_status(path: &str, agents: &[String]) -> Result<(String, Value), String> {
    let path: String = path.split('/').skip(1).map(|level| format!("/{}", percent::encode(level))).collect();
    first_answer(&format!("/status{path}"), agents)
}

/// The first of these agents that answers, and what it does.
fn first_answer(target: &str, agents: &[String]) -> Result<(String, Value), String> {
    let mut last = "no agent runs".to_owned();
    for agent in agents.iter().take(ASKED) {
        match get(&format!("http://{agent}{target}")) {
            Ok(status) => return Ok((agent.clone(), status)),
            Err(reason) => last = format!("{agent} does not answer: {reason}"),
        }
    }
    Err(last)
}

fn get(url: &str) -> Result<Value, String> {
    // It is asked on the network that it is on, whatever proxies there are, and sends nobody elsewhere. A path that is out
    // of spec is answered with 503.
    let config = ureq::Agent::config_builder().timeout_global(Some(PATIENCE)).proxy(None);
    let config = config.max_redirects(0).max_redirects_will_error(false);
    let client = ureq::Agent::from(config.http_status_as_error(false).build());
    let answer = client.get(url).call();
    let body = answer.and_then(|mut answer| answer.body_mut().with_config().limit(LONGEST).read_to_vec());
    let body = body.map_err(|e| {
        let is_late = matches!(e, ureq::Error::Timeout(_));
        if is_late { format!("timed out after {} s", PATIENCE.as_secs()) } else { e.to_string() }
    })?;
    serde_json::from_slice(&body).map_err(|_| "this is no status of an agent".to_owned())
}

/// Whether it is of a path, of a rule of one, or of paths that a glob may match.
fn covers_any(silence: &Silence, monitor: &Value) -> bool {
    let keys = |of: &str| {
        monitor[of].as_object().into_iter().flatten().map(|(key, value)| (key.clone(), value.clone()))
    };
    let mut paths = keys("paths");
    let of_a_path = paths.any(|(path, shown)| {
        let names =
            shown["rules"].as_object().into_iter().flatten().map(|(name, _)| Some(name.as_str().into()));
        let mut all = names.chain([None]).map(|name| AlertKey { path: path.as_str().into(), name });
        all.any(|key| silence.is_of(&key))
    });
    let path = silence.path.split_once('@').map_or(&*silence.path, |(path, _)| path);
    of_a_path || keys("globs").any(|(glob, _)| glob_matches(&glob, path) || glob == path)
}

#[cfg(test)]
mod tests {
    use std::io::{ErrorKind, Read as _, Write as _};
    use std::net::{Ipv4Addr, TcpListener};
    use std::time::UNIX_EPOCH;

    use serde_json::json;

    use super::*;
    use crate::model::status::Until;

    #[test]
    fn an_agent_sends_nobody_elsewhere() {
        let (here, elsewhere) = (listener(), listener());
        elsewhere.set_nonblocking(true).unwrap();
        let (from, to) = (here.local_addr().unwrap(), elsewhere.local_addr().unwrap());
        let answering = std::thread::spawn(move || {
            let (mut stream, _) = here.accept().unwrap();
            let _head = stream.read(&mut [0; 4096]).unwrap();
            let head =
                format!("HTTP/1.1 302 Found\r\nLocation: http://{to}/\r\nContent-Length: 2\r\n\r\n{{}}");
            stream.write_all(head.as_bytes()).unwrap();
        });
        assert_eq!(get(&format!("http://{from}/status")), Ok(json!({})));
        answering.join().unwrap();
        assert_eq!(elsewhere.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
    }

    fn listener() -> TcpListener {
        TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap()
    }

    #[test]
    fn a_silence_is_of_paths_rules_and_globs() {
        let monitor = json!({
            "paths": {"/a/b": {"rules": {"page": {}}}, "/c": {}},
            "globs": {"/services/*/x": 0},
        });
        let check = |path: &str, expected: bool| {
            let silence = Silence {
                id: "s".into(),
                path: path.into(),
                until: Until::Time(UNIX_EPOCH),
                comment: "".into(),
                by: "".into(),
            };
            assert_eq!(covers_any(&silence, &monitor), expected, "{path}");
        };
        check("/a/b", true);
        check("/a/*", true);
        check("/a/b@page", true);
        check("/a/*@pages", false);
        check("/a", false);
        check("/services/web/x", true);
        check("/services/*/x", true);
        check("/services/web", false);
    }
}
