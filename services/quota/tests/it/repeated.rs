//! What is sent again counts once, and is answered alike.

use futures::future::join_all;
use tenantry_core::Reason;
use tenantry_proto::quota::v1::ConsumeQuotaRequest;

use crate::support::{World, decided, reason, using};

fn with_id(amount: i64, id: &str) -> ConsumeQuotaRequest {
    ConsumeQuotaRequest {
        request_id: id.to_owned(),
        ..using("api_calls", amount)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_call_sent_three_times_at_once_counts_once() {
    let world = World::start().await;
    let other = world.replica().await;
    let tenant = world.limited(60).await;
    let claims = world.program(tenant);
    let calls = (0..300).map(|call: usize| {
        let replica = if call.is_multiple_of(2) {
            &*world
        } else {
            &other
        };
        let mut quotas = replica.quotas(&claims);
        let request = with_id(1, &format!("call-{}", call % 100));
        tokio::spawn(async move { (call % 100, decided(&mut quotas, request).await) })
    });
    let mut answers = vec![Vec::new(); 100];
    for call in join_all(calls.collect::<Vec<_>>()).await {
        let (call, answer) = call.unwrap();
        answers[call].push(answer);
    }
    let mut admitted = 0;
    for (call, of_one) in answers.iter().enumerate() {
        let done: Vec<_> = of_one
            .iter()
            .filter_map(|answer| answer.as_ref().ok())
            .collect();
        if done.is_empty() {
            assert!(
                of_one
                    .iter()
                    .all(|answer| *answer == Err(Reason::QuotaExceeded)),
                "{of_one:?}"
            );
            continue;
        }
        admitted += 1;
        assert!(
            done.iter().all(|answer| *answer == done[0]),
            "{call}: {of_one:?}"
        );
    }
    assert_eq!(admitted, 60);
    let mut owner = world.owner().await;
    let logged: i64 = sqlx::query_scalar("SELECT count(*) FROM usage_log")
        .fetch_one(&mut owner)
        .await
        .unwrap();
    assert_eq!(logged, 60);
}

#[tokio::test]
async fn a_repetition_is_answered_as_the_first_time_and_another_body_is_refused() {
    let world = World::start().await;
    let tenant = world.limited(5).await;
    let claims = world.program(tenant);
    let mut quotas = world.quotas(&claims);
    let first = quotas
        .consume_quota(with_id(3, "one"))
        .await
        .unwrap()
        .into_inner();
    assert_eq!((first.usage, first.remaining), (3, Some(2)));
    quotas.consume_quota(with_id(2, "two")).await.unwrap();
    // The limit is reached: what was admitted before is answered all the same, also by a replica that has just begun.
    let ended = world.replica().await;
    let mut gone = ended.quotas(&claims);
    gone.consume_quota(with_id(2, "two")).await.unwrap();
    ended.end().await;
    let other = world.replica().await;
    for replica in [&*world, &other] {
        let mut quotas = replica.quotas(&claims);
        let again = quotas
            .consume_quota(with_id(3, "one"))
            .await
            .unwrap()
            .into_inner();
        assert_eq!(again, first);
        let another = quotas.consume_quota(with_id(1, "one")).await.unwrap_err();
        assert_eq!(reason(&another), Reason::RequestIdReused);
        let refused = quotas.consume_quota(with_id(1, "three")).await.unwrap_err();
        assert_eq!(reason(&refused), Reason::QuotaExceeded);
    }
    // Nothing is kept of what was refused.
    world.set(tenant, "api_calls", 6, "day").await;
    let admitted = quotas
        .consume_quota(with_id(1, "three"))
        .await
        .unwrap()
        .into_inner();
    assert_eq!((admitted.usage, admitted.remaining), (6, Some(0)));
    // Another caller's ids are their own.
    let mut others = world.quotas(&world.program(tenant));
    let refused = others.consume_quota(with_id(3, "one")).await.unwrap_err();
    assert_eq!(reason(&refused), Reason::QuotaExceeded);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_spent_for_a_repetition_is_not_in_the_answer() {
    let world = World::start().await;
    let other = world.replica().await;
    let tenant = world.limited(1_000).await;
    let claims = world.program(tenant);
    for round in 0..5 {
        let calls = (0..32).map(|call: i64| {
            let replica = if call % 2 == 0 { &*world } else { &other };
            let mut quotas = replica.quotas(&claims);
            let request = with_id(7, &format!("round-{round}"));
            tokio::spawn(async move { decided(&mut quotas, request).await })
        });
        for call in join_all(calls.collect::<Vec<_>>()).await {
            let answer = call.unwrap().unwrap();
            assert_eq!(answer.usage, 7 * (round + 1));
        }
    }
}
