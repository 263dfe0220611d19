//! Accepting an invitation: by its link, and, where the address signs in already, by that sign-in.
//!
//! The link alone shows that the address is its holder's, so a password that they choose here reaches all that they do, and
//! replaces one that some tenant's people chose for the address. One that the person chose is never replaced by a link.

use secrecy::SecretString;
use serde_json::{Value, json};
use tenantry_core::event::Event;
use tenantry_core::request_id::RequestKey;
use tenantry_core::tenant::Admission;
use tenantry_core::{Permission, Principal, PrincipalKind, Refusal, RequestContext, UserId, clock};
use tenantry_rpc::tenants::TenantEntry;
use tenantry_store::TenantTx;

use super::App;
use super::invitations::{event, is_pending};
use super::members::add;
use super::permissions::Whom;
use super::roles::granted;
use crate::domain::invitation::{self, Invitation, Presented};
use crate::domain::member::{Member, User};
use crate::domain::rights::{Reach, Rights};
use crate::domain::{field, secret};
use crate::error::Error;
use crate::store;
use crate::store::users::Credentials;

/// What the holder of a link says of themselves.
#[derive(Debug)]
pub(crate) struct Acceptance {
    pub(crate) token: SecretString,
    /// Name by which the tenant will know them; the user's own where there is none.
    pub(crate) name: Option<String>,
    pub(crate) password: Option<SecretString>,
}

/// An invitation that can be accepted.
pub(crate) struct Offer {
    pub(crate) invitation: Invitation,
    pub(crate) tenant_name: String,
    /// Whether the address signs in already, with a password that its person chose.
    pub(crate) needs_sign_in: bool,
}

/// What a link leads to, once everything that could void it was looked at.
struct Opened {
    tenant: TenantEntry,
    presented: Presented,
    invitation: Invitation,
    known: Option<Credentials>,
}

/// How it is known that the address is the caller's.
enum Proof {
    /// It signed in.
    SignIn(UserId),
    /// The link is all there is: the password that comes with it is the person's first.
    Link,
}

impl App {
    /// What a link is for.
    pub(crate) async fn invitation_offer(
        &self,
        ctx: &RequestContext,
        token: &SecretString,
    ) -> Result<Offer, Error> {
        let opened = self.opened(ctx, token).await?;
        Ok(Offer {
            tenant_name: self.tenant_name(&opened.tenant).await?,
            needs_sign_in: opened.known.as_ref().is_some_and(is_proven),
            invitation: opened.invitation,
        })
    }

    /// Makes the holder of a link a member: once, however many try, on however many replicas.
    pub(crate) async fn accept_invitation(
        &self,
        ctx: &RequestContext,
        key: Option<RequestKey>,
        acceptance: Acceptance,
    ) -> Result<Member, Error> {
        let token = acceptance.token.clone();
        match self.accept_once(ctx, key.clone(), acceptance).await {
            // The very request that accepted it may have been repeated.
            Err(Error::InvitationNotFound) => self.accepted_before(key, &token).await,
            outcome => outcome,
        }
    }

