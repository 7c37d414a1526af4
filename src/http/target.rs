//! What a request asks for: its target, decoded.

use std::borrow::Cow;
use std::time::{Duration, SystemTime};

use super::request::{Refused, refused};
use super::status::Selection;
use crate::model::recent::RECENT;
use crate::model::{duration, path, rfc3339};
use crate::percent;

/// A request target that can be answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    Root,
    Status(Selection),
    /// `/status/<path>`: the znode's path.
    Path(String),
    /// `/rules/<path or glob>`.
    Rules(String),
    Events(EventQuery),
    Metrics,
    Healthy,
    Ready,
}

/// Which events are asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventQuery {
    /// Those of this path, or of all that a pattern matches.
    pub path: Option<String>,
    pub since: Option<Since>,
    /// So many at most.
    pub limit: usize,
}

/// From when on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Since {
    At(SystemTime),
    Ago(Duration),
}

impl Default for EventQuery {
    fn default() -> Self {
        Self { path: None, since: None, limit: 200 }
    }
}

const NOTHING: Refused =
    refused(404, "nothing is here; try /status, /status/<path>, /events, /metrics, /-/healthy or /-/ready");
const BAD_STATE: Refused = refused(400, "state must be ok, error or unknown");
const BAD_DETAIL: Refused = refused(400, "detail must be 0 or 1");
const BAD_PATH: Refused =
    refused(400, "path must be a znode's path, or a pattern with * for one level, such as /services/*");
const BAD_SINCE: Refused = refused(
    400,
    "since must be a time such as 2014-05-31T16:20:25Z (write + as %2B), or a duration such as 90, 10m or 1h30m",
);
const BAD_LIMIT: Refused = refused(400, "limit must be a number from 1 to 10000");
const BAD_ESCAPE: Refused = refused(400, "a % must be followed by two hex digits");
const NO_TEXT: Refused = refused(400, "the decoded target is not UTF-8");

impl Target {
    /// Reads a target in origin form, such as `/status?state=error`.
    ///
    /// Empty levels count for nothing, so that `/status//services/foo` (a znode's path put behind `/status/`)
    /// is `/status/services/foo`. If nothing but such levels is behind `/status/`, that is the root of all znodes.
    pub fn parse(text: &str) -> Result<Self, Refused> {
        let (path, query) = text.split_once('?').unwrap_or((text, ""));
        let path = decode(path, false)?;
        let levels: Vec<&str> = path.split('/').filter(|level| !level.is_empty()).collect();
        match levels.as_slice() {
            [] => Ok(Self::Root),
            [name @ ("status" | "state")] if path.trim_start_matches('/').len() <= name.len() + "/".len() => {
                Ok(Self::Status(selection(query)?))
            }
            ["status" | "state", znode @ ..] => Ok(Self::Path(format!("/{}", znode.join("/")))),
            ["rules", znode @ ..] => Ok(Self::Rules(format!("/{}", znode.join("/")))),
            ["events"] => Ok(Self::Events(event_query(query)?)),
            ["metrics"] => Ok(Self::Metrics),
            ["-", "healthy"] => Ok(Self::Healthy),
            ["-", "ready"] => Ok(Self::Ready),
            _ => Err(NOTHING),
        }
    }
}

/// Reads the query of `/status`. A parameter that is not known is ignored, as browsers and load balancers add
/// their own; a known one with an unknown value is refused, lest a check looks at the wrong thing.
fn selection(query: &str) -> Result<Selection, Refused> {
    let mut states = Selection::default();
    let mut filtered = false;
    let mut detail = false;
    for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
        let (key, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        let value = decode(value, true)?;
        match decode(key, true)?.as_str() {
            "state" => {
                filtered = true;
                *match value.as_str() {
                    "ok" => &mut states.ok,
                    "error" => &mut states.error,
                    "unknown" => &mut states.unknown,
                    _ => return Err(BAD_STATE),
                } = true;
            }
            "detail" => match value.as_str() {
                "1" | "true" => detail = true,
                "0" | "false" => detail = false,
                _ => return Err(BAD_DETAIL),
            },
            _ => {}
        }
    }
    Ok(Selection { detail, ..if filtered { states } else { Selection::ALL } })
}

/// Reads the query of `/events`, as strictly.
fn event_query(query: &str) -> Result<EventQuery, Refused> {
    let mut found = EventQuery::default();
    for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
        let (key, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        let value = decode(value, true)?;
        match decode(key, true)?.as_str() {
            "path" => {
                // A znode's name may hold more stars than a pattern.
                path::check(&value).map_err(|_| BAD_PATH)?;
                found.path = Some(value);
            }
            "since" => found.since = Some(since(&value).ok_or(BAD_SINCE)?),
            "limit" => {
                let limit = value.parse().ok().filter(|limit| (1..=RECENT).contains(limit));
                found.limit = limit.ok_or(BAD_LIMIT)?;
            }
            _ => {}
        }
    }
    Ok(found)
}

