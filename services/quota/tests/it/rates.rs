//! Envoy's question how much may pass.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use futures::future::join_all;
use tenantry_core::{Reason, TenantId};
use tenantry_proto::envoy::extensions::common::ratelimit::v3::RateLimitDescriptor;
use tenantry_proto::envoy::extensions::common::ratelimit::v3::rate_limit_descriptor::Entry;
use tenantry_proto::envoy::service::ratelimit::v3::rate_limit_response::Code;
use tenantry_proto::envoy::service::ratelimit::v3::{RateLimitRequest, RateLimitResponse};
use tenantry_testkit::wait::until;

use crate::support::{Rates, Replica, World, decided, reason, using};

/// Longest wait for requests to be in the log.
const LOGGED_WITHIN: Duration = Duration::from_secs(20);

fn descriptor(entries: &[(&str, &str)]) -> RateLimitDescriptor {
    let entries = entries.iter().map(|(key, value)| Entry {
        key: (*key).to_owned(),
        value: (*value).to_owned(),
    });
    RateLimitDescriptor {
        entries: entries.collect(),
        ..Default::default()
    }
}

fn about(descriptors: Vec<RateLimitDescriptor>) -> RateLimitRequest {
    RateLimitRequest {
        domain: "tenantry".to_owned(),
        descriptors,
        hits_addend: 0,
    }
}

/// A request of this tenant.
pub(crate) fn one_of(tenant: TenantId) -> RateLimitRequest {
    about(vec![descriptor(&[("tenant", &tenant.to_string())])])
}

pub(crate) async fn ask(rates: &mut Rates, request: RateLimitRequest) -> RateLimitResponse {
    rates.should_rate_limit(request).await.unwrap().into_inner()
}

pub(crate) fn headers(response: &RateLimitResponse) -> BTreeMap<&str, &str> {
    let headers = response.response_headers_to_add.iter();
    headers
        .map(|header| (header.key.as_str(), header.value.as_str()))
        .collect()
}

