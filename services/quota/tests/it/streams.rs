//! Uses and events that come over a call that stays open.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tenantry_core::{Reason, TenantId};
use tenantry_proto::quota::v1::{
    ConsumeQuotaRequest, StreamConsumeQuotaRequest, StreamConsumeQuotaResponse,
    StreamUsageEventsRequest, UsageEvent,
};
use tokio::sync::{Semaphore, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

use crate::several::usage;
use crate::support::{Quotas, World, reason, using};

/// What is promised between the end of a tenant's use and that of its streams.
const AT_ONCE: Duration = Duration::from_secs(1);
/// How many uses of a stream may be without an answer.
const AHEAD: i64 = 1_000;

fn one(sequence: i64, used: ConsumeQuotaRequest) -> StreamConsumeQuotaRequest {
    StreamConsumeQuotaRequest {
        sequence,
        r#use: Some(used),
        ..Default::default()
    }
}

/// A stream's two ends.
type Ends = (
    mpsc::Sender<StreamConsumeQuotaRequest>,
    Streaming<StreamConsumeQuotaResponse>,
);

/// Opens a stream by this message.
async fn opened(quotas: &mut Quotas, first: StreamConsumeQuotaRequest) -> Result<Ends, Status> {
    let (sender, receiver) = mpsc::channel(1);
    sender.send(first).await.unwrap();
    let answers = quotas.stream_consume_quota(ReceiverStream::new(receiver));
    Ok((sender, answers.await?.into_inner()))
}

/// The reason of an answer; empty where it was used.
fn refused(answer: &StreamConsumeQuotaResponse) -> &str {
    &answer.result.as_ref().unwrap().reason
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_at_once_use_exactly_what_the_limit_has() {
    let world = World::start().await;
    let other = world.replica().await;
    let tenant = world.limited(500).await;
    let streams = (0..8).map(|n| {
        let replica = if n % 2 == 0 { &*world } else { &other };
        let mut quotas = replica.quotas(&world.program(tenant));
        tokio::spawn(async move {
            let uses = (0..100).map(|n| one(n, using("api_calls", 1)));
            let answers = quotas.stream_consume_quota(futures::stream::iter(uses));
            let mut answers = answers.await.unwrap().into_inner();
            let mut told = BTreeMap::new();
            while let Some(answer) = answers.message().await.unwrap() {
                told.insert(answer.sequence, refused(&answer).to_owned());
            }
            told
        })
    });
    let mut used = 0;
    for stream in streams.collect::<Vec<_>>() {
        let told = stream.await.unwrap();
        assert!(told.keys().copied().eq(0..100), "each has its answer");
        let word = Reason::QuotaExceeded.word();
        assert!(told.values().all(|why| why.is_empty() || why == word));
        used += told.values().filter(|why| why.is_empty()).count();
    }
    assert_eq!(used, 500);
    assert_eq!(usage(&world, tenant, "api_calls").await, 500);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_use_is_answered_by_itself_and_once_for_its_id() {
    let world = World::start().await;
    let tenant = world.limited(10).await;
    let mut quotas = world.quotas(&world.program(tenant));
    let again = ConsumeQuotaRequest {
        request_id: "the-same".to_owned(),
        ..using("api_calls", 3)
    };
    let foreign = ConsumeQuotaRequest {
        tenant: TenantId::new().to_string(),
        ..using("api_calls", 1)
    };
    let mut uses = vec![
        one(1, again.clone()),
        one(2, again.clone()),
        one(3, using("", 1)),
        one(4, using("api_calls", -1)),
        one(5, using("api_calls", 8)),
        one(6, foreign),
        StreamConsumeQuotaRequest {
            sequence: 7,
            ..Default::default()
        },
    ];
    // The same id for something else.
    uses.push(one(
        8,
        ConsumeQuotaRequest {
            amount: Some(4),
            ..again
        },
    ));
    let answers = quotas.stream_consume_quota(futures::stream::iter(uses));
    let mut answers = answers.await.unwrap().into_inner();
    let mut told = BTreeMap::new();
    while let Some(answer) = answers.message().await.unwrap() {
        told.insert(answer.sequence, answer);
    }
    let expected = [
        (1, ""),
        (2, ""),
        (3, "INVALID_ARGUMENT"),
        (4, "INVALID_ARGUMENT"),
        (5, "QUOTA_EXCEEDED"),
        (6, "INVALID_ARGUMENT"),
        (7, "INVALID_ARGUMENT"),
        (8, "REQUEST_ID_REUSED"),
    ];
    let reasons: Vec<_> = told.iter().map(|(n, told)| (*n, refused(told))).collect();
    assert_eq!(reasons, expected);
    let decision = |n| told[&n].result.clone().unwrap().decision.unwrap();
    assert_eq!(decision(1), decision(2));
    assert_eq!(usage(&world, tenant, "api_calls").await, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_may_not_or_names_nobody_known_has_no_stream() {
    let world = World::start().await;
    let (tenant, other) = (world.tenant(), world.tenant());
    let of = |tenant: TenantId| StreamConsumeQuotaRequest {
        tenant: tenant.to_string(),
        ..one(1, using("api_calls", 1))
    };
    let mut quotas = world.quotas(&world.program(tenant));
    for foreign in [other, TenantId::new()] {
        let refused = opened(&mut quotas, of(foreign)).await.unwrap_err();
        assert_eq!(reason(&refused), Reason::TenantNotFound);
    }
    let nothing = quotas.stream_consume_quota(futures::stream::empty());
    assert_eq!(reason(&nothing.await.unwrap_err()), Reason::InvalidArgument);
    let reader = tenantry_testkit::caller::member(tenant, &[tenantry_core::Permission::UsageRead]);
    let refused = opened(&mut world.quotas(&reader), of(tenant)).await;
    assert_eq!(reason(&refused.unwrap_err()), Reason::PermissionDenied);
    let mut events = world.usage_events(&world.program(tenant));
    let foreign = StreamUsageEventsRequest {
        tenant: other.to_string(),
        ..Default::default()
    };
    let refused = events.stream_usage_events(futures::stream::iter([foreign]));
    assert_eq!(reason(&refused.await.unwrap_err()), Reason::TenantNotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_ends_within_a_second_of_its_tenants_use_with_the_reason() {
    let world = World::start().await;
    let tenant = world.limited(1_000).await;
    let mut quotas = world.quotas(&world.program(tenant));
    let first = one(1, using("api_calls", 1));
    let (sender, mut answers) = opened(&mut quotas, first.clone()).await.unwrap();
    assert_eq!(answers.message().await.unwrap().unwrap().sequence, 1);
    let suspend = |entry: &mut tenantry_proto::internal::registry::v1::TenantEntry| {
        entry.status = "suspended".to_owned();
    };
    world.registry.change(tenant, suspend).unwrap();
    let began = Instant::now();
    let ended = tokio::time::timeout(AT_ONCE, answers.message()).await;
    let ended = ended.expect("an end in time").unwrap_err();
    println!("ended after {:?}", began.elapsed());
    assert_eq!(reason(&ended), Reason::StreamTenantStatus);
    let _ = sender.send(one(2, using("api_calls", 1))).await;
    let refused = opened(&mut quotas, first).await;
    assert!(refused.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_too_far_ahead_of_the_answers_loses_the_stream_and_nobody_elses_connection() {
    let world = World::start().await;
    let tenant = world.limited(100_000).await;
    let mut quotas = world.quotas(&world.program(tenant));
    let first = one(0, using("api_calls", 1));
    let (sender, mut answers) = opened(&mut quotas, first).await.unwrap();
    // Nothing is taken of the answers meanwhile.
    let mut sent = 1;
    while sent < 20_000 && sender.send(one(sent, using("api_calls", 1))).await.is_ok() {
        sent += 1;
    }
    assert!(sent < 20_000, "the stream ended");
    // The same connection serves others, and this tenant too.
    let used = usage(&world, tenant, "api_calls").await;
    println!("{used} of {sent} were used while nobody took the answers");
    let mut told = 0;
    let ended = loop {
        match answers.message().await {
            Ok(Some(answer)) => {
                assert_eq!(refused(&answer), "");
                told += 1;
            }
            Ok(None) => panic!("an end without a reason"),
            Err(ended) => break ended,
        }
    };
    assert_eq!(reason(&ended), Reason::Overloaded);
    // What was answered counts, and what wasn't may.
    let used = usage(&world, tenant, "api_calls").await;
    assert!((told..sent).contains(&used), "{told} {used} {sent}");
    assert!(used - told <= AHEAD, "{used} {told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_reads_the_answers_goes_on_for_as_long_as_they_like() {
    let world = World::start().await;
    let tenant = world.limited(100_000).await;
    let mut quotas = world.quotas(&world.program(tenant));
    let first = one(0, using("api_calls", 1));
    let (sender, mut answers) = opened(&mut quotas, first).await.unwrap();
    let places = Arc::new(Semaphore::new(500));
    let sending = {
        let places = Arc::clone(&places);
        tokio::spawn(async move {
            for n in 1..5_000 {
                places.acquire().await.unwrap().forget();
                sender.send(one(n, using("api_calls", 1))).await.unwrap();
            }
        })
    };
    let mut told = 0;
    while let Some(answer) = answers.message().await.unwrap() {
        assert_eq!(refused(&answer), "");
        places.add_permits(1);
        told += 1;
    }
    sending.await.unwrap();
    assert_eq!(told, 5_000);
    assert_eq!(usage(&world, tenant, "api_calls").await, 5_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn batches_of_events_count_once_however_often_they_come() {
    let world = World::start().await;
    let other = world.replica().await;
    let tenant = world.tenant();
    let batch = |n: i64| StreamUsageEventsRequest {
        sequence: n,
        events: (0..50)
            .map(|event| UsageEvent {
                id: format!("{n}/{event}"),
                source: "meter".to_owned(),
                resource_type: "api_calls".to_owned(),
                amount: Some(2),
                ..Default::default()
            })
            .collect(),
        ..Default::default()
    };
    let (mut recorded, mut repeated) = (0, 0);
    for replica in [&*world, &other, &*world] {
        let mut events = replica.usage_events(&world.program(tenant));
        let empty = StreamUsageEventsRequest {
            sequence: 99,
            ..Default::default()
        };
        let batches = (0..10).map(batch).chain([empty]);
        let answers = events.stream_usage_events(futures::stream::iter(batches));
        let mut answers = answers.await.unwrap().into_inner();
        while let Some(answer) = answers.message().await.unwrap() {
            if answer.sequence == 99 {
                assert_eq!(answer.reason, Reason::InvalidArgument.word());
                continue;
            }
            let told = answer.recorded.unwrap();
            recorded += told.recorded;
            repeated += told.repeated;
        }
    }
    assert_eq!((recorded, repeated), (500, 1_000));
    assert_eq!(usage(&world, tenant, "api_calls").await, 1_000);
}
