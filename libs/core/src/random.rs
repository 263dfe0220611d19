//! The one seam for randomness: the operating system's generator through `rand`'s ChaCha.

use rand::RngExt as _;

/// `N` unpredictable bytes, fit for keys and secrets.
#[must_use]
#[allow(clippy::disallowed_methods)]
pub fn bytes<const N: usize>() -> [u8; N] {
    rand::rng().random()
}
