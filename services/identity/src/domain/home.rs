//! Which of its tenants a user is of: the one in whose log its attempts are told.

use tenantry_core::TenantId;

use super::principal::Membership;
use super::rights::Ancestor;

/// The tenant whose membership gives a user what it reaches in a tenant with these ancestors, nearest first: that tenant
/// itself, else the nearest above from where a membership reaches down.
pub(crate) fn giver(
    memberships: &[Membership],
    tenant: TenantId,
    ancestors: &[Ancestor],
) -> Option<TenantId> {
    if memberships.iter().any(|own| own.tenant == tenant) {
        return Some(tenant);
    }
    ancestors
        .iter()
        .take_while(|ancestor| ancestor.status.is_active())
        .map(|ancestor| ancestor.id)
        .find(|above| {
            let mut own = memberships.iter().filter(|own| own.tenant == *above);
            own.any(|own| !own.grants.inherited.is_empty())
        })
}

#[cfg(test)]
mod tests {
    use tenantry_core::TenantStatus;
    use tenantry_core::role::Role;

    use super::*;
    use crate::domain::role::Grants;

    fn member(tenant: TenantId, role: Role) -> Membership {
        Membership {
            tenant,
            grants: Grants::of(role),
            roles: vec![role.into()],
            own_roles: Vec::new(),
        }
    }

    fn ancestor(id: TenantId, status: TenantStatus) -> Ancestor {
        Ancestor { id, status }
    }

    #[test]
    fn a_membership_in_the_tenant_itself_comes_before_all_above() {
        let (own, above) = (TenantId::new(), TenantId::new());
        let memberships = [member(above, Role::Owner), member(own, Role::Viewer)];
        let up = [ancestor(above, TenantStatus::Active)];
        assert_eq!(giver(&memberships, own, &up), Some(own));
    }

    #[test]
    fn the_nearest_above_that_reaches_down_gives() {
        let (own, near, middle, top) = (
            TenantId::new(),
            TenantId::new(),
            TenantId::new(),
            TenantId::new(),
        );
        let memberships = [
            member(top, Role::Owner),
            member(middle, Role::Admin),
            // Reaches nothing below.
            member(near, Role::Member),
        ];
        let up = [near, middle, top].map(|id| ancestor(id, TenantStatus::Active));
        assert_eq!(giver(&memberships, own, &up), Some(middle));
        assert_eq!(giver(&memberships[2..], own, &up), None);
    }

    #[test]
    fn nothing_comes_from_above_what_is_out_of_use() {
        let (own, near, top) = (TenantId::new(), TenantId::new(), TenantId::new());
        let up = [
            ancestor(near, TenantStatus::Suspended),
            ancestor(top, TenantStatus::Active),
        ];
        assert_eq!(giver(&[member(top, Role::Owner)], own, &up), None);
    }
}
