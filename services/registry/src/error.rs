//! What registry refuses, and which reason each refusal has.

use tenantry_core::tenant::Stop;
use tenantry_core::{Reason, Refusal, TenantStatus};

use crate::domain::custom_domain::MAX_DOMAINS;
use crate::domain::hold::MAX_HOLDS;
use crate::domain::import::MAX_UNDER_WAY;
use crate::domain::plan::MAX_PLANS;
use crate::domain::tenant::MAX_CHILDREN;

/// Why a use case didn't do what was asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("{0}")]
    Refused(#[from] Refusal),
    #[error("no such tenant")]
    TenantNotFound,
    #[error("no such project")]
    ProjectNotFound,
    #[error("no project of this key admits sign-up")]
    SignUpClosed,
    #[error("no such plan")]
    PlanNotFound,
    #[error("a plan of the project has that name")]
    PlanExists,
    #[error("the project has as many plans as it may")]
    TooManyPlans,
    #[error("no such parent")]
    ParentNotFound,
    #[error("the slug is taken")]
    SlugTaken,
    #[error("a project has that key")]
    ProjectExists,
    #[error("a tenant of the default project has that key for a slug")]
    ProjectKeyIsSlug,
    #[error("the external id is taken")]
    ExternalIdTaken,
    #[error("the {0} has another state by now")]
    EtagMismatch(&'static str),
    #[error("the tenant has children")]
    HasChildren,
    #[error("the tenant has children, perhaps deleted ones")]
    HasChildrenToPurge,
    #[error("a service that keeps something of tenants: {0}")]
    Keeper(tonic::Status),
    #[error("the tree is too deep")]
    TooDeep,
    #[error("the new parent lies below the tenant")]
    Cycle,
    #[error("the parent has no room")]
    TooManyChildren,
    #[error("no such legal hold")]
    LegalHoldNotFound,
    #[error("as many legal holds as can stand")]
    TooManyHolds,
    #[error("no such import")]
    ImportNotFound,
    #[error("as many imports as can be under way")]
    TooManyImports,
    #[error("more than {0} tenants below")]
    CascadeTooLarge(i64),
    #[error("no such domain")]
    DomainNotFound,
    #[error("the domain stands here")]
    DomainTaken,
    #[error("the domain is another tenant's")]
    DomainInUse,
    #[error("there is no DNS server to ask")]
    NoResolver,
    #[error("no record shows the domain: {0}")]
    DomainNotVerified(String),
    #[error("too many domains")]
    TooManyDomains,
    #[error("not in this status: {0}")]
    StatusForbids(&'static str),
    #[error("under legal hold for {0}")]
    LegalHold(String),
    #[error("stopped: {0:?}")]
    Stopped(Stop),
    #[error("kept as it was: {0}")]
    Kept(TenantStatus),
    #[error(transparent)]
    Store(tenantry_store::Error),
}

impl From<tenantry_store::Error> for Error {
    fn from(error: tenantry_store::Error) -> Self {
        match &error {
            tenantry_store::Error::Constraint(name) => match name.as_str() {
                "plan_names_one" => Self::PlanExists,
                "projects_key" => Self::ProjectExists,
                "domains_in_use" => Self::DomainInUse,
                "tenants_purged" => Self::TenantNotFound,
                "tenants_external_id" => Self::ExternalIdTaken,
                "tenants_project_fkey" | "slugs_project_fkey" => Self::ProjectNotFound,
                _ => Self::Store(error),
            },
            _ => Self::Store(error),
        }
    }
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        tenantry_store::Error::from(error).into()
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        let (reason, message) = match error {
            Error::Refused(refusal) => return refusal,
            Error::Store(error) => return error.into(),
            Error::TenantNotFound => return Self::tenant_not_found(),
            Error::Stopped(stop) => return Self::tenant_stopped(stop),
            Error::Kept(status) => return Self::tenant_kept(status),
            Error::SignUpClosed => (
                Reason::SignUpClosed,
                "There is no project of this key where people sign up by themselves. Ask those who run it for a tenant, or for an invitation to one.".to_owned(),
            ),
            Error::ProjectNotFound => (
                Reason::ProjectNotFound,
                "There is no such project. List them with GET /api/v1/projects; `default` always exists.".to_owned(),
            ),
            Error::PlanNotFound => (
                Reason::PlanNotFound,
                "There is no such plan, or no such version of it. List them with GET /api/v1/plans and /api/v1/plans/{plan}/versions.".to_owned(),
            ),
            Error::PlanExists => (
                Reason::PlanExists,
                "A plan of this project has that key or alias already. Choose another.".to_owned(),
            ),
            Error::TooManyPlans => (
                Reason::LimitReached,
                format!("A project has at most {MAX_PLANS} plans. Update one that isn't needed any more instead of adding one."),
            ),
            Error::ParentNotFound => (
                Reason::ParentNotFound,
                "There is no such parent tenant in this project, or it isn't in use.".to_owned(),
            ),
            Error::SlugTaken => (
                Reason::SlugTaken,
                "The slug is taken in this project, or is kept back after it was freed. Choose another.".to_owned(),
            ),
            Error::ProjectExists => (
                Reason::ProjectExists,
                "A project has that key already. Choose another.".to_owned(),
            ),
            Error::ProjectKeyIsSlug => (
                Reason::SlugTaken,
                "The key is, or was, the slug of a tenant of the default project, whose subdomain it names. Choose another.".to_owned(),
            ),
            Error::ExternalIdTaken => (
                Reason::ExternalIdTaken,
                "Another tenant of this project has that external id.".to_owned(),
            ),
            Error::EtagMismatch(what) => (
                Reason::EtagMismatch,
                format!("The {what} was changed since you read it. Read it again, decide again, and send its new etag."),
            ),
            Error::HasChildren => (
                Reason::TenantHasChildren,
                "The tenant has children that aren't deleted. Delete them first.".to_owned(),
            ),
            Error::HasChildrenToPurge => (
                Reason::TenantHasChildren,
                "The tenant has children; deleted ones count too, until they are purged. Purge them first.".to_owned(),
            ),
            Error::Keeper(status) => {
                tracing::warn!(code = ?status.code(), why = status.message(), "a service can't be asked about a tenant");
                return Self::unavailable();
            }
            Error::TooDeep => (
                Reason::HierarchyTooDeep,
                "The tree of tenants is at most ten levels deep. Choose a parent higher up.".to_owned(),
            ),
            Error::Cycle => (
                Reason::HierarchyCycle,
                "The new parent is the tenant itself or lies below it. Choose one outside.".to_owned(),
            ),
            Error::TooManyChildren => (
                Reason::TooManyChildren,
                format!("A tenant has at most {MAX_CHILDREN} children, deleted ones included until they are purged. Choose another parent, or put one between."),
            ),
            Error::LegalHoldNotFound => (
                Reason::LegalHoldNotFound,
                "There is no such legal hold on this tenant. List them with GET /api/v1/tenants/{tenant}/legal-holds.".to_owned(),
            ),
            Error::TooManyHolds => (
                Reason::LimitReached,
                format!("At most {MAX_HOLDS} legal holds stand on one tenant. Release one first."),
            ),
            Error::ImportNotFound => (
                Reason::ImportNotFound,
                "There is no such import, or it ended more than 30 days ago. List them with GET /api/v1/tenant-imports.".to_owned(),
            ),
            Error::TooManyImports => (
                Reason::LimitReached,
                format!("At most {MAX_UNDER_WAY} imports are under way at once. Wait for one to end, or cancel one."),
            ),
            Error::CascadeTooLarge(most) => (
                Reason::LimitReached,
                format!("More than {most} tenants lie below this one. Take its children one by one, each with `cascade`, and then the tenant itself."),
            ),
            Error::LegalHold(holders) => (
                Reason::LegalHold,
                format!("The tenant is under legal hold and can't be deleted: {holders}. Have every hold released first."),
            ),
            Error::DomainNotFound => (
                Reason::DomainNotFound,
                "There is no such domain of this tenant. List them with GET /api/v1/tenants/{tenant}/domains.".to_owned(),
            ),
            Error::DomainTaken => (
                Reason::DomainTaken,
                "The tenant has this domain already. Its record is shown by GET /api/v1/tenants/{tenant}/domains.".to_owned(),
            ),
            Error::DomainInUse => (
                Reason::DomainTaken,
                "The domain names another tenant, whose TXT record stood when it was last looked for. Once that record is removed, verify again.".to_owned(),
            ),
            Error::NoResolver => (
                Reason::DomainNotVerified,
                "This platform has no DNS server to ask, so it can't verify domains. The people who run it set TENANTRY_DNS_SERVERS.".to_owned(),
            ),
            Error::DomainNotVerified(what) => (Reason::DomainNotVerified, what),
            Error::TooManyDomains => (
                Reason::LimitReached,
                format!("A tenant has at most {MAX_DOMAINS} custom domains. Delete one that isn't needed."),
            ),
            Error::StatusForbids(what) => (Reason::StatusForbids, what.to_owned()),
        };
        Self::new(reason, message)
    }
}
