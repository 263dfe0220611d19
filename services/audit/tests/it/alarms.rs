//! What somebody does to the rows behind the service's back: it is noticed, and nothing is signed over it.

use sqlx::{AssertSqlSafe, PgConnection};
use tenantry_core::{Reason, TenantId};
use tenantry_transparency::check_inclusion;
use tenantry_transparency::tree::leaf_hash;

use crate::support::{World, hashes, head, reason};

/// Runs statements that change something; `$1` is the tenant.
async fn tamper(owner: &mut PgConnection, sql: &str, tenant: TenantId) {
    let sql = sql.replace("$1", &format!("'{tenant}'"));
    let done = sqlx::raw_sql(AssertSqlSafe(sql.clone())).execute(owner);
    assert!(done.await.unwrap().rows_affected() > 0, "{sql}");
}

/// Waits until there is an alarm for a log, and the log was looked at for the last time.
async fn alarmed(world: &World, tenant: TenantId) -> String {
    let sql =
        "SELECT alarm IS NOT NULL AND queued_at > clock_timestamp() FROM logs WHERE tenant_id = $1";
    world.until("alarm", sql, tenant).await;
    sqlx::query_scalar("SELECT alarm FROM logs WHERE tenant_id = $1")
        .bind(tenant.uuid())
        .fetch_one(&mut world.owner().await)
        .await
        .unwrap()
}

/// Lets a log be looked at again without the pause that an alarm brings.
async fn look_again(owner: &mut PgConnection, tenant: TenantId) {
    let sql = "UPDATE logs SET queued_at = '2000-01-01' WHERE tenant_id = $1";
    tamper(owner, sql, tenant).await;
}

/// The alarms that the platform's stream tells of.
async fn told(owner: &mut PgConnection) -> Vec<serde_json::Value> {
    sqlx::query_scalar(
        "SELECT event -> 'after' FROM outbox WHERE tenant_id = $1 AND action = 'audit_log.not_signed'",
    )
    .bind(TenantId::PLATFORM.uuid())
    .fetch_all(owner)
    .await
    .unwrap()
}

#[tokio::test]
async fn over_a_removed_row_nothing_is_signed_until_it_is_back() {
    let world = World::start().await;
    let mut owner = world.owner().await;
    let [acme, other] = ["acme", "other"].map(|slug| world.registry.add(slug, 365, None));
    world.fill(acme, 1, 4).await;
    let before = world.all_signed(acme).await;
    let held = world.nobody_signs().await;
    world.fill(acme, 5, 4).await;
    world.fill(other, 1, 4).await;
    let remove = "CREATE TABLE kept AS SELECT * FROM events WHERE tenant_id = $1 AND index = 6;
                  DELETE FROM events WHERE tenant_id = $1 AND index = 6";
    tamper(&mut owner, remove, acme).await;
    held.end().await;
    assert_eq!(alarmed(&world, acme).await, "events_missing");
    world.all_signed(other).await;
    // Neither by what comes behind it, nor at a second look.
    world.fill(acme, 9, 1).await;
    look_again(&mut owner, acme).await;
    assert_eq!(alarmed(&world, acme).await, "events_missing");
    let still = world.checkpoint(acme).await.unwrap();
    assert_eq!(still.checkpoint, before.checkpoint);
    let expected = serde_json::json!({"tenant_id": acme, "why": "events_missing"});
    assert_eq!(told(&mut owner).await, [expected], "once, at the first");
    tamper(&mut owner, "INSERT INTO events SELECT * FROM kept", acme).await;
    look_again(&mut owner, acme).await;
    let after = world.all_signed(acme).await;
    assert_eq!(
        head(&world, &after.checkpoint),
        world.rows(acme).await.newest
    );
}

#[tokio::test]
async fn over_a_row_that_is_there_twice_nothing_is_signed() {
    let world = World::start().await;
    let mut owner = world.owner().await;
    let tenant = world.registry.add("acme", 365, None);
    let held = world.nobody_signs().await;
    world.fill(tenant, 1, 4).await;
    let twice = "CREATE TABLE kept AS SELECT * FROM events WHERE tenant_id = $1 AND index = 2;
                 UPDATE kept SET class = 730; INSERT INTO events SELECT * FROM kept";
    tamper(&mut owner, twice, tenant).await;
    held.end().await;
    assert_eq!(alarmed(&world, tenant).await, "events_missing");
    let none = world.checkpoint(tenant).await.unwrap_err();
    assert_eq!(reason(&none), Reason::NotYetCheckpointed);
}

