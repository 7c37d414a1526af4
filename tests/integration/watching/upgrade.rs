//! An ensemble of three is upgraded, server by server, under two agents: from the oldest version that `tests/run
//! --servers` names to the newest. Without it there is one version, and each server is restarted.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use crate::common::{Daemon, Ensemble, HttpSink, SOON, Version, eventually, throughout};

const MISSING: &str = "Found children (0) less than minimum (1)";

/// What an agent says while servers come and go: never what is not so. Nothing is known for a moment at each.
fn is_true(status: &Value) -> bool {
    let said = |path: &str| status["monitor"]["compliance"][path].clone();
    let may_be = |path: &str, truth: Value| {
        let said = said(path);
        said == truth || said.is_null() || said.as_str().is_some_and(|text| text.starts_with("Unknown: "))
    };
    may_be("/services/web", json!(true)) && may_be("/services/gone", json!(MISSING))
}

/// Restarts the servers one by one with a version's jars, the one that leads last, and sees each time that changes are
/// seen.
fn roll(ensemble: &mut Ensemble, version: &Version, agents: &[Daemon]) {
    let leader = ensemble.leader();
    for index in [(leader + 1) % 3, (leader + 2) % 3, leader] {
        ensemble.server(index).upgrade(version);
        let name = format!("/services/changes/{}-{index}", version.name());
        ensemble.client().create(&name, "");
        let mut client = ensemble.server(index).client();
        let children = client.children("/services/changes").unwrap().len();
        for agent in agents {
            agent.wait_until("the change", |status| {
                status["monitor"]["paths"]["/services/changes"]["children"] == children
                    && status["zookeeper"]["connected"] == true
            });
        }
    }
}

#[test]
fn an_ensemble_is_upgraded_server_by_server_and_nobody_is_alerted() {
    let versions = Version::all();
    let mut ensemble = Ensemble::of(&versions[0]);
    let sink = HttpSink::start();
    let mut client = ensemble.client();
    for path in ["/services/web/a", "/services/gone", "/services/changes"] {
        client.create(path, "");
    }
    let yaml = format!(
        "defaults: {{alerter: {{webhook: '{}'}}}}\n/services/web: {{children: 1}}\n/services/changes: {{}}\n\
         /services/gone: {{children: 1, alerter: {{}}}}\n",
        sink.url("/hook")
    );
    let agents = [(); 2].map(|()| Daemon::with(&ensemble.address(), &yaml).start());
    agents.iter().for_each(Daemon::wait_until_ready);
    eventually(SOON, "leading agent", || {
        agents.iter().any(|agent| agent.status()["monitor"]["alerter"]["alerting"] == true)
    });
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let watchers = agents.each_ref().map(|agent| {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    throughout(Duration::from_millis(200), "nothing untrue", || {
                        let status = agent.status();
                        if is_true(&status) { Ok(()) } else { Err(status) }
                    });
                }
            })
        });
        // The first is what it is already, if there are others.
        for version in &versions[usize::from(versions.len() > 1)..] {
            roll(&mut ensemble, version, &agents);
        }
        is_over.store(true, Ordering::Relaxed);
        watchers.into_iter().for_each(|watcher| watcher.join().unwrap());
    });
    // Each server was lost once for each version, and no session more.
    let rounds = versions.len().max(2) - 1;
    for agent in &agents {
        let sessions = agent.status()["zookeeper"]["sessions"].as_u64().unwrap();
        assert!(sessions <= 1 + 3 * 2 * rounds as u64, "{sessions} sessions: {:?}", agent.log());
    }
    assert!(sink.requests("/hook").is_empty(), "{:?}", sink.requests("/hook"));
    ensemble.client().delete("/services/web/a");
    sink.wait_for("/hook", 1);
    throughout(Duration::from_secs(1), "one message", || sink.requests("/hook").len() == 1);
}
