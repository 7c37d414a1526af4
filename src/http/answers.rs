//! The thread that answers: requests from tiny_http in, answers out.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::Receiver;
use tiny_http::{Header, Request, Response, StatusCode};

use super::backend::{CONN, Requests, TICKET};
use super::routes::{Answer, RouteRequest, Router};
use crate::clock;

/// How long bodies are kept for the next request. A scrape or a page comes more often than that.
const IDLE: Duration = Duration::from_secs(20);

/// Answers one server's requests after the other's, until the gate ends.
pub fn run(servers: &Receiver<Requests>, mut router: Router) {
    while let Ok(requests) = servers.recv() {
        while let Ok(request) = requests.next(IDLE) {
            match request {
                Some(request) => answer(request, &requests, &mut router),
                None => router.forget(),
            }
        }
    }
}

fn answer(request: Request, requests: &Requests, router: &mut Router) {
    // A panic ends this request only. The snapshots are whole, and the cache is emptied.
    let answer = catch_unwind(AssertUnwindSafe(|| router.answer(&routed(&request), clock::mono())))
        .unwrap_or_else(|_| {
            router.forget();
            Answer::error(500, "this request met a fault in the program; please report it")
        });
    let number = |name| header(&request, name).and_then(|value| value.parse::<usize>().ok());
    let Some((conn, ticket)) = number(CONN).zip(number(TICKET)) else { return };
    if let Some(bodies) = requests.bodies.get(conn) {
        // Never full, as it carries one request at a time; if the gate has ended nobody wants it.
        bodies.try_send((ticket as u64, Arc::clone(&answer.body))).ok();
    }
    // An error means that the gate has ended.
    request.respond(head(answer)).ok();
}

fn routed(request: &Request) -> RouteRequest<'_> {
    RouteRequest {
        target: request.url(),
        wants_html: header(request, "Accept").is_some(),
        if_none_match: header(request, "If-None-Match"),
    }
}

fn header<'a>(request: &'a Request, name: &'static str) -> Option<&'a str> {
    request.headers().iter().find(|header| header.field.equiv(name)).map(|header| header.value.as_str())
}

/// The answer without its body, but with the body's length.
fn head(answer: Answer) -> Response<io::Empty> {
    let length = answer.body.len();
    let mut response = Response::new(StatusCode(answer.status), Vec::new(), io::empty(), Some(length), None)
        .with_chunked_threshold(usize::MAX);
    for (name, value) in answer.headers {
        if let Ok(header) = Header::from_bytes(name.as_bytes(), value.as_bytes()) {
            response.add_header(header);
        }
    }
    response
}
