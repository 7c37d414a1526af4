//! Mail to one address.

use std::time::{Duration, Instant, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use lettre::Address;
use lettre::message::header::{ContentType, HeaderName, HeaderValue, MIME_VERSION_1_0};
use lettre::message::{Mailbox, Message};

use super::smtp::{Failure, Mail, Session};
use super::{encode, http, key, webhook};
use crate::clock;
use crate::model::message::Notification;
use crate::model::notifier::Notifier;
use crate::model::printable::is_printable;
use crate::model::receiver::{Email, Outcome};
use crate::model::render;
use crate::net::Resolver;

/// How long a connection is kept for the next mail. Servers close idle ones after minutes, and each costs them
/// a place.
const KEPT: Duration = Duration::from_secs(30);
/// How long a kept connection may take to show that it is alive.
const PROBE: Duration = Duration::from_secs(5);
/// A longer subject is encoded, since a line of a mail must stay below 998 bytes.
const PLAIN_SUBJECT: usize = 900;

/// Sends mail to one address, over one connection that is kept for a while.
pub(super) struct EmailNotifier {
    settings: Email,
    /// What operators call this receiver.
    name: String,
    limit: Duration,
    resolver: Resolver,
    kept: Option<(Instant, Session)>,
}

impl EmailNotifier {
    /// Each attempt ends within `limit`.
    pub(super) fn new(settings: Email, name: &str, limit: Duration) -> Self {
        let resolver = Resolver::new(&settings.smtp.host, settings.smtp.port);
        Self { settings, name: name.to_owned(), limit, resolver, kept: None }
    }

    fn deliver(&mut self, mail: &Mail, deadline: Instant) -> Result<(), Failure> {
        let mut session = match self.kept_session(mail, deadline) {
            Some(session) => session,
            None => {
                let mut session = Session::open(&self.settings.smtp, &mut self.resolver, deadline)?;
                session.begin(mail, deadline)?;
                session
            }
        };
        session.finish(mail, deadline)?;
        self.kept = Some((clock::mono(), session));
        Ok(())
    }

    /// The kept connection, if the mail could be begun on it. One that fails by then is only closed: whether the
    /// server is well a new connection tells, and nothing of the mail has been sent.
    fn kept_session(&mut self, mail: &Mail, deadline: Instant) -> Option<Session> {
        let (used, mut session) = self.kept.take()?;
        let now = clock::mono();
        let is_fresh = now.duration_since(used) < KEPT;
        (is_fresh && session.begin(mail, deadline.min(now + PROBE)).is_ok()).then_some(session)
    }

    /// The outcome, with nothing in it that a server may have repeated of what it was told in confidence.
    fn outcome(&self, failure: &Failure) -> Outcome {
        let smtp = &self.settings.smtp;
        let (user, password) =
            smtp.credentials.as_ref().map_or(("", ""), |(user, password)| (user.as_str(), password.reveal()));
        let mut secrets = vec![password.to_owned()];
        if !password.is_empty() {
            secrets.push(STANDARD.encode(password));
            secrets.push(STANDARD.encode(format!("\0{user}\0{password}")));
        }
        let local = |address: &str| address.rsplit_once('@').map_or(String::new(), |(local, _)| local.into());
        let names = [user.to_owned(), local(&self.settings.address), local(&smtp.from)];
        failure.outcome(
            &secrets.iter().map(String::as_str).collect::<Vec<_>>(),
            &names.each_ref().map(String::as_str),
        )
    }
}

impl Notifier for EmailNotifier {
    fn send(&mut self, notification: &Notification) -> Outcome {
        let deadline = clock::mono() + self.limit;
        let mail = match compose(&self.settings, &self.name, notification, clock::wall()) {
            Ok(mail) => mail,
            Err(words) => return http::failed(words.to_owned()),
        };
        match self.deliver(&mail, deadline) {
            Ok(()) => Outcome::Accepted,
            Err(failure) => self.outcome(&failure),
        }
    }
}

/// The mail for a notification. An error says what is wrong with the configuration.
pub(super) fn compose(
    settings: &Email,
    name: &str,
    notification: &Notification,
    date: SystemTime,
) -> Result<Mail, &'static str> {
    let from = mailbox(&settings.smtp.from).ok_or("smtp.from is not a mail address")?;
    let to = mailbox(&settings.address).ok_or("the receiver's mail address is not valid")?;
    let (sender, recipient) = (from.email.to_string(), to.email.to_string());
    let domain = from.email.domain().to_owned();
    let message_id = |key: &str| message_id(key, &settings.address, &domain);

    let mut message = Message::builder()
        .date(date)
        .from(from)
        .to(to)
        .raw_header(subject(subject_of(settings, name, notification)))
        .message_id(Some(message_id(&key::of(notification))))
        .raw_header(HeaderValue::new(
            HeaderName::new_from_ascii_str("Auto-Submitted"),
            "auto-generated".to_owned(),
        ))
        .header(MIME_VERSION_1_0)
        .header(ContentType::TEXT_PLAIN);
    if let Some(first) = key::follows(notification).map(|key| message_id(&key)) {
        message = message.in_reply_to(first.clone()).references(first);
    }
    let body: String =
        render::body(notification).chars().filter(|c| *c == '\n' || is_printable(*c)).collect();
    let message = message.body(body).map_err(|_| "the mail cannot be written")?;
    Ok(Mail { from: sender, to: recipient, content: message.formatted() })
}

