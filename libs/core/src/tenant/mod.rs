//! What every service must agree on about tenants: how one is named, and what its status admits.

mod admission;
mod subdomain;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::ids::TenantId;

pub use admission::{Admission, Caller, MethodKind, Stop};
pub use subdomain::{host_name, in_subdomain, subdomain};

/// Key of the project that slugs are of where none is named.
pub const DEFAULT_PROJECT: &str = "default";

/// The project that was named, else the default one.
#[must_use]
pub const fn project_or_default(named: &str) -> &str {
    if named.is_empty() {
        DEFAULT_PROJECT
    } else {
        named
    }
}

/// The state of a tenant in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TenantStatus {
    /// Being set up; not in use yet.
    Provisioning,
    /// In use, for a time and free of charge.
    Trial,
    /// In use.
    Active,
    /// Stopped by an operator or a manager above it.
    Suspended,
    /// Put away for good, and kept as it was.
    Archived,
    /// Marked as deleted; can be undeleted until it is purged.
    Deleted,
}

impl TenantStatus {
    /// All states.
    pub const ALL: &[Self] = &[
        Self::Provisioning,
        Self::Trial,
        Self::Active,
        Self::Suspended,
        Self::Archived,
        Self::Deleted,
    ];

    /// The name, as the API shows it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Provisioning => "provisioning",
            Self::Trial => "trial",
            Self::Active => "active",
            Self::Suspended => "suspended",
            Self::Archived => "archived",
            Self::Deleted => "deleted",
        }
    }

    /// Whether the tenant is in use.
    #[must_use]
    pub const fn is_active(self) -> bool {
        matches!(self, Self::Trial | Self::Active)
    }

    /// All names, for a sentence that says what a status can be.
    #[must_use]
    pub fn words() -> String {
        let names: Vec<_> = Self::ALL.iter().map(|status| status.name()).collect();
        let (last, others) = names
            .split_last()
            .map_or(("", &names[..]), |(l, o)| (*l, o));
        format!("{} or {last}", others.join(", "))
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
