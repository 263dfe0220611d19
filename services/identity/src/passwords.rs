//! Password hashing: argon2id on a bounded number of threads, so that sign-ins never crowd out the gateway's questions.

use std::sync::Arc;

use argon2::{Algorithm, Argon2, Params, PasswordHasher as _, PasswordVerifier as _, Version};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::sync::Semaphore;

use crate::error::Error;

/// Cost of one hash: the first of the equivalent settings for argon2id in OWASP's Password Storage Cheat Sheet (19 MiB,
/// two passes, one lane).
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
const LANES: u32 = 1;
const SALT_BYTES: usize = 16;
/// Hashes waiting for a thread, per thread; whoever comes then is told to wait.
const WAITING_PER_THREAD: usize = 16;

/// Hashes and verifies passwords.
#[derive(Clone)]
pub(crate) struct Passwords {
    /// Hashes running.
    running: Arc<Semaphore>,
    /// Hashes running or waiting.
    admitted: Arc<Semaphore>,
    /// The hash of nobody's password, verified where there is no user, so that the answer takes as long.
    nobody: Arc<str>,
}

impl Passwords {
    /// A pool of half the machine's cores.
    pub(crate) fn new() -> Result<Self, Error> {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let threads = (cores / 2).max(1);
        Ok(Self {
            running: Arc::new(Semaphore::new(threads)),
            admitted: Arc::new(Semaphore::new(threads * (1 + WAITING_PER_THREAD))),
            nobody: hash(&tenantry_core::random::bytes::<32>())?.into(),
        })
    }

    /// The hash to store, in PHC form.
    pub(crate) async fn hash(&self, password: &SecretString) -> Result<String, Error> {
        let password = password.clone();
        self.run(move || hash(password.expose_secret().as_bytes()))
            .await?
    }

    /// Whether this is the password of that hash; without a hash it isn't, after the same time.
    pub(crate) async fn verify(
        &self,
        password: &SecretString,
        stored: Option<String>,
    ) -> Result<bool, Error> {
        let password = password.clone();
        let known = stored.is_some();
        let stored = stored.unwrap_or_else(|| self.nobody.to_string());
        let matches = self
            .run(move || {
                Argon2::default()
                    .verify_password(password.expose_secret().as_bytes(), stored.as_str())
                    .is_ok()
            })
            .await?;
        Ok(matches && known)
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Error> {
        let _admitted = self
            .admitted
            .try_acquire()
            .map_err(|_| Error::HashingFull)?;
        let running = Arc::clone(&self.running).acquire_owned().await;
        let running = running.map_err(|_| Error::HashingFull)?;
        // The thread holds its place to the end, also when the request is given up.
        tokio::task::spawn_blocking(move || {
            let outcome = work();
            drop(running);
            outcome
        })
        .await
        .map_err(|error| Error::Crypto(error.to_string()))
    }
}

impl std::fmt::Debug for Passwords {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Passwords(..)")
    }
}

fn hash(password: &[u8]) -> Result<String, Error> {
    let params = Params::new(MEMORY_KIB, PASSES, LANES, None)
        .map_err(|error| Error::Crypto(error.to_string()))?;
    let salt = tenantry_core::random::bytes::<SALT_BYTES>();
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_with_salt(password, &salt)
        .map(|hash| hash.to_string())
        .map_err(|error| Error::Crypto(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_password_verifies_against_its_own_hash_only() {
        let passwords = Passwords::new().unwrap();
        let right = SecretString::from("correct horse");
        let stored = passwords.hash(&right).await.unwrap();
        assert!(
            stored.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"),
            "{stored}"
        );
        assert!(
            passwords
                .verify(&right, Some(stored.clone()))
                .await
                .unwrap()
        );
        let wrong = SecretString::from("battery staple");
        assert!(!passwords.verify(&wrong, Some(stored)).await.unwrap());
        assert!(!passwords.verify(&right, None).await.unwrap());
    }

    #[tokio::test]
    async fn a_full_queue_is_told_so() {
        let passwords = Passwords::new().unwrap();
        let places = u32::try_from(passwords.admitted.available_permits()).unwrap();
        let _all = passwords.admitted.acquire_many(places).await.unwrap();
        let refused = passwords.verify(&SecretString::from("x"), None).await;
        assert!(matches!(refused, Err(Error::HashingFull)));
    }
}
