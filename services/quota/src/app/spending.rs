//! Spending: of the tenant's own limit and of the pools above it, of all or of none, by one call to Redis.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tenantry_core::Refusal;
use tenantry_counter::{Counter, How, Spent};
use tokio::time::Instant;

use super::App;
use super::bounds::Bound;
use super::ledger::{Ask, Found, Open};
use crate::domain::decision::Standing;
use crate::error::Error;

/// Longest that a decision is tried: meanwhile windows end, counters are lost, and others give back.
const TRY_FOR: Duration = Duration::from_secs(10);
/// Wait before what others spent and haven't committed is looked at again.
const PENDING_PAUSE: Duration = Duration::from_millis(10);

/// What one try came to.
#[derive(Debug)]
pub(super) enum Tried<T> {
    Done(T),
    /// A limit doesn't have so much.
    Full(Standing),
    /// What was known isn't so any more: it is known better now.
    Again,
    /// Others have spent what is missing, and not committed it yet.
    Pending,
}

/// What was spent.
#[derive(Debug)]
pub(super) struct Spending {
    pub(super) amount: i64,
    /// What it counts in, the tenant's own account first.
    pub(super) opens: Vec<Arc<Open>>,
    /// The counters of those that have one, as they are behind it.
    counters: Vec<Counter>,
}

impl Spending {
    /// What it counts in, each with its counter, where it was spent of one.
    pub(super) fn parts(&self) -> impl Iterator<Item = (&Open, Option<&Counter>)> {
        let mut counters = self.counters.iter();
        self.opens.iter().map(move |open| {
            let counter = open.counter.as_ref().and_then(|_| counters.next());
            (&**open, counter)
        })
    }
}

/// How long a decision is tried already.
pub(super) struct Trying {
    until: Instant,
}

impl Trying {
    pub(super) fn new() -> Self {
        Self {
            until: Instant::now() + TRY_FOR,
        }
    }

    /// What a try decided; none where it is to be tried again.
    pub(super) async fn decided<T>(
        &self,
        tried: Tried<T>,
    ) -> Result<Option<Result<T, Standing>>, Error> {
        match tried {
            Tried::Done(done) => return Ok(Some(Ok(done))),
            Tried::Full(standing) => return Ok(Some(Err(standing))),
            Tried::Again => {}
            Tried::Pending => tokio::time::sleep(PENDING_PAUSE).await,
        }
        if Instant::now() >= self.until {
            return Err(Refusal::unavailable().into());
        }
        Ok(None)
    }
}

/// What a try is about.
#[derive(Clone, Copy)]
struct Wanted<'a> {
    bounds: &'a [Bound],
    resource_type: &'a str,
    amount: i64,
    how: How,
}

impl App {
    /// Spends so much of the limits of a tenant and the pools above it, where all of them have it. What is counted in the ledger alone
    /// isn't spent: it is to be committed.
    pub(super) async fn spend(
        &self,
        bounds: &[Bound],
        (resource_type, amount): (&str, i64),
        how: How,
    ) -> Result<Tried<Spending>, Error> {
        let wanted = Wanted {
            bounds,
            resource_type,
            amount,
            how,
        };
        let mut opens = Vec::with_capacity(bounds.len());
        for bound in bounds {
            let slot = self.ledger.slot(bound, resource_type);
            if let Some(standing) = slot.full(bound, amount) {
                return Ok(Tried::Full(standing));
            }
            if slot.is_pending() {
                return Ok(Tried::Pending);
            }
            let open = match slot.known(bound, how) {
                Some(open) => open,
                None => match self.ask(wanted, bound, Ask::default()).await? {
                    Found::Open(open) => open,
                    found => return Ok(not_open(found)),
                },
            };
            opens.push(open);
        }
        let spends: Vec<_> = opens.iter().filter_map(|open| open.spend(amount)).collect();
        if spends.is_empty() {
            let counters = Vec::new();
            return Ok(Tried::Done(Spending {
                amount,
                opens,
                counters,
            }));
        }
        let counted: Vec<_> = opens.iter().filter(|open| open.counter.is_some()).collect();
        match self.counters.spend(how, &spends).await? {
            Spent::Done(counters) => {
                for (open, counter) in counted.iter().zip(&counters) {
                    if !open.is_overgranted(counter) {
                        continue;
                    }
                    // Granted by a replica that knows the limit of before: the ledger is to end that.
                    self.ledger.forget(open.id.tenant, resource_type);
                    let standing = open.standing(counter);
                    if how == How::Fast && standing.is_exceeded() {
                        return Ok(Tried::Full(standing));
                    }
                }
                Ok(Tried::Done(Spending {
                    amount,
                    opens,
                    counters,
                }))
            }
            Spent::Short(counters) => {
                let short = counted.into_iter().zip(counters);
                let short = short.filter(|(_, counter)| counter.left() < amount);
                self.get_more(wanted, short).await
            }
            Spent::Lost(place) => {
                let Some(seen) = counted.get(place) else {
                    return Ok(Tried::Again);
                };
                let ask = Ask {
                    seen: Some(Arc::clone(seen)),
                    lost: true,
                    ..Ask::default()
                };
                self.ask_again(wanted, ask).await
            }
            Spent::Outside(now) => self.follow_time(wanted, &opens, now).await,
        }
    }

