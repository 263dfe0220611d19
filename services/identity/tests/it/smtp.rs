//! Mails by SMTP, to a server that isn't ours, and what an invitation tells of its mail.

use std::path::PathBuf;
use std::time::Duration;

use tenantry_proto::identity::v1 as wire;
use tenantry_testkit::envoy::Tls;
use tenantry_testkit::paths;
use tenantry_testkit::smtp::SmtpServer;
use tenantry_testkit::wait;

use crate::caller::Who;
use crate::invitations::accept;
use crate::replica::MailTo;
use crate::world::World;

/// Longest time until a mail is where it ends, tries and waits between them included.
const WITHIN: Duration = Duration::from_secs(60);
const PASSWORD: &str = "of-the-mail-server";

fn to(url: String, ca_file: Option<PathBuf>) -> MailTo {
    MailTo { url, ca_file }
}

/// An owner of a tenant, with replicas that send mail there.
async fn owner(to: MailTo, server: &SmtpServer) -> (World, Who) {
    let world = World::start_mailing(to, server.post()).await;
    let acme = world.tenant("acme", None).await;
    let owner = world.member(acme, "owner@example.com", "owner").await;
    (world, owner)
}

async fn invite(world: &World, owner: &Who, email: &str) -> wire::Invitation {
    let request = wire::InviteMemberRequest {
        email: email.to_owned(),
        ..Default::default()
    };
    let ask = world.ask(owner, request).await.unwrap();
    let made = world.invitations(0).invite_member(ask).await.unwrap();
    made.into_inner()
}

