//! Roles: the built-in ones and those that a tenant defines, and who may give, take or change them.

use std::cmp::Ordering;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tenantry_core::role::Role as BuiltIn;
use tenantry_core::{Permission as P, Permissions, RoleId, TenantId};

use super::rights::Rights;
use crate::error::Error;

/// Most roles that a tenant defines.
pub(crate) const MAX_ROLES: i64 = 100;
/// Most roles of one member.
pub(crate) const MAX_ROLES_OF_MEMBER: usize = 20;
const KEY_CHARS: std::ops::RangeInclusive<usize> = 2..=40;

/// What a role of a tenant can permit in the tenant itself. Managing a tenant as a whole is a right of those above it.
const HERE: Permissions = BELOW.without(Permissions::of(&[P::TenantsManage]));
/// What a role of a tenant can permit in its descendants.
const BELOW: Permissions = Permissions::of(P::ALL).without(Permissions::PLATFORM);

/// How a membership names a role: a built-in one, or one of its tenant. Built-in ones come first, from the strongest.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct RoleKey(String);

impl RoleKey {
    /// Reads what a caller wrote.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let word = text.starts_with(|c: char| c.is_ascii_lowercase())
            && text
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_');
        if !word || !KEY_CHARS.contains(&text.len()) {
            return Err(format!(
                "must be the key of a role: {} to {} lower-case letters, digits, - and _, a letter first",
                KEY_CHARS.start(),
                KEY_CHARS.end()
            ));
        }
        Ok(Self(text.to_owned()))
    }

    /// The key as a row has it.
    pub(crate) const fn stored(text: String) -> Self {
        Self(text)
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// The built-in role of this key.
    pub(crate) fn built_in(&self) -> Option<BuiltIn> {
        self.0.parse().ok()
    }

    fn rank(&self) -> usize {
        let place = |role| BuiltIn::ALL.iter().position(|one| *one == role);
        self.built_in()
            .and_then(place)
            .unwrap_or(BuiltIn::ALL.len())
    }
}

impl From<BuiltIn> for RoleKey {
    fn from(role: BuiltIn) -> Self {
        Self(role.name().to_owned())
    }
}

impl PartialEq<BuiltIn> for RoleKey {
    fn eq(&self, role: &BuiltIn) -> bool {
        self.0 == role.name()
    }
}

impl Ord for RoleKey {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.rank(), &self.0).cmp(&(other.rank(), &other.0))
    }
}

impl PartialOrd for RoleKey {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// What a role permits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Grants {
    /// In the tenant that it is held in.
    pub(crate) permissions: Permissions,
    /// In descendants of that tenant.
    pub(crate) inherited: Permissions,
}

impl Grants {
    pub(crate) const NONE: Self = Self {
        permissions: Permissions::NONE,
        inherited: Permissions::NONE,
    };

    pub(crate) const fn of(role: BuiltIn) -> Self {
        Self {
            permissions: role.permissions(),
            inherited: role.inherited(),
        }
    }

    pub(crate) const fn union(self, other: Self) -> Self {
        Self {
            permissions: self.permissions.union(other.permissions),
            inherited: self.inherited.union(other.inherited),
        }
    }

    /// What these roles permit together, given those of them that the tenant defined.
    pub(crate) fn sum(keys: &[RoleKey], defined: &[Role]) -> Result<Self, Error> {
        keys.iter().try_fold(Self::NONE, |all, key| {
            let found = || defined.iter().find(|role| role.key == *key);
            let grants = match key.built_in() {
                Some(role) => Self::of(role),
                None => found().ok_or(Error::RoleNotFound)?.grants,
            };
            Ok(all.union(grants))
        })
    }

    /// What of it is beyond these rights: nobody gives, takes or changes more than they hold, here or below.
    fn beyond(self, own: Rights) -> Permissions {
        self.permissions
            .without(own.here)
            .union(self.inherited.without(own.below))
    }

