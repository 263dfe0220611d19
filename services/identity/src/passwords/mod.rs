//! Password hashing: argon2id on a few threads of low priority, so that sign-ins never crowd out the gateway's questions.

mod argon;
mod threads;

use std::sync::Arc;

use secrecy::{ExposeSecret as _, SecretString};
use tenantry_core::Refusal;
use tenantry_core::context::Origin;
use tenantry_rpc::places::{Place, Places};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use crate::domain::password;
use crate::error::Error;
use argon::Hasher;
use threads::Threads;

/// Those whose turn it is, per thread: one is hashed while the database is asked about the next and told of the last.
const TURNS_PER_THREAD: usize = 3;

/// Those waiting for their turn, per thread; whoever comes then is told to wait.
const WAITING_PER_THREAD: usize = 32;

/// What one network may have of all these places, and one site of many networks, so that neither keeps others from signing in:
/// one in so many.
const OF_NETWORK: usize = 4;
const OF_SITE: usize = 2;

/// Hashes and verifies passwords.
#[derive(Clone)]
pub(crate) struct Passwords {
    threads: Threads,
    /// Those whose turn it is, and those who wait for it: by network, and by site.
    admitted: Places<String>,
    of_sites: Places<String>,
    turns: Arc<Semaphore>,
    /// The hash of nobody's password, verified where there is no user, so that the answer takes as long.
    nobody: Arc<str>,
}

/// A turn at hashing. Whoever has to ask the database about a password takes one first, and keeps it while it does: else a
/// flood of sign-ins would come to the database at once, however few of them are hashed at a time.
pub(crate) struct Turn<'a> {
    passwords: &'a Passwords,
    /// Held by the hash too, which goes on when nobody waits for it any more.
    places: Arc<([Place<String>; 2], OwnedSemaphorePermit)>,
}

impl Passwords {
    /// A pool of half the machine's cores.
    pub(crate) fn new() -> Result<Self, Error> {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let threads = (cores / 2).max(1);
        let most = threads * (TURNS_PER_THREAD + WAITING_PER_THREAD);
        let hasher = Arc::new(Hasher::default());
        Ok(Self {
            nobody: hasher.hash(&tenantry_core::random::bytes::<32>())?.into(),
            threads: Threads::start(threads, &hasher)
                .map_err(|error| Error::Crypto(error.to_string()))?,
            admitted: Places::new(most, most / OF_NETWORK),
            of_sites: Places::new(most, most / OF_SITE),
            turns: Arc::new(Semaphore::new(threads * TURNS_PER_THREAD)),
        })
    }

    /// The hash to store of a password that someone chose, in PHC form. The one way to such a hash, so that no password is
    /// set that is too easy to guess; `about` is what a guesser knows of the person, `field` what the request calls it.
    pub(crate) async fn choose(
        &self,
        origin: &Origin,
        field: &'static str,
        password: &SecretString,
        about: &[&str],
    ) -> Result<String, Error> {
        let password = password.clone();
        let about: Vec<String> = about.iter().map(|text| (*text).to_owned()).collect();
        self.turn(origin)
            .await?
            .run(move |hasher| {
                let about: Vec<&str> = about.iter().map(String::as_str).collect();
                password::strength(password.expose_secret(), &about)
                    .map_err(|why| Refusal::field(field, why))?;
                hasher.hash(password.expose_secret().as_bytes())
            })
            .await?
    }

    /// Waits for a turn, in the order of coming. Refuses while too many wait, or too many of the caller's network.
    pub(crate) async fn turn(&self, origin: &Origin) -> Result<Turn<'_>, Error> {
        let (network, site) = (
            tenantry_core::network(&origin.ip),
            tenantry_core::site(&origin.ip),
        );
        let admitted = self.admitted.take(network);
        let of_site = self.of_sites.take(site);
        let (Ok(admitted), Ok(of_site)) = (admitted, of_site) else {
            return Err(Error::HashingFull);
        };
        let turn = Arc::clone(&self.turns).acquire_owned().await;
        let turn = turn.map_err(|_| unfinished())?;
        Ok(Turn {
            passwords: self,
            places: Arc::new(([admitted, of_site], turn)),
        })
    }
}

impl Turn<'_> {
    /// Whether this is the password of that hash; without a hash it isn't, after the same time.
    pub(crate) async fn verify(
        &self,
        password: &SecretString,
        stored: Option<String>,
    ) -> Result<bool, Error> {
        let password = password.clone();
        let known = stored.is_some();
        let stored = stored.unwrap_or_else(|| self.passwords.nobody.to_string());
        let matches = self
            .run(move |hasher| hasher.verify(password.expose_secret().as_bytes(), &stored))
            .await??;
        Ok(matches && known)
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Hasher) -> T + Send + 'static,
    ) -> Result<T, Error> {
        let (tell, told) = oneshot::channel();
        let places = Arc::clone(&self.places);
        self.passwords.threads.queue(move |hasher| {
            // Nobody waits for what was given up before it began; what began holds its place to the end.
            if !tell.is_closed() {
                let _ = tell.send(work(hasher));
            }
            drop(places);
        });
        told.await.map_err(|_| unfinished())
    }
}

