//! Accounts of the ledger: what a tenant used of a resource type in a window, and what was granted to the counter that spends it.
//!
//! What isn't counted in Redis (gauges, and what nothing bounds) has no opening: it is settled here at once. Of the rest it always
//! holds that what is settled and what is granted together are within the limit, so that whatever a counter does, no more than the
//! limit is admitted.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tenantry_core::{TenantId, Window};

use super::decision::Standing;
use super::limit::{Cap, MAX_AMOUNT};
use super::period::ResetPeriod;

/// Which account.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) struct AccountId {
    pub(crate) tenant: TenantId,
    pub(crate) resource_type: String,
    pub(crate) reset_period: ResetPeriod,
    /// When its window begins.
    pub(crate) start: jiff::Timestamp,
}

/// One account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Account {
    pub(crate) id: AccountId,
    pub(crate) window: Window,
    /// The tenant at the top of the tree.
    pub(crate) root: TenantId,
    /// The limit, and how much it admits; none where nothing bounds it.
    pub(crate) cap: Option<Cap>,
    /// Whether it binds nobody any more: the limit is counted over another period now.
    pub(crate) superseded: bool,
    /// Used in openings that have ended, and of what is counted here alone.
    pub(crate) settled: i64,
    /// The opening of the counter that is spent from.
    pub(crate) opening: Option<String>,
    /// Whether something may be spent of it that is used without being committed here.
    pub(crate) fast: bool,
    /// Granted to the opening.
    pub(crate) granted: i64,
    /// Of that committed as used.
    pub(crate) committed: i64,
    /// How many percent of the limit were told to be used.
    pub(crate) told_percent: i16,
    /// Whether it was told that it refused something.
    pub(crate) told_refusal: bool,
}

/// How an opening ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// So much was spent fast.
    Known { fast: i64 },
    /// Nobody knows any more what was.
    Lost,
}

/// What a demand on an account comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Granting {
    /// More was granted.
    Granted,
    /// So much isn't to be had within the limit.
    Full,
}

/// What became of an amount that was to be committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Committing {
    /// It is used.
    Done,
    /// It isn't: what it was spent of has ended.
    Ended,
    /// It isn't: the limit doesn't have as much.
    Full,
}

impl Account {
    /// A new one, of which nothing is used.
    pub(crate) fn new(id: AccountId, window: Window, root: TenantId) -> Self {
        Self {
            id,
            window,
            root,
            cap: None,
            superseded: false,
            settled: 0,
            opening: None,
            fast: false,
            granted: 0,
            committed: 0,
            told_percent: 0,
            told_refusal: false,
        }
    }

    /// Whether it is what is counted in at this time.
    pub(crate) fn is_current(&self, now: Timestamp) -> bool {
        !self.superseded && self.window.end.is_none_or(|end| end > now)
    }

    /// Whether what it admits is spent from a counter in Redis.
    pub(crate) fn is_spent_in_redis(&self) -> bool {
        self.cap.is_some() && self.id.reset_period != ResetPeriod::Never
    }

    /// What the ledger knows to be used.
    pub(crate) const fn used(&self) -> i64 {
        self.settled.saturating_add(self.committed)
    }

    /// What is used where its counter was spent so much fast.
    pub(crate) fn used_with(&self, fast: i64) -> i64 {
        self.used().saturating_add(fast)
    }

    /// How its limit stands where so much is used.
    pub(crate) fn standing(&self, usage: i64) -> Standing {
        Standing {
            tenant: self.id.tenant,
            limit: self.cap.map(|cap| cap.limit),
            beyond: self.cap.map_or(0, |cap| cap.beyond),
            usage,
            reset_period: self.id.reset_period,
            reset_at: self.window.end,
            rate: None,
        }
    }

    /// Whether more is granted than the limit admits.
    pub(crate) fn is_overgranted(&self) -> bool {
        self.cap.is_some_and(|cap| {
            self.granted > 0 && self.settled.saturating_add(self.granted) > cap.most()
        })
    }

