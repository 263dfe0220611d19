//! Looking for domains' records in the DNS: when that is asked for, and by itself when a domain is due. What a look showed is
//! written in one transaction with its events, also where it takes the domain from another tenant.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::stream::{self, Stream, StreamExt as _};
use jiff::{SignedDuration, Timestamp};
use tenantry_core::event::Event;
use tenantry_core::{Permissions, RequestContext, TenantId, clock};
use tenantry_rpc::Tasks;
use tenantry_store::TenantTx;
use tokio::sync::Notify;

use super::domains::{DomainChange, domain_event, held, named};
use super::{App, contained};
use crate::dns::Resolver;
use crate::domain::OWN;
use crate::domain::custom_domain::{Domain, Look, News, record_name};
use crate::domain::tenant::Tenant;
use crate::error::Error;
use crate::store::{domains, tenants};

/// Most domains that a replica looks for by itself at the same time, each of another tenant: a DNS that is slow to answer
/// holds up the looks for its own tenant's names, until as many tenants have such a one.
const LOOKS_AT_ONCE: usize = 16;
/// Most of them for domains whose last look nobody answered: each may take as long as a silent DNS, and whoever has many
/// tenants may have as many of these.
const SILENT_LOOKS_AT_ONCE: usize = LOOKS_AT_ONCE / 4;
/// Most looks that callers wait for at the same time. Each may take as long as a silent DNS, so they get a small part of the
/// requests that a replica serves at once.
pub(super) const ASKED_LOOKS_AT_ONCE: usize = 64;
/// Most of them for domains of one tenant, whose DNS may be silent for good.
pub(super) const ASKED_LOOKS_OF_ONE: usize = 8;
/// How long a replica waits, once no domain is due, before it asks again.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// How long nobody else takes a domain that one has taken: longer than the look. Where the writing of what it showed waits for
/// so long, another may look too, which does no harm.
const TAKEN_FOR: SignedDuration = SignedDuration::from_mins(1);

impl App {
    /// Looks for the domain's record now. A caller is refused where it doesn't show the domain to be theirs; what was found is
    /// kept all the same.
    pub(crate) async fn verify_domain(&self, change: DomainChange<'_>) -> Result<Domain, Error> {
        if let Some(answer) = self.verified_before(change).await? {
            return Ok(answer);
        }
        let resolver = self.resolver.as_ref().ok_or(Error::NoResolver)?;
        let place = self.asked_looks.take(change.tenant);
        let place = place.map_err(|full| full.refusal("looks for domains", "of this tenant"))?;
        let began = self.begin_look(change).await?;
        let look = resolver.txt(&record_name(change.name)).await;
        drop(place);
        let written = self.write_look(change, &began, &look, true).await;
        // Rolled back with its request id, a refusal would leave no trace of the look.
        match &written {
            Err(Error::DomainNotVerified(_)) => {
                let note = |domain: &Domain| domain.refused(&look, clock::now());
                self.note_look(change, &began, note).await?;
            }
            Err(Error::DomainInUse) => {
                let note = |domain: &Domain| domain.contested(clock::now());
                self.note_look(change, &began, note).await?;
            }
            _ => {}
        }
        written
    }

    /// The first answer to a request that comes again, for which nothing is looked for: it changes nothing, whatever the DNS
    /// says by now.
    async fn verified_before(&self, change: DomainChange<'_>) -> Result<Option<Domain>, Error> {
        let mut tx = self.store.begin(change.tenant).await?;
        let replay = tx.claim::<Domain>(change.key).await?;
        let tenant = tenants::find(tx.conn(), change.tenant).await?;
        tenant
            .ok_or(Error::TenantNotFound)?
            .admit(change.ctx.permissions)?;
        if let Some(replay) = replay {
            return Ok(Some(replay.answer));
        }
        let domain = domains::find(tx.conn(), change.tenant, change.name).await?;
        domain.ok_or(Error::DomainNotFound).map(|_| None)
    }

    /// How the domain stands as a look for it begins.
    async fn begin_look(&self, change: DomainChange<'_>) -> Result<Began, Error> {
        let mut platform = self.store.platform().await?;
        let standing = domains::standing(platform.conn(), change.tenant, change.name).await?;
        let (mut own, mut others): (Vec<_>, Vec<_>) = standing
            .into_iter()
            .partition(|domain| domain.tenant_id == change.tenant);
        Ok(Began {
            domain: own.pop().ok_or(Error::DomainNotFound)?,
            holder: others.pop(),
        })
    }

