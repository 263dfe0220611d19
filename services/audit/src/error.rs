//! What audit refuses, and which reason each refusal has.

use tenantry_core::{Reason, Refusal};
use tenantry_rpc::tenant_stream::Stop;

use crate::domain::trees::Alarm;

/// What is promised between an event and the checkpoint that covers it.
const CHECKPOINT_WITHIN_MS: u32 = 5_000;

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
    #[error("not under a checkpoint yet")]
    NotYetCheckpointed,
    #[error("no checkpoint is signed: {0}")]
    NotSigned(Alarm),
    #[error("nothing can be proved from what is kept: {0}")]
    Tree(#[from] tenantry_transparency::TreeError),
    #[error("under legal hold")]
    Held,
    #[error("a leaf can't be read back: {0}")]
    Leaf(#[from] tenantry_transparency::leaf::LeafError),
    #[error(transparent)]
    Damaged(#[from] crate::domain::search::Damaged),
    #[error(transparent)]
    Store(#[from] tenantry_store::Error),
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        tenantry_store::Error::from(error).into()
    }
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Ended(error.into())
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        let (reason, message) = match error {
            Error::Refused(refusal) => return refusal,
            Error::Store(error) => return error.into(),
            Error::TenantNotFound => return Self::tenant_not_found(),
            Error::Leaf(error) => {
                tracing::error!(error = %error, "a leaf of the log can't be read back");
                return Self::internal();
            }
            Error::NotSigned(alarm) => {
                tracing::error!(error = %alarm, "no checkpoint is signed");
                return Self::internal();
            }
            Error::Tree(error) => {
                metrics::counter!("tenantry_audit_checkpoint_alarms_total", "why" => "proof")
                    .increment(1);
                tracing::error!(error = %error, "a log can't be proved from the tiles that are kept");
                return Self::internal();
            }
            Error::NotYetCheckpointed => {
                let mut refusal = Self::new(
                    Reason::NotYetCheckpointed,
                    "The log isn't signed that far yet: a checkpoint follows a few seconds after each event. Try again then.",
                );
                refusal.retry_after_ms = Some(CHECKPOINT_WITHIN_MS);
                return refusal;
            }
            Error::Damaged(error) => {
                tracing::error!(error = %error, "what the log is searched by can't be read");
                return Self::internal();
            }
            Error::Held => (
                Reason::LegalHold,
                "A legal hold stands on the tenant, so nothing of it is removed. Release every hold first.",
            ),
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