    /// Ends the opening. What was granted and isn't used may be granted again; of one that is lost all that was granted counts as
    /// used where something may have been used without being committed.
    pub(crate) fn end(&mut self, ended: Ended) {
        let used = match ended {
            Ended::Known { fast } => self.committed.saturating_add(fast).min(self.granted),
            Ended::Lost if self.fast => self.granted,
            Ended::Lost => self.committed,
        };
        self.settled = self.settled.saturating_add(used);
        self.opening = None;
        self.fast = false;
        self.granted = 0;
        self.committed = 0;
    }

    /// Begins an opening of which nothing is granted yet.
    pub(crate) fn open(&mut self, opening: String) {
        self.opening = Some(opening);
    }

    /// What may still be granted.
    fn grantable(&self) -> i64 {
        let within_limit = self.cap.map_or(MAX_AMOUNT, |cap| {
            cap.most()
                .saturating_sub(self.settled)
                .saturating_sub(self.granted)
        });
        within_limit.min(MAX_AMOUNT - self.granted).max(0)
    }

    /// Whether so much may be granted.
    pub(crate) fn can_grant(&self, needed: i64) -> bool {
        needed <= self.grantable()
    }

    /// Grants what is needed, and up to a chunk where there is as much, and nothing is to be told before.
    pub(crate) fn grant(&mut self, needed: i64, chunk: i64) -> Granting {
        if !self.can_grant(needed) {
            return Granting::Full;
        }
        let chunk = chunk.min(self.until_told());
        self.granted += needed.max(chunk).min(self.grantable());
        Granting::Granted
    }

    /// Commits what was spent of its opening, or settles what has none; `cap` is the one that it was decided by. What is counted
    /// here alone knows its window by the time that it is.
    pub(crate) fn commit(
        &mut self,
        (opening, cap): (Option<&str>, Option<Cap>),
        amount: i64,
        now: Timestamp,
    ) -> Committing {
        let same = self.opening.as_deref() == opening && self.cap == cap && !self.superseded;
        if !same || self.is_spent_in_redis() != opening.is_some() {
            return Committing::Ended;
        }
        if opening.is_none() && !self.is_current(now) {
            return Committing::Ended;
        }
        let committed = self.committed.saturating_add(amount);
        if opening.is_some() && committed > self.granted {
            return Committing::Ended;
        }
        // What was granted is within the limit, unless something was counted beyond it meanwhile.
        let most = self.cap.map_or(i64::MAX, Cap::most);
        if amount > 0 && amount > most.saturating_sub(self.used()) {
            return Committing::Full;
        }
        match opening {
            Some(_) => self.committed = committed,
            None => self.settled += amount,
        }
        Committing::Done
    }