    /// Writes what a look showed. A domain names one tenant: one whose record is gone gives way to one whose record stands
    /// there. Looks may overtake each other, so what this one didn't show counts against nothing that was shown while it was
    /// under way.
    async fn write_look(
        &self,
        change: DomainChange<'_>,
        began: &Began,
        look: &Look,
        asked: bool,
    ) -> Result<Domain, Error> {
        let holder = began.holder.as_ref().map(|holder| holder.tenant_id);
        let mut tx = match holder {
            Some(holder) => self.store.begin_between(change.tenant, holder).await?,
            None => self.store.begin(change.tenant).await?,
        };
        if let Some(replay) = tx.claim::<Domain>(change.key).await? {
            held(&mut tx, change).await?;
            return Ok(replay.answer);
        }
        let (tenant, holder) = lock(&mut tx, change, holder).await?;
        let before = domains::find(tx.conn(), change.tenant, change.name)
            .await?
            .ok_or(Error::DomainNotFound)?;
        if asked {
            before.require_shown(look)?;
        }
        let shown = before.is_shown(look);
        if !shown && before.shown_since(&began.domain) {
            return Ok(before);
        }
        let mut events = Vec::new();
        if let (Some(holder), Some(then), true) = (holder, &began.holder, shown) {
            tx.turn_to(holder.id).await?;
            let taken = take_from(&mut tx, &holder, then, look).await?;
            events.extend(taken.map(|event| (holder.id, event)));
            tx.turn_to(tenant.id).await?;
        }
        let after = before.looked(look, clock::now());
        domains::update(tx.conn(), &after).await?;
        let event = match before.news(&after) {
            Some(News::OfTenant(action)) => {
                Some(named(&mut tx, change.ctx, &tenant, action).await?)
            }
            Some(News::OfDomain(action)) => Some(domain_event(
                change.ctx,
                action,
                Some(&before),
                Some(&after),
            )?),
            None => None,
        };
        events.extend(event.map(|event| (tenant.id, event)));
        tx.record_each(events).await?;
        tx.finish(change.key, &after).await?;
        Ok(after)
    }

    /// Keeps what is to be known of a look that changed nothing.
    async fn note_look(
        &self,
        change: DomainChange<'_>,
        began: &Began,
        note: impl FnOnce(&Domain) -> Domain,
    ) -> Result<(), Error> {
        let mut tx = self.store.begin(change.tenant).await?;
        held(&mut tx, change).await?;
        let present = domains::find(tx.conn(), change.tenant, change.name).await?;
        if let Some(present) = present.filter(|domain| !domain.shown_since(&began.domain)) {
            domains::update(tx.conn(), &note(&present)).await?;
            tx.commit().await?;
        }
        Ok(())
    }

    /// Looks for what is due, until the process ends. What it is just looking for then, another replica takes in its time.
    pub(crate) async fn look_after_domains(self, tasks: Tasks) {
        let Some(resolver) = &self.resolver else {
            return tasks.cancelled().await;
        };
        let busy = Busy::default();
        let looks = self.due_domains(&busy).for_each_concurrent(LOOKS_AT_ONCE, async |domain| {
            if let Err(error) = contained("domains", self.look_at_due(resolver, &domain)).await {
                tracing::warn!(error = %error, "the look for a domain that is due is not ended");
            }
            busy.ended(domain.tenant_id);
        });
        tokio::select! {
            () = tasks.cancelled() => {}
            () = looks => {}
        }
    }

    /// The domains, as they come due, of tenants that no look is under way for. A fault is logged, and it goes on.
    fn due_domains(&self, busy: &Busy) -> impl Stream<Item = Domain> {
        stream::unfold((), move |()| async move {
            loop {
                match self.take_due(busy).await {
                    Ok(Some(domain)) => return Some((domain, ())),
                    Ok(None) => busy.one_ended_within(LOOK_EVERY).await,
                    Err(error) => {
                        tracing::warn!(error = %error, "the domains that are due can't be read");
                        tokio::time::sleep(LOOK_EVERY).await;
                    }
                }
            }
        })
    }

    /// Takes one domain, if one is due.
    async fn take_due(&self, busy: &Busy) -> Result<Option<Domain>, Error> {
        let now = clock::now();
        let until = now.saturating_add(TAKEN_FOR).unwrap_or(Timestamp::MAX);
        let mut platform = self.store.platform().await?;
        let (but_of, silent_too) = busy.leaves();
        let taken = domains::take_due(platform.conn(), now, until, &but_of, silent_too).await?;
        platform.commit().await?;
        if let Some(domain) = &taken {
            busy.begun(domain);
        }
        Ok(taken)
    }

