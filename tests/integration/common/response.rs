//! An answer of the daemon's HTTP server.

use serde_json::Value;

/// An answer to an HTTP request.
#[derive(Debug)]
pub struct Response {
    /// Its status.
    pub status: u16,
    /// Its header fields, as they came, without the status line.
    pub head: String,
    /// Its body.
    pub body: String,
}

impl Response {
    /// A header field, by its name in any case.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut fields = self.head.lines().filter_map(|line| line.split_once(':'));
        fields.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    }

    /// The body as JSON.
    ///
    /// # Panics
    /// If it is none.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }

    /// Reads an answer that came whole.
    ///
    /// # Errors
    /// If it is no HTTP.
    pub fn parse(answer: &str) -> std::io::Result<Self> {
        let malformed = || std::io::Error::other(format!("no HTTP: {answer:?}"));
        let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(malformed)?;
        let (first, head) = head.split_once("\r\n").unwrap_or((head, ""));
        let status = first.split(' ').nth(1).and_then(|code| code.parse().ok()).ok_or_else(malformed)?;
        let response = Self { status, head: head.to_owned(), body: body.to_owned() };
        let chunked = response.header("Transfer-Encoding").is_some_and(|coding| coding == "chunked");
        Ok(if chunked { Self { body: unchunk(body), ..response } } else { response })
    }
}

fn unchunk(mut rest: &str) -> String {
    let mut body = String::new();
    while let Some((length, after)) = rest.split_once("\r\n") {
        let length = usize::from_str_radix(length.trim(), 16).unwrap_or(0);
        let Some(chunk) = after.get(..length).filter(|chunk| !chunk.is_empty()) else { break };
        body.push_str(chunk);
        rest = after.get(length + 2..).unwrap_or("");
    }
    body
}
