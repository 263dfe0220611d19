//! What a principal may do in a tenant.

use tenantry_core::tenant::{Admission, Caller, MethodKind, Stop};
use tenantry_core::{Permission as P, Permissions, RequestContext, TenantId, TenantStatus};

use super::principal::Membership;
use crate::error::Error;

/// What acts on tenants as a whole.
const TENANTS: Permissions = Permissions::of(&[
    P::TenantsRead,
    P::TenantsUpdate,
    P::TenantsCreate,
    P::TenantsManage,
]);

/// Everything that an operator holds: the platform permissions, and what they mean in every tenant. Managing tenants
/// doesn't give the right to their content, nor the other way round.
pub(crate) fn of_operator(platform: Permissions) -> Permissions {
    let platform = platform.intersection(Permissions::PLATFORM);
    let mut all = platform;
    if platform.contains(P::PlatformTenantsManage) {
        all = all.union(TENANTS);
    }
    if platform.contains(P::PlatformContentAccess) {
        let content = Permissions::of(P::ALL).without(Permissions::PLATFORM.union(TENANTS));
        all = all.union(content).union(Permissions::of(&[P::TenantsRead]));
    }
    all
}

/// What a credential reaches in one tenant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// It acts there with these permissions.
    Admitted(Permissions),
    /// It belongs there, but the tenant can't be used for now.
    Stopped(Stop),
    /// For this credential there is no such tenant.
    Absent,
}

/// A tenant on the way up from the chosen one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ancestor {
    pub(crate) id: TenantId,
    pub(crate) status: TenantStatus,
}

/// What a user's memberships reach in a tenant with these ancestors, nearest first. The tenant's own status binds those
/// who belong to it, not those who manage it from above; what is inherited stops at an ancestor that isn't in use.
pub(crate) fn of_user(
    memberships: &[Membership],
    tenant: TenantId,
    status: TenantStatus,
    ancestors: &[Ancestor],
) -> Reach {
    let roles = |id: TenantId| {
        memberships
            .iter()
            .filter(move |m| m.tenant == id)
            .flat_map(|m| m.roles.iter().copied())
    };
    let inherited = ancestors
        .iter()
        .take_while(|ancestor| ancestor.status.is_active())
        .flat_map(|ancestor| roles(ancestor.id))
        .fold(Permissions::NONE, |all, role| all.union(role.inherited()));
    let own = roles(tenant).fold(Permissions::NONE, |all, role| all.union(role.permissions()));
    match (own.is_empty(), status.admission()) {
        (false, Admission::Admitted) => Reach::Admitted(own.union(inherited)),
        _ if !inherited.is_empty() => Reach::Admitted(inherited),
        (false, Admission::Stopped(stop)) => Reach::Stopped(stop),
        (true, _) | (false, Admission::Kept | Admission::Absent) => Reach::Absent,
    }
}

/// Refuses a tenant's own people and programs where its status does; those who manage it from above pass. The gateway
/// has done so already: this is the wall behind it.
pub(crate) fn admit(ctx: &RequestContext, status: TenantStatus) -> Result<(), Error> {
    let caller = Caller::of(ctx.principal.kind, ctx.permissions);
    let method = if tenantry_proto::methods::is_read_only(&ctx.method) {
        MethodKind::Read
    } else {
        MethodKind::Change
    };
    match status.admits(caller, method) {
        Admission::Admitted => Ok(()),
        Admission::Stopped(stop) => Err(Error::Stopped(stop)),
        Admission::Kept => Err(Error::Kept(status)),
        Admission::Absent => Err(Error::TenantNotFound),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tenantry_core::role::Role;

    fn member(tenant: TenantId, role: Role) -> Vec<Membership> {
        vec![Membership {
            tenant,
            roles: vec![role],
        }]
    }

    fn ancestor(id: TenantId, status: TenantStatus) -> Ancestor {
        Ancestor { id, status }
    }

    #[test]
    fn managing_tenants_gives_no_right_to_their_content() {
        let first = of_operator(super::super::operator::FIRST);
        assert!(first.contains(P::TenantsManage) && !first.contains(P::MembersRead));
        assert!(of_operator(Permissions::PLATFORM).covers(Permissions::of(P::ALL)));
        assert_eq!(of_operator(Role::Owner.permissions()), Permissions::NONE);
    }

    #[test]
    fn a_role_reaches_down_where_it_says_so_and_never_up() {
        let (own, above, other) = (TenantId::new(), TenantId::new(), TenantId::new());
        let up = [ancestor(above, TenantStatus::Active)];
        let of = |memberships: &[Membership]| of_user(memberships, own, TenantStatus::Active, &up);
        assert_eq!(
            of(&member(own, Role::Viewer)),
            Reach::Admitted(Role::Viewer.permissions())
        );
        assert_eq!(
            of(&member(above, Role::Owner)),
            Reach::Admitted(Role::Owner.inherited())
        );
        assert_eq!(of(&member(above, Role::Member)), Reach::Absent);
        assert_eq!(of(&member(other, Role::Owner)), Reach::Absent);
        let upward = of_user(&member(own, Role::Owner), above, TenantStatus::Active, &[]);
        assert_eq!(upward, Reach::Absent);
    }

    #[test]
    fn suspension_binds_the_tenants_own_and_is_unseen_by_others() {
        let (own, above) = (TenantId::new(), TenantId::new());
        let up = [ancestor(above, TenantStatus::Trial)];
        let of = |memberships: &[Membership], status| of_user(memberships, own, status, &up);
        assert_eq!(
            of(&member(own, Role::Owner), TenantStatus::Suspended),
            Reach::Stopped(Stop::Suspended)
        );
        assert_eq!(
            of(&member(own, Role::Owner), TenantStatus::Deleted),
            Reach::Absent
        );
        assert_eq!(
            of(
                &member(TenantId::new(), Role::Owner),
                TenantStatus::Suspended
            ),
            Reach::Absent
        );
        assert_eq!(
            of(&member(above, Role::Admin), TenantStatus::Suspended),
            Reach::Admitted(Role::Admin.inherited())
        );
    }

    #[test]
    fn what_is_inherited_stops_at_a_suspended_ancestor() {
        let (own, middle, top) = (TenantId::new(), TenantId::new(), TenantId::new());
        let up = [
            ancestor(middle, TenantStatus::Suspended),
            ancestor(top, TenantStatus::Active),
        ];
        for holder in [middle, top] {
            let reach = of_user(&member(holder, Role::Owner), own, TenantStatus::Active, &up);
            assert_eq!(reach, Reach::Absent);
        }
    }
}
