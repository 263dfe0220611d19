//! Leases: what one replica admits by itself, in memory, because it was spent for that ahead of time.
//!
//! Where requests of a tenant come often a replica spends many units by one call, and says in Redis that they are its lease. It
//! admits from it without asking anyone, and soon gives back what is left. A lease is spent before anyone is admitted for it, so
//! whatever becomes of its holder, of Redis or of the limit, no more than the limit is admitted; and nobody is refused while a
//! lease is out that may still be given back (`super::ledger`). What a holder that is killed had left is lost.

mod demand;
mod lease;
mod span;

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tenantry_core::TenantId;
use tenantry_counter::{Counters, Leased, MAX_AMOUNT, Wanted};
use tenantry_rpc::Tasks;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::ledger::Open;
use super::tally::Tally;
use crate::domain::decision::Standing;

use demand::Demand;
use lease::{Admission, Held, Lease};

/// How long a lease is admitted from: as long a refusal may have to wait for one, and what changed above a tenant for its effect.
const LIVES_FOR: Duration = Duration::from_millis(500);
/// And where little is left.
const LIVES_NEAR_END: Duration = Duration::from_millis(100);
/// How long Redis has it noted, so that a holder that is late still gives back in time. So long at most a holder that was killed
/// holds up a refusal: less than the gateway waits for an answer, behind which it would let everyone pass.
const NOTED_FOR: Duration = Duration::from_millis(1_500);
/// So many requests within the life of a lease are worth one: it costs two calls.
const OFTEN: i64 = 8;
/// The first lease of a tenant. While leases are spent before their time each is twice the one before.
const FIRST: i64 = 2 * OFTEN;
/// The least that a lease is of.
const LEAST: i64 = 8;
/// A lease is at most this part of each limit.
const SHARE: i64 = 100;
/// Most leases that a replica has out; tenants beyond them are counted one request at a time.
const MOST_OUT: usize = 10_000;
/// A replica's leases lie apart by their tenants, so that one that changes holds up few who read others.
const SHARDS: usize = 64;
/// How many leases a request waits for: others who wait may be more than one of them is for.
const MOST_WAITS: usize = 3;
/// Pause before what wasn't given back is given back again.
const TRY_AGAIN_AFTER: Duration = Duration::from_millis(50);

type Shard = RwLock<HashMap<TenantId, Vec<Arc<Lease>>>>;

/// The leases that this replica has. Clones share them.
#[derive(Clone, Debug)]
pub(super) struct Leases {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// Whether any are taken.
    taken: bool,
    counters: Counters,
    tally: Tally,
    tasks: Tasks,
    shards: [Shard; SHARDS],
    demand: Demand,
    out: Arc<Semaphore>,
}

/// How a limit may be leased.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Leasing {
    /// Not at all: how fast it is used up is looked at for each request.
    Never,
    /// For a moment.
    Short,
    /// And for as long as Redis doesn't answer.
    Lasting,
}

/// What is to be leased.
#[derive(Debug)]
struct Want {
    tenant: TenantId,
    resource_type: Box<str>,
    /// What it is spent of.
    opens: Vec<Arc<Open>>,
    amount: i64,
    /// Whether it is admitted from for as long as Redis doesn't answer.
    lasting: bool,
}

impl Leases {
    /// None yet; and none ever, where none are to be taken.
    pub(super) fn new(counters: Counters, tally: &Tally, tasks: &Tasks, taken: bool) -> Self {
        Self {
            shared: Arc::new(Shared {
                taken,
                counters,
                tally: tally.clone(),
                tasks: tasks.clone(),
                shards: std::array::from_fn(|_| Shard::default()),
                demand: Demand::new(LIVES_FOR),
                out: Arc::new(Semaphore::new(MOST_OUT)),
            }),
        }
    }

    /// Admits a request of this weight from a lease; how the limit that binds stands behind it. None where there is no lease that
    /// has as much, or this request is the one that has the next one taken. Those who come while it is taken wait for it: they are
    /// many, and it is one call.
    pub(super) async fn admit(
        &self,
        tenant: TenantId,
        resource_type: &str,
        hits: i64,
    ) -> Option<Standing> {
        for _ in 0..MOST_WAITS {
            match self.try_to_admit(tenant, resource_type, hits) {
                Ok(standing) => return Some(standing),
                Err(lease) => lease?.next_came().await,
            }
        }
        self.try_to_admit(tenant, resource_type, hits).ok()
    }

