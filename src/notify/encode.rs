//! The digests that ids and signatures are made of, in hexadecimal.

use ring::{digest, hmac};

/// Lower-case hexadecimal.
fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// SHA-256 of the parts in hexadecimal. Parts are separated, so that `ab, c` and `a, bc` differ.
pub(super) fn sha256(parts: &[&str]) -> String {
    let mut context = digest::Context::new(&digest::SHA256);
    for part in parts {
        context.update(part.as_bytes());
        context.update(&[0]);
    }
    hex(context.finish().as_ref())
}

/// HMAC-SHA256 of a body in hexadecimal.
pub(super) fn signature(key: &str, body: &[u8]) -> String {
    hex(hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key.as_bytes()), body).as_ref())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signature_of_rfc_4231() {
        assert_eq!(
            signature("Jefe", b"what do ya want for nothing?"),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
    }

    #[test]
    fn parts_of_a_digest_do_not_run_together() {
        assert_ne!(sha256(&["ab", "c"]), sha256(&["a", "bc"]));
        assert_eq!(sha256(&["ab", "c"]).len(), 64);
    }
}
