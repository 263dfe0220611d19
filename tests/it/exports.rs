//! Exports through the gateway: whole however large, as the service wrote them, and in nobody's way.

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use serde_json::json;
use tenantry_proto::audit::v1::ExportEventsRequest;
use tenantry_proto::audit::v1::audit_export_service_client::AuditExportServiceClient;
use tenantry_testkit::fleet::Fleet;
use tenantry_testkit::rest::Rest;
use tenantry_testkit::wait::until;
use tenantry_testkit::{paths, service};
use tokio::sync::Mutex;
use tonic::Request;

use crate::support::dynamic::gateway_channel;
use crate::support::fleet;
use crate::support::world::{Party, text};

/// How large exports are here, in bytes: more than any buffer on the way may hold.
const LARGE: usize = 64 << 20;
/// Requests that record events, events of each, and letters in each: less than 4 MiB in one request.
const REQUESTS: usize = 10;
const EVENTS: usize = 500;
const LETTERS: usize = 7_000;
/// By how much a replica may grow while it writes such an export, and serves the other tests: less than the export has.
const GROWTH: usize = 48 << 20;
/// Longest wait for a checkpoint of what was recorded.
const SIGNED_WITHIN: Duration = Duration::from_secs(60);
/// Exports that nobody reads: as many as one credential may have open.
const UNREAD: usize = 4;
/// Requests that others make meanwhile, and how long each may take.
const OTHERS: usize = 100;
const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// Each watches the memory of the replicas that all have.
static LARGE_EXPORTS: Mutex<()> = Mutex::const_new(());

/// A party whose log is large.
async fn large(fleet: &Fleet) -> Result<Party> {
    let party = Party::create(fleet).await?;
    let operator = fleet.operator_rest()?;
    let note = json!({"before": null, "after": "x".repeat(LETTERS)});
    let event = json!({"event_type": "invoice.paid", "resource_type": "invoice", "changes": {"note": note}});
    for _ in 0..REQUESTS {
        let body = json!({"source": "billing", "events": vec![event.clone(); EVENTS]});
        let path = format!("/api/v1/tenants/{}/events", party.id);
        operator.post(&path, body).await?.ok()?;
    }
    let (rest, path) = (party.rest(fleet)?, log(&party, "/checkpoint"));
    until("checkpoint of the large log", SIGNED_WITHIN, async || {
        let newest = rest.get(&path).await?.json();
        let size: usize = text(&newest, "tree_size").parse().unwrap_or(0);
        Ok((size >= REQUESTS * EVENTS).then_some(()))
    })
    .await?;
    Ok(party)
}

fn log(party: &Party, rest: &str) -> String {
    format!("/api/v1/tenants/{}/audit-log{rest}", party.id)
}

/// The memory that replicas of audit take, and the most that they took since this was last asked.
fn memory(fleet: &Fleet) -> Result<Vec<(usize, usize)>> {
    let replicas = fleet.replicas("audit").map(|replica| {
        let process = replica.unit().process().context("it runs")?;
        let folder = format!("/proc/{}", process.pid());
        let status = fs::read_to_string(format!("{folder}/status"))?;
        let kilobytes = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let number = line.and_then(|line| line.split_whitespace().next());
            number.and_then(|number| number.parse::<usize>().ok())
        };
        let now = kilobytes("VmRSS:").context("its memory")? << 10;
        let most = kilobytes("VmHWM:").context("its most memory")? << 10;
        // The most is counted anew (proc(5), clear_refs).
        fs::write(format!("{folder}/clear_refs"), "5")?;
        Ok((now, most))
    });
    replicas.collect()
}

/// By how much a replica grew at most since it took this.
fn growth(fleet: &Fleet, before: &[(usize, usize)]) -> Result<usize> {
    let now = memory(fleet)?;
    let grown = before
        .iter()
        .zip(now)
        .map(|(before, now)| now.1.saturating_sub(before.0));
    grown.max().context("a replica")
}

