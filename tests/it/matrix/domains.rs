//! DomainService.

use anyhow::Result;
use serde_json::json;
use tenantry_testkit::fleet::Fleet;

use super::{Attempt, Class, absent, attempt, tenant, uncontrolled};
use crate::support::unique;
use crate::support::world::Party;

pub(super) const ROWS: &[(&str, Class)] = &[
    (
        "/tenantry.registry.v1.DomainService/CreateDomain",
        Class::Tenant,
    ),
    (
        "/tenantry.registry.v1.DomainService/DeleteDomain",
        Class::Tenant,
    ),
    (
        "/tenantry.registry.v1.DomainService/GetDomain",
        Class::Tenant,
    ),
    (
        "/tenantry.registry.v1.DomainService/ListDomains",
        Class::Tenant,
    ),
    (
        "/tenantry.registry.v1.DomainService/VerifyDomain",
        Class::Tenant,
    ),
];

/// A domain of B, made for this one control.
async fn spare_domain(fleet: &Fleet, b: &Party) -> Result<String> {
    let name = format!("{}.example.com", unique("spare"));
    fleet
        .operator_rest()?
        .post(
            &format!("/api/v1/tenants/{}/domains", b.id),
            json!({"domain": name}),
        )
        .await?
        .ok()?;
    Ok(name)
}

/// The attempts of one RPC, where it is of this noun.
pub(super) async fn attempts(
    fleet: &Fleet,
    method: &str,
    a: &Party,
    b: &Party,
) -> Result<Option<Vec<Attempt>>> {
    Ok(Some(match method {
        "CreateDomain" => {
            let name = format!("{}.example.com", unique("intruder"));
            vec![attempt(
                "tenant",
                json!({"tenant": b.id, "domain": name}),
                json!({"tenant": absent(), "domain": name}),
            )]
        }
        "ListDomains" => vec![attempt("tenant", tenant(&b.id), tenant(&absent()))],
        "GetDomain" | "DeleteDomain" | "VerifyDomain" => {
            let name = spare_domain(fleet, b).await?;
            let at = |id: &str, name: &str| json!({"tenant": id, "domain": name});
            let own = uncontrolled(
                "domain",
                at(&a.id, &name),
                at(&a.id, &format!("{}.example.com", unique("absent"))),
            );
            let aimed = (at(&b.id, &name), at(&absent(), &name));
            // No record shows it to be B's, so B can't verify it either.
            let aimed = if method == "VerifyDomain" {
                uncontrolled("tenant", aimed.0, aimed.1)
            } else {
                attempt("tenant", aimed.0, aimed.1)
            };
            vec![aimed, own]
        }
        _ => return Ok(None),
    }))
}
