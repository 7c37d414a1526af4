//! The rules of the house that a machine can hold.

use std::fs;
use std::path::{Path, PathBuf};

/// The longest file, in lines before its unit tests.
const LONGEST: usize = 420;

/// Which modules of the crate each top-level module may name; `model` is pure.
const ARROWS: [(&str, &[&str]); 18] = [
    ("main", &["cli", "commands", "daemon", "logging"]),
    ("lib", &[]),
    (
        "daemon",
        &[
            "cli",
            "config",
            "http",
            "logging",
            "model",
            "notify",
            "pipeline",
            "published",
            "systemd",
            "threads",
            "watching",
            "zk",
        ],
    ),
    ("commands", &["cli", "config", "daemon", "model", "notify", "published", "threads", "watching", "zk"]),
    ("watching", &["cli", "model", "pipeline", "published", "threads", "zk"]),
    ("systemd", &["published"]),
    ("cli", &["credentials", "model"]),
    ("config", &["credentials", "model"]),
    ("credentials", &[]),
    ("logging", &["model"]),
    ("zk", &["model", "published", "roots"]),
    ("pipeline", &["model", "published"]),
    ("notify", &["model", "published", "roots"]),
    ("http", &["model", "published"]),
    ("threads", &["published"]),
    ("roots", &[]),
    ("published", &["model"]),
    ("model", &[]),
];

/// All Rust files below a directory of the repository.
fn files(below: &str) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut open = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join(below)];
    while let Some(path) = open.pop() {
        if path.is_dir() {
            open.extend(fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            found.push((path.strip_prefix(env!("CARGO_MANIFEST_DIR")).unwrap().to_owned(), text));
        }
    }
    assert!(!found.is_empty(), "no files below {below}");
    found.sort();
    found
}

/// The top-level module that a file of `src` belongs to.
fn room(path: &Path) -> String {
    let first = path.components().nth(1).unwrap().as_os_str().to_string_lossy().into_owned();
    first.trim_end_matches(".rs").to_owned()
}

/// The code of a file without its comments and its unit tests.
fn code(text: &str) -> impl Iterator<Item = &str> {
    let product = text.split("#[cfg(test)]\nmod ").next().unwrap_or("");
    product.lines().map(|line| line.split("//").next().unwrap_or(""))
}

/// The modules of the crate that a line names.
fn named(line: &str) -> Vec<String> {
    let after = |prefix: &str| {
        let word =
            |rest: &str| rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
        line.split(prefix).skip(1).map(word).filter(|word| !word.is_empty()).collect::<Vec<_>>()
    };
    [after("crate::"), after("zk_monitor::")].concat()
}

fn is_test_file(path: &Path) -> bool {
    let in_tests = path.components().skip(1).any(|part| part.as_os_str() == "tests");
    in_tests || path.file_stem().is_some_and(|stem| stem.to_string_lossy().ends_with("tests"))
}

#[test]
fn arrows_go_one_way() {
    let rooms: Vec<&str> = ARROWS.iter().map(|(room, _)| *room).collect();
    for (path, text) in files("src") {
        let room = room(&path);
        let Some((_, allowed)) = ARROWS.iter().find(|(name, _)| *name == room) else {
            panic!("{}: a room that the house does not know", path.display());
        };
        for name in code(&text).flat_map(named) {
            let fine = name == room || allowed.contains(&name.as_str()) || !rooms.contains(&name.as_str());
            assert!(fine, "{}: {room} names {name}", path.display());
        }
    }
}

#[test]
fn the_model_is_pure() {
    let foreign = [
        "crossbeam",
        "log::",
        "serde",
        "Instant::now",
        "SystemTime::now",
        "std::thread",
        "std::fs",
        "std::net",
    ];
    for (path, text) in files("src/model").into_iter().filter(|(path, _)| !is_test_file(path)) {
        for line in code(&text) {
            let found = foreign.iter().find(|word| line.contains(**word));
            assert!(found.is_none(), "{}: {line}", path.display());
        }
    }
}

#[test]
fn locks_live_in_one_place() {
    for (path, text) in
        files("src").into_iter().filter(|(path, _)| room(path) != "published" && !is_test_file(path))
    {
        for line in code(&text) {
            let found = ["Mutex", "RwLock", "Condvar"].iter().find(|word| line.contains(**word));
            assert!(found.is_none(), "{}: {line}", path.display());
        }
    }
}

#[test]
fn nothing_sleeps_but_the_one_who_waits() {
    let sleepers: Vec<String> = [files("src"), files("tests")]
        .concat()
        .into_iter()
        .filter(|(path, _)| !path.ends_with("architecture.rs"))
        .filter(|(_, text)| text.lines().any(|line| line.contains("thread::sleep(")))
        .map(|(path, _)| path.display().to_string())
        .collect();
    assert_eq!(sleepers, ["tests/integration/common/mod.rs"]);
}

#[test]
fn a_file_says_one_noun() {
    let long: Vec<String> = [files("src"), files("tests")]
        .concat()
        .into_iter()
        .filter(|(path, _)| !is_test_file(path))
        .map(|(path, text)| (path, code(&text).count()))
        .filter(|(_, lines)| *lines > LONGEST)
        .map(|(path, lines)| format!("{}: {lines} lines", path.display()))
        .collect();
    assert!(long.is_empty(), "{long:#?}");
}
