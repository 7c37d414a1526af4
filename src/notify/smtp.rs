//! The SMTP dialogue, step by step, each step within one deadline.
//!
//! It is spoken here and not by the mail library's own client, because two things must be known exactly: that
//! no server can hold a mail beyond its deadline, and at which step a mail failed. Up to the dot that ends the
//! content the server surely has not taken it; after the dot, only its answer tells. The library supplies the
//! commands and the parsing of answers.

use std::fmt::Display;
use std::io;
use std::time::Instant;

use lettre::transport::smtp::authentication::{Credentials, DEFAULT_MECHANISMS};
use lettre::transport::smtp::commands::{Auth, Ehlo, Starttls};
use lettre::transport::smtp::extension::{ClientId, Extension, ServerInfo};
use lettre::transport::smtp::response::Response;
use rustls::pki_types::ServerName;

use super::wire::Wire;
use super::{reason, roots};
use crate::clock;
use crate::model::receiver::{Outcome, Smtp, SmtpTls};
use crate::net::{Resolver, Timed};

/// How long the farewell to a server may take.
const FAREWELL: std::time::Duration = std::time::Duration::from_millis(200);

/// Where in the dialogue something went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Resolving, connecting, and the TLS handshake of port 465.
    Connect,
    Greeting,
    Hello,
    StartTls,
    Auth,
    Mail,
    Recipient,
    Data,
    /// The content, up to and without its final dot.
    Content,
    /// The final dot, and the answer to it.
    End,
}

/// What went wrong.
#[derive(Debug)]
pub(super) enum Fault {
    Io(io::Error),
    /// The server said no.
    Reply(Response),
    /// The server said something that makes no sense here, or lacks what is needed.
    Unfit(&'static str),
}

/// What went wrong, and where.
#[derive(Debug)]
pub(super) struct Failure {
    step: Step,
    fault: Fault,
}

/// One mail on its way.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Mail {
    /// The sender's address, for the envelope.
    pub(super) from: String,
    pub(super) to: String,
    /// Headers and body, in lines that end in CRLF.
    pub(super) content: Vec<u8>,
}

impl Step {
    fn words(self) -> &'static str {
        match self {
            Self::Connect => "connecting",
            Self::Greeting => "at the greeting",
            Self::Hello => "at EHLO",
            Self::StartTls => "at STARTTLS",
            Self::Auth => "at AUTH",
            Self::Mail => "at MAIL FROM",
            Self::Recipient => "at RCPT TO",
            Self::Data => "at DATA",
            Self::Content => "sending the mail",
            Self::End => "after the mail",
        }
    }

    pub(super) fn fault(self, fault: impl Into<Fault>) -> Failure {
        Failure { step: self, fault: fault.into() }
    }
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl Failure {
    /// What this means for the attempt.
    ///
    /// Final is only what the server says for good about this recipient or this content. Before them it speaks
    /// about us (a wrong password, a sender it does not like), which an operator can mend within the time that
    /// retries last.
    pub(super) fn outcome(&self, secrets: &[&str], names: &[&str]) -> Outcome {
        let reason = format!("SMTP, {}: {}", self.step.words(), self.words(secrets, names));
        match (self.step, &self.fault) {
            (Step::Recipient | Step::Data | Step::End, Fault::Reply(reply)) if is_final(reply) => {
                Outcome::Refused { reason }
            }
            (Step::End, Fault::Io(_) | Fault::Unfit(_)) => Outcome::Ambiguous { reason },
            (_, Fault::Reply(_) | Fault::Io(_) | Fault::Unfit(_)) => {
                Outcome::Failed { reason, retry_after: None }
            }
        }
    }

    fn words(&self, secrets: &[&str], names: &[&str]) -> String {
        match &self.fault {
            Fault::Io(error) => reason::io(error),
            Fault::Unfit(words) => (*words).to_owned(),
            Fault::Reply(reply) => {
                let text = reply.message().collect::<Vec<_>>().join(" ");
                format!("{} {}", reply.code(), reason::said(&text, secrets, names))
            }
        }
    }
}

/// Whether a "no" is for good, and about the mail. 503, 530, 534, 535 and 538 ask for another dialogue or for
/// credentials, whenever they come.
fn is_final(reply: &Response) -> bool {
    let code = u16::from(reply.code());
    (500..600).contains(&code) && ![503, 530, 534, 535, 538].contains(&code)
}

