//! The gateway's configuration agrees with the contracts, and Envoy accepts it in every variant.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::Result;
use tenantry_proto::errors::v1::Reason;
use tenantry_proto::methods;
use tenantry_testkit::envoy::{EnvoyConfig, Tls, render};
use tenantry_testkit::keys::Keys;
use tenantry_testkit::process::Command;
use tenantry_testkit::tools::Tool;
use tenantry_testkit::{paths, port};

fn template() -> String {
    fs::read_to_string(paths::repository().join("deploy/envoy/envoy.yaml"))
        .expect("the gateway's template")
}

/// What stands between `before` and `after`, wherever both are on one line.
fn between<'a>(text: &'a str, before: &str, after: &str) -> BTreeSet<&'a str> {
    text.lines()
        .filter_map(|line| Some(line.split_once(before)?.1.split_once(after)?.0))
        .collect()
}

fn config(otlp: bool, tls: Option<Tls>) -> Result<EnvoyConfig> {
    Ok(EnvoyConfig {
        listen: port::local(port::free()?),
        admin: port::local(port::free()?),
        registry: vec![port::local(1), port::local(2)],
        identity: vec![port::local(3)],
        audit: vec![port::local(4)],
        quota: vec![port::local(5)],
        rate_limit_fails_closed: false,
        cors_origins: vec!["http://localhost:3000".to_owned()],
        otlp_endpoint: otlp.then(|| "http://collector.test:4317".to_owned()),
        tls,
        word_dir: Keys::create(&paths::scratch("keys")?)?.dir().to_owned(),
    })
}

async fn validate(dir: &Path, config: &EnvoyConfig) -> Result<()> {
    let (file, descriptors) = (dir.join("envoy.yaml"), dir.join("descriptors.binpb"));
    fs::write(&descriptors, tenantry_proto::DESCRIPTOR_SET)?;
    fs::write(&file, render(config, &descriptors)?)?;
    let log = dir.join("log");
    Command::new(Tool::Envoy.find()?, log)
        .args(["--mode", "validate", "--config-path"])
        .arg(&file)
        .output()
        .await?;
    Ok(())
}

#[test]
fn wall_admits_exactly_the_public_methods_without_identity() {
    let template = template();
    let admitted = between(&template, "- url_path: {path: {exact: /tenantry.", "}}");
    let admitted: BTreeSet<String> = admitted
        .into_iter()
        .map(|path| format!("/tenantry.{path}"))
        .collect();
    let public: BTreeSet<String> = methods::PUBLIC_METHODS
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(admitted, public);
}

#[test]
fn identity_is_asked_about_every_route_but_those_of_public_methods_and_own_answers() {
    let template = template();
    let routes: Vec<&str> = template.split("              - name: ").skip(1).collect();
    for route in routes
        .iter()
        .take_while(|route| !route.starts_with("unknown"))
    {
        let name = route.lines().next().unwrap_or_default();
        let without = is_unasked(route) || route.contains("*own_answer") || name == "healthz";
        let public = methods::PUBLIC_METHODS
            .iter()
            .any(|path| route.contains(&format!("path: {path}")));
        let own = route.contains("direct_response");
        assert_eq!(without, public || own, "route {name}");
    }
    let routed = routes.iter().filter(|route| is_unasked(route)).count();
    let never = methods::PUBLIC_METHODS.len() - methods::OPTIONAL_CREDENTIAL.len();
    assert_eq!(routed, never);
}

/// Whether identity isn't asked about a route: the first that says so is what the others refer to.
fn is_unasked(route: &str) -> bool {
    route.contains("*no_credential") || route.contains("*of_strangers")
}

#[test]
fn transcoder_knows_every_service_of_the_gateway() {
    let template = template();
    let listed: BTreeSet<&str> = template
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- tenantry."))
        .collect();
    let contracts: BTreeSet<&str> = methods::gateway()
        .filter_map(|method| method.service.strip_prefix("tenantry."))
        .collect();
    assert_eq!(listed, contracts);
}

#[test]
fn every_stream_has_a_route_without_the_timeout_of_single_answers() {
    let template = template();
    for method in methods::gateway().filter(|method| method.server_streaming) {
        let route = template
            .split(&format!("path: {}", method.path))
            .nth(1)
            .unwrap_or_default();
        let route = route.split("- name:").next().unwrap_or_default();
        assert!(
            route.contains("timeout: 0s"),
            "{} has no route of its own, or a timeout",
            method.path
        );
        assert_eq!(
            route.contains("unbuffered"),
            method.client_streaming,
            "{}: what both sides go on saying isn't taken whole, all else is",
            method.path
        );
    }
}

#[test]
fn reasons_of_the_gateways_refusals_stand_in_the_contract() {
    for reason in between(&template(), "reason: ", ", domain: tenantry") {
        let name = format!("REASON_{reason}");
        assert!(
            Reason::from_str_name(&name).is_some(),
            "{name} isn't in tenantry.errors.v1.Reason"
        );
    }
}

#[tokio::test]
async fn envoy_accepts_the_configuration_with_and_without_tracing() -> Result<()> {
    for otlp in [false, true] {
        validate(&paths::scratch("envoy")?, &config(otlp, None)?).await?;
    }
    Ok(())
}

#[tokio::test]
async fn envoy_accepts_the_configuration_with_tls() -> Result<()> {
    let dir = paths::scratch("envoy")?;
    let tls = Tls::self_signed(&dir)?;
    validate(&dir, &config(true, Some(tls))?).await
}
