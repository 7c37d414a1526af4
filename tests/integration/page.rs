//! The status page in a real browser.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::common::{
    Access, Chromium, Client, Daemon, HttpSink, Key, Mode, SOON, SmtpSink, Space, eventually, run, shared,
};

/// How soon a change shows: at least one of a few does so, and each of them some time later at most, as other tests
/// may keep the browser from computing for a while.
const PROMPT: Duration = Duration::from_secs(2);
const SLACK: Duration = Duration::from_secs(3);
const ROUNDS: usize = 2;

/// Out of spec from the first on.
const BROKEN: &str = "/page/broken";
/// May not be read.
const SECRET: &str = "/page/secret";

/// A rule for forty paths, all of which are out of spec.
const GROUP: &str = "/group/*/hosts";

/// Names and words that a page must show as what they are: two levels of a path, a child, a glob, what a receiver
/// says, a comment on a silence.
const PATH: &str = "/page/<script>alert(1)</script>";
const CHILD: &str = "<img src=x onerror=alert(2)>";
const GLOB: &str = "/void/<b onclick=alert(3)>/*";
const SAID: &str = "550 <svg/onload=alert(4)>";
const COMMENT: &str = "</small><script>alert(5)</script>";

/// What the rule of [`BROKEN`] says beside what it asks for.
const MORE: &str =
    "depends_on: [/page/p0001], description: what is broken, runbook: 'https://wiki.example.com/broken'";

/// What the page shows of a path in one of its lists, or null, and the like. A reload would wipe them away.
const TOOLS: &str = r#"
    window.test = {};
    test.row = (list, path) => {
        const link = [...document.querySelectorAll(`#${list} tbody a`)].find(a => a.textContent === path);
        return link ? link.closest("tr").innerText : null;
    };
    test.search = text => {
        document.getElementById("search").value = text;
        document.getElementById("search").dispatchEvent(new Event("input"));
    };
    document.getElementById("oks").open = true;"#;

/// A daemon that watches so many paths, a few of which are out of spec or unreadable.
struct Scene {
    _space: Space,
    _receivers: (HttpSink, SmtpSink),
    client: Client,
    paths: Vec<String>,
    daemon: Daemon,
}

impl Scene {
    fn new(count: usize) -> Self {
        let (space, sink, mails) = (shared(), HttpSink::start(), SmtpSink::start());
        let mut client = space.client();
        client.authenticate("somebody:else");
        client.create(BROKEN, "");
        client.create(&format!("{PATH}/{CHILD}"), "");
        client.create_as(SECRET, "", Mode::Persistent, Access::Creator);
        let paths: Vec<String> = (0..count - 3).map(|n| format!("/page/p{n:04}")).collect();
        client.create_many(&paths);
        client.create_many(&paths.iter().map(|path| format!("{path}/c")).collect::<Vec<_>>());
        let group: Vec<String> = (0..40).map(|n| format!("/group/g{n:02}")).collect();
        client.create("/group", "");
        client.create_many(&group);
        client.create_many(&group.iter().map(|path| format!("{path}/hosts")).collect::<Vec<_>>());
        let mut yaml = format!(
            "defaults: {{alerter: {{email: you@home.com, webhook: {{url: \"{}\"}}}}}}\n\"{GLOB}\": {{children: 1}}\n{GROUP}: {{children: 1}}\n",
            sink.url("/hook")
        );
        for path in paths.iter().map(String::as_str).chain([BROKEN, SECRET, PATH]) {
            let counts_some = paths.last().is_some_and(|last| last == path);
            let spec = if counts_some { "{min: 1, where: {name: c}}" } else { "1" };
            let more = if path == BROKEN { MORE } else { "severity: error" };
            writeln!(yaml, "\"{path}\": {{children: {spec}, {more}}}").unwrap();
        }
        mails.refuse("you@home.com", SAID);
        let daemon = Daemon::with(space.address(), &yaml).smtp(mails.port()).args(["-l", "INFO"]).start();
        daemon.wait_until_ready();
        daemon.wait_until_it_leads();
        let silenced =
            run(["-z", space.address(), "--silence", "/void/*", "--for", "1h", "--comment", COMMENT]);
        assert_eq!(silenced.code, Some(0), "{}", silenced.stderr);
        client.delete(&format!("{PATH}/{CHILD}"));
        let told = eventually(SOON, "alert that names the child", || {
            let requests = sink.requests("/hook").into_iter();
            let mut alerts =
                requests.flat_map(|request| request.json()["alerts"].as_array().unwrap().clone());
            alerts.find(|alert| alert["labels"]["path"] == PATH)
        });
        assert!(told["annotations"]["left"].to_string().contains(CHILD), "{told}");
        Self { _space: space, _receivers: (sink, mails), client, paths, daemon }
    }

