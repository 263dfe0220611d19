//! Purging a tenant: shown first, started by force or when its time has come.

use std::time::Duration;

use tenantry_core::{Permission, Permissions, RequestContext, TenantId, clock};
use tenantry_proto::internal::data::v1::tenant_data_service_client::TenantDataServiceClient;
use tenantry_proto::internal::data::v1::{CountRequest, PurgeRequest};
use tenantry_rpc::client::Replicas;

use super::tenants::{lock, replay, tenant_event};
use super::{App, Change};
use crate::domain::OWN;
use crate::domain::purge::{Count, Part, Purge, Report, StartedBy};
use crate::domain::tenant::{Tenant, Transition};
use crate::error::Error;
use crate::store::purges::{self, TENANT_TABLES};
use crate::store::{holds, tenants, tree};

/// Longest wait for a service to count.
const COUNT_WITHIN: Duration = Duration::from_secs(5);
/// Longest wait for one turn of a service's purge, which bounds its own work to less.
pub(super) const PURGE_WITHIN: Duration = Duration::from_secs(15);

impl App {
    /// The services that keep something of tenants, besides this one.
    pub(super) fn keepers(&self) -> [(&'static str, &Replicas); 3] {
        [
            ("identity", &self.identity),
            ("audit", &self.audit),
            ("quota", &self.quota),
        ]
    }

    /// What a purge of the tenant would remove. Changes nothing; refuses what the purge would refuse.
    pub(crate) async fn preview_purge(
        &self,
        change: Change<'_>,
    ) -> Result<(Tenant, Report), Error> {
        let mut tx = self.store.read(change.id).await?;
        let tenant = tenants::find(tx.conn(), change.id)
            .await?
            .ok_or(Error::TenantNotFound)?;
        let holders = holds::holders(tx.conn(), change.id).await?;
        drop(tx);
        tenant.admit(change.ctx.permissions)?;
        tenant.compare(change.etag)?;
        if let Some(report) = self.purge_report(&tenant).await? {
            return Ok((tenant, report));
        }
        // Decided as the purge would be, and let go.
        tenant.purge(
            self.has_children_of_any_status(change.id).await?,
            &holders,
            clock::now(),
        )?;
        let mut parts = Vec::new();
        for (service, replicas) in self.keepers() {
            let counts = count_at(replicas, change.id).await?;
            parts.push(Part::counted(service, counts));
        }
        let own = self
            .store
            .count_tenant_rows(change.id, TENANT_TABLES)
            .await?;
        let own = own.into_iter().map(|counted| Count {
            kind: counted.kind.to_owned(),
            count: counted.count,
        });
        parts.push(Part::counted(OWN, own.collect()));
        let report = Report {
            started_at: None,
            parts,
        };
        Ok((tenant, report))
    }

    /// Starts the purge of a tenant without children; none can appear meanwhile. Where one runs, that is all.
    pub(crate) async fn purge(&self, change: Change<'_>) -> Result<Tenant, Error> {
        self.start_purge(change, |_| true).await
    }

    /// The same for a tenant whose time has come, by nobody's request.
    pub(super) async fn purge_overdue(&self, id: TenantId) -> Result<(), Error> {
        let ctx =
            RequestContext::of_service(OWN, Permissions::of(&[Permission::PlatformTenantsManage]));
        let change = Change {
            ctx: &ctx,
            key: None,
            id,
            etag: "",
        };
        let now = clock::now();
        let overdue = |tenant: &Tenant| tenant.purge_at.is_some_and(|at| at <= now);
        self.start_purge(change, overdue).await?;
        Ok(())
    }

    async fn start_purge(
        &self,
        change: Change<'_>,
        wanted: impl FnOnce(&Tenant) -> bool,
    ) -> Result<Tenant, Error> {
        let mut tx = self.store.begin(change.id).await?;
        if let Some(answer) = replay(&mut tx, change).await? {
            return Ok(answer);
        }
        tree::hold(tx.conn(), change.id, true).await?;
        let has_children = self.has_children_of_any_status(change.id).await?;
        let before = lock(&mut tx, change).await?;
        let holders = holds::holders(tx.conn(), change.id).await?;
        let decided = if wanted(&before) {
            before.purge(has_children, &holders, clock::now())?
        } else {
            None
        };
        let Some(Transition { tenant, action }) = decided else {
            tx.finish(change.key, &before).await?;
            return Ok(before);
        };
        tenants::update(tx.conn(), &tenant).await?;
        let purge = Purge {
            tenant: tenant.id,
            started_at: tenant.updated_at,
            started_by: StartedBy::of(change.ctx),
            parts: Vec::new(),
            failures: 0,
        };
        purges::insert(tx.conn(), &purge).await?;
        let event = tenant_event(change.ctx, action, &before, &tenant)?;
        tx.record(&event).await?;
        tx.finish(change.key, &tenant).await?;
        self.purge_started.notify_one();
        Ok(tenant)
    }

    /// How far the purge of a tenant is; `None` where none runs.
    pub(crate) async fn purge_report(&self, tenant: &Tenant) -> Result<Option<Report>, Error> {
        if tenant.purge_started_at.is_none() {
            return Ok(None);
        }
        let mut tx = self.store.read(tenant.id).await?;
        let Some(mut purge) = purges::find(tx.conn(), tenant.id).await? else {
            return Ok(None);
        };
        for (service, _) in self.keepers() {
            purge.part(service);
        }
        purge.part(OWN);
        Ok(Some(Report {
            started_at: Some(purge.started_at),
            parts: purge.parts,
        }))
    }

    async fn has_children_of_any_status(&self, id: TenantId) -> Result<bool, Error> {
        let mut tx = self.store.platform().await?;
        Ok(purges::has_children(tx.conn(), id).await?)
    }
}

/// What a service has of a tenant.
pub(super) async fn count_at(replicas: &Replicas, tenant: TenantId) -> Result<Vec<Count>, Error> {
    let request = CountRequest {
        tenant_id: tenant.to_string(),
    };
    let counted = replicas
        .call(COUNT_WITHIN, |channel| {
            let request = request.clone();
            async move { TenantDataServiceClient::new(channel).count(request).await }
        })
        .await
        .map_err(Error::Keeper)?;
    let counts = counted.into_inner().counts.into_iter();
    Ok(counts
        .map(|counted| Count {
            kind: counted.kind,
            count: counted.count,
        })
        .collect())
}

/// One turn of a service's purge; whether it has nothing left.
pub(super) async fn purge_at(replicas: &Replicas, tenant: TenantId) -> Result<bool, Error> {
    let request = PurgeRequest {
        tenant_id: tenant.to_string(),
        request_id: tenant.to_string(),
    };
    let purged = replicas
        .call(PURGE_WITHIN, |channel| {
            let request = request.clone();
            async move { TenantDataServiceClient::new(channel).purge(request).await }
        })
        .await
        .map_err(Error::Keeper)?;
    Ok(purged.into_inner().done)
}
