//! How often requests come, of all tenants that have no lease.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tenantry_core::TenantId;
use tokio::time::Instant;

/// Counts. Where two resource types share one, both are believed to be asked for as often as together: a lease too many is given
/// back.
const PLACES: usize = 1 << 14;
/// A count is the lower half of its place; the upper one says of which span it is.
const COUNT_BITS: u32 = 32;

/// Counts of the present span of time.
#[derive(Debug)]
pub(super) struct Demand {
    places: Box<[AtomicU64]>,
    hasher: RandomState,
    began: Instant,
    span_ms: u64,
}

impl Demand {
    /// Nothing was counted yet; a span lasts so long.
    pub(super) fn new(span: Duration) -> Self {
        Self {
            places: (0..PLACES).map(|_| AtomicU64::new(0)).collect(),
            hasher: RandomState::new(),
            began: Instant::now(),
            span_ms: u64::try_from(span.as_millis()).unwrap_or(u64::MAX),
        }
    }

    /// Counts one more, and tells how many there were in this span.
    pub(super) fn note(&self, tenant: TenantId, resource_type: &str) -> i64 {
        self.note_at(Instant::now(), tenant, resource_type)
    }

    fn note_at(&self, now: Instant, tenant: TenantId, resource_type: &str) -> i64 {
        let age_ms = now.duration_since(self.began).as_millis();
        let span = u64::try_from(age_ms).unwrap_or(u64::MAX) / self.span_ms;
        let empty = span << COUNT_BITS;
        let hash = self.hasher.hash_one((tenant, resource_type));
        let place = &self.places[hash as usize % PLACES];
        let next = |known: u64| {
            let of_span = known >> COUNT_BITS == empty >> COUNT_BITS;
            (if of_span { known } else { empty }) + 1
        };
        let before = place
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |known| {
                Some(next(known))
            })
            .unwrap_or_default();
        i64::from(next(before) as u32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_span_and_each_tenant_is_counted_by_itself() {
        let span = Duration::from_millis(100);
        let demand = Demand::new(span);
        let (one, other) = (TenantId::new(), TenantId::new());
        for n in 1..=20 {
            assert_eq!(demand.note_at(demand.began, one, "api_calls"), n);
        }
        assert_eq!(demand.note_at(demand.began, other, "api_calls"), 1);
        let last = demand.began + span - Duration::from_millis(1);
        assert_eq!(demand.note_at(last, one, "api_calls"), 21);
        assert_eq!(demand.note_at(demand.began + span, one, "api_calls"), 1);
        assert_eq!(demand.note_at(demand.began + span, one, "api_calls"), 2);
    }
}
