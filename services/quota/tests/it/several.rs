//! Several resource types in one decision, the modes of a use, and many uses at once.

use tenantry_core::{Reason, TenantId};
use tenantry_proto::envoy::service::ratelimit::v3::rate_limit_response::Code;
use tenantry_proto::quota::v1::{
    BatchConsumeQuotaRequest, ConsumeQuotaRequest, QuotaDecision, ResourceAmount,
};
use tonic_types::StatusExt as _;

use crate::rates::one_of;
use crate::support::{Replica, World, at_once, decided, reason, using};

/// A request to use so much of each of these.
pub(crate) fn of(amounts: &[(&str, i64)]) -> ConsumeQuotaRequest {
    ConsumeQuotaRequest {
        resources: resources(amounts),
        ..Default::default()
    }
}

pub(crate) fn resources(amounts: &[(&str, i64)]) -> Vec<ResourceAmount> {
    let amounts = amounts
        .iter()
        .map(|(resource_type, amount)| ResourceAmount {
            resource_type: (*resource_type).to_owned(),
            amount: Some(*amount),
        });
    amounts.collect()
}

pub(crate) fn in_mode(mode: &str, amount: i64) -> ConsumeQuotaRequest {
    ConsumeQuotaRequest {
        mode: mode.to_owned(),
        ..using("api_calls", amount)
    }
}

async fn consume(
    replica: &Replica,
    world: &World,
    tenant: TenantId,
    request: ConsumeQuotaRequest,
) -> Result<QuotaDecision, Reason> {
    let mut quotas = replica.quotas(&world.program(tenant));
    decided(&mut quotas, request).await
}

/// What is used of a resource type.
pub(crate) async fn usage(world: &World, tenant: TenantId, resource_type: &str) -> i64 {
    let asked = ConsumeQuotaRequest {
        mode: "check_only".to_owned(),
        ..using(resource_type, 0)
    };
    consume(world, world, tenant, asked).await.unwrap().usage
}

#[tokio::test(flavor = "multi_thread")]
async fn several_resource_types_are_used_all_or_none_however_many_callers_there_are() {
    let world = World::start().await;
    let other = world.replica().await;
    let tenant = world.limited(1_000).await;
    world.set(tenant, "alerts", 30, "day").await;
    let calls = at_once(&[&*world, &other], 64, |_, replica| {
        let mut quotas = replica.quotas(&world.program(tenant));
        async move {
            let mut used = 0;
            let all = of(&[("api_calls", 3), ("users", 0), ("alerts", 1)]);
            while decided(&mut quotas, all.clone()).await.is_ok() {
                used += 1;
            }
            used
        }
    });
    let used: i64 = calls.await.into_iter().sum();
    assert_eq!(used, 30);
    assert_eq!(usage(&world, tenant, "alerts").await, 30);
    // Nothing was used of what another limit refused.
    assert_eq!(usage(&world, tenant, "api_calls").await, 90);
    assert_eq!(crate::exactness::used(&world, tenant).await, 120);
}

#[tokio::test]
async fn an_answer_says_how_each_of_several_stands_and_a_refusal_which_one_it_is() {
    let world = World::start().await;
    let tenant = world.limited(100).await;
    let both = of(&[("api_calls", 40), ("users", 3)]);
    let done = consume(&world, &world, tenant, both.clone()).await.unwrap();
    assert_eq!(
        (done.resource_type.as_str(), done.amount, done.remaining),
        ("users", 3, Some(2))
    );
    let each: Vec<_> = done
        .resources
        .iter()
        .map(|line| (line.resource_type.as_str(), line.amount, line.usage))
        .collect();
    assert_eq!(each, [("api_calls", 40, 40), ("users", 3, 3)]);
    let mut quotas = world.quotas(&world.program(tenant));
    let refused = quotas.consume_quota(both).await.unwrap_err();
    assert_eq!(reason(&refused), Reason::QuotaExceeded);
    let details = refused.get_error_details();
    let facts = &details.error_info().unwrap().metadata;
    let which = (facts["resource_type"].as_str(), facts["remaining"].as_str());
    assert_eq!(which, ("users", "2"));
    for bad in [
        of(&[("api_calls", 1), ("api_calls", 1)]),
        of(&[("api_calls", -1)]),
        of(&[("api_calls", 1), ("nothing", 1)]),
        of(&[("a", 1); 17]),
        ConsumeQuotaRequest {
            resource_type: "api_calls".to_owned(),
            ..of(&[("users", 1)])
        },
        in_mode("greedy", 1),
    ] {
        let refused = consume(&world, &world, tenant, bad.clone()).await;
        assert_eq!(refused, Err(Reason::InvalidArgument), "{bad:?}");
    }
    assert_eq!(usage(&world, tenant, "api_calls").await, 40);
}

