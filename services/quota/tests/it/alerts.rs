//! Alerts: that 80 and 95 percent of a limit are used, and that it refused something, each told exactly once.

use std::collections::BTreeMap;

use tenantry_core::TenantId;
use tenantry_proto::envoy::service::ratelimit::v3::rate_limit_response::Code;
use tenantry_proto::quota::v1::ConsumeQuotaRequest;

use crate::rates::one_of;
use crate::support::{World, at_once, decided, using};

/// How often each threshold was told of a tenant's limit on a resource type.
pub(crate) async fn told(
    world: &World,
    tenant: TenantId,
    resource_type: &str,
) -> BTreeMap<String, i64> {
    let told: Vec<(String, i64)> = sqlx::query_as(
        "SELECT event -> 'after' ->> 'threshold', count(*) FROM outbox
         WHERE tenant_id = $1 AND action = 'usage_alert.raised' AND event -> 'after' ->> 'resource_type' = $2
         GROUP BY 1",
    )
    .bind(tenant.uuid())
    .bind(resource_type)
    .fetch_all(&mut world.owner().await)
    .await
    .unwrap();
    told.into_iter().collect()
}

fn once(thresholds: &[&str]) -> BTreeMap<String, i64> {
    let thresholds = thresholds.iter();
    thresholds.map(|name| ((*name).to_owned(), 1)).collect()
}

const ALL: &[&str] = &["80_percent", "95_percent", "refused"];

#[tokio::test(flavor = "multi_thread")]
async fn each_threshold_is_told_once_however_many_callers_cross_it() {
    let world = World::start().await;
    let other = world.replica().await;
    let tenant = world.limited(200).await;
    world.set(tenant, "devices", 60, "never").await;
    for resource_type in ["api_calls", "devices"] {
        let calls = at_once(&[&*world, &other], 32, |_, replica| {
            let mut quotas = replica.quotas(&world.program(tenant));
            async move { while decided(&mut quotas, using(resource_type, 1)).await.is_ok() {} }
        });
        calls.await;
        assert_eq!(told(&world, tenant, resource_type).await, once(ALL));
    }
    let facts: serde_json::Value = sqlx::query_scalar(
        "SELECT event -> 'after' FROM outbox WHERE action = 'usage_alert.raised' AND event -> 'after' ->> 'threshold' = '80_percent'
         ORDER BY n LIMIT 1",
    )
    .fetch_one(&mut world.owner().await)
    .await
    .unwrap();
    assert_eq!(
        (&facts["limit"], &facts["usage"], &facts["reset_period"]),
        (&200.into(), &160.into(), &"day".into()),
        "{facts}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_tell_each_threshold_once_too() {
    let world = World::start().await;
    let other = world.replica().await;
    let tenant = world.limited(1_000).await;
    let calls = at_once(&[&*world, &other], 32, |_, replica| {
        let mut rates = replica.rates();
        async move {
            loop {
                let answer = rates.should_rate_limit(one_of(tenant)).await.unwrap();
                if answer.get_ref().overall_code != i32::from(Code::Ok) {
                    return;
                }
            }
        }
    });
    calls.await;
    assert_eq!(told(&world, tenant, "api_calls").await, once(ALL));
}

#[tokio::test]
async fn a_threshold_is_told_when_it_is_crossed_and_anew_when_the_limit_is_raised() {
    let world = World::start().await;
    let tenant = world.limited(100).await;
    let crossings: [(i64, &[&str]); 4] = [
        (79, &[]),
        (1, &["80_percent"]),
        (14, &["80_percent"]),
        (1, &["80_percent", "95_percent"]),
    ];
    for (amount, expected) in crossings {
        world.consume(tenant, amount).await.unwrap();
        assert_eq!(told(&world, tenant, "api_calls").await, once(expected));
    }
    world.consume(tenant, 6).await.unwrap_err();
    world.consume(tenant, 6).await.unwrap_err();
    assert_eq!(told(&world, tenant, "api_calls").await, once(ALL));
    // 95 of 110 are more than 80 percent, which was told.
    world.set(tenant, "api_calls", 110, "day").await;
    world.consume(tenant, 10).await.unwrap();
    let mut expected = once(ALL);
    expected.insert("95_percent".to_owned(), 2);
    assert_eq!(told(&world, tenant, "api_calls").await, expected);
    world.consume(tenant, 6).await.unwrap_err();
    expected.insert("refused".to_owned(), 2);
    assert_eq!(told(&world, tenant, "api_calls").await, expected);
    // A lower one tells nothing that was told.
    world.set(tenant, "api_calls", 106, "day").await;
    world.consume(tenant, 1).await.unwrap();
    world.consume(tenant, 1).await.unwrap_err();
    assert_eq!(told(&world, tenant, "api_calls").await, expected);
}

#[tokio::test]
async fn a_pool_tells_those_whose_it_is() {
    let world = World::start().await;
    let parent = world.tenant();
    let pool = tenantry_proto::quota::v1::OverrideLimitRequest {
        shared: true,
        reset_period: "day".to_owned(),
        ..crate::support::to(parent, "alerts", 10)
    };
    world.set_by(pool).await.unwrap();
    let child = world.registry.add("child", "free_of_limits", Some(parent));
    let mut quotas = world.quotas(&world.program(child));
    let beyond = ConsumeQuotaRequest {
        mode: "adjust_only".to_owned(),
        ..using("alerts", 12)
    };
    decided(&mut quotas, beyond).await.unwrap();
    let both = once(&["80_percent", "95_percent"]);
    assert_eq!(told(&world, parent, "alerts").await, both);
    assert_eq!(told(&world, child, "alerts").await, once(&[]));
    decided(&mut quotas, using("alerts", 1)).await.unwrap_err();
    assert_eq!(told(&world, parent, "alerts").await, once(ALL));
}
