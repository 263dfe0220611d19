//! The way from a limit to what may be spent: this replica's knowledge of open counters, and the ledger's grants behind it.

mod slot;

use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use jiff::Timestamp;
use moka::sync::Cache;
use tenantry_core::TenantId;
use tenantry_core::event::Event;
use tenantry_counter::{Closed, CounterKey, Counters, Granted, Opened, Opening, Spend};
use tenantry_rpc::tenants::TenantEntry;
use tenantry_store::{AcrossTx, Store, TenantTx};

use super::alerts;
use super::bounds::{Bound, zone};
use super::spending::Spending;
use crate::domain::account::{Account, AccountId, Ended, Granting};
use crate::domain::decision::Standing;
use crate::domain::entry::Accounts;
use crate::domain::limit::{Limit, LimitOverride};
use crate::domain::period::ResetPeriod;
use crate::error::Error;
use crate::store::{accounts, overrides, usage};

use slot::Pace;
pub(super) use slot::{Ask, Found, Open, Slot};

/// Most tenants whose counters a replica knows at once; one that it has forgotten costs a look into the ledger.
const MOST_KNOWN: u64 = 1_000_000;
/// After how long without a use one is forgotten.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(3_600);

/// The ledger, as one replica knows it. Clones share that.
#[derive(Clone, Debug)]
pub(super) struct Ledger {
    store: Store,
    counters: Counters,
    tenants: Cache<TenantId, Arc<OfTenant>>,
}

/// What is known of one tenant: a few slots, looked through one after the other.
#[derive(Debug, Default)]
struct OfTenant(RwLock<Vec<Known>>);

#[derive(Debug)]
struct Known {
    resource_type: Box<str>,
    period: ResetPeriod,
    slot: Arc<Slot>,
}

impl OfTenant {
    fn find(&self, resource_type: &str, period: ResetPeriod) -> Option<Arc<Slot>> {
        let slots = self.0.read().unwrap_or_else(PoisonError::into_inner);
        find(&slots, resource_type, period)
    }

    fn slot(&self, resource_type: &str, period: ResetPeriod) -> Arc<Slot> {
        if let Some(slot) = self.find(resource_type, period) {
            return slot;
        }
        let mut slots = self.0.write().unwrap_or_else(PoisonError::into_inner);
        // Another one may have been first.
        find(&slots, resource_type, period).unwrap_or_else(|| {
            let slot = Arc::<Slot>::default();
            slots.push(Known {
                resource_type: resource_type.into(),
                period,
                slot: Arc::clone(&slot),
            });
            slot
        })
    }

    fn forget(&self, resource_type: &str) {
        let mut slots = self.0.write().unwrap_or_else(PoisonError::into_inner);
        slots.retain(|known| &*known.resource_type != resource_type);
    }
}

fn find(slots: &[Known], resource_type: &str, period: ResetPeriod) -> Option<Arc<Slot>> {
    let mut slots = slots.iter();
    let found =
        slots.find(|known| known.period == period && &*known.resource_type == resource_type);
    found.map(|known| Arc::clone(&known.slot))
}

impl Ledger {
    pub(super) fn new(store: Store, counters: Counters) -> Self {
        let tenants = Cache::builder()
            .max_capacity(MOST_KNOWN)
            .time_to_idle(FORGOTTEN_AFTER)
            .build();
        Self {
            store,
            counters,
            tenants,
        }
    }

    /// What this replica knows of the bound.
    pub(super) fn slot(&self, bound: &Bound, resource_type: &str) -> Arc<Slot> {
        let of_tenant = self.tenants.get_with(bound.tenant.id, Arc::default);
        of_tenant.slot(resource_type, bound.reset_period())
    }

    /// Forgets what is known of a tenant's resource type.
    pub(super) fn forget(&self, tenant: TenantId, resource_type: &str) {
        if let Some(of_tenant) = self.tenants.get(&tenant) {
            of_tenant.forget(resource_type);
        }
    }

