//! Which HTTP proxy a URL is reached by, from the environment, in the way that curl made common.

use std::net::IpAddr;

use ureq::http::Uri;
use ureq::{Proxy, ProxyProtocol};

/// A variable of the environment.
pub(super) type Env<'a> = &'a dyn Fn(&str) -> Option<String>;

/// The proxy for a URL: `HTTPS_PROXY` is for `https`, `HTTP_PROXY` for `http`, `ALL_PROXY` for either, in upper
/// or lower case; `NO_PROXY` names the hosts that are reached without. An error says what is wrong with the
/// variable, and not what it holds, since that may be a password.
pub(super) fn choose(url: &str, env: Env<'_>) -> Result<Option<Proxy>, &'static str> {
    let Ok(url) = url.parse::<Uri>() else { return Ok(None) };
    let Some(host) = url.host() else { return Ok(None) };
    let own: [&str; 2] = if url.scheme_str() == Some("https") {
        ["HTTPS_PROXY", "https_proxy"]
    } else {
        ["HTTP_PROXY", "http_proxy"]
    };
    let first =
        |names: &[&str]| names.iter().find_map(|name| env(name).filter(|value| !value.trim().is_empty()));
    let Some(proxy) = first(&own).or_else(|| first(&["ALL_PROXY", "all_proxy"])) else { return Ok(None) };
    let without = first(&["NO_PROXY", "no_proxy"]).unwrap_or_default();
    if without.split([',', ' ']).any(|entry| names(entry.trim(), host, url.port_u16())) {
        return Ok(None);
    }
    let proxy = Proxy::new(proxy.trim()).map_err(|_| "the proxy that the environment names is not a URL")?;
    if matches!(proxy.protocol(), ProxyProtocol::Http | ProxyProtocol::Https) {
        Ok(Some(proxy))
    } else {
        Err("the proxy that the environment names is neither http:// nor https://")
    }
}

/// Whether an entry of `NO_PROXY` names a host: a domain is all below it, too; a port, if given, counts.
fn names(entry: &str, host: &str, port: Option<u16>) -> bool {
    if entry == "*" {
        return true;
    }
    let host = host.trim_start_matches('[').trim_end_matches(']').trim_end_matches('.').to_ascii_lowercase();
    let bare = entry.trim_start_matches('[').trim_end_matches(']');
    if let Ok(host) = host.parse::<IpAddr>() {
        return bare.parse() == Ok(host);
    }
    let (name, only) = match entry.rsplit_once(':') {
        Some((name, number)) => (name, Some(number.parse::<u16>().ok())),
        None => (entry, None),
    };
    let name = name.trim_start_matches('*').trim_matches('.').to_ascii_lowercase();
    let fits = host == name || host.strip_suffix(&name).is_some_and(|rest| rest.ends_with('.'));
    !name.is_empty() && fits && only.is_none_or(|only| only.is_some() && only == port)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_scheme_has_its_variable() {
        let check = |url: &str, variables: &[(&str, &str)], expected: Result<Option<&str>, ()>| {
            let env = |name: &str| {
                variables.iter().find(|(other, _)| *other == name).map(|(_, value)| (*value).to_owned())
            };
            let found = choose(url, &env).map_err(|_| ());
            let found = found.as_ref().map(|proxy| proxy.as_ref().map(Proxy::host)).map_err(|error| *error);
            assert_eq!(found, expected, "{url} {variables:?}");
        };
        let both = [("HTTPS_PROXY", "http://s:1"), ("HTTP_PROXY", "http://p:1")];
        check("http://h/x", &[], Ok(None));
        check("https://h/x", &both, Ok(Some("s")));
        check("http://h/x", &both, Ok(Some("p")));
        check("http://h/x", &both[..1], Ok(None));
        check("https://h/x", &both[1..], Ok(None));
        check("http://h/x", &[("http_proxy", "p:3128")], Ok(Some("p")));
        check("https://h/x", &[("all_proxy", "http://u:p@a:1")], Ok(Some("a")));
        check("https://h/x", &[("HTTPS_PROXY", " "), ("ALL_PROXY", "a:1")], Ok(Some("a")));
        check("https://h/x", &[("HTTPS_PROXY", "socks5://a:1")], Err(()));
        check("https://h/x", &[("HTTPS_PROXY", "http://")], Err(()));
        check("https://h.in/x", &[("HTTPS_PROXY", "a:1"), ("NO_PROXY", "x, in")], Ok(None));
        check("https://h.in/x", &[("HTTPS_PROXY", "socks5://a:1"), ("no_proxy", ".in")], Ok(None));
    }

    #[test]
    fn hosts_are_named_by_domain_address_and_port() {
        let check =
            |entry, host, port, expected| assert_eq!(names(entry, host, port), expected, "{entry} {host}");
        check("*", "h", None, true);
        check("", "h", None, false);
        check(".", "h", None, false);
        check("example.com", "example.com", None, true);
        check("Example.COM", "a.b.example.com.", None, true);
        check("example.com", "badexample.com", None, false);
        check(".example.com", "a.example.com", None, true);
        check("*.example.com", "a.example.com", None, true);
        check("a.example.com", "example.com", None, false);
        check("127.0.0.1", "127.0.0.1", Some(80), true);
        check("0.0.1", "127.0.0.1", None, false);
        check("::1", "[::1]", None, true);
        check("[::1]", "[::1]", None, true);
        check("h:8080", "h", Some(8080), true);
        check("h:8080", "h", Some(80), false);
        check("h:8080", "h", None, false);
    }
}
