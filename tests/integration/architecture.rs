//! The rules of the house that a machine can hold.

mod source;

use std::collections::{BTreeMap, BTreeSet};

use source::{Source, files, sources};

/// Which modules of the crate each top-level module may name; `model` is pure.
const ARROWS: [(&str, &[&str]); 23] = [
    ("main", &["cli", "commands", "daemon", "env", "logging", "memory"]),
    ("lib", &[]),
    (
        "daemon",
        &[
            "cli",
            "clock",
            "config",
            "env",
            "http",
            "journal",
            "memory",
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
    (
        "commands",
        &[
            "cli",
            "clock",
            "config",
            "daemon",
            "env",
            "journal",
            "model",
            "notify",
            "percent",
            "pipeline",
            "published",
            "threads",
            "watching",
            "zk",
        ],
    ),
    ("watching", &["cli", "clock", "model", "pipeline", "published", "threads", "zk"]),
    ("systemd", &["published"]),
    ("cli", &["credentials", "model"]),
    ("config", &["credentials", "model"]),
    ("credentials", &["model"]),
    ("logging", &["clock", "model"]),
    ("zk", &["clock", "credentials", "model", "net", "percent", "published", "roots", "threads"]),
    ("pipeline", &["clock", "memory", "model", "published", "threads"]),
    ("notify", &["clock", "model", "net", "percent", "roots"]),
    ("http", &["clock", "model", "percent", "published", "threads"]),
    ("journal", &["clock", "model", "published"]),
    ("threads", &["clock", "env", "published"]),
    ("clock", &["model"]),
    ("net", &["clock"]),
    ("memory", &[]),
    ("percent", &[]),
    ("roots", &[]),
    ("published", &[]),
    ("model", &[]),
];

/// The rooms that each room names.
fn arrows(sources: &[Source]) -> BTreeMap<&str, BTreeSet<String>> {
    let mut arrows = BTreeMap::<&str, BTreeSet<String>>::new();
    for source in sources {
        let named =
            source.names(&children(sources, source)).into_iter().filter_map(|name| name.into_iter().next());
        arrows.entry(source.room()).or_default().extend(named.filter(|name| name != source.room()));
    }
    arrows
}

/// The modules that stand right below a file's.
fn children<'a>(sources: &'a [Source], parent: &Source) -> BTreeSet<&'a str> {
    let below = |source: &'a Source| {
        let (last, above) = source.module.split_last()?;
        (*above == parent.module).then_some(last.as_str())
    };
    sources.iter().filter_map(below).collect()
}

/// What stands where the arrows do not allow it, and which arrows nobody uses.
fn misplaced(sources: &[Source], allowed: &[(&str, &[&str])]) -> Vec<String> {
    let found = arrows(sources);
    let mut wrong = Vec::new();
    for (room, named) in &found {
        let known = allowed.iter().find(|(name, _)| name == room);
        let Some((_, allowed)) = known else {
            wrong.push(format!("{room} is a room that the house does not know"));
            continue;
        };
        let strange = named.iter().filter(|name| !allowed.contains(&name.as_str()));
        wrong.extend(strange.map(|name| format!("{room} names {name}")));
        let unused = allowed.iter().filter(|name| !named.contains(**name));
        wrong.extend(unused.map(|name| format!("{room} may name {name}, and does not")));
    }
    wrong
}

/// Files that import each other, directly or by way of others: each with those of its circle that it imports.
fn circles(sources: &[Source]) -> Vec<(String, BTreeSet<String>)> {
    let shown = |source: &Source| source.path.display().to_string();
    let mut imports = BTreeMap::<String, BTreeSet<String>>::new();
    for source in sources {
        let named = source.names(&children(sources, source));
        let files = named.iter().filter_map(|name| file(sources, name)).map(shown);
        imports.insert(shown(source), files.filter(|file| *file != shown(source)).collect());
    }
    let reached: BTreeMap<&String, BTreeSet<&String>> =
        imports.keys().map(|file| (file, reach(&imports, file))).collect();
    let circle = |(file, named): (&String, &BTreeSet<String>)| {
        let back = named.iter().filter(|other| reached[other].contains(file)).cloned();
        (file.clone(), back.collect::<BTreeSet<_>>())
    };
    imports.iter().map(circle).filter(|(_, back)| !back.is_empty()).collect()
}

