//! JSON text in one layout: what Python's `json.dumps(value, sort_keys=True, indent=4)` gives.
//!
//! Written by hand, since text is appended straight to one buffer: a tree of `serde_json`'s values for 100,000 paths
//! would take several times the memory of the text, and its formatters have no such layout in ASCII. The caller names
//! keys in sorted order, which debug builds check.

use std::time::SystemTime;

use crate::model::rfc3339::rfc3339;

/// Appends JSON to a buffer.
#[derive(Default)]
pub struct Writer {
    out: Vec<u8>,
    depth: usize,
}

pub struct Object<'a> {
    writer: &'a mut Writer,
    empty: bool,
    #[cfg(debug_assertions)]
    last: String,
}

/// The text of one document with an object at its top, ended by a line feed.
pub fn document(fill: impl FnOnce(&mut Object)) -> Vec<u8> {
    let mut writer = Writer::default();
    writer.object(fill);
    writer.out.push(b'\n');
    writer.out
}

/// The document of every answer that is an error.
pub fn error(reason: &str) -> Vec<u8> {
    document(|top| top.string("error", reason))
}

impl Writer {
    fn object(&mut self, fill: impl FnOnce(&mut Object)) {
        self.out.push(b'{');
        self.depth += 1;
        let mut object = Object {
            writer: self,
            empty: true,
            #[cfg(debug_assertions)]
            last: String::new(),
        };
        fill(&mut object);
        let empty = object.empty;
        self.close(empty, b'}');
    }

    fn close(&mut self, empty: bool, bracket: u8) {
        self.depth -= 1;
        if !empty {
            self.line();
        }
        self.out.push(bracket);
    }

    fn line(&mut self) {
        const SPACES: &[u8] = b"\n                                        ";
        let width = 1 + 4 * self.depth;
        self.out.extend_from_slice(SPACES.get(..width).unwrap_or(SPACES));
    }

    fn next(&mut self, first: bool) {
        if !first {
            self.out.push(b',');
        }
        self.line();
    }

    fn string(&mut self, text: &str) {
        self.out.push(b'"');
        let mut rest = text.as_bytes();
        while let Some(at) = rest.iter().position(|byte| !is_plain(*byte)) {
            self.out.extend_from_slice(&rest[..at]);
            // What precedes was ASCII, and so this is the start of a character.
            let start = text.len() - rest.len() + at;
            let Some(special) = text[start..].chars().next() else { break };
            self.escape(special);
            rest = &rest[at + special.len_utf8()..];
        }
        self.out.extend_from_slice(rest);
        self.out.push(b'"');
    }

    fn escape(&mut self, special: char) {
        let short = match special {
            '"' => b'"',
            '\\' => b'\\',
            '\n' => b'n',
            '\r' => b'r',
            '\t' => b't',
            '\u{8}' => b'b',
            '\u{c}' => b'f',
            _ => {
                for unit in special.encode_utf16(&mut [0; 2]) {
                    self.out.extend_from_slice(format!("\\u{unit:04x}").as_bytes());
                }
                return;
            }
        };
        self.out.extend_from_slice(&[b'\\', short]);
    }
}

fn is_plain(byte: u8) -> bool {
    matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\'
}

impl Object<'_> {
    fn key(&mut self, key: &str) -> &mut Writer {
        #[cfg(debug_assertions)]
        {
            debug_assert!(self.empty || self.last.as_str() < key, "{key:?} after {:?}", self.last);
            key.clone_into(&mut self.last);
        }
        self.writer.next(self.empty);
        self.empty = false;
        self.writer.string(key);
        self.writer.out.extend_from_slice(b": ");
        self.writer
    }

    pub fn object(&mut self, key: &str, fill: impl FnOnce(&mut Object)) {
        self.key(key).object(fill);
    }

    /// A member that is a list with an object for each item.
    pub fn objects<T>(
        &mut self,
        key: &str,
        items: impl IntoIterator<Item = T>,
        fill: impl Fn(&mut Object, T),
    ) {
        self.list(key, items, |writer, item| writer.object(|object| fill(object, item)));
    }

    /// A member that is a list of texts.
    pub fn strings<'t>(&mut self, key: &str, items: impl IntoIterator<Item = &'t str>) {
        self.list(key, items, Writer::string);
    }

    fn list<T>(&mut self, key: &str, items: impl IntoIterator<Item = T>, write: impl Fn(&mut Writer, T)) {
        let writer = self.key(key);
        writer.out.push(b'[');
        writer.depth += 1;
        let mut empty = true;
        for item in items {
            writer.next(empty);
            empty = false;
            write(writer, item);
        }
        writer.close(empty, b']');
    }

    pub fn string(&mut self, key: &str, value: &str) {
        self.key(key).string(value);
    }

    pub fn optional(&mut self, key: &str, value: Option<&str>) {
        match value {
            Some(value) => self.string(key, value),
            None => self.null(key),
        }
    }

    pub fn null(&mut self, key: &str) {
        self.key(key).out.extend_from_slice(b"null");
    }

    pub fn bool(&mut self, key: &str, value: bool) {
        self.key(key).out.extend_from_slice(if value { b"true" } else { b"false" });
    }

    pub fn number(&mut self, key: &str, value: u64) {
        self.key(key).out.extend_from_slice(value.to_string().as_bytes());
    }

    pub fn optional_number(&mut self, key: &str, value: Option<u64>) {
        match value {
            Some(value) => self.number(key, value),
            None => self.null(key),
        }
    }

    /// A member that is a moment, as [`rfc3339`] text.
    pub fn time(&mut self, key: &str, value: SystemTime) {
        self.string(key, &rfc3339(value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(fill: impl FnOnce(&mut Object)) -> String {
        String::from_utf8(document(fill)).unwrap()
    }

    #[test]
    fn the_layout_is_pythons() {
        let found = text(|top| {
            top.objects("array", [true, false], |o, filled| {
                if filled {
                    o.number("n", 1);
                }
            });
            top.object("empty", |_| {});
            top.objects("none", [(); 0], |_, ()| {});
            top.null("null");
            top.strings("texts", ["a", "b"]);
            top.bool("true", true);
        });
        let wanted = "{\n    \"array\": [\n        {\n            \"n\": 1\n        },\n        {}\n    ],\n    \
                      \"empty\": {},\n    \"none\": [],\n    \"null\": null,\n    \"texts\": \
                      [\n        \"a\",\n        \"b\"\n    ],\n    \"true\": true\n}\n";
        assert_eq!(found, wanted);
    }

    #[test]
    fn strings_are_escaped_to_ascii() {
        let check = |given: &str, wanted: &str| {
            assert_eq!(text(|top| top.string("k", given)), format!("{{\n    \"k\": \"{wanted}\"\n}}\n"));
        };
        check("/plain/path", "/plain/path");
        check("", "");
        check("a\"b\\c", "a\\\"b\\\\c");
        check("\n\r\t\u{8}\u{c}", "\\n\\r\\t\\b\\f");
        check("\0\u{1f}\u{7f}", "\\u0000\\u001f\\u007f");
        check("zürich/日本", "z\\u00fcrich/\\u65e5\\u672c");
        check("😀x", "\\ud83d\\ude00x");
        check("</script>", "</script>");
    }
}
