//! What can go wrong at the store, told apart as far as callers act on it. What the driver said stays here.

use tenantry_core::{Reason, Refusal};

/// A lock wasn't to be had within the time that the transaction waits for one.
const LOCK_NOT_AVAILABLE: &str = "55P03";
/// The transaction stood still for too long: its process was frozen, or cut off.
const STOOD_STILL: &str = "25P03";

/// A failure at the store.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A unique or foreign key was hurt; the service knows which refusal the constraint's name means.
    #[error("constraint {0} was hurt")]
    Constraint(String),
    /// The request id was used with another body.
    #[error("request id used with another body")]
    RequestIdReused,
    /// The tenant is being purged: no change of it commits any more.
    #[error("the tenant is closed")]
    TenantClosed,
    /// The database doesn't answer, or gave up on the transaction; nothing of it is done unless it was at its commit.
    #[error("the database is unavailable: {0}")]
    Unavailable(#[source] sqlx::Error),
    /// A fault of ours: the statement or its data is wrong.
    #[error("the database refused: {0}")]
    Fault(#[source] sqlx::Error),
    /// The transaction was to turn to a tenant that it isn't about.
    #[error("the transaction isn't about that tenant")]
    Scope,
    /// What was stored can't be read back.
    #[error("stored data can't be read: {0}")]
    Corrupt(#[from] serde_json::Error),
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        match &error {
            sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed
            | sqlx::Error::Protocol(_) => Self::Unavailable(error),
            sqlx::Error::Database(db) => {
                if let Some(name) = db.constraint() {
                    return Self::Constraint(name.to_owned());
                }
                match db.code().as_deref() {
                    // Serialisation, deadlock, resources, intervention, start-up and locks: trying again helps.
                    Some(code)
                        if code.starts_with("40")
                            || code.starts_with("53")
                            || code.starts_with("57")
                            || code.starts_with("08")
                            || code == LOCK_NOT_AVAILABLE
                            || code == STOOD_STILL =>
                    {
                        Self::Unavailable(error)
                    }
                    _ => Self::Fault(error),
                }
            }
            _ => Self::Fault(error),
        }
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        match &error {
            Error::RequestIdReused => Self::new(
                Reason::RequestIdReused,
                "This request id was used before with another body. Use a new id for a new request, or send the first body again.",
            ),
            Error::TenantClosed => Self::tenant_not_found(),
            Error::Unavailable(_) => {
                tracing::warn!(error = %error, "store unavailable");
                Self::unavailable()
            }
            Error::Constraint(_) | Error::Fault(_) | Error::Scope | Error::Corrupt(_) => {
                tracing::error!(error = %error, "store fault");
                Self::internal()
            }
        }
    }
}
