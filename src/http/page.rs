//! The status page: one file, nothing from elsewhere.

use std::sync::Arc;

use ring::digest;

const HTML: &str = include_str!("page.html");
const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// The page and the policy that it is served under.
pub struct Page {
    /// The text.
    pub body: Arc<Vec<u8>>,
    /// The Content-Security-Policy: what the page may load and run is its own script and style, by their hashes.
    pub policy: String,
}

impl Page {
    /// Reads the page.
    pub fn new() -> Self {
        let source = |element: &str| {
            let hash = digest::digest(&digest::SHA256, content(element).as_bytes());
            format!("'sha256-{}'", base64(hash.as_ref()))
        };
        let policy = format!(
            "default-src 'none'; script-src {}; style-src {}; connect-src 'self'; img-src data:; \
             base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
            source("script"),
            source("style")
        );
        Self { body: Arc::new(HTML.as_bytes().to_vec()), policy }
    }
}

/// What is between the tags of the page's only element of this name.
fn content(element: &str) -> &'static str {
    let after = |text: &'static str, mark: &str| text.split_once(mark).map_or("", |(_, rest)| rest);
    let inside = after(HTML, &format!("<{element}>"));
    inside.split_once(&format!("</{element}>")).map_or("", |(inside, _)| inside)
}

fn base64(bytes: &[u8]) -> String {
    let mut text = String::new();
    for three in bytes.chunks(3) {
        let bits =
            three.iter().fold(0, |bits, byte| bits << 8 | usize::from(*byte)) << (8 * (3 - three.len()));
        for place in 0..4 {
            let digit = char::from(BASE64[bits >> (18 - 6 * place) & 63]);
            text.push(if place <= three.len() { digit } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_policy_allows_the_pages_own_script_and_style_only() {
        let page = Page::new();
        assert!(!content("script").is_empty() && !content("style").is_empty());
        assert_eq!(HTML.matches("<script").count(), 1);
        assert_eq!(HTML.matches("<style").count(), 1);
        assert_eq!(page.policy.matches("'sha256-").count(), 2);
        assert!(!page.policy.contains("unsafe"));
    }

    #[test]
    fn the_page_is_small_and_loads_nothing_from_elsewhere() {
        assert!(HTML.len() < 30_000, "{} bytes", HTML.len());
        for forbidden in ["http://", "https://", "src=", "@import", "innerHTML", "style=\""] {
            assert!(!HTML.contains(forbidden), "{forbidden}");
        }
    }

    #[test]
    fn base64_is_padded() {
        let check = |given: &str, wanted: &str| assert_eq!(base64(given.as_bytes()), wanted);
        check("", "");
        check("f", "Zg==");
        check("fo", "Zm8=");
        check("foo", "Zm9v");
        check("foob\u{7f}~", "Zm9vYn9+");
    }
}
