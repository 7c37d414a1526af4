//! Which children count: what they are and what they hold, while they come, go and change.

use serde_json::{Value, json};

use crate::common::{Access, Client, Daemon, Mode, SOON, SmtpSink, eventually, kazoo, shared};

fn ephemeral(client: &mut Client, path: &str, data: &str) {
    client.create_as(path, data, Mode::Ephemeral, Access::Open);
}

/// What `?detail=1` says of a path that has these: how many count, and who does not and why.
fn counted(daemon: &Daemon, path: &str) -> (Value, Value) {
    let status = daemon.get("/status?detail=1").json();
    let path = &status["monitor"]["paths"][path];
    (path["counted"].clone(), path["ignored"].clone())
}

#[test]
fn a_znode_that_no_session_holds_does_not_count() {
    let space = shared();
    let (mut client, mut owner) = (space.client(), space.client());
    let sink = SmtpSink::start();
    client.create("/web/old", "");
    client.create("/web/older", "");
    ephemeral(&mut owner, "/web/new", "");
    let yaml = "group_wait: 0\n/web: {children: {min: 1, where: {name: '^(n|old)', ephemeral: true}}, \
                alerter: {email: you@home.com}}\n/fixed: {children: {equals: 0, where: {ephemeral: false}}}\n";
    let daemon = Daemon::with(space.address(), yaml).smtp(sink.port()).start();
    daemon.wait_for("/web", true);
    daemon.wait_for("/fixed", true);
    let ignored = json!([
        {"name": "old", "reason": "not ephemeral"},
        {"name": "older", "reason": "not ephemeral"},
    ]);
    assert_eq!(counted(&daemon, "/web"), (json!(1), ignored));
    daemon.wait_until_it_leads();
    drop(owner);
    daemon.wait_for("/web", "Found children (0 of 2) less than minimum (1)");
    let mail = eventually(SOON, "mail", || sink.mails().first().map(|mail| mail.body.clone()));
    assert!(mail.contains("Children:    0 of 2\n"), "{mail}");
    let lines = "Ignored:     old: not ephemeral\n             older: not ephemeral\n";
    assert!(mail.contains(lines), "{mail}");
    // Deleted and made anew at once it is another.
    let mut owner = space.client();
    client.delete("/web/old");
    ephemeral(&mut owner, "/web/old", "");
    daemon.wait_for("/web", true);
    client.create("/fixed/one", "");
    daemon.wait_for("/fixed", "Found children (1 of 1) not equal to (0)");
    client.delete("/fixed/one");
    ephemeral(&mut owner, "/fixed/one", "");
    daemon.wait_for("/fixed", true);
    client.delete_recursive("/web");
    daemon.wait_for("/web", "Found children (0) less than minimum (1): path does not exist");
}

/// As Spring registers services.
#[test]
fn an_instance_that_says_that_it_is_down_does_not_count() {
    let space = shared();
    let (mut client, mut owner) = (space.client(), space.client());
    let instance = |host: &str, status: &str| {
        json!({"address": host, "payload": {"metadata": {"instance_status": status}}}).to_string()
    };
    for (name, host) in [("a", "h1"), ("b", "h2"), ("c", "h2")] {
        client.create("/services/web", "");
        ephemeral(&mut owner, &format!("/services/web/{name}"), &instance(host, "UP"));
    }
    let yaml = "/services/*:\n  children:\n    min: 2\n    \
                where: {data: {json: /payload/metadata/instance_status, equals: UP}}\n    \
                distinct: {json: /address}\n";
    let daemon = Daemon::start(space.address(), yaml);
    let path = "/services/web";
    daemon.wait_for(path, true);
    assert_eq!(
        counted(&daemon, path),
        (json!(2), json!([{"name": "c", "reason": "the same /address as b"}]))
    );
    owner.set("/services/web/b", &instance("h2", "OUT_OF_SERVICE"));
    eventually(SOON, "the other of its host", || {
        let (count, ignored) = counted(&daemon, path);
        let reason =
            "Found data at /payload/metadata/instance_status (\"OUT_OF_SERVICE\") not equal to \"UP\"";
        (count == 2 && ignored == json!([{"name": "b", "reason": reason}])).then_some(())
    });
    owner.set("/services/web/c", "UP");
    daemon.wait_for(path, "Found children (1 of 3) less than minimum (2)");
    assert_eq!(counted(&daemon, path).1[1], json!({"name": "c", "reason": "Found data that is not JSON"}));
    owner.set("/services/web/c", &instance("h3", "UP"));
    daemon.wait_for(path, true);
    client.delete("/services/web/c");
    daemon.wait_for(path, "Found children (1 of 2) less than minimum (2)");
    // As large as a server takes it.
    let large = json!({"address": "h4", "payload": {"metadata": {"instance_status": "UP"}}, "x": "x".repeat(1_000_000)});
    ephemeral(&mut owner, "/services/web/d", &large.to_string());
    daemon.wait_for(path, true);
}

