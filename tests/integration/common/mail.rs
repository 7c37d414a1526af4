//! A mail as it arrived, decoded.

use std::time::Instant;

/// One mail that a sink took.
#[derive(Clone, Debug)]
pub struct Mail {
    /// The sender of the envelope.
    pub from: String,
    /// The recipients of the envelope that were not refused.
    pub to: Vec<String>,
    /// The header fields in their order, unfolded, encoded words decoded.
    pub headers: Vec<(String, String)>,
    /// The text, decoded, with plain line ends.
    pub body: String,
    /// All of it as it came.
    pub raw: String,
    /// When its last line came.
    pub at: Instant,
}

impl Mail {
    /// Reads what came after DATA, dots unstuffed.
    pub fn parse(from: &str, to: &[String], raw: &str, at: Instant) -> Self {
        let (head, body) = raw.split_once("\r\n\r\n").unwrap_or((raw, ""));
        let unfolded = head.replace("\r\n ", " ").replace("\r\n\t", " ");
        let headers: Vec<_> = unfolded
            .lines()
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_owned(), decode_words(value.trim())))
            .collect();
        let mut mail = Self {
            from: from.to_owned(),
            to: to.to_vec(),
            headers,
            body: String::new(),
            raw: raw.to_owned(),
            at,
        };
        let bytes = match mail.header("Content-Transfer-Encoding").map(str::to_ascii_lowercase).as_deref() {
            Some("base64") => base64(body),
            Some("quoted-printable") => quoted_printable(&body.replace("=\r\n", "")),
            _ => body.as_bytes().to_vec(),
        };
        mail.body = String::from_utf8_lossy(&bytes).replace("\r\n", "\n");
        mail
    }

    /// A header field, by its name in any case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// The subject, decoded.
    pub fn subject(&self) -> &str {
        self.header("Subject").unwrap_or("")
    }
}

/// Decodes the `=?utf-8?b?...?=` of a header field (RFC 2047).
fn decode_words(value: &str) -> String {
    let mut bytes = Vec::new();
    let mut encoded_before = false;
    for word in value.split(' ') {
        let decoded = decode_word(word);
        // A blank between two encoded words is none.
        let joined = bytes.is_empty() || (encoded_before && decoded.is_some());
        if !joined {
            bytes.push(b' ');
        }
        encoded_before = decoded.is_some();
        bytes.extend(decoded.unwrap_or_else(|| word.as_bytes().to_vec()));
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn decode_word(word: &str) -> Option<Vec<u8>> {
    let mut parts = word.strip_prefix("=?")?.strip_suffix("?=")?.splitn(3, '?');
    let (charset, encoding, text) = (parts.next()?, parts.next()?, parts.next()?);
    let known = charset.eq_ignore_ascii_case("utf-8");
    match encoding {
        "b" | "B" if known => Some(base64(text)),
        "q" | "Q" if known => Some(quoted_printable(&text.replace('_', " "))),
        _ => None,
    }
}

fn quoted_printable(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let hex = if *first == b'=' { after.get(..2) } else { None };
        let code = hex.and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok());
        bytes.push(code.unwrap_or(*first));
        rest = if code.is_some() { &after[2..] } else { after };
    }
    bytes
}

fn base64(text: &str) -> Vec<u8> {
    let digit = |byte: u8| {
        let place = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        Some(u32::from(place))
    };
    let digits: Vec<u32> = text.bytes().filter_map(digit).collect();
    let mut bytes = Vec::new();
    for group in digits.chunks(4) {
        let bits = group.iter().enumerate().fold(0, |bits, (place, digit)| bits | digit << (18 - 6 * place));
        bytes.extend(bits.to_be_bytes().iter().skip(1).take(group.len().saturating_sub(1)));
    }
    bytes
}

#[test]
fn encodings_are_undone() {
    let check = |raw: &str, subject: &str, body: &str| {
        let mail = Mail::parse("a@b", &[], raw, Instant::now());
        assert_eq!((mail.subject(), mail.body.as_str()), (subject, body), "{raw}");
    };
    check("Subject: plain words\r\n\r\none\r\ntwo\r\n", "plain words", "one\ntwo\n");
    check("subject: folded\r\n here\r\n\r\n", "folded here", "");
    check("Subject: =?utf-8?b?L2bDvA==?= =?utf-8?b?cg==?= end\r\n\r\n", "/f\u{fc}r end", "");
    check("Subject: =?UTF-8?Q?=2Ff=C3=BCr_x?=\r\n\r\n", "/f\u{fc}r x", "");
    check("Content-Transfer-Encoding: base64\r\n\r\naMO2\r\nIQ==\r\n", "", "h\u{f6}!");
    check("Content-Transfer-Encoding: quoted-printable\r\n\r\nh=C3=\r\n=B6 =3D\r\n", "", "h\u{f6} =\n");
}
