//! A line-based connection, in the clear or in TLS.

use std::io::{self, ErrorKind, Read, Write};
use std::time::Instant;

use rustls::{ClientConnection, StreamOwned};

use crate::net::Timed;

/// How long an answer may be, in bytes. No honest one comes near it.
const REPLY: usize = 64 * 1024;

/// One answer as its bytes come in.
#[derive(Debug, Default)]
pub(super) struct Reply(String);

impl Reply {
    /// Takes whole lines off the start of what was not read yet, to the one whose code no hyphen follows; then gives the
    /// answer. Its lines end in CRLF, however they came.
    ///
    /// # Errors
    /// It is too long.
    pub(super) fn take(&mut self, unread: &mut Vec<u8>) -> io::Result<Option<String>> {
        while let Some(end) = unread.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = unread.drain(..=end).collect();
            let line = String::from_utf8_lossy(&line);
            let line = line.trim_end_matches(['\r', '\n']);
            self.0.push_str(line);
            // A bare code is short for a code and no text.
            self.0.push_str(if line.len() == 3 { " \r\n" } else { "\r\n" });
            if line.as_bytes().get(3) != Some(&b'-') {
                return Ok(Some(std::mem::take(&mut self.0)));
            }
            if self.0.len() > REPLY {
                return Err(ErrorKind::InvalidData.into());
            }
        }
        if unread.len() > REPLY { Err(ErrorKind::InvalidData.into()) } else { Ok(None) }
    }
}

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

    /// Reads one answer.
    pub(super) fn read_reply(&mut self) -> io::Result<String> {
        let mut reply = Reply::default();
        loop {
            if let Some(reply) = reply.take(&mut self.unread)? {
                return Ok(reply);
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
