//! What a purge leaves of a tenant's log, at registry's request: every event, and of no person anything but hashes.

use std::time::{Duration, Instant};

use tenantry_core::{Refusal, TenantId};
use tenantry_rpc::tenant_data::TenantData;
use tenantry_store::TenantTable;
use tenantry_transparency::leaf::Leaf;

use super::{App, away};
use crate::domain::entry::terms_of_leaf;
use crate::domain::query::Scope;
use crate::error::Error;
use crate::store::search::due;
use crate::store::{append, erasure, logs};

/// The tables that a purge empties of a tenant. What it leaves is reviewed beside the test that holds this list against the
/// schema.
pub const TENANT_TABLES: &[TenantTable] = &[TenantTable::of("request_record", "request_records")];

/// How long one request of a purge works before it is to be asked again; registry waits for longer.
const WORK_FOR: Duration = Duration::from_secs(5);
/// Most events that one transaction erases.
const BATCH: i64 = 1_000;
/// Most events that are counted: beyond that it takes longer than a number is worth.
const MOST_COUNTED: i64 = 100_000;

impl TenantData for App {
    async fn count(&self, tenant: TenantId) -> Result<Vec<(&'static str, i64)>, Refusal> {
        let mut tx = self.store.read(tenant).await?;
        let personal = erasure::count(tx.conn(), tenant, MOST_COUNTED).await?;
        drop(tx);
        let rows = self.store.count_tenant_rows(tenant, TENANT_TABLES).await?;
        let rows = rows.into_iter().map(|row| (row.kind, row.count));
        Ok([("personal_records", personal)]
            .into_iter()
            .chain(rows)
            .collect())
    }

    async fn purge(&self, tenant: TenantId) -> Result<bool, Refusal> {
        Ok(self.purge_tenant(tenant).await?)
    }
}

impl App {
    /// Closes the tenant, and its log to personal values, takes out those that it has, and says so at the end of the tenant's
    /// stream.
    async fn purge_tenant(&self, tenant: TenantId) -> Result<bool, Error> {
        // Registry refuses to purge what is held. To be sure twice costs a look at the view, which mustn't be an old one.
        if !self.tenants.is_ready() {
            return Err(Refusal::unavailable().into());
        }
        if self.tenants.is_held(tenant) {
            return Err(Error::Held);
        }
        let until = Instant::now() + WORK_FOR;
        self.store.close_tenant(tenant).await?;
        let mut from = self.close_log(tenant).await?;
        while let Some(to) = self.erase_batch(tenant, from).await? {
            from = to;
            if Instant::now() >= until {
                return Ok(false);
            }
        }
        if !self
            .store
            .remove_tenant_rows(tenant, TENANT_TABLES, until)
            .await?
        {
            return Ok(false);
        }
        self.store.end_tenant(tenant).await?;
        Ok(true)
    }

    /// Sees to it that nothing personal comes to the log from here on, and tells from which place on it is to be erased.
    async fn close_log(&self, tenant: TenantId) -> Result<i64, Error> {
        let mut tx = self.store.begin(tenant).await?;
        if let Some(erased) = logs::erased(tx.conn(), tenant).await? {
            return Ok(erased);
        }
        // Whoever appends at this moment is waited for, and whoever comes later sees it.
        append::lock_head(tx.conn()).await?;
        logs::close(tx.conn(), tenant).await?;
        tx.commit().await?;
        Ok(0)
    }

    /// Erases some events from this place on; where to go on, if anywhere. What another replica erases at the same time is
    /// erased once more, to the same.
    async fn erase_batch(&self, tenant: TenantId, from: i64) -> Result<Option<i64>, Error> {
        let mut tx = self.store.platform().await?;
        let rows = erasure::from(tx.conn(), tenant, from, BATCH).await?;
        let Some(last) = rows.last().map(|row| row.index) else {
            return Ok(None);
        };
        let indexes: Vec<_> = rows.iter().map(|row| row.index).collect();
        let positions: Vec<_> = rows.iter().map(|row| row.position).collect();
        let bare = away(move || rows.iter().map(bare).collect::<Result<Vec<_>, _>>()).await??;
        erasure::erase(tx.conn(), tenant, &bare).await?;
        // Behind the change, and what all logs are searched by after that: whoever erases another one waits for no more.
        due::anew(tx.conn(), Scope::Log(tenant), &indexes).await?;
        due::anew(tx.conn(), Scope::All, &positions).await?;
        // The log's row last of all: who appends to it holds the head, and must not wait for what is waited for above.
        logs::erased_to(tx.conn(), tenant, last + 1).await?;
        tx.commit().await?;
        Ok(Some(last + 1))
    }
}

/// What an event is found by without what tells of a person.
fn bare(row: &erasure::Row) -> Result<(i64, Vec<i64>), Error> {
    Ok((row.index, terms_of_leaf(&Leaf::parse(&row.leaf)?)?))
}
