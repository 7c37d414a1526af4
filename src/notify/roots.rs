//! Which certificate authorities are trusted: the system's if it has any, else those that came along.
//!
//! They are read once, when the first TLS connection needs them.

use std::sync::{Arc, LazyLock};

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use ureq::tls::{Certificate, RootCerts};

/// The system's certificates; empty on a host that has none.
static SYSTEM: LazyLock<Vec<CertificateDer<'static>>> =
    LazyLock::new(|| rustls_native_certs::load_native_certs().certs);

/// The configuration of every TLS connection without a CA of its own.
static SHARED: LazyLock<Result<Arc<ClientConfig>, rustls::Error>> = LazyLock::new(|| configure(store()));

/// The configuration of a TLS client that also trusts the authorities in `ca`, in PEM.
pub(super) fn client(ca: Option<&[u8]>) -> Result<Arc<ClientConfig>, rustls::Error> {
    let Some(pem) = ca else { return SHARED.clone() };
    let mut roots = store();
    roots.add_parsable_certificates(CertificateDer::pem_slice_iter(pem).flatten());
    configure(roots)
}

/// The trusted authorities as the HTTP client wants them.
pub(super) fn for_http() -> RootCerts {
    if SYSTEM.is_empty() {
        return RootCerts::WebPki;
    }
    static CERTIFICATES: LazyLock<Arc<Vec<Certificate<'static>>>> =
        LazyLock::new(|| Arc::new(SYSTEM.iter().map(|der| Certificate::from_der(der)).collect()));
    RootCerts::Specific(Arc::clone(&CERTIFICATES))
}

fn configure(roots: RootCertStore) -> Result<Arc<ClientConfig>, rustls::Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let versions = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(Arc::new(versions.with_root_certificates(roots).with_no_client_auth()))
}

fn store() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(SYSTEM.iter().cloned());
    if SYSTEM.is_empty() {
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    roots
}
