//! Once means once, through the gateway and over two replicas: request ids, slugs, secrets, etags.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result};
use futures::future::try_join_all;
use reqwest::Method;
use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection};
use tenantry_testkit::fleet::Fleet;
use tenantry_testkit::rest::{Answer, Rest};

use crate::support::served::{served, shared};
use crate::support::world::{Party, text};
use crate::support::{fleet, unique};

const AT_ONCE: usize = 64;

fn statuses(answers: &[Answer]) -> BTreeMap<u16, usize> {
    let mut counts = BTreeMap::new();
    for answer in answers {
        *counts.entry(answer.status).or_default() += 1;
    }
    counts
}

async fn count(fleet: &Fleet, sql: &'static str, value: &str) -> Result<i64> {
    let mut connection = PgConnection::connect(fleet.superuser_url().as_str()).await?;
    Ok(sqlx::query_scalar(sql)
        .bind(value)
        .fetch_one(&mut connection)
        .await?)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixty_four_creates_with_one_request_id_make_one_tenant_and_equal_answers() -> Result<()> {
    let fleet = fleet().await?;
    let operator = fleet.operator_rest()?;
    let before = served(fleet, "registry", "CreateTenant").await?;
    let (name, request_id) = (unique("Once"), unique("request"));
    let body = json!({"name": name, "request_id": request_id});
    let answers =
        try_join_all((0..AT_ONCE).map(|_| operator.post("/api/v1/tenants", body.clone()))).await?;
    assert_eq!(statuses(&answers), BTreeMap::from([(200, AT_ONCE)]));
    let bodies: BTreeSet<&str> = answers.iter().map(|answer| answer.text.as_str()).collect();
    assert_eq!(bodies.len(), 1, "all answers are equal");
    assert_eq!(
        count(
            fleet,
            "SELECT count(*) FROM registry.tenants WHERE name = $1",
            &name
        )
        .await?,
        1
    );
    let id = text(&answers[0].json(), "id");
    assert_eq!(
        count(
            fleet,
            "SELECT count(*) FROM registry.outbox WHERE tenant_id = $1::uuid",
            &id
        )
        .await?,
        1
    );
    shared(fleet, "registry", "CreateTenant", &before).await?;

    let other = operator
        .post(
            "/api/v1/tenants",
            json!({"name": "Another", "request_id": request_id}),
        )
        .await?;
    assert_eq!(
        (other.status, other.reason().as_str()),
        (400, "REQUEST_ID_REUSED")
    );
    let by_header = operator
        .clone()
        .header("idempotency-key", &request_id)
        .post("/api/v1/tenants", json!({"name": name}))
        .await?;
    assert_eq!(by_header.text, answers[0].text, "the header is the same id");
    let both = operator
        .header("idempotency-key", "something-else")
        .post("/api/v1/tenants", body)
        .await?;
    assert_eq!(
        (both.status, both.reason().as_str()),
        (400, "REQUEST_ID_CONFLICT")
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixty_four_creates_of_one_slug_make_one_tenant() -> Result<()> {
    let fleet = fleet().await?;
    let operator = fleet.operator_rest()?;
    let before = served(fleet, "registry", "CreateTenant").await?;
    let slug = unique("slug");
    let body = json!({"name": "Slug", "slug": slug});
    let answers =
        try_join_all((0..AT_ONCE).map(|_| operator.post("/api/v1/tenants", body.clone()))).await?;
    assert_eq!(
        statuses(&answers),
        BTreeMap::from([(200, 1), (409, AT_ONCE - 1)])
    );
    for answer in answers.iter().filter(|answer| answer.status == 409) {
        assert_eq!(
            (answer.reason().as_str(), answer.json()["code"].as_i64()),
            ("SLUG_TAKEN", Some(6))
        );
    }
    assert_eq!(
        count(
            fleet,
            "SELECT count(*) FROM registry.tenants WHERE slug = $1",
            &slug
        )
        .await?,
        1
    );
    shared(fleet, "registry", "CreateTenant", &before).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixty_four_equal_key_creates_give_one_key_and_one_secret_that_is_stored_nowhere()
-> Result<()> {
    let fleet = fleet().await?;
    let a = Party::create(fleet).await?;
    let path = format!("/api/v1/tenants/{}/api-keys", a.id);
    let before = served(fleet, "identity", "CreateApiKey").await?;
    let (name, request_id) = (unique("key"), unique("request"));
    let body = json!({"name": name, "request_id": request_id});
    let owner = a.rest(fleet)?;
    let answers = try_join_all((0..AT_ONCE).map(|_| owner.post(&path, body.clone()))).await?;
    assert_eq!(statuses(&answers), BTreeMap::from([(200, AT_ONCE)]));
    let secrets: BTreeSet<String> = answers
        .iter()
        .map(|answer| text(&answer.json(), "secret"))
        .collect();
    assert_eq!(secrets.len(), 1, "one secret");
    let secret = secrets.first().unwrap();
    assert!(secret.len() > 40);
    assert_eq!(
        count(
            fleet,
            "SELECT count(*) FROM identity.api_keys WHERE name = $1",
            &name
        )
        .await?,
        1
    );
    shared(fleet, "identity", "CreateApiKey", &before).await?;

    // Another principal with the same id makes a key of its own and learns nothing of the first.
    let other: Value = a.key_rest(fleet)?.post(&path, body).await?.ok()?;
    assert_ne!(text(&other, "secret"), *secret);
    assert_ne!(
        text(&other["api_key"], "id"),
        text(&answers[0].json()["api_key"], "id")
    );

    assert!(
        !dump(fleet).await?.contains(secret.as_str()),
        "the secret stands in the database"
    );
    assert_eq!(
        fleet
            .rest()?
            .header("x-api-key", secret)
            .get("/api/v1/tenants/current")
            .await?
            .status,
        200
    );
    Ok(())
}

/// What a tenant has used of a resource type, as the list of its limits has it.
async fn used(rest: &Rest, tenant: &str, resource_type: &str) -> Result<i64> {
    let path = format!("/api/v1/tenants/{tenant}/quotas");
    let quotas = rest.get(&path).await?.ok()?;
    let quotas = quotas["quotas"].as_array().cloned().unwrap_or_default();
    let mut quotas = quotas.iter();
    let quota = quotas.find(|quota| quota["resource_type"] == resource_type);
    Ok(text(quota.context("a limit of the list")?, "usage").parse()?)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixty_four_uses_with_one_request_id_count_once() -> Result<()> {
    let fleet = fleet().await?;
    let a = Party::create(fleet).await?;
    let path = format!("/api/v1/tenants/{}/usage/increment", a.id);
    let before = served(fleet, "quota", "ConsumeQuota").await?;
    let request_id = unique("use");
    // A counter that is spent from, and a gauge.
    for (resource_type, amount) in [("alerts", 7), ("devices", 2)] {
        let id = format!("{request_id}-{resource_type}");
        let body = json!({"resource_type": resource_type, "amount": amount, "request_id": id});
        let owner = a.rest(fleet)?;
        let answers = try_join_all((0..AT_ONCE).map(|_| owner.post(&path, body.clone()))).await?;
        assert_eq!(statuses(&answers), BTreeMap::from([(200, AT_ONCE)]));
        let bodies: BTreeSet<&str> = answers.iter().map(|answer| answer.text.as_str()).collect();
        assert_eq!(bodies.len(), 1, "all answers are equal");
        assert_eq!(used(&owner, &a.id, resource_type).await?, amount);

        let mut other = body.clone();
        other["description"] = json!("Another");
        let other = owner.post(&path, other).await?;
        assert_eq!(
            (other.status, other.reason().as_str()),
            (400, "REQUEST_ID_REUSED")
        );
        let mut plain = body.clone();
        plain.as_object_mut().unwrap().remove("request_id");
        let by_header = owner.clone().header("idempotency-key", &id);
        let by_header = by_header.post(&path, plain).await?;
        assert_eq!(by_header.text, answers[0].text, "the header is the same id");
        // Another principal's use of that id is a use of its own.
        a.key_rest(fleet)?.post(&path, body).await?.ok()?;
        assert_eq!(used(&owner, &a.id, resource_type).await?, 2 * amount);
    }
    shared(fleet, "quota", "ConsumeQuota", &before).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_held_ended_given_back_or_set_again_counts_once() -> Result<()> {
    let fleet = fleet().await?;
    let a = Party::create(fleet).await?;
    let (owner, own) = (a.rest(fleet)?, format!("/api/v1/tenants/{}", a.id));
    let once = async |method: Method, path: String, mut body: Value| -> Result<Value> {
        body["request_id"] = json!(unique("once"));
        let (owner, method) = (&owner, &method);
        let sent = body.to_string();
        let answers = (0..AT_ONCE).map(|_| owner.send(method.clone(), &path, Some(sent.clone())));
        let mut answers = try_join_all(answers).await?;
        assert_eq!(
            statuses(&answers),
            BTreeMap::from([(200, AT_ONCE)]),
            "{path}"
        );
        body["description"] = json!("Another");
        if !path.contains(':') {
            let other = owner.send(method.clone(), &path, Some(body.to_string()));
            let other = other.await?;
            assert_eq!(
                other.reason(),
                "REQUEST_ID_REUSED",
                "{path}: {}",
                other.text
            );
        }
        answers.swap_remove(0).ok()
    };
    let post = |path: &str, body: Value| once(Method::POST, format!("{own}/{path}"), body);
    let held = json!({"resource_type": "alerts", "amount": 9});
    let held = post("reservations", held).await?;
    let of_held = |verb: &str| format!("reservations/{}:{verb}", text(&held, "id"));
    assert_eq!(used(&owner, &a.id, "alerts").await?, 9);
    post(&of_held("commit"), json!({"amount": 4})).await?;
    assert_eq!(used(&owner, &a.id, "alerts").await?, 4);
    let held = post("reservations", json!({"resource_type": "alerts"})).await?;
    let cancel = format!("reservations/{}:cancel", text(&held, "id"));
    post(&cancel, json!({})).await?;
    assert_eq!(used(&owner, &a.id, "alerts").await?, 4);
    once(
        Method::PUT,
        format!("{own}/gauges/devices"),
        json!({"value": 7}),
    )
    .await?;
    post(
        "usage/release",
        json!({"resource_type": "devices", "amount": 3}),
    )
    .await?;
    assert_eq!(used(&owner, &a.id, "devices").await?, 4);
    let uses = json!({"uses": [{"resource_type": "alerts"}, {"resource_type": "classes"}]});
    post("usage:batchIncrement", uses).await?;
    assert_eq!(used(&owner, &a.id, "alerts").await?, 5);
    assert_eq!(used(&owner, &a.id, "classes").await?, 1);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_limit_that_is_set_or_reset_again_is_answered_as_it_was_first() -> Result<()> {
    let fleet = fleet().await?;
    let a = Party::create(fleet).await?;
    let operator = fleet.operator_rest()?;
    let limits = format!("/api/v1/tenants/{}/limits", a.id);
    let (set_id, reset_id) = (unique("set"), unique("reset"));
    let set = |limit: &str, reason: &str| {
        let body = json!({"resource_type": "alerts", "limit": limit, "reason": reason, "request_id": set_id});
        operator.patch(&limits, body)
    };
    let reset = async |resource_type: &str| {
        let path = format!("{limits}/{resource_type}?request_id={reset_id}");
        operator.delete(&path).await
    };
    let answers = try_join_all((0..AT_ONCE).map(|_| set("9", "Once"))).await?;
    assert_eq!(statuses(&answers), BTreeMap::from([(200, AT_ONCE)]));
    let bodies: BTreeSet<&str> = answers.iter().map(|answer| answer.text.as_str()).collect();
    assert_eq!(bodies.len(), 1, "all answers are equal");
    for answer in [set("8", "Once").await?, set("9", "Twice").await?] {
        assert_eq!(answer.reason(), "REQUEST_ID_REUSED", "{}", answer.text);
    }

    let ended = reset("alerts").await?;
    assert_eq!(ended.status, 200, "{}", ended.text);
    let again = reset("alerts").await?;
    assert_eq!(again.text, ended.text);
    let other = reset("users").await?;
    assert_eq!(other.reason(), "REQUEST_ID_REUSED", "{}", other.text);
    // The first request is still answered as it was, and sets nothing any more.
    assert_eq!(set("9", "Once").await?.text, answers[0].text);
    let quotas = format!("/api/v1/tenants/{}/quotas", a.id);
    let quotas = operator.get(&quotas).await?.ok()?;
    let quotas = quotas["quotas"].as_array().cloned().unwrap_or_default();
    let quota = quotas
        .iter()
        .find(|quota| quota["resource_type"] == "alerts");
    assert_eq!(quota.unwrap()["source"], "plan");
    Ok(())
}

/// Every row of every table of the fleet, and its logs.
async fn dump(fleet: &Fleet) -> Result<String> {
    let dump = tokio::process::Command::new("pg_dump")
        .args([
            "--data-only",
            "--inserts",
            "--no-sync",
            fleet.superuser_url().as_str(),
        ])
        .output()
        .await?;
    assert!(
        dump.status.success(),
        "{}",
        String::from_utf8_lossy(&dump.stderr)
    );
    let mut all = String::from_utf8_lossy(&dump.stdout).into_owned();
    assert!(all.contains("api_keys"), "the dump holds the tables");
    for log in std::fs::read_dir(fleet.dir().join("logs"))? {
        all.push_str(&String::from_utf8_lossy(&std::fs::read(log?.path())?));
    }
    Ok(all)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_updates_with_one_etag_one_wins() -> Result<()> {
    let fleet = fleet().await?;
    let a = Party::create(fleet).await?;
    let path = format!("/api/v1/tenants/{}", a.id);
    let operator = fleet.operator_rest()?;
    for round in 0..8 {
        let etag = text(&operator.get(&path).await?.ok()?, "etag");
        let update = |who: &str| {
            operator.patch(
                &path,
                json!({"name": format!("{who} {round}"), "etag": etag}),
            )
        };
        let (one, other) = tokio::try_join!(update("One"), update("Other"))?;
        assert_eq!(
            statuses(&[one.clone(), other.clone()]),
            BTreeMap::from([(200, 1), (409, 1)])
        );
        let loser = if one.status == 409 { one } else { other };
        assert_eq!(
            (loser.reason().as_str(), loser.json()["code"].as_i64()),
            ("ETAG_MISMATCH", Some(10))
        );
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_a_header_leads_to_another_project_is_another() -> Result<()> {
    let fleet = fleet().await?;
    let operator = fleet.operator_rest()?;
    let project = unique("project");
    let made = operator.post("/api/v1/projects", json!({"key": project}));
    made.await?.ok()?;
    let plan = json!({
        "key": unique("plan"), "name": "Gold", "request_id": unique("request"),
        "price_minor": "100", "currency": "USD", "retention_days": 30, "security_level": "basic",
    });
    let first = operator.post("/api/v1/plans", plan.clone()).await?.ok()?;
    assert_eq!(first["project"], "default");
    let elsewhere = operator.header("x-project", &project);
    let other = elsewhere.post("/api/v1/plans", plan).await?;
    assert_eq!(other.reason(), "REQUEST_ID_REUSED", "{}", other.text);
    Ok(())
}