    /// The same, or the lease behind which the next one comes.
    fn try_to_admit(
        &self,
        tenant: TenantId,
        resource_type: &str,
        hits: i64,
    ) -> Result<Standing, Option<Arc<Lease>>> {
        let shard = self.shard(tenant).read();
        let shard = shard.unwrap_or_else(PoisonError::into_inner);
        let of_tenant = shard.get(&tenant).ok_or(None)?;
        let lease = find(of_tenant, resource_type).ok_or(None)?;
        match lease.admit(Instant::now(), hits) {
            Admission::Done(standing) => Ok(standing),
            Admission::Later => Err(Some(Arc::clone(lease))),
            Admission::No => Err(None),
        }
    }

    /// What is left of the tenant's lease and counts as used in what Redis answered to a call that was sent then.
    pub(super) fn left_in(&self, sent: Instant, tenant: TenantId, resource_type: &str) -> i64 {
        let shard = self.shard(tenant).read();
        let shard = shard.unwrap_or_else(PoisonError::into_inner);
        let lease = shard.get(&tenant).and_then(|of| find(of, resource_type));
        lease.map_or(0, |lease| lease.left_in(sent))
    }

    /// Notes a request that was counted in Redis, of these accounts; where such requests come often, a lease is taken.
    pub(super) fn note<'a>(
        &self,
        tenant: TenantId,
        resource_type: &str,
        opens: impl Iterator<Item = &'a Arc<Open>> + Clone,
        leasing: Leasing,
    ) {
        if !self.shared.taken || leasing == Leasing::Never {
            return;
        }
        let limits = opens.clone().filter_map(|open| open.cap);
        let limits = limits.map(|cap| cap.limit);
        let most = limits.min().unwrap_or_default() / SHARE;
        if most < LEAST {
            return;
        }
        let Some(amount) = self.worth(tenant, resource_type) else {
            return;
        };
        let want = Want {
            tenant,
            resource_type: resource_type.into(),
            opens: opens.cloned().collect(),
            amount: amount.min(most),
            lasting: leasing == Leasing::Lasting,
        };
        if let Ok(place) = Arc::clone(&self.shared.out).try_acquire_owned() {
            let leases = self.clone();
            self.shared.tasks.spawn("lease", async move {
                leases.hold(want).await;
                drop(place);
            });
        }
    }

    /// How much it is worth to lease now that one more request was counted in Redis.
    fn worth(&self, tenant: TenantId, resource_type: &str) -> Option<i64> {
        let shard = self.shard(tenant).read();
        let shard = shard.unwrap_or_else(PoisonError::into_inner);
        let of_tenant = shard.get(&tenant);
        match of_tenant.and_then(|leases| find(leases, resource_type)) {
            Some(lease) if !lease.is_last() => lease.next(Instant::now()),
            Some(_) | None => {
                let count = self.shared.demand.note(tenant, resource_type);
                (count % OFTEN == 0).then_some(FIRST)
            }
        }
    }

    /// Takes a lease, and gives back what is left of it when its time is over, when another takes its place, or at the end of this
    /// replica.
    async fn hold(&self, want: Want) {
        let Some(held) = self.take(&want).await else {
            let shard = self.shard(want.tenant).read();
            let shard = shard.unwrap_or_else(PoisonError::into_inner);
            let former = shard.get(&want.tenant);
            if let Some(former) = former.and_then(|of| find(of, &want.resource_type)) {
                former.make_last();
            }
            return;
        };
        let lease = self.put(want.tenant, want.resource_type.clone(), held);
        self.until_end(&lease).await;
        while want.lasting
            && !self.shared.tasks.token().is_cancelled()
            && lease.prolong()
            && self.is_unanswered(&want.opens).await
        {
            self.until_end(&lease).await;
        }
        if lease.is_spent_early() {
            // Nobody is to wait for it in Redis; here it is still the one behind which the next comes.
            self.give_back(&want.opens, lease.id(), lease.close()).await;
            self.until_end(&lease).await;
            self.remove(want.tenant, &lease);
        } else {
            self.remove(want.tenant, &lease);
            self.give_back(&want.opens, lease.id(), lease.close()).await;
        }
        let spent = lease.spent();
        metrics::counter!("tenantry_quota_leased_total").increment(spent);
        let spent = i64::try_from(spent).unwrap_or(i64::MAX);
        self.shared
            .tally
            .add(want.tenant, &want.resource_type, spent);
    }

    async fn until_end(&self, lease: &Lease) {
        tokio::select! {
            () = self.shared.tasks.cancelled() => {}
            () = lease.ended() => {}
        }
    }

    /// Whether Redis doesn't answer.
    async fn is_unanswered(&self, opens: &[Arc<Open>]) -> bool {
        let counters = opens.iter().filter_map(|open| open.counter.as_ref());
        let counters: Vec<_> = counters.map(|(key, opening)| (key, opening)).collect();
        self.shared.counters.look(&counters).await.is_err()
    }

    async fn take(&self, want: &Want) -> Option<Held> {
        let of: Vec<_> = want
            .opens
            .iter()
            .filter_map(|open| open.lease_of())
            .collect();
        let wanted = Wanted {
            amount: want.amount,
            least: LEAST,
            noted_for: NOTED_FOR,
        };
        let id = tenantry_counter::LeaseId::new();
        let sent = Instant::now();
        match self.shared.counters.lease(&id, wanted, &of).await {
            Ok(Leased::Done {
                amount,
                now,
                counters,
            }) => {
                let counted = want.opens.iter().filter(|open| open.counter.is_some());
                let counted = counted.zip(&counters);
                let windows = of.iter().map(|of| of.window);
                // Where there was less than was wanted a limit may be near its end, and somebody's refusal.
                let lives = if amount < want.amount {
                    LIVES_NEAR_END
                } else {
                    LIVES_FOR
                };
                let span = span::span((sent, lives), now, windows);
                let held = Held::new(&id, amount, counted, span);
                if held.is_none() {
                    // Granted more than the limit has: what is asked next has the ledger end that.
                    self.give_back(&want.opens, &id, amount).await;
                }
                held
            }
            // The next request has the ledger asked, where that is needed.
            Ok(Leased::Scarce | Leased::Lost(_) | Leased::Outside(_)) => None,
            Err(error) => {
                tracing::debug!(error = %error, "a lease can't be taken");
                // Perhaps it was.
                self.give_back(&want.opens, &id, MAX_AMOUNT).await;
                None
            }
        }
    }

    /// Gives back what is left, as long as Redis has it noted.
    async fn give_back(&self, opens: &[Arc<Open>], id: &tenantry_counter::LeaseId, left: i64) {
        let counters = opens.iter().filter_map(|open| open.counter.as_ref());
        let counters: Vec<_> = counters.map(|(key, opening)| (key, opening)).collect();
        let until = Instant::now() + NOTED_FOR;
        while let Err(error) = self.shared.counters.end_lease(id, left, &counters).await {
            if Instant::now() >= until {
                tracing::warn!(error = %error, left, "what is left of a lease can't be given back");
                return;
            }
            tokio::time::sleep(TRY_AGAIN_AFTER).await;
        }
    }

    fn shard(&self, tenant: TenantId) -> &Shard {
        // Its last bits are random.
        let bits = tenant.uuid().as_u128() % SHARDS as u128;
        &self.shared.shards[usize::try_from(bits).unwrap_or_default()]
    }

    /// Has what was leased admitted from, in the place of a lease of before, which ends.
    fn put(&self, tenant: TenantId, resource_type: Box<str>, held: Held) -> Arc<Lease> {
        let shard = self.shard(tenant).write();
        let mut shard = shard.unwrap_or_else(PoisonError::into_inner);
        let of_tenant = shard.entry(tenant).or_default();
        let mut known = of_tenant.iter_mut();
        let Some(former) = known.find(|known| known.is_of(&resource_type)) else {
            let lease = Arc::new(Lease::new(resource_type, held));
            of_tenant.push(Arc::clone(&lease));
            return lease;
        };
        *former = Arc::new(Lease::new(resource_type, held.in_place_of(former)));
        Arc::clone(former)
    }

    fn remove(&self, tenant: TenantId, lease: &Arc<Lease>) {
        let shard = self.shard(tenant).write();
        let mut shard = shard.unwrap_or_else(PoisonError::into_inner);
        if let Some(of_tenant) = shard.get_mut(&tenant) {
            of_tenant.retain(|known| !Arc::ptr_eq(known, lease));
            if of_tenant.is_empty() {
                shard.remove(&tenant);
            }
        }
    }
}

fn find<'a>(leases: &'a [Arc<Lease>], resource_type: &str) -> Option<&'a Arc<Lease>> {
    leases.iter().find(|lease| lease.is_of(resource_type))
}
