//! Limits that are set apart from the plan, and what is used of them.

use anyhow::{Context as _, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection};

use super::case::{ANY, Caller, Case, Changes, Left, changed, gone, made};
use super::scene::Scene;
use crate::support::world::text;

pub(super) const METHODS: &[&str] = &[
    OVERRIDE,
    "/tenantry.quota.v1.LimitService/ResetLimit",
    "/tenantry.quota.v1.QuotaService/BatchConsumeQuota",
    USE,
    "/tenantry.quota.v1.QuotaService/ReleaseQuota",
    "/tenantry.quota.v1.QuotaService/SetGauge",
    "/tenantry.quota.v1.QuotaService/StreamConsumeQuota",
    "/tenantry.quota.v1.ReservationService/CancelReservation",
    "/tenantry.quota.v1.ReservationService/CommitReservation",
    RESERVE,
    "/tenantry.quota.v1.UsageEventService/CorrectUsage",
    "/tenantry.quota.v1.UsageEventService/RecordCloudEvents",
    "/tenantry.quota.v1.UsageEventService/RecordUsageEvents",
    "/tenantry.quota.v1.UsageEventService/StreamUsageEvents",
];

const USE: &str = "/tenantry.quota.v1.QuotaService/ConsumeQuota";
const RESERVE: &str = "/tenantry.quota.v1.ReservationService/CreateReservation";
const SET: &str = "/tenantry.quota.v1.QuotaService/SetGauge";
const OVERRIDE: &str = "/tenantry.quota.v1.LimitService/OverrideLimit";

pub(super) async fn cases(scene: &Scene<'_>, method: &str) -> Result<Vec<Case>> {
    match method {
        "OverrideLimit" => overridden(scene).await,
        "ResetLimit" => reset(scene).await,
        "CommitReservation" | "CancelReservation" => ended(scene).await,
        "ReleaseQuota" => released(scene).await,
        "CorrectUsage" => corrected(scene).await,
        _ => Ok(vec![counted(scene, &used(scene, method))]),
    }
}

/// An event of the limit that the answer shows.
fn of_answer(tenant: &str, answer: &Value, action: &'static str, changes: Changes) -> Left {
    let id = text(&answer["override"], "id");
    Left::new(tenant, action, ("limit", &id), changes)
}

/// By an operator, who gives more than the plan has; by those above, who don't, and who change what they set.
async fn overridden(scene: &Scene<'_>) -> Result<Vec<Case>> {
    let (given, below) = (scene.child().await?, scene.child().await?);
    let request = json!({"tenant": given, "resourceType": "gpu_seconds", "limit": "100", "resetPeriod": "day",
        "reason": "A trial", "expiresAt": "2035-01-01T00:00:00Z", "shared": true});
    let by_operator = Case::new(&scene.operator, request, move |answer| {
        let fields = made(
            json!({"resource_type": "gpu_seconds", "limit": 100, "reset_period": "day", "shared": true,
            "reason": "A trial", "expires_at": "2035-01-01T00:00:00Z", "by_operator": true, "created_by": ANY}),
        );
        vec![of_answer(&given, answer, "limit.overridden", fields)]
    });
    let set = |limit: i64, reason: &str, changes: Changes| {
        let request = json!({"tenant": below, "resourceType": "users", "limit": limit.to_string(), "reason": reason});
        let id = below.clone();
        let leaves =
            move |answer: &Value| vec![of_answer(&id, answer, "limit.overridden", changes.clone())];
        Case::new(&scene.owner, request, leaves).at(&below)
    };
    let first = made(
        json!({"resource_type": "users", "limit": 3, "reset_period": "never", "shared": false,
        "reason": "A class", "by_operator": false, "created_by": ANY}),
    );
    let again = changed(&[
        ("id", json!(ANY), json!(ANY)),
        ("limit", json!(3), json!(2)),
        ("reason", json!("A class"), json!("A smaller class")),
    ]);
    // Nobody chooses the limits of their own tenant.
    let own =
        json!({"tenant": scene.tenant, "resourceType": "users", "limit": "1", "reason": "Mine"});
    Ok(vec![
        by_operator.denied_to(&scene.viewer, own.clone(), ""),
        set(3, "A class", first).denied_to(&scene.owner, own.clone(), ""),
        set(2, "A smaller class", again).denied_to(&scene.key, own, ""),
    ])
}

