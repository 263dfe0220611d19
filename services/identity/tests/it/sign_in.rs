//! Sessions.

use sqlx::{Connection as _, PgConnection};
use tenantry_proto::identity::v1 as wire;
use tenantry_proto::identity::v1::auth_service_client::AuthServiceClient;
use tenantry_rpc::assertion::HEADER;
use tonic::{Code, Request};

use crate::caller::{Who, reason};
use crate::world::{OPERATOR, PASSWORD, World, until};

fn login(email: &str, password: &str, tenant: &str) -> wire::LoginRequest {
    wire::LoginRequest {
        email: email.to_owned(),
        password: password.to_owned(),
        tenant: tenant.to_owned(),
        ..Default::default()
    }
}

#[tokio::test]
async fn an_unknown_address_is_refused_like_a_wrong_password() {
    let world = World::start().await;
    let wrong = world
        .auth()
        .login(login(OPERATOR, "not the password", ""))
        .await
        .unwrap_err();
    let unknown = world
        .auth()
        .login(login("nobody@example.com", PASSWORD, ""))
        .await
        .unwrap_err();
    assert_eq!(reason(&wrong), "BAD_CREDENTIALS");
    assert_eq!(
        (wrong.code(), wrong.message(), wrong.details()),
        (unknown.code(), unknown.message(), unknown.details())
    );
    assert!(
        world
            .auth()
            .login(login(" Root@Example.COM", PASSWORD, ""))
            .await
            .is_ok()
    );
    let bad = world.auth().login(login("", "", "")).await.unwrap_err();
    assert_eq!(bad.code(), Code::InvalidArgument);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_sign_ins_comes_to_the_database_no_faster_than_it_is_hashed() {
    // Three turns for each thread, and one thread for two cores; some more wait than may.
    let threads = (std::thread::available_parallelism().unwrap().get() / 2).max(1);
    let flood = threads * 64;
    let world = World::start().await;
    let connections = async || {
        sqlx::query_scalar::<_, i64>(
            "SELECT count(*) FROM pg_stat_activity
             WHERE datname = current_database() AND usename = 'identity_app'",
        )
        .fetch_one(&mut world.superuser().await)
        .await
        .unwrap()
    };
    let before = connections().await;
    let tries = (0..flood).map(|n| {
        let mut auth = world.auth();
        async move {
            let email = format!("nobody{n}@example.com");
            let mut request = Request::new(login(&email, PASSWORD, ""));
            let network = format!("2001:db8:{n:x}::1").parse().unwrap();
            request
                .metadata_mut()
                .insert("x-envoy-external-address", network);
            auth.login(request).await.unwrap_err()
        }
    });
    let refused = futures::future::join_all(tries).await;
    assert!(
        refused
            .iter()
            .any(|status| status.message().starts_with("Too many sign-ins"))
    );
    assert!(
        refused
            .iter()
            .any(|status| reason(status) == "BAD_CREDENTIALS")
    );
    // A connection may be given back a moment after the next one is asked for.
    let most = i64::try_from(2 * 3 * threads).unwrap();
    let opened = connections().await - before;
    assert!(opened <= most, "{opened} connections, {most} at most");
}

#[tokio::test]
async fn at_a_projects_host_a_sign_in_is_of_that_project_and_may_not_name_another() {
    let world = World::start().await;
    let ours = world.tenant("acme", None).await;
    let theirs = world
        .registry
        .add_to("two", "acme", &["app.acme.com", "acme.org"]);
    world.member(ours, "ann@example.com", "member").await;
    world.member(theirs, "ann@example.com", "member").await;
    let login = async |host: &str, header: &str, project: &str| {
        let mut request = Request::new(wire::LoginRequest {
            project: project.to_owned(),
            ..login("ann@example.com", PASSWORD, "acme")
        });
        for header in header.split_whitespace() {
            let metadata = request.metadata_mut();
            metadata.append("x-project", header.parse().unwrap());
        }
        let mut auth = AuthServiceClient::new(world.at_host(host));
        let pair = auth
            .login(request)
            .await
            .map_err(|status| reason(&status))?;
        let who = Who::bearer(&pair.into_inner().access_token);
        Ok(world.assertion(&who).await.unwrap().tenant.unwrap())
    };
    let conflict = Err("TENANT_CONFLICT".to_owned());
    for (host, header, project, tenant) in [
        ("acme.two.tenants.example", "", "", Ok(theirs)),
        ("acme.two.tenants.example:8443", "two", "two", Ok(theirs)),
        ("acme.two.tenants.example", "", "default", conflict.clone()),
        ("acme.two.tenants.example", "default", "", conflict.clone()),
        ("acme.tenants.example", "", "", Ok(ours)),
        ("acme.tenants.example", "", "two", conflict.clone()),
        ("App.Acme.com:8443", "", "", Ok(theirs)),
        ("acme.org", "two", "two", Ok(theirs)),
        ("app.acme.com", "", "default", conflict.clone()),
        ("app.acme.com", "default", "", conflict.clone()),
        ("api.example", "", "", Ok(ours)),
        ("api.example", "", "two", Ok(theirs)),
        ("api.example", "two", "", Ok(theirs)),
        ("api.example", "two", "default", conflict.clone()),
        ("api.example", "default two", "", conflict),
    ] {
        let told = login(host, header, project).await;
        assert_eq!(told, tenant, "{host} {header} {project}");
    }
}

#[tokio::test]
async fn a_password_replaced_while_it_is_verified_begins_no_session() {
    let world = World::start().await;
    let url = world.database.superuser_url();
    let mut other = PgConnection::connect(url.as_str()).await.unwrap();
    let mut replacing = other.begin().await.unwrap();
    sqlx::query("UPDATE identity.users SET password_hash = 'another'")
        .execute(&mut *replacing)
        .await
        .unwrap();
    let mut auth = world.auth();
    let signing_in = auth.login(login(OPERATOR, PASSWORD, ""));
    let replaced = async {
        world.someone_waits().await;
        replacing.commit().await.unwrap();
    };
    let (refused, ()) = tokio::join!(signing_in, replaced);
    assert_eq!(reason(&refused.unwrap_err()), "BAD_CREDENTIALS");
}

#[tokio::test]
async fn a_refresh_token_works_once_and_its_second_use_ends_the_session_everywhere() {
    let world = World::start().await;
    let first = world.login(OPERATOR).await;
    let refresh = |token: &str| wire::RefreshRequest {
        refresh_token: token.to_owned(),
    };
    let second = world
        .auth()
        .refresh(refresh(&first.refresh_token))
        .await
        .unwrap()
        .into_inner();
    let elsewhere = Who::bearer(&second.access_token).of_replica(1);
    assert!(world.assertion(&elsewhere).await.is_ok());
    let reused = world
        .auth()
        .refresh(refresh(&first.refresh_token))
        .await
        .unwrap_err();
    assert_eq!(reason(&reused), "CREDENTIAL_REVOKED");
    until(async || world.reason(&elsewhere).await == "CREDENTIAL_REVOKED").await;
    let newest = world
        .auth()
        .refresh(refresh(&second.refresh_token))
        .await
        .unwrap_err();
    assert_eq!(reason(&newest), "CREDENTIAL_REVOKED");
    let nonsense = world.auth().refresh(refresh("tr_x")).await.unwrap_err();
    assert_eq!(reason(&nonsense), "UNAUTHENTICATED");
}

#[tokio::test]
async fn after_logout_the_token_is_refused_on_another_replica_within_a_second() {
    let world = World::start().await;
    let session = world.login(OPERATOR).await;
    let who = Who::bearer(&session.access_token);
    let elsewhere = who.clone().of_replica(1);
    assert!(world.assertion(&elsewhere).await.is_ok());
    let ask = world.ask(&who, wire::LogoutRequest {}).await.unwrap();
    world.auth().logout(ask).await.unwrap();
    until(async || world.reason(&elsewhere).await == "CREDENTIAL_REVOKED").await;
    until(async || world.reason(&who).await == "CREDENTIAL_REVOKED").await;
    let other = Who::bearer(&world.operator);
    assert!(
        world.assertion(&other).await.is_ok(),
        "another session of the same user goes on"
    );
}

#[tokio::test]
async fn an_assertion_is_no_access_token_and_the_other_way_round() {
    let world = World::start().await;
    let who = Who::bearer(&world.operator);
    let assertion = world.assertion(&who).await.unwrap().token;
    assert_eq!(
        world.reason(&Who::bearer(&assertion)).await,
        "UNAUTHENTICATED"
    );
    let mut request = Request::new(wire::GetCallerRequest {});
    request
        .metadata_mut()
        .insert(HEADER, world.operator.parse().unwrap());
    let refused = world.auth().get_caller(request).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated);
    let none = world
        .auth()
        .get_caller(wire::GetCallerRequest {})
        .await
        .unwrap_err();
    assert_eq!(none.code(), Code::Unauthenticated);
}

