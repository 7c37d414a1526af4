//! What receivers may answer: targets for fuzzing.

use std::sync::Arc;

use lettre::transport::smtp::authentication::{Credentials, DEFAULT_MECHANISMS};
use lettre::transport::smtp::commands::Auth;
use lettre::transport::smtp::response::Response;
use ureq::Error;
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, LazyBuffers, NextTimeout, Transport,
};

use super::http::Client;
use super::wire::Reply;
use super::{pagerduty, slack, smtp};
use crate::model::receiver::Outcome;

/// What must appear in no reason.
const SECRET: &str = "s3cret";

/// Answers of a mail server, one after the other. However they are cut into pieces, they are the same; and what is said of
/// them holds no secret, and is one short line.
pub fn smtp_reply(bytes: &[u8]) {
    // In small pieces an endless line ends sooner.
    let bytes = &bytes[..bytes.len().min(32 << 10)];
    let replies = replies(bytes, 4096);
    assert_eq!(replies, self::replies(bytes, 1));
    for reply in replies {
        assert!(reply.len() <= 3 * bytes.len() + 3);
        let Ok(reply) = reply.parse::<Response>() else { continue };
        let credentials = Credentials::new("user".to_owned(), SECRET.to_owned());
        if let Some(mechanism) =
            smtp::server_info(&reply).and_then(|server| server.get_auth_mechanism(DEFAULT_MECHANISMS))
        {
            // An odd challenge is refused.
            drop(Auth::new_from_response(mechanism, credentials, &reply));
        }
        let failure = smtp::Step::Recipient.fault(smtp::Fault::Reply(reply));
        is_discreet(&failure.outcome(&[SECRET], &["ops"]));
    }
}

fn replies(bytes: &[u8], piece: usize) -> Vec<String> {
    let (mut unread, mut reply, mut all) = (Vec::new(), Reply::default(), Vec::new());
    for piece in bytes.chunks(piece) {
        unread.extend_from_slice(piece);
        while let Ok(Some(reply)) = reply.take(&mut unread) {
            all.push(reply);
        }
    }
    all
}

/// All that an HTTP server sends over one connection, to a Slack or a PagerDuty.
pub fn http_answer(bytes: &[u8]) {
    let ask = || Client::over(Memory(bytes.into())).post(&[("Authorization", SECRET)], b"{}");
    let outcomes = [
        ask().and_then(slack::understood),
        ask().and_then(|mut answer| answer.check_with(|body| pagerduty::said(body, SECRET))),
    ];
    for outcome in outcomes.into_iter().filter_map(Result::err) {
        is_discreet(&outcome);
    }
    if let Ok(mut answer) = ask() {
        assert!(answer.retry_after().is_none_or(|time| time.as_secs() <= 3600));
        assert!(answer.body().is_none_or(|body| body.len() <= 64 << 10));
    }
}

fn is_discreet(outcome: &Outcome) {
    let (Outcome::Failed { reason, .. } | Outcome::Ambiguous { reason } | Outcome::Refused { reason }) =
        outcome
    else {
        return;
    };
    for hidden in [SECRET, "://", "@"] {
        assert!(!reason.contains(hidden), "{reason:?} tells {hidden:?}");
    }
    assert!(!reason.is_empty() && reason.chars().count() < 300, "{reason:?}");
    assert!(!reason.contains(char::is_control), "{reason:?}");
}

/// Connections on which these bytes come, whatever is sent, and then the end.
#[derive(Debug)]
pub(super) struct Memory(Arc<[u8]>);

impl<In: Transport> Connector<In> for Memory {
    type Out = MemoryTransport;

    fn connect(&self, details: &ConnectionDetails, _: Option<In>) -> Result<Option<Self::Out>, Error> {
        let buffers =
            LazyBuffers::new(details.config.input_buffer_size(), details.config.output_buffer_size());
        Ok(Some(MemoryTransport { bytes: Arc::clone(&self.0), taken: 0, buffers }))
    }
}

#[derive(Debug)]
pub(super) struct MemoryTransport {
    bytes: Arc<[u8]>,
    taken: usize,
    buffers: LazyBuffers,
}

impl Transport for MemoryTransport {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, _amount: usize, _timeout: NextTimeout) -> Result<(), Error> {
        Ok(())
    }

    fn await_input(&mut self, _timeout: NextTimeout) -> Result<bool, Error> {
        let (rest, room) = (&self.bytes[self.taken..], self.buffers.input_append_buf());
        let amount = rest.len().min(room.len());
        room[..amount].copy_from_slice(&rest[..amount]);
        self.buffers.input_appended(amount);
        self.taken += amount;
        Ok(amount > 0)
    }

    fn is_open(&mut self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_mail_server_may_answer_anything() {
        crate::fuzz::run("smtp_reply", super::smtp_reply);
    }

    #[test]
    fn an_http_server_may_answer_anything() {
        crate::fuzz::run("http_answer", super::http_answer);
    }
}
