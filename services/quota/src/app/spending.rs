//! Spending: of the tenant's own limit and of the pools above it, of all or of none, by one call to Redis.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tenantry_core::{Refusal, TenantId, clock};
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

/// What is asked for of one resource type.
#[derive(Clone, Debug)]
pub(super) struct Demand<'a> {
    pub(super) resource_type: &'a str,
    pub(super) amount: i64,
    /// The tenant's own limit first, then the pools above it.
    pub(super) bounds: Vec<Bound>,
}

/// What one try came to.
#[derive(Debug)]
pub(super) enum Tried<T> {
    Done(T),
    /// A limit doesn't have so much.
    Full(Refused),
    /// What was known isn't so any more: it is known better now.
    Again,
    /// Others have spent what is missing, and not committed it yet.
    Pending,
}

impl<T> Tried<T> {
    /// The same of something else, where it isn't done.
    pub(super) fn of_another<U>(self) -> Tried<U> {
        match self {
            Self::Done(_) | Self::Again => Tried::Again,
            Self::Full(refused) => Tried::Full(refused),
            Self::Pending => Tried::Pending,
        }
    }
}

/// Which demand a limit doesn't have, and how that limit stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Refused {
    pub(super) demand: usize,
    pub(super) standing: Standing,
}

/// What was spent.
#[derive(Debug)]
pub(super) struct Spending {
    /// Of each demand, in their order, what it counts in, the tenant's own account first.
    pub(super) opens: Vec<(usize, Arc<Open>)>,
    /// How much of each of them.
    amounts: Vec<i64>,
    /// The counters of those that have one, as they are behind it.
    counters: Vec<Counter>,
}

impl Spending {
    /// What a demand counts in, each with its counter, where it was spent of one.
    pub(super) fn parts(&self, demand: usize) -> impl Iterator<Item = (&Open, Option<&Counter>)> {
        let mut counters = self.counters.iter();
        let parts = self.opens.iter().map(move |(of, open)| {
            let counter = open.counter.as_ref().and_then(|_| counters.next());
            (*of, &**open, counter)
        });
        parts
            .filter(move |(of, ..)| *of == demand)
            .map(|(_, open, counter)| (open, counter))
    }

    /// The tenant at the top of the tree.
    pub(super) fn root(&self) -> Option<TenantId> {
        self.opens.first().map(|(_, open)| open.root)
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
    ) -> Result<Option<Result<T, Refused>>, Error> {
        match tried {
            Tried::Done(done) => return Ok(Some(Ok(done))),
            Tried::Full(refused) => return Ok(Some(Err(refused))),
            Tried::Again => {}
            Tried::Pending => tokio::time::sleep(PENDING_PAUSE).await,
        }
        if Instant::now() >= self.until {
            return Err(Refusal::unavailable().into());
        }
        Ok(None)
    }
}

/// One limit of a demand.
#[derive(Clone, Copy)]
struct Wanted<'a> {
    /// Which demand it is of.
    demand: usize,
    resource_type: &'a str,
    amount: i64,
    bound: &'a Bound,
    how: How,
}

impl Wanted<'_> {
    /// What the ledger found, where that isn't an account to spend from.
    fn not_open<T>(&self, found: Found) -> Tried<T> {
        match found {
            Found::Open(_) | Found::Outside(_) => Tried::Again,
            Found::Full(standing) => Tried::Full(self.refused(standing)),
            Found::Pending | Found::Stale => Tried::Pending,
        }
    }

    const fn refused(&self, standing: Standing) -> Refused {
        Refused {
            demand: self.demand,
            standing,
        }
    }
}

