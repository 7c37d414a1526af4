//! The mail server.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::address;
use super::document::Value;
use super::located::{Located, shown};
use super::map::Map;
use super::suggestion::did_you_mean;
use super::template::Purpose;
use super::validator::{Reported, Validator};
use crate::model::receiver::{Secret, Smtp, SmtpTls};

const KEYS: [&str; 10] =
    ["host", "port", "tls", "user", "password", "password_file", "ca_file", "from", "hello", "subject"];

impl Validator<'_> {
    /// The mail server that the map, or else the environment, or else nobody names. After an error it is not to
    /// be used.
    pub(super) fn smtp(&mut self, at: Option<Located<'_, '_>>) -> Smtp {
        let map = at.and_then(|at| self.map(at, "`smtp`", &KEYS));
        let host = self.smtp_host(map.as_ref());
        let port = self.smtp_port(map.as_ref());
        let tls = map.as_ref().and_then(|map| map.get("tls")).and_then(|at| self.smtp_tls(&at));
        let tls = tls.unwrap_or(SmtpTls::None);
        let credentials = map.as_ref().and_then(|map| self.smtp_credentials(map));
        let ca = map.as_ref().and_then(|map| map.get("ca_file")).and_then(|at| self.certificates(&at));
        let from = map.as_ref().and_then(|map| map.get("from")).and_then(|at| self.sender(&at));
        if let Some(at) = at
            && credentials.is_some()
            && tls == SmtpTls::None
            && !is_loopback(&host)
        {
            self.warn(&at, "the password is sent unencrypted: set `tls: starttls` or `tls: implicit`");
        }
        let hello = map.as_ref().and_then(|map| map.get("hello")).and_then(|at| self.hello(&at));
        let subject = map.as_ref().and_then(|map| map.get("subject"));
        let subject = subject.and_then(|at| self.template(&at, Purpose::Subject));
        Smtp { host, port, tls, ca, credentials, from: from.unwrap_or_else(default_sender), hello, subject }
    }

    fn smtp_host(&mut self, map: Option<&Map<'_, '_>>) -> String {
        const DEFAULT: &str = "localhost";
        const WRONG: &str = "must be a host name or an IP address, without a port";
        if let Some(at) = map.and_then(|map| map.get("host")) {
            let host = self.line(&at).unwrap_or(DEFAULT);
            return parse_host(host).unwrap_or_else(|| {
                self.error(&at, format!("{WRONG}; found \"{}\"", shown(host, 60)));
                DEFAULT.to_owned()
            });
        }
        let Some(host) = self.env("SMTP_HOST") else { return DEFAULT.to_owned() };
        parse_host(&host).unwrap_or_else(|| {
            self.env_error("SMTP_HOST", WRONG);
            DEFAULT.to_owned()
        })
    }

    fn smtp_port(&mut self, map: Option<&Map<'_, '_>>) -> u16 {
        const DEFAULT: u16 = 25;
        const WRONG: &str = "must be a port from 1 to 65535";
        if let Some(at) = map.and_then(|map| map.get("port")) {
            let number = if let Value::Integer(number) = at.value() { number } else { 0 };
            let port = u16::try_from(number).ok().filter(|port| *port > 0);
            return port.unwrap_or_else(|| {
                self.error(&at, WRONG);
                DEFAULT
            });
        }
        let Some(port) = self.env("SMTP_PORT") else { return DEFAULT };
        port.parse().ok().filter(|port| *port > 0).unwrap_or_else(|| {
            self.env_error("SMTP_PORT", WRONG);
            DEFAULT
        })
    }

    /// An environment variable; an empty one counts as none.
    fn env(&self, variable: &str) -> Option<String> {
        (self.env)(variable).filter(|value| !value.is_empty())
    }

    fn smtp_tls(&mut self, at: &Located<'_, '_>) -> Option<SmtpTls> {
        match self.text(at)? {
            "none" => Some(SmtpTls::None),
            "starttls" => Some(SmtpTls::StartTls),
            "implicit" => Some(SmtpTls::Implicit),
            other => {
                let hint = did_you_mean(other, &["none", "starttls", "implicit"]);
                let other = shown(other, 60);
                self.error(at, format!("must be none, starttls or implicit; found \"{other}\"{hint}"));
                None
            }
        }
    }

    fn smtp_credentials(&mut self, map: &Map<'_, '_>) -> Option<(String, Secret)> {
        let password = match self.secret(map, "password", "password_file") {
            Ok(password) => password,
            Err(Reported) => return None,
        };
        match (map.get("user"), password) {
            (Some(user), Some(password)) => Some((self.line(&user)?.to_owned(), password)),
            (Some(user), None) => {
                self.error(&user, "needs `password_file` or `password` beside it");
                None
            }
            (None, Some(_)) => {
                self.error(&map.at, "has a password and no `user`");
                None
            }
            (None, None) => None,
        }
    }

    pub(super) fn certificates(&mut self, at: &Located<'_, '_>) -> Option<Arc<[u8]>> {
        let pem = self.file(at)?;
        let mut count = 0;
        for certificate in CertificateDer::pem_slice_iter(&pem) {
            if certificate.is_err() {
                self.error(at, "names a file that is not valid PEM");
                return None;
            }
            count += 1;
        }
        if count == 0 {
            self.error(at, "names a file that holds no certificate in PEM");
            return None;
        }
        Some(pem)
    }

    fn hello(&mut self, at: &Located<'_, '_>) -> Option<String> {
        let text = self.line(at)?;
        if !is_hello(text) {
            let message = "must be a host name, such as zk1.example.com, or an address in brackets";
            self.error(at, format!("{message}; found \"{}\"", shown(text, 60)));
            return None;
        }
        Some(text.to_owned())
    }

    fn sender(&mut self, at: &Located<'_, '_>) -> Option<String> {
        let text = self.text(at)?;
        address::parse(text).map_err(|reason| self.error(at, format!("the address {reason}"))).ok()
    }
}