    /// Counts so much whatever the limit is; a negative amount takes as much back, down to nothing. Returns by how much it changed.
    pub(crate) fn adjust(&mut self, amount: i64) -> i64 {
        if amount >= 0 {
            let fits = amount.min(i64::MAX - self.used());
            self.settled += fits;
            return fits;
        }
        let amount = amount.saturating_neg();
        let settled = amount.min(self.settled);
        let committed = (amount - settled).min(self.committed);
        self.settled -= settled;
        self.committed -= committed;
        -(settled + committed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(period: ResetPeriod, limit: Option<i64>) -> Account {
        let cap = limit.map(Cap::hard);
        let id = AccountId {
            tenant: TenantId::new(),
            resource_type: "api_calls".to_owned(),
            reset_period: period,
            start: Timestamp::UNIX_EPOCH,
        };
        let window = Window {
            start: Timestamp::UNIX_EPOCH,
            end: None,
        };
        Account {
            cap,
            ..Account::new(id, window, TenantId::new())
        }
    }

    fn open(limit: i64, fast: bool) -> Account {
        let mut account = account(ResetPeriod::Month, Some(limit));
        account.open("one".to_owned());
        account.fast = fast;
        account
    }

    #[test]
    fn grants_never_pass_the_limit_and_are_of_chunks_where_there_is_as_much() {
        let mut account = open(10, false);
        assert_eq!(account.grant(1, 4), Granting::Granted);
        assert_eq!(account.granted, 4);
        assert_eq!(account.grant(5, 4), Granting::Granted);
        assert_eq!(account.granted, 9);
        assert_eq!(account.grant(2, 4), Granting::Full);
        assert_eq!(account.grant(1, 4), Granting::Granted);
        assert_eq!((account.granted, account.is_overgranted()), (10, false));
        account.cap = Some(Cap::hard(9));
        assert_eq!(account.grant(1, 1), Granting::Full);
        assert_eq!(account.grant(0, 1), Granting::Granted);
        assert_eq!(account.granted, 10);
        assert!(account.is_overgranted());
    }

    #[test]
    fn only_what_was_granted_to_the_present_opening_commits() {
        let mut account = open(10, false);
        account.grant(3, 3);
        assert_eq!(commit(&mut account, Some("other"), 1), Committing::Ended);
        assert_eq!(commit(&mut account, None, 1), Committing::Ended);
        assert_eq!(commit(&mut account, Some("one"), 2), Committing::Done);
        assert_eq!(commit(&mut account, Some("one"), 2), Committing::Ended);
        account.end(Ended::Known { fast: 0 });
        assert_eq!(commit(&mut account, Some("one"), 1), Committing::Ended);
        assert_eq!((account.settled, account.used()), (2, 2));
    }

    #[test]
    fn what_a_lost_opening_was_granted_counts_as_used_only_where_it_may_have_been() {
        for (fast, ended, settled) in [
            (false, Ended::Lost, 2),
            (true, Ended::Lost, 5),
            (true, Ended::Known { fast: 1 }, 3),
            // No counter makes more used than was granted.
            (true, Ended::Known { fast: 100 }, 5),
        ] {
            let mut account = open(10, fast);
            account.grant(5, 5);
            commit(&mut account, Some("one"), 2);
            account.end(ended);
            assert_eq!(account.settled, settled, "{fast} {ended:?}");
            assert_eq!(account.grant(10 - settled, 1), Granting::Granted);
            assert_eq!(account.grant(1, 1), Granting::Full);
        }
    }

    /// Commits by the limit that the account has.
    fn commit(account: &mut Account, opening: Option<&str>, amount: i64) -> Committing {
        account.commit((opening, account.cap), amount, Timestamp::UNIX_EPOCH)
    }

    #[test]
    fn a_gauge_settles_up_to_its_limit() {
        let mut gauge = account(ResetPeriod::Never, Some(3));
        assert_eq!(commit(&mut gauge, None, 4), Committing::Full);
        assert_eq!(commit(&mut gauge, None, 3), Committing::Done);
        assert_eq!(commit(&mut gauge, None, 1), Committing::Full);
        assert_eq!(commit(&mut gauge, None, 0), Committing::Done);
        let mut free = account(ResetPeriod::Month, None);
        assert_eq!(commit(&mut free, None, i64::MAX), Committing::Done);
        assert_eq!(commit(&mut free, None, 1), Committing::Full);
        // Bounded meanwhile: it is to be spent from a counter.
        free.cap = Some(Cap::hard(9));
        assert_eq!(commit(&mut free, None, 0), Committing::Ended);
    }

    #[test]
    fn nothing_commits_by_another_limit_behind_the_window_or_where_the_account_binds_nobody() {
        let now = Timestamp::UNIX_EPOCH;
        let mut gauge = account(ResetPeriod::Never, Some(3));
        assert_eq!(
            gauge.commit((None, Some(Cap::hard(9))), 1, now),
            Committing::Ended
        );
        assert_eq!(gauge.commit((None, None), 1, now), Committing::Ended);
        gauge.superseded = true;
        assert_eq!(
            gauge.commit((None, Some(Cap::hard(3))), 1, now),
            Committing::Ended
        );
        let mut free = account(ResetPeriod::Month, None);
        free.window.end = Some(now);
        assert_eq!(free.commit((None, None), 1, now), Committing::Ended);
        assert_eq!(free.settled, 0);
    }
}
