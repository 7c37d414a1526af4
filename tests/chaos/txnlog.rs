//! ZooKeeper's own transaction log: what was really done to the tree, in its order and at which time.
//!
//! The format is that of `FileTxnLog`: a header, then records of a checksum, a length, a header and a body, each closed
//! by a byte; zeros where the file was allocated in advance.

use std::collections::BTreeMap;
use std::path::Path;

/// Milliseconds since 1970.
pub type Millis = u64;

const MAGIC: &[u8] = b"ZKLG";
const HEADER: usize = 16;
const END_OF_RECORD: u8 = b'B';

/// One change of the tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    Create {
        path: String,
        data: Vec<u8>,
        readable: bool,
        is_ephemeral: bool,
    },
    Delete {
        path: String,
    },
    SetData {
        path: String,
        data: Vec<u8>,
    },
    SetAcl {
        path: String,
        readable: bool,
    },
    CreateSession,
    CloseSession,
    /// What the server refused, or what no test does.
    Other,
}

/// One transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Txn {
    pub zxid: u64,
    /// By the wall clock of the server that led.
    pub at: Millis,
    pub session: u64,
    pub ops: Vec<Op>,
}

/// What one server has.
struct History {
    txns: BTreeMap<u64, Txn>,
    /// Up to which transaction each of its snapshots reaches.
    snapshots: Vec<u64>,
}

/// The transactions that were committed, in their order, by the logs of all servers.
///
/// A server that led and died may have logged what nobody else has; when it is brought up to date by a snapshot, its log
/// keeps that. So what a single server has does not count if another one went on without it.
///
/// # Errors
/// If two servers tell different stories, or a folder cannot be read.
pub fn read(folders: &[&Path]) -> Result<Vec<Txn>, String> {
    let histories: Vec<History> = folders.iter().map(|folder| history(folder)).collect::<Result<_, _>>()?;
    committed(&histories)
}

fn committed(histories: &[History]) -> Result<Vec<Txn>, String> {
    let mut all: BTreeMap<u64, Txn> = BTreeMap::new();
    for txn in histories.iter().flat_map(|history| history.txns.values()) {
        let known = all.entry(txn.zxid).or_insert_with(|| txn.clone());
        if known != txn {
            return Err(format!("{txn:?} is {known:?} elsewhere"));
        }
    }
    all.retain(|zxid, _| {
        let holders = histories.iter().filter(|history| history.txns.contains_key(zxid)).count();
        holders > 1 || !histories.iter().any(|history| history.went_on_without(*zxid))
    });
    Ok(all.into_values().collect())
}

impl History {
    /// Whether a later transaction follows an earlier one here, and not a snapshot that may hold this one.
    fn went_on_without(&self, zxid: u64) -> bool {
        let next = self.txns.range(zxid..).next().map(|(next, _)| *next);
        next.is_some_and(|next| {
            let is_held = self.snapshots.iter().any(|snapshot| (zxid..next).contains(snapshot));
            next != zxid && !is_held
        })
    }
}

fn history(folder: &Path) -> Result<History, String> {
    let mut history = History { txns: BTreeMap::new(), snapshots: Vec::new() };
    for entry in std::fs::read_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))? {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if name.starts_with("log.") {
            let txns = parse(&std::fs::read(&path).unwrap());
            history.txns.extend(txns.into_iter().map(|txn| (txn.zxid, txn)));
        } else if let Some(zxid) = name.strip_prefix("snapshot.") {
            history.snapshots.extend(u64::from_str_radix(zxid, 16));
        }
    }
    Ok(history)
}

/// The transactions of one file, up to its end or to where the server was killed in the middle.
fn parse(file: &[u8]) -> Vec<Txn> {
    let mut txns = Vec::new();
    let Some(rest) = file.get(HEADER..).filter(|_| file.starts_with(MAGIC)) else { return txns };
    let mut input = Input(rest);
    while let Some(record) = input.long().and_then(|_checksum| input.bytes()).filter(|txn| !txn.is_empty()) {
        if input.byte() != Some(END_OF_RECORD) {
            break;
        }
        let mut record = Input(record);
        let header = (record.long(), record.int(), record.long(), record.long(), record.int());
        let (Some(session), Some(_), Some(zxid), Some(at), Some(kind)) = header else { break };
        let mut ops = Vec::new();
        record.ops(kind, &mut ops).expect("a transaction that is whole");
        txns.push(Txn { zxid, at, session, ops });
    }
    txns
}