fn unfinished() -> Error {
    Error::Crypto("the hash was not finished".to_owned())
}

impl std::fmt::Debug for Passwords {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Passwords(..)")
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use futures::FutureExt as _;

    use super::*;

    fn from(ip: &str) -> Origin {
        Origin {
            ip: ip.to_owned(),
            ..Origin::default()
        }
    }

    /// Eight networks of one customer.
    fn site() -> Vec<Origin> {
        (0..8)
            .map(|n| from(&format!("2001:db8:0:{n}::1")))
            .collect()
    }

    #[tokio::test]
    async fn a_password_verifies_against_its_own_hash_only() {
        let passwords = Passwords::new().unwrap();
        let right = SecretString::from("correct horse battery");
        let stored = passwords
            .choose(&from("192.0.2.1"), "password", &right, &[])
            .await
            .unwrap();
        assert!(
            stored.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"),
            "{stored}"
        );
        let turn = passwords.turn(&from("192.0.2.1")).await.unwrap();
        assert!(turn.verify(&right, Some(stored.clone())).await.unwrap());
        let wrong = SecretString::from("battery staple");
        assert!(!turn.verify(&wrong, Some(stored)).await.unwrap());
        assert!(!turn.verify(&right, None).await.unwrap());
    }

    #[tokio::test]
    async fn a_password_that_is_easy_to_guess_is_never_hashed() {
        let passwords = Passwords::new().unwrap();
        let chosen = SecretString::from("Password123!");
        let refused = passwords
            .choose(&from("192.0.2.1"), "new_password", &chosen, &[])
            .await;
        let Err(Error::Refused(refusal)) = refused else {
            panic!("{refused:?}");
        };
        assert_eq!(refusal.violations[0].field, "new_password");
    }

    #[tokio::test]
    async fn a_full_queue_is_told_so() {
        let passwords = Passwords::new().unwrap();
        let mut all = Vec::new();
        while let Ok(place) = passwords.admitted.take(all.len().to_string()) {
            all.push(place);
        }
        let refused = passwords.turn(&from("192.0.2.1")).await;
        assert!(matches!(refused, Err(Error::HashingFull)));
    }

    #[tokio::test]
    async fn neither_one_network_nor_one_site_of_many_takes_all_places() {
        for flooding in [vec![from("192.0.2.1")], site()] {
            let passwords = Passwords::new().unwrap();
            let (mut turns, mut waiting) = (Vec::new(), Vec::new());
            for flooding in &flooding {
                loop {
                    let mut turn = Box::pin(passwords.turn(flooding));
                    match turn.as_mut().now_or_never() {
                        Some(Ok(turn)) => turns.push(turn),
                        Some(Err(_)) => break,
                        None => waiting.push(turn),
                    }
                }
            }
            let other = from("192.0.2.2");
            let waits = passwords.turn(&other).now_or_never();
            assert!(waits.is_none(), "it waits for its turn, or was refused");
        }
    }

    #[tokio::test]
    async fn those_who_come_at_once_wait_for_their_turn() {
        let passwords = Passwords::new().unwrap();
        let origin = from("192.0.2.2");
        let mut taken = Vec::new();
        for _ in 0..passwords.turns.available_permits() {
            taken.push(passwords.turn(&from("192.0.2.1")).await.unwrap());
        }
        let mut next = pin!(passwords.turn(&origin));
        assert!(next.as_mut().now_or_never().is_none());
        taken.pop();
        assert!(next.await.is_ok());
    }

    #[tokio::test]
    async fn a_hash_that_nobody_waits_for_any_more_keeps_its_turn_to_the_end() {
        let passwords = Passwords::new().unwrap();
        let all = passwords.turns.available_permits();
        let (begun, seen) = oneshot::channel();
        let (end, ends) = std::sync::mpsc::channel::<()>();
        let turn = passwords.turn(&from("192.0.2.1")).await.unwrap();
        let given_up = turn.run(move |_| {
            let _ = begun.send(());
            ends.recv()
        });
        tokio::select! {
            _ = given_up => panic!("it ended"),
            seen = seen => seen.unwrap(),
        }
        drop(turn);
        assert_eq!(passwords.turns.available_permits(), all - 1);
        drop(end);
        let every = u32::try_from(all).unwrap();
        let freed = passwords.turns.acquire_many(every).await;
        assert!(freed.is_ok());
    }
}
