//! How long events are kept: no longer than their class says, and never shorter than their tenant's plan or a legal hold does.

mod held;
mod unsigned;

use std::time::Duration;

use sqlx::{AssertSqlSafe, Connection as _, PgConnection, Postgres, Transaction};
use tenantry_core::{Permission, TenantId};
use tenantry_proto::audit::v1::{ListEventsRequest, SearchEventsRequest};
use tenantry_proto::internal::audit::v1::{AppendRequest, SourceStream};
use tenantry_proto::internal::registry::v1::TenantEntry;
use tenantry_testkit::cluster::Role;
use tenantry_testkit::wait::until;

use crate::support::{Old, Replica, World, event, member, operator, service, stream};

/// Longer than anything here takes.
const WITHIN: Duration = Duration::from_secs(20);
/// Older than the shortest class, in its partition's last days too.
const OLD_DAYS: i32 = 45;

/// Puts a tenant on a plan that keeps events for so many days.
fn days(plan: i32) -> impl FnOnce(&mut TenantEntry) {
    move |tenant| tenant.plan = format!("days-{plan}")
}

/// Appends as registry at this replica.
async fn appended(replica: &Replica, stream: SourceStream) {
    let request = AppendRequest {
        streams: vec![stream],
        request_id: String::new(),
    };
    let mut append = replica.append(&service("registry"));
    let answer = append.append(request).await.unwrap().into_inner();
    assert_eq!(answer.outcomes[0].outcome, "taken");
}

/// Waits until the replica knows all tenants that were added, so that their events come in the class of their plan.
async fn all_known(world: &World) {
    let last = world.registry.add("last", 30, None);
    let mut owner = world.owner().await;
    let mut n = 0;
    let look = async || {
        n += 1;
        world.fill(last, n, 1).await;
        let known = "SELECT true FROM events WHERE tenant_id = $1 AND class = 30";
        let known: Option<bool> = sqlx::query_scalar(known)
            .bind(last.uuid())
            .fetch_optional(&mut owner)
            .await?;
        Ok(known)
    };
    until("tenants that are known", WITHIN, look).await.unwrap();
}

#[tokio::test]
async fn events_go_with_their_partition_once_their_class_has_had_its_time() {
    let world = World::start().await;
    let [old, young, longer] = [("old", 30), ("young", 30), ("longer", 90)]
        .map(|(slug, days)| world.registry.add(slug, days, None));
    all_known(&world).await;
    for tenant in [old, young, longer] {
        world.fill(tenant, 1, 3).await;
    }
    let old_world = Old::of(world).await;
    for (tenant, days) in [(old, OLD_DAYS), (young, 20), (longer, OLD_DAYS)] {
        old_world.age(tenant, days).await;
    }
    let past = old_world.past().await;
    assert!(!past.is_empty());
    let retired = old_world.retention.turn().await.unwrap();
    let mut dropped = retired.dropped.clone();
    dropped.sort();
    assert_eq!((dropped, retired.moved, retired.left), (past, 0, false));
    assert_eq!(old_world.classes(old).await, []);
    assert_eq!(old_world.classes(young).await, [(30, 3)]);
    assert_eq!(old_world.classes(longer).await, [(90, 3)]);
    assert!(old_world.past().await.is_empty());

    // The log goes on where it was.
    let replica = old_world.replica().await;
    appended(&replica, stream(old, 4, &[event("four")])).await;
    assert_eq!(old_world.rows(old).await[0].0, 3);
}

#[tokio::test]
async fn what_a_longer_plan_or_a_hold_keeps_is_moved_on_unchanged_before_its_partition_goes() {
    let world = World::start().await;
    let [short, grown, held] =
        ["short", "grown", "held"].map(|slug| world.registry.add(slug, 30, None));
    all_known(&world).await;
    for tenant in [short, grown, held] {
        world.fill(tenant, 1, 3).await;
    }
    world.registry.change(grown, days(365));
    world.registry.change(held, |tenant| tenant.held = true);
    let old = Old::of(world).await;
    for tenant in [short, grown, held] {
        old.age(tenant, OLD_DAYS).await;
    }
    old.known("hold", |tenants| tenants.is_held(held)).await;
    let before = [old.rows(grown).await, old.rows(held).await];
    let retired = old.retention.turn().await.unwrap();
    assert_eq!((retired.moved, retired.left), (6, false));
    assert_eq!(old.classes(short).await, []);
    assert_eq!(old.classes(grown).await, [(365, 3)]);
    assert_eq!(old.classes(held).await, [(0, 3)]);
    assert_eq!([old.rows(grown).await, old.rows(held).await], before);

    let again = old.retention.turn().await.unwrap();
    assert_eq!((again.moved, again.removed), (0, 0), "what is held stays");
    assert_eq!(old.classes(held).await, [(0, 3)]);
}

