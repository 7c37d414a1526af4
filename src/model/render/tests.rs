//! Each message as its receiver sees it.

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use super::{body, chat, subject};
use crate::model::children::{Counted, Ignored, Left};
use crate::model::message::{About, Item, Kind, Notification};

fn item(path: &str, kind: Kind) -> Item {
    Item {
        incident: "i1".into(),
        path: path.into(),
        rule: None,
        pattern: None,
        kind,
        about: About::Path,
        message: "Found children (0) less than minimum (1)".into(),
        since: UNIX_EPOCH + Duration::from_secs(1_401_553_225),
        until: (!kind.is_firing()).then(|| UNIX_EPOCH + Duration::from_secs(1_401_553_285)),
        children: Some(0),
        left: Left { names: vec!["a".into(), "b".into()], count: 5 },
        counted: None,
        labels: Arc::default(),
        runbook: None,
        description: None,
        notes: Vec::new(),
    }
}

fn notification(items: Vec<Item>) -> Notification {
    Notification { cluster: "c".into(), agent: "host-1".into(), page: None, items }
}

#[test]
fn those_that_do_not_count_are_named() {
    let ignored = |name: &str, reason: &str| Ignored { name: name.into(), reason: reason.into() };
    let ignored = [ignored("web-3", "not ephemeral"), ignored("x", "its name does not match ^web-")];
    let counted = Counted { counted: 2, of: 4, ignored: ignored.into() };
    let item = Item { counted: Some(Arc::new(counted)), ..item("/a", Kind::Firing) };
    let text = body(&notification(vec![item.clone()]));
    let lines = "Children:    2 of 4\nLeft:        a, b and 3 more\n\
                 Ignored:     web-3: not ephemeral\n             x: its name does not match ^web-\n";
    assert!(text.contains(lines), "{text}");
    let text = body(&notification(vec![item.clone(), item]));
    assert!(text.contains("; children: 2 of 4; left: a, b and 3 more; incident i1"), "{text}");
}

#[test]
fn subjects() {
    let check = |items, expected| assert_eq!(subject(&notification(items)), expected);
    check(vec![item("/p", Kind::Firing)], "Warning! /p has an alert!");
    check(vec![item("/p", Kind::Notice)], "Warning! /p has an alert, and not everybody was told!");
    check(vec![item("/p", Kind::Reminder(2))], "Reminder: /p has an alert!");
    check(vec![item("/p", Kind::Resolved)], "OK: /p is in spec again");
    check(vec![item("/p", Kind::Late)], "OK: /p is in spec again");
    check(vec![item("/p", Kind::Test)], "[TEST] Warning! /p has an alert!");
    let many = |kinds: &[Kind]| -> Vec<Item> {
        kinds.iter().zip(["/p", "/q", "/r", "/s"]).map(|(kind, path)| item(path, *kind)).collect()
    };
    check(many(&[Kind::Firing, Kind::Reminder(1)]), "Warning! 2 paths of c have alerts!");
    check(many(&[Kind::Reminder(1), Kind::Reminder(3)]), "Reminder: 2 paths of c have alerts!");
    check(many(&[Kind::Resolved, Kind::Late]), "OK: 2 paths of c are in spec again");
    let mixed = [Kind::Firing, Kind::Resolved, Kind::Firing, Kind::Late];
    check(many(&mixed), "Warning! 2 paths of c have alerts, 2 are in spec again");
    check(many(&mixed[..2]), "Warning! /p has an alert, 1 is in spec again");
}

#[test]
fn an_alert_of_one_of_several_rules_names_it() {
    let named = |name: &str, kind| Item { rule: Some(name.into()), ..item("/p", kind) };
    let one = notification(vec![named("page", Kind::Firing)]);
    assert_eq!(subject(&one), "Warning! /p has an alert!");
    assert!(body(&one).contains("\nPath:        /p\nRule:        page\nState:       ALERT\n"));
    let lines = |notification: &Notification| chat(notification).replace("\nLeft: a, b and 3 more", "");
    assert_eq!(lines(&one), "ALERT /p@page: Found children (0) less than minimum (1)");
    let both = notification(vec![named("warn", Kind::Firing), named("page", Kind::Firing)]);
    assert_eq!(subject(&both), "Warning! /p has alerts!");
    assert!(body(&both).starts_with("/p has alerts:\n\nALERT /p@warn: Found"));
    let found = "Found children (0) less than minimum (1)";
    assert_eq!(chat(&both), format!("ALERT 1 path of c:\n/p@warn, /p@page: {found}"));
    let more = notification([both.items, vec![item("/q", Kind::Firing)]].concat());
    assert_eq!(subject(&more), "Warning! 2 paths of c have alerts!");
    assert_eq!(chat(&more), format!("ALERT 2 paths of c:\n/p@warn, /p@page, /q: {found}"));
}

