//! The status page: one file, nothing from elsewhere.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::digest;

const HTML: &str = include_str!("page.html");

/// The page and the policy that it is served under.
pub struct Page {
    pub body: Arc<Vec<u8>>,
    /// The Content-Security-Policy: what the page may load and run is its own script and style, by their hashes.
    pub policy: String,
}

impl Page {
    pub fn new() -> Self {
        let source = |element: &str| {
            let hash = digest::digest(&digest::SHA256, content(element).as_bytes());
            format!("'sha256-{}'", STANDARD.encode(hash))
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
        assert!(HTML.len() < 45_000, "{} bytes", HTML.len());
        for forbidden in ["http://", "https://", "src=", "@import", "innerHTML", "style=\""] {
            assert!(!HTML.contains(forbidden), "{forbidden}");
        }
    }
}
