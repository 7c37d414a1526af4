//! Tables of readings and verdicts.

use std::time::{Duration, SystemTime};

use super::*;
use crate::model::children::Ignored;
use crate::model::message;
use crate::model::reading::{ChildReading, ChildZnode, Written};

fn specs(children: Option<Bounds>, exists: Option<bool>, data: Option<DataSpec>) -> Specs {
    Specs { children, exists, data, ..Specs::default() }
}

fn range(min: Option<u32>, max: Option<u32>) -> Specs {
    specs(Some(Bounds::Range { min, max }), None, None)
}

fn present(count: usize, data: &[u8]) -> Reading {
    let names = (0..count).map(|n| n.to_string()).collect();
    Reading::Present {
        children: Some(Children::new(names)),
        each: EachRead::Unasked,
        data: Some(written(0, data)),
    }
}

/// Data that was written in a second of ZooKeeper's time.
fn written(second: u64, data: &[u8]) -> Written {
    Written { at: at_second(second), data: data.into() }
}

fn at_second(second: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(second)
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
    let digits = DataSpec::Matches(Compiled {
        source: "^[0-9]+$".into(),
        run: Arc::new(|data: &[u8]| !data.is_empty() && data.iter().all(u8::is_ascii_digit)),
    });
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
    let shut = || Reading::Shut("no".into());
    check(specs(None, Some(true), None), shut(), "ok");
    check(specs(None, Some(false), None), shut(), "Path exists and must not");
    check(specs(None, Some(true), on()), shut(), "unreadable: no");
    check(range(None, Some(1)), shut(), "unreadable: no");
    check(Specs::default(), shut(), "unreadable: no");
    check(specs(None, Some(false), None), Reading::Unreadable("no".into()), "unreadable: no");
}

fn verdict(specs: &Specs, reading: &Reading) -> String {
    verdict_at(None, specs, reading)
}

fn verdict_at(time: Option<SystemTime>, specs: &Specs, reading: &Reading) -> String {
    match specs.judge(reading, time).verdict {
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
        assert_eq!(
            verdict(&specs, &Reading::Present { children, each: EachRead::Unasked, data: None }),
            expected
        );
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
        Err(_) | Ok("\u{1}") => Found::NoJson,
        Ok("") => Found::Nothing,
        Ok(json) => Found::Value { json: json.into(), text: json.trim_matches('"').into() },
    }
}

fn at(pointer: &str) -> Compiled<Find> {
    Compiled { source: pointer.into(), run: Arc::new(find) }
}

