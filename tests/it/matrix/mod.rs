//! The golden matrix: what each RPC of the gateway is to someone from another tenant. An RPC without a row fails the
//! build of trust here. Each noun has a file with its rows and its attempts.

mod api_keys;
mod audit;
mod domains;
mod identity_providers;
mod invitations;
mod legal_holds;
mod members;
mod permissions;
mod plans;
mod quotas;
mod roles;
mod service_accounts;
mod sessions;
mod tenant_imports;
mod tenants;
mod usage;

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use tenantry_testkit::fleet::Fleet;

use crate::support::world::{Party, text};

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

/// The RPCs that name nothing of a tenant.
const ROWS: &[(&str, Class)] = &[
    ("/tenantry.identity.v1.AuthService/GetCaller", Class::Common),
    ("/tenantry.identity.v1.AuthService/GetJwks", Class::Public),
    ("/tenantry.identity.v1.AuthService/Login", Class::Public),
    ("/tenantry.identity.v1.AuthService/Logout", Class::Common),
    ("/tenantry.identity.v1.AuthService/Refresh", Class::Public),
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
        "/tenantry.identity.v1.OperatorService/GetOperator",
        Class::Operator,
    ),
    (
        "/tenantry.identity.v1.OperatorService/ListOperators",
        Class::Operator,
    ),
    (
        "/tenantry.identity.v1.OperatorService/ListPlatformApiKeys",
        Class::Operator,
    ),
    (
        "/tenantry.identity.v1.OperatorService/RemoveOperator",
        Class::Operator,
    ),
    (
        "/tenantry.identity.v1.OperatorService/RevokePlatformApiKey",
        Class::Operator,
    ),
    (
        "/tenantry.identity.v1.OperatorService/RotatePlatformApiKey",
        Class::Operator,
    ),
    (
        "/tenantry.identity.v1.OperatorService/UpdateOperator",
        Class::Operator,
    ),
    (
        "/tenantry.identity.v1.OrganizationService/SignUp",
        Class::Common,
    ),
    (
        "/tenantry.identity.v1.ReadinessService/GetReadiness",
        Class::Public,
    ),
    (
        "/tenantry.registry.v1.ProjectService/CreateProject",
        Class::Operator,
    ),
    (
        "/tenantry.registry.v1.ProjectService/GetProject",
        Class::Operator,
    ),
    (
        "/tenantry.registry.v1.ProjectService/ListProjects",
        Class::Operator,
    ),
    (
        "/tenantry.registry.v1.ProjectService/UpdateProject",
        Class::Operator,
    ),
];

/// Every RPC of the gateway.
pub fn rows() -> Vec<(&'static str, Class)> {
    [
        ROWS,
        api_keys::ROWS,
        audit::ROWS,
        invitations::ROWS,
        legal_holds::ROWS,
        identity_providers::ROWS,
        members::ROWS,
        permissions::ROWS,
        plans::ROWS,
        quotas::ROWS,
        roles::ROWS,
        domains::ROWS,
        service_accounts::ROWS,
        sessions::ROWS,
        tenant_imports::ROWS,
        tenants::ROWS,
        usage::ROWS,
    ]
    .concat()
}

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
        control: false,
        ..attempt(what, at_b, at_absent)
    }
}

fn absent() -> String {
    tenantry_core::TenantId::new().to_string()
}

/// A request that names a tenant and nothing else.
fn tenant(name: &str) -> Value {
    json!({"tenant": name})
}

/// The attempts on a list of B's, which has more than one item: by its tenant, and by a page token that B got, which is no
/// more to A than nonsense of the same length.
async fn of_list(fleet: &Fleet, a: &Party, b: &Party, items: &str) -> Result<Vec<Attempt>> {
    let path = format!("/api/v1/tenants/{}/{items}?page_size=1", b.id);
    let page = b.rest(fleet)?.get(&path).await?.ok()?;
    let token = text(&page, "next_page_token");
    ensure!(!token.is_empty(), "one page holds all {items} of B");
    let nonsense: String = token.chars().rev().collect();
    let own = |token: &str| json!({"tenant": a.id, "page_size": 1, "page_token": token});
    Ok(vec![
        attempt("tenant", tenant(&b.id), tenant(&absent())),
        uncontrolled("page token", own(&token), own(&nonsense)),
    ])
}

/// The attempts of one RPC. `a` attacks, `b` is attacked.
pub async fn attempts(fleet: &Fleet, path: &str, a: &Party, b: &Party) -> Result<Vec<Attempt>> {
    let method = path.rsplit('/').next().unwrap_or_default();
    if let Some(attempts) = audit::attempts(fleet, path, a, b).await? {
        return Ok(attempts);
    }
    if let Some(attempts) = tenants::attempts(fleet, method, a, b).await? {
        return Ok(attempts);
    }
    if let Some(attempts) = domains::attempts(fleet, method, a, b).await? {
        return Ok(attempts);
    }
    if let Some(attempts) = members::attempts(fleet, method, a, b).await? {
        return Ok(attempts);
    }
    if let Some(attempts) = invitations::attempts(fleet, method, a, b).await? {
        return Ok(attempts);
    }
    if let Some(attempts) = service_accounts::attempts(fleet, method, a, b).await? {
        return Ok(attempts);
    }
    if let Some(attempts) = api_keys::attempts(fleet, method, a, b).await? {
        return Ok(attempts);
    }
    if let Some(attempts) = roles::attempts(fleet, method, a, b).await? {
        return Ok(attempts);
    }
    if let Some(attempts) = identity_providers::attempts(fleet, method, a, b).await? {
        return Ok(attempts);
    }
    if let Some(attempts) = permissions::attempts(method, b) {
        return Ok(attempts);
    }
    if let Some(attempts) = plans::attempts(method, b) {
        return Ok(attempts);
    }
    if let Some(attempts) = quotas::attempts(fleet, method, a, b).await? {
        return Ok(attempts);
    }
    if let Some(attempts) = usage::attempts(fleet, method, a, b).await? {
        return Ok(attempts);
    }
    if let Some(attempts) = sessions::attempts(fleet, method, a, b).await? {
        return Ok(attempts);
    }
    anyhow::bail!("{method} has no attempts: add them")
}
