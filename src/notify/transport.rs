//! What the HTTP client runs on: TCP under an absolute deadline, one TLS configuration for all, and a note of
//! how far a request got.
//!
//! The client's own TCP transport gives each system call a time-out of its own when it writes, and so does its
//! reading of a proxy's answer: a server that drains or drips would hold it far beyond the deadline.

use std::fmt::{self, Debug};
use std::io::{Read, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock};

use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, Either, LazyBuffers, NextTimeout, RustlsConnector, Transport,
};
use ureq::{Error, Timeout};

use crate::clock;
use crate::model::notifier::ATTEMPT;
use crate::net::Timed;

/// Makes TCP connections that end at the deadline of the request they were made for. They serve one request.
#[derive(Debug)]
pub(super) struct Tcp;

impl<In: Transport> Connector<In> for Tcp {
    type Out = Either<In, TcpTransport>;

    fn connect(&self, details: &ConnectionDetails, chained: Option<In>) -> Result<Option<Self::Out>, Error> {
        // A proxy has been connected to already.
        if let Some(transport) = chained {
            return Ok(Some(Either::A(transport)));
        }
        let deadline = clock::mono() + (*details.timeout.after).min(ATTEMPT);
        let wire = Timed::connect(&details.addrs, deadline)?;
        let buffers =
            LazyBuffers::new(details.config.input_buffer_size(), details.config.output_buffer_size());
        Ok(Some(Either::B(TcpTransport { wire, buffers })))
    }
}

/// One such connection.
pub(super) struct TcpTransport {
    wire: Timed,
    buffers: LazyBuffers,
}

impl Debug for TcpTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.wire.fmt(f)
    }
}

impl Transport for TcpTransport {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, _timeout: NextTimeout) -> Result<(), Error> {
        self.wire.write_all(&self.buffers.output()[..amount]).map_err(timeout)
    }

    fn await_input(&mut self, _timeout: NextTimeout) -> Result<bool, Error> {
        let amount = self.wire.read(self.buffers.input_append_buf()).map_err(timeout)?;
        self.buffers.input_appended(amount);
        Ok(amount > 0)
    }

    fn is_open(&mut self) -> bool {
        // It is never used again.
        false
    }
}

/// A connection's deadline is the whole request's.
fn timeout(error: std::io::Error) -> Error {
    if error.kind() == std::io::ErrorKind::TimedOut { Error::Timeout(Timeout::Global) } else { error.into() }
}

/// One TLS connector for all clients that trust the same, since each would keep its own copy of the trusted certificates.
static TLS: LazyLock<RustlsConnector> = LazyLock::new(RustlsConnector::default);

/// Wraps connections for `https` in TLS.
#[derive(Debug)]
pub(super) struct Tls {
    /// A connector keeps the authorities that it trusted first, so who trusts others has one alone.
    own: Option<RustlsConnector>,
}

impl Tls {
    /// For a client that trusts authorities of its own, or one of all others.
    pub(super) fn new(own: bool) -> Self {
        Self { own: own.then(RustlsConnector::default) }
    }
}

impl<In: Transport> Connector<In> for Tls {
    type Out = <RustlsConnector as Connector<In>>::Out;

    fn connect(&self, details: &ConnectionDetails, chained: Option<In>) -> Result<Option<Self::Out>, Error> {
        self.own.as_ref().unwrap_or(&TLS).connect(details, chained)
    }
}

/// Whether a request was handed over whole: the client has begun to wait for the answer.
#[derive(Clone, Debug, Default)]
pub(super) struct HandedOver {
    note: Arc<AtomicBool>,
    /// Whether a proxy is spoken to first.
    proxied: bool,
}

impl HandedOver {
    /// Whether it was.
    pub(super) fn get(&self) -> bool {
        self.note.load(Ordering::Relaxed)
    }

    /// The same note, for a client that goes through a proxy or does not.
    pub(super) fn of(&self, proxied: bool) -> Self {
        Self { proxied, ..self.clone() }
    }

    /// Takes the note for the next request.
    pub(super) fn reset(&self) {
        self.note.store(false, Ordering::Relaxed);
    }
}

/// Keeps the note, as the outermost of the connectors: it sees requests, not the handshakes below.
///
/// A request that goes through a proxy passes here twice. What is said to the proxy itself is not the request; the
/// client shows that by a configuration that names no proxy.
impl<In: Transport> Connector<In> for HandedOver {
    type Out = Noted<In>;

    fn connect(&self, details: &ConnectionDetails, chained: Option<In>) -> Result<Option<Self::Out>, Error> {
        self.reset();
        let to_proxy = self.proxied && details.config.proxy().is_none();
        let note = (!to_proxy).then(|| Arc::clone(&self.note));
        Ok(chained.map(|inner| Noted { inner, note }))
    }
}

/// A connection that keeps the note.
#[derive(Debug)]
pub(super) struct Noted<In> {
    inner: In,
    /// `None` while it is only the proxy that hears.
    note: Option<Arc<AtomicBool>>,
}

impl<In: Transport> Transport for Noted<In> {
    fn buffers(&mut self) -> &mut dyn Buffers {
        self.inner.buffers()
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        self.inner.transmit_output(amount, timeout)
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        if let Some(note) = &self.note {
            note.store(true, Ordering::Relaxed);
        }
        self.inner.await_input(timeout)
    }

    fn is_open(&mut self) -> bool {
        self.inner.is_open()
    }

    fn is_tls(&self) -> bool {
        self.inner.is_tls()
    }
}
