//! A ZooKeeper client that arranges znodes.
//!
//! Its own few lines of the protocol, and not the client that the daemon uses: this one has deadlines, pipelines
//! thousands of changes, and neither spins nor hangs when a test kills the server under it.

use std::io::{self, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use super::records::{Answer, Body};

/// What the session asks for. Nothing pings: an ephemeral znode lives as long without a further call.
const SESSION: Duration = Duration::from_secs(120);

/// How long one answer may take.
const ANSWER: Duration = Duration::from_secs(20);

/// After so long without a call the session may be gone; a client that holds no ephemeral znode gets another.
const STALE: Duration = Duration::from_secs(60);

/// How many requests are under way at once in bulk.
const WINDOW: usize = 500;

/// What kind of znode to create.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    Persistent = 0,
    Ephemeral = 1,
    PersistentSequential = 2,
    EphemeralSequential = 3,
}

/// Who may do what with a znode.
#[derive(Clone, Copy, Debug)]
pub enum Access {
    /// Everybody everything.
    Open,
    /// Everybody may read, nobody else anything.
    ReadOnly,
    /// Everybody everything but to read.
    WriteOnly,
    /// Who is authenticated on this session everything, others nothing.
    Creator,
}

/// An error the server answered with.
pub const NO_NODE: i32 = -101;
const NOT_EMPTY: i32 = -111;
const NODE_EXISTS: i32 = -110;

/// One session.
pub struct Client {
    address: String,
    chroot: String,
    stream: TcpStream,
    xid: i32,
    used: Instant,
    holds_ephemerals: bool,
    auth: Option<String>,
}

/// The codes of the protocol for what is asked.
#[derive(Clone, Copy)]
enum Op {
    Create = 1,
    Delete = 2,
    Exists = 3,
    GetData = 4,
    SetData = 5,
    SetAcl = 7,
    GetChildren = 8,
    Auth = 100,
    Close = -11,
}

impl Client {
    /// Connects to `host:port` or `host:port/chroot`.
    ///
    /// # Panics
    /// If nobody answers there.
    #[track_caller]
    pub fn connect(address: &str) -> Self {
        Self::try_connect(address).unwrap_or_else(|error| panic!("cannot connect to {address}: {error}"))
    }

    /// Connects, or tells why not.
    ///
    /// # Errors
    /// What became of the connection.
    pub fn try_connect(address: &str) -> io::Result<Self> {
        Self::connect_within(address, ANSWER)
    }

    /// Connects, or tells why not; each answer may take so long.
    ///
    /// # Errors
    /// What became of the connection.
    pub fn connect_within(address: &str, patience: Duration) -> io::Result<Self> {
        let (server, chroot) = address.find('/').map_or((address, ""), |slash| address.split_at(slash));
        let stream = dial(server, patience)?;
        Ok(Self {
            address: server.to_owned(),
            chroot: chroot.to_owned(),
            stream,
            xid: 0,
            used: Instant::now(),
            holds_ephemerals: false,
            auth: None,
        })
    }

    /// Authenticates as `user:password`.
    ///
    /// # Panics
    /// If the server does not take it.
    pub fn authenticate(&mut self, credentials: &str) {
        self.auth = Some(credentials.to_owned());
        let body = Body::new().int(0).text("digest").bytes(credentials.as_bytes());
        self.send(Op::Auth, -4, &body).unwrap();
        self.receive(-4).unwrap().expect("authentication");
    }

    /// Creates a persistent znode and the parents that are missing; one that exists is left as it is.
    ///
    /// # Panics
    /// If the server refuses.
    #[track_caller]
    pub fn create(&mut self, path: &str, data: &str) {
        for (end, _) in path.match_indices('/').skip(1) {
            self.create_as(&path[..end], "", Mode::Persistent, Access::Open);
        }
        self.create_as(path, data, Mode::Persistent, Access::Open);
    }

    /// Creates one znode and tells its path; one that exists is left as it is.
    ///
    /// # Panics
    /// If the server refuses.
    #[track_caller]
    pub fn create_as(&mut self, path: &str, data: &str, mode: Mode, access: Access) -> String {
        self.holds_ephemerals |= matches!(mode, Mode::Ephemeral | Mode::EphemeralSequential);
        let body = self.creation(path, data, mode, access);
        match self.call(Op::Create, &body).unwrap() {
            Ok(answer) => answer.text().strip_prefix(&self.chroot).unwrap().to_owned(),
            Err(NODE_EXISTS) => path.to_owned(),
            Err(code) => panic!("cannot create {path}: {code}"),
        }
    }