    fn url(&self) -> String {
        format!("http://{}/", self.daemon.address())
    }

    /// Takes the child of the first path away and gives it back, and tells how long each takes to show.
    fn flip(&mut self, browser: &mut Chromium) -> [Duration; 2] {
        let (path, child) = (self.paths[0].clone(), format!("{}/c", self.paths[0]));
        browser.evaluate(&format!(
            "[...document.querySelectorAll('#errors a')].find(link => link.textContent === '{BROKEN}').focus()"
        ));
        let delays = [false, true].map(|present| {
            if present {
                self.client.create(&child, "");
            } else {
                self.client.delete(&child);
            }
            let changed = Instant::now();
            let (from, to) = if present { ("errors", "oks") } else { ("oks", "errors") };
            let script = format!("window.test && [test.row('{from}', '{path}'), test.row('{to}', '{path}')]");
            eventually(PROMPT + SLACK, &format!("change of {path} on the page, present: {present}"), || {
                let found = browser.evaluate(&script);
                assert!(found.is_array(), "the page was loaded again");
                if found[0].is_null() && found[1].is_string() { Ok(()) } else { Err(found) }
            });
            if !present {
                let first = browser
                    .evaluate("document.querySelector('#errors tbody a, #errors tbody button').textContent");
                assert_eq!(first, path, "the newest stands first");
            }
            changed.elapsed()
        });
        assert_eq!(
            focus(browser),
            format!("a {BROKEN}"),
            "rows that come and go leave the reader's focus alone"
        );
        delays
    }

    /// What came from outside is text on the page, and nothing else.
    fn all_is_text(&self, browser: &mut Chromium) {
        eventually(SOON, "hostile words on the page", || {
            let text = browser.evaluate("document.body.innerText");
            let text = text.as_str().unwrap();
            let missing: Vec<&str> =
                [PATH, GLOB, SAID, COMMENT].into_iter().filter(|words| !text.contains(words)).collect();
            if missing.is_empty() { Ok(()) } else { Err((missing, text.to_owned())) }
        });
        let elements = browser.evaluate(
            "['script', 'main script', 'main img', 'main svg:not(.chart)', 'main b', 'main [onclick]', 'iframe']
                .map(selector => document.querySelectorAll(selector).length)",
        );
        assert_eq!(elements, json!([1, 0, 0, 0, 0, 0, 0]));
    }

    /// Each list holds what it should.
    fn all_is_in_its_list(&self, browser: &mut Chromium) {
        let check = |browser: &mut Chromium, list: &str, path: &str, words: &str| {
            eventually(SOON, &format!("{path} in the list {list}"), || {
                let row = browser.evaluate(&format!("test.row('{list}', '{path}')"));
                if row.as_str().is_some_and(|row| row.contains(words)) { Ok(()) } else { Err(row) }
            });
        };
        check(browser, "errors", BROKEN, "Found children (0) less than minimum (1)");
        check(browser, "errors", PATH, "firing");
        check(browser, "unknowns", SECRET, "Unknown: ");
        check(browser, "oks", &self.paths[0], "1");
        let last = self.paths.last().unwrap();
        browser.evaluate(&format!("test.search('{last}')"));
        check(browser, "oks", last, "1 of 1");
        let others = browser.evaluate("document.querySelectorAll('#errors tbody tr').length");
        assert_eq!(others, 0, "the search leaves out what does not match");
        browser.evaluate("test.search('')");
        let headline = browser.evaluate("document.getElementById('headline').textContent");
        assert_eq!(headline, "42 paths are out of spec");
    }
}

