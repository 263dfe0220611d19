//! Permissions and sets of them. A set travels as a bitmap, so bit numbers never change and are never used again.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

macro_rules! permissions {
    ($($(#[doc = $doc:literal])* $bit:literal $name:ident = $word:literal,)*) => {
        /// One thing that a principal may do.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Permission {
            $($(#[doc = $doc])* $name,)*
        }

        impl Permission {
            /// All permissions, in the order of their bits.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The name, as the API shows it.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => $word,)* }
            }

            /// What it allows, in a sentence for people.
            #[must_use]
            pub fn description(self) -> &'static str {
                match self { $(Self::$name => concat!($($doc),*),)* }.trim()
            }

            const fn bit(self) -> u64 {
                match self { $(Self::$name => 1 << $bit,)* }
            }
        }

        impl FromStr for Permission {
            type Err = UnknownPermission;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                match text {
                    $($word => Ok(Self::$name),)*
                    _ => Err(UnknownPermission),
                }
            }
        }
    };
}

permissions! {
    /// Manage every tenant of the platform: create, change, suspend, delete. Not their content.
    0 PlatformTenantsManage = "platform.tenants.manage",
    /// Read and change what belongs to a tenant: members, keys, and later settings and usage.
    1 PlatformContentAccess = "platform.content.access",
    /// Place and release legal holds, which keep tenants from being deleted.
    2 PlatformLegalHoldsManage = "platform.legal_holds.manage",
    /// Change the plans of every project: what tenants get, and for what price.
    3 PlatformPlansManage = "platform.plans.manage",
    /// Add, change and remove operators, and the platform's own keys.
    4 PlatformOperatorsManage = "platform.operators.manage",
    /// Search the audit logs of all tenants, and the platform's own.
    5 PlatformAuditRead = "platform.audit.read",
    /// Look after the audit log: its sources, and what an alarm has stopped.
    6 PlatformAuditManage = "platform.audit.manage",
    /// Read the tenant itself.
    8 TenantsRead = "tenants.read",
    /// Change the tenant's own description: names, contacts, labels, metadata.
    9 TenantsUpdate = "tenants.update",
    /// Create tenants below this one.
    10 TenantsCreate = "tenants.create",
    /// Suspend, resume, delete, undelete, and change slug or plan. Held over descendants, not over one's own tenant.
    11 TenantsManage = "tenants.manage",
    /// See the domains that name the tenant.
    12 DomainsRead = "domains.read",
    /// Add, verify and take away domains that name the tenant.
    13 DomainsManage = "domains.manage",
    /// See who is a member.
    16 MembersRead = "members.read",
    /// Add and remove members.
    17 MembersManage = "members.manage",
    /// Add and remove owners.
    18 OwnersManage = "owners.manage",
    /// See the API keys, without secrets.
    20 ApiKeysRead = "api_keys.read",
    /// Make and revoke API keys.
    21 ApiKeysManage = "api_keys.manage",
    /// See the roles and what they permit.
    22 RolesRead = "roles.read",
    /// Define, change and remove the tenant's own roles.
    23 RolesManage = "roles.manage",
    /// See the identity providers that people sign in at, without secrets.
    24 IdentityProvidersRead = "identity_providers.read",
    /// Say which identity providers speak for the tenant's people.
    25 IdentityProvidersManage = "identity_providers.manage",
    /// Read the tenant's audit log, and take it along with its proofs.
    26 AuditRead = "audit.read",
    /// Record events of the product's own services in the tenant's audit log.
    27 AuditRecord = "audit.record",
    /// Read the tenant's limits, and what is used of them.
    28 UsageRead = "usage.read",
    /// Use up what the tenant's limits admit, and record what was used.
    29 UsageRecord = "usage.record",
}

/// A word that names no permission.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownPermission;

impl fmt::Display for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A set of permissions.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Permissions(u64);

impl Permissions {
    /// Nothing is allowed.
    pub const NONE: Self = Self(0);

    /// What acts on tenants as a whole, for operators.
    pub const PLATFORM: Self = Self::of(&[
        Permission::PlatformTenantsManage,
        Permission::PlatformContentAccess,
        Permission::PlatformLegalHoldsManage,
        Permission::PlatformPlansManage,
        Permission::PlatformOperatorsManage,
        Permission::PlatformAuditRead,
        Permission::PlatformAuditManage,
    ]);

    /// What acts on a tenant as a whole, and not on its content.
    pub const TENANTS: Self = Self::of(&[
        Permission::TenantsRead,
        Permission::TenantsUpdate,
        Permission::TenantsCreate,
        Permission::TenantsManage,
        Permission::DomainsRead,
        Permission::DomainsManage,
    ]);

    /// The set of these permissions.
    #[must_use]
    pub const fn of(list: &[Permission]) -> Self {
        let mut bits = 0;
        let mut i = 0;
        while i < list.len() {
            bits |= list[i].bit();
            i += 1;
        }
        Self(bits)
    }

    /// Whether the set contains this one.
    #[must_use]
    pub const fn contains(self, permission: Permission) -> bool {
        self.0 & permission.bit() != 0
    }

    /// Whether the set contains all of the other.
    #[must_use]
    pub const fn covers(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// What is in either.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// What is in both.
    #[must_use]
    pub const fn intersection(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// What is here and not in the other.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Whether nothing is in it.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The bitmap, to store or send.
    #[must_use]
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// The set of a stored bitmap; bits that no permission has are dropped.
    #[must_use]
    pub fn from_bits(bits: u64) -> Self {
        Self(bits).intersection(Self::of(Permission::ALL))
    }

    /// The permissions of the set, in the order of their bits.
    pub fn iter(self) -> impl Iterator<Item = Permission> {
        Permission::ALL
            .iter()
            .copied()
            .filter(move |p| self.contains(*p))
    }

    /// The names of the set, in the order of their bits.
    #[must_use]
    pub fn names(self) -> Vec<String> {
        self.iter().map(|p| p.name().to_owned()).collect()
    }
}

impl FromIterator<Permission> for Permissions {
    fn from_iter<I: IntoIterator<Item = Permission>>(list: I) -> Self {
        Self(list.into_iter().fold(0, |bits, p| bits | p.bit()))
    }
}

impl fmt::Debug for Permissions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set()
            .entries(self.iter().map(Permission::name))
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_parses_back_and_every_bit_is_its_own() {
        let mut seen = 0;
        for p in Permission::ALL {
            assert_eq!(p.name().parse(), Ok(*p));
            assert!(p.description().ends_with('.'), "{p} says what it allows");
            assert_eq!(seen & p.bit(), 0, "{p} shares its bit");
            seen |= p.bit();
        }
    }

    #[test]
    fn a_foreign_bit_is_dropped() {
        assert_eq!(Permissions::from_bits(1 << 63), Permissions::NONE);
    }
}