    /// Looks for a domain that was taken. If that fails, it comes again when the domain is free to be taken.
    async fn look_at_due(&self, resolver: &Resolver, domain: &Domain) -> Result<(), Error> {
        let ctx = RequestContext::of_service(OWN, Permissions::PLATFORM);
        let change = DomainChange {
            ctx: &ctx,
            key: None,
            tenant: domain.tenant_id,
            name: &domain.name,
        };
        let looked = async {
            let began = self.begin_look(change).await?;
            let look = resolver.txt(&domain.record_name()).await;
            match self.write_look(change, &began, &look, false).await {
                Err(Error::DomainInUse) => {
                    let note = |domain: &Domain| domain.contested_again(clock::now());
                    self.note_look(change, &began, note).await
                }
                written => written.map(drop),
            }
        };
        match looked.await {
            // It was deleted meanwhile, or its tenant purged.
            Err(Error::DomainNotFound | Error::TenantNotFound) => Ok(()),
            looked => looked,
        }
    }
}

/// How a domain stood when a look for it began.
#[derive(Debug)]
struct Began {
    domain: Domain,
    /// The same domain of another tenant, which it named.
    holder: Option<Domain>,
}

/// The tenants that this replica just looks for a domain of by itself: one at a time for each, so that who has many domains
/// and a silent DNS holds up those alone. Of each, whether nobody answered the look before.
#[derive(Debug, Default)]
struct Busy {
    tenants: Mutex<HashMap<TenantId, bool>>,
    /// Wakes who waits for something to be due: a tenant's next domain may be.
    ended: Notify,
}

impl Busy {
    fn begun(&self, domain: &Domain) {
        self.locked().insert(domain.tenant_id, domain.is_silent());
    }

    fn ended(&self, tenant: TenantId) {
        self.locked().remove(&tenant);
        self.ended.notify_one();
    }

    /// The tenants that none of whose domains may be taken now, and whether one may whose last look nobody answered.
    fn leaves(&self) -> (Vec<TenantId>, bool) {
        let busy = self.locked();
        let silent = busy.values().filter(|silent| **silent).count();
        (
            busy.keys().copied().collect(),
            silent < SILENT_LOOKS_AT_ONCE,
        )
    }

    /// Waits until a look ends, and no longer than this.
    async fn one_ended_within(&self, wait: Duration) {
        let _ = tokio::time::timeout(wait, self.ended.notified()).await;
    }

    fn locked(&self) -> MutexGuard<'_, HashMap<TenantId, bool>> {
        self.tenants.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The tenant and the one that holds the domain, both locked, in the order of their ids: so two that take a domain from each
/// other don't wait for each other.
async fn lock(
    tx: &mut TenantTx,
    change: DomainChange<'_>,
    holder: Option<TenantId>,
) -> Result<(Tenant, Option<Tenant>), Error> {
    match holder {
        None => Ok((held(tx, change).await?, None)),
        Some(id) if id < change.tenant => {
            let holder = lock_holder(tx, change.tenant, id).await?;
            Ok((held(tx, change).await?, holder))
        }
        Some(id) => {
            let tenant = held(tx, change).await?;
            Ok((tenant, lock_holder(tx, change.tenant, id).await?))
        }
    }
}

async fn lock_holder(
    tx: &mut TenantTx,
    back_to: TenantId,
    holder: TenantId,
) -> Result<Option<Tenant>, Error> {
    tx.turn_to(holder).await?;
    let tenant = tenants::find_for_update(tx.conn(), holder).await?;
    tx.turn_to(back_to).await?;
    Ok(tenant)
}

/// Takes the domain from the tenant that it names, in whose scope the transaction is, unless that one's record stands too, or
/// was shown since the look began. Its event is registry's own finding, and says nothing of who took the domain over.
async fn take_from(
    tx: &mut TenantTx,
    holder: &Tenant,
    then: &Domain,
    look: &Look,
) -> Result<Option<Event>, Error> {
    let theirs = domains::find(tx.conn(), holder.id, &then.name).await?;
    let Some(theirs) = theirs.filter(Domain::in_use) else {
        return Ok(None);
    };
    if theirs.is_shown(look) || theirs.shown_since(then) {
        return Err(Error::DomainInUse);
    }
    domains::update(tx.conn(), &theirs.lost(clock::now())).await?;
    let ctx = RequestContext::of_service(OWN, Permissions::PLATFORM);
    let event = named(tx, &ctx, holder, "tenant.domain_removed").await?;
    Ok(Some(event))
}