/// Forty paths of one rule are one row, which the keyboard opens; a path has a place of its own.
fn rows_open_and_paths_have_a_place(scene: &Scene, browser: &mut Chromium) {
    let rows = "document.querySelectorAll('#errors tbody tr').length";
    assert_eq!(browser.evaluate(rows), 3);
    let button = "document.querySelector('#errors button')";
    assert_eq!(browser.evaluate(&format!("{button}.textContent")), GROUP);
    browser.evaluate(&format!("{button}.click()"));
    assert_eq!(browser.evaluate(rows), 43);
    assert_eq!(browser.evaluate(&format!("{button}.getAttribute('aria-expanded')")), "true");
    browser.evaluate(&format!("{button}.click()"));
    browser.evaluate(&format!("location.hash = '{BROKEN}'"));
    eventually(SOON, "place of a path, with its history", || {
        let text = browser.evaluate("document.getElementById('place').innerText");
        let text = text.as_str().unwrap();
        let words = [
            BROKEN,
            "Found children (0) less than minimum (1)",
            "children: at least 1",
            "after 10s out of spec, severity error",
            "email y…",
            "/page/p0001",
            "what is broken",
            "https://wiki.example.com/broken",
            "Alert fires",
            "Alert sent to webhook http://127.0.0.1",
            "Alert refused by email y…",
        ];
        assert!(!text.contains("you@home.com") && !text.contains("/hook"), "{text}");
        if words.iter().all(|words| text.contains(words)) { Ok(()) } else { Err(text.to_owned()) }
    });
    look(browser, &format!("{}-place", scene.paths.len() + 3));
    browser.evaluate(&format!("location.hash = '{BROKEN}@name'"));
    let hash = "location.hash";
    eventually(SOON, "place of the path of a rule", || {
        let found = browser.evaluate(hash);
        if found == format!("#{BROKEN}") { Ok(()) } else { Err(found) }
    });
    browser.evaluate(&format!("location.hash = '{GROUP}'"));
    eventually(SOON, "place of a glob, with its matches", || {
        let text = browser.evaluate("document.getElementById('place').innerText");
        let text = text.as_str().unwrap();
        let words = ["40 of 40 matches are out of spec", "/group/g39/hosts", "children: at least 1"];
        if words.iter().all(|words| text.contains(words)) { Ok(()) } else { Err(text.to_owned()) }
    });
    browser.evaluate("location.hash = ''");
    eventually(SOON, "way back", || browser.evaluate("document.getElementById('all').hidden") == false);
}

/// What matters most stands first, in times that logs and mails have too.
fn order_title_and_times(browser: &mut Chromium) {
    let title = browser.evaluate("document.title");
    assert_eq!(title, "(42) zk_monitor – zkmonitor");
    let sections = browser
        .evaluate("[...document.querySelectorAll('#all > section, #all > details')].map(one => one.id)");
    let order =
        ["errors", "unknowns", "timeline", "oks", "silences", "events", "globs", "receivers", "agents"];
    assert_eq!(sections, json!(order));
    let times = browser.evaluate(
        "[...document.querySelectorAll('#events td.t, #silences td.t:last-child')].map(cell => cell.textContent)",
    );
    let times: Vec<&str> = times.as_array().unwrap().iter().map(|time| time.as_str().unwrap()).collect();
    let is_utc = |time: &&str| time.len() == "2014-05-31 16:20:25 UTC".len() && time.ends_with(" UTC");
    assert!(times.len() > 1 && times.iter().all(is_utc), "{times:?}");
    let scale = browser.evaluate("document.querySelector('#days .scale').innerText");
    assert!(scale.as_str().unwrap().ends_with("now, UTC"), "{scale}");
    let outs = "JSON.stringify(outs([{path: '/a', state: 'ok', at: Infinity}])) === JSON.stringify([[first, Infinity]]) && first > 0";
    assert_eq!(
        browser.evaluate(outs),
        true,
        "before the daemon's start nothing was out of spec that it knows of"
    );
    let line = "document.querySelector('#oks tbody svg path').getAttribute('d')";
    assert_eq!(browser.evaluate(line), "M50 2.2H60", "a count that did not change is a flat line");
}

