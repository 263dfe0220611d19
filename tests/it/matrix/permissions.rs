//! PermissionService.

use serde_json::json;

use super::{Attempt, Class, absent, attempt};
use crate::support::world::Party;

pub(super) const ROWS: &[(&str, Class)] = &[
    (
        "/tenantry.identity.v1.PermissionService/CheckPermissions",
        Class::Tenant,
    ),
    (
        "/tenantry.identity.v1.PermissionService/ListPermissions",
        Class::Common,
    ),
];

/// The attempts of one RPC, where it is of this noun.
pub(super) fn attempts(method: &str, b: &Party) -> Option<Vec<Attempt>> {
    let own =
        |tenant: &str| json!({"tenant": tenant, "questions": [{"permission": "tenants.read"}]});
    let owner = |tenant: &str| json!({"tenant": tenant, "questions": [{"principal_kind": "user", "principal_id": b.owner, "permission": "tenants.read"}]});
    Some(match method {
        "CheckPermissions" => vec![
            attempt("tenant", own(&b.id), own(&absent())),
            attempt("principal", owner(&b.id), owner(&absent())),
        ],
        _ => return None,
    })
}
