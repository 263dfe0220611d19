//! Who called a request that the gateway let pass, asked about further tenants.

use tenantry_core::{PrincipalKind, RequestContext, TenantRef};
use tenantry_rpc::tenants::TenantEntry;

use super::choose::sought;
use super::decide::{Holder, of_key, of_user, only_tenant};
use crate::app::App;
use crate::domain::rights::Reach;
use crate::error::Error;

/// The caller of a request that the gateway let pass, to ask what it reaches in further tenants than the one that it
/// selected: by the same credential and the same rules.
pub(crate) struct Caller<'a> {
    app: &'a App,
    holder: Holder,
}

impl<'a> Caller<'a> {
    pub(crate) async fn of(app: &'a App, ctx: &RequestContext) -> Result<Self, Error> {
        let holder = match ctx.principal.kind {
            PrincipalKind::User => {
                let session = ctx.credential.parse().map_err(|_| Error::Revoked)?;
                // As they are now: whoever has just become a member sees it at once, at each replica.
                let user = app.principals.signed_in_now(session).await?;
                let user = user.ok_or(Error::Revoked)?;
                of_user(&user, only_tenant(app, &user.standing).await?, 0)?
            }
            PrincipalKind::ApiKey | PrincipalKind::ServiceAccount => {
                let id = ctx.credential.parse().map_err(|_| Error::Revoked)?;
                let key = app.principals.key(id).await?;
                of_key(&*key.ok_or(Error::Revoked)?)?
            }
            PrincipalKind::Service | PrincipalKind::Anonymous => return Err(Error::NoCredential),
        };
        Ok(Self { app, holder })
    }

    /// The tenant of this name, if it is in reach; absent and out of reach cost the same.
    pub(crate) async fn find(
        &self,
        project: &str,
        name: &TenantRef,
    ) -> Result<Option<(TenantEntry, Reach)>, Error> {
        sought(self.app, &self.holder, project, name).await
    }

    /// What it reaches in a tenant that is known.
    pub(crate) async fn reach(&self, tenant: &TenantEntry) -> Result<Reach, Error> {
        self.app.reach(&self.holder.realm, tenant).await
    }
}