#[tokio::test]
async fn operators_see_what_a_hold_keeps_and_the_tenant_as_far_as_its_plan() {
    let world = World::start().await;
    let tenant = world.registry.add("acme", 30, None);
    all_known(&world).await;
    world.fill(tenant, 1, 3).await;
    world.registry.change(tenant, |tenant| tenant.held = true);
    let old = Old::of(world).await;
    old.age(tenant, OLD_DAYS).await;
    old.known("hold", |tenants| tenants.is_held(tenant)).await;
    old.retention.turn().await.unwrap();
    assert_eq!(old.classes(tenant).await, [(0, 3)]);
    let replica = old.replica().await;
    let mut search = replica.events(&operator());
    for (held, shown) in [(true, 3), (false, 0)] {
        old.registry.change(tenant, |tenant| tenant.held = held);
        let look = async || {
            let request = SearchEventsRequest {
                tenant_id: tenant.to_string(),
                ..Default::default()
            };
            let page = search.search_events(request).await?.into_inner();
            Ok((page.events.len() == shown).then_some(()))
        };
        let what = format!("{shown} events");
        until(&what, WITHIN, look).await.unwrap();
        let mut own = replica.events(&member(tenant, &[Permission::AuditRead]));
        let page = own.list_events(ListEventsRequest::default()).await.unwrap();
        assert!(page.into_inner().events.is_empty());
    }
}

#[tokio::test]
async fn the_log_of_a_tenant_that_nobody_knows_any_more_stays_for_the_longest_class_that_it_had() {
    let world = World::start().await;
    let [shrunk, short] =
        [("shrunk", 365), ("short", 30)].map(|(slug, days)| world.registry.add(slug, days, None));
    all_known(&world).await;
    for tenant in [shrunk, short] {
        world.fill(tenant, 1, 2).await;
    }
    let old = Old::of(world).await;
    old.registry.change(shrunk, days(30));
    old.known("plan", |tenants| tenants.retention_days(shrunk) == Some(30))
        .await;
    let replica = old.replica().await;
    // As long as the replica hasn't heard of the plan, they come in the class that the log had.
    let mut n = 2;
    let look = async || {
        n += 1;
        appended(&replica, stream(shrunk, n, &[event("one")])).await;
        let classes = old.classes(shrunk).await;
        Ok((classes[0] == (30, 1)).then_some(()))
    };
    until("class of the new plan", WITHIN, look).await.unwrap();
    for tenant in [shrunk, short] {
        old.registry.purge(tenant);
    }
    old.known("purges", |tenants| {
        tenants.retention_days(shrunk).is_none() && tenants.retention_days(short).is_none()
    })
    .await;
    replica.end().await;
    for tenant in [shrunk, short] {
        old.age(tenant, OLD_DAYS).await;
    }
    assert_eq!(old.retention.turn().await.unwrap().moved, 1);
    assert_eq!(old.classes(shrunk).await, [(365, n)]);
    assert_eq!(old.classes(short).await, []);
}

#[tokio::test]
async fn what_the_log_is_searched_by_is_to_be_made_anew_where_events_went() {
    let world = World::start().await;
    let [old, young] = ["old", "young"].map(|slug| world.registry.add(slug, 30, None));
    all_known(&world).await;
    for tenant in [old, young] {
        world.fill(tenant, 1, 3).await;
    }
    let world = Old::of(world).await;
    world.age(old, OLD_DAYS).await;
    let mut owner = world.owner().await;
    // As if such a run had been made of each.
    sqlx::query(
        "INSERT INTO search_runs (tenant_id, until, level, events, received_from, received_to)
         SELECT tenant_id, 4096, 0, 3, min(received_at), max(received_at) FROM events GROUP BY tenant_id",
    )
    .execute(&mut owner)
    .await
    .unwrap();
    world.retention.turn().await.unwrap();
    let due: Vec<uuid::Uuid> = sqlx::query_scalar("SELECT tenant_id FROM search_due")
        .fetch_all(&mut owner)
        .await
        .unwrap();
    assert_eq!(due, [old.uuid()]);
}

#[tokio::test]
async fn nothing_goes_while_nobody_can_say_how_tenants_stand() {
    let (old, tenant) = aged().await;
    let retired = old.ignorant().turn().await.unwrap();
    assert!(retired.left && retired.dropped.is_empty(), "{retired:?}");
    assert_eq!(old.classes(tenant).await, [(30, 3)]);
}

