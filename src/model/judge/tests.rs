//! Tables of readings and verdicts.

use super::*;
use crate::model::children::Children;
use crate::model::message;

fn specs(children: Option<Bounds>, exists: Option<bool>, data: Option<DataSpec>) -> Specs {
    Specs { children, exists, data, ..Specs::default() }
}

fn range(min: Option<u32>, max: Option<u32>) -> Specs {
    specs(Some(Bounds::Range { min, max }), None, None)
}

fn present(count: usize, data: &[u8]) -> Reading {
    let names = (0..count).map(|n| n.to_string()).collect();
    Reading::Present { children: Some(Children::new(names)), data: Some(data.into()) }
}

#[test]
fn specs_judge_readings() {
    let check = |specs: Specs, reading: Reading, expected: &str| {
        assert_eq!(verdict(&specs, &reading), expected);
    };
    let missing = ": path does not exist";
    check(range(Some(1), None), present(0, b""), "Found children (0) less than minimum (1)");
    check(
        range(Some(1), None),
        Reading::Missing,
        &format!("Found children (0) less than minimum (1){missing}"),
    );
    check(range(Some(0), None), Reading::Missing, "ok");
    check(range(Some(1), None), present(1, b""), "ok");
    check(range(None, Some(8)), present(9, b""), "Found children (9) more than maximum (8)");
    check(range(Some(3), Some(8)), present(8, b""), "ok");
    check(range(Some(3), Some(8)), present(2, b""), "Found children (2) less than minimum (3)");
    let equals = |count| specs(Some(Bounds::Equals(count)), None, None);
    check(equals(3), present(2, b""), "Found children (2) not equal to (3)");
    check(equals(3), Reading::Missing, &format!("Found children (0) not equal to (3){missing}"));
    check(equals(0), Reading::Missing, "ok");
    check(specs(None, Some(true), None), Reading::Missing, "Path does not exist");
    check(specs(None, Some(true), None), present(0, b""), "ok");
    check(specs(None, Some(false), None), present(0, b""), "Path exists and must not");
    check(specs(None, Some(false), None), Reading::Missing, "ok");
    let on = || Some(DataSpec::Equals("on".into()));
    check(specs(None, None, on()), present(0, b"on"), "ok");
    check(specs(None, None, on()), present(0, b"off\n"), "Found data (off\\n) not equal to (on)");
    check(
        specs(None, None, on()),
        Reading::Missing,
        "Found data (none: path does not exist) not equal to (on)",
    );
    let digits = DataSpec::Matches {
        pattern: "^[0-9]+$".into(),
        matcher: Arc::new(|data: &[u8]| !data.is_empty() && data.iter().all(u8::is_ascii_digit)),
    };
    check(specs(None, None, Some(digits.clone())), present(0, b"12"), "ok");
    check(specs(None, None, Some(digits)), present(0, b"x"), "Found data (x) not matching (^[0-9]+$)");
    let both = specs(Some(Bounds::Range { min: Some(1), max: None }), Some(true), None);
    check(
        both,
        Reading::Missing,
        &format!("Path does not exist; Found children (0) less than minimum (1){missing}"),
    );
    check(Specs::default(), Reading::Missing, "ok");
    check(range(Some(1), None), Reading::Unreadable("no".into()), "unreadable: no");
}

fn verdict(specs: &Specs, reading: &Reading) -> String {
    match specs.judge(reading) {
        Verdict::Ok => "ok".to_owned(),
        Verdict::Violated(violations) => message::violations(&violations),
        Verdict::Unreadable(reason) => format!("unreadable: {reason}"),
    }
}

