//! People see where they are signed in, and sign out there.

use tenantry_core::TenantId;
use tenantry_proto::identity::v1 as wire;
use tonic::Code;

use crate::caller::{Who, reason};
use crate::world::{OPERATOR, PASSWORD, World, until};

pub(crate) async fn list(world: &World, who: &Who) -> Vec<wire::Session> {
    let ask = world
        .ask(who, wire::ListSessionsRequest::default())
        .await
        .unwrap();
    let answer = world.sessions().list_sessions(ask).await.unwrap();
    answer.into_inner().sessions
}

async fn actions(world: &World, tenant: TenantId) -> Vec<String> {
    sqlx::query_scalar(
        "SELECT action FROM identity.outbox WHERE tenant_id = $1
         AND action IN ('session.started', 'session.ended', 'user.sessions_ended') ORDER BY n",
    )
    .bind(tenant.uuid())
    .fetch_all(&mut world.superuser().await)
    .await
    .unwrap()
}

#[tokio::test]
async fn people_see_their_own_sessions_from_the_newest_and_which_is_the_present_one() {
    let world = World::start().await;
    let acme = world.tenant("acme", None).await;
    let ann = world.member(acme, "ann@example.com", "owner").await;
    let mut login = tonic::Request::new(wire::LoginRequest {
        email: "ann@example.com".to_owned(),
        password: PASSWORD.to_owned(),
        tenant: "acme".to_owned(),
        ..Default::default()
    });
    let metadata = login.metadata_mut();
    metadata.insert("x-envoy-external-address", "192.0.2.7".parse().unwrap());
    world.auth().login(login).await.unwrap();
    let sessions = list(&world, &ann).await;
    let [newest, first] = sessions.as_slice() else {
        panic!("{sessions:?}");
    };
    assert!(first.current && !newest.current);
    assert_eq!(newest.ip_address, "192.0.2.7");
    assert!(newest.user_agent.contains("tonic"), "{newest:?}");
    assert_eq!(newest.tenant_id, acme.to_string());
    assert_eq!(first.tenant_id, "");

    let mut request = wire::ListSessionsRequest {
        page_size: 1,
        ..Default::default()
    };
    let mut paged = Vec::new();
    loop {
        let ask = world.ask(&ann, request.clone()).await.unwrap();
        let page = world.sessions().list_sessions(ask).await.unwrap();
        let page = page.into_inner();
        paged.extend(page.sessions);
        if page.next_page_token.is_empty() {
            break;
        }
        request.page_token = page.next_page_token;
    }
    assert_eq!(paged, sessions);

    let key = wire::CreateApiKeyRequest {
        name: "ci".to_owned(),
        ..Default::default()
    };
    let ask = world.ask(&ann, key).await.unwrap();
    let key = world.api_keys().create_api_key(ask).await.unwrap();
    let key = Who::key(&key.into_inner().secret);
    let ask = world
        .ask(&key, wire::ListSessionsRequest::default())
        .await
        .unwrap();
    let program = world.sessions().list_sessions(ask).await.unwrap_err();
    assert_eq!(program.code(), Code::PermissionDenied);
}

#[tokio::test]
async fn a_revoked_session_is_refused_on_another_replica_within_a_second_and_a_foreign_one_is_absent()
 {
    let world = World::start().await;
    let lost = world.login(OPERATOR).await;
    let here = Who::bearer(&world.operator);
    let there = Who::bearer(&lost.access_token).of_replica(1);
    assert!(world.assertion(&there).await.is_ok());
    let session = list(&world, &here).await.remove(0);
    assert!(!session.current);
    let request = wire::RevokeSessionRequest {
        session: session.id.clone(),
        request_id: "once".to_owned(),
    };
    for _ in 0..2 {
        let ask = world.ask(&here, request.clone()).await.unwrap();
        world.sessions().revoke_session(ask).await.unwrap();
    }
    until(async || world.reason(&there).await == "CREDENTIAL_REVOKED").await;
    let refresh = wire::RefreshRequest {
        refresh_token: lost.refresh_token,
    };
    let replayed = world.auth_of(1).refresh(refresh).await.unwrap_err();
    assert_eq!(reason(&replayed), "CREDENTIAL_REVOKED");

    let acme = world.tenant("acme", None).await;
    let ann = world.member(acme, "ann@example.com", "owner").await;
    let foreign = list(&world, &ann).await.remove(0).id;
    let mut refused = Vec::new();
    for id in [foreign, session.id, TenantId::new().to_string()] {
        let request = wire::RevokeSessionRequest {
            session: id,
            ..Default::default()
        };
        let ask = world.ask(&here, request).await.unwrap();
        let status = world.sessions().revoke_session(ask).await.unwrap_err();
        assert_eq!(reason(&status), "SESSION_NOT_FOUND");
        refused.push((status.message().to_owned(), status.details().to_vec()));
    }
    refused.dedup();
    assert_eq!(refused.len(), 1, "foreign, ended and absent are one answer");
    assert!(world.assertion(&ann).await.is_ok());
}

