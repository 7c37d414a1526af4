//! From a host list to one connected socket, with a bound on every step.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};

use crate::clock;
use crate::net::{Resolver, Timed};

/// How long one name may take to resolve and one address to connect. A client that lists three servers, two of
/// them dead, is at the third within a few seconds.
pub const STEP: Duration = Duration::from_secs(2);

/// A connection to one server, encrypted or not.
#[derive(Debug)]
pub enum Wire {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Wire {
    /// The socket below, for polling and shutting down.
    pub fn socket(&self) -> &TcpStream {
        match self {
            Self::Plain(socket) => socket,
            Self::Tls(stream) => &stream.sock,
        }
    }

    /// Whether more may have come in than its socket shows.
    pub fn may_hold_more(&self) -> bool {
        match self {
            Self::Plain(_) => false,
            Self::Tls(_) => true,
        }
    }

    /// Whether bytes wait to be written that are in no buffer of the caller's.
    pub fn wants_write(&self) -> bool {
        match self {
            Self::Plain(_) => false,
            Self::Tls(stream) => stream.conn.wants_write(),
        }
    }
}

impl Read for Wire {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.read(buffer),
            Self::Tls(stream) => stream.read(buffer),
        }
    }
}

impl Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.write(bytes),
            Self::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(socket) => socket.flush(),
            Self::Tls(stream) => stream.flush(),
        }
    }
}

/// All addresses of a host, within [`STEP`].
pub fn resolve(resolver: &mut Resolver) -> Result<Vec<SocketAddr>, String> {
    let found = resolver.resolve(clock::mono() + STEP);
    let host = resolver.host();
    found.map_err(|e| {
        if e.kind() == ErrorKind::NotFound {
            return format!("{host} has no address");
        }
        if e.kind() == ErrorKind::TimedOut {
            return format!("cannot resolve {host}: no answer within {} s", STEP.as_secs());
        }
        format!("cannot resolve {host}: {e}")
    })
}

/// Connects to one address within [`STEP`], and as long again for TLS.
pub fn connect(address: SocketAddr, host: &str, tls: Option<&Arc<ClientConfig>>) -> Result<Wire, String> {
    let socket =
        Timed::connect(&[address], clock::mono() + STEP).map_err(|e| format!("cannot connect: {e}"))?;
    let Some(config) = tls else { return Ok(Wire::Plain(socket.into_stream())) };
    let stream = handshake(socket, host, config).map_err(|e| format!("no TLS with {host}: {e}"))?;
    Ok(Wire::Tls(Box::new(stream)))
}

fn handshake(
    mut socket: Timed,
    host: &str,
    config: &Arc<ClientConfig>,
) -> Result<StreamOwned<ClientConnection, TcpStream>, String> {
    // The scope of an IPv6 address is this host's own affair, and in no certificate.
    let host = host.split_once('%').map_or(host, |(address, _)| address);
    let name = ServerName::try_from(host.to_owned()).map_err(|e| e.to_string())?;
    let mut session = ClientConnection::new(Arc::clone(config), name).map_err(|e| e.to_string())?;
    socket.set_deadline(clock::mono() + STEP);
    socket.handshake(&mut session).map_err(|e| {
        if e.kind() == ErrorKind::TimedOut {
            return format!("the handshake had no answer within {} s", STEP.as_secs());
        }
        if e.kind() == ErrorKind::UnexpectedEof {
            return format!("{e}: is this the server's port for TLS (secureClientPort)?");
        }
        e.to_string()
    })?;
    Ok(StreamOwned::new(session, socket.into_stream()))
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddrV6;

    use super::*;

    #[test]
    fn addresses_need_no_look_up() {
        let found = |host: &str, port| resolve(&mut Resolver::new(host, port)).unwrap();
        assert_eq!(found("::1", 7), ["[::1]:7".parse().unwrap()]);
        assert_eq!(found("127.0.0.1", 8), ["127.0.0.1:8".parse().unwrap()]);
    }

    #[test]
    fn a_scope_is_resolved_by_number_and_by_name() {
        let expected = SocketAddrV6::new("fe80::1".parse().unwrap(), 7, 0, 1);
        for host in ["fe80::1%1", "fe80::1%lo"] {
            assert_eq!(resolve(&mut Resolver::new(host, 7)).unwrap(), [expected.into()], "{host}");
        }
    }

    #[test]
    fn a_name_without_address_is_told() {
        let error = resolve(&mut Resolver::new("no-such-host.invalid", 1)).unwrap_err();
        assert!(error.starts_with("cannot resolve no-such-host.invalid: "), "{error}");
    }
}
