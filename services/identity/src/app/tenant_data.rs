//! What identity keeps of a tenant, told and removed at registry's request.

use std::time::{Duration, Instant};

use tenantry_core::{Refusal, TenantId};
use tenantry_rpc::tenant_data::TenantData;

use super::App;
use crate::error::Error;
use crate::store::tenant_data::{BATCH, TENANT_TABLES, take_passwords};

/// How long one request of a purge works before it is to be asked again; registry waits for longer.
const WORK_FOR: Duration = Duration::from_secs(5);

impl TenantData for App {
    async fn count(&self, tenant: TenantId) -> Result<Vec<(&'static str, i64)>, Refusal> {
        let counts = self.store.count_tenant_rows(tenant, TENANT_TABLES).await?;
        Ok(counts
            .into_iter()
            .map(|counted| (counted.kind, counted.count))
            .collect())
    }

    async fn purge(&self, tenant: TenantId) -> Result<bool, Refusal> {
        Ok(self.purge_tenant(tenant).await?)
    }
}

impl App {
    /// Closes the tenant, removes what there is of it, and says so at the end of its stream: that event makes void what the
    /// replicas remember of its keys and sessions. Users stay, also those who belong nowhere else.
    async fn purge_tenant(&self, tenant: TenantId) -> Result<bool, Error> {
        let until = Instant::now() + WORK_FOR;
        self.store.close_tenant(tenant).await?;
        loop {
            let mut tx = self.store.begin(tenant).await?;
            let taken = take_passwords(&mut tx, tenant).await?;
            tx.commit().await?;
            if taken < BATCH {
                break;
            }
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
}
