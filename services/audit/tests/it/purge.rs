//! What a purge leaves of a tenant's log: every event, provable as before, and nothing of any person.

use std::collections::BTreeSet;
use std::time::Duration;

use sqlx::{Connection as _, PgConnection};
use tenantry_audit::TENANT_TABLES;
use tenantry_core::{Permission, Reason, TenantId};
use tenantry_proto::audit::v1::{
    AuditEvent, NewEvent, RecordEventsRequest, SearchEventsRequest, SearchEventsResponse,
};
use tenantry_proto::internal::audit::v1::AppendRequest;
use tenantry_proto::internal::data::v1::{CountRequest, PurgeRequest};
use tenantry_testkit::wait::until;
use tenantry_transparency::leaf::Leaf;

use crate::support::{Replica, World, event, member, operator, reason, service, stream};

/// Longer than anything here takes.
const WITHIN: Duration = Duration::from_secs(20);
/// Tables with a tenant's id whose rows stay: the log, which outlives its tenant, its numbers and where they come from.
const STAYS: &[&str] = &[
    "events",
    "gone",
    "logs",
    "outbox",
    "outbox_counter",
    "relay_held",
    "search_due",
    "search_postings",
    "search_runs",
    "search_times",
    "sources",
    "tiles",
    "trees",
];

fn purge(tenant: TenantId) -> PurgeRequest {
    PurgeRequest {
        tenant_id: tenant.to_string(),
        request_id: tenant.to_string(),
    }
}

/// Purges to the end, as registry does.
async fn purged(replica: &Replica, tenant: TenantId) {
    let mut data = replica.data(&service("registry"));
    while !data.purge(purge(tenant)).await.unwrap().into_inner().done {}
}

async fn counted(replica: &Replica, tenant: TenantId) -> i64 {
    let request = CountRequest {
        tenant_id: tenant.to_string(),
    };
    let mut data = replica.data(&service("registry"));
    let counts = data.count(request).await.unwrap().into_inner().counts;
    let kinds: Vec<_> = counts.iter().map(|counted| counted.kind.as_str()).collect();
    assert_eq!(kinds, ["personal_records", "request_records"]);
    counts[0].count
}

/// What operators find in a tenant's log.
async fn found(
    replica: &Replica,
    tenant: TenantId,
    request: SearchEventsRequest,
) -> Vec<AuditEvent> {
    let request = SearchEventsRequest {
        tenant_id: tenant.to_string(),
        page_size: 1_000,
        ..request
    };
    let mut events = replica.events(&operator());
    let found: SearchEventsResponse = events.search_events(request).await.unwrap().into_inner();
    found.events
}

/// Leaf and hash of each event of a log, in order.
async fn leaves(conn: &mut PgConnection, tenant: TenantId) -> Vec<(String, Vec<u8>)> {
    sqlx::query_as("SELECT leaf, leaf_hash FROM events WHERE tenant_id = $1 ORDER BY index")
        .bind(tenant.uuid())
        .fetch_all(conn)
        .await
        .unwrap()
}

/// How many events of a log have something of a person beside their leaf, or what was made of it.
async fn personal(conn: &mut PgConnection, tenant: TenantId) -> i64 {
    sqlx::query_scalar("SELECT count(*) FROM events WHERE tenant_id = $1 AND (disclosed IS NOT NULL OR digest <> '')")
        .bind(tenant.uuid())
        .fetch_one(conn)
        .await
        .unwrap()
}

#[tokio::test]
async fn a_purge_erases_every_personal_value_of_that_tenant_and_leaves_every_leaf() {
    let world = World::start().await;
    let [tenant, other] = ["acme", "other"].map(|slug| world.registry.add(slug, 365, None));
    let mut events: Vec<_> = (0..2_500).map(|_| event("tenant.updated")).collect();
    events[7].before = serde_json::json!({"billing_email": "old@example.com"});
    events[7].after = serde_json::json!({"billing_email": "new@example.com"});
    for tenant in [tenant, other] {
        world.appended("registry", stream(tenant, 1, &events)).await;
    }
    let mut owner = world.owner().await;
    let before = leaves(&mut owner, tenant).await;
    assert_eq!(counted(&world, tenant).await, 2_500);
    let by = |actor: &str| SearchEventsRequest {
        actor: actor.to_owned(),
        ..Default::default()
    };
    let word = |q: &str| SearchEventsRequest {
        q: q.to_owned(),
        ..Default::default()
    };
    assert_eq!(
        found(&world, tenant, by("grace@example.com")).await.len(),
        1_000
    );
    purged(&world, tenant).await;

    assert_eq!(counted(&world, tenant).await, 0);
    assert_eq!(personal(&mut owner, tenant).await, 0);
    let after = leaves(&mut owner, tenant).await;
    assert_eq!(after, before);
    for (leaf, hash) in &after {
        assert_eq!(Leaf::parse(leaf).unwrap().hash().0.as_slice(), hash);
    }
    let address = SearchEventsRequest {
        ip_address: "192.0.2.7".to_owned(),
        ..Default::default()
    };
    for request in [
        by("grace@example.com"),
        word("grace"),
        word("curl"),
        word("billing old"),
        address,
    ] {
        assert!(
            found(&world, tenant, request.clone()).await.is_empty(),
            "{request:?}"
        );
    }
    let who = events[7].actor.id.to_string();
    let left = found(&world, tenant, by(&who)).await;
    assert_eq!(left.len(), 1, "by what is no value of a person it is found");
    let actor = left[0].actor.clone().unwrap();
    assert_eq!((actor.user_id, actor.email), (who, String::new()));
    for erased in [
        "/actor/email",
        "/ip_address",
        "/user_agent",
        "/changes/billing_email/after",
    ] {
        assert!(
            left[0].erased.contains(&erased.to_owned()),
            "{:?}",
            left[0].erased
        );
    }
    assert_eq!(
        personal(&mut owner, other).await,
        2_500,
        "and of nobody else's"
    );
}