#[test]
fn what_a_glob_matched_names_its_rule() {
    let item = Item { pattern: Some("/services/*".into()), ..item("/services/a", Kind::Firing) };
    let one = notification(vec![item.clone()]);
    assert!(
        body(&one).contains("\nPath:        /services/a\nRule:        /services/*\nState:"),
        "{}",
        body(&one)
    );
    assert!(chat(&one).contains("\nRule: /services/*\n"), "{}", chat(&one));
    let named = Item { rule: Some("page".into()), ..item };
    let named = notification(vec![named.clone(), named]);
    assert!(body(&named).contains("; rule /services/*@page; children: 0; "), "{}", body(&named));
}

/// One with all that a rule may say, and a page.
fn full(kind: Kind) -> Notification {
    let mut item = item("/p", kind);
    item.description = Some("Call Ada.\nThen Bob.".into());
    item.runbook = Some("https://wiki/p".into());
    Notification { page: Some("http://zk1:8080".into()), ..notification(vec![item]) }
}

#[test]
fn a_chat_message_begins_with_what_is_and_ends_with_what_to_do() {
    let check = |kind, line: &str, left: &str| {
        let expected =
            format!("{line}{left}\nCall Ada. Then Bob.\nRunbook: https://wiki/p\nPage: http://zk1:8080");
        let mut told = full(kind);
        if !kind.is_firing() {
            told.items[0].left = Left::default();
        }
        assert_eq!(chat(&told), expected);
    };
    let left = "\nLeft: a, b and 3 more";
    check(Kind::Firing, "ALERT /p: Found children (0) less than minimum (1)", left);
    check(
        Kind::Reminder(2),
        "ALERT /p: Still out of spec: Found children (0) less than minimum (1) (since 2014-05-31T16:20:25Z)",
        left,
    );
    check(
        Kind::Resolved,
        "OK /p: Now in spec, was: Found children (0) less than minimum (1) \
         (from 2014-05-31T16:20:25Z to 2014-05-31T16:21:25Z, 1m)",
        "",
    );
    check(
        Kind::Test,
        "TEST /p: This is only a test, nothing is wrong: Found children (0) less than minimum (1)",
        left,
    );
}

#[test]
fn a_chat_message_of_a_rule_that_says_nothing_is_one_line() {
    let mut bare = item("/p", Kind::Firing);
    bare.left = Left::default();
    assert_eq!(chat(&notification(vec![bare])), "ALERT /p: Found children (0) less than minimum (1)");
}

#[test]
fn a_line_of_chat_stays_one_line() {
    let mut odd = item("/p\nq", Kind::Notice);
    (odd.notes, odd.left) = (vec!["email\r\nx refused it".into()], Left::default());
    let text = chat(&notification(vec![odd]));
    let lines: Vec<&str> = text.split('\n').collect();
    assert_eq!(lines, ["NOTICE /p q: Found children (0) less than minimum (1)", "email  x refused it"]);
}

#[test]
fn a_chat_digest_says_why_of_what_is_wrong_and_that_the_rest_is_back() {
    let other = Item { message: "Path does not exist".into(), ..item("/b", Kind::Firing) };
    let reminded = item("/c", Kind::Reminder(1));
    let back = [item("/d", Kind::Resolved), item("/e", Kind::Late)];
    let mut items =
        vec![back[0].clone(), item("/a1", Kind::Firing), other, item("/a2", Kind::Firing), reminded];
    items.push(back[1].clone());
    assert_eq!(
        chat(&notification(items)),
        "ALERT 4 paths of c:\n/a1, /a2: Found children (0) less than minimum (1)\n/b: Path does not exist\n\
         /c: Still out of spec: Found children (0) less than minimum (1)\nOK 2 paths of c:\n/d, /e"
    );
}

