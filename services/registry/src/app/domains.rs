//! Custom domains: added, shown to be the tenant's by a record in the DNS, looked after, taken away.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use tenantry_core::event::Event;
use tenantry_core::request_id::RequestKey;
use tenantry_core::{Permissions, RequestContext, TenantId, clock};
use tenantry_rpc::Tasks;
use tenantry_store::TenantTx;

use super::App;
use crate::domain::custom_domain::{Domain, Look, MAX_DOMAINS, record_name};
use crate::domain::tenant::{Tenant, Transition};
use crate::error::Error;
use crate::store::{domains, tenants};

/// How often a replica looks whether a domain is due.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// Most domains that it takes at once, and how long nobody else takes them: longer than all their looks.
const TAKEN_AT_ONCE: i64 = 20;
const TAKEN_FOR: SignedDuration = SignedDuration::from_mins(5);

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
        let event = event(change.ctx, "domain.created", None, Some(&domain))?;
        tx.record(&event).await?;
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

    /// Looks for the domain's record now.
    pub(crate) async fn verify_domain(&self, change: DomainChange<'_>) -> Result<Domain, Error> {
        self.domain(change.ctx, change.tenant, change.name).await?;
        let look = self.resolver.txt(&record_name(change.name)).await;
        self.make_way(change.tenant, change.name, &look).await?;
        self.apply_look(change, &look, true).await
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
            event(change.ctx, "domain.deleted", Some(&domain), None)?
        };
        tx.record(&event).await?;
        tx.finish(change.key, &domain).await?;
        Ok(())
    }

    /// A domain names one tenant. One whose record is gone gives way to one whose record stands there.
    async fn make_way(&self, tenant: TenantId, name: &str, look: &Look) -> Result<(), Error> {
        let Look::Records(records) = look else {
            return Ok(());
        };
        let mut platform = self.store.platform().await?;
        let holder = domains::holder(platform.conn(), name).await?;
        drop(platform);
        let Some(holder) = holder.filter(|holder| holder.tenant_id != tenant) else {
            return Ok(());
        };
        let mut tx = self.store.read(tenant).await?;
        let asks = domains::find(tx.conn(), tenant, name).await?;
        drop(tx);
        if !asks.is_some_and(|asks| asks.is_shown_by(records)) {
            return Ok(());
        }
        if holder.is_shown_by(records) {
            return Err(Error::DomainInUse);
        }
        // Registry's own finding, in the holder's own stream: it says nothing of who took the domain over.
        let ctx = RequestContext::of_service("registry", Permissions::PLATFORM);
        let mut tx = self.store.begin(holder.tenant_id).await?;
        let Some(held) = tenants::find_for_update(tx.conn(), holder.tenant_id).await? else {
            return Ok(());
        };
        if let Some(holder) = domains::find(tx.conn(), held.id, name).await?
            && holder.in_use()
        {
            domains::update(tx.conn(), &holder.lost(clock::now())).await?;
            let event = named(&mut tx, &ctx, &held, "tenant.domain_removed").await?;
            tx.record(&event).await?;
            tx.commit().await?;
        }
        Ok(())
    }

    /// Writes what a look found. A caller who asked for it is refused where it didn't show the domain to be theirs; what it
    /// found is kept all the same.
    async fn apply_look(
        &self,
        change: DomainChange<'_>,
        look: &Look,
        asked: bool,
    ) -> Result<Domain, Error> {
        let mut tx = self.store.begin(change.tenant).await?;
        let replay = tx.claim::<Domain>(change.key).await?;
        let tenant = held(&mut tx, change).await?;
        if let Some(replay) = replay {
            return Ok(replay.answer);
        }
        let before = domains::find(tx.conn(), change.tenant, change.name)
            .await?
            .ok_or(Error::DomainNotFound)?;
        let after = before.looked(look, clock::now());
        domains::update(tx.conn(), &after).await?;
        if asked && let Err(refusal) = before.require_shown(look) {
            // Rolled back with its request id, a refusal would leave no trace of the look.
            drop(tx);
            self.note_look(change, &after).await?;
            return Err(refusal);
        }
        if before.in_use() != after.in_use() {
            let action = if after.in_use() {
                "tenant.domain_added"
            } else {
                "tenant.domain_removed"
            };
            let event = named(&mut tx, change.ctx, &tenant, action).await?;
            tx.record(&event).await?;
        }
        tx.finish(change.key, &after).await?;
        Ok(after)
    }

    /// Keeps when a look was that showed nothing, and what was wrong. It never changes whom the domain names: that is the
    /// regular look's.
    async fn note_look(&self, change: DomainChange<'_>, after: &Domain) -> Result<(), Error> {
        let mut tx = self.store.begin(change.tenant).await?;
        held(&mut tx, change).await?;
        if let Some(present) = domains::find(tx.conn(), change.tenant, change.name).await? {
            let noted = Domain {
                checked_at: after.checked_at,
                problem: after.problem.clone(),
                ..present
            };
            domains::update(tx.conn(), &noted).await?;
            tx.commit().await?;
        }
        Ok(())
    }

    /// Looks for what is due, until the process ends. A look that fails is logged, and comes again when nobody else has the
    /// domain.
    pub(crate) async fn look_after_domains(self, tasks: Tasks) {
        let mut ticks = tokio::time::interval(LOOK_EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = tasks.cancelled() => return,
                _ = ticks.tick() => if let Err(error) = self.look_at_due_domains().await {
                    tracing::warn!(error = %error, "domains that are due can't be looked for");
                }
            }
        }
    }

    async fn look_at_due_domains(&self) -> Result<(), Error> {
        let now = clock::now();
        let until = now.saturating_add(TAKEN_FOR).unwrap_or(Timestamp::MAX);
        let mut platform = self.store.platform().await?;
        let due = domains::take_due(platform.conn(), now, until, TAKEN_AT_ONCE).await?;
        platform.commit().await?;
        let ctx = RequestContext::of_service("registry", Permissions::PLATFORM);
        for domain in due {
            let change = DomainChange {
                ctx: &ctx,
                key: None,
                tenant: domain.tenant_id,
                name: &domain.name,
            };
            let look = self.resolver.txt(&domain.record_name()).await;
            let way = self.make_way(domain.tenant_id, &domain.name, &look);
            let done = match way.await {
                Ok(()) => self.apply_look(change, &look, false).await.map(drop),
                Err(error) => Err(error),
            };
            match done {
                // It was deleted meanwhile, or is still another's.
                Ok(()) | Err(Error::DomainNotFound | Error::DomainInUse) => {}
                Err(error) => {
                    tracing::warn!(error = %error, "a domain that was due can't be looked for");
                }
            }
        }
        Ok(())
    }
}

/// The tenant, locked and admitting the caller: changes of one tenant's domains wait for each other.
async fn held(tx: &mut TenantTx, change: DomainChange<'_>) -> Result<Tenant, Error> {
    let tenant = tenants::find_for_update(tx.conn(), change.tenant)
        .await?
        .ok_or(Error::TenantNotFound)?;
    tenant.admit(change.ctx.permissions)?;
    Ok(tenant)
}

/// Writes which domains name the tenant now: that is a change of the tenant, which the feed tells everyone.
async fn named(
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
    Ok(Event::of(
        ctx,
        action,
        "tenant",
        tenant.id.uuid(),
        json(before)?,
        json(&tenant)?,
    ))
}

fn event(
    ctx: &RequestContext,
    action: &str,
    before: Option<&Domain>,
    after: Option<&Domain>,
) -> Result<Event, Error> {
    let id = before.or(after).map(|domain| domain.id.uuid());
    Ok(Event::of(
        ctx,
        action,
        "domain",
        id.unwrap_or_default(),
        json(&before)?,
        json(&after)?,
    ))
}

fn json<T: Serialize>(state: &T) -> Result<serde_json::Value, Error> {
    Ok(serde_json::to_value(state).map_err(tenantry_store::Error::from)?)
}
