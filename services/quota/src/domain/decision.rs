//! Decisions: whether so much may be used, and what that was decided on.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tenantry_core::{Rate, TenantId};

use super::limit::Cap;
use super::period::ResetPeriod;

/// How a limit stands: the tenant's own, or that of a pool above.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Standing {
    /// Whose limit it is.
    pub(crate) tenant: TenantId,
    /// Most of it; none where nothing bounds it.
    pub(crate) limit: Option<i64>,
    /// How much beyond that is admitted.
    #[serde(default)]
    pub(crate) beyond: i64,
    /// Used in the window.
    pub(crate) usage: i64,
    /// Over which window it is counted.
    pub(crate) reset_period: ResetPeriod,
    /// When the window ends.
    pub(crate) reset_at: Option<Timestamp>,
    /// The rate, where it is that of the limit which stands so: the limit then is its burst, and from `reset_at` on there is as much
    /// again as was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) rate: Option<Rate>,
}

impl Standing {
    /// The limit, and how much it admits.
    pub(crate) fn cap(&self) -> Option<Cap> {
        let beyond = self.beyond;
        self.limit.map(|limit| Cap { limit, beyond })
    }

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

    /// How much more is used than the limit has.
    pub(crate) fn overage(&self) -> i64 {
        self.limit
            .map_or(0, |limit| self.usage.saturating_sub(limit).max(0))
    }

    /// Whether more is used than the limit has.
    pub(crate) fn is_exceeded(&self) -> bool {
        self.limit.is_some_and(|limit| self.usage > limit)
    }

    /// What is admitted until something is refused: more than remains, where a limit admits overage.
    pub(crate) fn admitted(&self) -> Option<i64> {
        let most = self.cap().map(Cap::most);
        most.map(|most| most.saturating_sub(self.usage).max(0))
    }

    /// By what the limit that binds is found: the least that is admitted, and the least that remains.
    pub(crate) fn room(&self) -> (i64, i64) {
        let or_any = |left: Option<i64>| left.unwrap_or(i64::MAX);
        (or_any(self.admitted()), or_any(self.remaining()))
    }

    /// Whether so much may be used.
    pub(crate) fn admits(&self, amount: i64) -> bool {
        self.admitted().is_none_or(|admitted| amount <= admitted)
    }
}

/// The one of several limits that binds: the one that admits least, of equals the one with the least remaining, and of those the
/// nearest to the tenant.
pub(crate) fn binding(standings: impl IntoIterator<Item = Standing>) -> Option<Standing> {
    standings.into_iter().min_by_key(Standing::room)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_with_the_least_remaining_binds_and_of_equals_the_first() {
        let standing = |limit, usage| Standing {
            tenant: TenantId::new(),
            limit,
            beyond: 0,
            usage,
            reset_period: ResetPeriod::Never,
            reset_at: None,
            rate: None,
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
        let soft = Standing {
            beyond: 4,
            ..standing(Some(5), 7)
        };
        assert_eq!((soft.remaining(), soft.admitted()), (Some(0), Some(2)));
        assert!(soft.admits(2) && !soft.admits(3) && soft.is_exceeded());
        assert_eq!(
            binding([soft, pool, standing(Some(5), 4)]).unwrap().usage,
            4
        );
    }
}