/// What has the keyboard's focus: its element and words.
fn focus(browser: &mut Chromium) -> String {
    let focus =
        "(document.activeElement.localName + ' ' + (document.activeElement.textContent || '')).trim()";
    browser.evaluate(focus).as_str().unwrap().to_owned()
}

/// Presses Tab until this has the focus.
fn tab_to(browser: &mut Chromium, wanted: &str) {
    let steps: Vec<String> = (0..200)
        .map(|_| {
            browser.press(Key::Tab);
            focus(browser)
        })
        .take_while(|focus| !focus.starts_with(wanted))
        .collect();
    assert!(steps.len() < 200, "no {wanted} among {steps:?}");
}

/// Whatever a mouse can do, the keyboard can.
fn the_keyboard_suffices(browser: &mut Chromium) {
    let all = browser.evaluate(
        "document.activeElement.blur();
        getSelection().removeAllRanges();
        scrollTo(0, 0);
        [...document.querySelectorAll('a[href], button, input, summary')]
            .filter(one => one.checkVisibility())
            .map(one => (one.localName + ' ' + one.textContent).trim())",
    );
    let wanted: Vec<&str> = all.as_array().unwrap().iter().map(|one| one.as_str().unwrap()).collect();
    let reached: Vec<String> = wanted
        .iter()
        .map(|_| {
            browser.press(Key::Tab);
            focus(browser)
        })
        .collect();
    assert_eq!(reached, wanted);
    browser.press(Key::Tab);

    let group = format!("button {GROUP}");
    tab_to(browser, &group);
    let open = "document.activeElement.getAttribute('aria-expanded')";
    for expected in ["true", "false"] {
        browser.press(Key::Enter);
        assert_eq!((focus(browser), browser.evaluate(open)), (group.clone(), expected.into()));
    }
    let link = format!("a {BROKEN}");
    tab_to(browser, &link);
    browser.press(Key::Enter);
    eventually(SOON, "focus on the path's heading", || {
        let found = focus(browser);
        if found == format!("h1 {BROKEN}") { Ok(()) } else { Err(found) }
    });
    tab_to(browser, "a /page/p0001");
    tab_to(browser, "a https://wiki.example.com/broken");
    tab_to(browser, "a All paths");
    browser.press(Key::Enter);
    eventually(SOON, "focus back where it was", || {
        let found = focus(browser);
        if found == link { Ok(()) } else { Err(found) }
    });
    browser.press(Key::Slash);
    assert_eq!(browser.evaluate("document.activeElement.id"), "search");
    browser.evaluate("test.search('x')");
    browser.press(Key::Escape);
    assert_eq!(browser.evaluate("document.getElementById('search').value"), "");
    assert_eq!(focus(browser).split(' ').next(), Some("body"));
}

