//! Invitations, as a tenant's people manage them.

use jiff::SignedDuration;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;
use tenantry_core::event::Event;
use tenantry_core::page::{Page, PageTokens};
use tenantry_core::request_id::RequestKey;
use tenantry_core::{InvitationId, RequestContext, clock};
use tenantry_rpc::tenants::TenantEntry;
use tenantry_store::TenantTx;

use super::App;
use super::roles::grantable;
use crate::domain::invitation::{self, Invitation, MAX_MAILS_A_DAY, MAX_PENDING, State};
use crate::domain::mail::{Letter, Mail, MailState};
use crate::domain::role::RoleKey;
use crate::error::Error;
use crate::store;

/// Whom to invite, and to what.
#[derive(Debug)]
pub(crate) struct NewInvitation {
    pub(crate) email: String,
    pub(crate) roles: Vec<RoleKey>,
    /// Days until the link ends.
    pub(crate) days: i32,
}

/// Which invitations a list holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Listed {
    Pending,
    All,
}

impl App {
    /// Sends an invitation. It says nothing of whether the address has a user.
    pub(crate) async fn invite(
        &self,
        ctx: &RequestContext,
        key: Option<RequestKey>,
        tenant: &TenantEntry,
        new: NewInvitation,
    ) -> Result<Invitation, Error> {
        let tenant_name = self.name_to_invite(tenant).await?;
        let mut tx = self.store.begin(tenant.id).await?;
        if let Some(replay) = tx.claim(key.as_ref()).await? {
            return Ok(replay.answer);
        }
        grantable(ctx, &mut tx, &new.roles).await?;
        if store::members::is_member(&mut tx, &new.email).await? {
            return Err(Error::MemberExists);
        }
        let now = clock::now();
        store::invitations::close_expired(&mut tx, &new.email, now).await?;
        admit_mail(&mut tx, &new.email).await?;
        let invitation = Invitation {
            id: InvitationId::new(),
            tenant_id: tenant.id,
            email: new.email,
            roles: new.roles,
            invited_by: ctx.principal.key(),
            invited_by_email: invitation::address_of(&ctx.principal),
            created_at: now,
            sent_at: now,
            times_sent: 1,
            expires_at: invitation::end(now, new.days),
            accepted_at: None,
            revoked_at: None,
            mail: MailState::Queued,
            mail_at: Some(now),
        };
        let token = invitation::new_token(tenant.id, invitation.id);
        store::invitations::insert(&mut tx, &invitation, &invitation::hash(&token)).await?;
        tx.record(&event(ctx, "invitation.created", Value::Null, &invitation))
            .await?;
        admit_pending(&mut tx).await?;
        let mail = letter(tenant_name, &invitation, &token);
        self.post(ctx, &mut tx, invitation.id.uuid(), &mail).await?;
        tx.finish(key.as_ref(), &invitation).await?;
        self.mails_wait();
        Ok(invitation)
    }

    /// Sends a new link, and gives it a new term. Whoever sends it answers for it from now on.
    pub(crate) async fn resend_invitation(
        &self,
        ctx: &RequestContext,
        key: Option<RequestKey>,
        tenant: &TenantEntry,
        id: InvitationId,
        days: i32,
    ) -> Result<Invitation, Error> {
        let tenant_name = self.name_to_invite(tenant).await?;
        let mut tx = self.store.begin(tenant.id).await?;
        if let Some(replay) = tx.claim(key.as_ref()).await? {
            return Ok(replay.answer);
        }
        let mut invitation = open(&mut tx, ctx, id).await?;
        if store::members::is_member(&mut tx, &invitation.email).await? {
            return Err(Error::MemberExists);
        }
        admit_mail(&mut tx, &invitation.email).await?;
        let before = invitation.facts();
        invitation.sent_again(&ctx.principal, clock::now(), days);
        let token = invitation::new_token(tenant.id, id);
        store::invitations::send_again(&mut tx, &invitation, &invitation::hash(&token)).await?;
        tx.record(&event(ctx, "invitation.resent", before, &invitation))
            .await?;
        admit_pending(&mut tx).await?;
        let mail = letter(tenant_name, &invitation, &token);
        self.post(ctx, &mut tx, invitation.id.uuid(), &mail).await?;
        tx.finish(key.as_ref(), &invitation).await?;
        self.mails_wait();
        Ok(invitation)
    }

