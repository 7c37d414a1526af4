//! Receivers: who is told, by which way, and what became of an attempt.

use std::fmt;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::Arc;
use std::time::Duration;

use super::judge::Compiled;

/// The stable name of a receiver: a hash of its kind and its non-secret identity, in hexadecimal.
///
/// It is what znodes and `/status` show, so that no address and no token is told to those who may read them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReceiverId(pub Arc<str>);

impl fmt::Display for ReceiverId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A password or token. It can be used, and never be printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a secret.
    pub fn new(value: String) -> Self {
        Self(value)
    }

    /// Takes a secret from the text of a file that holds nothing else: a line break at its end is not part of
    /// it, and one within it is a mistake, as is an empty file.
    pub fn from_file_text(text: &str) -> Result<Self, &'static str> {
        let line = text.strip_suffix('\n').unwrap_or(text);
        let line = line.strip_suffix('\r').unwrap_or(line);
        if line.is_empty() {
            return Err("the file is empty");
        }
        if line.contains(char::is_control) {
            return Err("the file holds more than one line, or a control character");
        }
        Ok(Self::new(line.to_owned()))
    }

    /// The secret itself, for the one call that needs it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

/// One receiver, with all that is needed to reach it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receiver {
    /// Its stable name.
    pub id: ReceiverId,
    /// What operators call it, in the log and in notices to a rule's other receivers: `email ops@example.com`.
    pub name: Arc<str>,
    /// How it is reached.
    pub settings: Settings,
    /// Certificates in PEM to trust beside the system's, for HTTPS; a mail server has its own.
    pub ca: Option<Arc<[u8]>>,
}

impl Receiver {
    /// Its name for where everybody may look, which is that of the log but for a mail address: `email o…`.
    pub fn public_name(&self) -> Arc<str> {
        let Settings::Email(Email { address, .. }) = &self.settings else { return Arc::clone(&self.name) };
        let first: String = address.chars().take(1).collect();
        format!("email {first}…").into()
    }
}

/// How a receiver is reached, by kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settings {
    /// One mail address.
    Email(Email),
    /// A Slack channel.
    Slack(Slack),
    /// A HipChat room.
    HipChat(HipChat),
    /// An HTTP endpoint that takes Alertmanager's webhook JSON.
    Webhook(Webhook),
    /// One Prometheus Alertmanager.
    Alertmanager(Alertmanager),
    /// A PagerDuty service.
    PagerDuty(PagerDuty),
}

impl Settings {
    /// The kind, as it is written in the configuration.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Email(_) => "email",
            Self::Slack(_) => "slack",
            Self::HipChat(_) => "hipchat",
            Self::Webhook(_) => "webhook",
            Self::Alertmanager(_) => "alertmanager",
            Self::PagerDuty(_) => "pagerduty",
        }
    }
}

/// One mail address and the server that takes mail for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Email {
    /// One address, with a domain.
    pub address: Arc<str>,
    /// The server.
    pub smtp: Arc<Smtp>,
}

/// A mail server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Smtp {
    /// Host name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Whether and how the connection is encrypted.
    pub tls: SmtpTls,
    /// Certificates in PEM to trust beside the system's.
    pub ca: Option<Arc<[u8]>>,
    /// User and password for AUTH.
    pub credentials: Option<(String, Secret)>,
    /// The sender's address.
    pub from: String,
    /// What this host calls itself in EHLO: a name, or an address in brackets. Its host name, if nothing is said.
    pub hello: Option<String>,
    /// The subject in an operator's words.
    pub subject: Option<Compiled<Renderer>>,
}

/// How a connection to a mail server is encrypted. There is no "if it happens to offer it": with a password
/// that would be a hole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SmtpTls {
    /// Not at all.
    None,
    /// By STARTTLS, required.
    StartTls,
    /// From the first byte (port 465).
    Implicit,
}

