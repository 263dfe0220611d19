//! InvitationService.

use anyhow::Result;
use serde_json::json;
use tenantry_testkit::fleet::Fleet;

use super::{Attempt, Class, absent, attempt, of_list, uncontrolled};
use crate::support::unique;
use crate::support::world::{Party, text};

pub(super) const ROWS: &[(&str, Class)] = &[
    (
        "/tenantry.identity.v1.InvitationService/AcceptInvitation",
        Class::Public,
    ),
    (
        "/tenantry.identity.v1.InvitationService/GetInvitation",
        Class::Tenant,
    ),
    (
        "/tenantry.identity.v1.InvitationService/GetInvitationOffer",
        Class::Public,
    ),
    (
        "/tenantry.identity.v1.InvitationService/InviteMember",
        Class::Tenant,
    ),
    (
        "/tenantry.identity.v1.InvitationService/ListInvitations",
        Class::Tenant,
    ),
    (
        "/tenantry.identity.v1.InvitationService/ResendInvitation",
        Class::Tenant,
    ),
    (
        "/tenantry.identity.v1.InvitationService/RevokeInvitation",
        Class::Tenant,
    ),
];

/// An invitation of B, made for this one control.
async fn spare_invitation(fleet: &Fleet, b: &Party) -> Result<String> {
    let path = format!("/api/v1/tenants/{}/users/invite", b.id);
    let body = json!({"email": format!("{}@example.com", unique("invited"))});
    let made = b.rest(fleet)?.post(&path, body).await?.ok()?;
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
        "InviteMember" => {
            let email = format!("{}@example.com", unique("invited"));
            let body = |id: &str| json!({"tenant": id, "email": email});
            vec![attempt("tenant", body(&b.id), body(&absent()))]
        }
        "ListInvitations" => {
            for _ in 0..2 {
                spare_invitation(fleet, b).await?;
            }
            of_list(fleet, a, b, "users/invitations").await?
        }
        "GetInvitation" | "ResendInvitation" | "RevokeInvitation" => {
            let spare = spare_invitation(fleet, b).await?;
            vec![
                attempt(
                    "tenant",
                    json!({"tenant": b.id, "invitation": spare}),
                    json!({"tenant": absent(), "invitation": spare}),
                ),
                uncontrolled(
                    "invitation",
                    json!({"tenant": a.id, "invitation": spare}),
                    json!({"tenant": a.id, "invitation": absent()}),
                ),
            ]
        }
        _ => return Ok(None),
    }))
}
