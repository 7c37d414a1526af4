//! Why an attempt failed, in words that may be shown to anybody: `/status` is open to the network.
//!
//! A reason holds no secret, no URL and no mail address. So the words of an error are never taken over as they
//! are; only what a server answers is, after all that could be told with it is taken out.

use std::error::Error;
use std::io;

use rustls::CertificateError;

use crate::model::printable::is_printable;

/// How much of what a server said is kept, in characters.
const SAID: usize = 200;

/// What a server said: one line, bounded, without the secrets, without anything that looks like a mail address
/// or a URL, and without these names where they stand as words of their own.
pub(super) fn said(text: &str, secrets: &[&str], names: &[&str]) -> String {
    // Before all else: what is hidden must not come together once these are gone.
    let mut text: String = text.chars().filter(|c| c.is_whitespace() || is_printable(*c)).collect();
    for secret in secrets.iter().filter(|secret| !secret.is_empty()) {
        text = text.replace(secret, "(secret)");
    }
    let words: Vec<&str> = text.split_whitespace().map(|word| shown(word, names)).collect();
    words.join(" ").chars().take(SAID).collect()
}

/// A word, or what stands in its place.
fn shown<'a>(word: &'a str, names: &[&str]) -> &'a str {
    let bare = word.trim_matches(|c: char| !c.is_alphanumeric());
    if word.contains("://") {
        "(URL)"
    } else if word.contains('@') || names.iter().any(|name| name.eq_ignore_ascii_case(bare)) {
        "(address)"
    } else {
        word
    }
}

/// An I/O error, with what TLS had to say if it came from there.
pub(super) fn io(error: &io::Error) -> String {
    let mut source = error.get_ref().map(|inner| inner as &(dyn Error + 'static));
    while let Some(inner) = source {
        if let Some(error) = inner.downcast_ref::<rustls::Error>() {
            return tls(error);
        }
        source = inner.source();
    }
    let kind = error.kind();
    if matches!(kind, io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock) {
        "timed out".to_owned()
    } else if kind == io::ErrorKind::UnexpectedEof {
        "the connection was closed".to_owned()
    } else if error.to_string().starts_with("failed to lookup address") {
        // The resolver's errors have no kind of their own.
        NO_SUCH_HOST.to_owned()
    } else {
        // The library has no words for some of what the system says, as that too many files are open. The system's own name
        // nobody.
        match error.raw_os_error() {
            Some(code) if kind.to_string() == UNCATEGORISED => {
                io::Error::from_raw_os_error(code).to_string().to_ascii_lowercase()
            }
            Some(_) | None => kind.to_string(),
        }
    }
}

/// What the library calls an error that it has no kind for.
const UNCATEGORISED: &str = "uncategorized error";

/// A host name that means nothing to the resolver.
pub(super) const NO_SUCH_HOST: &str = "the host name cannot be resolved";

/// A TLS error. Its own words can name the host; these do not.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "the library's errors; those that an operator meets are named"
)]
pub(super) fn tls(error: &rustls::Error) -> String {
    let rustls::Error::InvalidCertificate(certificate) = error else {
        return match error {
            rustls::Error::AlertReceived(alert) => format!("TLS: the server sent the alert {alert:?}"),
            _ => "TLS: the handshake failed".to_owned(),
        };
    };
    let why = match certificate {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => "has expired",
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => "is not valid yet",
        CertificateError::UnknownIssuer => "was issued by an unknown authority: is its CA missing?",
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "is for another name"
        }
        CertificateError::Revoked => "is revoked",
        _ => "is not valid",
    };
    format!("TLS: the server's certificate {why}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_confidential_is_kept_of_what_a_server_said() {
        let check = |text, expected| assert_eq!(said(text, &["s3cret", ""], &["ops"]), expected);
        check("5.1.1 <ops@example.com>: User unknown", "5.1.1 (address) User unknown");
        check("No such user 'Ops' stops here", "No such user (address) stops here");
        check("key s3cret/x is\r\n bad\u{7}", "key (secret)/x is bad");
        check("key s3\u{1}cret of o\u{7f}ps", "key (secret) of (address)");
        check("see https://example.com/hook?x=1 please", "see (URL) please");
        assert_eq!(said(&"x".repeat(10_000), &[], &[]).len(), SAID);
    }

    #[test]
    fn what_the_library_has_no_word_for_is_told_in_the_words_of_the_system() {
        let check = |errno: rustix::io::Errno, expected| {
            assert_eq!(io(&io::Error::from_raw_os_error(errno.raw_os_error())), expected);
        };
        check(rustix::io::Errno::MFILE, "too many open files (os error 24)");
        check(rustix::io::Errno::NFILE, "too many open files in system (os error 23)");
        check(rustix::io::Errno::CONNREFUSED, "connection refused");
    }

    #[test]
    fn tls_errors_do_not_name_the_host() {
        let name = rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer);
        let wrapped = io::Error::new(io::ErrorKind::InvalidData, name);
        assert!(io(&wrapped).contains("unknown authority"), "{}", io(&wrapped));
        let check = |error, expected: &str| {
            let reason = tls(&rustls::Error::InvalidCertificate(error));
            assert_eq!(reason, format!("TLS: the server's certificate {expected}"));
        };
        check(CertificateError::Expired, "has expired");
        check(CertificateError::NotValidYet, "is not valid yet");
        check(CertificateError::NotValidForName, "is for another name");
    }
}
