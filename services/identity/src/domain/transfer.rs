//! Moving members from one tenant to another: what becomes of each.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use tenantry_core::{Refusal, UserId};

use super::member::Member;
use super::rights::Rights;
use super::role::{Grants, Role, RoleKey};
use crate::error::Error;

/// Most users of one transfer.
pub(crate) const MAX_USERS: usize = 1_000;
/// Most roles that it gives in the place of others.
pub(crate) const MAX_MAPPINGS: usize = 100;

/// How they are to move.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// Each once, in the order of the request.
    pub(crate) users: Vec<UserId>,
    /// A role in the place of another.
    pub(crate) role_map: BTreeMap<RoleKey, RoleKey>,
    pub(crate) keep_in_source: bool,
}

/// What became of one user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Outcome {
    pub(crate) user: UserId,
    pub(crate) verdict: Verdict,
}

impl Outcome {
    /// Whether the user moves.
    pub(crate) const fn moves(&self) -> bool {
        matches!(self.verdict, Verdict::Moved { .. })
    }
}

/// Whether a user moves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Verdict {
    Moved {
        roles: Vec<RoleKey>,
        /// Whether their password doesn't reach the tenant that they move to.
        #[serde(default)]
        needs_reset: bool,
    },
    AlreadyMember,
    Refused {
        reason: String,
        message: String,
    },
}

/// What there is of roles in one of the two tenants.
#[derive(Clone, Debug)]
pub(crate) struct Side {
    /// What the caller may do there.
    pub(crate) own: Rights,
    /// The roles in question that the tenant defined.
    pub(crate) roles: Vec<Role>,
}

impl Side {
    /// Refuses unless the caller may give, or take, these roles here.
    fn admits(&self, keys: &[RoleKey]) -> Result<(), Error> {
        Grants::sum(keys, &self.roles)?.within(self.own)
    }
}

/// The two tenants as they stand, locked.
pub(crate) struct Standing<'a> {
    /// The users' memberships in the tenant that they leave.
    pub(crate) in_source: &'a BTreeMap<UserId, Member>,
    /// Those who are members of the other tenant already.
    pub(crate) in_target: &'a BTreeSet<UserId>,
    /// Those whose password the people of a tenant other than that one chose, so that it doesn't reach it.
    pub(crate) bound_elsewhere: &'a BTreeSet<UserId>,
    /// All owners of the tenant that they leave.
    pub(crate) owners: &'a [UserId],
    pub(crate) source: &'a Side,
    pub(crate) target: &'a Side,
}

impl Plan {
    /// What becomes of these roles.
    pub(crate) fn mapped(&self, roles: &[RoleKey]) -> Vec<RoleKey> {
        let roles: BTreeSet<_> = roles
            .iter()
            .map(|role| self.role_map.get(role).unwrap_or(role))
            .collect();
        roles.into_iter().cloned().collect()
    }

    /// What becomes of each user. They are taken in turn, so the last of the owners to go is the one that stays.
    pub(crate) fn decide(&self, now: &Standing<'_>) -> Vec<Outcome> {
        let mut owners: BTreeSet<UserId> = now.owners.iter().copied().collect();
        self.users
            .iter()
            .map(|user| Outcome {
                user: *user,
                verdict: self
                    .verdict(now, *user, &mut owners)
                    .unwrap_or_else(|error| refused(error.into())),
            })
            .collect()
    }

    fn verdict(
        &self,
        now: &Standing<'_>,
        user: UserId,
        owners: &mut BTreeSet<UserId>,
    ) -> Result<Verdict, Error> {
        let member = now.in_source.get(&user).ok_or(Error::UserNotFound)?;
        if now.in_target.contains(&user) {
            return Ok(Verdict::AlreadyMember);
        }
        let roles = self.mapped(&member.roles);
        now.target.admits(&roles)?;
        if !self.keep_in_source {
            now.source.admits(&member.roles)?;
            if owners.len() == 1 && owners.contains(&user) {
                return Err(Error::LastOwner);
            }
            owners.remove(&user);
        }
        Ok(Verdict::Moved {
            roles,
            needs_reset: now.bound_elsewhere.contains(&user),
        })
    }
}

/// That a user doesn't move, and why.
pub(crate) fn refused(refusal: Refusal) -> Verdict {
    Verdict::Refused {
        reason: refusal.reason.word().to_owned(),
        message: refusal.message,
    }
}

