//! The trees: every checkpoint that was ever signed is one of one growing log, whoever signs and whoever dies.

mod turns;

use std::collections::BTreeMap;
use std::time::Duration;

use sqlx::Connection as _;
use tenantry_core::TenantId;
use tenantry_proto::audit::v1::{FleetCheckpoint, GetFleetCheckpointRequest, LogCheckpoint};
use tenantry_proto::internal::audit::v1::AppendRequest;
use tenantry_transparency::tree::leaf_hash;
use tenantry_transparency::{
    TreeHead, check_consistency, check_inclusion, origin_of_fleet, origin_of_tenant,
};

use crate::support::{Replica, Tree, World, event, hashes, head, operator, service, stream};

/// What everybody has of a checkpoint: origin, size and root.
fn parts(entry: &str) -> (String, u64, String) {
    let lines: Vec<_> = entry.lines().collect();
    assert_eq!(lines.len(), 3, "{entry:?}");
    (
        lines[0].to_owned(),
        lines[1].parse().unwrap(),
        lines[2].to_owned(),
    )
}

/// Holds each checkpoint that was ever signed of these logs against trees computed anew from their rows, and that the fleet's
/// log has each size of each log once, and in order.
async fn everything_fits(world: &World, replica: &Replica, tenants: &[TenantId]) {
    let mut newest: BTreeMap<String, u64> = BTreeMap::new();
    let mut trees = BTreeMap::new();
    for tenant in tenants {
        world.signed(*tenant).await;
        trees.insert(origin_of_tenant(NAME, *tenant), world.rows(*tenant).await);
    }
    let entries = replica.entries().await;
    for entry in &entries {
        let (origin, size, root) = parts(entry);
        let before = newest.insert(origin.clone(), size).unwrap_or(0);
        assert!(before < size, "{origin}: {before}, then {size}");
        if let Some(tree) = trees.get(&origin) {
            assert_eq!(tree.at(size).root.to_string(), root, "{origin}");
        }
    }
    for (origin, tree) in &trees {
        assert_eq!(newest.get(origin), Some(&tree.newest.size), "{origin}");
    }
    let fleet = fleet(replica, 0).await;
    assert_eq!(head(world, &fleet.checkpoint), Tree::of(&entries).newest);
}

/// Name of the logs in tests.
const NAME: &str = "tenantry.test/audit";

/// The fleet's newest checkpoint.
async fn fleet(replica: &Replica, from_size: i64) -> FleetCheckpoint {
    let mut logs = replica.logs(&operator());
    let request = GetFleetCheckpointRequest { from_size };
    logs.get_fleet_checkpoint(request)
        .await
        .unwrap()
        .into_inner()
}

/// Checks all that a checkpoint says of itself.
fn check(world: &World, tenant: TenantId, given: &LogCheckpoint) -> TreeHead {
    let signed = head(world, &given.checkpoint);
    assert_eq!(
        (signed.size as i64, signed.root.to_string()),
        (given.tree_size, given.root_hash.clone())
    );
    let text = given.checkpoint.split_once("\n\n").unwrap().0.to_owned() + "\n";
    assert_eq!(parts(&text).0, origin_of_tenant(NAME, tenant));
    let fleet = head(world, &given.fleet_checkpoint);
    assert_eq!(
        given.fleet_checkpoint.lines().next(),
        Some(origin_of_fleet(NAME).as_str())
    );
    let (index, leaf) = (
        given.fleet_index.unwrap() as u64,
        leaf_hash(text.as_bytes()),
    );
    check_inclusion(&fleet, index, leaf, &hashes(&given.fleet_inclusion)).unwrap();
    signed
}

