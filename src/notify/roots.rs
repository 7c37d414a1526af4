//! The trusted authorities, as mail and HTTP clients want them.

use std::sync::{Arc, LazyLock};

use rustls::ClientConfig;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use ureq::tls::{Certificate, RootCerts};

use crate::roots::{self, SYSTEM};

/// The configuration of every TLS connection without a CA of its own.
static SHARED: LazyLock<Result<Arc<ClientConfig>, rustls::Error>> =
    LazyLock::new(|| roots::client(roots::system()));

/// The configuration of a TLS client that also trusts the authorities in `ca`, in PEM.
pub(super) fn client(ca: Option<&[u8]>) -> Result<Arc<ClientConfig>, rustls::Error> {
    let Some(pem) = ca else { return SHARED.clone() };
    let mut store = roots::system();
    store.add_parsable_certificates(CertificateDer::pem_slice_iter(pem).flatten());
    roots::client(store)
}

/// The trusted authorities as the HTTP client wants them: the system's and those in `ca`, in PEM. On a host that has none,
/// who names its own authority is trusted by that alone.
pub(super) fn for_http(ca: Option<&[u8]>) -> RootCerts {
    if let Some(pem) = ca {
        let own: Vec<_> = CertificateDer::pem_slice_iter(pem).flatten().collect();
        let all = SYSTEM.iter().chain(&own).map(|der| Certificate::from_der(der).to_owned());
        return RootCerts::Specific(Arc::new(all.collect()));
    }
    if SYSTEM.is_empty() {
        return RootCerts::WebPki;
    }
    static CERTIFICATES: LazyLock<Arc<Vec<Certificate<'static>>>> =
        LazyLock::new(|| Arc::new(SYSTEM.iter().map(|der| Certificate::from_der(der)).collect()));
    RootCerts::Specific(Arc::clone(&CERTIFICATES))
}
