use std::time::Duration;

use super::names::is_instance;
use super::{Node, Seen, yaml};

/// A tree of paths, parents before what is below them; one with `!` at its end is ephemeral.
fn tree(paths: &[&str]) -> Node {
    let seen = |ephemeral| Seen { ephemeral, children: 0, cversion: 0 };
    let mut root = Node::new(seen(false));
    for path in paths {
        let (mut node, bare) = (&mut root, path.trim_end_matches('!'));
        for level in bare.split('/').skip(1) {
            if !node.children.contains_key(level) {
                node.least += 1;
                node.most += 1;
            }
            node = node.children.entry(level.to_owned()).or_insert_with(|| Node::new(seen(false)));
        }
        node.ephemeral = path.ends_with('!');
    }
    root
}

/// The lines that are no comment, and the notes.
fn lines(tree: &Node) -> Vec<String> {
    let text = yaml("/", tree, Duration::from_secs(10)).unwrap_or_default();
    let (rules, left_out) = text.split_once("# Left out:\n").unwrap_or((&text, ""));
    let rules = rules.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    rules.chain(left_out.lines()).map(str::to_owned).collect()
}

#[track_caller]
fn check(paths: &[&str], expected: &[&str]) {
    assert_eq!(lines(&tree(paths)), expected, "{paths:?}");
}

const MIN_1: &str = "  children: {min: 1, where: {ephemeral: true}}";

#[test]
fn what_lives_with_a_session_is_watched() {
    check(&["/a/b", "/c"], &[]);
    check(&["/ids/1!", "/ids/2!"], &["/ids:", "  children: {min: 2, where: {ephemeral: true}}"]);
    check(&["/master!", "/table"], &["/master:", "  exists: true"]);
    check(&["/live/h:80!", "/live/config"], &["/live:", "  children: {min: 2}"]);
    check(
        &["/l/_c_x-lock-0000000001!", "/m!"],
        &[
            "/m:",
            "  exists: true",
            "# \"/l\": holders of a lock and those that wait, none of which may be right",
        ],
    );
}

#[test]
fn a_long_name_is_a_key_that_can_be_read() {
    let check = |name: &str, key: &[&str]| {
        let expected: Vec<_> = key.iter().copied().chain([MIN_1]).collect();
        check(&[&format!("/{name}/1!")], &expected);
    };
    let long = "ж".repeat(500);
    check(&long, &[&format!("\"/{long}\":")]);
    let longer = "ж".repeat(511);
    check(&longer, &[&format!("? \"/{longer}\""), ":"]);
    let plain = "x".repeat(1024);
    check(&plain, &[&format!("? /{plain}"), ":"]);
    check(&plain[1..], &[&format!("/{}:", &plain[1..])]);
}

#[test]
fn three_that_look_alike_make_a_glob() {
    check(&["/a/i/1!", "/b/i/1!"], &["/a/i:", MIN_1, "/b/i:", MIN_1]);
    check(&["/a/i/1!", "/b/i/1!", "/c/i/1!", "/c/i/2!", "/d"], &["/*/i:", MIN_1]);
    // One that the glob matches, and that is not like the others, is an exception.
    check(&["/a/i/1!", "/b/i/1!", "/c/i/1!", "/d/i"], &["/*/i:", MIN_1, "/d/i: {}"]);
    let all = ["/a/i/1!", "/b/i/1!", "/c/i/1!", "/d/i", "/e/i", "/f/i", "/g/i"];
    check(&all, &["/a/i:", MIN_1, "/b/i:", MIN_1, "/c/i:", MIN_1]);
}

#[test]
fn siblings_that_were_not_read_forbid_a_glob() {
    let mut tree = tree(&["/a/i/1!", "/b/i/1!", "/c/i/1!", "/d"]);
    tree.at("/d").unwrap().hidden = true;
    assert_eq!(lines(&tree), ["/a/i:", MIN_1, "/b/i:", MIN_1, "/c/i:", MIN_1]);
}

#[test]
fn the_least_that_was_seen_is_the_minimum() {
    let mut tree = tree(&["/ids/1!", "/ids/2!", "/gone/x!", "/left/1!"]);
    assert_eq!(tree.targets(), ["/gone/x", "/ids", "/left"]);
    let seen = |children, cversion| Some(Seen { ephemeral: false, children, cversion });
    tree.at("/ids").unwrap().see(seen(1, 1));
    tree.at("/ids").unwrap().see(seen(3, 3));
    tree.at("/gone/x").unwrap().see(None);
    tree.at("/left").unwrap().see(seen(0, 1));
    let expected = [
        "/ids:",
        MIN_1,
        "# \"/gone/x\": it went away meanwhile",
        "# \"/left\": 0 to 1 children meanwhile: no minimum holds",
    ];
    assert_eq!(lines(&tree), expected);
    let text = yaml("/", &tree, Duration::from_secs(10)).unwrap();
    let why = "# 1 to 3 ephemeral children, which changed 3 times meanwhile: fewer may be right; the least that was \
               seen is the minimum.\n/ids:";
    assert!(text.contains(why), "{text}");
}

#[test]
fn odd_names_are_quoted_or_left_out() {
    check(&["/a: \"b\\ü\u{2028}#/1!"], &["\"/a: \\\"b\\\\ü\\u2028#\":", MIN_1]);
    check(
        &["/a*/1!", "/m!"],
        &["/m:", "  exists: true", "# \"/a*\": a name with a \"*\" cannot be told from a pattern"],
    );
}

#[test]
fn names_tell_instances() {
    for name in ["7", "n_0000000012", "a-0f8fad5b-d9cb-469f-a165-70867728950e", "h:8983_solr", "rs1,16020,17"]
    {
        assert!(is_instance(name), "{name}");
    }
    for name in ["leader", "web-1", "a:b", "shard1", ""] {
        assert_eq!(is_instance(name), name.is_empty(), "{name}");
    }
}
