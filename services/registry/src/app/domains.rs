//! Custom domains: added, shown, taken away.

use tenantry_core::event::Event;
use tenantry_core::request_id::RequestKey;
use tenantry_core::{RequestContext, TenantId, clock};
use tenantry_store::TenantTx;

use super::App;
use super::event::event;
use super::tenants::tenant_event;
use crate::domain::custom_domain::{Domain, MAX_DOMAINS};
use crate::domain::tenant::{Tenant, Transition};
use crate::error::Error;
use crate::store::{domains, tenants};

/// One change of one domain, asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DomainChange<'a> {
    pub(crate) ctx: &'a RequestContext,
    pub(crate) key: Option<&'a RequestKey>,
    pub(crate) tenant: TenantId,
    pub(crate) name: &'a str,
}

impl<'a> DomainChange<'a> {
    pub(crate) fn new(
        ctx: &'a RequestContext,
        key: &'a Option<RequestKey>,
        tenant: TenantId,
        name: &'a str,
    ) -> Self {
        Self {
            ctx,
            key: key.as_ref(),
            tenant,
            name,
        }
    }
}

impl App {
    /// Adds a domain, which is pending.
    pub(crate) async fn create_domain(&self, change: DomainChange<'_>) -> Result<Domain, Error> {
        let mut tx = self.store.begin(change.tenant).await?;
        let replay = tx.claim::<Domain>(change.key).await?;
        // Locked, so that two at once can't pass the bound together.
        held(&mut tx, change).await?;
        if let Some(replay) = replay {
            return Ok(replay.answer);
        }
        if domains::list(tx.conn(), change.tenant).await?.len() as i64 >= MAX_DOMAINS {
            return Err(Error::TooManyDomains);
        }
        let domain = Domain::new(change.tenant, change.name.to_owned(), clock::now());
        if !domains::insert(tx.conn(), &domain).await? {
            return Err(Error::DomainTaken);
        }
        tx.record(&domain_event(
            change.ctx,
            "domain.created",
            None,
            Some(&domain),
        )?)
        .await?;
        tx.finish(change.key, &domain).await?;
        Ok(domain)
    }

    pub(crate) async fn domain(
        &self,
        ctx: &RequestContext,
        tenant: TenantId,
        name: &str,
    ) -> Result<Domain, Error> {
        self.admit(ctx, tenant).await?;
        let mut tx = self.store.read(tenant).await?;
        domains::find(tx.conn(), tenant, name)
            .await?
            .ok_or(Error::DomainNotFound)
    }

    /// The tenant and its custom domains.
    pub(crate) async fn domains(
        &self,
        ctx: &RequestContext,
        tenant: TenantId,
    ) -> Result<(Tenant, Vec<Domain>), Error> {
        let found = self.admit(ctx, tenant).await?;
        let mut tx = self.store.read(tenant).await?;
        Ok((found, domains::list(tx.conn(), tenant).await?))
    }

    pub(crate) async fn delete_domain(&self, change: DomainChange<'_>) -> Result<(), Error> {
        let mut tx = self.store.begin(change.tenant).await?;
        let replay = tx.claim::<Domain>(change.key).await?;
        let tenant = held(&mut tx, change).await?;
        if replay.is_some() {
            return Ok(());
        }
        let domain = domains::find(tx.conn(), change.tenant, change.name)
            .await?
            .ok_or(Error::DomainNotFound)?;
        domains::delete(tx.conn(), change.tenant, change.name).await?;
        let event = if domain.in_use() {
            named(&mut tx, change.ctx, &tenant, "tenant.domain_removed").await?
        } else {
            domain_event(change.ctx, "domain.deleted", Some(&domain), None)?
        };
        tx.record(&event).await?;
        tx.finish(change.key, &domain).await?;
        Ok(())
    }
}

/// The tenant, locked and admitting the caller: changes of one tenant's domains wait for each other.
pub(super) async fn held(tx: &mut TenantTx, change: DomainChange<'_>) -> Result<Tenant, Error> {
    let tenant = tenants::find_for_update(tx.conn(), change.tenant)
        .await?
        .ok_or(Error::TenantNotFound)?;
    tenant.admit(change.ctx.permissions)?;
    Ok(tenant)
}

/// Writes which domains name the tenant now: that is a change of the tenant, which the feed tells everyone.
pub(super) async fn named(
    tx: &mut TenantTx,
    ctx: &RequestContext,
    before: &Tenant,
    action: &'static str,
) -> Result<Event, Error> {
    let names = domains::list(tx.conn(), before.id)
        .await?
        .into_iter()
        .filter(Domain::in_use)
        .map(|domain| domain.name)
        .collect();
    let Transition { tenant, action } = before.named_by(names, action, clock::now());
    domains::set_names(tx.conn(), &tenant).await?;
    tenant_event(ctx, action, before, &tenant)
}

/// The event of a change of a domain that leaves which domains name the tenant as they are.
pub(super) fn domain_event(
    ctx: &RequestContext,
    action: &str,
    before: Option<&Domain>,
    after: Option<&Domain>,
) -> Result<Event, Error> {
    let id = before.or(after).map(|domain| domain.id.uuid());
    event(
        ctx,
        action,
        ("domain", id.unwrap_or_default()),
        before,
        after,
    )
}
