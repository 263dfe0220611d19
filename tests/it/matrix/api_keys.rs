//! ApiKeyService.

use anyhow::Result;
use serde_json::json;
use tenantry_testkit::fleet::Fleet;

use super::{Attempt, Class, absent, attempt, of_list, uncontrolled};
use crate::support::world::{Party, text};

pub(super) const ROWS: &[(&str, Class)] = &[
    (
        "/tenantry.identity.v1.ApiKeyService/CreateApiKey",
        Class::Tenant,
    ),
    (
        "/tenantry.identity.v1.ApiKeyService/GetApiKey",
        Class::Tenant,
    ),
    (
        "/tenantry.identity.v1.ApiKeyService/ListApiKeys",
        Class::Tenant,
    ),
    (
        "/tenantry.identity.v1.ApiKeyService/RevokeApiKey",
        Class::Tenant,
    ),
    (
        "/tenantry.identity.v1.ApiKeyService/RotateApiKey",
        Class::Tenant,
    ),
];

/// A key of B, made for this one control.
async fn spare_key(fleet: &Fleet, b: &Party) -> Result<String> {
    let body = json!({"name": "spare"});
    let made = fleet
        .operator_rest()?
        .post(&format!("/api/v1/tenants/{}/api-keys", b.id), body)
        .await?
        .ok()?;
    Ok(text(&made["api_key"], "id"))
}

/// The attempts of one RPC, where it is of this noun.
pub(super) async fn attempts(
    fleet: &Fleet,
    method: &str,
    a: &Party,
    b: &Party,
) -> Result<Option<Vec<Attempt>>> {
    Ok(Some(match method {
        "CreateApiKey" => vec![attempt(
            "tenant",
            json!({"tenant": b.id, "name": "intruder"}),
            json!({"tenant": absent(), "name": "intruder"}),
        )],
        "ListApiKeys" => {
            spare_key(fleet, b).await?;
            of_list(fleet, a, b, "api-keys").await?
        }
        "GetApiKey" | "RevokeApiKey" | "RotateApiKey" => {
            let spare = spare_key(fleet, b).await?;
            vec![
                attempt(
                    "tenant",
                    json!({"tenant": b.id, "api_key": spare}),
                    json!({"tenant": absent(), "api_key": spare}),
                ),
                uncontrolled(
                    "key",
                    json!({"tenant": a.id, "api_key": b.key_id}),
                    json!({"tenant": a.id, "api_key": absent()}),
                ),
            ]
        }
        _ => return Ok(None),
    }))
}
