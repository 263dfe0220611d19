//! Passwords that their owners replace: knowing the old one, or by a one-time link to their address.

use std::sync::Arc;

use jiff::SignedDuration;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};
use tenantry_core::event::Event;
use tenantry_core::request_id::RequestKey;
use tenantry_core::{Refusal, RequestContext, TenantId, clock};
use tenantry_rpc::Tasks;

use super::App;
use super::sessions::{Own, actor, end_all};
use crate::domain::lockout;
use crate::domain::mail::{Letter, Mail};
use crate::domain::member::User;
use crate::domain::secret;
use crate::error::Error;
use crate::links::{LinkAsked, LinksAsked};
use crate::store;

/// How long a link works.
const LINK_MINUTES: i32 = 60;
const TOKEN_BYTES: usize = 32;
const TOKEN_MARK: &str = "tw_";
/// What the keyed hashes of links asked for are of.
const LINK: &[u8] = b"link\n";
const LINKS_OF_NETWORK: &[u8] = b"links of a network\n";

/// Both passwords of a change.
#[derive(Debug)]
pub(crate) struct Change {
    pub(crate) current: SecretString,
    pub(crate) new: SecretString,
}

impl App {
    /// Replaces the password of the signed-in user; all their other sessions end.
    pub(crate) async fn change_password(
        &self,
        ctx: &RequestContext,
        key: Option<RequestKey>,
        own: Own,
        change: Change,
    ) -> Result<(), Error> {
        // The old password of a repetition is not the user's any more.
        if self.is_done(key.as_ref()).await? {
            return Ok(());
        }
        let proven = match self.prove(ctx, &ctx.principal.name, &change.current).await {
            Ok(proven) if proven.user.id == own.user => proven,
            Ok(_) | Err(Error::BadPassword) => return Err(Error::WrongPassword),
            Err(error) => return Err(error),
        };
        if change.new.expose_secret() == change.current.expose_secret() {
            return Err(Refusal::field("new_password", "must not be the present one").into());
        }
        let hash = self.choose(ctx, &proven.user, &change.new).await?;
        let mut tx = self.store.begin(TenantId::PLATFORM).await?;
        if tx.claim::<()>(key.as_ref()).await?.is_some() {
            return Ok(());
        }
        let now = store::users::lock(tx.conn(), own.user).await?;
        if now.and_then(|now| now.password_hash).as_ref() != Some(&proven.hash) {
            return Err(Error::WrongPassword);
        }
        store::users::set_password(tx.conn(), own.user, &hash, false).await?;
        store::password_resets::void(tx.conn(), own.user).await?;
        let why = "password_changed";
        let (ended, mut events) = end_all(ctx, &mut tx, own.user, Some(own.session), why).await?;
        events.push((
            TenantId::PLATFORM,
            replaced(ctx, "user.password_changed", &proven.user, ended),
        ));
        tx.record_each(events).await?;
        Ok(tx.finish(key.as_ref(), &()).await?)
    }

    /// Takes note that someone forgot a password. Whether the address signs in is looked up later, so that neither the
    /// answer nor its time tells.
    pub(crate) fn ask_link(&self, ctx: &Arc<RequestContext>, email: String) -> Result<(), Error> {
        let asked = LinkAsked {
            ctx: Arc::clone(ctx),
            email,
        };
        self.links.ask(asked)
    }

    /// Makes the links that are asked for, one after the other, until cancelled, and has them sent. One that can't be made is
    /// logged; whoever needs it asks again.
    pub(crate) async fn make_links(self: Arc<Self>, mut asked: LinksAsked, tasks: Tasks) {
        loop {
            let next = tokio::select! {
                () = tasks.cancelled() => return,
                next = asked.next() => next,
            };
            let Some(next) = next else { return };
            if let Err(error) = self.make_link(&next).await {
                tracing::warn!(error = %error, "a link was not made");
            }
        }
    }

