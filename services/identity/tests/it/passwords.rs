//! People replace their passwords, and what the old ones began ends.

use tenantry_proto::identity::v1 as wire;
use tenantry_testkit::mail::Mail;
use tonic::Status;

use crate::caller::{Who, reason};
use crate::world::{OPERATOR, PASSWORD, World, until};

const NEW: &str = "purple lantern seldom rains";

fn change(current: &str, new: &str, request_id: &str) -> wire::ChangePasswordRequest {
    wire::ChangePasswordRequest {
        current_password: current.to_owned(),
        new_password: new.to_owned(),
        request_id: request_id.to_owned(),
    }
}

fn reset(token: &str, new: &str, request_id: &str) -> wire::ResetPasswordRequest {
    wire::ResetPasswordRequest {
        token: token.to_owned(),
        new_password: new.to_owned(),
        request_id: request_id.to_owned(),
    }
}

async fn login(world: &World, email: &str, password: &str) -> Result<wire::TokenPair, Status> {
    let request = wire::LoginRequest {
        email: email.to_owned(),
        password: password.to_owned(),
        ..Default::default()
    };
    Ok(world.auth_of(1).login(request).await?.into_inner())
}

/// Asks for a link and waits for the mail, the so-many-th to the address.
async fn link(world: &World, email: &str, nth: usize) -> Mail {
    let request = wire::RequestPasswordResetRequest {
        email: email.to_owned(),
    };
    world
        .passwords()
        .request_password_reset(request)
        .await
        .unwrap();
    world.post.nth(email, nth).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_password_ends_all_other_sessions_on_both_replicas_within_a_second() {
    let world = World::start().await;
    let here = Who::bearer(&world.operator);
    let other = world.login(OPERATOR).await;
    let elsewhere = Who::bearer(&other.access_token).of_replica(1);
    assert!(world.assertion(&elsewhere).await.is_ok());

    let ask = world.ask(&here, change("not the password", NEW, "")).await;
    let refused = world.passwords().change_password(ask.unwrap()).await;
    assert_eq!(reason(&refused.unwrap_err()), "BAD_CREDENTIALS");
    for weak in ["short", "Password123!", "root@example.com", PASSWORD] {
        let ask = world.ask(&here, change(PASSWORD, weak, "")).await;
        let refused = world.passwords().change_password(ask.unwrap()).await;
        let refused = refused.unwrap_err();
        assert_eq!(reason(&refused), "INVALID_ARGUMENT", "{weak}");
        assert!(refused.message().contains("new_password"), "{refused:?}");
        assert!(!refused.message().contains(weak), "{refused:?}");
    }
    // Once means once: the repetition is answered, though its old password is the user's no more.
    for _ in 0..2 {
        let ask = world.ask(&here, change(PASSWORD, NEW, "once")).await;
        world
            .passwords()
            .change_password(ask.unwrap())
            .await
            .unwrap();
    }
    until(async || world.reason(&elsewhere).await == "CREDENTIAL_REVOKED").await;
    let refresh = wire::RefreshRequest {
        refresh_token: other.refresh_token,
    };
    let replayed = world.auth_of(1).refresh(refresh).await.unwrap_err();
    assert_eq!(reason(&replayed), "CREDENTIAL_REVOKED");
    assert!(
        world.assertion(&here).await.is_ok(),
        "the present one goes on"
    );
    let old = login(&world, OPERATOR, PASSWORD).await.unwrap_err();
    assert_eq!(reason(&old), "BAD_CREDENTIALS");
    assert!(login(&world, OPERATOR, NEW).await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_replaces_a_password_once_and_only_the_newest_does() {
    let world = World::start().await;
    let here = Who::bearer(&world.operator);
    let there = here.clone().of_replica(1);
    assert!(world.assertion(&there).await.is_ok());
    let first = link(&world, OPERATOR, 1).await;
    let second = link(&world, OPERATOR, 2).await;
    let unknown = wire::RequestPasswordResetRequest {
        email: "nobody@example.com".to_owned(),
    };
    let answer = world.passwords().request_password_reset(unknown).await;
    assert!(answer.is_ok(), "an unknown address is answered alike");
    for bad in [first.token(), "tw_nonsense", world.operator.as_str()] {
        let refused = world.passwords().reset_password(reset(bad, NEW, "")).await;
        assert_eq!(reason(&refused.unwrap_err()), "RESET_TOKEN_INVALID");
    }
    let weak = reset(second.token(), "Password123!", "");
    let weak = world.passwords().reset_password(weak).await.unwrap_err();
    assert_eq!(reason(&weak), "INVALID_ARGUMENT");
    // The account is locked, everywhere: the link opens it.
    let mut past = world.superuser().await;
    assert!(login(&world, OPERATOR, "not the password").await.is_err());
    sqlx::query("UPDATE identity.attempts SET locked_until = clock_timestamp() + interval '10 minutes' WHERE network <> ''")
        .execute(&mut past)
        .await
        .unwrap();
    sqlx::query("UPDATE identity.attempts SET locked_until = NULL WHERE account = ''")
        .execute(&mut past)
        .await
        .unwrap();
    let locked = login(&world, OPERATOR, PASSWORD).await.unwrap_err();
    assert_eq!(reason(&locked), "SIGN_IN_LOCKED");
    for _ in 0..2 {
        let once = reset(second.token(), NEW, "once");
        world.passwords().reset_password(once).await.unwrap();
    }
    let again = world
        .passwords()
        .reset_password(reset(second.token(), NEW, "twice"))
        .await;
    assert_eq!(reason(&again.unwrap_err()), "RESET_TOKEN_INVALID");
    for who in [&here, &there] {
        until(async || world.reason(who).await == "CREDENTIAL_REVOKED").await;
    }
    let old = login(&world, OPERATOR, PASSWORD).await.unwrap_err();
    assert_eq!(reason(&old), "BAD_CREDENTIALS");
    assert!(login(&world, OPERATOR, NEW).await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_uses_of_one_link_at_once_one_counts_and_none_after_its_hour() {
    let world = World::start().await;
    let mail = link(&world, OPERATOR, 1).await;
    let (mut one, mut other) = (world.passwords(), world.passwords());
    let (first, second) = tokio::join!(
        one.reset_password(reset(mail.token(), NEW, "")),
        other.reset_password(reset(mail.token(), "velvet otter cinema", "")),
    );
    assert_eq!([&first, &second].iter().filter(|r| r.is_ok()).count(), 1);
    let late = first.err().or(second.err()).unwrap();
    assert_eq!(reason(&late), "RESET_TOKEN_INVALID");

    let mail = link(&world, OPERATOR, 2).await;
    sqlx::query("UPDATE identity.password_resets SET expires_at = clock_timestamp()")
        .execute(&mut world.superuser().await)
        .await
        .unwrap();
    let late = world
        .passwords()
        .reset_password(reset(mail.token(), NEW, ""))
        .await;
    assert_eq!(reason(&late.unwrap_err()), "RESET_TOKEN_INVALID");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_proves_the_address_so_that_a_tenants_password_reaches_all_that_the_person_does() {
    let world = World::start().await;
    let (acme, beta) = (
        world.tenant_of("acme", None, &["example.com"]).await,
        world.tenant("beta", None).await,
    );
    let owner = world.member(acme, "owner@example.com", "owner").await;
    let request = wire::CreateMemberRequest {
        email: "ann@example.com".to_owned(),
        password: PASSWORD.to_owned(),
        ..Default::default()
    };
    let ask = world.ask(&owner, request).await.unwrap();
    let ann = world
        .members()
        .create_member(ask)
        .await
        .unwrap()
        .into_inner();
    let request = wire::AddMemberRequest {
        user: ann.id,
        ..Default::default()
    };
    let operator = Who::bearer(&world.operator).at(beta);
    let ask = world.ask(&operator, request).await.unwrap();
    world.members().add_member(ask).await.unwrap();
    let before = world.login("ann@example.com").await;
    let before = Who::bearer(&before.access_token).at(beta);
    assert_eq!(
        world.assertion(&before).await.unwrap().no_tenant,
        "not_found"
    );

    // Their own choice alone proves nothing of the address.
    let here = Who::bearer(&world.login("ann@example.com").await.access_token);
    let ask = world.ask(&here, change(PASSWORD, NEW, "")).await.unwrap();
    world.passwords().change_password(ask).await.unwrap();
    let still = here.clone().at(beta);
    assert_eq!(
        world.assertion(&still).await.unwrap().no_tenant,
        "not_found"
    );

    world.registry.set_status(acme, "suspended");
    let mail = link(&world, "ann@example.com", 2).await;
    assert!(mail.html.contains(mail.token()));
    let request = reset(mail.token(), "velvet otter cinema", "");
    world.passwords().reset_password(request).await.unwrap();
    let pair = login(&world, "ann@example.com", "velvet otter cinema").await;
    let after = Who::bearer(&pair.unwrap().access_token).at(beta);
    assert_eq!(world.assertion(&after).await.unwrap().tenant, Some(beta));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_for_link_after_link_gets_a_few() {
    let world = World::start().await;
    link(&world, OPERATOR, 1).await;
    link(&world, OPERATOR, 2).await;
    link(&world, OPERATOR, 3).await;
    sqlx::query("UPDATE identity.attempts SET locked_until = clock_timestamp() + interval '10 minutes' WHERE locked_until IS NOT NULL")
        .execute(&mut world.superuser().await)
        .await
        .unwrap();
    for email in [OPERATOR, OPERATOR] {
        let request = wire::RequestPasswordResetRequest {
            email: email.to_owned(),
        };
        world
            .passwords()
            .request_password_reset(request)
            .await
            .unwrap();
    }
    // Links are sent one after the other: once another's has come, none of these will.
    let acme = world.tenant("acme", None).await;
    world.member(acme, "ann@example.com", "owner").await;
    link(&world, "ann@example.com", 2).await;
    assert_eq!(world.post.to(OPERATOR).unwrap().len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_password_and_no_token_is_stored_or_told() {
    let world = World::start().await;
    let here = Who::bearer(&world.operator);
    let ask = world
        .ask(&here, change(PASSWORD, NEW, "one"))
        .await
        .unwrap();
    world.passwords().change_password(ask).await.unwrap();
    let mail = link(&world, OPERATOR, 1).await;
    let last = "velvet otter cinema";
    let request = reset(mail.token(), last, "two");
    world.passwords().reset_password(request).await.unwrap();
    let pair = login(&world, OPERATOR, last).await.unwrap();
    let mut past = world.superuser().await;
    let tables: Vec<String> = sqlx::query_scalar(
        "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables WHERE schemaname = 'identity'",
    )
    .fetch_all(&mut past)
    .await
    .unwrap();
    for table in tables {
        let sql = format!("SELECT coalesce(string_agg(t::text, ' '), '') FROM {table} t");
        let rows: String = sqlx::query_scalar(sqlx::AssertSqlSafe(sql))
            .fetch_one(&mut past)
            .await
            .unwrap();
        for secret in [
            PASSWORD,
            NEW,
            last,
            mail.token(),
            &pair.access_token,
            &pair.refresh_token,
        ] {
            assert!(!rows.contains(secret), "{table}");
        }
    }
}