/// `user@domain` or `Name <user@domain>`. A domain that the mail library does not know as one, such as
/// `build_box`, is good enough inside a house.
fn mailbox(text: &str) -> Option<Mailbox> {
    let lenient = || {
        let (user, domain) = text.trim().rsplit_once('@')?;
        let fits = |part: &str| {
            !part.is_empty()
                && part.chars().all(|c| c.is_alphanumeric() || "!#$%&'*+-./=?^_`{|}~".contains(c))
        };
        (fits(user) && fits(domain)).then(|| Mailbox::new(None, Address::new_dangerous(user, domain)))
    };
    // The envelope is written as it is: nothing in it may end a line.
    let is_one_line = |mailbox: &Mailbox| !mailbox.email.to_string().contains(char::is_control);
    text.trim().parse().ok().or_else(lenient).filter(is_one_line)
}

/// The same for the same message, whichever agent sends it, and however often.
fn message_id(key: &str, address: &str, domain: &str) -> String {
    let domain = if domain.is_ascii() { domain } else { "zk_monitor" };
    let hash = encode::sha256(&[key, address]);
    format!("<{}@{domain}>", &hash[..32])
}

/// The subject: of the operator's template, or else our own. A template that fails must not keep the mail.
fn subject_of(settings: &Email, name: &str, notification: &Notification) -> String {
    let own = || render::subject(notification);
    let Some(template) = &settings.smtp.subject else { return own() };
    (template.run)(&webhook::payload(notification, name).to_string()).unwrap_or_else(|reason| {
        log::warn!("a mail has the usual subject, since that of smtp.subject cannot be made: {reason}");
        own()
    })
}

/// The subject, letter for letter once it is decoded. What a plain header cannot hold exactly is encoded by
/// RFC 2047: other letters, control characters, what looks like an encoded word, and very long lines.
fn subject(subject: String) -> HeaderValue {
    let name = HeaderName::new_from_ascii_str("Subject");
    let is_plain = subject.bytes().all(|byte| (b' '..=b'~').contains(&byte))
        && !subject.contains("=?")
        && subject.len() <= PLAIN_SUBJECT;
    if is_plain {
        return HeaderValue::new(name, subject);
    }
    let encoded = encoded_words(&subject);
    HeaderValue::dangerous_new_pre_encoded(name, subject, encoded)
}

/// A text as encoded words of at most 75 characters, one a line. No character is cut in two.
fn encoded_words(text: &str) -> String {
    const START: &str = "=?utf-8?q?";
    const ROOM: usize = 75 - START.len() - "?=".len();
    let mut words = vec![String::new()];
    for c in text.chars() {
        let code = q(c);
        if words.last().is_some_and(|word| word.len() + code.len() > ROOM) {
            words.push(String::new());
        }
        // There is always a last word.
        words.last_mut().into_iter().for_each(|word| word.push_str(&code));
    }
    words.iter().map(|word| format!("{START}{word}?=")).collect::<Vec<_>>().join("\r\n ")
}

/// One character in the Q encoding.
fn q(c: char) -> String {
    if c == ' ' {
        "_".to_owned()
    } else if c.is_ascii_alphanumeric() || "!*+-/".contains(c) {
        c.to_string()
    } else {
        c.to_string().bytes().map(|byte| format!("={byte:02X}")).collect()
    }
}
