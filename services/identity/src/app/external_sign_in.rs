//! Signing in at an OpenID provider. The beginning may be on one replica and the end on another: what ties them is a row.

use std::sync::Arc;

use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};
use tenantry_core::event::Event;
use tenantry_core::tenant::Admission;
use tenantry_core::{
    IdentityProviderId, Principal, PrincipalKind, Refusal, RequestContext, TenantId, TenantRef,
    UserId, clock,
};
use tenantry_rpc::tenants::TenantEntry;
use tenantry_store::TenantTx;

use super::App;
use super::seats::Seat;
use super::sessions::stream;
use super::sign_in::Pair;
use crate::domain::external_sign_in::{Handed, Pending, Person, Ties};
use crate::domain::identity_provider::{IdentityProvider, Scope};
use crate::domain::member::Member;
use crate::domain::principal::display_name;
use crate::domain::rights::{Reach, Realm};
use crate::domain::session::{BegunBy, Session};
use crate::error::Error;
use crate::oidc::{Client, Returned};
use crate::store;
use crate::store::identity_providers::Known;

/// What the log calls a new member.
const MEMBER_ADDED: &str = "member.added";

/// What a sign-in begins with.
#[derive(Debug)]
pub(crate) struct Start {
    pub(crate) tenant: Option<TenantRef>,
    pub(crate) project: String,
    pub(crate) provider: IdentityProviderId,
    pub(crate) redirect_uri: String,
}

/// A sign-in that began.
pub(crate) struct Started {
    pub(crate) authorization_url: String,
    pub(crate) handed: Handed,
}

impl App {
    /// Begins a sign-in. That there is no such tenant or provider, that it is disabled or that the page isn't one of its
    /// own is one refusal: the method is public.
    pub(crate) async fn start_external_sign_in(
        &self,
        ctx: &RequestContext,
        start: Start,
    ) -> Result<Started, Error> {
        self.starts.admit(&ctx.origin.ip)?;
        let (known, session_tenant) = self.provider_of(&start).await?.ok_or(Error::NoSignInHere)?;
        let provider = &known.provider;
        if !provider.enabled || !provider.redirect_uris.contains(&start.redirect_uri) {
            return Err(Error::NoSignInHere);
        }
        let (handed, ties) = (Handed::new(), Ties::new());
        let client = client(provider, None, &start.redirect_uri);
        let url = self
            .oidc
            .begin(client, &provider.scopes, &handed.state, &ties)
            .await
            .map_err(|why| failed(provider, &why))?;
        let plain = serde_json::to_vec(&ties).map_err(tenantry_store::Error::Corrupt)?;
        let pending = Pending {
            provider: provider.id,
            provider_tenant: provider.tenant_id,
            session_tenant,
            sealed: self.store.sealer().seal(&handed.sealed_for(), &plain),
            redirect_uri: start.redirect_uri,
        };
        let mut tx = self.store.begin(TenantId::PLATFORM).await?;
        store::external_sign_ins::insert(tx.conn(), &handed, &pending).await?;
        tx.commit().await?;
        Ok(Started {
            authorization_url: url.into(),
            handed,
        })
    }

    /// The provider that a beginning names, and the tenant that the session is to be for: the tenant's own provider, else
    /// the project's.
    async fn provider_of(&self, start: &Start) -> Result<Option<(Known, Option<TenantId>)>, Error> {
        let project = &start.project;
        let entry = match &start.tenant {
            Some(name) => self.tenants.find(project, name).await?,
            None => None,
        };
        if let Some(entry) = &entry
            && entry.status.admission() != Admission::Absent
        {
            let mut tx = self.store.read(entry.id).await?;
            if let Some(known) = store::identity_providers::get(&mut tx, start.provider).await? {
                return Ok(Some((known, Some(entry.id))));
            }
        }
        let mut tx = self.store.read(TenantId::PLATFORM).await?;
        let known = store::identity_providers::get(&mut tx, start.provider).await?;
        let scope = Scope::Project(project.clone());
        // A tenant that isn't there is refused at the end, like one that the person isn't a member of.
        let session_tenant = start
            .tenant
            .as_ref()
            .map(|_| entry.map_or_else(TenantId::new, |entry| entry.id));
        Ok(known
            .filter(|known| scope.holds(&known.provider))
            .map(|known| (known, session_tenant)))
    }

