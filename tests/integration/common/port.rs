//! Ports that stay ours.

use std::net::{Ipv4Addr, TcpListener};
use std::sync::atomic::{AtomicU16, Ordering};

/// Below what the kernel hands out for outgoing connections, so that a port that is closed for a while, because
/// a server is down on purpose, is not taken by somebody's connection meanwhile.
const FIRST: u16 = 10_000;
const COUNT: u16 = 20_000;

/// A port of the loopback where nobody listens, not given out before by this process.
///
/// # Panics
/// If all are taken.
pub fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Test processes that run side by side begin at different places.
    let offset = std::process::id().wrapping_mul(7919) % u32::from(COUNT);
    (0..COUNT)
        .map(|_| {
            let place = (offset + u32::from(NEXT.fetch_add(1, Ordering::Relaxed))) % u32::from(COUNT);
            FIRST + u16::try_from(place).unwrap()
        })
        .find(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok())
        .expect("a free port")
}
