//! Wrong one-time links, counted per replica: an address that guesses is told to wait before anything is looked up.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use moka::sync::Cache;

use crate::error::Error;

/// How long a wrong link counts.
const WINDOW: Duration = Duration::from_secs(60);
/// Most wrong links of one address; offices share one.
const MOST: u32 = 30;
/// Most counters kept.
const ENTRIES: u64 = 100_000;

/// Counters of wrong links.
#[derive(Clone, Debug)]
pub(crate) struct Guesses {
    wrong: Cache<String, Arc<AtomicU32>>,
}

impl Guesses {
    pub(crate) fn new() -> Self {
        Self {
            wrong: Cache::builder()
                .max_capacity(ENTRIES)
                .time_to_live(WINDOW)
                .build(),
        }
    }

    /// Refuses an address that was wrong too often lately.
    pub(crate) fn admit(&self, address: &str) -> Result<(), Error> {
        let wrong = self.wrong.get(address);
        if wrong.is_some_and(|n| n.load(Ordering::Relaxed) >= MOST) {
            return Err(Error::TooManyGuesses);
        }
        Ok(())
    }

    /// Notes a wrong link.
    pub(crate) fn wrong(&self, address: &str) {
        let counter = self.wrong.get_with(address.to_owned(), Arc::default);
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_guesses_links_waits_and_nobody_else() {
        let guesses = Guesses::new();
        for _ in 0..MOST {
            guesses.admit("192.0.2.1").unwrap();
            guesses.wrong("192.0.2.1");
        }
        assert!(guesses.admit("192.0.2.1").is_err());
        assert!(guesses.admit("192.0.2.2").is_ok());
    }
}
