//! Alerts to a real Alertmanager.

use serde_json::json;

use crate::common::{Alertmanager, Daemon, SOON, eventually, shared};

#[test]
fn an_alert_appears_stays_and_is_resolved() {
    let (space, alertmanager) = (shared(), Alertmanager::start());
    let mut client = space.client();
    client.create("/services/foo/a", "");
    let yaml = format!(
        "/services/foo:\n  children: 1\n  repeat_interval: 1s\n  description: Call them.\n  \
         alerter: {{alertmanager: {{url: \"{}\"}}}}\n",
        alertmanager.url()
    );
    let daemon = Daemon::with(space.address(), &yaml).start();
    daemon.wait_until_it_leads();
    daemon.wait_for("/services/foo", true);
    client.delete("/services/foo/a");
    let first = alertmanager.wait_for(1).remove(0);
    let labels =
        json!({"alertname": "ZooKeeperPathOutOfSpec", "path": "/services/foo", "cluster": "zkmonitor"});
    assert_eq!(first["labels"], labels);
    assert_eq!(first["annotations"]["message"], "Found children (0) less than minimum (1)");
    assert_eq!(first["annotations"]["left"], "a");
    assert_eq!(first["annotations"]["description"], "Call them.");
    // It is told again, and so does not end by itself: the same alert, which now ends later.
    let later = eventually(SOON, "alert that is kept alive", || {
        let now = alertmanager.wait_for(1).remove(0);
        if now["endsAt"] == first["endsAt"] { Err(now) } else { Ok(now) }
    });
    assert_eq!(later["fingerprint"], first["fingerprint"]);
    assert_eq!(later["startsAt"], first["startsAt"]);
    client.create("/services/foo/b", "");
    alertmanager.wait_for(0);
    daemon.wait_until("no error", |status| {
        let receivers = status["receivers"].as_object().unwrap();
        receivers.values().all(|one| one["failed"] == 0 && one["last_error"].is_null())
    });
}