    async fn make_link(&self, asked: &LinkAsked) -> Result<(), Error> {
        let buckets = lockout::of_link(
            self.fingerprint(LINK, &asked.email),
            self.fingerprint(LINKS_OF_NETWORK, ""),
            &asked.ctx.origin.ip,
        );
        let mut tx = self.store.begin(TenantId::PLATFORM).await?;
        let held = store::attempts::hold(tx.conn(), &buckets).await?;
        if held.iter().any(|(_, bucket, now)| bucket.is_locked(*now)) {
            return Ok(());
        }
        for (key, bucket, now) in &held {
            if let Some((_, rule)) = buckets.iter().find(|(named, _)| named == key) {
                let (after, _) = bucket.after(*rule, *now);
                store::attempts::write(tx.conn(), key, &after).await?;
            }
        }
        let Some(known) = store::users::by_email(tx.conn(), &asked.email).await? else {
            return Ok(tx.commit().await?);
        };
        let token = SecretString::from(format!("{TOKEN_MARK}{}", secret::random::<TOKEN_BYTES>()));
        let hash = secret::hash(token.expose_secret());
        store::password_resets::put(tx.conn(), known.user.id, &hash, LINK_MINUTES).await?;
        let event = Event::of(
            &asked.ctx,
            "user.password_reset_requested",
            "user",
            known.user.id.uuid(),
            Value::Null,
            json!({ "email": known.user.email }),
        );
        tx.record(&event).await?;
        let mail = Mail {
            to: known.user.email,
            letter: Letter::PasswordReset {
                until: clock::now() + SignedDuration::from_mins(LINK_MINUTES.into()),
                token: token.expose_secret().to_owned(),
            },
        };
        self.post(&asked.ctx, &mut tx, known.user.id.uuid(), &mail)
            .await?;
        tx.commit().await?;
        self.mails_wait();
        Ok(())
    }

    /// Replaces a password by a link. All sessions end, the account is locked no more, and because the link came to the
    /// address, the password reaches all that the person does.
    pub(crate) async fn reset_password(
        &self,
        ctx: &RequestContext,
        key: Option<RequestKey>,
        token: &str,
        new: &SecretString,
    ) -> Result<(), Error> {
        let token = secret::hash(token);
        let (user, works) = {
            let mut tx = self.store.read(TenantId::PLATFORM).await?;
            let found = store::password_resets::find(tx.conn(), &token).await?;
            let (user, works) = found.ok_or(Error::ResetToken)?;
            let user = store::users::by_id(tx.conn(), user).await?;
            (user.ok_or(Error::ResetToken)?, works)
        };
        // Whoever has the link acts as the person: a stranger's request id is never theirs.
        let key = key.map(|key| RequestKey {
            principal: actor(&user).key(),
            ..key
        });
        if self.is_done(key.as_ref()).await? {
            return Ok(());
        }
        if !works {
            return Err(Error::ResetToken);
        }
        let hash = self.choose(ctx, &user, new).await?;
        let mut tx = self.store.begin(TenantId::PLATFORM).await?;
        if tx.claim::<()>(key.as_ref()).await?.is_some() {
            return Ok(());
        }
        store::users::lock(tx.conn(), user.id).await?;
        let network = tenantry_core::network(&ctx.origin.ip);
        if !store::password_resets::consume(tx.conn(), &token, &network).await? {
            return Err(Error::ResetToken);
        }
        store::users::set_password(tx.conn(), user.id, &hash, true).await?;
        let account = self.account(&user.email);
        store::attempts::clear(tx.conn(), &account, None).await?;
        let as_person = RequestContext {
            principal: actor(&user),
            ..ctx.clone()
        };
        let why = "password_reset";
        let (ended, mut events) = end_all(&as_person, &mut tx, user.id, None, why).await?;
        events.push((
            TenantId::PLATFORM,
            replaced(&as_person, "user.password_reset", &user, ended),
        ));
        tx.record_each(events).await?;
        Ok(tx.finish(key.as_ref(), &()).await?)
    }

    async fn choose(
        &self,
        ctx: &RequestContext,
        user: &User,
        new: &SecretString,
    ) -> Result<String, Error> {
        let about = [user.email.as_str(), &user.name];
        self.passwords
            .choose(&ctx.origin, "new_password", new, &about)
            .await
    }

    /// Whether the request is a repetition of one that was done.
    async fn is_done(&self, key: Option<&RequestKey>) -> Result<bool, Error> {
        if key.is_none() {
            return Ok(false);
        }
        let mut tx = self.store.begin(TenantId::PLATFORM).await?;
        Ok(tx.claim::<()>(key).await?.is_some())
    }
}

fn replaced(ctx: &RequestContext, action: &str, user: &User, ended: i32) -> Event {
    let after = json!({ "email": user.email, "sessions_ended": ended });
    Event::of(ctx, action, "user", user.id.uuid(), Value::Null, after)
}
