//! Tables of readings and verdicts.

use super::*;
use crate::model::children::Children;
use crate::model::message;

fn specs(children: Option<Bounds>, exists: Option<bool>, data: Option<DataSpec>) -> Specs {
    Specs { children, exists, data }
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
        let words = match specs.judge(&reading) {
            Verdict::Ok => "ok".to_owned(),
            Verdict::Violated(violations) => message::violations(&violations),
            Verdict::Unreadable(reason) => format!("unreadable: {reason}"),
        };
        assert_eq!(words, expected);
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
