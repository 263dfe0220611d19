//! How often one address may begin a sign-in at a provider, counted per replica: each costs a row that lies for ten
//! minutes, and anyone can begin one.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use moka::sync::Cache;

use crate::error::Error;

const WINDOW: Duration = Duration::from_secs(60);
/// Beginnings of one address in a window; offices share one.
const MOST_OF_ADDRESS: u32 = 300;
/// Most counters kept.
const ENTRIES: u64 = 100_000;

/// Counters of beginnings.
#[derive(Clone, Debug)]
pub(crate) struct Starts(Cache<String, Arc<AtomicU32>>);

impl Starts {
    pub(crate) fn new() -> Self {
        Self(
            Cache::builder()
                .max_capacity(ENTRIES)
                .time_to_live(WINDOW)
                .build(),
        )
    }

    /// Counts one more of this address, or refuses it.
    pub(crate) fn admit(&self, address: &str) -> Result<(), Error> {
        let counter = self.0.get_with(address.to_owned(), Arc::default);
        if counter.fetch_add(1, Ordering::Relaxed) < MOST_OF_ADDRESS {
            Ok(())
        } else {
            Err(Error::TooManyStarts)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_begins_too_many_waits_and_no_other() {
        let starts = Starts::new();
        for _ in 0..MOST_OF_ADDRESS {
            starts.admit("192.0.2.1").unwrap();
        }
        assert!(starts.admit("192.0.2.1").is_err());
        assert!(starts.admit("192.0.2.2").is_ok());
    }
}
