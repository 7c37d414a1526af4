//! Numbers in sentences.

/// One of something, or several.
pub(super) fn number(count: u64, one: &str) -> String {
    format!("{count} {one}{}", if count == 1 { "" } else { "s" })
}
