//! Password hashing: argon2id on a few threads of low priority, so that sign-ins never crowd out the gateway's questions.

mod argon;
mod threads;

use std::sync::Arc;

use secrecy::{ExposeSecret as _, SecretString};
use tenantry_core::Refusal;
use tokio::sync::{Semaphore, oneshot};

use crate::domain::password;
use crate::error::Error;
use argon::Hasher;
use threads::Threads;

/// Hashes waiting for a thread, per thread; whoever comes then is told to wait.
const WAITING_PER_THREAD: usize = 16;

/// Hashes and verifies passwords.
#[derive(Clone)]
pub(crate) struct Passwords {
    threads: Threads,
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
        let hasher = Arc::new(Hasher::default());
        Ok(Self {
            nobody: hasher.hash(&tenantry_core::random::bytes::<32>())?.into(),
            threads: Threads::start(threads, &hasher)
                .map_err(|error| Error::Crypto(error.to_string()))?,
            admitted: Arc::new(Semaphore::new(threads * (1 + WAITING_PER_THREAD))),
        })
    }

    /// The hash to store of a password that someone chose, in PHC form. The one way to such a hash, so that no password is
    /// set that is too easy to guess; `about` is what a guesser knows of the person, `field` what the request calls it.
    pub(crate) async fn choose(
        &self,
        field: &'static str,
        password: &SecretString,
        about: &[&str],
    ) -> Result<String, Error> {
        let password = password.clone();
        let about: Vec<String> = about.iter().map(|text| (*text).to_owned()).collect();
        self.run(move |hasher| {
            let about: Vec<&str> = about.iter().map(String::as_str).collect();
            password::strength(password.expose_secret(), &about)
                .map_err(|why| Refusal::field(field, why))?;
            hasher.hash(password.expose_secret().as_bytes())
        })
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
            .run(move |hasher| hasher.verify(password.expose_secret().as_bytes(), &stored))
            .await??;
        Ok(matches && known)
    }

    /// Refuses while no hash would be begun, before anything else is done for who asks for one.
    pub(crate) fn ready(&self) -> Result<(), Error> {
        if self.admitted.available_permits() == 0 {
            return Err(Error::HashingFull);
        }
        Ok(())
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Hasher) -> T + Send + 'static,
    ) -> Result<T, Error> {
        let admitted = Arc::clone(&self.admitted)
            .try_acquire_owned()
            .map_err(|_| Error::HashingFull)?;
        let (tell, told) = oneshot::channel();
        self.threads.queue(move |hasher| {
            // Nobody waits for what was given up before it began; what began holds its place to the end.
            if !tell.is_closed() {
                let _ = tell.send(work(hasher));
            }
            drop(admitted);
        });
        told.await
            .map_err(|_| Error::Crypto("the hash was not finished".to_owned()))
    }
}

impl std::fmt::Debug for Passwords {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Passwords(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_password_verifies_against_its_own_hash_only() {
        let passwords = Passwords::new().unwrap();
        let right = SecretString::from("correct horse battery");
        let stored = passwords.choose("password", &right, &[]).await.unwrap();
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
    async fn a_password_that_is_easy_to_guess_is_never_hashed() {
        let passwords = Passwords::new().unwrap();
        let chosen = SecretString::from("Password123!");
        let refused = passwords.choose("new_password", &chosen, &[]).await;
        let Err(Error::Refused(refusal)) = refused else {
            panic!("{refused:?}");
        };
        assert_eq!(refusal.violations[0].field, "new_password");
    }

    #[tokio::test]
    async fn a_full_queue_is_told_so() {
        let passwords = Passwords::new().unwrap();
        let places = u32::try_from(passwords.admitted.available_permits()).unwrap();
        let _all = passwords.admitted.acquire_many(places).await.unwrap();
        assert!(matches!(passwords.ready(), Err(Error::HashingFull)));
        let refused = passwords.verify(&SecretString::from("x"), None).await;
        assert!(matches!(refused, Err(Error::HashingFull)));
    }
}