#[test]
fn what_all_of_a_digest_say_is_said_once() {
    let mut items = full(Kind::Firing).items;
    items.push(Item { path: "/q".into(), ..items[0].clone() });
    let both = notification(items.clone());
    assert!(chat(&both).ends_with("\nCall Ada. Then Bob.\nRunbook: https://wiki/p"), "{}", chat(&both));
    assert_eq!(body(&both).matches("Call Ada.\n             Then Bob.\n").count(), 1, "{}", body(&both));
    items[1].description = None;
    items[1].runbook = Some("https://wiki/q".into());
    let both = notification(items);
    assert!(chat(&both).ends_with("\nRunbook: https://wiki/p\nRunbook: https://wiki/q"), "{}", chat(&both));
    assert_eq!(body(&both).matches("    Call Ada.\n    Then Bob.\n    https://wiki/p\n").count(), 1);
}

#[test]
fn a_digest_says_what_is_wrong_first() {
    let items = vec![item("/back", Kind::Resolved), item("/bad", Kind::Firing)];
    let body = body(&notification(items));
    let place = |words: &str| body.find(words).expect("both are there");
    assert!(place("ALERT /bad: ") < place("OK /back: "), "{body}");
}

#[test]
fn a_chat_digest_names_a_hundred_and_counts_the_rest() {
    let mut items: Vec<Item> = (0..150).map(|n| item(&format!("/p{n:03}"), Kind::Firing)).collect();
    items.push(item("/ok", Kind::Resolved));
    let text = chat(&notification(items));
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], "ALERT 150 paths of c:");
    assert!(lines[1].starts_with("/p000, /p001, "), "{text}");
    assert!(lines[1].ends_with("/p099: Found children (0) less than minimum (1)"), "{text}");
    assert_eq!(&lines[2..], ["and 50 more", "OK 1 path of c:", "and 1 more"]);
}

#[test]
fn a_chat_digest_of_long_paths_or_many_reasons_is_bounded() {
    let long = "/x".repeat(1_000);
    let text = chat(&notification(vec![item(&long, Kind::Firing); 90]));
    assert!(text.len() < 6_100, "{}", text.len());
    assert!(text.ends_with("\nand 88 more"), "{}", &text[text.len() - 50..]);
    let odd = |n: usize| Item {
        message: format!("Found children ({n}) less than minimum (10000)").into(),
        runbook: Some(format!("https://wiki/{n}").into()),
        ..item(&format!("/services/{n}"), Kind::Firing)
    };
    let text = chat(&notification((0..10_000).map(odd).collect()));
    assert!(text.len() < 6_500, "{}", text.len());
    assert_eq!(text.matches("Runbook: ").count(), 3);
    let named = text.lines().filter(|line| line.starts_with("/services/")).count();
    assert!(text.contains(&format!("\nand {} more\n", 10_000 - named)), "{text}");
}

#[test]
fn a_letter_tells_everything() {
    let mut full = item("/p", Kind::Resolved);
    full.description = Some(Arc::from("first\nsecond"));
    full.notes = vec!["slack #x refused it: channel_not_found".into()];
    assert_eq!(
        body(&notification(vec![full])),
        "Now in spec, was: Found children (0) less than minimum (1)\n\n\
         Path:        /p\n\
         State:       OK\n\
         Since:       2014-05-31T16:20:25Z\n\
         Until:       2014-05-31T16:21:25Z\n\
         Lasted:      1m\n\
         Children:    0\n\
         Left:        a, b and 3 more\n\
         Description: first\n             second\n\
         Note:        slack #x refused it: channel_not_found\n\
         Cluster:     c\n\
         Agent:       host-1\n\
         Incident:    i1\n"
    );
}

#[test]
fn a_digest_leaves_nothing_out() {
    let items: Vec<Item> = (0..1_000).map(|n| item(&format!("/p{n}"), Kind::Firing)).collect();
    let body = body(&notification(items));
    for n in 0..1_000 {
        assert!(body.contains(&format!("ALERT /p{n}: Found children (0) less than minimum (1)\n")));
    }
    assert!(
        body.contains("    since 2014-05-31T16:20:25Z; children: 0; left: a, b and 3 more; incident i1\n")
    );
}
