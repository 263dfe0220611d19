//! Signed-in sessions and the text of their refresh tokens: `tr_<session>_<family>_<secret>`. The family's secret stays
//! for the session's life, the last one is replaced at each refresh: the right family with another secret is a token that
//! was used before, and nobody can make one up.

use jiff::{SignedDuration, Timestamp};
use tenantry_core::{SessionId, TenantId, UserId};
use uuid::Uuid;

use super::secret;
use crate::error::Error;

/// Life of an access token, in seconds.
pub(crate) const ACCESS_SECONDS: i32 = 15 * 60;
/// Life of a refresh token: a session that isn't refreshed for so long has ended.
const REFRESH_LIFE: SignedDuration = SignedDuration::from_hours(30 * 24);

/// Longest life of a session that a password began, however often it is refreshed.
const PASSWORD_LIFE: SignedDuration = SignedDuration::from_hours(90 * 24);
/// The same of one that an identity provider began: whoever left there is asked again within a day.
const PROVIDER_LIFE: SignedDuration = SignedDuration::from_hours(24);

const MARK: &str = "tr_";
const FAMILY_BYTES: usize = 16;
const SECRET_BYTES: usize = 32;

/// What a session began with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BegunBy {
    Password,
    Provider,
}

impl BegunBy {
    /// When a session that began then ends at the latest.
    pub(crate) fn last_end(self, began: Timestamp) -> Timestamp {
        began
            + match self {
                Self::Password => PASSWORD_LIFE,
                Self::Provider => PROVIDER_LIFE,
            }
    }
}

/// A session as it stands in its row.
#[derive(Clone, Debug)]
pub(crate) struct Session {
    pub(crate) id: SessionId,
    pub(crate) user_id: UserId,
    pub(crate) tenant_id: Option<TenantId>,
    pub(crate) family_hash: Vec<u8>,
    pub(crate) refresh_hash: Vec<u8>,
    /// When it ends unless it is refreshed.
    pub(crate) expires_at: Timestamp,
    /// When it ends at the latest.
    pub(crate) last_end: Timestamp,
    pub(crate) ended_at: Option<Timestamp>,
}

impl Session {
    /// A session that begins now, and its first refresh token.
    pub(crate) fn begin(
        user_id: UserId,
        tenant_id: Option<TenantId>,
        by: BegunBy,
        now: Timestamp,
    ) -> (Self, RefreshToken) {
        let id = SessionId::new();
        let refresh = RefreshToken::new(id);
        let last_end = by.last_end(now);
        let session = Self {
            id,
            user_id,
            tenant_id,
            family_hash: refresh.family_hash().to_vec(),
            refresh_hash: refresh.refresh_hash().to_vec(),
            expires_at: last_end.min(now + REFRESH_LIFE),
            last_end,
            ended_at: None,
        };
        (session, refresh)
    }

    /// The session with the next refresh token in the place of the last one.
    pub(crate) fn refreshed(self, next: &RefreshToken, now: Timestamp) -> Self {
        Self {
            refresh_hash: next.refresh_hash().to_vec(),
            expires_at: self.last_end.min(now + REFRESH_LIFE),
            ..self
        }
    }
}

/// A session as its owner sees it.
#[derive(Clone, Debug)]
pub(crate) struct Begun {
    pub(crate) id: SessionId,
    pub(crate) tenant_id: Option<TenantId>,
    /// Where it began.
    pub(crate) ip: String,
    pub(crate) user_agent: String,
    pub(crate) created_at: Timestamp,
    pub(crate) refreshed_at: Timestamp,
    pub(crate) expires_at: Timestamp,
}

/// A refresh token, taken apart.
#[derive(Clone)]
pub(crate) struct RefreshToken {
    pub(crate) session: SessionId,
    family: String,
    secret: String,
}

/// What a refresh token means for its session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is the newest one.
    Newest,
    /// It was used before: someone else has it too, so the session ends.
    UsedBefore,
}

