//! API keys.

use std::collections::HashSet;
use std::time::Duration;

use sqlx::{Connection as _, PgConnection};
use tenantry_core::ApiKeyId;
use tenantry_proto::identity::v1 as wire;
use tenantry_testkit::wait;
use tonic::Status;

use crate::caller::{Who, reason};
use crate::service_accounts;
use crate::world::{World, until};

/// Longest time until a key ends that was given two seconds.
const ENDS_WITHIN: Duration = Duration::from_secs(20);

pub(crate) fn create(
    name: &str,
    permissions: &[&str],
    request_id: &str,
) -> wire::CreateApiKeyRequest {
    wire::CreateApiKeyRequest {
        name: name.to_owned(),
        permissions: permissions.iter().map(|p| (*p).to_owned()).collect(),
        request_id: request_id.to_owned(),
        ..Default::default()
    }
}

pub(crate) async fn make(
    world: &World,
    who: &Who,
    request: wire::CreateApiKeyRequest,
) -> Result<wire::CreateApiKeyResponse, Status> {
    let ask = world.ask(who, request).await?;
    Ok(world.api_keys().create_api_key(ask).await?.into_inner())
}

pub(crate) async fn revoke(world: &World, who: &Who, key: &str) -> Result<wire::ApiKey, Status> {
    let request = wire::RevokeApiKeyRequest {
        api_key: key.to_owned(),
        ..Default::default()
    };
    let ask = world.ask(who, request).await?;
    Ok(world.api_keys().revoke_api_key(ask).await?.into_inner())
}

#[tokio::test]
async fn equal_creates_at_once_give_one_key_and_one_secret_that_no_dump_holds() {
    let world = World::start().await;
    let tenant = world.tenant("acme", None).await;
    let owner = world.member(tenant, "owner@example.com", "owner").await;
    let admin = world.member(tenant, "admin@example.com", "admin").await;
    let request = create("ci", &[], "once");
    let all = (0..64).map(|_| make(&world, &owner, request.clone()));
    let answers = futures::future::join_all(all).await;
    let answers: Vec<_> = answers.into_iter().map(Result::unwrap).collect();
    let secrets: HashSet<_> = answers.iter().map(|answer| answer.secret.clone()).collect();
    let ids: HashSet<_> = answers
        .iter()
        .map(|answer| answer.api_key.clone().unwrap().id)
        .collect();
    assert_eq!((secrets.len(), ids.len()), (1, 1));
    let secret = secrets.into_iter().next().unwrap();
    assert!(secret.len() > 70 && secret.starts_with(&answers[0].api_key.clone().unwrap().prefix));

    let reused = make(&world, &owner, create("other", &[], "once"))
        .await
        .unwrap_err();
    assert_eq!(reason(&reused), "REQUEST_ID_REUSED");
    let of_another = make(&world, &admin, request.clone()).await.unwrap();
    assert_ne!(
        of_another.secret, secret,
        "another principal's request is another request"
    );

    let random = secret.split('_').nth(2).unwrap();
    assert!(!dump(&world).await.contains(random));
    forget_secret(&world).await;
    let late = make(&world, &owner, request).await.unwrap();
    assert_eq!(
        (late.secret.as_str(), late.reason.as_str()),
        ("", "SECRET_ALREADY_SHOWN")
    );
    assert_eq!(late.api_key, answers[0].api_key);
}

#[tokio::test]
async fn an_end_that_has_passed_is_refused_with_a_request_id_too_but_not_in_a_repetition() {
    let world = World::start().await;
    let tenant = world.tenant("acme", None).await;
    let owner = world.member(tenant, "owner@example.com", "owner").await;
    let ending = |seconds, request_id| wire::CreateApiKeyRequest {
        expires_at: Some(prost_types::Timestamp { seconds, nanos: 0 }),
        ..create("ci", &[], request_id)
    };
    let year_minus_9000 = -346_200_000_000;
    for seconds in [0, -62_135_596_801, year_minus_9000, i64::MIN, i64::MAX] {
        for request_id in ["", "once"] {
            let refused = make(&world, &owner, ending(seconds, request_id))
                .await
                .unwrap_err();
            assert_eq!(reason(&refused), "INVALID_ARGUMENT", "{seconds}");
        }
    }
    let soon = tenantry_core::clock::now().as_second() + 2;
    let first = make(&world, &owner, ending(soon, "once")).await.unwrap();
    let passed = wait::until("end of the key", ENDS_WITHIN, async || {
        Ok((tenantry_core::clock::now().as_second() > soon).then_some(()))
    });
    passed.await.unwrap();
    let again = make(&world, &owner, ending(soon, "once")).await.unwrap();
    assert_eq!(again, first);
}

