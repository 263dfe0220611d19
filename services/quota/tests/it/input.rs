//! Bad input: each gets an error that says what to do, and nothing is counted.

use tenantry_core::Reason;
use tenantry_proto::quota::v1::{CheckQuotaRequest, ConsumeQuotaRequest, OverrideLimitRequest};
use tenantry_rpc::convert::timestamp;
use tenantry_testkit::caller::operator;
use tonic_types::StatusExt as _;

use crate::support::{World, reason, to, using};

const MOST: i64 = (1 << 53) - 1;

/// The fields that a refusal names.
#[track_caller]
fn fields(status: &tonic::Status) -> Vec<String> {
    let refusal = tenantry_rpc::status::refusal(status).unwrap();
    assert_eq!(refusal.reason, Reason::InvalidArgument, "{status:?}");
    refusal
        .violations
        .into_iter()
        .map(|wrong| wrong.field)
        .collect()
}

#[tokio::test]
async fn uses_that_cannot_be_are_refused_and_count_nothing() {
    let world = World::start().await;
    let tenant = world.tenant();
    let mut quotas = world.quotas(&world.program(tenant));
    let described = |description: String| ConsumeQuotaRequest {
        description,
        ..using("api_calls", 1)
    };
    let cases: Vec<(ConsumeQuotaRequest, &[&str])> = vec![
        (using("api_calls", -1), &["amount"]),
        (using("api_calls", i64::MIN), &["amount"]),
        (using("api_calls", MOST + 1), &["amount"]),
        (using("api_calls", i64::MAX), &["amount"]),
        (using("", 1), &["resource_type"]),
        (using("API calls", -5), &["resource_type", "amount"]),
        (using(&"x".repeat(64), 1), &["resource_type"]),
        (using("no_such_thing", 1), &["resource_type"]),
        (described("x".repeat(501)), &["description"]),
        (described("a\0b".to_owned()), &["description"]),
        (
            ConsumeQuotaRequest {
                request_id: "a b".to_owned(),
                ..using("api_calls", 1)
            },
            &["request_id"],
        ),
        (
            ConsumeQuotaRequest {
                request_id: "x".repeat(129),
                ..using("api_calls", 1)
            },
            &["request_id"],
        ),
    ];
    for (request, expected) in cases {
        let refused = quotas.consume_quota(request.clone()).await.unwrap_err();
        assert_eq!(fields(&refused), expected, "{request:?}");
        let asked = CheckQuotaRequest {
            resource_type: request.resource_type.clone(),
            amount: request.amount,
            ..Default::default()
        };
        if !expected.contains(&"description") && !expected.contains(&"request_id") {
            let refused = quotas.check_quota(asked).await.unwrap_err();
            assert_eq!(fields(&refused), expected, "{request:?}");
        }
    }
    // The largest amount is one, and is too much here.
    let refused = quotas
        .consume_quota(using("api_calls", MOST))
        .await
        .unwrap_err();
    assert_eq!(reason(&refused), Reason::QuotaExceeded);
    let rows: i64 = sqlx::query_scalar(
        "SELECT (SELECT count(*) FROM usage_log) + (SELECT coalesce(sum(settled + committed), 0) FROM accounts)::bigint",
    )
    .fetch_one(&mut world.owner().await)
    .await
    .unwrap();
    assert_eq!(rows, 0);
}

#[tokio::test]
async fn amounts_up_to_the_largest_are_counted_exactly() {
    let world = World::start().await;
    for period in ["hour", "never"] {
        let tenant = world.limited(0).await;
        world.set(tenant, "api_calls", MOST, period).await;
        world.consume(tenant, MOST - 2).await.unwrap();
        assert_eq!(
            reason(&world.consume(tenant, 3).await.unwrap_err()),
            Reason::QuotaExceeded
        );
        let last = world.consume(tenant, 2).await.unwrap();
        assert_eq!((last.usage, last.remaining), (MOST, Some(0)), "{period}");
        let none = world.consume(tenant, 0).await.unwrap();
        assert_eq!(none.usage, MOST);
        assert_eq!(
            reason(&world.consume(tenant, MOST).await.unwrap_err()),
            Reason::QuotaExceeded
        );
    }
    // Without a limit, up to what a row holds.
    let free = world.registry.add("free", "free_of_limits", None);
    let mut usage = 0_i64;
    loop {
        match world.consume(free, MOST).await {
            Ok(answer) => usage = answer.usage,
            Err(refused) => {
                assert_eq!(reason(&refused), Reason::QuotaExceeded);
                break;
            }
        }
        if usage > 10 * MOST {
            break;
        }
    }
    assert_eq!(usage, 11 * MOST);
}

