//! What a purge removes, at registry's request.

use std::time::{Duration, Instant};

use tenantry_core::{Refusal, TenantId};
use tenantry_rpc::tenant_data::TenantData;
use tenantry_store::TenantTable;

use super::App;
use crate::error::Error;
use crate::store::accounts;

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

    async fn purge_tenant(&self, tenant: TenantId) -> Result<bool, Error> {
        self.store.close_tenant(tenant).await?;
        let until = Instant::now() + WORK_FOR;
        self.close_counters(tenant).await?;
        let removed = self.store.remove_tenant_rows(tenant, TENANT_TABLES, until);
        if !removed.await? {
            return Ok(false);
        }
        self.store.end_tenant(tenant).await?;
        Ok(true)
    }
}
