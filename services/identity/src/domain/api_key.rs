//! API keys and the text of their secrets: `tk_<id>_<256 random bits>_<checksum>`. The id makes a look-up one row, the
//! checksum spares malformed keys one.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tenantry_core::role::Role;
use tenantry_core::{ApiKeyId, Permission, Permissions, Refusal, ServiceAccountId, TenantId};
use uuid::Uuid;

use super::secret;
use crate::error::Error;

/// How every secret of a key begins.
pub(crate) const MARK: &str = "tk_";
/// Most keys of a tenant, or of the platform, that were neither revoked nor have expired.
pub(crate) const MOST: i64 = 1_000;
const SECRET_BYTES: usize = 32;
const CHECKSUM_BYTES: usize = 4;
/// How long a rotated secret goes on where nothing is said, and at most.
pub(crate) const OVERLAP: SignedDuration = SignedDuration::from_hours(24);
pub(crate) const MAX_OVERLAP: SignedDuration = SignedDuration::from_hours(30 * 24);
/// Characters of a secret that are shown to recognise it by: the mark and half of the id.
const PREFIX_CHARS: usize = 19;

/// A key without its secret, as it stands in its row and in recorded answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ApiKey {
    pub(crate) id: ApiKeyId,
    pub(crate) tenant_id: TenantId,
    pub(crate) name: String,
    pub(crate) prefix: String,
    pub(crate) permissions: Permissions,
    pub(crate) created_at: Timestamp,
    pub(crate) expires_at: Option<Timestamp>,
    pub(crate) revoked_at: Option<Timestamp>,
    /// When it got its present secret, if not with its making.
    #[serde(default)]
    pub(crate) rotated_at: Option<Timestamp>,
    /// Until when the secret before works.
    #[serde(default)]
    pub(crate) previous_until: Option<Timestamp>,
    #[serde(default)]
    pub(crate) rate: Rate,
    /// The account that it acts as, if it is of one.
    #[serde(default)]
    pub(crate) service_account: Option<ServiceAccountId>,
}

/// How much a key is used, as far as it is written down.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Rate {
    pub(crate) last_used_at: Option<Timestamp>,
    /// As far as the number goes.
    pub(crate) last_hour: i32,
    pub(crate) last_day: i32,
}

impl ApiKey {
    /// What events say of it.
    pub(crate) fn facts(&self) -> Value {
        json!({
            "name": self.name,
            "prefix": self.prefix,
            "permissions": self.permissions.names(),
            "expires_at": self.expires_at,
            "revoked_at": self.revoked_at,
            "rotated_at": self.rotated_at,
            "previous_secret_expires_at": self.previous_until,
            "service_account_id": self.service_account,
        })
    }

    /// Until when the present secret works once the holder of `own` has the next, if that may be now.
    pub(crate) fn may_rotate(
        &self,
        own: Permissions,
        overlap: SignedDuration,
        now: Timestamp,
    ) -> Result<Timestamp, Error> {
        self.may_be_had_by(own)?;
        if self.revoked_at.is_some() || self.expires_at.is_some_and(|at| at <= now) {
            return Err(Error::ApiKeyEnded);
        }
        let until = now + overlap;
        Ok(self.expires_at.map_or(until, |end| until.min(end)))
    }

    /// Refuses whoever holds less than the key: who has its secret has its permissions.
    pub(crate) fn may_be_had_by(&self, own: Permissions) -> Result<(), Error> {
        if own.covers(self.permissions) {
            return Ok(());
        }
        let missing = self.permissions.without(own);
        Err(Error::Grant(missing.names().join(", ")))
    }
}

/// What a caller presented, in the right form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Presented {
    pub(crate) id: ApiKeyId,
    pub(crate) hash: [u8; 32],
}

/// A new secret for the key of this id, and how it begins.
pub(crate) fn new_secret(id: ApiKeyId) -> (String, String) {
    let body = format!(
        "{MARK}{}_{}",
        id.uuid().simple(),
        secret::random::<SECRET_BYTES>()
    );
    let prefix = body.chars().take(PREFIX_CHARS).collect();
    let whole = format!("{body}_{}", checksum(&body));
    (whole, prefix)
}

/// Reads a secret; `None` for a text that can't be one.
pub(crate) fn parse(text: &str) -> Option<Presented> {
    let (body, sum) = text.rsplit_once('_')?;
    let (id, random) = body.strip_prefix(MARK)?.split_once('_')?;
    if !secret::is_hex(id, 16) || !secret::is_hex(random, SECRET_BYTES) || sum != checksum(body) {
        return None;
    }
    let id: Uuid = id.parse().ok()?;
    Some(Presented {
        id: id.into(),
        hash: secret::hash(text),
    })
}

fn checksum(body: &str) -> String {
    secret::hex(&secret::hash(body)[..CHECKSUM_BYTES])
}

/// The permissions of a new key of a tenant: those asked for, else a member's as far as the maker holds them. Never what
/// acts on the platform, and not `tenants.manage`: a tenant's own programs don't manage it as a whole.
pub(crate) fn grant(asked: Option<Permissions>, own: Permissions) -> Result<Permissions, Error> {
    let Some(asked) = asked else {
        return Ok(Role::Member.permissions().intersection(own));
    };
    if !own.covers(asked) {
        return Err(Error::Grant(asked.without(own).names().join(", ")));
    }
    let never = Permissions::PLATFORM.union(Permissions::of(&[Permission::TenantsManage]));
    let refused = asked.intersection(never);
    if refused.is_empty() {
        return Ok(asked);
    }
    Err(Refusal::field(
        "permissions",
        format!(
            "a key of a tenant can't hold {}; use a key of the platform",
            refused.names().join(", ")
        ),
    )
    .into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use tenantry_core::Permission as P;

    #[test]
    fn a_secret_leads_to_its_key_and_a_changed_one_nowhere() {
        let id = ApiKeyId::new();
        let (text, prefix) = new_secret(id);
        assert!(text.starts_with(&prefix));
        assert_eq!(parse(&text).map(|key| key.id), Some(id));
        for i in 0..text.len() {
            let mut changed = text.clone().into_bytes();
            changed[i] ^= 1;
            assert_eq!(parse(&String::from_utf8(changed).unwrap()), None, "at {i}");
        }
        for bad in [
            "",
            "tk_",
            "tk___",
            &text[1..],
            &text.to_uppercase(),
            &format!("{text} "),
        ] {
            assert_eq!(parse(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn a_key_gets_no_more_than_its_maker_holds() {
        let admin = Role::Admin.permissions();
        assert_eq!(grant(None, admin).unwrap(), Role::Member.permissions());
        assert_eq!(
            grant(None, Role::Viewer.permissions()).unwrap(),
            Role::Viewer.permissions()
        );
        assert!(matches!(
            grant(Some(Permissions::of(&[P::OwnersManage])), admin),
            Err(Error::Grant(_))
        ));
        let manager = Role::Owner.inherited();
        assert!(grant(Some(Permissions::of(&[P::TenantsManage])), manager).is_err());
    }
}