    /// Notes that a limit which is counted in the ledger alone has no more.
    pub(super) fn note_full(&self, standing: Standing, spending: &Spending) {
        let mut opens = spending.opens.iter();
        let open = opens.find(|(_, open)| open.id.tenant == standing.tenant);
        if let Some(slot) = open.and_then(|(_, open)| self.slot_of(&open.id)) {
            slot.note_full(standing);
        }
    }

    /// Notes that something was given back to an account.
    pub(super) fn note_room(&self, account: &AccountId) {
        if let Some(slot) = self.slot_of(account) {
            slot.note_room();
        }
    }

    fn slot_of(&self, account: &AccountId) -> Option<Arc<Slot>> {
        let of_tenant = self.tenants.get(&account.tenant)?;
        of_tenant.find(&account.resource_type, account.reset_period)
    }

    /// Asks the ledger: opens what isn't open, ends what is over, and grants what is needed.
    pub(super) async fn ask(
        &self,
        bound: &Bound,
        resource_type: &str,
        holds: impl Fn(Option<&LimitOverride>) -> Result<Option<Limit>, Error>,
        mut ask: Ask,
    ) -> Result<Found, Error> {
        let slot = self.slot(bound, resource_type);
        let mut pace = slot.turn.lock().await;
        // Whoever had the turn before found something else.
        if let Some(open) = slot.open.load_full()
            && !ask.is_about(&open)
            && slot.known(bound, ask.how()).is_some()
        {
            return Ok(Found::Open(open));
        }
        if let Some((_, amount)) = ask.short {
            if let Some(standing) = slot.full(bound, amount) {
                return Ok(Found::Full(standing));
            }
            if slot.is_pending() {
                return Ok(Found::Pending);
            }
        }
        if let Some(found) = self.has_no_more(&slot, bound, &ask, &mut pace).await? {
            return Ok(found);
        }
        loop {
            let grant = self.grant(&slot, (bound, resource_type), &holds, &ask, &mut pace);
            match grant.await? {
                Found::Outside(now) => ask.now = Some(now),
                found => return Ok(found),
            }
        }
    }

    /// Whether a limit has no more to grant to a counter that has too little: a look that keeps nobody from committing.
    async fn has_no_more(
        &self,
        slot: &Slot,
        bound: &Bound,
        ask: &Ask,
        pace: &mut Pace,
    ) -> Result<Option<Found>, Error> {
        let (Some(seen), Some((counter, amount))) = (&ask.seen, ask.short) else {
            return Ok(None);
        };
        let mut tx = self.store.read(bound.tenant.id).await?;
        let period = seen.id.reset_period.word();
        let account =
            accounts::find_newest(tx.conn(), bound.tenant.id, &seen.id.resource_type, period);
        let account = account.await?;
        drop(tx);
        let same = account.filter(|account| {
            seen.is_of(account) && account.cap == bound.cap() && account.granted <= counter.granted
        });
        match same {
            Some(account)
                if !account.can_grant(amount - counter.left()) && !pace.is_stuck(&account) =>
            {
                Ok(Some(self.full(slot, &account, amount, pace).await?))
            }
            Some(_) | None => Ok(None),
        }
    }

