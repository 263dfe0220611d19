//! Whether someone knows a password, and how guessing is slowed down, over all replicas.

use secrecy::SecretString;
use serde_json::{Value, json};
use sqlx::PgConnection;
use tenantry_core::event::Event;
use tenantry_core::{PrincipalKind, Reason, RequestContext, TenantId, UserId};

use super::App;
use crate::domain::lockout::{self, Buckets};
use crate::domain::member::User;
use crate::error::Error;
use crate::store;

/// What the keyed hash of an address is for: each use has others.
const SIGN_IN: &[u8] = b"sign-in\n";

/// A password that was right.
#[derive(Debug)]
pub(super) struct Proven {
    pub(super) user: User,
    /// The hash that it was held against: what is done with the proof holds only while it is the user's.
    pub(super) hash: String,
}

/// A try to prove a password.
struct Attempt {
    account: [u8; 32],
    network: String,
    buckets: Buckets,
}

impl Attempt {
    /// Refuses while any of the buckets is locked; tells whether there were failures lately.
    async fn admit(&self, conn: &mut PgConnection, user: Option<UserId>) -> Result<bool, Error> {
        let standing = store::attempts::standing(conn, &self.buckets, user, &self.network).await?;
        match standing.wait_ms {
            Some(wait_ms) => Err(Error::SignInLocked(wait_ms)),
            None => Ok(standing.failed_lately),
        }
    }
}

impl App {
    /// Holds a password against that of the address. An unknown address takes as long, fills the same buckets, and is
    /// refused in the same words, as a wrong password; while it is locked no password is hashed.
    pub(super) async fn prove(
        &self,
        ctx: &RequestContext,
        email: &str,
        password: &SecretString,
    ) -> Result<Proven, Error> {
        // To the end: a flood of sign-ins comes to the database no faster than it is hashed.
        let turn = self.passwords.turn(&ctx.origin).await?;
        let attempt = self.attempt(ctx, email);
        let known = {
            let mut tx = self.store.read(TenantId::PLATFORM).await?;
            let known = store::users::by_email(tx.conn(), email).await?;
            let user = known.as_ref().map(|known| known.user.id);
            let admitted = attempt.admit(tx.conn(), user).await;
            admitted.map_err(|refused| self.counted(ctx, user, refused))?;
            known
        };
        let (user, hash) = known.map(|known| (known.user, known.password_hash)).unzip();
        let hash = hash.flatten();
        let matches = turn.verify(password, hash.clone()).await?;
        match (user, hash) {
            (Some(user), Some(hash)) if matches => {
                let forgiven = self.forgive(&attempt, user.id).await;
                forgiven.map_err(|refused| self.counted(ctx, Some(user.id), refused))?;
                Ok(Proven { user, hash })
            }
            (user, _) => {
                let refused = self.failed(ctx, &attempt, user.as_ref()).await?;
                Err(self.counted(ctx, user.map(|user| user.id), refused))
            }
        }
    }

    /// The refusal of a sign-in, counted where it is a known person's; who is signed in already isn't signing in.
    fn counted(&self, ctx: &RequestContext, user: Option<UserId>, refused: Error) -> Error {
        let reason = match &refused {
            Error::BadPassword => Some(Reason::BadCredentials),
            Error::SignInLocked(_) => Some(Reason::SignInLocked),
            _ => None,
        };
        let stranger = ctx.principal.kind == PrincipalKind::Anonymous;
        if let (Some(user), Some(reason), true) = (user, reason, stranger) {
            self.attempts.count_sign_in(user, reason, &ctx.origin.ip);
        }
        refused
    }

    fn attempt(&self, ctx: &RequestContext, email: &str) -> Attempt {
        let account = self.account(email);
        Attempt {
            account,
            network: tenantry_core::network(&ctx.origin.ip),
            buckets: lockout::of_sign_in(account, &ctx.origin.ip),
        }
    }

    /// What the buckets of an address are found by.
    pub(super) fn account(&self, email: &str) -> [u8; 32] {
        self.fingerprint(SIGN_IN, email)
    }

    /// A keyed hash of an address, other than that of another purpose.
    pub(super) fn fingerprint(&self, purpose: &[u8], email: &str) -> [u8; 32] {
        self.store
            .sealer()
            .fingerprint(&[purpose, email.as_bytes()].concat())
    }

    /// Lets a right password count, unless others that were tried at once locked the account meanwhile: of guesses at once
    /// no more succeed than of guesses one by one. The failures of this network are forgotten; those of others still count,
    /// so that a guesser gains nothing from the person's own sign-ins.
    async fn forgive(&self, attempt: &Attempt, user: UserId) -> Result<(), Error> {
        let mut tx = self.store.begin(TenantId::PLATFORM).await?;
        if attempt.admit(tx.conn(), Some(user)).await? {
            let network = Some(attempt.network.as_str());
            store::attempts::clear(tx.conn(), &attempt.account, network).await?;
            tx.commit().await?;
        }
        Ok(())
    }

    /// Notes a failure; gives the refusal that tells of it. The first lock of a person's account leaves an event, on the
    /// platform's stream, because the person may belong to any number of tenants.
    async fn failed(
        &self,
        ctx: &RequestContext,
        attempt: &Attempt,
        user: Option<&User>,
    ) -> Result<Error, Error> {
        let mut tx = self.store.begin(TenantId::PLATFORM).await?;
        let held = store::attempts::hold(tx.conn(), &attempt.buckets).await?;
        let user_id = user.map(|user| user.id);
        match attempt.admit(tx.conn(), user_id).await {
            Ok(_) => {}
            // Others that were tried at once locked it: that this one was wrong is not told.
            Err(locked @ Error::SignInLocked(_)) => return Ok(locked),
            Err(error) => return Err(error),
        }
        let mut locked = Vec::new();
        for (key, bucket, now) in &held {
            let rule = attempt.buckets.iter().find(|(named, _)| named == key);
            let Some((_, rule)) = rule.filter(|_| !bucket.is_locked(*now)) else {
                continue;
            };
            let (after, first) = bucket.after(*rule, *now);
            store::attempts::write(tx.conn(), key, &after).await?;
            if first && !key.account.is_empty() {
                locked.push(if key.is_whole_account() {
                    "all_networks"
                } else {
                    "network"
                });
            }
        }
        if let Some(user) = user.filter(|_| !locked.is_empty()) {
            let after = json!({ "email": user.email, "locked_for": locked });
            let id = user.id.uuid();
            tx.record(&Event::of(
                ctx,
                "user.locked",
                "user",
                id,
                Value::Null,
                after,
            ))
            .await?;
        }
        tx.commit().await?;
        Ok(Error::BadPassword)
    }
}
