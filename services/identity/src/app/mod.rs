//! Identity's use cases: each opens one transaction, claims the request id, loads, lets the rules decide, writes state and
//! event, and commits.

pub(crate) mod accept;
pub(crate) mod api_keys;
pub(crate) mod bootstrap;
pub(crate) mod external_sign_in;
pub(crate) mod identity_providers;
pub(crate) mod invitations;
mod mails;
pub(crate) mod member_roles;
pub(crate) mod members;
pub(crate) mod memberships;
pub(crate) mod operators;
pub(crate) mod passwords;
pub(crate) mod permissions;
mod proof;
mod provider_ends;
pub(crate) mod readiness;
pub(crate) mod roles;
mod seats;
pub(crate) mod service_accounts;
pub(crate) mod sessions;
pub(crate) mod sign_in;
pub(crate) mod sign_up;
mod sweep;
mod tenant_data;
pub(crate) mod transfer;

use std::time::Duration;

use serde_json::{Value, json};
use tenantry_core::context::Target;
use tenantry_core::event::Event;
use tenantry_core::tenant::project_or_default;
use tenantry_core::{Permission, Refusal, RequestContext, TenantId, TenantRef};
use tenantry_proto::internal::registry::v1::LookupTenantRequest;
use tenantry_proto::internal::registry::v1::tenant_feed_service_client::TenantFeedServiceClient;
use tenantry_proto::methods;
use tenantry_rpc::client::Replicas;
use tenantry_rpc::places::Places;
use tenantry_rpc::tenants::{TenantEntry, Tenants};
use tenantry_runtime::StoredAttempts;
use tenantry_store::Store;
use tokio::sync::Notify;
use uuid::Uuid;

use crate::domain::host::Host;
use crate::domain::rights::{self, Ancestor, Reach, Realm};
use crate::error::Error;
use crate::guesses::Guesses;
use crate::links::Links;
use crate::mail::Mailer;
use crate::oidc::Oidc;
use crate::passwords::Passwords;
use crate::principals::Principals;
use crate::starts::Starts;
use crate::tokens::Tokens;
use crate::uses::Uses;

pub(crate) use seats::Seats;

/// Longest wait for registry to tell a tenant's name.
const NAME_WITHIN: Duration = Duration::from_secs(2);

/// What the use cases need.
#[derive(Debug)]
pub(crate) struct App {
    pub(crate) store: Store,
    pub(crate) tenants: Tenants,
    pub(crate) principals: Principals,
    /// Requests of each key.
    pub(crate) uses: Uses,
    /// Attempts that were refused.
    pub(crate) attempts: StoredAttempts,
    /// Attempts that are told before the gateway refuses them.
    pub(crate) refusals: Places<TenantId>,
    pub(crate) tokens: Tokens,
    pub(crate) passwords: Passwords,
    pub(crate) guesses: Guesses,
    pub(crate) starts: Starts,
    pub(crate) oidc: Oidc,
    /// Tells that a provider's sessions are to be ended.
    pub(crate) provider_ended: Notify,
    pub(crate) mail: Option<Mailer>,
    /// Tells that mails were written down.
    pub(crate) mail_written: Notify,
    /// Links that people asked for, to be made.
    pub(crate) links: Links,
    /// Registry, to call and to ask for its health.
    pub(crate) registry: Replicas,
    /// Audit, to ask how it is.
    pub(crate) audit: Replicas,
    /// Quota, which counts members and keys.
    pub(crate) quota: Replicas,
    pub(crate) seats: Seats,
    /// Look-ups of tenants that principals cause by what they name at the gateway.
    pub(crate) look_ups: Places<Uuid>,
    /// The domain whose subdomains are tenants', in lower case; empty for none.
    pub(crate) base_domain: String,
}

impl App {
    /// What the host of a request says, by its `:authority`.
    pub(crate) fn host(&self, authority: &str) -> Host {
        Host::read(authority, &self.base_domain, |domain| {
            let owner = self.tenants.of_domain(domain)?;
            Some((owner.id, owner.project.to_string()))
        })
    }

