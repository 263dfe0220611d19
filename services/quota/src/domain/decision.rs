//! Decisions: whether so much may be used, and what that was decided on.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tenantry_core::TenantId;

use super::period::ResetPeriod;

/// How a limit stands: the tenant's own, or that of a pool above.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Standing {
    /// Whose limit it is.
    pub(crate) tenant: TenantId,
    /// Most of it; none where nothing bounds it.
    pub(crate) limit: Option<i64>,
    /// Used in the window.
    pub(crate) usage: i64,
    /// Over which window it is counted.
    pub(crate) reset_period: ResetPeriod,
    /// When the window ends.
    pub(crate) reset_at: Option<Timestamp>,
}

impl Standing {
    /// What may still be used.
    pub(crate) fn remaining(&self) -> Option<i64> {
        self.limit
            .map(|limit| limit.saturating_sub(self.usage).max(0))
    }

    /// How it stands where so much of what counts as used isn't.
    pub(crate) fn without(self, amount: i64) -> Self {
        let usage = self.usage.saturating_sub(amount);
        Self { usage, ..self }
    }

    /// Whether more is used than the limit has.
    pub(crate) fn is_exceeded(&self) -> bool {
        self.limit.is_some_and(|limit| self.usage > limit)
    }

    /// Whether so much may be used.
    pub(crate) fn admits(&self, amount: i64) -> bool {
        self.remaining().is_none_or(|remaining| amount <= remaining)
    }
}

/// The one of several limits that binds: the one with the least remaining, of equals the nearest to the tenant.
pub(crate) fn binding(standings: impl IntoIterator<Item = Standing>) -> Option<Standing> {
    standings
        .into_iter()
        .min_by_key(|standing| standing.remaining().unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_with_the_least_remaining_binds_and_of_equals_the_first() {
        let standing = |limit, usage| Standing {
            tenant: TenantId::new(),
            limit,
            usage,
            reset_period: ResetPeriod::Never,
            reset_at: None,
        };
        let own = standing(Some(10), 4);
        let pool = standing(Some(100), 97);
        let equal = standing(Some(3), 0);
        let free = standing(None, 1_000);
        assert_eq!(binding([own, pool, equal, free]), Some(pool));
        assert_eq!(binding([free, own]), Some(own));
        assert_eq!(binding([free]), Some(free));
        assert!(pool.admits(3) && !pool.admits(4));
        assert!(free.admits(i64::MAX));
        assert_eq!(standing(Some(5), 9).remaining(), Some(0));
    }
}
