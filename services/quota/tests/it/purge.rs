//! What quota keeps of a tenant, counted and removed at registry's request.

use std::collections::BTreeSet;

use sqlx::AssertSqlSafe;
use tenantry_core::TenantId;
use tenantry_proto::internal::data::v1::CountRequest;
use tenantry_quota::TENANT_TABLES;
use tenantry_rpc::assertion::Claims;

use crate::support::World;

/// Tables with a tenant's id whose rows stay: the log and its numbers outlive the tenant.
const STAYS: &[&str] = &["outbox", "outbox_counter"];
/// A table whose rows go by themselves, once the log has what it waits for.
const WAITS: &[&str] = &["relay_held"];

async fn tables_of_tenants(world: &World) -> BTreeSet<String> {
    let tables: Vec<String> = sqlx::query_scalar(
        "SELECT c.relname::text FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid
         WHERE c.relnamespace = 'quota'::regnamespace AND c.relkind IN ('r', 'p')
           AND NOT a.attisdropped AND a.attname = 'tenant_id'",
    )
    .fetch_all(&mut world.owner().await)
    .await
    .unwrap();
    tables.into_iter().collect()
}

async fn held(world: &World, tenant: TenantId) -> Vec<(String, i64)> {
    let mut held = Vec::new();
    for table in tables_of_tenants(world).await {
        let count = format!("SELECT count(*) FROM {table} WHERE tenant_id = $1");
        let count: i64 = sqlx::query_scalar(AssertSqlSafe(count))
            .bind(tenant.uuid())
            .fetch_one(&mut world.owner().await)
            .await
            .unwrap();
        if count > 0 && !STAYS.contains(&table.as_str()) {
            held.push((table, count));
        }
    }
    held
}

#[tokio::test]
async fn every_table_with_a_tenant_is_emptied_by_a_purge_or_reviewed() {
    let world = World::start().await;
    let known = TENANT_TABLES.iter().map(|table| table.name);
    let known = known
        .chain(STAYS.iter().copied())
        .chain(WAITS.iter().copied());
    let known: BTreeSet<_> = known.map(str::to_owned).collect();
    assert_eq!(tables_of_tenants(&world).await, known);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_purge_leaves_nothing_and_lets_nothing_in_also_of_those_who_just_use() {
    let world = World::start().await;
    let other = world.replica().await;
    let [tenant, neighbour] = [world.limited(100_000).await, world.limited(10).await];
    world.consume(neighbour, 3).await.unwrap();
    let mut quotas = other.quotas(&world.program(tenant));
    let user = tokio::spawn(async move {
        let mut used = 0;
        while quotas
            .consume_quota(crate::support::using("api_calls", 1))
            .await
            .is_ok()
        {
            used += 1;
        }
        used
    });
    for _ in 0..50 {
        world.consume(tenant, 1).await.unwrap();
    }
    let registry = Claims::of_service("registry", "quota");
    let mut data = world.data(&registry);
    let request = CountRequest {
        tenant_id: tenant.to_string(),
    };
    let counted = data.count(request).await.unwrap().into_inner().counts;
    let counted = |kind: &str| {
        counted
            .iter()
            .find(|count| count.kind == kind)
            .unwrap()
            .count
    };
    assert_eq!(
        (counted("usage_accounts"), counted("limit_overrides")),
        (2, 1)
    );
    assert!(counted("usage_records") >= 50);
    world.purge(tenant).await;
    println!("{} uses beside the purge", user.await.unwrap());
    assert!(world.consume(tenant, 1).await.is_err());
    assert_eq!(held(&world, tenant).await, []);
    // It may be asked again, and others are left alone.
    world.purge(tenant).await;
    assert_eq!(crate::exactness::usage(&world, neighbour).await, 3);
    let last: String = sqlx::query_scalar(
        "SELECT action FROM outbox WHERE tenant_id = $1 ORDER BY n DESC LIMIT 1",
    )
    .bind(tenant.uuid())
    .fetch_one(&mut world.owner().await)
    .await
    .unwrap();
    assert_eq!(last, "tenant.data_purged");
}
