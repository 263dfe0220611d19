//! Invitations, and the text of their links' tokens: `ti_<tenant>_<id>_<256 random bits>_<checksum>`. Tenant and id make a
//! look-up one row of one tenant, the checksum spares malformed tokens one.

use jiff::{SignedDuration, Timestamp};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tenantry_core::{InvitationId, Principal, PrincipalKind, TenantId};
use uuid::Uuid;

use super::mail::MailState;
use super::role::RoleKey;
use super::secret;

/// How every token begins.
const MARK: &str = "ti_";
const SECRET_BYTES: usize = 32;
const CHECKSUM_BYTES: usize = 4;
/// Days until a link ends where none is asked for, and most that can be.
pub(crate) const DEFAULT_DAYS: i32 = 7;
const MAX_DAYS: i32 = 30;
/// Most pending invitations of one tenant.
pub(crate) const MAX_PENDING: i64 = 1_000;
/// Most mails that one tenant sends to one address in a day.
pub(crate) const MAX_MAILS_A_DAY: i64 = 10;

/// An invitation as it stands in its row and in recorded answers; nothing of its link.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Invitation {
    pub(crate) id: InvitationId,
    pub(crate) tenant_id: TenantId,
    pub(crate) email: String,
    pub(crate) roles: Vec<RoleKey>,
    /// Who sent the newest link, as `user:<id>`.
    pub(crate) invited_by: String,
    /// That user's address, or what an identity provider says of the person; empty for a program.
    pub(crate) invited_by_email: String,
    pub(crate) created_at: Timestamp,
    pub(crate) sent_at: Timestamp,
    pub(crate) times_sent: i32,
    pub(crate) expires_at: Timestamp,
    pub(crate) accepted_at: Option<Timestamp>,
    pub(crate) revoked_at: Option<Timestamp>,
    /// Where the newest link's mail stands. Answers that were recorded before it was told say that it waits.
    #[serde(default)]
    pub(crate) mail: MailState,
    /// Since when; of a delayed one, when it was last tried. Absent in such answers.
    #[serde(default)]
    pub(crate) mail_at: Option<Timestamp>,
}

/// Where an invitation stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Pending,
    Accepted,
    Revoked,
    Expired,
}

impl State {
    /// The word that the API shows.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Accepted => "accepted",
            Self::Revoked => "revoked",
            Self::Expired => "expired",
        }
    }
}

impl Invitation {
    /// Where it stands now.
    pub(crate) fn state(&self, now: Timestamp) -> State {
        match (self.accepted_at, self.revoked_at) {
            (Some(_), _) => State::Accepted,
            (None, Some(at)) if at < self.expires_at => State::Revoked,
            (None, None) if now < self.expires_at => State::Pending,
            (None, _) => State::Expired,
        }
    }

    /// Whether it can be sent again: also when it has expired, but not once it was accepted or revoked.
    pub(crate) const fn is_open(&self) -> bool {
        self.accepted_at.is_none() && self.revoked_at.is_none()
    }

    /// The same with a new link by this sender: its end, and one mail more.
    pub(crate) fn sent_again(&mut self, by: &Principal, now: Timestamp, days: i32) {
        self.invited_by = by.key();
        self.invited_by_email = address_of(by);
        self.sent_at = now;
        self.times_sent = self.times_sent.saturating_add(1);
        self.expires_at = end(now, days);
        self.mail = MailState::Queued;
        self.mail_at = Some(now);
    }

    /// The same without a link that works, and without its mail where that still waited.
    pub(crate) const fn revoked(&mut self, now: Timestamp, mail_stopped: bool) {
        self.revoked_at = Some(now);
        if mail_stopped {
            self.mail = MailState::Failed;
            self.mail_at = Some(now);
        }
    }

    /// What events say of it.
    pub(crate) fn facts(&self) -> Value {
        json!({
            "email": self.email,
            "roles": self.roles,
            "times_sent": self.times_sent,
            "expires_at": self.expires_at,
            "accepted_at": self.accepted_at,
            "revoked_at": self.revoked_at,
        })
    }

    /// The address as its link's holder sees it: enough to recognise one's own.
    pub(crate) fn masked_email(&self) -> String {
        let (local, domain) = self.email.split_once('@').unwrap_or((&self.email, ""));
        let first = local.chars().next().unwrap_or('*');
        format!("{first}***@{domain}")
    }
}

/// The address of who sends an invitation.
pub(crate) fn address_of(by: &Principal) -> String {
    match by.kind {
        PrincipalKind::User => by.name.clone(),
        PrincipalKind::ApiKey
        | PrincipalKind::ServiceAccount
        | PrincipalKind::Service
        | PrincipalKind::Anonymous => String::new(),
    }
}

