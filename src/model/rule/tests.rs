//! Tables of readings and verdicts, patterns and paths.

use super::*;
use crate::model::judge::{Bounds, DataSpec};

fn at_least(min: u32) -> Specs {
    Specs { children: Some(Bounds::Range { min: Some(min), max: None }), ..Specs::default() }
}

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
fn a_path_has_the_rules_of_one_entry() {
    let rule = |path: &str, name: Option<&str>| {
        let terms = Terms { name: name.map(Into::into), ..Terms::default() };
        Rule { path: path.into(), terms: Arc::new(terms) }
    };
    let rules = RuleSet::new(vec![
        rule("/a/*", Some("x")),
        rule("/a/b", Some("page")),
        rule("/a/*", Some("y")),
        rule("/a/b", Some("warn")),
        rule("/c", None),
    ]);
    let check = |path: &str, expected: &[Option<&str>]| {
        let found = rules.for_path(path).expect("rules");
        assert_eq!(
            found.iter().map(|rule| rule.terms.name.as_deref()).collect::<Vec<_>>(),
            expected,
            "{path}"
        );
    };
    check("/a/b", &[Some("page"), Some("warn")]);
    check("/a/c", &[Some("x"), Some("y")]);
    check("/c", &[None]);
    assert_eq!(rules.len(), 3);
    let key = |path: &str, name: Option<&str>| AlertKey { path: path.into(), name: name.map(Into::into) };
    assert!(rules.rule(&key("/a/b", Some("warn"))).is_some());
    assert!(rules.rule(&key("/a/b", Some("x"))).is_none() && rules.rule(&key("/a/b", None)).is_none());
}

#[test]
fn rules_of_one_path_need_what_each_needs_and_are_compared_as_a_whole() {
    let rule = |name: &str, specs: Specs| {
        let terms = Terms { name: Some(name.into()), specs, ..Terms::default() };
        Rule { path: "/a".into(), terms: Arc::new(terms) }
    };
    let data = || Specs { data: Some(DataSpec::Equals("on".into())), ..Specs::default() };
    let of = |rules: Vec<Rule>| RuleSet::new(rules).for_path("/a").expect("rules").clone();
    let both = of(vec![rule("few", at_least(1)), rule("off", data())]);
    assert_eq!(both.needs(), Needs { children: true, data: true, ..Needs::default() });
    assert!(both.judge_like(&of(vec![rule("few", at_least(1)), rule("off", data())])));
    assert!(!both.judge_like(&of(vec![rule("few", at_least(1))])));
    assert!(!both.judge_like(&of(vec![rule("few", at_least(2)), rule("off", data())])));
    assert!(!both.judge_like(&of(vec![rule("none", at_least(1)), rule("off", data())])));
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

#[test]
fn patterns_overlap_if_some_path_matches_both() {
    let check = |a: &str, b: &str, expected: bool| {
        assert_eq!((patterns_overlap(a, b), patterns_overlap(b, a)), (expected, expected), "{a} {b}");
    };
    check("/a", "/a", true);
    check("/a/*", "/a/b", true);
    check("/a/*", "/a/b/c", false);
    check("/a/*", "/b/*", false);
    check("/*/b", "/a/*", true);
    check("/a/web-*", "/a/*-1", true);
    check("/a/web-*", "/a/db-*", false);
    check("/a/*-1", "/a/*-2", false);
    check("/a/x*y*z", "/a/xx*zz", true);
    check("/a/a*a", "/a/a", false);
}

/// Whatever two patterns of two levels are, names that are short tell whether any matches both.
#[test]
fn patterns_overlap_as_names_that_are_tried_do() {
    let words = |alphabet: &[&str], most: usize| {
        let mut all = vec![String::new()];
        for length in 0..most {
            let longer = all.iter().filter(|word| word.len() == length).cloned().collect::<Vec<_>>();
            all.extend(longer.iter().flat_map(|word| alphabet.iter().map(move |end| format!("{word}{end}"))));
        }
        all
    };
    let (patterns, names) = (words(&["a", "b", "*"], 4), words(&["a", "b"], 8));
    for a in &patterns {
        for b in patterns.iter().filter(|b| *b >= a) {
            let tried = names.iter().any(|name| level_matches(a, name) && level_matches(b, name));
            assert_eq!(levels_overlap(a, b), tried, "{a} {b}");
        }
    }
}

#[test]
fn a_pattern_stands_for_paths_that_have_these_rules() {
    let rule = |path: &str| Rule { path: path.into(), terms: Arc::default() };
    let rules = RuleSet::new(["/s/*", "/s/db", "/s/web-*", "/s/web-1", "/t/*"].map(rule).into());
    let check = |pattern: &str, expected: &[&str]| {
        let mut found: Vec<_> = rules.for_pattern(pattern).iter().map(|rules| &**rules.path()).collect();
        found.sort_unstable();
        assert_eq!(found, expected, "{pattern}");
    };
    check("/s/db", &["/s/db"]);
    check("/s/other", &["/s/*"]);
    check("/s/d*", &["/s/*", "/s/db"]);
    check("/s/web-*", &["/s/web-*", "/s/web-1"]);
    check("/s/*-1", &["/s/*", "/s/web-*", "/s/web-1"]);
    check("/*/web-2*", &["/s/*", "/s/web-*", "/t/*"]);
    check("/u/*", &[]);
}
