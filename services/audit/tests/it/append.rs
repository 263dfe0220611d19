//! Taking events: each number of each stream once, in order, without a gap, whoever comes at once.

use std::time::Duration;

use sqlx::{Connection as _, PgConnection};
use tenantry_core::{Origin, Principal, Reason, TenantId};
use tenantry_proto::audit::v1::ListEventsRequest;
use tenantry_proto::internal::audit::v1::{AppendRequest, SourceStream};
use tenantry_rpc::assertion::{Claims, OnBehalfOf};
use tenantry_testkit::wait::until;

use crate::support::{World, event, member, operator, reason, service, stream};

/// Longer than anything here takes.
const SOON: Duration = Duration::from_secs(10);

/// Index, source's number and action of each event of a log, in order.
async fn log(world: &World, tenant: TenantId) -> Vec<(i64, i64, String)> {
    let rows = sqlx::query_as::<_, (i64, i64, String)>(
        "SELECT index, n, leaf::jsonb ->> 'event_type' FROM events WHERE tenant_id = $1 ORDER BY index",
    );
    let mut owner = world.owner().await;
    rows.bind(tenant.uuid())
        .fetch_all(&mut owner)
        .await
        .unwrap()
}

async fn outcome(world: &World, source: &str, stream: SourceStream) -> (String, i64) {
    let answer = world.appended(source, stream).await;
    let outcome = &answer.outcomes[0];
    (outcome.outcome.clone(), outcome.expected_n)
}

fn expected(word: &str, n: i64) -> (String, i64) {
    (word.to_owned(), n)
}

/// Why streams were stopped, as the platform's stream tells it.
async fn alarms(owner: &mut PgConnection) -> Vec<String> {
    sqlx::query_scalar(
        "SELECT event -> 'after' ->> 'why' FROM outbox WHERE tenant_id = $1 AND action = 'audit_source.stopped'",
    )
    .bind(TenantId::PLATFORM.uuid())
    .fetch_all(owner)
    .await
    .unwrap()
}

#[tokio::test]
async fn an_equal_repetition_is_acknowledged_and_a_gap_is_refused() {
    let world = World::start().await;
    let tenant = world.registry.add("acme", 365, None);
    let events = [event("one"), event("two"), event("three")];
    let first = stream(tenant, 1, &events);
    assert_eq!(
        outcome(&world, "registry", first.clone()).await,
        expected("taken", 4)
    );
    for (from, to) in [(1, 3), (2, 3), (1, 1)] {
        let part = SourceStream {
            first_n: from,
            events: first.events[from as usize - 1..to].to_vec(),
            ..first.clone()
        };
        assert_eq!(
            outcome(&world, "registry", part).await,
            expected("taken", 4)
        );
    }
    let mut longer = first.clone();
    longer
        .events
        .push(stream(tenant, 4, &[event("four")]).events.remove(0));
    assert_eq!(
        outcome(&world, "registry", longer).await,
        expected("taken", 5)
    );
    let gap = stream(tenant, 6, &[event("six")]);
    assert_eq!(outcome(&world, "registry", gap).await, expected("gap", 5));
    let actions: Vec<_> = log(&world, tenant)
        .await
        .into_iter()
        .map(|row| row.2)
        .collect();
    assert_eq!(actions, ["one", "two", "three", "four"]);
}

#[tokio::test]
async fn a_different_repetition_stops_that_stream_alone_and_raises_an_alarm() {
    let world = World::start().await;
    let [acme, other] = ["acme", "other"].map(|slug| world.registry.add(slug, 365, None));
    world.fill(acme, 1, 3).await;
    let forged = stream(acme, 2, &[event("forged")]);
    assert_eq!(
        outcome(&world, "registry", forged).await,
        expected("stopped", 4)
    );
    let next = stream(acme, 4, &[event("next")]);
    assert_eq!(
        outcome(&world, "registry", next).await,
        expected("stopped", 4)
    );
    world.fill(other, 1, 1).await;
    let of_another = stream(acme, 1, &[event("of.another")]);
    assert_eq!(
        outcome(&world, "identity", of_another).await,
        expected("taken", 2)
    );
    assert_eq!(
        log(&world, acme).await.len(),
        4,
        "nothing of what was forged"
    );
    let mut owner = world.owner().await;
    let alarm: serde_json::Value = sqlx::query_scalar(
        "SELECT event -> 'after' FROM outbox WHERE tenant_id = $1 AND action = 'audit_source.stopped'",
    )
    .bind(TenantId::PLATFORM.uuid())
    .fetch_one(&mut owner)
    .await
    .unwrap();
    assert_eq!(alarm["source"], "registry");
    assert_eq!(alarm["tenant_id"], acme.to_string());
}

