//! The head of a request, judged before anybody else sees it.

/// How long a head may be, in bytes.
pub const HEAD_MAX: usize = 16 << 10;
/// How many header lines it may have.
const LINES_MAX: usize = 100;

/// A complete request that may be answered. It has no body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// `HEAD` rather than `GET`.
    pub is_head: bool,
    /// The target in origin form, all ASCII.
    pub target: String,
    /// Whether the client takes HTML.
    pub wants_html: bool,
    /// The entity tags that the client has.
    pub if_none_match: Option<String>,
    /// Whether the connection is to be kept for another request.
    pub keep_alive: bool,
}

/// Why a request is not answered, as status code and words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The HTTP status code.
    pub status: u16,
    /// What is wrong, and what to do.
    pub reason: &'static str,
}

const fn refused(status: u16, reason: &'static str) -> Refused {
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
    // A server should take empty lines before a request for the end of the previous one.
    let blank = bytes.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
    let Some(length) = head_length(&bytes[blank..]) else {
        return if bytes.len() >= HEAD_MAX { Err(TOO_LONG) } else { Ok(None) };
    };
    if blank + length > HEAD_MAX {
        return Err(TOO_LONG);
    }
    let mut lines = bytes[blank..blank + length].split(|byte| *byte == b'\n').map(without_cr);
    let first = RequestLine::parse(lines.next().unwrap_or_default())?;
    let mut headers = Headers::default();
    for (at, line) in lines.take_while(|line| !line.is_empty()).enumerate() {
        if at >= LINES_MAX {
            return Err(TOO_LONG);
        }
        headers.read(line)?;
    }
    Ok(Some((blank + length, request(first, headers)?)))
}

/// The length of the head with the empty line that ends it.
fn head_length(bytes: &[u8]) -> Option<usize> {
    let ends = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at + 1);
    ends.filter_map(|end| match &bytes[end..] {
        [b'\n', ..] => Some(end + 1),
        [b'\r', b'\n', ..] => Some(end + 2),
        _ => None,
    })
    .next()
}

fn without_cr(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}

fn request(first: RequestLine, headers: Headers) -> Result<Request, Refused> {
    if first.is_11 && headers.hosts != 1 {
        return Err(BAD_HOST);
    }
    let is_head = match first.method {
        b"GET" => false,
        b"HEAD" => true,
        _ => return Err(BAD_METHOD),
    };
    if first.target.is_empty() {
        return Err(BAD_TARGET);
    }
    if headers.chunked {
        return Err(CHUNKED);
    }
    if headers.has_body {
        return Err(BODY);
    }
    Ok(Request {
        is_head,
        target: first.target,
        wants_html: headers.wants_html,
        if_none_match: headers.if_none_match,
        keep_alive: if first.is_11 { !headers.close } else { headers.keep_alive && !headers.close },
    })
}

struct RequestLine<'a> {
    method: &'a [u8],
    target: String,
    is_11: bool,
}

impl<'a> RequestLine<'a> {
    fn parse(line: &'a [u8]) -> Result<Self, Refused> {
        let words: Vec<&[u8]> = line.split(|byte| *byte == b' ').collect();
        let [method, target, version] = words.as_slice() else { return Err(BAD_LINE) };
        if !is_token(method) {
            return Err(BAD_LINE);
        }
        let is_11 = match *version {
            b"HTTP/1.0" => false,
            [b'H', b'T', b'T', b'P', b'/', b'1', b'.', b'1'..=b'9'] => true,
            [b'H', b'T', b'T', b'P', b'/', b'0'..=b'9', b'.', b'0'..=b'9'] => return Err(BAD_VERSION),
            _ => return Err(BAD_LINE),
        };
        // `OPTIONS *` is well-formed; its method is what is refused.
        let target = if *target == b"*" { String::new() } else { origin_form(target)? };
        Ok(Self { method, target, is_11 })
    }
}

/// A target in origin form and in ASCII: the scheme and host of an absolute one are left out, and bytes that
/// ought to have been percent-encoded are.
fn origin_form(target: &[u8]) -> Result<String, Refused> {
    if target.iter().any(|byte| byte.is_ascii_control()) {
        return Err(BAD_TARGET);
    }
    let path = match target {
        [b'/', ..] => target,
        _ => after_authority(target).ok_or(BAD_TARGET)?,
    };
    let mut text = String::with_capacity(path.len() + 1);
    if path.first() != Some(&b'/') {
        text.push('/');
    }
    for byte in path.iter().take_while(|byte| **byte != b'#') {
        if byte.is_ascii() {
            text.push(char::from(*byte));
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
    }
    Ok(text)
}

/// What follows `http://host:port`.
fn after_authority(target: &[u8]) -> Option<&[u8]> {
    let scheme = target.windows(3).position(|three| three == b"://")?;
    if !["http", "https"].iter().any(|known| target[..scheme].eq_ignore_ascii_case(known.as_bytes())) {
        return None;
    }
    let rest = &target[scheme + 3..];
    let end = rest.iter().position(|byte| matches!(byte, b'/' | b'?' | b'#')).unwrap_or(rest.len());
    (end > 0).then(|| &rest[end..])
}

fn is_token(word: &[u8]) -> bool {
    !word.is_empty()
        && word.iter().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte))
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
    fn read(&mut self, line: &[u8]) -> Result<(), Refused> {
        let colon = line.iter().position(|byte| *byte == b':').ok_or(BAD_HEADER)?;
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        if !is_token(name) || value.iter().any(|byte| byte.is_ascii_control() && *byte != b'\t') {
            return Err(BAD_HEADER);
        }
        let value = String::from_utf8_lossy(value);
        let names = |wanted: &str| value.split(',').any(|item| item.trim().eq_ignore_ascii_case(wanted));
        match name.to_ascii_lowercase().as_slice() {
            b"host" => self.hosts += 1,
            b"connection" => {
                self.close |= names("close");
                self.keep_alive |= names("keep-alive");
            }
            b"transfer-encoding" => self.chunked = true,
            b"content-length" => self.has_body |= value.parse::<u64>().map_err(|_| BAD_LENGTH)? > 0,
            b"accept" => {
                let html = |item: &str| item.trim().to_ascii_lowercase().starts_with("text/html");
                self.wants_html |= value.split(',').any(html);
            }
            b"if-none-match" if value.is_ascii() => self.if_none_match = Some(value.into_owned()),
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
        check("GET / HTTP/x\r\n\r\n", BAD_LINE);
        check("\u{16}\u{3}\u{1}\r\n\r\n", BAD_LINE);
        check("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", BAD_VERSION);
        check("GET status HTTP/1.1\r\nHost: a\r\n\r\n", BAD_TARGET);
        check("GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n", BAD_TARGET);
        check("GET http:/// HTTP/1.1\r\nHost: a\r\n\r\n", BAD_TARGET);
        check("GET * HTTP/1.1\r\nHost: a\r\n\r\n", BAD_TARGET);
        check("GET /\u{7} HTTP/1.1\r\nHost: a\r\n\r\n", BAD_TARGET);
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
