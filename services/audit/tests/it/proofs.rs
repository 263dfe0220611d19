//! Proofs: everything that is under a checkpoint is shown to be there, and what can't be shown is said plainly.

use tenantry_core::{Permission, Reason, TenantId};
use tenantry_proto::audit::v1::{
    GetFleetCheckpointRequest, GetLogCheckpointRequest, GetLogProofRequest, GetLogTileRequest,
    ListFleetEntriesRequest, ListLogKeysRequest,
};
use tenantry_transparency::tree::{leaf_hash, levels, width};
use tenantry_transparency::{Frontier, Hash, TileId, Tiles, check_consistency, check_inclusion};
use tonic::Status;

use crate::support::{Replica, Tree, World, hashes, head, member, operator, reason};

/// What the API shows of one size of a log: an event, and an earlier size.
async fn shown(world: &World, tenant: TenantId, rows: &Tree, size: u64, event: u64, from: u64) {
    let index = event.to_string();
    let proof = world.proof(tenant, &index, size, from).await.unwrap();
    let tree = rows.at(size);
    assert_eq!(proof.root_hash, tree.root.to_string());
    assert_eq!(proof.tree_size as u64, size);
    assert_eq!(proof.index, Some(event as i64));
    let leaf = leaf_hash(proof.leaf.as_bytes());
    check_inclusion(&tree, event, leaf, &hashes(&proof.inclusion)).unwrap();
    assert_eq!(proof.consistency_from, Some(from as i64));
    check_consistency(&rows.at(from), &tree, &hashes(&proof.consistency)).unwrap();
    if size == rows.newest.size {
        assert_eq!(head(world, &proof.checkpoint), tree);
    } else {
        assert!(proof.checkpoint.is_empty());
    }
}

#[tokio::test]
async fn every_event_and_every_earlier_size_is_proved_for_every_size_of_a_small_log() {
    let world = World::start().await;
    let tenant = world.registry.add("acme", 365, None);
    world.fill(tenant, 1, 9).await;
    world.all_signed(tenant).await;
    let rows = world.rows(tenant).await;
    for size in 1..=9 {
        for event in 0..size {
            shown(&world, tenant, &rows, size, event, event + 1).await;
        }
    }
}

#[tokio::test]
async fn proofs_hold_on_both_sides_of_the_bounds_of_tiles() {
    let world = World::start().await;
    let tenant = world.registry.add("acme", 365, None);
    for part in 0..3 {
        world.fill(tenant, part * 250 + 1, 250).await;
        world.all_signed(tenant).await;
    }
    let rows = world.rows(tenant).await;
    for size in [1, 255, 256, 257, 511, 512, 513, 749, 750] {
        for event in [0, 1, 254, 255, 256, 511, 512, 749] {
            if event < size {
                shown(&world, tenant, &rows, size, event, event + 1).await;
            }
        }
    }
}

#[tokio::test]
async fn an_event_that_is_gone_is_still_proved_by_its_index_and_has_no_leaf() {
    let world = World::start().await;
    let tenant = world.registry.add("acme", 365, None);
    world.fill(tenant, 1, 5).await;
    world.all_signed(tenant).await;
    let rows = world.rows(tenant).await;
    let before = world.proof(tenant, "2", 0, 0).await.unwrap();
    let gone: uuid::Uuid = sqlx::query_scalar(
        "DELETE FROM events WHERE tenant_id = $1 AND index = 2 RETURNING event_id",
    )
    .bind(tenant.uuid())
    .fetch_one(&mut world.owner().await)
    .await
    .unwrap();
    let after = world.proof(tenant, "2", 0, 0).await.unwrap();
    assert!(after.leaf.is_empty() && after.disclosed.is_empty());
    assert_eq!(after.inclusion, before.inclusion);
    let leaf = leaf_hash(before.leaf.as_bytes());
    check_inclusion(&rows.newest, 2, leaf, &hashes(&after.inclusion)).unwrap();
    let by_id = world.proof(tenant, &gone.to_string(), 0, 0).await;
    assert_eq!(reason(&by_id.unwrap_err()), Reason::EventNotFound);
}