/// Looks at the page on screens of several sizes, and writes a picture of each, for a reader's eyes, if
/// `ZK_MONITOR_SCREENSHOTS` names a folder for them.
fn look(browser: &mut Chromium, name: &str) {
    let folder = std::env::var_os("ZK_MONITOR_SCREENSHOTS").map(PathBuf::from);
    for (shape, width, height) in [("wide", 1280, 900), ("narrow", 390, 844), ("long", 390, 2400)] {
        for (colours, dark) in [("light", false), ("dark", true)] {
            browser.screen(width, height, dark);
            let widths = "[document.documentElement.scrollWidth, document.documentElement.clientWidth]";
            let [whole, shown] = [0, 1].map(|at| browser.evaluate(widths)[at].as_u64().unwrap());
            assert!(whole <= shown, "{name} {shape}: {whole} pixels wide, {shown} are shown");
            if let Some(folder) = &folder {
                browser.screenshot(&folder.join(format!("{name}-{shape}-{colours}.png")));
            }
        }
    }
    browser.screen(1280, 900, false);
}

/// How a page and its browser are told apart: what is forbidden does not work, and is noticed.
fn what_is_forbidden_is_noticed(browser: &mut Chromium) {
    assert_eq!(browser.troubles(), Vec::<String>::new(), "before");
    let script = "const script = document.createElement('script');
        script.textContent = 'window.ran = true';
        document.body.append(script);
        window.ran === true";
    assert_eq!(browser.evaluate(script), false, "the policy lets a foreign script run");
    assert!(browser.troubles().concat().contains("Content Security Policy"), "a violation is not noticed");
    browser.evaluate("setTimeout(() => alert(6))");
    let dialog = |trouble: &String| trouble.contains("javascriptDialogOpening");
    eventually(SOON, "notice of a dialog", || browser.troubles().iter().any(dialog));
    browser.evaluate("fetch('http://127.0.0.2:9/').catch(() => 0)");
    assert!(browser.troubles().concat().contains("127.0.0.2"), "a request to elsewhere is not noticed");
}

/// The page tells when it can no longer tell.
fn silence_is_told(scene: &mut Scene, browser: &mut Chromium) {
    scene.daemon.kill();
    eventually(SOON, "notice that nobody answers", || {
        let told = browser.evaluate("document.getElementById('stale').innerText");
        told.as_str().is_some_and(|told| told.contains("zk_monitor does not answer."))
    });
}

#[test]
fn the_page_follows_changes_without_a_reload_and_takes_no_name_for_more_than_text() {
    let mut browser = Chromium::start();
    for count in [5, 5_000] {
        let mut scene = Scene::new(count);
        let asked = Instant::now();
        browser.open(&scene.url());
        eventually(SOON, "page", || {
            browser.evaluate("document.getElementById('live')?.textContent") == "live"
        });
        eprintln!("page: {count} paths: shown after {:?}", asked.elapsed());
        look(&mut browser, &format!("{count}"));
        browser.evaluate(TOOLS);
        scene.all_is_in_its_list(&mut browser);
        scene.all_is_text(&mut browser);
        order_title_and_times(&mut browser);
        if count == 5 {
            the_keyboard_suffices(&mut browser);
        }
        rows_open_and_paths_have_a_place(&scene, &mut browser);
        let delays: Vec<[Duration; 2]> = (0..ROUNDS).map(|_| scene.flip(&mut browser)).collect();
        eprintln!("page: {count} paths: changes show after {delays:?}");
        for direction in [0, 1] {
            let soonest = delays.iter().map(|delays| delays[direction]).min().unwrap();
            assert!(soonest <= PROMPT, "{count} paths: {delays:?}");
        }
        look(&mut browser, &format!("{count}-open"));
        assert_eq!(browser.troubles(), Vec::<String>::new(), "{count} paths");
        let is_ours = |url: &String| url.starts_with(&scene.url()) || url.starts_with("data:");
        let elsewhere: Vec<String> = browser.requested().into_iter().filter(|url| !is_ours(url)).collect();
        assert!(elsewhere.is_empty(), "{elsewhere:?}");
        if count == 5 {
            what_is_forbidden_is_noticed(&mut browser);
        }
        silence_is_told(&mut scene, &mut browser);
        browser.open("about:blank");
        browser.forget();
    }
}