/// The host as it is connected to: an IPv6 address loses its brackets.
fn parse_host(text: &str) -> Option<String> {
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    let is_name = |name: &str| {
        name.len() <= 253
            && !name.is_empty()
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b))
    };
    (is_name(text) || bare.parse::<IpAddr>().is_ok()).then(|| bare.to_owned())
}

/// Whether a mail server can take this for a client's name: a domain, or an address literal of RFC 5321.
fn is_hello(text: &str) -> bool {
    if let Some(literal) = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        let v6 = literal.strip_prefix("IPv6:").is_some_and(|v6| v6.parse::<Ipv6Addr>().is_ok());
        return v6 || literal.parse::<Ipv4Addr>().is_ok();
    }
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    // A bare address is not what it looks like to a mail server.
    text.len() <= 253 && text.split('.').all(is_label) && text.parse::<Ipv4Addr>().is_err()
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn default_sender() -> String {
    let name = rustix::system::uname();
    let host = name.nodename().to_string_lossy().to_lowercase();
    address::parse(&format!("zk_monitor@{host}")).unwrap_or_else(|_| "zk_monitor@localhost".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_names_or_addresses() {
        let check =
            |text: &str, expected: Option<&str>| assert_eq!(parse_host(text).as_deref(), expected, "{text}");
        check("mail.example.com", Some("mail.example.com"));
        check("127.0.0.1", Some("127.0.0.1"));
        check("::1", Some("::1"));
        check("[::1]", Some("::1"));
        for wrong in ["", "mail:25", "smtp://mail", "ma il", "[mail]", &"x".repeat(300)] {
            check(wrong, None);
        }
    }

    #[test]
    fn a_mail_server_takes_a_name_or_an_address_in_brackets() {
        for right in ["zk1.example.com", "zk1", "1and1.com", "[192.0.2.1]", "[IPv6:2001:db8::1]"] {
            assert!(is_hello(right), "{right}");
        }
        let long = "x".repeat(64);
        for wrong in
            ["", ".", "a..b", "a_b", "-a", "a b", "192.0.2.1", "[a]", "[::1]", "a.b.", "mail:25", &long]
        {
            assert!(!is_hello(wrong), "{wrong}");
        }
    }

    #[test]
    fn the_default_sender_is_an_address() {
        assert!(address::parse(&default_sender()).is_ok());
        assert!(default_sender().starts_with("zk_monitor@"));
    }
}
