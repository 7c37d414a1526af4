//! What is answered to what.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Instant;

use super::cache::{Bodies, Body};
use super::events;
use super::json;
use super::metrics;
use super::page::Page;
use super::rules;
use super::snapshots::Snapshots;
use super::status::{self, VERSION};
use super::target::Target;
use crate::clock;
use crate::model::path_status::{PathState, PathStatus};
use crate::model::status::Compliance;

const JSON: &str = "application/json";

/// A request, as far as the answer depends on it.
#[derive(Clone, Copy, Debug, Default)]
pub struct RouteRequest<'a> {
    /// The target in origin form.
    pub target: &'a str,
    pub wants_html: bool,
    pub if_none_match: Option<&'a str>,
}

/// An answer.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    /// Header lines beside those about the connection and the body's length.
    pub headers: Vec<(&'static str, Cow<'static, str>)>,
    /// The body; with a status of 304, the one that the client has already.
    pub body: Arc<Vec<u8>>,
}

impl Answer {
    fn new(status: u16, content_type: &'static str, body: Arc<Vec<u8>>) -> Self {
        let headers = vec![
            ("Server", "zk_monitor".into()),
            ("Content-Type", content_type.into()),
            ("Cache-Control", "no-cache".into()),
            ("X-Content-Type-Options", "nosniff".into()),
        ];
        Self { status, headers, body }
    }

    fn json(status: u16, body: Vec<u8>) -> Self {
        Self::new(status, JSON, Arc::new(body))
    }

    /// An answer that says what went wrong.
    pub fn error(status: u16, reason: &str) -> Self {
        Self::json(status, json::error(reason))
    }

    fn header(&mut self, name: &'static str, value: impl Into<Cow<'static, str>>) {
        self.headers.push((name, value.into()));
    }
}

/// Answers requests from snapshots.
pub struct Router {
    snapshots: Snapshots,
    bodies: Bodies,
    page: Page,
}

impl Router {
    pub fn new(snapshots: Snapshots) -> Self {
        Self { snapshots, bodies: Bodies::default(), page: Page::new() }
    }

    /// Lets go of what is only kept to be quick.
    pub fn forget(&mut self) {
        self.bodies = Bodies::default();
    }

    /// Answers one request.
    pub fn answer(&mut self, request: &RouteRequest, now: Instant) -> Answer {
        match Target::parse(request.target) {
            Ok(Target::Root) => self.root(request),
            Ok(Target::Status(selection)) => {
                let body = self.bodies.get(&self.snapshots.view(now), selection);
                tagged(body, request.if_none_match)
            }
            Ok(Target::Path(path)) => self.path(&path),
            Ok(Target::Rules(path)) => self.rules(&path),
            Ok(Target::Events(query)) => {
                let body = events::body(&self.snapshots.events.get(), &query, clock::wall());
                tagged(Body::new(body), request.if_none_match)
            }
            Ok(Target::Metrics) => {
                let body = metrics::body(&self.snapshots.view(now));
                Answer::new(200, "text/plain; version=0.0.4; charset=utf-8", Arc::new(body))
            }
            Ok(Target::Healthy) => health("healthy", self.unhealthy(now)),
            Ok(Target::Ready) => health("ready", self.unready(now)),
            Err(refused) => Answer::error(refused.status, refused.reason),
        }
    }

    fn root(&self, request: &RouteRequest) -> Answer {
        let mut answer = if request.wants_html {
            let mut answer = Answer::new(200, "text/html; charset=utf-8", Arc::clone(&self.page.body));
            answer.header("Content-Security-Policy", self.page.policy.clone());
            answer.header("Referrer-Policy", "no-referrer");
            answer
        } else {
            Answer::json(200, json::document(|top| top.string("version", VERSION)))
        };
        answer.header("Vary", "Accept");
        answer
    }

    fn path(&self, path: &str) -> Answer {
        let compliance = self.snapshots.compliance.get();
        let Some(status) = find(&compliance, path) else {
            return Answer::error(404, "this path is not monitored");
        };
        let code = match status.state {
            PathState::Ok => 200,
            PathState::Error(_) | PathState::Unknown(_) => 503,
        };
        Answer::json(code, status::path_body(status, &self.snapshots.alerts.get()))
    }

    /// Always with a status of 200, unlike the path's own: this is for reading, and no check.
    fn rules(&self, path: &str) -> Answer {
        let (config, compliance) = (self.snapshots.config.get(), self.snapshots.compliance.get());
        let (meant, status) = (config.rules.meant(path), find(&compliance, path));
        Answer::json(200, rules::body(meant, status, &self.snapshots.alerts.get()))
    }

    fn unhealthy(&self, now: Instant) -> Option<String> {
        self.snapshots.pulses.iter().find_map(|pulse| {
            let silent = pulse.overdue(now)?.as_secs();
            Some(format!("thread {} has shown no sign of life for {silent} s", pulse.name))
        })
    }

    fn unready(&self, now: Instant) -> Option<String> {
        let connection = self.snapshots.connection.get();
        if !connection.is_up(now) {
            let reason = connection.last_error.as_deref().unwrap_or("no session yet");
            return Some(format!("not connected to ZooKeeper: {reason}"));
        }
        let ready = self.snapshots.compliance.get().ready;
        (!ready).then(|| "not every rule has been read on the present session yet".to_owned())
    }
}

/// The entry of a path or else of a glob.
fn find<'a>(compliance: &'a Compliance, path: &str) -> Option<&'a PathStatus> {
    compliance.paths.get(path).or_else(|| compliance.globs.get(path))
}

fn tagged(body: Body, if_none_match: Option<&str>) -> Answer {
    let has = |tags: &str| {
        tags == "*" || tags.split(',').any(|tag| tag.trim().trim_start_matches("W/") == &*body.tag)
    };
    let status = if if_none_match.is_some_and(has) { 304 } else { 200 };
    let mut answer = Answer::new(status, JSON, body.bytes);
    answer.header("ETag", body.tag.to_string());
    answer
}

fn health(what: &'static str, problem: Option<String>) -> Answer {
    let code = if problem.is_none() { 200 } else { 503 };
    let body = json::document(|top| {
        top.bool(what, problem.is_none());
        // Both names sort before it.
        top.optional("reason", problem.as_deref());
    });
    Answer::json(code, body)
}