/// Appends batches of events for each of these tenants, as a service of this name.
async fn append(
    replica: &Replica,
    source: &str,
    tenants: &[TenantId],
    batches: std::ops::Range<i64>,
    size: usize,
) {
    let mut append = replica.append(&service(source));
    for batch in batches {
        let streams = tenants.iter().map(|tenant| {
            let events: Vec<_> = (0..size).map(|_| event(source)).collect();
            stream(*tenant, batch * size as i64 + 1, &events)
        });
        let request = AppendRequest {
            streams: streams.collect(),
            request_id: String::new(),
        };
        for outcome in append.append(request).await.unwrap().into_inner().outcomes {
            assert_eq!(outcome.outcome, "taken");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_checkpoint_that_was_published_is_of_one_growing_log_while_all_replicas_append_and_sign()
 {
    let world = World::start().await;
    let second = world.replica().await;
    let tenants = [(); 3].map(|()| world.registry.add("acme", 365, None));
    let appending = async {
        for part in [0..14, 14..28, 28..40] {
            tokio::join!(
                append(&world, "registry", &tenants, part.clone(), 7),
                append(&second, "identity", &tenants, part, 5),
            );
            for tenant in tenants {
                world.all_signed(tenant).await;
            }
        }
    };
    let done = tokio_util::sync::CancellationToken::new();
    let collecting = async |replica: &Replica| {
        let mut seen: BTreeMap<(TenantId, i64), LogCheckpoint> = BTreeMap::new();
        let mut fleets: BTreeMap<i64, FleetCheckpoint> = BTreeMap::new();
        loop {
            // Once more behind the end, so that the last ones are among them.
            let last = done.is_cancelled();
            for tenant in tenants {
                if let Ok(given) = replica.checkpoint(tenant).await {
                    seen.insert((tenant, given.tree_size), given);
                }
            }
            if !seen.is_empty() {
                let given = fleet(replica, 0).await;
                fleets.insert(given.tree_size, given);
            }
            if last {
                return (seen, fleets);
            }
        }
    };
    let appending = async {
        appending.await;
        done.cancel();
    };
    let ((), one, other) = tokio::join!(appending, collecting(&world), collecting(&second));
    for (seen, fleets) in [one, other] {
        assert!(seen.len() > 2 * tenants.len(), "{} checkpoints", seen.len());
        for ((tenant, size), given) in &seen {
            let earlier = check(&world, *tenant, given);
            let proof = world.proof(*tenant, "", 0, *size as u64).await.unwrap();
            let newest = head(&world, &proof.checkpoint);
            check_consistency(&earlier, &newest, &hashes(&proof.consistency)).unwrap();
        }
        for (size, given) in &fleets {
            let earlier = head(&world, &given.checkpoint);
            let newest = fleet(&second, *size).await;
            let proof = hashes(&newest.consistency);
            check_consistency(&earlier, &head(&world, &newest.checkpoint), &proof).unwrap();
        }
    }
    everything_fits(&world, &second, &tenants).await;
}

/// Stops whoever signs in the middle: it waits for a row that it has to write.
async fn stuck(world: &World, tenant: TenantId) -> sqlx::PgConnection {
    let mut held = world.owner().await;
    let hold = format!("BEGIN; SELECT FROM trees WHERE tenant_id = '{tenant}' FOR UPDATE");
    sqlx::raw_sql(sqlx::AssertSqlSafe(hold))
        .execute(&mut held)
        .await
        .unwrap();
    held
}

/// Waits until somebody stands in the middle of signing.
async fn stands(world: &World) {
    let url = world.database.superuser_url();
    let mut superuser = sqlx::PgConnection::connect(url.as_str()).await.unwrap();
    let look = async || {
        let stands: bool = sqlx::query_scalar(
            "SELECT count(*) > 0 FROM pg_stat_activity
             WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE 'INSERT INTO trees%'",
        )
        .fetch_one(&mut superuser)
        .await?;
        Ok(stands.then_some(()))
    };
    let within = Duration::from_secs(20);
    let stands = tenantry_testkit::wait::until("replica in the middle", within, look);
    stands.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_dies_in_the_middle_of_signing_leaves_nothing_half_done() {
    let world = World::start().await;
    world.end().await;
    let tenants = [(); 5].map(|()| world.registry.add("acme", 365, None));
    for round in 0..6 {
        let replica = world.replica().await;
        append(&replica, "registry", &tenants, round..round + 1, 60).await;
        for tenant in tenants {
            world.signed(tenant).await;
        }
        let held = stuck(&world, tenants[round as usize % tenants.len()]).await;
        append(&replica, "identity", &tenants, round..round + 1, 3).await;
        stands(&world).await;
        replica.end().await;
        drop(held);
    }
    let last = world.replica().await;
    everything_fits(&world, &last, &tenants).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn appends_wait_for_nobody_who_signs() {
    let world = World::start().await;
    let tenants = [(); 3].map(|()| world.registry.add("acme", 365, None));
    append(&world, "registry", &tenants, 0..1, 20).await;
    for tenant in tenants {
        world.signed(tenant).await;
    }
    let held = stuck(&world, tenants[1]).await;
    append(&world, "registry", &tenants, 1..2, 20).await;
    stands(&world).await;
    let appending = append(&world, "registry", &tenants, 2..12, 20);
    let done = tokio::time::timeout(Duration::from_secs(10), appending).await;
    done.expect("appended while somebody stands in the middle of signing");
    drop(held);
    everything_fits(&world, &world, &tenants).await;
}
