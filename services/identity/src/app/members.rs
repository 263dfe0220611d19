//! Members of a tenant.

use secrecy::SecretString;
use serde_json::{Value, json};
use tenantry_core::event::Event;
use tenantry_core::page::{Page, PageTokens};
use tenantry_core::request_id::RequestKey;
use tenantry_core::{RequestContext, TenantId, UserId, clock};
use tenantry_rpc::tenants::TenantEntry;
use tenantry_store::TenantTx;
use uuid::Uuid;

use super::App;
use super::roles::grantable;
use super::seats::Seat;
use crate::domain::field;
use crate::domain::mail::{Letter, Mail};
use crate::domain::member::{Member, Patch, User};
use crate::domain::role::RoleKey;
use crate::error::Error;
use crate::store;
use crate::store::users::Credentials;

/// Most tenants of one user that are looked at, to see whether one lies below another.
const MOST_LOOKED_AT: i64 = 100;

/// A person to add by address.
#[derive(Debug)]
pub(crate) struct NewMember {
    pub(crate) email: String,
    pub(crate) name: String,
    pub(crate) password: Option<SecretString>,
    pub(crate) roles: Vec<RoleKey>,
}

/// The user of an address.
#[derive(Debug)]
pub(super) enum Found {
    New(User),
    Known(User),
}

impl Found {
    pub(super) fn user(self) -> User {
        match self {
            Self::New(user) | Self::Known(user) => user,
        }
    }
}

impl App {
    /// Adds a person by address; makes the user where there is none. Operators add any. To a tenant's people an address is
    /// theirs to add where its user is related, or where there is none and it lies in a domain of the tenant. Of any other
    /// they learn nothing, not even whether it signs in somewhere.
    pub(crate) async fn create_member(
        &self,
        ctx: &RequestContext,
        key: Option<RequestKey>,
        tenant: &TenantEntry,
        new: NewMember,
    ) -> Result<Member, Error> {
        let welcome = ctx.is_operator() || self.is_related_address(tenant, &new.email).await?;
        let may_make = ctx.is_operator() || field::is_of(&new.email, &tenant.domains);
        let admit = async |tx: &mut TenantTx| {
            if let Some(replay) = tx.claim(key.as_ref()).await? {
                return Ok(Some(replay.answer));
            }
            grantable(ctx, tx, &new.roles).await?;
            if !welcome && !may_make {
                return Err(Error::InvitationRequired);
            }
            if store::members::is_member(tx, &new.email).await? {
                return Err(Error::MemberExists);
            }
            Ok(None)
        };
        {
            // What was done, or is refused, costs no hash and no place.
            let mut tx = self.store.begin(tenant.id).await?;
            if let Some(member) = admit(&mut tx).await? {
                return Ok(member);
            }
        }
        let about = [new.email.as_str(), &new.name];
        let hash = self.hashed(ctx, new.password.as_ref(), &about).await?;
        let seat = self.hold_seat(tenant.id).await;
        let mut tx = self.store.begin(tenant.id).await?;
        // Where there is no place, the same request may have had the last one.
        if let Some(member) = admit(&mut tx).await? {
            return Ok(member);
        }
        let seat = seat?;
        let found = self
            .find_or_create_user(ctx, &mut tx, &new.email, &new.name, hash.as_deref())
            .await?;
        let user = match found {
            Found::New(user) => user,
            Found::Known(user) if welcome => user,
            // Another request may have added it, to this very tenant, since it was looked at.
            Found::Known(user) => {
                let here = store::members::lock(&mut tx, user.id).await?;
                return Err(here.map_or(Error::InvitationRequired, |_| Error::MemberExists));
            }
        };
        let member = add(ctx, &mut tx, &user, (new.name, new.roles), &seat).await?;
        let mail = Mail {
            to: member.email.clone(),
            letter: Letter::Welcome {
                slug: tenant.slug.to_string(),
            },
        };
        self.post(ctx, &mut tx, member.user_id.uuid(), &mail)
            .await?;
        tx.finish(key.as_ref(), &member).await?;
        self.seats.taken(seat);
        self.mails_wait();
        Ok(member)
    }

    /// The hash of a new password, where one is given, of the person that `about` tells of. Comes before the transaction:
    /// nobody's connection or claim waits for a place among the hashes.
    pub(super) async fn hashed(
        &self,
        ctx: &RequestContext,
        password: Option<&SecretString>,
        about: &[&str],
    ) -> Result<Option<String>, Error> {
        match password {
            Some(password) => Ok(Some(
                self.passwords
                    .choose(&ctx.origin, "password", password, about)
                    .await?,
            )),
            None => Ok(None),
        }
    }