impl Verdict {
    /// The word that the API shows.
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::Moved { .. } => "moved",
            Self::AlreadyMember => "already_member",
            Self::Refused { .. } => "refused",
        }
    }

    /// Whether it was refused for this reason.
    #[cfg(test)]
    fn is_refused_for(&self, why: tenantry_core::Reason) -> bool {
        matches!(self, Self::Refused { reason, .. } if reason == why.word())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tenantry_core::role::Role as BuiltIn;
    use tenantry_core::{Permission as P, Permissions, Reason, TenantId};

    fn member(user: UserId, role: impl Into<RoleKey>) -> (UserId, Member) {
        let member = Member {
            tenant_id: TenantId::new(),
            user_id: user,
            email: "a@example.com".to_owned(),
            name: "a".to_owned(),
            roles: vec![role.into()],
            created_at: tenantry_core::clock::now(),
            username: None,
        };
        (user, member)
    }

    fn plan(users: &[UserId], keep: bool) -> Plan {
        Plan {
            users: users.to_vec(),
            role_map: BTreeMap::new(),
            keep_in_source: keep,
        }
    }

    fn side(role: BuiltIn, roles: Vec<Role>) -> Side {
        let own = Rights {
            here: role.permissions(),
            below: role.inherited(),
        };
        Side { own, roles }
    }

    fn support() -> RoleKey {
        RoleKey::parse("support").unwrap()
    }

    /// A role that a tenant defined.
    fn defined(permissions: &[P]) -> Role {
        let grants = Grants {
            permissions: Permissions::of(permissions),
            inherited: Permissions::NONE,
        };
        Role {
            key: support(),
            grants,
            ..Role::built_in(TenantId::new(), BuiltIn::Viewer)
        }
    }

    #[test]
    fn the_last_owner_stays_and_a_copy_takes_nobody_away() {
        let (one, two) = (UserId::new(), UserId::new());
        let in_source = BTreeMap::from([member(one, BuiltIn::Owner), member(two, BuiltIn::Owner)]);
        let owner = side(BuiltIn::Owner, Vec::new());
        let standing = Standing {
            in_source: &in_source,
            in_target: &BTreeSet::new(),
            bound_elsewhere: &BTreeSet::from([one]),
            owners: &[one, two],
            source: &owner,
            target: &owner,
        };
        let moved = plan(&[one, two], false).decide(&standing);
        assert_eq!(moved[0].verdict.name(), "moved");
        assert!(moved[1].verdict.is_refused_for(Reason::LastOwner));
        let copied = plan(&[one, two], true).decide(&standing);
        assert!(copied.iter().all(|one| one.verdict.name() == "moved"));
        let needs_reset = |one: &Outcome| {
            matches!(
                &one.verdict,
                Verdict::Moved {
                    needs_reset: true,
                    ..
                }
            )
        };
        let told: Vec<_> = copied.iter().map(needs_reset).collect();
        assert_eq!(told, [true, false], "the password of one is bound");
    }

    #[test]
    fn nobody_gives_there_or_takes_here_more_than_they_hold() {
        let (owner, other, absent) = (UserId::new(), UserId::new(), UserId::new());
        let in_source = BTreeMap::from([
            member(owner, BuiltIn::Owner),
            member(other, BuiltIn::Viewer),
        ]);
        let (all, less) = (
            side(BuiltIn::Owner, Vec::new()),
            side(BuiltIn::Admin, Vec::new()),
        );
        let standing = Standing {
            in_source: &in_source,
            in_target: &BTreeSet::from([other]),
            bound_elsewhere: &BTreeSet::new(),
            owners: &[owner, UserId::new()],
            source: &all,
            target: &less,
        };
        let users = [owner, other, absent];
        let outcomes = plan(&users, false).decide(&standing);
        assert!(outcomes[0].verdict.is_refused_for(Reason::GrantExceedsOwn));
        assert_eq!(outcomes[1].verdict, Verdict::AlreadyMember);
        assert!(outcomes[2].verdict.is_refused_for(Reason::UserNotFound));
        let mapped = Plan {
            role_map: BTreeMap::from([(BuiltIn::Owner.into(), BuiltIn::Member.into())]),
            ..plan(&users, false)
        };
        let roles = vec![BuiltIn::Member.into()];
        assert_eq!(
            mapped.decide(&standing)[0].verdict,
            Verdict::Moved {
                roles,
                needs_reset: false
            }
        );
        // What may be given there may be too much to take here.
        let standing = Standing {
            source: &less,
            ..standing
        };
        let taken = mapped.decide(&standing);
        assert!(taken[0].verdict.is_refused_for(Reason::GrantExceedsOwn));
    }

    #[test]
    fn a_role_that_a_tenant_defined_is_what_the_other_one_defines_by_its_key() {
        let user = UserId::new();
        let in_source = BTreeMap::from([member(user, support())]);
        let here = side(BuiltIn::Admin, vec![defined(&[P::MembersRead])]);
        let verdict = |roles: Vec<Role>| {
            let standing = Standing {
                in_source: &in_source,
                in_target: &BTreeSet::new(),
                bound_elsewhere: &BTreeSet::new(),
                owners: &[],
                source: &here,
                target: &side(BuiltIn::Admin, roles),
            };
            plan(&[user], false).decide(&standing).remove(0).verdict
        };
        assert!(verdict(Vec::new()).is_refused_for(Reason::RoleNotFound));
        assert_eq!(verdict(vec![defined(&[P::MembersRead])]).name(), "moved");
        let beyond = verdict(vec![defined(&[P::TenantsManage])]);
        assert!(beyond.is_refused_for(Reason::GrantExceedsOwn));
    }
}
