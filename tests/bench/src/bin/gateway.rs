//! What does asking identity cost a request? The same RPC of a server that does nothing, through Envoy with ext_authz and
//! through Envoy without it, in turn.

use std::fs;
use std::net::SocketAddr;

use anyhow::{Context as _, Result, ensure};
use prost::Message as _;
use tenantry_bench::drive::{Ask, Target};
use tenantry_bench::side::{Side, compare, noop};
use tenantry_bench::{figures, load};
use tenantry_proto::registry::v1::{ListProjectsRequest, ListProjectsResponse};
use tenantry_testkit::envoy::{EnvoyConfig, render};
use tenantry_testkit::fleet::Fleet;
use tenantry_testkit::probe::Probe;
use tenantry_testkit::process::Command;
use tenantry_testkit::tools::Tool;
use tenantry_testkit::unit::Unit;
use tenantry_testkit::{paths, port};
use tonic::metadata::MetadataMap;

const TENANTS: i64 = 1_000;
const CREDENTIALS: i64 = 1_000;
const IN_FLIGHT: [usize; 2] = [8, 64];
const REQUESTS: usize = 10_000;
const ROUNDS: usize = 7;
const METHOD: &str = "/tenantry.registry.v1.ProjectService/ListProjects";
/// The filter that asks identity, and the wall behind it that lets nothing unasked pass.
const ASKING: [&str; 2] = ["envoy.filters.http.ext_authz", "envoy.filters.http.rbac"];

/// A gateway in front of this upstream in registry's place, which asks identity or asks nobody.
async fn gateway(fleet: &Fleet, upstream: SocketAddr, asks: bool) -> Result<(Unit, SocketAddr)> {
    let [listen, admin] = [port::local(port::free()?), port::local(port::free()?)];
    let config = EnvoyConfig {
        listen,
        admin,
        registry: vec![upstream],
        identity: vec![fleet.service("identity", 0).address()],
        audit: vec![fleet.service("audit", 0).address()],
        quota: vec![fleet.service("quota", 0).address()],
        rate_limit_fails_closed: false,
        cors_origins: Vec::new(),
        otlp_endpoint: None,
        tls: None,
        word_dir: fleet.keys().dir().to_owned(),
    };
    let dir = paths::scratch("gateway")?;
    let descriptors = dir.join("descriptors.binpb");
    fs::write(&descriptors, tenantry_proto::DESCRIPTOR_SET)?;
    let mut text = render(&config, &descriptors)?;
    if !asks {
        for filter in ASKING {
            let entry = format!("          - name: {filter}\n");
            ensure!(
                text.matches(&entry).count() == 1,
                "{filter} isn't where it was"
            );
            text = text.replace(&entry, &format!("{entry}            disabled: true\n"));
        }
    }
    let rendered = dir.join("envoy.yaml");
    fs::write(&rendered, text)?;
    let command = Command::new(Tool::Envoy.find()?, dir.join("envoy.log"))
        .arg("--config-path")
        .arg(rendered)
        .args([
            "--log-level",
            "warning",
            "--concurrency",
            "2",
            "--disable-hot-restart",
        ]);
    let unit = Unit::new("gateway", command, Probe::Envoy(admin));
    unit.start().await?;
    Ok((unit, listen))
}

#[tokio::main]
async fn main() -> Result<()> {
    let fleet = load::fleet().await?;
    load::tenants(&fleet, TENANTS, 0).await?;
    let mut credentials = load::keys(&fleet, CREDENTIALS / 2, TENANTS).await?;
    credentials.extend(load::sessions(&fleet, CREDENTIALS / 2, TENANTS).await?);
    fleet.service("identity", 0).unit().restart().await?;
    let (noop, upstream) = noop(&[]).await?;
    let asks = credentials
        .iter()
        .map(|credential| {
            let mut metadata = MetadataMap::new();
            let bearer = format!("Bearer {credential}").parse();
            metadata.insert("authorization", bearer.context("a credential")?);
            Ok(Ask {
                body: ListProjectsRequest::default().encode_to_vec().into(),
                metadata,
            })
        })
        .collect::<Result<std::sync::Arc<[Ask]>>>()?;
    let is_answer = |answer: &[u8]| ListProjectsResponse::decode(answer).is_ok();
    let (without_unit, without) = gateway(&fleet, upstream, false).await?;
    let (with_unit, with) = gateway(&fleet, upstream, true).await?;
    let off = Side {
        target: Target::connect(without, METHOD, is_answer).await?,
        asks: asks.clone(),
        unit: &without_unit,
    };
    let on = Side {
        target: Target::connect(with, METHOD, is_answer).await?,
        asks,
        unit: &with_unit,
    };
    compare([&off, &on], 8, REQUESTS, 1).await?;
    figures::head("an RPC through Envoy", "off", "ext_authz on");
    for in_flight in IN_FLIGHT {
        let measured = compare([&off, &on], in_flight, REQUESTS, ROUNDS).await?;
        figures::all(in_flight, &measured);
    }
    for unit in [&without_unit, &with_unit, &noop] {
        unit.stop().await?;
    }
    fleet.stop().await
}
