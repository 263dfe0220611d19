//! Built-in roles of a membership, and what each permits in the tenant itself and in its descendants.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::permission::{Permission as P, Permissions};

/// A built-in role.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Everything in the tenant; a tenant always keeps one.
    Owner,
    /// Everything but what only owners grant.
    Admin,
    /// Uses the product.
    Member,
    /// Reads only.
    Viewer,
}

const VIEWER: Permissions = Permissions::of(&[P::TenantsRead]);
const MEMBER: Permissions = Permissions::of(&[
    P::TenantsRead,
    P::DomainsRead,
    P::MembersRead,
    P::RolesRead,
    P::UsageRead,
]);
const ADMIN: Permissions = Permissions::of(&[
    P::TenantsRead,
    P::TenantsUpdate,
    P::TenantsCreate,
    P::DomainsRead,
    P::DomainsManage,
    P::MembersRead,
    P::MembersManage,
    P::ApiKeysRead,
    P::ApiKeysManage,
    P::RolesRead,
    P::RolesManage,
    P::IdentityProvidersRead,
    P::AuditRead,
    P::AuditRecord,
    P::UsageRead,
    P::UsageRecord,
]);

const OWNER: Permissions = ADMIN.union(Permissions::of(&[
    P::OwnersManage,
    P::IdentityProvidersManage,
]));

impl Role {
    /// All built-in roles, from the strongest.
    pub const ALL: &[Self] = &[Self::Owner, Self::Admin, Self::Member, Self::Viewer];

    /// The name, as the API shows it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Admin => "admin",
            Self::Member => "member",
            Self::Viewer => "viewer",
        }
    }

    /// What it is for, in a sentence for people.
    #[must_use]
    pub const fn description(self) -> &'static str {
        match self {
            Self::Owner => "Everything in the tenant and below it; a tenant always keeps one.",
            Self::Admin => "Everything in the tenant and below it but adding and removing owners.",
            Self::Member => "Uses the product, and sees who else does and how much is used.",
            Self::Viewer => "Reads the tenant itself only.",
        }
    }

    /// What the role permits in the tenant that it is held in.
    #[must_use]
    pub const fn permissions(self) -> Permissions {
        match self {
            Self::Owner => OWNER,
            Self::Admin => ADMIN,
            Self::Member => MEMBER,
            Self::Viewer => VIEWER,
        }
    }

    /// What the role permits in descendants of that tenant. Managing a tenant as a whole (suspend, delete, plan) is a
    /// right of those above it, never of the tenant's own people.
    #[must_use]
    pub const fn inherited(self) -> Permissions {
        match self {
            Self::Owner | Self::Admin => self
                .permissions()
                .union(Permissions::of(&[P::TenantsManage])),
            Self::Member | Self::Viewer => Permissions::NONE,
        }
    }
}

/// A word that names no built-in role.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownRole;

impl FromStr for Role {
    type Err = UnknownRole;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .iter()
            .copied()
            .find(|role| role.name() == text)
            .ok_or(UnknownRole)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
