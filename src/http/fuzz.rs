//! What a client may send: a target for fuzzing.

use super::request;
use super::target::Target;

/// The start of a connection. A head is the same head however much follows it, and what of it is passed on to tiny_http
/// and to the routes can end no line.
pub fn head(bytes: &[u8]) {
    let Ok(Some((length, request))) = request::parse(bytes) else { return };
    assert!(length <= bytes.len() && length <= 16 << 10);
    assert_eq!(request::parse(&bytes[..length]), Ok(Some((length, request.clone()))));
    assert_eq!(request::parse(&bytes[..length - 1]), Ok(None));
    let is_line = |text: &str| text.is_ascii() && !text.contains(|c: char| c.is_control() && c != '\t');
    assert!(request.target.starts_with('/') && is_line(&request.target), "{:?}", request.target);
    assert!(!request.target.contains([' ', '\t']) && request.target.len() <= 3 * length);
    assert!(request.if_none_match.as_deref().is_none_or(is_line), "{:?}", request.if_none_match);
    let again = format!("GET {} HTTP/1.1\r\nHost: a\r\n\r\n", request.target);
    let target = request::parse(again.as_bytes()).map(|found| found.map(|(_, request)| request.target));
    // Escaped, it may be longer than a head can be.
    assert!(again.len() > 16 << 10 || target == Ok(Some(request.target.clone())), "{target:?}");
    match Target::parse(&request.target) {
        Ok(Target::Path(path) | Target::Rules(path)) => {
            assert!(path.starts_with('/') && !path.contains("//"), "{path:?}");
        }
        Ok(_) => {}
        Err(refused) => assert!((400..500).contains(&refused.status)),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_head_may_be_anything() {
        crate::fuzz::run("http_head", super::head);
    }
}
