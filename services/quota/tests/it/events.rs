//! Events of what was used: each counts once, in the window that it happened in, and is amended by corrections alone.

use std::time::Duration;

use futures::future::join_all;
use prost_types::Timestamp;
use serde_json::{Value, json};
use tenantry_core::{Reason, TenantId, clock};
use tenantry_proto::google::api::HttpBody;
use tenantry_proto::quota::v1::{
    CorrectUsageRequest, QuotaDecision, RecordCloudEventsRequest, RecordUsageEventsRequest,
    RecordUsageEventsResponse, UsageEvent,
};
use tenantry_rpc::assertion::Claims;
use tenantry_rpc::convert::timestamp;
use tenantry_testkit::caller::operator;
use tonic::{Request, Status};

use crate::several::usage;
use crate::support::{UsageEvents, World, at_once, decided, reason, using};

/// A client's pause before it tells again what nobody answered: nothing is awaited by it.
const TELLS_AGAIN_AFTER: Duration = Duration::from_millis(20);
const DAY: Duration = Duration::from_secs(86_400);

fn event(id: &str, amount: i64) -> UsageEvent {
    UsageEvent {
        id: id.to_owned(),
        source: "meter".to_owned(),
        resource_type: "api_calls".to_owned(),
        amount: Some(amount),
        ..Default::default()
    }
}

/// An instant that lies so far behind the present one.
fn ago(ago: Duration) -> Option<Timestamp> {
    Some(timestamp(clock::now() - ago))
}

/// Tells of events; again, where nobody says what became of them, as each has an id.
async fn record(
    events: &mut UsageEvents,
    told: Vec<UsageEvent>,
) -> Result<RecordUsageEventsResponse, Status> {
    let request = RecordUsageEventsRequest {
        events: told,
        ..Default::default()
    };
    loop {
        match events.record_usage_events(request.clone()).await {
            Err(refused) if reason(&refused) == Reason::Unavailable => {
                tokio::time::sleep(TELLS_AGAIN_AFTER).await;
            }
            recorded => return Ok(recorded?.into_inner()),
        }
    }
}

/// The ids of events that were refused, each with the reason.
fn refused(recorded: &RecordUsageEventsResponse) -> Vec<(&str, &str)> {
    let refused = recorded.refused.iter();
    refused
        .map(|event| (event.id.as_str(), event.reason.as_str()))
        .collect()
}

