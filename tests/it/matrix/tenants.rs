//! TenantService, and what else of registry names tenants.

use anyhow::Result;
use serde_json::json;
use tenantry_testkit::fleet::Fleet;

use super::{Attempt, Class, absent, attempt, tenant, uncontrolled};
use crate::support::unique;
use crate::support::world::{Party, create_tenant, text};

pub(super) const ROWS: &[(&str, Class)] = &[
    (
        "/tenantry.registry.v1.TenantService/ArchiveTenant",
        Class::Tenant,
    ),
    (
        "/tenantry.registry.v1.TenantService/CreateTenant",
        Class::Tenant,
    ),
    (
        "/tenantry.registry.v1.TenantService/DeleteTenant",
        Class::Tenant,
    ),
    (
        "/tenantry.registry.v1.TenantService/GetTenant",
        Class::Tenant,
    ),
    (
        "/tenantry.registry.v1.TenantService/ListTenants",
        Class::Tenant,
    ),
    (
        "/tenantry.registry.v1.TenantService/MoveTenant",
        Class::Tenant,
    ),
    (
        "/tenantry.registry.v1.TenantService/PurgeTenant",
        Class::Tenant,
    ),
    (
        "/tenantry.registry.v1.TenantService/ResumeTenant",
        Class::Tenant,
    ),
    (
        "/tenantry.registry.v1.TenantService/SuspendTenant",
        Class::Tenant,
    ),
    (
        "/tenantry.registry.v1.TenantService/UndeleteTenant",
        Class::Tenant,
    ),
    (
        "/tenantry.registry.v1.TenantService/UpdateTenant",
        Class::Tenant,
    ),
    (
        "/tenantry.registry.v1.TenantService/WatchTenants",
        Class::Tenant,
    ),
];

/// A child of B, made for this one control.
async fn spare_child(fleet: &Fleet, b: &Party) -> Result<String> {
    let body = json!({"name": unique("Spare"), "parent_id": b.id});
    Ok(text(
        &create_tenant(&fleet.operator_rest()?, body).await?,
        "id",
    ))
}

/// The attempts of one RPC, where it is of this noun.
pub(super) async fn attempts(
    fleet: &Fleet,
    method: &str,
    a: &Party,
    b: &Party,
) -> Result<Option<Vec<Attempt>>> {
    Ok(Some(match method {
        "GetTenant" => vec![
            attempt("id", tenant(&b.id), tenant(&absent())),
            attempt("slug", tenant(&b.slug), tenant(&unique("absent"))),
            attempt("child", tenant(&b.child), tenant(&absent())),
        ],
        "UpdateTenant" => vec![
            attempt(
                "id",
                json!({"tenant": b.id, "name": "Taken"}),
                json!({"tenant": absent(), "name": "Taken"}),
            ),
            attempt(
                "child",
                json!({"tenant": b.child, "name": "Taken"}),
                json!({"tenant": absent(), "name": "Taken"}),
            ),
        ],
        "SuspendTenant" | "ResumeTenant" | "ArchiveTenant" | "UndeleteTenant" => vec![
            uncontrolled("id", tenant(&b.id), tenant(&absent())),
            attempt(
                "child",
                tenant(&spare_child(fleet, b).await?),
                tenant(&absent()),
            ),
        ],
        // To a foreign parent as to an absent one; that B itself moves what is below it needs its right in the new parent.
        "MoveTenant" => vec![
            uncontrolled("id", tenant(&b.id), tenant(&absent())),
            uncontrolled(
                "child",
                json!({"tenant": b.child, "new_parent": a.id}),
                json!({"tenant": absent(), "new_parent": a.id}),
            ),
            uncontrolled(
                "new parent",
                json!({"tenant": a.child, "new_parent": b.id}),
                json!({"tenant": a.child, "new_parent": absent()}),
            ),
        ],
        "DeleteTenant" => vec![
            uncontrolled("id", tenant(&b.id), tenant(&absent())),
            attempt(
                "child",
                tenant(&spare_child(fleet, b).await?),
                tenant(&absent()),
            ),
        ],
        "PurgeTenant" => vec![
            uncontrolled("id", tenant(&b.id), tenant(&absent())),
            uncontrolled(
                "id, by force",
                json!({"tenant": b.id, "force": true}),
                json!({"tenant": absent(), "force": true}),
            ),
            attempt(
                "child",
                json!({"tenant": spare_child(fleet, b).await?, "force": true}),
                json!({"tenant": absent(), "force": true}),
            ),
        ],
        "CreateTenant" => vec![attempt(
            "parent",
            json!({"name": "Intruder", "parent_id": b.id}),
            json!({"name": "Intruder", "parent_id": absent()}),
        )],
        "ListTenants" => {
            // A page token that B got is no more to A than nonsense of the same length.
            let list = b
                .rest(fleet)?
                .get("/api/v1/tenants?page_size=1")
                .await?
                .ok()?;
            let token = text(&list, "next_page_token");
            let nonsense: String = token.chars().rev().collect();
            vec![
                attempt(
                    "parent",
                    json!({"parent": b.id}),
                    json!({"parent": absent()}),
                ),
                attempt(
                    "filter",
                    json!({"filter": format!("id = \"{}\"", b.id)}),
                    json!({"filter": format!("id = \"{}\"", absent())}),
                ),
                attempt("text", json!({"q": b.slug}), json!({"q": absent()})),
                attempt(
                    "page token",
                    json!({"page_size": 1, "page_token": token}),
                    json!({"page_size": 1, "page_token": nonsense}),
                ),
            ]
        }
        "WatchTenants" => {
            let mut watch = crate::support::watch::Watch::open(&b.rest(fleet)?, "").await?;
            watch.until(|item| item.get("bookmark").is_some()).await?;
            let nonsense: String = watch.token.chars().rev().collect();
            vec![attempt(
                "resume token",
                json!({"resume_token": watch.token}),
                json!({"resume_token": nonsense}),
            )]
        }
        _ => return Ok(None),
    }))
}
