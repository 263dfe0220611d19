//! How limits are kept: what is admitted beyond them, how fast they are used up, and what holds while they can't be looked at.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use redis::AsyncCommands as _;
use tenantry_core::{Permission, Reason, TenantId};
use tenantry_proto::envoy::service::ratelimit::v3::RateLimitResponse;
use tenantry_proto::envoy::service::ratelimit::v3::rate_limit_response::Code;
use tenantry_proto::quota::v1::{
    LimitPolicy, ListQuotasRequest, OverrideLimitRequest, Quota, UseRate,
};
use tenantry_testkit::caller::member;
use tenantry_testkit::redis::Redis;
use tenantry_testkit::unit::Signal;
use tonic_types::StatusExt as _;

use crate::alerts::told;
use crate::leases_lost::counter;
use crate::rates::{ask, headers, one_of, use_up};
use crate::several::in_mode;
use crate::support::{Rates, World, at_once, decided, reason, to, using};

fn soft(overage: Option<i64>) -> LimitPolicy {
    LimitPolicy {
        enforcement: "soft".to_owned(),
        overage,
        ..Default::default()
    }
}

fn failing(on_failure: &str) -> LimitPolicy {
    LimitPolicy {
        on_failure: on_failure.to_owned(),
        ..Default::default()
    }
}

fn rated(amount: i64, per: &str, burst: i64) -> LimitPolicy {
    LimitPolicy {
        rate: Some(UseRate {
            amount,
            per: per.to_owned(),
            burst: Some(burst),
        }),
        ..Default::default()
    }
}

fn request(
    tenant: TenantId,
    (resource_type, limit, period): (&str, i64, &str),
    policy: LimitPolicy,
) -> OverrideLimitRequest {
    OverrideLimitRequest {
        reset_period: period.to_owned(),
        policy: Some(policy),
        ..to(tenant, resource_type, limit)
    }
}

/// A tenant with this limit on `api_calls` in the day, kept so.
async fn kept(world: &World, limit: i64, policy: LimitPolicy) -> TenantId {
    let tenant = world.tenant();
    let limit = ("api_calls", limit, "day");
    world.set_by(request(tenant, limit, policy)).await.unwrap();
    tenant
}

async fn quota(world: &World, tenant: TenantId, resource_type: &str) -> Quota {
    let mut limits = world.limits(&world.program(tenant));
    let listed = limits.list_quotas(ListQuotasRequest::default()).await;
    let mut quotas = listed.unwrap().into_inner().quotas.into_iter();
    quotas
        .find(|quota| quota.resource_type == resource_type)
        .unwrap()
}

