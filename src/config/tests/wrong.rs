//! Files that are refused, each with all that is said of it.

use super::*;
use crate::model::receiver::{Settings, Webhook};

/// Cases with `====` between them: a file, then what is said, each line behind an arrow.
const CASES: &str = include_str!("../../../tests/config/wrong.txt");

fn errors(text: &str) -> Vec<String> {
    match parse(text) {
        Ok(config) => vec![format!("accepted: {config:?}")],
        Err(errors) => errors.to_string().replace(BASE, "BASE").lines().map(str::to_owned).collect(),
    }
}

#[test]
fn every_mistake_is_told_with_its_place() {
    let cases: Vec<&str> = CASES.split("\n====\n").collect();
    assert!(cases.len() > 60, "the table was not read");
    let mut failures = String::new();
    for case in cases {
        let (text, expected) = case.split_once("\n--> ").expect("a case has an expectation");
        let expected: Vec<&str> = expected.trim_end().split("\n--> ").collect();
        let found = errors(text);
        if found != expected {
            failures += &format!("{text}\n--> {}\n====\n", found.join("\n--> "));
        }
    }
    assert!(failures.is_empty(), "these are not as expected:\n{failures}");
}

#[test]
fn bytes_that_are_no_text_are_refused() {
    let check = |bytes: &[u8], expected: &str| {
        let errors = parse_with(bytes, false, &|_| None).unwrap_err();
        assert_eq!(errors.to_string(), expected);
    };
    let utf16: Vec<u8> = "\u{feff}/a:".encode_utf16().flat_map(u16::to_le_bytes).collect();
    check(&utf16, "f.yaml: the file is UTF-16: save it as UTF-8");
    check(b"/a:\n  b: \xff\n", "f.yaml:2:6: the file is not UTF-8 text");
    check(b"/a: \0\n", "f.yaml:1:5: the character U+0000 is not allowed: is this a text file?");
    check(b"\x7fELF\x02\x01", "f.yaml:1:1: the character U+007F is not allowed: is this a text file?");
    check(b"\xef\xbb\xbf/a: x\n", "f.yaml:1:5: /a: must be a map, found text");
    check(b"/a:\r\n  children: x\r\n", "f.yaml:2:13: /a/children: must be a whole number, found \"x\"");
    check("/ä: {ü: 1, children: x}".as_bytes(), &{
        let keys = "`children`, `exists`, `data`, `cancel_timeout`, `keep_firing_for`, `repeat_interval`, \
                    `forget_after`, `description`, `alerter`, `severity`, `labels`, `runbook`, `depends_on` and `name`";
        format!(
            "f.yaml:1:6: /ä/ü: a rule has no such key; it may have {keys}\n\
             f.yaml:1:22: /ä/children: must be a whole number, found \"x\""
        )
    });
}

#[test]
fn bombs_are_defused() {
    let check = |text: &str, expected: &str| assert_eq!(errors(text), [expected], "{:.80}", text);
    let deep = "values are nested too deeply, or an alias stands within its own anchor";
    check(&"[".repeat(10_000_000), &format!("f.yaml:1:1001: {deep}"));
    check(&"{a: ".repeat(200), &format!("f.yaml:1:513: {deep}"));
    check(&"- ".repeat(500), &format!("f.yaml:1:257: {deep}"));
    let addresses = "a@b.c,".repeat(20_000);
    let pairs = "{min: 1},".repeat(2_000);
    assert!(parse(&format!("/a: {{alerter: {{email: '{addresses}'}}}}")).is_ok());
    assert_eq!(errors(&format!("/a: {{alerter: {{slack: [{pairs}]}}}}")).len(), 101);
    assert_eq!(errors(&format!("x-a: &a {{b: 1}}\n{}", "/a: *a\n".repeat(1_000))).len(), 101);
    let mut laughs = "x-0: &x0 [x]\n".to_owned();
    for n in 1..12 {
        laughs += &format!("x-{n}: &x{n} [{}]\n", vec![format!("*x{}", n - 1); 10].join(", "));
    }
    check(&laughs, "f.yaml: aliases repeat too much");
    let long = format!("x-a: &a {}\nx-b: [{}]\n", "x".repeat(1_000_000), vec!["*a"; 100].join(", "));
    check(&long, "f.yaml:1:6: aliases make the file unfold to more than 67108864 bytes of text");
}

