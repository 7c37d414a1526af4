//! `--explain`, as an operator reads it at night.

use crate::common::{Daemon, Folder, Space, free_port, run, shared};

const YAML: &str = "\
defaults:
  alerter: {webhook: {url: 'https://chat.example.com/secret/path'}}
/services/*/instances:
  children: {min: 1, where: {ephemeral: true}}
  cancel_timeout: 30s
  repeat_interval: 4h
  severity: critical
/services/*/*:
  children: {max: 9}
/named:
  - {name: warn, children: 5}
  - {name: page, exists: true, alerter: {}}
/shown: {}
";

struct Scene {
    space: Space,
    folder: Folder,
}

impl Scene {
    fn new() -> Self {
        let folder = Folder::new("explain");
        std::fs::write(folder.path().join("rules.yaml"), YAML).unwrap();
        Self { space: shared(), folder }
    }

    fn file(&self) -> String {
        self.folder.path().join("rules.yaml").display().to_string()
    }

    /// The answer to who asks for a path, and the exit code.
    fn explain(&self, zookeeper: &str, path: &str) -> (String, Option<i32>) {
        let output = run(["-z", zookeeper, "-f", &self.file(), "--explain", path]);
        assert!(!output.stdout.contains("secret"), "{}", output.stdout);
        (output.stdout + &output.stderr, output.code)
    }

    #[track_caller]
    fn check(&self, path: &str, code: i32, expected: &[&str]) {
        let (said, found) = self.explain(self.space.address(), path);
        assert_eq!(found, Some(code), "{said}");
        // An agent says since when; its address and the receivers' ids are of this run.
        let lines: Vec<&str> = said.lines().filter(|line| !line.starts_with("alert: ")).collect();
        let lines: Vec<String> = lines.iter().map(|line| line.replace(&self.file(), "FILE")).collect();
        assert_eq!(lines, expected);
    }
}

#[test]
fn a_path_is_explained_with_its_rules_and_where_they_stand() {
    let scene = Scene::new();
    let mut client = scene.space.client();
    client.create("/services/web/instances/a", "");
    client.create("/named", "");
    let hook = "webhook https://chat.example.com (";
    let (said, _) = scene.explain(scene.space.address(), "/services/web/instances");
    let id = said.split(hook).nth(1).expect(&said).split(')').next().unwrap();
    let tells = format!("  tells: {hook}{id})");
    scene.check(
        "/services/web/instances",
        0,
        &[
            "/services/web/instances",
            "state: out of spec: Found children (0 of 1) less than minimum (1)",
            "rule: /services/*/instances at FILE:3:1",
            "  asks: children: at least 1; counting children that are ephemeral",
            "  counts: 0 of 1 children; not a (not ephemeral)",
            "  never: only ephemeral children count (`where.ephemeral: true`), and those that are there are persistent: \
             as long as they register so, none counts",
            "  alerts: after 30s out of spec, reminds every 4h, severity critical",
            &tells,
            "  held back by: nothing",
            "beats: /services/*/* at FILE:8:1, which matches too",
        ],
    );
    scene.check(
        "/named",
        0,
        &[
            "/named",
            "state: out of spec: Found children (0) less than minimum (5)",
            "rule: /named@warn at FILE:11:5",
            "  asks: children: at least 5",
            "  state: out of spec: Found children (0) less than minimum (5)",
            "  alerts: at once, severity error",
            &tells,
            "  held back by: nothing",
            "rule: /named@page at FILE:12:5",
            "  asks: that it exists",
            "  state: in spec",
            "  alerts: at once, severity error",
            "  tells: nobody: it has no alerter",
            "  held back by: nothing",
        ],
    );
    scene.check(
        "/services/*/instances",
        0,
        &[
            "/services/*/instances",
            "state: 1 matches, 1 of them not in spec",
            "  /services/web/instances: out of spec: Found children (0 of 1) less than minimum (1)",
            "rule: /services/*/instances at FILE:3:1",
            "  asks: children: at least 1; counting children that are ephemeral",
            "  alerts: after 30s out of spec, reminds every 4h, severity critical",
            &tells,
            "  held back by: nothing",
            "beats: /services/*/* at FILE:8:1, which matches too",
        ],
    );
}