/// A tenant with three events that have had their time.
async fn aged() -> (Old, TenantId) {
    let world = World::start().await;
    let tenant = world.registry.add("acme", 30, None);
    all_known(&world).await;
    world.fill(tenant, 1, 3).await;
    let old = Old::of(world).await;
    old.age(tenant, OLD_DAYS).await;
    (old, tenant)
}

/// The partition with a tenant's events, and a transaction that has it locked.
async fn locked<'c>(
    owner: &'c mut PgConnection,
    tenant: TenantId,
    mode: &str,
) -> (String, Transaction<'c, Postgres>) {
    let partition: String = sqlx::query_scalar(
        "SELECT tableoid::regclass::text FROM events WHERE tenant_id = $1 LIMIT 1",
    )
    .bind(tenant.uuid())
    .fetch_one(&mut *owner)
    .await
    .unwrap();
    let mut tx = owner.begin().await.unwrap();
    let lock = AssertSqlSafe(format!("LOCK TABLE {partition} IN {mode} MODE"));
    sqlx::query(lock).execute(&mut *tx).await.unwrap();
    (partition, tx)
}

/// Waits until somebody has waited for a partition for longer than this interval.
async fn somebody_waits(old: &Old, partition: &str, longer_than: &str) {
    let mut watcher = old.owner().await;
    let look = async || {
        let waits = "SELECT true FROM pg_locks
             WHERE NOT granted AND relation = $1::regclass AND waitstart < clock_timestamp() - $2::text::interval";
        let waits: Option<bool> = sqlx::query_scalar(waits)
            .bind(partition)
            .bind(longer_than)
            .fetch_optional(&mut watcher)
            .await?;
        Ok(waits)
    };
    until("drop that waits", WITHIN, look).await.unwrap();
}

#[tokio::test]
async fn a_vacuum_that_postgres_began_gives_way_to_a_drop() {
    let (old, tenant) = aged().await;
    let mut owner = old.owner().await;
    let timeout: String = sqlx::query_scalar("SHOW deadlock_timeout")
        .fetch_one(&mut owner)
        .await
        .unwrap();
    // Postgres cancels it for the sake of who has waited for that long, and of nobody else.
    let (partition, vacuum) = locked(&mut owner, tenant, "SHARE UPDATE EXCLUSIVE").await;
    let gives_way = async {
        somebody_waits(&old, &partition, &timeout).await;
        vacuum.rollback().await.unwrap();
    };
    let (retired, ()) = tokio::join!(old.retention.turn(), gives_way);
    let retired = retired.unwrap();
    assert!(
        !retired.left && retired.dropped.contains(&partition),
        "{retired:?}"
    );
}

#[tokio::test]
async fn a_hold_that_is_placed_while_a_drop_is_under_way_keeps_the_events() {
    let (old, tenant) = aged().await;
    let mut owner = old.owner().await;
    // As someone who just writes there: nothing had to be moved when the drop comes to wait for them.
    let (partition, writing) = locked(&mut owner, tenant, "ROW EXCLUSIVE").await;
    let meanwhile = async {
        somebody_waits(&old, &partition, "0").await;
        old.registry.change(tenant, |tenant| tenant.held = true);
        old.known("hold", |tenants| tenants.is_held(tenant)).await;
        writing.commit().await.unwrap();
    };
    let (retired, ()) = tokio::join!(old.retention.turn(), meanwhile);
    let retired = retired.unwrap();
    assert!(
        retired.left && !retired.dropped.contains(&partition),
        "{retired:?}"
    );
    assert_eq!(old.classes(tenant).await, [(30, 3)]);
    let retired = old.retention.turn().await.unwrap();
    assert!(
        !retired.left && retired.dropped.contains(&partition),
        "{retired:?}"
    );
    assert_eq!(old.classes(tenant).await, [(0, 3)]);
}