fn since(text: &str) -> Option<Since> {
    let ago = || duration::parse(text).ok().map(Since::Ago);
    rfc3339::parse(text).map(Since::At).or_else(ago)
}

/// Undoes percent-encoding; in a query `+` is a space.
fn decode(text: &str, is_query: bool) -> Result<String, Refused> {
    let text = if is_query { Cow::from(text.replace('+', " ")) } else { Cow::from(text) };
    String::from_utf8(percent::decode(&text).ok_or(BAD_ESCAPE)?).map_err(|_| NO_TEXT)
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    #[test]
    fn targets() {
        let check = |text: &str, wanted: Target| assert_eq!(Target::parse(text), Ok(wanted), "{text}");
        let path = |path: &str| Target::Path(path.to_owned());
        let none = Selection::default();
        check("/", Target::Root);
        check("//", Target::Root);
        check("/?x=%zz-is-not-read", Target::Root);
        check("/status", Target::Status(Selection::ALL));
        check("/state/", Target::Status(Selection::ALL));
        check("/status?", Target::Status(Selection::ALL));
        check("/status?state=error", Target::Status(Selection { error: true, ..none }));
        check("/status?st%61te=unkn%6Fwn&", Target::Status(Selection { unknown: true, ..none }));
        check("/status?state=ok&state=error", Target::Status(Selection { ok: true, error: true, ..none }));
        check("/status?utm=1&detail=1&x", Target::Status(Selection { detail: true, ..Selection::ALL }));
        check("/status?detail=1&detail=0", Target::Status(Selection::ALL));
        check("/status/services/foo", path("/services/foo"));
        check("/state//services/foo/", path("/services/foo"));
        check("/status/%2Fservices%2ffoo", path("/services/foo"));
        check("/status/z%C3%BCrich/a%20b%3Fc+d", path("/zürich/a b?c+d"));
        check("/status/status", path("/status"));
        check("/status//", path("/"));
        check("/status/%2F", path("/"));
        check("//state/%2f?x=1", path("/"));
        check("//status/", Target::Status(Selection::ALL));
        check("/rules/services/*/hosts", Target::Rules("/services/*/hosts".to_owned()));
        check("/metrics", Target::Metrics);
        check("/events", Target::Events(EventQuery::default()));
        let at = UNIX_EPOCH + Duration::from_secs(1_401_553_225);
        let query = |path: Option<&str>, since, limit| {
            Target::Events(EventQuery { path: path.map(str::to_owned), since, limit })
        };
        check("/events?path=%2Fa%2F*&utm=1", query(Some("/a/*"), None, 200));
        check("/events?path=/a/x**y", query(Some("/a/x**y"), None, 200));
        check("/events?since=2014-05-31T16:20:25Z", query(None, Some(Since::At(at)), 200));
        check("/events?since=2014-05-31T18:20:25%2B02:00", query(None, Some(Since::At(at)), 200));
        check(
            "/events?since=1h30m&limit=10000",
            query(None, Some(Since::Ago(Duration::from_secs(5400))), 10_000),
        );
        check("/-/healthy", Target::Healthy);
        check("/-/ready?x=1", Target::Ready);
    }

    #[test]
    fn refusals() {
        let missing = |text: &str| assert_eq!(Target::parse(text), Err(NOTHING), "{text}");
        missing("/statuses");
        missing("/-/other");
        missing("/Status");
        missing("/metrics/x");
        let malformed = |text: &str, wanted: &str| match Target::parse(text) {
            Err(Refused { status: 400, reason }) => assert!(reason.contains(wanted), "{text}: {reason}"),
            other => panic!("{text}: {other:?}"),
        };
        malformed("/status?state=bad", "ok, error or unknown");
        malformed("/status?state=", "ok, error or unknown");
        malformed("/status?detail=maybe", "0 or 1");
        malformed("/events?path=a", "znode's path");
        malformed("/events?path=", "znode's path");
        malformed("/events?since=yesterday", "2014-05-31T16:20:25Z");
        malformed("/events?since=2014-05-31T18:20:25+02:00", "%2B");
        malformed("/events?since=", "duration");
        malformed("/events?limit=0", "from 1 to 10000");
        malformed("/events?limit=10001", "from 1 to 10000");
        malformed("/events?limit=", "from 1 to 10000");
        malformed("/status/%", "two hex digits");
        malformed("/status/%4", "two hex digits");
        malformed("/status/%g0", "two hex digits");
        malformed("/status/%ff", "not UTF-8");
    }
}
