//! What an issuer's word is good for, and where it ends.

use serde_json::json;
use tenantry_core::{Permission, TenantId};
use tenantry_proto::identity::v1 as wire;
use tenantry_proto::identity::v1::external_sign_in_service_client::ExternalSignInServiceClient;
use tenantry_testkit::oidc_provider::OidcProvider;

use super::{FAILED, PAGE, finish, me, provider, refused, sign_in};
use crate::caller::{Who, reason};
use crate::permissions::{ask_internal, question};
use crate::sessions;
use crate::world::{World, until};

const VICTIM: &str = "ann@example.com";

async fn claims_to_be_the_victim(at: &OidcProvider, subject: &str) {
    let claims = json!({"email": VICTIM, "email_verified": true});
    at.set_user(subject, &claims).await.unwrap();
}

async fn is_out_of_reach(world: &World, who: &Who, tenant: TenantId) -> bool {
    let assertion = world.assertion(&who.clone().at(tenant)).await.unwrap();
    assertion.tenant.is_none() && assertion.permissions.is_empty()
}

async fn remove(world: &World, by: &Who, user: &str) {
    let request = wire::RemoveMemberRequest {
        user: user.to_owned(),
        ..Default::default()
    };
    let ask = world.ask(by, request).await.unwrap();
    world.members().remove_member(ask).await.unwrap();
}

#[tokio::test]
async fn an_issuers_word_for_an_address_is_no_link_to_whoever_has_it() {
    let world = World::start().await;
    let (acme, beta) = (
        world.tenant("acme", None).await,
        world.tenant("beta", None).await,
    );
    let owner = world.member(acme, "owner@example.com", "owner").await;
    world.member(acme, VICTIM, "admin").await;
    let victim = me(&world, &world.member(beta, VICTIM, "owner").await).await;
    let (one, two) = (
        OidcProvider::start().await.unwrap(),
        OidcProvider::start().await.unwrap(),
    );
    let mut users = vec![victim.id.clone()];
    for at in [&one, &two] {
        claims_to_be_the_victim(at, "ann").await;
        let provider = provider(&world, &owner, &at.issuer(), |_| {}).await;
        let who = sign_in(&world, at, &provider, "ann").await.unwrap();
        let caller = me(&world, &who).await;
        assert_eq!(caller.memberships.len(), 1);
        assert_eq!(caller.memberships[0].roles, ["member"], "not the admin's");
        assert!(is_out_of_reach(&world, &who, beta).await);
        users.push(caller.id);
    }
    // The operator's address neither.
    one.set_user(
        "root",
        &json!({"email": crate::world::OPERATOR, "email_verified": true}),
    )
    .await
    .unwrap();
    let third = provider(&world, &owner, &one.issuer(), |new| {
        new.client_id = "third".to_owned()
    })
    .await;
    let who = sign_in(&world, &one, &third, "root").await.unwrap();
    assert!(is_out_of_reach(&world, &who, beta).await);
    users.sort();
    users.dedup();
    assert_eq!(
        users.len(),
        3,
        "one user for each issuer and subject, and the one with the password"
    );
}

#[tokio::test]
async fn a_tenants_provider_speaks_for_nobody_in_another_tenant() {
    let world = World::start().await;
    let (acme, beta) = (
        world.tenant("acme", None).await,
        world.tenant("beta", None).await,
    );
    let below = world.tenant("acme-lab", Some(acme)).await;
    let at = OidcProvider::start().await.unwrap();
    let mut signed_in = Vec::new();
    for (tenant, role) in [(acme, "admin"), (beta, "owner")] {
        let owner = world
            .member(tenant, &format!("owner@{tenant}.example"), "owner")
            .await;
        let provider = provider(&world, &owner, &at.issuer(), |new| {
            new.just_in_time_roles = vec![role.to_owned()];
        })
        .await;
        signed_in.push(sign_in(&world, &at, &provider, "ann").await.unwrap());
    }
    let (at_acme, at_beta) = (
        me(&world, &signed_in[0]).await,
        me(&world, &signed_in[1]).await,
    );
    assert_eq!(at_acme.id, at_beta.id, "one person, a member of both");
    assert_eq!(at_acme.tenant_id, acme.to_string());
    let slugs: Vec<_> = at_acme
        .memberships
        .iter()
        .map(|m| m.tenant_slug.as_str())
        .collect();
    assert_eq!(slugs, ["acme"], "what the session reaches is what it shows");
    assert!(is_out_of_reach(&world, &signed_in[0], beta).await);
    assert!(is_out_of_reach(&world, &signed_in[1], acme).await);
    let inherited = world
        .assertion(&signed_in[0].clone().at(below))
        .await
        .unwrap();
    assert_eq!(
        inherited.tenant,
        Some(below),
        "what a role reaches below is in reach"
    );
}

