//! One generation's calls to ZooKeeper.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use crossbeam_channel::Sender;
use zookeeper::{Acl, CreateMode, Stat, WatcherType, ZkError, ZooKeeper};

use super::link::Cutter;
use super::unwatching::Unwatching;

/// What is known of taking watches back, for all sessions.
static UNWATCHING: Unwatching = Unwatching::new();

/// A client that lives as long as its generation; clones share it.
///
/// Every call blocks until it is answered or the generation ends; the session thread ends a generation whose
/// calls are not answered in time, so no call can hang. After that every call fails with `ConnectionLoss`.
#[derive(Clone)]
pub struct Client(Arc<Inner>);

struct Inner {
    zk: Arc<ZooKeeper>,
    chroot: String,
    generation: u64,
    over: AtomicBool,
    /// Whether it has a login.
    has_login: AtomicBool,
    cutter: Cutter,
    hurry: Sender<()>,
}

/// What a call gives, or the library's error.
pub type Answer<T> = Result<T, ZkError>;

impl Client {
    /// Wraps the library's client for one generation; `chroot` is empty or starts with `/`.
    /// A message in `hurry` makes the pulse beat at once.
    pub fn new(zk: Arc<ZooKeeper>, chroot: &str, generation: u64, cutter: Cutter, hurry: Sender<()>) -> Self {
        let (chroot, over, has_login) = (chroot.to_owned(), AtomicBool::new(false), AtomicBool::new(false));
        Self(Arc::new(Inner { zk, chroot, generation, over, has_login, cutter, hurry }))
    }

    /// Has the pulse beat at once, rather than at its time.
    pub fn hurry(&self) {
        // One is enough, and after the end of the generation none is needed.
        self.0.hurry.try_send(()).ok();
    }

    pub fn generation(&self) -> u64 {
        self.0.generation
    }

    /// Ends the generation: calls in flight fail, and no new one is sent.
    pub fn end(&self) {
        self.0.over.store(true, Ordering::Release);
        self.0.cutter.cut();
    }

    /// Authenticates the session by user and password. To be called before anything else: the library matches
    /// answers by their order, and the server answers this call out of order.
    pub fn authenticate(&self, user: &str, password: &str) -> Answer<()> {
        self.0.has_login.store(true, Ordering::Relaxed);
        self.call(|zk| zk.add_auth("digest", format!("{user}:{password}").into_bytes()))
    }

    /// Whether it has a login. A server takes any, right or wrong, and says nothing of it.
    pub fn has_login(&self) -> bool {
        self.0.has_login.load(Ordering::Relaxed)
    }

    /// The names of a znode's children. `NoNode` leaves no watch.
    pub fn children(&self, path: &str, watch: bool) -> Answer<Vec<String>> {
        self.call(|zk| zk.get_children(&self.full(path), watch))
    }

    /// A znode's data. `NoNode` leaves no watch.
    pub fn data(&self, path: &str, watch: bool) -> Answer<(Vec<u8>, Stat)> {
        self.call(|zk| zk.get_data(&self.full(path), watch))
    }

    /// Whether a znode exists. A watch is left in either case.
    pub fn exists(&self, path: &str, watch: bool) -> Answer<Option<Stat>> {
        self.call(|zk| zk.exists(&self.full(path), watch))
    }

    /// The same of a znode that may not be read: then newer servers leave no watch, and show that it exists, but no stat.
    pub fn look(&self, path: &str, watch: bool) -> Answer<Option<Option<Stat>>> {
        match self.exists(path, watch) {
            Ok(found) => Ok(found.map(Some)),
            Err(ZkError::NoAuth) => Ok(Some(None)),
            Err(e) => Err(e),
        }
    }