#[tokio::test]
async fn all_other_sessions_end_at_once_and_each_tenant_hears_of_its_own() {
    let world = World::start().await;
    let (acme, beta) = (
        world.tenant("acme", None).await,
        world.tenant("beta", None).await,
    );
    world.member(acme, "ann@example.com", "member").await;
    let ann = world.member(beta, "ann@example.com", "member").await;
    let mut others = Vec::new();
    for tenant in ["acme", "acme", "beta"] {
        let login = wire::LoginRequest {
            email: "ann@example.com".to_owned(),
            password: PASSWORD.to_owned(),
            tenant: tenant.to_owned(),
            ..Default::default()
        };
        let pair = world.auth().login(login).await.unwrap().into_inner();
        others.push(Who::bearer(&pair.access_token).of_replica(1));
    }
    for other in &others {
        assert!(world.assertion(other).await.is_ok());
    }
    let request = wire::RevokeSessionsRequest {
        request_id: "once".to_owned(),
        ..Default::default()
    };
    for _ in 0..2 {
        let ask = world.ask(&ann, request.clone()).await.unwrap();
        let answer = world.sessions().revoke_sessions(ask).await.unwrap();
        assert_eq!(answer.into_inner().revoked, 4, "with the first sign-in");
    }
    for other in &others {
        until(async || world.reason(other).await == "CREDENTIAL_REVOKED").await;
    }
    assert!(
        world.assertion(&ann).await.is_ok(),
        "the present one goes on"
    );
    assert_eq!(
        actions(&world, acme).await,
        ["session.started", "session.started", "user.sessions_ended"]
    );
    assert_eq!(
        actions(&world, beta).await,
        ["session.started", "user.sessions_ended"]
    );
    let gapless: bool = sqlx::query_scalar(
        "SELECT bool_and(c.n = o.last AND o.last = o.number) FROM identity.outbox_counter c JOIN
         (SELECT tenant_id, max(n) AS last, count(*) AS number FROM identity.outbox GROUP BY tenant_id) o USING (tenant_id)",
    )
    .fetch_one(&mut world.superuser().await)
    .await
    .unwrap();
    assert!(gapless);

    let all = wire::RevokeSessionsRequest {
        include_current: true,
        ..Default::default()
    };
    let ask = world.ask(&ann, all).await.unwrap();
    world.sessions().revoke_sessions(ask).await.unwrap();
    until(async || world.reason(&ann).await == "CREDENTIAL_REVOKED").await;
}

#[tokio::test]
async fn a_session_ends_ninety_days_after_its_sign_in_however_often_it_is_refreshed() {
    let world = World::start().await;
    let pair = world.login(OPERATOR).await;
    let mut past = world.superuser().await;
    sqlx::query(
        "UPDATE identity.sessions SET created_at = created_at - interval '89 days 23 hours'",
    )
    .execute(&mut past)
    .await
    .unwrap();
    let refresh = |token: String| wire::RefreshRequest {
        refresh_token: token,
    };
    let request = refresh(pair.refresh_token);
    let pair = world.auth().refresh(request).await.unwrap().into_inner();
    let longest: bool = sqlx::query_scalar(
        "SELECT min(expires_at - created_at) = interval '90 days' FROM identity.sessions",
    )
    .fetch_one(&mut past)
    .await
    .unwrap();
    assert!(longest);
    sqlx::query("UPDATE identity.sessions SET created_at = created_at - interval '1 hour'")
        .execute(&mut past)
        .await
        .unwrap();
    let late = world.auth_of(1).refresh(refresh(pair.refresh_token)).await;
    assert_eq!(reason(&late.unwrap_err()), "CREDENTIAL_EXPIRED");
}
