//! Percent-encoding: written so that nothing but letters, digits and `-._~` is left as it is, and read strictly.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Fit for a query, or for one level of a path.
pub fn encode(text: &str) -> String {
    utf8_percent_encode(text, ENCODED).to_string()
}

/// What was encoded; `None` if a `%` is not followed by two hexadecimal digits.
pub fn decode(text: &str) -> Option<Vec<u8>> {
    let is_byte =
        |rest: &str| rest.as_bytes().get(..2).is_some_and(|two| two.iter().all(u8::is_ascii_hexdigit));
    text.split('%').skip(1).all(is_byte).then(|| percent_decode_str(text).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back() {
        let check = |text: &str, expected: &str| {
            assert_eq!(encode(text), expected);
            assert_eq!(decode(expected).as_deref(), Some(text.as_bytes()));
        };
        check("a-b._~9", "a-b._~9");
        check("a b&c=d/ü%", "a%20b%26c%3Dd%2F%C3%BC%25");
        assert_eq!(decode("%2f").as_deref(), Some(&b"/"[..]));
        for bad in ["%", "%4", "%zz", "a%+1", "%%20", "%é"] {
            assert_eq!(decode(bad), None, "{bad}");
        }
    }
}
