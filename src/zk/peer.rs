//! Whether the other end of a loopback connection belongs to this very process.

use std::fs;
use std::io;
use std::net::{SocketAddr, SocketAddrV4};

/// Whether `from`, connected to `to`, is a socket of this process.
///
/// The kernel's table of connections names the socket's inode; this process has it open or has not.
///
/// # Errors
/// If `/proc/self` cannot be read.
pub fn is_this_process(from: SocketAddr, to: SocketAddr) -> io::Result<bool> {
    let (SocketAddr::V4(from), SocketAddr::V4(to)) = (from, to) else { return Ok(false) };
    let table = fs::read_to_string("/proc/self/net/tcp")?;
    let Some(inode) = inode(&table, from, to) else { return Ok(false) };
    let wanted = format!("socket:[{inode}]");
    for entry in fs::read_dir("/proc/self/fd")? {
        // A descriptor may be closed by another thread while the list is read.
        let Ok(target) = fs::read_link(entry?.path()) else { continue };
        if target.as_os_str() == wanted.as_str() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The inode of the socket with these two addresses.
fn inode(table: &str, local: SocketAddrV4, remote: SocketAddrV4) -> Option<&str> {
    let (local, remote) = (hexadecimal(local), hexadecimal(remote));
    table.lines().find_map(|line| {
        let mut fields = line.split_ascii_whitespace().skip(1);
        if fields.next()? != local || fields.next()? != remote {
            return None;
        }
        fields.nth(6)
    })
}

/// An address as the kernel's table has it: the bytes of the address in this machine's order.
fn hexadecimal(address: SocketAddrV4) -> String {
    format!("{:08X}:{:04X}", u32::from_ne_bytes(address.ip().octets()), address.port())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream};
    use std::process::{Command, Stdio};

    #[test]
    fn own_connections_are_known_and_others_are_not() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let here = listener.local_addr().unwrap();
        let own = TcpStream::connect(here).unwrap();
        assert!(is_this_process(own.local_addr().unwrap(), here).unwrap());

        let script = format!("exec 3<>/dev/tcp/127.0.0.1/{}; read -r -u 3 line", here.port());
        let mut other = Command::new("bash").args(["-c", &script]).stdin(Stdio::null()).spawn().unwrap();
        listener.accept().unwrap();
        let (_stream, from) = listener.accept().unwrap();
        assert!(!is_this_process(from, here).unwrap());
        other.kill().unwrap();
        other.wait().unwrap();
    }
}