    /// Opens and grants, under the account's lock.
    async fn grant(
        &self,
        slot: &Slot,
        (bound, resource_type): (&Bound, &str),
        holds: impl Fn(Option<&LimitOverride>) -> Result<Option<Limit>, Error>,
        ask: &Ask,
        pace: &mut Pace,
    ) -> Result<Found, Error> {
        let mut tx = self.store.begin(bound.tenant.id).await?;
        let now = match ask.now {
            Some(now) => now,
            None => accounts::now(tx.conn()).await?,
        };
        let mut account = self
            .account(
                &mut tx,
                (&bound.tenant, resource_type, bound.root),
                bound.reset_period(),
                now,
            )
            .await?;
        // Behind the account's lock: whoever changes the limit has that too.
        let set = overrides::find(tx.conn(), bound.tenant.id, resource_type).await?;
        let limit = holds(set.as_ref())?;
        if !bound.is_of_same_kind(limit) {
            return Ok(Found::Stale);
        }
        account.set_cap(limit.map(|limit| limit.cap()));
        account.superseded = false;
        let lost = ask.lost && ask.seen.as_ref().is_some_and(|seen| seen.is_of(&account));
        if lost
            || pace.is_stuck(&account)
            || account.root != bound.root
            || account.is_overgranted()
            || !account.is_spent_in_redis()
        {
            self.end(&mut account).await?;
            account.root = bound.root;
        }
        if account.is_spent_in_redis() && account.opening.is_none() {
            match self
                .counters
                .open(&counter_key(&account), account.window)
                .await?
            {
                Opened::Done(opening) => account.open(opening.as_str().to_owned()),
                Opened::Outside(now) => return Ok(Found::Outside(now)),
            }
        }
        // Noted before anything is spent so: should the opening be lost, all that was granted counts as used.
        account.fast |= ask.fast && account.opening.is_some();
        let alerts = account.reach(ask.used_of(&account));
        let granting = grant(&mut account, ask, pace);
        accounts::save(tx.conn(), &account).await?;
        alerts::tell(&mut tx, &alerts).await?;
        // Last, as an event is: a purge waits for it, and comes before it or behind it.
        tx.still_open().await?;
        tx.commit().await?;
        if granting == Granting::Full {
            let amount = ask.short.map_or(0, |(_, amount)| amount);
            return self.full(slot, &account, amount, pace).await;
        }
        let granted = account.granted;
        let open = Arc::new(Open::of(account));
        if let Some((key, opening)) = &open.counter
            && self.counters.grant(key, opening, granted).await? == Granted::Lost
        {
            tracing::info!(tenant.id = %bound.tenant.id, resource_type, "a counter was lost before it was granted anything");
        }
        slot.open.store(Some(Arc::clone(&open)));
        Ok(Found::Open(open))
    }

    /// The account of the window that it is now, locked: the one that isn't over, else a new one.
    pub(super) async fn account(
        &self,
        tx: &mut TenantTx,
        (tenant, resource_type, root): (&TenantEntry, &str, TenantId),
        period: ResetPeriod,
        now: Timestamp,
    ) -> Result<Account, Error> {
        loop {
            let last = accounts::lock_last(tx.conn(), tenant.id, resource_type, (period, now));
            let last = last.await?;
            let last_end = last.as_ref().and_then(|account| account.window.end);
            if let Some(account) = last
                && account.window.end.is_none_or(|end| end > now)
            {
                return Ok(account);
            }
            let window = period.window(&zone(tenant)?, now, last_end);
            let id = AccountId {
                tenant: tenant.id,
                resource_type: resource_type.to_owned(),
                reset_period: period,
                start: window.start,
            };
            let account = Account::new(id, window, root);
            if accounts::insert(tx.conn(), &account).await? {
                return Ok(account);
            }
        }
    }

    /// Ends the opening of an account, if it has one.
    pub(super) async fn end(&self, account: &mut Account) -> Result<(), Error> {
        let Some(opening) = account.opening.clone() else {
            return Ok(());
        };
        let closed = self
            .counters
            .close(&counter_key(account), &Opening::noted(opening))
            .await?;
        account.end(match closed {
            Closed::Ended(counter) => Ended::Known { fast: counter.fast },
            Closed::Lost => Ended::Lost,
        });
        Ok(())
    }

    /// Writes what entries have made of accounts, and what there is to tell of it besides these events, at the end of a transaction.
    /// Returns the tenants that are closed, among theirs and those of whom something else was written: then nothing of it may be
    /// committed.
    pub(super) async fn keep(
        &self,
        tx: &mut AcrossTx,
        accounts: &mut Accounts,
        (further, mut events): (impl Iterator<Item = TenantId>, Vec<(TenantId, Event)>),
    ) -> Result<Vec<TenantId>, Error> {
        accounts::save_used(tx.conn(), accounts.changed()).await?;
        events.extend(alerts::events(accounts.alerts()));
        if !events.is_empty() {
            tx.record_all(&events).await?;
        }
        let counted = accounts.changed().map(|account| account.id.tenant);
        let tenants: BTreeSet<_> = counted.chain(further).collect();
        let tenants: Vec<_> = tenants.into_iter().collect();
        let open = usage::open_tenants(tx.conn(), &tenants).await?;
        if open.len() < tenants.len() {
            return Ok(tenants
                .into_iter()
                .filter(|tenant| !open.contains(tenant))
                .collect());
        }
        // What a counter was spent is known once: it is asked when nothing else can undo this.
        for account in accounts.overgranted() {
            self.end(account).await?;
            accounts::save(tx.conn(), account).await?;
        }
        Ok(Vec::new())
    }

