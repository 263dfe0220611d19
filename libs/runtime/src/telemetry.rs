//! Logs, traces and metrics of a process.

use anyhow::Context as _;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder};
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::WithExportConfig as _;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _, fmt};

use crate::config::{LogFormat, Shared};

/// Upper bounds of the latency buckets, in seconds.
const SECONDS: &[f64] = &[
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
];

/// What must be flushed at the end.
pub(crate) struct Telemetry {
    tracer: SdkTracerProvider,
}

/// Starts all three. Traces always have ids, also where they go nowhere, so that logs and events carry them.
pub(crate) fn start(service: &'static str, shared: &Shared) -> anyhow::Result<Telemetry> {
    opentelemetry::global::set_text_map_propagator(TraceContextPropagator::new());
    let mut provider = SdkTracerProvider::builder()
        .with_resource(Resource::builder().with_service_name(service).build());
    if let Some(endpoint) = &shared.otlp_endpoint {
        let exporter = opentelemetry_otlp::SpanExporter::builder()
            .with_tonic()
            .with_endpoint(endpoint)
            .build()
            .context("OTEL_EXPORTER_OTLP_ENDPOINT can't be used")?;
        provider = provider.with_batch_exporter(exporter);
    }
    let tracer = provider.build();
    let filter: EnvFilter = shared
        .log
        .parse()
        .context("TENANTRY_LOG can't be used; write it as info,sqlx=debug")?;
    let lines = match shared.log_format {
        LogFormat::Json => fmt::layer()
            .json()
            .flatten_event(true)
            .with_current_span(true)
            .with_span_list(false)
            .boxed(),
        LogFormat::Text => fmt::layer().boxed(),
    };
    // Threads, lines of code and idle times are of no use to who reads a trace, and cost each span more than all else.
    let traces = tracing_opentelemetry::layer()
        .with_location(false)
        .with_threads(false)
        .with_tracked_inactivity(false)
        .with_context_activation(false)
        .with_tracer(tracer.tracer(service));
    tracing_subscriber::registry()
        .with(filter)
        .with(lines)
        .with(traces)
        .init();
    if let Some(listen) = shared.metrics_listen {
        PrometheusBuilder::new()
            .with_http_listener(listen)
            .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), SECONDS)?
            .install()
            .with_context(|| format!("can't serve metrics on {listen}"))?;
    }
    Ok(Telemetry { tracer })
}

impl Telemetry {
    /// Sends what is still waiting.
    pub(crate) fn end(self) {
        if let Err(error) = self.tracer.shutdown() {
            tracing::warn!(error = %error, "the last traces were not sent");
        }
    }
}
