//! Operators: the first one by a one-time token, the others by operators.

use secrecy::SecretString;
use serde_json::Value;
use tenantry_core::event::Event;
use tenantry_core::page::{Page, PageTokens};
use tenantry_core::request_id::RequestKey;
use tenantry_core::{Permissions, Refusal, RequestContext, TenantId, UserId, clock};
use tenantry_store::TenantTx;

use super::App;
use crate::domain::operator::Operator;
use crate::domain::secret;
use crate::error::Error;
use crate::store;

/// A person who becomes an operator.
#[derive(Debug)]
pub(crate) struct NewOperator {
    pub(crate) email: String,
    pub(crate) name: String,
    pub(crate) password: Option<SecretString>,
    pub(crate) permissions: Permissions,
}

impl App {
    /// Makes the first operator in exchange for a one-time token. The method is public, so a stranger's token costs one
    /// look-up: no hash and no lock.
    pub(crate) async fn bootstrap(
        &self,
        ctx: &RequestContext,
        key: Option<RequestKey>,
        token: &str,
        new: NewOperator,
    ) -> Result<Operator, Error> {
        let token = secret::hash(token);
        {
            let mut tx = self.store.read(TenantId::PLATFORM).await?;
            if !store::bootstrap::is_ours(tx.conn(), &token).await? {
                return Err(Error::BootstrapToken);
            }
        }
        let about = [new.email.as_str(), &new.name];
        let hash = self.hashed(ctx, new.password.as_ref(), &about).await?;
        let mut tx = self.store.begin(TenantId::PLATFORM).await?;
        if let Some(replay) = tx.claim(key.as_ref()).await? {
            return Ok(replay.answer);
        }
        if store::bootstrap::operator_exists(tx.conn()).await? {
            return Err(Error::AlreadyBootstrapped);
        }
        if !store::bootstrap::consume(tx.conn(), &token).await? {
            return Err(Error::BootstrapToken);
        }
        let operator = self
            .make_operator(ctx, &mut tx, new, hash.as_deref())
            .await?;
        tx.finish(key.as_ref(), &operator).await?;
        Ok(operator)
    }

    /// Makes a user an operator, and the user where there is none.
    pub(crate) async fn create_operator(
        &self,
        ctx: &RequestContext,
        key: Option<RequestKey>,
        new: NewOperator,
    ) -> Result<Operator, Error> {
        let about = [new.email.as_str(), &new.name];
        let hash = self.hashed(ctx, new.password.as_ref(), &about).await?;
        let mut tx = self.store.begin(TenantId::PLATFORM).await?;
        if let Some(replay) = tx.claim(key.as_ref()).await? {
            return Ok(replay.answer);
        }
        let operator = self
            .make_operator(ctx, &mut tx, new, hash.as_deref())
            .await?;
        tx.finish(key.as_ref(), &operator).await?;
        Ok(operator)
    }

    async fn make_operator(
        &self,
        ctx: &RequestContext,
        tx: &mut TenantTx,
        new: NewOperator,
        password_hash: Option<&str>,
    ) -> Result<Operator, Error> {
        let known = store::users::by_email(tx.conn(), &new.email).await?;
        if known.is_none() && password_hash.is_none() {
            return Err(Refusal::field(
                "password",
                "is needed for a new user: 10 to 256 characters",
            )
            .into());
        }
        let user = self
            .find_or_create_user(ctx, tx, &new.email, &new.name, password_hash)
            .await?
            .user();
        let operator = Operator {
            user_id: user.id,
            email: user.email,
            name: user.name,
            permissions: new.permissions,
            created_at: clock::now(),
        };
        let operator = store::operators::insert(tx.conn(), &operator).await?;
        let id = operator.user_id.uuid();
        let event = Event::of(
            ctx,
            "operator.created",
            "operator",
            id,
            Value::Null,
            operator.facts(),
        );
        tx.record(&event).await?;
        Ok(operator)
    }

    /// One operator.
    pub(crate) async fn operator(&self, id: UserId) -> Result<Operator, Error> {
        let mut tx = self.store.read(TenantId::PLATFORM).await?;
        let operator = store::operators::find(tx.conn(), id).await?;
        operator.ok_or(Error::OperatorNotFound)
    }

    /// Replaces an operator's permissions; the last one who can manage operators goes on doing so.
    pub(crate) async fn update_operator(
        &self,
        ctx: &RequestContext,
        key: Option<RequestKey>,
        id: UserId,
        permissions: Permissions,
    ) -> Result<Operator, Error> {
        let mut tx = self.store.begin(TenantId::PLATFORM).await?;
        if let Some(replay) = tx.claim(key.as_ref()).await? {
            return Ok(replay.answer);
        }
        let operator = self.lock_operator(ctx, &mut tx, id, permissions).await?;
        let before = operator.facts();
        let changed = operator.permissions != permissions;
        let operator = Operator {
            permissions,
            ..operator
        };
        if changed {
            store::operators::update(tx.conn(), &operator).await?;
            let after = operator.facts();
            let event = Event::of(
                ctx,
                "operator.updated",
                "operator",
                id.uuid(),
                before,
                after,
            );
            tx.record(&event).await?;
        }
        tx.finish(key.as_ref(), &operator).await?;
        Ok(operator)
    }

    /// Makes an operator a user like any other, but never the last one who can manage operators.
    pub(crate) async fn remove_operator(
        &self,
        ctx: &RequestContext,
        key: Option<RequestKey>,
        id: UserId,
    ) -> Result<(), Error> {
        let mut tx = self.store.begin(TenantId::PLATFORM).await?;
        if tx.claim::<()>(key.as_ref()).await?.is_some() {
            return Ok(());
        }
        let operator = self
            .lock_operator(ctx, &mut tx, id, Permissions::NONE)
            .await?;
        store::operators::delete(tx.conn(), id).await?;
        let before = operator.facts();
        let event = Event::of(
            ctx,
            "operator.removed",
            "operator",
            id.uuid(),
            before,
            Value::Null,
        );
        tx.record(&event).await?;
        Ok(tx.finish(key.as_ref(), &()).await?)
    }

    /// An operator, locked, that this caller may give these permissions instead of its own.
    async fn lock_operator(
        &self,
        ctx: &RequestContext,
        tx: &mut TenantTx,
        id: UserId,
        after: Permissions,
    ) -> Result<Operator, Error> {
        let managers = store::operators::lock_managers(tx.conn(), id).await?;
        let operator = store::operators::find(tx.conn(), id).await?;
        let operator = operator.ok_or(Error::OperatorNotFound)?;
        operator.may_be_changed_by(ctx.permissions, after)?;
        operator.may_become(after, &managers)?;
        Ok(operator)
    }

    /// One page of operators, by address.
    pub(crate) async fn list_operators(
        &self,
        tokens: &PageTokens<'_>,
        size: u32,
        page_token: &str,
    ) -> Result<Page<Operator>, Error> {
        let after: String = tokens.read(page_token)?.unwrap_or_default();
        let mut tx = self.store.read(TenantId::PLATFORM).await?;
        let items = store::operators::page(tx.conn(), &after, i64::from(size) + 1).await?;
        Ok(Page::cut(items, size, |operator| {
            tokens.write(&operator.email)
        }))
    }
}
