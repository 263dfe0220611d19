//! What is used now, and by how many users.

use jiff::SignedDuration;
use jiff::tz::TimeZone;
use tenantry_core::{TenantId, clock};
use tenantry_proto::quota::v1::{GetUsageRequest, Usage};
use uuid::Uuid;

use crate::support::{Logged, World, log, used, using};

const DAY: SignedDuration = SignedDuration::from_hours(24);

async fn usage(world: &World, tenant: TenantId) -> Usage {
    let mut usages = world.usages(&world.program(tenant));
    let request = GetUsageRequest {
        tenant: tenant.to_string(),
    };
    usages.get_usage(request).await.unwrap().into_inner()
}

#[tokio::test]
async fn each_of_thirty_days_has_its_different_users_and_programs_are_none() {
    let world = World::start().await;
    let [tenant, neighbour] = [world.tenant(), world.tenant()];
    let now = clock::now();
    let by = |user: u128, days: i32| Logged {
        principal: format!("user:{}", Uuid::from_u128(user)),
        ..used("api_calls", 1, now - DAY * days)
    };
    // Two users today, one of them often; three a week ago; the day before the first of the thirty isn't shown.
    let mut lines = vec![
        by(1, 0),
        by(1, 0),
        by(2, 0),
        by(1, 7),
        by(2, 7),
        by(3, 7),
        by(4, 29),
        by(5, 30),
    ];
    lines.push(used("api_calls", 1, now - DAY * 3));
    log(&world, tenant, &lines).await;
    log(&world, neighbour, &[by(9, 0)]).await;
    let shown = usage(&world, tenant).await.daily_active_users;
    assert_eq!(shown.len(), 30);
    let date = |days: i32| {
        TimeZone::UTC
            .to_datetime(now - DAY * days)
            .date()
            .to_string()
    };
    for (back, day) in shown.iter().rev().enumerate() {
        let back = i32::try_from(back).unwrap();
        assert_eq!(day.date, date(back));
        let users = match back {
            0 => 2,
            7 => 3,
            29 => 1,
            _ => 0,
        };
        assert_eq!(day.count, users, "{}", day.date);
    }
}

#[tokio::test]
async fn each_resource_type_shows_what_is_used_of_its_limit_and_where_it_goes() {
    let world = World::start().await;
    let tenant = world.tenant();
    world.set(tenant, "gpu_seconds", 50, "day").await;
    let mut quotas = world.quotas(&world.program(tenant));
    for (resource_type, amount) in [
        ("api_calls", 30),
        ("users", 3),
        ("storage_bytes", 7),
        ("gpu_seconds", 2),
    ] {
        quotas
            .consume_quota(using(resource_type, amount))
            .await
            .unwrap();
    }
    let before = clock::now() - DAY * 10;
    log(&world, tenant, &[used("api_calls", 20, before)]).await;
    let resources = usage(&world, tenant).await.resource_consumption.unwrap();
    let shown = |used: Option<tenantry_proto::quota::v1::ResourceUsage>| {
        let used = used.unwrap();
        (used.current, used.limit, used.trend, used.reset_period)
    };
    let period = str::to_owned;
    assert_eq!(
        shown(resources.api_calls),
        (30, Some(1_000), Some(50.0), period("month"))
    );
    assert_eq!(shown(resources.users), (3, Some(5), None, period("never")));
    assert_eq!(shown(resources.storage), (7, None, None, period("never")));
    assert_eq!(shown(resources.alerts), (0, Some(10), None, period("day")));
    for unused in [
        resources.bandwidth,
        resources.devices,
        resources.classes,
        resources.database,
        resources.assets,
    ] {
        assert_eq!(unused.unwrap().current, 0);
    }
    let others: Vec<_> = resources
        .others
        .iter()
        .map(|used| (used.resource_type.as_str(), used.current))
        .collect();
    assert_eq!(others, [("api_keys", 0), ("gpu_seconds", 2)]);
}