#[tokio::test]
async fn what_comes_behind_a_purge_has_nothing_of_a_person_and_repetitions_are_acknowledged() {
    let world = World::start().await;
    let tenant = world.registry.add("acme", 365, None);
    let first = stream(tenant, 1, &[event("one"), event("two")]);
    world.appended("registry", first.clone()).await;
    purged(&world, tenant).await;
    let mut last = first.clone();
    let behind = stream(
        tenant,
        3,
        &[event("tenant.purge_started"), event("tenant.purged")],
    );
    last.events.extend(behind.events);
    for _ in 0..2 {
        let answer = world.appended("registry", last.clone()).await;
        assert_eq!(
            (
                answer.outcomes[0].outcome.as_str(),
                answer.outcomes[0].expected_n
            ),
            ("taken", 5)
        );
    }
    assert_eq!(personal(&mut world.owner().await, tenant).await, 0);
    let shown = found(&world, tenant, SearchEventsRequest::default()).await;
    assert_eq!(shown.len(), 4);
    assert!(
        shown
            .iter()
            .all(|event| event.ip_address.is_empty() && event.erased.len() == 3)
    );
    let by = SearchEventsRequest {
        actor: "grace@example.com".to_owned(),
        ..Default::default()
    };
    assert!(found(&world, tenant, by).await.is_empty());

    let own = SearchEventsRequest {
        event_type: "invoice".to_owned(),
        ..Default::default()
    };
    let request = RecordEventsRequest {
        tenant: tenant.to_string(),
        source: "checkout".to_owned(),
        events: vec![NewEvent {
            event_type: "invoice.paid".to_owned(),
            ..Default::default()
        }],
        request_id: "late".to_owned(),
    };
    let mut recording = world.events(&member(tenant, &[Permission::AuditRecord]));
    let refused = recording.record_events(request).await.unwrap_err();
    assert_eq!(reason(&refused), Reason::TenantNotFound);
    assert!(found(&world, tenant, own).await.is_empty());
}

#[tokio::test]
async fn what_comes_again_of_a_purged_tenant_is_not_looked_for_in_its_log() {
    let world = World::start().await;
    let tenant = world.registry.add("acme", 365, None);
    let first = stream(tenant, 1, &[event("one"), event("two")]);
    world.appended("registry", first.clone()).await;
    purged(&world, tenant).await;
    let mut owner = world.owner().await;
    let mut events = owner.begin().await.unwrap();
    sqlx::query("LOCK TABLE events IN ACCESS EXCLUSIVE MODE")
        .execute(&mut *events)
        .await
        .unwrap();
    let answer = tokio::time::timeout(WITHIN / 4, world.appended("registry", first));
    let answer = answer.await.expect("it waits for the events");
    assert_eq!(answer.outcomes[0].outcome, "taken");
}

#[tokio::test]
async fn a_purge_that_waits_for_a_builder_keeps_nobody_from_appending() {
    let world = World::start().await;
    let tenant = world.registry.add("acme", 365, None);
    world.fill(tenant, 1, 3).await;
    // As a worker that makes a long run of all logs.
    let mut builder = world.owner().await;
    let mut building = builder.begin().await.unwrap();
    let lock = "SELECT pg_advisory_xact_lock('search_runs'::regclass::oid::integer,
                                             search_lock_key('ffffffff-ffff-ffff-ffff-ffffffffffff'))";
    sqlx::query(lock).execute(&mut *building).await.unwrap();
    let mut owner = world.owner().await;
    let appending = async {
        let look = async || {
            let waits = "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND database =
                             (SELECT oid FROM pg_database WHERE datname = current_database()))";
            let waits: bool = sqlx::query_scalar(waits).fetch_one(&mut owner).await?;
            Ok(waits.then_some(()))
        };
        until("purge that waits", WITHIN, look).await.unwrap();
        let more = tokio::time::timeout(WITHIN / 4, world.fill(tenant, 4, 1));
        more.await.expect("it waits for the purge");
        building.rollback().await.unwrap();
    };
    tokio::join!(purged(&world, tenant), appending);
    assert_eq!(personal(&mut owner, tenant).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_purge_while_events_come_by_two_replicas_leaves_nothing_of_a_person() {
    let world = World::start().await;
    let second = world.replica().await;
    let tenant = world.registry.add("acme", 365, None);
    let pushes = ["registry", "identity"].map(|source| {
        let mut append = second.append(&service(source));
        async move {
            for batch in 0..40 {
                let events: Vec<_> = (0..50).map(|_| event("tenant.updated")).collect();
                let request = AppendRequest {
                    streams: vec![stream(tenant, batch * 50 + 1, &events)],
                    request_id: String::new(),
                };
                let answer = append.append(request).await.unwrap().into_inner();
                assert_eq!(answer.outcomes[0].outcome, "taken");
            }
        }
    });
    let purging = async {
        let look = async || Ok((counted(&world, tenant).await > 500).then_some(()));
        until("events", WITHIN, look).await.unwrap();
        tokio::join!(purged(&world, tenant), purged(&second, tenant));
    };
    tokio::join!(futures::future::join_all(pushes), purging);
    let mut owner = world.owner().await;
    assert_eq!(personal(&mut owner, tenant).await, 0);
    assert_eq!(leaves(&mut owner, tenant).await.len(), 4_000);
    let told: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM outbox WHERE tenant_id = $1 AND action = 'tenant.data_purged'",
    )
    .bind(tenant.uuid())
    .fetch_one(&mut owner)
    .await
    .unwrap();
    assert_eq!(told, 1);
}

