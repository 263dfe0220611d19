//! What no checkpoint has stays: without it its log could never be signed again.

use tenantry_core::TenantId;

use super::OLD_DAYS;
use crate::support::{Old, World};

/// Logs of three old events each, of which the second one has no checkpoint, as under an alarm. Their events are of this class.
async fn unsigned(class: i16) -> (Old, [TenantId; 2]) {
    let world = World::start().await;
    let logs = ["signed", "unsigned"].map(|slug| world.registry.add(slug, 30, None));
    world.fill(logs[0], 1, 3).await;
    world.all_signed(logs[0]).await;
    let nobody_signs = world.nobody_signs().await;
    world.fill(logs[1], 1, 3).await;
    let old = Old::of(world).await;
    nobody_signs.end().await;
    for tenant in logs {
        old.age(tenant, OLD_DAYS).await;
    }
    let mut owner = old.owner().await;
    sqlx::query("UPDATE events SET class = $1")
        .bind(class)
        .execute(&mut owner)
        .await
        .unwrap();
    sqlx::query("UPDATE logs SET waiting_since = waiting_since - make_interval(days => $1)")
        .bind(OLD_DAYS)
        .execute(&mut owner)
        .await
        .unwrap();
    (old, logs)
}

/// Has a replica sign a log, and ends it.
async fn sign(old: &Old, tenant: TenantId) {
    let replica = old.replica().await;
    old.signed(tenant).await;
    let settled = "SELECT waiting_since IS NULL FROM logs WHERE tenant_id = $1";
    old.until("log that waits no longer", settled, tenant).await;
    replica.end().await;
}

#[tokio::test]
async fn a_partition_stays_until_a_checkpoint_has_all_of_it() {
    let (old, [signed, unsigned]) = unsigned(30).await;
    let before = old.rows(unsigned).await;
    let retired = old.retention.turn().await.unwrap();
    assert!(retired.left, "{retired:?}");
    assert_eq!(old.classes(signed).await, [(30, 3)]);
    assert_eq!(old.rows(unsigned).await, before);
    sign(&old, unsigned).await;
    assert!(!old.retention.turn().await.unwrap().left);
    assert_eq!(old.classes(signed).await, []);
    assert_eq!(old.classes(unsigned).await, []);
}

#[tokio::test]
async fn held_events_stay_until_a_checkpoint_has_them() {
    let (old, [signed, unsigned]) = unsigned(0).await;
    let before = old.rows(unsigned).await;
    let retired = old.retention.turn().await.unwrap();
    assert_eq!((retired.removed, retired.left), (3, true));
    assert_eq!(old.classes(signed).await, []);
    assert_eq!(old.rows(unsigned).await, before);
    sign(&old, unsigned).await;
    assert!(!old.retention.turn().await.unwrap().left);
    assert_eq!(old.classes(unsigned).await, []);
}
