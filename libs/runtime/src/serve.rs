//! The server: health, the one stack, and an orderly end.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tenantry_rpc::assertion::Verifier;
use tenantry_rpc::{Stack, Tasks};
use tenantry_store::Store;
use tokio::signal::unix::{SignalKind, signal};
use tonic::service::Routes;
use tonic::transport::Server;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

use crate::Runtime;
use crate::config::Shared;

/// How often the dependencies are asked for a sign of life.
const PROBE_EVERY: Duration = Duration::from_millis(500);
/// Longest wait for that sign.
const PROBE_TIMEOUT: Duration = Duration::from_secs(2);
/// How often what has had its time is swept.
const SWEEP_EVERY: Duration = Duration::from_secs(600);
/// After SIGTERM: how long new requests are still taken, so that the gateway can notice that we leave.
const DRAIN: Duration = Duration::from_millis(700);
/// After that: how long running requests have.
const GRACE: Duration = Duration::from_secs(10);
/// Largest header list of a request, in bytes: assertions and trace context fit many times.
const MAX_HEADER_BYTES: u32 = 32 * 1024;

/// Serves until the process is told to end, then lets what runs finish.
pub(crate) async fn until_ended(
    name: &'static str,
    shared: &Shared,
    runtime: &Runtime,
    routes: Routes,
) -> anyhow::Result<()> {
    let (reporter, health) = tonic_health::server::health_reporter();
    reporter
        .set_service_status("", ServingStatus::NotServing)
        .await;
    let tasks = &runtime.tasks;
    tasks.keep(
        "readiness",
        probe(reporter.clone(), runtime.store.clone(), tasks.clone()),
    );
    let sweep = sweep(
        runtime.store.clone(),
        shared.feed_retention_hours,
        tasks.clone(),
    );
    tasks.keep("sweep", sweep);
    let verifier = Verifier::new(runtime.trust.clone(), name);
    let listener = tokio::net::TcpListener::bind(shared.listen)
        .await
        .with_context(|| {
            format!(
                "can't listen on {}; set TENANTRY_LISTEN to another address",
                shared.listen
            )
        })?;
    tracing::info!(address = %shared.listen, "serving");
    let server = Server::builder()
        .http2_keepalive_interval(Some(Duration::from_secs(10)))
        .http2_max_header_list_size(MAX_HEADER_BYTES)
        .tcp_nodelay(true)
        .layer(Stack::new(name, verifier).recording(Arc::new(runtime.attempts.clone())))
        .add_routes(routes.add_service(health))
        .serve_with_incoming_shutdown(
            tonic::transport::server::TcpIncoming::from(listener).with_nodelay(Some(true)),
            end_asked_for(reporter, tasks.clone()),
        );
    let hurried = async {
        tasks.cancelled().await;
        tokio::time::sleep(GRACE).await;
    };
    tokio::select! {
        served = server => served.context("the server failed")?,
        () = hurried => tracing::warn!("requests were still running at the end"),
    }
    tasks.end(GRACE).await;
    runtime.attempts.write_last().await;
    if let Some(worker) = tasks.lost() {
        anyhow::bail!("the worker `{worker}` ended by a fault; the log says which");
    }
    tracing::info!("ended");
    Ok(())
}

/// Resolves when no new request is to be taken: health first, so that the gateway sends none.
async fn end_asked_for(reporter: HealthReporter, tasks: Tasks) {
    let terminated = async {
        match signal(SignalKind::terminate()) {
            Ok(mut signal) => signal.recv().await,
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        _ = terminated => {}
        _ = tokio::signal::ctrl_c() => {}
        // A worker was lost.
        () = tasks.cancelled() => {}
    }
    tracing::info!("draining");
    reporter
        .set_service_status("", ServingStatus::NotServing)
        .await;
    tokio::time::sleep(DRAIN).await;
    // Ends streams, which would hold the server open, and the probe, which would report health again.
    tasks.cancel();
}

/// Reports ready while the store answers. Ends by cancellation only.
async fn probe(reporter: HealthReporter, store: Store, tasks: Tasks) {
    let mut ready = false;
    loop {
        let answered = matches!(
            tokio::time::timeout(PROBE_TIMEOUT, store.ping()).await,
            Ok(Ok(()))
        );
        if answered != ready {
            ready = answered;
            tracing::info!(ready, "readiness");
            let status = if ready {
                ServingStatus::Serving
            } else {
                ServingStatus::NotServing
            };
            reporter.set_service_status("", status).await;
        }
        tokio::select! {
            () = tasks.cancelled() => return,
            () = tokio::time::sleep(PROBE_EVERY) => {}
        }
    }
}

/// Removes request records and events past their time. A sweep that fails is tried again at its next time.
async fn sweep(store: Store, feed_retention_hours: u32, tasks: Tasks) {
    loop {
        tokio::select! {
            () = tasks.cancelled() => return,
            () = tokio::time::sleep(SWEEP_EVERY) => {}
        }
        let swept = async {
            match store.sweep_request_records().await {
                Ok(gone) => tracing::debug!(gone, "request records swept"),
                Err(error) => tracing::warn!(error = %error, "request records were not swept"),
            }
            match store.sweep_outbox(feed_retention_hours).await {
                Ok(gone) => tracing::debug!(gone, "events swept that the log has"),
                Err(error) => tracing::warn!(error = %error, "events were not swept"),
            }
        };
        tokio::select! {
            () = tasks.cancelled() => return,
            () = swept => {}
        }
    }
}
