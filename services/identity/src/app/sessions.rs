//! Sessions: how they begin, and how their owners see and end them. They are of people, in no tenant's scope; what happens
//! to one is told in the stream of the tenant that it is for, else in the platform's.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Value, json};
use tenantry_core::event::Event;
use tenantry_core::page::{Page, PageTokens};
use tenantry_core::request_id::RequestKey;
use tenantry_core::{Principal, PrincipalKind, RequestContext, SessionId, TenantId, UserId, clock};
use tenantry_store::TenantTx;

use super::App;
use super::proof::Proven;
use super::sign_in::Pair;
use crate::domain::member::User;
use crate::domain::session::{Begun, BegunBy, Session};
use crate::error::Error;
use crate::store;

/// Most ids that one event names.
const MOST_NAMED: usize = 100;

/// The signed-in user of a request, and the session that it was made in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Own {
    pub(crate) user: UserId,
    pub(crate) session: SessionId,
}

impl Own {
    /// # Errors
    /// Programs have no sessions.
    pub(crate) fn of(ctx: &RequestContext) -> Result<Self, Error> {
        let session = match ctx.principal.kind {
            PrincipalKind::User => ctx.credential.parse().ok(),
            PrincipalKind::ApiKey
            | PrincipalKind::ServiceAccount
            | PrincipalKind::Service
            | PrincipalKind::Anonymous => None,
        };
        Ok(Self {
            user: ctx.principal.id.into(),
            session: session.ok_or(Error::NoSession)?,
        })
    }
}

impl App {
    /// Begins a session of someone whose password was right.
    pub(super) async fn begin_session(
        &self,
        ctx: &RequestContext,
        proven: &Proven,
        tenant: Option<TenantId>,
    ) -> Result<Pair, Error> {
        let (session, refresh) =
            Session::begin(proven.user.id, tenant, BegunBy::Password, clock::now());
        let network = tenantry_core::network(&ctx.origin.ip);
        let mut tx = self.store.begin(TenantId::PLATFORM).await?;
        if !store::sessions::insert(tx.conn(), &session, &proven.hash, &ctx.origin, &network)
            .await?
        {
            return Err(Error::BadPassword);
        }
        let event = Event {
            actor: actor(&proven.user),
            ..Event::of(
                ctx,
                "session.started",
                "session",
                session.id.uuid(),
                Value::Null,
                json!({ "user_id": proven.user.id }),
            )
        };
        tx.record_each(vec![(stream(tenant), event)]).await?;
        tx.commit().await?;
        Ok(Pair {
            access: self.tokens.issue(session.id, proven.user.id, tenant)?,
            refresh: refresh.text(),
        })
    }

    /// One page of the caller's sessions, from the newest.
    pub(crate) async fn list_sessions(
        &self,
        own: Own,
        tokens: &PageTokens<'_>,
        size: u32,
        page_token: &str,
    ) -> Result<Page<Begun>, Error> {
        let before: Option<SessionId> = tokens.read(page_token)?;
        let mut tx = self.store.read(TenantId::PLATFORM).await?;
        let most = i64::from(size) + 1;
        let items = store::sessions::page(tx.conn(), own.user, own.session, before, most).await?;
        Ok(Page::cut(items, size, |session| tokens.write(&session.id)))
    }

    /// Ends one of the caller's sessions. Another's is answered like one that there isn't.
    pub(crate) async fn revoke_session(
        &self,
        ctx: &RequestContext,
        key: Option<RequestKey>,
        own: Own,
        session: SessionId,
    ) -> Result<(), Error> {
        let mut tx = self.store.begin(TenantId::PLATFORM).await?;
        if tx.claim::<()>(key.as_ref()).await?.is_some() {
            return Ok(());
        }
        let session = store::sessions::lock(tx.conn(), session).await?;
        let session = session.filter(|session| session.user_id == own.user);
        let session = session.ok_or(Error::SessionNotFound)?;
        if !store::sessions::sees(tx.conn(), own.session, session.id).await? {
            return Err(Error::SessionNotFound);
        }
        if !store::sessions::end(tx.conn(), session.id).await? {
            return Err(Error::SessionNotFound);
        }
        tell_end(ctx, &mut tx, &session, "revoked").await?;
        Ok(tx.finish(key.as_ref(), &()).await?)
    }