/// Everything that identity's tables hold, as text.
async fn dump(world: &World) -> String {
    let mut connection = PgConnection::connect(world.database.superuser_url().as_str())
        .await
        .unwrap();
    let mut text = String::new();
    for table in [
        "api_keys",
        "request_record",
        "outbox",
        "memberships",
        "users",
        "sessions",
    ] {
        let query =
            format!("SELECT coalesce(string_agg(t::text, E'\\n'), '') FROM identity.{table} t");
        let rows: String = sqlx::query_scalar(sqlx::AssertSqlSafe(query))
            .fetch_one(&mut connection)
            .await
            .unwrap();
        text += &rows;
    }
    text
}

/// As after ten minutes.
async fn forget_secret(world: &World) {
    let mut connection = PgConnection::connect(world.database.superuser_url().as_str())
        .await
        .unwrap();
    sqlx::query("UPDATE identity.request_record SET sealed_until = clock_timestamp()")
        .execute(&mut connection)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_revoked_key_is_refused_on_another_replica_within_a_second() {
    let world = World::start().await;
    let tenant = world.tenant("acme", None).await;
    let owner = world.member(tenant, "owner@example.com", "owner").await;
    let made = make(&world, &owner, create("ci", &["members.read"], ""))
        .await
        .unwrap();
    let id = made.api_key.unwrap().id;
    let elsewhere = Who::key(&made.secret).of_replica(1);
    assert_eq!(
        world.assertion(&elsewhere).await.unwrap().tenant,
        Some(tenant)
    );
    let revoked = revoke(&world, &owner, &id).await.unwrap();
    assert!(revoked.revoked_at.is_some());
    until(async || world.reason(&elsewhere).await == "CREDENTIAL_REVOKED").await;
    assert_eq!(
        revoke(&world, &owner, &id).await.unwrap(),
        revoked,
        "revoking twice changes nothing"
    );
    let ask = world
        .ask(&owner, wire::ListApiKeysRequest::default())
        .await
        .unwrap();
    let listed = world
        .api_keys()
        .list_api_keys(ask)
        .await
        .unwrap()
        .into_inner();
    assert_eq!(listed.api_keys, [revoked]);
}

#[tokio::test]
async fn a_key_acts_in_its_tenant_alone_and_within_its_makers_permissions() {
    let world = World::start().await;
    let tenant = world.tenant("acme", None).await;
    let other = world.tenant("beta", None).await;
    let admin = world.member(tenant, "admin@example.com", "admin").await;
    for (permission, why) in [
        ("owners.manage", "GRANT_EXCEEDS_OWN"),
        ("platform.tenants.manage", "GRANT_EXCEEDS_OWN"),
        ("everything", "INVALID_ARGUMENT"),
    ] {
        let refused = make(&world, &admin, create("ci", &[permission], ""))
            .await
            .unwrap_err();
        assert_eq!(reason(&refused), why, "{permission}");
    }
    let made = make(&world, &admin, create("ci", &[], "")).await.unwrap();
    assert_eq!(
        made.api_key.unwrap().permissions,
        [
            "tenants.read",
            "domains.read",
            "members.read",
            "roles.read",
            "usage.read"
        ]
    );
    let key = Who::key(&made.secret);
    assert_eq!(world.assertion(&key).await.unwrap().tenant, Some(tenant));
    assert_eq!(
        world
            .assertion(&key.clone().at(other))
            .await
            .unwrap()
            .no_tenant,
        "not_found"
    );
    let refused = make(&world, &key, create("more", &[], ""))
        .await
        .unwrap_err();
    assert_eq!(reason(&refused), "PERMISSION_DENIED");
    let mut wrong = made.secret.clone();
    wrong.replace_range(40..41, if &wrong[40..41] == "0" { "1" } else { "0" });
    assert_eq!(world.reason(&Who::key(&wrong)).await, "UNAUTHENTICATED");
}

#[tokio::test]
async fn a_foreign_key_is_answered_like_an_absent_one() {
    let world = World::start().await;
    let own = world.tenant("acme", None).await;
    let foreign = world.tenant("beta", None).await;
    let owner = world.member(own, "owner@example.com", "owner").await;
    let other = world.member(foreign, "other@example.com", "owner").await;
    let theirs = make(&world, &other, create("ci", &[], ""))
        .await
        .unwrap()
        .api_key
        .unwrap()
        .id;
    let foreign = revoke(&world, &owner, &theirs).await.unwrap_err();
    let absent = revoke(&world, &owner, &ApiKeyId::new().to_string())
        .await
        .unwrap_err();
    assert_eq!(reason(&foreign), "API_KEY_NOT_FOUND");
    assert_eq!(
        (foreign.message(), foreign.details()),
        (absent.message(), absent.details())
    );
    assert!(revoke(&world, &other, &theirs).await.is_ok());
}

#[tokio::test]
async fn a_repetition_gives_the_secret_to_none_who_could_not_have_the_key() {
    let world = World::start().await;
    let tenant = world.tenant("acme", None).await;
    let owner = world.member(tenant, "owner@example.com", "owner").await;
    let held = ["api_keys.manage", "api_keys.read", "members.manage"];
    let account = service_accounts::create(&world, &owner, "ci", &held)
        .await
        .unwrap();
    let mut programs = Vec::new();
    for permissions in [&held[..], &held[..2]] {
        let key = service_accounts::key(&world, &owner, &account.id, permissions).await;
        programs.push(Who::key(&key.unwrap().secret));
    }
    let request = wire::CreateApiKeyRequest {
        service_account: account.id.clone(),
        ..create("deploy", &["members.manage"], "deploy-1")
    };
    let made = make(&world, &programs[0], request.clone()).await.unwrap();
    assert!(!made.secret.is_empty());
    let weaker = make(&world, &programs[1], request.clone()).await;
    assert_eq!(reason(&weaker.unwrap_err()), "GRANT_EXCEEDS_OWN");
    let again = make(&world, &programs[0], request).await.unwrap();
    assert_eq!(again.secret, made.secret);
}

#[tokio::test]
async fn a_tenant_has_a_thousand_keys_that_may_work_at_most() {
    let world = World::start().await;
    let tenant = world.tenant("acme", None).await;
    let owner = world.member(tenant, "owner@example.com", "owner").await;
    let first = make(&world, &owner, create("ci", &[], "")).await.unwrap();
    let mut past = world.superuser().await;
    sqlx::query(
        "INSERT INTO identity.api_keys (tenant_id, id, name, prefix, hash, permissions, created_by)
         SELECT tenant_id, gen_random_uuid(), name, prefix, sha256(n::text::bytea), permissions, created_by
         FROM identity.api_keys, generate_series(1, 998) AS n",
    )
    .execute(&mut past)
    .await
    .unwrap();
    // Of two at once, one is the thousandth.
    let (one, other) = tokio::join!(
        make(&world, &owner, create("one", &[], "")),
        make(&world, &owner, create("other", &[], "")),
    );
    assert_eq!([&one, &other].iter().filter(|made| made.is_ok()).count(), 1);
    let refused = one.err().or(other.err()).unwrap();
    assert_eq!(reason(&refused), "LIMIT_REACHED");
    assert!(refused.message().contains("Revoke some"), "{refused:?}");
    // What was revoked, and what has expired, makes room.
    revoke(&world, &owner, &first.api_key.unwrap().id)
        .await
        .unwrap();
    make(&world, &owner, create("next", &[], "")).await.unwrap();
    sqlx::query("UPDATE identity.api_keys SET expires_at = clock_timestamp() WHERE name = 'next'")
        .execute(&mut past)
        .await
        .unwrap();
    make(&world, &owner, create("last", &[], "")).await.unwrap();
}