    async fn accept_once(
        &self,
        ctx: &RequestContext,
        key: Option<RequestKey>,
        acceptance: Acceptance,
    ) -> Result<Member, Error> {
        let opened = self.opened(ctx, &acceptance.token).await?;
        let proof = match prove(ctx, &opened.invitation, opened.known.as_ref()) {
            Err(Error::SignInToAccept) => {
                // The address may sign in since this very link was used.
                self.open_link(&acceptance.token).await?;
                return Err(Error::SignInToAccept);
            }
            proof => proof?,
        };
        let hash = match (&proof, &acceptance.password) {
            (Proof::SignIn(_), _) => None,
            (Proof::Link, Some(password)) => {
                let name = acceptance.name.as_deref().unwrap_or_default();
                let about = [opened.invitation.email.as_str(), name];
                self.hashed(ctx, Some(password), &about).await?
            }
            (Proof::Link, None) => {
                return Err(Refusal::field(
                    "password",
                    "is missing: choose one, with which this address will sign in",
                )
                .into());
            }
        };
        // Hashes wait for each other; meanwhile the sender may have lost the right.
        if hash.is_some() {
            self.open_link(&acceptance.token).await?;
        }
        let seat = self.hold_seat(opened.tenant.id).await;
        let mut tx = self.store.begin(opened.tenant.id).await?;
        // Where there is no place, the same request may have had the last one.
        if let Some(replay) = tx.claim(key.as_ref()).await? {
            return Ok(replay.answer);
        }
        let mut invitation = locked(&mut tx, &opened.presented).await?;
        let seat = seat?;
        let before = invitation.facts();
        let (ctx, user) =
            accepting_user(ctx, &mut tx, &proof, &invitation, &acceptance, hash).await?;
        let name = acceptance.name.unwrap_or_else(|| user.name.clone());
        let roles = invitation.roles.clone();
        let member = add(&ctx, &mut tx, &user, (name, roles), &seat).await?;
        let now = clock::now();
        store::invitations::accept(&mut tx, invitation.id, user.id, now).await?;
        store::mails::forget(&mut tx, invitation.id.uuid()).await?;
        invitation.accepted_at = Some(now);
        tx.record(&event(&ctx, "invitation.accepted", before, &invitation))
            .await?;
        tx.finish(key.as_ref(), &member).await?;
        self.seats.taken(seat);
        Ok(member)
    }

    /// Opens a link. Whatever is wrong with it, the answer is the same, and counts as a guess of the caller's address.
    async fn opened(&self, ctx: &RequestContext, token: &SecretString) -> Result<Opened, Error> {
        let address = ctx.origin.ip.as_str();
        self.guesses.admit(address)?;
        let opened = self.open_link(token).await;
        if matches!(opened, Err(Error::InvitationNotFound)) {
            self.guesses.wrong(address);
        }
        opened
    }

    async fn open_link(&self, token: &SecretString) -> Result<Opened, Error> {
        let presented = invitation::parse(token).ok_or(Error::InvitationNotFound)?;
        let tenant = self.in_use(&presented).await?;
        let (invitation, known, grants) = {
            let mut tx = self.store.read(tenant.id).await?;
            let found = store::invitations::find(&mut tx, presented.id).await?;
            let invitation = usable(found, &presented)?;
            let known = store::users::by_email(tx.conn(), &invitation.email).await?;
            let grants = granted(&mut tx, &invitation.roles).await;
            (invitation, known, grants)
        };
        // Those whom the sender can't make members any more are not made members in the sender's name.
        let rights = self.rights_of_sender(&invitation, &tenant).await?;
        let may_invite = rights.here.contains(Permission::MembersManage)
            && grants.is_ok_and(|grants| grants.within(rights).is_ok());
        if !may_invite || invitation.roles.is_empty() {
            return Err(Error::InvitationNotFound);
        }
        Ok(Opened {
            tenant,
            presented,
            invitation,
            known,
        })
    }

    /// The tenant of a link, while its people are admitted.
    async fn in_use(&self, presented: &Presented) -> Result<TenantEntry, Error> {
        let entry = self.tenants.get(presented.tenant).await?;
        entry
            .filter(|entry| entry.status.admission() == Admission::Admitted)
            .ok_or(Error::InvitationNotFound)
    }

    /// The answer to a repeated request whose first was done.
    async fn accepted_before(
        &self,
        key: Option<RequestKey>,
        token: &SecretString,
    ) -> Result<Member, Error> {
        let presented = invitation::parse(token).ok_or(Error::InvitationNotFound)?;
        let tenant = self.in_use(&presented).await?;
        let mut tx = self.store.begin(tenant.id).await?;
        match tx.claim(key.as_ref()).await? {
            Some(replay) => Ok(replay.answer),
            None => Err(Error::InvitationNotFound),
        }
    }

