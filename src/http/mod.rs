//! `/status` and what else is served over HTTP.
//!
//! A request passes the gate ([`gate`]), which bounds all that a client can take: connections, time, bytes. What
//! passes is a complete head of a few hundred bytes; tiny_http ([`backend`]) reads that and hands it to the one
//! thread that answers ([`answers`]) from snapshots. No client can hold a thread.

mod answers;
mod backend;
mod cache;
mod client;
mod events;
#[cfg(test)]
mod fixture;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod gate;
mod json;
mod metrics;
mod page;
mod request;
mod routes;
mod rules;
mod snapshots;
mod status;
mod target;
#[cfg(test)]
mod tests;

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::os::unix::net::UnixStream;

use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};

use crate::threads::Spawner;
use backend::Backend;
use gate::Gate;
use routes::Router;
pub use snapshots::Snapshots;

/// How many connections the kernel holds until they are accepted.
const BACKLOG: i32 = 1024;

/// A socket that listens, not yet served.
#[derive(Debug)]
pub struct Listener {
    socket: TcpListener,
    stop: UnixStream,
}

/// Ends [`serve`], within 200 ms, when it is dropped.
#[derive(Debug)]
pub struct Stopper {
    _other_end: UnixStream,
}

/// Listens on `address`, or on all addresses of both families; port 0 is any free port.
///
/// # Errors
/// What the system says: the port is taken, the address is not this host's.
pub fn bind(address: Option<IpAddr>, port: u16) -> io::Result<(Listener, Stopper)> {
    let on = |ip: IpAddr| listen(SocketAddr::new(ip, port));
    // A host may be without IPv6; but a port that is taken is taken, and not to be shared with its owner by halves.
    let is_final = |error: &io::Error| {
        matches!(error.kind(), io::ErrorKind::AddrInUse | io::ErrorKind::PermissionDenied)
    };
    let socket = match address {
        Some(ip) => on(ip),
        None => match on(Ipv6Addr::UNSPECIFIED.into()) {
            Err(error) if !is_final(&error) => on(Ipv4Addr::UNSPECIFIED.into()),
            bound => bound,
        },
    }?;
    let (stop, other_end) = UnixStream::pair()?;
    Ok((Listener { socket, stop }, Stopper { _other_end: other_end }))
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(family, SocketType::STREAM, flags, None)?;
    // Without it, a restart would find the port taken for a minute by connections that have ended.
    sockopt::set_socket_reuseaddr(&socket, true)?;
    if address.is_ipv6() {
        let is_any = address.ip().is_unspecified();
        sockopt::set_ipv6_v6only(&socket, !is_any)?;
    }
    rustix::net::bind(&socket, &address)?;
    rustix::net::listen(&socket, BACKLOG)?;
    Ok(TcpListener::from(socket))
}

impl Listener {
    /// The address and port listened on.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }
}

/// Serves until the stopper is dropped. Takes the calling thread and starts one more, which it joins in the end.
///
/// # Errors
/// What makes serving impossible: at the start no thread or descriptor to be had, later an answering
/// thread that hangs. Nothing that a client does is such an error.
pub fn serve(listener: Listener, snapshots: Snapshots, spawner: &Spawner) -> io::Result<()> {
    let (backend, servers) = Backend::start()?;
    let router = Router::new(snapshots);
    let answering = spawner.spawn("http-answers", move || answers::run(&servers, router))?;
    // A thread that hangs is not waited for.
    Gate::new(listener.socket, listener.stop, backend).run()?;
    answering.join().map_err(|_| io::Error::other("the thread that answers HTTP panicked"))
}