    /// The user of an address; a new one, with its event, where there is none.
    ///
    /// A password that a tenant's people choose for an address that may be anyone's reaches their tenant alone: else they
    /// could wait in every tenant, or on the platform, that adds the address later. One that an operator gives replaces it.
    pub(super) async fn find_or_create_user(
        &self,
        ctx: &RequestContext,
        tx: &mut TenantTx,
        email: &str,
        name: &str,
        password_hash: Option<&str>,
    ) -> Result<Found, Error> {
        let by_operator = tx.scope().is_platform() || ctx.is_operator();
        let password_of = (!by_operator && password_hash.is_some()).then_some(tx.scope());
        let user = User {
            id: UserId::new(),
            email: email.to_owned(),
            name: name.to_owned(),
        };
        if store::users::insert(tx.conn(), &user, password_hash, password_of).await? {
            let event = Event::of(
                ctx,
                "user.created",
                "user",
                user.id.uuid(),
                Value::Null,
                user.facts(),
            );
            tx.record(&event).await?;
            return Ok(Found::New(user));
        }
        // There is one, perhaps since a moment ago.
        let known = store::users::lock_by_email(tx.conn(), email).await?;
        let Credentials {
            user, password_of, ..
        } = known.ok_or(Error::UserNotFound)?;
        if password_of.is_some()
            && by_operator
            && (password_hash.is_some() || tx.scope().is_platform())
        {
            store::users::take_over(tx.conn(), user.id, password_hash).await?;
            let event = Event::of(
                ctx,
                "user.password_replaced",
                "user",
                user.id.uuid(),
                Value::Null,
                json!({ "email": user.email }),
            );
            tx.record(&event).await?;
        }
        Ok(Found::Known(user))
    }

    /// Adds a user by id: anyone where an operator asks, else one of an ancestor or descendant of the tenant.
    pub(crate) async fn add_member(
        &self,
        ctx: &RequestContext,
        key: Option<RequestKey>,
        tenant: &TenantEntry,
        user: UserId,
        roles: Vec<RoleKey>,
    ) -> Result<Member, Error> {
        let visible = ctx.is_operator() || self.is_related(tenant, user).await?;
        let admit = async |tx: &mut TenantTx| {
            if let Some(replay) = tx.claim(key.as_ref()).await? {
                return Ok(Err(replay.answer));
            }
            grantable(ctx, tx, &roles).await?;
            let user = store::users::by_id(tx.conn(), user).await?;
            let user = user.filter(|_| visible).ok_or(Error::UserNotFound)?;
            match store::members::find(tx, user.id).await? {
                Some(_) => Err(Error::MemberExists),
                None => Ok(Ok(user)),
            }
        };
        {
            // What was done, or is refused, costs no place.
            let mut tx = self.store.begin(tenant.id).await?;
            if let Err(member) = admit(&mut tx).await? {
                return Ok(member);
            }
        }
        let seat = self.hold_seat(tenant.id).await;
        let mut tx = self.store.begin(tenant.id).await?;
        let user = match admit(&mut tx).await? {
            Ok(user) => user,
            Err(member) => return Ok(member),
        };
        let seat = seat?;
        let new = (user.name.clone(), roles.clone());
        let member = add(ctx, &mut tx, &user, new, &seat).await?;
        tx.finish(key.as_ref(), &member).await?;
        self.seats.taken(seat);
        Ok(member)
    }

    /// Whether the address is that of a user who is related. An address that nobody has is looked for like any other, by the
    /// same queries.
    async fn is_related_address(&self, tenant: &TenantEntry, email: &str) -> Result<bool, Error> {
        let known = {
            let mut tx = self.store.read(tenant.id).await?;
            store::users::by_email(tx.conn(), email).await?
        };
        let user = known.map_or_else(UserId::new, |known| known.user.id);
        self.is_related(tenant, user).await
    }

    /// Whether the user is a member of the tenant, of one above it or of one below it, or came to it by a provider of its
    /// own. Of one who belongs to many, the newest [`MOST_LOOKED_AT`] are looked at from below, in memory, and one that was made
    /// so lately that the view doesn't know it: what it takes is bounded, whoever it is.
    async fn is_related(&self, tenant: &TenantEntry, user: UserId) -> Result<bool, Error> {
        {
            let mut tx = self.store.read(tenant.id).await?;
            if store::external_sign_ins::came_before(&mut tx, user).await? {
                return Ok(true);
            }
        }
        let above = self.tenants.ancestors(tenant).await?;
        let mut near = vec![tenant.id.uuid()];
        near.extend(above.iter().map(|ancestor| ancestor.id.uuid()));
        let theirs = {
            let mut tx = self.store.platform().await?;
            store::members::tenants_of(&mut tx, user, &near, MOST_LOOKED_AT).await?
        };
        if theirs.iter().any(|id| near.contains(&id.uuid())) {
            return Ok(true);
        }
        let mut unknown = None;
        for id in theirs {
            match self.tenants.known_below(id, tenant.id) {
                Some(true) => return Ok(true),
                Some(false) => {}
                None => unknown = unknown.or(Some(id)),
            }
        }
        // Registry is asked about one, whether there is one or not: that takes time, and may fail.
        self.is_below(unknown.unwrap_or_else(TenantId::new), tenant.id)
            .await
    }