/// Bytes that are read from the front.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1).map(|bytes| bytes[0])
    }

    fn int(&mut self) -> Option<i32> {
        Some(i32::from_be_bytes(self.take(4)?.try_into().unwrap()))
    }

    fn long(&mut self) -> Option<u64> {
        Some(u64::from_be_bytes(self.take(8)?.try_into().unwrap()))
    }

    /// A length of -1 is none at all.
    fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = self.int()?;
        self.take(usize::try_from(length).unwrap_or(0))
    }

    fn text(&mut self) -> Option<String> {
        self.bytes().map(|bytes| String::from_utf8_lossy(bytes).into_owned())
    }

    /// An access list: whether anybody may read.
    fn readable(&mut self) -> Option<bool> {
        const READ: i32 = 1;
        let mut readable = false;
        for _ in 0..self.int()? {
            let (permissions, scheme, _id) = (self.int()?, self.text()?, self.text()?);
            readable |= scheme == "world" && permissions & READ != 0;
        }
        Some(readable)
    }

    fn ops(&mut self, kind: i32, ops: &mut Vec<Op>) -> Option<()> {
        let op = match kind {
            // create, create2
            1 | 15 => {
                let (path, data) = (self.text()?, self.bytes()?.to_vec());
                Op::Create { path, data, readable: self.readable()?, is_ephemeral: self.byte()? != 0 }
            }
            // createContainer, createTTL
            19 | 21 => {
                let (path, data) = (self.text()?, self.bytes()?.to_vec());
                Op::Create { path, data, readable: self.readable()?, is_ephemeral: false }
            }
            2 | 20 => Op::Delete { path: self.text()? },
            5 => Op::SetData { path: self.text()?, data: self.bytes()?.to_vec() },
            7 => Op::SetAcl { path: self.text()?, readable: self.readable()? },
            14 => {
                for _ in 0..self.int()? {
                    let (kind, body) = (self.int()?, self.bytes()?);
                    Input(body).ops(kind, ops)?;
                }
                return Some(());
            }
            -10 => Op::CreateSession,
            -11 => Op::CloseSession,
            _ => Op::Other,
        };
        ops.push(op);
        Some(())
    }
}

#[test]
fn records_are_read_up_to_the_one_that_is_torn() {
    let text = |text: &str| [&u32::try_from(text.len()).unwrap().to_be_bytes()[..], text.as_bytes()].concat();
    let record = |zxid: u64, kind: i32, body: &[u8]| {
        let times = [7_u64.to_be_bytes().to_vec(), 0_i32.to_be_bytes().to_vec(), zxid.to_be_bytes().to_vec()];
        let txn = [&times.concat()[..], &9_u64.to_be_bytes(), &kind.to_be_bytes(), body].concat();
        [&[0; 8], &u32::try_from(txn.len()).unwrap().to_be_bytes()[..], &txn, b"B"].concat()
    };
    let access = [&1_i32.to_be_bytes()[..], &1_i32.to_be_bytes(), &text("world"), &text("anyone")].concat();
    let create = [text("/a"), text("x"), access, vec![1], vec![0; 4]].concat();
    let delete = text("/a");
    let multi = [&1_i32.to_be_bytes()[..], &2_i32.to_be_bytes(), &text("\0\0\0\x02/b")].concat();
    let header = [MAGIC, &[0; 12]].concat();
    let whole = [header, record(1, 1, &create), record(2, 2, &delete), record(3, 14, &multi)].concat();
    let txn = |zxid, op| Txn { zxid, at: 9, session: 7, ops: vec![op] };
    let expected = [
        txn(1, Op::Create { path: "/a".into(), data: b"x".to_vec(), readable: true, is_ephemeral: true }),
        txn(2, Op::Delete { path: "/a".into() }),
        txn(3, Op::Delete { path: "/b".into() }),
    ];
    assert_eq!(parse(&[&whole[..], &[0; 64]].concat()), expected);
    assert_eq!(parse(&whole[..whole.len() - 3]), expected[..2]);
    assert_eq!(parse(b""), []);
}

#[test]
fn what_others_went_on_without_was_not_committed() {
    let check = |servers: [(&[u64], &[u64]); 3], expected: &[u64]| {
        let histories = servers.map(|(zxids, snapshots)| {
            let txn = |zxid: &u64| (*zxid, Txn { zxid: *zxid, at: 0, session: 0, ops: Vec::new() });
            History { txns: zxids.iter().map(txn).collect(), snapshots: snapshots.to_vec() }
        });
        let committed: Vec<u64> = committed(&histories).unwrap().iter().map(|txn| txn.zxid).collect();
        assert_eq!(committed, expected);
    };
    check([(&[1, 2, 3], &[]), (&[1, 2, 3], &[]), (&[1, 2], &[])], &[1, 2, 3]);
    // The first led, and died; the others elected another.
    check([(&[1, 2, 9], &[8]), (&[1, 8, 9], &[]), (&[1, 8, 9], &[])], &[1, 8, 9]);
    // The others were brought up to date by a snapshot.
    check([(&[1, 2, 9], &[]), (&[1, 9], &[2]), (&[1, 9], &[2])], &[1, 2, 9]);
}