    /// The tenant that a request acts on, once the caller holds the permission there and its status admits the caller. That
    /// an operator reads a tenant's content is in the tenant's own log before the answer; a change has its own event.
    pub(crate) async fn authorise(
        &self,
        ctx: &RequestContext,
        named: &str,
        permission: Permission,
    ) -> Result<TenantEntry, Error> {
        let target = ctx.target(named)?;
        ctx.require(permission)?;
        let entry = self.enter(ctx, target).await?;
        if ctx.is_content_access(permission) && methods::is_read_only(&ctx.method) {
            self.record_access(ctx, &[entry.id]).await?;
        }
        Ok(entry)
    }

    /// Writes into the logs of these tenants that their content is about to be read.
    async fn record_access(&self, ctx: &RequestContext, tenants: &[TenantId]) -> Result<(), Error> {
        let Some(first) = tenants.first() else {
            return Ok(());
        };
        let event = |tenant: &TenantId| {
            let event = Event::of(
                ctx,
                "tenant.content_accessed",
                "tenant",
                tenant.uuid(),
                Value::Null,
                json!({ "method": ctx.method }),
            );
            (*tenant, event)
        };
        let recorded = async {
            let mut tx = self.store.begin(*first).await?;
            tx.record_each(tenants.iter().map(event).collect()).await?;
            tx.commit().await
        };
        recorded.await.map_err(|error| {
            tracing::error!(error = %error, "an access of content can't be recorded, so it is refused");
            Refusal::unavailable().into()
        })
    }

    /// The tenant that a request acts on, whatever the caller may do there.
    pub(crate) async fn reached(
        &self,
        ctx: &RequestContext,
        named: &str,
    ) -> Result<TenantEntry, Error> {
        self.enter(ctx, ctx.target(named)?).await
    }

    async fn enter(&self, ctx: &RequestContext, target: Target) -> Result<TenantEntry, Error> {
        let entry = match target {
            Target::Chosen(id) => self.tenants.get(id).await?,
            Target::Named(name) => {
                let project = project_or_default(&ctx.project);
                self.tenants.find(project, &name).await?
            }
        };
        let entry = entry.ok_or(Error::TenantNotFound)?;
        match rights::admit(ctx, entry.status) {
            Ok(()) => Ok(entry),
            Err(refused) => self.brought_back(ctx, &entry).await.ok_or(refused),
        }
    }

    /// The tenant as registry knows it now, if that admits the caller: the view may be behind whoever has just brought the
    /// tenant back, and goes on with it at once.
    async fn brought_back(&self, ctx: &RequestContext, seen: &TenantEntry) -> Option<TenantEntry> {
        let name = TenantRef::Id(seen.id);
        let now = self.tenants.ask(&seen.project, &name).await.ok()??;
        rights::admit(ctx, now.status).ok()?;
        Some(now)
    }

    /// The name by which people know a tenant.
    async fn tenant_name(&self, tenant: &TenantEntry) -> Result<String, Error> {
        let request = LookupTenantRequest {
            id: tenant.id.to_string(),
            ..Default::default()
        };
        let found = self.registry.call(NAME_WITHIN, |channel| {
            let request = request.clone();
            async move {
                let mut registry = TenantFeedServiceClient::new(channel);
                Ok(registry.lookup_tenant(request).await?.into_inner())
            }
        });
        match found.await {
            Ok(found) => Ok(found.name),
            Err(status) if status.code() == tonic::Code::NotFound => Err(Error::TenantNotFound),
            Err(status) => {
                tracing::warn!(error = %status, "registry doesn't tell a tenant's name");
                Err(Refusal::unavailable().into())
            }
        }
    }

    /// What a principal reaches in a tenant.
    pub(crate) async fn reach(&self, realm: &Realm, entry: &TenantEntry) -> Result<Reach, Error> {
        let ancestors = match realm {
            Realm::All(_) | Realm::One(..) => Vec::new(),
            Realm::Memberships(standing) if !standing.is_within(&entry.project) => {
                return Ok(Reach::Absent);
            }
            Realm::Memberships(_) => self.ancestors(entry).await?,
        };
        Ok(realm.reach(entry.id, entry.status, &ancestors))
    }

    /// The tenants above one, nearest first.
    pub(crate) async fn ancestors(&self, entry: &TenantEntry) -> Result<Vec<Ancestor>, Error> {
        let ancestors = self.tenants.ancestors(entry).await?;
        let ancestors = ancestors.into_iter().map(|ancestor| Ancestor {
            id: ancestor.id,
            status: ancestor.status,
        });
        Ok(ancestors.collect())
    }
}
