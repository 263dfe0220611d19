//! Identifiers as types, so that no function takes a user for a tenant. All are UUIDv7 (RFC 9562): sortable by time.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Uuid);

        impl $name {
            /// A new identifier.
            #[must_use]
            #[allow(clippy::disallowed_methods, clippy::new_without_default)]
            pub fn new() -> Self {
                Self(Uuid::now_v7())
            }

            /// The identifier as stores and wires know it.
            #[must_use]
            pub const fn uuid(self) -> Uuid {
                self.0
            }
        }

        impl From<Uuid> for $name {
            fn from(uuid: Uuid) -> Self {
                Self(uuid)
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                text.parse().map(Self)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

id!(
    /// A customer organisation.
    TenantId
);
id!(
    /// A product whose tenants these are.
    ProjectId
);
id!(
    /// A plan of a project, whatever its version.
    PlanId
);
id!(
    /// A person.
    UserId
);
id!(
    /// A credential of a program.
    ApiKeyId
);
id!(
    /// An invitation to join a tenant.
    InvitationId
);
id!(
    /// A program of a tenant, as a principal.
    ServiceAccountId
);
id!(
    /// A signed-in session of a user.
    SessionId
);
id!(
    /// A role that a tenant defined.
    RoleId
);
id!(
    /// A custom domain of a tenant.
    DomainId
);
id!(
    /// An OpenID provider of a tenant or a project.
    IdentityProviderId
);
id!(
    /// An event: one change that happened.
    EventId
);
id!(
    /// What keeps a tenant from being deleted.
    LegalHoldId
);
id!(
    /// A limit of one tenant that stands apart from its plan's.
    LimitOverrideId
);
id!(
    /// One use that the usage log has.
    UsageId
);
id!(
    /// That so much of a limit is used, as it was told.
    UsageAlertId
);
id!(
    /// What is held of limits for something that is under way.
    ReservationId
);
id!(
    /// A place that a member or an API key takes of what its tenant may have.
    SeatId
);
id!(
    /// An import of many tenants from one file.
    TenantImportId
);

impl TenantId {
    /// The scope of what belongs to no tenant: the platform's own stream, records and keys.
    pub const PLATFORM: Self = Self(Uuid::nil());

    /// Whether this is [`TenantId::PLATFORM`].
    #[must_use]
    pub fn is_platform(self) -> bool {
        self == Self::PLATFORM
    }
}
