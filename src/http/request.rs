//! The head of a request, judged before anybody else sees it.

use httparse::Status;
use percent_encoding::{CONTROLS, utf8_percent_encode};

/// How long a head may be, in bytes.
const HEAD_MAX: usize = 16 << 10;
/// How many header lines it may have.
const LINES_MAX: usize = 100;

/// A complete request that may be answered. It has no body.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request {
    pub is_head: bool,
    /// The target in origin form, all ASCII.
    pub target: String,
    pub wants_html: bool,
    pub if_none_match: Option<String>,
    pub keep_alive: bool,
}

/// Why a request is not answered, as status code and words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    pub status: u16,
    /// What is wrong, and what to do.
    pub reason: &'static str,
}

pub const fn refused(status: u16, reason: &'static str) -> Refused {
    Refused { status, reason }
}

const TOO_LONG: Refused = refused(431, "the request's head is longer than 16 KiB or 100 lines");
const BAD_LINE: Refused = refused(400, "the request line must be METHOD TARGET HTTP/1.1");
const BAD_TARGET: Refused = refused(400, "the target must start with / or http://");
const BAD_HEADER: Refused = refused(400, "a header line must be NAME: VALUE");
const BAD_HOST: Refused = refused(400, "a request of HTTP/1.1 must have one Host header");
const BAD_VERSION: Refused = refused(505, "only HTTP/1.0 and HTTP/1.1 are spoken here");
const BAD_METHOD: Refused = refused(405, "only GET and HEAD are answered here");
const BAD_LENGTH: Refused = refused(400, "Content-Length must be a number");
const BODY: Refused = refused(413, "a request must not have a body");
const CHUNKED: Refused = refused(400, "a request must not have a body, so leave Transfer-Encoding out");

/// Reads the first head in `bytes` and tells how many bytes it took; `None` means that more must come.
///
/// # Errors
/// The head cannot become a request that is answered; where the next one would start is not known.
pub fn parse(bytes: &[u8]) -> Result<Option<(usize, Request)>, Refused> {
    let mut lines = [httparse::EMPTY_HEADER; LINES_MAX];
    let mut head = httparse::Request::new(&mut lines);
    match head.parse(bytes).map_err(broken)? {
        Status::Complete(length) if length > HEAD_MAX => Err(TOO_LONG),
        Status::Complete(length) => Ok(Some((length, request(&head)?))),
        Status::Partial if bytes.len() >= HEAD_MAX => Err(TOO_LONG),
        Status::Partial => Ok(None),
    }
}

fn broken(error: httparse::Error) -> Refused {
    match error {
        httparse::Error::HeaderName | httparse::Error::HeaderValue => BAD_HEADER,
        httparse::Error::Version => BAD_VERSION,
        httparse::Error::TooManyHeaders => TOO_LONG,
        httparse::Error::NewLine | httparse::Error::Status | httparse::Error::Token => BAD_LINE,
    }
}

fn request(head: &httparse::Request<'_, '_>) -> Result<Request, Refused> {
    let is_11 = head.version == Some(1);
    let target = head.path.unwrap_or_default();
    // `OPTIONS *` is well-formed; its method is what is refused.
    let target = if target == "*" { None } else { Some(origin_form(target)?) };
    let mut headers = Headers::default();
    for header in head.headers.iter() {
        headers.read(header)?;
    }
    if is_11 && headers.hosts != 1 {
        return Err(BAD_HOST);
    }
    let is_head = match head.method {
        Some("GET") => false,
        Some("HEAD") => true,
        Some(_) | None => return Err(BAD_METHOD),
    };
    let target = target.ok_or(BAD_TARGET)?;
    if headers.chunked {
        return Err(CHUNKED);
    }
    if headers.has_body {
        return Err(BODY);
    }
    Ok(Request {
        is_head,
        target,
        wants_html: headers.wants_html,
        if_none_match: headers.if_none_match,
        keep_alive: if is_11 { !headers.close } else { headers.keep_alive && !headers.close },
    })
}

/// A target in origin form and in ASCII: the scheme and host of an absolute one are left out, and bytes that
/// ought to have been percent-encoded are.
fn origin_form(target: &str) -> Result<String, Refused> {
    let path = if target.starts_with('/') { target } else { after_authority(target).ok_or(BAD_TARGET)? };
    let path = path.split('#').next().unwrap_or_default();
    let slash = if path.starts_with('/') { "" } else { "/" };
    Ok(format!("{slash}{}", utf8_percent_encode(path, CONTROLS)))
}

/// What follows `http://host:port`.
fn after_authority(target: &str) -> Option<&str> {
    let (scheme, rest) = target.split_once("://")?;
    if !["http", "https"].iter().any(|known| scheme.eq_ignore_ascii_case(known)) {
        return None;
    }
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    (end > 0).then(|| &rest[end..])
}

/// What the header lines say, as far as it matters here.
#[derive(Default)]
struct Headers {
    hosts: usize,
    close: bool,
    keep_alive: bool,
    chunked: bool,
    has_body: bool,
    wants_html: bool,
    if_none_match: Option<String>,
}