    /// Makes a link dead.
    pub(crate) async fn revoke_invitation(
        &self,
        ctx: &RequestContext,
        key: Option<RequestKey>,
        tenant: &TenantEntry,
        id: InvitationId,
    ) -> Result<Invitation, Error> {
        let mut tx = self.store.begin(tenant.id).await?;
        if let Some(replay) = tx.claim(key.as_ref()).await? {
            return Ok(replay.answer);
        }
        let mut invitation = open(&mut tx, ctx, id).await?;
        let before = invitation.facts();
        let now = clock::now();
        let mail_stopped = store::mails::stop(&mut tx, id.uuid()).await?;
        invitation.revoked(now, mail_stopped);
        store::invitations::revoke(&mut tx, &invitation).await?;
        tx.record(&event(ctx, "invitation.revoked", before, &invitation))
            .await?;
        tx.finish(key.as_ref(), &invitation).await?;
        Ok(invitation)
    }

    /// The name of a tenant that invites, where mail is sent at all.
    async fn name_to_invite(&self, tenant: &TenantEntry) -> Result<String, Error> {
        if self.mail.is_none() {
            return Err(Error::MailOff);
        }
        self.tenant_name(tenant).await
    }

    /// One invitation.
    pub(crate) async fn invitation(
        &self,
        tenant: &TenantEntry,
        id: InvitationId,
    ) -> Result<Invitation, Error> {
        let mut tx = self.store.read(tenant.id).await?;
        let found = store::invitations::find(&mut tx, id).await?;
        Ok(found.ok_or(Error::InvitationNotFound)?.invitation)
    }

    /// One page of invitations, newest first.
    pub(crate) async fn list_invitations(
        &self,
        tokens: &PageTokens<'_>,
        tenant: &TenantEntry,
        listed: Listed,
        size: u32,
        page_token: &str,
    ) -> Result<Page<Invitation>, Error> {
        let before: Option<InvitationId> = tokens.read(page_token)?;
        let pending_at = (listed == Listed::Pending).then(clock::now);
        let mut tx = self.store.read(tenant.id).await?;
        let limit = i64::from(size) + 1;
        let items = store::invitations::page(&mut tx, pending_at, before, limit).await?;
        Ok(Page::cut(items, size, |invitation| {
            tokens.write(&invitation.id)
        }))
    }
}

/// The invitation, locked, if it can still be sent or revoked, by someone who may give its roles.
async fn open(
    tx: &mut TenantTx,
    ctx: &RequestContext,
    id: InvitationId,
) -> Result<Invitation, Error> {
    let found = store::invitations::lock(tx, id).await?;
    let invitation = found.ok_or(Error::InvitationNotFound)?.invitation;
    grantable(ctx, tx, &invitation.roles).await?;
    if invitation.is_open() {
        Ok(invitation)
    } else {
        Err(Error::InvitationNotFound)
    }
}

/// Refuses one mail too many to the same address: invitations are no way to flood anyone.
async fn admit_mail(tx: &mut TenantTx, email: &str) -> Result<(), Error> {
    let day_ago = clock::now() - SignedDuration::from_hours(24);
    if store::invitations::mails_since(tx, email, day_ago).await? < MAX_MAILS_A_DAY {
        return Ok(());
    }
    Err(Error::LimitReached(format!(
        "{MAX_MAILS_A_DAY} mails went to this address within a day. Send no further one before tomorrow."
    )))
}

/// Refuses one pending invitation too many. Comes after the event: the counter that it took lets one change of the tenant
/// pass at a time, so the count is exact.
async fn admit_pending(tx: &mut TenantTx) -> Result<(), Error> {
    if store::invitations::pending(tx, clock::now()).await? <= MAX_PENDING {
        return Ok(());
    }
    Err(Error::LimitReached(format!(
        "The tenant has {MAX_PENDING} pending invitations. Revoke some, or wait until some are accepted or expire."
    )))
}

fn letter(tenant_name: String, invitation: &Invitation, token: &SecretString) -> Mail {
    let roles = invitation.roles.iter();
    Mail {
        to: invitation.email.clone(),
        letter: Letter::Invitation {
            tenant_name,
            by: invitation.invited_by_email.clone(),
            roles: roles.map(|role| role.as_str().to_owned()).collect(),
            until: invitation.expires_at,
            token: token.expose_secret().to_owned(),
        },
    }
}

/// The event of a change of an invitation.
pub(super) fn event(
    ctx: &RequestContext,
    action: &str,
    before: Value,
    invitation: &Invitation,
) -> Event {
    let id = invitation.id.uuid();
    Event::of(ctx, action, "invitation", id, before, invitation.facts())
}

/// Whether a link works now, as far as the invitation itself says.
pub(super) fn is_pending(invitation: &Invitation) -> bool {
    invitation.state(clock::now()) == State::Pending
}