#[tokio::test]
async fn a_first_sign_in_gives_a_role_that_the_tenant_defined_and_that_stays_as_long_as_it_is_given()
 {
    let world = World::start().await;
    let acme = world.tenant("acme", None).await;
    let owner = world.member(acme, "owner@example.com", "owner").await;
    let role = async |key: &str, permission: &str| {
        let request = wire::CreateRoleRequest {
            key: key.to_owned(),
            permissions: vec![permission.to_owned()],
            ..Default::default()
        };
        let ask = world.ask(&owner, request).await.unwrap();
        world.roles().create_role(ask).await.unwrap();
    };
    role("support", "members.read").await;
    role("clerk", "identity_providers.manage").await;
    let delete = async || {
        let request = wire::DeleteRoleRequest {
            role: "support".to_owned(),
            ..Default::default()
        };
        let ask = world.ask(&owner, request).await.unwrap();
        world.roles().delete_role(ask).await.map(drop)
    };
    let clerk = world.member(acme, "clerk@example.com", "clerk").await;
    let at = OidcProvider::start().await.unwrap();
    for (who, role, expected) in [
        (&clerk, "support", "GRANT_EXCEEDS_OWN"),
        (&owner, "nobodys", "ROLE_NOT_FOUND"),
    ] {
        let request = wire::CreateIdentityProviderRequest {
            name: "Login".to_owned(),
            issuer: at.issuer(),
            client_id: "other".to_owned(),
            redirect_uris: vec![PAGE.to_owned()],
            just_in_time_roles: vec![role.to_owned()],
            ..Default::default()
        };
        let ask = world.ask(who, request).await.unwrap();
        let made = world
            .identity_providers()
            .create_identity_provider(ask)
            .await;
        assert_eq!(reason(&made.unwrap_err()), expected);
    }
    let given = provider(&world, &owner, &at.issuer(), |new| {
        new.just_in_time_roles = vec!["support".to_owned(), "viewer".to_owned()];
    })
    .await;
    assert_eq!(given.just_in_time_roles, ["viewer", "support"]);
    let held = delete().await.unwrap_err();
    assert_eq!(reason(&held), "ROLE_IN_USE", "nobody has it yet");
    let ann = sign_in(&world, &at, &given, "ann").await.unwrap();
    assert_eq!(
        me(&world, &ann).await.memberships[0].roles,
        ["viewer", "support"]
    );
    let rights = world.assertion(&ann).await.unwrap().permissions;
    assert!(rights.contains(Permission::MembersRead));
}

#[tokio::test]
async fn who_was_removed_is_let_in_again_by_people_only() {
    let world = World::start().await;
    let acme = world.tenant("acme", None).await;
    let owner = world.member(acme, "owner@example.com", "owner").await;
    let at = OidcProvider::start().await.unwrap();
    let provider = provider(&world, &owner, &at.issuer(), |_| {}).await;
    let who = sign_in(&world, &at, &provider, "ann").await.unwrap();
    let ann = me(&world, &who).await.id;
    remove(&world, &owner, &ann).await;
    until(async || is_out_of_reach(&world, &who, acme).await).await;
    let again = sign_in(&world, &at, &provider, "ann").await.unwrap();
    assert!(me(&world, &again).await.memberships.is_empty());
    assert!(is_out_of_reach(&world, &again, acme).await);
    let request = wire::AddMemberRequest {
        user: ann.clone(),
        roles: vec!["viewer".to_owned()],
        ..Default::default()
    };
    let ask = world.ask(&owner, request).await.unwrap();
    world.members().add_member(ask).await.unwrap();
    let back = me(
        &world,
        &sign_in(&world, &at, &provider, "ann").await.unwrap(),
    )
    .await;
    assert_eq!(
        (back.id, back.memberships[0].roles.clone()),
        (ann, vec!["viewer".to_owned()])
    );
}

