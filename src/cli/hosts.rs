//! The list of ZooKeeper's hosts.

use std::net::Ipv6Addr;

use crate::model::path;

/// ZooKeeper's client port, for hosts that are named without one.
const DEFAULT_PORT: u16 = 2181;

/// Hosts and ports, and what stands behind them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Hosts {
    pub(super) hosts: Vec<(String, u16)>,
    pub(super) chroot: Option<String>,
}

/// Reads `host:port,[::1]:port/chroot`.
pub(super) fn parse(text: &str) -> Result<Hosts, String> {
    let chroot_starts = text.find('/').unwrap_or(text.len());
    let (list, chroot) = text.split_at(chroot_starts);
    let chroot = match chroot {
        "" | "/" => None,
        chroot => {
            path::check(chroot).map_err(|fault| format!("the chroot is wrong: {fault}"))?;
            Some(chroot.to_owned())
        }
    };
    let hosts = list.split(',').map(|host| parse_host(host.trim())).collect::<Result<_, _>>()?;
    Ok(Hosts { hosts, chroot })
}

fn parse_host(text: &str) -> Result<(String, u16), String> {
    if text.is_empty() {
        return Err("a host is empty: write host:port, with a comma between hosts".to_owned());
    }
    if let Some(rest) = text.strip_prefix('[') {
        let (address, port) =
            rest.split_once(']').ok_or_else(|| format!("'{text}' lacks its closing bracket"))?;
        if address.parse::<Ipv6Addr>().is_err() {
            return Err(format!("'{address}' is not an IPv6 address"));
        }
        return match port.strip_prefix(':') {
            None if port.is_empty() => Ok((address.to_owned(), DEFAULT_PORT)),
            None => Err(format!("'{text}' has something else than a port behind its bracket")),
            Some(port) => Ok((address.to_owned(), parse_port(port, text)?)),
        };
    }
    if text.parse::<Ipv6Addr>().is_ok() {
        return Err(format!("an IPv6 address must stand in brackets: [{text}]"));
    }
    let (host, port) = match text.split_once(':') {
        Some((host, port)) => (host, parse_port(port, text)?),
        None => (text, DEFAULT_PORT),
    };
    if host.is_empty() || !host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte)) {
        return Err(format!("'{host}' is not a host name"));
    }
    Ok((host.to_owned(), port))
}

fn parse_port(port: &str, text: &str) -> Result<u16, String> {
    let is_number = port.bytes().all(|byte| byte.is_ascii_digit());
    let number = port.parse::<u16>().ok().filter(|number| is_number && *number > 0);
    number.ok_or_else(|| format!("'{text}' has a port that is not a number from 1 to 65535"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_read() {
        let check = |text: &str, hosts: &[(&str, u16)], chroot: Option<&str>| {
            let hosts = hosts.iter().map(|(host, port)| ((*host).to_owned(), *port)).collect();
            assert_eq!(parse(text), Ok(Hosts { hosts, chroot: chroot.map(str::to_owned) }), "{text}");
        };
        check("localhost:2181", &[("localhost", 2181)], None);
        check("a", &[("a", 2181)], None);
        check("a:1,b:2, c:3/x/y", &[("a", 1), ("b", 2), ("c", 3)], Some("/x/y"));
        check("127.0.0.1:65535/", &[("127.0.0.1", 65535)], None);
        check("[::1]:2182,[fe80::1]", &[("::1", 2182), ("fe80::1", 2181)], None);
    }

    #[test]
    fn wrong_hosts_are_refused() {
        let check = |text: &str, expected: &str| assert_eq!(parse(text).unwrap_err(), expected, "{text}");
        let empty = "a host is empty: write host:port, with a comma between hosts";
        check("", empty);
        check("a,", empty);
        check("/chroot", empty);
        check("a,,b", empty);
        check("a:", "'a:' has a port that is not a number from 1 to 65535");
        check("a:0", "'a:0' has a port that is not a number from 1 to 65535");
        check("a:+1", "'a:+1' has a port that is not a number from 1 to 65535");
        check("a:65536", "'a:65536' has a port that is not a number from 1 to 65535");
        check("a:1:2", "'a:1:2' has a port that is not a number from 1 to 65535");
        check(":2181", "'' is not a host name");
        check("a b:1", "'a b' is not a host name");
        check("::1", "an IPv6 address must stand in brackets: [::1]");
        check("[::1", "'[::1' lacks its closing bracket");
        check("[a]:1", "'a' is not an IPv6 address");
        check("[::1]1", "'[::1]1' has something else than a port behind its bracket");
        check("a/x/", "the chroot is wrong: a path must not end in \"/\"");
        check("a//x", "the chroot is wrong: a path must not have an empty component (\"//\")");
    }
}
