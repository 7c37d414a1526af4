//! Reading znodes and arming their watches, by a small pool of threads per generation.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, JoinHandle};

use crossbeam_channel::{Receiver, Sender, select_biased, unbounded};
use zookeeper::{Stat, ZkError};

use super::client::{Answer, Client, describe, is_over, mtime};
use super::watch_input::WatchInput;
use crate::model::children::Children;
use crate::model::reading::{ChildZnode, Reading, Written};
use crate::model::watches::{Call, Part, Reader, Reply, Request, Step, Wants};

/// Calls under way at once. On two cores that the server shares, 32 arm paths by a tenth faster than 16; 64 do not help.
const THREADS: usize = 32;

/// How far a fence is. As long as this changes, it comes nearer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FenceProgress {
    /// How many readings it waits for.
    pub readings: u64,
    /// How many children have been read one by one in this generation: a reading may take thousands of such calls. Those
    /// of verifications count too, as a znode that rings meanwhile is read again behind them.
    pub children: u64,
}

/// The threads that read for one generation. They end once this is dropped and the requests are answered, which is
/// soon after the end of the generation, since every call fails from then on.
#[derive(Debug)]
pub struct Pool {
    requests: Sender<Request>,
    verifications: Sender<Request>,
    /// How many children have been read one by one.
    children: Arc<AtomicU64>,
    threads: Vec<JoinHandle<()>>,
}

impl Pool {
    /// Starts the threads; what they read goes to `inbox`.
    ///
    /// # Errors
    /// If the process is out of threads.
    pub fn start(client: &Client, inbox: &Sender<WatchInput>) -> io::Result<Self> {
        let (requests, queue) = unbounded();
        let (verifications, last) = unbounded();
        let children = Arc::new(AtomicU64::new(0));
        let threads = (0..THREADS)
            .map(|_| {
                let (client, queue, last, inbox, children) =
                    (client.clone(), queue.clone(), last.clone(), inbox.clone(), Arc::clone(&children));
                let work = move || while serve(&client, &queue, &last, &inbox, &children).is_some() {};
                thread::Builder::new().name("zk-read".to_owned()).spawn(work)
            })
            .collect::<io::Result<_>>()?;
        Ok(Self { requests, verifications, children, threads })
    }

    /// Queues a request. The caller has each znode queued at most once at a time, which bounds the queue.
    pub fn read(&self, request: Request) {
        let queue = if request.in_background { &self.verifications } else { &self.requests };
        // Fails only if there is no thread left, and each catches its panics.
        queue.send(request).ok();
    }

    pub fn children_read(&self) -> u64 {
        self.children.load(Ordering::Relaxed)
    }

    /// Lets the threads end by themselves; gives them for joining.
    pub fn finish(self) -> Vec<JoinHandle<()>> {
        self.threads
    }
}

/// Answers one request; nothing once there will be no more. Verifications go behind everything else.
fn serve(
    client: &Client,
    queue: &Receiver<Request>,
    last: &Receiver<Request>,
    inbox: &Sender<WatchInput>,
    children: &AtomicU64,
) -> Option<()> {
    let Request { ticket, path, wants, part, .. } = select_biased! {
        recv(queue) -> request => request.ok()?,
        recv(last) -> request => request.ok()?,
    };
    // A znode whose reader panics would never be read again; the end of the generation has it read anew.
    let answer = catch_unwind(AssertUnwindSafe(|| read(client, &path, wants, part, children)));
    let answer = answer.unwrap_or(Err(ZkError::SystemError));
    inbox.send(WatchInput::Answered { generation: client.generation(), ticket, path, answer }).ok()
}

/// Reads one znode, but for the part that is known, and leaves the watches that will tell of its next change; counts
/// the children that it reads.
///
/// # Errors
/// The library's, if the generation is over.
fn read(
    client: &Client,
    path: &str,
    wants: Wants,
    part: Option<Part>,
    children: &AtomicU64,
) -> Answer<Option<Reading>> {
    let mut reader = Reader::new(wants, part);
    let mut call = reader.call();
    loop {
        let is_child = is_child(&call);
        let reply = make(client, path, call)?;
        if is_child {
            children.fetch_add(1, Ordering::Relaxed);
        }
        match reader.take(reply) {
            Step::Call(next) => call = next,
            Step::Done(reading) => return Ok(reading),
        }
    }
}

