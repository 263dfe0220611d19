//! How people come in: invitations, sign-up, sign-in elsewhere, and the first operator.

use anyhow::Result;
use serde_json::{Value, json};

use super::case::{ANY, Case, Changes, Left, changed, made, person};
use super::scene::{Scene, address};
use crate::support::unique;
use crate::support::world::{PASSWORD, text};

pub(super) const METHODS: &[&str] = &[
    "/tenantry.identity.v1.InvitationService/AcceptInvitation",
    "/tenantry.identity.v1.InvitationService/InviteMember",
    "/tenantry.identity.v1.InvitationService/ResendInvitation",
    "/tenantry.identity.v1.InvitationService/RevokeInvitation",
    "/tenantry.identity.v1.OrganizationService/SignUp",
];

pub(super) async fn cases(scene: &Scene<'_>, method: &str) -> Result<Vec<Case>> {
    if method == "SignUp" {
        return Ok(vec![sign_up(scene).await?]);
    }
    let (tenant, email) = (scene.tenant.clone(), address("guest"));
    let invite = json!({"tenant": tenant, "email": email, "roles": ["viewer"]});
    if method == "InviteMember" {
        let denied = invite.clone();
        let case = Case::new(&scene.owner, invite, move |answer| {
            let id = text(answer, "id");
            let fields = made(json!({"email": email, "roles": ["viewer"], "times_sent": 1}));
            vec![of_invitation(&tenant, "invitation.created", &id, fields)]
        });
        return Ok(vec![case.denied_to(&scene.viewer, denied, "")]);
    }
    let path = "/tenantry.identity.v1.InvitationService/InviteMember";
    let id = text(&scene.ask(path, &scene.owner, invite).await?, "id");
    if method == "AcceptInvitation" {
        return Ok(vec![accept(scene, id, email).await?]);
    }
    let request = json!({"tenant": tenant, "invitation": id});
    let (action, changes) = if method == "ResendInvitation" {
        let fields = changed(&[
            ("times_sent", json!(1), json!(2)),
            ("expires_at", json!(ANY), json!(ANY)),
        ]);
        ("invitation.resent", fields)
    } else {
        let fields = changed(&[("revoked_at", Value::Null, json!(ANY))]);
        ("invitation.revoked", fields)
    };
    let (denied, named) = (request.clone(), id.clone());
    let case = Case::new(&scene.owner, request, move |_| {
        vec![of_invitation(&tenant, action, &id, changes.clone())]
    });
    Ok(vec![case.denied_to(&scene.viewer, denied, &named)])
}

fn of_invitation(tenant: &str, action: &'static str, id: &str, changes: Changes) -> Left {
    Left::new(tenant, action, ("invitation", id), changes)
}

/// Whoever has the link turns out to be a person; who is signed in as another is denied.
async fn accept(scene: &Scene<'_>, id: String, email: String) -> Result<Case> {
    let tenant = scene.tenant.clone();
    let mail = scene.fleet.post().nth(&email, 1).await?;
    let request = json!({"token": mail.token(), "name": "Gus", "password": PASSWORD});
    let other = address("other");
    let path = "/tenantry.identity.v1.InvitationService/InviteMember";
    let invite = json!({"tenant": tenant, "email": other, "roles": ["viewer"]});
    scene.ask(path, &scene.owner, invite).await?;
    let for_other = scene.fleet.post().nth(&other, 1).await?;
    let denied = json!({"token": for_other.token()});
    let case = Case::new(&scene.nobody, request, move |answer| {
        let user = text(answer, "id");
        let by = person(&user, &email);
        let facts = json!({"email": email, "name": "Gus"});
        let member = json!({"email": email, "name": "Gus", "roles": ["viewer"]});
        let accepted = changed(&[("accepted_at", Value::Null, json!(ANY))]);
        let kind = ("member", user.as_str());
        [
            Left::new(&tenant, "user.created", ("user", &user), made(facts)),
            Left::new(&tenant, "member.added", kind, made(member)),
            of_invitation(&tenant, "invitation.accepted", &id, accepted),
        ]
        .map(|left| left.by(by.clone()))
        .into()
    });
    Ok(case.refused(&scene.viewer, denied, "", "INVITATION_FOR_ANOTHER"))
}

/// Two services write, each its own event, into the new tenant's log; programs have no tenants of their own.
async fn sign_up(scene: &Scene<'_>) -> Result<Case> {
    let who = scene.person(&scene.tenant, "member").await?;
    let name = unique("Startup");
    let request = json!({"name": name});
    let denied = request.clone();
    let case = Case::new(&who.caller, request, move |answer| {
        let tenant = text(answer, "id");
        let facts = made(json!({"name": name, "email": who.email, "status": ANY}));
        let member = made(json!({"email": who.email, "roles": ["owner"]}));
        let kind = ("member", who.id.as_str());
        vec![
            Left::new(&tenant, "tenant.created", ("tenant", &tenant), facts),
            Left::new(&tenant, "member.added", kind, member),
        ]
    });
    Ok(case.denied_to(&scene.key, denied, ""))
}
