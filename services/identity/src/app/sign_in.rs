//! Login, refresh, logout, and who is calling.

use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;
use serde_json::{Value, json};
use tenantry_core::event::Event;
use tenantry_core::tenant::DEFAULT_PROJECT;
use tenantry_core::{
    PrincipalKind, RequestContext, SessionId, TenantId, TenantRef, TenantSelection, UserId,
};
use tenantry_rpc::Tasks;

use super::App;
use crate::domain::principal::Membership;
use crate::domain::rights::{Reach, Realm};
use crate::domain::session::{REFRESH_LIFE, RefreshToken, Session, Verdict};
use crate::error::Error;
use crate::store;

/// How often sessions past their time are removed, and how many at once.
const SWEEP_EVERY: Duration = Duration::from_secs(600);
const SWEEP_ROWS: i64 = 10_000;

/// What login is asked with.
pub(crate) struct Login {
    pub(crate) email: String,
    pub(crate) password: SecretString,
    /// The tenant that the session is for.
    pub(crate) tenant: Option<TenantRef>,
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
    /// Begins a session. An unknown address takes as long, and is refused in the same words, as a wrong password.
    pub(crate) async fn login(&self, ctx: &RequestContext, login: Login) -> Result<Pair, Error> {
        let address = ctx.origin.ip.as_str();
        self.attempts.admit(address, &login.email)?;
        let known = {
            let mut tx = self.store.read(TenantId::PLATFORM).await?;
            store::users::by_email(tx.conn(), &login.email).await?
        };
        let (user, hash) = known
            .and_then(|known| Some((known.user, known.password_hash?)))
            .unzip();
        let matches = self.passwords.verify(&login.password, hash.clone()).await?;
        let Some((user, hash)) = user.zip(hash).filter(|_| matches) else {
            self.attempts.failed(address, &login.email);
            return Err(Error::BadPassword);
        };
        let tenant = match &login.tenant {
            Some(name) => Some(self.tenant_of_login(user.id, name, &login.project).await?),
            None => None,
        };
        let id = SessionId::new();
        let refresh = RefreshToken::new(id);
        let session = Session {
            id,
            user_id: user.id,
            tenant_id: tenant,
            family_hash: refresh.family_hash().to_vec(),
            refresh_hash: refresh.refresh_hash().to_vec(),
            expires_at: tenantry_core::clock::now() + REFRESH_LIFE,
            ended_at: None,
        };
        let mut tx = self.store.begin(TenantId::PLATFORM).await?;
        if !store::sessions::insert(tx.conn(), &session, &hash).await? {
            return Err(Error::BadPassword);
        }
        tx.commit().await?;
        Ok(Pair {
            access: self.tokens.issue(id, user.id, tenant)?,
            refresh: refresh.text(),
        })
    }

    /// The tenant that a session is for, if the user reaches it.
    async fn tenant_of_login(
        &self,
        user: UserId,
        name: &TenantRef,
        project: &str,
    ) -> Result<TenantId, Error> {
        let project = if project.is_empty() {
            DEFAULT_PROJECT
        } else {
            project
        };
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
        let now = tenantry_core::clock::now();
        let mut tx = self.store.begin(TenantId::PLATFORM).await?;
        let session = store::sessions::lock(tx.conn(), token.session).await?;
        let session = session.ok_or(Error::BadCredential)?;
        match token.judge(&session, now)? {
            Verdict::UsedBefore => {
                store::sessions::end(tx.conn(), session.id).await?;
                tx.record(&ended(ctx, &session, "refresh_token_used_twice"))
                    .await?;
                tx.commit().await?;
                Err(Error::Revoked)
            }
            Verdict::Newest => {
                let next = token.next();
                let session = Session {
                    refresh_hash: next.refresh_hash().to_vec(),
                    expires_at: now + REFRESH_LIFE,
                    ..session
                };
                store::sessions::rotate(tx.conn(), &session).await?;
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

    /// Ends the session of the credential.
    pub(crate) async fn logout(&self, ctx: &RequestContext) -> Result<(), Error> {
        let session = match ctx.principal.kind {
            PrincipalKind::User => ctx.credential.parse::<SessionId>().ok(),
            PrincipalKind::ApiKey | PrincipalKind::Service | PrincipalKind::Anonymous => None,
        };
        let session = session.ok_or(Error::NoSession)?;
        let mut tx = self.store.begin(TenantId::PLATFORM).await?;
        let Some(session) = store::sessions::lock(tx.conn(), session).await? else {
            return Ok(());
        };
        if store::sessions::end(tx.conn(), session.id).await? {
            tx.record(&ended(ctx, &session, "logout")).await?;
        }
        Ok(tx.commit().await?)
    }

    /// Removes sessions past their time, from time to time. A sweep that fails is tried again at its next time; it ends by
    /// cancellation only.
    pub(crate) async fn sweep_sessions(self: Arc<Self>, tasks: Tasks) {
        loop {
            tokio::select! {
                () = tasks.cancelled() => return,
                () = tokio::time::sleep(SWEEP_EVERY) => {}
            }
            let swept = async {
                let mut tx = self.store.begin(TenantId::PLATFORM).await?;
                let gone = store::sessions::sweep(tx.conn(), SWEEP_ROWS).await?;
                tx.commit().await?;
                Ok::<_, Error>(gone)
            };
            match swept.await {
                Ok(gone) => tracing::debug!(gone, "sessions swept"),
                Err(error) => tracing::warn!(error = %error, "sessions were not swept"),
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
                let id = ctx.principal.id.into();
                let mut tx = self.store.platform().await?;
                let user = store::users::by_id(tx.conn(), id).await?;
                let standing = store::principals::standing(&mut tx, id).await?;
                let (user, standing) = user.zip(standing).ok_or(Error::Revoked)?;
                (user.name, standing.memberships)
            }
            PrincipalKind::ApiKey => {
                let key = self.principals.key(ctx.principal.id.into()).await?;
                (key.ok_or(Error::Revoked)?.name.clone(), Vec::new())
            }
            PrincipalKind::Service | PrincipalKind::Anonymous => (String::new(), Vec::new()),
        };
        let mut with_slugs = Vec::with_capacity(memberships.len());
        for membership in memberships {
            let entry = self.tenants.get(membership.tenant).await?;
            if let Some(entry) =
                entry.filter(|entry| entry.status != tenantry_core::TenantStatus::Deleted)
            {
                with_slugs.push((membership, entry.slug));
            }
        }
        Ok(Caller {
            name,
            tenant,
            memberships: with_slugs,
        })
    }
}

fn ended(ctx: &RequestContext, session: &Session, why: &str) -> Event {
    let after = json!({ "user_id": session.user_id, "why": why });
    Event::of(
        ctx,
        "session.ended",
        "session",
        session.id.uuid(),
        Value::Null,
        after,
    )
}
