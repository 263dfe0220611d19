//! One request can be followed: a trace from Envoy through identity and registry to the SQL, metrics per RPC, and log
//! lines with the trace's id.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, Result};
use opentelemetry_proto::tonic::trace::v1::Span;
use serde_json::json;
use tenantry_testkit::fleet::FleetConfig;
use tenantry_testkit::rest;

use crate::support::traces::{self, Spans};
use crate::support::{OwnFleet, unique};

/// The span of the SQL that inserts a tenant, and those that it hangs below, by name.
fn above_the_insert(trace: &[(String, Span)]) -> Vec<&str> {
    let spans = || trace.iter().map(|(_, span)| span);
    let by_id: BTreeMap<&[u8], &Span> = spans()
        .map(|span| (span.span_id.as_slice(), span))
        .collect();
    let mut names = Vec::new();
    let mut at = spans().find(|span| span.name == "tenants.insert");
    while let Some(span) = at {
        names.push(span.name.as_str());
        at = by_id.get(span.parent_span_id.as_slice()).copied();
    }
    names
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_trace_leads_from_envoy_through_identity_and_registry_to_the_sql() -> Result<()> {
    let (endpoint, mut received) = traces::receive().await?;
    let fleet = OwnFleet::start(FleetConfig {
        otlp_endpoint: Some(endpoint),
        ..FleetConfig::default()
    })
    .await?;

    let name = unique("Traced");
    fleet
        .operator_rest()?
        .post("/api/v1/tenants", json!({"name": name}))
        .await?
        .ok()?;
    let whole = |spans: &Spans| {
        let is_whole = |trace: &&Vec<(String, Span)>| {
            let above = above_the_insert(trace);
            let request = |name: &&str| name.ends_with("TenantService/CreateTenant");
            // Up to the gateway's own span.
            above.len() >= 3
                && above.iter().any(request)
                && ["gateway", "identity", "registry"]
                    .iter()
                    .all(|part| trace.iter().any(|(service, _)| service.contains(part)))
        };
        spans.values().find(is_whole).cloned()
    };
    let deadline = Duration::from_secs(30);
    tokio::time::timeout(deadline, received.wait_for(|spans| whole(spans).is_some()))
        .await
        .context("no whole trace came")??;
    let trace = whole(&received.borrow()).context("the trace")?;
    for (service, span) in &trace {
        println!("{service}: {}", span.name);
    }
    let mut spans = trace.iter().map(|(_, span)| span);
    let insert = spans.find(|span| span.name == "tenants.insert");
    let insert = insert.context("insert")?;

    // A one-time link leaves its RPC in the trace, and nothing of its text.
    let secret = unique("ti_secret");
    let link = format!("/api/v1/invitations/{secret}");
    assert_eq!(fleet.rest()?.get(&link).await?.status, 404);
    let of_link = |spans: &Spans| {
        let named = |(service, span): &(String, Span)| {
            service.contains("identity") && span.name.ends_with("GetInvitationOffer")
        };
        let trace = spans.values().find(|trace| trace.iter().any(named))?;
        let gateway = trace.iter().any(|(service, _)| service.contains("gateway"));
        gateway.then(|| format!("{trace:?}"))
    };
    tokio::time::timeout(
        deadline,
        received.wait_for(|spans| of_link(spans).is_some()),
    )
    .await
    .context("no trace of the link came")??;
    let all = format!("{:?}", *received.borrow());
    assert!(!all.contains(&secret), "a trace shows a link");

    // Metrics per RPC, and the trace's id in the outbox.
    let metrics = fleet.service("registry", 0).metrics();
    let metrics = rest::get_text(&format!("http://{metrics}/metrics")).await?;
    assert!(
        metrics.contains("tenantry_rpc_requests_total")
            && metrics.contains("TenantService/CreateTenant"),
        "{metrics}"
    );
    let trace_id: String = insert.trace_id.iter().map(|b| format!("{b:02x}")).collect();
    let mut connection =
        <sqlx::PgConnection as sqlx::Connection>::connect(fleet.superuser_url().as_str()).await?;
    let stored: String = sqlx::query_scalar(
        "SELECT event -> 'origin' ->> 'trace_id' FROM registry.outbox WHERE event -> 'after' ->> 'name' = $1",
    )
    .bind(&name)
    .fetch_one(&mut connection)
    .await?;
    assert_eq!(stored, trace_id, "the event names its trace");
    fleet.stop().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn log_lines_are_json_and_carry_the_trace_of_their_request() -> Result<()> {
    let config = FleetConfig {
        service_environment: vec![(
            "registry",
            "TENANTRY_LOG",
            "info,tenantry_rpc=debug".to_owned(),
        )],
        ..FleetConfig::default()
    };
    let fleet = OwnFleet::start(config).await?;
    fleet
        .operator_rest()?
        .post("/api/v1/tenants", json!({"name": unique("Logged")}))
        .await?
        .ok()?;
    let log = std::fs::read_to_string(fleet.service("registry", 0).unit().log())?;
    let lines: Vec<serde_json::Value> = log
        .lines()
        .map(serde_json::from_str)
        .collect::<Result<_, _>>()?;
    let line = lines
        .iter()
        .find(|line| line.to_string().contains("TenantService/CreateTenant"))
        .context("no line of the request")?;
    let trace = line["span"]["trace_id"].as_str().unwrap_or_default();
    assert!(
        trace.len() == 32 && trace.chars().any(|c| c != '0'),
        "{line}"
    );
    fleet.stop().await
}
