//! Invitations: what a link does, once, for whom, and what makes it dead.

use sqlx::{Connection as _, PgConnection};
use tenantry_core::TenantId;
use tenantry_proto::identity::v1 as wire;
use tenantry_rpc::assertion::HEADER;
use tonic::{Code, Request, Status};

use crate::caller::{Who, reason};
use crate::world::{PASSWORD, World, until};

const ACCEPT: &str = "/tenantry.identity.v1.InvitationService/AcceptInvitation";
const ANN: &str = "ann@example.com";
const OTHER_PASSWORD: &str = "another horse battery";

fn to(email: &str, roles: &[&str]) -> wire::InviteMemberRequest {
    wire::InviteMemberRequest {
        email: email.to_owned(),
        roles: roles.iter().map(|role| (*role).to_owned()).collect(),
        ..Default::default()
    }
}

async fn invite(
    world: &World,
    who: &Who,
    request: wire::InviteMemberRequest,
) -> Result<wire::Invitation, Status> {
    let ask = world.ask(who, request).await?;
    Ok(world.invitations(0).invite_member(ask).await?.into_inner())
}

/// Invites an address and gives the token that came by mail.
pub(crate) async fn token(world: &World, who: &Who, email: &str, roles: &[&str]) -> String {
    let before = world.post.to(email).unwrap().len();
    invite(world, who, to(email, roles)).await.unwrap();
    let mail = world.post.nth(email, before + 1).await.unwrap();
    mail.token().to_owned()
}

async fn resend(world: &World, who: &Who, invitation: &str) -> Result<wire::Invitation, Status> {
    let request = wire::ResendInvitationRequest {
        invitation: invitation.to_owned(),
        ..Default::default()
    };
    let ask = world.ask(who, request).await?;
    let sent = world.invitations(0).resend_invitation(ask).await?;
    Ok(sent.into_inner())
}

async fn revoke(world: &World, who: &Who, invitation: &str) -> Result<wire::Invitation, Status> {
    let request = wire::RevokeInvitationRequest {
        invitation: invitation.to_owned(),
        ..Default::default()
    };
    let ask = world.ask(who, request).await?;
    let revoked = world.invitations(0).revoke_invitation(ask).await?;
    Ok(revoked.into_inner())
}

async fn list(world: &World, who: &Who, status: &str) -> Vec<wire::Invitation> {
    let request = wire::ListInvitationsRequest {
        status: status.to_owned(),
        ..Default::default()
    };
    let ask = world.ask(who, request).await.unwrap();
    let page = world.invitations(1).list_invitations(ask).await.unwrap();
    page.into_inner().invitations
}

fn with_password(token: &str, password: &str) -> wire::AcceptInvitationRequest {
    wire::AcceptInvitationRequest {
        token: token.to_owned(),
        password: password.to_owned(),
        ..Default::default()
    }
}

/// Accepts with a new password and no credential.
pub(crate) async fn accept(world: &World, token: &str) -> Result<wire::Member, Status> {
    let request = with_password(token, PASSWORD);
    Ok(world
        .invitations(0)
        .accept_invitation(request)
        .await?
        .into_inner())
}

/// Accepts with a credential.
async fn accept_as(world: &World, who: &Who, token: &str) -> Result<wire::Member, Status> {
    let who = who.clone().with(":path", ACCEPT);
    let assertion = world.assertion(&who).await?;
    assert_eq!(assertion.tenant, None, "only who it is counts");
    let mut request = Request::new(with_password(token, ""));
    let header = assertion.token.parse().unwrap();
    request.metadata_mut().insert(HEADER, header);
    let accepted = world.invitations(1).accept_invitation(request).await?;
    Ok(accepted.into_inner())
}

async fn offer(world: &World, token: &str) -> Result<wire::InvitationOffer, Status> {
    let request = wire::GetInvitationOfferRequest {
        token: token.to_owned(),
    };
    let offer = world.invitations(0).get_invitation_offer(request).await?;
    Ok(offer.into_inner())
}

async fn sql(world: &World, statement: &'static str) {
    let url = world.database.superuser_url();
    let mut connection = PgConnection::connect(url.as_str()).await.unwrap();
    sqlx::query(statement)
        .execute(&mut connection)
        .await
        .unwrap();
}

/// Ends a membership, as an operator does.
async fn remove(world: &World, tenant: TenantId, email: &str) {
    let operator = Who::bearer(&world.operator).at(tenant);
    let ask = world
        .ask(&operator, wire::ListMembersRequest::default())
        .await
        .unwrap();
    let page = world
        .members()
        .list_members(ask)
        .await
        .unwrap()
        .into_inner();
    let member = page.users.into_iter().find(|user| user.email == email);
    let request = wire::RemoveMemberRequest {
        user: member.unwrap().id,
        ..Default::default()
    };
    let ask = world.ask(&operator, request).await.unwrap();
    world.members().remove_member(ask).await.unwrap();
}