#[tokio::test]
async fn keys_and_descriptions_of_any_text_are_counted_once() {
    let world = World::start().await;
    let tenant = world.tenant();
    let mut quotas = world.quotas(&world.program(tenant));
    for (n, id) in [
        "'; DROP TABLE usage_log; --",
        "{}:{}",
        "\u{7f}",
        "ä",
        "%00",
        "\\x00",
        "🦀",
    ]
    .iter()
    .enumerate()
    {
        let request = ConsumeQuotaRequest {
            description: (*id).to_owned(),
            request_id: format!("id-{n}"),
            ..using("api_calls", 1)
        };
        let first = quotas
            .consume_quota(request.clone())
            .await
            .unwrap()
            .into_inner();
        assert_eq!(
            quotas.consume_quota(request).await.unwrap().into_inner(),
            first,
            "{id}"
        );
        let as_id = ConsumeQuotaRequest {
            request_id: id.replace(' ', ""),
            ..using("api_calls", 1)
        };
        let answers = [
            quotas.consume_quota(as_id.clone()).await,
            quotas.consume_quota(as_id).await,
        ];
        if id
            .bytes()
            .all(|byte| byte.is_ascii_graphic() || byte == b' ')
        {
            let [one, two] = answers.map(|answer| answer.unwrap().into_inner());
            assert_eq!(one, two, "{id}");
        } else {
            let [one, _] = answers.map(Result::unwrap_err);
            assert_eq!(fields(&one), ["request_id"], "{id}");
        }
    }
}

#[tokio::test]
async fn limits_that_cannot_be_are_refused() {
    let world = World::start().await;
    let tenant = world.tenant();
    let mut limits = world.limits(&operator());
    let with = |change: fn(&mut OverrideLimitRequest)| {
        let mut request = to(tenant, "api_calls", 10);
        change(&mut request);
        request
    };
    let past = timestamp(tenantry_core::clock::now() - std::time::Duration::from_secs(1));
    let mut ended = with(|_| {});
    ended.expires_at = Some(past);
    let cases: Vec<(OverrideLimitRequest, &[&str])> = vec![
        (with(|request| request.limit = None), &["limit"]),
        (with(|request| request.limit = Some(-1)), &["limit"]),
        (with(|request| request.limit = Some(i64::MAX)), &["limit"]),
        (
            with(|request| request.reset_period = "week".to_owned()),
            &["reset_period"],
        ),
        (
            with(|request| request.reason = "  ".to_owned()),
            &["reason"],
        ),
        (
            with(|request| request.reason = "x".repeat(501)),
            &["reason"],
        ),
        (
            with(|request| request.reason = "a\0".to_owned()),
            &["reason"],
        ),
        (
            with(|request| request.resource_type = "A".to_owned()),
            &["resource_type"],
        ),
        (
            with(|request| request.resource_type = "gpu_seconds".to_owned()),
            &["reset_period"],
        ),
        (
            with(|request| {
                request.expires_at = Some(prost_types::Timestamp {
                    seconds: i64::MAX,
                    nanos: 0,
                });
            }),
            &["expires_at"],
        ),
        (ended, &["expires_at"]),
    ];
    for (request, expected) in cases {
        let refused = limits.override_limit(request.clone()).await.unwrap_err();
        assert_eq!(fields(&refused), expected, "{request:?}");
    }
    // A new resource type begins with an override that says its period.
    let mut new = to(tenant, "gpu_seconds", 10);
    new.reset_period = "day".to_owned();
    world.set_by(new).await.unwrap();
    let mut quotas = world.quotas(&world.program(tenant));
    let used = quotas
        .consume_quota(using("gpu_seconds", 3))
        .await
        .unwrap()
        .into_inner();
    assert_eq!((used.limit, used.remaining), (Some(10), Some(7)));
}

#[tokio::test]
async fn a_refusal_says_which_limit_how_much_is_left_and_when_it_begins_anew() {
    let world = World::start().await;
    let tenant = world.limited(5).await;
    world.consume(tenant, 3).await.unwrap();
    let refused = world.consume(tenant, 4).await.unwrap_err();
    let refusal = tenantry_rpc::status::refusal(&refused).unwrap();
    assert_eq!(refusal.reason, Reason::QuotaExceeded);
    let details = refused.get_error_details();
    let facts = &details.error_info().unwrap().metadata;
    let fact = |name: &str| facts.get(name).map(String::as_str);
    assert_eq!(fact("resource_type"), Some("api_calls"));
    assert_eq!(
        (fact("limit"), fact("usage"), fact("remaining")),
        (Some("5"), Some("3"), Some("2"))
    );
    assert_eq!(fact("limit_tenant_id"), Some(tenant.to_string().as_str()));
    let reset_at: jiff::Timestamp = fact("reset_at").unwrap().parse().unwrap();
    let left = reset_at.duration_since(tenantry_core::clock::now());
    assert!(left.is_positive() && left <= jiff::SignedDuration::from_hours(24));
    assert!(refused.metadata().get("retry-after").is_some());
    assert!(refusal.retry_after_ms.is_some_and(|ms| ms <= 86_400_000));
    // To check is a question: it is answered, and counts nothing.
    let mut quotas = world.quotas(&world.program(tenant));
    for _ in 0..3 {
        for (amount, allowed) in [(2, true), (3, false)] {
            let request = CheckQuotaRequest {
                resource_type: "api_calls".to_owned(),
                amount: Some(amount),
                ..Default::default()
            };
            let answer = quotas.check_quota(request).await.unwrap().into_inner();
            assert_eq!(
                (answer.allowed, answer.usage, answer.remaining),
                (allowed, 3, Some(2))
            );
        }
    }
}
