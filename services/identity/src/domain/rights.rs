//! What a principal may do in a tenant.

use std::sync::Arc;

use tenantry_core::tenant::{Admission, Caller, MethodKind, Stop};
use tenantry_core::{Permission as P, Permissions, RequestContext, TenantId, TenantStatus};

use super::principal::{Account, Key, Membership, Standing};
use super::role::Grants;
use crate::error::Error;

/// Everything that an operator holds: the platform permissions, and what they mean in every tenant. Managing tenants
/// doesn't give the right to their content, nor the other way round.
pub(crate) fn of_operator(platform: Permissions) -> Permissions {
    let platform = platform.intersection(Permissions::PLATFORM);
    let mut all = platform;
    if platform.contains(P::PlatformTenantsManage) {
        all = all.union(Permissions::TENANTS);
    }
    if platform.contains(P::PlatformContentAccess) {
        let content =
            Permissions::of(P::ALL).without(Permissions::PLATFORM.union(Permissions::TENANTS));
        all = all.union(content).union(Permissions::of(&[P::TenantsRead]));
    }
    all
}

/// What a principal may do in a tenant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Rights {
    /// In the tenant itself.
    pub(crate) here: Permissions,
    /// In the tenants below it, as far as they are reached.
    pub(crate) below: Permissions,
}

impl Rights {
    pub(crate) const NONE: Self = Self::everywhere(Permissions::NONE);

    /// Those of a request's caller in its tenant.
    pub(crate) const fn of(ctx: &RequestContext) -> Self {
        Self {
            here: ctx.permissions,
            below: ctx.below,
        }
    }

    /// The same in every tenant.
    pub(crate) const fn everywhere(permissions: Permissions) -> Self {
        Self {
            here: permissions,
            below: permissions,
        }
    }
}

/// What a principal reaches in one tenant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// It acts there with these rights.
    Admitted(Rights),
    /// It belongs there, but the tenant can't be used for now.
    Stopped(Stop),
    /// For this principal there is no such tenant.
    Absent,
}

/// A tenant on the way up from the chosen one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ancestor {
    pub(crate) id: TenantId,
    pub(crate) status: TenantStatus,
}

/// The tenants that a principal may act in, and what it may do there. Everything that asks for rights asks here: the
/// gateway's decision about a request, and questions about permissions.
#[derive(Clone, Debug)]
pub(crate) enum Realm {
    /// All tenants, with these permissions.
    All(Permissions),
    /// One tenant, with these permissions.
    One(TenantId, Permissions),
    /// Where memberships reach.
    Memberships(Arc<Standing>),
}

impl Realm {
    /// That of a user. An operator acts as one everywhere: no membership of its own adds to it.
    pub(crate) fn of_user(standing: &Arc<Standing>) -> Self {
        let platform = of_operator(standing.platform);
        if platform.is_empty() {
            Self::Memberships(Arc::clone(standing))
        } else {
            Self::All(platform)
        }
    }

    /// That of a key.
    pub(crate) fn of_key(key: &Key) -> Self {
        if key.tenant.is_platform() {
            Self::All(of_operator(key.permissions))
        } else {
            Self::One(key.tenant, key.permissions.without(Permissions::PLATFORM))
        }
    }

    /// That of a service account.
    pub(crate) fn of_account(account: Account) -> Self {
        let permissions = account.permissions.without(Permissions::PLATFORM);
        Self::One(account.tenant, permissions)
    }

    /// What is allowed where no tenant is chosen.
    pub(crate) const fn of_none(&self) -> Rights {
        match self {
            Self::All(permissions) => Rights::everywhere(*permissions),
            Self::One(..) | Self::Memberships(_) => Rights::NONE,
        }
    }