#[test]
fn a_path_that_nothing_watches_is_told_with_the_rules_next_to_it() {
    let scene = Scene::new();
    scene.check(
        "/services/web",
        1,
        &[
            "/services/web",
            "rule: none of FILE: nothing watches it",
            "near: /services/*/* at FILE:8:1",
            "near: /services/*/instances at FILE:3:1",
        ],
    );
    scene.check("/elsewhere", 1, &["/elsewhere", "rule: none of FILE: nothing watches it"]);
    let (said, code) = scene.explain(scene.space.address(), "/services/gone/instances");
    assert_eq!(code, Some(0), "{said}");
    assert!(
        said.contains("state: out of spec: Found children (0) less than minimum (1): path does not exist\n"),
        "{said}"
    );
    assert!(
        said.contains("  note: a match is watched from when it is first there, and for 1d after"),
        "{said}"
    );
    let (said, _) = scene.explain(scene.space.address(), "/shown");
    assert!(said.contains("  asks: nothing: it is shown, and never alerts\n"), "{said}");
}

#[test]
fn what_it_depends_on_and_what_of_that_is_out_of_spec_is_shown() {
    let scene = Scene::new();
    let yaml = "/db/*: {children: 1, alerter: {}}\n/web: {children: 2, depends_on: [/db/one, /db/t*], alerter: {}}\n";
    std::fs::write(scene.folder.path().join("rules.yaml"), yaml).unwrap();
    let mut client = scene.space.client();
    client.create("/web", "");
    client.create("/db/one/a", "");
    client.create("/db/two", "");
    client.create("/db/three", "");
    let (said, code) = scene.explain(scene.space.address(), "/web");
    assert_eq!(code, Some(0), "{said}");
    assert!(
        said.contains("  alerts: after 10s out of spec, severity error\n  depends on: /db/one, /db/t*\n"),
        "{said}"
    );
    let on = |path: &str| format!("{path}, on which it depends: Found children (0) less than minimum (1)");
    assert!(said.contains(&format!("  held back by: {}; {}\n", on("/db/three"), on("/db/two"))), "{said}");
    client.create("/db/two/a", "");
    client.create("/db/three/a", "");
    let (said, _) = scene.explain(scene.space.address(), "/web");
    assert!(said.contains("  held back by: nothing\n"), "{said}");
}

#[test]
fn a_silence_and_what_an_agent_knows_are_shown() {
    let scene = Scene::new();
    scene.space.client().create("/named", "");
    let daemon = Daemon::start(scene.space.address(), YAML);
    daemon.wait_for("/named", "Found children (0) less than minimum (5)");
    let made =
        run(["-z", scene.space.address(), "--silence", "/named@warn", "--for", "1h", "--comment", "moving"]);
    let id = made.stdout.split(':').next().unwrap();
    let (said, code) = scene.explain(scene.space.address(), "/named");
    assert_eq!(code, Some(0), "{said}");
    let held = said.lines().filter(|line| line.starts_with("  held back by: ")).collect::<Vec<_>>();
    assert!(held[0].starts_with(&format!("  held back by: silence {id} of /named@warn until ")), "{said}");
    assert!(held[0].ends_with(": moving") && held[1] == "  held back by: nothing", "{said}");
    let alert = said.lines().find(|line| line.starts_with("alert: firing, since ")).expect(&said);
    assert!(alert.ends_with(&format!("says the agent at {}", daemon.address())), "{said}");
}

#[test]
fn without_zookeeper_the_configuration_is_explained_all_the_same() {
    let scene = Scene::new();
    let nobody = format!("127.0.0.1:{}", free_port());
    let (said, code) = scene.explain(&nobody, "/named");
    assert_eq!(code, Some(1), "{said}");
    assert!(
        said.contains(
            "\nstate: Unknown: ZooKeeper cannot be reached: no connection to ZooKeeper within 5 s: "
        ),
        "{said}"
    );
    assert!(
        said.contains("rules.yaml:11:5\n  asks: children: at least 5\n  alerts: at once, severity error\n"),
        "{said}"
    );
    assert!(said.contains("  held back by: not known: ZooKeeper cannot be reached\n"), "{said}");
}