async fn reset(scene: &Scene<'_>) -> Result<Vec<Case>> {
    let own = json!({"tenant": scene.tenant, "resourceType": "users"});
    let given = reset_by(scene, &scene.operator).await?;
    let below = reset_by(scene, &scene.owner).await?;
    Ok(vec![
        given.denied_to(&scene.viewer, own.clone(), ""),
        below.denied_to(&scene.owner, own, ""),
    ])
}

/// What a caller has set for a tenant below, they take away.
async fn reset_by(scene: &Scene<'_>, by: &Caller) -> Result<Case> {
    let tenant = scene.child().await?;
    let request = json!({"tenant": tenant, "resourceType": "users"});
    let mut set = request.clone();
    set["limit"] = json!("3");
    set["reason"] = json!("A class");
    let set = scene.call(OVERRIDE, by, Some(&tenant), &set).await?;
    let set = set.messages.first().context("a limit that is set")?;
    let id = text(&set["override"], "id");
    let log = tenant.clone();
    let leaves = move |_: &Value| {
        let fields = gone(json!({"resource_type": "users", "limit": 3, "reason": "A class"}));
        vec![Left::new(&log, "limit.reset", ("limit", &id), fields)]
    };
    Ok(Case::new(by, request, leaves).at(&tenant))
}

/// A request that counts something.
fn used(scene: &Scene<'_>, method: &str) -> Value {
    let tenant = &scene.tenant;
    match method {
        "BatchConsumeQuota" => json!({"tenant": tenant, "uses": [{"resourceType": "alerts"}]}),
        "StreamConsumeQuota" => json!({"tenant": tenant, "use": {"resourceType": "alerts"}}),
        "RecordUsageEvents" | "StreamUsageEvents" => {
            json!({"tenant": tenant, "events": [{"id": "one", "resourceType": "alerts"}]})
        }
        "RecordCloudEvents" => {
            json!({"tenant": tenant, "body": {"contentType": "application/cloudevents-batch+json", "data": BASE64.encode("[{}]")}})
        }
        "SetGauge" => json!({"tenant": tenant, "resourceType": "devices", "value": "3"}),
        _ => {
            json!({"tenant": tenant, "resourceType": "alerts", "amount": "3", "description": "A night's import"})
        }
    }
}

/// What is used is counted, not told: only who may not is in the log.
fn counted(scene: &Scene<'_>, request: &Value) -> Case {
    Case::new(&scene.key, request.clone(), |_| Vec::new()).denied_to(
        &scene.viewer,
        request.clone(),
        "",
    )
}

async fn released(scene: &Scene<'_>) -> Result<Vec<Case>> {
    let there = used(scene, "SetGauge");
    scene.call(SET, &scene.key, None, &there).await?;
    let request = json!({"tenant": scene.tenant, "resourceType": "devices"});
    Ok(vec![counted(scene, &request)])
}

/// What was used is amended by an operator, with an event.
async fn corrected(scene: &Scene<'_>) -> Result<Vec<Case>> {
    let (tenant, alerts) = (scene.child().await?, "alerts");
    let counted = json!({"tenant": tenant, "resourceType": alerts, "amount": "3"});
    scene.call(USE, &scene.operator, None, &counted).await?;
    let mut connection = PgConnection::connect(scene.fleet.superuser_url().as_str()).await?;
    let id =
        sqlx::query_scalar("SELECT usage_id::text FROM quota.usage_log WHERE tenant_id = $1::uuid");
    let id: String = id.bind(&tenant).fetch_one(&mut connection).await?;
    let request = json!({"tenant": tenant, "usage": id, "resourceType": alerts, "amount": "1", "reason": "Twice"});
    let mut own = request.clone();
    own["tenant"] = json!(scene.tenant);
    let (log, of) = (tenant.clone(), id.clone());
    let corrected = Case::new(&scene.operator, request, move |_| {
        let fields = changed(&[
            ("amount", json!(3), json!(1)),
            ("reason", Value::Null, json!("Twice")),
        ]);
        vec![Left::new(&log, "usage.corrected", ("usage", &of), fields)]
    });
    Ok(vec![corrected.denied_to(&scene.viewer, own, &id)])
}

async fn ended(scene: &Scene<'_>) -> Result<Vec<Case>> {
    let held = json!({"tenant": scene.tenant, "resourceType": "alerts"});
    let held = scene.call(RESERVE, &scene.key, None, &held).await?;
    let id = text(held.messages.first().context("a reservation")?, "id");
    let request = json!({"tenant": scene.tenant, "reservation": id});
    let denied = request.clone();
    let ended = Case::new(&scene.key, request, |_| Vec::new());
    Ok(vec![ended.denied_to(&scene.viewer, denied, &id)])
}
