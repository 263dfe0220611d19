//! How much may pass the gateway, and any other Envoy: each request of a tenant's own counts as an `api_call` of it.

use std::fs;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, Result};
use futures::future::try_join_all;
use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use serde_json::json;
use tenantry_testkit::fleet::{Fleet, FleetConfig};
use tenantry_testkit::keys::GatewayWord;
use tenantry_testkit::probe::Probe;
use tenantry_testkit::process::Command;
use tenantry_testkit::rest::{Answer, Rest};
use tenantry_testkit::tools::Tool;
use tenantry_testkit::unit::Unit;
use tenantry_testkit::wait::until;
use tenantry_testkit::{paths, port};

use crate::support::dynamic::{channel, native};
use crate::support::world::Party;
use crate::support::{OwnFleet, fleet};

/// Requests of one protocol that are under way at once.
const AT_A_TIME: usize = 12;
/// What is promised between a raised limit and its effect.
const AT_ONCE: Duration = Duration::from_secs(1);
/// Longest time until the gateway knows that quota has gone, or come.
const KNOWN_WITHIN: Duration = Duration::from_secs(30);

/// What every answer to a tenant's own says, and how much of it remains.
fn remaining(answer: &Answer, limit: i64) -> Result<i64> {
    let header = |name: &str| answer.header(name).to_owned();
    let remaining: i64 = header("x-ratelimit-remaining").parse()?;
    let reset: i64 = header("x-ratelimit-reset").parse()?;
    assert_eq!(header("x-ratelimit-limit"), limit.to_string());
    assert!(reset > 0);
    let policy = header("ratelimit-policy");
    assert!(
        policy.starts_with(&format!("\"api_calls\";q={limit};w=")),
        "{policy}"
    );
    assert_eq!(
        header("ratelimit"),
        format!("\"api_calls\";r={remaining};t={reset}")
    );
    Ok(remaining)
}

