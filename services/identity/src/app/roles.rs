//! Roles of a tenant: the built-in ones and its own.

use serde_json::Value;
use tenantry_core::event::Event;
use tenantry_core::page::{Page, PageTokens};
use tenantry_core::request_id::RequestKey;
use tenantry_core::role::Role as BuiltIn;
use tenantry_core::{RequestContext, RoleId};
use tenantry_rpc::tenants::TenantEntry;
use tenantry_store::TenantTx;
use uuid::Uuid;

use super::App;
use crate::domain::rights::Rights;
use crate::domain::role::{Grants, MAX_ROLES, Patch, Role, RoleKey};
use crate::error::Error;
use crate::store;

/// A role to define.
#[derive(Debug)]
pub(crate) struct NewRole {
    pub(crate) key: RoleKey,
    pub(crate) name: String,
    pub(crate) description: String,
    pub(crate) grants: Grants,
}

impl App {
    /// Defines a role that is no more than the caller holds.
    pub(crate) async fn create_role(
        &self,
        ctx: &RequestContext,
        key: Option<RequestKey>,
        tenant: &TenantEntry,
        new: NewRole,
    ) -> Result<Role, Error> {
        new.grants.within(Rights::of(ctx))?;
        let mut tx = self.store.begin(tenant.id).await?;
        if let Some(replay) = tx.claim(key.as_ref()).await? {
            return Ok(replay.answer);
        }
        if new.key.built_in().is_some() {
            return Err(Error::RoleExists);
        }
        if store::roles::lock_count(&mut tx).await? >= MAX_ROLES {
            return Err(Error::LimitReached(format!(
                "A tenant defines at most {MAX_ROLES} roles. Remove one that isn't needed first."
            )));
        }
        let role = Role {
            tenant_id: tenant.id,
            key: new.key,
            name: new.name,
            description: new.description,
            grants: new.grants,
            own: None,
        };
        let role = store::roles::insert(&mut tx, &role, RoleId::new()).await?;
        changed(ctx, &mut tx, "role.created", None, Some(&role)).await?;
        tx.finish(key.as_ref(), &role).await?;
        Ok(role)
    }

    /// One role: a built-in one, or one of the tenant.
    pub(crate) async fn role(&self, tenant: &TenantEntry, key: &RoleKey) -> Result<Role, Error> {
        if let Some(role) = key.built_in() {
            return Ok(Role::built_in(tenant.id, role));
        }
        let mut tx = self.store.read(tenant.id).await?;
        let mut roles = store::roles::of_keys(&mut tx, &[key.as_str()]).await?;
        roles.pop().ok_or(Error::RoleNotFound)
    }

    /// One page of the tenant's roles, built-in ones first.
    pub(crate) async fn list_roles(
        &self,
        tokens: &PageTokens<'_>,
        tenant: &TenantEntry,
        size: u32,
        page_token: &str,
    ) -> Result<Page<Role>, Error> {
        let after: Option<RoleKey> = tokens.read(page_token)?;
        let mut tx = self.store.read(tenant.id).await?;
        let mut items: Vec<_> = BuiltIn::ALL
            .iter()
            .map(|role| Role::built_in(tenant.id, *role))
            .collect();
        items.extend(store::roles::all(&mut tx).await?);
        items.sort_by(|one, other| one.key.cmp(&other.key));
        items.retain(|role| after.as_ref().is_none_or(|after| role.key > *after));
        Ok(Page::cut(items, size, |role| tokens.write(&role.key)))
    }

    /// Changes a role; those who hold it feel it within a second.
    pub(crate) async fn update_role(
        &self,
        ctx: &RequestContext,
        request: Option<RequestKey>,
        tenant: &TenantEntry,
        key: &RoleKey,
        etag: &str,
        patch: Patch,
    ) -> Result<Role, Error> {
        let mut tx = self.store.begin(tenant.id).await?;
        if let Some(replay) = tx.claim(request.as_ref()).await? {
            return Ok(replay.answer);
        }
        let before = own_role(&mut tx, key).await?;
        before.compare(etag)?;
        let after = before.update(patch, Rights::of(ctx))?;
        let after = store::roles::update(&mut tx, &after).await?;
        changed(ctx, &mut tx, "role.updated", Some(&before), Some(&after)).await?;
        tx.finish(request.as_ref(), &after).await?;
        Ok(after)
    }

    /// Removes a role that nobody holds. Whoever is just giving it to a member has done so before, or finds it gone.
    pub(crate) async fn delete_role(
        &self,
        ctx: &RequestContext,
        request: Option<RequestKey>,
        tenant: &TenantEntry,
        key: &RoleKey,
        etag: &str,
    ) -> Result<(), Error> {
        let mut tx = self.store.begin(tenant.id).await?;
        if tx.claim::<()>(request.as_ref()).await?.is_some() {
            return Ok(());
        }
        let role = own_role(&mut tx, key).await?;
        role.compare(etag)?;
        role.grants.within(Rights::of(ctx))?;
        if store::roles::is_held(&mut tx, key).await? {
            return Err(Error::RoleInUse);
        }
        store::roles::delete(&mut tx, key).await?;
        changed(ctx, &mut tx, "role.deleted", Some(&role), None).await?;
        Ok(tx.finish(request.as_ref(), &()).await?)
    }
}

/// Refuses unless each of these roles is there and no more than the caller holds: who gives or takes roles asks here. None
/// of them changes before the transaction's end.
pub(crate) async fn grantable(
    ctx: &RequestContext,
    tx: &mut TenantTx,
    keys: &[RoleKey],
) -> Result<(), Error> {
    let defined = kept(tx, keys).await?;
    Grants::sum(keys, &defined)?.within(Rights::of(ctx))
}

/// What these roles permit together, in a transaction that only reads.
pub(crate) async fn granted(tx: &mut TenantTx, keys: &[RoleKey]) -> Result<Grants, Error> {
    let defined = store::roles::of_keys(tx, &words(keys)).await?;
    Grants::sum(keys, &defined)
}

/// Those of these roles that the tenant defined, which nobody changes or removes before the transaction's end.
pub(super) async fn kept(tx: &mut TenantTx, keys: &[RoleKey]) -> Result<Vec<Role>, Error> {
    store::roles::keep(tx, &words(keys)).await
}

fn words(keys: &[RoleKey]) -> Vec<&str> {
    keys.iter().map(RoleKey::as_str).collect()
}

/// A role that the tenant defined, locked.
async fn own_role(tx: &mut TenantTx, key: &RoleKey) -> Result<Role, Error> {
    if key.built_in().is_some() {
        return Err(Error::BuiltInRole);
    }
    store::roles::lock(tx, key)
        .await?
        .ok_or(Error::RoleNotFound)
}

async fn changed(
    ctx: &RequestContext,
    tx: &mut TenantTx,
    action: &str,
    before: Option<&Role>,
    after: Option<&Role>,
) -> Result<(), Error> {
    let own = before.or(after).and_then(|role| role.own.as_ref());
    let id = own.map_or(Uuid::nil(), |own| own.id.uuid());
    let facts = |role: Option<&Role>| role.map_or(Value::Null, Role::facts);
    let event = Event::of(ctx, action, "role", id, facts(before), facts(after));
    Ok(tx.record(&event).await?)
}