/// What `tenantry-verify` says of an export, which it has to prove.
async fn proved(rest: &Rest, export: &[u8]) -> Result<String> {
    let keys = rest.get("/api/v1/audit-log/keys").await?.ok()?;
    let file = paths::scratch("export")?.join("export");
    fs::write(&file, export)?;
    let said = Command::new(service::binary("tenantry-verify")?)
        .arg("export")
        .arg(&file)
        .args(["--key", keys["keys"][0].as_str().context("a key")?])
        .output()?;
    fs::remove_file(file)?;
    let text = String::from_utf8([said.stdout, said.stderr].concat())?;
    assert!(said.status.success(), "{text}");
    Ok(text)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_export_arrives_whole_in_bounded_memory() -> Result<()> {
    let _alone = LARGE_EXPORTS.lock().await;
    let fleet = fleet().await?;
    let party = large(fleet).await?;
    let http1 = party.rest(fleet)?;
    let http2 = Rest::http2(fleet.gateway())?.bearer(&party.token);
    for (rest, format, content_type) in [
        (&http1, "ndjson", "application/x-ndjson"),
        (&http2, "csv", "text/csv; charset=utf-8"),
        (&http1, "ocsf", "application/x-ndjson"),
    ] {
        let before = memory(fleet)?;
        let path = log(&party, &format!(":export?format={format}"));
        let mut answer = rest.stream(&path).await?;
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.headers()["content-type"], content_type);
        let mut export = Vec::new();
        while let Some(chunk) = answer.chunk().await? {
            export.extend_from_slice(&chunk);
        }
        let grown = growth(fleet, &before)?;
        println!(
            "{format}: {} MB, memory grew by {grown} bytes",
            export.len() >> 20
        );
        assert!(grown < GROWTH, "{format}: {grown} bytes");
        assert!(export.len() > LARGE, "{format}: {} bytes", export.len());
        let said = proved(&http1, &export).await?;
        assert!(said.contains("has the signed root"), "{said}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_native_client_gets_the_same_parts_and_filters_travel_in_queries() -> Result<()> {
    let fleet = fleet().await?;
    let party = Party::create(fleet).await?;
    let rest = party.rest(fleet)?;
    let path = log(&party, "/checkpoint");
    let signed = async || Ok((rest.get(&path).await?.status == 200).then_some(()));
    until("checkpoint", SIGNED_WITHIN, signed).await?;
    let request = ExportEventsRequest {
        tenant: party.id.clone(),
        format: "csv".to_owned(),
        ..Default::default()
    };
    let mut request = Request::new(request);
    let token = format!("Bearer {}", party.token).parse()?;
    request.metadata_mut().insert("authorization", token);
    let mut exports = AuditExportServiceClient::new(gateway_channel(fleet).await?);
    let mut parts = exports.export_events(request).await?.into_inner();
    let mut export = Vec::new();
    while let Some(part) = parts.message().await? {
        assert_eq!(part.content_type, "text/csv; charset=utf-8");
        export.extend_from_slice(&part.data);
    }
    let said = proved(&rest, &export).await?;
    assert!(said.contains("From index 0"), "{said}");
    let none = log(
        &party,
        ":export?format=csv&event_type=member&start_time=2020-01-01T00:00:00Z&end_time=2020-01-02T00:00:00Z",
    );
    let export = rest.get(&none).await?;
    let said = proved(&rest, export.text.as_bytes()).await?;
    assert!(said.contains("The export has no events"), "{said}");
    let refused = rest.get(&log(&party, ":export?format=xml")).await?;
    assert_eq!(
        (refused.status, refused.reason().as_str()),
        (400, "INVALID_ARGUMENT")
    );
    Ok(())
}

/// Clients that don't read leave what comes for them in the gateway, which stops taking more of it: not from others too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn exports_that_nobody_reads_hold_up_nobody() -> Result<()> {
    let _alone = LARGE_EXPORTS.lock().await;
    let fleet = fleet().await?;
    let party = large(fleet).await?;
    let before = memory(fleet)?;
    let mut unread = Vec::new();
    for rest in [party.rest(fleet)?, fleet.operator_rest()?] {
        for _ in 0..UNREAD {
            let answer = rest.stream(&log(&party, ":export")).await?;
            assert_eq!(answer.status(), 200);
            unread.push(answer);
        }
    }
    let other = Party::create(fleet).await?;
    let rest = other.rest(fleet)?;
    let mut longest = Duration::ZERO;
    for _ in 0..OTHERS {
        let asked = Instant::now();
        let path = log(&other, "");
        let events = tokio::time::timeout(ANSWER_WITHIN, rest.get(&path)).await;
        assert_eq!(events.context("an answer in time")??.status, 200);
        longest = longest.max(asked.elapsed());
    }
    println!("the longest of {OTHERS} answers took {longest:?}");
    let grown = growth(fleet, &before)?;
    assert!(
        grown < GROWTH,
        "{grown} bytes are kept for who doesn't read"
    );
    // Whoever reads after all gets all of it.
    let export = unread.pop().context("an export")?.bytes().await?;
    assert!(export.len() > LARGE, "{} bytes", export.len());
    proved(&party.rest(fleet)?, &export).await?;
    Ok(())
}
