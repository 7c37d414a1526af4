//! Many changes at once, changes without a pause, many children, and a connection that breaks.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use crate::common::{Access, Daemon, Mode, Proxy, SmtpSink, eventually, throughout};
use crate::table::{Figure, Table, figure};
use crate::watcher::{Kind, Setup, WATCHERS, Watcher};
use crate::{Bed, MINUTES, children_of, count};

/// How many paths are changed without a pause, and how many of them at once, ten times a second.
const CHURNED: usize = 1_000;
const AT_ONCE: usize = 500;
const TURN: Duration = Duration::from_millis(100);

/// How many children one path has, and the time between two changes there.
const CHILDREN: usize = 50_000;
const WIDE: &str = "/wide";
const BEAT: Duration = Duration::from_millis(10);

/// How many paths change while the connection is broken.
const MISSED: usize = 100;

/// Thousands of paths go out of spec at once, and come back: until all is seen, and by the daemon told.
pub fn storm(bed: &mut Bed, table: &mut Table) {
    let what = format!("{} paths at once", count(bed.plan.storm));
    for _ in 0..bed.plan.rounds {
        for kind in WATCHERS {
            table.measure(&format!("{what} out of spec: all seen, by zk_monitor: mailed"), kind, || {
                one_storm(bed, kind, &what)
            });
            // What failed midway left some out of spec.
            bed.client.create_many(&children_of(&bed.paths[..bed.plan.storm]));
        }
    }
}

fn one_storm(bed: &mut Bed, kind: Kind, what: &str) -> Vec<Figure> {
    let (sink, address, paths) =
        (SmtpSink::start(), bed.server.address(), bed.paths[..bed.plan.storm].to_vec());
    let children = children_of(&paths);
    let setup = Setup { address: &address, paths: &paths, minimum: 1, mails: Some((&sink, "/")), yaml: "" };
    let watcher = Watcher::start(kind, &setup);
    let mut figures = Vec::new();
    for (name, present) in [("out of spec", false), ("back in spec", true)] {
        let (before, start) = (sink.mails().len(), Instant::now());
        if present {
            bed.client.create_many(&children);
        } else {
            bed.client.delete_many(&children);
        }
        let seen = match watcher.as_daemon() {
            Some(_) => all_told(&sink, before, &paths),
            None => watcher.saw(&paths, usize::from(present)),
        };
        let name = format!("{what} {name}: all seen, by zk_monitor: mailed");
        figures.push(figure(name, "s", (seen - start).as_secs_f64()));
    }
    if watcher.as_daemon().is_some() {
        figures.push(figure(format!("{what}, out of spec and back: mails"), "", sink.mails().len() as f64));
    }
    figures.push(figure(format!("{what}: memory after"), "MB", watcher.megabytes()));
    figures
}

/// When the last mail was in the sink of those that name all of these paths.
fn all_told(sink: &SmtpSink, before: usize, paths: &[String]) -> Instant {
    eventually(MINUTES, "mails about all paths", || {
        let mails = sink.mails_since(before);
        let words = mails.iter().flat_map(|mail| mail.body.split_whitespace());
        let named: HashSet<&str> = words.map(|word| word.trim_end_matches(':')).collect();
        let missing = paths.iter().filter(|path| !named.contains(path.as_str())).count();
        if missing == 0 { Ok(mails.last().unwrap().at) } else { Err(missing) }
    })
}

/// Thousands of changes a second on a thousand paths: what is left to do when they end, whether memory grew, and
/// whether all paths are known as they are.
pub fn churn(bed: &mut Bed, table: &mut Table) {
    let rate = AT_ONCE * 1000 / usize::try_from(TURN.as_millis()).unwrap();
    let what = format!("{} changes/s on {} paths for {:?}", count(rate), count(CHURNED), bed.plan.churn);
    for _ in 0..bed.plan.rounds {
        for kind in WATCHERS {
            table
                .measure(&format!("{what}: last change → all exact"), kind, || one_churn(bed, kind, &what));
            bed.client.create_many(&children_of(&bed.paths[..CHURNED]));
        }
    }
}

fn one_churn(bed: &mut Bed, kind: Kind, what: &str) -> Vec<Figure> {
    let (address, paths) = (bed.server.address(), bed.paths[..CHURNED].to_vec());
    let setup = Setup { address: &address, paths: &paths, minimum: 1, mails: None, yaml: "" };
    let watcher = Watcher::start(kind, &setup);
    let (mut present, mut early) = (vec![true; CHURNED], None);
    let (start, computed) = (Instant::now(), watcher.computed());
    let turns = u32::try_from(bed.plan.churn.as_millis() / TURN.as_millis()).unwrap();
    for turn in 1..=turns {
        toggle(bed, &paths, &mut present);
        throughout((start + TURN * turn).saturating_duration_since(Instant::now()), "a turn", || true);
        if turn == turns / 4 {
            early = Some(watcher.megabytes());
        }
    }
    let (end, used, memory) = (Instant::now(), watcher.computed() - computed, watcher.megabytes());
    let exact = if let Some(daemon) = watcher.as_daemon() {
        let is_exact = || is_exact(daemon, &paths, &present).then(Instant::now);
        eventually(MINUTES, "exact state in /status", is_exact)
    } else {
        exact_since(&watcher, &paths, &present)
    };
    let changes = AT_ONCE as f64 * f64::from(turns) / (end - start).as_secs_f64();
    vec![
        figure(format!("{what}: last change → all exact"), "s", (exact - end).as_secs_f64()),
        figure(format!("{what}: memory, end less first quarter"), "MB", memory - early.unwrap()),
        figure(
            format!("{what}: share of a core"),
            "%",
            used.as_secs_f64() / (end - start).as_secs_f64() * 100.0,
        ),
        figure(format!("{what}: changes made"), "1/s", changes),
    ]
}