    /// Gives back what was spent durably and isn't used.
    pub(super) async fn give_back(&self, spending: &Spending) -> Result<(), Error> {
        let spends = spending.opens.iter();
        let spends: Vec<_> = spends
            .filter_map(|open| open.spend(spending.amount))
            .collect();
        if spends.is_empty() {
            return Ok(());
        }
        Ok(self.counters.give_back(&spends).await?)
    }

    /// Gets more granted to the counters that have too little left.
    async fn get_more<'a, T>(
        &self,
        wanted: Wanted<'_>,
        short: impl Iterator<Item = (&'a Arc<Open>, Counter)>,
    ) -> Result<Tried<T>, Error> {
        for (open, counter) in short {
            let ask = Ask {
                seen: Some(Arc::clone(open)),
                short: Some((counter, wanted.amount)),
                ..Ask::default()
            };
            match self.ask_again(wanted, ask).await? {
                Tried::Again => {}
                tried => return Ok(tried),
            }
        }
        Ok(Tried::Again)
    }

    /// Has windows begin that Redis's clock is in.
    async fn follow_time<T>(
        &self,
        wanted: Wanted<'_>,
        opens: &[Arc<Open>],
        now: Timestamp,
    ) -> Result<Tried<T>, Error> {
        for open in opens {
            if now < open.window.start {
                // Ahead of Redis: it begins in a moment.
                return Ok(Tried::Pending);
            }
            if open.window.end.is_none_or(|end| now < end) {
                continue;
            }
            let ask = Ask {
                seen: Some(Arc::clone(open)),
                now: Some(now),
                ..Ask::default()
            };
            match self.ask_again(wanted, ask).await? {
                Tried::Again => {}
                tried => return Ok(tried),
            }
        }
        Ok(Tried::Again)
    }

    /// Asks the ledger about what was known and isn't enough.
    async fn ask_again<T>(&self, wanted: Wanted<'_>, ask: Ask) -> Result<Tried<T>, Error> {
        let of_seen = |bound: &&Bound| {
            ask.seen
                .as_ref()
                .is_some_and(|seen| seen.id.tenant == bound.tenant.id)
        };
        let Some(bound) = wanted.bounds.iter().find(of_seen) else {
            return Ok(Tried::Again);
        };
        Ok(not_open(self.ask(wanted, bound, ask).await?))
    }

    async fn ask(&self, wanted: Wanted<'_>, bound: &Bound, ask: Ask) -> Result<Found, Error> {
        let resource_type = wanted.resource_type;
        let holds = |set: Option<&_>| self.holds(&bound.tenant, resource_type, set);
        let ask = Ask {
            fast: wanted.how == How::Fast,
            ..ask
        };
        // Large, and seldom needed.
        Box::pin(self.ledger.ask(bound, resource_type, holds, ask)).await
    }
}

fn not_open<T>(found: Found) -> Tried<T> {
    match found {
        Found::Open(_) | Found::Outside(_) => Tried::Again,
        Found::Full(standing) => Tried::Full(standing),
        Found::Pending | Found::Stale => Tried::Pending,
    }
}
