//! Sealed tokens: opaque to their holder, bound to a context, refused when changed. XChaCha20-Poly1305 with a random
//! nonce (draft-irtf-cfrg-xchacha).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chacha20poly1305::aead::{Aead as _, Payload};
use chacha20poly1305::{Key, KeyInit as _, XChaCha20Poly1305, XNonce};

use hmac::{Hmac, Mac as _};
use sha2::{Digest as _, Sha256};

use crate::random;

const NONCE_BYTES: usize = 24;

/// Seals and opens with one service's key. Every replica of the service has the same.
#[derive(Clone)]
pub struct Sealer {
    cipher: XChaCha20Poly1305,
    key: [u8; 32],
}

/// A token that this key didn't seal for this context, or that was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotSealedHere;

impl Sealer {
    /// A sealer with this key.
    #[must_use]
    pub fn new(key: [u8; 32]) -> Self {
        Self {
            cipher: XChaCha20Poly1305::new(&Key::from(key)),
            key,
        }
    }

    /// Reads a key as its file holds it: 32 bytes in base64url.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD
            .decode(text.trim().trim_end_matches('='))
            .ok()?;
        Some(Self::new(bytes.try_into().ok()?))
    }

    /// Seals bytes for this context.
    #[must_use]
    pub fn seal(&self, context: &[u8], plain: &[u8]) -> Vec<u8> {
        let nonce = random::bytes::<NONCE_BYTES>();
        let sealed = self
            .cipher
            .encrypt(
                &XNonce::from(nonce),
                Payload {
                    msg: plain,
                    aad: context,
                },
            )
            .unwrap_or_default();
        [&nonce[..], &sealed].concat()
    }

    /// Opens what [`Self::seal`] made for this context.
    ///
    /// # Errors
    /// Anything else is refused.
    pub fn open(&self, context: &[u8], sealed: &[u8]) -> Result<Vec<u8>, NotSealedHere> {
        let (nonce, body) = sealed
            .split_first_chunk::<NONCE_BYTES>()
            .ok_or(NotSealedHere)?;
        self.cipher
            .decrypt(
                &XNonce::from(*nonce),
                Payload {
                    msg: body,
                    aad: context,
                },
            )
            .map_err(|_| NotSealedHere)
    }

    /// A fingerprint of data that only holders of the key can make or try guesses against (HMAC-SHA256, RFC 2104).
    #[must_use]
    pub fn fingerprint(&self, data: &[u8]) -> [u8; 32] {
        // A key of its own, so that one key has one use. HMAC takes keys of any length.
        let key = Sha256::new()
            .chain_update(b"fingerprint")
            .chain_update(self.key)
            .finalize();
        <Hmac<Sha256> as hmac::KeyInit>::new_from_slice(&key)
            .map(|mac| mac.chain_update(data).finalize().into_bytes().into())
            .unwrap_or_default()
    }

    /// Seals to text that fits into a URL.
    #[must_use]
    pub fn seal_text(&self, context: &[u8], plain: &[u8]) -> String {
        URL_SAFE_NO_PAD.encode(self.seal(context, plain))
    }

    /// Opens what [`Self::seal_text`] made for this context.
    ///
    /// # Errors
    /// Anything else is refused.
    pub fn open_text(&self, context: &[u8], text: &str) -> Result<Vec<u8>, NotSealedHere> {
        let sealed = URL_SAFE_NO_PAD.decode(text).map_err(|_| NotSealedHere)?;
        self.open(context, &sealed)
    }
}

impl std::fmt::Debug for Sealer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sealer(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_opens_only_whole_and_in_its_context() {
        let sealer = Sealer::new(random::bytes());
        let token = sealer.seal_text(b"list", b"after");
        assert_eq!(
            sealer.open_text(b"list", &token).as_deref(),
            Ok(&b"after"[..])
        );
        assert_eq!(sealer.open_text(b"other", &token), Err(NotSealedHere));
        assert_eq!(sealer.open_text(b"list", &token[1..]), Err(NotSealedHere));
        assert_eq!(
            Sealer::new(random::bytes()).open_text(b"list", &token),
            Err(NotSealedHere)
        );
    }
}
