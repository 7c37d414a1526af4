//! A line-based connection, in the clear or in TLS.

use std::io::{self, ErrorKind, Read, Write};
use std::time::Instant;

use rustls::{ClientConnection, StreamOwned};

use crate::net::Timed;

/// How long an answer may be, in bytes. No honest one comes near it.
const REPLY: usize = 64 * 1024;

/// The connection, and what came in and was not read yet.
#[derive(Debug)]
pub(super) struct Wire {
    stream: Stream,
    unread: Vec<u8>,
}

#[derive(Debug)]
enum Stream {
    Plain(Timed),
    Tls(Box<StreamOwned<ClientConnection, Timed>>),
}

impl Wire {
    pub(super) fn plain(stream: Timed) -> Self {
        Self { stream: Stream::Plain(stream), unread: Vec::new() }
    }

    /// The same connection in TLS, once the handshake is done. One that is in TLS already stays as it is.
    pub(super) fn encrypted(self, mut session: ClientConnection) -> io::Result<Self> {
        let Stream::Plain(mut stream) = self.stream else { return Ok(self) };
        stream.handshake(&mut session)?;
        let stream = Stream::Tls(Box::new(StreamOwned::new(session, stream)));
        Ok(Self { stream, unread: Vec::new() })
    }

    /// Sets the deadline of all that follows.
    pub(super) fn set_deadline(&mut self, deadline: Instant) {
        match &mut self.stream {
            Stream::Plain(stream) => stream.set_deadline(deadline),
            Stream::Tls(stream) => stream.sock.set_deadline(deadline),
        }
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.stream {
            Stream::Plain(stream) => stream.write_all(bytes),
            Stream::Tls(stream) => stream.write_all(bytes).and_then(|()| stream.flush()),
        }
    }

    /// Whether more came in than was read.
    pub(super) fn has_more(&self) -> bool {
        !self.unread.is_empty()
    }

    /// Reads one answer, to the line whose code no hyphen follows. Its lines end in CRLF, however they came.
    pub(super) fn read_reply(&mut self) -> io::Result<String> {
        let mut reply = String::new();
        loop {
            let line = self.read_line()?;
            let is_last = line.as_bytes().get(3) != Some(&b'-');
            reply.push_str(&line);
            // A bare code is short for a code and no text.
            reply.push_str(if line.len() == 3 { " \r\n" } else { "\r\n" });
            if is_last {
                return Ok(reply);
            }
            if reply.len() > REPLY {
                return Err(ErrorKind::InvalidData.into());
            }
        }
    }

    fn read_line(&mut self) -> io::Result<String> {
        loop {
            if let Some(end) = self.unread.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.unread.drain(..=end).collect();
                return Ok(String::from_utf8_lossy(&line).trim_end_matches(['\r', '\n']).to_owned());
            }
            if self.unread.len() > REPLY {
                return Err(ErrorKind::InvalidData.into());
            }
            self.read_more()?;
        }
    }

    fn read_more(&mut self) -> io::Result<()> {
        let mut buffer = [0; 4096];
        let amount = match &mut self.stream {
            Stream::Plain(stream) => stream.read(&mut buffer)?,
            Stream::Tls(stream) => stream.read(&mut buffer)?,
        };
        if amount == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        self.unread.extend_from_slice(&buffer[..amount]);
        Ok(())
    }
}