impl Headers {
    fn read(&mut self, header: &httparse::Header<'_>) -> Result<(), Refused> {
        let value = String::from_utf8_lossy(header.value.trim_ascii());
        let names = |wanted: &str| value.split(',').any(|item| item.trim().eq_ignore_ascii_case(wanted));
        match header.name.to_ascii_lowercase().as_str() {
            "host" => self.hosts += 1,
            "connection" => {
                self.close |= names("close");
                self.keep_alive |= names("keep-alive");
            }
            "transfer-encoding" => self.chunked = true,
            "content-length" => self.has_body |= value.parse::<u64>().map_err(|_| BAD_LENGTH)? > 0,
            "accept" => {
                let html = |item: &str| item.trim().to_ascii_lowercase().starts_with("text/html");
                self.wants_html |= value.split(',').any(html);
            }
            "if-none-match" if value.is_ascii() => self.if_none_match = Some(value.into_owned()),
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepted(text: &str) -> (usize, Request) {
        parse(text.as_bytes()).unwrap_or_else(|refused| panic!("{text:?}: {refused:?}")).unwrap()
    }

    #[test]
    fn requests() {
        let check = |text: &str, target: &str, keep_alive: bool| {
            let (length, request) = accepted(text);
            assert_eq!(length, text.len(), "{text:?}");
            assert_eq!((request.target.as_str(), request.keep_alive), (target, keep_alive), "{text:?}");
        };
        check("GET / HTTP/1.1\r\nHost: a\r\n\r\n", "/", true);
        check("\r\nGET / HTTP/1.1\nhOST:\n\n", "/", true);
        check("GET / HTTP/1.1\r\nHost: a\r\nConnection: TE, Close\r\n\r\n", "/", false);
        check("GET /status HTTP/1.0\r\n\r\n", "/status", false);
        check("GET /status HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", "/status", true);
        check(
            "HEAD http://a:80/status?x HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
            "/status?x",
            true,
        );
        check("GET HTTPS://a?x#y HTTP/1.1\r\nHost: a\r\n\r\n", "/?x", true);
        check("GET /status/zürich#x HTTP/1.1\r\nHost: a\r\n\r\n", "/status/z%C3%BCrich", true);
        check("GET // HTTP/1.1\r\nHost: ä\r\nExpect: 100-continue\r\n\r\n", "//", true);
    }

    #[test]
    fn what_headers_ask_for() {
        let (_, browser) = accepted(
            "HEAD / HTTP/1.1\r\nHost: a\r\nAccept: a/b, TEXT/HTML;q=0.9\r\nIf-None-Match: \"x\"\r\n\r\n",
        );
        assert!(browser.is_head && browser.wants_html);
        assert_eq!(browser.if_none_match.as_deref(), Some("\"x\""));
        let (_, curl) = accepted("GET / HTTP/1.1\r\nHost: a\r\nAccept: */*\r\n\r\n");
        assert!(!curl.is_head && !curl.wants_html && curl.if_none_match.is_none());
    }

    #[test]
    fn what_follows_a_head_is_left() {
        let first = "GET /a HTTP/1.1\r\nHost: a\r\n\r\n";
        assert_eq!(accepted(&format!("{first}GET /b HTTP/1.1\r\n")).0, first.len());
    }

    #[test]
    fn every_part_of_a_head_is_incomplete() {
        let head = "GET /status HTTP/1.1\r\nHost: a\r\nAccept: b\r\n\r\n";
        for end in 0..head.len() {
            assert_eq!(parse(&head.as_bytes()[..end]), Ok(None), "{end}");
        }
    }

    #[test]
    fn refusals() {
        let check = |text: &str, wanted: Refused| assert_eq!(parse(text.as_bytes()), Err(wanted), "{text:?}");
        check("GET /\r\n\r\n", BAD_LINE);
        check("GET  / HTTP/1.1\r\n\r\n", BAD_LINE);
        check("G\0T / HTTP/1.1\r\n\r\n", BAD_LINE);
        check("GET / HTTP/x\r\n\r\n", BAD_VERSION);
        check("\u{16}\u{3}\u{1}\r\n\r\n", BAD_LINE);
        check("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", BAD_VERSION);
        check("GET status HTTP/1.1\r\nHost: a\r\n\r\n", BAD_TARGET);
        check("GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n", BAD_TARGET);
        check("GET http:/// HTTP/1.1\r\nHost: a\r\n\r\n", BAD_TARGET);
        check("GET * HTTP/1.1\r\nHost: a\r\n\r\n", BAD_TARGET);
        check("GET /\u{7} HTTP/1.1\r\nHost: a\r\n\r\n", BAD_LINE);
        check("GET / HTTP/1.1\r\n\r\n", BAD_HOST);
        check("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", BAD_HOST);
        check("GET / HTTP/1.1\r\nHost : a\r\n\r\n", BAD_HEADER);
        check("GET / HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n", BAD_HEADER);
        check("GET / HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n", BAD_HEADER);
        check("POST /status HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc", BAD_METHOD);
        check("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", BAD_METHOD);
        check("get / HTTP/1.1\r\nHost: a\r\n\r\n", BAD_METHOD);
        check("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc", BODY);
        check("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: -3\r\n\r\n", BAD_LENGTH);
        check("GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", CHUNKED);
        check(&format!("GET / HTTP/1.1\r\nX: {}", "a".repeat(HEAD_MAX)), TOO_LONG);
        check(&format!("GET / HTTP/1.1\r\nX: {}\r\n\r\n", "a".repeat(HEAD_MAX)), TOO_LONG);
        check(&format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "X: a\r\n".repeat(100)), TOO_LONG);
        check(&"\n".repeat(HEAD_MAX), TOO_LONG);
    }
}
