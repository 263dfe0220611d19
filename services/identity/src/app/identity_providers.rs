//! OpenID providers of a tenant, and of projects.

use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;
use tenantry_core::event::Event;
use tenantry_core::page::{Page, PageTokens};
use tenantry_core::request_id::RequestKey;
use tenantry_core::{IdentityProviderId, RequestContext, clock};

use super::App;
use super::roles::grantable;
use crate::domain::identity_provider::{Checked, IdentityProvider, MOST, Scope};
use crate::error::Error;
use crate::store;
use crate::store::identity_providers::Known;

/// A change of one provider.
pub(crate) struct Change<'a> {
    pub(crate) ctx: &'a RequestContext,
    pub(crate) request: Option<RequestKey>,
    pub(crate) scope: Scope,
    pub(crate) id: IdentityProviderId,
}

impl App {
    /// Adds a provider.
    pub(crate) async fn create_identity_provider(
        &self,
        ctx: &RequestContext,
        request: Option<RequestKey>,
        scope: &Scope,
        new: Checked,
        secret: Option<SecretString>,
    ) -> Result<IdentityProvider, Error> {
        let mut new = new.create(scope, clock::now());
        let mut tx = self.store.begin(scope.tenant()).await?;
        if let Some(replay) = tx.claim(request.as_ref()).await? {
            return Ok(replay.answer);
        }
        grantable(ctx, &mut tx, &new.just_in_time_roles).await?;
        if store::identity_providers::lock_count(&mut tx, scope).await? >= MOST {
            return Err(Error::TooManyProviders);
        }
        new.has_client_secret = secret.is_some();
        let sealed = secret.map(|secret| self.seal_client_secret(new.id, &secret));
        let provider = store::identity_providers::insert(&mut tx, &new, sealed.as_deref()).await?;
        tx.record(&event(ctx, "created", None, Some(&provider)))
            .await?;
        tx.finish(request.as_ref(), &provider).await?;
        Ok(provider)
    }

    /// A provider.
    pub(crate) async fn identity_provider(
        &self,
        scope: &Scope,
        id: IdentityProviderId,
    ) -> Result<IdentityProvider, Error> {
        let mut tx = self.store.read(scope.tenant()).await?;
        let known = store::identity_providers::get(&mut tx, id).await?;
        Ok(of(scope, known)?.provider)
    }

    /// One page of providers, newest first.
    pub(crate) async fn list_identity_providers(
        &self,
        tokens: &PageTokens<'_>,
        scope: &Scope,
        size: u32,
        page_token: &str,
    ) -> Result<Page<IdentityProvider>, Error> {
        let before: Option<IdentityProviderId> = tokens.read(page_token)?;
        let mut tx = self.store.read(scope.tenant()).await?;
        let items =
            store::identity_providers::page(&mut tx, scope, before, i64::from(size) + 1).await?;
        Ok(Page::cut(items, size, |provider| {
            tokens.write(&provider.id)
        }))
    }

    /// Changes a provider. `secret` is the client's new one, an empty one for none.
    pub(crate) async fn update_identity_provider(
        &self,
        change: Change<'_>,
        patch: Checked,
        secret: Option<SecretString>,
        etag: &str,
    ) -> Result<IdentityProvider, Error> {
        let Change {
            ctx,
            request,
            scope,
            id,
        } = change;
        let mut tx = self.store.begin(scope.tenant()).await?;
        if let Some(replay) = tx.claim(request.as_ref()).await? {
            return Ok(replay.answer);
        }
        let known = of(&scope, store::identity_providers::lock(&mut tx, id).await?)?;
        let before = known.provider;
        grantable(ctx, &mut tx, &before.just_in_time_roles).await?;
        let after = before.update(patch, etag)?;
        grantable(ctx, &mut tx, &after.just_in_time_roles).await?;
        let sealed = match secret {
            None => known.client_secret,
            Some(secret) if secret.expose_secret().is_empty() => None,
            Some(secret) => Some(self.seal_client_secret(id, &secret)),
        };
        let after = store::identity_providers::update(&mut tx, &after, sealed.as_deref()).await?;
        let ends = before.ends_sessions(&after);
        if ends {
            store::provider_ends::begin(tx.conn(), id).await?;
        }
        tx.record(&event(ctx, "updated", Some(&before), Some(&after)))
            .await?;
        tx.finish(request.as_ref(), &after).await?;
        if ends {
            self.provider_ended.notify_one();
        }
        Ok(after)
    }

    /// Removes a provider and ends the sessions that it began.
    pub(crate) async fn delete_identity_provider(&self, change: Change<'_>) -> Result<(), Error> {
        let Change {
            ctx,
            request,
            scope,
            id,
        } = change;
        let mut tx = self.store.begin(scope.tenant()).await?;
        if tx.claim::<()>(request.as_ref()).await?.is_some() {
            return Ok(());
        }
        let known = of(&scope, store::identity_providers::lock(&mut tx, id).await?)?;
        let provider = known.provider;
        grantable(ctx, &mut tx, &provider.just_in_time_roles).await?;
        store::identity_providers::delete(&mut tx, id).await?;
        store::provider_ends::begin(tx.conn(), id).await?;
        tx.record(&event(ctx, "deleted", Some(&provider), None))
            .await?;
        tx.finish(request.as_ref(), &()).await?;
        self.provider_ended.notify_one();
        Ok(())
    }

    fn seal_client_secret(&self, id: IdentityProviderId, secret: &SecretString) -> Vec<u8> {
        let secret = secret.expose_secret().as_bytes();
        self.store.sealer().seal(&sealed_for(id), secret)
    }

    /// A client's secret, opened.
    pub(super) fn open_client_secret(
        &self,
        id: IdentityProviderId,
        sealed: &[u8],
    ) -> Result<SecretString, Error> {
        let opened = self.store.sealer().open(&sealed_for(id), sealed).ok();
        let text = opened.and_then(|bytes| String::from_utf8(bytes).ok());
        text.map(Into::into).ok_or_else(|| {
            Error::Crypto("a client's secret was sealed with another key".to_owned())
        })
    }
}

/// The provider, if it is one of the scope: rows of all projects lie together.
fn of(scope: &Scope, known: Option<Known>) -> Result<Known, Error> {
    known
        .filter(|known| scope.holds(&known.provider))
        .ok_or(Error::IdentityProviderNotFound)
}

/// What a client's secret is sealed for: its own provider.
fn sealed_for(id: IdentityProviderId) -> Vec<u8> {
    [&b"identity_provider"[..], id.uuid().as_bytes()].concat()
}

fn event(
    ctx: &RequestContext,
    what: &str,
    before: Option<&IdentityProvider>,
    after: Option<&IdentityProvider>,
) -> Event {
    let id = after.or(before).map(|provider| provider.id.uuid());
    let facts =
        |state: Option<&IdentityProvider>| state.map_or(Value::Null, IdentityProvider::facts);
    Event::of(
        ctx,
        &format!("identity_provider.{what}"),
        "identity_provider",
        id.unwrap_or_default(),
        facts(before),
        facts(after),
    )
}
