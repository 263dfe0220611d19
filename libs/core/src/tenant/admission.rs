//! What a tenant's status admits: one function of the status, of who asks, and of the kind of method they call. Its whole
//! table is a golden file.

use super::TenantStatus;
use crate::context::PrincipalKind;
use crate::permission::{Permission, Permissions};
use crate::refusal::{Reason, Refusal};

/// What nobody holds as one of the tenant's own people or programs.
const FROM_ABOVE: Permissions =
    Permissions::PLATFORM.union(Permissions::of(&[Permission::TenantsManage]));

/// Who asks, as far as a tenant's status tells callers apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Caller {
    /// A person or program of the tenant itself.
    Own,
    /// Someone who manages it from a tenant above.
    Above,
    /// An operator of the platform.
    Operator,
    /// A service of the fleet, at its own work.
    Fleet,
}

/// What kind of method is called, as far as a tenant's status tells methods apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MethodKind {
    /// Changes nothing.
    Read,
    /// Changes the tenant's description or what belongs to it.
    Change,
    /// Moves the tenant itself along in its life or in the tree: suspend, archive, delete, hold, move, and back.
    LifeCycle,
}

/// Why a tenant's own people and programs can't use it for now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// It is still being set up.
    Provisioning,
    /// It is suspended.
    Suspended,
    /// It is archived.
    Archived,
}

/// What a tenant's status means for a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// The request passes.
    Admitted,
    /// It is refused with a reason that says what stopped the tenant.
    Stopped(Stop),
    /// It is refused with `STATUS_FORBIDS`: the tenant is kept as it was.
    Kept,
    /// The tenant is answered like one that doesn't exist.
    Absent,
}

impl Caller {
    /// All kinds of callers.
    pub const ALL: &[Self] = &[Self::Own, Self::Above, Self::Operator, Self::Fleet];

    /// The caller of this kind who holds these permissions in the tenant.
    #[must_use]
    pub const fn of(kind: PrincipalKind, permissions: Permissions) -> Self {
        match kind {
            PrincipalKind::Service => Self::Fleet,
            PrincipalKind::User
            | PrincipalKind::ApiKey
            | PrincipalKind::ServiceAccount
            | PrincipalKind::Anonymous => Self::with(permissions),
        }
    }

    /// The person or program that holds these permissions in the tenant.
    const fn with(permissions: Permissions) -> Self {
        if !permissions.intersection(Permissions::PLATFORM).is_empty() {
            Self::Operator
        } else if permissions.intersection(FROM_ABOVE).is_empty() {
            Self::Own
        } else {
            Self::Above
        }
    }
}

impl MethodKind {
    /// All kinds of methods.
    pub const ALL: &[Self] = &[Self::Read, Self::Change, Self::LifeCycle];
}

impl TenantStatus {
    /// What this status means for a request: the one rule, for every service.
    #[must_use]
    pub const fn admits(self, caller: Caller, method: MethodKind) -> Admission {
        match (caller, self, method) {
            (Caller::Fleet, _, _)
            | (_, Self::Trial | Self::Active, _)
            | (Caller::Above | Caller::Operator, Self::Provisioning | Self::Suspended, _)
            | (
                Caller::Above | Caller::Operator,
                Self::Archived | Self::Deleted,
                MethodKind::Read | MethodKind::LifeCycle,
            ) => Admission::Admitted,
            (
                Caller::Above | Caller::Operator,
                Self::Archived | Self::Deleted,
                MethodKind::Change,
            ) => Admission::Kept,
            (Caller::Own, Self::Provisioning, _) => Admission::Stopped(Stop::Provisioning),
            (Caller::Own, Self::Suspended, _) => Admission::Stopped(Stop::Suspended),
            (Caller::Own, Self::Archived, _) => Admission::Stopped(Stop::Archived),
            (Caller::Own, Self::Deleted, _) => Admission::Absent,
        }
    }

    /// What this status means for the tenant's own people and programs, whatever they call.
    #[must_use]
    pub const fn admission(self) -> Admission {
        self.admits(Caller::Own, MethodKind::Read)
    }

    /// What this status means for whoever holds these permissions in the tenant, before it is known what they call:
    /// operators, and those who manage it from a tenant above, are admitted whatever it is.
    #[must_use]
    pub const fn admission_of(self, permissions: Permissions) -> Admission {
        self.admits(Caller::with(permissions), MethodKind::LifeCycle)
    }
}

impl Refusal {
    /// The refusal of a tenant's own people while it is stopped.
    #[must_use]
    pub fn tenant_stopped(stop: Stop) -> Self {
        match stop {
            Stop::Provisioning => Self::new(
                Reason::TenantProvisioning,
                "This tenant is still being set up. Try again once it is in use, or ask whoever manages it.",
            ),
            Stop::Suspended => Self::new(
                Reason::TenantSuspended,
                "This tenant is suspended. Ask whoever manages it to resume it.",
            ),
            Stop::Archived => Self::new(
                Reason::TenantArchived,
                "This tenant is archived. Ask whoever manages it to resume it.",
            ),
        }
    }

    /// The refusal of a change of a tenant that is kept as it was.
    #[must_use]
    pub fn tenant_kept(status: TenantStatus) -> Self {
        let back = match status {
            TenantStatus::Deleted => "Undelete it first.",
            TenantStatus::Archived
            | TenantStatus::Provisioning
            | TenantStatus::Trial
            | TenantStatus::Active
            | TenantStatus::Suspended => "Resume it first.",
        };
        Self::new(
            Reason::StatusForbids,
            format!("This tenant is {status}, and is kept as it was. {back}"),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::role::Role;

    #[test]
    fn a_caller_is_told_by_what_nobody_of_the_tenant_holds() {
        let user = |permissions| Caller::of(PrincipalKind::User, permissions);
        for own in [Permissions::NONE, Role::Owner.permissions()] {
            assert_eq!(user(own), Caller::Own);
        }
        assert_eq!(user(Role::Owner.inherited()), Caller::Above);
        let operator = Permissions::of(&[Permission::PlatformContentAccess]);
        assert_eq!(user(operator), Caller::Operator);
        let service = Caller::of(PrincipalKind::Service, Permissions::NONE);
        assert_eq!(service, Caller::Fleet);
    }

    #[test]
    fn who_comes_from_above_always_gets_to_the_tenant() {
        for status in TenantStatus::ALL {
            for above in [Caller::Above, Caller::Operator, Caller::Fleet] {
                for method in [MethodKind::Read, MethodKind::LifeCycle] {
                    assert_eq!(status.admits(above, method), Admission::Admitted);
                }
            }
        }
    }

    #[test]
    fn own_people_are_answered_alike_whatever_they_call() {
        for status in TenantStatus::ALL {
            for method in MethodKind::ALL {
                assert_eq!(status.admits(Caller::Own, *method), status.admission());
            }
        }
    }
}
