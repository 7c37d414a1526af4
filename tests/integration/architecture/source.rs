//! The crate's own text: its code without comments, literals and test modules, and what that code names.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// One file of `src`.
pub struct Source {
    pub path: PathBuf,
    /// The module that it is: `["zk", "election", "holder"]`; empty for the crate's root.
    pub module: Vec<String>,
    /// Its code line by line, as long as the file itself; what is no code is blank.
    pub code: String,
    /// Modules in files of their own that are declared here, and are for tests alone.
    tests: Vec<String>,
}

impl Source {
    pub fn new(path: &str, text: &str) -> Self {
        let (code, tests) = without_test_modules(&without_text(text));
        Self { path: path.into(), module: module(Path::new(path)), code, tests }
    }

    /// The room that the file belongs to: its module right below the crate's root.
    pub fn room(&self) -> &str {
        let is_main = self.path.ends_with("src/main.rs");
        self.module.first().map_or(if is_main { "main" } else { "lib" }, String::as_str)
    }

    /// The paths that the code names, from the crate's root on, as far as they lead into this crate. `children` are
    /// the modules that stand below this one.
    pub fn names(&self, children: &BTreeSet<&str>) -> Vec<Vec<String>> {
        let absolute = |path: Vec<String>| {
            let parents = path.iter().take_while(|part| *part == "super").count();
            let (start, rest) = match path[0].as_str() {
                "crate" | "zk_monitor" => (&[][..], 1),
                "self" => (&self.module[..], 1),
                "super" => (&self.module[..self.module.len().checked_sub(parents)?], parents),
                first if children.contains(first) => (&self.module[..], 0),
                _ => return None,
            };
            Some([start, &path[rest..]].concat())
        };
        // A word alone is a visibility, a receiver of a call, a declaration, or something else of that name.
        paths(&self.code).into_iter().filter(|path| path.len() > 1).filter_map(absolute).collect()
    }
}

/// All files of `src` but those that are for tests alone.
pub fn sources() -> Vec<Source> {
    let mut all: Vec<Source> =
        files("src").iter().map(|(path, text)| Source::new(path.to_str().unwrap(), text)).collect();
    let tests: Vec<Vec<String>> = all
        .iter()
        .flat_map(|source| {
            source.tests.iter().map(|name| [&source.module[..], std::slice::from_ref(name)].concat())
        })
        .collect();
    all.retain(|source| !tests.iter().any(|test| source.module.starts_with(test)));
    all
}

/// All Rust files below a directory of the repository, and their text.
pub fn files(below: &str) -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    let mut open = vec![root.join(below)];
    while let Some(path) = open.pop() {
        if path.is_dir() {
            open.extend(fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            found.push((path.strip_prefix(root).unwrap().to_owned(), text));
        }
    }
    assert!(!found.is_empty(), "no files below {below}");
    found.sort();
    found
}

/// `src/zk/election/holder.rs` → zk, election, holder
fn module(path: &Path) -> Vec<String> {
    let parts = path.with_extension("");
    let parts = parts.components().skip(1).map(|part| part.as_os_str().to_str().unwrap().to_owned());
    let mut parts: Vec<String> = parts.collect();
    if matches!(parts.last().map(String::as_str), Some("mod" | "lib" | "main")) {
        parts.pop();
    }
    parts
}

/// Blanks comments and what stands between quotes, so that each brace that is left is one of the code.
fn without_text(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = literal(rest, code.chars().next_back()).unwrap_or(0);
        let (taken, after) = rest.split_at(length.max(first.len_utf8()));
        if length == 0 {
            code.push(first);
        } else {
            code.extend(taken.chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
        }
        rest = after;
    }
    code
}

/// How long the comment or literal is that the text begins with, if it does.
fn literal(text: &str, before: Option<char>) -> Option<usize> {
    let up_to =
        |end: &str, from: usize| text[from..].find(end).map_or(text.len(), |at| from + at + end.len());
    if text.starts_with("//") {
        return Some(text.find('\n').unwrap_or(text.len()));
    }
    if text.starts_with("/*") {
        return Some(up_to("*/", 2));
    }
    if text.starts_with('"') {
        return Some(quoted(text, '"'));
    }
    let is_within_a_word = before.is_some_and(|c| c.is_alphanumeric() || c == '_');
    if let Some(raw) = text.strip_prefix('r').filter(|_| !is_within_a_word || before == Some('b')) {
        let hashes = raw.chars().take_while(|c| *c == '#').count();
        if raw[hashes..].starts_with('"') {
            return Some(up_to(&format!("\"{}", "#".repeat(hashes)), hashes + 2));
        }
    }
    // A lifetime has no second quote right after its first character.
    let mut chars = text.strip_prefix('\'')?.chars();
    match (chars.next()?, chars.next()) {
        ('\\', _) => Some(quoted(text, '\'')),
        (c, Some('\'')) => Some(c.len_utf8() + 2),
        _ => None,
    }
}

/// How long the literal is that the text begins with, up to the quote that ends it.
fn quoted(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        if c == quote && !escaped {
            return at + 1;
        }
        escaped = c == '\\' && !escaped;
    }
    text.len()
}