#[tokio::test]
async fn a_session_for_a_tenant_selects_it_and_one_out_of_reach_is_absent() {
    let world = World::start().await;
    let own = world.tenant("acme", None).await;
    let second = world.tenant("beta", None).await;
    world.tenant("foreign", None).await;
    world.member(own, "ann@example.com", "member").await;
    let ann = world.member(second, "ann@example.com", "viewer").await;
    assert_eq!(world.assertion(&ann).await.unwrap().no_tenant, "none");
    let pair = world
        .auth()
        .login(login("ann@example.com", PASSWORD, "beta"))
        .await
        .unwrap();
    let for_beta = Who::bearer(&pair.into_inner().access_token);
    assert_eq!(
        world.assertion(&for_beta).await.unwrap().tenant,
        Some(second)
    );
    let foreign = world
        .auth()
        .login(login("ann@example.com", PASSWORD, "foreign"))
        .await
        .unwrap_err();
    let absent = world
        .auth()
        .login(login("ann@example.com", PASSWORD, "absent"))
        .await
        .unwrap_err();
    assert_eq!(reason(&foreign), "TENANT_NOT_FOUND");
    assert_eq!(
        (foreign.message(), foreign.details()),
        (absent.message(), absent.details())
    );

    let ask = world
        .ask(&for_beta, wire::GetCallerRequest {})
        .await
        .unwrap();
    let caller = world.auth().get_caller(ask).await.unwrap().into_inner();
    assert_eq!(
        (caller.kind.as_str(), caller.email.as_str()),
        ("user", "ann@example.com")
    );
    assert_eq!(caller.tenant_id, second.to_string());
    assert_eq!(caller.permissions, ["tenants.read"]);
    let slugs: Vec<_> = caller
        .memberships
        .iter()
        .map(|m| m.tenant_slug.as_str())
        .collect();
    assert_eq!(slugs, ["acme", "beta"]);
}