#[test]
fn children_that_have_to_be_there_are_named() {
    let check = |wanted: &[&str], there: &[&str], expected: &str| {
        let include = Some(Include(wanted.iter().map(|name| (*name).into()).collect()));
        let specs = Specs { include, ..Specs::default() };
        assert!(specs.needs().children && !specs.is_empty());
        let children = Some(Children::new(there.iter().map(|name| (*name).to_owned()).collect()));
        assert_eq!(verdict(&specs, &Reading::Present { children, data: None }), expected);
    };
    check(&["web-1", "web-2"], &["web-2", "web-1", "web-3"], "ok");
    check(&["web-1", "web-2"], &["web-1", "web-20", "a"], "Missing children: web-2");
    check(&["b", "a"], &[], "Missing children: a, b");
    check(&["a"], &["a", "b"], "ok");
    check(&["b"], &["a", "b"], "ok");
    let many: Vec<String> = (10..23).map(|number| format!("n{number}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let ten = many[..10].join(", ");
    check(&many, &["x"], &format!("Missing children: {ten} and 3 more"));
    check(&many[..10], &["x"], &format!("Missing children: {ten}"));
    let one = Some(Include(["a".into()].into()));
    let alone = Specs { include: one.clone(), ..Specs::default() };
    assert_eq!(verdict(&alone, &Reading::Missing), "Missing children: a: path does not exist");
    let both = Specs { include: one, children: Some(Bounds::Equals(2)), ..Specs::default() };
    assert_eq!(
        verdict(&both, &Reading::Missing),
        "Found children (0) not equal to (2): path does not exist; Missing children: a: path does not exist"
    );
}

/// Data is `value`, or `text:value`; the test's own idea of JSON.
fn find(data: &[u8]) -> Found {
    match str::from_utf8(data) {
        Err(_) => Found::NoJson,
        Ok("") => Found::Nothing,
        Ok(json) => Found::Value { json: json.into(), text: json.trim_matches('"').into() },
    }
}

#[test]
fn values_within_data_are_judged() {
    let check = |pointer: &str, wanted: Wanted, data: Option<&[u8]>, expected: &str| {
        let spec = JsonSpec { pointer: pointer.into(), find: Arc::new(find), wanted };
        let specs = Specs { data: Some(DataSpec::Json(spec)), ..Specs::default() };
        assert!(specs.needs().data);
        let reading = data
            .map_or(Reading::Missing, |data| Reading::Present { children: None, data: Some(data.into()) });
        assert_eq!(verdict(&specs, &reading), expected);
    };
    let up = || Wanted::Equals("\"UP\"".into());
    let starts_with_up = || Wanted::Matches {
        pattern: "^UP".into(),
        matcher: Arc::new(|text: &[u8]| text.starts_with(b"UP")),
    };
    check("/status", up(), Some(b"\"UP\""), "ok");
    check("/status", up(), Some(b"\"DOWN\""), "Found data at /status (\"DOWN\") not equal to \"UP\"");
    check("", up(), Some(b"1"), "Found data (1) not equal to \"UP\"");
    check("/status", up(), Some(b""), "Found no data at /status");
    check("/status", up(), None, "Found no data at /status: path does not exist");
    check("/status", up(), Some(b"\xff"), "Found data that is not JSON");
    check("/status", starts_with_up(), Some(b"\"UPPER\""), "ok");
    check(
        "/status",
        starts_with_up(),
        Some(b"\"DOWN\""),
        "Found data at /status (\"DOWN\") that does not match ^UP",
    );
    let long = format!("\"{}\"", "x".repeat(100));
    let shown = format!("Found data at /a (\"{}… 102 bytes) not equal to \"UP\"", "x".repeat(59));
    check("/a", up(), Some(long.as_bytes()), &shown);
}

#[test]
fn specs_that_were_written_alike_are_the_same() {
    let spec = |pointer: &str, wanted| JsonSpec { pointer: pointer.into(), find: Arc::new(find), wanted };
    let equals = |json: &str| Wanted::Equals(json.into());
    let matches = |pattern: &str| Wanted::Matches { pattern: pattern.into(), matcher: Arc::new(|_| true) };
    assert_eq!(spec("/a", equals("1")), spec("/a", equals("1")));
    assert_eq!(spec("/a", matches("1")), spec("/a", matches("1")));
    for other in [spec("/b", equals("1")), spec("/a", equals("2")), spec("/a", matches("1"))] {
        assert_ne!(spec("/a", equals("1")), other);
        assert_ne!(DataSpec::Json(spec("/a", equals("1"))), DataSpec::Json(other));
    }
    assert_ne!(DataSpec::Json(spec("/a", equals("1"))), DataSpec::Equals("1".into()));
}