#[tokio::test]
async fn an_event_is_proved_by_its_id_with_what_opens_it() {
    let world = World::start().await;
    let tenant = world.registry.add("acme", 365, None);
    world.fill(tenant, 1, 3).await;
    world.all_signed(tenant).await;
    let id: uuid::Uuid =
        sqlx::query_scalar("SELECT event_id FROM events WHERE tenant_id = $1 AND index = 1")
            .bind(tenant.uuid())
            .fetch_one(&mut world.owner().await)
            .await
            .unwrap();
    let proof = world.proof(tenant, &id.to_string(), 0, 0).await.unwrap();
    assert_eq!(proof.index, Some(1));
    let leaf = tenantry_transparency::Leaf::parse(&proof.leaf).unwrap();
    let opened = leaf.open(&serde_json::from_str(&proof.disclosed).unwrap());
    assert_eq!(opened.unwrap()["actor"]["email"], "grace@example.com");
}

#[tokio::test]
async fn what_cannot_be_proved_is_refused_with_its_field_or_reason() {
    let world = World::start().await;
    let tenant = world.registry.add("acme", 365, None);
    let empty = world.registry.add("empty", 365, None);
    world.fill(tenant, 1, 5).await;
    world.all_signed(tenant).await;
    let held = world.nobody_signs().await;
    world.fill(tenant, 6, 2).await;
    let nothing = TenantId::new().to_string();
    for (event, size, from, field) in [
        ("", 0, 0, "event"),
        ("3", 3, 0, "tree_size"),
        ("3", 8, 0, "tree_size"),
        ("3", 4, 5, "from_size"),
        ("", 0, 8, "from_size"),
    ] {
        let refused = world.proof(tenant, event, size, from).await.unwrap_err();
        let refusal = tenantry_rpc::status::refusal(&refused).unwrap();
        assert_eq!(refusal.violations[0].field, field, "{event} {size} {from}");
    }
    for (event, size, from, expected) in [
        ("7", 0, 0, Reason::EventNotFound),
        (nothing.as_str(), 0, 0, Reason::EventNotFound),
        ("-1", 0, 0, Reason::EventNotFound),
        ("6", 0, 0, Reason::NotYetCheckpointed),
        ("1", 7, 0, Reason::NotYetCheckpointed),
        ("", 0, 7, Reason::NotYetCheckpointed),
    ] {
        let refused = world.proof(tenant, event, size, from).await.unwrap_err();
        assert_eq!(reason(&refused), expected, "{event} {size} {from}");
    }
    let refused = world.checkpoint(empty).await.unwrap_err();
    assert_eq!(reason(&refused), Reason::NotYetCheckpointed);
    let refusal = tenantry_rpc::status::refusal(&refused).unwrap();
    assert!(refusal.retry_after_ms.is_some());
    held.end().await;
    world.all_signed(tenant).await;
    assert!(world.proof(tenant, "6", 7, 7).await.is_ok());
}

/// A tile of a log, as the API gives it.
async fn tile(replica: &Replica, tenant: TenantId, id: (i32, i64)) -> Result<Vec<u8>, Status> {
    let mut logs = replica.logs(&member(tenant, &[Permission::AuditRead]));
    let request = GetLogTileRequest {
        tenant: String::new(),
        level: id.0,
        index: id.1,
    };
    let tile = logs.get_log_tile(request).await?.into_inner();
    assert_eq!((tile.level, tile.index), id);
    assert_eq!(tile.hashes.len(), tile.width as usize * 32);
    Ok(tile.hashes)
}

#[tokio::test]
async fn the_tiles_are_those_of_the_signed_tree() {
    let world = World::start().await;
    let tenant = world.registry.add("acme", 365, None);
    world.fill(tenant, 1, 600).await;
    let signed = world.all_signed(tenant).await;
    let signed = head(&world, &signed.checkpoint);
    let mut tiles = Tiles::new();
    let mut leaves = Frontier::new();
    for level in 0..levels(signed.size) {
        for index in 0..width(signed.size, level).div_ceil(256) {
            let hashes = tile(&world, tenant, (level.into(), index as i64));
            let hashes = hashes.await.unwrap();
            if level == 0 {
                let (leaf_hashes, _) = hashes.as_chunks();
                leaves
                    .extend(leaf_hashes.iter().map(|hash| Hash(*hash)))
                    .unwrap();
            }
            tiles.insert(TileId { level, index }, hashes);
        }
    }
    assert_eq!(leaves.head(), signed);
    assert_eq!(Frontier::restore(&signed, &tiles).unwrap().head(), signed);
    assert_eq!(world.rows(tenant).await.newest, signed);
    for (id, field) in [
        ((0, 3), "index"),
        ((1, 1), "index"),
        ((2, 0), "level"),
        ((-1, 0), "level"),
    ] {
        let refused = tile(&world, tenant, id).await.unwrap_err();
        let refusal = tenantry_rpc::status::refusal(&refused).unwrap();
        assert_eq!(refusal.violations[0].field, field, "{id:?}");
    }
}