fn is_child(call: &Call) -> bool {
    matches!(call, Call::ChildStat(_) | Call::ChildData(_))
}

fn make(client: &Client, path: &str, call: Call) -> Answer<Reply> {
    let child = is_child(&call);
    let answer = match call {
        Call::Children => client.children(path, true).map(|names| Reply::Children(Children::new(names))),
        Call::Data => client.data(path, true).map(|(data, stat)| Reply::Data(written(&stat, data))),
        Call::Exists => client.exists(path, true).map(|stat| stat.map_or(Reply::Missing, |_| Reply::Yes)),
        Call::Unwatch => client.unwatch(path).map(|()| Reply::Yes),
        Call::ChildStat(name) => client
            .exists(&below(path, &name), false)
            .map(|stat| stat.map_or(Reply::Missing, |stat| Reply::Child(znode(&stat, None)))),
        Call::ChildData(name) => client
            .data(&below(path, &name), true)
            .map(|(data, stat)| Reply::Child(znode(&stat, Some(written(&stat, data))))),
    };
    let what = if child { "it" } else { "this path" };
    match answer {
        Err(ZkError::NoNode) => Ok(Reply::Missing),
        Err(ZkError::NoAuth) => {
            // A server takes any login, and does not say if it is wrong.
            let hint = if client.has_login() && !child { "; is the login right?" } else { "" };
            Ok(Reply::Shut(format!("not authorised to read {what}{hint}").into()))
        }
        Err(e) if !is_over(e) => Ok(Reply::Refused(format!("cannot be read: {}", describe(e)).into())),
        other => other,
    }
}

fn below(path: &str, name: &str) -> String {
    format!("{}/{name}", path.trim_end_matches('/'))
}

fn znode(stat: &Stat, written: Option<Written>) -> ChildZnode {
    ChildZnode { ephemeral: is_ephemeral(stat.ephemeral_owner), written }
}

fn written(stat: &Stat, data: Vec<u8>) -> Written {
    Written { at: mtime(stat), data: data.into_boxed_slice() }
}

/// Whether the owner of a znode is a session. Servers since 3.5 also mark containers there, and znodes that expire: 0xFF,
/// sixteen bits of zero, and after how many milliseconds.
///
/// Where no znode expires a server's `myid` may be 255, and the sessions it opens begin with 0xFF, too. In those the bits
/// of zero are of the time since the machine's start at which the server began to count, and so are often zero; and
/// what would be milliseconds begins with the rest of that time, so that it is more than no server starts within.
pub fn is_ephemeral(owner: i64) -> bool {
    const CONTAINER: i64 = i64::MIN;
    const EXPIRES: i64 = 0xFF00_0000_0000_0000_u64.cast_signed();
    /// No server has started 5 s after its machine. As what expires that is 3.8 days.
    const NO_SESSION: i64 = 5_000 << 16;
    let expires = (EXPIRES..EXPIRES + NO_SESSION).contains(&owner);
    owner != 0 && owner != CONTAINER && !expires
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_session_makes_a_znode_ephemeral() {
        let check =
            |owner: u64, expected| assert_eq!(is_ephemeral(owner.cast_signed()), expected, "{owner:#x}");
        check(0, false);
        check(0x0100_0000_0000_0001, true);
        check(0xFE00_0000_0000_0001, true);
        check(0x8000_0000_0000_0000, false);
        check(0xFF00_0000_0000_EA60, false);
        check(0xFF00_0000_0000_0001, false);
        check(0xFF00_0000_0000_0000 + 3 * 86_400_000, false);
        // Sessions of a server 255 that started a minute after its machine, after four hours, and after a month.
        check(0xFF00_0000_EA60_0001, true);
        check(0xFF00_00FF_0000_0000, true);
        check(0xFF00_9A7E_C800_0003, true);
        check(u64::MAX, true);
    }

    #[test]
    fn the_root_has_children_too() {
        assert_eq!([below("/", "a"), below("/a", "b")], ["/a", "/a/b"]);
    }
}
