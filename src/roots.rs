//! Which certificate authorities are trusted: the system's if it has any, else those that came along, since a
//! minimal host has none.
//!
//! They are read once, when the first TLS connection needs them.

use std::sync::{Arc, LazyLock};

use rustls::client::WantsClientCert;
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, ConfigBuilder, RootCertStore, WantsVerifier};

/// The system's certificates; empty on a host that has none.
pub static SYSTEM: LazyLock<Vec<CertificateDer<'static>>> =
    LazyLock::new(|| rustls_native_certs::load_native_certs().certs);

/// The authorities that a connection without a CA of its own trusts.
pub fn system() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(SYSTEM.iter().cloned());
    if SYSTEM.is_empty() {
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    roots
}

/// The beginning of every TLS configuration.
///
/// # Errors
/// Only if the cryptography library does not support its own protocol versions.
pub fn builder() -> Result<ConfigBuilder<ClientConfig, WantsVerifier>, rustls::Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()
}

/// The configuration of a TLS client that trusts these authorities and shows no certificate.
///
/// # Errors
/// As [`builder`].
pub fn client(roots: RootCertStore) -> Result<Arc<ClientConfig>, rustls::Error> {
    let builder: ConfigBuilder<ClientConfig, WantsClientCert> = builder()?.with_root_certificates(roots);
    Ok(Arc::new(builder.with_no_client_auth()))
}