/// A Slack channel, by API token or by incoming webhook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Slack {
    /// `chat.postMessage`.
    Api {
        /// The base that `/chat.postMessage` is appended to.
        api_url: String,
        /// The channel.
        channel: String,
        /// The bot's token.
        token: Secret,
        /// The name to post under.
        from: Option<String>,
    },
    /// An incoming webhook; its URL is the secret.
    Webhook {
        /// The whole URL.
        url: Secret,
        /// The channel, for those webhooks that let it be chosen.
        channel: Option<String>,
        /// The name to post under.
        from: Option<String>,
    },
}

/// A HipChat room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HipChat {
    /// The base that `/v1/rooms/message?format=json` is appended to.
    pub api_url: String,
    /// The room.
    pub room: String,
    /// The API token.
    pub token: Secret,
    /// The name to post under.
    pub from: String,
}

/// An HTTP endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Webhook {
    /// The whole URL, which may hold credentials.
    pub url: Secret,
    /// Headers to send along.
    pub headers: Vec<(String, Secret)>,
    /// The key that the body is signed with.
    pub secret: Option<Secret>,
    /// What is sent in the place of Alertmanager's JSON.
    pub template: Option<Template>,
}

/// A message in an operator's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    /// The body.
    pub body: Compiled<Renderer>,
    /// The media type of what it renders.
    pub content_type: String,
    /// What is appended to the URL.
    pub path: Option<Compiled<Renderer>>,
    /// Whether one message can tell of several incidents.
    pub digest: bool,
}

/// Makes text of the body of a webhook, which is JSON, or says in words that everybody may read why it cannot. It is a
/// function that comes from outside, so that the model needs no template engine; it ends soon whatever it is given.
pub type Renderer = Arc<dyn Fn(&str) -> Result<String, String> + Send + Sync + UnwindSafe + RefUnwindSafe>;

/// One Alertmanager.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alertmanager {
    /// The base that `/api/v2/alerts` is appended to; it may hold credentials.
    pub url: Secret,
}

/// A PagerDuty service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PagerDuty {
    /// The base that `/v2/enqueue` is appended to.
    pub api_url: String,
    /// The integration's key.
    pub routing_key: Secret,
}

/// What became of one attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The receiver took it.
    Accepted,
    /// The receiver surely did not take it; it may later.
    Failed {
        /// What it or the network said.
        reason: String,
        /// How long the receiver asked to be left alone.
        retry_after: Option<Duration>,
    },
    /// Nobody knows whether the receiver took it: the answer was lost.
    Ambiguous {
        /// What happened.
        reason: String,
    },
    /// The receiver will never take it.
    Refused {
        /// What it said.
        reason: String,
    },
    /// No attempt was made: the lease had ended.
    NotTried,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_public_name_has_no_address() {
        let smtp = Smtp {
            host: "h".into(),
            port: 25,
            tls: SmtpTls::None,
            ca: None,
            credentials: None,
            from: "f@h".into(),
            hello: None,
            subject: None,
        };
        let named = |name: &str, settings| Receiver {
            id: ReceiverId("1".into()),
            name: name.into(),
            settings,
            ca: None,
        };
        let mail = Email { address: "ops@example.com".into(), smtp: Arc::new(smtp) };
        let mail = named("email ops@example.com", Settings::Email(mail));
        assert_eq!(&*mail.public_name(), "email o…");
        let pager = PagerDuty { api_url: "http://h".into(), routing_key: Secret::new("k".into()) };
        assert_eq!(&*named("pagerduty 1", Settings::PagerDuty(pager)).public_name(), "pagerduty 1");
    }

    #[test]
    fn a_secret_is_one_line_of_a_file() {
        let check = |text: &str, expected: Option<&str>| {
            let read = Secret::from_file_text(text);
            assert_eq!(read.as_ref().ok().map(Secret::reveal), expected, "{text:?}");
        };
        check("s3cret\n", Some("s3cret"));
        check("s3cret\r\n", Some("s3cret"));
        check(" spaces stay ", Some(" spaces stay "));
        for bad in ["", "\n", "a\nb\n", "a\n\n", "a\0"] {
            check(bad, None);
        }
    }
}