#[tokio::test]
async fn a_repetition_from_farther_back_than_is_looked_stops_its_stream() {
    let world = World::start().await;
    let tenant = world.registry.add("acme", 365, None);
    let first = stream(tenant, 1, &[event("one"), event("two")]);
    world.appended("registry", first.clone()).await;
    let mut owner = world.owner().await;
    // As if so many had come: of others, and of the stream itself.
    let of_others = "UPDATE logs SET size = size + $2 WHERE tenant_id = $1";
    let of_itself = "UPDATE sources SET last_index = last_index + $2 WHERE tenant_id = $1";
    for (came, more, (word, why)) in [
        (of_others, 2_000_000, ("taken", vec![])),
        (of_itself, 1_000_000, ("taken", vec![])),
        (of_itself, 1, ("stopped", vec!["repeated_late"])),
    ] {
        sqlx::query(came)
            .bind(tenant.uuid())
            .bind(more)
            .execute(&mut owner)
            .await
            .unwrap();
        let mut second = first.clone();
        second.first_n = 2;
        second.events.remove(0);
        assert_eq!(outcome(&world, "registry", second).await, expected(word, 3));
        assert_eq!(alarms(&mut owner).await, why);
    }
}

#[tokio::test]
async fn what_was_taken_is_looked_for_before_the_others_have_to_wait() {
    let world = World::start().await;
    let tenant = world.registry.add("acme", 365, None);
    let first = stream(tenant, 1, &[event("one"), event("two")]);
    world.appended("registry", first.clone()).await;
    world.all_signed(tenant).await;
    let mut owner = world.owner().await;
    let mut events = owner.begin().await.unwrap();
    sqlx::query("LOCK TABLE events IN ACCESS EXCLUSIVE MODE")
        .execute(&mut *events)
        .await
        .unwrap();
    let mut other = world.owner().await;
    let looking = async {
        let look = async || {
            let waits = "SELECT EXISTS (SELECT FROM pg_locks WHERE relation = 'events'::regclass AND NOT granted)";
            let waits: bool = sqlx::query_scalar(waits).fetch_one(&mut other).await?;
            Ok(waits.then_some(()))
        };
        until("look at events", SOON, look).await.unwrap();
        let head = sqlx::query("SELECT FROM log_head FOR UPDATE NOWAIT");
        head.execute(&mut other).await.unwrap();
        events.rollback().await.unwrap();
    };
    let (answer, ()) = tokio::join!(outcome(&world, "registry", first), looking);
    assert_eq!(answer, expected("taken", 3));
}