    /// Ends a sign-in with a session, once. Nothing of a transaction is open while the issuer is asked.
    pub(crate) async fn finish_external_sign_in(
        &self,
        ctx: &RequestContext,
        handed: &Handed,
        returned: Returned<'_>,
    ) -> Result<Pair, Error> {
        let mut tx = self.store.begin(TenantId::PLATFORM).await?;
        let pending = store::external_sign_ins::take(tx.conn(), handed).await?;
        tx.commit().await?;
        let pending = pending.ok_or(Error::SignInFailed)?;
        let known = {
            let mut tx = self.store.read(pending.provider_tenant).await?;
            store::identity_providers::get(&mut tx, pending.provider).await?
        };
        let known = known
            .filter(|known| known.provider.enabled)
            .ok_or(Error::SignInFailed)?;
        let person = self.person(handed, &pending, &known, returned).await?;
        let provider = known.provider;
        if !provider.lets_in(&person.email) {
            return Err(Error::NotLetIn);
        }
        let (session_tenant, entry) = if provider.tenant_id.is_platform() {
            (self.chosen(&provider, &person, &pending).await?, None)
        } else {
            let entry = self.tenants.get(provider.tenant_id).await?;
            (None, Some(entry.ok_or(Error::SignInFailed)?))
        };
        self.begin_external_session(ctx, &provider, &person, session_tenant, entry)
            .await
    }

    /// Whom the provider speaks of.
    async fn person(
        &self,
        handed: &Handed,
        pending: &Pending,
        known: &Known,
        returned: Returned<'_>,
    ) -> Result<Person, Error> {
        let plain = self
            .store
            .sealer()
            .open(&handed.sealed_for(), &pending.sealed);
        let ties: Option<Ties> = plain
            .ok()
            .and_then(|plain| serde_json::from_slice(&plain).ok());
        let ties = ties.ok_or(Error::SignInFailed)?;
        let secret: Option<SecretString> = match &known.client_secret {
            Some(sealed) => Some(self.open_client_secret(known.provider.id, sealed)?),
            None => None,
        };
        let secret = secret.as_ref().map(|secret| secret.expose_secret());
        let client = client(&known.provider, secret, &pending.redirect_uri);
        let person = self.oidc.finish(client, ties, returned).await;
        person.map_err(|why| failed(&known.provider, &why))
    }

    /// The tenant that a session by a project's provider is for, where one was chosen and the person is a member of it.
    async fn chosen(
        &self,
        provider: &IdentityProvider,
        person: &Person,
        pending: &Pending,
    ) -> Result<Option<TenantId>, Error> {
        let Some(tenant) = pending.session_tenant else {
            return Ok(None);
        };
        let entry = self.tenants.get(tenant).await?;
        let entry = entry.filter(|entry| *entry.project == *provider.project);
        let entry = entry.ok_or(Error::TenantNotFound)?;
        let mut tx = self.store.platform().await?;
        let user =
            store::external_sign_ins::user_of(tx.conn(), &provider.issuer, &person.subject).await?;
        let user = user.ok_or(Error::TenantNotFound)?;
        let standing = store::principals::standing(&mut tx, user).await?;
        drop(tx);
        let standing = Arc::new(standing.ok_or(Error::TenantNotFound)?);
        match self.reach(&Realm::of_user(&standing), &entry).await? {
            Reach::Admitted(_) => Ok(Some(tenant)),
            Reach::Stopped(stop) => Err(Error::Stopped(stop)),
            Reach::Absent => Err(Error::TenantNotFound),
        }
    }

    /// A place for whoever is about to become a member of the provider's tenant; none for who is one, or isn't to be.
    async fn just_in_time_seat(
        &self,
        provider: &IdentityProvider,
        person: &Person,
        entry: Option<&TenantEntry>,
    ) -> Result<Option<Seat>, Error> {
        let Some(tenant) = entry.filter(|entry| makes_members(provider, entry)) else {
            return Ok(None);
        };
        let mut tx = self.store.read(tenant.id).await?;
        let (issuer, subject) = (&provider.issuer, &person.subject);
        let user = store::external_sign_ins::user_of(tx.conn(), issuer, subject).await?;
        if let Some(user) = user
            && (store::members::find(&mut tx, user).await?.is_some()
                || store::members::was_removed(&mut tx, user).await?)
        {
            return Ok(None);
        }
        drop(tx);
        self.hold_seat(tenant.id).await.map(Some)
    }

