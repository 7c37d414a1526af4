//! Files that are torn, foreign, full, locked, many.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, UNIX_EPOCH};

use super::segments::{SEGMENT, SEGMENTS, Segments};
use super::*;
use crate::model::alert_key::AlertKey;
use crate::model::event::{AlertStep, Delivered, Message};
use crate::model::message::Kind;
use crate::model::reading::{Recorded, RecordedRule};
use crate::model::receiver::ReceiverId;
use crate::model::recent::RecentEvent;
use crate::model::status::{Silence, Until};
use crate::model::time::Now;

/// A directory that goes with its value.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("zk_monitor-journal-{}-{name}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn events(&self) -> (Vec<Event>, Summary) {
        let mut events = Vec::new();
        let summary = read(&self.0, |event| events.push(event)).unwrap();
        (events, summary)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).ok();
    }
}

fn event(second: u64, what: What) -> Event {
    Event { time: UNIX_EPOCH + Duration::from_micros(second * 1_000_000 + 7), what }
}

fn reading(recorded: Recorded, first: bool) -> What {
    What::Reading { path: "/a".into(), recorded, first }
}

fn batch(events: &[Event]) -> Vec<RecentEvent> {
    let keys = RandomState::new();
    events.iter().cloned().map(|event| line::recent(event, &keys)).collect()
}

fn append(segments: &mut Segments, events: &[Event]) {
    let lines: String = events.iter().map(|event| line::json(event.clone()) + "\n").collect();
    segments.append(lines.as_bytes()).unwrap();
}

