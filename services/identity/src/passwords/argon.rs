//! One password hash with argon2id, in memory that is used again: a hash fills 19 MiB, and the allocator would keep as much
//! for each thread that ever made one.

use std::sync::{Mutex, PoisonError};

use argon2::password_hash::phc::{Output, ParamsString, PasswordHash, Salt};
use argon2::{Algorithm, Argon2, Block, Params, Version};

use crate::error::Error;

/// Cost of one hash: the first of the equivalent settings for argon2id in OWASP's Password Storage Cheat Sheet (19 MiB,
/// two passes, one lane).
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
const LANES: u32 = 1;
const SALT_BYTES: usize = 16;

/// Memory of hashes that are done, for those to come: as many as ever ran at once.
#[derive(Default)]
pub(super) struct Hasher {
    idle: Mutex<Vec<Vec<Block>>>,
}

impl Hasher {
    /// The hash to store, in PHC form.
    pub(super) fn hash(&self, password: &[u8]) -> Result<String, Error> {
        let params = Params::new(MEMORY_KIB, PASSES, LANES, None).map_err(crypto)?;
        let argon = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        let salt = Salt::new(&tenantry_core::random::bytes::<SALT_BYTES>()).map_err(crypto)?;
        let output = self.output(&argon, password, &salt, Params::DEFAULT_OUTPUT_LEN)?;
        let whole = PasswordHash {
            algorithm: Algorithm::Argon2id.ident(),
            version: Some(Version::V0x13.into()),
            params: ParamsString::try_from(argon.params()).map_err(crypto)?,
            salt: Some(salt),
            hash: Some(output),
        };
        Ok(whole.to_string())
    }

    /// Whether this is the password of a stored hash, whatever the hash cost.
    pub(super) fn verify(&self, password: &[u8], stored: &str) -> Result<bool, Error> {
        let stored = PasswordHash::new(stored).map_err(crypto)?;
        let algorithm = Algorithm::try_from(stored.algorithm.as_str()).map_err(crypto)?;
        let version = match stored.version {
            Some(version) => Version::try_from(version).map_err(crypto)?,
            None => Version::default(),
        };
        let argon = Argon2::new(
            algorithm,
            version,
            Params::try_from(&stored).map_err(crypto)?,
        );
        let (Some(salt), Some(hash)) = (stored.salt, stored.hash) else {
            return Ok(false);
        };
        // Outputs compare in a time that doesn't tell where they differ.
        Ok(self.output(&argon, password, &salt, hash.len())? == hash)
    }

    fn output(
        &self,
        argon: &Argon2<'_>,
        password: &[u8],
        salt: &[u8],
        length: usize,
    ) -> Result<Output, Error> {
        let mut memory = self.lock().pop().unwrap_or_default();
        // Argon2 writes each block before it reads it, so what the last hash left doesn't matter.
        memory.resize(argon.params().block_count(), Block::new());
        let mut out = vec![0; length];
        let filled = argon.hash_password_into_with_memory(password, salt, &mut out, &mut memory);
        self.lock().push(memory);
        filled.map_err(crypto)?;
        Output::new(&out).map_err(crypto)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Vec<Block>>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn crypto(error: impl std::fmt::Display) -> Error {
    Error::Crypto(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_those_of_the_library_whatever_the_memory_held() {
        use argon2::{PasswordHasher as _, PasswordVerifier as _};
        let hasher = Hasher::default();
        let first = hasher.hash(b"correct horse").unwrap();
        let second = hasher.hash(b"correct horse").unwrap();
        assert_ne!(first, second);
        for stored in [&first, &second] {
            assert!(
                Argon2::default()
                    .verify_password(b"correct horse", stored.as_str())
                    .is_ok()
            );
            assert!(hasher.verify(b"correct horse", stored).unwrap());
            assert!(!hasher.verify(b"battery staple", stored).unwrap());
        }
        let cheap = Params::new(64, 1, 1, None).unwrap();
        let cheap = Argon2::new(Algorithm::Argon2id, Version::V0x13, cheap);
        let other = cheap
            .hash_password_with_salt(b"other cost", &[7; 16])
            .unwrap()
            .to_string();
        assert!(hasher.verify(b"other cost", &other).unwrap());
        assert!(hasher.verify(b"correct horse", &first).unwrap());
        assert_eq!(hasher.lock().len(), 1, "one at a time takes one memory");
        assert!(hasher.verify(b"x", "no hash").is_err());
    }
}