    /// Takes back the watch for the creation of a znode that is missing. Servers before 3.5 end the session of who asks
    /// for that: once it looks like that, or one says that it cannot, this process asks no more, and such watches stay as
    /// long as their session.
    pub fn unwatch(&self, path: &str) -> Answer<()> {
        if UNWATCHING.is_refused() {
            return Ok(());
        }
        // Not asked any more, so nothing is learnt of the server.
        if self.0.over.load(Ordering::Acquire) {
            return Err(ZkError::ConnectionLoss);
        }
        let answer = self.call(|zk| zk.remove_watches(&self.full(path), WatcherType::Data));
        match answer {
            Ok(()) | Err(ZkError::NoWatcher) => UNWATCHING.works(),
            Err(ZkError::Unimplemented) if UNWATCHING.refuse() => {
                log::warn!("the server takes no watch back; those of znodes that vanish stay");
            }
            Err(e) if is_over(e) && UNWATCHING.lost(self.generation()) => log::warn!(
                "each session ended when a watch was taken back (servers before 3.5?), which is not done any more; \
                 those of znodes that vanish stay"
            ),
            Err(_) => {}
        }
        answer
    }

    /// Makes a znode and gives its path, which differs from the one asked for if it is sequential.
    pub fn create(&self, path: &str, data: &[u8], acl: &[Acl], mode: CreateMode) -> Answer<String> {
        let made = self.call(|zk| zk.create(&self.full(path), data.to_vec(), acl.to_vec(), mode))?;
        Ok(cut_chroot(&self.0.chroot, &made).to_owned())
    }

    /// Replaces a znode's data, if its version is the one given; else that is `BadVersion`.
    pub fn set(&self, path: &str, data: &[u8], version: Option<i32>) -> Answer<Stat> {
        self.call(|zk| zk.set_data(&self.full(path), data.to_vec(), version))
    }

    /// Removes a znode, if its version is the one given; else that is `BadVersion`.
    pub fn delete(&self, path: &str, version: Option<i32>) -> Answer<()> {
        self.call(|zk| zk.delete(&self.full(path), version))
    }

    fn call<T>(&self, call: impl FnOnce(&ZooKeeper) -> Answer<T>) -> Answer<T> {
        if self.0.over.load(Ordering::Acquire) {
            return Err(ZkError::ConnectionLoss);
        }
        call(&self.0.zk)
    }

    fn full(&self, path: &str) -> String {
        match (self.0.chroot.as_str(), path) {
            ("", path) => path.to_owned(),
            (chroot, "/") => chroot.to_owned(),
            (chroot, path) => format!("{chroot}{path}"),
        }
    }
}

/// A server's path without the chroot.
pub fn cut_chroot<'a>(chroot: &str, path: &'a str) -> &'a str {
    match path.strip_prefix(chroot) {
        Some("") => "/",
        Some(rest) => rest,
        None => path,
    }
}

/// When a znode was written last, by the clock of the server that led then.
pub fn mtime(stat: &Stat) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(u64::try_from(stat.mtime).unwrap_or_default())
}

/// Whether an error means that the session is over, or that the connection is of no use. Every other is an answer to
/// one call: what was asked for was not done, and the session lives on.
pub fn is_over(error: ZkError) -> bool {
    match error {
        ZkError::ConnectionLoss | ZkError::SessionExpired | ZkError::SessionMoved | ZkError::AuthFailed => {
            true
        }
        // The library's own: its threads are gone, or make no sense of what they get.
        ZkError::SystemError | ZkError::OperationTimeout => true,
        ZkError::RuntimeInconsistency | ZkError::DataInconsistency => true,
        ZkError::APIError | ZkError::BadArguments | ZkError::BadVersion | ZkError::InvalidACL => false,
        ZkError::EphemeralOnLocalSession | ZkError::InvalidCallback | ZkError::MarshallingError => false,
        ZkError::NoAuth | ZkError::NoChildrenForEphemerals | ZkError::NodeExists | ZkError::NoNode => false,
        ZkError::NotEmpty | ZkError::NotReadOnly | ZkError::NoWatcher | ZkError::Unimplemented => false,
    }
}

/// An error in the words of ZooKeeper's documentation.
pub fn describe(error: ZkError) -> String {
    if error != ZkError::Unimplemented {
        return format!("{error:?}");
    }
    // The library says so of every code that it does not know.
    "an error that a server gives when a quota is exceeded, a request is held back, or it does not know the request"
        .to_owned()
}
