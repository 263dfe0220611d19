//! The shapes that REST callers rely on, field for field, against golden files.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use serde_json::{Value, json};
use tenantry_testkit::fleet::sign_in;
use tenantry_testkit::wait::until;

use crate::support::world::{PASSWORD, Party, text};
use crate::support::{fleet, unique};

/// Longest time until every replica knows of a new tenant.
const KNOWN_WITHIN: Duration = Duration::from_secs(5);

/// Replaces what differs from run to run by its kind.
fn normal(value: &Value) -> Value {
    match value {
        Value::Object(map) => map
            .iter()
            .map(|(key, value)| (key.clone(), normal(value)))
            .collect(),
        Value::Array(list) => Value::Array(list.iter().take(1).map(normal).collect()),
        Value::String(s) if s.is_empty() => json!(""),
        Value::String(s) if s.parse::<uuid::Uuid>().is_ok() => json!("<uuid>"),
        Value::String(s)
            if s.len() >= 20 && s.contains('T') && s.ends_with('Z') && s.starts_with("20") =>
        {
            json!("<time>")
        }
        Value::String(_) => json!("<text>"),
        Value::Number(_) => json!("<number>"),
        other => other.clone(),
    }
}

fn golden(name: &str, value: &Value) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("it/golden")
        .join(format!("{name}.json"));
    let text = serde_json::to_string_pretty(&normal(value)).unwrap() + "\n";
    if std::env::var_os("TENANTRY_GOLDEN").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(
        text, expected,
        "{name}: if the new shape is meant, run with TENANTRY_GOLDEN=write"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_have_the_fields_that_callers_rely_on() -> Result<()> {
    let fleet = fleet().await?;
    let operator = fleet.operator_rest()?;
    let body = json!({
        "name": "Shape", "email": "ops@example.com", "subscription_tier": "pro", "timezone": "Europe/Berlin",
        "locale": "de-DE", "region": "eu", "trial_days": 14, "billing_email": "billing@example.com",
        "contact_phone": "+491701234567", "external_id": unique("crm"),
        "labels": [{"key": "segment", "value": "smb"}], "metadata": {"source": "import"},
    });
    let made = operator.post("/api/v1/tenants", body).await?.ok()?;
    assert_eq!(
        (made["status"].as_str(), made["is_active"].as_bool()),
        (Some("trial"), Some(true))
    );
    assert_eq!(
        made["subscription_tier"], "professional",
        "an alias becomes the plan's key"
    );
    golden("tenant", &made);
    let id = text(&made, "id");
    let read = until("figures", KNOWN_WITHIN, async || {
        let read = operator.get(&format!("/api/v1/tenants/{id}")).await?.ok()?;
        Ok(read.get("current_users").is_some().then_some(read))
    });
    golden("tenant_get", &read.await?);
    golden(
        "tenant_list",
        &operator
            .get(&format!("/api/v1/tenants?filter=id%3D%22{id}%22"))
            .await?
            .ok()?,
    );
    golden(
        "tenant_suspended",
        &operator
            .post(
                &format!("/api/v1/tenants/{id}/status/suspended"),
                json!({"reason": "unpaid"}),
            )
            .await?
            .ok()?,
    );
    golden(
        "tenant_deleted",
        &operator
            .delete(&format!("/api/v1/tenants/{id}"))
            .await?
            .ok()?,
    );
    operator
        .post(&format!("/api/v1/tenants/{id}:undelete"), json!({}))
        .await?
        .ok()?;
    operator
        .post(&format!("/api/v1/tenants/{id}/status/active"), json!({}))
        .await?
        .ok()?;

    let email = format!("{}@example.com", unique("shape"));
    let member = json!({"email": email, "name": "Sam", "password": PASSWORD, "roles": ["owner"]});
    golden(
        "member",
        &operator
            .post(&format!("/api/v1/tenants/{id}/users"), member)
            .await?
            .ok()?,
    );
    golden(
        "member_list",
        &operator
            .get(&format!("/api/v1/tenants/{id}/users"))
            .await?
            .ok()?,
    );
    let key = json!({"name": "ci", "permissions": ["tenants.read"], "expires_at": "2099-01-01T00:00:00Z"});
    golden(
        "api_key_created",
        &operator
            .post(&format!("/api/v1/tenants/{id}/api-keys"), key)
            .await?
            .ok()?,
    );
    golden(
        "api_key_list",
        &operator
            .get(&format!("/api/v1/tenants/{id}/api-keys"))
            .await?
            .ok()?,
    );
    let login = fleet
        .rest()?
        .post(
            "/api/v1/auth/login",
            json!({"email": email, "password": PASSWORD}),
        )
        .await?
        .ok()?;
    golden("login", &login);
    let user = fleet
        .rest()?
        .bearer(&sign_in(&fleet.rest()?, &email, PASSWORD).await?);
    golden("me", &user.get("/api/v1/auth/me").await?.ok()?);
    golden("plan", &user.get("/api/v1/plans/pro").await?.ok()?);
    golden(
        "plan_change_preview",
        &operator
            .get(&format!("/api/v1/tenants/{id}/plan:preview?plan=basic"))
            .await?
            .ok()?,
    );
    let quota = format!("/api/v1/tenants/{id}");
    let limit = json!({
        "resource_type": "alerts", "limit": 100, "reason": "A trial", "expires_at": "2099-01-01T00:00:00Z",
    });
    let limits = format!("{quota}/limits");
    golden("quota", &operator.patch(&limits, limit).await?.ok()?);
    let used = json!({"resource_type": "alerts", "amount": 3, "description": "An import"});
    let increment = format!("{quota}/usage/increment");
    golden(
        "quota_decision",
        &operator.post(&increment, used).await?.ok()?,
    );
    let much = json!({"resource_type": "alerts", "amount": 98});
    let check = format!("{quota}/quotas/check");
    let not_allowed = operator.post(&check, much.clone()).await?.ok()?;
    assert_eq!(not_allowed["allowed"], false);
    golden("quota_not_allowed", &not_allowed);
    let exceeded = operator.post(&increment, much).await?;
    assert_eq!(exceeded.status, 429);
    let exceeded = exceeded.json();
    let details = exceeded["details"].as_array().unwrap();
    let info = details.iter().find(|detail| detail["reason"].is_string());
    golden("quota_exceeded", info.unwrap());
    golden(
        "quota_list",
        &operator.get(&format!("{quota}/quotas")).await?.ok()?,
    );
    let several = json!({"resources": [{"resource_type": "alerts", "amount": 2}, {"resource_type": "devices"}]});
    let uses =
        json!({"uses": [{"resource_type": "alerts"}, {"resource_type": "alerts", "amount": 100}]});
    for (name, path, body) in [
        ("quota_decision_of_several", "usage/increment", several),
        ("quota_batch", "usage:batchIncrement", uses),
        (
            "usage_events",
            "usage-events",
            json!({"events": [{"id": "one", "resource_type": "alerts"}, {"id": "two", "resource_type": "none"}]}),
        ),
        (
            "quota_released",
            "usage/release",
            json!({"resource_type": "devices"}),
        ),
    ] {
        let answer = operator.post(&format!("{quota}/{path}"), body).await?;
        golden(name, &answer.ok()?);
    }
    let devices = format!("{quota}/gauges/devices");
    let devices = operator.put(&devices, json!({"value": 3})).await?;
    golden("quota_gauge", &devices.ok()?);
    let held = json!({"resource_type": "alerts", "amount": 5, "description": "An import"});
    let reservations = format!("{quota}/reservations");
    let held = operator.post(&reservations, held).await?.ok()?;
    golden("reservation", &held);
    let held = format!("{reservations}/{}", text(&held, "id"));
    golden("reservation_get", &operator.get(&held).await?.ok()?);
    let commit = format!("{held}:commit");
    let committed = operator.post(&commit, json!({"amount": 2})).await?;
    golden("reservation_committed", &committed.ok()?);
    golden(
        "quota_reset",
        &operator.delete(&format!("{limits}/alerts")).await?.ok()?,
    );
    let file = json!({"format": "csv", "content": "name,email\nOne,nobody\n"});
    let import = operator.post("/api/v1/tenants:import", file).await?.ok()?;
    golden("tenant_import", &import);
    let rows = format!("/api/v1/tenant-imports/{}/rows", text(&import, "id"));
    golden("tenant_import_rows", &operator.get(&rows).await?.ok()?);
    golden(
        "project_list",
        &operator.get("/api/v1/projects").await?.ok()?,
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_used_has_the_fields_that_callers_rely_on() -> Result<()> {
    let fleet = fleet().await?;
    let operator = fleet.operator_rest()?;
    let body = json!({"name": "Use", "subscription_tier": "free"});
    let made = operator.post("/api/v1/tenants", body).await?.ok()?;
    let own = format!("/api/v1/tenants/{}", text(&made, "id"));
    let used = json!({"resource_type": "users", "amount": 5, "description": "An import", "request_id": unique("use")});
    let path = format!("{own}/usage/increment");
    operator.post(&path, used).await?.ok()?;
    for (name, path) in [
        ("usage_logs", "usage-logs"),
        ("usage_series", "usage-series?resource_type=users"),
        ("usage", "usage"),
        ("usage_forecast", "usage-forecast?resource_type=users"),
        ("tenant_health", "health"),
        ("tenant_metrics", "metrics"),
    ] {
        golden(name, &operator.get(&format!("{own}/{path}")).await?.ok()?);
    }
    // All of its users are used. Other tests' tenants come before it.
    let mut token = String::new();
    let summary = until("tenant in the summary", KNOWN_WITHIN, async || {
        let path =
            format!("/api/v1/tenants/health-summary?status=warning&page_size=1&page_token={token}");
        let mut summary = operator.get(&path).await?.ok()?;
        token = text(&summary, "next_page_token");
        summary["next_page_token"] = json!("");
        Ok((summary["tenants"] != json!([])).then_some(summary))
    });
    golden("health_summary", &summary.await?);
    let metrics = operator.get("/api/v1/tenants/metrics").await?.ok()?;
    golden("platform_metrics", &metrics);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tenant_is_chosen_by_path_header_subdomain_or_credential() -> Result<()> {
    let fleet = fleet().await?;
    let a = Party::create(fleet).await?;
    let owner = a.rest(fleet)?;
    let chosen = async |rest: &tenantry_testkit::rest::Rest, path: &str| {
        anyhow::Ok(text(&rest.get(path).await?.ok()?, "id"))
    };
    assert_eq!(
        chosen(&owner, "/api/v1/tenants/current").await?,
        a.id,
        "the only membership"
    );
    assert_eq!(
        chosen(&owner, &format!("/api/v1/tenants/{}", a.slug)).await?,
        a.id,
        "the path's slug"
    );
    for (name, value) in [
        ("x-tenant-id", a.child.clone()),
        ("x-tenant-slug", a.child_slug.clone()),
        ("host", format!("{}.localhost.tenantry.test", a.child_slug)),
    ] {
        let rest = owner.clone().header(name, &value);
        assert_eq!(
            chosen(&rest, "/api/v1/tenants/current").await?,
            a.child,
            "{name}"
        );
    }

    // A member of two tenants has to say which, at login or per request.
    let second = Party::create(fleet).await?;
    let body = json!({"email": a.owner_email, "roles": ["viewer"]});
    fleet
        .operator_rest()?
        .post(&format!("/api/v1/tenants/{}/users", second.id), body)
        .await?
        .ok()?;
    let plain = fleet
        .rest()?
        .bearer(&sign_in(&fleet.rest()?, &a.owner_email, PASSWORD).await?);
    let answer = plain.get("/api/v1/tenants/current").await?;
    assert_eq!(
        (answer.status, answer.reason().as_str()),
        (400, "TENANT_REQUIRED"),
        "{}",
        answer.text
    );
    assert_eq!(
        chosen(
            &plain.clone().header("x-tenant-id", &second.id),
            "/api/v1/tenants/current"
        )
        .await?,
        second.id
    );
    let login = json!({"email": a.owner_email, "password": PASSWORD, "tenant": second.slug});
    let token = text(
        &fleet
            .rest()?
            .post("/api/v1/auth/login", login)
            .await?
            .ok()?,
        "access_token",
    );
    assert_eq!(
        chosen(&fleet.rest()?.bearer(&token), "/api/v1/tenants/current").await?,
        second.id,
        "the token's tenant"
    );
    Ok(())
}
