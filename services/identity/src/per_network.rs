//! Counters of what one network does in a minute, kept by each replica: whoever passes a bound waits, before anything costs
//! more than memory, and nobody else does.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use moka::sync::Cache;

/// How long a counter counts.
const WINDOW: Duration = Duration::from_secs(60);
/// Most counters kept.
const ENTRIES: u64 = 100_000;

/// Counters of one kind of thing.
#[derive(Clone, Debug)]
pub(crate) struct PerNetwork {
    counters: Cache<String, Arc<AtomicU32>>,
    most: u32,
}

impl PerNetwork {
    /// Counters that let so many pass in a window; offices share a network.
    pub(crate) fn new(most: u32) -> Self {
        Self {
            counters: Cache::builder()
                .max_capacity(ENTRIES)
                .time_to_live(WINDOW)
                .build(),
            most,
        }
    }

    /// Counts one more; `false` where it is one too many.
    pub(crate) fn take(&self, ip: &str) -> bool {
        let counter = self
            .counters
            .get_with(tenantry_core::network(ip), Arc::default);
        counter.fetch_add(1, Ordering::Relaxed) < self.most
    }

    /// Whether there were as many as may be.
    pub(crate) fn is_spent(&self, ip: &str) -> bool {
        let counter = self.counters.get(&tenantry_core::network(ip));
        counter.is_some_and(|n| n.load(Ordering::Relaxed) >= self.most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_does_too_much_waits_with_all_of_their_network_and_nobody_else() {
        let counters = PerNetwork::new(3);
        for n in 0..3 {
            assert!(!counters.is_spent("2001:db8:1:2::1"));
            assert!(counters.take(&format!("2001:db8:1:2::{n:x}")));
        }
        for same in ["2001:db8:1:2::1", "2001:db8:1:2:ffff::"] {
            assert!(counters.is_spent(same));
            assert!(!counters.take(same), "an IPv6 customer has 64 bits");
        }
        for other in ["2001:db8:1:3::1", "192.0.2.1"] {
            assert!(!counters.is_spent(other));
            assert!(counters.take(other));
        }
    }
}
