//! A log that is large enough for a long run.

use tenantry_core::{Permission, TenantId};
use tenantry_proto::audit::v1::{ListEventsRequest, SearchEventsRequest};
use tenantry_rpc::convert::timestamp;

use super::model::Dice;
use super::{ALL, SHORT, all_made, bulk, runs};
use crate::support::{World, member, operator};

const LONG: i64 = 262_144;
const SIZE: i64 = LONG + SHORT + 1_000;

fn by_request(index: i64) -> ListEventsRequest {
    ListEventsRequest {
        request_id: format!("request-{index}"),
        ..Default::default()
    }
}

fn by_word(n: i64) -> ListEventsRequest {
    ListEventsRequest {
        q: format!("w{n}"),
        page_size: 1_000,
        ..Default::default()
    }
}

async fn indexes(world: &World, tenant: TenantId, request: ListEventsRequest) -> Vec<i64> {
    let mut client = world.events(&member(tenant, &[Permission::AuditRead]));
    let page = client.list_events(request).await.unwrap().into_inner();
    page.events.iter().map(|event| event.index).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_log_is_searched_by_few_runs_and_misses_nothing_while_they_are_made_and_made_anew()
{
    let world = World::start().await;
    let tenant = bulk::log(&world, SIZE).await;
    let mut dice = Dice(4);
    let mut any = || 1 + dice.below(SIZE as u64 - 1).cast_signed();
    let made = all_made(&world);
    tokio::pin!(made);
    loop {
        let index = any();
        tokio::select! {
            () = &mut made => break,
            found = indexes(&world, tenant, by_request(index)) => assert_eq!(found, [index]),
        }
    }
    for scope in [tenant.uuid(), ALL] {
        assert_eq!(runs(&world, scope).await, [(1, LONG), (0, LONG + SHORT)]);
    }

    // By one fact, by two, by time, and of all logs.
    let backwards = |step: i64, from: i64| (1..SIZE).rev().filter(move |i| i % step == from);
    assert_eq!(
        indexes(&world, tenant, by_word(5)).await,
        Vec::from_iter(backwards(1_000, 5))
    );
    let mut both = by_word(5);
    both.event_type = "e3".to_owned();
    let expected = backwards(1_000, 5).filter(|i| i % 7 == 3);
    assert_eq!(
        indexes(&world, tenant, both).await,
        Vec::from_iter(expected)
    );
    let mut owner = world.owner().await;
    let at: Vec<tenantry_store::time::PgTime> = sqlx::query_scalar(
        "SELECT at FROM events WHERE tenant_id = $1 AND index IN (70005, 90005) ORDER BY index",
    )
    .bind(tenant.uuid())
    .fetch_all(&mut owner)
    .await
    .unwrap();
    let mut some_days = by_word(5);
    some_days.start_time = Some(timestamp(at[0].0));
    some_days.end_time = Some(timestamp(at[1].0));
    let expected = backwards(1_000, 5).filter(|i| (70_005..90_005).contains(i));
    assert_eq!(
        indexes(&world, tenant, some_days.clone()).await,
        Vec::from_iter(expected)
    );
    some_days.q.clear();
    some_days.page_size = 7;
    assert!(
        indexes(&world, tenant, some_days)
            .await
            .into_iter()
            .eq((89_998..90_005).rev())
    );
    let request = SearchEventsRequest {
        request_id: "request-4711".to_owned(),
        ..Default::default()
    };
    let mut searching = world.events(&operator());
    let found = searching.search_events(request).await.unwrap().into_inner();
    assert_eq!(found.events.len(), 1);
    assert_eq!(found.events[0].index, 4_711);

    // What is erased isn't found from then on; the runs are made anew meanwhile, and have no trace of it then.
    assert!(bulk::traces(&world, "w5").await > 0);
    bulk::erase(&world, tenant, "w5").await;
    assert!(indexes(&world, tenant, by_word(5)).await.is_empty());
    let made = all_made(&world);
    tokio::pin!(made);
    loop {
        let index = any();
        tokio::select! {
            () = &mut made => break,
            found = indexes(&world, tenant, by_request(index)) => assert_eq!(found, [index]),
        }
    }
    assert_eq!(bulk::traces(&world, "w5").await, 0);
    assert!(bulk::traces(&world, "w6").await > 0);
    assert_eq!(
        indexes(&world, tenant, by_word(6)).await,
        Vec::from_iter(backwards(1_000, 6))
    );
    assert_eq!(runs(&world, ALL).await, [(1, LONG), (0, LONG + SHORT)]);
}