    async fn begin_external_session(
        &self,
        ctx: &RequestContext,
        provider: &IdentityProvider,
        person: &Person,
        session_tenant: Option<TenantId>,
        entry: Option<TenantEntry>,
    ) -> Result<Pair, Error> {
        let seat = self
            .just_in_time_seat(provider, person, entry.as_ref())
            .await?;
        let mut tx = self.store.begin(provider.tenant_id).await?;
        if !store::identity_providers::hold(&mut tx, provider).await? {
            return Err(Error::SignInFailed);
        }
        let ctx = RequestContext {
            principal: Principal {
                kind: PrincipalKind::User,
                id: UserId::new().uuid(),
                name: display_name(&person.email, &person.subject, &provider.issuer),
            },
            ..ctx.clone()
        };
        let mut told = Vec::new();
        let (ctx, user) = find_or_create_user(ctx, &mut tx, provider, person, &mut told).await?;
        let session_tenant = match entry {
            None => session_tenant,
            Some(entry) => {
                let seat = seat.as_ref();
                let member = just_in_time(
                    &ctx,
                    &mut tx,
                    provider,
                    (person, user, seat),
                    &entry,
                    &mut told,
                )
                .await?;
                match (member, entry.status.admission()) {
                    (true, Admission::Admitted) => Some(entry.id),
                    (true, Admission::Stopped(stop)) => return Err(Error::Stopped(stop)),
                    // Known from now on, and a member once people of the tenant make it one.
                    (false, Admission::Admitted) => None,
                    (_, Admission::Absent | Admission::Kept) | (false, Admission::Stopped(_)) => {
                        return Err(Error::SignInFailed);
                    }
                }
            }
        };
        let (session, refresh) =
            Session::begin(user, session_tenant, BegunBy::Provider, clock::now());
        let network = tenantry_core::network(&ctx.origin.ip);
        store::external_sign_ins::insert_session(
            tx.conn(),
            &session,
            provider,
            &ctx.origin,
            &network,
        )
        .await?;
        let id = session.id.uuid();
        let after = json!({ "user_id": user, "identity_provider": provider.id });
        let started = Event::of(&ctx, "session.started", "session", id, Value::Null, after);
        told.push((stream(session_tenant), started));
        let is_new = told.iter().any(|(_, event)| event.action == MEMBER_ADDED);
        tx.record_each(told).await?;
        tx.commit().await?;
        if let Some(seat) = seat.filter(|_| is_new) {
            self.seats.taken(seat);
        }
        Ok(Pair {
            access: self.tokens.issue(session.id, user, session_tenant)?,
            refresh: refresh.text(),
        })
    }
}

/// The user that the issuer's subject is; a new one, with its event, where it never signed in. An address is never looked
/// up: what an issuer says of it is no link to anyone.
async fn find_or_create_user(
    ctx: RequestContext,
    tx: &mut TenantTx,
    provider: &IdentityProvider,
    person: &Person,
    told: &mut Vec<(TenantId, Event)>,
) -> Result<(RequestContext, UserId), Error> {
    let new: UserId = ctx.principal.id.into();
    let name = user_name(person);
    let created = store::external_sign_ins::user_of(tx.conn(), &provider.issuer, &person.subject)
        .await?
        .is_none()
        && store::external_sign_ins::insert_user(tx.conn(), new, name, &provider.issuer, person)
            .await?;
    if created {
        let after = json!({ "name": name, "issuer": provider.issuer, "subject": person.subject });
        let event = Event::of(&ctx, "user.created", "user", new.uuid(), Value::Null, after);
        told.push((provider.tenant_id, event));
        return Ok((ctx, new));
    }
    let user = store::external_sign_ins::claim(tx.conn(), &provider.issuer, person).await?;
    let mut ctx = ctx;
    ctx.principal.id = user.uuid();
    Ok((ctx, user))
}

/// Whether the provider makes members of this tenant, its own.
fn makes_members(provider: &IdentityProvider, tenant: &TenantEntry) -> bool {
    !provider.just_in_time_roles.is_empty() && tenant.status.admission() == Admission::Admitted
}

/// Whether the user is a member of the provider's tenant by now. It becomes one here where the provider says so, unless
/// people removed it before: signing in again isn't being asked in again.
async fn just_in_time(
    ctx: &RequestContext,
    tx: &mut TenantTx,
    provider: &IdentityProvider,
    (person, user, seat): (&Person, UserId, Option<&Seat>),
    tenant: &TenantEntry,
    told: &mut Vec<(TenantId, Event)>,
) -> Result<bool, Error> {
    if store::members::lock(tx, user).await?.is_some() {
        return Ok(true);
    }
    if !makes_members(provider, tenant) || store::members::was_removed(tx, user).await? {
        return Ok(false);
    }
    // One that was a member until a moment ago: at the next try there is a place.
    let seat = seat.ok_or_else(Refusal::unavailable)?.id()?;
    let member = Member {
        tenant_id: tenant.id,
        user_id: user,
        email: String::new(),
        name: user_name(person).to_owned(),
        roles: provider.just_in_time_roles.clone(),
        created_at: clock::now(),
        username: None,
    };
    let member = store::members::insert(tx, &member, seat).await?;
    let id = user.uuid();
    let event = Event::of(ctx, MEMBER_ADDED, "member", id, Value::Null, member.facts());
    told.push((tenant.id, event));
    Ok(true)
}

/// What people see of a person.
fn user_name(person: &Person) -> &str {
    [&person.name, &person.email, &person.subject]
        .into_iter()
        .find(|name| !name.is_empty())
        .map_or("", String::as_str)
}

fn client<'a>(
    provider: &'a IdentityProvider,
    client_secret: Option<&'a str>,
    redirect_uri: &'a str,
) -> Client<'a> {
    Client {
        issuer: &provider.issuer,
        client_id: &provider.client_id,
        client_secret,
        redirect_uri,
    }
}

/// Logs why an issuer wasn't believed; whoever signs in learns that it failed and what to do.
fn failed(provider: &IdentityProvider, why: &crate::oidc::Failure) -> Error {
    tracing::warn!(
        identity_provider.id = %provider.id, oidc.issuer = provider.issuer, error = %why,
        "an external sign-in failed"
    );
    Error::SignInFailed
}