async fn acme(world: &World) -> (TenantId, Who) {
    let acme = world.tenant("acme", None).await;
    let owner = world.member(acme, "owner@example.com", "owner").await;
    (acme, owner)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_address_becomes_a_member_by_its_link_and_a_password() {
    let world = World::start().await;
    let (acme, owner) = acme(&world).await;
    let token = token(&world, &owner, ANN, &["viewer"]).await;
    let mail = world.post.nth(ANN, 1).await.unwrap();
    let link = format!("https://tenants.example/invitations/{token}");
    assert!(mail.links().any(|found| found == link), "{}", mail.text);
    assert!(
        mail.text
            .contains("owner@example.com invites you to join “The acme company” as viewer")
    );

    let what = offer(&world, &token).await.unwrap();
    assert_eq!(
        (
            what.tenant_name.as_str(),
            what.email.as_str(),
            what.needs_sign_in
        ),
        ("The acme company", "a***@example.com", false)
    );
    let mut client = world.invitations(0);
    let missing = client.accept_invitation(with_password(&token, "")).await;
    assert_eq!(missing.unwrap_err().code(), Code::InvalidArgument);
    let member = accept(&world, &token).await.unwrap();
    assert_eq!(
        (
            member.tenant_id,
            member.email.as_str(),
            member.name.as_str(),
            member.roles
        ),
        (acme.to_string(), ANN, "ann", vec!["viewer".to_owned()])
    );
    // The password reaches every tenant that the address is added to: it is known to be its person's.
    let beta = world.tenant("beta", None).await;
    let ann = world.member(beta, ANN, "member").await;
    for tenant in [acme, beta] {
        let assertion = world.assertion(&ann.clone().at(tenant)).await.unwrap();
        assert_eq!(assertion.tenant, Some(tenant));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_link_is_answered_in_one_way_whatever_killed_it() {
    let world = World::start().await;
    let (acme, owner) = acme(&world).await;
    let used = token(&world, &owner, "used@example.com", &[]).await;
    accept(&world, &used).await.unwrap();
    let revoked = token(&world, &owner, "revoked@example.com", &[]).await;
    let id = list(&world, &owner, "").await.remove(0).id;
    assert_eq!(revoke(&world, &owner, &id).await.unwrap().status, "revoked");
    assert_eq!(
        reason(&revoke(&world, &owner, &id).await.unwrap_err()),
        "INVITATION_NOT_FOUND"
    );
    assert_eq!(
        reason(&resend(&world, &owner, &id).await.unwrap_err()),
        "INVITATION_NOT_FOUND"
    );
    let expired = token(&world, &owner, "expired@example.com", &[]).await;
    sql(
        &world,
        "UPDATE identity.invitations SET expires_at = clock_timestamp() WHERE email = 'expired@example.com'",
    )
    .await;
    let replaced = token(&world, &owner, "again@example.com", &[]).await;
    let id = list(&world, &owner, "pending").await.remove(0).id;
    assert_eq!(resend(&world, &owner, &id).await.unwrap().times_sent, 2);
    let newest = world.post.nth("again@example.com", 2).await.unwrap();
    let newest = newest.token();
    let other = TenantId::new().uuid().simple().to_string();
    let foreign = newest.replacen(&newest[3..35], &other, 1);
    let wrong = newest.replacen(&newest[80..84], "0000", 1);
    let mut answers = Vec::new();
    for dead in [&used, &revoked, &expired, &replaced, &foreign, &wrong, ""] {
        let refused = accept(&world, dead).await.unwrap_err();
        assert_eq!(reason(&refused), "INVITATION_NOT_FOUND", "{dead}");
        answers.push((
            refused.code(),
            refused.message().to_owned(),
            refused.details().to_vec(),
        ));
        assert_eq!(
            reason(&offer(&world, dead).await.unwrap_err()),
            "INVITATION_NOT_FOUND"
        );
    }
    world.registry.set_status(acme, "suspended");
    until(async || offer(&world, newest).await.is_err()).await;
    let refused = accept(&world, newest).await.unwrap_err();
    assert_eq!(reason(&refused), "INVITATION_NOT_FOUND", "it is suspended");
    world.registry.set_status(acme, "active");
    until(async || offer(&world, newest).await.is_ok()).await;
    answers.dedup();
    assert_eq!(answers.len(), 1, "one answer: {answers:?}");
    let states: Vec<_> = list(&world, &owner, "all")
        .await
        .into_iter()
        .map(|i| i.status)
        .collect();
    assert_eq!(states, ["pending", "expired", "revoked", "accepted"]);
    accept(&world, newest).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn of_sixteen_who_use_a_link_at_once_on_two_replicas_one_becomes_a_member() {
    let world = World::start().await;
    let (_, owner) = acme(&world).await;
    let token = token(&world, &owner, ANN, &[]).await;
    let all = (0..16).map(|n| {
        let (mut client, request) = (world.invitations(n % 2), with_password(&token, PASSWORD));
        async move { client.accept_invitation(request).await }
    });
    let answers = futures::future::join_all(all).await;
    let accepted = answers.iter().filter(|answer| answer.is_ok()).count();
    assert_eq!(accepted, 1);
    for refused in answers.into_iter().filter_map(Result::err) {
        let why = reason(&refused);
        assert!(
            why == "INVITATION_NOT_FOUND" || why == "OVERLOADED",
            "{why}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_signs_in_accepts_by_its_own_sign_in_alone() {
    let world = World::start().await;
    let (acme, owner) = acme(&world).await;
    let beta = world.tenant("beta", None).await;
    let ann = world.member(beta, ANN, "member").await;
    let bob = world.member(beta, "bob@example.com", "member").await;
    let token = token(&world, &owner, ANN, &["admin"]).await;
    assert!(offer(&world, &token).await.unwrap().needs_sign_in);
    let refused = accept(&world, &token).await.unwrap_err();
    assert_eq!(reason(&refused), "UNAUTHENTICATED");
    assert!(refused.message().contains("Sign in"), "{refused}");
    let refused = accept_as(&world, &bob, &token).await.unwrap_err();
    assert_eq!(reason(&refused), "INVITATION_FOR_ANOTHER");
    // A bad credential is refused as such: it isn't as if none had come.
    let bad = Who::bearer("nonsense");
    assert_eq!(
        reason(&accept_as(&world, &bad, &token).await.unwrap_err()),
        "UNAUTHENTICATED"
    );
    // Where else they are, and what the request names besides, is no matter.
    let member = accept_as(&world, &ann.clone().at(beta), &token)
        .await
        .unwrap();
    assert_eq!(member.tenant_id, acme.to_string());
    until(async || {
        let assertion = world.assertion(&ann.clone().at(acme)).await.unwrap();
        assertion.tenant == Some(acme)
    })
    .await;
    let again = invite(&world, &owner, to(ANN, &[])).await.unwrap_err();
    assert_eq!(reason(&again), "MEMBER_EXISTS");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_that_a_tenant_chose_dies_when_the_person_accepts_elsewhere() {
    let world = World::start().await;
    let (acme, owner) = acme(&world).await;
    // Her address lies in a domain that was theirs then.
    let evil = world.tenant_of("evil", None, &["example.com"]).await;
    let mallory = world.member(evil, "mallory@example.com", "owner").await;
    let request = wire::CreateMemberRequest {
        email: ANN.to_owned(),
        password: PASSWORD.to_owned(),
        ..Default::default()
    };
    let ask = world.ask(&mallory, request).await.unwrap();
    world.members().create_member(ask).await.unwrap();
    let as_ann = Who::bearer(&world.login(ANN).await.access_token);
    let token = token(&world, &owner, ANN, &[]).await;
    assert!(!offer(&world, &token).await.unwrap().needs_sign_in);
    let request = with_password(&token, OTHER_PASSWORD);
    world
        .invitations(0)
        .accept_invitation(request)
        .await
        .unwrap();
    until(async || world.reason(&as_ann).await == "CREDENTIAL_REVOKED").await;
    let old = wire::LoginRequest {
        email: ANN.to_owned(),
        password: PASSWORD.to_owned(),
        ..Default::default()
    };
    assert_eq!(
        reason(&world.auth().login(old.clone()).await.unwrap_err()),
        "BAD_CREDENTIALS"
    );
    let new = wire::LoginRequest {
        password: OTHER_PASSWORD.to_owned(),
        ..old
    };
    let ann = world.auth().login(new).await.unwrap().into_inner();
    let assertion = world
        .assertion(&Who::bearer(&ann.access_token).at(acme))
        .await;
    assert_eq!(assertion.unwrap().tenant, Some(acme));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invitation_grants_no_more_than_its_sender_may_when_it_is_accepted() {
    let world = World::start().await;
    let (acme, owner) = acme(&world).await;
    let admin = world.member(acme, "admin@example.com", "admin").await;
    let member = world.member(acme, "member@example.com", "member").await;
    let refused = invite(&world, &admin, to(ANN, &["owner"]))
        .await
        .unwrap_err();
    assert_eq!(reason(&refused), "GRANT_EXCEEDS_OWN");
    let refused = invite(&world, &member, to(ANN, &["viewer"]))
        .await
        .unwrap_err();
    assert_eq!(reason(&refused), "PERMISSION_DENIED");
    let by_owner = token(&world, &owner, "boss@example.com", &["owner"]).await;
    let id = list(&world, &admin, "").await.remove(0).id;
    for refused in [
        revoke(&world, &admin, &id).await,
        resend(&world, &admin, &id).await,
    ] {
        assert_eq!(reason(&refused.unwrap_err()), "GRANT_EXCEEDS_OWN");
    }
    accept(&world, &by_owner).await.unwrap();
    // An admin who is removed leaves nothing behind that lets people in.
    let by_admin = token(&world, &admin, ANN, &["admin"]).await;
    let pending = list(&world, &owner, "").await.remove(0).id;
    remove(&world, acme, "admin@example.com").await;
    until(async || offer(&world, &by_admin).await.is_err()).await;
    let refused = accept(&world, &by_admin).await.unwrap_err();
    assert_eq!(reason(&refused), "INVITATION_NOT_FOUND");
    // Someone else who may can answer for it instead.
    resend(&world, &owner, &pending).await.unwrap();
    let mail = world.post.nth(ANN, 2).await.unwrap();
    accept(&world, mail.token()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_has_one_pending_invitation_and_few_mails() {
    let world = World::start().await;
    let (_, owner) = acme(&world).await;
    let request = wire::InviteMemberRequest {
        request_id: "once".to_owned(),
        ..to(ANN, &[])
    };
    let first = invite(&world, &owner, request.clone()).await.unwrap();
    let repeated = invite(&world, &owner, request).await.unwrap();
    assert_eq!(first, repeated);
    let second = invite(&world, &owner, to(ANN, &["viewer"]))
        .await
        .unwrap_err();
    assert_eq!(reason(&second), "INVITATION_EXISTS");
    // One that expired is no hindrance.
    sql(
        &world,
        "UPDATE identity.invitations SET expires_at = clock_timestamp()",
    )
    .await;
    world.post.nth(ANN, 1).await.unwrap();
    let second = invite(&world, &owner, to(ANN, &["viewer"])).await.unwrap();
    for sent in 2..10 {
        // One that still waits makes way for the next.
        world.post.nth(ANN, sent).await.unwrap();
        let again = resend(&world, &owner, &second.id).await.unwrap();
        assert_eq!(again.times_sent, i32::try_from(sent).unwrap());
    }
    let refused = resend(&world, &owner, &second.id).await.unwrap_err();
    assert_eq!(reason(&refused), "LIMIT_REACHED");
    assert_eq!(world.post.nth(ANN, 10).await.unwrap().links().count(), 1);
    assert_eq!(
        world.post.to(ANN).unwrap().len(),
        10,
        "a repetition sends nothing"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_has_a_thousand_pending_invitations_at_most() {
    let world = World::start().await;
    let (_, owner) = acme(&world).await;
    invite(&world, &owner, to(ANN, &[])).await.unwrap();
    sql(
        &world,
        "INSERT INTO identity.invitations (tenant_id, id, email, roles, hash, invited_by, invited_by_email, created_at,
                                           sent_at, times_sent, expires_at)
         SELECT tenant_id, gen_random_uuid(), n || email, roles, hash, invited_by, invited_by_email, created_at, sent_at,
                1, expires_at
         FROM identity.invitations, generate_series(1, 999) AS n",
    )
    .await;
    let refused = invite(&world, &owner, to("one@example.com", &[]))
        .await
        .unwrap_err();
    assert_eq!(reason(&refused), "LIMIT_REACHED");
    assert!(world.post.to("one@example.com").unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn who_guesses_links_is_told_to_wait() {
    let world = World::start().await;
    let (_, owner) = acme(&world).await;
    let token = token(&world, &owner, ANN, &[]).await;
    for _ in 0..30 {
        assert_eq!(
            reason(&offer(&world, "ti_guess").await.unwrap_err()),
            "INVITATION_NOT_FOUND"
        );
    }
    let refused = offer(&world, &token).await.unwrap_err();
    assert_eq!(
        (refused.code(), reason(&refused).as_str()),
        (Code::ResourceExhausted, "OVERLOADED")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_acceptance_gets_its_first_answer_and_another_body_does_not() {
    let world = World::start().await;
    let (_, owner) = acme(&world).await;
    let token = token(&world, &owner, ANN, &[]).await;
    let request = wire::AcceptInvitationRequest {
        request_id: "once".to_owned(),
        ..with_password(&token, PASSWORD)
    };
    let mut client = world.invitations(0);
    let first = client.accept_invitation(request.clone()).await.unwrap();
    let again = world
        .invitations(1)
        .accept_invitation(request.clone())
        .await;
    assert_eq!(first.into_inner(), again.unwrap().into_inner());
    let other = wire::AcceptInvitationRequest {
        name: "Someone else".to_owned(),
        ..request
    };
    let refused = client.accept_invitation(other).await.unwrap_err();
    assert_eq!(reason(&refused), "REQUEST_ID_REUSED");
}
