//! A user's memberships, across tenants.

use tenantry_core::page::{Page, PageTokens};
use tenantry_core::tenant::Admission;
use tenantry_core::{Permission, PrincipalKind, RequestContext, TenantId, TenantSelection, UserId};
use tenantry_rpc::tenants::TenantEntry;

use super::App;
use crate::authz::Caller;
use crate::domain::member::UserMembership;
use crate::domain::rights::Reach;
use crate::error::Error;
use crate::store;

/// Rows that one reading takes at least, and where most of them may be out of the caller's sight.
const LEAST: i64 = 100;
const BATCH: i64 = 1_000;
/// Most rows that one page looks at.
const MAX_SCANNED: usize = 10_000;

impl App {
    /// One page of a user's memberships: for the user, those that the credential reaches; for others, those in tenants
    /// whose members they may see. Who has none of those, among the first that one page looks at, is answered like nobody.
    pub(crate) async fn memberships_of(
        &self,
        ctx: &RequestContext,
        tokens: &PageTokens<'_>,
        user: UserId,
        size: u32,
        page_token: &str,
    ) -> Result<Page<(UserMembership, TenantEntry)>, Error> {
        if matches!(
            ctx.tenant,
            TenantSelection::NotFound | TenantSelection::Conflict
        ) {
            ctx.target("")?;
        }
        let caller = Caller::of(self, ctx).await?;
        let first: Option<TenantId> = tokens.read(page_token)?;
        let mut after = first;
        let own = ctx.principal.kind == PrincipalKind::User && ctx.principal.id == user.uuid();
        // Nearly all of them will be shown, or perhaps only few.
        let batch_size = if own || ctx.is_operator() {
            (i64::from(size) + 1).max(LEAST)
        } else {
            BATCH
        };
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        let mut items: Vec<(UserMembership, TenantEntry)> = Vec::new();
        let mut scanned = 0;
        let next = loop {
            let batch = {
                let mut tx = self.store.platform().await?;
                store::members::of_user(&mut tx, user, after, batch_size).await?
            };
            let more = i64::try_from(batch.len()).is_ok_and(|read| read == batch_size);
            scanned += batch.len();
            let mut full = None;
            for membership in batch {
                let tenant = membership.tenant_id;
                if let Some(entry) = self.shown(&caller, tenant, own).await? {
                    if items.len() == size {
                        full = items.last().map(|(last, _)| last.tenant_id);
                        break;
                    }
                    items.push((membership, entry));
                }
                after = Some(tenant);
            }
            if full.is_some() || !more {
                break full;
            }
            if scanned >= MAX_SCANNED {
                break after;
            }
        };
        // Not even a further page: that there is one would tell of the user.
        if items.is_empty() && first.is_none() && !own {
            return Err(Error::UserNotFound);
        }
        if !own && ctx.is_content_access(Permission::MembersRead) {
            let tenants: Vec<_> = items.iter().map(|(_, tenant)| tenant.id).collect();
            self.record_access(ctx, &tenants).await?;
        }
        Ok(Page {
            next_page_token: next.map(|last| tokens.write(&last)).unwrap_or_default(),
            items,
        })
    }

    /// The tenant, if this caller is to see who belongs to it: decided as the gateway would.
    async fn shown(
        &self,
        caller: &Caller<'_>,
        tenant: TenantId,
        own: bool,
    ) -> Result<Option<TenantEntry>, Error> {
        let Some(entry) = self.tenants.get(tenant).await? else {
            return Ok(None);
        };
        let shows = match caller.reach(&entry).await? {
            Reach::Admitted(rights) => {
                let admitted = entry.status.admission_of(rights.here) == Admission::Admitted;
                admitted && (own || rights.here.contains(Permission::MembersRead))
            }
            // A stopped tenant's people still see that they belong to it.
            Reach::Stopped(_) => own,
            Reach::Absent => false,
        };
        Ok(shows.then_some(entry))
    }
}
