//! Certificates of one's own, made by OpenSSL.

use std::path::{Path, PathBuf};

use super::children::bound_to_us;
use super::run::finish;
use super::{Folder, SOON};

/// An authority that nobody trusts by himself, and the certificates that it issues.
pub struct Authority(Folder);

/// A server's certificate and its key, in PEM.
pub struct Certificate {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

impl Authority {
    /// Makes one.
    ///
    /// # Panics
    /// If OpenSSL does not.
    pub fn new() -> Self {
        let folder = Folder::in_temp("authority");
        openssl(
            folder.path(),
            "req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -days 2 -subj /CN=Test \
             -addext keyUsage=critical,keyCertSign",
        );
        Self(folder)
    }

    /// What those need who are to trust it.
    pub fn ca(&self) -> PathBuf {
        self.0.path().join("ca.pem")
    }

    /// A certificate for these names: `DNS:localhost,IP:127.0.0.1`.
    ///
    /// # Panics
    /// If OpenSSL does not make it.
    pub fn issue(&self, names: &str) -> Certificate {
        let name = names.replace(|c: char| !c.is_ascii_alphanumeric(), "_");
        self.0.write(&format!("{name}.ext"), &format!("subjectAltName={names}\n"));
        openssl(
            self.0.path(),
            &format!("req -newkey rsa:2048 -nodes -keyout {name}.key -out {name}.csr -subj /CN=server"),
        );
        openssl(
            self.0.path(),
            &format!(
                "x509 -req -in {name}.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 \
                 -extfile {name}.ext -out {name}.pem"
            ),
        );
        let file = |end: &str| self.0.path().join(format!("{name}.{end}"));
        Certificate { certificate: file("pem"), key: file("key") }
    }
}

fn openssl(folder: &Path, arguments: &str) {
    let mut command = bound_to_us("openssl");
    command.args(arguments.split_whitespace()).current_dir(folder);
    let output = finish(command, SOON);
    assert_eq!(output.code, Some(0), "openssl {arguments}: {}", output.stderr);
}
