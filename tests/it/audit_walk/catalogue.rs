//! What of registry is the platform's, and what operators do to a tenant: plans, projects, imports, legal holds.

use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use tenantry_testkit::paths;

use super::case::{ANY, Case, Left, PLATFORM, changed, gone, made};
use super::scene::Scene;
use crate::support::unique;
use crate::support::world::text;

pub(super) const METHODS: &[&str] = &[
    "/tenantry.registry.v1.LegalHoldService/PlaceLegalHold",
    "/tenantry.registry.v1.LegalHoldService/ReleaseLegalHold",
    "/tenantry.registry.v1.PlanService/CreatePlan",
    "/tenantry.registry.v1.PlanService/UpdatePlan",
    "/tenantry.registry.v1.ProjectService/CreateProject",
    "/tenantry.registry.v1.ProjectService/UpdateProject",
    "/tenantry.registry.v1.TenantImportService/CancelTenantImport",
    "/tenantry.registry.v1.TenantImportService/ImportTenants",
];

/// Rows of an import that isn't over before it is cancelled.
const MANY: usize = 4_000;

pub(super) async fn cases(scene: &Scene<'_>, method: &str) -> Result<Vec<Case>> {
    // Whatever they name, a tenant's people are no operators.
    let (case, request, resource) = match method {
        "CreatePlan" => plan(scene),
        "UpdatePlan" => updated_plan(scene).await?,
        "CreateProject" => project(scene)?,
        "UpdateProject" => updated_project(scene).await?,
        "PlaceLegalHold" => hold(scene).await?,
        "ReleaseLegalHold" => released_hold(scene).await?,
        "ImportTenants" => import(scene),
        _ => cancelled_import(scene).await?,
    };
    Ok(vec![case.denied_to(&scene.owner, request, &resource)])
}

/// A case, and what is denied with the id that it names.
type Row = (Case, Value, String);

fn platform(
    scene: &Scene<'_>,
    request: Value,
    leaves: impl Fn(&Value) -> Vec<Left> + Send + 'static,
) -> Row {
    let case = Case::new(&scene.operator, request.clone(), leaves);
    (case, request, String::new())
}

fn plan(scene: &Scene<'_>) -> Row {
    let key = unique("plan");
    let request = json!({"key": key, "name": "Gold", "retentionDays": 90, "securityLevel": "basic",
        "currency": "USD", "priceMinor": "900"});
    platform(scene, request, move |_| {
        let fields = made(
            json!({"key": key, "name": "Gold", "retention_days": 90, "currency": "USD",
            "price_minor": 900}),
        );
        vec![Left::new(PLATFORM, "plan.created", ("plan", ANY), fields)]
    })
}

async fn updated_plan(scene: &Scene<'_>) -> Result<Row> {
    let key = unique("plan");
    let body = json!({"key": key, "name": "Gold", "retention_days": 90, "security_level": "basic",
        "currency": "USD"});
    scene.rest.post("/api/v1/plans", body).await?.ok()?;
    let request = json!({"plan": key, "name": "Silver", "priceMinor": "100"});
    Ok(platform(scene, request, |_| {
        let fields = changed(&[
            ("name", json!("Gold"), json!("Silver")),
            ("price_minor", json!(0), json!(100)),
        ]);
        vec![Left::new(PLATFORM, "plan.updated", ("plan", ANY), fields)]
    }))
}

/// With a plan of its own for each of the catalogue.
fn project(scene: &Scene<'_>) -> Result<Row> {
    let catalogue = paths::repository().join("deploy/plans.json");
    let catalogue: Value = serde_json::from_slice(&std::fs::read(catalogue)?)?;
    let plans: Vec<_> = catalogue["plans"].as_array().cloned().unwrap_or_default();
    ensure!(!plans.is_empty(), "a catalogue without plans");
    let key = unique("project");
    let request = json!({"key": key, "name": "Games", "signUp": "closed"});
    Ok(platform(scene, request, move |answer| {
        let id = text(answer, "id");
        let fields = made(json!({"key": key, "name": "Games", "sign_up": "closed"}));
        let kind = ("project", id.as_str());
        let mut left = vec![Left::new(PLATFORM, "project.created", kind, fields)];
        left.extend(plans.iter().map(|plan| {
            let fields = made(json!({"key": plan["key"], "project": key}));
            Left::new(PLATFORM, "plan.created", ("plan", ANY), fields)
        }));
        left
    }))
}