#[tokio::test]
async fn another_tenants_log_is_answered_like_one_that_is_not_there() {
    let world = World::start().await;
    let [acme, other] = ["acme", "other"].map(|slug| world.registry.add(slug, 365, None));
    for tenant in [acme, other] {
        world.fill(tenant, 1, 3).await;
        world.all_signed(tenant).await;
    }
    let asked = async |claims: &_, tenant: String| {
        let mut logs = world.logs(claims);
        let checkpoint = GetLogCheckpointRequest {
            tenant: tenant.clone(),
        };
        let proof = GetLogProofRequest {
            tenant: tenant.clone(),
            event: "0".to_owned(),
            ..Default::default()
        };
        let tile = GetLogTileRequest {
            tenant,
            level: 0,
            index: 0,
        };
        [
            logs.get_log_checkpoint(checkpoint).await.map(drop),
            logs.get_log_proof(proof).await.map(drop),
            logs.get_log_tile(tile).await.map(drop),
        ]
    };
    let reader = member(acme, &[Permission::AuditRead]);
    let foreign = asked(&reader, other.to_string()).await;
    let absent = asked(&reader, TenantId::new().to_string()).await;
    for (foreign, absent) in foreign.into_iter().zip(absent) {
        let [foreign, absent] = [foreign, absent].map(Result::unwrap_err);
        assert_eq!(reason(&foreign), Reason::TenantNotFound);
        assert_eq!(
            (foreign.message(), foreign.details()),
            (absent.message(), absent.details())
        );
    }
    assert!(
        asked(&reader, acme.to_string())
            .await
            .iter()
            .all(Result::is_ok)
    );
    // An operator needs the right to read content.
    for refused in asked(&operator(), other.to_string()).await {
        assert_eq!(reason(&refused.unwrap_err()), Reason::PermissionDenied);
    }
    let mut reading = operator();
    reading.perms = reading.perms.union(reader.perms);
    let read = asked(&reading, other.to_string()).await;
    assert!(read.iter().all(Result::is_ok));
    let without = member(acme, &[Permission::TenantsRead]);
    for refused in asked(&without, String::new()).await {
        assert_eq!(reason(&refused.unwrap_err()), Reason::PermissionDenied);
    }
    let mut logs = world.logs(&reader);
    let fleet = logs.get_fleet_checkpoint(GetFleetCheckpointRequest::default());
    assert_eq!(reason(&fleet.await.unwrap_err()), Reason::PermissionDenied);
    let entries = logs.list_fleet_entries(ListFleetEntriesRequest::default());
    assert_eq!(
        reason(&entries.await.unwrap_err()),
        Reason::PermissionDenied
    );
    let mut logs = world.logs(&without);
    let keys = logs.list_log_keys(ListLogKeysRequest {}).await.unwrap();
    assert_eq!(keys.into_inner().keys, world.vkeys());
}

#[tokio::test]
async fn what_shows_an_event_is_an_event_and_what_shows_none_is_not() {
    let world = World::start().await;
    let tenant = world.registry.add("acme", 365, None);
    world.fill(tenant, 1, 3).await;
    world.all_signed(tenant).await;
    world.proof(tenant, "", 0, 2).await.unwrap();
    tile(&world, tenant, (0, 0)).await.unwrap();
    let read = async || -> Vec<String> {
        sqlx::query_scalar("SELECT action FROM outbox WHERE tenant_id = $1")
            .bind(tenant.uuid())
            .fetch_all(&mut world.owner().await)
            .await
            .unwrap()
    };
    assert!(read().await.is_empty());
    world.proof(tenant, "1", 0, 2).await.unwrap();
    assert_eq!(read().await, ["audit_log.read"]);
}