#[tokio::test]
async fn on_tiles_that_are_not_those_of_the_last_checkpoint_nothing_is_built_or_proved() {
    let world = World::start().await;
    let mut owner = world.owner().await;
    let tenant = world.registry.add("acme", 365, None);
    world.fill(tenant, 1, 5).await;
    let before = world.all_signed(tenant).await;
    let change = "UPDATE tiles SET hashes = set_byte(hashes, 40, get_byte(hashes, 40) # 1) WHERE tenant_id = $1";
    tamper(&mut owner, change, tenant).await;
    world.fill(tenant, 6, 1).await;
    assert_eq!(alarmed(&world, tenant).await, "tiles_differ");
    let still = world.checkpoint(tenant).await.unwrap();
    assert_eq!(still.checkpoint, before.checkpoint);
    let refused = world.proof(tenant, "4", 0, 2).await.unwrap_err();
    assert_eq!(reason(&refused), Reason::Internal);
    tamper(&mut owner, change, tenant).await;
    look_again(&mut owner, tenant).await;
    world.all_signed(tenant).await;
    assert!(world.proof(tenant, "4", 0, 2).await.is_ok());
}

#[tokio::test]
async fn a_log_that_became_shorter_than_its_checkpoint_is_not_signed() {
    let world = World::start().await;
    let mut owner = world.owner().await;
    let tenant = world.registry.add("acme", 365, None);
    world.fill(tenant, 1, 5).await;
    world.all_signed(tenant).await;
    let shorten = "DELETE FROM events WHERE tenant_id = $1 AND index > 1;
                   UPDATE logs SET size = 2 WHERE tenant_id = $1";
    tamper(&mut owner, shorten, tenant).await;
    world.fill(tenant, 6, 1).await;
    assert_eq!(alarmed(&world, tenant).await, "shorter_than_checkpoint");
}

#[tokio::test]
async fn a_row_that_was_changed_no_longer_fits_what_was_signed() {
    let world = World::start().await;
    let mut owner = world.owner().await;
    let tenant = world.registry.add("acme", 365, None);
    world.fill(tenant, 1, 5).await;
    let signed = world.all_signed(tenant).await;
    let signed = head(&world, &signed.checkpoint);
    assert_eq!(world.rows(tenant).await.newest, signed);
    let change =
        "UPDATE events SET leaf = replace(leaf, 'New', 'Old') WHERE tenant_id = $1 AND index = 3";
    tamper(&mut owner, change, tenant).await;
    assert_ne!(world.rows(tenant).await.newest, signed);
    let proof = world.proof(tenant, "3", 0, 0).await.unwrap();
    let leaf = leaf_hash(proof.leaf.as_bytes());
    assert!(check_inclusion(&signed, 3, leaf, &hashes(&proof.inclusion)).is_err());
    // Nor do others, which nobody changed, come to harm.
    let proof = world.proof(tenant, "4", 0, 0).await.unwrap();
    let leaf = leaf_hash(proof.leaf.as_bytes());
    check_inclusion(&signed, 4, leaf, &hashes(&proof.inclusion)).unwrap();
}

#[tokio::test]
async fn when_the_fleets_own_tiles_were_changed_nothing_is_signed_at_all() {
    let world = World::start().await;
    let mut owner = world.owner().await;
    let tenant = world.registry.add("acme", 365, None);
    world.fill(tenant, 1, 1).await;
    let before = world.all_signed(tenant).await;
    let change = "UPDATE fleet_tiles SET hashes = set_byte(hashes, 3, get_byte(hashes, 3) # 1)";
    tamper(&mut owner, change, tenant).await;
    world.fill(tenant, 2, 1).await;
    // The next look, which comes after the one that was refused, finds it waiting still.
    let waits =
        "SELECT clock_timestamp() - waiting_since > interval '1 s' FROM logs WHERE tenant_id = $1";
    world.until("log that waits", waits, tenant).await;
    tamper(&mut owner, change, tenant).await;
    let after = world.all_signed(tenant).await;
    assert_eq!(after.fleet_index, before.fleet_index.map(|index| index + 1));
}
