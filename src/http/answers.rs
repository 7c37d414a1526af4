//! The thread that answers: requests from tiny_http in, answers out.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crossbeam_channel::Receiver;
use tiny_http::{Header, Request, Response, StatusCode};

use super::backend::{CONN, Requests, TICKET};
use super::routes::{Answer, RouteRequest, Router};
use crate::clock;

/// How long bodies are kept for the next request. A scrape or a page comes more often than that.
const IDLE: Duration = Duration::from_secs(20);

/// The first time after 1970 that has no date of HTTP.
const YEAR_10000: Duration = Duration::from_secs(253_402_300_800);

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
    // An error means that the gate has ended. A panic is the library's, has been logged, and costs this request alone: the
    // gate gives it up, and the connection that it came by.
    let head = head(answer, clock::wall());
    catch_unwind(AssertUnwindSafe(|| request.respond(head))).ok();
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
fn head(answer: Answer, now: SystemTime) -> Response<io::Empty> {
    let length = answer.body.len();
    let mut response = Response::new(StatusCode(answer.status), Vec::new(), io::empty(), Some(length), None)
        .with_chunked_threshold(usize::MAX);
    for (name, value) in answer.headers {
        if let Ok(header) = Header::from_bytes(name.as_bytes(), value.as_bytes()) {
            response.add_header(header);
        }
    }
    // The library panics where it has to write such a time.
    let since_1970 = now.duration_since(SystemTime::UNIX_EPOCH);
    if since_1970.is_ok_and(|since| since < YEAR_10000) {
        return response;
    }
    let epoch = Header::from_bytes("Date", "Thu, 01 Jan 1970 00:00:00 GMT").ok();
    epoch.into_iter().for_each(|date| response.add_header(date));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_no_date_can_tell_is_not_left_to_the_library() {
        let check = |now: SystemTime, expected: Option<&str>| {
            let response = head(Answer::error(500, "a test"), now);
            let date = response.headers().iter().find(|header| header.field.equiv("Date"));
            assert_eq!(date.map(|header| header.value.as_str()), expected, "{now:?}");
            // It does not panic.
            response.raw_print(io::sink(), tiny_http::HTTPVersion(1, 1), &[], false, None).unwrap();
        };
        check(SystemTime::UNIX_EPOCH, None);
        check(SystemTime::UNIX_EPOCH - Duration::from_secs(1), Some("Thu, 01 Jan 1970 00:00:00 GMT"));
        check(SystemTime::UNIX_EPOCH + YEAR_10000, Some("Thu, 01 Jan 1970 00:00:00 GMT"));
    }
}
