//! The gateway's word: what a service takes no request of a caller's without, and what is changed while all runs.

use std::time::Duration;

use anyhow::Result;
use serde_json::{Value, json};
use tenantry_testkit::fleet::{Fleet, FleetConfig};
use tenantry_testkit::keys::{GatewayWord, TrustFile, TrustedWord, write_gateway_word};
use tenantry_testkit::wait::until;

use crate::support::dynamic::{channel, native};
use crate::support::{OwnFleet, unique};

/// Longest time until a file that changed is used.
const READ_WITHIN: Duration = Duration::from_secs(20);

/// Whether every service takes a public method's request, or what isn't there, with this word: none asks who one is.
async fn is_known(fleet: &Fleet, word: &str) -> Result<bool> {
    for service in fleet.services() {
        let path = match service.name() {
            "identity" => "/tenantry.identity.v1.AuthService/GetJwks",
            "registry" => "/tenantry.registry.v1.TenantService/GetTenant",
            "audit" => "/tenantry.audit.v1.AuditEventService/GetEvent",
            "quota" => "/tenantry.quota.v1.LimitService/ListQuotas",
            other => panic!("which method of {other} takes the word?"),
        };
        let assertion = crate::headers::operator_assertion(fleet)?;
        let headers = [
            (GatewayWord::HEADER, word),
            ("x-tenantry-assertion", assertion.as_str()),
        ];
        let to = channel(service.address()).await?;
        let answer = native(&to, path, &json!({}), &headers).await?;
        if answer.status.code() == tonic::Code::Unauthenticated {
            return Ok(false);
        }
    }
    Ok(true)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_word_is_changed_without_a_restart() -> Result<()> {
    let fleet = OwnFleet::start(FleetConfig::default()).await?;
    let (keys, next) = (fleet.keys(), unique("word"));
    let old = keys.gateway_word().value().to_str()?.to_owned();
    let rest = fleet.operator_rest()?;
    let answers = async || {
        rest.get("/api/v1/auth/me")
            .await
            .map(|answer| answer.status)
    };
    assert!(is_known(&fleet, &old).await? && !is_known(&fleet, &next).await?);

    let mut trust = TrustFile::read(&keys.trust_file())?;
    trust.gateway_words.push(TrustedWord::of(&next));
    trust.write(&keys.trust_file())?;
    let both = async || Ok(is_known(&fleet, &next).await?.then_some(()));
    until("the next word known", READ_WITHIN, both).await?;
    assert!(is_known(&fleet, &old).await?);
    assert_eq!(answers().await?, 200);

    write_gateway_word(&keys.gateway_word_file(), &next)?;
    assert_eq!(answers().await?, 200, "whichever the gateway says");
    trust.gateway_words.remove(0);
    trust.write(&keys.trust_file())?;
    let gone = async || Ok((!is_known(&fleet, &old).await?).then_some(()));
    until("the old word gone", READ_WITHIN, gone).await?;
    let new = async || Ok((answers().await? == 200).then_some(()));
    until("the new word said", READ_WITHIN, new).await?;
    let made = rest.post("/api/v1/tenants", json!({"name": unique("Said")}));
    let made: Value = made.await?.ok()?;
    assert_eq!(made["status"], "active");
    fleet.stop().await
}
