//! Tables of readings and verdicts, patterns and paths.

use super::*;

#[test]
fn patterns_match_level_by_level() {
    let check = |pattern: &str, path: &str, expected: bool| {
        assert_eq!(glob_matches(pattern, path), expected, "{pattern} {path}");
    };
    check("/a/*", "/a/b", true);
    check("/a/*", "/a/b/c", false);
    check("/a/*", "/a", false);
    check("/a/*/c", "/a/b/c", true);
    check("/a/*/c", "/a/b/d", false);
    check("/*/b/*", "/a/b/c", true);
    check("/a/web-*", "/a/web-", true);
    check("/a/web-*", "/a/web-1", true);
    check("/a/web-*", "/a/we", false);
    check("/a/*-web", "/a/x-web", true);
    check("/a/a*b*c", "/a/aXbYc", true);
    check("/a/a*b*c", "/a/abc", true);
    check("/a/a*b*c", "/a/acb", false);
    check("/a/a*a", "/a/a", false);
    check("/a/*a*a*", "/a/aa", true);
}

#[test]
fn a_name_beats_a_glob_and_the_longer_glob_the_shorter() {
    let rule = |path: &str| Rule { path: path.into(), terms: Arc::default() };
    let rules = RuleSet::new(["/a/*", "/a/web-*", "/a/web-1", "/*/*"].map(rule).into());
    let check = |path: &str, expected: Option<&str>| {
        assert_eq!(rules.for_path(path).map(|rules| &**rules.path()), expected, "{path}");
    };
    check("/a/web-1", Some("/a/web-1"));
    check("/a/web-2", Some("/a/web-*"));
    check("/a/db", Some("/a/*"));
    check("/b/db", Some("/*/*"));
    check("/b", None);
}
