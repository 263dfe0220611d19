//! Moving a tenant, with all below it, to another place in its project's tree.

use std::time::Duration;

use tenantry_core::{Permission, PrincipalKind, Refusal, RequestContext, TenantId, TenantRef};
use tenantry_proto::internal::identity::v1::permission_service_client::PermissionServiceClient;
use tenantry_proto::internal::identity::v1::{CheckPermissionsRequest, PermissionQuestion};

use super::App;
use super::tenants::{Change, replay};
use crate::domain::tenant::{Place, Tenant};
use crate::error::Error;
use crate::store::{tenants, tree};

/// Longest wait for identity to say what the caller may do in the new parent.
const ASK_WITHIN: Duration = Duration::from_secs(2);

impl App {
    /// Moves a tenant below another one, or to the top for none. Whoever manages the tenant has that right from above it,
    /// so by its old parent; the new one must let its caller create tenants below it.
    pub(crate) async fn move_tenant(
        &self,
        change: Change<'_>,
        to: Option<&TenantRef>,
    ) -> Result<Tenant, Error> {
        // Before the parent is looked for: it may be called otherwise by the time that a request comes again.
        let mut tx = self.store.begin(change.id).await?;
        if let Some(answer) = replay(&mut tx, change).await? {
            return Ok(answer);
        }
        // Nothing is held while identity is asked.
        drop(tx);
        let to = match to {
            None => None,
            Some(name) => Some(self.new_parent(change, name).await?),
        };
        let mut tx = self.store.begin(change.id).await?;
        if let Some(answer) = replay(&mut tx, change).await? {
            return Ok(answer);
        }
        let moved = tenants::find(tx.conn(), change.id)
            .await?
            .ok_or(Error::TenantNotFound)?;
        // Nobody else moves, joins or comes back in this tree until the commit: what is read of it stays so.
        tree::hold_project(tx.conn(), &moved.project, true).await?;
        if let Some(to) = to {
            tree::hold(tx.conn(), to, false).await?;
        }
        let place = self.place(change.id, to).await?;
        self.transit(tx, change, |tenant, now| tenant.move_below(&place, now))
            .await
    }

    /// The tenant that the caller names as the new parent; absent where they may not create tenants below it.
    async fn new_parent(&self, change: Change<'_>, name: &TenantRef) -> Result<TenantId, Error> {
        let moved = self.admit(change.ctx, change.id).await?;
        let found = match self.resolve(&moved.project, name).await {
            Ok(parent) => Some(parent.id).filter(|_| parent.project == moved.project),
            Err(Error::TenantNotFound) => None,
            Err(error) => return Err(error),
        };
        // Asked also where there is none, so that time doesn't tell absent from foreign.
        let asked = found.unwrap_or_else(TenantId::new);
        let may = self.may_create_below(change.ctx, asked).await?;
        found.filter(|_| may).ok_or(Error::ParentNotFound)
    }

    async fn may_create_below(
        &self,
        ctx: &RequestContext,
        parent: TenantId,
    ) -> Result<bool, Error> {
        if ctx.allows(Permission::PlatformTenantsManage) {
            return Ok(true);
        }
        // A key acts in its one tenant, which is the one it would move.
        if ctx.principal.kind != PrincipalKind::User {
            return Ok(false);
        }
        // As far as this session reaches: the person may be a member of more.
        let question = PermissionQuestion {
            principal_kind: "session".to_owned(),
            principal_id: ctx.credential.clone(),
            tenant_id: parent.to_string(),
            permission: Permission::TenantsCreate.name().to_owned(),
        };
        let request = CheckPermissionsRequest {
            questions: vec![question],
        };
        let answer = self
            .identity
            .call(ASK_WITHIN, |channel| {
                let request = request.clone();
                async move {
                    PermissionServiceClient::new(channel)
                        .check_permissions(request)
                        .await
                }
            })
            .await
            .map_err(|status| {
                tracing::warn!(error = %status, "identity can't be asked about a permission");
                Refusal::unavailable()
            })?;
        Ok(answer.into_inner().allowed == [true])
    }

    /// What the tree is like at the new place, and below the tenant that is to go there.
    async fn place(&self, moved: TenantId, to: Option<TenantId>) -> Result<Place, Error> {
        let mut tx = self.store.platform().await?;
        let (above, siblings) = match to {
            None => (Vec::new(), 0),
            Some(to) => (
                tree::lineage(tx.conn(), to).await?,
                tree::places_taken(tx.conn(), to).await?,
            ),
        };
        if let Some(parent) = above.first()
            && !parent.status.is_active()
        {
            return Err(Error::ParentNotFound);
        }
        Ok(Place {
            above: above.iter().map(|tenant| tenant.id).collect(),
            siblings,
            levels: tree::levels(tx.conn(), moved).await?,
        })
    }
}
