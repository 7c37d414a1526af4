//! URLs of receivers: what makes them valid, and what of them is no secret.

use std::net::Ipv6Addr;

/// A URL, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Url<'t> {
    scheme: &'static str,
    user_info: Option<&'t str>,
    host: &'t str,
    port: Option<&'t str>,
    path: &'t str,
    query: Option<&'t str>,
}

impl<'t> Url<'t> {
    /// Takes a URL apart. The reason for a refusal quotes nothing of it, since URLs hold secrets.
    pub(super) fn parse(text: &'t str) -> Result<Self, &'static str> {
        let (scheme, rest) =
            split_scheme(text).ok_or("must be a URL that starts with http:// or https://")?;
        if text.len() > 4000 {
            return Err("must be at most 4000 bytes long");
        }
        if !rest.bytes().all(|byte| byte.is_ascii_graphic() && !br#""<>\^`{|}"#.contains(&byte)) {
            return Err("holds a character that must be percent-encoded in a URL");
        }
        if rest.contains('#') {
            return Err("must not have a fragment (\"#\"): it is never sent");
        }
        let authority_ends = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, rest) = rest.split_at(authority_ends);
        let (user_info, host) = match authority.rsplit_once('@') {
            Some((user_info, host)) => (Some(user_info), host),
            None => (None, authority),
        };
        let (host, port) = split_port(host)?;
        let (path, query) = match rest.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (rest, None),
        };
        if text.parse::<ureq::http::Uri>().is_err() {
            return Err("is not a URL");
        }
        Ok(Self { scheme, user_info, host, port, path, query })
    }

    /// Takes a base apart, to which a path will be appended.
    pub(super) fn parse_base(text: &'t str) -> Result<Self, &'static str> {
        let url = Self::parse(text)?;
        if url.query.is_some() {
            Err("must not have a query (\"?\"): a path is appended to it")
        } else {
            Ok(url)
        }
    }

    pub(super) fn origin(&self) -> String {
        Url { path: "", ..self.clone() }.public()
    }

    /// Whether it holds a user or a password.
    pub(super) fn has_credentials(&self) -> bool {
        self.user_info.is_some()
    }

    /// The URL without user, password and query.
    pub(super) fn public(&self) -> String {
        let port = self.port.map(|port| format!(":{port}")).unwrap_or_default();
        format!("{}://{}{port}{}", self.scheme, self.host.to_ascii_lowercase(), self.path)
    }

    /// The URL without what looks like credentials, so that a changed token leaves the receiver what it is.
    pub(super) fn identity(&self) -> String {
        let parameters = self.query.into_iter().flat_map(|query| query.split('&'));
        let kept: Vec<&str> = parameters.filter(|parameter| !is_credential(parameter)).collect();
        format!("{}?{}", self.public(), kept.join("&"))
    }
}

fn split_scheme(text: &str) -> Option<(&'static str, &str)> {
    let (scheme, rest) = text.split_once("://")?;
    let known = ["http", "https"].into_iter().find(|known| scheme.eq_ignore_ascii_case(known))?;
    Some((known, rest))
}

fn split_port(authority: &str) -> Result<(&str, Option<&str>), &'static str> {
    let host_ends = if authority.starts_with('[') {
        let end = authority.find(']').ok_or("has an IPv6 address without its closing bracket")?;
        if authority[1..end].parse::<Ipv6Addr>().is_err() {
            return Err("has no valid IPv6 address between its brackets");
        }
        end + 1
    } else {
        authority.find(':').unwrap_or(authority.len())
    };
    let (host, rest) = authority.split_at(host_ends);
    if host.is_empty() {
        return Err("has no host");
    }
    if rest.is_empty() {
        return Ok((host, None));
    }
    let port = rest.strip_prefix(':').unwrap_or(rest);
    match port.parse::<u16>() {
        Ok(1..) if port.bytes().all(|byte| byte.is_ascii_digit()) => Ok((host, Some(port))),
        Ok(_) | Err(_) => Err("has a port that is not a number from 1 to 65535"),
    }
}

/// Whether a query's parameter is named like a credential.
fn is_credential(parameter: &str) -> bool {
    const WORDS: [&str; 7] = ["token", "key", "secret", "pass", "auth", "sig", "cred"];
    let name = parameter.split('=').next().unwrap_or_default().to_ascii_lowercase();
    WORDS.iter().any(|word| name.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_taken_apart() {
        let check = |text: &str, public: &str, identity: &str| {
            let url = Url::parse(text).unwrap();
            assert_eq!((url.public().as_str(), url.identity().as_str()), (public, identity), "{text}");
        };
        check("http://h", "http://h", "http://h?");
        check(
            "HTTPS://User:Pw@Host.Example:8443/A/b?x=1",
            "https://host.example:8443/A/b",
            "https://host.example:8443/A/b?x=1",
        );
        check("https://h/a?team=ops&token=t0p&api_key=k", "https://h/a", "https://h/a?team=ops");
        check("http://[::1]:80/", "http://[::1]:80/", "http://[::1]:80/?");
        check("http://h?a=b@c", "http://h", "http://h?a=b@c");
        check("http://u:p@w@h/", "http://h/", "http://h/?");
    }

    #[test]
    fn wrong_urls_are_refused() {
        let check = |text: &str, expected: &str| {
            assert_eq!(Url::parse_base(text).unwrap_err(), expected, "{text}");
        };
        let scheme = "must be a URL that starts with http:// or https://";
        let port = "has a port that is not a number from 1 to 65535";
        let encode = "holds a character that must be percent-encoded in a URL";
        check("", scheme);
        check("ftp://h", scheme);
        check("h:80", scheme);
        check("//h/a", scheme);
        check("http://", "has no host");
        check("http://:80", "has no host");
        check("http://u@", "has no host");
        check("http:///path", "has no host");
        check("http://h:0", port);
        check("http://h:", port);
        check("http://h:+80", port);
        check("http://h:65536/", port);
        check("http://a:b:80/", port);
        check("http://[::1]x/", port);
        check("http://[::1/", "has an IPv6 address without its closing bracket");
        check("http://[x]/", "has no valid IPv6 address between its brackets");
        check("http://h/a b", encode);
        check("http://h/\n", encode);
        check("http://hö/", encode);
        check("http://h/#x", "must not have a fragment (\"#\"): it is never sent");
        check("http://h/?x", "must not have a query (\"?\"): a path is appended to it");
        check(&format!("http://h/{}", "x".repeat(5000)), "must be at most 4000 bytes long");
    }
}
