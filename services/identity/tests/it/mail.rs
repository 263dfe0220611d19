//! Mails, as they arrive, and what becomes of them when they can't.

use std::fs;
use std::time::Duration;

use tenantry_proto::identity::v1 as wire;
use tenantry_testkit::wait;

use crate::caller::{Who, reason};
use crate::world::{OPERATOR, World};

fn new_member(email: &str, name: &str) -> wire::CreateMemberRequest {
    wire::CreateMemberRequest {
        email: email.to_owned(),
        name: name.to_owned(),
        ..Default::default()
    }
}

/// Longest time until a mail is taken up again.
const WITHIN: Duration = Duration::from_secs(20);

/// Mails that wait, and how many of them were tried.
async fn waiting(world: &World) -> (i64, i64) {
    sqlx::query_as("SELECT count(*), count(*) FILTER (WHERE tries > 0) FROM identity.mails")
        .fetch_one(&mut world.superuser().await)
        .await
        .unwrap()
}

async fn until_waiting(world: &World, expected: (i64, i64)) {
    wait::until(&format!("{expected:?} mails"), WITHIN, async || {
        Ok((waiting(world).await == expected).then_some(()))
    })
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_member_is_welcomed_in_plain_text_and_in_html_and_in_no_words_of_who_added_them() {
    let world = World::start().await;
    let acme = world.tenant("acme", None).await;
    let operator = Who::bearer(&world.operator).at(acme);
    let request = new_member("ann@example.com", "a PRIZE at http://evil.example");
    let request = world.ask(&operator, request).await.unwrap();
    world.members().create_member(request).await.unwrap();
    let ask = wire::RequestPasswordResetRequest {
        email: "ann@example.com".to_owned(),
    };
    let welcome = world.post.nth("ann@example.com", 1).await.unwrap();
    assert!(welcome.head.contains("Subject: You were added to acme"));
    assert!(welcome.text.contains("you were added to acme."));
    assert!(welcome.html.contains("you were added to <b>acme</b>."));
    // Anyone may have such a link sent there, so the name isn't in that mail either.
    world.passwords().request_password_reset(ask).await.unwrap();
    let link = world.post.nth("ann@example.com", 2).await.unwrap();
    for mail in [welcome, link] {
        for part in [mail.head, mail.text, mail.html] {
            assert!(!part.contains("PRIZE"), "{part}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_acknowledged_mail_outlives_its_replica_and_a_transport_that_is_away_and_is_sent_once() {
    let mut world = World::start().await;
    let acme = world.tenant("acme", None).await;
    let owner = world.member(acme, "owner@example.com", "owner").await;
    world.post.nth("owner@example.com", 1).await.unwrap();
    until_waiting(&world, (0, 0)).await;

    let away = world.mail_folder().with_extension("away");
    fs::rename(world.mail_folder(), &away).unwrap();
    let request = wire::InviteMemberRequest {
        email: "ann@example.com".to_owned(),
        ..Default::default()
    };
    let ask = world.ask(&owner, request).await.unwrap();
    world.invitations(0).invite_member(ask).await.unwrap();
    for _ in 0..2 {
        let ask = wire::RequestPasswordResetRequest {
            email: OPERATOR.to_owned(),
        };
        world.passwords().request_password_reset(ask).await.unwrap();
    }
    until_waiting(&world, (2, 2)).await;
    let mut past = world.superuser().await;
    // None of its words lie open, nor does the address.
    let rows: String = sqlx::query_scalar("SELECT string_agg(m::text, ' ') FROM identity.mails m")
        .fetch_one(&mut past)
        .await
        .unwrap();
    assert!(!rows.contains("ann@example.com"));

    // Whoever had them goes as by a crash, with the mails taken up: they are another's once the lease is over.
    world.end().await;
    sqlx::query("UPDATE identity.mails SET next_at = clock_timestamp() + interval '1 second'")
        .execute(&mut past)
        .await
        .unwrap();
    fs::rename(&away, world.mail_folder()).unwrap();
    world.restart().await;
    let invitation = world.post.nth("ann@example.com", 1).await.unwrap();
    world.post.nth(OPERATOR, 1).await.unwrap();
    until_waiting(&world, (0, 0)).await;
    for to in ["ann@example.com", OPERATOR] {
        assert_eq!(
            world.post.to(to).unwrap().len(),
            1,
            "two replicas, one mail"
        );
    }
    let offer = wire::GetInvitationOfferRequest {
        token: invitation.token().to_owned(),
    };
    let offer = world.invitations(1).get_invitation_offer(offer).await;
    assert_eq!(offer.unwrap().into_inner().tenant_name, "The acme company");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mail_that_waits_goes_with_its_invitation_and_with_its_use() {
    let mut world = World::start().await;
    let acme = world.tenant("acme", None).await;
    let owner = world.member(acme, "owner@example.com", "owner").await;
    world.post.nth("owner@example.com", 1).await.unwrap();
    until_waiting(&world, (0, 0)).await;
    fs::rename(
        world.mail_folder(),
        world.mail_folder().with_extension("away"),
    )
    .unwrap();
    let mut invited = Vec::new();
    for email in ["ann@example.com", "ben@example.com"] {
        let request = wire::InviteMemberRequest {
            email: email.to_owned(),
            ..Default::default()
        };
        let ask = world.ask(&owner, request).await.unwrap();
        let made = world.invitations(0).invite_member(ask).await.unwrap();
        invited.push(made.into_inner().id);
    }
    // None is in a replica's hands, which would have to find out first what became of it.
    let delayed = async || {
        let delayed = "SELECT count(*) = 2 FROM identity.invitations WHERE mail_state = 'delayed'";
        let delayed = sqlx::query_scalar::<_, bool>(delayed);
        let delayed = delayed.fetch_one(&mut world.superuser().await).await?;
        Ok(delayed.then_some(()))
    };
    wait::until("delayed mails", WITHIN, delayed).await.unwrap();
    let request = wire::RevokeInvitationRequest {
        invitation: invited.remove(0),
        ..Default::default()
    };
    let ask = world.ask(&owner, request).await.unwrap();
    let revoked = world.invitations(0).revoke_invitation(ask).await;
    let revoked = revoked.unwrap().into_inner();
    assert_eq!(waiting(&world).await.0, 1);
    let request = wire::GetInvitationRequest {
        invitation: revoked.id.clone(),
        ..Default::default()
    };
    let ask = world.ask(&owner, request).await.unwrap();
    let found = world.invitations(1).get_invitation(ask).await.unwrap();
    assert_eq!(found.into_inner(), revoked);
    assert_eq!(revoked.mail_state, "failed", "no mail is tried again");
    assert_eq!(revoked.mail_state_at, revoked.revoked_at);
    // The other is in a replica's hands when its time ends: it is let be until the lease is over.
    world.end().await;
    let mut past = world.superuser().await;
    sqlx::query(
        "UPDATE identity.mails
         SET tries = 1, ends_at = clock_timestamp(), next_at = clock_timestamp() + interval '1 hour'",
    )
    .execute(&mut past)
    .await
    .unwrap();
    // Replicas look for what is over before they take up anything: once the next mail is sent, they have.
    fs::rename(
        world.mail_folder().with_extension("away"),
        world.mail_folder(),
    )
    .unwrap();
    world.restart().await;
    let request = wire::RequestPasswordResetRequest {
        email: OPERATOR.to_owned(),
    };
    world
        .passwords()
        .request_password_reset(request)
        .await
        .unwrap();
    world.post.nth(OPERATOR, 1).await.unwrap();
    until_waiting(&world, (1, 1)).await;
    sqlx::query("UPDATE identity.mails SET next_at = clock_timestamp()")
        .execute(&mut past)
        .await
        .unwrap();
    until_waiting(&world, (0, 0)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_has_so_many_mails_a_day_whatever_becomes_of_what_they_tell_of() {
    let world = World::start().await;
    let acme = world.tenant_of("acme", None, &["example.com"]).await;
    let owner = world.member(acme, "owner@example.com", "owner").await;
    let invite = async |email: &str| {
        let request = wire::InviteMemberRequest {
            email: email.to_owned(),
            ..Default::default()
        };
        let ask = world.ask(&owner, request).await.unwrap();
        let made = world.invitations(0).invite_member(ask).await;
        made.map(tonic::Response::into_inner)
    };
    let create = async |who: &Who, email: &str| {
        let ask = world.ask(who, new_member(email, "")).await.unwrap();
        world.members().create_member(ask).await.map(drop)
    };
    let mut past = world.superuser().await;
    sqlx::query("UPDATE identity.mail_days SET mails = 498")
        .execute(&mut past)
        .await
        .unwrap();
    create(&owner, "ann@example.com").await.unwrap();
    let last = invite("ben@example.com").await.unwrap();
    let request = wire::RevokeInvitationRequest {
        invitation: last.id,
        ..Default::default()
    };
    let ask = world.ask(&owner, request).await.unwrap();
    world.invitations(0).revoke_invitation(ask).await.unwrap();
    for refused in [
        invite("eve@example.com").await.map(drop),
        create(&owner, "eve@example.com").await,
    ] {
        let refused = refused.unwrap_err();
        assert_eq!(reason(&refused), "LIMIT_REACHED");
        assert!(refused.message().contains("500 mails"), "{refused:?}");
    }
    let members: i64 = sqlx::query_scalar("SELECT count(*) FROM identity.memberships")
        .fetch_one(&mut past)
        .await
        .unwrap();
    assert_eq!(members, 2, "what is refused isn't half done");
    // The platform's people are no tenant's.
    let operator = Who::bearer(&world.operator).at(acme);
    create(&operator, "eve@example.com").await.unwrap();
    sqlx::query("UPDATE identity.mail_days SET day = day - 1")
        .execute(&mut past)
        .await
        .unwrap();
    invite("dan@example.com").await.unwrap();
    let days: i64 = sqlx::query_scalar("SELECT count(*) FROM identity.mail_days")
        .fetch_one(&mut past)
        .await
        .unwrap();
    assert_eq!(days, 1);
}