/// The invitation once its mail stands so.
async fn until(world: &World, owner: &Who, id: &str, state: &str) -> wire::Invitation {
    let reached = wait::until(state, WITHIN, async || {
        let request = wire::GetInvitationRequest {
            invitation: id.to_owned(),
            ..Default::default()
        };
        let ask = world.ask(owner, request).await?;
        let now = world.invitations(1).get_invitation(ask).await?;
        Ok(Some(now.into_inner()).filter(|now| now.mail_state == state))
    });
    reached.await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mail_goes_by_smtp_in_both_forms_and_its_invitation_says_when() {
    let server = SmtpServer::start().await.unwrap();
    let (world, owner) = owner(to(server.url(), None), &server).await;
    let made = invite(&world, &owner, "ann@example.com").await;
    assert_eq!(made.mail_state, "queued");
    assert_eq!(made.mail_state_at, made.sent_at);
    let mail = world.post.nth("ann@example.com", 1).await.unwrap();
    for part in [&mail.text, &mail.html] {
        assert!(part.contains("“The acme company”"), "{part}");
        assert!(part.contains(mail.token()), "{part}");
    }
    assert!(
        mail.head
            .contains("From: Tenantry <no-reply@tenantry.test>")
    );
    let sent = until(&world, &owner, &made.id, "sent").await;
    let seconds = |at: Option<prost_types::Timestamp>| at.unwrap().seconds;
    assert!(seconds(sent.mail_state_at) >= seconds(made.sent_at));
    let offer = wire::GetInvitationOfferRequest {
        token: mail.token().to_owned(),
    };
    let offer = world.invitations(0).get_invitation_offer(offer).await;
    assert!(offer.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_for_now_is_tried_again_and_one_for_good_is_told_until_it_is_sent_again() {
    let server = SmtpServer::start().await.unwrap();
    let (world, owner) = owner(to(server.url(), None), &server).await;
    let [grey, refused, busy] = [
        invite(&world, &owner, "grey@example.com").await,
        invite(&world, &owner, "refused@example.com").await,
        invite(&world, &owner, "busy@example.com").await,
    ];
    until(&world, &owner, &grey.id, "delayed").await;
    until(&world, &owner, &grey.id, "sent").await;
    assert_eq!(server.post().to("grey@example.com").unwrap().len(), 1);
    until(&world, &owner, &busy.id, "delayed").await;
    let failed = until(&world, &owner, &refused.id, "failed").await;
    assert_eq!(failed.status, "pending", "the link itself still works");
    let request = wire::ResendInvitationRequest {
        invitation: refused.id.clone(),
        ..Default::default()
    };
    let ask = world.ask(&owner, request).await.unwrap();
    let again = world.invitations(0).resend_invitation(ask).await.unwrap();
    assert_eq!(again.into_inner().mail_state, "queued");
    until(&world, &owner, &refused.id, "failed").await;
    // What waits too long is given up as well.
    sqlx::query(
        "UPDATE identity.mails SET ends_at = clock_timestamp(), next_at = clock_timestamp()",
    )
    .execute(&mut world.superuser().await)
    .await
    .unwrap();
    until(&world, &owner, &busy.id, "failed").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mail_waits_for_a_server_that_is_away_or_says_nothing() {
    let server = SmtpServer::start().await.unwrap();
    let (world, owner) = owner(to(server.url(), None), &server).await;
    let silent = invite(&world, &owner, "hang@example.com").await;
    until(&world, &owner, &silent.id, "delayed").await;
    server.stop().await.unwrap();
    let made = invite(&world, &owner, "ann@example.com").await;
    until(&world, &owner, &made.id, "delayed").await;
    server.start_again().await.unwrap();
    until(&world, &owner, &made.id, "sent").await;
    assert_eq!(server.post().to("ann@example.com").unwrap().len(), 1);
}

/// Runs a statement past the walls until it changes this many rows.
async fn changes(world: &World, rows: u64, statement: &'static str) {
    let mut past = world.superuser().await;
    wait::until(statement, WITHIN, async || {
        let changed = sqlx::query(statement).execute(&mut past).await?;
        Ok((changed.rows_affected() == rows).then_some(()))
    })
    .await
    .unwrap();
}

async fn count(world: &World, statement: &'static str) -> i64 {
    let counted = sqlx::query_scalar(statement);
    counted
        .fetch_one(&mut world.superuser().await)
        .await
        .unwrap()
}

/// Waits until no mail waits: those to whom the tests begin with are welcomed.
async fn until_all_went(world: &World) {
    changes(world, 0, "UPDATE identity.mails SET tries = tries").await;
}

/// Waits until the server has a mail that it says nothing of yet.
async fn until_handed_over(world: &World) {
    let handed_over = "UPDATE identity.mails SET tries = tries WHERE stage = 'handed_over'";
    changes(world, 1, handed_over).await;
}

async fn revoke(world: &World, owner: &Who, id: &str) -> wire::Invitation {
    let request = wire::RevokeInvitationRequest {
        invitation: id.to_owned(),
        ..Default::default()
    };
    let ask = world.ask(owner, request).await.unwrap();
    let revoked = world.invitations(0).revoke_invitation(ask).await.unwrap();
    revoked.into_inner()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mail_that_the_server_took_is_sent_whether_or_not_it_says_goodbye() {
    let server = SmtpServer::start().await.unwrap();
    let (world, owner) = owner(to(server.url(), None), &server).await;
    until_all_went(&world).await;
    let made = invite(&world, &owner, "stay@example.com").await;
    until(&world, &owner, &made.id, "sent").await;
    assert_eq!(server.post().to("stay@example.com").unwrap().len(), 1);
    assert_eq!(
        count(&world, "SELECT count(*) FROM identity.mails").await,
        0
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_looks_through_a_mail_has_ten_minutes_to_say_that_it_keeps_it() {
    let server = SmtpServer::start().await.unwrap();
    let (world, owner) = owner(to(server.url(), None), &server).await;
    let made = invite(&world, &owner, "slow@example.com").await;
    until_handed_over(&world).await;
    let anothers = "SELECT count(*) FROM identity.mails WHERE next_at < clock_timestamp() + interval '10 minutes'";
    assert_eq!(count(&world, anothers).await, 0, "no other replica has it");
    server.go_on().unwrap();
    until(&world, &owner, &made.id, "sent").await;
    assert_eq!(server.post().to("slow@example.com").unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mail_of_which_the_server_never_says_whether_it_keeps_it_goes_three_times_at_most() {
    let server = SmtpServer::start().await.unwrap();
    let (world, owner) = owner(to(server.url(), None), &server).await;
    until_all_went(&world).await;
    let made = invite(&world, &owner, "mute@example.com").await;
    // Not at once: the server may have it, or start again.
    for again in [
        "UPDATE identity.mails SET next_at = clock_timestamp() WHERE stage = 'waits' AND unanswered = 1
         AND next_at > clock_timestamp() + interval '14 minutes'",
        "UPDATE identity.mails SET next_at = clock_timestamp() WHERE stage = 'waits' AND unanswered = 2
         AND next_at > clock_timestamp() + interval '3 hours'",
    ] {
        changes(&world, 1, again).await;
    }
    until(&world, &owner, &made.id, "failed").await;
    assert_eq!(server.post().to("mute@example.com").unwrap().len(), 3);
    assert_eq!(
        count(&world, "SELECT count(*) FROM identity.mails").await,
        0
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mail_whose_link_was_used_goes_no_more() {
    let server = SmtpServer::start().await.unwrap();
    let (world, owner) = owner(to(server.url(), None), &server).await;
    until_all_went(&world).await;
    let made = invite(&world, &owner, "mute@example.com").await;
    until(&world, &owner, &made.id, "delayed").await;
    let mail = world.post.nth("mute@example.com", 1).await.unwrap();
    accept(&world, mail.token()).await.unwrap();
    assert_eq!(
        count(&world, "SELECT count(*) FROM identity.mails").await,
        0
    );
    let accepted = until(&world, &owner, &made.id, "sent").await;
    assert_eq!(accepted.mail_state_at, accepted.accepted_at);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mail_that_the_server_has_is_not_told_as_failed_when_its_invitation_is_revoked() {
    let server = SmtpServer::start().await.unwrap();
    let (world, owner) = owner(to(server.url(), None), &server).await;
    until_all_went(&world).await;
    let gone = invite(&world, &owner, "slow@example.com").await;
    until_handed_over(&world).await;
    assert_eq!(revoke(&world, &owner, &gone.id).await.mail_state, "queued");
    server.go_on().unwrap();
    until(&world, &owner, &gone.id, "sent").await;
    // One that a replica has, but the server hasn't, doesn't go.
    let stopped = invite(&world, &owner, "hang@example.com").await;
    changes(
        &world,
        1,
        "UPDATE identity.mails SET about = about WHERE stage = 'taken'",
    )
    .await;
    assert_eq!(
        revoke(&world, &owner, &stopped.id).await.mail_state,
        "failed"
    );
    assert_eq!(
        count(&world, "SELECT count(*) FROM identity.mails").await,
        0
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_badly_set_up_has_no_mail_given_up() {
    let server = SmtpServer::start().await.unwrap();
    let (world, owner) = owner(to(server.url(), None), &server).await;
    let [foreign, vague, busy] = [
        invite(&world, &owner, "foreign@example.com").await,
        invite(&world, &owner, "vague@example.com").await,
        invite(&world, &owner, "busy@example.com").await,
    ];
    for made in [&foreign, &vague, &busy] {
        until(&world, &owner, &made.id, "delayed").await;
    }
    server.close(true).unwrap();
    let made = invite(&world, &owner, "ann@example.com").await;
    until(&world, &owner, &made.id, "delayed").await;
    server.close(false).unwrap();
    until(&world, &owner, &made.id, "sent").await;
    // However often it was tried: that a server says no without a reason counts by how long it has.
    let hold = "UPDATE identity.mails SET next_at = 'infinity' WHERE stage = 'waits'";
    changes(&world, 3, hold).await;
    let often = "UPDATE identity.mails SET tries = 40, sealed = CASE WHEN about = (
                     SELECT id FROM identity.invitations WHERE email = 'busy@example.com') THEN '' ELSE sealed END,
                 next_at = clock_timestamp()";
    changes(&world, 3, often).await;
    let tried = "UPDATE identity.mails SET about = about WHERE stage = 'waits' AND tries = 41";
    changes(&world, 3, tried).await;
    // It is believed in the end; a no that is about us isn't; and what can't be read may be another's.
    let late = "UPDATE identity.mails SET doubted_since = doubted_since - interval '1 hour', next_at = clock_timestamp()";
    changes(&world, 3, late).await;
    until(&world, &owner, &vague.id, "failed").await;
    let tried = "UPDATE identity.mails SET about = about WHERE stage = 'waits' AND tries = 42";
    changes(&world, 2, tried).await;
    for made in [&foreign, &busy] {
        until(&world, &owner, &made.id, "delayed").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mail_is_noted_as_sent_while_another_of_the_same_look_hangs() {
    let server = SmtpServer::start().await.unwrap();
    let (world, owner) = owner(to(server.url(), None), &server).await;
    until_all_went(&world).await;
    server.stop().await.unwrap();
    let hanging = invite(&world, &owner, "hang@example.com").await;
    let made = invite(&world, &owner, "ann@example.com").await;
    for made in [&hanging, &made] {
        until(&world, &owner, &made.id, "delayed").await;
    }
    let hold = "UPDATE identity.mails SET next_at = 'infinity' WHERE stage = 'waits'";
    changes(&world, 2, hold).await;
    let before = until(&world, &owner, &hanging.id, "delayed").await;
    server.start_again().await.unwrap();
    let due = "UPDATE identity.mails SET next_at = clock_timestamp()";
    changes(&world, 2, due).await;
    until(&world, &owner, &made.id, "sent").await;
    let after = until(&world, &owner, &hanging.id, "delayed").await;
    assert_eq!(after, before, "it still hangs");
}

#[tokio::test(flavor = "multi_thread")]
async fn recipients_that_say_nothing_hold_up_the_mails_of_their_own_tenant_only() {
    let server = SmtpServer::start().await.unwrap();
    let (world, owner) = owner(to(server.url(), None), &server).await;
    let beta = world.tenant("beta", None).await;
    let other = world.member(beta, "other@example.com", "owner").await;
    until_all_went(&world).await;
    for n in 0..12 {
        invite(&world, &owner, &format!("hang+{n}@example.com")).await;
    }
    let made = invite(&world, &other, "ann@example.com").await;
    until(&world, &other, &made.id, "sent").await;
    let tried = "SELECT count(*) FROM identity.mails WHERE tries > 0";
    assert_eq!(count(&world, tried).await, 4, "a few at a time");
    let over = "SELECT count(*) FROM identity.mails WHERE tries > 0 AND stage = 'waits'";
    assert_eq!(count(&world, over).await, 0, "all of them still hang");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mail_goes_behind_starttls_with_a_password_and_by_no_other_way() {
    let tls = Tls::self_signed(&paths::scratch("mail-tls").unwrap()).unwrap();
    let server = SmtpServer::start_secure(&tls, PASSWORD).await.unwrap();
    let ca = Some(tls.certificate);
    let (world, who) = owner(to(server.secure_url(PASSWORD), ca.clone()), &server).await;
    let made = invite(&world, &who, "ann@example.com").await;
    until(&world, &who, &made.id, "sent").await;
    world.post.nth("ann@example.com", 1).await.unwrap();

    let clear = SmtpServer::start().await.unwrap();
    for (what, to, server) in [
        (
            "a certificate of nobody's",
            to(server.secure_url(PASSWORD), None),
            &server,
        ),
        (
            "a wrong password",
            to(server.secure_url("another"), ca.clone()),
            &server,
        ),
        ("no TLS there", to(clear.secure_url(PASSWORD), ca), &clear),
    ] {
        let (world, who) = owner(to, server).await;
        let made = invite(&world, &who, "ben@example.com").await;
        // It is ours to mend, so it isn't given up.
        until(&world, &who, &made.id, "delayed").await;
        let came = server.post().to("ben@example.com").unwrap();
        assert!(came.is_empty(), "{what}");
    }
}

#[tokio::test]
async fn a_url_that_is_refused_is_not_shown_with_its_password() {
    for (variable, value, why) in [
        (
            "TENANTRY_MAIL_URL",
            "smtp://me:hunter2@mail.example.com",
            "in the clear",
        ),
        (
            "TENANTRY_APP_DATABASE_URL",
            "postgres://me:hunter2@[db",
            "must be a URL",
        ),
    ] {
        let output = tokio::process::Command::new(env!("CARGO_BIN_EXE_identity"))
            .arg("serve")
            .env(variable, value)
            .output()
            .await
            .unwrap();
        let told = String::from_utf8(output.stderr).unwrap();
        assert!(told.contains(why) && !told.contains("hunter2"), "{told}");
    }
}