/// What spans of time add up to, by their width.
async fn spans(world: &World, tenant: TenantId, minutes: i16) -> i64 {
    sqlx::query_scalar(
        "SELECT coalesce(sum(amount), 0)::bigint FROM usage_series WHERE tenant_id = $1 AND minutes = $2",
    )
    .bind(tenant.uuid())
    .bind(minutes)
    .fetch_one(&mut world.owner().await)
    .await
    .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_event_counts_once_however_often_and_by_whomever_it_is_told() {
    let world = World::start().await;
    let other = world.replica().await;
    let tenant = world.limited(100_000).await;
    let told: Vec<_> = (0..300_i64)
        .map(|n| event(&format!("event-{n}"), n))
        .collect();
    let calls = at_once(&[&*world, &other], 8, |caller, replica| {
        let mut events = replica.usage_events(&world.program(tenant));
        let mut told = told.clone();
        // In whatever order, and twice in one request.
        told.rotate_left(caller * 31);
        told.push(told[0].clone());
        async move { record(&mut events, told).await.unwrap() }
    });
    let (mut recorded, mut repeated) = (0, 0);
    for call in calls.await {
        assert_eq!(call.refused, []);
        recorded += call.recorded;
        repeated += call.repeated;
    }
    assert_eq!((recorded, repeated), (300, 8 * 301 - 300));
    let sum: i64 = (0..300).sum();
    assert_eq!(usage(&world, tenant, "api_calls").await, sum);
    assert_eq!(crate::exactness::used(&world, tenant).await, sum);
    assert_eq!(spans(&world, tenant, 1).await, sum);
    assert_eq!(spans(&world, tenant, 15).await, sum);
    // Of another source it is another event.
    let mut events = world.usage_events(&world.program(tenant));
    let elsewhere = UsageEvent {
        source: "another".to_owned(),
        ..event("event-7", 7)
    };
    let once = record(&mut events, vec![elsewhere]).await.unwrap();
    assert_eq!((once.recorded, once.repeated), (1, 0));
    let changed = record(&mut events, vec![event("event-7", 8)])
        .await
        .unwrap();
    assert_eq!(refused(&changed), [("event-7", "REQUEST_ID_REUSED")]);
}

#[tokio::test]
async fn a_late_event_counts_in_the_window_that_it_happened_in() {
    let world = World::start().await;
    let tenant = world.tenant();
    let mut events = world.usage_events(&world.program(tenant));
    let late = |id: &str, days: u32| UsageEvent {
        resource_type: "alerts".to_owned(),
        occurred_at: ago(DAY * days),
        ..event(id, 4)
    };
    let told = vec![
        late("today", 0),
        late("yesterday", 1),
        late("before", 2),
        late("again", 1),
    ];
    let recorded = record(&mut events, told).await.unwrap();
    assert_eq!((recorded.recorded, recorded.refused.len()), (4, 0));
    assert_eq!(usage(&world, tenant, "alerts").await, 4);
    let windows: Vec<i64> = sqlx::query_scalar(
        "SELECT settled FROM accounts WHERE tenant_id = $1 AND resource_type = 'alerts' ORDER BY window_start",
    )
    .bind(tenant.uuid())
    .fetch_all(&mut world.owner().await)
    .await
    .unwrap();
    assert_eq!(windows, [4, 8, 4]);
    assert_eq!(crate::exactness::used(&world, tenant).await, 16);
}

#[tokio::test]
async fn what_cannot_be_taken_down_is_refused_by_itself() {
    let world = World::start().await;
    let tenant = world.limited(10).await;
    let mut events = world.usage_events(&world.program(tenant));
    let at = |id: &str, occurred_at: Option<Timestamp>| UsageEvent {
        occurred_at,
        ..event(id, 1)
    };
    let bad = vec![
        event("good", 3),
        at("old", ago(DAY * 36)),
        at("ahead", Some(timestamp(clock::now() + DAY))),
        at(
            "never",
            Some(Timestamp {
                seconds: i64::MAX,
                nanos: 0,
            }),
        ),
        event("negative", -1),
        event("much", i64::MAX),
        UsageEvent {
            resource_type: "nothing".to_owned(),
            ..event("unknown", 1)
        },
        UsageEvent {
            source: "a meter".to_owned(),
            ..event("source", 1)
        },
        UsageEvent {
            description: "a\0b".to_owned(),
            ..event("text", 1)
        },
        event("", 1),
        event("a b", 1),
        event("good", 4),
        event("last", 2),
    ];
    let recorded = record(&mut events, bad).await.unwrap();
    assert_eq!((recorded.recorded, recorded.repeated), (2, 0));
    let invalid = "INVALID_ARGUMENT";
    let expected = [
        ("old", invalid),
        ("ahead", invalid),
        ("never", invalid),
        ("negative", invalid),
        ("much", invalid),
        ("unknown", invalid),
        ("source", invalid),
        ("text", invalid),
        ("", invalid),
        ("a b", invalid),
        ("good", "REQUEST_ID_REUSED"),
    ];
    assert_eq!(refused(&recorded), expected);
    assert_eq!(recorded.refused[0].index, 1);
    for told in [Vec::new(), vec![event("x", 0); 10_001]] {
        let none = record(&mut events, told).await.unwrap_err();
        assert_eq!(reason(&none), Reason::InvalidArgument);
    }
    // Counted beyond the limit, it refuses what asks.
    record(&mut events, vec![event("beyond", 100)])
        .await
        .unwrap();
    assert_eq!(usage(&world, tenant, "api_calls").await, 105);
    let mut quotas = world.quotas(&world.program(tenant));
    let full = decided(&mut quotas, using("api_calls", 1)).await;
    assert_eq!(full, Err(Reason::QuotaExceeded));
    assert_eq!(crate::exactness::used(&world, tenant).await, 105);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_passes_the_limit_while_events_come_in_beside_it() {
    let world = World::start().await;
    let other = world.replica().await;
    let tenant = world.limited(2_000).await;
    let mut events = other.usage_events(&world.program(tenant));
    let uses = (0..16_usize).map(|_| {
        let mut quotas = world.quotas(&world.program(tenant));
        tokio::spawn(async move {
            let mut used = 0;
            while decided(&mut quotas, using("api_calls", 1)).await.is_ok() {
                used += 1;
            }
            used
        })
    });
    let uses: Vec<_> = uses.collect();
    let mut told = 0;
    for n in 0..10 {
        let batch = (0..10).map(|m| event(&format!("{n}-{m}"), 10)).collect();
        let answer = record(&mut events, batch).await.unwrap();
        told += i64::from(answer.recorded + answer.repeated) * 10;
    }
    let used = join_all(uses).await;
    let used: i64 = used.into_iter().map(Result::unwrap).sum();
    println!("{used} used and {told} told of 2000");
    assert_eq!(told, 1_000);
    // Facts may come when all is used; uses never fill more than what facts left.
    assert!((1_000..=2_000).contains(&used));
    assert_eq!(crate::exactness::used(&world, tenant).await, used + told);
}

async fn cloud(
    world: &World,
    tenant: TenantId,
    (content_type, body): (&str, String),
    headers: &[(&'static str, &str)],
) -> Result<RecordUsageEventsResponse, Status> {
    let mut events = world.usage_events(&world.program(tenant));
    let mut request = Request::new(RecordCloudEventsRequest {
        body: Some(HttpBody {
            content_type: content_type.to_owned(),
            data: body.into(),
        }),
        ..Default::default()
    });
    for (name, value) in headers {
        request.metadata_mut().insert(*name, value.parse().unwrap());
    }
    let recorded = events.record_cloud_events(request).await?;
    Ok(recorded.into_inner())
}

#[tokio::test]
async fn cloud_events_come_in_each_mode_and_count_once() {
    let world = World::start().await;
    let tenant = world.limited(100).await;
    let one = |id: &str, data: Value| {
        json!({"specversion": "1.0", "id": id, "source": "https://meter.example/1", "type": "com.example.used",
            "time": "2026-11-30T23:59:59.5+01:00", "datacontenttype": "application/json", "data": data})
    };
    let mut structured = one("one", json!({"resource_type": "alerts", "amount": 3}));
    structured["time"] = json!(clock::now().to_string());
    let structured = (
        "application/cloudevents+json; charset=UTF-8",
        structured.to_string(),
    );
    let first = cloud(&world, tenant, structured.clone(), &[])
        .await
        .unwrap();
    assert_eq!((first.recorded, first.repeated), (1, 0), "{first:?}");
    let again = cloud(&world, tenant, structured, &[]).await.unwrap();
    assert_eq!((again.recorded, again.repeated), (0, 1));
    let headers = [
        ("ce-specversion", "1.0"),
        ("ce-id", "two"),
        ("ce-source", "https://meter.example/1"),
        ("ce-type", "com.example.used"),
    ];
    let data = json!({"resource_type": "alerts", "amount": 2, "description": "a night"});
    let binary = ("application/json", data.to_string());
    let second = cloud(&world, tenant, binary.clone(), &headers)
        .await
        .unwrap();
    assert_eq!(
        (second.recorded, second.refused.len()),
        (1, 0),
        "{second:?}"
    );
    let now = clock::now().to_string();
    let mut good = one("three", json!({"resource_type": "alerts"}));
    good["time"] = json!(now);
    let mut long_ago = one("four", json!({"resource_type": "alerts"}));
    long_ago["time"] = json!("2020-02-02T20:20:20Z");
    let without = one("five", json!({"amount": 1}));
    let batch = json!([good, long_ago, without, {"id": "six"}]);
    let batch = ("application/cloudevents-batch+json", batch.to_string());
    let third = cloud(&world, tenant, batch, &[]).await.unwrap();
    assert_eq!(third.recorded, 1);
    let invalid = "INVALID_ARGUMENT";
    assert_eq!(
        refused(&third),
        [("four", invalid), ("five", invalid), ("six", invalid)],
        "{third:?}"
    );
    assert_eq!(usage(&world, tenant, "alerts").await, 6);
    for bad in [
        binary,
        ("application/cloudevents+json", "{".to_owned()),
        ("application/cloudevents-batch+json", "{}".to_owned()),
        ("text/plain", String::new()),
    ] {
        let refused = cloud(&world, tenant, bad, &[]).await.unwrap_err();
        assert_eq!(reason(&refused), Reason::InvalidArgument);
    }
}

async fn correct(
    world: &World,
    (operator, tenant): (&Claims, TenantId),
    (usage, resource_type, amount): (&str, &str, i64),
    id: &str,
) -> Result<QuotaDecision, Status> {
    let mut events = world.usage_events(operator);
    let request = CorrectUsageRequest {
        tenant: tenant.to_string(),
        usage: usage.to_owned(),
        resource_type: resource_type.to_owned(),
        amount: Some(amount),
        reason: "Counted twice by the meter".to_owned(),
        request_id: id.to_owned(),
    };
    let corrected = events.correct_usage(request).await?;
    Ok(corrected.into_inner())
}

/// The ids of what was used, the latest last.
async fn ids(world: &World, tenant: TenantId) -> Vec<String> {
    sqlx::query_scalar(
        "SELECT usage_id::text FROM usage_log WHERE tenant_id = $1 ORDER BY recorded_at, usage_id",
    )
    .bind(tenant.uuid())
    .fetch_all(&mut world.owner().await)
    .await
    .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_correction_amends_what_was_used_where_and_when_it_was() {
    let world = World::start().await;
    let (operator, tenant) = (operator(), world.limited(10).await);
    world.consume(tenant, 8).await.unwrap();
    let mut events = world.usage_events(&world.program(tenant));
    let late = UsageEvent {
        resource_type: "alerts".to_owned(),
        occurred_at: ago(DAY),
        ..event("late", 7)
    };
    record(&mut events, vec![late]).await.unwrap();
    let ids = ids(&world, tenant).await;
    let less = correct(
        &world,
        (&operator, tenant),
        (&ids[0], "api_calls", 2),
        "once",
    )
    .await;
    let less = less.unwrap();
    assert_eq!((less.amount, less.usage, less.remaining), (-6, 2, Some(8)));
    let again = correct(
        &world,
        (&operator, tenant),
        (&ids[0], "api_calls", 2),
        "once",
    )
    .await;
    assert_eq!(again.unwrap(), less);
    // What it gave back can be used, and it can be corrected on.
    world.consume(tenant, 8).await.unwrap();
    let more = correct(&world, (&operator, tenant), (&ids[0], "api_calls", 3), "").await;
    assert_eq!(
        (more.as_ref().unwrap().amount, more.unwrap().usage),
        (1, 11)
    );
    let yesterday = correct(&world, (&operator, tenant), (&ids[1], "alerts", 5), "").await;
    assert_eq!(yesterday.unwrap().amount, -2);
    assert_eq!(usage(&world, tenant, "alerts").await, 0);
    assert_eq!(crate::exactness::used(&world, tenant).await, 16);
    assert_eq!(spans(&world, tenant, 15).await, 16);
    // By several at once each amends what the one before left.
    let corrections = (0..10).map(|n| {
        correct(
            &world,
            (&operator, tenant),
            (&ids[0], "api_calls", n % 4),
            "",
        )
    });
    for corrected in join_all(corrections).await {
        corrected.unwrap();
    }
    let left = usage(&world, tenant, "api_calls").await;
    assert!((8..12).contains(&left), "{left}");
    assert_eq!(crate::exactness::used(&world, tenant).await, left + 5);
    let told: Vec<(Value, Value)> = sqlx::query_as(
        "SELECT event -> 'before', event -> 'after' FROM outbox WHERE tenant_id = $1 AND action = 'usage.corrected' ORDER BY n",
    )
    .bind(tenant.uuid())
    .fetch_all(&mut world.owner().await)
    .await
    .unwrap();
    assert_eq!(told.len(), 13);
    let facts = (
        &told[0].0["amount"],
        &told[0].1["amount"],
        &told[0].1["reason"],
    );
    assert_eq!(
        facts,
        (&json!(8), &json!(2), &json!("Counted twice by the meter"))
    );
}

#[tokio::test]
async fn only_what_there_is_and_what_can_be_wrong_is_corrected() {
    let world = World::start().await;
    let (operator, tenant) = (operator(), world.tenant());
    let mut quotas = world.quotas(&world.program(tenant));
    decided(&mut quotas, using("devices", 3)).await.unwrap();
    let release = tenantry_proto::quota::v1::ReleaseQuotaRequest {
        resource_type: "devices".to_owned(),
        ..Default::default()
    };
    quotas.release_quota(release).await.unwrap();
    let ids = ids(&world, tenant).await;
    let strangers = world.tenant();
    let absent = tenantry_core::UsageId::new().to_string();
    for (tenant, id, resource_type) in [
        (tenant, ids[0].as_str(), "api_calls"),
        (tenant, absent.as_str(), "devices"),
        (tenant, "none", "devices"),
        (strangers, ids[0].as_str(), "devices"),
    ] {
        let refused = correct(&world, (&operator, tenant), (id, resource_type, 1), "").await;
        assert_eq!(reason(&refused.unwrap_err()), Reason::UsageNotFound);
    }
    let released = correct(&world, (&operator, tenant), (&ids[1], "devices", 0), "").await;
    assert_eq!(reason(&released.unwrap_err()), Reason::UsageNotCorrectable);
    let negative = correct(&world, (&operator, tenant), (&ids[0], "devices", -1), "").await;
    assert_eq!(reason(&negative.unwrap_err()), Reason::InvalidArgument);
    // Who records what is used doesn't amend it.
    let mut events = world.usage_events(&world.program(tenant));
    let own = CorrectUsageRequest {
        usage: ids[0].clone(),
        resource_type: "devices".to_owned(),
        amount: Some(0),
        reason: "Mine".to_owned(),
        ..Default::default()
    };
    let denied = events.correct_usage(own).await.unwrap_err();
    assert_eq!(reason(&denied), Reason::PermissionDenied);
    assert_eq!(usage(&world, tenant, "devices").await, 2);
}
