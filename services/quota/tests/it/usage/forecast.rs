//! Where what is used leads.

use jiff::{SignedDuration, Timestamp};
use tenantry_core::{Reason, TenantId, clock};
use tenantry_proto::quota::v1::{ForecastUsageRequest, UsageForecast};
use tonic::Status;

use crate::support::{World, log, reason, used, using};

const DAY: SignedDuration = SignedDuration::from_hours(24);
const HOUR: SignedDuration = SignedDuration::from_hours(1);

async fn forecast(
    world: &World,
    tenant: TenantId,
    resource_type: &str,
) -> Result<UsageForecast, Status> {
    let mut usages = world.usages(&world.program(tenant));
    let request = ForecastUsageRequest {
        tenant: tenant.to_string(),
        resource_type: resource_type.to_owned(),
    };
    let forecast = usages.forecast_usage(request).await;
    forecast.map(tonic::Response::into_inner)
}

/// Has the account of a resource type say that so much is used.
async fn account(world: &World, tenant: TenantId, resource_type: &str, used: i64) {
    let mut quotas = world.quotas(&world.program(tenant));
    quotas.consume_quota(using(resource_type, 0)).await.unwrap();
    sqlx::query("UPDATE accounts SET settled = $3 WHERE tenant_id = $1 AND resource_type = $2")
        .bind(tenant.uuid())
        .bind(resource_type)
        .bind(used)
        .execute(&mut world.owner().await)
        .await
        .unwrap();
}

fn at(at: Option<prost_types::Timestamp>) -> Option<Timestamp> {
    at.map(|at| Timestamp::new(at.seconds, at.nanos).unwrap())
}

#[tokio::test]
async fn a_gauge_that_grows_evenly_reaches_its_limit_when_it_would() {
    let world = World::start().await;
    let tenant = world.tenant();
    world.set(tenant, "devices", 500, "never").await;
    account(&world, tenant, "devices", 300).await;
    let now = clock::now();
    // Ten on each of thirty days.
    let lines: Vec<_> = (0..30)
        .map(|days| used("devices", 10, now - DAY * days))
        .collect();
    log(&world, tenant, &lines).await;
    let forecast = forecast(&world, tenant, "devices").await.unwrap();
    assert_eq!((forecast.method.as_str(), forecast.current), ("holt", 300));
    assert!(
        (forecast.trend_per_day.unwrap() - 10.0).abs() < 1e-6,
        "{forecast:?}"
    );
    assert_eq!(forecast.expected, Some(600));
    let reached = at(forecast.limit_reached_at).unwrap().duration_since(now);
    assert!((reached - DAY * 20).abs() < HOUR, "{reached:?}");
    assert_eq!(forecast.tested_windows, 3);
    assert!(forecast.error_percent.unwrap() < 1e-6, "{forecast:?}");
}

#[tokio::test]
async fn a_day_goes_on_as_the_days_before_and_the_past_says_how_well_that_is_known() {
    let world = World::start().await;
    let tenant = world.tenant();
    world.set(tenant, "alerts", 1_000, "day").await;
    let now = clock::now();
    // Sixty in each hour of ten days, and as much today until now.
    let today = Timestamp::from_second(now.as_second().div_euclid(86_400) * 86_400).unwrap();
    let first = today - DAY * 10;
    let hours = i32::try_from(now.duration_since(first).as_hours()).unwrap();
    let minutes = i32::try_from(now.duration_since(first).as_mins()).unwrap() % 60;
    let mut lines: Vec<_> = (0..hours)
        .map(|hour| used("alerts", 60, first + HOUR * hour))
        .collect();
    lines.push(used("alerts", minutes.into(), first + HOUR * hours));
    log(&world, tenant, &lines).await;
    let so_far = now.duration_since(today).as_mins();
    account(&world, tenant, "alerts", so_far).await;
    let forecast = forecast(&world, tenant, "alerts").await.unwrap();
    assert_eq!(forecast.method, "seasonal_rate");
    let expected = forecast.expected.unwrap();
    assert!((1_380..=1_500).contains(&expected), "{forecast:?}");
    assert_eq!(at(forecast.expected_at), Some(today + DAY));
    // A thousand are used after sixteen hours and two thirds.
    let reached = at(forecast.limit_reached_at).unwrap();
    if so_far < 1_000 {
        let off = reached.duration_since(today + SignedDuration::from_mins(1_000));
        assert!(off.abs() < HOUR, "{reached}");
    }
    assert!((9..=10).contains(&forecast.tested_windows), "{forecast:?}");
    assert!(forecast.error_percent.unwrap() < 5.0, "{forecast:?}");
}

#[tokio::test]
async fn nothing_is_forecast_from_too_little_and_a_limit_that_is_reached_is_reached_now() {
    let world = World::start().await;
    let tenant = world.tenant();
    let mut quotas = world.quotas(&world.program(tenant));
    quotas.consume_quota(using("users", 5)).await.unwrap();
    let users = forecast(&world, tenant, "users").await.unwrap();
    assert_eq!(
        (users.method.as_str(), users.trend_per_day, users.expected),
        ("", None, None)
    );
    assert_eq!((users.error_percent, users.tested_windows), (None, 0));
    let reached = at(users.limit_reached_at).unwrap();
    assert!(clock::now().duration_since(reached).as_secs() < 60);
    world.set(tenant, "alerts", 10, "minute").await;
    for unused in ["devices", "alerts"] {
        let unused = forecast(&world, tenant, unused).await.unwrap();
        assert_eq!(
            (unused.method.as_str(), unused.limit_reached_at),
            ("", None)
        );
    }
    for (unknown, field) in [("no_such_thing", "resource_type"), ("", "resource_type")] {
        let refused = forecast(&world, tenant, unknown).await.unwrap_err();
        assert_eq!(reason(&refused), Reason::InvalidArgument);
        let refusal = tenantry_rpc::status::refusal(&refused).unwrap();
        assert_eq!(refusal.violations[0].field, field);
    }
}
