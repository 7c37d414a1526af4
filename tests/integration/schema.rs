//! The JSON Schema of the configuration and the parser say the same.

use std::collections::BTreeSet;
use std::path::Path;

use fastrand::Rng;
use serde_json::{Map, Value, json};
use zk_monitor::config;

use crate::common::{Folder, python};

fn read(name: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap()
}

fn schema() -> Value {
    serde_json::from_str(&read("packaging/zk_monitor.schema.json")).unwrap()
}

/// What Python's validator makes of each document by the schema: nothing, or what is wrong with it.
fn by_schema(documents: &[Value]) -> Vec<Option<String>> {
    const SCRIPT: &str = "import json, sys\nfrom jsonschema import Draft7Validator\n\
        schema, documents = (json.load(open(name)) for name in sys.argv[1:])\n\
        Draft7Validator.check_schema(schema)\nvalidator = Draft7Validator(schema)\n\
        print(json.dumps([next((e.message for e in validator.iter_errors(d)), None) for d in documents]))";
    let folder = Folder::new("schema");
    let documents = folder.write("documents.json", &json!(documents).to_string());
    let schema = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/zk_monitor.schema.json");
    let files = [schema, documents].map(|file| file.display().to_string());
    serde_json::from_str(&python(SCRIPT, &[&files[0], &files[1]])).unwrap()
}

/// What the parser makes of a document, in a folder that has the files `secret` and `ca.pem`.
fn by_parser(folder: &Folder, document: &Value) -> Option<String> {
    // JSON is YAML.
    let file = folder.write("rules.yaml", &document.to_string());
    config::load(&file, &|_| None).err().map(|errors| errors.to_string())
}

fn folder() -> Folder {
    let folder = Folder::new("configuration");
    folder.write("secret", "s3cret");
    folder.write("url", "https://h/secret");
    folder.write("text.j2", "{{ status }}");
    folder.write("ca.pem", &read("tests/config/ca.pem"));
    folder
}