/// Blanks the test modules that stand in the code, and gives the names of those that stand elsewhere.
fn without_test_modules(code: &str) -> (String, Vec<String>) {
    const MARK: &str = "#[cfg(test)]";
    let (mut kept, mut elsewhere) = (String::new(), Vec::new());
    let mut rest = code;
    while let Some(at) = rest.find(MARK) {
        let (before, marked) = rest.split_at(at);
        kept.push_str(before);
        let length = match test_module(&marked[MARK.len()..]) {
            Some((name, length)) => {
                if marked[..MARK.len() + length].ends_with(';') {
                    elsewhere.push(name);
                }
                MARK.len() + length
            }
            None => MARK.len(),
        };
        let (taken, after) = marked.split_at(length);
        kept.extend(taken.chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
        rest = after;
    }
    (kept + rest, elsewhere)
}

/// The name and the length of the module that stands here, behind attributes and a visibility.
fn test_module(code: &str) -> Option<(String, usize)> {
    let mut rest = code.trim_start();
    while rest.starts_with("#[") {
        rest = rest[rest.find(']')? + 1..].trim_start();
    }
    if let Some(public) = rest.strip_prefix("pub") {
        rest = public.trim_start();
        if rest.starts_with('(') {
            rest = rest[rest.find(')')? + 1..].trim_start();
        }
    }
    let rest = rest.strip_prefix("mod ")?;
    let name = word(rest.trim_start());
    let start = code.len() - rest.len();
    let body = rest.find(['{', ';'])?;
    if rest[body..].starts_with(';') {
        return Some((name.to_owned(), start + body + 1));
    }
    let mut depth = 0;
    for (at, c) in rest.char_indices().skip(body) {
        depth += i32::from(c == '{') - i32::from(c == '}');
        if depth == 0 {
            return Some((name.to_owned(), start + at + 1));
        }
    }
    panic!("the test module {name} has no end");
}

/// All paths in the code, `a::{b, c::D}` taken apart.
fn paths(code: &str) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    let mut rest = code;
    while let Some(at) = rest.find(is_word) {
        let is_new = !rest[..at].trim_end().ends_with("::") && !rest[..at].ends_with('.');
        let before = rest.len();
        rest = &rest[at..];
        if is_new {
            rest = path(rest, &[], &mut found);
        } else {
            rest = &rest[word(rest).len()..];
        }
        assert!(rest.len() < before);
    }
    found
}

/// Reads one path, or one tree of them, and gives what follows it.
fn path<'a>(code: &'a str, start: &[String], found: &mut Vec<Vec<String>>) -> &'a str {
    let mut parts = start.to_vec();
    let mut rest = code.trim_start();
    loop {
        let part = word(rest);
        if part.is_empty() {
            break;
        }
        parts.push(part.to_owned());
        rest = &rest[part.len()..];
        let Some(after) = rest.trim_start().strip_prefix("::") else { break };
        rest = after.trim_start();
    }
    let Some(mut tree) = rest.strip_prefix('{').filter(|_| !parts.is_empty() && code.trim_start() != rest)
    else {
        if rest.starts_with('*') {
            parts.push("*".to_owned());
        }
        if parts.len() > start.len() {
            found.push(parts);
        }
        return rest;
    };
    loop {
        tree = path(tree, &parts, found).trim_start();
        if let Some(after) = tree.strip_prefix('}') {
            return after;
        }
        if let Some(renamed) = tree.strip_prefix("as ") {
            tree = renamed.trim_start().trim_start_matches(is_word).trim_start();
        }
        // A comma or a star; nothing but a brace ends the tree.
        tree = tree.strip_prefix([',', '*']).unwrap_or(tree);
    }
}

fn word(text: &str) -> &str {
    text.split(|c| !is_word(c)).next().unwrap_or("")
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

#[test]
fn every_line_outside_test_modules_is_read() {
    let check = |text: &str, expected: &[&str]| {
        let source = Source::new("src/zk/session.rs", text);
        assert_eq!(source.code.lines().count(), text.lines().count(), "{text}");
        let named = source.names(&["child"].into());
        assert_eq!(named.iter().map(|name| name.join("::")).collect::<Vec<_>>(), expected, "{text}");
    };
    let forbidden = "use crate::http::page;\n";
    check(forbidden, &["http::page"]);
    check(&format!("#[cfg(test)]\nmod tests;\n{forbidden}"), &["http::page"]);
    check(&format!("#[cfg(test)]\npub(crate) mod fixture;\n\nfn f() {{}}\n{forbidden}"), &["http::page"]);
    check(&format!("#[cfg(test)]\nmod tests {{\n    use crate::cli;\n}}\n{forbidden}"), &["http::page"]);
    let braces = "const A: &str = \"}}\"; const B: char = '}'; // }\n    fn f<'a>() { r#\"}\"#; /* } */ }";
    check(&format!("#[cfg(test)]\nmod tests {{\n    {braces}\n}}\n{forbidden}"), &["http::page"]);
    check(
        &format!("#[cfg(test)]\n#[allow(x)]\nmod tests {{\n use crate::cli;\n}}\n{forbidden}"),
        &["http::page"],
    );
    check("#[cfg(test)]\nfn f() {\n    crate::http::f();\n}\n", &["http::f"]);
    check(
        "// crate::a\nlet a = \"crate::b\";\nlet b = crate::c::d(b'\"', super::e); // \"\n",
        &["c::d", "zk::e"],
    );
    check("use crate::a::{self, b::{C, d}, *};\n", &["a::self", "a::b::C", "a::b::d", "a::*"]);
    check(
        "use super::{x as y, z};\npub(super) use super::*;\nchild::f(self.child::g, other::child::h);\n",
        &["zk::x", "zk::z", "zk::*", "zk::session::child::f"],
    );
}
