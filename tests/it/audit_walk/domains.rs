//! Domains of a tenant.

use anyhow::Result;
use serde_json::{Value, json};

use super::case::{ANY, Case, Changes, Left, changed, gone, made};
use super::scene::Scene;
use crate::support::world::text;
use crate::support::{dns, unique};

pub(super) const METHODS: &[&str] = &[
    "/tenantry.registry.v1.DomainService/CreateDomain",
    "/tenantry.registry.v1.DomainService/DeleteDomain",
    "/tenantry.registry.v1.DomainService/VerifyDomain",
];

pub(super) async fn cases(scene: &Scene<'_>, method: &str) -> Result<Vec<Case>> {
    let name = format!("{}.example.com", unique("site"));
    // Of its own, so that no other row's domain stands in its list.
    let tenant = scene.child().await?;
    let request = json!({"tenant": tenant, "domain": name});
    let own = json!({"tenant": scene.tenant, "domain": name});
    let denied = |case: Case, resource: &str| {
        case.at(&tenant)
            .denied_to(&scene.viewer, own.clone(), resource)
    };
    let of_tenant = |action, before: Value, after: Value| {
        let id = tenant.clone();
        move |_: &Value| {
            let names = changed(&[("domains", before.clone(), after.clone())]);
            vec![Left::new(&id, action, ("tenant", &id), names)]
        }
    };
    Ok(match method {
        "CreateDomain" => {
            let (id, name) = (tenant.clone(), name.clone());
            let case = Case::new(&scene.owner, request, move |_| {
                let fields = made(json!({"name": name, "status": "pending", "tenant_id": id}));
                vec![of_domain(&id, "domain.created", fields)]
            });
            vec![denied(case, "")]
        }
        "VerifyDomain" => {
            shown(scene, &tenant, &name).await?;
            let leaves = of_tenant("tenant.domain_added", json!([]), json!([name]));
            let case = Case::new(&scene.owner, request, leaves);
            vec![denied(case, &scene.tenant)]
        }
        _ => {
            let id = tenant.clone();
            added(scene, &tenant, &name).await?;
            let pending = Case::new(&scene.owner, request.clone(), move |_| {
                let fields = gone(json!({"status": "pending"}));
                vec![of_domain(&id, "domain.deleted", fields)]
            });
            // One that names the tenant is a change of the tenant.
            let used = format!("{}.example.com", unique("used"));
            shown(scene, &tenant, &used).await?;
            let path = format!("/api/v1/tenants/{tenant}/domains/{used}:verify");
            scene.rest.post(&path, json!({})).await?.ok()?;
            let request = json!({"tenant": tenant, "domain": used});
            let leaves = of_tenant("tenant.domain_removed", json!([used]), json!([]));
            let used = Case::new(&scene.owner, request, leaves);
            vec![denied(pending, ""), used.at(&tenant)]
        }
    })
}

fn of_domain(tenant: &str, action: &'static str, changes: Changes) -> Left {
    Left::new(tenant, action, ("domain", ANY), changes)
}

async fn added(scene: &Scene<'_>, tenant: &str, name: &str) -> Result<Value> {
    let path = format!("/api/v1/tenants/{tenant}/domains");
    scene.rest.post(&path, json!({"domain": name})).await?.ok()
}

/// Adds a domain and publishes its record.
async fn shown(scene: &Scene<'_>, tenant: &str, name: &str) -> Result<()> {
    let challenge = &added(scene, tenant, name).await?["challenge"];
    let (record, value) = (
        text(challenge, "record_name"),
        text(challenge, "record_value"),
    );
    dns()?.set_txt(&record, &[&value]).await
}