/// When a link ends that is sent now.
pub(crate) fn end(now: Timestamp, days: i32) -> Timestamp {
    now + SignedDuration::from_hours(24 * i64::from(days))
}

/// Days until a link ends; the default where none is asked for.
pub(crate) fn days(asked: i32) -> Result<i32, String> {
    match asked {
        0 => Ok(DEFAULT_DAYS),
        1..=MAX_DAYS => Ok(asked),
        _ => Err(format!(
            "must be 1 to {MAX_DAYS} days; 0 means {DEFAULT_DAYS}"
        )),
    }
}

/// What the holder of a link presented, in the right form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Presented {
    pub(crate) tenant: TenantId,
    pub(crate) id: InvitationId,
    pub(crate) hash: [u8; 32],
}

/// A new token for an invitation.
pub(crate) fn new_token(tenant: TenantId, id: InvitationId) -> SecretString {
    let body = format!(
        "{MARK}{}_{}_{}",
        tenant.uuid().simple(),
        id.uuid().simple(),
        secret::random::<SECRET_BYTES>()
    );
    let sum = checksum(&body);
    format!("{body}_{sum}").into()
}

/// What is stored of a token.
pub(crate) fn hash(token: &SecretString) -> [u8; 32] {
    secret::hash(token.expose_secret())
}

/// Reads a token; `None` for a text that can't be one.
pub(crate) fn parse(token: &SecretString) -> Option<Presented> {
    let text = token.expose_secret();
    let (body, sum) = text.rsplit_once('_')?;
    let (tenant, rest) = body.strip_prefix(MARK)?.split_once('_')?;
    let (id, random) = rest.split_once('_')?;
    let ids_are_ids = secret::is_hex(tenant, 16) && secret::is_hex(id, 16);
    if !ids_are_ids || !secret::is_hex(random, SECRET_BYTES) || sum != checksum(body) {
        return None;
    }
    Some(Presented {
        tenant: tenant.parse::<Uuid>().ok()?.into(),
        id: id.parse::<Uuid>().ok()?.into(),
        hash: hash(token),
    })
}

fn checksum(body: &str) -> String {
    secret::hex(&secret::hash(body)[..CHECKSUM_BYTES])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_leads_to_its_invitation_and_a_changed_one_nowhere() {
        let (tenant, id) = (TenantId::new(), InvitationId::new());
        let token = new_token(tenant, id);
        let presented = parse(&token).unwrap();
        assert_eq!((presented.tenant, presented.id), (tenant, id));
        let text = token.expose_secret();
        for i in 0..text.len() {
            let mut changed = text.to_owned().into_bytes();
            changed[i] ^= 1;
            let changed = String::from_utf8(changed).unwrap();
            assert_eq!(parse(&changed.into()), None, "at {i}");
        }
        for bad in ["", "ti_", "ti____", &text[1..], &text.to_uppercase()] {
            assert_eq!(parse(&bad.into()), None, "{bad:?}");
        }
    }

    #[test]
    fn an_invitation_is_pending_until_its_end_or_what_ends_it_before() {
        let now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let by = Principal::anonymous();
        let mut invitation = Invitation {
            id: InvitationId::new(),
            tenant_id: TenantId::new(),
            email: "ann@example.com".to_owned(),
            roles: vec![tenantry_core::role::Role::Member.into()],
            invited_by: by.key(),
            invited_by_email: String::new(),
            created_at: now,
            sent_at: now,
            times_sent: 1,
            expires_at: end(now, 7),
            accepted_at: None,
            revoked_at: None,
            mail: MailState::Sent,
            mail_at: Some(now),
        };
        let last = end(now, 7);
        assert_eq!(invitation.state(now), State::Pending);
        assert_eq!(invitation.state(last), State::Expired);
        invitation.sent_again(&by, last, 30);
        assert_eq!(invitation.state(last), State::Pending);
        let mail = (invitation.mail, invitation.mail_at);
        assert_eq!(mail, (MailState::Queued, Some(last)), "the new link's");
        invitation.revoked_at = Some(last);
        assert_eq!(invitation.state(last), State::Revoked);
        invitation.revoked_at = Some(end(last, 30));
        assert_eq!(invitation.state(end(last, 30)), State::Expired, "replaced");
        assert_eq!(invitation.masked_email(), "a***@example.com");
    }

    #[test]
    fn a_link_lasts_seven_days_or_what_is_asked_for_up_to_thirty() {
        assert_eq!((days(0), days(1), days(30)), (Ok(7), Ok(1), Ok(30)));
        assert!(days(31).is_err() && days(-1).is_err());
    }
}
