//! Service accounts: programs of a tenant as principals of their own.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tenantry_core::{Permissions, Reason, Refusal, ServiceAccountId, TenantId};

use super::api_key;
use crate::error::Error;

/// Most accounts of a tenant.
pub(crate) const MOST: i64 = 100;

/// An account as it stands in its row and in recorded answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ServiceAccount {
    pub(crate) id: ServiceAccountId,
    pub(crate) tenant_id: TenantId,
    pub(crate) name: String,
    pub(crate) permissions: Permissions,
    pub(crate) disabled: bool,
    pub(crate) created_at: Timestamp,
    pub(crate) updated_at: Timestamp,
}

/// What of an account is to change.
#[derive(Clone, Debug, Default)]
pub(crate) struct Patch {
    pub(crate) name: Option<String>,
    pub(crate) permissions: Option<Permissions>,
    pub(crate) disabled: Option<bool>,
}

impl ServiceAccount {
    /// What events say of it.
    pub(crate) fn facts(&self) -> Value {
        json!({
            "name": self.name,
            "permissions": self.permissions.names(),
            "disabled": self.disabled,
        })
    }

    /// The account with these changes, by the holder of `own`: nobody gives or takes what they lack, and to let an account
    /// act again gives all that it holds.
    pub(crate) fn patched(&self, patch: Patch, own: Permissions) -> Result<Self, Error> {
        let permissions = match patch.permissions {
            Some(asked) => {
                let given = asked.without(self.permissions);
                api_key::grant(Some(given), own)?;
                covered(own, self.permissions.without(asked))?;
                asked
            }
            None => self.permissions,
        };
        let disabled = patch.disabled.unwrap_or(self.disabled);
        if self.disabled && !disabled {
            covered(own, permissions)?;
        }
        Ok(Self {
            name: patch.name.unwrap_or_else(|| self.name.clone()),
            permissions,
            disabled,
            ..self.clone()
        })
    }

    /// The permissions of a new key of this account: those asked for, which the account must hold, else all that the maker
    /// may give of them.
    pub(crate) fn grant(
        &self,
        asked: Option<Permissions>,
        own: Permissions,
    ) -> Result<Permissions, Error> {
        let asked = asked.unwrap_or_else(|| self.permissions.intersection(own));
        let beyond = asked.without(self.permissions);
        if !beyond.is_empty() {
            return Err(Refusal::field(
                "permissions",
                format!(
                    "must be among those of the service account, which lacks {}",
                    beyond.names().join(", ")
                ),
            )
            .into());
        }
        api_key::grant(Some(asked), own)
    }
}

fn covered(own: Permissions, changed: Permissions) -> Result<(), Error> {
    if own.covers(changed) {
        Ok(())
    } else {
        Err(Error::Grant(changed.without(own).names().join(", ")))
    }
}

/// Refuses one more account where a tenant has as many as it can.
pub(crate) fn admit_one_more(present: i64) -> Result<(), Error> {
    if present < MOST {
        return Ok(());
    }
    Err(Refusal::new(
        Reason::LimitReached,
        format!("A tenant has at most {MOST} service accounts. Delete one that is no longer used."),
    )
    .into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use tenantry_core::Permission as P;
    use tenantry_core::role::Role;

    fn account(permissions: &[P], disabled: bool) -> ServiceAccount {
        ServiceAccount {
            id: ServiceAccountId::new(),
            tenant_id: TenantId::new(),
            name: "ci".to_owned(),
            permissions: Permissions::of(permissions),
            disabled,
            created_at: Timestamp::UNIX_EPOCH,
            updated_at: Timestamp::UNIX_EPOCH,
        }
    }

    #[test]
    fn nobody_gives_an_account_or_takes_from_it_or_wakes_in_it_what_they_lack() {
        let admin = Role::Admin.permissions();
        let patch = |permissions: &[P]| Patch {
            permissions: Some(Permissions::of(permissions)),
            ..Patch::default()
        };
        let wake = Patch {
            disabled: Some(false),
            ..Patch::default()
        };
        let plain = account(&[P::MembersRead], false);
        let strong = account(&[P::MembersRead, P::OwnersManage], true);
        assert!(plain.patched(patch(&[P::TenantsRead]), admin).is_ok());
        assert!(plain.patched(patch(&[P::OwnersManage]), admin).is_err());
        assert!(strong.patched(patch(&[P::MembersRead]), admin).is_err());
        assert!(strong.patched(wake.clone(), admin).is_err());
        assert!(strong.patched(wake, Role::Owner.permissions()).is_ok());
    }

    #[test]
    fn a_key_of_an_account_holds_no_more_than_the_account_or_its_maker() {
        let admin = Role::Admin.permissions();
        let strong = account(&[P::MembersRead, P::OwnersManage], false);
        let members = Permissions::of(&[P::MembersRead]);
        assert_eq!(strong.grant(None, admin).unwrap(), members);
        assert!(
            strong
                .grant(Some(Permissions::of(&[P::OwnersManage])), admin)
                .is_err()
        );
        assert!(
            strong
                .grant(Some(Permissions::of(&[P::TenantsRead])), admin)
                .is_err()
        );
    }
}
