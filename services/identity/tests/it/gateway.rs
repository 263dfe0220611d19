//! What Envoy is answered.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};
use sqlx::{Connection as _, PgConnection};
use tenantry_core::TenantId;
use tenantry_proto::envoy::service::auth::v3::check_response::HttpResponse;
use tenantry_proto::identity::v1 as wire;
use tenantry_testkit::keys::GatewayWord;
use tenantry_testkit::statements::Statements;
use tonic::Code;

use crate::caller::Who;
use crate::world::{World, until};

const MORE_THAN_THE_GRACE: Duration = Duration::from_millis(2_600);

/// Keys that are checked, beside two who are signed in, and how often each.
const KEYS: usize = 10;
const ROUNDS: usize = 20;
/// Parts of the statements that run whether someone is checked or not: the feed, readiness, and what workers do by the clock.
const UNASKED: &[&str] = &[
    "BEGIN",
    "COMMIT",
    "ROLLBACK",
    "SET LOCAL statement_timeout",
    // How the relay begins.
    "SET LOCAL idle_in_transaction_session_timeout",
    "SELECT set_config($1, $2, $3)",
    "feed_head",
    "FROM outbox WHERE feed_n",
    "SELECT $1",
    // A connection learns its types once.
    "pg_type",
    "INSERT INTO api_key_uses",
    "FROM provider_ends",
];

/// Returns once the replica has heard of all that happened so far: what a person does then comes behind it on the feed.
async fn caught_up(world: &World, email: &str) {
    let earlier = Who::bearer(&world.login(email).await.access_token);
    assert!(world.assertion(&earlier).await.is_ok());
    let ask = world.ask(&earlier, wire::LogoutRequest {}).await.unwrap();
    world.auth().logout(ask).await.unwrap();
    until(async || world.reason(&earlier).await == "CREDENTIAL_REVOKED").await;
}

/// A key of the right form that nobody made, with the id of the session.
fn made_up_key(access_token: &str) -> String {
    let payload = URL_SAFE_NO_PAD.decode(access_token.split('.').nth(1).unwrap());
    let claims: serde_json::Value = serde_json::from_slice(&payload.unwrap()).unwrap();
    let id = claims["sid"].as_str().unwrap().replace('-', "");
    let body = format!("tk_{id}_{}", "0".repeat(64));
    let sum = Sha256::digest(body.as_bytes());
    let sum: String = sum[..4].iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{body}_{sum}")
}

#[tokio::test]
async fn whoever_asks_without_the_gateways_word_is_told_nothing() {
    let world = World::start().await;
    for credential in [
        Who::bearer(&world.operator),
        Who::key(&made_up_key(&world.operator)),
    ] {
        for said in ["", "open", "open sesame!"] {
            let asked = credential.clone().with(GatewayWord::HEADER, said);
            let refused = world.try_check(&asked).await.unwrap_err();
            assert_eq!(refused.code(), Code::Unauthenticated, "{said}");
        }
    }
}

#[tokio::test]
async fn a_made_up_key_with_the_id_of_a_session_leaves_the_session_alone() {
    let world = World::start().await;
    let key = Who::key(&made_up_key(&world.operator)).of_replica(1);
    let session = Who::bearer(&world.operator).of_replica(1);
    for _ in 0..2 {
        assert_eq!(world.reason(&key).await, "UNAUTHENTICATED");
        assert_eq!(world.reason(&session).await, "");
    }
}

#[tokio::test]
async fn a_request_selects_one_tenant_of_those_that_its_credential_reaches() {
    let world = World::start().await;
    let acme = world.tenant("acme", None).await;
    let beta = world.tenant("beta", None).await;
    let foreign = world.tenant("foreign", None).await;
    world.member(acme, "ann@example.com", "member").await;
    let ann = world.member(beta, "ann@example.com", "member").await;
    let only = world.member(acme, "only@example.com", "member").await;
    let (id_of_acme, id_of_foreign) = (acme.to_string(), foreign.to_string());
    let rest = |path: &str| ann.clone().with("x-envoy-original-path", path);
    let cases: Vec<(&str, Who, Result<TenantId, &str>)> = vec![
        ("the only one", only.clone(), Ok(acme)),
        ("none of two", ann.clone(), Err("none")),
        ("by path", rest("/api/v1/tenants/beta/users"), Ok(beta)),
        (
            "by id in the path",
            rest(&format!("/api/v1/tenants/{id_of_acme}:undelete")),
            Ok(acme),
        ),
        (
            "an own word of the API",
            rest("/api/v1/tenants/current"),
            Err("none"),
        ),
        ("by header", ann.clone().at(beta), Ok(beta)),
        (
            "by slug",
            ann.clone().with("x-tenant-slug", "acme"),
            Ok(acme),
        ),
        (
            "by host",
            ann.clone().with(":authority", "beta.tenants.example:8080"),
            Ok(beta),
        ),
        (
            "twice the same",
            rest("/api/v1/tenants/acme").at(acme),
            Ok(acme),
        ),
        (
            "two by slug",
            rest("/api/v1/tenants/acme").with("x-tenant-slug", "beta"),
            Err("conflict"),
        ),
        (
            "two by id and slug",
            rest("/api/v1/tenants/beta").at(acme),
            Err("conflict"),
        ),
        (
            "two absent ones",
            rest("/api/v1/tenants/x").with("x-tenant-slug", "y"),
            Err("conflict"),
        ),
        (
            "a header twice",
            ann.clone()
                .with("x-tenant-id", &format!("{id_of_acme},{id_of_foreign}")),
            Err("conflict"),
        ),
        ("out of reach", only.clone().at(beta), Err("not_found")),
        ("absent", only.clone().at(TenantId::new()), Err("not_found")),
        (
            "out of reach, by its own slug",
            rest("/api/v1/tenants/foreign").at(foreign),
            Err("not_found"),
        ),
        (
            "out of reach, by another slug",
            rest("/api/v1/tenants/acme").at(foreign),
            Err("not_found"),
        ),
        (
            "another project's slug",
            only.with("x-project", "other")
                .with("x-tenant-slug", "acme"),
            Ok(acme),
        ),
    ];
    for (what, who, expected) in cases {
        let assertion = world.assertion(&who).await.unwrap();
        let chosen = assertion.tenant.ok_or(assertion.no_tenant.as_str());
        assert_eq!(chosen, expected, "{what}");
        assert_eq!(
            assertion.permissions.is_empty(),
            expected.is_err(),
            "{what}"
        );
    }
}

