//! Operators: users with permissions on the platform.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tenantry_core::{Permission, Permissions, Refusal, UserId};

use crate::error::Error;

/// An operator as it stands in its row and in recorded answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Operator {
    pub(crate) user_id: UserId,
    pub(crate) email: String,
    pub(crate) name: String,
    pub(crate) permissions: Permissions,
    pub(crate) created_at: Timestamp,
}

impl Operator {
    /// What events say of it.
    pub(crate) fn facts(&self) -> Value {
        json!({ "email": self.email, "permissions": self.permissions.names() })
    }
}

/// The permission that an operator always holds somewhere: without it nobody could make another.
pub(crate) const MANAGER: Permission = Permission::PlatformOperatorsManage;

impl Operator {
    /// Refuses a change that leaves nobody who can manage operators. `managers` are all who can now, locked.
    pub(crate) fn may_become(&self, after: Permissions, managers: &[UserId]) -> Result<(), Error> {
        let stays = after.contains(MANAGER) || managers.iter().any(|other| *other != self.user_id);
        if stays || !self.permissions.contains(MANAGER) {
            Ok(())
        } else {
            Err(Error::LastOperator)
        }
    }

    /// Refuses to give or take what the holder of `own` lacks.
    pub(crate) fn may_be_changed_by(
        &self,
        own: Permissions,
        after: Permissions,
    ) -> Result<(), Error> {
        let changed = self
            .permissions
            .without(after)
            .union(after.without(self.permissions));
        if own.covers(changed) {
            Ok(())
        } else {
            Err(Error::Grant(changed.without(own).names().join(", ")))
        }
    }
}

/// What a new operator holds where nothing is asked for: tenants as a whole, not their content.
pub(crate) const FIRST: Permissions = Permissions::of(&[Permission::PlatformTenantsManage]);

/// Platform permissions that the holder of `own` gives to an operator or a platform key.
pub(crate) fn grant(
    asked: Option<Permissions>,
    otherwise: Permissions,
    own: Permissions,
) -> Result<Permissions, Error> {
    let asked = of_platform(asked.unwrap_or(otherwise))?;
    if own.covers(asked) {
        Ok(asked)
    } else {
        Err(Error::Grant(asked.without(own).names().join(", ")))
    }
}

/// Permissions on the platform, and refused with others among them.
pub(crate) fn of_platform(asked: Permissions) -> Result<Permissions, Error> {
    let tenants_own = asked.without(Permissions::PLATFORM);
    if !tenants_own.is_empty() {
        return Err(Refusal::field(
            "permissions",
            format!(
                "must be permissions on the platform ({}); {} belong to one tenant",
                Permissions::PLATFORM.names().join(", "),
                tenants_own.names().join(", ")
            ),
        )
        .into());
    }
    Ok(asked)
}
