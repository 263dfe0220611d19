//! Each change leaves one event, in its tenant's order, and the feed gives every event one place.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures::future::join_all;
use sqlx::{PgConnection, Row as _};
use tenantry_core::event::{Event, Outcome, Resource};
use tenantry_core::{EventId, Principal, TenantId};
use tenantry_proto::registry::v1::Tenant;
use tenantry_rpc::Tasks;
use tenantry_store::feed::{FeedItem, Read, Tail};
use tenantry_store::{Store, TenantTx};

use crate::support::{World, operator, rename, soon};

const WRITERS: usize = 16;
const TENANTS: usize = 3;
const CHANGES: usize = 12;

/// Every outbox row of a tenant is the next: numbers without a gap, times that increase.
async fn assert_gapless(owner: &mut PgConnection) {
    let broken: Vec<String> = sqlx::query_scalar(
        "SELECT tenant_id::text FROM (
             SELECT tenant_id, n, at, row_number() OVER w AS place, lag(at) OVER w AS before
             FROM outbox WINDOW w AS (PARTITION BY tenant_id ORDER BY n)) AS row
         WHERE n <> place OR at <= before
         UNION ALL
         SELECT c.tenant_id::text FROM outbox_counter AS c
         WHERE c.n <> (SELECT max(n) FROM outbox AS o WHERE o.tenant_id = c.tenant_id)",
    )
    .fetch_all(owner)
    .await
    .unwrap();
    assert!(broken.is_empty(), "{broken:?}");
}

#[tokio::test]
async fn concurrent_writers_leave_one_event_per_change_in_gapless_order() {
    let world = World::start().await;
    let names: Vec<String> = (0..TENANTS).map(|n| format!("Tenant {n}")).collect();
    let mut tenants: Vec<Tenant> = Vec::new();
    for name in &names {
        tenants.push(world.tenant(name).await);
    }
    let write = |writer: usize| {
        let mut client = world.tenants(&operator());
        let tenants = &tenants;
        async move {
            let mut answers = Vec::new();
            for change in 0..CHANGES {
                let tenant = &tenants[(writer + change) % TENANTS];
                let name = format!("Writer {writer} change {change}");
                let answer = client.update_tenant(rename(tenant, &name)).await;
                answers.push(answer.unwrap().into_inner());
            }
            answers
        }
    };
    let mut acknowledged: Vec<Tenant> = join_all((0..WRITERS).map(write)).await.concat();
    acknowledged.extend(tenants);

    let mut owner = world.owner().await;
    assert_gapless(&mut owner).await;
    let events: Vec<(String, i64, String)> = sqlx::query_as(
        "SELECT tenant_id::text, (event -> 'after' ->> 'version')::bigint, event -> 'after' ->> 'name' FROM outbox",
    )
    .fetch_all(&mut owner)
    .await
    .unwrap();
    assert_eq!(events.len(), TENANTS + WRITERS * CHANGES);
    let events: BTreeSet<_> = events.into_iter().collect();
    let acknowledged: BTreeSet<_> = acknowledged
        .into_iter()
        .map(|tenant| (tenant.id, tenant.etag.parse::<i64>().unwrap(), tenant.name))
        .collect();
    assert_eq!(
        events, acknowledged,
        "what was answered is what is recorded"
    );
}

