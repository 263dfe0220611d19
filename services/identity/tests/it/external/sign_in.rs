//! At a provider that isn't ours: people sign in, its keys rotate, and each sign-in ends once.

use sqlx::{Connection as _, PgConnection};
use tenantry_proto::identity::v1 as wire;
use tenantry_testkit::oidc_provider::OidcProvider;

use super::{FAILED, PAGE, begin, finish, me, provider, refused, sign_in, signed_in};
use crate::caller::{Who, reason};
use crate::world::World;

async fn sessions(world: &World) -> i64 {
    let url = world.database.superuser_url();
    let mut connection = PgConnection::connect(url.as_str()).await.unwrap();
    let count = "SELECT count(*) FROM identity.sessions WHERE provider_id IS NOT NULL";
    sqlx::query_scalar(count)
        .fetch_one(&mut connection)
        .await
        .unwrap()
}

#[tokio::test]
async fn people_sign_in_and_go_on_when_the_provider_has_new_keys() {
    let world = World::start().await;
    let tenant = world.tenant("acme", None).await;
    let owner = world.member(tenant, "owner@example.com", "owner").await;
    let at = OidcProvider::start().await.unwrap();
    let provider = provider(&world, &owner, &at.issuer(), |_| {}).await;
    let claims =
        serde_json::json!({"email": "ann@example.com", "email_verified": true, "name": "Ann"});
    at.set_user("ann", &claims).await.unwrap();
    let first = me(
        &world,
        &sign_in(&world, &at, &provider, "ann").await.unwrap(),
    )
    .await;
    assert_eq!(
        (first.tenant_id, first.name.as_str()),
        (tenant.to_string(), "Ann")
    );
    assert_eq!(first.email, format!("ann@example.com ({})", at.issuer()));
    assert_eq!(first.memberships[0].roles, ["member"]);
    at.rotate_keys().await.unwrap();
    let again = me(
        &world,
        &sign_in(&world, &at, &provider, "ann").await.unwrap(),
    )
    .await;
    assert_eq!(
        again.id, first.id,
        "the same issuer and subject is the same user"
    );
}

#[tokio::test]
async fn a_providers_session_ends_within_a_day_however_often_it_is_refreshed() {
    let world = World::start().await;
    let tenant = world.tenant("acme", None).await;
    let owner = world.member(tenant, "owner@example.com", "owner").await;
    let at = OidcProvider::start().await.unwrap();
    let provider = provider(&world, &owner, &at.issuer(), |_| {}).await;
    let claims =
        serde_json::json!({"email": "ann@example.com", "email_verified": true, "name": "Ann"});
    at.set_user("ann", &claims).await.unwrap();
    let pair = signed_in(&world, &at, &provider, "ann").await.unwrap();
    let mut past = world.superuser().await;
    let refresh = |token: String| wire::RefreshRequest {
        refresh_token: token,
    };
    let request = refresh(pair.refresh_token);
    let pair = world.auth().refresh(request).await.unwrap().into_inner();
    sqlx::query("UPDATE identity.sessions SET created_at = created_at - interval '24 hours' WHERE provider_id IS NOT NULL")
        .execute(&mut past)
        .await
        .unwrap();
    let late = world.auth().refresh(refresh(pair.refresh_token)).await;
    assert_eq!(reason(&late.unwrap_err()), "CREDENTIAL_EXPIRED");
}

