//! Failed sign-ins, counted per replica: who guesses is told to wait before any password is hashed.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use moka::sync::Cache;

use crate::error::Error;

/// How long a failure counts.
const WINDOW: Duration = Duration::from_secs(60);
/// Failures of one address at one account. Not of the account alone: a stranger could lock its owner out.
const MOST_AT_ACCOUNT: u32 = 10;
/// Failures of one address at all accounts; offices share one.
const MOST_OF_ADDRESS: u32 = 200;
/// Most counters kept.
const ENTRIES: u64 = 200_000;

/// Counters of failed sign-ins.
#[derive(Clone, Debug)]
pub(crate) struct Attempts {
    failed: Cache<(String, String), Arc<AtomicU32>>,
}

impl Attempts {
    pub(crate) fn new() -> Self {
        Self {
            failed: Cache::builder()
                .max_capacity(ENTRIES)
                .time_to_live(WINDOW)
                .build(),
        }
    }

    /// Refuses an address that failed too often lately.
    pub(crate) fn admit(&self, address: &str, account: &str) -> Result<(), Error> {
        let bounds = [(account, MOST_AT_ACCOUNT), ("", MOST_OF_ADDRESS)];
        for (account, most) in bounds {
            let key = (address.to_owned(), account.to_owned());
            if self
                .failed
                .get(&key)
                .is_some_and(|n| n.load(Ordering::Relaxed) >= most)
            {
                return Err(Error::TooManyFailures);
            }
        }
        Ok(())
    }

    /// Notes a failure.
    pub(crate) fn failed(&self, address: &str, account: &str) {
        for account in [account, ""] {
            let key = (address.to_owned(), account.to_owned());
            let counter = self.failed.get_with(key, Arc::default);
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_guesses_waits_and_nobody_else() {
        let attempts = Attempts::new();
        for _ in 0..MOST_AT_ACCOUNT {
            attempts.admit("192.0.2.1", "ann@example.com").unwrap();
            attempts.failed("192.0.2.1", "ann@example.com");
        }
        assert!(attempts.admit("192.0.2.1", "ann@example.com").is_err());
        assert!(attempts.admit("192.0.2.2", "ann@example.com").is_ok());
        assert!(attempts.admit("192.0.2.1", "bob@example.com").is_ok());
        for n in 0..MOST_OF_ADDRESS {
            attempts.failed("192.0.2.1", &format!("{n}@example.com"));
        }
        assert!(attempts.admit("192.0.2.1", "bob@example.com").is_err());
    }
}