/// A key, what it may say, and what is wrong with it to both.
type Key = (&'static str, Vec<Value>, Vec<Value>);

fn durations(key: &'static str) -> Key {
    (
        key,
        vec![json!(0), json!(1.5), json!("90"), json!("1h30m"), json!("1e3")],
        vec![json!(-1), json!("1x"), json!("m"), json!(null)],
    )
}

/// The keys of a rule, and of `defaults`.
fn terms() -> Vec<Key> {
    let data = |more: Value| {
        let mut children = json!({"min": 1, "where": {"data": {}}});
        children["where"]["data"] = more;
        children
    };
    vec![
        (
            "children",
            vec![
                json!(0),
                json!({"min": 1}),
                json!({"min": 1, "max": 4}),
                json!({"equals": 2}),
                json!({"include": ["a", "b"]}),
                json!({"drop": {"by": "30%", "within": "1h"}}),
                json!({"drop": {"by": 2, "within": 60}}),
                json!({"min": 2, "where": {"name": "^a", "ephemeral": "yes", "max_age": "2m"}}),
                json!({"max": 2, "distinct": {"json": "/a/0"}}),
                data(json!({"json": "/up", "equals": true})),
                data(json!({"matches": "x"})),
            ],
            vec![
                json!(-1),
                json!(1.5),
                json!("1"),
                json!(true),
                json!([]),
                json!(null),
                json!({}),
                json!({"min": "1"}),
                json!({"mim": 1}),
                json!({"min": 1, "equals": 1}),
                json!({"include": []}),
                json!({"include": "a"}),
                json!({"include": ["a/b"]}),
                json!({"include": ["a", "a"]}),
                json!({"where": {"name": "a"}}),
                json!({"distinct": {"json": "/a"}}),
                json!({"min": 1, "where": {}}),
                json!({"min": 1, "where": {"nane": "x"}}),
                json!({"min": 1, "where": {"max_age": 0}}),
                json!({"min": 1, "distinct": {}}),
                json!({"min": 1, "distinct": {"json": "a"}}),
                json!({"min": 1, "distinct": "/a"}),
                json!({"drop": {"by": "30%"}}),
                json!({"drop": {"by": "100%", "within": 9}}),
                json!({"drop": {"by": 1, "within": 0.5}}),
                data(json!({})),
                data(json!({"max_age": 5})),
                data(json!({"json": "/a"})),
                data(json!({"equals": 1})),
                json!(4_294_967_296_u64),
            ],
        ),
        ("exists", vec![json!(true), json!("no"), json!("ON")], vec![json!(1), json!("maybe"), json!(null)]),
        (
            "data",
            vec![
                json!({"equals": ""}),
                json!({"matches": "^x$"}),
                json!({"max_age": "1h"}),
                json!({"json": "", "equals": null}),
                json!({"json": "/a~1b", "matches": "x", "max_age": 5}),
                json!({"json": "/a", "equals": 1.5}),
            ],
            vec![
                json!({}),
                json!("x"),
                json!({"equals": 1}),
                json!({"equals": "a", "matches": "a"}),
                json!({"json": "/a"}),
                json!({"json": "/a~2", "equals": 1}),
                json!({"json": "/a", "equals": [1]}),
                json!({"json": "/a", "max_age": 5}),
                json!({"matches": ""}),
                json!({"equal": "a"}),
                json!({"max_age": 0.5}),
            ],
        ),
        durations("cancel_timeout"),
        durations("keep_firing_for"),
        durations("forget_after"),
        ("repeat_interval", vec![json!(0), json!(1), json!("4h")], vec![json!(0.5), json!(-1), json!("x")]),
        ("description", vec![json!("a\nb")], vec![json!(""), json!(1)]),
        (
            "severity",
            vec![json!("info"), json!("warning"), json!("error"), json!("critical")],
            vec![json!("Error"), json!(1)],
        ),
        (
            "labels",
            vec![json!({}), json!({"team": "web", "_x9": "y z"})],
            vec![
                json!([]),
                json!({"path": "x"}),
                json!({"__x": "y"}),
                json!({"9": "y"}),
                json!({"a-b": "y"}),
                json!({"a": ""}),
                json!({"a": 1}),
                json!({"severity": "x"}),
            ],
        ),
        (
            "runbook",
            vec![json!("https://h/a#b"), json!("http://h")],
            vec![json!("h/a"), json!("ftp://h"), json!("https://h/a b"), json!(1)],
        ),
        ("alerter", alerters(), wrong_alerters()),
        (
            "depends_on",
            vec![json!("/network"), json!(["/network"]), json!([])],
            vec![json!("network"), json!(["/network", 1]), json!({}), json!(null), json!("/a/**")],
        ),
    ]
}

fn alerters() -> Vec<Value> {
    vec![
        json!({}),
        json!(null),
        json!({"email": "a@b.example, c@d.example"}),
        json!({"email": ["a@b.example", "c@d.example e@f.example"]}),
        json!({"slack": {"channel": "#a", "token_file": "secret", "from": "x", "api_url": "https://h/api", "ca_file": "ca.pem"}}),
        json!({"slack": [{"channel": "#b"}, {"token": "t"}]}),
        json!({"slack": {"webhook_url": "https://h/hook", "name": "one"}}),
        json!({"slack": [{"channel": "#c", "token": "t"}, {"channel": "#d", "token": "t", "name": "two"}]}),
        json!({"hipchat": {"room": 12, "token": "t", "from": "x", "api_url": "https://h"}}),
        json!({"webhook": "https://h/a?b=c"}),
        json!({"webhook": {"url": "https://h/d", "headers": {"X-Team": "ops"}, "secret_file": "secret", "ca_file": "ca.pem", "name": "x"}}),
        json!({"webhook": ["https://h/e", {"url": "http://[::1]:80/"}]}),
        json!({"webhook": {"url_file": "url", "headers": {"X-Key": {"file": "secret"}}}}),
        json!({"webhook": {"url": "https://h/f", "template": "{\"a\": {{ status | tojson }}}", "path": "/{{ status }}", "digest": "no"}}),
        json!({"webhook": {"url": "https://h/g", "template_file": "text.j2", "content_type": "text/plain; charset=utf-8"}}),
        json!({"alertmanager": "http://am:9093/"}),
        json!({"alertmanager": ["http://am1", "http://am2"]}),
        json!({"alertmanager": {"url": ["http://am3"], "name": "x", "ca_file": "ca.pem"}}),
        json!({"pagerduty": {"routing_key": "k", "api_url": "https://h", "name": "x", "ca_file": "ca.pem"}}),
        json!({"pagerduty": {"routing_key_file": "secret"}}),
    ]
}

fn wrong_alerters() -> Vec<Value> {
    vec![
        json!("a@b.example"),
        json!([]),
        json!({"emali": "a@b.example"}),
        json!({"email": ""}),
        json!({"email": []}),
        json!({"email": "you"}),
        json!({"email": 1}),
        json!({"slack": {"channel": "#a"}}),
        json!({"slack": {"token": "t"}}),
        json!({"slack": {"channel": "#a", "token": "t", "token_file": "secret"}}),
        json!({"slack": {"webhook_url": "https://h", "token": "t"}}),
        json!({"slack": {"webhook_url": "https://h", "api_url": "https://h"}}),
        json!({"slack": {"channel": "#a", "token": "t", "api_url": "https://h?x"}}),
        json!({"slack": []}),
        json!({"slack": "#a"}),
        json!({"hipchat": {"room": "a"}}),
        json!({"hipchat": {"token": "t"}}),
        json!({"webhook": "h/a"}),
        json!({"webhook": []}),
        json!({"webhook": {"url": "https://h#x"}}),
        json!({"webhook": {"headers": {}}}),
        json!({"webhook": {"url": "https://h", "headers": {"Content-Type": "x"}}}),
        json!({"webhook": {"url": "https://h", "headers": {"a b": "x"}}}),
        json!({"webhook": {"url": "https://h", "headers": {"a": "ö"}}}),
        json!({"webhook": {"url": "https://h", "name": "a b"}}),
        json!({"webhook": {"url": "https://h", "url_file": "url"}}),
        json!({"webhook": {"url": "https://h", "headers": {"X-Key": {}}}}),
        json!({"webhook": {"url": "https://h", "headers": {"X-Key": {"flie": "secret"}}}}),
        json!({"webhook": {"url": "https://h", "template": "1", "template_file": "text.j2"}}),
        json!({"webhook": {"url": "https://h", "template": "1", "content_type": "json"}}),
        json!({"webhook": {"url": "https://h", "template": ""}}),
        json!({"webhook": {"url": "https://h", "content_type": "text/plain"}}),
        json!({"webhook": {"url": "https://h", "path": "/x"}}),
        json!({"webhook": {"url": "https://h", "digest": false}}),
        json!({"alertmanager": []}),
        json!({"alertmanager": {"name": "x"}}),
        json!({"alertmanager": "http://h?x"}),
        json!({"pagerduty": {}}),
        json!({"pagerduty": {"routing_key": "k", "routing_key_file": "secret"}}),
        json!({"pagerduty": {"routing_key": 1}}),
    ]
}

/// The keys at the top level, but for paths.
fn top() -> Vec<Key> {
    vec![
        durations("group_wait"),
        (
            "external_url",
            vec![json!("https://zk.example.com/x?y")],
            vec![json!("zk.example.com"), json!(1), json!("https://h#x")],
        ),
        (
            "blind",
            vec![
                json!({"alerter": {"email": "ops@x.example"}}),
                json!({"after": "2m", "alerter": {"webhook": "https://h/blind"}}),
                json!({"after": 10, "alerter": null}),
            ],
            vec![
                json!({}),
                json!({"after": 9, "alerter": {}}),
                json!({"after": "2m"}),
                json!({"alerter": {"emali": "x@y.example"}}),
                json!({"aftre": 9, "alerter": {}}),
                json!([]),
            ],
        ),
        (
            "heartbeat",
            vec![json!({"url": "https://h/x"}), json!({"url": "https://h/x", "every": "1m"})],
            vec![
                json!({}),
                json!("https://h"),
                json!({"url": "h"}),
                json!({"url": "https://h", "every": 0.5}),
                json!({"ulr": "https://h"}),
            ],
        ),
        (
            "smtp",
            vec![
                json!({}),
                json!({"host": "mail.example.com", "port": 587, "tls": "starttls", "user": "u", "password_file": "secret"}),
                json!({"host": "::1", "tls": "none", "from": "a@b.example", "hello": "zk1.example.com", "ca_file": "ca.pem"}),
                json!({"user": "u", "password": "p", "tls": "implicit", "hello": "[192.0.2.1]"}),
                json!({"subject": "{{ status }}"}),
            ],
            vec![
                json!({"port": 0}),
                json!({"port": "25"}),
                json!({"host": "mail:25"}),
                json!({"tls": "ssl"}),
                json!({"user": "u"}),
                json!({"password": "p"}),
                json!({"user": "u", "password": "p", "password_file": "secret"}),
                json!({"from": "me"}),
                json!({"hots": "h"}),
                json!([]),
                json!({"hello": "a b"}),
                json!({"subject": 1}),
            ],
        ),
    ]
}

/// One of each key's values, for some of the keys.
fn some(rng: &mut Rng, keys: &[Key]) -> Map<String, Value> {
    let chosen: Vec<&Key> = keys.iter().filter(|_| rng.u8(..3) == 0).collect();
    chosen
        .into_iter()
        .map(|(key, right, _)| ((*key).to_owned(), rng.choice(right).unwrap().clone()))
        .collect()
}

/// A document without fault, and where its rules stand.
fn right(rng: &mut Rng) -> Value {
    let mut document = some(rng, &top());
    if rng.bool() {
        document.insert("defaults".to_owned(), some(rng, &terms()).into());
    }
    document.insert("x-anchors".to_owned(), json!([1]));
    // What others depend on depends on nothing.
    document.insert("/network".to_owned(), json!({"depends_on": []}));
    for path in ["/a", "/services/*/b c", "/web-*/x", "/null"] {
        let rules = match rng.u8(..4) {
            0 => Value::Null,
            1 => ["warn", "page-2"]
                .map(|name| {
                    let mut rule = some(rng, &terms());
                    rule.insert("name".to_owned(), name.into());
                    Value::from(rule)
                })
                .to_vec()
                .into(),
            _ => some(rng, &terms()).into(),
        };
        document.insert(path.to_owned(), rules);
    }
    document.into()
}

/// One fault: the document has it, and what it is.
fn wrong(rng: &mut Rng, document: &mut Value) -> String {
    let (at_top, keys) = (rng.u8(..4) == 0, [top(), terms()]);
    let (key, _, faults) = rng.choice(&keys[usize::from(!at_top)]).unwrap();
    let fault = rng.choice(faults).unwrap().clone();
    let said = format!("{key}: {fault}");
    match (at_top, rng.u8(..12)) {
        (_, 0) => drop(document.as_object_mut().unwrap().insert("defualts".to_owned(), json!({}))),
        (_, 1) => {
            let paths = ["//a", "/a/", "/a/..", "/a/**", "a/b", "/\u{1}"];
            let path = *rng.choice(&paths).unwrap();
            document.as_object_mut().unwrap().insert(path.to_owned(), json!({}));
            return path.to_owned();
        }
        (_, 2) => document["/null"] = json!([{"children": 1}]),
        (_, 3) => {
            document["/null"] =
                rng.choice(&[json!(1), json!("x"), json!([]), json!({"name": "a b"})]).unwrap().clone()
        }
        (_, 4) => {
            document["defaults"] =
                rng.choice(&[json!(null), json!({"name": "x"}), json!([])]).unwrap().clone()
        }
        (true, _) => document[*key] = fault,
        (false, 5..8) => document["defaults"] = json!({*key: fault}),
        (false, _) => document["/a"] = json!({*key: fault}),
    }
    said
}

#[test]
fn generated_files_are_judged_alike() {
    let (mut rng, folder) = (Rng::with_seed(16), folder());
    let (mut documents, mut faults) = (Vec::new(), Vec::new());
    for _ in 0..600 {
        let mut document = right(&mut rng);
        documents.push(document.clone());
        faults.push(None);
        faults.push(Some(wrong(&mut rng, &mut document)));
        documents.push(document);
    }
    // Each value of the tables by itself, so that no seed leaves one out.
    for (is_top, keys) in [(true, top()), (false, terms())] {
        for (key, right, wrong) in keys {
            let document = |value: &Value| {
                if is_top {
                    json!({key: value})
                } else {
                    let network = json!({"depends_on": []});
                    json!({"/a": {key: value}, "defaults": {key: value}, "/network": network})
                }
            };
            documents.extend(right.iter().chain(&wrong).map(document));
            faults.extend(right.iter().map(|_| None));
            faults.extend(wrong.iter().map(|fault| Some(format!("{key}: {fault}"))));
        }
    }
    for ((document, fault), schema) in documents.iter().zip(&faults).zip(by_schema(&documents)) {
        let parser = by_parser(&folder, document);
        let expected = fault.is_some();
        assert_eq!(
            (schema.is_some(), parser.is_some()),
            (expected, expected),
            "{fault:?}\n{schema:?}\n{parser:?}\n{document}"
        );
    }
}

/// In each map of the schema a key that nobody knows: the parser says which it knows.
#[test]
fn schema_and_parser_know_the_same_keys() {
    const UNKNOWN: &str = "q9q9q9q9";
    let rows: Vec<(&str, Value)> = vec![
        ("", json!({})),
        ("rule", json!({"/a": {}})),
        ("defaults", json!({"defaults": {}})),
        ("children_map", json!({"/a": {"children": {}}})),
        ("drop", json!({"/a": {"children": {"drop": {}}}})),
        ("where", json!({"/a": {"children": {"where": {}}}})),
        ("distinct", json!({"/a": {"children": {"distinct": {}}}})),
        ("data", json!({"/a": {"data": {}}})),
        ("child_data", json!({"/a": {"children": {"where": {"data": {}}}}})),
        ("alerter_map", json!({"/a": {"alerter": {}}})),
        ("slack_keys", json!({"/a": {"alerter": {"slack": {}}}})),
        ("hipchat_keys", json!({"/a": {"alerter": {"hipchat": {}}}})),
        ("pagerduty_keys", json!({"/a": {"alerter": {"pagerduty": {}}}})),
        ("webhook_map", json!({"/a": {"alerter": {"webhook": {}}}})),
        ("alertmanager_map", json!({"/a": {"alerter": {"alertmanager": {}}}})),
        ("smtp", json!({"smtp": {}})),
        ("header", json!({"/a": {"alerter": {"webhook": {"headers": {"X-Key": {}}}}}})),
        ("heartbeat", json!({"heartbeat": {}})),
        ("blind", json!({"blind": {}})),
    ];
    let (schema, folder) = (schema(), folder());
    let definitions = schema["definitions"].as_object().unwrap().iter();
    let maps =
        definitions.filter(|(_, definition)| definition["properties"].is_object()).map(|(name, _)| &**name);
    let tried: BTreeSet<&str> = rows.iter().map(|(name, _)| *name).collect();
    assert_eq!(tried, maps.chain([""]).collect(), "each map of the schema is tried here");
    for (name, mut document) in rows {
        let mut innermost = &mut document;
        while innermost.as_object().is_some_and(|map| !map.is_empty()) {
            innermost = innermost.as_object_mut().unwrap().values_mut().next().unwrap();
        }
        innermost[UNKNOWN] = json!(1);
        let said = by_parser(&folder, &document).unwrap();
        let line = said.lines().find(|line| line.contains(UNKNOWN)).unwrap();
        let listed =
            line.split(" may have ").nth(1).or_else(|| line.split(" reserved are ").nth(1)).expect(line);
        let parser: BTreeSet<&str> = listed.split('`').skip(1).step_by(2).collect();
        let map = if name.is_empty() { &schema } else { &schema["definitions"][name] };
        let known: BTreeSet<&str> = map["properties"].as_object().unwrap().keys().map(|key| &**key).collect();
        assert_eq!(known, parser, "{name}");
    }
}

#[test]
fn the_examples_are_good_by_the_schema() {
    let readme = read("README.md");
    let blocks = readme.split("```yaml\n").skip(1).map(|block| block.split("```").next().unwrap().to_owned());
    let files: Vec<String> = blocks.chain([read("zk_monitor.yaml")]).collect();
    assert!(files.len() > 4);
    let documents: Vec<Value> = files.iter().map(|file| serde_yaml::from_str(file).unwrap()).collect();
    for (file, wrong) in files.iter().zip(by_schema(&documents)) {
        assert_eq!(wrong, None, "{file}");
    }
}
