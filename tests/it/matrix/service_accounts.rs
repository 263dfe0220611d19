//! ServiceAccountService.

use anyhow::Result;
use serde_json::{Value, json};
use tenantry_testkit::fleet::Fleet;

use super::{Attempt, Class, absent, attempt, of_list, uncontrolled};
use crate::support::unique;
use crate::support::world::{Party, text};

pub(super) const ROWS: &[(&str, Class)] = &[
    (
        "/tenantry.identity.v1.ServiceAccountService/CreateServiceAccount",
        Class::Tenant,
    ),
    (
        "/tenantry.identity.v1.ServiceAccountService/DeleteServiceAccount",
        Class::Tenant,
    ),
    (
        "/tenantry.identity.v1.ServiceAccountService/GetServiceAccount",
        Class::Tenant,
    ),
    (
        "/tenantry.identity.v1.ServiceAccountService/ListServiceAccounts",
        Class::Tenant,
    ),
    (
        "/tenantry.identity.v1.ServiceAccountService/UpdateServiceAccount",
        Class::Tenant,
    ),
];

/// An account of B.
async fn account(fleet: &Fleet, b: &Party) -> Result<String> {
    let path = format!("/api/v1/tenants/{}/service-accounts", b.id);
    let body = json!({"name": unique("program")});
    let made = fleet.operator_rest()?.post(&path, body).await?.ok()?;
    Ok(text(&made, "id"))
}

/// The attempts of one RPC, where it is of this noun.
pub(super) async fn attempts(
    fleet: &Fleet,
    method: &str,
    a: &Party,
    b: &Party,
) -> Result<Option<Vec<Attempt>>> {
    Ok(Some(match method {
        "CreateServiceAccount" => vec![attempt(
            "tenant",
            json!({"tenant": b.id, "name": "intruder"}),
            json!({"tenant": absent(), "name": "intruder"}),
        )],
        "ListServiceAccounts" => {
            for _ in 0..2 {
                account(fleet, b).await?;
            }
            of_list(fleet, a, b, "service-accounts").await?
        }
        "GetServiceAccount" | "UpdateServiceAccount" | "DeleteServiceAccount" => {
            let theirs = account(fleet, b).await?;
            let named = |tenant: &str, account: &str| {
                let mut request: Value = json!({"tenant": tenant, "service_account": account});
                if method == "UpdateServiceAccount" {
                    request["disabled"] = json!(true);
                }
                request
            };
            vec![
                attempt("tenant", named(&b.id, &theirs), named(&absent(), &theirs)),
                uncontrolled("account", named(&a.id, &theirs), named(&a.id, &absent())),
            ]
        }
        _ => return Ok(None),
    }))
}