    /// What is reached in a tenant with these ancestors, nearest first.
    pub(crate) fn reach(
        &self,
        tenant: TenantId,
        status: TenantStatus,
        ancestors: &[Ancestor],
    ) -> Reach {
        match self {
            Self::All(permissions) => Reach::Admitted(Rights::everywhere(*permissions)),
            Self::One(own, permissions) if *own == tenant => match status.admission() {
                Admission::Admitted => Reach::Admitted(Rights {
                    here: *permissions,
                    below: Permissions::NONE,
                }),
                Admission::Stopped(stop) => Reach::Stopped(stop),
                Admission::Kept | Admission::Absent => Reach::Absent,
            },
            Self::One(..) => Reach::Absent,
            Self::Memberships(standing) => {
                of_memberships(&standing.memberships, tenant, status, ancestors)
            }
        }
    }
}

/// What memberships reach. The tenant's own status binds those who belong to it, not those who manage it from above; what
/// is inherited stops at an ancestor that isn't in use.
fn of_memberships(
    memberships: &[Membership],
    tenant: TenantId,
    status: TenantStatus,
    ancestors: &[Ancestor],
) -> Reach {
    let of = |id: TenantId| {
        memberships
            .iter()
            .filter(move |m| m.tenant == id)
            .fold(Grants::NONE, |all, m| all.union(m.grants))
    };
    let inherited = ancestors
        .iter()
        .take_while(|ancestor| ancestor.status.is_active())
        .fold(Permissions::NONE, |all, ancestor| {
            all.union(of(ancestor.id).inherited)
        });
    let own = of(tenant);
    let all = own.permissions.union(inherited);
    match status.admission() {
        _ if all.is_empty() => Reach::Absent,
        Admission::Admitted => Reach::Admitted(Rights {
            here: all,
            below: own.inherited.union(inherited),
        }),
        _ if inherited.contains(P::TenantsManage) => Reach::Admitted(Rights::everywhere(inherited)),
        Admission::Stopped(stop) => Reach::Stopped(stop),
        Admission::Kept | Admission::Absent => Reach::Absent,
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
            grants: Grants::of(role),
            roles: vec![role.into()],
            own_roles: Vec::new(),
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
        let of = |memberships: &[Membership]| {
            of_memberships(memberships, own, TenantStatus::Active, &up)
        };
        assert_eq!(
            of(&member(own, Role::Viewer)),
            Reach::Admitted(Rights {
                here: Role::Viewer.permissions(),
                below: Permissions::NONE,
            })
        );
        assert_eq!(
            of(&member(above, Role::Owner)),
            Reach::Admitted(Rights::everywhere(Role::Owner.inherited()))
        );
        assert_eq!(of(&member(above, Role::Member)), Reach::Absent);
        assert_eq!(of(&member(other, Role::Owner)), Reach::Absent);
        let upward = of_memberships(&member(own, Role::Owner), above, TenantStatus::Active, &[]);
        assert_eq!(upward, Reach::Absent);
    }

    #[test]
    fn suspension_binds_the_tenants_own_and_is_unseen_by_others() {
        let (own, above) = (TenantId::new(), TenantId::new());
        let up = [ancestor(above, TenantStatus::Trial)];
        let of = |memberships: &[Membership], status| of_memberships(memberships, own, status, &up);
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
            Reach::Admitted(Rights::everywhere(Role::Admin.inherited()))
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
            let reach =
                of_memberships(&member(holder, Role::Owner), own, TenantStatus::Active, &up);
            assert_eq!(reach, Reach::Absent);
        }
    }

    #[test]
    fn who_only_reads_from_above_is_stopped_with_the_tenant() {
        let (own, above) = (TenantId::new(), TenantId::new());
        let up = [ancestor(above, TenantStatus::Active)];
        let reader = Permissions::of(&[P::MembersRead]);
        let mut reading = member(above, Role::Viewer);
        reading[0].grants.inherited = reader;
        let of = |status| of_memberships(&reading, own, status, &up);
        let admitted = Reach::Admitted(Rights::everywhere(reader));
        assert_eq!(of(TenantStatus::Active), admitted);
        assert_eq!(of(TenantStatus::Suspended), Reach::Stopped(Stop::Suspended));
        assert_eq!(of(TenantStatus::Deleted), Reach::Absent);
    }
}
