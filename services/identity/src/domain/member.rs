//! Members of a tenant, and who may give or take which roles.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tenantry_core::role::Role;
use tenantry_core::{Permissions, TenantId, UserId};

use crate::error::Error;

/// A user as it stands in its row, without the password.
#[derive(Clone, Debug)]
pub(crate) struct User {
    pub(crate) id: UserId,
    pub(crate) email: String,
    pub(crate) name: String,
}

/// A membership as it stands in its row and in recorded answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Member {
    pub(crate) tenant_id: TenantId,
    pub(crate) user_id: UserId,
    pub(crate) email: String,
    pub(crate) name: String,
    pub(crate) roles: Vec<Role>,
    pub(crate) created_at: Timestamp,
}

impl Member {
    /// What events say of it.
    pub(crate) fn facts(&self) -> Value {
        json!({ "email": self.email, "name": self.name, "roles": self.roles })
    }

    /// Whether the member may go, given the tenant's owners.
    pub(crate) fn may_leave(&self, owners: &[UserId]) -> Result<(), Error> {
        if owners == [self.user_id] {
            return Err(Error::LastOwner);
        }
        Ok(())
    }
}

impl User {
    /// What events say of it.
    pub(crate) fn facts(&self) -> Value {
        json!({ "email": self.email, "name": self.name })
    }
}

/// Refuses unless the holder of `own` in the tenant may give, or take, these roles.
pub(crate) fn may_grant(roles: &[Role], own: Permissions) -> Result<(), Error> {
    let beyond: Vec<_> = roles
        .iter()
        .filter(|role| !role.grantable_by(own))
        .map(|role| format!("the role {role}"))
        .collect();
    if beyond.is_empty() {
        Ok(())
    } else {
        Err(Error::Grant(beyond.join(", ")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_admin_neither_makes_nor_removes_an_owner() {
        let admin = Role::Admin.permissions();
        assert!(may_grant(&[Role::Admin, Role::Viewer], admin).is_ok());
        assert!(may_grant(&[Role::Owner], admin).is_err());
        assert!(may_grant(&[Role::Owner], Role::Owner.permissions()).is_ok());
    }
}
