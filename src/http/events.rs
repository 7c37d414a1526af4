//! `/events`: what happened lately, newest first.

use std::time::SystemTime;

use super::target::{EventQuery, Since};
use crate::model::recent::{Recent, RecentEvent};
use crate::model::rule::glob_matches;

/// The body: an event a line, as the journal writes it.
pub fn body(recent: &Recent, query: &EventQuery, now: SystemTime) -> Vec<u8> {
    let since = query.since.and_then(|since| match since {
        Since::At(time) => Some(time),
        Since::Ago(duration) => now.checked_sub(duration),
    });
    let is_wanted = |event: &&RecentEvent| {
        let has_path = |pattern: &String| {
            event.path.as_ref().is_some_and(|path| **path == **pattern || glob_matches(pattern, path))
        };
        since.is_none_or(|since| event.time >= since) && query.path.as_ref().is_none_or(has_path)
    };
    let mut body = b"{\"events\": [".to_vec();
    for (place, event) in recent.newest_first().filter(is_wanted).take(query.limit).enumerate() {
        body.extend_from_slice(if place == 0 { b"\n" } else { b",\n" });
        body.extend_from_slice(event.json.as_bytes());
    }
    body.extend_from_slice(b"\n]}\n");
    body
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use serde_json::Value;

    use super::*;

    #[test]
    fn events_are_chosen_by_path_time_and_number() {
        let mut recent = Recent::default();
        for (second, path) in
            [(1, Some("/a")), (2, None), (3, Some("/s/x")), (4, Some("/s/y")), (5, Some("/a"))]
        {
            let time = UNIX_EPOCH + Duration::from_secs(second);
            recent.extend([RecentEvent {
                time,
                path: path.map(Into::into),
                json: second.to_string().into(),
            }]);
        }
        let now = UNIX_EPOCH + Duration::from_secs(10);
        let check = |path: Option<&str>, since: Option<Since>, limit: usize, expected: &[u64]| {
            let query = EventQuery { path: path.map(str::to_owned), since, limit };
            let body: Value = serde_json::from_slice(&body(&recent, &query, now)).unwrap();
            assert_eq!(body["events"], serde_json::json!(expected), "{query:?}");
        };
        check(None, None, 200, &[5, 4, 3, 2, 1]);
        check(None, None, 2, &[5, 4]);
        check(Some("/a"), None, 200, &[5, 1]);
        check(Some("/s/*"), None, 200, &[4, 3]);
        check(Some("/*"), None, 1, &[5]);
        check(Some("/none"), None, 200, &[]);
        check(None, Some(Since::At(UNIX_EPOCH + Duration::from_secs(4))), 200, &[5, 4]);
        check(None, Some(Since::Ago(Duration::from_secs(7))), 200, &[5, 4, 3]);
        check(None, Some(Since::Ago(Duration::from_secs(1 << 40))), 200, &[5, 4, 3, 2, 1]);
    }
}
