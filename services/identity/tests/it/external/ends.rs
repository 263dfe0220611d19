//! How sessions end with the provider that began them.

use std::time::Duration;

use sqlx::Connection as _;
use tenantry_proto::identity::v1 as wire;
use tenantry_testkit::oidc_provider::OidcProvider;
use tenantry_testkit::wait;
use uuid::Uuid;

use super::{FAILED, begin, finish, provider, refused, sign_in, signed_in};
use crate::caller::Who;
use crate::world::{World, until};

/// More sessions than some batches end.
const MANY: i32 = 1_000;
/// Longest wait for the rows of all of them.
const FOLLOW_WITHIN: Duration = Duration::from_secs(40);

async fn enable(world: &World, by: &Who, provider: &wire::IdentityProvider, enabled: bool) {
    let request = wire::UpdateIdentityProviderRequest {
        identity_provider: provider.id.clone(),
        enabled: Some(enabled),
        ..Default::default()
    };
    let ask = world.ask(by, request).await.unwrap();
    let mut providers = world.identity_providers();
    let updated = providers.update_identity_provider(ask).await.unwrap();
    assert_eq!(updated.into_inner().enabled, enabled);
}

#[tokio::test]
async fn a_provider_that_goes_takes_its_sessions_along_within_a_second() {
    let world = World::start().await;
    let acme = world.tenant("acme", None).await;
    let owner = world.member(acme, "owner@example.com", "owner").await;
    let at = OidcProvider::start().await.unwrap();
    let provider = provider(&world, &owner, &at.issuer(), |_| {}).await;
    let who = sign_in(&world, &at, &provider, "ann").await.unwrap();
    let elsewhere = who.clone().of_replica(1);
    assert!(world.assertion(&elsewhere).await.is_ok());
    let begun = begin(&world, &provider).await.unwrap();
    let back = at.sign_in(&begun.authorization_url, "ann").await.unwrap();
    enable(&world, &owner, &provider, false).await;
    until(async || world.reason(&elsewhere).await == "CREDENTIAL_REVOKED").await;
    assert_eq!(refused(begin(&world, &provider).await), FAILED);
    let late = world
        .external(0)
        .finish_external_sign_in(finish(&begun, &back.code))
        .await;
    assert_eq!(refused(late), FAILED, "what began before doesn't end after");
}

#[tokio::test]
async fn a_providers_end_is_felt_at_once_however_many_sessions_it_began() {
    let world = World::start().await;
    let acme = world.tenant("acme", None).await;
    let owner = world.member(acme, "owner@example.com", "owner").await;
    let at = OidcProvider::start().await.unwrap();
    let provider = provider(&world, &owner, &at.issuer(), |_| {}).await;
    let id: Uuid = provider.id.parse().unwrap();
    let pair = signed_in(&world, &at, &provider, "ann").await.unwrap();
    let who = Who::bearer(&pair.access_token);
    let mut database = world.superuser().await;
    sqlx::query(
        "INSERT INTO identity.sessions (id, user_id, tenant_id, family_hash, refresh_hash, expires_at, provider_id, only_tenant_id)
         SELECT gen_random_uuid(), user_id, tenant_id, family_hash, refresh_hash, expires_at, provider_id, only_tenant_id
         FROM identity.sessions CROSS JOIN generate_series(1, $1) WHERE provider_id = $2",
    )
    .bind(MANY)
    .bind(id)
    .execute(&mut database)
    .await
    .unwrap();
    let replicas = [who.clone(), who.clone().of_replica(1)];
    for who in &replicas {
        assert!(world.assertion(who).await.is_ok());
    }

    // Nobody can write a row of theirs meanwhile.
    let mut held = database.begin().await.unwrap();
    sqlx::query("SELECT id FROM identity.sessions WHERE provider_id = $1 FOR UPDATE")
        .bind(id)
        .fetch_all(&mut *held)
        .await
        .unwrap();
    enable(&world, &owner, &provider, false).await;
    for who in &replicas {
        until(async || world.reason(who).await == "CREDENTIAL_REVOKED").await;
    }
    enable(&world, &owner, &provider, true).await;
    let again = sign_in(&world, &at, &provider, "ann").await.unwrap();
    held.rollback().await.unwrap();
    let refresh = wire::RefreshRequest {
        refresh_token: pair.refresh_token,
    };
    let refused_refresh = world.auth_of(1).refresh(refresh).await;
    assert_eq!(refused(refused_refresh), "CREDENTIAL_REVOKED");

    wait::until("one session left", FOLLOW_WITHIN, async || {
        let left: (i64, i64) = sqlx::query_as(
            "SELECT count(*) FILTER (WHERE ended_at IS NULL), (SELECT count(*) FROM identity.provider_ends)
             FROM identity.sessions WHERE provider_id = $1",
        )
        .bind(id)
        .fetch_one(&mut database)
        .await?;
        Ok((left == (1, 0)).then_some(()))
    })
    .await
    .unwrap();
    let told: (i64, i64) = sqlx::query_as(
        "SELECT count(*), count(DISTINCT event #>> '{resource,id}') FROM identity.outbox
         WHERE tenant_id = $1 AND action = 'session.ended'",
    )
    .bind(acme.uuid())
    .fetch_one(&mut database)
    .await
    .unwrap();
    let all = i64::from(MANY) + 1;
    assert_eq!(told, (all, all), "each is told once");
    assert!(
        world.assertion(&again).await.is_ok(),
        "what began afterwards goes on"
    );
}
