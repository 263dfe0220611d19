//! API keys of a tenant, and of the platform.

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use tenantry_core::event::Event;
use tenantry_core::page::{Page, PageTokens};
use tenantry_core::request_id::RequestKey;
use tenantry_core::{
    ApiKeyId, Permissions, Refusal, RequestContext, ServiceAccountId, TenantId, clock,
};
use tenantry_store::TenantTx;

use super::App;
use crate::domain::api_key::{self, ApiKey, MOST, Rate};
use crate::domain::{field, secret};
use crate::error::Error;
use crate::store;

/// A key to make.
#[derive(Debug)]
pub(crate) struct NewKey {
    /// Nil for a key of the platform.
    pub(crate) tenant: TenantId,
    pub(crate) name: String,
    pub(crate) grant: Grant,
    pub(crate) expires_at: Option<Timestamp>,
}

/// What a new key is to permit.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Grant {
    /// This, which is decided.
    Decided(Permissions),
    /// What was asked for, as far as the service account holds it.
    Of(ServiceAccountId, Option<Permissions>),
}

/// A key that was made, and its secret while it can be shown.
pub(crate) struct Made {
    pub(crate) key: ApiKey,
    pub(crate) secret: Option<String>,
}

impl App {
    /// Makes a key. Its secret is in this answer and, for ten minutes, in those of repetitions.
    pub(crate) async fn create_api_key(
        &self,
        ctx: &RequestContext,
        request: Option<RequestKey>,
        new: NewKey,
    ) -> Result<Made, Error> {
        {
            // What was done, or is refused, costs no place.
            let mut tx = self.store.begin(new.tenant).await?;
            if let Some(made) = made_before(ctx, &mut tx, request.as_ref()).await? {
                return Ok(made);
            }
            decide(ctx, &mut tx, &new).await?;
        }
        let id = ApiKeyId::new();
        let seat = self.hold_key_seat(new.tenant, id).await;
        let mut tx = self.store.begin(new.tenant).await?;
        // Where there is no place, the same request may have had the last one.
        if let Some(made) = made_before(ctx, &mut tx, request.as_ref()).await? {
            return Ok(made);
        }
        let seat = seat?;
        let (now, service_account, permissions) = decide(ctx, &mut tx, &new).await?;
        if let Some(seat) = &seat {
            seat.id()?;
        }
        let (text, prefix) = api_key::new_secret(id);
        let key = ApiKey {
            id,
            tenant_id: new.tenant,
            name: new.name,
            prefix,
            permissions,
            created_at: now,
            expires_at: new.expires_at,
            revoked_at: None,
            rotated_at: None,
            previous_until: None,
            rate: Rate::default(),
            service_account,
        };
        let hash = secret::hash(&text);
        let key = store::api_keys::insert(&mut tx, &key, &hash, &ctx.principal.key()).await?;
        let event = Event::of(
            ctx,
            "api_key.created",
            "api_key",
            id.uuid(),
            Value::Null,
            key.facts(),
        );
        tx.record(&event).await?;
        admit_keys(&mut tx).await?;
        tx.finish_with_secret(request.as_ref(), &key, &text).await?;
        if let Some(seat) = seat {
            self.seats.taken(seat);
        }
        Ok(Made {
            key,
            secret: Some(text),
        })
    }

    /// Gives a key a new secret, shown as that of a new key is, while the one before goes on for the overlap. It stays one key, and counts
    /// as one.
    pub(crate) async fn rotate_api_key(
        &self,
        ctx: &RequestContext,
        request: Option<RequestKey>,
        scope: TenantId,
        id: ApiKeyId,
        overlap: SignedDuration,
    ) -> Result<Made, Error> {
        let mut tx = self.store.begin(scope).await?;
        if let Some(made) = made_before(ctx, &mut tx, request.as_ref()).await? {
            return Ok(made);
        }
        let key = store::api_keys::lock(&mut tx, id).await?;
        let mut key = key.ok_or(Error::ApiKeyNotFound)?;
        let now = clock::now();
        let until = key.may_rotate(ctx.permissions, overlap, now)?;
        let until = field::as_stored(until).map_err(|why| Refusal::field("overlap", why))?;
        let before = key.facts();
        let (text, _) = api_key::new_secret(id);
        let at = store::api_keys::rotate(&mut tx, id, &secret::hash(&text), until).await?;
        key.rotated_at = Some(at);
        key.previous_until = Some(until);
        let after = key.facts();
        let event = Event::of(ctx, "api_key.rotated", "api_key", id.uuid(), before, after);
        tx.record(&event).await?;
        tx.finish_with_secret(request.as_ref(), &key, &text).await?;
        Ok(Made {
            key,
            secret: Some(text),
        })
    }

