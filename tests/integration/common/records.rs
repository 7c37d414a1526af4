//! ZooKeeper's way of writing numbers, texts and lists.

use std::io::{self, Read as _};
use std::net::TcpStream;

use super::client::Access;

/// What is sent: numbers big-endian, texts with their length before them.
pub struct Body(pub Vec<u8>);

impl Body {
    pub fn new() -> Self {
        Self(Vec::new())
    }

    pub fn byte(mut self, value: u8) -> Self {
        self.0.push(value);
        self
    }

    pub fn int(mut self, value: i32) -> Self {
        self.0.extend(value.to_be_bytes());
        self
    }

    pub fn long(mut self, value: i64) -> Self {
        self.0.extend(value.to_be_bytes());
        self
    }

    pub fn bytes(self, value: &[u8]) -> Self {
        let mut body = self.int(i32::try_from(value.len()).unwrap());
        body.0.extend_from_slice(value);
        body
    }

    pub fn text(self, value: &str) -> Self {
        self.bytes(value.as_bytes())
    }

    /// A list of one entry: permissions, scheme, identity.
    pub fn access(self, access: Access) -> Self {
        let (read, all) = (1, 31);
        match access {
            Access::Open => self.int(1).int(all).text("world").text("anyone"),
            Access::ReadOnly => self.int(1).int(read).text("world").text("anyone"),
            Access::WriteOnly => self.int(1).int(all & !read).text("world").text("anyone"),
            Access::Creator => self.int(1).int(all).text("auth").text(""),
        }
    }

    pub fn framed(&self) -> Vec<u8> {
        let mut frame = i32::try_from(self.0.len()).unwrap().to_be_bytes().to_vec();
        frame.extend_from_slice(&self.0);
        frame
    }
}

/// What was answered, read from the front.
pub struct Answer(std::vec::IntoIter<u8>);

impl Answer {
    pub fn read(stream: &mut TcpStream) -> io::Result<Self> {
        let mut length = [0; 4];
        stream.read_exact(&mut length)?;
        let mut frame = vec![0; usize::try_from(i32::from_be_bytes(length)).unwrap()];
        stream.read_exact(&mut frame)?;
        Ok(Self(frame.into_iter()))
    }

    pub fn take<const N: usize>(&mut self) -> [u8; N] {
        std::array::from_fn(|_| self.0.next().expect("a longer answer"))
    }

    pub fn int(&mut self) -> i32 {
        i32::from_be_bytes(self.take())
    }

    pub fn long(&mut self) -> i64 {
        i64::from_be_bytes(self.take())
    }

    pub fn next_text(&mut self) -> String {
        let length = usize::try_from(self.int()).unwrap_or(0);
        String::from_utf8(self.0.by_ref().take(length).collect()).expect("text in UTF-8")
    }

    pub fn text(mut self) -> String {
        self.next_text()
    }
}
