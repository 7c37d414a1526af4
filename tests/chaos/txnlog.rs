//! ZooKeeper's own transaction log: what was really done to the tree, in its order and at which time.
//!
//! The format is that of `FileTxnLog`: a header, then records of a checksum, a length, a header and a body, each closed
//! by a byte; zeros where the file was allocated in advance. Servers of an ensemble that have caught up agree on every
//! transaction that they have; one that was brought up to date by a snapshot lacks some.

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

/// The transactions of all logs, in their order.
///
/// # Errors
/// If two servers tell different stories.
pub fn read(folders: &[&Path]) -> Result<Vec<Txn>, String> {
    let mut all: BTreeMap<u64, Txn> = BTreeMap::new();
    for folder in folders {
        for entry in std::fs::read_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))? {
            let path = entry.unwrap().path();
            if !path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("log.")) {
                continue;
            }
            for txn in parse(&std::fs::read(&path).unwrap()) {
                match all.get(&txn.zxid) {
                    Some(known) if *known != txn => {
                        return Err(format!("{}: {txn:?} is {known:?} elsewhere", path.display()));
                    }
                    Some(_) => {}
                    None => drop(all.insert(txn.zxid, txn)),
                }
            }
        }
    }
    Ok(all.into_values().collect())
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