/// Changes some of the paths, chosen by chance.
fn toggle(bed: &mut Bed, paths: &[String], present: &mut [bool]) {
    let (mut gone, mut come) = (Vec::new(), Vec::new());
    for number in fastrand::choose_multiple(0..paths.len(), AT_ONCE) {
        let child = format!("{}/child", paths[number]);
        if present[number] {
            gone.push(child)
        } else {
            come.push(child)
        }
        present[number] = !present[number];
    }
    bed.client.delete_many(&gone);
    bed.client.create_many(&come);
}

fn is_exact(daemon: &Daemon, paths: &[String], present: &[bool]) -> bool {
    let status = daemon.status();
    let compliance = &status["monitor"]["compliance"];
    paths.iter().zip(present).all(|(path, present)| (compliance[path] == true) == *present)
}

/// Since when a peer has told of all paths what is true.
fn exact_since(watcher: &Watcher, paths: &[String], present: &[bool]) -> Instant {
    let truth: HashMap<&str, usize> =
        paths.iter().zip(present).map(|(path, present)| (path.as_str(), usize::from(*present))).collect();
    // Each had one child when it was first read.
    let mut wrong: HashSet<&str> = paths.iter().map(String::as_str).filter(|path| truth[path] != 1).collect();
    let (mut since, sightings) = (Instant::now(), watcher.sightings());
    for (at, path, children) in &sightings {
        let is_wrong = truth[path.as_str()] != *children;
        let is_news = if is_wrong { wrong.insert(path) } else { wrong.remove(path.as_str()) };
        if is_news {
            since = *at;
        }
    }
    assert_eq!(wrong.len(), 0, "paths whose last state is not known");
    since
}

/// A path of fifty thousand children of which one changes all the time.
pub fn wide(bed: &mut Bed, table: &mut Table) {
    let what = format!("{} children, a change every {BEAT:?}", count(CHILDREN));
    bed.client.create(WIDE, "");
    bed.client.create_many(&(0..CHILDREN).map(|n| format!("{WIDE}/c{n}")).collect::<Vec<_>>());
    for _ in 0..bed.plan.rounds {
        for kind in WATCHERS {
            table.measure(&format!("{what}: last change → seen"), kind, || one_wide(bed, kind, &what));
        }
    }
}

fn one_wide(bed: &mut Bed, kind: Kind, what: &str) -> Vec<Figure> {
    let (address, paths) = (bed.server.address(), [WIDE.to_owned()]);
    let (extra, last) = (format!("{WIDE}/extra"), format!("{WIDE}/c0"));
    bed.client.delete(&extra);
    bed.client.create(&last, "");
    let setup = Setup { address: &address, paths: &paths, minimum: CHILDREN, mails: None, yaml: "" };
    let watcher = Watcher::start(kind, &setup);
    let (start, computed) = (Instant::now(), watcher.computed());
    let beats = u32::try_from(bed.plan.churn.min(Duration::from_secs(10)).as_millis() / BEAT.as_millis());
    for beat in 1..=beats.unwrap() {
        if beat % 2 == 0 {
            bed.client.delete(&extra);
        } else {
            bed.client.create_as(&extra, "", Mode::Persistent, Access::Open);
        }
        throughout((start + BEAT * beat).saturating_duration_since(Instant::now()), "a beat", || true);
    }
    let share = (watcher.computed() - computed).as_secs_f64() / start.elapsed().as_secs_f64();
    let end = Instant::now();
    bed.client.delete(&last);
    let seen = watcher.saw(&paths, CHILDREN - 1);
    vec![
        figure(format!("{what}: last change → seen"), "ms", (seen - end).as_secs_f64() * 1000.0),
        figure(format!("{what}: share of a core"), "%", share * 100.0),
        figure(format!("{what}: memory"), "MB", watcher.megabytes()),
    ]
}

/// The connection breaks, some paths change, and the server can be reached again: until all of these changes are
/// seen, for which the client leaves its watches again (Java) or reads all paths anew (the others).
pub fn reconnect(bed: &mut Bed, table: &mut Table) {
    let size = *bed.plan.sizes.iter().max().unwrap();
    let what = format!("{} paths, connection broken: reachable → {MISSED} missed changes seen", count(size));
    let missed: Vec<String> = bed.paths.iter().step_by(bed.paths.len() / MISSED).cloned().collect();
    for _ in 0..bed.plan.rounds {
        for kind in WATCHERS {
            table.measure(&what, kind, || one_reconnect(bed, kind, &missed, &what));
            bed.client.create_many(&children_of(&missed));
        }
    }
}

fn one_reconnect(bed: &mut Bed, kind: Kind, missed: &[String], what: &str) -> Vec<Figure> {
    let proxy = Proxy::to(&bed.server.address());
    let setup = Setup { address: &proxy.address(), paths: &bed.paths, minimum: 1, mails: None, yaml: "" };
    let watcher = Watcher::start(kind, &setup);
    proxy.refuse();
    bed.client.delete_many(&children_of(missed));
    let start = Instant::now();
    proxy.pass();
    let seen = watcher.saw(missed, 0);
    vec![figure(what, "s", (seen - start).as_secs_f64())]
}