fn is_admitted(answer: &RateLimitResponse) -> bool {
    answer.overall_code == i32::from(Code::Ok)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_soft_limit_admits_exactly_its_overage_and_tells_of_it_once() {
    let world = World::start().await;
    let other = world.replica().await;
    for (limit, overage) in [(100, 30), (10, 0), (0, 5), (10_000, 1_500)] {
        let tenant = kept(&world, limit, soft(Some(overage))).await;
        let admitted = use_up(&[&*world, &other], &[tenant], 32).await;
        println!("{limit} and {overage} beyond: {admitted:?}");
        assert_eq!(admitted.iter().sum::<i64>(), limit + overage);
        let quota = quota(&world, tenant, "api_calls").await;
        assert_eq!(quota.overage, overage);
        assert_eq!((quota.usage, quota.remaining), (limit + overage, Some(0)));
        let told = told(&world, tenant, "api_calls").await;
        assert_eq!(told.get("refused"), Some(&1));
        let whole = (limit > 0 && overage > 0).then_some(&1);
        assert_eq!(told.get("100_percent"), whole, "{limit} {overage}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn uses_of_a_soft_limit_are_as_many_too_and_say_how_much_is_beyond() {
    let world = World::start().await;
    let other = world.replica().await;
    let tenant = kept(&world, 50, soft(Some(25))).await;
    let devices = ("devices", 3, "never");
    let devices = request(tenant, devices, soft(Some(2)));
    world.set_by(devices).await.unwrap();
    for (resource_type, limit, most) in [("api_calls", 50, 75), ("devices", 3, 5)] {
        let calls = at_once(&[&*world, &other], 16, |_, replica| {
            let mut quotas = replica.quotas(&world.program(tenant));
            async move {
                let mut used = Vec::new();
                loop {
                    match decided(&mut quotas, using(resource_type, 1)).await {
                        Ok(decision) => used.push(decision),
                        Err(Reason::QuotaExceeded) => return used,
                        Err(other) => panic!("{other:?}"),
                    }
                }
            }
        });
        let used: Vec<_> = calls.await.into_iter().flatten().collect();
        assert_eq!(used.len(), usize::try_from(most).unwrap());
        for decision in &used {
            assert!(decision.allowed);
            assert_eq!(decision.limit, Some(limit));
            assert_eq!(decision.overage, (decision.usage - limit).max(0));
        }
        let told = told(&world, tenant, resource_type).await;
        assert_eq!(told.get("100_percent"), Some(&1), "{told:?}");
    }
    let mut quotas = world.quotas(&world.program(tenant));
    let refused = quotas.consume_quota(using("api_calls", 1)).await;
    let refused = refused.unwrap_err();
    assert!(
        refused.message().contains("the 25 beyond it"),
        "{}",
        refused.message()
    );
    // What is cut off admits nothing more, and what is raised admits the rest.
    let hard = request(tenant, ("api_calls", 50, "day"), LimitPolicy::default());
    let below = world.set_by(hard.clone()).await.unwrap_err();
    assert_eq!(reason(&below), Reason::LimitBelowUsage);
    let forced = OverrideLimitRequest {
        force: true,
        ..hard
    };
    world.set_by(forced).await.unwrap();
    let refused = decided(&mut quotas, using("api_calls", 1)).await;
    assert_eq!(refused.unwrap_err(), Reason::QuotaExceeded);
    let raised = request(tenant, ("api_calls", 50, "day"), soft(Some(27)));
    let raised = OverrideLimitRequest {
        force: true,
        ..raised
    };
    world.set_by(raised).await.unwrap();
    let rest = decided(&mut quotas, in_mode("best_effort", 9)).await;
    assert_eq!(rest.unwrap().amount, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shadowed_limit_refuses_nothing_and_tells_that_it_would() {
    let world = World::start().await;
    let shadow = LimitPolicy {
        enforcement: "shadow".to_owned(),
        ..rated(1, "hour", 1)
    };
    let tenant = kept(&world, 20, shadow).await;
    let mut rates = world.rates();
    let mut quotas = world.quotas(&world.program(tenant));
    for n in 1..=40 {
        let answer = ask(&mut rates, one_of(tenant)).await;
        assert!(is_admitted(&answer), "{n}");
        let remaining = headers(&answer)["x-ratelimit-remaining"].to_owned();
        assert_eq!(remaining, (20 - n).max(0).to_string());
    }
    let decision = decided(&mut quotas, using("api_calls", 1_000)).await;
    assert_eq!(decision.unwrap().overage, 1_020);
    let told = told(&world, tenant, "api_calls").await;
    let names: Vec<_> = told.keys().map(String::as_str).collect();
    assert_eq!(names, ["100_percent", "80_percent", "95_percent"]);
    let quota = quota(&world, tenant, "api_calls").await;
    assert_eq!(quota.policy.unwrap().enforcement, "shadow");
    assert_eq!(quota.overage, 1_020);
}

#[tokio::test]
async fn only_operators_have_a_limit_kept_less_strictly_than_the_plan_says() {
    let world = World::start().await;
    let tenant = world.tenant();
    let mut limits = world.limits(&member(tenant, &[Permission::TenantsManage]));
    let month = ("api_calls", 1_000, "month");
    for lax in [
        soft(None),
        soft(Some(1)),
        failing("open"),
        LimitPolicy {
            enforcement: "shadow".to_owned(),
            ..Default::default()
        },
    ] {
        let refused = limits.override_limit(request(tenant, month, lax)).await;
        assert_eq!(reason(&refused.unwrap_err()), Reason::PermissionDenied);
    }
    let strict = LimitPolicy {
        on_failure: "closed".to_owned(),
        ..rated(10, "second", 20)
    };
    let set = limits.override_limit(request(tenant, month, strict)).await;
    let policy = set.unwrap().into_inner().policy.unwrap();
    assert_eq!(policy.on_failure, "closed");
    assert_eq!(policy.rate.unwrap().burst, Some(20));
    // Where nothing is said it is kept as the plan says.
    let plain = OverrideLimitRequest {
        reset_period: "month".to_owned(),
        ..to(tenant, "api_calls", 900)
    };
    let set = limits.override_limit(plain).await.unwrap().into_inner();
    assert_eq!(set.policy, None);
}

#[tokio::test]
async fn what_is_wrong_with_a_policy_names_its_field() {
    let world = World::start().await;
    let tenant = world.tenant();
    let of = |policy| request(tenant, ("api_calls", 10, "day"), policy);
    let gauge = |policy| request(tenant, ("devices", 10, "never"), policy);
    let firm = LimitPolicy {
        enforcement: "firm".to_owned(),
        ..Default::default()
    };
    let hard = LimitPolicy {
        overage: Some(5),
        ..Default::default()
    };
    for (request, field) in [
        (of(firm), "policy.enforcement"),
        (of(hard), "policy.overage"),
        (of(soft(Some(-1))), "policy.overage"),
        (of(soft(Some(i64::MAX))), "policy.overage"),
        (of(failing("explode")), "policy.on_failure"),
        (of(rated(0, "second", 1)), "policy.rate.amount"),
        (of(rated(1, "second", 0)), "policy.rate.burst"),
        (of(rated(1, "fortnight", 1)), "policy.rate.per"),
        (gauge(rated(1, "second", 1)), "policy.rate"),
    ] {
        let refused = world.set_by(request).await.unwrap_err();
        let details = refused.get_error_details();
        let violations = &details.bad_request().unwrap().field_violations;
        let fields: Vec<_> = violations.iter().map(|of| of.field.as_str()).collect();
        assert_eq!(fields, [field]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_is_used_up_no_faster_than_its_rate_by_however_many_callers() {
    const BURST: i64 = 40;
    const PER_SECOND: i64 = 20;
    let world = World::start().await;
    let other = world.replica().await;
    let tenant = kept(&world, 100_000, rated(PER_SECOND, "second", BURST)).await;
    let began = Instant::now();
    let calls = at_once(&[&*world, &other], 16, |caller, replica| {
        let mut rates = replica.rates();
        let mut quotas = replica.quotas(&world.program(tenant));
        async move {
            let mut admitted = 0;
            while began.elapsed() < Duration::from_secs(2) {
                let done = if caller % 4 == 0 {
                    decided(&mut quotas, using("api_calls", 1)).await.is_ok()
                } else {
                    is_admitted(&ask(&mut rates, one_of(tenant)).await)
                };
                admitted += i64::from(done);
            }
            admitted
        }
    });
    let admitted: i64 = calls.await.into_iter().sum();
    let most = BURST + (began.elapsed().as_secs_f64() * PER_SECOND as f64).ceil() as i64;
    println!("{admitted} admitted of {most} at most");
    assert!(
        (BURST + PER_SECOND..=most).contains(&admitted),
        "{admitted} of {most}"
    );
    assert_eq!(quota(&world, tenant, "api_calls").await.usage, admitted);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_too_fast_is_told_how_long_to_wait_and_then_admitted() {
    let world = World::start().await;
    let tenant = kept(&world, 100_000, rated(2, "second", 3)).await;
    let mut rates = world.rates();
    for _ in 0..3 {
        assert!(is_admitted(&ask(&mut rates, one_of(tenant)).await));
    }
    let refused = ask(&mut rates, one_of(tenant)).await;
    assert!(!is_admitted(&refused));
    let told = headers(&refused);
    assert_eq!(told["ratelimit-policy"], "\"api_calls_rate\";q=2;w=1");
    assert_eq!(told["ratelimit"], "\"api_calls_rate\";r=0;t=1");
    assert_eq!(told["retry-after"], "1");
    let mut quotas = world.quotas(&world.program(tenant));
    let never = quotas.consume_quota(using("api_calls", 4)).await;
    let never = never.unwrap_err();
    assert_eq!(reason(&never), Reason::QuotaExceeded);
    assert!(never.message().contains("never admitted"), "{never}");
    assert!(never.get_error_details().retry_info().is_none());
    let early = quotas.consume_quota(using("api_calls", 3)).await;
    let details = early.unwrap_err().get_error_details();
    let metadata = &details.error_info().unwrap().metadata;
    assert_eq!(metadata["rate"], "2/second");
    let wait = details.retry_info().unwrap().retry_delay.unwrap();
    assert!(wait <= Duration::from_millis(1_500), "{wait:?}");
    tokio::time::sleep(wait).await;
    let decision = decided(&mut quotas, using("api_calls", 3)).await;
    // A refusal counts nothing.
    assert_eq!(decision.unwrap().usage, 6);
    // Another limit doesn't fill the burst again.
    let raised = request(tenant, ("api_calls", 200_000, "day"), rated(2, "second", 3));
    world.set_by(raised).await.unwrap();
    let refused = decided(&mut quotas, using("api_calls", 3)).await;
    assert_eq!(refused.unwrap_err(), Reason::QuotaExceeded);
}

/// Most requests of one tenant that a test has asked about while Redis doesn't answer, and that count once it does.
const UNANSWERED: i64 = 4;

/// The names of the leases that are out.
async fn leases(redis: &Redis, tenant: TenantId) -> BTreeSet<String> {
    let counter = counter(redis, tenant).await;
    let mut connection = redis.connect().await.unwrap();
    let fields: Vec<String> = connection.hkeys(counter).await.unwrap();
    let leases = fields.into_iter().filter(|name| name.starts_with("l:"));
    leases.collect()
}

/// How many requests are admitted until one isn't, at most so many.
async fn admitted(rates: &mut Rates, tenant: TenantId, most: i64) -> i64 {
    let mut admitted = 0;
    while admitted < most && is_admitted(&ask(rates, one_of(tenant)).await) {
        admitted += 1;
    }
    admitted
}

#[tokio::test(flavor = "multi_thread")]
async fn while_redis_does_not_answer_each_limit_holds_its_policy() {
    let world = World::start().await;
    let limit = 20_000;
    let mut tenants = Vec::new();
    for policy in ["open", "closed", "gateway", "lease"] {
        tenants.push(kept(&world, limit, failing(policy)).await);
    }
    let mut rates = world.rates();
    let mut passed = Vec::new();
    for tenant in &tenants {
        passed.push(admitted(&mut rates, *tenant, 100).await);
    }
    let [open, closed, gateway, lease] = tenants[..] else {
        unreachable!()
    };
    // Until the next lease is taken, of which little is used.
    let redis = world.redis.redis();
    let before = leases(redis, lease).await;
    while leases(redis, lease).await.is_subset(&before) {
        passed[3] += admitted(&mut rates, lease, 1).await;
    }
    let unit = redis.unit();
    unit.signal(Signal::SIGSTOP);
    // What is leased for a moment is given up meanwhile, if it can be.
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(admitted(&mut rates, open, 3).await, 3);
    let refused = ask(&mut rates, one_of(closed)).await;
    assert!(!is_admitted(&refused));
    assert_eq!(headers(&refused)["retry-after"], "1");
    let body = String::from_utf8(refused.raw_body).unwrap();
    assert!(body.contains("can't be looked at now"), "{body}");
    let unanswered = rates.should_rate_limit(one_of(gateway)).await;
    assert_eq!(reason(&unanswered.unwrap_err()), Reason::Unavailable);
    let leased = admitted(&mut rates, lease, limit).await;
    println!("{leased} admitted by what was leased");
    assert!((1..=limit / 100).contains(&leased), "{leased}");
    unit.signal(Signal::SIGCONT);
    // What was leased was spent before: the limit holds. What nobody was answered about is perhaps used.
    let rest = use_up(&[&*world], &[lease], 16).await[0];
    let sum = passed[3] + leased + rest;
    println!("{sum} of {limit} in all");
    assert!((limit - UNANSWERED..=limit).contains(&sum), "{sum}");
}