/// Templates as deep as their length allows, on the stack that a receiver's thread has. What is not optimised takes up to ten
/// times as much.
#[test]
fn templates_that_are_nested_deeply_end() {
    let stack = if cfg!(debug_assertions) { 20 << 20 } else { 2 << 20 };
    let all = |number: usize| {
        let many = |text: &str| text.repeat(number / text.len());
        let half = |text: &str| text.repeat(number / text.len() / 2);
        [
            format!("{{{{ {}1{} }}}}", half("("), half(")")),
            format!("{{{{ {}1{} }}}}", half("["), half("]")),
            format!("{{{{ 1{} }}}}", many("+1")),
            format!("{{{{ status{} }}}}", many("|d")),
            format!("{{{{ status{} }}}}", many(".a")),
            format!("{{{{ {}1 }}}}", many("-")),
            format!("{{{{ 1{} }}}}", many(" if 1 else 1")),
            format!("{{% if 1 %}}{}{{% endif %}}", many("{%elif 1%}")),
            format!("{}x{}", half("{%if 1%}"), half("{%endif%}")),
            format!("{}x{}", half("{%for a in [1]%}"), half("{%endfor%}")),
            format!("{{%set y=1%}}{}{{{{ y }}}}", many("{%set y=[[[[[[[[[[[[[[[y]]]]]]]]]]]]]]]%}")),
            format!("{{%set y=1%}}{}{{{{ y|tojson }}}}", many("{%set y=[[[[[[[[[[[[[[[y]]]]]]]]]]]]]]]%}")),
            format!("{{%set y=1%}}{}{{{{ y == y }}}}", many("{%set y=[[[[[[[[[[[[[[[y]]]]]]]]]]]]]]]%}")),
        ]
    };
    let work = move || {
        for number in [100, 8000] {
            for template in all(number) {
                let webhook =
                    format!("{{url: 'http://h', content_type: text/plain, template: '{template}'}}");
                let answer = parse(&format!("/a: {{children: 1, alerter: {{webhook: {webhook}}}}}\n"));
                let Ok(config) = answer else { continue };
                let Settings::Webhook(Webhook { template: Some(template), .. }) =
                    &config.receivers[0].settings
                else {
                    panic!("no template")
                };
                assert!((template.body.run)("{\"status\": \"firing\"}").is_ok());
            }
        }
    };
    std::thread::Builder::new().stack_size(stack).spawn(work).unwrap().join().unwrap();
}

#[test]
fn the_list_is_bounded_and_tells_so() {
    let text: String = (0..250).map(|n| format!("/a/{n}: {{children: -1}}\n")).collect();
    let errors = errors(&text);
    assert_eq!(errors.len(), 101);
    assert_eq!(errors[99], "f.yaml:100:19: /a/99/children: must not be negative, found -1");
    assert_eq!(errors[100], "and 150 more");
}

#[test]
fn what_is_shown_fits_a_line() {
    let check = |text: &str| {
        for line in errors(text) {
            assert!(line.len() < 4000 && !line.contains(char::is_control), "{line:?}");
        }
    };
    check(&format!("{}: 1", "x".repeat(1000)));
    check(&format!("? \"{}\"\n: 1", "\\u202e\\n".repeat(1000)));
    check(&format!("/a: {{cancel_timeout: {}}}", "x".repeat(100_000)));
    check(&format!("/a: {{alerter: {{slack: {{channel: c, token_file: \"{}\"}}}}}}", "x".repeat(999)));
    check(&format!("/a: {{data: {{matches: \"({}\"}}}}", "x\\n".repeat(1000)));
}

#[test]
fn no_secret_and_no_address_is_shown() {
    let text = "/a: {alerter: {email: 's3cret@', slack: {channel: c, token: s3cret, webhook_url: s3cret}, \
                webhook: 'http://s3cret/ s3cret', alertmanager: {url: s3cret}, pagerduty: {routing_key: [s3cret]}}}\n\
                smtp: {user: s3cret, password: \"s3cret\\n\", from: s3cret}\nheartbeat: {url: s3cret}\n\
                /b: {alerter: {webhook: {url: 'http://h', headers: {X: \"s3cret\\n\"}}}}\n";
    let errors = errors(text);
    assert_eq!(errors.len(), 9, "{errors:?}");
    assert!(!errors.iter().any(|line| line.contains("s3cret")), "{errors:?}");
    let tagged = "/a: {alerter: {slack: {channel: c, token: !!int s3cret}}}";
    assert!(!parse(tagged).unwrap_err().to_string().contains("s3cret"));
}

#[test]
fn a_file_that_cannot_be_read_is_told() {
    let check = |file: &str, expected: &str| {
        let file = Path::new(BASE).join(file);
        let errors = crate::config::load(&file, &|_| None).unwrap_err();
        assert_eq!(errors.to_string().replace(BASE, "BASE"), expected);
    };
    check("missing.yaml", "BASE/missing.yaml: cannot use the file: No such file or directory (os error 2)");
    check(".", "BASE/.: cannot use the directory: it has no file whose name ends in .yaml or .yml");
    check("empty", "BASE/empty: the file is empty: it must hold a rule for each znode to watch");
}

#[test]
fn a_rule_that_no_entry_of_the_ledger_could_hold_is_refused() {
    let addresses: Vec<_> = (0..1501).map(|number| format!("a{number}@example.com")).collect();
    let (most, more) = (addresses[1..].join(","), addresses.join(","));
    assert!(parse(&format!("/a: {{children: 1, alerter: {{email: '{most}'}}}}")).is_ok());
    assert_eq!(
        errors(&format!("/a: {{children: 1, alerter: {{email: '{more}'}}}}")),
        ["f.yaml:1:28: /a/alerter: names 1501 receivers, and a rule can have 1500: use a mailing list"]
    );
    assert_eq!(
        errors(&format!("/a: {{data: {{matches: '{}'}}}}", "x".repeat(4097))),
        ["f.yaml:1:22: /a/data/matches: must be at most 4096 bytes long"]
    );
}