impl RefreshToken {
    /// The first token of a session.
    pub(crate) fn new(session: SessionId) -> Self {
        Self {
            session,
            family: secret::random::<FAMILY_BYTES>(),
            secret: secret::random::<SECRET_BYTES>(),
        }
    }

    /// The token that replaces this one.
    pub(crate) fn next(&self) -> Self {
        Self {
            secret: secret::random::<SECRET_BYTES>(),
            ..self.clone()
        }
    }

    /// Reads a token; `None` for a text that can't be one.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut parts = text.strip_prefix(MARK)?.split('_');
        let (session, family, secret) = (parts.next()?, parts.next()?, parts.next()?);
        let whole = parts.next().is_none()
            && secret::is_hex(session, 16)
            && secret::is_hex(family, FAMILY_BYTES)
            && secret::is_hex(secret, SECRET_BYTES);
        whole.then_some(())?;
        Some(Self {
            session: session.parse::<Uuid>().ok()?.into(),
            family: family.to_owned(),
            secret: secret.to_owned(),
        })
    }

    /// The token's text, for its holder alone.
    pub(crate) fn text(&self) -> String {
        format!(
            "{MARK}{}_{}_{}",
            self.session.uuid().simple(),
            self.family,
            self.secret
        )
    }

    pub(crate) fn family_hash(&self) -> [u8; 32] {
        secret::hash(&self.family)
    }

    pub(crate) fn refresh_hash(&self) -> [u8; 32] {
        secret::hash(&self.secret)
    }

    /// Holds the token against its session.
    pub(crate) fn judge(&self, session: &Session, now: Timestamp) -> Result<Verdict, Error> {
        if !secret::same(&session.family_hash, &self.family_hash()) {
            return Err(Error::BadCredential);
        }
        if session.ended_at.is_some() {
            return Err(Error::Revoked);
        }
        if session.expires_at.min(session.last_end) <= now {
            return Err(Error::Expired);
        }
        if secret::same(&session.refresh_hash, &self.refresh_hash()) {
            Ok(Verdict::Newest)
        } else {
            Ok(Verdict::UsedBefore)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(newest: &RefreshToken) -> Session {
        Session {
            id: newest.session,
            user_id: UserId::new(),
            tenant_id: None,
            family_hash: newest.family_hash().to_vec(),
            refresh_hash: newest.refresh_hash().to_vec(),
            expires_at: Timestamp::UNIX_EPOCH + REFRESH_LIFE,
            last_end: BegunBy::Password.last_end(Timestamp::UNIX_EPOCH),
            ended_at: None,
        }
    }

    #[test]
    fn only_the_newest_token_refreshes_and_an_old_one_is_known_as_such() {
        let now = Timestamp::UNIX_EPOCH;
        let first = RefreshToken::new(SessionId::new());
        let second = RefreshToken::parse(&first.next().text()).unwrap();
        let session = session(&second);
        assert_eq!(second.judge(&session, now).unwrap(), Verdict::Newest);
        assert_eq!(first.judge(&session, now).unwrap(), Verdict::UsedBefore);
        let made_up = RefreshToken::new(first.session);
        assert!(matches!(
            made_up.judge(&session, now),
            Err(Error::BadCredential)
        ));
        let ended = Session {
            ended_at: Some(now),
            ..session
        };
        assert!(matches!(second.judge(&ended, now), Err(Error::Revoked)));
    }
    #[test]
    fn a_session_ends_at_last_however_often_it_is_refreshed() {
        for (by, days) in [(BegunBy::Password, 90), (BegunBy::Provider, 1)] {
            let began = Timestamp::UNIX_EPOCH;
            let end = began + SignedDuration::from_hours(days * 24);
            let (mut session, mut token) = Session::begin(UserId::new(), None, by, began);
            let mut now = began;
            while now < end {
                assert_eq!(token.judge(&session, now).unwrap(), Verdict::Newest);
                token = token.next();
                session = session.refreshed(&token, now);
                assert!(session.expires_at <= end, "{by:?}");
                now += SignedDuration::from_hours(8);
            }
            assert!(matches!(token.judge(&session, end), Err(Error::Expired)));
        }
    }
}