    /// The same of one tenant that the view doesn't know.
    async fn is_below(&self, id: TenantId, above: TenantId) -> Result<bool, Error> {
        let Some(entry) = self.tenants.get(id).await? else {
            return Ok(false);
        };
        let up = self.tenants.ancestors(&entry).await?;
        Ok(up.iter().any(|ancestor| ancestor.id == above))
    }

    /// One page of members, by address.
    pub(crate) async fn list_members(
        &self,
        tokens: &PageTokens<'_>,
        tenant: &TenantEntry,
        size: u32,
        page_token: &str,
    ) -> Result<Page<Member>, Error> {
        let after: Option<(String, UserId)> = tokens.read(page_token)?;
        let (email, user) = after.unwrap_or((String::new(), Uuid::nil().into()));
        let mut tx = self.store.read(tenant.id).await?;
        let items = store::members::page(&mut tx, (&email, user), i64::from(size) + 1).await?;
        Ok(Page::cut(items, size, |member| {
            tokens.write(&(&member.email, member.user_id))
        }))
    }

    /// One member.
    pub(crate) async fn member(&self, tenant: &TenantEntry, user: UserId) -> Result<Member, Error> {
        let mut tx = self.store.read(tenant.id).await?;
        let member = store::members::find(&mut tx, user).await?;
        member.ok_or(Error::UserNotFound)
    }

    /// Changes how the tenant knows a member.
    pub(crate) async fn update_member(
        &self,
        ctx: &RequestContext,
        key: Option<RequestKey>,
        tenant: &TenantEntry,
        user: UserId,
        patch: Patch,
    ) -> Result<Member, Error> {
        let mut tx = self.store.begin(tenant.id).await?;
        if let Some(replay) = tx.claim(key.as_ref()).await? {
            return Ok(replay.answer);
        }
        let member = store::members::lock(&mut tx, user).await?;
        let mut member = member.ok_or(Error::UserNotFound)?;
        let before = member.facts();
        member.apply(patch);
        let after = member.facts();
        if before != after {
            store::members::update(&mut tx, &member).await?;
            let id = user.uuid();
            let event = Event::of(ctx, "member.updated", "member", id, before, after);
            tx.record(&event).await?;
        }
        tx.finish(key.as_ref(), &member).await?;
        Ok(member)
    }

    /// Ends a membership, but not that of the last owner, also when two go at once.
    pub(crate) async fn remove_member(
        &self,
        ctx: &RequestContext,
        key: Option<RequestKey>,
        tenant: &TenantEntry,
        user: UserId,
    ) -> Result<(), Error> {
        let mut tx = self.store.begin(tenant.id).await?;
        if tx.claim::<()>(key.as_ref()).await?.is_some() {
            return Ok(());
        }
        let owners = store::members::lock_owners(&mut tx).await?;
        let member = store::members::lock(&mut tx, user).await?;
        let member = member.ok_or(Error::UserNotFound)?;
        grantable(ctx, &mut tx, &member.roles).await?;
        member.may_leave(&owners)?;
        store::members::delete(&mut tx, user).await?;
        let event = Event::of(
            ctx,
            "member.removed",
            "member",
            user.uuid(),
            member.facts(),
            Value::Null,
        );
        tx.record(&event).await?;
        tx.finish(key.as_ref(), &()).await?;
        self.seats.changed();
        Ok(())
    }
}

/// Adds a user to the transaction's tenant, with the event. The place is taken once the transaction is committed.
pub(super) async fn add(
    ctx: &RequestContext,
    tx: &mut TenantTx,
    user: &User,
    (name, roles): (String, Vec<RoleKey>),
    seat: &Seat,
) -> Result<Member, Error> {
    let member = Member {
        tenant_id: tx.scope(),
        user_id: user.id,
        email: user.email.clone(),
        name,
        roles,
        created_at: clock::now(),
        username: None,
    };
    let member = store::members::insert(tx, &member, seat.id()?).await?;
    let event = Event::of(
        ctx,
        "member.added",
        "member",
        user.id.uuid(),
        Value::Null,
        member.facts(),
    );
    tx.record(&event).await?;
    Ok(member)
}
