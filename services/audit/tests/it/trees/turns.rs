//! Whose turn it is to be signed, with which key.

use std::time::Duration;

use tenantry_core::{Reason, TenantId, random};
use tenantry_proto::audit::v1::ListLogKeysRequest;
use tenantry_transparency::{Checkpoint, Signers};

use super::{NAME, append, everything_fits, parts};
use crate::support::{World, operator, reason};

#[tokio::test]
async fn a_log_that_is_idle_is_neither_signed_again_nor_looked_at() {
    let world = World::start().await;
    let [idle, busy] = [(); 2].map(|()| world.registry.add("acme", 365, None));
    world.fill(idle, 1, 3).await;
    let before = world.all_signed(idle).await;
    let sql = "SELECT queued_at IS NULL AND waiting_since IS NULL FROM logs WHERE tenant_id = $1";
    world.until("log out of the queue", sql, idle).await;
    for n in 1..4 {
        world.fill(busy, n, 1).await;
        world.signed(busy).await;
    }
    let after = world.all_signed(idle).await;
    assert_eq!(
        (after.checkpoint, after.fleet_index),
        (before.checkpoint, before.fleet_index)
    );
    assert_eq!(world.entries().await.len(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_logs_that_grow_at_once_are_all_signed_each_once() {
    let world = World::start().await;
    let second = world.replica().await;
    let tenants: Vec<_> = (0..1_500).map(|_| TenantId::new()).collect();
    let held = world.nobody_signs().await;
    append(&second, "registry", &tenants, 0..1, 2).await;
    held.end().await;
    let all = "SELECT count(*) = 1500 AND $1::uuid IS NOT NULL FROM trees WHERE size = 2";
    world.until("1,500 checkpoints", all, tenants[0]).await;
    assert_eq!(world.entries().await.len(), tenants.len());
    everything_fits(&world, &second, &tenants[..20]).await;
}

#[tokio::test]
async fn a_log_of_more_events_than_one_turn_takes_is_signed_in_parts_beside_the_others() {
    let world = World::start().await;
    let [large, small] = [(); 2].map(|()| world.registry.add("acme", 365, None));
    world.fill(large, 1, 4).await;
    world.signed(large).await;
    let held = world.nobody_signs().await;
    // As if it had been written in many batches.
    let many = "INSERT INTO events SELECT tenant_id, i, class, received_at, 1000 + i, gen_random_uuid(), at, source, epoch, n,
                    digest, leaf, leaf_hash, disclosed, terms
                FROM events, generate_series(4, 59999) AS i WHERE tenant_id = $1 AND index = 3";
    let size = "UPDATE logs SET size = 60000, waiting_since = (SELECT min(received_at) FROM events), queued_at = clock_timestamp()
                WHERE tenant_id = $1";
    let mut owner = world.owner().await;
    for sql in [many, size] {
        let done = sqlx::query(sql).bind(large.uuid()).execute(&mut owner);
        assert!(done.await.unwrap().rows_affected() > 0);
    }
    world.fill(small, 1, 1).await;
    held.end().await;
    everything_fits(&world, &world, &[large, small]).await;
    let entries = world.entries().await;
    let sizes = entries
        .iter()
        .map(|entry| parts(entry).1)
        .collect::<Vec<_>>();
    assert_eq!(sizes.len(), 4, "{sizes:?}");
    assert!(sizes.contains(&1) && sizes.contains(&60_000));
}

#[tokio::test]
async fn keys_that_rotate_sign_the_next_checkpoint_and_a_key_of_another_name_signs_none() {
    let world = World::start().await;
    let tenant = world.registry.add("acme", 365, None);
    world.fill(tenant, 1, 1).await;
    world.signed(tenant).await;
    let file = world.keys.log_key();
    let old = std::fs::read_to_string(&file).unwrap();
    let new = Signers::generate(NAME, random::bytes()).unwrap();
    std::fs::write(&file, format!("{new}\n{old}")).unwrap();
    let replica = &world;
    let published = async || {
        let keys = replica
            .logs(&operator())
            .list_log_keys(ListLogKeysRequest {})
            .await?;
        Ok((keys.into_inner().keys.len() == 2).then_some(()))
    };
    let within = Duration::from_secs(10);
    tenantry_testkit::wait::until("two keys", within, published)
        .await
        .unwrap();
    world.fill(tenant, 2, 1).await;
    let signed = world.all_signed(tenant).await;
    let only = Signers::parse(&new).unwrap().vkeys();
    let opened = Checkpoint::open(&signed.checkpoint, &only).unwrap();
    assert_eq!(opened.size, 2);
    let other = Signers::generate("another.example", random::bytes()).unwrap();
    std::fs::write(&file, other).unwrap();
    let published = async || {
        let keys = replica
            .logs(&operator())
            .list_log_keys(ListLogKeysRequest {})
            .await?;
        Ok((keys.into_inner().keys.len() == 1).then_some(()))
    };
    tenantry_testkit::wait::until("another key", within, published)
        .await
        .unwrap();
    world.fill(tenant, 3, 1).await;
    let waits =
        "SELECT clock_timestamp() - waiting_since > interval '1 s' FROM logs WHERE tenant_id = $1";
    world.until("log that waits", waits, tenant).await;
    let refused = world.proof(tenant, "2", 0, 0).await.unwrap_err();
    assert_eq!(reason(&refused), Reason::NotYetCheckpointed);
    std::fs::write(&file, format!("{new}\n{old}")).unwrap();
    world.signed(tenant).await;
}