    /// One key.
    pub(crate) async fn api_key(&self, scope: TenantId, id: ApiKeyId) -> Result<ApiKey, Error> {
        let mut tx = self.store.read(scope).await?;
        let key = store::api_keys::find(&mut tx, id).await?;
        key.ok_or(Error::ApiKeyNotFound)
    }

    /// One page of a tenant's keys, or of the platform's, newest first.
    pub(crate) async fn list_api_keys(
        &self,
        tokens: &PageTokens<'_>,
        scope: TenantId,
        size: u32,
        page_token: &str,
    ) -> Result<Page<ApiKey>, Error> {
        let before: Option<ApiKeyId> = tokens.read(page_token)?;
        let mut tx = self.store.read(scope).await?;
        let items = store::api_keys::page(&mut tx, before, i64::from(size) + 1).await?;
        Ok(Page::cut(items, size, |key| tokens.write(&key.id)))
    }

    /// Revokes a key; one that is revoked stays as it is.
    pub(crate) async fn revoke_api_key(
        &self,
        ctx: &RequestContext,
        request: Option<RequestKey>,
        scope: TenantId,
        id: ApiKeyId,
    ) -> Result<ApiKey, Error> {
        let mut tx = self.store.begin(scope).await?;
        if let Some(replay) = tx.claim(request.as_ref()).await? {
            return Ok(replay.answer);
        }
        let key = store::api_keys::lock(&mut tx, id).await?;
        let mut key = key.ok_or(Error::ApiKeyNotFound)?;
        if key.revoked_at.is_none() {
            let before = key.facts();
            key.revoked_at = Some(store::api_keys::revoke(&mut tx, id).await?);
            let event = Event::of(
                ctx,
                "api_key.revoked",
                "api_key",
                id.uuid(),
                before,
                key.facts(),
            );
            tx.record(&event).await?;
        }
        tx.finish(request.as_ref(), &key).await?;
        self.seats.changed();
        Ok(key)
    }
}

/// The first answer to a request that was done before, to whoever may have it still.
async fn made_before(
    ctx: &RequestContext,
    tx: &mut TenantTx,
    request: Option<&RequestKey>,
) -> Result<Option<Made>, Error> {
    let Some(replay) = tx.claim::<ApiKey>(request).await? else {
        return Ok(None);
    };
    replay.answer.may_be_had_by(ctx.permissions)?;
    Ok(Some(Made {
        key: replay.answer,
        secret: replay.secret,
    }))
}

/// Now, the account that a new key is of, and what it permits.
async fn decide(
    ctx: &RequestContext,
    tx: &mut TenantTx,
    new: &NewKey,
) -> Result<(Timestamp, Option<ServiceAccountId>, Permissions), Error> {
    let now = clock::now();
    if let Some(at) = new.expires_at {
        field::in_future(at, now).map_err(|why| Refusal::field("expires_at", why))?;
    }
    match new.grant {
        Grant::Decided(permissions) => Ok((now, None, permissions)),
        Grant::Of(id, asked) => {
            let account = store::service_accounts::lock(tx, id).await?;
            let account = account.filter(|account| !account.disabled);
            let account = account.ok_or(Error::ServiceAccountNotFound)?;
            Ok((now, Some(id), account.grant(asked, ctx.permissions)?))
        }
    }
}

/// Refuses one key too many. Comes after the event: the counter that it took lets one change of the tenant pass at a time,
/// so the count is exact.
async fn admit_keys(tx: &mut TenantTx) -> Result<(), Error> {
    if store::api_keys::count_usable(tx).await? <= MOST {
        return Ok(());
    }
    Err(Error::LimitReached(format!(
        "There are {MOST} API keys that neither were revoked nor have expired, which is the most. Revoke some that are no longer used."
    )))
}