#[test]
fn every_kind_of_event_is_read_as_it_was_written() {
    let key = AlertKey { path: "/a \"é\"".into(), name: Some("n".into()) };
    let message = |kind, result| {
        let (incident, receiver) = ("i-1".into(), ReceiverId("r".into()));
        What::Message(Message { key: key.clone(), incident, since: UNIX_EPOCH, receiver, kind, result })
    };
    let own = RecordedRule { name: Some("n".into()), counted: Some(2), content: Some(false) };
    let none = RecordedRule { name: None, counted: None, content: None };
    let present =
        |children, data, rules: &[RecordedRule]| Recorded::Present { children, data, rules: rules.into() };
    let silence = Silence {
        id: "s".into(),
        path: "/*".into(),
        until: Until::Time(UNIX_EPOCH + Duration::from_secs(9)),
        comment: "".into(),
        by: "".into(),
    };
    let acknowledged = Silence { until: Until::Recovery(BTreeMap::new()), ..silence.clone() };
    for what in [
        What::Started,
        What::Rules(3),
        What::Session,
        What::Outage("Connection refused".into()),
        What::Armed,
        reading(Recorded::Missing, true),
        reading(Recorded::Unreadable("not authorised".into()), false),
        reading(present(None, None, &[]), false),
        reading(present(Some(0), Some(u64::MAX), &[own, none]), false),
        What::Forgotten("/a".into()),
        What::Transition(key.clone(), None),
        What::Transition(key.clone(), Some("Found".into())),
        What::Alert(key.clone(), AlertStep::Pending),
        What::Alert(AlertKey::unnamed("/b"), AlertStep::ToldLate),
        message(Kind::Firing, Delivered::Accepted),
        message(Kind::Resolved, Delivered::NotTried),
        What::Leading(7),
        What::Following(7),
        What::Silences(vec![silence, acknowledged]),
        What::Silences(Vec::new()),
        What::Lost(5),
    ] {
        let event = event(1, what);
        assert_eq!(line::parse(&line::json(event.clone())), Some(event));
    }
    let told = line::json(event(1, message(Kind::Reminder(3), Delivered::Failed)));
    assert!(told.contains(r#""told":"reminder","outcome":"failed","count":3"#), "{told}");
    let same = |known: &str| line::parse(known).is_some();
    assert!(!same("{\"time\":\"1970-01-01T00:00:01Z\",\"kind\":\"other\"}") && !same("{}") && !same("x"));
}

#[test]
fn what_is_told_of_data_is_no_digest_that_a_guess_could_be_tried_by() {
    let present = Recorded::Present { children: None, data: Some(42), rules: Box::default() };
    let told = || batch(&[event(1, reading(present.clone(), false))]).remove(0).json;
    assert!(!told().contains(&format!("{:016x}", 42)));
    assert_ne!(told(), told(), "each process has keys of its own");
}

#[test]
fn a_torn_line_is_dropped_and_a_foreign_one_is_counted() {
    let folder = Folder::new("torn");
    append(&mut Segments::open(&folder.0).unwrap(), &[event(1, What::Started), event(2, What::Armed)]);
    let file = folder.0.join("events-0000000001.jsonl");
    let mut bytes = fs::read(&file).unwrap();
    bytes.extend_from_slice(b"foreign\n\xff\n{\"time\":\"2026-");
    fs::write(&file, &bytes).unwrap();
    assert_eq!(folder.events().1, Summary { files: 1, events: 2, skipped: 3 });
    assert_eq!(directory::last(&folder.0, 1).len(), 1);

    append(&mut Segments::open(&folder.0).unwrap(), &[event(3, What::Session)]);
    let (events, summary) = folder.events();
    assert_eq!(summary, Summary { files: 1, events: 3, skipped: 2 });
    assert_eq!(events.last(), Some(&event(3, What::Session)));
    let last: Vec<_> = directory::last(&folder.0, 2).into_iter().map(|event| event.time).collect();
    assert_eq!(last, [event(2, What::Armed).time, event(3, What::Session).time]);
}

#[test]
fn files_are_bounded_in_size_and_number_and_the_oldest_goes_first() {
    let folder = Folder::new("rotation");
    let mut segments = Segments::open(&folder.0).unwrap();
    let long = |second| event(second, What::Outage("x".repeat(1 << 20).into()));
    // Three of them fit one file.
    (0..60).for_each(|second| append(&mut segments, &[long(second)]));
    let files = directory::files(&folder.0).unwrap();
    assert_eq!(files.iter().map(|(number, _)| *number).collect::<Vec<_>>(), (5..=20).collect::<Vec<_>>());
    assert_eq!(files.len(), SEGMENTS);
    assert!(files.iter().all(|(_, path)| fs::metadata(path).unwrap().len() <= SEGMENT));
    let (events, _) = folder.events();
    assert_eq!((events.len(), events[0].time), (48, long(12).time));
    drop(segments);
    let newest = || directory::files(&folder.0).unwrap().last().unwrap().0;
    append(&mut Segments::open(&folder.0).unwrap(), &[event(60, What::Armed)]);
    assert_eq!(newest(), 20, "there is room in it");
    append(&mut Segments::open(&folder.0).unwrap(), &[long(61)]);
    assert_eq!(newest(), 21, "there is none");
}

/// Writes at that second.
fn write(disk: &mut Disk, start: Now, second: u64, events: &[Event]) {
    disk.write(&batch(events), start.after(Duration::from_secs(second)));
}

#[test]
fn a_directory_that_cannot_be_written_is_tried_again_and_what_is_missing_is_told() {
    let folder = Folder::new("again");
    let start = clock::now();
    let holder = Segments::open(&folder.0).unwrap();
    let mut disk = Disk::new(folder.0.clone());
    write(&mut disk, start, 0, &[event(1, What::Started), event(1, What::Session)]);
    assert!(disk.is_failing());
    drop(holder);
    write(&mut disk, start, 9, &[event(2, What::Armed)]);
    assert_eq!(folder.events().0, [], "it is left alone for a while");
    write(&mut disk, start, 10, &[]);
    write(&mut disk, start, 11, &[event(3, What::Armed)]);
    assert!(!disk.is_failing());
    let events: Vec<What> = folder.events().0.into_iter().map(|event| event.what).collect();
    assert_eq!(events, [What::Lost(3), What::Armed]);
}

#[test]
fn a_journal_that_is_deleted_or_moved_begins_anew_where_it_is_looked_for() {
    let folder = Folder::new("gone");
    let (start, state) = (clock::now(), folder.0.join("state"));
    let mut disk = Disk::new(state.clone());
    let mut check = |second, what: What, expected: &[What]| {
        write(&mut disk, start, second, &[event(second, what)]);
        let mut events = Vec::new();
        read(&state, |event| events.push(event.what)).unwrap();
        assert_eq!((events.as_slice(), disk.is_failing()), (expected, false));
    };
    check(1, What::Started, &[What::Started]);
    check(2, What::Armed, &[What::Started, What::Armed]);
    fs::remove_dir_all(&state).unwrap();
    check(3, What::Session, &[What::Session]);
    fs::remove_file(state.join(directory::name(1))).unwrap();
    check(4, What::Armed, &[What::Armed]);
    fs::rename(&state, folder.0.join("moved")).unwrap();
    check(5, What::Session, &[What::Session]);
    fs::remove_file(state.join("lock")).unwrap();
    check(6, What::Armed, &[What::Session, What::Armed]);
    assert!(Segments::open(&state).is_err(), "the right to write is held");
    fs::remove_dir_all(&state).unwrap();
    fs::write(&state, "").unwrap();
    write(&mut disk, start, 7, &[event(7, What::Armed)]);
    assert!(disk.is_failing(), "no directory can be made there");
}

#[test]
fn no_event_is_lost_that_the_thread_was_told_and_all_are_shown() {
    let folder = Folder::new("thread");
    append(&mut Segments::open(&folder.0).unwrap(), &[event(1, What::Started)]);
    let (sender, inbox) = crossbeam_channel::unbounded();
    (0..2500).for_each(|second| sender.send(event(second, What::Armed)).unwrap());
    sender.send(event(2500, reading(Recorded::Missing, true))).unwrap();
    drop(sender);
    let (writer, recent) = crate::published::cell(Recent::default());
    let lost = AtomicU64::new(4);
    run(Some(folder.0.clone()), &inbox, &lost, &writer);
    let (events, summary) = folder.events();
    assert_eq!(summary.events, 2503, "and one that is only there to be judged again");
    assert!(events.iter().any(|event| event.what == What::Lost(4)));
    assert_eq!(recent.get().newest_first().count(), 2502, "those of before the start, too");
    assert_eq!(directory::last(&folder.0, 5000).len(), 2502);
}