    /// Has counters spend again what their accounts have committed no longer. Where one can't be told it is given up with its opening:
    /// whoever finds it missing ends that.
    pub(super) async fn free(&self, freed: impl Iterator<Item = (&Account, i64)>) {
        for (account, amount) in freed {
            let Some(opening) = account.opening.clone() else {
                continue;
            };
            let spend = Spend {
                key: &counter_key(account),
                opening: &Opening::noted(opening),
                amount,
                window: account.window,
                rate: None,
            };
            if let Err(error) = self.counters.give_back(&[spend]).await {
                tracing::info!(error = %error, "counters weren't told what they may spend again");
                return;
            }
        }
    }

    /// Whether the limit really doesn't have so much, or only what others may still give back is missing.
    async fn full(
        &self,
        slot: &Slot,
        account: &Account,
        amount: i64,
        pace: &mut Pace,
    ) -> Result<Found, Error> {
        let mut standing = account.standing(account.used());
        let (mut leased, mut uncommitted) = (0, true);
        if let Some(opening) = &account.opening {
            let (key, opening) = (counter_key(account), Opening::noted(opening.clone()));
            let look = self.counters.look(&[(&key, &opening)]).await?;
            if let Some(Some(counter)) = look.counters.first() {
                standing.usage = account.used_with(counter.fast);
                leased = counter.leased;
                uncommitted = counter.durable > account.committed;
            }
        }
        if standing.without(leased).admits(amount) {
            slot.note_pending();
            if uncommitted && standing.admits(amount) {
                pace.note_pending(account);
            } else {
                // Leases end by themselves, or did meanwhile: nothing is to be given up for them.
                pace.forget_pending();
            }
            return Ok(Found::Pending);
        }
        slot.note_full(standing);
        if !account.told_refusal
            && let Err(error) = self.tell_refusal(&account.id, standing.usage).await
        {
            tracing::warn!(error = %error, "a refusal can't be told; the next one will be");
        }
        Ok(Found::Full(standing))
    }

    /// Tells that an account refused something, unless that was told.
    async fn tell_refusal(&self, id: &AccountId, usage: i64) -> Result<(), Error> {
        let mut tx = self.store.begin(id.tenant).await?;
        for mut account in accounts::lock(tx.conn(), [id]).await? {
            let alert = account.refuse(usage);
            accounts::save(tx.conn(), &account).await?;
            alerts::tell(&mut tx, alert.as_slice()).await?;
        }
        Ok(tx.commit().await?)
    }
}

/// Grants what the counter needs; nothing where another replica has granted more since.
fn grant(account: &mut Account, ask: &Ask, pace: &mut Pace) -> Granting {
    let Some(cap) = account.cap.filter(|_| account.opening.is_some()) else {
        return Granting::Granted;
    };
    let same = ask.seen.as_ref().is_some_and(|seen| seen.is_of(account));
    let needed = match ask.short {
        Some((counter, _)) if same && account.granted > counter.granted => {
            return Granting::Granted;
        }
        Some((counter, amount)) if same => amount - counter.left(),
        Some((_, amount)) => amount,
        None => 0,
    };
    if needed <= 0 && account.granted > 0 {
        return Granting::Granted;
    }
    account.grant(needed, pace.next(cap.limit))
}

/// The name of an account's counter.
pub(super) fn counter_key(account: &Account) -> CounterKey {
    let id = &account.id;
    let window = (id.reset_period.word(), id.start);
    CounterKey::new(account.root, id.tenant, &id.resource_type, window)
}
