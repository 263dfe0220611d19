//! What one replica knows of the accounts that it spends from.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use jiff::Timestamp;
use tenantry_core::{Rate, TenantId, Window, clock};
use tenantry_counter::{Counter, CounterKey, How, LeaseOf, Opening, Spend};
use tokio::sync::Mutex;

use super::counter_key;
use crate::app::bounds::Bound;
use crate::domain::account::{Account, AccountId};
use crate::domain::decision::Standing;
use crate::domain::limit::Cap;

/// How long what was found to be used up is believed to be so.
const FULL_FOR: Duration = Duration::from_millis(200);
/// And how long, that others have still to commit: so long nobody else asks the ledger.
const PENDING_FOR: Duration = Duration::from_millis(10);
/// How long nobody commits anything of what is missing, before it is given up: whoever spent it is gone, or spends it anew.
const STUCK_AFTER: Duration = Duration::from_secs(1);
/// A chunk is at least this part of the limit.
const CHUNKS: i64 = 100;
/// Chunks that follow each other faster than this double: a chunk lasts about as long.
const CHUNK_LASTS: Duration = Duration::from_secs(1);

/// An account that may be spent from, as this replica knows it.
#[derive(Debug)]
pub(crate) struct Open {
    pub(crate) id: AccountId,
    pub(crate) window: Window,
    pub(crate) root: TenantId,
    pub(crate) cap: Option<Cap>,
    settled: i64,
    fast: bool,
    /// The counter; none for what is counted in the ledger alone.
    pub(crate) counter: Option<(CounterKey, Opening)>,
}

impl Open {
    /// What is known of an account behind a look at it.
    pub(super) fn of(account: Account) -> Self {
        let opening = account.opening.as_ref();
        let counter =
            opening.map(|opening| (counter_key(&account), Opening::noted(opening.clone())));
        Self {
            window: account.window,
            root: account.root,
            cap: account.cap,
            settled: account.settled,
            fast: account.fast,
            counter,
            id: account.id,
        }
    }

    /// Whether it is of the opening that the account has.
    pub(super) fn is_of(&self, account: &Account) -> bool {
        self.id == account.id && self.opening() == account.opening.as_deref()
    }

    /// The opening of its counter.
    pub(crate) fn opening(&self) -> Option<&str> {
        self.counter.as_ref().map(|(_, opening)| opening.as_str())
    }

    /// What is to be spent of its counter, no faster than that.
    pub(crate) fn spend(&self, amount: i64, rate: Option<Rate>) -> Option<Spend<'_>> {
        let (key, opening) = self.counter.as_ref()?;
        Some(Spend {
            key,
            opening,
            amount,
            window: self.window,
            rate,
        })
    }

    /// What a lease is to be of.
    pub(crate) fn lease_of(&self) -> Option<LeaseOf<'_>> {
        let (key, opening) = self.counter.as_ref()?;
        Some(LeaseOf {
            key,
            opening,
            limit: self.cap?.most().saturating_sub(self.settled),
            window: self.window,
        })
    }

    /// How the limit stands where the counter stands so.
    pub(crate) fn standing(&self, counter: &Counter) -> Standing {
        let spent = counter.fast.saturating_add(counter.durable);
        Standing {
            tenant: self.id.tenant,
            limit: self.cap.map(|cap| cap.limit),
            beyond: self.cap.map_or(0, |cap| cap.beyond),
            usage: self.settled.saturating_add(spent),
            reset_period: self.id.reset_period,
            reset_at: self.window.end,
            rate: None,
        }
    }

    /// How the rate of the limit stands, of which so much may be used now, and as much as was asked for from then on.
    pub(crate) fn standing_of_rate(
        &self,
        rate: Option<Rate>,
        left: i64,
        from: Option<Timestamp>,
    ) -> Standing {
        let burst = rate.map_or(0, |rate| rate.burst);
        Standing {
            tenant: self.id.tenant,
            limit: Some(burst),
            beyond: 0,
            usage: burst.saturating_sub(left),
            reset_period: self.id.reset_period,
            reset_at: from,
            rate,
        }
    }

    /// Whether the counter was granted more than the limit admits: the limit was lowered meanwhile.
    pub(crate) fn is_overgranted(&self, counter: &Counter) -> bool {
        self.cap
            .is_some_and(|cap| self.settled.saturating_add(counter.granted) > cap.most())
    }
}

/// What this replica knows of one tenant's resource type and reset period.
#[derive(Debug, Default)]
pub(crate) struct Slot {
    pub(super) open: ArcSwapOption<Open>,
    full: ArcSwapOption<(Instant, Standing)>,
    /// When what others spent and hadn't committed, or had leased, was found to be missing.
    pending: ArcSwapOption<Instant>,
    /// Whoever asks the ledger has it: the others use what that one finds.
    pub(super) turn: Mutex<Pace>,
}

