//! What operators may write: targets for fuzzing.

use std::path::Path;

use super::judge::{Source, judge};
use super::template::{Purpose, check};
use super::validator::Layout;

/// A file. Whatever is in it is judged, and what is said of it is bounded text that can be shown.
pub fn configuration(bytes: &[u8]) {
    let base = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/config"));
    let source = Source { name: "f.yaml", bytes, base, is_world_readable: true, earlier: None };
    let Err(refusals) = judge(&[source], Layout::File, &|_| None) else { return };
    assert!(!refusals.is_empty());
    for refusal in refusals {
        let words = refusal.errors.to_string();
        assert!(!words.is_empty() && words.len() < 100_000, "{} bytes", words.len());
        assert!(!words.contains(|c: char| c.is_control() && c != '\n'), "{words:?}");
    }
}

/// The source of a template and, behind a NUL, the fields that it is given: once it is taken, what it makes is bounded and
/// fit for its purpose, or it says why not.
pub fn template(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let (source, fields) = text.split_once('\0').unwrap_or((&text, "{}"));
    for purpose in [Purpose::Json, Purpose::Text, Purpose::Subject, Purpose::Path] {
        let template = match check(source, purpose) {
            Ok(template) => template,
            Err(rejected) => {
                assert!(!rejected.words.is_empty() && rejected.words.len() < 2000, "{}", rejected.words);
                continue;
            }
        };
        let made = match (template.run)(fields) {
            Ok(made) => made,
            Err(reason) => {
                assert!(!reason.is_empty() && reason.len() < 2000);
                continue;
            }
        };
        match purpose {
            Purpose::Json => assert!(serde_json::from_str::<serde::de::IgnoredAny>(&made).is_ok()),
            Purpose::Text => assert!(made.len() <= 1 << 20),
            Purpose::Subject => assert!(made.len() <= 4 << 10 && !made.contains(char::is_control)),
            Purpose::Path => assert!(made.len() <= 4 << 10 && made.bytes().all(|b| b.is_ascii_graphic())),
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_configuration_may_be_anything() {
        crate::fuzz::run("configuration", super::configuration);
    }

    #[test]
    fn a_template_may_be_anything() {
        crate::fuzz::run("template", super::template);
    }
}
