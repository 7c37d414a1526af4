//! What a journal's file may hold: a target for fuzzing.

use super::line;

/// Lines. What is read as an event is the same when it is written and read again; and what is served is one line of JSON.
pub fn lines(bytes: &[u8]) {
    for text in super::directory::lines(bytes).flatten() {
        let Some(event) = line::parse(text) else {
            assert!(line::stored(text).is_none());
            continue;
        };
        // Microseconds are written, however many digits there were.
        let written = line::json(event);
        let again = line::parse(&written).map(line::json);
        assert_eq!(again.as_ref(), Some(&written));
        assert!(!written.contains(['\n', '\r']), "{written:?}");
        if let Some(recent) = line::stored(text) {
            assert!(serde_json::from_str::<serde::de::IgnoredAny>(&recent.json).is_ok());
            assert!(recent.json.len() <= text.len() + 1000);
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_journal_may_hold_anything() {
        crate::fuzz::run("journal", super::lines);
    }
}
