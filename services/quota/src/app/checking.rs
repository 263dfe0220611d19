//! How a tenant's limits stand, without counting anything.

use tenantry_core::{TenantId, Window};
use tenantry_counter::{CounterKey, Opening};
use tenantry_rpc::tenants::TenantEntry;

use super::App;
use super::bounds::{Bound, zone};
use super::ledger::counter_key;
use crate::domain::account::Account;
use crate::domain::decision::{Standing, binding};
use crate::error::Error;
use crate::store::accounts;

impl App {
    /// How the limit stands that binds the tenant on this resource type.
    pub(crate) async fn check(
        &self,
        tenant: &TenantEntry,
        resource_type: &str,
    ) -> Result<Standing, Error> {
        let bounds = self.bounds(tenant, resource_type).await?;
        let mut standings = Vec::with_capacity(bounds.len());
        for bound in &bounds {
            let mut tx = self.store.read(bound.tenant.id).await?;
            let period = bound.reset_period().word();
            let account = accounts::find_newest(tx.conn(), bound.tenant.id, resource_type, period);
            let account = account.await?;
            let now = accounts::now(tx.conn()).await?;
            drop(tx);
            standings.push(self.standing(bound, account, now).await?);
        }
        // The tenant's own is always there.
        binding(standings).ok_or(Error::TenantNotFound)
    }

    /// How the tenant's own limits stand on these resource types.
    pub(crate) async fn figures(
        &self,
        tenant: TenantId,
        resource_types: &[String],
    ) -> Result<Vec<Standing>, Error> {
        let tenant = self.tenants.get(tenant).await?;
        let tenant = tenant.ok_or(Error::TenantNotFound)?;
        let mut tx = self.store.read(tenant.id).await?;
        let newest = accounts::newest(tx.conn(), tenant.id).await?;
        let now = accounts::now(tx.conn()).await?;
        drop(tx);
        let mut standings = Vec::with_capacity(resource_types.len());
        for name in resource_types {
            let set = self.overrides.get(tenant.id, name);
            let limit = self.holds(&tenant, name, set.as_deref())?;
            let bound = self.own(&tenant, name, limit);
            let account = newest.iter().find(|account| {
                account.id.resource_type == *name && account.id.reset_period == bound.reset_period()
            });
            standings.push(self.standing(&bound, account.cloned(), now).await?);
        }
        Ok(standings)
    }

    /// How a limit stands whose newest account is this.
    pub(super) async fn standing(
        &self,
        bound: &Bound,
        account: Option<Account>,
        now: jiff::Timestamp,
    ) -> Result<Standing, Error> {
        let last_end = account.as_ref().and_then(|account| account.window.end);
        let current = account.filter(|account| account.window.end.is_none_or(|end| end > now));
        let window = match &current {
            Some(account) => account.window,
            None => new_window(bound, now, last_end)?,
        };
        let usage = match &current {
            Some(account) => self.used(account).await?,
            None => 0,
        };
        Ok(Standing {
            tenant: bound.tenant.id,
            limit: bound.limit.map(|limit| limit.limit),
            beyond: bound.cap().map_or(0, |cap| cap.beyond),
            usage,
            reset_period: bound.reset_period(),
            reset_at: window.end,
            rate: None,
        })
    }

    /// What is used of an account: what the ledger has, and what its counter was spent fast.
    pub(super) async fn used(&self, account: &Account) -> Result<i64, Error> {
        let Some(opening) = account.opening.clone().filter(|_| account.fast) else {
            return Ok(account.used());
        };
        let counter: (CounterKey, Opening) = (counter_key(account), Opening::noted(opening));
        let look = self.counters.look(&[(&counter.0, &counter.1)]).await?;
        let fast = match look.counters.first() {
            Some(Some(counter)) => counter.fast,
            // Lost: all that was granted counts as used.
            Some(None) | None => account.granted - account.committed,
        };
        Ok(account.used_with(fast))
    }
}

fn new_window(
    bound: &Bound,
    now: jiff::Timestamp,
    last_end: Option<jiff::Timestamp>,
) -> Result<Window, Error> {
    Ok(bound
        .reset_period()
        .window(&zone(&bound.tenant)?, now, last_end))
}