/// Every limit of these demands, in their order.
fn wanted<'a>(demands: &'a [Demand<'_>], how: How) -> impl Iterator<Item = Wanted<'a>> {
    let demands = demands.iter().enumerate();
    demands.flat_map(move |(place, demand)| {
        demand.bounds.iter().map(move |bound| Wanted {
            demand: place,
            resource_type: demand.resource_type,
            amount: demand.amount,
            bound,
            how,
        })
    })
}

impl App {
    /// Spends all demands, where all limits of the tenant and the pools above it have them. What is counted in the ledger alone isn't
    /// spent: it is to be committed.
    pub(super) async fn spend(
        &self,
        demands: &[Demand<'_>],
        how: How,
    ) -> Result<Tried<Spending>, Error> {
        let mut opens = Vec::with_capacity(demands.len());
        for wanted in wanted(demands, how) {
            let slot = self.ledger.slot(wanted.bound, wanted.resource_type);
            if let Some(standing) = slot.full(wanted.bound, wanted.amount) {
                return Ok(Tried::Full(wanted.refused(standing)));
            }
            if slot.is_pending() {
                return Ok(Tried::Pending);
            }
            match self.open(wanted).await? {
                Tried::Done(open) => opens.push((wanted, open)),
                tried => return Ok(tried.of_another()),
            }
        }
        let spends = opens.iter();
        let spends: Vec<_> = spends
            .filter_map(|(wanted, open)| open.spend(wanted.amount, wanted.bound.rate()))
            .collect();
        if spends.is_empty() {
            return Ok(Tried::Done(spending(&opens, Vec::new())));
        }
        let counted: Vec<_> = opens
            .iter()
            .filter(|(_, open)| open.counter.is_some())
            .collect();
        match self.counters.spend(how, &spends).await? {
            Spent::Done(counters) => {
                for ((wanted, open), counter) in counted.iter().zip(&counters) {
                    if !open.is_overgranted(counter) {
                        continue;
                    }
                    // Granted by a replica that knows the limit of before: the ledger is to end that.
                    self.ledger.forget(open.id.tenant, wanted.resource_type);
                    let standing = open.standing(counter);
                    if how == How::Fast && standing.is_exceeded() {
                        return Ok(Tried::Full(wanted.refused(standing)));
                    }
                }
                Ok(Tried::Done(spending(&opens, counters)))
            }
            Spent::Short(counters) => {
                let short = counted.into_iter().zip(counters);
                let short = short.filter(|((wanted, _), counter)| counter.left() < wanted.amount);
                for ((wanted, open), counter) in short {
                    let ask = Ask {
                        seen: Some(Arc::clone(open)),
                        short: Some((counter, wanted.amount)),
                        ..Ask::default()
                    };
                    // More is granted to all that have too little.
                    match wanted.not_open(self.ask(*wanted, ask).await?) {
                        Tried::Again => {}
                        tried => return Ok(tried),
                    }
                }
                Ok(Tried::Again)
            }
            Spent::Lost(place) => {
                let Some((wanted, seen)) = counted.get(place) else {
                    return Ok(Tried::Again);
                };
                let ask = Ask {
                    seen: Some(Arc::clone(seen)),
                    lost: true,
                    ..Ask::default()
                };
                Ok(wanted.not_open(self.ask(*wanted, ask).await?))
            }
            Spent::Outside(now) => self.follow_time(&opens, now).await,
            Spent::Early { place, wait, left } => {
                let Some((wanted, open)) = counted.get(place) else {
                    return Ok(Tried::Again);
                };
                let wait = wait.and_then(|wait| clock::now().checked_add(wait).ok());
                let standing = open.standing_of_rate(wanted.bound.rate(), left, wait);
                Ok(Tried::Full(wanted.refused(standing)))
            }
        }
    }

    /// What these demands count in, without spending or committing anything.
    pub(super) async fn open_all(&self, demands: &[Demand<'_>]) -> Result<Tried<Spending>, Error> {
        let opens = match self.open_each(demands).await? {
            Tried::Done(opens) => opens,
            tried => return Ok(tried.of_another()),
        };
        let opens: Vec<_> = wanted(demands, How::Durably).zip(opens).collect();
        let looks: Vec<_> = opens
            .iter()
            .filter_map(|(_, open)| open.counter.as_ref())
            .map(|(key, opening)| (key, opening))
            .collect();
        if looks.is_empty() {
            return Ok(Tried::Done(spending(&opens, Vec::new())));
        }
        let look = self.counters.look(&looks).await?;
        // One that is lost is found to be so by whoever spends of it.
        let counters = look.counters.into_iter().map(Option::unwrap_or_default);
        Ok(Tried::Done(spending(&opens, counters.collect())))
    }

    /// The same, of accounts that aren't asked what their counters were spent.
    pub(super) async fn open_each(
        &self,
        demands: &[Demand<'_>],
    ) -> Result<Tried<Vec<Arc<Open>>>, Error> {
        let mut opens = Vec::with_capacity(demands.len());
        for wanted in wanted(demands, How::Durably) {
            match self.open(wanted).await? {
                Tried::Done(open) => opens.push(open),
                tried => return Ok(tried.of_another()),
            }
        }
        Ok(Tried::Done(opens))
    }

    /// The account that a limit is counted in.
    async fn open(&self, wanted: Wanted<'_>) -> Result<Tried<Arc<Open>>, Error> {
        let slot = self.ledger.slot(wanted.bound, wanted.resource_type);
        if let Some(open) = slot.known(wanted.bound, wanted.how) {
            return Ok(Tried::Done(open));
        }
        Ok(match self.ask(wanted, Ask::default()).await? {
            Found::Open(open) => Tried::Done(open),
            found => wanted.not_open(found),
        })
    }

    /// Gives back what was spent durably and isn't used.
    pub(super) async fn give_back(&self, spending: &Spending) -> Result<(), Error> {
        let spends = spending.opens.iter().zip(&spending.amounts);
        let spends: Vec<_> = spends
            .filter_map(|((_, open), amount)| open.spend(*amount, None))
            .collect();
        if spends.is_empty() {
            return Ok(());
        }
        Ok(self.counters.give_back(&spends).await?)
    }

    /// Has windows begin that Redis's clock is in.
    async fn follow_time<T>(
        &self,
        opens: &[(Wanted<'_>, Arc<Open>)],
        now: Timestamp,
    ) -> Result<Tried<T>, Error> {
        for (wanted, open) in opens {
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
            match wanted.not_open(self.ask(*wanted, ask).await?) {
                Tried::Again => {}
                tried => return Ok(tried),
            }
        }
        Ok(Tried::Again)
    }

    /// Asks the ledger.
    async fn ask(&self, wanted: Wanted<'_>, ask: Ask) -> Result<Found, Error> {
        let (bound, resource_type) = (wanted.bound, wanted.resource_type);
        let holds = |set: Option<&_>| self.holds(&bound.tenant, resource_type, set);
        let ask = Ask {
            fast: wanted.how == How::Fast,
            ..ask
        };
        // Large, and seldom needed.
        Box::pin(self.ledger.ask(bound, resource_type, holds, ask)).await
    }
}

fn spending(opens: &[(Wanted<'_>, Arc<Open>)], counters: Vec<Counter>) -> Spending {
    let of = |(wanted, open): &(Wanted<'_>, Arc<Open>)| (wanted.demand, Arc::clone(open));
    Spending {
        opens: opens.iter().map(of).collect(),
        amounts: opens.iter().map(|(wanted, _)| wanted.amount).collect(),
        counters,
    }
}