#[test]
fn values_within_data_are_judged() {
    let check = |pointer: &str, wanted: Wanted, data: Option<&[u8]>, expected: &str| {
        let spec = JsonSpec { place: at(pointer), wanted };
        let specs = Specs { data: Some(DataSpec::Json(spec)), ..Specs::default() };
        assert!(specs.needs().data);
        let reading = data.map_or(Reading::Missing, |data| Reading::Present {
            children: None,
            each: EachRead::Unasked,
            data: Some(written(0, data)),
        });
        assert_eq!(verdict(&specs, &reading), expected);
    };
    let up = || Wanted::Equals("\"UP\"".into());
    let starts_with_up = || {
        let run: Matcher = Arc::new(|text: &[u8]| text.starts_with(b"UP"));
        Wanted::Matches(Compiled { source: "^UP".into(), run })
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
    let spec = |pointer: &str, wanted| JsonSpec { place: at(pointer), wanted };
    let equals = |json: &str| Wanted::Equals(json.into());
    let matches =
        |pattern: &str| Wanted::Matches(Compiled { source: pattern.into(), run: Arc::new(|_| true) });
    assert_eq!(spec("/a", equals("1")), spec("/a", equals("1")));
    assert_eq!(spec("/a", matches("1")), spec("/a", matches("1")));
    for other in [spec("/b", equals("1")), spec("/a", equals("2")), spec("/a", matches("1"))] {
        assert_ne!(spec("/a", equals("1")), other);
        assert_ne!(DataSpec::Json(spec("/a", equals("1"))), DataSpec::Json(other));
    }
    assert_ne!(DataSpec::Json(spec("/a", equals("1"))), DataSpec::Equals("1".into()));
}

/// A child as the tables below write it: `web-1 e {"host":"a"}` is ephemeral, `p` is not, and `!` could not be read.
fn child(line: &str) -> ChildReading {
    let (name, rest) = line.split_once(' ').unwrap();
    let (kind, data) = rest.split_once(' ').unwrap_or((rest, ""));
    let written = Some(Written { at: SystemTime::UNIX_EPOCH, data: data.as_bytes().into() });
    let znode = match kind {
        "!" => Err("not authorised to read it".into()),
        kind => Ok(ChildZnode { ephemeral: kind == "e", written }),
    };
    ChildReading { name: name.into(), znode }
}

fn read(lines: &[&str]) -> Reading {
    let each: Box<[ChildReading]> = lines.iter().map(|line| child(line)).collect();
    let names = each.iter().map(|child| child.name.to_string()).collect();
    Reading::Present { children: Some(Children::new(names)), each: EachRead::Read(each), data: None }
}

fn named(prefix: &'static str) -> Option<Compiled<Matcher>> {
    let run: Matcher = Arc::new(move |name| name.starts_with(prefix.as_bytes()));
    Some(Compiled { source: format!("^{prefix}").into(), run })
}

fn distinct() -> Option<Compiled<Find>> {
    Some(at("/host"))
}

/// The words, and below them who was ignored and why.
fn told(counting: &Counting, bounds: Bounds, reading: &Reading) -> String {
    let specs = Specs { children: Some(bounds), counting: counting.clone(), ..Specs::default() };
    let (mut words, tally) = (verdict(&specs, reading), specs.judge(reading, None).tally);
    for Ignored { name, reason } in tally.iter().flat_map(|tally| message::counted(tally).ignored) {
        words += &format!(" / {name}: {reason}");
    }
    words
}

#[test]
fn only_those_count_of_which_all_holds() {
    let check = |only: Where, lines: &[&str], expected: &str| {
        let counting = Counting { only, distinct: None };
        assert_eq!(told(&counting, Bounds::Range { min: Some(2), max: Some(2) }, &read(lines)), expected);
    };
    let all = Where::default;
    let web = Where { name: named("web-"), ..all() };
    check(all(), &["a p", "b e"], "ok");
    check(web.clone(), &["web-1 p", "web-2 e", "x e"], "ok / x: its name does not match ^web-");
    check(
        web.clone(),
        &["web-1 p", "x e"],
        "Found children (1 of 2) less than minimum (2) / x: its name does not match ^web-",
    );
    check(web, &["web-1 p", "web-2 !", "web-3 p"], "Found children (3 of 3) more than maximum (2)");
    let (ephemeral, persistent) = (Some(true), Some(false));
    let few = "Found children (1 of 2) less than minimum (2)";
    check(Where { ephemeral, ..all() }, &["a p", "b e"], &format!("{few} / a: not ephemeral"));
    check(Where { ephemeral: persistent, ..all() }, &["a p", "b e"], &format!("{few} / b: ephemeral"));
    check(Where { ephemeral, ..all() }, &["a !", "b e"], &format!("{few} / a: not authorised to read it"));
    let on = Where { data: Some(DataSpec::Equals("on".into())), ..all() };
    check(on.clone(), &["a p on", "b e on"], "ok");
    check(on, &["a p on", "b e off"], &format!("{few} / b: Found data (off) not equal to (on)"));
    let both = Where { name: named("b"), ephemeral, ..all() };
    check(both, &["a e", "b p", "b2 e", "b3 e"], "ok / b: not ephemeral / a: its name does not match ^b");
}

#[test]
fn equal_values_count_once() {
    let check = |lines: &[&str], expected: &str| {
        let counting =
            Counting { only: Where { name: named("w"), ..Where::default() }, distinct: distinct() };
        assert_eq!(told(&counting, Bounds::Equals(2), &read(lines)), expected);
    };
    check(&["w1 e 1", "w2 e \"1\""], "ok");
    check(
        &["w1 e a", "w2 e a", "x p b"],
        "Found children (1 of 3) not equal to (2) / w2: the same /host as w1 / x: its name does not match ^w",
    );
    check(
        &["w1 e a", "w2 e", "w3 e \u{1}"],
        "Found children (1 of 3) not equal to (2) / w2: Found no data at /host / w3: Found data that is not JSON",
    );
    check(&[], "Found children (0 of 0) not equal to (2)");
}

#[test]
fn what_cannot_be_counted_is_said() {
    let counting = Counting { only: Where { ephemeral: Some(true), ..Where::default() }, distinct: None };
    let check = |reading: Reading, expected: &str| {
        let bounds = Bounds::Range { min: Some(1), max: None };
        assert_eq!(told(&counting, bounds, &reading), expected);
    };
    check(Reading::Missing, "Found children (0) less than minimum (1): path does not exist");
    let many = Reading::Present { children: None, each: EachRead::TooMany, data: None };
    check(many, "unreadable: too many children to read");
    let lines: Vec<String> = (0..30).map(|number| format!("c{number:02} p")).collect();
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let names = told(&counting, Bounds::Equals(1), &read(&lines)).matches(": not ephemeral").count();
    assert_eq!(names, Tally::NAMES);
}

#[test]
fn children_are_read_only_for_what_asks_for_it() {
    let check = |only: Where, distinct, expected: EachChild| {
        let specs = Specs { counting: Counting { only, distinct }, ..Specs::default() };
        assert_eq!(specs.needs().each_child, expected);
    };
    let data = Some(DataSpec::Equals("on".into()));
    check(Where { name: named("w"), ..Where::default() }, None, EachChild::Nothing);
    check(Where { ephemeral: Some(false), ..Where::default() }, None, EachChild::Stat);
    check(Where { data, ..Where::default() }, None, EachChild::Data);
    check(Where::default(), distinct(), EachChild::Data);
}

/// At which second it is judged, when each was written, and what is said.
#[test]
fn what_was_written_too_long_ago_is_out_of_spec() {
    let read = |second| Reading::Present {
        children: None,
        each: EachRead::Unasked,
        data: Some(written(second, b"on")),
    };
    let minutes = |minutes: u64| Duration::from_secs(minutes * 60);
    let check = |specs: &Specs, now: u64, at: u64, expected: &str, again: Option<Duration>| {
        let assessment = specs.judge(&read(at), Some(at_second(now)));
        assert_eq!(verdict_at(Some(at_second(now)), specs, &read(at)), expected, "{now} {at}");
        assert_eq!(assessment.again, again, "{now} {at}");
    };
    let ms = Duration::from_millis(1);
    let ten = Specs { max_age: Some(minutes(10)), ..Specs::default() };
    assert!(ten.needs().data && ten.ask_for_time() && !ten.is_empty());
    check(&ten, 1000, 1000, "ok", Some(minutes(10) + ms));
    check(&ten, 1600, 1000, "ok", Some(minutes(10) / 100));
    check(&ten, 1120, 1000, "ok", Some(minutes(8) + ms));
    // ZooKeeper's clock was set back: it was written just now.
    check(&ten, 0, 1000, "ok", Some(minutes(10) + ms));
    check(
        &ten,
        1759,
        1000,
        "Not written for 12m, at most 10m",
        Some(Duration::from_millis(759_000) / 4 + ms),
    );
    let long = "Not written for 6d1h, at most 10m";
    check(&ten, 1000 + 145 * 3600 + 1800, 1000, long, Some(Duration::from_secs(145 * 3600 + 1800) / 4 + ms));
    let short = Specs { max_age: Some(Duration::from_secs(2)), ..Specs::default() };
    check(&short, 1003, 1000, "Not written for 3s, at most 2s", Some(Duration::from_millis(751)));
    let off = Specs { data: Some(DataSpec::Equals("off".into())), ..short.clone() };
    let both = "Found data (on) not equal to (off); Not written for 3s, at most 2s";
    check(&off, 1003, 1000, both, Some(Duration::from_millis(751)));
    assert_eq!(
        verdict_at(Some(at_second(0)), &short, &Reading::Missing),
        "Found no data: path does not exist"
    );
    let once = "Found data (none: path does not exist) not equal to (off)";
    assert_eq!(verdict_at(Some(at_second(0)), &off, &Reading::Missing), once);
    let unknown = "unreadable: this agent has not written to ZooKeeper yet, which tells the time there";
    assert_eq!(verdict_at(None, &short, &read(0)), unknown);
}

#[test]
fn children_that_were_written_too_long_ago_do_not_count() {
    let child = |name: &str, second, data: &str| {
        let written = Some(written(second, data.as_bytes()));
        ChildReading { name: name.into(), znode: Ok(ChildZnode { ephemeral: false, written }) }
    };
    let only = Where { max_age: Some(Duration::from_secs(120)), ..Where::default() };
    let counting = Counting { only, distinct: distinct() };
    assert_eq!(counting.each_child(), EachChild::Data);
    let bounds = Some(Bounds::Equals(2));
    let specs = Specs { children: bounds, counting, ..Specs::default() };
    let each = [
        child("a", 100, r#"{"host": 1}"#),
        child("b", 150, r#"{"host": 2}"#),
        child("c", 160, r#"{"host": 1}"#),
    ];
    let reading = Reading::Present { children: None, each: EachRead::Read(each.into()), data: None };
    let at = |second| {
        let assessment = specs.judge(&reading, Some(at_second(second)));
        let tally = assessment.tally.expect("not each counts");
        let ignored = message::counted(&tally).ignored;
        let ignored: Vec<_> =
            ignored.iter().map(|Ignored { name, reason }| format!("{name}: {reason}")).collect();
        (tally.counted, ignored.join(" / "), assessment.again.map(|again| again.as_millis()))
    };
    assert_eq!(at(200), (2, "c: the same /host as a".to_owned(), Some(20_001)));
    // Where the first is too old the other of its kind takes its place.
    assert_eq!(at(221), (2, "a: Not written for 2m, at most 2m".to_owned(), Some(30_251)));
    assert_eq!(at(290).0, 0);
}