/// How fast chunks are granted.
#[derive(Debug, Default)]
pub(super) struct Pace {
    chunk: i64,
    granted_at: Option<Instant>,
    /// What was found to be pending, and since when nothing of it was committed.
    pending: Option<(Account, Instant)>,
}

impl Pace {
    /// Whether it is long that others have spent of this account what they don't commit.
    pub(super) fn is_stuck(&self, account: &Account) -> bool {
        self.pending.as_ref().is_some_and(|(found, since)| {
            found.opening.is_some() && found == account && since.elapsed() > STUCK_AFTER
        })
    }

    /// Notes that others have spent what they haven't committed.
    pub(super) fn note_pending(&mut self, account: &Account) {
        if self
            .pending
            .as_ref()
            .is_none_or(|(found, _)| found != account)
        {
            self.pending = Some((account.clone(), Instant::now()));
        }
    }

    /// Notes that nothing that others have spent is missing.
    pub(super) fn forget_pending(&mut self) {
        self.pending = None;
    }

    /// The next chunk of a limit, now that one is needed.
    pub(super) fn next(&mut self, limit: i64) -> i64 {
        let least = (limit / CHUNKS).max(1);
        let fast = self.granted_at.is_some_and(|at| at.elapsed() < CHUNK_LASTS);
        let grown = if fast {
            self.chunk.saturating_mul(2)
        } else {
            self.chunk / 2
        };
        self.chunk = grown.clamp(least, (limit / 10).max(least));
        self.granted_at = Some(Instant::now());
        self.chunk
    }
}

impl Slot {
    /// What may be spent from in this way, if that is still of this limit and tree.
    pub(crate) fn known(&self, bound: &Bound, how: How) -> Option<Arc<Open>> {
        let open = self.open.load_full()?;
        let noted = how == How::Durably || open.fast || open.counter.is_none();
        (open.cap == bound.cap() && open.root == bound.root && noted).then_some(open)
    }

    pub(crate) fn is_pending(&self) -> bool {
        let found = self.pending.load();
        found.as_ref().is_some_and(|at| at.elapsed() < PENDING_FOR)
    }

    /// Notes that others have spent what is missing, and not committed it yet.
    pub(super) fn note_pending(&self) {
        self.pending.store(Some(Arc::new(Instant::now())));
    }

    /// Notes that the limit has no more.
    pub(super) fn note_full(&self, standing: Standing) {
        self.full.store(Some(Arc::new((Instant::now(), standing))));
    }

    /// Notes that it may have more again.
    pub(super) fn note_room(&self) {
        self.full.store(None);
    }

    /// How the limit stands, where it was found lately that it doesn't have so much.
    pub(crate) fn full(&self, bound: &Bound, amount: i64) -> Option<Standing> {
        let full = self.full.load_full()?;
        let (at, standing) = *full;
        let begins_anew = standing.reset_at.is_some_and(|at| at <= clock::now());
        let holds = at.elapsed() < FULL_FOR
            && !begins_anew
            && standing.cap() == bound.cap()
            && !standing.admits(amount);
        holds.then_some(standing)
    }
}

/// Why the ledger is asked.
#[derive(Debug, Default)]
pub(crate) struct Ask {
    /// What was known, and isn't enough.
    pub(crate) seen: Option<Arc<Open>>,
    /// The opening of what was known is lost.
    pub(crate) lost: bool,
    /// The counter as it was when it had too little, and what was asked of it.
    pub(crate) short: Option<(Counter, i64)>,
    /// The time by Redis's clock, where that isn't in the window.
    pub(crate) now: Option<Timestamp>,
    /// It is to be spent without being committed.
    pub(crate) fast: bool,
}

impl Ask {
    /// How it is to be spent.
    pub(super) const fn how(&self) -> How {
        if self.fast { How::Fast } else { How::Durably }
    }

    /// What is used of an account, as far as whoever asks knows.
    pub(super) fn used_of(&self, account: &Account) -> i64 {
        let seen = self.seen.as_ref().filter(|seen| seen.is_of(account));
        match (seen, self.short) {
            (Some(_), Some((counter, _))) => account
                .settled
                .saturating_add(counter.fast)
                .saturating_add(counter.durable),
            _ => account.used(),
        }
    }

    /// Whether that is what was known.
    pub(super) fn is_about(&self, open: &Arc<Open>) -> bool {
        self.seen
            .as_ref()
            .is_some_and(|seen| Arc::ptr_eq(seen, open))
    }
}

/// What the ledger says.
#[derive(Debug)]
pub(crate) enum Found {
    /// It may be spent from.
    Open(Arc<Open>),
    /// The limit doesn't have so much.
    Full(Standing),
    /// It would, but for what others have spent and not committed yet.
    Pending,
    /// What the limit was believed to be isn't so any more.
    Stale,
    /// The window ended meanwhile: this is the time by Redis's clock.
    Outside(Timestamp),
}
