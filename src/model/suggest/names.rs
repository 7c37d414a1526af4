//! What a znode's name tells of it.

/// Whether the name is made anew for each instance: a number, a sequence, a UUID, a host with its port.
pub(super) fn is_instance(name: &str) -> bool {
    let digits = name.len() - unnumbered(name).len();
    let is_port = |port: &str| port.starts_with(|c: char| c.is_ascii_digit());
    digits >= 10
        || digits == name.len()
        || name.as_bytes().windows(36).any(is_uuid)
        || name.split([':', ',']).skip(1).any(is_port)
}

/// Whether it waits for a lock or a semaphore, as the recipes of Curator and kazoo name such znodes.
pub(super) fn is_lock(name: &str) -> bool {
    let name = unnumbered(name);
    ["lock-", "lock__", "lease-", "__READ__", "__WRIT__"].iter().any(|end| name.ends_with(end))
}

fn unnumbered(name: &str) -> &str {
    name.trim_end_matches(|c: char| c.is_ascii_digit())
}

fn is_uuid(bytes: &[u8]) -> bool {
    bytes.iter().enumerate().all(|(place, byte)| match place {
        8 | 13 | 18 | 23 => *byte == b'-',
        _ => byte.is_ascii_hexdigit(),
    })
}
