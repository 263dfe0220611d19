//! Recording the product's own events: all or none, once, in the log from the answer on.

use std::time::Duration;

use prost_types::value::Kind;
use prost_types::{Struct, Value};
use sqlx::Connection as _;
use tenantry_core::{Permission, Reason};
use tenantry_proto::audit::v1::{
    AuditEvent, ListEventsRequest, NewActor, NewEvent, RecordEventsRequest,
};
use tenantry_testkit::wait::until;

use crate::support::{World, all, member, reason};

const WAIT_WITHIN: Duration = Duration::from_secs(20);

fn paid(id: &str) -> NewEvent {
    let payer = Value {
        kind: Some(Kind::StringValue("Bob Smith".to_owned())),
    };
    NewEvent {
        event_type: "invoice.paid".to_owned(),
        resource_type: "invoice".to_owned(),
        resource_id: id.to_owned(),
        actor: Some(NewActor {
            id: "customer-7".to_owned(),
            email: "bob@example.com".to_owned(),
        }),
        changes: Some(Struct {
            fields: [("payer".to_owned(), payer)].into(),
        }),
        personal_fields: vec!["payer".to_owned()],
        ..Default::default()
    }
}

fn request(events: Vec<NewEvent>, request_id: &str) -> RecordEventsRequest {
    RecordEventsRequest {
        tenant: String::new(),
        source: "checkout".to_owned(),
        events,
        request_id: request_id.to_owned(),
    }
}

const ALL: &[Permission] = &[Permission::AuditRead, Permission::AuditRecord];

#[tokio::test]
async fn what_is_acknowledged_is_in_the_log_once_however_often_it_is_sent_at_once() {
    let world = World::start().await;
    let second = world.replica().await;
    let tenant = world.registry.add("acme", 365, None);
    let claims = member(tenant, ALL);
    let sent = request(vec![paid("1"), paid("2")], "the-same");
    let mut sending = tokio::task::JoinSet::new();
    for n in 0..8 {
        let replica = if n % 2 == 0 { &*world } else { &second };
        let (mut events, sent) = (replica.events(&claims), sent.clone());
        sending.spawn(async move { events.record_events(sent).await.unwrap().into_inner() });
    }
    let answers = sending.join_all().await;
    assert!(answers.iter().all(|answer| *answer == answers[0]));
    let mut events = world.events(&claims);
    let listed = events
        .list_events(ListEventsRequest::default())
        .await
        .unwrap();
    let listed: Vec<AuditEvent> = listed.into_inner().events;
    let ids: Vec<_> = listed.iter().rev().map(|event| event.id.clone()).collect();
    let told: Vec<_> = answers[0]
        .events
        .iter()
        .map(|event| event.id.clone())
        .collect();
    assert_eq!(ids, told);
    let event = &listed[0];
    assert_eq!(event.source, "app:checkout");
    assert_eq!(event.actor.as_ref().unwrap().email, "bob@example.com");
    let other = request(vec![paid("3")], "the-same");
    let refused = events.record_events(other).await.unwrap_err();
    assert_eq!(reason(&refused), Reason::RequestIdReused);
}

#[tokio::test]
async fn requests_at_once_over_two_replicas_are_numbered_one_after_the_other() {
    let world = World::start().await;
    let second = world.replica().await;
    let tenant = world.registry.add("acme", 365, None);
    let claims = member(tenant, ALL);
    // One of each replica has made its leaves, for the same numbers, before either of them gets the end of the log.
    let (mut superuser, mut owner) = (world.superuser().await, world.owner().await);
    let mut held = owner.begin().await.unwrap();
    let hold = sqlx::query("SELECT FROM log_head FOR UPDATE");
    hold.execute(&mut *held).await.unwrap();
    let mut sending = tokio::task::JoinSet::new();
    for n in 0..12 {
        let replica = if n % 2 == 0 { &*world } else { &second };
        let mut events = replica.events(&claims);
        let sent = request(vec![paid("1"), paid("2")], &format!("request-{n}"));
        sending.spawn(async move { events.record_events(sent).await.unwrap() });
    }
    until("requests that wait", WAIT_WITHIN, async || {
        let waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()";
        let waiting: i64 = sqlx::query_scalar(waiting).fetch_one(&mut superuser).await?;
        Ok((waiting == 2).then_some(()))
    })
    .await
    .unwrap();
    held.rollback().await.unwrap();
    sending.join_all().await;
    let checkpoint = world.all_signed(tenant).await.checkpoint;
    let export = world.exported(tenant, all("ndjson")).await.unwrap();
    export.verdict(&world.vkeys(), &[&checkpoint]).proves(&[
        "24 of 24 events are in this log",
        "From index 0 to 23 none is missing, by their indexes and by the numbers that their sources gave them",
    ]);
}

