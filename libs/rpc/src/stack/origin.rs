//! Step 1: where a request came from. The gateway alone is believed, which says the same word with each request; what an
//! outsider sent of these headers was removed there. Services say in their assertions for whom they call, and go on with a
//! trace, as does the gateway's question, whose word is in what it asks; nobody else joins one.

use opentelemetry::propagation::Extractor;
use opentelemetry::trace::{TraceContextExt as _, TraceId};
use tenantry_core::Origin;
use tonic::body::Body;
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

use super::Sender;
use super::identity::{is_exempt, is_rate_limit};

/// Longest user agent that is kept, in characters.
const MAX_USER_AGENT: usize = 256;

struct Headers<'a>(&'a http::HeaderMap);

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).and_then(|value| value.to_str().ok())
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(http::HeaderName::as_str).collect()
    }
}

/// The request's span, as a child of its caller's, and its origin. What the span is told later costs more than what it is
/// made with: its part of the log lines is written anew.
pub(super) fn open(
    service: &'static str,
    request: &http::Request<Body>,
    sender: Sender,
) -> (Span, Origin) {
    let headers = request.headers();
    let text = |name: &str| {
        headers
            .get(name)
            .filter(|_| sender == Sender::Gateway)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    };
    let path = request.uri().path();
    let parent = if sender != Sender::Unknown || is_exempt(path) {
        opentelemetry::global::get_text_map_propagator(|propagator| {
            propagator.extract(&Headers(headers))
        })
    } else {
        opentelemetry::Context::new()
    };
    let caller = parent.span().span_context().clone();
    let known = caller.is_valid().then(|| caller.trace_id());
    if is_rate_limit(path) && !caller.is_sampled() {
        // A span costs as much as the answer: without a trace that is kept it is for those who look for faults.
        let span = tracing::debug_span!("request", rpc.method = path);
        return (span, Origin::default());
    }
    let span = tracing::info_span!(
        "request",
        otel.name = path,
        otel.kind = "server",
        service.name = service,
        rpc.method = path,
        tenant.id = tracing::field::Empty,
        principal.id = tracing::field::Empty,
        trace_id = known.map(tracing::field::display),
        request.id = text("x-request-id"),
    );
    // Fails only without a telemetry subscriber, as in unit tests.
    let _ = span.set_parent(parent);
    let trace_id = known.unwrap_or_else(|| begun(&span, path));
    (span, origin_of(text, trace_id.to_string()))
}

/// Where a request with these headers came from, in this trace.
pub fn origin_of<'a>(header: impl Fn(&'static str) -> &'a str, trace_id: String) -> Origin {
    let user_agent = header("user-agent").chars();
    Origin {
        ip: header("x-envoy-external-address").to_owned(),
        user_agent: user_agent.take(MAX_USER_AGENT).collect(),
        request_id: header("x-request-id").to_owned(),
        trace_id,
    }
}

/// The trace that begins here. Nothing else is ever found by that of a method outside the contracts, as the gateway's
/// question, so it isn't asked for.
fn begun(span: &Span, path: &str) -> TraceId {
    if super::identity::is_exempt(path) {
        return TraceId::INVALID;
    }
    let trace_id = span.context().span().span_context().trace_id();
    span.record("trace_id", tracing::field::display(trace_id));
    trace_id
}
