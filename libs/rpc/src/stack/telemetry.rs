//! Step 2: metrics per RPC, and the outcome on the span.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use metrics::{Counter, Histogram};
use tenantry_core::{Kind, Refusal};
use tonic::body::Body;
use tonic::{Code, Status};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

/// Codes as labels, by their numbers.
const CODES: [&str; 17] = [
    "Ok",
    "Cancelled",
    "Unknown",
    "InvalidArgument",
    "DeadlineExceeded",
    "NotFound",
    "AlreadyExists",
    "PermissionDenied",
    "ResourceExhausted",
    "FailedPrecondition",
    "Aborted",
    "OutOfRange",
    "Unimplemented",
    "Internal",
    "Unavailable",
    "DataLoss",
    "Unauthenticated",
];

/// The method as a label: of ours exactly, everything else as one, so that callers can't make labels.
pub(super) fn method_label(path: &str) -> &'static str {
    const ASKED_BY_ENVOY: [&str; 2] = [
        "/envoy.service.ratelimit.v3.RateLimitService/ShouldRateLimit",
        "/envoy.service.auth.v3.Authorization/Check",
    ];
    if let Some(asked) = ASKED_BY_ENVOY.into_iter().find(|asked| *asked == path) {
        return asked;
    }
    tenantry_proto::methods::find(path).map_or("other", |method| method.path)
}

/// What counts and times requests, by method and code: looked up in the recorder once, which costs more than to count.
#[derive(Debug)]
pub(super) struct Meters {
    service: &'static str,
    known: RwLock<HashMap<(&'static str, usize), Meter>>,
}

#[derive(Clone, Debug)]
struct Meter {
    requests: Counter,
    duration: Histogram,
}

impl Meters {
    pub(super) fn new(service: &'static str) -> Self {
        Self {
            service,
            known: RwLock::default(),
        }
    }

    fn count(&self, method: &'static str, code: Code, took: Duration) {
        let which = (method, code as usize);
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(meter) = known.get(&which) {
            return meter.count(took);
        }
        drop(known);
        let labels = [
            ("service", self.service),
            ("method", method),
            ("code", CODES[code as usize]),
        ];
        let meter = Meter {
            requests: metrics::counter!("tenantry_rpc_requests_total", &labels),
            duration: metrics::histogram!("tenantry_rpc_duration_seconds", &labels[..2]),
        };
        meter.count(took);
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        known.insert(which, meter);
    }
}

impl Meter {
    fn count(&self, took: Duration) {
        self.requests.increment(1);
        self.duration.record(took.as_secs_f64());
    }
}

/// Counts and times a finished request. A stream is finished when it begins.
pub(super) fn record(
    span: &Span,
    meters: &Meters,
    method: &'static str,
    response: &http::Response<Body>,
    took: Duration,
) {
    let code = Status::from_header_map(response.headers()).map_or(Code::Ok, |status| status.code());
    // For traces alone: a log line has its own.
    span.set_attribute("rpc.grpc.status_code", i64::from(i32::from(code)));
    meters.count(method, code, took);
    span.in_scope(
        || tracing::debug!(rpc.code = ?code, took_ms = took.as_secs_f64() * 1000.0, "request"),
    );
}

/// Tells operators of refusals that are ours to mend; what callers did wrong is theirs to read.
pub(super) fn log_refusal(refusal: &Refusal) {
    match refusal.kind() {
        Kind::Internal => tracing::error!(reason = refusal.reason.word(), "request failed"),
        Kind::Unavailable | Kind::DeadlineExceeded | Kind::ResourceExhausted => {
            tracing::warn!(reason = refusal.reason.word(), "request refused");
        }
        Kind::InvalidArgument
        | Kind::Unauthenticated
        | Kind::PermissionDenied
        | Kind::Unimplemented
        | Kind::NotFound
        | Kind::AlreadyExists
        | Kind::Aborted
        | Kind::FailedPrecondition
        | Kind::OutOfRange => tracing::debug!(reason = refusal.reason.word(), "request refused"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_called_by_their_names() {
        for (number, label) in CODES.iter().enumerate() {
            let code = Code::from_i32(i32::try_from(number).unwrap());
            assert_eq!(format!("{code:?}"), *label);
        }
    }
}
