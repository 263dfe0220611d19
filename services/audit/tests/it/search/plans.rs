//! What a search costs Postgres, as Postgres counts it.

use tenantry_core::{Permission, TenantId};
use tenantry_proto::audit::v1::{ListEventsRequest, SearchEventsRequest};
use tenantry_testkit::statements::Statements;

use super::{SHORT, all_made, bulk};
use crate::support::{World, member, operator};

/// Whole runs of a log, nearly.
const SIZE: i64 = 3 * SHORT + 10;
/// Events that have the word that is sought: one in a thousand.
const FOUND: usize = 13;
/// Blocks that one of them may cost: its place in an index of each partition there is, and its row.
const BLOCKS_OF_ONE: i64 = 100;

/// Blocks that a search looked at where it held candidates against their events.
async fn blocks(world: &World, search: impl AsyncFnOnce() -> usize) -> i64 {
    let mut superuser = world.superuser().await;
    let before = Statements::of("audit", &mut superuser).await.unwrap();
    assert_eq!(search().await, FOUND);
    let after = Statements::of("audit", &mut superuser).await.unwrap();
    let asked = after.since(&before);
    let held = asked.iter().filter(|(text, _)| text.contains("OFFSET"));
    let blocks: i64 = held.map(|(_, counts)| counts.blocks).sum();
    assert!(
        blocks > 0,
        "candidates were held against events: {asked:#?}"
    );
    blocks
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rare_word_of_a_large_log_among_many_small_ones_is_looked_up_place_by_place() {
    let world = World::start().await;
    let tenant = bulk::log(&world, SIZE).await;
    bulk::small_logs(&world, tenant, 500, 4).await;
    all_made(&world).await;
    let of_one = blocks(&world, async || in_one(&world, tenant).await).await;
    let of_all = blocks(&world, async || in_all(&world).await).await;
    let most = BLOCKS_OF_ONE * FOUND as i64;
    assert!(of_one < most && of_all < most, "{of_one} {of_all} {most}");
    let compiled = "SELECT coalesce(sum(jit_functions), 0)::bigint FROM pg_stat_statements JOIN pg_database ON oid = dbid
                    WHERE datname = current_database() AND query LIKE '%OFFSET%'";
    let compiled = sqlx::query_scalar::<_, i64>(compiled);
    assert_eq!(
        compiled
            .fetch_one(&mut world.superuser().await)
            .await
            .unwrap(),
        0
    );
}

async fn in_one(world: &World, tenant: TenantId) -> usize {
    let request = ListEventsRequest {
        q: "w5".to_owned(),
        ..Default::default()
    };
    let mut client = world.events(&member(tenant, &[Permission::AuditRead]));
    client
        .list_events(request)
        .await
        .unwrap()
        .into_inner()
        .events
        .len()
}

async fn in_all(world: &World) -> usize {
    let request = SearchEventsRequest {
        q: "w5".to_owned(),
        ..Default::default()
    };
    let mut client = world.events(&operator());
    client
        .search_events(request)
        .await
        .unwrap()
        .into_inner()
        .events
        .len()
}