/// A connection that is ready for mail.
#[derive(Debug)]
pub(super) struct Session {
    wire: Wire,
    /// Whether the server takes addresses that are not ASCII.
    utf8: bool,
    /// Whether the server listens for commands now, not for content.
    listens: bool,
}

impl Session {
    /// Connects, encrypts and authenticates as configured.
    pub(super) fn open(smtp: &Smtp, resolver: &mut Resolver, deadline: Instant) -> Result<Self, Failure> {
        let mut wire = connect(smtp, resolver, deadline)?;
        expect(&mut wire, Step::Greeting, 220)?;
        let mut server = hello(&mut wire, smtp)?;
        if smtp.tls == SmtpTls::StartTls {
            wire = start_tls(wire, smtp, &server)?;
            server = hello(&mut wire, smtp)?;
        }
        if let Some((user, password)) = &smtp.credentials {
            let credentials = Credentials::new(user.clone(), password.reveal().to_owned());
            authenticate(&mut wire, &server, &credentials)?;
        }
        Ok(Self { wire, utf8: server.supports_feature(Extension::SmtpUtfEight), listens: true })
    }

    /// Begins a mail. Nothing of it is on its way when this fails.
    pub(super) fn begin(&mut self, mail: &Mail, deadline: Instant) -> Result<(), Failure> {
        self.wire.set_deadline(deadline);
        let plain = mail.from.is_ascii() && mail.to.is_ascii();
        if !plain && !self.utf8 {
            return Err(Step::Mail.fault(Fault::Unfit("the server does not take addresses beyond ASCII")));
        }
        let parameter = if plain { "" } else { " SMTPUTF8" };
        let from = format!("MAIL FROM:<{}>{parameter}\r\n", mail.from);
        command(&mut self.wire, Step::Mail, from, 200..300).map(drop)
    }

    /// Sends what was begun.
    pub(super) fn finish(&mut self, mail: &Mail, deadline: Instant) -> Result<(), Failure> {
        self.wire.set_deadline(deadline);
        command(&mut self.wire, Step::Recipient, format!("RCPT TO:<{}>\r\n", mail.to), 200..300)?;
        command(&mut self.wire, Step::Data, "DATA\r\n", 354..355)?;
        self.listens = false;
        self.wire.write(&stuffed(&mail.content)).map_err(|error| Step::Content.fault(error))?;
        command(&mut self.wire, Step::End, ".\r\n", 200..300)?;
        self.listens = true;
        Ok(())
    }
}

impl Drop for Session {
    /// Takes leave, so that the server need not log a lost connection.
    fn drop(&mut self) {
        if self.listens {
            self.wire.set_deadline(clock::mono() + FAREWELL);
            #[expect(clippy::let_underscore_must_use, reason = "it will see the connection close, too")]
            let _ = self.wire.write(b"QUIT\r\n");
        }
    }
}

fn connect(smtp: &Smtp, resolver: &mut Resolver, deadline: Instant) -> Result<Wire, Failure> {
    let fault = |error| Step::Connect.fault(Fault::Io(error));
    let addresses = resolver.resolve(deadline).map_err(fault)?;
    let wire = Wire::plain(Timed::connect(&addresses, deadline).map_err(fault)?);
    match smtp.tls {
        SmtpTls::None | SmtpTls::StartTls => Ok(wire),
        SmtpTls::Implicit => encrypt(wire, smtp).map_err(|fault| Step::Connect.fault(fault)),
    }
}

/// Says who we are, and hears what the server can. An old server that knows only HELO will do where nothing
/// beyond it is needed.
fn hello(wire: &mut Wire, smtp: &Smtp) -> Result<ServerInfo, Failure> {
    let me = smtp.hello.clone().map(ClientId::Domain).unwrap_or_default();
    let simple = smtp.tls != SmtpTls::StartTls && smtp.credentials.is_none();
    match command(wire, Step::Hello, Ehlo::new(me.clone()), 250..251) {
        Ok(reply) => server_info(&reply).ok_or_else(|| Step::Hello.fault(Fault::Unfit("an odd answer"))),
        Err(Failure { fault: Fault::Reply(reply), .. }) if simple && is_final(&reply) => {
            command(wire, Step::Hello, format!("HELO {me}\r\n"), 250..251).map(|_| ServerInfo::default())
        }
        Err(failure) => Err(failure),
    }
}

/// The keywords mean the same in any case; the library knows the upper. It takes lines to be empty or to hold a word.
pub(super) fn server_info(reply: &Response) -> Option<ServerInfo> {
    let lines = reply.message().map(|line| line.trim().to_ascii_uppercase()).collect();
    ServerInfo::from_response(&Response::new(reply.code(), lines)).ok()
}

