//! Who is asking, in which tenant, and what they may do there: what a verified assertion says, for the time of one
//! request.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::ids::TenantId;
use crate::permission::{Permission, Permissions};
use crate::refusal::{Reason, Refusal};
use crate::tenant::TenantRef;

/// What kind of principal acts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PrincipalKind {
    /// A person.
    User,
    /// A program with an API key of its own.
    ApiKey,
    /// A program with a name, and any of its keys.
    ServiceAccount,
    /// A service of the fleet.
    Service,
    /// Nobody yet: a public method.
    Anonymous,
}

impl PrincipalKind {
    /// The name, as the API and events show it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::ApiKey => "api_key",
            Self::ServiceAccount => "service_account",
            Self::Service => "service",
            Self::Anonymous => "anonymous",
        }
    }
}

/// Who acts.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Principal {
    /// What kind of principal.
    pub kind: PrincipalKind,
    /// Its id; nil for a service or nobody.
    pub id: Uuid,
    /// E-mail address of a person, name of a service; else empty.
    pub name: String,
}

impl Principal {
    /// Nobody, on a public method.
    #[must_use]
    pub fn anonymous() -> Self {
        Self {
            kind: PrincipalKind::Anonymous,
            id: Uuid::nil(),
            name: String::new(),
        }
    }

    /// A service of the fleet, by its name.
    #[must_use]
    pub fn service(name: &str) -> Self {
        Self {
            kind: PrincipalKind::Service,
            id: Uuid::nil(),
            name: name.to_owned(),
        }
    }

    /// The key under which idempotency records of this principal stand.
    #[must_use]
    pub fn key(&self) -> String {
        match self.kind {
            PrincipalKind::Service => format!("service:{}", self.name),
            PrincipalKind::User
            | PrincipalKind::ApiKey
            | PrincipalKind::ServiceAccount
            | PrincipalKind::Anonymous => {
                format!("{}:{}", self.kind.name(), self.id)
            }
        }
    }
}

/// The tenant that a request acts on, or why there is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TenantSelection {
    /// This one.
    Chosen {
        /// Its id.
        id: TenantId,
        /// Its slug.
        slug: String,
    },
    /// None was named and none follows from the credential.
    None,
    /// One was named that the credential doesn't reach, or that doesn't exist.
    NotFound,
    /// Two different ones were named, or two projects.
    Conflict,
}

/// Where a request came from, for events and logs. The gateway sets all of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// Address of the client.
    pub ip: String,
    /// Its user agent, at most 256 characters.
    pub user_agent: String,
    /// The gateway's id of the request.
    pub request_id: String,
    /// W3C trace id.
    pub trace_id: String,
}

/// Everything that is known of one request's caller.
#[derive(Clone, Debug)]
pub struct RequestContext {
    /// Who acts.
    pub principal: Principal,
    /// In which tenant.
    pub tenant: TenantSelection,
    /// What is allowed there, and on the platform.
    pub permissions: Permissions,
    /// What is allowed in the tenants below it that are reached.
    pub below: Permissions,
    /// When the credential ends; a stream ends with it.
    pub expires_at: Option<Timestamp>,
    /// Id of the session or key that the request was made with.
    pub credential: String,
    /// Key of the project that slugs in the message are of, where the request names one; else empty.
    pub project: String,
    /// The tenant that the principal is of, whichever one it acts in: what it tried and was refused is told in that one's log.
    /// None for operators, and for who is of no tenant: then it is told in the platform's.
    pub home: Option<TenantId>,
    /// Where it came from.
    pub origin: Origin,
    /// Full gRPC method, `/package.Service/Method`.
    pub method: String,
    /// Name of the service of the fleet that calls, by whose key signed its assertion; empty for what comes by the gateway.
    pub service: String,
}

/// What a request acts on, once the names in it were held against the identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// The tenant that the gateway chose.
    Chosen(TenantId),
    /// A tenant that an operator named in the message alone: still to be looked up.
    Named(TenantRef),
}

impl RequestContext {
    /// What a service does by nobody's request, as at a time that has come.
    #[must_use]
    pub fn of_service(name: &str, permissions: Permissions) -> Self {
        Self {
            principal: Principal::service(name),
            tenant: TenantSelection::None,
            permissions,
            below: Permissions::NONE,
            expires_at: None,
            credential: String::new(),
            project: String::new(),
            home: None,
            origin: Origin::default(),
            method: String::new(),
            service: name.to_owned(),
        }
    }

    /// Refuses unless the permission is held.
    ///
    /// # Errors
    /// PERMISSION_DENIED, naming the permission.
    pub fn require(&self, permission: Permission) -> Result<(), Refusal> {
        if self.allows(permission) {
            Ok(())
        } else {
            Err(Refusal::lacks(permission))
        }
    }

