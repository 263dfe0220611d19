//! RoleService and MemberRoleService.

use anyhow::Result;
use serde_json::{Value, json};
use tenantry_testkit::fleet::Fleet;

use super::{Attempt, Class, absent, attempt, of_list, uncontrolled};
use crate::support::unique;
use crate::support::world::{Party, text};

pub(super) const ROWS: &[(&str, Class)] = &[
    (
        "/tenantry.identity.v1.MemberRoleService/AddMemberRole",
        Class::Tenant,
    ),
    (
        "/tenantry.identity.v1.MemberRoleService/ListMemberRoles",
        Class::Tenant,
    ),
    (
        "/tenantry.identity.v1.MemberRoleService/RemoveMemberRole",
        Class::Tenant,
    ),
    (
        "/tenantry.identity.v1.RoleService/CreateRole",
        Class::Tenant,
    ),
    (
        "/tenantry.identity.v1.RoleService/DeleteRole",
        Class::Tenant,
    ),
    ("/tenantry.identity.v1.RoleService/GetRole", Class::Tenant),
    ("/tenantry.identity.v1.RoleService/ListRoles", Class::Tenant),
    (
        "/tenantry.identity.v1.RoleService/UpdateRole",
        Class::Tenant,
    ),
];

/// A role of B, made for this one attempt.
async fn spare_role(fleet: &Fleet, b: &Party) -> Result<String> {
    let body = json!({"key": unique("spare"), "permissions": ["tenants.read"]});
    let made = fleet
        .operator_rest()?
        .post(&format!("/api/v1/tenants/{}/roles", b.id), body)
        .await?
        .ok()?;
    Ok(text(&made, "key"))
}

/// B's tenant and its role, then A's tenant and B's role, each against absent ones. What else the request says is added.
fn of_role(a: &Party, b: &Party, role: &str, more: &Value) -> Vec<Attempt> {
    let body = |tenant: &str, role: &str| {
        let mut body = json!({"tenant": tenant, "role": role});
        let further = more.as_object().cloned().unwrap_or_default();
        body.as_object_mut().unwrap().extend(further);
        body
    };
    vec![
        attempt("tenant", body(&b.id, role), body(&absent(), role)),
        uncontrolled("role", body(&a.id, role), body(&a.id, &unique("absent"))),
    ]
}

/// The attempts of one RPC, where it is of this noun.
pub(super) async fn attempts(
    fleet: &Fleet,
    method: &str,
    a: &Party,
    b: &Party,
) -> Result<Option<Vec<Attempt>>> {
    let operator = fleet.operator_rest()?;
    Ok(Some(match method {
        "CreateRole" => {
            let body = |tenant: &str| json!({"tenant": tenant, "key": "intruder", "permissions": ["tenants.read"]});
            vec![attempt("tenant", body(&b.id), body(&absent()))]
        }
        "GetRole" | "DeleteRole" => of_role(a, b, &spare_role(fleet, b).await?, &json!({})),
        "UpdateRole" => {
            let more = json!({"description": "Taken"});
            of_role(a, b, &spare_role(fleet, b).await?, &more)
        }
        "ListRoles" => of_list(fleet, a, b, "roles").await?,
        "ListMemberRoles" => {
            let body = |tenant: &str, user: &str| json!({"tenant": tenant, "user": user});
            vec![
                attempt("tenant", body(&b.id, &b.member), body(&absent(), &b.member)),
                uncontrolled("user", body(&a.id, &b.member), body(&a.id, &absent())),
            ]
        }
        "AddMemberRole" | "RemoveMemberRole" => {
            let role = spare_role(fleet, b).await?;
            if method == "RemoveMemberRole" {
                let path = format!("/api/v1/tenants/{}/users/{}/roles", b.id, b.member);
                operator.post(&path, json!({"role": role})).await?.ok()?;
            }
            let body = |tenant: &str, user: &str, role: &str| json!({"tenant": tenant, "user": user, "role": role});
            vec![
                attempt(
                    "tenant",
                    body(&b.id, &b.member, &role),
                    body(&absent(), &b.member, &role),
                ),
                uncontrolled(
                    "user",
                    body(&a.id, &b.member, "viewer"),
                    body(&a.id, &absent(), "viewer"),
                ),
                uncontrolled(
                    "role",
                    body(&a.id, &a.member, &role),
                    body(&a.id, &a.member, &unique("absent")),
                ),
            ]
        }
        _ => return Ok(None),
    }))
}
