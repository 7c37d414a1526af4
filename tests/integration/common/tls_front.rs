//! TLS before a server that speaks none.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::authority::Certificate;
use super::server::Server;

/// A longer request is cut.
const LONGEST: usize = 32 << 20;

/// Takes one request a connection, and passes on what is answered.
pub struct TlsFront(Server);

impl TlsFront {
    /// Starts one before a port of the loopback.
    ///
    /// # Panics
    /// If the certificate cannot be used.
    pub fn start(certificate: &Certificate, to: u16) -> Self {
        let chain = CertificateDer::pem_file_iter(&certificate.certificate).unwrap();
        let key = PrivateKeyDer::from_pem_file(&certificate.key).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config =
            ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let config = config.with_no_client_auth().with_single_cert(chain.map(Result::unwrap).collect(), key);
        let config = Arc::new(config.unwrap());
        Self(Server::start(move |stream| {
            let session = ServerConnection::new(Arc::clone(&config)).unwrap();
            // A client that goes away in the middle, or does not like us, ends its own connection only.
            drop(pass(StreamOwned::new(session, stream), to));
        }))
    }

    /// `https://name:port` and this path.
    pub fn url(&self, name: &str, path: &str) -> String {
        format!("https://{name}:{}{path}", self.0.port())
    }
}

fn pass(mut near: StreamOwned<ServerConnection, TcpStream>, to: u16) -> std::io::Result<()> {
    let request = read_message(&mut near)?;
    let mut far = TcpStream::connect((Ipv4Addr::LOCALHOST, to))?;
    far.write_all(&request)?;
    // Its end stays open: a sink takes one that closes its half for one that has hung up.
    near.write_all(&read_message(&mut far)?)?;
    near.conn.send_close_notify();
    near.flush()
}

/// A request or an answer, whose body has the length that its head tells.
fn read_message(from: &mut impl Read) -> std::io::Result<Vec<u8>> {
    let mut message = Vec::new();
    while !is_whole(&message) && message.len() < LONGEST {
        let mut buffer = [0; 4096];
        let amount = from.read(&mut buffer)?;
        if amount == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        message.extend_from_slice(&buffer[..amount]);
    }
    Ok(message)
}

fn is_whole(message: &[u8]) -> bool {
    let text = String::from_utf8_lossy(message);
    let Some((head, _)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().unwrap())
    });
    message.len() >= head.len() + 4 + length.unwrap_or(0)
}