#[tokio::test(flavor = "multi_thread")]
async fn best_effort_uses_what_there_is_and_exactly_that() {
    let world = World::start().await;
    let other = world.replica().await;
    let tenant = world.limited(1_000).await;
    let calls = at_once(&[&*world, &other], 32, |_, replica| {
        let mut quotas = replica.quotas(&world.program(tenant));
        async move {
            let mut used = 0;
            loop {
                let some = decided(&mut quotas, in_mode("best_effort", 7)).await;
                match some.unwrap().amount {
                    0 => return used,
                    amount => used += amount,
                }
            }
        }
    });
    let used: i64 = calls.await.into_iter().sum();
    assert_eq!(used, 1_000);
    assert_eq!(crate::exactness::used(&world, tenant).await, 1_000);
    // Sent again it is what it was, though there is more by now.
    let id = ConsumeQuotaRequest {
        request_id: "rest".to_owned(),
        ..in_mode("best_effort", 7)
    };
    let claims = world.program(tenant);
    let (mut here, mut there) = (world.quotas(&claims), other.quotas(&claims));
    let first = decided(&mut here, id.clone()).await.unwrap();
    assert_eq!((first.amount, first.remaining), (0, Some(0)));
    world.set(tenant, "api_calls", 1_005, "day").await;
    assert_eq!(decided(&mut there, id).await.unwrap(), first);
    let rest = consume(&world, &world, tenant, in_mode("best_effort", 7)).await;
    assert_eq!(rest.unwrap().amount, 5);
}

#[tokio::test]
async fn check_only_answers_and_counts_nothing() {
    let world = World::start().await;
    let tenant = world.limited(10).await;
    world.consume(tenant, 4).await.unwrap();
    let mut several = of(&[("api_calls", 6), ("users", 6)]);
    several.mode = "check_only".to_owned();
    let no = consume(&world, &world, tenant, several).await.unwrap();
    assert!(!no.allowed);
    let yes = consume(&world, &world, tenant, in_mode("check_only", 6)).await;
    let yes = yes.unwrap();
    assert!(yes.allowed);
    assert_eq!((yes.usage, yes.remaining), (4, Some(6)));
    assert_eq!(crate::exactness::used(&world, tenant).await, 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_happened_counts_beyond_the_limit_and_then_nothing_else_does() {
    let world = World::start().await;
    let other = world.replica().await;
    let tenant = world.limited(10_000).await;
    let mut rates = other.rates();
    let mut quotas = other.quotas(&world.program(tenant));
    // Both ways of spending have something granted.
    world.consume(tenant, 1).await.unwrap();
    rates.should_rate_limit(one_of(tenant)).await.unwrap();
    let done = consume(&world, &world, tenant, in_mode("adjust_only", 20_000)).await;
    let done = done.unwrap();
    assert_eq!((done.amount, done.remaining), (20_000, Some(0)));
    assert!(done.usage >= 20_001);
    let passed = rates.should_rate_limit(one_of(tenant)).await.unwrap();
    assert_eq!(
        passed.get_ref().overall_code,
        i32::from(Code::OverLimit),
        "{passed:?}"
    );
    let refused = decided(&mut quotas, using("api_calls", 1)).await;
    assert_eq!(refused, Err(Reason::QuotaExceeded));
    // Without Redis being asked about what is counted in the ledger alone.
    let facts = consume(
        &world,
        &world,
        tenant,
        ConsumeQuotaRequest {
            mode: "adjust_only".to_owned(),
            ..using("users", 9)
        },
    );
    assert_eq!(facts.await.unwrap().usage, 9);
    let refused = decided(&mut quotas, using("users", 1)).await;
    assert_eq!(refused, Err(Reason::QuotaExceeded));
}

#[tokio::test]
async fn each_use_of_a_batch_is_decided_by_itself_and_counts_once() {
    let world = World::start().await;
    let other = world.replica().await;
    let tenant = world.limited(10).await;
    let own = ConsumeQuotaRequest {
        request_id: "own".to_owned(),
        ..using("api_calls", 2)
    };
    let uses = vec![
        using("api_calls", 4),
        own,
        using("api_calls", 100),
        using("nothing", 1),
        of(&[("alerts", 1), ("api_calls", 1)]),
    ];
    let batch = BatchConsumeQuotaRequest {
        uses,
        request_id: "batch".to_owned(),
        ..Default::default()
    };
    let claims = world.program(tenant);
    let mut decisions = Vec::new();
    for replica in [&*world, &other] {
        let mut quotas = replica.quotas(&claims);
        let results = quotas.batch_consume_quota(batch.clone()).await.unwrap();
        let results = results.into_inner().results;
        let reasons: Vec<_> = results.iter().map(|one| one.reason.as_str()).collect();
        assert_eq!(
            reasons,
            ["", "", "QUOTA_EXCEEDED", "INVALID_ARGUMENT", ""],
            "{results:?}"
        );
        assert_eq!(results[1].request_id, "own");
        assert!(results[2].message.contains("api_calls"));
        let decided = results.into_iter().filter_map(|one| one.decision);
        decisions.push(decided.collect::<Vec<_>>());
    }
    assert_eq!(decisions[0], decisions[1]);
    assert_eq!(decisions[0].iter().map(|one| one.amount).sum::<i64>(), 7);
    assert_eq!(usage(&world, tenant, "api_calls").await, 7);
    let mut quotas = world.quotas(&world.program(tenant));
    let foreign = ConsumeQuotaRequest {
        tenant: world.tenant().to_string(),
        ..using("api_calls", 1)
    };
    for uses in [
        Vec::new(),
        vec![using("api_calls", 0); 1_001],
        vec![foreign],
    ] {
        let batch = BatchConsumeQuotaRequest {
            uses,
            ..Default::default()
        };
        let refused = quotas.batch_consume_quota(batch).await.unwrap_err();
        assert_eq!(reason(&refused), Reason::InvalidArgument);
    }
}
