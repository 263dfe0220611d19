//! MemberService.

use anyhow::Result;
use serde_json::json;
use tenantry_testkit::fleet::Fleet;

use super::{Attempt, Class, absent, attempt, of_list, uncontrolled};
use crate::support::unique;
use crate::support::world::{PASSWORD, Party, add_user};

pub(super) const ROWS: &[(&str, Class)] = &[
    (
        "/tenantry.identity.v1.MemberService/AddMember",
        Class::Tenant,
    ),
    (
        "/tenantry.identity.v1.MemberService/CreateMember",
        Class::Tenant,
    ),
    (
        "/tenantry.identity.v1.MemberService/GetMember",
        Class::Tenant,
    ),
    (
        "/tenantry.identity.v1.MemberService/ListMembers",
        Class::Tenant,
    ),
    (
        "/tenantry.identity.v1.MemberService/ListUserMemberships",
        Class::Tenant,
    ),
    (
        "/tenantry.identity.v1.MemberService/RemoveMember",
        Class::Tenant,
    ),
    (
        "/tenantry.identity.v1.MemberService/TransferMembers",
        Class::Tenant,
    ),
    (
        "/tenantry.identity.v1.MemberService/UpdateMember",
        Class::Tenant,
    ),
];

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

/// The attempts of one RPC, where it is of this noun.
pub(super) async fn attempts(
    fleet: &Fleet,
    method: &str,
    a: &Party,
    b: &Party,
) -> Result<Option<Vec<Attempt>>> {
    Ok(Some(match method {
        "CreateMember" => {
            let body = |id: &str, email: &str| json!({"tenant": id, "email": email, "password": PASSWORD, "roles": ["member"]});
            // One whom B's own people may add: of a tenant below.
            let email = format!("{}@example.com", unique("new"));
            add_user(&fleet.operator_rest()?, &b.child, &email, "member").await?;
            vec![attempt(
                "tenant",
                body(&b.id, &email),
                body(&absent(), &email),
            )]
        }
        "ListMembers" => of_list(fleet, a, b, "users").await?,
        "GetMember" | "UpdateMember" => {
            let body = |tenant: &str, user: &str| match method {
                "GetMember" => json!({"tenant": tenant, "user": user}),
                _ => json!({"tenant": tenant, "user": user, "name": "Renamed"}),
            };
            vec![
                attempt("tenant", body(&b.id, &b.member), body(&absent(), &b.member)),
                uncontrolled("user", body(&a.id, &b.member), body(&a.id, &absent())),
            ]
        }
        "ListUserMemberships" => vec![attempt(
            "user",
            json!({"user": b.member}),
            json!({"user": absent()}),
        )],
        "TransferMembers" => {
            let spare = spare_member(fleet, b).await?;
            let body = |from: &str, to: &str, user: &str| json!({"tenant": from, "target_tenant": to, "users": [user], "keep_in_source": true});
            vec![
                attempt(
                    "tenant",
                    body(&b.id, &b.child, &spare),
                    body(&absent(), &b.child, &spare),
                ),
                uncontrolled(
                    "target",
                    body(&a.id, &b.id, &a.member),
                    body(&a.id, &absent(), &a.member),
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
        _ => return Ok(None),
    }))
}