#[test]
fn a_child_that_may_not_be_read_does_not_count() {
    let space = shared();
    let (mut client, mut owner) = (space.client(), space.client());
    client.create("/web/open", "on");
    owner.authenticate("user:secret");
    owner.create_as("/web/shut", "on", Mode::Persistent, Access::Creator);
    let yaml = "/web: {children: {min: 2, where: {data: {equals: 'on'}}}}\n/web2: {children: 0}\n";
    let daemon = Daemon::with(space.address(), yaml).args(["--reread", "2s"]).start();
    daemon.wait_for("/web", "Found children (1 of 2) less than minimum (2)");
    let ignored = json!([{"name": "shut", "reason": "not authorised to read it"}]);
    assert_eq!(counted(&daemon, "/web"), (json!(1), ignored));
    assert_eq!(counted(&daemon, "/web2"), (Value::Null, Value::Null));
    owner.allow("/web/shut", Access::Open);
    daemon.wait_for("/web", true);
}

#[test]
fn more_children_than_are_read_are_unknown() {
    let space = shared();
    let mut client = space.client();
    let children: Vec<String> = (0..10_001).map(|number| format!("/many/{number:05}")).collect();
    client.create("/many", "");
    client.create_many(&children);
    let yaml = "/many: {children: {min: 1, where: {ephemeral: false}}}\n";
    let daemon = Daemon::start(space.address(), yaml);
    daemon.wait_for("/many", "Unknown: too many children to read");
    client.delete(&children[0]);
    daemon.wait_for("/many", true);
    assert_eq!(counted(&daemon, "/many"), (json!(10_000), json!([])));
}

#[test]
fn instances_of_another_client_count_as_long_as_its_session() {
    let space = shared();
    space.client().create("/web/old", "{}");
    let yaml = "/web: {children: {min: 1, where: {ephemeral: true, data: {json: /up, equals: true}}}}\n";
    let daemon = Daemon::start(space.address(), yaml);
    daemon.wait_for("/web", "Found children (0 of 1) less than minimum (1)");
    let script = format!(
        "import json, time, urllib.error, urllib.request\n\
         def until(state):\n    for _ in range(1000):\n        try:\n            \
         answer = urllib.request.urlopen('http://{}/status/web')\n        \
         except urllib.error.HTTPError as error:\n            answer = error\n        \
         if json.load(answer)['state'] == state: return print(state)\n        time.sleep(0.01)\n\
         zk.create('/web/new', b'{{\"up\": true}}', ephemeral=True)\nuntil('ok')\n\
         zk.set('/web/new', b'{{\"up\": false}}')\nuntil('error')\n\
         zk.set('/web/new', b'{{\"up\": true}}')\nuntil('ok')",
        daemon.address()
    );
    assert_eq!(kazoo(space.address(), &script), "ok\nerror\nok\n");
    daemon.wait_for("/web", "Found children (0 of 1) less than minimum (1)");
}

/// What kazoo does, and what is said of that.
type Steps = &'static [(&'static str, &'static str)];