#[tokio::test]
async fn a_purge_that_breaks_off_is_gone_on_with_where_it_was() {
    let world = World::start().await;
    let tenant = world.registry.add("acme", 365, None);
    world.fill(tenant, 1, 3_500).await;
    let mut broken_off = 0;
    for millis in [20, 60, 120] {
        let mut data = world.data(&service("registry"));
        let asked = tokio::time::timeout(Duration::from_millis(millis), data.purge(purge(tenant)));
        broken_off += usize::from(asked.await.is_err());
    }
    assert!(
        broken_off > 0,
        "each was faster than it was to be broken off"
    );
    purged(&world, tenant).await;
    assert_eq!(personal(&mut world.owner().await, tenant).await, 0);
}

#[tokio::test]
async fn nothing_is_erased_while_a_legal_hold_stands() {
    let world = World::start().await;
    let tenant = world.registry.add("acme", 365, None);
    world.fill(tenant, 1, 3).await;
    let mut data = world.data(&service("registry"));
    world.registry.change(tenant, |tenant| tenant.held = true);
    // By a replica that hears of the hold first of all.
    let second = world.replica().await;
    let mut held = second.data(&service("registry"));
    let refused = held.purge(purge(tenant)).await.unwrap_err();
    assert!([Reason::LegalHold, Reason::Unavailable].contains(&reason(&refused)));
    let look = async || {
        let refused = data.purge(purge(tenant)).await;
        Ok(refused
            .is_err_and(|status| reason(&status) == Reason::LegalHold)
            .then_some(()))
    };
    until("hold", WITHIN, look).await.unwrap();
    world.registry.change(tenant, |tenant| tenant.held = false);
    let look = async || Ok(data.purge(purge(tenant)).await.is_ok().then_some(()));
    until("release", WITHIN, look).await.unwrap();
}

#[tokio::test]
async fn operators_read_the_log_of_a_purged_tenant_and_the_platform_s_own_tells_of_it() {
    let world = World::start().await;
    let tenant = world.registry.add("acme", 365, None);
    world.fill(tenant, 1, 2).await;
    purged(&world, tenant).await;
    world.registry.purge(tenant);
    let shown = found(&world, tenant, SearchEventsRequest::default()).await;
    assert_eq!(shown.len(), 2);
    let read: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM outbox WHERE tenant_id = $1 AND action = 'audit_log.searched'",
    )
    .bind(TenantId::PLATFORM.uuid())
    .fetch_one(&mut world.owner().await)
    .await
    .unwrap();
    assert_eq!(read, 1);
}

#[tokio::test]
async fn nobody_but_registry_counts_or_purges() {
    let world = World::start().await;
    let tenant = world.registry.add("acme", 365, None);
    world.fill(tenant, 1, 1).await;
    for claims in [
        operator(),
        member(tenant, &[Permission::AuditRead]),
        service("identity"),
    ] {
        let refused = world.data(&claims).purge(purge(tenant)).await.unwrap_err();
        assert_eq!(reason(&refused), Reason::InternalMethod);
    }
    assert_eq!(counted(&world, tenant).await, 1);
}

#[tokio::test]
async fn every_table_with_tenants_is_purged_or_reviewed_to_stay() {
    let world = World::start().await;
    let tables: Vec<String> = sqlx::query_scalar(
        "SELECT c.relname::text FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid
         WHERE c.relnamespace = 'audit'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
           AND a.attname = 'tenant_id' ORDER BY 1",
    )
    .fetch_all(&mut world.owner().await)
    .await
    .unwrap();
    let purged = TENANT_TABLES.iter().map(|table| table.name);
    let known: BTreeSet<&str> = purged.chain(STAYS.iter().copied()).collect();
    assert_eq!(
        tables,
        known.into_iter().collect::<Vec<_>>(),
        "put a new table into app/tenant_data.rs, or have it reviewed into STAYS"
    );
}