#[tokio::test]
async fn a_tenants_own_domain_says_its_project_as_a_subdomain_does() {
    let world = World::start().await;
    world.tenant("acme", None).await;
    let theirs = world.registry.add_to("two", "acme", &["app.acme.com"]);
    let operator = Who::bearer(&world.operator);
    let path = "/api/v1/tenants/acme";
    let named = async |host: &str, project: &str| {
        let who = operator.clone().with("x-envoy-original-path", path);
        let who = who.with(":authority", host).with("x-project", project);
        let assertion = world.assertion(&who).await.unwrap();
        assertion.tenant.ok_or(assertion.no_tenant)
    };
    until(async || named("app.acme.com", "").await == Ok(theirs)).await;
    assert_eq!(named("App.Acme.com:443", "two").await, Ok(theirs));
    assert_eq!(named("acme.two.tenants.example", "").await, Ok(theirs));
    let conflict = Err("conflict".to_owned());
    assert_eq!(named("app.acme.com", "default").await, conflict);
}

#[tokio::test]
async fn two_projects_in_one_request_are_refused_where_no_tenant_is_named_too() {
    let world = World::start().await;
    let operator = Who::bearer(&world.operator);
    let one = operator.clone().with("x-project", "one, one");
    let one = world.assertion(&one).await.unwrap();
    assert_eq!(
        (one.no_tenant.as_str(), one.project.as_str()),
        ("none", "one")
    );
    let two = operator.with("x-project", "one, two");
    let two = world.assertion(&two).await.unwrap();
    assert_eq!(
        (two.no_tenant.as_str(), two.project.as_str()),
        ("conflict", "")
    );
}

#[tokio::test]
async fn suspension_stops_the_tenants_own_within_a_second_and_is_seen_by_them_alone() {
    let world = World::start().await;
    let top = world.tenant("top", None).await;
    let tenant = world.tenant("acme", Some(top)).await;
    let other = world.tenant("other", None).await;
    let owner = world
        .member(tenant, "owner@example.com", "owner")
        .await
        .of_replica(1);
    let manager = world
        .member(top, "manager@example.com", "admin")
        .await
        .at(tenant);
    let stranger = world
        .member(other, "stranger@example.com", "owner")
        .await
        .at(tenant);
    let request = wire::CreateApiKeyRequest {
        name: "ci".to_owned(),
        ..Default::default()
    };
    let ask = world.ask(&owner, request).await.unwrap();
    let secret = world
        .api_keys()
        .create_api_key(ask)
        .await
        .unwrap()
        .into_inner()
        .secret;
    let key = Who::key(&secret).of_replica(1);
    assert!(world.assertion(&key).await.is_ok());

    world.registry.set_status(tenant, "suspended");
    until(async || world.reason(&owner).await == "TENANT_SUSPENDED").await;
    until(async || world.reason(&key).await == "TENANT_SUSPENDED").await;
    until(async || world.reason(&key.clone().at(other)).await == "TENANT_SUSPENDED").await;
    assert_eq!(
        world.assertion(&stranger).await.unwrap().no_tenant,
        "not_found"
    );
    assert_eq!(
        world.assertion(&manager).await.unwrap().tenant,
        Some(tenant)
    );
    let operator = Who::bearer(&world.operator).at(tenant);
    assert_eq!(
        world.assertion(&operator).await.unwrap().tenant,
        Some(tenant)
    );

    world.registry.set_status(tenant, "active");
    until(async || world.assertion(&owner).await.is_ok()).await;
    world.registry.set_status(tenant, "deleted");
    until(async || {
        world
            .assertion(&owner)
            .await
            .is_ok_and(|a| a.no_tenant == "not_found")
    })
    .await;
    assert_eq!(world.assertion(&key).await.unwrap().no_tenant, "not_found");
    world.registry.set_status(top, "suspended");
    until(async || {
        world
            .assertion(&manager)
            .await
            .is_ok_and(|a| a.no_tenant == "not_found")
    })
    .await;
}