/// Asks for one request of these tenants after the other until each caller is refused; how many each replica admitted.
pub(crate) async fn use_up(
    replicas: &[&Replica],
    tenants: &[TenantId],
    callers: usize,
) -> Vec<i64> {
    let admitted: Vec<_> = replicas
        .iter()
        .map(|_| Arc::new(AtomicI64::new(0)))
        .collect();
    let calls = (0..callers).map(|caller| {
        let place = caller % replicas.len();
        let mut rates = replicas[place].rates();
        // Those of one replica ask about each of them.
        let tenant = tenants[caller / replicas.len() % tenants.len()];
        let admitted = Arc::clone(&admitted[place]);
        tokio::spawn(async move {
            while ask(&mut rates, one_of(tenant)).await.overall_code == i32::from(Code::Ok) {
                admitted.fetch_add(1, Ordering::Relaxed);
            }
        })
    });
    for call in join_all(calls.collect::<Vec<_>>()).await {
        call.unwrap();
    }
    admitted
        .iter()
        .map(|count| count.load(Ordering::Relaxed))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_and_uses_share_one_limit_exactly() {
    let world = World::start().await;
    let other = world.replica().await;
    let tenant = world.limited(500).await;
    let uses = (0..32).map(|caller| {
        let replica = if caller % 2 == 0 { &*world } else { &other };
        let mut quotas = replica.quotas(&world.program(tenant));
        tokio::spawn(async move {
            let mut used = 0;
            loop {
                match decided(&mut quotas, using("api_calls", 1)).await {
                    Ok(_) => used += 1,
                    Err(refused) => {
                        assert_eq!(refused, Reason::QuotaExceeded);
                        return used;
                    }
                }
            }
        })
    });
    let uses: Vec<_> = uses.collect();
    let admitted = use_up(&[&*world, &other], &[tenant], 32).await;
    let mut used = 0_i64;
    for caller in uses {
        used += caller.await.unwrap();
    }
    println!("500 shared by uses and requests: {used} and {admitted:?}");
    assert_eq!(used + admitted.iter().sum::<i64>(), 500);
    assert!(used > 0 && admitted.iter().all(|count| *count > 0));
}

#[tokio::test]
async fn callers_are_told_how_their_limit_stands() {
    let world = World::start().await;
    let tenant = world.limited(2).await;
    let mut rates = world.rates();
    let first = ask(&mut rates, one_of(tenant)).await;
    assert_eq!(first.overall_code, i32::from(Code::Ok));
    let told = headers(&first);
    assert_eq!(
        (told["x-ratelimit-limit"], told["x-ratelimit-remaining"]),
        ("2", "1")
    );
    assert_eq!(told["ratelimit-policy"], "\"api_calls\";q=2;w=86400");
    let reset: i64 = told["x-ratelimit-reset"].parse().unwrap();
    assert!((1..=86_400).contains(&reset));
    assert_eq!(told["ratelimit"], format!("\"api_calls\";r=1;t={reset}"));
    assert!(!told.contains_key("retry-after"));
    let status = &first.statuses[0];
    let limit = status.current_limit.as_ref().unwrap();
    assert_eq!((limit.requests_per_unit, status.limit_remaining), (2, 1));

    ask(&mut rates, one_of(tenant)).await;
    let over = ask(&mut rates, one_of(tenant)).await;
    assert_eq!(over.overall_code, i32::from(Code::OverLimit));
    let told = headers(&over);
    assert_eq!(told["x-ratelimit-remaining"], "0");
    assert!(told["retry-after"].parse::<i64>().unwrap() >= 1);
    assert!(told.contains_key("grpc-status-details-bin"));
    // Over REST it has a body.
    let rest = [("tenant", tenant.to_string()), ("rest", "GET".to_owned())];
    let rest = rest.each_ref().map(|(key, value)| (*key, value.as_str()));
    let over = ask(&mut rates, about(vec![descriptor(&rest)])).await;
    let body: serde_json::Value = serde_json::from_slice(&over.raw_body).unwrap();
    assert_eq!(body["code"], 8);
    assert_eq!(body["details"][0]["reason"], "QUOTA_EXCEEDED");
    assert_eq!(body["details"][0]["metadata"]["limit"], "2");
    assert!(!headers(&over).contains_key("grpc-status-details-bin"));
}

#[tokio::test]
async fn requests_have_weights_and_limits_above_32_bits() {
    let world = World::start().await;
    let most = (1 << 53) - 1;
    let tenant = world.limited(most).await;
    let mut rates = world.rates();
    let mut request = one_of(tenant);
    request.hits_addend = u32::MAX;
    let heavy = ask(&mut rates, request.clone()).await;
    let left = (most - i64::from(u32::MAX)).to_string();
    assert_eq!(headers(&heavy)["x-ratelimit-remaining"], left);
    request.descriptors[0].hits_addend = Some(u64::try_from(most).unwrap());
    let over = ask(&mut rates, request.clone()).await;
    assert_eq!(over.overall_code, i32::from(Code::OverLimit));
    request.descriptors[0].hits_addend = Some(u64::try_from(most).unwrap() - u64::from(u32::MAX));
    let last = ask(&mut rates, request.clone()).await;
    assert_eq!(headers(&last)["x-ratelimit-remaining"], "0");
    for bad in [u64::MAX, u64::try_from(most).unwrap() + 1] {
        request.descriptors[0].hits_addend = Some(bad);
        let refused = rates.should_rate_limit(request.clone()).await.unwrap_err();
        assert_eq!(reason(&refused), Reason::InvalidArgument);
    }
}

#[tokio::test]
async fn what_is_not_bounded_passes_and_what_cannot_be_asked_is_refused() {
    let world = World::start().await;
    let mut rates = world.rates();
    let free = world.registry.add("free", "free_of_limits", None);
    for request in [
        about(Vec::new()),
        about(vec![descriptor(&[("path", "/")])]),
        one_of(TenantId::new()),
        one_of(free),
    ] {
        let passed = ask(&mut rates, request.clone()).await;
        assert_eq!(passed.overall_code, i32::from(Code::Ok), "{request:?}");
        assert_eq!(passed.statuses.len(), request.descriptors.len());
        assert!(passed.response_headers_to_add.is_empty());
    }
    let tenant = world.tenant().to_string();
    let many = vec![descriptor(&[("tenant", &tenant)]); 17];
    let foreign = RateLimitRequest {
        domain: "envoy".to_owned(),
        ..about(Vec::new())
    };
    let unknown = descriptor(&[("tenant", &tenant), ("resource_type", "nothing")]);
    for request in [
        foreign,
        about(many),
        about(vec![descriptor(&[("tenant", "acme")])]),
        about(vec![unknown]),
    ] {
        let refused = rates.should_rate_limit(request).await.unwrap_err();
        assert_eq!(reason(&refused), Reason::InvalidArgument);
    }
    // Another resource type than requests.
    let alerts = descriptor(&[("tenant", &tenant), ("resource_type", "alerts")]);
    for n in 0..11 {
        let answer = ask(&mut rates, about(vec![alerts.clone()])).await;
        assert_eq!(answer.overall_code == i32::from(Code::Ok), n < 10, "{n}");
    }
}

#[tokio::test]
async fn a_gauge_bounds_requests_too() {
    let world = World::start().await;
    let tenant = world.tenant();
    world.set(tenant, "api_calls", 3, "never").await;
    let admitted = use_up(&[&*world], &[tenant], 4).await;
    assert_eq!(admitted, [3]);
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_are_in_the_log_and_in_what_it_adds_up_to_within_seconds() {
    let world = World::start().await;
    let other = world.replica().await;
    // Of one many are admitted from leases.
    let tenants = [world.limited(100_000).await, world.limited(50).await];
    let (mut here, mut there) = (world.rates(), other.rates());
    for tenant in tenants {
        for _ in 0..150 {
            ask(&mut here, one_of(tenant)).await;
            ask(&mut there, one_of(tenant)).await;
        }
    }
    for (tenant, admitted) in tenants.into_iter().zip([300, 50]) {
        let logged = until("the log", LOGGED_WITHIN, async || {
            let mut owner = world.owner().await;
            let logged: i64 = sqlx::query_scalar(
                "SELECT coalesce(sum(amount), 0)::bigint FROM usage_log WHERE tenant_id = $1 AND kind = 'requests'",
            )
            .bind(tenant.uuid())
            .fetch_one(&mut owner)
            .await?;
            Ok((logged >= admitted).then_some(logged))
        });
        assert_eq!(logged.await.unwrap(), admitted);
        let spans: Vec<i64> = sqlx::query_scalar(
            "SELECT sum(amount)::bigint FROM usage_series WHERE tenant_id = $1 GROUP BY minutes",
        )
        .bind(tenant.uuid())
        .fetch_all(&mut world.owner().await)
        .await
        .unwrap();
        assert_eq!(spans, [admitted, admitted]);
    }
}
