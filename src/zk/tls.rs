//! TLS to ZooKeeper: whom to trust, and how to be known.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::ClientConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::credentials;
use crate::roots;

/// How large a file may be, in bytes: several times what all authorities of a system take.
const LARGEST: u64 = 4 << 20;

/// Reads the files, all in PEM: the authorities to trust instead of the system's, and this side's certificate and
/// key.
///
/// # Errors
/// In words that name the file.
pub fn client_config(
    ca: Option<&Path>,
    identity: Option<&(PathBuf, PathBuf)>,
) -> Result<Arc<ClientConfig>, String> {
    let store = match ca {
        None => roots::system(),
        Some(path) => {
            let mut store = rustls::RootCertStore::empty();
            for certificate in certificates(path)? {
                store
                    .add(certificate)
                    .map_err(|e| format!("{}: a certificate is not usable: {e}", path.display()))?;
            }
            store
        }
    };
    let builder =
        roots::builder().map_err(|e| format!("cannot set up TLS: {e}"))?.with_root_certificates(store);
    let Some((certificate, key)) = identity else {
        return Ok(Arc::new(builder.with_no_client_auth()));
    };
    let chain = certificates(certificate)?;
    let secret = PrivateKeyDer::from_pem_slice(&read(key)?)
        .map_err(|e| format!("{}: no private key in PEM: {e}", key.display()))?;
    builder
        .with_client_auth_cert(chain, secret)
        .map(Arc::new)
        .map_err(|e| format!("{} and {} do not fit: {e}", certificate.display(), key.display()))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&read(path)?).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) => Err(format!("{}: no certificate in PEM", path.display())),
        Err(e) => Err(format!("{}: not readable as PEM: {e}", path.display())),
    }
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    credentials::read(path, LARGEST).map_err(|e| format!("cannot read {}: {e}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_regular_file_is_said_and_not_read() {
        let device = PathBuf::from("/dev/zero");
        let expected = "cannot read /dev/zero: it is not a regular file";
        assert_eq!(client_config(Some(&device), None).unwrap_err(), expected);
        assert_eq!(client_config(None, Some(&(device.clone(), device))).unwrap_err(), expected);
    }
}