/// All that a file imports, directly or by way of others.
fn reach<'a>(imports: &'a BTreeMap<String, BTreeSet<String>>, from: &'a String) -> BTreeSet<&'a String> {
    let (mut seen, mut open) = (BTreeSet::new(), vec![from]);
    while let Some(next) = open.pop() {
        open.extend(imports[next].iter().filter(|file| seen.insert(*file)));
    }
    seen
}

/// The file that something of the crate stands in.
fn file<'a>(sources: &'a [Source], name: &[String]) -> Option<&'a Source> {
    let holds = |source: &&Source| source.room() != "main" && name.starts_with(&source.module);
    sources.iter().filter(holds).max_by_key(|source| source.module.len())
}

#[test]
fn arrows_go_one_way() {
    let wrong = misplaced(&sources(), &ARROWS);
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn no_files_import_each_other() {
    let found = circles(&sources());
    assert!(found.is_empty(), "{found:?}");
}

#[test]
fn a_forbidden_line_is_found_wherever_it_stands() {
    let tests = "#[cfg(test)]\nmod tests {\n    fn f() {}\n}\n";
    for path in
        ["src/zk/mod.rs", "src/zk/link.rs", "src/zk/election/holder.rs", "src/threads.rs", "src/main.rs"]
    {
        for before in ["", "#[cfg(test)]\nmod tests;\n", tests] {
            let source =
                Source::new(path, &format!("//! A file.\n{before}fn f() {{\n    crate::model::f();\n}}\n"));
            let room = source.room().to_owned();
            let found = misplaced(&[source], &[(room.as_str(), &[])]);
            assert_eq!(found, [format!("{room} names model")], "{path} {before}");
        }
    }
    let unused = misplaced(&[Source::new("src/zk/mod.rs", "")], &[("zk", &["model"])]);
    assert_eq!(unused, ["zk may name model, and does not"]);
}

#[test]
fn a_circle_is_found() {
    let source = |name: &str, text: &str| Source::new(&format!("src/{name}.rs"), text);
    let check = |texts: [&str; 3], expected: usize| {
        let names = ["zk/mod", "zk/a", "zk/b"];
        let sources: Vec<Source> = names.iter().zip(texts).map(|(name, text)| source(name, text)).collect();
        assert_eq!(circles(&sources).len(), expected, "{texts:?}");
    };
    check(["pub mod a;\npub mod b;\n", "use super::b::B;\n", "struct B;\n"], 0);
    check(
        [
            "pub mod a;\npub use a::A;\n",
            "use super::b::B;\n",
            "#[cfg(test)]\nmod tests { use super::super::a; }\n",
        ],
        0,
    );
    check(["", "use super::b::B;\n", "fn f() { super::a::f() }\n"], 2);
    check(["pub use a::A;\n", "use super::b::B;\n", "use super::A;\n"], 3);
    check(["fn f() { a::g() }\n", "use super::*;\n", ""], 2);
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
    for source in sources().iter().filter(|source| source.room() == "model") {
        for line in source.code.lines() {
            let found = foreign.iter().find(|word| line.contains(**word));
            assert!(found.is_none(), "{}: {line}", source.path.display());
        }
    }
}

#[test]
fn locks_live_in_one_place() {
    for source in sources().iter().filter(|source| source.room() != "published") {
        for line in source.code.lines() {
            let found = ["Mutex", "RwLock", "Condvar"].iter().find(|word| line.contains(**word));
            assert!(found.is_none(), "{}: {line}", source.path.display());
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
