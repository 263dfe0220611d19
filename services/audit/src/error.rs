//! What audit refuses, and which reason each refusal has.

use tenantry_core::tenant::Stop;
use tenantry_core::{Reason, Refusal, TenantStatus};

/// Why a use case didn't do what was asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("{0}")]
    Refused(#[from] Refusal),
    #[error("no such tenant")]
    TenantNotFound,
    #[error("no such event")]
    EventNotFound,
    #[error("no alarm has stopped that stream")]
    SourceNotStopped,
    #[error("stopped: {0:?}")]
    Stopped(Stop),
    #[error("kept as it was: {0}")]
    Kept(TenantStatus),
    #[error("a leaf can't be read back: {0}")]
    Leaf(#[from] tenantry_transparency::leaf::LeafError),
    #[error(transparent)]
    Store(#[from] tenantry_store::Error),
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
            Error::Leaf(error) => {
                tracing::error!(error = %error, "a leaf of the log can't be read back");
                return Self::internal();
            }
            Error::EventNotFound => (
                Reason::EventNotFound,
                "There is no such event in this log, or it is older than the plan keeps events. List them with GET /api/v1/tenants/{tenant}/audit-log.",
            ),
            Error::SourceNotStopped => (
                Reason::SourceNotStopped,
                "No alarm has stopped this source's stream of this tenant. List those that are stopped with GET /api/v1/audit-sources.",
            ),
        };
        Self::new(reason, message)
    }
}