    /// Ends the caller's sessions, the present one only where asked; tells how many.
    pub(crate) async fn revoke_sessions(
        &self,
        ctx: &RequestContext,
        key: Option<RequestKey>,
        own: Own,
        include_current: bool,
    ) -> Result<i32, Error> {
        let mut tx = self.store.begin(TenantId::PLATFORM).await?;
        if let Some(replay) = tx.claim(key.as_ref()).await? {
            return Ok(replay.answer);
        }
        let but = (!include_current).then_some(own.session);
        let ended = store::sessions::end_all(tx.conn(), own.user, but, Some(own.session)).await?;
        let (ended, events) = told(ctx, own.user, ended, "revoked");
        tx.record_each(events).await?;
        tx.finish(key.as_ref(), &ended).await?;
        Ok(ended)
    }

    /// Ends the session of the credential.
    pub(crate) async fn logout(&self, ctx: &RequestContext) -> Result<(), Error> {
        let own = Own::of(ctx)?;
        let mut tx = self.store.begin(TenantId::PLATFORM).await?;
        let Some(session) = store::sessions::lock(tx.conn(), own.session).await? else {
            return Ok(());
        };
        if store::sessions::end(tx.conn(), session.id).await? {
            tell_end(ctx, &mut tx, &session, "logout").await?;
        }
        Ok(tx.commit().await?)
    }
}

/// Writes the event of a session that ended. Call it last.
pub(super) async fn tell_end(
    ctx: &RequestContext,
    tx: &mut TenantTx,
    session: &Session,
    why: &str,
) -> Result<(), Error> {
    let after = json!({ "user_id": session.user_id, "why": why });
    let event = Event::of(
        ctx,
        "session.ended",
        "session",
        session.id.uuid(),
        Value::Null,
        after,
    );
    Ok(tx
        .record_each(vec![(stream(session.tenant_id), event)])
        .await?)
}

/// Writes the event of a session that goes on, for its person, who shows a refresh token and nothing else. Call it last.
pub(super) async fn tell_refresh(
    ctx: &RequestContext,
    tx: &mut TenantTx,
    session: &Session,
    until: Timestamp,
) -> Result<(), Error> {
    let user = store::users::by_id(tx.conn(), session.user_id).await?;
    let user = user.ok_or(Error::BadCredential)?;
    let event = Event {
        actor: actor(&user),
        ..Event::of(
            ctx,
            "session.refreshed",
            "session",
            session.id.uuid(),
            json!({ "expires_at": until }),
            json!({ "expires_at": session.expires_at }),
        )
    };
    Ok(tx
        .record_each(vec![(stream(session.tenant_id), event)])
        .await?)
}

/// Ends all sessions of a user but one; gives their number, and one event for each stream, to be recorded last.
pub(super) async fn end_all(
    ctx: &RequestContext,
    tx: &mut TenantTx,
    user: UserId,
    but: Option<SessionId>,
    why: &str,
) -> Result<(i32, Vec<(TenantId, Event)>), Error> {
    let ended = store::sessions::end_all(tx.conn(), user, but, None).await?;
    Ok(told(ctx, user, ended, why))
}

/// How many sessions these are, and one event for each stream that hears of their end.
fn told(
    ctx: &RequestContext,
    user: UserId,
    ended: BTreeMap<Option<TenantId>, Vec<SessionId>>,
    why: &str,
) -> (i32, Vec<(TenantId, Event)>) {
    let number = ended.values().map(Vec::len).sum::<usize>();
    let events = ended.into_iter().map(|(tenant, sessions)| {
        let after = json!({
            "why": why,
            "number": sessions.len(),
            "sessions": sessions.iter().take(MOST_NAMED).collect::<Vec<_>>(),
        });
        let id = user.uuid();
        let event = Event::of(ctx, "user.sessions_ended", "user", id, Value::Null, after);
        (stream(tenant), event)
    });
    (i32::try_from(number).unwrap_or(i32::MAX), events.collect())
}

/// Who signs in, or replaces a password by a link: the request itself is nobody's yet.
pub(super) fn actor(user: &User) -> Principal {
    Principal {
        kind: PrincipalKind::User,
        id: user.id.uuid(),
        name: user.email.clone(),
    }
}

pub(super) fn stream(tenant: Option<TenantId>) -> TenantId {
    tenant.unwrap_or(TenantId::PLATFORM)
}
