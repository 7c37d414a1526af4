//! From a host list to one connected socket, with a bound on every step.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, bounded};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};

/// How long one name may take to resolve and one address to connect. A client that lists three servers, two of
/// them dead, is at the third within a few seconds.
pub const STEP: Duration = Duration::from_secs(2);

/// A connection to one server, encrypted or not.
#[derive(Debug)]
pub enum Wire {
    /// As it is.
    Plain(TcpStream),
    /// In TLS.
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

/// Resolves names off-thread, since the system's resolver has no deadline.
#[derive(Debug, Default)]
pub struct Resolver {
    /// Look-ups that outlived their deadline: at most one a name, so that a dead name server costs a thread a
    /// name and not one an attempt.
    pending: HashMap<String, Receiver<io::Result<Vec<SocketAddr>>>>,
}

impl Resolver {
    /// All addresses of a host, within [`STEP`].
    ///
    /// # Errors
    /// In words that name the host.
    pub fn resolve(&mut self, host: &str, port: u16) -> Result<Vec<SocketAddr>, String> {
        if let Ok(address) = host.parse::<IpAddr>() {
            return Ok(vec![SocketAddr::new(address, port)]);
        }
        let answer = match self.pending.remove(host) {
            Some(answer) => answer,
            None => look_up(host).map_err(|e| format!("cannot start a look-up of {host}: {e}"))?,
        };
        match answer.recv_timeout(STEP) {
            Ok(Ok(addresses)) if addresses.is_empty() => Err(format!("{host} has no address")),
            Ok(Ok(mut addresses)) => {
                // The look-up may have been begun for another port of the same host.
                addresses.iter_mut().for_each(|address| address.set_port(port));
                Ok(addresses)
            }
            Ok(Err(e)) => Err(format!("cannot resolve {host}: {e}")),
            Err(RecvTimeoutError::Timeout) => {
                self.pending.insert(host.to_owned(), answer);
                Err(format!("cannot resolve {host}: no answer within {} s", STEP.as_secs()))
            }
            Err(RecvTimeoutError::Disconnected) => Err(format!("cannot resolve {host}: the look-up failed")),
        }
    }
}

fn look_up(host: &str) -> io::Result<Receiver<io::Result<Vec<SocketAddr>>>> {
    let (answer, receiver) = bounded(1);
    let name = host.to_owned();
    thread::Builder::new().name("zk-resolve".to_owned()).spawn(move || {
        let addresses = (name.as_str(), 0).to_socket_addrs().map(Iterator::collect);
        // Nobody listens any more if the session thread has ended, which is no fault.
        answer.send(addresses).ok();
    })?;
    Ok(receiver)
}

/// Connects to one address within [`STEP`], and as long again for TLS.
///
/// # Errors
/// In words that name the address.
pub fn connect(address: SocketAddr, host: &str, tls: Option<&Arc<ClientConfig>>) -> Result<Wire, String> {
    let plain = || -> io::Result<TcpStream> {
        let socket = TcpStream::connect_timeout(&address, STEP)?;
        socket.set_nodelay(true)?;
        Ok(socket)
    };
    let socket = plain().map_err(|e| format!("cannot connect to {address}: {e}"))?;
    let Some(config) = tls else { return Ok(Wire::Plain(socket)) };
    let stream =
        handshake(socket, host, config).map_err(|e| format!("no TLS with {address} ({host}): {e}"))?;
    Ok(Wire::Tls(Box::new(stream)))
}

fn handshake(
    mut socket: TcpStream,
    host: &str,
    config: &Arc<ClientConfig>,
) -> Result<StreamOwned<ClientConnection, TcpStream>, String> {
    let name = ServerName::try_from(host.to_owned()).map_err(|e| e.to_string())?;
    let mut connection = ClientConnection::new(Arc::clone(config), name).map_err(|e| e.to_string())?;
    let mut shake = || -> io::Result<()> {
        socket.set_read_timeout(Some(STEP))?;
        socket.set_write_timeout(Some(STEP))?;
        while connection.is_handshaking() {
            connection.complete_io(&mut socket)?;
        }
        Ok(())
    };
    shake().map_err(|e| {
        if e.kind() == io::ErrorKind::WouldBlock {
            return format!("the handshake had no answer within {} s", STEP.as_secs());
        }
        e.to_string()
    })?;
    Ok(StreamOwned::new(connection, socket))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_need_no_look_up() {
        let mut resolver = Resolver::default();
        assert_eq!(resolver.resolve("::1", 7).unwrap(), ["[::1]:7".parse().unwrap()]);
        assert_eq!(resolver.resolve("127.0.0.1", 8).unwrap(), ["127.0.0.1:8".parse().unwrap()]);
    }

    #[test]
    fn a_name_without_address_is_told() {
        let error = Resolver::default().resolve("no-such-host.invalid", 1).unwrap_err();
        assert!(error.starts_with("cannot resolve no-such-host.invalid: "), "{error}");
    }
}
