//! Roles of a member: read, given, taken.

use tenantry_core::event::Event;
use tenantry_core::request_id::RequestKey;
use tenantry_core::role::Role as BuiltIn;
use tenantry_core::{RequestContext, UserId};
use tenantry_rpc::tenants::TenantEntry;
use tenantry_store::TenantTx;

use super::App;
use super::roles::grantable;
use crate::domain::member::Member;
use crate::domain::role::{Role, RoleKey};
use crate::error::Error;
use crate::store;

impl App {
    /// The roles of a member, built-in ones first.
    pub(crate) async fn list_member_roles(
        &self,
        tenant: &TenantEntry,
        user: UserId,
    ) -> Result<Vec<Role>, Error> {
        let mut tx = self.store.read(tenant.id).await?;
        let keys = store::members::roles_of(&mut tx, user).await?;
        let keys = keys.ok_or(Error::UserNotFound)?;
        let named: Vec<_> = keys.iter().map(RoleKey::as_str).collect();
        let mut roles = store::roles::of_keys(&mut tx, &named).await?;
        let built_in = keys.iter().filter_map(RoleKey::built_in);
        roles.extend(built_in.map(|role| Role::built_in(tenant.id, role)));
        roles.sort_by(|one, other| one.key.cmp(&other.key));
        Ok(roles)
    }

    /// Gives a member a role that is no more than the caller holds; one that it has stays.
    pub(crate) async fn add_member_role(
        &self,
        ctx: &RequestContext,
        request: Option<RequestKey>,
        tenant: &TenantEntry,
        user: UserId,
        key: RoleKey,
    ) -> Result<Member, Error> {
        let mut tx = self.store.begin(tenant.id).await?;
        if let Some(replay) = tx.claim(request.as_ref()).await? {
            return Ok(replay.answer);
        }
        grantable(ctx, &mut tx, std::slice::from_ref(&key)).await?;
        let member = store::members::lock(&mut tx, user).await?;
        let member = member.ok_or(Error::UserNotFound)?;
        let member = match member.with(key)? {
            Some(after) => change(ctx, &mut tx, &member, after).await?,
            None => member,
        };
        tx.finish(request.as_ref(), &member).await?;
        Ok(member)
    }

    /// Takes a role from a member; not the last one, and not `owner` from the last owner, also when two go at once.
    pub(crate) async fn remove_member_role(
        &self,
        ctx: &RequestContext,
        request: Option<RequestKey>,
        tenant: &TenantEntry,
        user: UserId,
        key: &RoleKey,
    ) -> Result<Member, Error> {
        let mut tx = self.store.begin(tenant.id).await?;
        if let Some(replay) = tx.claim(request.as_ref()).await? {
            return Ok(replay.answer);
        }
        grantable(ctx, &mut tx, std::slice::from_ref(key)).await?;
        let owners = if *key == BuiltIn::Owner {
            store::members::lock_owners(&mut tx).await?
        } else {
            Vec::new()
        };
        let member = store::members::lock(&mut tx, user).await?;
        let member = member.ok_or(Error::UserNotFound)?;
        let after = member.without(key, &owners)?;
        let member = change(ctx, &mut tx, &member, after).await?;
        tx.finish(request.as_ref(), &member).await?;
        Ok(member)
    }
}

async fn change(
    ctx: &RequestContext,
    tx: &mut TenantTx,
    before: &Member,
    after: Member,
) -> Result<Member, Error> {
    store::members::set_roles(tx, &after).await?;
    let id = after.user_id.uuid();
    let event = Event::of(
        ctx,
        "member.updated",
        "member",
        id,
        before.facts(),
        after.facts(),
    );
    tx.record(&event).await?;
    Ok(after)
}