async fn updated_project(scene: &Scene<'_>) -> Result<Row> {
    let key = unique("project");
    let body = json!({"key": key, "name": "Games"});
    let project = scene.rest.post("/api/v1/projects", body).await?.ok()?;
    let id = text(&project, "id");
    let request = json!({"project": key, "name": "Toys"});
    Ok(platform(scene, request, move |_| {
        let fields = changed(&[("name", json!("Games"), json!("Toys"))]);
        let kind = ("project", id.as_str());
        vec![Left::new(PLATFORM, "project.updated", kind, fields)]
    }))
}

async fn hold(scene: &Scene<'_>) -> Result<Row> {
    let tenant = scene.child().await?;
    let request = json!({"tenant": tenant, "holder": "Court", "reason": "Case 7"});
    let case = Case::new(&scene.operator, request, move |answer| {
        let id = text(answer, "id");
        let fields = made(json!({"holder": "Court", "reason": "Case 7", "tenant_id": tenant}));
        let kind = ("legal_hold", id.as_str());
        vec![Left::new(&tenant, "legal_hold.placed", kind, fields)]
    });
    let own = json!({"tenant": scene.tenant, "holder": "Me", "reason": "Mine"});
    Ok((case, own, String::new()))
}

async fn released_hold(scene: &Scene<'_>) -> Result<Row> {
    let tenant = scene.child().await?;
    let path = format!("/api/v1/tenants/{tenant}/legal-holds");
    let body = json!({"holder": "Court", "reason": "Case 7"});
    let id = text(&scene.rest.post(&path, body).await?.ok()?, "id");
    let own = json!({"tenant": scene.tenant, "hold": id});
    let (request, hold) = (json!({"tenant": tenant, "hold": id}), id.clone());
    let case = Case::new(&scene.operator, request, move |_| {
        let fields = gone(json!({"holder": "Court", "reason": "Case 7"}));
        let kind = ("legal_hold", hold.as_str());
        vec![Left::new(&tenant, "legal_hold.released", kind, fields)]
    });
    Ok((case, own, id))
}

/// Each row makes a tenant at the request of whoever started the import, and so does its end.
fn import(scene: &Scene<'_>) -> Row {
    let (name, slug) = (unique("Row"), unique("row"));
    let request = json!({"format": "csv", "content": format!("name,slug\n{name},{slug}\n")});
    platform(scene, request, move |answer| {
        let id = text(answer, "id");
        let started = made(json!({"format": "csv", "rows": 1, "state": "pending"}));
        let tenant = made(json!({"name": name, "slug": slug}));
        let finished = changed(&[
            ("state", json!("running"), json!("succeeded")),
            ("finished_at", Value::Null, json!(ANY)),
        ]);
        let kind = ("tenant_import", id.as_str());
        vec![
            Left::new(PLATFORM, "tenant_import.started", kind, started),
            Left::new(ANY, "tenant.created", ("tenant", ANY), tenant),
            Left::new(PLATFORM, "tenant_import.finished", kind, finished),
        ]
    })
}

async fn cancelled_import(scene: &Scene<'_>) -> Result<Row> {
    let rows: Vec<String> = (0..MANY).map(|n| format!("Row {n}")).collect();
    let body = json!({"format": "csv", "content": format!("name\n{}\n", rows.join("\n")), "dry_run": true});
    let path = "/api/v1/tenants:import";
    let import = scene.rest.post(path, body).await?.ok()?;
    let id = text(&import, "id");
    // As far as it is by then: it has begun, or not.
    let begun = async || {
        let path = format!("/api/v1/tenant-imports/{id}");
        let import = scene.rest.get(&path).await?.ok()?;
        Ok((text(&import, "state") == "running").then_some(()))
    };
    tenantry_testkit::wait::until("running import", Duration::from_secs(20), begun).await?;
    let (request, own) = (json!({"tenantImport": id}), id.clone());
    let case = Case::new(&scene.operator, request.clone(), move |_| {
        let fields = changed(&[
            ("state", json!("running"), json!("cancelled")),
            ("finished_at", Value::Null, json!(ANY)),
        ]);
        let kind = ("tenant_import", id.as_str());
        vec![Left::new(PLATFORM, "tenant_import.cancelled", kind, fields)]
    });
    Ok((case, request, own))
}
