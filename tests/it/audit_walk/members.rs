//! Members, their roles, and the roles that a tenant defines.

use anyhow::Result;
use serde_json::{Value, json};

use super::case::{ANY, Case, Changes, Left, changed, gone, made};
use super::scene::{Scene, address};
use crate::support::unique;
use crate::support::world::text;

pub(super) const METHODS: &[&str] = &[
    "/tenantry.identity.v1.MemberRoleService/AddMemberRole",
    "/tenantry.identity.v1.MemberRoleService/RemoveMemberRole",
    "/tenantry.identity.v1.MemberService/AddMember",
    "/tenantry.identity.v1.MemberService/CreateMember",
    "/tenantry.identity.v1.MemberService/RemoveMember",
    "/tenantry.identity.v1.MemberService/TransferMembers",
    "/tenantry.identity.v1.MemberService/UpdateMember",
    "/tenantry.identity.v1.RoleService/CreateRole",
    "/tenantry.identity.v1.RoleService/DeleteRole",
    "/tenantry.identity.v1.RoleService/UpdateRole",
];

fn of_member(log: &str, action: &'static str, user: &str, changes: Changes) -> Left {
    Left::new(log, action, ("member", user), changes)
}

pub(super) async fn cases(scene: &Scene<'_>, method: &str) -> Result<Vec<Case>> {
    let tenant = scene.tenant.clone();
    if method.ends_with("Role") && !method.contains("Member") {
        return Ok(vec![of_role(scene, method).await?]);
    }
    if method == "TransferMembers" {
        return Ok(vec![transfer(scene).await?]);
    }
    if method == "CreateMember" {
        return Ok(vec![create(scene)]);
    }
    let (user, email) = match method {
        // Of a tenant below, so that the owner may add them.
        "AddMember" => scene.member_of(&scene.child().await?, "member").await?,
        _ => scene.member("member").await?,
    };
    let mut request = json!({"tenant": tenant, "user": user});
    let changes = match method {
        "AddMember" => {
            request["roles"] = json!(["viewer"]);
            made(json!({"email": email, "name": "Mem", "roles": ["viewer"]}))
        }
        "RemoveMember" => gone(json!({"email": email, "name": "Mem", "roles": ["member"]})),
        "UpdateMember" => {
            let username = unique("mem").replace('-', ".");
            request["name"] = json!("Memo");
            request["username"] = json!(username);
            changed(&[
                ("name", json!("Mem"), json!("Memo")),
                ("username", Value::Null, json!(username)),
            ])
        }
        "AddMemberRole" => {
            request["role"] = json!("viewer");
            changed(&[("roles", json!(["member"]), json!(["member", "viewer"]))])
        }
        _ => {
            let path = format!("/api/v1/tenants/{tenant}/users/{user}/roles");
            scene
                .rest
                .post(&path, json!({"role": "viewer"}))
                .await?
                .ok()?;
            request["role"] = json!("viewer");
            changed(&[("roles", json!(["member", "viewer"]), json!(["member"]))])
        }
    };
    let action = match method {
        "AddMember" => "member.added",
        "RemoveMember" => "member.removed",
        _ => "member.updated",
    };
    let (denied, id) = (request.clone(), user.clone());
    let case = Case::new(&scene.owner, request, move |_| {
        vec![of_member(&tenant, action, &user, changes.clone())]
    });
    Ok(vec![case.denied_to(&scene.viewer, denied, &id)])
}

/// Of a person who signs in nowhere yet, there is a user too.
fn create(scene: &Scene<'_>) -> Case {
    let (tenant, email) = (scene.tenant.clone(), address("new"));
    let request = json!({"tenant": tenant, "email": email, "name": "New", "roles": ["member"]});
    let denied = request.clone();
    let case = Case::new(&scene.operator, request, move |answer| {
        let id = text(answer, "id");
        let user = made(json!({"email": email, "name": "New"}));
        let member = made(json!({"email": email, "name": "New", "roles": ["member"]}));
        vec![
            Left::new(&tenant, "user.created", ("user", &id), user),
            of_member(&tenant, "member.added", &id, member),
        ]
    });
    case.denied_to(&scene.viewer, denied, "")
}

/// One event in each tenant for each who moves.
async fn transfer(scene: &Scene<'_>) -> Result<Case> {
    let (from, to) = (scene.tenant.clone(), scene.child().await?);
    let people = [scene.member("member").await?, scene.member("viewer").await?];
    let users = [&people[0].0, &people[1].0];
    let request = json!({"tenant": from, "targetTenant": to, "users": users});
    let denied = request.clone();
    let case = Case::new(&scene.owner, request, move |_| {
        let mut left = Vec::new();
        for ((user, email), role) in people.iter().zip(["member", "viewer"]) {
            let facts = || json!({"email": email, "name": "Mem", "roles": [role]});
            left.push(of_member(&to, "member.added", user, made(facts())));
            left.push(of_member(&from, "member.removed", user, gone(facts())));
        }
        left
    });
    Ok(case.denied_to(&scene.viewer, denied, ""))
}

async fn of_role(scene: &Scene<'_>, method: &str) -> Result<Case> {
    let (tenant, key) = (scene.tenant.clone(), unique("clerk"));
    let path = format!("/api/v1/tenants/{tenant}/roles");
    let body = json!({"key": key, "name": "Clerk", "permissions": ["tenants.read"]});
    let facts = json!({"key": key, "name": "Clerk", "permissions": ["tenants.read"]});
    let (action, request, changes) = match method {
        "CreateRole" => {
            let mut request = body;
            request["tenant"] = json!(tenant);
            ("role.created", request, made(facts))
        }
        "UpdateRole" => {
            scene.rest.post(&path, body).await?.ok()?;
            let request = json!({"tenant": tenant, "role": key, "name": "Scribe", "permissions": ["members.read"]});
            let changes = changed(&[
                ("name", json!("Clerk"), json!("Scribe")),
                (
                    "permissions",
                    json!(["tenants.read"]),
                    json!(["members.read"]),
                ),
            ]);
            ("role.updated", request, changes)
        }
        _ => {
            scene.rest.post(&path, body).await?.ok()?;
            let request = json!({"tenant": tenant, "role": key});
            ("role.deleted", request, gone(facts))
        }
    };
    let denied = request.clone();
    let case = Case::new(&scene.owner, request, move |_| {
        vec![Left::new(&tenant, action, ("role", ANY), changes.clone())]
    });
    Ok(case.denied_to(&scene.viewer, denied, ""))
}
