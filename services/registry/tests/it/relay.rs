//! Handing events to the log: each once and in order whatever the log answers, and one tenant's trouble is no other's.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use tenantry_core::TenantId;
use tenantry_proto::registry::v1::Tenant;
use tenantry_store::relay::{self, Log, Stream, Taken};
use tenantry_testkit::wait::until;

use crate::support::{SOON, World, operator, rename};

/// A log that takes, refuses and forgets to answer as the test says.
#[derive(Clone, Debug, Default)]
struct Scripted(Arc<Mutex<Script>>);

#[derive(Debug, Default)]
struct Script {
    /// Numbers that were taken, by tenant, in the order in which they came.
    taken: BTreeMap<TenantId, Vec<i64>>,
    refused: BTreeSet<TenantId>,
    /// It says nothing of these.
    silent: BTreeSet<TenantId>,
    away: bool,
    /// How often it was asked.
    asked: usize,
}

impl Scripted {
    fn edit(&self, edit: impl FnOnce(&mut Script)) {
        edit(&mut self.0.lock().unwrap());
    }

    fn taken(&self, tenant: TenantId) -> Vec<i64> {
        let script = self.0.lock().unwrap();
        script.taken.get(&tenant).cloned().unwrap_or_default()
    }
}

impl Log for Scripted {
    async fn append(&self, streams: Vec<Stream>) -> Result<Vec<(TenantId, Taken)>, String> {
        let mut script = self.0.lock().unwrap();
        script.asked += 1;
        if script.away {
            return Err("away".to_owned());
        }
        let mut answers = Vec::new();
        for stream in streams {
            if script.silent.contains(&stream.tenant) {
                continue;
            }
            if script.refused.contains(&stream.tenant) {
                answers.push((stream.tenant, Taken::Nothing));
                continue;
            }
            let taken = script.taken.entry(stream.tenant).or_default();
            let expected = taken.last().map_or(1, |last| last + 1);
            if stream.events[0].n > expected {
                answers.push((stream.tenant, Taken::From(expected)));
                continue;
            }
            let new = stream.events.iter().map(|event| event.n);
            taken.extend(new.filter(|n| *n >= expected));
            answers.push((stream.tenant, Taken::All));
        }
        Ok(answers)
    }
}

/// A relay of the world's events to this log.
fn relay(world: &World, log: &Scripted) {
    let run = relay::run(world.store.clone(), log.clone(), world.tasks.token());
    world.tasks.spawn("relay", run);
}

async fn renamed(world: &World, tenant: &Tenant, times: usize) {
    let mut tenants = world.tenants(&operator());
    for n in 0..times {
        let name = format!("Name {n}");
        tenants.update_tenant(rename(tenant, &name)).await.unwrap();
    }
}

/// Waits until the log has so many events of a tenant, which are then the first so many in their order.
async fn has(log: &Scripted, tenant: &Tenant, count: i64) {
    let id = tenant.id.parse().unwrap();
    let all = async || Ok((log.taken(id).len() >= usize::try_from(count)?).then_some(()));
    until("events in the log", SOON, all).await.unwrap();
    assert!(
        log.taken(id).into_iter().eq(1..=count),
        "{:?}",
        log.taken(id)
    );
}

#[tokio::test]
async fn a_stream_that_the_log_refuses_is_held_back_alone_and_comes_later_in_whole() {
    let world = World::start().await;
    let (held, other) = (world.tenant("Held").await, world.tenant("Other").await);
    let id = held.id.parse().unwrap();
    let log = Scripted::default();
    log.edit(|script| script.refused = BTreeSet::from([id]));
    relay(&world, &log);
    renamed(&world, &held, 3).await;
    renamed(&world, &other, 3).await;
    has(&log, &other, 4).await;
    assert!(log.taken(id).is_empty());
    // Events go on to come while it is tried again.
    log.edit(|script| script.refused.clear());
    renamed(&world, &held, 5).await;
    has(&log, &held, 9).await;
    renamed(&world, &held, 2).await;
    has(&log, &held, 11).await;
    let mut owner = world.owner().await;
    let none = async || {
        let held: i64 = sqlx::query_scalar("SELECT count(*) FROM relay_held")
            .fetch_one(&mut owner)
            .await?;
        Ok((held == 0).then_some(()))
    };
    until("stream that goes on with the others", SOON, none)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_gap_is_filled_from_where_the_log_says() {
    let world = World::start().await;
    let tenant = world.tenant("Gap").await;
    renamed(&world, &tenant, 4).await;
    let id: TenantId = tenant.id.parse().unwrap();
    let log = Scripted::default();
    // The relay believes that the log has all so far.
    let mut owner = world.owner().await;
    let numbered = async || {
        let waiting: i64 = sqlx::query_scalar("SELECT count(*) FROM outbox WHERE feed_n IS NULL")
            .fetch_one(&mut owner)
            .await?;
        Ok((waiting == 0).then_some(()))
    };
    until("numbered events", SOON, numbered).await.unwrap();
    sqlx::query("UPDATE relay SET position = (SELECT head FROM feed_head)")
        .execute(&mut owner)
        .await
        .unwrap();
    relay(&world, &log);
    renamed(&world, &tenant, 1).await;
    has(&log, &tenant, 6).await;
    assert_eq!(log.taken(id).len(), 6);
}

#[tokio::test]
async fn silence_and_absence_are_no_acknowledgement() {
    let world = World::start().await;
    let tenant = world.tenant("Silent").await;
    let id = tenant.id.parse().unwrap();
    let log = Scripted::default();
    log.edit(|script| script.silent = BTreeSet::from([id]));
    relay(&world, &log);
    renamed(&world, &tenant, 2).await;
    let asked = async || Ok((log.0.lock().unwrap().asked >= 2).then_some(()));
    until("log that is asked again", SOON, asked).await.unwrap();
    log.edit(|script| {
        script.silent.clear();
        script.away = true;
    });
    renamed(&world, &tenant, 2).await;
    log.edit(|script| script.away = false);
    has(&log, &tenant, 5).await;
}

#[tokio::test]
async fn two_relays_at_once_hand_on_each_event_once_and_in_order() {
    let world = World::start().await;
    let log = Scripted::default();
    for _ in 0..2 {
        relay(&world, &log);
    }
    let tenants = [world.tenant("One").await, world.tenant("Two").await];
    let [one, two] = &tenants;
    tokio::join!(renamed(&world, one, 10), renamed(&world, two, 10));
    for tenant in &tenants {
        has(&log, tenant, 11).await;
    }
}

#[tokio::test]
async fn a_batch_is_bounded_in_bytes_and_one_large_event_still_goes() {
    let world = World::start().await;
    let tenant = world.tenant("Large").await;
    let mut owner = world.owner().await;
    let large = "UPDATE outbox SET event = event || jsonb_build_object('filler', repeat('x', 4000000)) WHERE tenant_id = $1::uuid";
    renamed(&world, &tenant, 2).await;
    sqlx::query(large)
        .bind(&tenant.id)
        .execute(&mut owner)
        .await
        .unwrap();
    let log = Scripted::default();
    relay(&world, &log);
    has(&log, &tenant, 3).await;
}
