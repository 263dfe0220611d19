//! Registry's use cases: each change is one tenant transaction that claims the request id, loads, decides, writes state
//! and event, and commits.

mod cascade;
mod catalogue;
mod create;
mod domain_looks;
mod domains;
mod event;
mod figures;
mod holds;
mod import_row;
mod import_worker;
mod imports;
mod moves;
mod plans;
mod projects;
mod purge;
mod purge_worker;
mod sign_up;
mod subscriptions;
mod tenants;
mod trials;

use std::sync::Arc;

use tenantry_core::page::{Page, PageTokens};
use tenantry_core::{Refusal, RequestContext, TenantId, TenantRef};
use tenantry_rpc::client::Replicas;
use tenantry_rpc::places::Places;
use tenantry_store::Store;
use tokio::sync::Notify;

use crate::dns::Resolver;
use crate::domain::list::{Position, Query};
use crate::domain::plan::Catalogue;
use crate::domain::tenant::Tenant;
use crate::error::Error;
use crate::store::{list, tenants as rows, tree};

use domain_looks::{ASKED_LOOKS_AT_ONCE, ASKED_LOOKS_OF_ONE};

pub(crate) use create::Parent;
pub(crate) use domains::DomainChange;
pub(crate) use figures::Figures;
pub(crate) use imports::NewImport;
pub(crate) use plans::PlanChange;
pub(crate) use subscriptions::Preview;
pub(crate) use tenants::Change;

/// The use cases and what they need.
#[derive(Clone, Debug)]
pub(crate) struct App {
    store: Store,
    catalogue: Arc<Catalogue>,
    /// The other services, to call.
    identity: Replicas,
    audit: Replicas,
    quota: Replicas,
    /// None where there is no DNS server to ask.
    resolver: Option<Resolver>,
    /// Looks in the DNS that callers wait for, by the tenant whose domain it is.
    asked_looks: Places<TenantId>,
    /// The domain whose subdomains name tenants; empty for none.
    base_domain: String,
    /// Wake this replica's workers.
    purge_started: Arc<Notify>,
    import_started: Arc<Notify>,
}

impl App {
    pub(crate) fn new(
        store: Store,
        catalogue: Arc<Catalogue>,
        [identity, audit, quota]: [Replicas; 3],
        resolver: Option<Resolver>,
        base_domain: String,
    ) -> Self {
        Self {
            store,
            catalogue,
            identity,
            audit,
            quota,
            resolver,
            asked_looks: Places::new(ASKED_LOOKS_AT_ONCE, ASKED_LOOKS_OF_ONE),
            base_domain,
            purge_started: Arc::new(Notify::new()),
            import_started: Arc::new(Notify::new()),
        }
    }

    pub(crate) const fn store(&self) -> &Store {
        &self.store
    }

    pub(crate) fn base_domain(&self) -> &str {
        &self.base_domain
    }

    /// The tenant of this name, before its scope is known: for operators, who name one in the message alone, and for the
    /// fleet's own services.
    pub(crate) async fn resolve(&self, project: &str, name: &TenantRef) -> Result<Tenant, Error> {
        let mut tx = self.store.platform().await?;
        tree::resolve(tx.conn(), project, name)
            .await?
            .ok_or(Error::TenantNotFound)
    }

    /// One tenant and the number of its children.
    pub(crate) async fn get(
        &self,
        ctx: &RequestContext,
        id: TenantId,
    ) -> Result<(Tenant, i64), Error> {
        let tenant = self.admit(ctx, id).await?;
        let mut tx = self.store.platform().await?;
        let children = tree::children(tx.conn(), id).await?;
        Ok((tenant, children))
    }

    /// The tenant, unless its status doesn't admit the caller.
    pub(crate) async fn admit(&self, ctx: &RequestContext, id: TenantId) -> Result<Tenant, Error> {
        let mut tx = self.store.read(id).await?;
        let tenant = rows::find(tx.conn(), id)
            .await?
            .ok_or(Error::TenantNotFound)?;
        tenant.admit(ctx.permissions)?;
        Ok(tenant)
    }

    /// One page of tenants.
    pub(crate) async fn list(
        &self,
        query: &Query,
        tokens: &PageTokens<'_>,
    ) -> Result<Page<Tenant>, Error> {
        let mut tx = self.store.platform().await?;
        let items = list::page(tx.conn(), query).await?;
        Ok(Page::cut(items, query.limit, |last| {
            let value = list::sort_value(query.order, last);
            tokens.write(&Position { value, id: last.id })
        }))
    }

    /// Whether a role in `root` reaches `id`.
    pub(crate) async fn reaches(&self, root: TenantId, id: TenantId) -> Result<bool, Error> {
        let mut tx = self.store.platform().await?;
        Ok(tree::reaches(tx.conn(), root, id).await?)
    }
}

/// Does one item of a worker's work. A panic of it is a fault like any other: the item waits, and the others go on.
async fn contained<T>(
    task: &'static str,
    item: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    let done = tenantry_rpc::contained(task, item).await;
    done.unwrap_or_else(|| Err(Refusal::internal().into()))
}
