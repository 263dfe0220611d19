//! Login, refresh, and who is calling.

use std::sync::Arc;

use secrecy::SecretString;
use tenantry_core::{
    PrincipalKind, RequestContext, TenantId, TenantRef, TenantSelection, UserId, clock,
};

use super::App;
use super::sessions::{tell_end, tell_refresh};
use crate::domain::principal::Membership;
use crate::domain::rights::{Reach, Realm};
use crate::domain::session::{RefreshToken, Verdict};
use crate::error::Error;
use crate::store;

/// What login is asked with.
pub(crate) struct Login {
    pub(crate) email: String,
    pub(crate) password: SecretString,
    /// The tenant that the session is for.
    pub(crate) tenant: Option<TenantRef>,
    /// Of which its slug is.
    pub(crate) project: String,
}

/// A session's tokens, for its holder alone.
pub(crate) struct Pair {
    pub(crate) access: String,
    pub(crate) refresh: String,
}

/// Who calls.
#[derive(Debug)]
pub(crate) struct Caller {
    pub(crate) name: String,
    pub(crate) tenant: Option<TenantId>,
    /// Each with the slug of its tenant.
    pub(crate) memberships: Vec<(Membership, String)>,
}

impl App {
    /// Begins a session.
    pub(crate) async fn login(&self, ctx: &RequestContext, login: Login) -> Result<Pair, Error> {
        let proven = self.prove(ctx, &login.email, &login.password).await?;
        let tenant = match &login.tenant {
            Some(name) => Some(
                self.tenant_of_login(proven.user.id, name, &login.project)
                    .await?,
            ),
            None => None,
        };
        self.begin_session(ctx, &proven, tenant).await
    }

    /// The tenant that a session is for, if the user reaches it.
    async fn tenant_of_login(
        &self,
        user: UserId,
        name: &TenantRef,
        project: &str,
    ) -> Result<TenantId, Error> {
        let entry = self.tenants.find(project, name).await?;
        let entry = entry.ok_or(Error::TenantNotFound)?;
        let standing = {
            let mut tx = self.store.platform().await?;
            store::principals::standing(&mut tx, user).await?
        };
        let realm = Realm::of_user(&Arc::new(standing.ok_or(Error::BadPassword)?));
        match self.reach(&realm, &entry).await? {
            Reach::Admitted(_) => Ok(entry.id),
            Reach::Stopped(stop) => Err(Error::Stopped(stop)),
            Reach::Absent => Err(Error::TenantNotFound),
        }
    }

    /// Goes on with a session. A token that was used before ends it: one of the two who have it is a thief.
    pub(crate) async fn refresh(&self, ctx: &RequestContext, token: &str) -> Result<Pair, Error> {
        let token = RefreshToken::parse(token).ok_or(Error::BadCredential)?;
        let now = clock::now();
        let mut tx = self.store.begin(TenantId::PLATFORM).await?;
        let session = store::sessions::lock(tx.conn(), token.session).await?;
        let session = session.ok_or(Error::BadCredential)?;
        match token.judge(&session, now)? {
            Verdict::UsedBefore => {
                store::sessions::end(tx.conn(), session.id).await?;
                tell_end(ctx, &mut tx, &session, "refresh_token_used_twice").await?;
                tx.commit().await?;
                Err(Error::Revoked)
            }
            Verdict::Newest => {
                let next = token.next();
                let before = session.expires_at;
                let session = session.refreshed(&next, now);
                store::sessions::rotate(tx.conn(), &session).await?;
                tell_refresh(ctx, &mut tx, &session, before).await?;
                tx.commit().await?;
                Ok(Pair {
                    access: self
                        .tokens
                        .issue(session.id, session.user_id, session.tenant_id)?,
                    refresh: next.text(),
                })
            }
        }
    }

    /// Who the credential stands for.
    pub(crate) async fn caller(&self, ctx: &RequestContext) -> Result<Caller, Error> {
        let tenant = match &ctx.tenant {
            TenantSelection::None => None,
            TenantSelection::Chosen { id, .. } => Some(*id),
            TenantSelection::NotFound | TenantSelection::Conflict => {
                ctx.target("")?;
                None
            }
        };
        let (name, memberships) = match ctx.principal.kind {
            PrincipalKind::User => {
                let session = ctx.credential.parse().map_err(|_| Error::Revoked)?;
                let mut tx = self.store.platform().await?;
                let user = store::users::by_id(tx.conn(), ctx.principal.id.into()).await?;
                // As far as this very session reaches, which isn't always as far as the user.
                let signed_in = store::principals::signed_in(&mut tx, session).await?;
                let (user, signed_in) = user.zip(signed_in).ok_or(Error::Revoked)?;
                (user.name, signed_in.standing.memberships.clone())
            }
            PrincipalKind::ApiKey => {
                // An operator's key is the platform's, whichever tenant it acts in.
                let owner = tenant.filter(|_| !ctx.is_operator());
                let mut tx = self.store.read(owner.unwrap_or(TenantId::PLATFORM)).await?;
                let key = store::api_keys::find(&mut tx, ctx.principal.id.into()).await?;
                (key.ok_or(Error::Revoked)?.name, Vec::new())
            }
            PrincipalKind::ServiceAccount => {
                let mut tx = self
                    .store
                    .read(tenant.unwrap_or(TenantId::PLATFORM))
                    .await?;
                let id = ctx.principal.id.into();
                let account = store::service_accounts::find(&mut tx, id).await?;
                (account.ok_or(Error::Revoked)?.name, Vec::new())
            }
            PrincipalKind::Service | PrincipalKind::Anonymous => (String::new(), Vec::new()),
        };
        let mut with_slugs = Vec::with_capacity(memberships.len());
        for membership in memberships {
            let entry = self.tenants.get(membership.tenant).await?;
            if let Some(entry) =
                entry.filter(|entry| entry.status != tenantry_core::TenantStatus::Deleted)
            {
                with_slugs.push((membership, entry.slug.to_string()));
            }
        }
        Ok(Caller {
            name,
            tenant,
            memberships: with_slugs,
        })
    }
}