#[tokio::test]
async fn personal_values_of_the_product_stand_in_the_log_as_hashes_only() {
    let world = World::start().await;
    let tenant = world.registry.add("acme", 365, None);
    let mut events = world.events(&member(tenant, ALL));
    let recorded = events.record_events(request(vec![paid("1")], ""));
    recorded.await.unwrap();
    let mut owner = world.owner().await;
    let leaf: String = sqlx::query_scalar("SELECT leaf FROM events WHERE tenant_id = $1")
        .bind(tenant.uuid())
        .fetch_one(&mut owner)
        .await
        .unwrap();
    for value in ["Bob", "bob@example.com"] {
        assert!(!leaf.contains(value), "{leaf}");
    }
}

#[tokio::test]
async fn one_bad_event_refuses_all_and_says_which_and_why() {
    let world = World::start().await;
    let tenant = world.registry.add("acme", 365, None);
    let mut events = world.events(&member(tenant, ALL));
    let bad: [(&str, NewEvent); 7] = [
        (
            "events[1].timestamp",
            NewEvent {
                // The year -1199, which JSON can't show.
                timestamp: Some(prost_types::Timestamp {
                    seconds: -100_000_000_000,
                    nanos: 0,
                }),
                ..paid("1")
            },
        ),
        (
            "events[1].event_type",
            NewEvent {
                event_type: "Invoice Paid".into(),
                ..paid("1")
            },
        ),
        (
            "events[1].outcome",
            NewEvent {
                outcome: "perhaps".into(),
                ..paid("1")
            },
        ),
        (
            "events[1].resource_id",
            NewEvent {
                resource_id: "x".repeat(201),
                ..paid("1")
            },
        ),
        (
            "events[1].personal_fields",
            NewEvent {
                personal_fields: vec!["nothing".into()],
                ..paid("1")
            },
        ),
        (
            "events[1].timestamp",
            NewEvent {
                timestamp: Some(prost_types::Timestamp {
                    seconds: 99_999_999_999,
                    nanos: 0,
                }),
                ..paid("1")
            },
        ),
        (
            "events[1].actor.email",
            NewEvent {
                actor: Some(NewActor {
                    id: String::new(),
                    email: "no address".into(),
                }),
                ..paid("1")
            },
        ),
    ];
    for (field, event) in bad {
        let sent = request(vec![paid("0"), event], "");
        let refused = events.record_events(sent).await.unwrap_err();
        let refusal = tenantry_rpc::status::refusal(&refused).unwrap();
        assert_eq!(refusal.violations[0].field, field);
    }
    for count in [0, 1_001] {
        let sent = request(vec![paid("1"); count], "");
        let refused = events.record_events(sent).await.unwrap_err();
        assert_eq!(reason(&refused), Reason::InvalidArgument);
    }
    let no_source = RecordEventsRequest {
        source: "Check Out".into(),
        ..request(vec![paid("1")], "")
    };
    assert_eq!(
        reason(&events.record_events(no_source).await.unwrap_err()),
        Reason::InvalidArgument
    );
    let mut owner = world.owner().await;
    let count: i64 = sqlx::query_scalar("SELECT count(*) FROM events")
        .fetch_one(&mut owner)
        .await
        .unwrap();
    assert_eq!(count, 0);
}

#[tokio::test]
async fn recording_needs_a_right_of_its_own() {
    let world = World::start().await;
    let tenant = world.registry.add("acme", 365, None);
    let mut events = world.events(&member(tenant, &[Permission::AuditRead]));
    let refused = events
        .record_events(request(vec![paid("1")], ""))
        .await
        .unwrap_err();
    assert_eq!(reason(&refused), Reason::PermissionDenied);
}