async fn set(fleet: &Fleet, tenant: &str, limit: i64) -> Result<()> {
    let path = format!("/api/v1/tenants/{tenant}/limits");
    let body =
        json!({"resource_type": "api_calls", "limit": limit, "reason": "Agreed", "force": true});
    fleet.operator_rest()?.patch(&path, body).await?.ok()?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tenants_requests_count_and_beyond_its_limit_each_protocol_is_told_all() -> Result<()> {
    let fleet = fleet().await?;
    let party = Party::create(fleet).await?;
    let (rest, path) = (
        party.key_rest(fleet)?,
        format!("/api/v1/tenants/{}", party.id),
    );
    let first = rest.get(&path).await?;
    let before = 1_000 - remaining(&first, 1_000)?;
    assert!(before >= 1, "{before}");
    let limit = before + 50;
    set(fleet, &party.id, limit).await?;
    let known = until("the limit", AT_ONCE, async || {
        let answer = rest.get(&path).await?;
        Ok((answer.header("x-ratelimit-limit") == limit.to_string()).then_some(answer))
    });
    let left = remaining(&known.await?, limit)?;
    // Operators use nothing of it.
    for _ in 0..5 {
        let answer = fleet.operator_rest()?.get(&path).await?;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("x-ratelimit-limit"), "");
    }
    // More at once than are left, by both protocols.
    let to = channel(fleet.gateway_address()).await?;
    let method = "/tenantry.registry.v1.TenantService/GetTenant";
    let message = json!({"tenant": party.id});
    let headers = [("x-api-key", party.key.as_str())];
    let natives = stream::iter(0..left).map(|_| native(&to, method, &message, &headers));
    let rests = stream::iter(0..left).map(|_| rest.get(&path));
    let (natives, rests): (Vec<_>, Vec<_>) = tokio::try_join!(
        natives.buffer_unordered(AT_A_TIME).try_collect(),
        rests.buffer_unordered(AT_A_TIME).try_collect(),
    )?;
    let passed = natives.iter().filter(|answer| answer.is_ok()).count()
        + rests.iter().filter(|answer| answer.status == 200).count();
    assert_eq!(i64::try_from(passed)?, left);
    let refused = rests.iter().find(|answer| answer.status == 429);
    let refused = match refused {
        Some(refused) => refused,
        None => &rest.get(&path).await?,
    };
    assert_eq!(remaining(refused, limit)?, 0);
    assert_eq!(refused.reason(), "QUOTA_EXCEEDED", "{}", refused.text);
    assert_eq!(refused.header("content-type"), "application/json");
    assert!(refused.header("retry-after").parse::<u64>()? >= 1);
    let details = &refused.json()["details"][0]["metadata"];
    assert_eq!(details["limit"], limit.to_string());
    assert_eq!(details["resource_type"], "api_calls");
    let refused = native(&to, method, &message, &headers).await?;
    assert_eq!(refused.status.code(), tonic::Code::ResourceExhausted);
    let refusal = tenantry_rpc::status::refusal(&refused.status).context("a refusal of ours")?;
    assert_eq!(refusal.reason.word(), "QUOTA_EXCEEDED");
    assert!(refusal.retry_after_ms.is_some());
    for name in [
        "ratelimit",
        "ratelimit-policy",
        "x-ratelimit-limit",
        "retry-after",
    ] {
        assert!(refused.status.metadata().contains_key(name), "{name}");
    }
    // To see that, and to take away a key that leaked, is none of them.
    for path in ["quotas", "api-keys"] {
        let answer = rest
            .get(&format!("/api/v1/tenants/{}/{path}", party.id))
            .await?;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text);
    }
    // More is there at once, where an operator gives it.
    set(fleet, &party.id, limit + 10).await?;
    let raised = until("the raised limit", AT_ONCE, async || {
        let answer = rest.get(&path).await?;
        Ok((answer.status == 200).then_some(()))
    });
    raised.await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_quota_is_away_requests_pass_or_not_as_configured() -> Result<()> {
    for fails_closed in [false, true] {
        let fleet = OwnFleet::start(FleetConfig {
            rate_limit_fails_closed: fails_closed,
            ..FleetConfig::default()
        })
        .await?;
        let party = Party::create(&fleet).await?;
        let (rest, path) = (
            party.key_rest(&fleet)?,
            format!("/api/v1/tenants/{}", party.id),
        );
        remaining(&rest.get(&path).await?, 1_000)?;
        let quota = fleet.service("quota", 0).unit();
        quota.kill_9().await?;
        // Also while the gateway doesn't know yet.
        let mut seen = 0;
        let settled = until("what is configured", KNOWN_WITHIN, async || {
            let answer = rest.get(&path).await?;
            let expected = if fails_closed { 503 } else { 200 };
            assert!(
                answer.status == expected,
                "{fails_closed}: {} {}",
                answer.status,
                answer.text
            );
            seen += 1;
            Ok((seen > 20).then_some(answer))
        });
        let answer = settled.await?;
        if fails_closed {
            assert_eq!(answer.reason(), "UNAVAILABLE", "{}", answer.text);
        }
        // Operators, who are nobody's, aren't asked about. What quota would tell is absent then, and no read waits for it.
        let shown = fleet.operator_rest()?.get(&path).await?.ok()?;
        assert_eq!(shown.get("current_users"), None, "{shown}");
        assert_eq!(shown["id"], party.id.as_str());
        quota.start().await?;
        let counted = until("counting", KNOWN_WITHIN, async || {
            remaining_if_told(&rest, &path).await
        });
        counted.await?;
        fleet.stop().await?;
    }
    Ok(())
}

async fn remaining_if_told(rest: &Rest, path: &str) -> Result<Option<i64>> {
    let answer = rest.get(path).await?;
    if answer.status != 200 || answer.header("x-ratelimit-limit").is_empty() {
        return Ok(None);
    }
    remaining(&answer, 1_000).map(Some)
}