    /// Creates thousands of persistent znodes whose parents exist; those that exist are left as they are.
    ///
    /// # Panics
    /// If the server refuses one.
    #[track_caller]
    pub fn create_many(&mut self, paths: &[String]) {
        let bodies =
            paths.iter().map(|path| self.creation(path, "", Mode::Persistent, Access::Open)).collect();
        self.call_many(Op::Create, bodies);
    }

    /// Removes a znode; one that is missing already is as good.
    ///
    /// # Panics
    /// If the server refuses.
    #[track_caller]
    pub fn delete(&mut self, path: &str) {
        assert!(self.try_delete(path), "cannot delete {path}: it is not empty");
    }

    /// Removes a znode, unless there is something below it; tells whether it is gone.
    #[track_caller]
    fn try_delete(&mut self, path: &str) -> bool {
        let body = self.path(path).int(-1);
        match self.call(Op::Delete, &body).unwrap() {
            Ok(_) | Err(NO_NODE) => true,
            Err(NOT_EMPTY) => false,
            Err(code) => panic!("cannot delete {path}: {code}"),
        }
    }

    /// Removes thousands of znodes that exist and have no children.
    ///
    /// # Panics
    /// If the server refuses one.
    #[track_caller]
    pub fn delete_many(&mut self, paths: &[String]) {
        let bodies = paths.iter().map(|path| self.path(path).int(-1)).collect();
        self.call_many(Op::Delete, bodies);
    }

    /// Removes a znode and all below it, and what others put there meanwhile: an agent takes its place in line again.
    ///
    /// # Panics
    /// If the server refuses, or others never cease.
    pub fn delete_recursive(&mut self, path: &str) {
        const TRIES: usize = 10;
        for _ in 0..TRIES {
            for child in self.children(path).unwrap_or_default() {
                self.delete_recursive(&format!("{path}/{child}"));
            }
            if self.try_delete(path) {
                return;
            }
        }
        panic!("{path} is never empty");
    }

    /// Replaces a znode's data.
    ///
    /// # Panics
    /// If there is no such znode.
    #[track_caller]
    pub fn set(&mut self, path: &str, data: &str) {
        let body = self.path(path).bytes(data.as_bytes()).int(-1);
        self.call(Op::SetData, &body).unwrap().unwrap_or_else(|code| panic!("cannot set {path}: {code}"));
    }

    /// Replaces who may do what with a znode.
    ///
    /// # Panics
    /// If there is no such znode.
    #[track_caller]
    pub fn allow(&mut self, path: &str, access: Access) {
        let body = self.path(path).access(access).int(-1);
        self.call(Op::SetAcl, &body)
            .unwrap()
            .unwrap_or_else(|code| panic!("cannot set the ACL of {path}: {code}"));
    }

    /// A znode's data, if it exists.
    ///
    /// # Panics
    /// If the server does not answer.
    #[track_caller]
    pub fn get(&mut self, path: &str) -> Option<String> {
        self.try_get(path).unwrap()
    }

    /// The same, when servers come and go.
    ///
    /// # Errors
    /// As for [`Client::try_make`].
    pub fn try_get(&mut self, path: &str) -> io::Result<Option<String>> {
        let body = self.path(path).byte(0);
        Ok(self.call(Op::GetData, &body)?.ok().map(|answer| answer.text()))
    }

    /// The names of a znode's children, sorted, if it exists.
    ///
    /// # Panics
    /// If the server does not answer.
    #[track_caller]
    pub fn children(&mut self, path: &str) -> Option<Vec<String>> {
        let body = self.path(path).byte(0);
        let mut answer = self.call(Op::GetChildren, &body).unwrap().ok()?;
        let mut children: Vec<String> = (0..answer.int()).map(|_| answer.next_text()).collect();
        children.sort();
        Some(children)
    }

    /// Makes a persistent znode hold this, whether it existed or not.
    ///
    /// # Errors
    /// As for [`Client::try_make`].
    pub fn try_put(&mut self, path: &str, data: &str) -> io::Result<()> {
        let body = self.creation(path, data, Mode::Persistent, Access::Open);
        match self.call(Op::Create, &body)? {
            Ok(_) => Ok(()),
            Err(NODE_EXISTS) => {
                let body = self.path(path).bytes(data.as_bytes()).int(-1);
                self.call(Op::SetData, &body)?
                    .map(drop)
                    .map_err(|code| io::Error::other(format!("error {code}")))
            }
            Err(code) => Err(io::Error::other(format!("error {code}"))),
        }
    }

    /// Replaces who may do what with a znode.
    ///
    /// # Errors
    /// As for [`Client::try_make`].
    pub fn try_allow(&mut self, path: &str, access: Access) -> io::Result<()> {
        let body = self.path(path).access(access).int(-1);
        self.call(Op::SetAcl, &body)?.map(drop).map_err(|code| io::Error::other(format!("error {code}")))
    }