    /// Whether the permission is held.
    #[must_use]
    pub const fn allows(&self, permission: Permission) -> bool {
        self.permissions.contains(permission)
    }

    /// Whether an operator reaches for a tenant's content with this permission: its people, keys and the like, which
    /// managing tenants doesn't open.
    #[must_use]
    pub const fn is_content_access(&self, permission: Permission) -> bool {
        let content = Permissions::of(Permission::ALL)
            .without(Permissions::PLATFORM.union(Permissions::TENANTS));
        self.allows(Permission::PlatformContentAccess) && content.contains(permission)
    }

    /// Whether this is an operator.
    #[must_use]
    pub const fn is_operator(&self) -> bool {
        !self
            .permissions
            .intersection(Permissions::PLATFORM)
            .is_empty()
    }

    /// The chosen tenant, if one is.
    #[must_use]
    pub const fn tenant_id(&self) -> Option<TenantId> {
        match self.tenant {
            TenantSelection::Chosen { id, .. } => Some(id),
            TenantSelection::None | TenantSelection::NotFound | TenantSelection::Conflict => None,
        }
    }

    /// The tenant that the request acts on. `named` is what the message says, which must be empty or the same tenant.
    ///
    /// # Errors
    /// NOT_FOUND for a tenant out of reach, TENANT_REQUIRED where none is named, TENANT_CONFLICT for two.
    pub fn target(&self, named: &str) -> Result<Target, Refusal> {
        self.named_once()?;
        let named = TenantRef::parse(named);
        match (&self.tenant, named) {
            (TenantSelection::NotFound | TenantSelection::Conflict, _) => {
                Err(Refusal::tenant_not_found())
            }
            (TenantSelection::Chosen { id, .. }, None) => Ok(Target::Chosen(*id)),
            (TenantSelection::Chosen { id, slug }, Some(named)) if named.names(*id, slug) => {
                Ok(Target::Chosen(*id))
            }
            (TenantSelection::None, Some(named)) if self.is_operator() => Ok(Target::Named(named)),
            (TenantSelection::None, None) => Err(Self::tenant_required()),
            (TenantSelection::None, Some(_)) if self.principal.kind == PrincipalKind::User => {
                Err(Self::tenant_required())
            }
            (TenantSelection::Chosen { .. } | TenantSelection::None, Some(_)) => {
                Err(Refusal::tenant_not_found())
            }
        }
    }

    /// Refuses a request that names two different tenants or projects, whatever it asks for.
    ///
    /// # Errors
    /// TENANT_CONFLICT.
    pub fn named_once(&self) -> Result<(), Refusal> {
        if self.tenant != TenantSelection::Conflict {
            return Ok(());
        }
        Err(Refusal::new(
            Reason::TenantConflict,
            "The request names two different tenants, or two projects. Name one tenant, in the path or in X-Tenant-ID or X-Tenant-Slug, and no other project in X-Project than its own; at a tenant's host name no other.",
        ))
    }

    fn tenant_required() -> Refusal {
        Refusal::new(
            Reason::TenantRequired,
            "Your credential admits several tenants. Name one: in the path, or in the header X-Tenant-ID or X-Tenant-Slug.",
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn context(tenant: TenantSelection, permissions: Permissions) -> RequestContext {
        RequestContext {
            principal: Principal {
                kind: PrincipalKind::User,
                ..Principal::anonymous()
            },
            tenant,
            ..RequestContext::of_service("", permissions)
        }
    }

    #[test]
    fn another_tenant_in_the_message_is_answered_like_an_absent_one() {
        let own = TenantId::new();
        let chosen = context(
            TenantSelection::Chosen {
                id: own,
                slug: "acme".into(),
            },
            Permissions::NONE,
        );
        assert_eq!(chosen.target(""), Ok(Target::Chosen(own)));
        assert_eq!(chosen.target("acme"), Ok(Target::Chosen(own)));
        assert_eq!(chosen.target(&own.to_string()), Ok(Target::Chosen(own)));
        let foreign = chosen.target(&TenantId::new().to_string());
        assert_eq!(foreign, Err(Refusal::tenant_not_found()));
        assert_eq!(chosen.target("other"), foreign);
    }

    #[test]
    fn only_an_operator_names_a_tenant_in_the_message_alone() {
        let named = Target::Named(TenantRef::Slug("acme".into()));
        assert_eq!(
            context(TenantSelection::None, Permissions::PLATFORM).target("acme"),
            Ok(named)
        );
        let user = context(TenantSelection::None, Permissions::NONE).target("acme");
        assert_eq!(user.map_err(|r| r.reason), Err(Reason::TenantRequired));
    }
}