#[tokio::test]
async fn nobody_becomes_a_member_where_the_tenant_doesnt_say_so() {
    let world = World::start().await;
    let acme = world.tenant("acme", None).await;
    let owner = world.member(acme, "owner@example.com", "owner").await;
    let at = OidcProvider::start().await.unwrap();
    let quiet = provider(&world, &owner, &at.issuer(), |new| {
        new.just_in_time_roles.clear()
    })
    .await;
    let who = sign_in(&world, &at, &quiet, "ann").await.unwrap();
    assert!(me(&world, &who).await.memberships.is_empty());
    assert!(is_out_of_reach(&world, &who, acme).await);
    let domains = provider(&world, &owner, &at.issuer(), |new| {
        new.client_id = "domains".to_owned();
        new.email_domains = vec!["example.com".to_owned()];
    })
    .await;
    at.set_user(
        "eve",
        &json!({"email": "eve@example.com", "email_verified": false}),
    )
    .await
    .unwrap();
    at.set_user(
        "mallory",
        &json!({"email": "m@elsewhere.example", "email_verified": true}),
    )
    .await
    .unwrap();
    at.set_user(
        "bob",
        &json!({"email": "Bob@Example.com", "email_verified": true}),
    )
    .await
    .unwrap();
    for outside in ["eve", "mallory"] {
        assert_eq!(
            refused(sign_in(&world, &at, &domains, outside).await),
            FAILED,
            "{outside}"
        );
    }
    assert!(sign_in(&world, &at, &domains, "bob").await.is_ok());
    // Suspended: its own members learn so, strangers don't become members.
    world.registry.set_status(acme, "suspended");
    until(async || {
        let outcome = sign_in(&world, &at, &domains, "bob").await;
        outcome.is_err_and(|refusal| crate::caller::reason(&refusal) == "TENANT_SUSPENDED")
    })
    .await;
    at.set_user(
        "carl",
        &json!({"email": "carl@example.com", "email_verified": true}),
    )
    .await
    .unwrap();
    assert_eq!(
        refused(sign_in(&world, &at, &domains, "carl").await),
        FAILED
    );
}

#[tokio::test]
async fn a_projects_provider_reaches_what_its_people_are_members_of_and_makes_no_members() {
    let world = World::start().await;
    let (acme, beta) = (
        world.tenant("acme", None).await,
        world.tenant("beta", None).await,
    );
    let at = OidcProvider::start().await.unwrap();
    let operator = Who::bearer(&world.operator);
    let provider = provider(&world, &operator, &at.issuer(), |new| {
        new.project = "default".to_owned();
        new.just_in_time_roles.clear();
    })
    .await;
    assert_eq!(
        (provider.tenant_id.as_str(), provider.project.as_str()),
        ("", "default")
    );
    let who = sign_in(&world, &at, &provider, "ann").await.unwrap();
    let ann = me(&world, &who).await;
    assert!(ann.memberships.is_empty() && ann.permissions.is_empty());
    let request = wire::AddMemberRequest {
        user: ann.id,
        roles: vec!["viewer".to_owned()],
        ..Default::default()
    };
    let ask = world
        .ask(&operator.clone().at(acme), request)
        .await
        .unwrap();
    world.members().add_member(ask).await.unwrap();
    until(async || world.assertion(&who).await.unwrap().tenant == Some(acme)).await;
    assert!(is_out_of_reach(&world, &who, beta).await);
    // Asked for by name, one that it isn't a member of is like one that isn't there.
    for name in ["beta", "absent"] {
        let request = wire::StartExternalSignInRequest {
            tenant: name.to_owned(),
            provider: provider.id.clone(),
            redirect_uri: PAGE.to_owned(),
            ..Default::default()
        };
        let begun = world
            .external(0)
            .start_external_sign_in(request)
            .await
            .unwrap()
            .into_inner();
        let back = at.sign_in(&begun.authorization_url, "ann").await.unwrap();
        let outcome = world
            .external(1)
            .finish_external_sign_in(finish(&begun, &back.code))
            .await;
        assert_eq!(refused(outcome), "TENANT_NOT_FOUND", "{name}");
    }
}

#[tokio::test]
async fn at_a_projects_host_a_sign_in_begins_in_that_project_and_may_not_name_another() {
    let world = World::start().await;
    world.tenant("acme", None).await;
    let theirs = world.registry.add_to("two", "acme", &[]);
    let owner = world.member(theirs, "owner@example.com", "owner").await;
    let at = OidcProvider::start().await.unwrap();
    let of_theirs = provider(&world, &owner, &at.issuer(), |_| {}).await;
    let begin = async |host: &str, project: &str| {
        let request = wire::StartExternalSignInRequest {
            tenant: "acme".to_owned(),
            project: project.to_owned(),
            provider: of_theirs.id.clone(),
            redirect_uri: PAGE.to_owned(),
        };
        let mut there = ExternalSignInServiceClient::new(world.at_host(host));
        there.start_external_sign_in(request).await
    };
    begin("acme.two.tenants.example", "").await.unwrap();
    begin("api.example", "two").await.unwrap();
    assert_eq!(refused(begin("acme.tenants.example", "").await), FAILED);
    let another = begin("acme.two.tenants.example", "default").await;
    assert_eq!(refused(another), "TENANT_CONFLICT");
}

