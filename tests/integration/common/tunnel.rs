//! An HTTP proxy that tunnels (CONNECT), as those between a data centre and the world do.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, Mutex};

use super::server::Server;

/// The proxy. It leads every tunnel to one port of the loopback, and keeps what it was asked for.
pub struct Tunnel {
    server: Server,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Tunnel {
    /// Starts one whose tunnels all end at `address`.
    pub fn to(address: &str) -> Self {
        let heads = Arc::new(Mutex::new(Vec::new()));
        let (kept, address) = (Arc::clone(&heads), address.to_owned());
        let server = Server::start(move |stream| {
            // A client that goes away in the middle ends its own connection only.
            drop(serve(&stream, &address, &kept));
        });
        Self { server, heads }
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.server.port()
    }

    /// The head of each request for a tunnel.
    pub fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }
}

fn serve(mut near: &TcpStream, to: &str, heads: &Mutex<Vec<String>>) -> std::io::Result<()> {
    let mut input = BufReader::new(near.try_clone()?);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if input.read_line(&mut head)? == 0 {
            return Ok(());
        }
    }
    heads.lock().unwrap().push(head);
    let mut far = TcpStream::connect(to)?;
    near.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")?;
    let (mut back, mut out) = (far.try_clone()?, near.try_clone()?);
    // Ends with either side's connection.
    let answers = std::thread::spawn(move || {
        drop(std::io::copy(&mut back, &mut out));
        drop(out.shutdown(Shutdown::Both));
    });
    drop(std::io::copy(&mut input, &mut far));
    drop(far.shutdown(Shutdown::Write));
    drop(answers.join());
    Ok(())
}
