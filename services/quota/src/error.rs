//! What quota refuses, and which reason each refusal has.

use tenantry_core::{Rate, Reason, Refusal, clock};
use tenantry_rpc::tenant_stream::Stop;

use crate::domain::decision::Standing;
use crate::domain::period::ResetPeriod;
use crate::domain::reservation::Status;

/// Why a use case didn't do what was asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("{0}")]
    Refused(#[from] Refusal),
    #[error("no such tenant")]
    TenantNotFound,
    #[error("no override on that limit")]
    LimitOverrideNotFound,
    #[error("beyond the limit")]
    QuotaExceeded {
        resource_type: String,
        amount: i64,
        standing: Box<Standing>,
    },
    #[error("more is used than the limit would be")]
    LimitBelowUsage {
        resource_type: String,
        standing: Box<Standing>,
    },
    #[error("less is used than is given back")]
    ReleaseBeyondUsage {
        resource_type: String,
        amount: i64,
        standing: Box<Standing>,
    },
    #[error("no gauge")]
    NotAGauge {
        resource_type: String,
        period: ResetPeriod,
    },
    #[error("counted by the fleet")]
    CountedByFleet(String),
    #[error("no such use")]
    UsageNotFound,
    #[error("nothing to correct")]
    NotCorrectable(String),
    #[error("no such reservation")]
    ReservationNotFound,
    #[error("the reservation isn't held")]
    ReservationNotHeld(Option<Status>),
    #[error(transparent)]
    Counter(#[from] tenantry_counter::Error),
    #[error(transparent)]
    Store(#[from] tenantry_store::Error),
}

impl Error {
    /// Whether it is that nobody could be asked.
    pub(crate) fn is_unanswered(&self) -> bool {
        match self {
            Self::Counter(error) => !matches!(error, tenantry_counter::Error::Amount(_)),
            Self::Store(error) => matches!(error, tenantry_store::Error::Unavailable(_)),
            Self::Refused(refusal) => refusal.reason == Reason::Unavailable,
            _ => false,
        }
    }
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
        match error {
            Error::Refused(refusal) => refusal,
            Error::Store(error) => error.into(),
            Error::TenantNotFound => Self::tenant_not_found(),
            Error::LimitOverrideNotFound => Self::new(
                Reason::LimitOverrideNotFound,
                "No override stands on this limit. List the limits with GET /api/v1/tenants/{tenant}/quotas.",
            ),
            Error::QuotaExceeded {
                resource_type,
                amount,
                standing,
            } => quota_exceeded(&resource_type, amount, *standing),
            Error::LimitBelowUsage {
                resource_type,
                standing,
            } => {
                let limit = standing.limit.unwrap_or_default();
                let refusal = Self::new(
                    Reason::LimitBelowUsage,
                    format!(
                        "{} of {resource_type} are used already, more than {limit}. Send force: true to set the limit all the same: nothing is taken away then, and nothing more is admitted.",
                        standing.usage
                    ),
                );
                facts(refusal, &resource_type, *standing)
            }
            Error::ReleaseBeyondUsage {
                resource_type,
                amount,
                standing,
            } => {
                let refusal = Self::new(
                    Reason::ReleaseBeyondUsage,
                    format!(
                        "{amount} of {resource_type} can't be given back: {} are used. Give back as much at most, or say how many there are with PUT /api/v1/tenants/{{tenant}}/gauges/{resource_type}.",
                        standing.usage
                    ),
                );
                facts(refusal, &resource_type, *standing)
            }
            Error::NotAGauge {
                resource_type,
                period,
            } => Self::new(
                Reason::NotAGauge,
                format!(
                    "{resource_type} is counted by the {} and begins anew by itself: nothing of it is given back or set. Where not all of what you ask for is used in the end, reserve it.",
                    period.word()
                ),
            )
            .with("resource_type", resource_type)
            .with("reset_period", period.word()),
            Error::CountedByFleet(resource_type) => Self::new(
                Reason::CountedByFleet,
                format!(
                    "{resource_type} are counted as they are added and removed: nothing of them is given back or set here. Remove some of them, or have the limit raised."
                ),
            )
            .with("resource_type", resource_type),
            Error::UsageNotFound => Self::new(
                Reason::UsageNotFound,
                "The log has no such use of that resource type. It keeps uses for 35 days; list them with GET /api/v1/tenants/{tenant}/usage-logs.",
            ),
            Error::NotCorrectable(kind) => Self::new(
                Reason::UsageNotCorrectable,
                format!(
                    "What was {kind} isn't corrected: say how much there is of a gauge with PUT /api/v1/tenants/{{tenant}}/gauges/{{resource_type}}, and how much was used of a reservation when you commit it."
                ),
            )
            .with("kind", kind),
            Error::ReservationNotFound | Error::ReservationNotHeld(None) => Self::new(
                Reason::ReservationNotFound,
                "There is no such reservation. Those that have ended are kept for 35 days.",
            ),
            Error::ReservationNotHeld(Some(status)) => Self::new(
                Reason::ReservationEnded,
                format!(
                    "The reservation is {} already. Use POST /api/v1/tenants/{{tenant}}/usage/increment for what was used all the same.",
                    status.word()
                ),
            )
            .with("status", status.word()),
            Error::Counter(error) => {
                tracing::warn!(error = %error, "a counter can't be asked");
                Self::unavailable()
            }
        }
    }
}

fn quota_exceeded(resource_type: &str, amount: i64, standing: Standing) -> Refusal {
    if let Some(rate) = standing.rate {
        return rate_exceeded((resource_type, amount), rate, standing);
    }
    let Some(limit) = standing.limit else {
        let most = format!(
            "{resource_type} is counted up to {}: no more fits.",
            i64::MAX
        );
        let refusal = Refusal::new(Reason::QuotaExceeded, most);
        return facts(refusal, resource_type, standing);
    };
    let admitted = standing.admitted().unwrap_or_default();
    let beyond = match standing.beyond {
        0 => String::new(),
        beyond => format!(" and the {beyond} beyond it that are admitted"),
    };
    let (until, retry_after_ms) = match standing.reset_at {
        Some(at) => {
            let left_ms = at.duration_since(clock::now()).as_millis().max(1);
            let until = format!(
                " Wait until {at}, when counting begins anew, use less, or have the limit raised."
            );
            (until, Some(u32::try_from(left_ms).unwrap_or(u32::MAX)))
        }
        None => (" Have the limit raised.".to_owned(), None),
    };
    let mut refusal = Refusal::new(
        Reason::QuotaExceeded,
        format!(
            "{amount} more of {resource_type} would pass the limit of {limit}{beyond}: {admitted} may still be used.{until}"
        ),
    );
    refusal.retry_after_ms = retry_after_ms;
    facts(refusal, resource_type, standing)
}

fn rate_exceeded((resource_type, amount): (&str, i64), rate: Rate, standing: Standing) -> Refusal {
    let Rate {
        amount: of,
        per,
        burst,
    } = rate;
    let kept = format!(
        "{resource_type} may be used up at {of} in each {}, and {burst} at once after a rest",
        per.word()
    );
    let (message, retry_after_ms) = match standing.reset_at {
        Some(at) => {
            let left_ms = at.duration_since(clock::now()).as_millis().max(1);
            let left_ms = u32::try_from(left_ms).unwrap_or(u32::MAX);
            let message =
                format!("{amount} more would be too fast: {kept}. Wait {left_ms} ms, or use less.");
            (message, Some(left_ms))
        }
        None => (
            format!("{amount} at once are never admitted: {kept}. Use less at a time."),
            None,
        ),
    };
    let mut refusal = Refusal::new(Reason::QuotaExceeded, message);
    refusal.retry_after_ms = retry_after_ms;
    let rate = format!("{of}/{}", per.word());
    facts(refusal, resource_type, standing).with("rate", rate)
}

/// How the limit stands, for programs.
fn facts(refusal: Refusal, resource_type: &str, standing: Standing) -> Refusal {
    let number = |number: Option<i64>| number.map(|number| number.to_string()).unwrap_or_default();
    refusal
        .with("resource_type", resource_type)
        .with("limit", number(standing.limit))
        .with("usage", standing.usage.to_string())
        .with("remaining", number(standing.remaining()))
        .with(
            "reset_at",
            standing
                .reset_at
                .map(|at| at.to_string())
                .unwrap_or_default(),
        )
        .with("limit_tenant_id", standing.tenant.to_string())
}