/// An Envoy as its documentation shows one with a rate limit, which knows nothing of us but quota's address, our domain, the names of
/// two descriptor entries, and the gateway's word.
fn stock_envoy(
    [listen, admin]: [SocketAddr; 2],
    [quota, served]: [SocketAddr; 2],
    word: &str,
) -> String {
    let endpoint = |to: SocketAddr| {
        let address = json!({"address": to.ip().to_string(), "port_value": to.port()});
        json!({"lb_endpoints": [{"endpoint": {"address": {"socket_address": address}}}]})
    };
    let json = json!({
        "admin": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": admin.port()}}},
        "static_resources": {
            "listeners": [{
                "address": {"socket_address": {"address": "127.0.0.1", "port_value": listen.port()}},
                "filter_chains": [{"filters": [{
                    "name": "envoy.filters.network.http_connection_manager",
                    "typed_config": {
                        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
                        "stat_prefix": "stock",
                        "route_config": {"virtual_hosts": [{
                            "name": "all",
                            "domains": ["*"],
                            "rate_limits": [{"actions": [
                                {"request_headers": {"header_name": "x-customer", "descriptor_key": "tenant"}},
                                {"generic_key": {"descriptor_key": "resource_type", "descriptor_value": "alerts"}},
                            ]}],
                            "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "served"}}],
                        }]},
                        "http_filters": [
                            {
                                "name": "envoy.filters.http.ratelimit",
                                "typed_config": {
                                    "@type": "type.googleapis.com/envoy.extensions.filters.http.ratelimit.v3.RateLimit",
                                    "domain": "tenantry",
                                    "failure_mode_deny": true,
                                    "timeout": "5s",
                                    "enable_x_ratelimit_headers": "OFF",
                                    "rate_limit_service": {
                                        "transport_api_version": "V3",
                                        "grpc_service": {
                                            "envoy_grpc": {"cluster_name": "limits"},
                                            "initial_metadata": [{"key": GatewayWord::HEADER, "value": word}],
                                        },
                                    },
                                },
                            },
                            {
                                "name": "envoy.filters.http.router",
                                "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"},
                            },
                        ],
                    },
                }]}],
            }],
            "clusters": [
                {
                    "name": "limits",
                    "type": "STATIC",
                    "typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                        "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
                        "explicit_http_config": {"http2_protocol_options": {}},
                    }},
                    "load_assignment": {"cluster_name": "limits", "endpoints": [endpoint(quota)]},
                },
                {
                    "name": "served",
                    "type": "STATIC",
                    "load_assignment": {"cluster_name": "served", "endpoints": [endpoint(served)]},
                },
            ],
        },
    });
    json.to_string()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_envoy_enforces_limits_through_quota_by_its_documentation_alone() -> Result<()> {
    let fleet = fleet().await?;
    let party = Party::create(fleet).await?;
    let path = format!("/api/v1/tenants/{}/limits", party.id);
    let body = json!({"resource_type": "alerts", "limit": 30, "reason": "Agreed"});
    fleet.operator_rest()?.patch(&path, body).await?.ok()?;
    let dir = paths::scratch("stock-envoy")?;
    let word = fleet.keys().gateway_word().value().to_str()?.to_owned();
    for (word, admits) in [(word.as_str(), true), ("a-stranger's", false)] {
        let (listen, admin) = (port::local(port::free()?), port::local(port::free()?));
        let config = dir.join(format!("{}.json", listen.port()));
        let quota = fleet.service("quota", 0).address();
        fs::write(
            &config,
            stock_envoy([listen, admin], [quota, fleet.gateway_address()], word),
        )?;
        let command = Command::new(Tool::Envoy.find()?, dir.join("envoy.log"))
            .arg("--config-path")
            .arg(config)
            .args(["--log-level", "warning", "--disable-hot-restart"]);
        let envoy = Unit::new("stock-envoy", command, Probe::Envoy(admin));
        envoy.start().await?;
        let rest = Rest::new(format!("http://{listen}"))?.header("x-customer", &party.id);
        if admits {
            let answers = try_join_all((0..64).map(|_| rest.get("/healthz"))).await?;
            let passed = answers.iter().filter(|answer| answer.status == 200).count();
            assert_eq!(passed, 30);
            let refused = answers.iter().find(|answer| answer.status == 429);
            let refused = refused.context("64 are more than 30")?;
            assert_eq!(refused.header("x-ratelimit-limit"), "30");
            assert_eq!(refused.header("x-ratelimit-remaining"), "0");
            assert!(
                refused
                    .header("ratelimit-policy")
                    .starts_with("\"alerts\";q=30;w=")
            );
            assert!(!refused.header("ratelimit").is_empty());
            assert!(refused.header("retry-after").parse::<u64>()? >= 1);
        } else {
            // It asks for nothing to pass while quota doesn't answer it.
            assert_ne!(rest.get("/healthz").await?.status, 200);
        }
        envoy.stop().await?;
    }
    Ok(())
}