#[tokio::test]
async fn a_warm_check_asks_no_database_and_uses_its_assertion_again() {
    let world = World::start().await;
    let tenant = world.tenant("acme", None).await;
    let owner = world.member(tenant, "owner@example.com", "owner").await;
    caught_up(&world, "owner@example.com").await;

    let first = world.assertion(&owner).await.unwrap().token;
    assert_eq!(world.assertion(&owner).await.unwrap().token, first);
    // Behind identity's back, and without an event: only a reading would see it.
    let mut connection = PgConnection::connect(world.database.superuser_url().as_str())
        .await
        .unwrap();
    sqlx::query("UPDATE identity.sessions SET ended_at = clock_timestamp()")
        .execute(&mut connection)
        .await
        .unwrap();
    assert_eq!(world.assertion(&owner).await.unwrap().token, first);
}

#[tokio::test]
async fn warm_checks_of_many_credentials_make_no_database_call_as_the_database_counts_them() {
    let world = World::start().await;
    let tenant = world.tenant("acme", None).await;
    let owner = world.member(tenant, "owner@example.com", "owner").await;
    let mut credentials = vec![owner.clone(), Who::bearer(&world.operator).at(tenant)];
    for n in 0..KEYS {
        let request = wire::CreateApiKeyRequest {
            name: format!("key {n}"),
            ..Default::default()
        };
        let ask = world.ask(&owner, request).await.unwrap();
        let key = world.api_keys().create_api_key(ask).await.unwrap();
        credentials.push(Who::key(&key.into_inner().secret));
    }
    let check_all = async || {
        for who in &credentials {
            assert!(world.assertion(who).await.is_ok());
        }
    };
    caught_up(&world, "owner@example.com").await;
    check_all().await;

    let mut connection = PgConnection::connect(world.database.superuser_url().as_str())
        .await
        .unwrap();
    let mut before = Statements::of("identity", &mut connection).await.unwrap();
    let (mut silent, mut last) = (0, String::new());
    for _ in 0..ROUNDS {
        check_all().await;
        let after = Statements::of("identity", &mut connection).await.unwrap();
        let mut asked = after.since(&before);
        asked.retain(|(query, _)| !UNASKED.iter().any(|part| query.contains(part)));
        if asked.is_empty() {
            silent += 1;
        } else {
            last = format!("{asked:?}");
        }
        before = after;
    }
    // A machine that holds up the feed for a second rightly has a round read anew.
    assert!(silent > ROUNDS / 2, "{silent} of {ROUNDS}: {last}");
}

#[tokio::test]
async fn without_registry_for_longer_than_the_grace_nothing_is_admitted_to_a_tenant() {
    let world = World::start().await;
    let tenant = world.tenant("acme", None).await;
    let owner = world.member(tenant, "owner@example.com", "owner").await;
    world.registry.stop();
    assert!(
        world.assertion(&owner).await.is_ok(),
        "an outage shorter than the grace is not felt"
    );
    tokio::time::sleep(MORE_THAN_THE_GRACE).await;
    assert_eq!(world.reason(&owner).await, "UNAVAILABLE");
}

#[tokio::test]
async fn the_answer_takes_away_what_identity_alone_reads_and_public_methods_need_no_credential() {
    let world = World::start().await;
    let public = Who::default().with(":path", "/tenantry.identity.v1.AuthService/Login");
    for (who, headers) in [(public, 0), (Who::bearer(&world.operator), 1)] {
        let Some(HttpResponse::OkResponse(ok)) = world.check(&who).await.http_response else {
            panic!("refused");
        };
        assert_eq!(ok.headers.len(), headers);
        for input in [
            "authorization",
            "x-api-key",
            "x-tenant-id",
            "x-tenant-slug",
            "x-project",
        ] {
            assert!(
                ok.headers_to_remove.iter().any(|removed| removed == input),
                "{input}"
            );
        }
    }
}

#[tokio::test]
async fn a_denial_is_finished_json_for_rest() {
    let world = World::start().await;
    let rest = Who::default().with("x-envoy-original-path", "/api/v1/tenants");
    let Some(HttpResponse::DeniedResponse(denied)) = world.check(&rest).await.http_response else {
        panic!("admitted");
    };
    assert_eq!(denied.status.unwrap().code, 401);
    let body: serde_json::Value = serde_json::from_str(&denied.body).unwrap();
    assert_eq!(body["code"], 16);
    assert_eq!(body["details"][0]["reason"], "UNAUTHENTICATED");
}