    /// Creates or removes a persistent znode; one that is as wanted already is as good.
    ///
    /// # Errors
    /// What became of the connection, or the server's error code; whether it was done is not known then.
    pub fn try_make(&mut self, path: &str, present: bool) -> io::Result<()> {
        let answer = if present {
            let body = self.creation(path, "", Mode::Persistent, Access::Open);
            self.call(Op::Create, &body)?
        } else {
            let body = self.path(path).int(-1);
            self.call(Op::Delete, &body)?
        };
        match answer {
            Ok(_) | Err(NODE_EXISTS | NO_NODE) => Ok(()),
            Err(code) => Err(io::Error::other(format!("error {code}"))),
        }
    }

    /// Whether a znode exists.
    ///
    /// # Panics
    /// If the server does not answer.
    #[track_caller]
    pub fn exists(&mut self, path: &str) -> bool {
        self.try_exists(path).unwrap()
    }

    /// Whether a znode exists, or why that is not known.
    ///
    /// # Errors
    /// What became of the connection.
    pub fn try_exists(&mut self, path: &str) -> io::Result<bool> {
        let body = self.path(path).byte(0);
        Ok(self.call(Op::Exists, &body)?.is_ok())
    }

    fn path(&self, path: &str) -> Body {
        let whole = if path == "/" && !self.chroot.is_empty() {
            self.chroot.clone()
        } else {
            format!("{}{path}", self.chroot)
        };
        Body::new().text(&whole)
    }

    fn creation(&self, path: &str, data: &str, mode: Mode, access: Access) -> Body {
        self.path(path).bytes(data.as_bytes()).access(access).int(mode as i32)
    }

    /// One request and its answer: what it holds, or the server's error code.
    fn call(&mut self, op: Op, body: &Body) -> io::Result<Result<Answer, i32>> {
        self.freshen()?;
        self.xid += 1;
        let xid = self.xid;
        self.send(op, xid, body)?;
        self.receive(xid)
    }

    #[track_caller]
    fn call_many(&mut self, op: Op, bodies: Vec<Body>) {
        self.freshen().unwrap();
        for window in bodies.chunks(WINDOW) {
            let first = self.xid + 1;
            for body in window {
                self.xid += 1;
                self.send(op, self.xid, body).unwrap();
            }
            // All answers are taken before one is complained of, so that the connection serves on.
            let mut refused = None;
            for xid in first..=self.xid {
                if let Err(code) = self.receive(xid).unwrap()
                    && code != NODE_EXISTS
                {
                    refused = Some((xid, code));
                }
            }
            assert_eq!(refused, None, "a request of many, and its error");
        }
    }

    /// A new session instead of one that may have expired.
    fn freshen(&mut self) -> io::Result<()> {
        if self.used.elapsed() > STALE && !self.holds_ephemerals {
            self.stream = dial(&self.address, ANSWER)?;
            if let Some(credentials) = self.auth.clone() {
                self.authenticate(&credentials);
            }
        }
        self.used = Instant::now();
        Ok(())
    }

    fn send(&mut self, op: Op, xid: i32, body: &Body) -> io::Result<()> {
        let mut request = Body::new().int(xid).int(op as i32);
        request.0.extend_from_slice(&body.0);
        self.stream.write_all(&request.framed())
    }

    fn receive(&mut self, xid: i32) -> io::Result<Result<Answer, i32>> {
        let mut answer = Answer::read(&mut self.stream)?;
        let (got, _zxid, code) = (answer.int(), answer.long(), answer.int());
        // Answers come in order: this is one that was not waited for to its end.
        if got != xid {
            return Err(io::Error::other(format!("the answer to request {got}, not to {xid}")));
        }
        Ok(if code == 0 { Ok(answer) } else { Err(code) })
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // Best effort: the server may be down on purpose, and then the session ends by itself.
        self.stream.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
        if self.send(Op::Close, 0, &Body::new()).is_ok() {
            drop(self.receive(0));
        }
    }
}

/// Connects and opens a session.
fn dial(server: &str, patience: Duration) -> io::Result<TcpStream> {
    let mut stream = TcpStream::connect(server)?;
    stream.set_read_timeout(Some(patience))?;
    stream.set_write_timeout(Some(patience))?;
    stream.set_nodelay(true)?;
    let timeout = i32::try_from(SESSION.as_millis()).unwrap();
    let hello = Body::new().int(0).long(0).int(timeout).long(0).bytes(&[0; 16]).byte(0);
    stream.write_all(&hello.framed())?;
    Answer::read(&mut stream)?;
    Ok(stream)
}
