//! Attacks on roles: each way to get more than one was given, tried through the gateway, and refused.

use anyhow::Result;
use serde_json::{Value, json};
use tenantry_testkit::fleet::{Fleet, sign_in};
use tenantry_testkit::rest::{Answer, Rest};

use crate::support::world::{PASSWORD, Party, add_user, create_tenant, text};
use crate::support::{fleet, unique};

/// Someone with one role in a tenant, signed in.
struct Someone {
    id: String,
    rest: Rest,
}

async fn someone(fleet: &Fleet, tenant: &str, role: &str) -> Result<Someone> {
    let email = format!("{}@example.com", unique("someone"));
    let id = add_user(&fleet.operator_rest()?, tenant, &email, role).await?;
    let token = sign_in(&fleet.rest()?, &email, PASSWORD).await?;
    let rest = fleet.rest()?.bearer(&token);
    Ok(Someone { id, rest })
}

fn assert_refused(what: &str, answer: &Answer, status: u16, reason: &str) {
    assert_eq!(
        (answer.status, answer.reason().as_str()),
        (status, reason),
        "{what}: {}",
        answer.text
    );
}

fn roles_of(tenant: &str, user: &str) -> String {
    format!("/api/v1/tenants/{tenant}/users/{user}/roles")
}

async fn member_roles(rest: &Rest, tenant: &str, user: &str) -> Result<Vec<String>> {
    let answer = rest.get(&roles_of(tenant, user)).await?.ok()?;
    let roles = answer["roles"].as_array().cloned().unwrap_or_default();
    Ok(roles.iter().map(|role| text(role, "key")).collect())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_grants_nothing() -> Result<()> {
    let fleet = fleet().await?;
    let a = Party::create(fleet).await?;
    let users = format!("/api/v1/tenants/{}/users", a.id);
    let new = || json!({"email": format!("{}@example.com", unique("new")), "password": PASSWORD, "roles": ["admin"]});
    for role in ["member", "viewer"] {
        let attacker = someone(fleet, &a.id, role).await?;
        let own = roles_of(&a.id, &attacker.id);
        for (what, path, body) in [
            ("oneself admin", own.as_str(), json!({"role": "admin"})),
            ("oneself owner", &own, json!({"role": "owner"})),
            ("a new admin", &users, new()),
        ] {
            let answer = attacker.rest.post(path, body).await?;
            assert_refused(
                &format!("{role}, {what}"),
                &answer,
                403,
                "PERMISSION_DENIED",
            );
        }
        let operator = fleet.operator_rest()?;
        assert_eq!(member_roles(&operator, &a.id, &attacker.id).await?, [role]);
    }
    // And an admin makes no owner.
    let admin = someone(fleet, &a.id, "admin").await?;
    let own = roles_of(&a.id, &admin.id);
    let answer = admin.rest.post(&own, json!({"role": "owner"})).await?;
    assert_refused("admin to owner", &answer, 403, "GRANT_EXCEEDS_OWN");
    let owners = format!("{}/owner", roles_of(&a.id, &a.owner));
    let answer = admin.rest.delete(&owners).await?;
    assert_refused("the owner's role", &answer, 403, "GRANT_EXCEEDS_OWN");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_parent_s_viewer_and_member_act_in_no_child_and_a_child_s_admin_not_in_the_parent()
-> Result<()> {
    let fleet = fleet().await?;
    let a = Party::create(fleet).await?;
    let absent = tenantry_core::TenantId::new().to_string();
    let requests = |tenant: &str| {
        let at = format!("/api/v1/tenants/{tenant}");
        [
            ("GET", at.clone(), Value::Null),
            ("PATCH", at.clone(), json!({"name": "Taken"})),
            ("GET", format!("{at}/users"), Value::Null),
            (
                "POST",
                format!("{at}/users"),
                json!({"email": "x@example.com"}),
            ),
            ("GET", format!("{at}/roles"), Value::Null),
            (
                "POST",
                format!("{at}/roles"),
                json!({"key": "mine", "permissions": ["tenants.read"]}),
            ),
            ("POST", format!("{at}/api-keys"), json!({"name": "mine"})),
            ("GET", format!("{at}/quotas"), Value::Null),
            (
                "POST",
                format!("{at}/usage/increment"),
                json!({"resource_type": "alerts"}),
            ),
            (
                "PATCH",
                format!("{at}/limits"),
                json!({"resource_type": "alerts", "limit": "1", "reason": "Mine"}),
            ),
            ("POST", format!("{at}/status/suspended"), json!({})),
            ("DELETE", at, Value::Null),
        ]
    };
    for (role, of, into) in [
        ("viewer", &a.id, &a.child),
        ("member", &a.id, &a.child),
        ("admin", &a.child, &a.id),
        ("owner", &a.child, &a.id),
    ] {
        let attacker = someone(fleet, of, role).await?;
        assert_eq!(
            attacker
                .rest
                .get(&format!("/api/v1/tenants/{of}"))
                .await?
                .status,
            200
        );
        for ((verb, path, body), (_, unknown, _)) in
            requests(into).into_iter().zip(requests(&absent))
        {
            let body = || (!body.is_null()).then(|| body.to_string());
            let foreign = attacker.rest.send(verb.parse()?, &path, body()).await?;
            assert_refused(
                &format!("{role}: {verb} {path}"),
                &foreign,
                404,
                "TENANT_NOT_FOUND",
            );
            let nothing = attacker.rest.send(verb.parse()?, &unknown, body()).await?;
            assert_eq!(foreign.text, nothing.text, "{role}: {verb} {path}");
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_the_last_two_owners_removed_at_once_in_any_way_one_stays() -> Result<()> {
    let fleet = fleet().await?;
    let operator = fleet.operator_rest()?;
    for round in 0..6 {
        let tenant = create_tenant(&operator, json!({"name": unique("Owners")})).await?;
        let tenant = text(&tenant, "id");
        let (one, other) = (
            someone(fleet, &tenant, "owner").await?,
            someone(fleet, &tenant, "owner").await?,
        );
        for owner in [&one, &other] {
            let path = roles_of(&tenant, &owner.id);
            operator
                .post(&path, json!({"role": "member"}))
                .await?
                .ok()?;
        }
        // Each takes it from the other, or leaves; the gateway spreads the calls over both replicas.
        let user = |id: &str| format!("/api/v1/tenants/{tenant}/users/{id}");
        let role = |id: &str| format!("{}/owner", roles_of(&tenant, id));
        let (first, second) = match round % 3 {
            0 => (role(&other.id), role(&one.id)),
            1 => (user(&other.id), user(&one.id)),
            _ => (role(&one.id), user(&other.id)),
        };
        let (first, second) = tokio::join!(one.rest.delete(&first), other.rest.delete(&second));
        let answers = [first?, second?];
        let refused: Vec<_> = answers
            .iter()
            .filter(|answer| answer.status != 200)
            .collect();
        assert_eq!(refused.len(), 1, "{answers:?}");
        // The one that came second has lost the right, or would be the last.
        assert!(
            [
                "LAST_OWNER",
                "GRANT_EXCEEDS_OWN",
                "PERMISSION_DENIED",
                "TENANT_NOT_FOUND"
            ]
            .contains(&refused[0].reason().as_str()),
            "{}",
            refused[0].text
        );
        let mut owners = 0;
        for owner in [&one, &other] {
            let roles = operator.get(&roles_of(&tenant, &owner.id)).await?;
            owners += usize::from(roles.status == 200 && roles.text.contains("\"owner\""));
        }
        assert_eq!(owners, 1);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_raises_a_role_of_their_own_or_grants_through_one_or_through_a_key() -> Result<()> {
    let fleet = fleet().await?;
    let a = Party::create(fleet).await?;
    let owner = a.rest(fleet)?;
    let roles = format!("/api/v1/tenants/{}/roles", a.id);
    let keys = format!("/api/v1/tenants/{}/api-keys", a.id);
    let held = json!([
        "tenants.read",
        "roles.read",
        "roles.manage",
        "members.read",
        "members.manage",
        "api_keys.manage"
    ]);
    let role = json!({"key": "clerk", "permissions": held});
    owner.post(&roles, role).await?.ok()?;
    let clerk = someone(fleet, &a.id, "clerk").await?;
    let own = roles_of(&a.id, &clerk.id);
    let exceeds =
        |what: &str, answer: &Answer| assert_refused(what, answer, 403, "GRANT_EXCEEDS_OWN");

    let raised = json!({"permissions": ["tenants.read", "tenants.update"]});
    let answer = clerk.rest.patch(&format!("{roles}/clerk"), raised).await?;
    exceeds("one's own role raised", &answer);
    let reaching = json!({"inherited_permissions": ["tenants.read"]});
    let answer = clerk
        .rest
        .patch(&format!("{roles}/clerk"), reaching)
        .await?;
    exceeds("one's own role taken down the tree", &answer);
    let more = json!({"key": "more", "permissions": ["owners.manage"]});
    exceeds("a new role", &clerk.rest.post(&roles, more).await?);
    // A stronger role that is there already.
    let strong = json!({"key": "strong", "permissions": ["owners.manage", "members.manage"]});
    owner.post(&roles, strong).await?.ok()?;
    let answer = clerk.rest.post(&own, json!({"role": "strong"})).await?;
    exceeds("a stronger role for oneself", &answer);
    let friend = json!({"email": format!("{}@example.com", unique("friend")), "roles": ["strong"]});
    let users = format!("/api/v1/tenants/{}/users", a.id);
    exceeds("a friend", &clerk.rest.post(&users, friend).await?);

    // By way of a key: none with more, and none that gives more than it holds.
    let key = json!({"name": "strong", "permissions": ["owners.manage"]});
    exceeds("a stronger key", &clerk.rest.post(&keys, key).await?);
    let key = json!({"name": "clerk", "permissions": held});
    let key = clerk.rest.post(&keys, key).await?.ok()?;
    let key = fleet.rest()?.header("x-api-key", &text(&key, "secret"));
    for role in ["owner", "admin", "strong"] {
        let answer = key.post(&own, json!({"role": role})).await?;
        exceeds(&format!("{role} by a key"), &answer);
    }
    // The admin's key may all that an admin may here, and reaches nothing below, as an admin would.
    let answer = a
        .key_rest(fleet)?
        .post(&own, json!({"role": "admin"}))
        .await?;
    exceeds("an admin by a key", &answer);
    assert_eq!(member_roles(&owner, &a.id, &clerk.id).await?, ["clerk"]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_role_of_one_tenant_is_nothing_in_another() -> Result<()> {
    let fleet = fleet().await?;
    let a = Party::create(fleet).await?;
    let owner = a.rest(fleet)?;
    let role = json!({"key": "clerk", "permissions": ["members.read"]});
    owner
        .post(&format!("/api/v1/tenants/{}/roles", a.id), role)
        .await?
        .ok()?;
    let of_child = roles_of(&a.child, &a.child_member);
    let answer = owner.post(&of_child, json!({"role": "clerk"})).await?;
    assert_refused(
        "the parent's role in a child",
        &answer,
        404,
        "ROLE_NOT_FOUND",
    );
    // The same key, defined by the child: another role.
    let role = json!({"key": "clerk", "permissions": ["tenants.read"]});
    owner
        .post(&format!("/api/v1/tenants/{}/roles", a.child), role)
        .await?
        .ok()?;
    let clerk = someone(fleet, &a.child, "clerk").await?;
    let answer = clerk
        .rest
        .get(&format!("/api/v1/tenants/{}/users", a.child))
        .await?;
    assert_refused(
        "what the parent's role permits",
        &answer,
        403,
        "PERMISSION_DENIED",
    );
    Ok(())
}
