//! Limits through the gateway: exact over all replicas, at once where they change, and each right by itself.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, Result};
use futures::future::try_join_all;
use reqwest::Method;
use serde_json::{Value, json};
use tenantry_testkit::fleet::Fleet;
use tenantry_testkit::rest::{Answer, Rest};
use tenantry_testkit::wait::until;

use crate::support::served::{served, shared};
use crate::support::world::{Party, text};
use crate::support::{fleet, unique};

const AT_ONCE: usize = 64;
/// Longest time until every replica knows of a limit that was raised.
const KNOWN_WITHIN: Duration = Duration::from_secs(1);

/// Uses one of a resource type.
async fn one(rest: &Rest, tenant: &str, resource_type: &str) -> Result<Answer> {
    let path = format!("/api/v1/tenants/{tenant}/usage/increment");
    rest.post(&path, json!({"resource_type": resource_type}))
        .await
}

async fn set(rest: &Rest, tenant: &str, resource_type: &str, limit: i64) -> Result<Answer> {
    let body = json!({"resource_type": resource_type, "limit": limit, "reason": "Agreed"});
    let path = format!("/api/v1/tenants/{tenant}/limits");
    rest.patch(&path, body).await
}

/// A limit as the list has it.
async fn quota(rest: &Rest, tenant: &str, resource_type: &str) -> Result<Value> {
    let path = format!("/api/v1/tenants/{tenant}/quotas");
    let quotas = rest.get(&path).await?.ok()?;
    let quotas = quotas["quotas"].as_array().cloned().unwrap_or_default();
    let quota = quotas
        .into_iter()
        .find(|quota| quota["resource_type"] == resource_type);
    quota.context("a limit of the list")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tenant_that_is_read_shows_what_it_uses_and_may_use() -> Result<()> {
    let fleet = fleet().await?;
    let operator = fleet.operator_rest()?;
    let slug = unique("figures");
    let body = json!({"name": "Figures", "slug": slug, "subscription_tier": "free", "max_users": 3, "max_storage_gb": 2});
    let created = operator.post("/api/v1/tenants", body).await?.ok()?;
    let path = format!("/api/v1/tenants/{}", text(&created, "id"));
    let shown = async |expected: Value| {
        let shown = until("figures", KNOWN_WITHIN, async || {
            let shown = operator.get(&path).await?.ok()?;
            let mut expected = expected.as_object().into_iter().flatten();
            let is_shown = |(name, value): (&String, &Value)| shown.get(name) == Some(value);
            Ok(expected.all(is_shown).then_some(()))
        });
        shown.await
    };
    let numbers = json!({"max_users": 3, "max_classes": 5, "max_storage_gb": 2,
                         "current_users": 0, "current_classes": 0, "current_storage_gb": 0});
    shown(numbers).await?;
    let bytes = json!({"resource_type": "storage_bytes", "value": 1_500_000_000_i64});
    let gauge = format!("{path}/gauges/storage_bytes");
    operator.put(&gauge, bytes).await?.ok()?;
    let member = json!({"email": format!("{}@example.com", unique("user"))});
    operator
        .post(&format!("{path}/users"), member)
        .await?
        .ok()?;
    shown(json!({"current_users": 1, "current_storage_gb": 1.5})).await?;
    // Of many, nobody asks.
    let list = format!("/api/v1/tenants?filter=slug%3D%22{slug}%22");
    let listed = operator.get(&list).await?.ok()?;
    assert_eq!(listed["tenants"][0].get("current_users"), None, "{listed}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_sixty_four_uses_at_once_a_limit_admits_exactly_its_number() -> Result<()> {
    let fleet = fleet().await?;
    let (a, operator) = (Party::create(fleet).await?, fleet.operator_rest()?);
    let owner = a.rest(fleet)?;
    let before = served(fleet, "quota", "ConsumeQuota").await?;
    // A counter that is spent from, and a gauge.
    for (resource_type, limit) in [("alerts", 20), ("classes", 5)] {
        set(&operator, &a.id, resource_type, limit).await?.ok()?;
        let answers = (0..AT_ONCE).map(|_| one(&owner, &a.id, resource_type));
        let answers = try_join_all(answers).await?;
        let mut statuses: BTreeMap<u16, usize> = BTreeMap::new();
        for answer in &answers {
            *statuses.entry(answer.status).or_default() += 1;
        }
        let admitted = usize::try_from(limit)?;
        let expected = BTreeMap::from([(200, admitted), (429, AT_ONCE - admitted)]);
        assert_eq!(statuses, expected, "{resource_type}");
        for refused in answers.iter().filter(|answer| answer.status == 429) {
            assert_eq!(refused.reason(), "QUOTA_EXCEEDED", "{}", refused.text);
        }
        let quota = quota(&owner, &a.id, resource_type).await?;
        assert_eq!(
            (text(&quota, "usage"), text(&quota, "remaining")),
            (limit.to_string(), "0".to_owned()),
            "{quota}"
        );
        // One more is one more, on whichever replica it is asked for.
        set(&operator, &a.id, resource_type, limit + 1)
            .await?
            .ok()?;
        let used = async || {
            let answer = one(&owner, &a.id, resource_type).await?;
            Ok((answer.status == 200).then_some(()))
        };
        until("use of what was added", KNOWN_WITHIN, used).await?;
        assert_eq!(one(&owner, &a.id, resource_type).await?.status, 429);
        let less = set(&operator, &a.id, resource_type, 3).await?;
        assert_eq!(
            (less.status, less.reason().as_str()),
            (400, "LIMIT_BELOW_USAGE"),
            "{}",
            less.text
        );
        // What was refused ended nothing: the limit is the one before.
        assert_eq!(one(&owner, &a.id, resource_type).await?.status, 429);
        let quota = self::quota(&owner, &a.id, resource_type).await?;
        let limit = (limit + 1).to_string();
        assert_eq!(
            (text(&quota, "usage"), text(&quota, "limit")),
            (limit.clone(), limit),
            "{quota}"
        );
    }
    shared(fleet, "quota", "ConsumeQuota", &before).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_limit_that_is_refused_uses_nothing_up() -> Result<()> {
    let fleet = fleet().await?;
    let (a, operator) = (Party::create(fleet).await?, fleet.operator_rest()?);
    let owner = a.rest(fleet)?;
    // Of a small limit nothing is leased, so what is used is told exactly.
    set(&operator, &a.id, "api_calls", 500).await?.ok()?;
    let mut asked = 0;
    for _ in 0..20 {
        for _ in 0..2 {
            owner
                .get(&format!("/api/v1/tenants/{}", a.id))
                .await?
                .ok()?;
            asked += 1;
        }
        let less = set(&operator, &a.id, "api_calls", 1).await?;
        assert_eq!(less.reason(), "LIMIT_BELOW_USAGE", "{}", less.text);
    }
    let quota = quota(&operator, &a.id, "api_calls").await?;
    assert_eq!(text(&quota, "usage"), asked.to_string());
    Ok(())
}

/// A platform key with one right.
async fn platform_key(fleet: &Fleet, permission: &str) -> Result<Rest> {
    let body = json!({"name": "one right", "permissions": [permission]});
    let operator = fleet.operator_rest()?;
    let made = operator.post("/api/v1/operators/api-keys", body).await?;
    let secret = text(&made.ok()?, "secret");
    Ok(fleet.rest()?.header("x-api-key", &secret))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_manages_tenants_sets_limits_and_who_reaches_their_content_uses_them() -> Result<()> {
    let fleet = fleet().await?;
    let a = Party::create(fleet).await?;
    let manager = platform_key(fleet, "platform.tenants.manage").await?;
    let reader = platform_key(fleet, "platform.content.access").await?;
    let own = format!("/api/v1/tenants/{}", a.id);
    let denied = |answer: Answer, permission: &str| {
        assert_eq!(
            (answer.status, answer.reason().as_str()),
            (403, "PERMISSION_DENIED"),
            "{}",
            answer.text
        );
        assert!(answer.text.contains(permission), "{}", answer.text);
    };
    set(&manager, &a.id, "alerts", 1_000_000).await?.ok()?;
    let much = json!({"resource_type": "alerts"});
    let check = format!("{own}/quotas/check");
    denied(manager.get(&format!("{own}/quotas")).await?, "usage.read");
    denied(manager.post(&check, much.clone()).await?, "usage.read");
    denied(one(&manager, &a.id, "alerts").await?, "usage.record");
    denied(set(&reader, &a.id, "alerts", 5).await?, "tenants.manage");
    let reset = format!("{own}/limits/alerts");
    denied(reader.delete(&reset).await?, "tenants.manage");
    one(&reader, &a.id, "alerts").await?.ok()?;
    let allowed = reader.post(&check, much).await?.ok()?;
    assert_eq!(
        (&allowed["allowed"], text(&allowed, "limit")),
        (&json!(true), "1000000".to_owned())
    );
    let quota = quota(&reader, &a.id, "alerts").await?;
    assert_eq!(
        (text(&quota, "usage"), text(&quota, "source")),
        ("1".to_owned(), "override".to_owned())
    );
    manager.delete(&reset).await?.ok()?;

    // Those above a tenant give it less than its plan, no more, and don't change what an operator set.
    let above = a.rest(fleet)?;
    set(&above, &a.child, "alerts", 9).await?.ok()?;
    let more = set(&above, &a.child, "alerts", 101).await?;
    denied(more, "platform.tenants.manage");
    set(&manager, &a.child, "alerts", 8).await?.ok()?;
    for answer in [
        set(&above, &a.child, "alerts", 7).await?,
        above
            .delete(&format!("/api/v1/tenants/{}/limits/alerts", a.child))
            .await?,
    ] {
        denied(answer, "platform.tenants.manage");
    }
    denied(set(&above, &a.id, "alerts", 7).await?, "tenants.manage");
    Ok(())
}

/// A CloudEvent about so much, as JSON.
fn cloud_event(id: &str, amount: i64) -> Value {
    json!({"specversion": "1.0", "id": id, "source": "https://meter.example", "type": "com.example.used",
        "datacontenttype": "application/json", "data": {"resource_type": "alerts", "amount": amount}})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cloud_events_come_over_http_in_each_mode() -> Result<()> {
    let fleet = fleet().await?;
    let a = Party::create(fleet).await?;
    let (path, key) = (
        format!("/api/v1/tenants/{}/cloudevents", a.id),
        a.key_rest(fleet)?,
    );
    let post = async |kind: &str, body: String, headers: &[(&str, &str)]| -> Result<Value> {
        let mut rest = key.clone().header("content-type", kind);
        for (name, value) in headers {
            rest = rest.header(name, value);
        }
        rest.send(Method::POST, &path, Some(body)).await?.ok()
    };
    let structured = "application/cloudevents+json";
    for (recorded, repeated) in [(1, 0), (0, 1)] {
        let answer = post(structured, cloud_event("one", 3).to_string(), &[]).await?;
        assert_eq!(
            (&answer["recorded"], &answer["repeated"]),
            (&json!(recorded), &json!(repeated)),
            "{answer}"
        );
    }
    let batch = json!([
        cloud_event("one", 3),
        cloud_event("two", 4),
        cloud_event("bad", -1)
    ]);
    let batch = post("application/cloudevents-batch+json", batch.to_string(), &[]).await?;
    assert_eq!(
        (&batch["recorded"], &batch["repeated"]),
        (&json!(1), &json!(1))
    );
    assert_eq!(batch["refused"][0]["id"], "bad");
    let binary = json!({"resource_type": "alerts", "amount": 5}).to_string();
    let headers = [
        ("ce-specversion", "1.0"),
        ("ce-id", "three"),
        ("ce-source", "https://meter.example"),
        ("ce-type", "com.example.used"),
    ];
    let binary = post("application/json", binary, &headers).await?;
    assert_eq!(binary["recorded"], 1);
    let quota = quota(&a.rest(fleet)?, &a.id, "alerts").await?;
    assert_eq!(text(&quota, "usage"), "12");
    Ok(())
}
