//! Secrets that we make: random bytes in hexadecimal, so that a double click selects all of one, with a prefix that
//! scanners for leaked secrets can recognise.

use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};

/// SHA-256 of a secret. Enough for secrets of 128 random bits and more.
pub(crate) fn hash(secret: &str) -> [u8; 32] {
    Sha256::digest(secret.as_bytes()).into()
}

/// Whether a hash is the stored one, in a time that doesn't tell where they differ.
pub(crate) fn same(stored: &[u8], given: &[u8; 32]) -> bool {
    use subtle::ConstantTimeEq as _;
    stored.ct_eq(given).into()
}

/// `N` random bytes as text.
pub(crate) fn random<const N: usize>() -> String {
    hex(&tenantry_core::random::bytes::<N>())
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
            // Writing to a String can't fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
}

/// Whether a text is that many bytes as [`hex`] writes them.
pub(crate) fn is_hex(text: &str, bytes: usize) -> bool {
    text.len() == 2 * bytes
        && text
            .bytes()
            .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}
