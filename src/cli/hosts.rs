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

/// Reads `host:port,[::1]:port/chroot`. The chroot may stand behind the last host or behind each.
pub(super) fn parse(text: &str) -> Result<Hosts, String> {
    if text.contains(';') {
        return Err("separate hosts by commas, not by \";\"".to_owned());
    }
    if let Some((scheme, _)) = text.split_once("://") {
        return Err(format!("leave out \"{}://\": write host:port", scheme.trim()));
    }
    let (mut hosts, mut chroots) = (Vec::new(), Vec::new());
    for part in text.split(',') {
        let (host, chroot) = part.split_at(part.find('/').unwrap_or(part.len()));
        hosts.push(parse_host(host.trim())?);
        chroots.push(parse_chroot(chroot.trim())?);
    }
    let chroot = chroots.pop().flatten();
    let all_alike = chroots.iter().all(|other| *other == chroot);
    if !all_alike && chroots.iter().any(Option::is_some) {
        return Err("the hosts have different chroots: write one, behind the last host".to_owned());
    }
    Ok(Hosts { hosts, chroot: chroot.map(str::to_owned) })
}

fn parse_chroot(text: &str) -> Result<Option<&str>, String> {
    if text.is_empty() || text == "/" {
        return Ok(None);
    }
    path::check(text).map_err(|fault| format!("the chroot is wrong: {fault}"))?;
    Ok(Some(text))
}

fn parse_host(text: &str) -> Result<(String, u16), String> {
    if text.is_empty() {
        return Err("a host is empty: write host:port, with a comma between hosts".to_owned());
    }
    if let Some(rest) = text.strip_prefix('[') {
        let (address, port) =
            rest.split_once(']').ok_or_else(|| format!("'{text}' lacks its closing bracket"))?;
        if !is_ipv6(address) {
            return Err(format!("'{address}' is not an IPv6 address"));
        }
        return match port.strip_prefix(':') {
            None if port.is_empty() => Ok((address.to_owned(), DEFAULT_PORT)),
            None => Err(format!("'{text}' has something else than a port behind its bracket")),
            Some(port) => Ok((address.to_owned(), parse_port(port, text)?)),
        };
    }
    if is_ipv6(text) {
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

/// Whether it is an IPv6 address, perhaps with a scope: the name or the number of an interface.
fn is_ipv6(text: &str) -> bool {
    let (address, scope) = text.split_once('%').unwrap_or((text, "0"));
    let is_scope = |scope: &str| {
        !scope.is_empty() && scope.bytes().all(|byte| byte.is_ascii_graphic() && !b"%/[]".contains(&byte))
    };
    address.parse::<Ipv6Addr>().is_ok() && is_scope(scope)
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
        check("[fe80::1%eth0]:2181,[fe80::1%2]", &[("fe80::1%eth0", 2181), ("fe80::1%2", 2181)], None);
        check(" a:1 , b:2 /x ", &[("a", 1), ("b", 2)], Some("/x"));
        check("a:1/app ", &[("a", 1)], Some("/app"));
        check("a:1/app,b:2/app", &[("a", 1), ("b", 2)], Some("/app"));
        check("a:1/,b:2/", &[("a", 1), ("b", 2)], None);
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
        check("a:1;b:2", "separate hosts by commas, not by \";\"");
        check("http://a:1,b:2", "leave out \"http://\": write host:port");
        let different = "the hosts have different chroots: write one, behind the last host";
        check("a:1/x,b:2/y", different);
        check("a:1/x,b:2", different);
        check("a/x,b,c/x", different);
        check("[fe80::1%]:1", "'fe80::1%' is not an IPv6 address");
        check("[fe80::1%a%b]:1", "'fe80::1%a%b' is not an IPv6 address");
        check("fe80::1%eth0", "an IPv6 address must stand in brackets: [fe80::1%eth0]");
        check("a/x/", "the chroot is wrong: a path must not end in \"/\"");
        check("a//x", "the chroot is wrong: a path must not have an empty component (\"//\")");
    }
}
