//! Sign-up: identity asks for the tenant whose owner it is about to write.

use tenantry_core::{RequestContext, TenantId};

use super::App;
use crate::domain::project::SignUp;
use crate::domain::tenant::{NewTenant, Tenant};
use crate::error::Error;
use crate::store::{projects, tenants};

impl App {
    /// Creates the tenant of one sign-up, which its id tells from others: one that is there is the answer.
    pub(crate) async fn sign_up(
        &self,
        ctx: &RequestContext,
        id: TenantId,
        new: NewTenant,
    ) -> Result<Tenant, Error> {
        if let Some(made) = self.signed_up(id).await? {
            return Ok(made);
        }
        match self.create_signed_up(ctx, id, new).await {
            Ok(made) => Ok(made),
            // The same sign-up may have been asked for twice at once.
            Err(refused) => self.signed_up(id).await?.ok_or(refused),
        }
    }

    async fn signed_up(&self, id: TenantId) -> Result<Option<Tenant>, Error> {
        let mut tx = self.store.read(id).await?;
        Ok(tenants::find(tx.conn(), id).await?)
    }

    async fn create_signed_up(
        &self,
        ctx: &RequestContext,
        id: TenantId,
        new: NewTenant,
    ) -> Result<Tenant, Error> {
        let mut tx = self.store.begin(id).await?;
        match projects::hold_sign_up(tx.conn(), &new.project).await? {
            Some(SignUp::Open) => {}
            // One answer for both: anyone may ask, and which projects there are isn't anyone's to learn.
            Some(SignUp::Closed) | None => return Err(Error::SignUpClosed),
        }
        let tenant = self.write_new(&mut tx, ctx, id, new).await?;
        tx.commit().await?;
        Ok(tenant)
    }
}
