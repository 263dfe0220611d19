//! Members of a tenant and their roles.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tenantry_core::role::Role as BuiltIn;
use tenantry_core::{TenantId, UserId};

use super::role::{MAX_ROLES_OF_MEMBER, RoleKey};
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
    pub(crate) roles: Vec<RoleKey>,
    pub(crate) created_at: Timestamp,
    /// A name besides the address. Answers that were recorded before there were any have none.
    #[serde(default)]
    pub(crate) username: Option<String>,
}

/// How a tenant knows a member, to be changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Patch {
    pub(crate) name: Option<String>,
    /// A new one, or none.
    pub(crate) username: Option<Option<String>>,
}

/// A user's membership, across tenants.
#[derive(Clone, Debug)]
pub(crate) struct UserMembership {
    pub(crate) tenant_id: TenantId,
    pub(crate) roles: Vec<RoleKey>,
    pub(crate) created_at: Timestamp,
}

impl Member {
    /// What events say of it.
    pub(crate) fn facts(&self) -> Value {
        json!({ "email": self.email, "name": self.name, "roles": self.roles, "username": self.username })
    }

    /// Sets what the patch carries.
    pub(crate) fn apply(&mut self, patch: Patch) {
        if let Some(name) = patch.name {
            self.name = name;
        }
        if let Some(username) = patch.username {
            self.username = username;
        }
    }

    /// Whether the member may go, given the tenant's owners.
    pub(crate) fn may_leave(&self, owners: &[UserId]) -> Result<(), Error> {
        if owners == [self.user_id] {
            return Err(Error::LastOwner);
        }
        Ok(())
    }

    /// The member with a further role; `None` where it has that already.
    pub(crate) fn with(&self, role: RoleKey) -> Result<Option<Self>, Error> {
        if self.roles.contains(&role) {
            return Ok(None);
        }
        if self.roles.len() >= MAX_ROLES_OF_MEMBER {
            return Err(Error::LimitReached(format!(
                "A member has at most {MAX_ROLES_OF_MEMBER} roles. Take one away first."
            )));
        }
        let mut member = self.clone();
        member.roles.push(role);
        member.roles.sort_unstable();
        Ok(Some(member))
    }

    /// The member without one of its roles, given the tenant's owners.
    pub(crate) fn without(&self, role: &RoleKey, owners: &[UserId]) -> Result<Self, Error> {
        if !self.roles.contains(role) {
            return Err(Error::RoleNotFound);
        }
        if *role == BuiltIn::Owner {
            self.may_leave(owners)?;
        }
        if self.roles.len() == 1 {
            return Err(Error::LastRole);
        }
        let mut member = self.clone();
        member.roles.retain(|held| held != role);
        Ok(member)
    }
}

impl User {
    /// What events say of it.
    pub(crate) fn facts(&self) -> Value {
        json!({ "email": self.email, "name": self.name })
    }
}
