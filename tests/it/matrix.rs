//! The golden matrix: what each RPC of the gateway is to someone from another tenant. An RPC without a row fails the
//! build of trust here.

use anyhow::Result;
use serde_json::{Value, json};
use tenantry_testkit::fleet::Fleet;

use crate::support::unique;
use crate::support::world::{PASSWORD, Party, add_user, create_tenant, text};

/// What an RPC is to another tenant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// It names something of a tenant: attacked with each set of ids, against absent ones.
    Tenant,
    /// It is for operators: a tenant's people and programs are refused whatever they name.
    Operator,
    /// It names nothing of any tenant: anyone's answer is about the caller or the same for all.
    Common,
    /// It needs no credential.
    Public,
}

/// Every RPC of the gateway.
pub const ROWS: &[(&str, Class)] = &[
    (
        "/tenantry.identity.v1.ApiKeyService/CreateApiKey",
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
    ("/tenantry.identity.v1.AuthService/GetCaller", Class::Common),
    ("/tenantry.identity.v1.AuthService/GetJwks", Class::Public),
    ("/tenantry.identity.v1.AuthService/Login", Class::Public),
    ("/tenantry.identity.v1.AuthService/Logout", Class::Common),
    ("/tenantry.identity.v1.AuthService/Refresh", Class::Public),
    (
        "/tenantry.identity.v1.MemberService/AddMember",
        Class::Tenant,
    ),
    (
        "/tenantry.identity.v1.MemberService/CreateMember",
        Class::Tenant,
    ),
    (
        "/tenantry.identity.v1.MemberService/ListMembers",
        Class::Tenant,
    ),
    (
        "/tenantry.identity.v1.MemberService/RemoveMember",
        Class::Tenant,
    ),
    (
        "/tenantry.identity.v1.OperatorService/Bootstrap",
        Class::Public,
    ),
    (
        "/tenantry.identity.v1.OperatorService/CreateOperator",
        Class::Operator,
    ),
    (
        "/tenantry.identity.v1.OperatorService/CreatePlatformApiKey",
        Class::Operator,
    ),
    (
        "/tenantry.identity.v1.OperatorService/ListOperators",
        Class::Operator,
    ),
    (
        "/tenantry.identity.v1.ReadinessService/GetReadiness",
        Class::Public,
    ),
    ("/tenantry.registry.v1.PlanService/GetPlan", Class::Common),
    ("/tenantry.registry.v1.PlanService/ListPlans", Class::Common),
    (
        "/tenantry.registry.v1.ProjectService/CreateProject",
        Class::Operator,
    ),
    (
        "/tenantry.registry.v1.ProjectService/ListProjects",
        Class::Operator,
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

/// One attack: the request that aims at B, the same with absent ids, and the tenant that B's own credential names in its
/// control.
pub struct Attempt {
    pub what: &'static str,
    pub at_b: Value,
    pub at_absent: Value,
    /// Whether `at_b` is what B's own credential must succeed with.
    pub control: bool,
}

fn attempt(what: &'static str, at_b: Value, at_absent: Value) -> Attempt {
    Attempt {
        what,
        at_b,
        at_absent,
        control: true,
    }
}

/// The same, not something that B itself may do.
fn uncontrolled(what: &'static str, at_b: Value, at_absent: Value) -> Attempt {
    Attempt {
        what,
        at_b,
        at_absent,
        control: false,
    }
}

fn absent() -> String {
    tenantry_core::TenantId::new().to_string()
}

/// A member of B, made for this one control.
async fn spare_member(fleet: &Fleet, b: &Party) -> Result<String> {
    add_user(
        &fleet.operator_rest()?,
        &b.id,
        &format!("{}@example.com", unique("spare")),
        "member",
    )
    .await
}

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

/// A child of B, made for this one control.
async fn spare_child(fleet: &Fleet, b: &Party) -> Result<String> {
    let body = json!({"name": unique("Spare"), "parent_id": b.id});
    Ok(text(
        &create_tenant(&fleet.operator_rest()?, body).await?,
        "id",
    ))
}

/// The attempts of one RPC. `a` attacks, `b` is attacked.
pub async fn attempts(fleet: &Fleet, path: &str, a: &Party, b: &Party) -> Result<Vec<Attempt>> {
    let method = path.rsplit('/').next().unwrap_or_default();
    let operator = fleet.operator_rest()?;
    let tenant = |id: &str| json!({"tenant": id});
    Ok(match method {
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
        "SuspendTenant" | "ResumeTenant" | "UndeleteTenant" => vec![
            uncontrolled("id", tenant(&b.id), tenant(&absent())),
            attempt(
                "child",
                tenant(&spare_child(fleet, b).await?),
                tenant(&absent()),
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
        "CreateMember" => {
            let body = |id: &str, email: &str| json!({"tenant": id, "email": email, "password": PASSWORD, "roles": ["member"]});
            let email = format!("{}@example.com", unique("new"));
            vec![attempt(
                "tenant",
                body(&b.id, &email),
                body(&absent(), &email),
            )]
        }
        "ListMembers" => {
            let body = json!({"email": format!("{}@example.com", unique("page")), "password": PASSWORD, "roles": ["member"]});
            operator
                .post(&format!("/api/v1/tenants/{}/users", b.id), body)
                .await?
                .ok()?;
            let page = b
                .rest(fleet)?
                .get(&format!("/api/v1/tenants/{}/users?page_size=1", b.id))
                .await?
                .ok()?;
            let token = text(&page, "next_page_token");
            let nonsense: String = token.chars().rev().collect();
            vec![
                attempt("tenant", tenant(&b.id), tenant(&absent())),
                uncontrolled(
                    "page token",
                    json!({"tenant": a.id, "page_size": 1, "page_token": token}),
                    json!({"tenant": a.id, "page_size": 1, "page_token": nonsense}),
                ),
            ]
        }
        "AddMember" => vec![
            attempt(
                "tenant",
                json!({"tenant": b.id, "user": b.child_member, "roles": ["member"]}),
                json!({"tenant": absent(), "user": b.child_member, "roles": ["member"]}),
            ),
            uncontrolled(
                "user",
                json!({"tenant": a.id, "user": b.member, "roles": ["member"]}),
                json!({"tenant": a.id, "user": absent(), "roles": ["member"]}),
            ),
        ],
        "RemoveMember" => {
            let spare = spare_member(fleet, b).await?;
            vec![
                attempt(
                    "tenant",
                    json!({"tenant": b.id, "user": spare}),
                    json!({"tenant": absent(), "user": spare}),
                ),
                uncontrolled(
                    "user",
                    json!({"tenant": a.id, "user": b.member}),
                    json!({"tenant": a.id, "user": absent()}),
                ),
            ]
        }
        "CreateApiKey" => vec![attempt(
            "tenant",
            json!({"tenant": b.id, "name": "intruder"}),
            json!({"tenant": absent(), "name": "intruder"}),
        )],
        "ListApiKeys" => {
            spare_key(fleet, b).await?;
            let page = b
                .rest(fleet)?
                .get(&format!("/api/v1/tenants/{}/api-keys?page_size=1", b.id))
                .await?
                .ok()?;
            let token = text(&page, "next_page_token");
            let nonsense: String = token.chars().rev().collect();
            vec![
                attempt("tenant", tenant(&b.id), tenant(&absent())),
                uncontrolled(
                    "page token",
                    json!({"tenant": a.id, "page_size": 1, "page_token": token}),
                    json!({"tenant": a.id, "page_size": 1, "page_token": nonsense}),
                ),
            ]
        }
        "RevokeApiKey" => {
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
        other => anyhow::bail!("{other} has no attempts: add them"),
    })
}