#[tokio::test]
async fn an_event_tells_who_did_what_and_the_states_before_and_after() {
    let world = World::start().await;
    let tenant = world.tenant("Before").await;
    let caller = operator();
    let mut request = tonic::Request::new(rename(&tenant, "After"));
    for (header, value) in [
        ("x-envoy-external-address", "198.51.100.7"),
        ("x-forwarded-for", "203.0.113.9"),
        ("x-request-id", "gateway-1"),
    ] {
        request
            .metadata_mut()
            .insert(header, value.parse().unwrap());
    }
    world.tenants(&caller).update_tenant(request).await.unwrap();
    let event: serde_json::Value =
        sqlx::query_scalar("SELECT event FROM outbox WHERE tenant_id = $1::uuid AND n = 2")
            .bind(&tenant.id)
            .fetch_one(&mut world.owner().await)
            .await
            .unwrap();
    let event: Event = serde_json::from_value(event).unwrap();
    assert_eq!(event.action, "tenant.updated");
    assert_eq!(event.resource.id.to_string(), tenant.id);
    assert_eq!(event.actor, caller.principal());
    assert_eq!(event.before["name"], "Before");
    assert_eq!(event.after["name"], "After");
    assert_eq!(
        event.origin.ip, "198.51.100.7",
        "the address that the gateway itself saw"
    );
    assert_eq!(event.origin.request_id, "gateway-1");
}

#[tokio::test]
async fn an_event_s_time_never_goes_back_though_the_clock_does() {
    let world = World::start().await;
    let tenant = world.tenant("Acme").await;
    let mut owner = world.owner().await;
    sqlx::query("UPDATE outbox_counter SET at = clock_timestamp() + interval '1 hour'")
        .execute(&mut owner)
        .await
        .unwrap();
    sqlx::query("UPDATE outbox SET at = (SELECT at FROM outbox_counter)")
        .execute(&mut owner)
        .await
        .unwrap();
    for name in ["One", "Two"] {
        world
            .tenants(&operator())
            .update_tenant(rename(&tenant, name))
            .await
            .unwrap();
    }
    assert_gapless(&mut owner).await;
}

fn event(text: &str) -> Event {
    Event {
        id: EventId::new(),
        action: text.to_owned(),
        resource: Resource {
            kind: "test".to_owned(),
            id: uuid::Uuid::nil(),
        },
        actor: Principal::anonymous(),
        before: serde_json::Value::Null,
        after: serde_json::Value::Null,
        origin: tenantry_core::Origin::default(),
        credential: String::new(),
        outcome: Outcome::Success,
        reason: String::new(),
    }
}

/// Follows a tail from its beginning until it has seen this many changes.
async fn follow(tail: &Tail, count: usize) -> Vec<Arc<FeedItem>> {
    let mut ticks = tail.ticks();
    let (mut seen, mut position) = (Vec::new(), 0);
    while seen.len() < count {
        ticks.changed().await.unwrap();
        match tail.after(position, None).await.unwrap() {
            Read::Items(items, next) => {
                seen.extend(items);
                position = next;
            }
            Read::TooOld => panic!("nothing was removed"),
        }
    }
    seen
}

/// Two more tails than the world's own, each as on a replica of its own.
fn two_tails(store: &Store, tasks: &Tasks) -> [Tail; 2] {
    [(); 2].map(|()| {
        let (tail, fill) = Tail::new(store.clone(), tasks.token());
        tasks.spawn("tail", fill);
        tail
    })
}

async fn write(mut tx: TenantTx, text: &str) {
    tx.record(&event(text)).await.unwrap();
    tx.commit().await.unwrap();
}

#[tokio::test]
async fn the_feed_of_every_replica_has_each_change_once_and_each_tenant_s_in_order() {
    let world = World::start().await;
    let tails = two_tails(&world.store, &world.tasks);
    let ids: Vec<TenantId> = (0..TENANTS).map(|_| TenantId::new()).collect();
    let total = WRITERS * CHANGES;
    let writing = join_all((0..WRITERS).map(|writer| {
        let (store, ids) = (&world.store, &ids);
        async move {
            for change in 0..CHANGES {
                let tx = store.begin(ids[(writer + change) % TENANTS]).await.unwrap();
                write(tx, &format!("{writer}.{change}")).await;
            }
        }
    }));
    let following = soon(join_all(tails.iter().map(|tail| follow(tail, total))));
    let (seen, _) = futures::join!(following, writing);

    for items in &seen {
        let places: Vec<i64> = items.iter().map(|item| item.feed_n).collect();
        assert_eq!(
            places,
            (1..=total as i64).collect::<Vec<_>>(),
            "no place is skipped or given twice"
        );
        let mut last: BTreeMap<TenantId, i64> = BTreeMap::new();
        for item in items {
            let before = last.insert(item.tenant_id, item.n).unwrap_or(0);
            assert_eq!(item.n, before + 1, "in the tenant's own order");
        }
    }
    let ids_of = |items: &[Arc<FeedItem>]| items.iter().map(|i| i.event.id).collect::<Vec<_>>();
    assert_eq!(ids_of(&seen[0]), ids_of(&seen[1]), "one feed on both");
}

