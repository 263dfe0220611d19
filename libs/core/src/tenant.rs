//! What every service must agree on about tenants: how one is named, and what its status admits.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::ids::TenantId;
use crate::permission::{Permission, Permissions};

/// Key of the project that slugs are of where none is named.
pub const DEFAULT_PROJECT: &str = "default";

/// What nobody holds as one of the tenant's own people or programs.
const FROM_ABOVE: Permissions =
    Permissions::PLATFORM.union(Permissions::of(&[Permission::TenantsManage]));

/// The state of a tenant in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TenantStatus {
    /// In use, for a time and free of charge.
    Trial,
    /// In use.
    Active,
    /// Stopped by an operator or a manager above it.
    Suspended,
    /// Marked as deleted; can be undeleted until it is purged.
    Deleted,
}

/// What a tenant's status means for the requests of its own people and programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// Requests pass.
    Admitted,
    /// Requests are refused with `TENANT_SUSPENDED`.
    Suspended,
    /// The tenant is answered like one that doesn't exist.
    Absent,
}

impl TenantStatus {
    /// All states.
    pub const ALL: &[Self] = &[Self::Trial, Self::Active, Self::Suspended, Self::Deleted];

    /// The name, as the API shows it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Trial => "trial",
            Self::Active => "active",
            Self::Suspended => "suspended",
            Self::Deleted => "deleted",
        }
    }

    /// Whether the tenant is in use.
    #[must_use]
    pub const fn is_active(self) -> bool {
        matches!(self, Self::Trial | Self::Active)
    }

    /// What this status means for the tenant's own people and programs. Those who manage it from above are always
    /// admitted.
    #[must_use]
    pub const fn admission(self) -> Admission {
        match self {
            Self::Trial | Self::Active => Admission::Admitted,
            Self::Suspended => Admission::Suspended,
            Self::Deleted => Admission::Absent,
        }
    }

    /// What this status means for whoever holds these permissions in the tenant: operators, and those who manage it from a
    /// tenant above, are admitted whatever it is.
    #[must_use]
    pub const fn admission_of(self, permissions: Permissions) -> Admission {
        if permissions.intersection(FROM_ABOVE).is_empty() {
            self.admission()
        } else {
            Admission::Admitted
        }
    }
}

/// A word that names no status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownStatus;

impl FromStr for TenantStatus {
    type Err = UnknownStatus;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .iter()
            .copied()
            .find(|status| status.name() == text)
            .ok_or(UnknownStatus)
    }
}

impl fmt::Display for TenantStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How a caller names a tenant: by id or by slug. A slug never parses as a UUID, so the two can't be confused.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum TenantRef {
    /// By id.
    Id(TenantId),
    /// By slug, inside a project.
    Slug(String),
}

impl TenantRef {
    /// Reads what a caller wrote; `None` for an empty text.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if text.is_empty() {
            return None;
        }
        Some(
            text.parse()
                .map_or_else(|_| Self::Slug(text.to_owned()), Self::Id),
        )
    }

    /// Whether this names the tenant of that id and slug.
    #[must_use]
    pub fn names(&self, id: TenantId, slug: &str) -> bool {
        match self {
            Self::Id(named) => *named == id,
            Self::Slug(named) => named == slug,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::role::Role;

    #[test]
    fn who_manages_from_above_is_admitted_whatever_the_status() {
        let of = |permissions| {
            TenantStatus::ALL
                .iter()
                .map(move |s| s.admission_of(permissions))
        };
        for own in [Permissions::NONE, Role::Owner.permissions()] {
            assert!(of(own).eq(TenantStatus::ALL.iter().map(|s| s.admission())));
        }
        for above in [
            Role::Owner.inherited(),
            Permissions::of(&[Permission::PlatformContentAccess]),
        ] {
            assert!(of(above).all(|admission| admission == Admission::Admitted));
        }
    }
}