#[tokio::test]
async fn of_two_who_finish_at_once_one_gets_a_session_and_none_after() {
    let world = World::start().await;
    let tenant = world.tenant("acme", None).await;
    let owner = world.member(tenant, "owner@example.com", "owner").await;
    let at = OidcProvider::start().await.unwrap();
    let provider = provider(&world, &owner, &at.issuer(), |_| {}).await;
    let begun = begin(&world, &provider).await.unwrap();
    let other = begin(&world, &provider).await.unwrap();
    let back = at.sign_in(&begun.authorization_url, "ann").await.unwrap();

    let of_another = wire::FinishExternalSignInRequest {
        state: other.state.clone(),
        ..finish(&begun, &back.code)
    };
    let refusal = world.external(0).finish_external_sign_in(of_another).await;
    assert_eq!(
        refused(refusal),
        FAILED,
        "the state of another, with one's own secret"
    );
    let injected = finish(&other, &back.code);
    let refusal = world.external(0).finish_external_sign_in(injected).await;
    assert_eq!(
        refused(refusal),
        FAILED,
        "another's code in one's own sign-in"
    );

    let begun = begin(&world, &provider).await.unwrap();
    let back = at.sign_in(&begun.authorization_url, "ann").await.unwrap();
    let (mut one, mut two) = (world.external(0), world.external(1));
    let (one, two) = tokio::join!(
        one.finish_external_sign_in(finish(&begun, &back.code)),
        two.finish_external_sign_in(finish(&begun, &back.code)),
    );
    assert_eq!(usize::from(one.is_ok()) + usize::from(two.is_ok()), 1);
    assert_eq!(sessions(&world).await, 1);
    let again = world
        .external(0)
        .finish_external_sign_in(finish(&begun, &back.code))
        .await;
    assert_eq!(refused(again), FAILED);
    let begun = begin(&world, &provider).await.unwrap();
    let replayed = world
        .external(0)
        .finish_external_sign_in(finish(&begun, &back.code))
        .await;
    assert_eq!(refused(replayed), FAILED, "a code that was used");
    assert_eq!(sessions(&world).await, 1);
}

#[tokio::test]
async fn whoever_signs_in_first_twice_at_once_is_one_user() {
    let world = World::start().await;
    let tenant = world.tenant("acme", None).await;
    let owner = world.member(tenant, "owner@example.com", "owner").await;
    let at = OidcProvider::start().await.unwrap();
    let provider = provider(&world, &owner, &at.issuer(), |_| {}).await;
    let all = (0..4).map(|_| sign_in(&world, &at, &provider, "ann"));
    let mut ids = Vec::new();
    for who in futures::future::join_all(all).await {
        ids.push(me(&world, &who.unwrap()).await.id);
    }
    ids.dedup();
    assert_eq!(ids.len(), 1);
}

#[tokio::test]
async fn what_cannot_begin_is_refused_alike_whatever_is_wrong() {
    let world = World::start().await;
    let tenant = world.tenant("acme", None).await;
    let foreign = world.tenant("beta", None).await;
    let owner = world.member(tenant, "owner@example.com", "owner").await;
    let issuer = "https://login.example.com";
    let known = provider(&world, &owner, issuer, |_| {}).await;
    let disabled = provider(&world, &owner, issuer, |new| {
        new.client_id = "other".to_owned();
        new.disabled = true;
    })
    .await;
    let right = wire::StartExternalSignInRequest {
        tenant: "acme".to_owned(),
        provider: known.id.clone(),
        redirect_uri: PAGE.to_owned(),
        ..Default::default()
    };
    let mut seen = Vec::new();
    for wrong in [
        wire::StartExternalSignInRequest {
            tenant: "absent".to_owned(),
            ..right.clone()
        },
        wire::StartExternalSignInRequest {
            tenant: foreign.to_string(),
            ..right.clone()
        },
        wire::StartExternalSignInRequest {
            tenant: String::new(),
            ..right.clone()
        },
        wire::StartExternalSignInRequest {
            provider: disabled.id,
            ..right.clone()
        },
        wire::StartExternalSignInRequest {
            provider: foreign.to_string(),
            ..right.clone()
        },
        wire::StartExternalSignInRequest {
            redirect_uri: format!("{PAGE}/evil"),
            ..right.clone()
        },
    ] {
        let refusal = world
            .external(0)
            .start_external_sign_in(wrong)
            .await
            .unwrap_err();
        seen.push((
            refusal.code(),
            refusal.message().to_owned(),
            refusal.details().to_vec(),
        ));
    }
    seen.dedup();
    assert_eq!(seen.len(), 1, "{seen:?}");
    assert!(seen[0].1.contains("redirect_uris"));
    // Nothing of what the browser or the database holds opens a sign-in by itself.
    let nobody = Who::default();
    assert_eq!(world.reason(&nobody).await, "UNAUTHENTICATED");
}