#[tokio::test]
async fn a_change_that_commits_late_comes_late_and_is_not_lost() {
    let world = World::start().await;
    let tails = two_tails(&world.store, &world.tasks);
    let [slow, fast] = [TenantId::new(), TenantId::new()];
    let mut late = world.store.begin(slow).await.unwrap();
    late.record(&event("late")).await.unwrap();
    // Others draw higher and commit first, and the feed passes the open transaction by.
    for _ in 0..3 {
        write(world.store.begin(fast).await.unwrap(), "early").await;
    }
    for tail in &tails {
        let early = soon(follow(tail, 3)).await;
        assert!(early.iter().all(|item| item.tenant_id == fast));
    }
    late.commit().await.unwrap();
    for tail in &tails {
        let all = soon(follow(tail, 4)).await;
        assert_eq!((all[3].tenant_id, all[3].feed_n), (slow, 4));
    }
    let drawn: Vec<i64> = sqlx::query("SELECT drawn FROM outbox ORDER BY feed_n")
        .fetch_all(&mut world.owner().await)
        .await
        .unwrap()
        .iter()
        .map(|row| row.get(0))
        .collect();
    assert!(
        drawn[3] < drawn[0],
        "it was drawn first: a cursor over it would have lost it"
    );
}

#[tokio::test]
async fn a_replica_that_dies_while_numbering_stops_no_other() {
    let world = World::start().await;
    let mut owner = world.owner().await;
    let mut numbering = sqlx::Connection::begin(&mut owner).await.unwrap();
    sqlx::query("SELECT head FROM feed_head FOR UPDATE")
        .execute(&mut *numbering)
        .await
        .unwrap();
    write(world.store.begin(TenantId::new()).await.unwrap(), "waiting").await;
    // While another is at it, numbering gives way at once instead of waiting.
    assert!(
        tenantry_store::feed::number(&world.store)
            .await
            .unwrap()
            .is_none()
    );
    numbering.rollback().await.unwrap();
    let [tail, _] = two_tails(&world.store, &world.tasks);
    assert_eq!(soon(follow(&tail, 1)).await[0].event.action, "waiting");
}

#[tokio::test]
async fn a_follower_further_behind_than_memory_reads_the_database_and_misses_nothing() {
    let world = World::start().await;
    let tenant = TenantId::new();
    // Numbered before the tails begin, so that none of it is in their memory; more than one page of it.
    let mut tx = world.store.begin(tenant).await.unwrap();
    tx.record(&event("first")).await.unwrap();
    sqlx::query(
        "INSERT INTO outbox (tenant_id, n, event_id, at, action, event)
         SELECT tenant_id, n + more, gen_random_uuid(), at + more * interval '1 second', action, event
         FROM outbox, generate_series(1, 2400) AS more WHERE tenant_id = $1",
    )
    .bind(tenant.uuid())
    .execute(tx.conn())
    .await
    .unwrap();
    tx.commit().await.unwrap();
    while tenantry_store::feed::number(&world.store).await.unwrap() != Some(0) {}
    let [tail, _] = two_tails(&world.store, &world.tasks);
    let items = soon(follow(&tail, 2401)).await;
    let places: Vec<i64> = items.iter().map(|item| item.feed_n).collect();
    assert_eq!(places, (1..=2401).collect::<Vec<i64>>());
}
