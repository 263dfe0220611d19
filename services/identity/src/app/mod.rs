//! Identity's use cases: each opens one transaction, claims the request id, loads, lets the rules decide, writes state and
//! event, and commits.

pub(crate) mod api_keys;
pub(crate) mod bootstrap;
pub(crate) mod members;
pub(crate) mod operators;
pub(crate) mod permissions;
pub(crate) mod readiness;
pub(crate) mod sign_in;

use tenantry_core::context::Target;
use tenantry_core::tenant::DEFAULT_PROJECT;
use tenantry_core::{Permission, RequestContext};
use tenantry_rpc::client::Replicas;
use tenantry_rpc::tenants::{TenantEntry, Tenants};
use tenantry_store::Store;

use crate::attempts::Attempts;
use crate::domain::rights::{self, Ancestor, Reach, Realm};
use crate::error::Error;
use crate::mail::Mailer;
use crate::passwords::Passwords;
use crate::principals::Principals;
use crate::tokens::Tokens;

/// What the use cases need.
#[derive(Debug)]
pub(crate) struct App {
    pub(crate) store: Store,
    pub(crate) tenants: Tenants,
    pub(crate) principals: Principals,
    pub(crate) tokens: Tokens,
    pub(crate) passwords: Passwords,
    pub(crate) attempts: Attempts,
    pub(crate) mail: Option<Mailer>,
    /// Registry, to call and to ask for its health.
    pub(crate) registry: Replicas,
}

/// A page of a list.
#[derive(Debug)]
pub(crate) struct Page<T> {
    pub(crate) items: Vec<T>,
    pub(crate) next_page_token: String,
}

impl App {
    /// The tenant that a request acts on, once the caller holds the permission there and its status admits the caller.
    pub(crate) async fn authorise(
        &self,
        ctx: &RequestContext,
        named: &str,
        permission: Permission,
    ) -> Result<TenantEntry, Error> {
        let target = ctx.target(named)?;
        ctx.require(permission)?;
        self.enter(ctx, target).await
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
                let project = if ctx.project.is_empty() {
                    DEFAULT_PROJECT
                } else {
                    &ctx.project
                };
                self.tenants.find(project, &name).await?
            }
        };
        let entry = entry.ok_or(Error::TenantNotFound)?;
        rights::admit(ctx, entry.status)?;
        Ok(entry)
    }

    /// What a principal reaches in a tenant.
    pub(crate) async fn reach(&self, realm: &Realm, entry: &TenantEntry) -> Result<Reach, Error> {
        let ancestors = match realm {
            Realm::All(_) | Realm::One(..) => Vec::new(),
            Realm::Memberships(_) => self.tenants.ancestors(entry).await?,
        };
        let ancestors: Vec<_> = ancestors
            .into_iter()
            .map(|ancestor| Ancestor {
                id: ancestor.id,
                status: ancestor.status,
            })
            .collect();
        Ok(realm.reach(entry.id, entry.status, &ancestors))
    }
}

/// Cuts what was read to the page, and tells whether more follows: one more than the page was asked for.
fn cut<T>(items: &mut Vec<T>, size: u32) -> Option<&T> {
    let size = usize::try_from(size).unwrap_or(usize::MAX);
    let more = items.len() > size;
    items.truncate(size);
    if more { items.last() } else { None }
}
