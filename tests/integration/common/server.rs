//! A listener whose every connection has a thread, and that can be down for a while.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, Shutdown, SocketAddrV4, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::{SOON, eventually, free_port};

/// More connections at once than this are closed at the door.
const MOST: usize = 512;

/// Serves one connection until it ends.
type Handler = Arc<dyn Fn(TcpStream) + Send + Sync>;

/// The listener. Down when dropped.
pub struct Server {
    ip: Ipv4Addr,
    port: u16,
    handler: Handler,
    open: Arc<Mutex<Vec<TcpStream>>>,
    accepted: Arc<AtomicUsize>,
    running: Option<(Arc<AtomicBool>, JoinHandle<()>)>,
}

impl Server {
    /// Listens on a free port of the loopback.
    pub fn start(handler: impl Fn(TcpStream) + Send + Sync + 'static) -> Self {
        Self::on(Ipv4Addr::LOCALHOST, handler)
    }

    /// Listens on a free port of this address, which is ours.
    pub fn on(ip: Ipv4Addr, handler: impl Fn(TcpStream) + Send + Sync + 'static) -> Self {
        let mut server = Self {
            ip,
            port: free_port(),
            handler: Arc::new(handler),
            open: Arc::default(),
            accepted: Arc::default(),
            running: None,
        };
        server.up();
        server
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// `address:port`.
    pub fn address(&self) -> SocketAddrV4 {
        SocketAddrV4::new(self.ip, self.port)
    }

    /// How many connections there were.
    pub fn accepted(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }

    /// Listens again on the same port.
    ///
    /// # Panics
    /// If the port is taken.
    pub fn up(&mut self) {
        if self.running.is_some() {
            return;
        }
        let address = self.address();
        let listener = eventually(SOON, "listener", || TcpListener::bind(address));
        let stop = Arc::new(AtomicBool::new(false));
        let (handler, open) = (Arc::clone(&self.handler), Arc::clone(&self.open));
        let (accepted, stopped) = (Arc::clone(&self.accepted), Arc::clone(&stop));
        let thread = thread::spawn(move || accept(&listener, &stopped, &accepted, &open, &handler));
        self.running = Some((stop, thread));
    }

    /// Refuses connections and ends those that are open.
    pub fn down(&mut self) {
        let Some((stop, thread)) = self.running.take() else { return };
        stop.store(true, Ordering::SeqCst);
        // Wakes the thread that accepts. If the connection fails it is awake already.
        drop(TcpStream::connect_timeout(&self.address().into(), Duration::from_secs(1)));
        thread.join().unwrap();
        for stream in self.open.lock().unwrap().drain(..) {
            drop(stream.shutdown(Shutdown::Both));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.down();
    }
}

fn accept(
    listener: &TcpListener,
    stop: &AtomicBool,
    accepted: &AtomicUsize,
    open: &Mutex<Vec<TcpStream>>,
    handler: &Handler,
) {
    loop {
        let stream = match listener.accept() {
            Ok((stream, _)) => stream,
            Err(error) if error.kind() == ErrorKind::ConnectionAborted => continue,
            Err(error) => panic!("a sink cannot accept: {error}"),
        };
        if stop.load(Ordering::SeqCst) {
            return;
        }
        accepted.fetch_add(1, Ordering::SeqCst);
        let mut open = open.lock().unwrap();
        open.retain(|stream| stream.peer_addr().is_ok());
        if open.len() < MOST {
            open.push(stream.try_clone().unwrap());
            let handler = Arc::clone(handler);
            // Ends with its connection, which `down` ends.
            thread::spawn(move || {
                handler(stream.try_clone().unwrap());
                drop(stream.shutdown(Shutdown::Both));
            });
        }
    }
}

/// Waits so long, or until the peer hangs up; tells whether it did.
pub fn hangs_up_within(stream: &TcpStream, pause: Duration) -> bool {
    let limit = Timespec::try_from(pause).unwrap();
    let mut wanted = [PollFd::new(stream, PollFlags::RDHUP)];
    // An error is a connection that is no more.
    poll(&mut wanted, Some(&limit)).is_ok_and(|ready| ready > 0)
}

/// A server that says what it hears.
pub fn echo_server() -> Server {
    Server::start(|stream| {
        let (mut from, mut to) = (&stream, &stream);
        // Ends with the connection.
        drop(std::io::copy(&mut from, &mut to));
    })
}