    /// Refuses unless the holder of these rights may give it, or take it away.
    pub(crate) fn within(self, own: Rights) -> Result<(), Error> {
        let beyond = self.beyond(own);
        if beyond.is_empty() {
            Ok(())
        } else {
            Err(Error::Grant(beyond.names().join(", ")))
        }
    }
}

/// A role as a tenant has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Role {
    pub(crate) tenant_id: TenantId,
    pub(crate) key: RoleKey,
    pub(crate) name: String,
    pub(crate) description: String,
    pub(crate) grants: Grants,
    /// What only a role has that the tenant defined.
    pub(crate) own: Option<Own>,
}

/// The row of a role that a tenant defined.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Own {
    pub(crate) id: RoleId,
    pub(crate) version: i64,
    pub(crate) created_at: Timestamp,
    pub(crate) updated_at: Timestamp,
}

impl Role {
    /// A built-in role, as this tenant has it.
    pub(crate) fn built_in(tenant_id: TenantId, role: BuiltIn) -> Self {
        Self {
            tenant_id,
            key: role.into(),
            name: role.name().to_owned(),
            description: role.description().to_owned(),
            grants: Grants::of(role),
            own: None,
        }
    }

    /// What events say of it.
    pub(crate) fn facts(&self) -> Value {
        json!({
            "key": self.key,
            "name": self.name,
            "description": self.description,
            "permissions": self.grants.permissions.names(),
            "inherited_permissions": self.grants.inherited.names(),
        })
    }

    pub(crate) fn etag(&self) -> String {
        self.own
            .as_ref()
            .map(|own| own.version.to_string())
            .unwrap_or_default()
    }

    /// Refuses a change that was decided on another state; an empty etag was decided on none.
    pub(crate) fn compare(&self, etag: &str) -> Result<(), Error> {
        if etag.is_empty() || etag == self.etag() {
            Ok(())
        } else {
            Err(Error::EtagMismatch)
        }
    }

    /// The role with these fields set, by the holder of these rights, who must hold what it is and what it becomes.
    pub(crate) fn update(&self, patch: Patch, own: Rights) -> Result<Self, Error> {
        self.grants.within(own)?;
        let grants = Grants {
            permissions: patch.permissions.unwrap_or(self.grants.permissions),
            inherited: patch.inherited.unwrap_or(self.grants.inherited),
        };
        grants.within(own)?;
        Ok(Self {
            name: patch.name.unwrap_or_else(|| self.name.clone()),
            description: patch
                .description
                .unwrap_or_else(|| self.description.clone()),
            grants,
            ..self.clone()
        })
    }
}

/// Fields of a role to set.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Patch {
    pub(crate) name: Option<String>,
    pub(crate) description: Option<String>,
    pub(crate) permissions: Option<Permissions>,
    pub(crate) inherited: Option<Permissions>,
}