/// Many events of a tenant of which the first is there.
async fn multiply(owner: &mut PgConnection, tenant: TenantId, count: i64) {
    sqlx::query(
        "INSERT INTO events
         SELECT (jsonb_populate_record(e, jsonb_build_object('index', e.index + more))).*
         FROM events AS e, generate_series(1, $2) AS more WHERE tenant_id = $1",
    )
    .bind(tenant.uuid())
    .bind(count - 1)
    .execute(owner)
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn turns_that_break_off_and_two_at_once_lose_nothing_and_take_nothing_twice() {
    let world = World::start().await;
    let [kept, gone] = ["kept", "gone"].map(|slug| world.registry.add(slug, 30, None));
    all_known(&world).await;
    for tenant in [kept, gone] {
        world.fill(tenant, 1, 1).await;
        multiply(&mut world.owner().await, tenant, 9_000).await;
    }
    world.registry.change(kept, days(365));
    let old = Old::of(world).await;
    old.known("plan", |tenants| tenants.retention_days(kept) == Some(365))
        .await;
    for tenant in [kept, gone] {
        old.age(tenant, OLD_DAYS).await;
    }
    let before = old.rows(kept).await;
    let mut broken_off = 0;
    for millis in [5, 20, 60, 120] {
        let turn = tokio::time::timeout(Duration::from_millis(millis), old.retention.turn());
        broken_off += usize::from(turn.await.is_err());
    }
    assert!(
        broken_off > 0,
        "each was faster than it was to be broken off"
    );
    let look = async || {
        let (one, two) = tokio::join!(old.retention.turn(), old.retention.turn());
        Ok((!one.unwrap().left && !two.unwrap().left).then_some(()))
    };
    until("end", WITHIN, look).await.unwrap();
    assert_eq!(old.classes(kept).await, [(365, 9_000)]);
    assert_eq!(old.rows(kept).await, before);
    assert_eq!(old.classes(gone).await, []);
}

#[tokio::test]
async fn the_roles_that_serve_drop_nothing_but_partitions_that_have_had_their_time() {
    let world = World::start().await;
    let tenant = world.registry.add("acme", 30, None);
    all_known(&world).await;
    world.fill(tenant, 1, 1).await;
    let old = Old::of(world).await;
    old.age(tenant, OLD_DAYS).await;
    let past = old.past().await;
    let past = past
        .into_iter()
        .find(|name| name.starts_with("events_30_"))
        .unwrap();
    let connect = async |role| {
        let url = old.database.url("audit", role);
        PgConnection::connect(url.as_str()).await.unwrap()
    };
    let refused = async |conn: &mut PgConnection, statement: &str, name: &str| {
        let statement = AssertSqlSafe(statement.to_owned());
        let refused = sqlx::query(statement).bind(name).execute(conn).await;
        let error = refused.unwrap_err();
        let code = error.as_database_error().and_then(|error| error.code());
        assert_eq!(code.as_deref(), Some("42501"), "{name}: {error}");
    };
    let drop = "SELECT drop_partition($1)";
    refused(&mut connect(Role::App).await, drop, &past).await;
    let mut platform = connect(Role::Platform).await;
    let present: Vec<String> =
        sqlx::query_scalar("SELECT name FROM event_partitions() WHERE NOT past")
            .fetch_all(&mut platform)
            .await
            .unwrap();
    assert!(present.len() >= 12);
    let others = [
        "logs",
        "events",
        "events_30",
        "outbox",
        "nothing",
        "x; DROP TABLE logs",
        "",
    ];
    for name in present.iter().map(String::as_str).chain(others) {
        refused(&mut platform, drop, name).await;
    }
    let itself = format!("DROP TABLE {past} --");
    let own = sqlx::query(AssertSqlSafe(itself))
        .execute(&mut platform)
        .await;
    assert!(own.is_err(), "it owns nothing");
    sqlx::query("UPDATE events SET class = 0")
        .execute(&mut platform)
        .await
        .unwrap();
    let held: Vec<String> =
        sqlx::query_scalar("SELECT name FROM event_partitions() WHERE past AND class = 0")
            .fetch_all(&mut platform)
            .await
            .unwrap();
    assert!(!held.is_empty());
    for name in held {
        refused(&mut platform, drop, &name).await;
    }
    sqlx::query(drop)
        .bind(&past)
        .execute(&mut platform)
        .await
        .unwrap();
    assert!(!old.past().await.contains(&past));
}

#[tokio::test]
async fn a_changed_plan_acts_on_reads_at_once() {
    let world = World::start().await;
    let tenant = world.registry.add("acme", 365, None);
    all_known(&world).await;
    world.fill(tenant, 1, 1).await;
    let old = Old::of(world).await;
    old.age(tenant, 100).await;
    let replica = old.replica().await;
    appended(&replica, stream(tenant, 2, &[event("two")])).await;
    let mut events = replica.events(&member(tenant, &[Permission::AuditRead]));
    for (plan, shown) in [(365, 2), (30, 1), (90, 1), (730, 2), (60, 1), (365, 2)] {
        old.registry.change(tenant, days(plan));
        let look = async || {
            let page = events
                .list_events(ListEventsRequest::default())
                .await?
                .into_inner();
            Ok((page.events.len() == shown).then_some(()))
        };
        until(&format!("{shown} events in {plan} days"), WITHIN, look)
            .await
            .unwrap();
    }
}
