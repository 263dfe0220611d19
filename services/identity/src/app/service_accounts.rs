//! Service accounts of a tenant.

use serde_json::Value;
use tenantry_core::event::Event;
use tenantry_core::page::{Page, PageTokens};
use tenantry_core::request_id::RequestKey;
use tenantry_core::{Permissions, RequestContext, ServiceAccountId, TenantId, clock};

use super::App;
use crate::domain::service_account::{self, Patch, ServiceAccount};
use crate::error::Error;
use crate::store;

const KIND: &str = "service_account";

impl App {
    /// Makes an account with these permissions, which the caller may give.
    pub(crate) async fn create_service_account(
        &self,
        ctx: &RequestContext,
        request: Option<RequestKey>,
        tenant: TenantId,
        name: String,
        permissions: Permissions,
    ) -> Result<ServiceAccount, Error> {
        let mut tx = self.store.begin(tenant).await?;
        if let Some(replay) = tx.claim(request.as_ref()).await? {
            return Ok(replay.answer);
        }
        service_account::admit_one_more(store::service_accounts::lock_count(&mut tx).await?)?;
        let now = clock::now();
        let account = ServiceAccount {
            id: ServiceAccountId::new(),
            tenant_id: tenant,
            name,
            permissions,
            disabled: false,
            created_at: now,
            updated_at: now,
        };
        let by = ctx.principal.key();
        let account = store::service_accounts::insert(&mut tx, &account, &by).await?;
        let (id, after) = (account.id.uuid(), account.facts());
        let event = Event::of(ctx, "service_account.created", KIND, id, Value::Null, after);
        tx.record(&event).await?;
        tx.finish(request.as_ref(), &account).await?;
        Ok(account)
    }

    /// One account.
    pub(crate) async fn service_account(
        &self,
        tenant: TenantId,
        id: ServiceAccountId,
    ) -> Result<ServiceAccount, Error> {
        let mut tx = self.store.read(tenant).await?;
        let account = store::service_accounts::find(&mut tx, id).await?;
        account.ok_or(Error::ServiceAccountNotFound)
    }

    /// One page of accounts, newest first.
    pub(crate) async fn list_service_accounts(
        &self,
        tokens: &PageTokens<'_>,
        tenant: TenantId,
        size: u32,
        page_token: &str,
    ) -> Result<Page<ServiceAccount>, Error> {
        let before: Option<ServiceAccountId> = tokens.read(page_token)?;
        let mut tx = self.store.read(tenant).await?;
        let items = store::service_accounts::page(&mut tx, before, i64::from(size) + 1).await?;
        Ok(Page::cut(items, size, |account| tokens.write(&account.id)))
    }

    /// Changes an account, and with it what its keys permit.
    pub(crate) async fn update_service_account(
        &self,
        ctx: &RequestContext,
        request: Option<RequestKey>,
        tenant: TenantId,
        id: ServiceAccountId,
        patch: Patch,
    ) -> Result<ServiceAccount, Error> {
        let mut tx = self.store.begin(tenant).await?;
        if let Some(replay) = tx.claim(request.as_ref()).await? {
            return Ok(replay.answer);
        }
        let present = store::service_accounts::lock(&mut tx, id).await?;
        let present = present.ok_or(Error::ServiceAccountNotFound)?;
        let mut account = present.patched(patch, ctx.permissions)?;
        if account != present {
            account = store::service_accounts::update(&mut tx, &account).await?;
            let (before, after) = (present.facts(), account.facts());
            let id = id.uuid();
            let event = Event::of(ctx, "service_account.updated", KIND, id, before, after);
            tx.record(&event).await?;
        }
        tx.finish(request.as_ref(), &account).await?;
        Ok(account)
    }

    /// Removes an account and revokes its keys.
    pub(crate) async fn delete_service_account(
        &self,
        ctx: &RequestContext,
        request: Option<RequestKey>,
        tenant: TenantId,
        id: ServiceAccountId,
    ) -> Result<(), Error> {
        let mut tx = self.store.begin(tenant).await?;
        if tx.claim::<()>(request.as_ref()).await?.is_some() {
            return Ok(());
        }
        let account = store::service_accounts::lock(&mut tx, id).await?;
        let account = account.ok_or(Error::ServiceAccountNotFound)?;
        store::service_accounts::delete(&mut tx, id).await?;
        let (id, before) = (id.uuid(), account.facts());
        let event = Event::of(
            ctx,
            "service_account.deleted",
            KIND,
            id,
            before,
            Value::Null,
        );
        tx.record(&event).await?;
        tx.finish(request.as_ref(), &()).await?;
        self.seats.changed();
        Ok(())
    }
}