#[tokio::test]
async fn an_event_that_cannot_be_read_stops_its_stream_alone() {
    let world = World::start().await;
    let [acme, other] = ["acme", "other"].map(|slug| world.registry.add(slug, 365, None));
    let mut bad = stream(acme, 1, &[event("one"), event("two")]);
    bad.events[1].event = b"no event".to_vec();
    let request = AppendRequest {
        streams: vec![bad, stream(other, 1, &[event("one")])],
        request_id: String::new(),
    };
    let mut append = world.append(&service("registry"));
    let outcomes = append.append(request).await.unwrap().into_inner().outcomes;
    let words: Vec<_> = outcomes.iter().map(|o| o.outcome.as_str()).collect();
    assert_eq!(words, ["stopped", "taken"]);
    assert_eq!(outcomes[0].expected_n, 2);
    let log = log(&world, acme).await;
    assert_eq!(log.len(), 1, "what came before it is in the log");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_sources_and_two_replicas_at_once_leave_no_gap_and_nothing_twice() {
    let world = World::start().await;
    let second = world.replica().await;
    let tenants = [(); 4].map(|()| world.registry.add("acme", 365, None));
    let mut appending = tokio::task::JoinSet::new();
    for source in ["registry", "identity"] {
        // Both replicas of a relay hand the same on: one of them was taken for dead.
        for replica in [&*world, &second] {
            let mut append = replica.append(&service(source));
            let requests: Vec<_> = (0..20)
                .map(|batch| AppendRequest {
                    streams: tenants
                        .iter()
                        .map(|tenant| same_each_time(*tenant, source, batch * 5 + 1))
                        .collect(),
                    request_id: String::new(),
                })
                .collect();
            appending.spawn(async move {
                for request in requests {
                    for outcome in append.append(request).await.unwrap().into_inner().outcomes {
                        assert_eq!(outcome.outcome, "taken");
                    }
                }
            });
        }
    }
    while let Some(done) = appending.join_next().await {
        done.unwrap();
    }
    for tenant in tenants {
        let log = log(&world, tenant).await;
        assert_eq!(log.len(), 200);
        assert!(
            log.iter().map(|row| row.0).eq(0..200),
            "indexes without a gap"
        );
        for source in ["registry", "identity"] {
            let numbers = log.iter().filter(|row| row.2 == source).map(|row| row.1);
            assert!(numbers.eq(1..=100), "{source}");
        }
    }
    let mut owner = world.owner().await;
    let positions: (i64, i64, i64) = sqlx::query_as(
        "SELECT count(DISTINCT position), max(position), (SELECT position FROM log_head) FROM events",
    )
    .fetch_one(&mut owner)
    .await
    .unwrap();
    assert_eq!(positions, (800, 800, 800));
}

/// Five events whose bytes are the same however often they are made.
fn same_each_time(tenant: TenantId, source: &str, first_n: i64) -> SourceStream {
    let events: Vec<_> = (first_n..first_n + 5)
        .map(|n| {
            let mut event = event(source);
            let fixed = uuid::Uuid::from_u128(u128::from(n.unsigned_abs()));
            event.id = fixed.into();
            event.resource.id = fixed;
            event.actor.id = fixed;
            event
        })
        .collect();
    stream(tenant, first_n, &events)
}

#[tokio::test]
async fn only_services_append_and_each_in_its_own_name() {
    let world = World::start().await;
    let tenant = world.registry.add("acme", 365, None);
    let request = AppendRequest {
        streams: vec![stream(tenant, 1, &[event("one")])],
        request_id: String::new(),
    };
    for claims in [operator(), member(tenant, &[])] {
        let mut append = world.append(&claims);
        let refused = append.append(request.clone()).await.unwrap_err();
        assert_eq!(reason(&refused), Reason::InternalMethod);
    }
    // A service's word for who it is counts for nothing, nor its word for whom it acts.
    let lie = Claims {
        name: "identity".to_owned(),
        on_behalf_of: Some(OnBehalfOf {
            principal: Principal::service("identity"),
            origin: Origin::default(),
        }),
        ..service("registry")
    };
    world.append(&lie).append(request).await.unwrap();
    let mut owner = world.owner().await;
    let source: String = sqlx::query_scalar("SELECT source FROM events")
        .fetch_one(&mut owner)
        .await
        .unwrap();
    assert_eq!(source, "registry");
    let mut events = world.events(&service("registry"));
    let refused = events.list_events(ListEventsRequest::default()).await;
    assert_eq!(reason(&refused.unwrap_err()), Reason::InternalMethod);
}

#[tokio::test]
async fn a_batch_that_makes_no_sense_is_refused_whole_with_its_field() {
    let world = World::start().await;
    let tenant = world.registry.add("acme", 365, None);
    let good = stream(tenant, 1, &[event("one")]);
    let bad = [
        vec![SourceStream {
            tenant_id: "acme".to_owned(),
            ..good.clone()
        }],
        vec![SourceStream {
            first_n: 0,
            ..good.clone()
        }],
        vec![SourceStream {
            first_n: -5,
            ..good.clone()
        }],
        vec![good.clone(), good.clone()],
    ];
    for streams in bad {
        let request = AppendRequest {
            streams,
            request_id: String::new(),
        };
        let mut append = world.append(&service("registry"));
        let refused = append.append(request).await.unwrap_err();
        assert_eq!(reason(&refused), Reason::InvalidArgument);
    }
    assert!(log(&world, tenant).await.is_empty());
}
