//! What a purge removes, at registry's request.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use tenantry_core::{Refusal, TenantId};
use tenantry_rpc::tenant_data::TenantData;
use tenantry_store::TenantTable;

use super::{App, OWN};
use crate::domain::entry::{Accounts, Amount, Change, Entry, Kind, Line, Part};
use crate::domain::reservation::{Ending, Reservation, Status};
use crate::error::Error;
use crate::store::{accounts, holds, reservations};

/// The tables that a purge empties of a tenant. The accounts come first: whoever just counts in one is waited for, and nobody
/// counts without one.
pub const TENANT_TABLES: &[TenantTable] = &[
    TenantTable::of("accounts", "usage_accounts"),
    TenantTable::of("usage_log", "usage_records"),
    TenantTable::of("usage_series", "usage_spans"),
    TenantTable::of("reservations", "reservations"),
    TenantTable::of("limit_overrides", "limit_overrides"),
    TenantTable::of("request_record", "request_records"),
];

/// Most holds that one transaction of a purge takes out of pools.
const BATCH: i64 = 500;
/// How long one request of a purge works before it is to be asked again; registry waits for longer.
const WORK_FOR: Duration = Duration::from_secs(5);

impl TenantData for App {
    async fn count(&self, tenant: TenantId) -> Result<Vec<(&'static str, i64)>, Refusal> {
        let counts = self.store.count_tenant_rows(tenant, TENANT_TABLES).await?;
        Ok(counts
            .into_iter()
            .map(|row| (row.kind, row.count))
            .collect())
    }

    async fn purge(&self, tenant: TenantId) -> Result<bool, Refusal> {
        Ok(self.purge_tenant(tenant).await?)
    }
}

impl App {
    /// Takes the tenant's counters out of Redis, whose names say what it used.
    async fn close_counters(&self, tenant: TenantId) -> Result<(), Error> {
        let mut tx = self.store.begin(tenant).await?;
        for mut account in accounts::lock_open(tx.conn(), tenant).await? {
            self.ledger.end(&mut account).await?;
            accounts::save(tx.conn(), &account).await?;
        }
        Ok(tx.commit().await?)
    }

    /// Takes some of what other services held for the tenant out of the pools above it, where it would count for ever; false where nothing
    /// is left there.
    async fn leave_pools(&self, tenant: TenantId) -> Result<bool, Error> {
        let mut tx = self.store.platform().await?;
        let pooled = holds::pooled(tx.conn(), tenant, BATCH).await?;
        let entries: Vec<_> = pooled
            .iter()
            .map(|hold| out_of_pools(tenant, hold))
            .collect();
        let lines = entries.iter().flat_map(|entry| &entry.lines);
        let parts = lines.flat_map(|line| &line.parts);
        let pools: BTreeSet<_> = parts.map(|part| &part.account).collect();
        let mut accounts = Accounts::new(accounts::lock(tx.conn(), pools).await?);
        let ids: Vec<_> = pooled.iter().map(|hold| (tenant, hold.id)).collect();
        let still: BTreeMap<_, _> = reservations::lock(tx.conn(), &ids)
            .await?
            .into_iter()
            .collect();
        let now = accounts::now(tx.conn()).await?;
        for (hold, entry) in pooled.iter().zip(&entries) {
            let ending = Ending {
                id: hold.id,
                status: Status::Released,
                lines: Vec::new(),
            };
            if still
                .get(&(tenant, hold.id))
                .is_some_and(|status| ending.is_of(*status))
            {
                accounts.post(entry, now);
                reservations::end(tx.conn(), tenant, &ending, now).await?;
            }
        }
        accounts::save_used(tx.conn(), accounts.changed()).await?;
        tx.commit().await?;
        self.ledger.free(accounts.freed()).await;
        for account in accounts.changed() {
            self.ledger.note_room(&account.id);
        }
        Ok(!pooled.is_empty())
    }

    async fn purge_tenant(&self, tenant: TenantId) -> Result<bool, Error> {
        self.store.close_tenant(tenant).await?;
        let until = Instant::now() + WORK_FOR;
        self.close_counters(tenant).await?;
        while self.leave_pools(tenant).await? {
            if Instant::now() >= until {
                return Ok(false);
            }
        }
        let removed = self.store.remove_tenant_rows(tenant, TENANT_TABLES, until);
        if !removed.await? {
            return Ok(false);
        }
        self.store.end_tenant(tenant).await?;
        Ok(true)
    }
}

/// What takes a hold out of the pools that it counts in. No log has it: the tenant's own goes as a whole.
fn out_of_pools(tenant: TenantId, hold: &Reservation) -> Entry {
    let lines = hold.lines.iter().map(|line| Line {
        resource_type: line.resource_type.clone(),
        amount: Amount::By(-line.amount),
        parts: line
            .accounts
            .iter()
            .filter(|account| account.tenant != tenant)
            .map(|account| Part {
                account: account.clone(),
                change: Change::Amend,
                fast: 0,
            })
            .collect(),
    });
    Entry {
        key: (tenant, OWN.to_owned(), String::new()),
        usage_id: hold.id.uuid(),
        digest: Vec::new(),
        kind: Kind::Released,
        description: String::new(),
        occurred_at: None,
        refers_to: Some(hold.id.uuid()),
        lines: lines.collect(),
    }
}