    /// What whoever sent the newest link may do in the tenant now.
    async fn rights_of_sender(
        &self,
        invitation: &Invitation,
        tenant: &TenantEntry,
    ) -> Result<Rights, Error> {
        let Some(sender) = Whom::of_key(&invitation.invited_by) else {
            return Ok(Rights::NONE);
        };
        let Some(realm) = self.realm(sender).await? else {
            return Ok(Rights::NONE);
        };
        Ok(match self.reach(&realm, tenant).await? {
            Reach::Admitted(rights) => rights,
            Reach::Stopped(_) | Reach::Absent => Rights::NONE,
        })
    }
}

/// Whether the address signs in with a password that its own person, or the platform, chose.
fn is_proven(known: &Credentials) -> bool {
    known.password_hash.is_some() && known.password_of.is_none()
}

/// How the caller shows that the address is theirs.
fn prove(
    ctx: &RequestContext,
    invitation: &Invitation,
    known: Option<&Credentials>,
) -> Result<Proof, Error> {
    let signed_in = ctx.principal.kind == PrincipalKind::User;
    if signed_in && ctx.principal.name != invitation.email {
        return Err(Error::InvitationForAnother);
    }
    match known.filter(|known| is_proven(known)) {
        Some(known) if signed_in && known.user.id.uuid() == ctx.principal.id => {
            Ok(Proof::SignIn(known.user.id))
        }
        Some(_) => Err(Error::SignInToAccept),
        None => Ok(Proof::Link),
    }
}

/// The invitation, if this token still opens it.
fn usable(
    found: Option<store::invitations::Hashed>,
    presented: &Presented,
) -> Result<Invitation, Error> {
    found
        .filter(|found| secret::same(&found.hash, &presented.hash))
        .map(|found| found.invitation)
        .filter(is_pending)
        .ok_or(Error::InvitationNotFound)
}

async fn locked(tx: &mut TenantTx, presented: &Presented) -> Result<Invitation, Error> {
    let found = store::invitations::lock(tx, presented.id).await?;
    usable(found, presented)
}

/// The user who accepts, and the context in which that user acts.
async fn accepting_user(
    ctx: &RequestContext,
    tx: &mut TenantTx,
    proof: &Proof,
    invitation: &Invitation,
    acceptance: &Acceptance,
    hash: Option<String>,
) -> Result<(RequestContext, User), Error> {
    let user = User {
        id: UserId::new(),
        email: invitation.email.clone(),
        name: match &acceptance.name {
            Some(name) => name.clone(),
            None => field::person("", &invitation.email).unwrap_or_default(),
        },
    };
    let is_new = matches!(proof, Proof::Link)
        && store::users::insert(tx.conn(), &user, hash.as_deref(), None).await?;
    if is_new {
        let ctx = acting(ctx, &user);
        let (id, after) = (user.id.uuid(), user.facts());
        tx.record(&Event::of(
            &ctx,
            "user.created",
            "user",
            id,
            Value::Null,
            after,
        ))
        .await?;
        return Ok((ctx, user));
    }
    let known = store::users::lock_by_email(tx.conn(), &invitation.email).await?;
    let known = known.ok_or(Error::SignInToAccept)?;
    let ctx = acting(ctx, &known.user);
    match proof {
        Proof::SignIn(id) if *id == known.user.id && is_proven(&known) => {}
        // The person chose a password since this one was looked at.
        Proof::Link if is_proven(&known) => return Err(Error::SignInToAccept),
        Proof::Link => {
            store::users::take_over(tx.conn(), known.user.id, hash.as_deref()).await?;
            let (id, after) = (known.user.id.uuid(), json!({ "email": known.user.email }));
            let replaced = "user.password_replaced";
            tx.record(&Event::of(&ctx, replaced, "user", id, Value::Null, after))
                .await?;
        }
        Proof::SignIn(_) => return Err(Error::SignInToAccept),
    }
    Ok((ctx, known.user))
}

/// The request as that of the user whom it turned out to be.
fn acting(ctx: &RequestContext, user: &User) -> RequestContext {
    RequestContext {
        principal: Principal {
            kind: PrincipalKind::User,
            id: user.id.uuid(),
            name: user.email.clone(),
        },
        ..ctx.clone()
    }
}
