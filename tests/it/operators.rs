//! Operators: the right to manage tenants and the right to reach their content are two.

use std::time::Duration;

use anyhow::Result;
use serde_json::json;
use sqlx::{Connection as _, PgConnection};
use tenantry_testkit::fleet::{Fleet, sign_in};
use tenantry_testkit::rest::Rest;

use crate::support::world::{PASSWORD, Party, text};
use crate::support::{fleet, unique};
use crate::suspension::becomes;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_operator_holds_both_rights_and_further_ones_start_with_one() -> Result<()> {
    let fleet = fleet().await?;
    let a = Party::create(fleet).await?;
    let both = json!(["platform.tenants.manage", "platform.content.access"]);
    let all = json!([
        "platform.tenants.manage",
        "platform.content.access",
        "platform.operators.manage"
    ]);
    let session = sign_in(
        &fleet.rest()?,
        &fleet.operator().email,
        &fleet.operator().password,
    )
    .await?;
    for rest in [fleet.operator_rest()?, fleet.rest()?.bearer(&session)] {
        let me = rest.get("/api/v1/auth/me").await?.ok()?;
        for right in all.as_array().unwrap() {
            assert!(
                me["permissions"].as_array().unwrap().contains(right),
                "{me}"
            );
        }
        assert_eq!(
            rest.get(&format!("/api/v1/tenants/{}/users", a.id))
                .await?
                .status,
            200
        );
    }

    let email = format!("{}@example.com", unique("operator"));
    let body = json!({"email": email, "password": PASSWORD});
    let made = fleet
        .rest()?
        .bearer(&session)
        .post("/api/v1/operators", body)
        .await?
        .ok()?;
    assert_eq!(made["permissions"], json!(["platform.tenants.manage"]));
    let second = fleet
        .rest()?
        .bearer(&sign_in(&fleet.rest()?, &email, PASSWORD).await?);
    assert_eq!(
        second
            .get(&format!("/api/v1/tenants/{}", a.id))
            .await?
            .status,
        200,
        "manages tenants"
    );
    for path in ["users", "api-keys"] {
        let answer = second
            .get(&format!("/api/v1/tenants/{}/{path}", a.id))
            .await?;
        assert_eq!(
            (answer.status, answer.reason().as_str()),
            (403, "PERMISSION_DENIED"),
            "{path}: {}",
            answer.text
        );
    }
    // Nor does it manage operators; one who does makes nobody more than it is itself.
    let grab = json!({"name": "grab"});
    let answer = second.post("/api/v1/operators/api-keys", grab).await?;
    assert_eq!(answer.reason(), "PERMISSION_DENIED", "{}", answer.text);
    let path = format!("/api/v1/operators/{}", text(&made, "id"));
    let more = json!({"permissions": ["platform.tenants.manage", "platform.operators.manage"]});
    let first = fleet.rest()?.bearer(&session);
    first.patch(&path, more).await?.ok()?;
    becomes(&second, "/api/v1/operators", 200, Duration::from_secs(1)).await?;
    let grab = json!({"email": format!("{}@example.com", unique("grab")), "password": PASSWORD, "permissions": both});
    let answer = second.post("/api/v1/operators", grab).await?;
    assert_eq!(
        (answer.status, answer.reason().as_str()),
        (403, "GRANT_EXCEEDS_OWN"),
        "{}",
        answer.text
    );
    let answer = second
        .post(
            "/api/v1/operators/api-keys",
            json!({"name": "grab", "permissions": both}),
        )
        .await?;
    assert_eq!(
        (answer.status, answer.reason().as_str()),
        (403, "GRANT_EXCEEDS_OWN"),
        "{}",
        answer.text
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bootstrap_works_once() -> Result<()> {
    let fleet = fleet().await?;
    for token in ["", "nonsense"] {
        let body = json!({"token": token, "email": "second@example.com", "password": PASSWORD});
        let answer = fleet
            .rest()?
            .post("/api/v1/operators:bootstrap", body)
            .await?;
        assert!((400..500).contains(&answer.status), "{}", answer.text);
        assert!(
            ["ALREADY_BOOTSTRAPPED", "BOOTSTRAP_TOKEN_INVALID"].contains(&answer.reason().as_str()),
            "{}",
            answer.text
        );
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_rotate_and_a_stolen_refresh_token_ends_them() -> Result<()> {
    let fleet = fleet().await?;
    let a = Party::create(fleet).await?;
    let rest = fleet.rest()?;
    let login = json!({"email": a.owner_email, "password": PASSWORD});
    let pair = rest.post("/api/v1/auth/login", login).await?.ok()?;
    assert_eq!(pair["token_type"], "Bearer");
    let refresh =
        |token: String| rest.post("/api/v1/auth/refresh", json!({"refresh_token": token}));
    let first = text(&pair, "refresh_token");
    let second = refresh(first.clone()).await?.ok()?;
    assert_eq!(
        rest.clone()
            .bearer(&text(&second, "access_token"))
            .get("/api/v1/auth/me")
            .await?
            .status,
        200
    );
    assert_eq!(
        refresh(first).await?.status,
        401,
        "an old refresh token is refused"
    );
    assert_eq!(
        refresh(text(&second, "refresh_token")).await?.status,
        401,
        "and has ended the session"
    );
    for body in [
        json!({"email": a.owner_email, "password": "wrong password"}),
        json!({"email": "nobody-at-all@example.com", "password": PASSWORD}),
    ] {
        let answer = rest.post("/api/v1/auth/login", body).await?;
        assert_eq!(
            (answer.status, answer.reason().as_str()),
            (401, "BAD_CREDENTIALS")
        );
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_password_that_one_tenant_chose_opens_no_other_and_not_the_platform() -> Result<()> {
    let fleet = fleet().await?;
    let (a, b) = tokio::try_join!(Party::create(fleet), Party::create(fleet))?;
    let operator = fleet.operator_rest()?;
    // A's owner chose a password for an address in a domain that was A's, which B and the platform trust later.
    let email = format!("{}@example.com", unique("victim"));
    crate::support::world::add_user(&operator, &a.id, &email, "member").await?;
    let mut past = PgConnection::connect(fleet.superuser_url().as_str()).await?;
    sqlx::query("UPDATE identity.users SET password_of = $1::uuid WHERE email = $2")
        .bind(&a.id)
        .bind(&email)
        .execute(&mut past)
        .await?;
    let add = json!({"email": email, "roles": ["owner"]});
    operator
        .post(&format!("/api/v1/tenants/{}/users", b.id), add)
        .await?
        .ok()?;
    let waiting = fleet
        .rest()?
        .bearer(&sign_in(&fleet.rest()?, &email, PASSWORD).await?);
    assert_eq!(
        waiting
            .get(&format!("/api/v1/tenants/{}", a.id))
            .await?
            .status,
        200
    );
    assert_eq!(
        waiting
            .get(&format!("/api/v1/tenants/{}", b.id))
            .await?
            .status,
        404
    );

    let own = "chosen by the platform";
    let body = json!({"email": email, "password": own});
    operator.post("/api/v1/operators", body).await?.ok()?;
    let login = json!({"email": email, "password": PASSWORD});
    assert_eq!(
        fleet
            .rest()?
            .post("/api/v1/auth/login", login)
            .await?
            .status,
        401
    );
    let trusted = fleet
        .rest()?
        .bearer(&sign_in(&fleet.rest()?, &email, own).await?);
    assert_eq!(
        trusted
            .get(&format!("/api/v1/tenants/{}", b.id))
            .await?
            .status,
        200
    );
    Ok(())
}

/// A platform key with these permissions.
async fn platform_key(fleet: &Fleet, permissions: &[&str]) -> Result<Rest> {
    let body = json!({"name": "one right", "permissions": permissions});
    let operator = fleet.operator_rest()?;
    let made = operator.post("/api/v1/operators/api-keys", body).await?;
    Ok(fleet
        .rest()?
        .header("x-api-key", &text(&made.ok()?, "secret")))
}

/// The methods of the tenant's content that the tenant's log says operators read.
async fn accesses(fleet: &Fleet, tenant: &str) -> Result<Vec<String>> {
    let mut connection = PgConnection::connect(fleet.superuser_url().as_str()).await?;
    let methods = sqlx::query_scalar(
        "SELECT event -> 'after' ->> 'method' FROM identity.outbox
         WHERE tenant_id = $1::uuid AND action = 'tenant.content_accessed' ORDER BY n",
    )
    .bind(tenant)
    .fetch_all(&mut connection)
    .await?;
    Ok(methods)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn managing_tenants_reads_none_of_their_content_and_reading_it_leaves_an_event_each_time()
-> Result<()> {
    let fleet = fleet().await?;
    let a = Party::create(fleet).await?;
    let own = format!("/api/v1/tenants/{}", a.id);
    let manager = platform_key(fleet, &["platform.tenants.manage"]).await?;
    let reader = platform_key(fleet, &["platform.content.access"]).await?;
    let content = [
        ("users".to_owned(), "MemberService/ListMembers"),
        (
            format!("users/{}/roles", a.member),
            "MemberRoleService/ListMemberRoles",
        ),
        ("api-keys".to_owned(), "ApiKeyService/ListApiKeys"),
        ("roles".to_owned(), "RoleService/ListRoles"),
        ("roles/owner".to_owned(), "RoleService/GetRole"),
    ];
    assert_eq!(manager.get(&own).await?.status, 200);
    for (path, _) in &content {
        let answer = manager.get(&format!("{own}/{path}")).await?;
        assert_eq!(
            (answer.status, answer.reason().as_str()),
            (403, "PERMISSION_DENIED"),
            "{path}: {}",
            answer.text
        );
    }
    let question = json!({"questions": [{"principal_kind": "user", "principal_id": a.member, "permission": "tenants.read"}]});
    let check = format!("{own}/permissions:check");
    assert_eq!(manager.post(&check, question.clone()).await?.status, 403);
    assert_eq!(accesses(fleet, &a.id).await?, [""; 0]);

    let mut expected = Vec::new();
    for (path, method) in &content {
        reader.get(&format!("{own}/{path}")).await?.ok()?;
        expected.push(format!("/tenantry.identity.v1.{method}"));
        assert_eq!(accesses(fleet, &a.id).await?, expected, "{path}");
    }
    reader.post(&check, question).await?.ok()?;
    expected.push("/tenantry.identity.v1.PermissionService/CheckPermissions".to_owned());
    assert_eq!(accesses(fleet, &a.id).await?, expected);
    // The tenant itself is no content; a change says so itself; and the tenant's own people leave nothing.
    reader.get(&own).await?.ok()?;
    let role = json!({"key": "clerk", "permissions": ["tenants.read"]});
    reader.post(&format!("{own}/roles"), role).await?.ok()?;
    a.rest(fleet)?.get(&format!("{own}/users")).await?.ok()?;
    assert_eq!(accesses(fleet, &a.id).await?, expected);
    // And it manages no tenant.
    let answer = reader.patch(&own, json!({"name": "Taken"})).await?;
    assert_eq!(answer.status, 403, "{}", answer.text);
    Ok(())
}
