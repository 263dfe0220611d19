//! Step 2: metrics per RPC, and the outcome on the span.

use std::time::Duration;

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
    const CHECK: &str = "/envoy.service.auth.v3.Authorization/Check";
    if path == CHECK {
        return CHECK;
    }
    tenantry_proto::methods::find(path).map_or("other", |method| method.path)
}

/// Counts and times a finished request. A stream is finished when it begins.
pub(super) fn record(
    span: &Span,
    service: &'static str,
    method: &'static str,
    response: &http::Response<Body>,
    took: Duration,
) {
    let code = Status::from_header_map(response.headers()).map_or(Code::Ok, |status| status.code());
    // For traces alone: a log line has its own.
    span.set_attribute("rpc.grpc.status_code", i64::from(i32::from(code)));
    let labels = [
        ("service", service),
        ("method", method),
        ("code", CODES[code as usize]),
    ];
    metrics::counter!("tenantry_rpc_requests_total", &labels).increment(1);
    metrics::histogram!("tenantry_rpc_duration_seconds", &labels[..2]).record(took.as_secs_f64());
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
