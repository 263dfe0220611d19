//! Held events go once no hold keeps them, and not while one is placed.

use sqlx::{Connection as _, PgConnection, Postgres, Transaction};
use tenantry_core::TenantId;
use tenantry_testkit::wait::until;

use super::{OLD_DAYS, WITHIN, all_known, days, multiply};
use crate::support::{Old, World};

#[tokio::test]
async fn held_events_go_once_the_last_hold_is_released_and_those_that_the_plan_keeps_stay() {
    let world = World::start().await;
    let [short, long] =
        [("short", 30), ("long", 365)].map(|(slug, days)| world.registry.add(slug, days, None));
    all_known(&world).await;
    for tenant in [short, long] {
        world.fill(tenant, 1, 3).await;
        world.registry.change(tenant, |tenant| tenant.held = true);
    }
    let old = Old::of(world).await;
    for tenant in [short, long] {
        old.age(tenant, OLD_DAYS).await;
    }
    sqlx::query("UPDATE events SET class = 0")
        .execute(&mut old.owner().await)
        .await
        .unwrap();
    old.known("holds", |tenants| {
        tenants.is_held(short) && tenants.is_held(long)
    })
    .await;
    assert_eq!(old.retention.turn().await.unwrap().removed, 0);
    for tenant in [short, long] {
        old.registry.change(tenant, |tenant| tenant.held = false);
    }
    old.known("releases", |tenants| {
        !tenants.is_held(short) && !tenants.is_held(long)
    })
    .await;
    assert_eq!(old.retention.turn().await.unwrap().removed, 3);
    assert_eq!(old.classes(short).await, []);
    assert_eq!(
        old.classes(long).await,
        [(0, 3)],
        "its plan keeps them for a year"
    );
    old.registry.change(long, days(30));
    old.known("plan", |tenants| tenants.retention_days(long) == Some(30))
        .await;
    let retired = old.retention.turn().await.unwrap();
    assert_eq!(retired.removed, 3);
    assert!(
        old.past().await.is_empty(),
        "an empty partition of held events goes too"
    );
}

/// A tenant with so many held events that have had their time, and no hold.
async fn released(count: i64) -> (Old, TenantId) {
    let world = World::start().await;
    let tenant = world.registry.add("acme", 30, None);
    all_known(&world).await;
    world.fill(tenant, 1, 1).await;
    multiply(&mut world.owner().await, tenant, count).await;
    let old = Old::of(world).await;
    old.age(tenant, OLD_DAYS).await;
    sqlx::query("UPDATE events SET class = 0")
        .execute(&mut old.owner().await)
        .await
        .unwrap();
    (old, tenant)
}

/// Holds the runs of a log, as who makes one of them does.
async fn makes_a_run(owner: &mut PgConnection, tenant: TenantId) -> Transaction<'_, Postgres> {
    let mut tx = owner.begin().await.unwrap();
    sqlx::query(
        "SELECT pg_advisory_xact_lock('search_runs'::regclass::oid::integer, search_lock_key($1))",
    )
    .bind(tenant.uuid())
    .execute(&mut *tx)
    .await
    .unwrap();
    tx
}

/// Waits until somebody has waited for runs for longer than retention waits for a table.
async fn somebody_waits(old: &Old) {
    let mut watcher = old.owner().await;
    let look = async || {
        let waits = "SELECT true FROM pg_locks JOIN pg_database AS d ON d.oid = database
                     WHERE NOT granted AND locktype = 'advisory' AND d.datname = current_database()
                       AND waitstart < clock_timestamp() - interval '400 ms'";
        let waits: Option<bool> = sqlx::query_scalar(waits)
            .fetch_optional(&mut watcher)
            .await?;
        Ok(waits)
    };
    until("removal that waits", WITHIN, look).await.unwrap();
}

#[tokio::test]
async fn held_events_go_also_while_runs_of_their_log_are_made() {
    let (old, tenant) = released(3).await;
    let mut owner = old.owner().await;
    let making = makes_a_run(&mut owner, tenant).await;
    let meanwhile = async {
        somebody_waits(&old).await;
        making.commit().await.unwrap();
    };
    let (retired, ()) = tokio::join!(old.retention.turn(), meanwhile);
    let retired = retired.unwrap();
    assert_eq!((retired.removed, retired.left), (3, false));
    assert_eq!(old.classes(tenant).await, []);
}

#[tokio::test]
async fn a_hold_that_is_placed_while_events_are_removed_keeps_those_that_are_left() {
    let (old, tenant) = released(5_000).await;
    let mut owner = old.owner().await;
    let making = makes_a_run(&mut owner, tenant).await;
    let meanwhile = async {
        somebody_waits(&old).await;
        old.registry.change(tenant, |tenant| tenant.held = true);
        old.known("hold", |tenants| tenants.is_held(tenant)).await;
        making.commit().await.unwrap();
    };
    let (retired, ()) = tokio::join!(old.retention.turn(), meanwhile);
    assert_eq!(retired.unwrap().removed, 0);
    assert_eq!(old.classes(tenant).await, [(0, 5_000)]);
    let again = old.retention.turn().await.unwrap();
    assert_eq!((again.removed, again.left), (0, false));
    assert_eq!(old.classes(tenant).await, [(0, 5_000)]);
}