impl Patch {
    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Permissions that a role of a tenant can have in the tenant itself: at least one.
pub(crate) fn permissions(names: &[String]) -> Result<Permissions, String> {
    if names.is_empty() {
        return Err("must be at least one permission".to_owned());
    }
    some_of(names, HERE)
}

/// Permissions that a role of a tenant can have in its descendants.
pub(crate) fn inherited(names: &[String]) -> Result<Permissions, String> {
    some_of(names, BELOW)
}

fn some_of(names: &[String], allowed: Permissions) -> Result<Permissions, String> {
    let asked: Option<Permissions> = names.iter().map(|name| name.parse::<P>().ok()).collect();
    asked
        .filter(|asked| allowed.covers(*asked))
        .ok_or_else(|| format!("must be some of {}", allowed.names().join(", ")))
}

/// Keys of a member's roles, each once, built-in ones first; `member` where none is given.
pub(crate) fn keys(names: &[String]) -> Result<Vec<RoleKey>, String> {
    if names.is_empty() {
        return Ok(vec![BuiltIn::Member.into()]);
    }
    let mut keys = names
        .iter()
        .map(|name| RoleKey::parse(name))
        .collect::<Result<Vec<_>, _>>()?;
    keys.sort_unstable();
    keys.dedup();
    if keys.len() > MAX_ROLES_OF_MEMBER {
        return Err(format!("must be at most {MAX_ROLES_OF_MEMBER} roles"));
    }
    Ok(keys)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(list: &[&str]) -> Vec<String> {
        list.iter().map(|name| (*name).to_owned()).collect()
    }

    fn owner() -> Rights {
        Rights {
            here: BuiltIn::Owner.permissions(),
            below: BuiltIn::Owner.inherited(),
        }
    }

    #[test]
    fn keys_are_each_once_built_in_ones_first_and_member_by_default() {
        assert_eq!(keys(&[]), Ok(vec![BuiltIn::Member.into()]));
        let given = names(&["support", "viewer", "billing", "owner", "viewer"]);
        let read: Vec<_> = keys(&given).unwrap();
        let read: Vec<_> = read.iter().map(RoleKey::as_str).collect();
        assert_eq!(read, ["owner", "viewer", "billing", "support"]);
        for bad in [
            "",
            "a",
            "Admin",
            "-a",
            "1a",
            "a b",
            "ä-role",
            &"x".repeat(41),
        ] {
            assert!(keys(&names(&[bad])).is_err(), "{bad:?}");
        }
        let many: Vec<_> = (0..=MAX_ROLES_OF_MEMBER)
            .map(|n| format!("role-{n}"))
            .collect();
        assert!(keys(&many).is_err());
    }

    #[test]
    fn an_admin_neither_makes_nor_removes_an_owner() {
        let admin = Rights {
            here: BuiltIn::Admin.permissions(),
            below: BuiltIn::Admin.inherited(),
        };
        for role in [BuiltIn::Admin, BuiltIn::Member, BuiltIn::Viewer] {
            assert!(Grants::of(role).within(admin).is_ok(), "{role}");
        }
        assert!(Grants::of(BuiltIn::Owner).within(admin).is_err());
        assert!(Grants::of(BuiltIn::Owner).within(owner()).is_ok());
    }

    #[test]
    fn who_reaches_no_descendants_gives_no_role_that_does() {
        let key = Rights {
            here: BuiltIn::Owner.permissions(),
            below: Permissions::NONE,
        };
        assert!(Grants::of(BuiltIn::Admin).within(key).is_err());
        assert!(Grants::of(BuiltIn::Member).within(key).is_ok());
    }

    #[test]
    fn a_role_permits_nothing_on_the_platform_and_manages_descendants_only() {
        for name in ["platform.tenants.manage", "tenants.manage", "fly"] {
            assert!(permissions(&names(&[name])).is_err(), "{name}");
        }
        assert!(permissions(&[]).is_err());
        assert!(inherited(&names(&["tenants.manage"])).is_ok());
        assert!(inherited(&names(&["platform.content.access"])).is_err());
        assert_eq!(inherited(&[]), Ok(Permissions::NONE));
    }

    #[test]
    fn a_change_is_bounded_by_what_the_role_was_and_by_what_it_becomes() {
        let role = Role {
            grants: Grants {
                permissions: Permissions::of(&[P::MembersRead]),
                inherited: Permissions::NONE,
            },
            ..Role::built_in(TenantId::new(), BuiltIn::Viewer)
        };
        let to = |permissions| Patch {
            permissions: Some(permissions),
            ..Patch::default()
        };
        let reader = Rights {
            here: Permissions::of(&[P::MembersRead, P::RolesManage]),
            below: Permissions::NONE,
        };
        let less = Permissions::of(&[P::RolesManage]);
        let more = Permissions::of(&[P::MembersManage]);
        assert!(role.update(to(less), reader).is_ok());
        assert!(role.update(to(more), reader).is_err(), "raised");
        let raised = role.update(to(more), owner()).unwrap();
        assert!(raised.update(to(less), reader).is_err(), "lowered");
    }
}
