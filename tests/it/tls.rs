//! TLS on the gateway's listener: the whole way over it, and no way around it.

use anyhow::Result;
use reqwest::Version;
use tenantry_testkit::envoy::Tls;
use tenantry_testkit::fleet::FleetConfig;
use tenantry_testkit::paths;
use tenantry_testkit::rest::Rest;

use crate::support::OwnFleet;

/// Starting it makes the first operator over TLS: a request without a credential and several with one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_with_a_certificate_serves_over_tls_alone() -> Result<()> {
    let tls = Tls::self_signed(&paths::scratch("tls")?)?;
    let fleet = OwnFleet::start(FleetConfig {
        tls: Some(tls),
        ..FleetConfig::default()
    })
    .await?;
    assert!(fleet.gateway().starts_with("https://"));
    let tenants = fleet.operator_rest()?.get("/api/v1/tenants").await?;
    assert_eq!(tenants.status, 200, "{}", tenants.text);
    let health = fleet.rest()?.stream("/healthz").await?;
    assert_eq!(health.version(), Version::HTTP_2, "chosen in the handshake");

    let plain = Rest::new(fleet.gateway().replace("https:", "http:"))?;
    assert!(plain.get("/healthz").await.is_err());
    let other = Tls::self_signed(&paths::scratch("tls-other")?)?;
    let deceived = Rest::trusting(fleet.gateway(), &std::fs::read(&other.certificate)?)?;
    assert!(deceived.get("/healthz").await.is_err());
    fleet.stop().await?;
    Ok(())
}