fn start_tls(mut wire: Wire, smtp: &Smtp, server: &ServerInfo) -> Result<Wire, Failure> {
    let unfit = |words| Err(Step::StartTls.fault(Fault::Unfit(words)));
    if !server.supports_feature(Extension::StartTls) {
        return unfit("the server does not offer it: set smtp.tls to what it does offer");
    }
    command(&mut wire, Step::StartTls, Starttls, 220..221)?;
    // What came before the handshake could have been slipped in by anybody.
    if wire.has_more() {
        return unfit("the server went on in the clear");
    }
    encrypt(wire, smtp).map_err(|fault| Step::StartTls.fault(fault))
}

fn encrypt(wire: Wire, smtp: &Smtp) -> Result<Wire, Fault> {
    let tls = |error| Fault::Io(io::Error::new(io::ErrorKind::InvalidData, error));
    let bare = smtp.host.trim_start_matches('[').trim_end_matches(']').to_owned();
    let name = ServerName::try_from(bare).map_err(|_| Fault::Unfit("smtp.host is no name for TLS"))?;
    let config = roots::client(smtp.ca.as_deref()).map_err(tls)?;
    let session = rustls::ClientConnection::new(config, name).map_err(tls)?;
    Ok(wire.encrypted(session)?)
}

fn authenticate(wire: &mut Wire, server: &ServerInfo, credentials: &Credentials) -> Result<(), Failure> {
    let unfit = |words| Step::Auth.fault(Fault::Unfit(words));
    let mechanism = server
        .get_auth_mechanism(DEFAULT_MECHANISMS)
        .ok_or_else(|| unfit("the server offers neither PLAIN nor LOGIN here"))?;
    let odd = |_| unfit("an odd challenge");
    let first = Auth::new(mechanism, credentials.clone(), None).map_err(odd)?;
    let mut reply = command(wire, Step::Auth, first, 200..400)?;
    // LOGIN asks for the user and for the password; nobody asks for more.
    for _ in 0..2 {
        if reply.has_code(334) {
            let answer = Auth::new_from_response(mechanism, credentials.clone(), &reply).map_err(odd)?;
            reply = command(wire, Step::Auth, answer, 200..400)?;
        }
    }
    if reply.has_code(235) { Ok(()) } else { Err(unfit("the server did not say that it believes us")) }
}

/// Says something and takes one of these codes for a yes.
fn command(
    wire: &mut Wire,
    step: Step,
    command: impl Display,
    yes: std::ops::Range<u16>,
) -> Result<Response, Failure> {
    wire.write(command.to_string().as_bytes()).map_err(|error| step.fault(error))?;
    answer(wire, step, yes)
}

fn expect(wire: &mut Wire, step: Step, yes: u16) -> Result<Response, Failure> {
    answer(wire, step, yes..yes + 1)
}

fn answer(wire: &mut Wire, step: Step, yes: std::ops::Range<u16>) -> Result<Response, Failure> {
    let text = wire.read_reply().map_err(|error| step.fault(error))?;
    let reply: Response = text.parse().map_err(|_| step.fault(Fault::Unfit("what came back is not SMTP")))?;
    if yes.contains(&u16::from(reply.code())) {
        Ok(reply)
    } else if reply.is_positive() {
        Err(step.fault(Fault::Unfit("the server's answer does not fit")))
    } else {
        Err(step.fault(Fault::Reply(reply)))
    }
}

/// The content as it travels: a line that begins with a dot gets another, and the last line ends.
fn stuffed(content: &[u8]) -> Vec<u8> {
    let mut stuffed = Vec::with_capacity(content.len() + 64);
    for line in content.split_inclusive(|byte| *byte == b'\n') {
        if line.first() == Some(&b'.') {
            stuffed.push(b'.');
        }
        stuffed.extend_from_slice(line);
    }
    if !stuffed.ends_with(b"\r\n") {
        stuffed.extend_from_slice(b"\r\n");
    }
    stuffed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dots_are_stuffed_and_the_last_line_ends() {
        let check = |content: &str, expected: &str| {
            assert_eq!(String::from_utf8_lossy(&stuffed(content.as_bytes())), expected);
        };
        check("a\r\n.\r\n..b\r\nc.\r\n", "a\r\n..\r\n...b\r\nc.\r\n");
        check(".", "..\r\n");
        check("", "\r\n");
    }
}