#[tokio::test]
async fn nobody_signs_up_for_a_tenant_that_the_providers_word_does_not_reach() {
    let world = World::start().await;
    let acme = world.tenant("acme", None).await;
    let owner = world.member(acme, "owner@example.com", "owner").await;
    let at = OidcProvider::start().await.unwrap();
    let of_acme = provider(&world, &owner, &at.issuer(), |_| {}).await;
    let operator = Who::bearer(&world.operator);
    let of_project = provider(&world, &operator, &at.issuer(), |new| {
        new.project = "default".to_owned();
        new.just_in_time_roles.clear();
    })
    .await;
    let sign_up = async |who: &Who, project: &str| {
        let request = wire::SignUpRequest {
            name: "Mine".to_owned(),
            slug: "mine".to_owned(),
            project: project.to_owned(),
            ..Default::default()
        };
        let ask = world.ask(who, request).await?;
        world.organizations(0).sign_up(ask).await
    };
    let by_acme = sign_in(&world, &at, &of_acme, "ann").await.unwrap();
    assert_eq!(refused(sign_up(&by_acme, "").await), "SIGN_IN_BOUND");
    let by_project = sign_in(&world, &at, &of_project, "ann").await.unwrap();
    let elsewhere = sign_up(&by_project, "another").await;
    assert_eq!(refused(elsewhere), "SIGN_IN_BOUND");
    let made = sign_up(&by_project, "default").await.unwrap().into_inner();
    let made = made.id.parse().unwrap();
    assert!(!is_out_of_reach(&world, &by_project, made).await);
    assert!(is_out_of_reach(&world, &by_acme, made).await);
}

#[tokio::test]
async fn a_session_of_a_tenants_provider_acts_nowhere_else_in_no_way() {
    let world = World::start().await;
    let (acme, beta) = (
        world.tenant("acme", None).await,
        world.tenant("beta", None).await,
    );
    let at = OidcProvider::start().await.unwrap();
    let mut signed_in = Vec::new();
    for tenant in [acme, beta] {
        let owner = world
            .member(tenant, &format!("owner@{tenant}.example"), "owner")
            .await;
        let provider = provider(&world, &owner, &at.issuer(), |new| {
            new.just_in_time_roles = vec!["owner".to_owned()];
        })
        .await;
        signed_in.push(sign_in(&world, &at, &provider, "ann").await.unwrap());
    }
    let [of_acme, of_beta] = signed_in.as_slice() else {
        panic!("two sessions");
    };
    let ann = me(&world, of_acme).await.id;

    // Other services ask about the session, and only the person is of both.
    let session = sessions::list(&world, of_acme).await;
    let [session] = session.as_slice() else {
        panic!("it sees itself: {session:?}");
    };
    let may = async |whom, tenant| {
        let asked = question(whom, tenant, Permission::TenantsCreate);
        let answer = ask_internal(&world, "registry", vec![asked]).await;
        answer.unwrap() == [true]
    };
    assert!(may(("session", &session.id), acme).await);
    assert!(!may(("session", &session.id), beta).await);
    assert!(may(("user", &ann), beta).await);

    // Nor are the person's sessions elsewhere seen or ended.
    let elsewhere = sessions::list(&world, of_beta).await;
    let revoke = wire::RevokeSessionRequest {
        session: elsewhere[0].id.clone(),
        ..Default::default()
    };
    let ask = world.ask(of_acme, revoke).await.unwrap();
    let refusal = world.sessions().revoke_session(ask).await;
    assert_eq!(refused(refusal), "SESSION_NOT_FOUND");
    let all = wire::RevokeSessionsRequest::default();
    let ask = world.ask(of_acme, all).await.unwrap();
    let revoked = world.sessions().revoke_sessions(ask).await.unwrap();
    assert_eq!(revoked.into_inner().revoked, 0);
    assert!(world.assertion(of_beta).await.is_ok());
}