/// Each spec, and what happens to it.
const SPECS: [(&str, &str, Steps); 11] = [
    (
        "/include",
        "children: {include: [a, b]}",
        &[
            ("up('/include/a'); up('/include/b')", ""),
            ("down('/include/b')", "Missing children: b"),
            ("up('/include/b')", ""),
        ],
    ),
    (
        "/drop",
        "children: {drop: {by: 30%, within: 1h}}",
        &[
            ("[up(f'/drop/{n}') for n in range(3)]", ""),
            // It falls from what was seen.
            (
                "seen('/drop', 3); down('/drop/0', '/drop/1')",
                "Found children (1) more than 30% below 3, the most within 1h",
            ),
            ("up('/drop/0'); up('/drop/1')", ""),
        ],
    ),
    (
        "/name",
        "children: {min: 1, where: {name: '^web-'}}",
        &[
            ("up('/name/web-1'); up('/name/db-1')", ""),
            ("down('/name/web-1')", "Found children (0 of 1) less than minimum (1)"),
            ("up('/name/web-2')", ""),
        ],
    ),
    (
        "/ephemeral",
        "children: {min: 1, where: {ephemeral: true}}",
        &[
            ("zk.create('/ephemeral/dead'); up('/ephemeral/a')", ""),
            ("down('/ephemeral/a')", "Found children (0 of 1) less than minimum (1)"),
            ("up('/ephemeral/a')", ""),
        ],
    ),
    (
        "/data",
        "children: {equals: 1, where: {data: {json: /enabled, equals: true}}}",
        &[
            ("up('/data/a', b'{\"enabled\": true}')", ""),
            ("zk.set('/data/a', b'{\"enabled\": false}')", "Found children (0 of 1) not equal to (1)"),
            ("down('/data/a'); up('/data/b', b'{\"enabled\": true}')", ""),
        ],
    ),
    (
        "/distinct",
        "children: {min: 2, distinct: {json: /host}}",
        &[
            ("up('/distinct/a', b'{\"host\": 1}'); up('/distinct/b', b'{\"host\": \"1\"}')", ""),
            ("zk.set('/distinct/b', b'{\"host\": 1}')", "Found children (1 of 2) less than minimum (2)"),
            ("up('/distinct/c', b'{\"host\": 2}')", ""),
        ],
    ),
    (
        "/own/json",
        "data: {json: /status, matches: '^UP$'}",
        &[
            ("zk.set('/own/json', b'{\"status\": \"UP\"}')", ""),
            (
                "zk.set('/own/json', b'{\"status\": \"UPPER\"}')",
                "Found data at /status (\"UPPER\") that does not match ^UP$",
            ),
            ("zk.set('/own/json', b'{\"status\": \"UP\"}')", ""),
        ],
    ),
    (
        "/own/text",
        "data: {equals: 'on'}",
        &[
            ("zk.set('/own/text', b'on')", ""),
            ("zk.set('/own/text', b'off')", "Found data (off) not equal to (on)"),
            ("zk.set('/own/text', b'on')", ""),
        ],
    ),
    (
        "/own/match",
        "data: {matches: '^[0-9]+$'}",
        &[
            ("zk.set('/own/match', b'12')", ""),
            ("zk.set('/own/match', b'x')", "Found data (x) not matching (^[0-9]+$)"),
            ("zk.set('/own/match', b'13')", ""),
        ],
    ),
    (
        "/own/age",
        "data: {max_age: 5s}",
        &[
            ("zk.set('/own/age', b'')", ""),
            ("pass", "Not written for 5s, at most 5s"),
            ("zk.set('/own/age', b'')", ""),
        ],
    ),
    (
        "/age",
        "children: {min: 1, where: {max_age: 2s}}",
        &[
            ("up('/age/a')", ""),
            ("pass", "Found children (0 of 1) less than minimum (1)"),
            ("zk.set('/age/a', b'')", ""),
        ],
    ),
];

/// In, out and in again, with a session for each instance: it is down when its session ends.
#[test]
fn another_client_drives_each_spec_out_of_it_and_back() {
    let space = shared();
    let mut yaml = String::new();
    let mut script = String::new();
    for (path, specs, steps) in SPECS {
        space.client().create(path, "");
        yaml += &format!("{path}: {{{specs}}}\n");
        for (act, said) in steps {
            script += &format!("{act}\nuntil('{path}', {})\n", json!(said));
        }
    }
    let daemon = Daemon::start(space.address(), &yaml);
    let helpers = format!(
        "import json, time, urllib.error, urllib.request\nsessions = {{}}\n\
         def up(path, data=b''):\n    sessions[path] = one = KazooClient(hosts=sys.argv[1], timeout=10)\n    \
         one.start(15)\n    one.create(path, data, ephemeral=True)\n\
         def down(*paths):\n    for path in paths:\n        one = sessions.pop(path)\n        one.stop()\n        \
         one.close()\n\
         def poll(path, wanted, what):\n    for _ in range(2000):\n        try:\n            \
         answer = urllib.request.urlopen('http://{}/status' + path)\n        \
         except urllib.error.HTTPError as error:\n            answer = error\n        \
         answer = json.load(answer)\n        if wanted(answer): return\n        \
         time.sleep(0.01)\n    raise Exception(f'{{path}}: {{answer}}, and not {{what}}')\n\
         def until(path, said):\n    state = 'error' if said else 'ok'\n    \
         poll(path, lambda one: (one['state'], one.get('message') or '') == (state, said), said)\n\
         def seen(path, count):\n    poll(path, lambda one: one['children'] == count, count)\n",
        daemon.address()
    );
    kazoo(space.address(), &(helpers + &script + "down(*sessions)\n"));
}

/// A pointer into a list, and a number that is no text.
#[test]
fn a_number_is_not_the_text_that_says_it() {
    let space = shared();
    let mut client = space.client();
    client.create("/config", r#"{"hosts": [{"up": "1"}]}"#);
    let daemon = Daemon::start(space.address(), "/config: {data: {json: /hosts/0/up, equals: 1}}\n");
    daemon.wait_for("/config", "Found data at /hosts/0/up (\"1\") not equal to 1");
    client.set("/config", r#"{"hosts": [{"up": 1.0}]}"#);
    daemon.wait_for("/config", true);
    client.set("/config", r#"{"hosts": []}"#);
    daemon.wait_for("/config", "Found no data at /hosts/0/up");
}
