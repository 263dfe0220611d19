//! Sign-up: a tenant and its owner, whatever becomes of registry's answer; so many in a day, by whom it reaches.

use futures::future::join_all;
use tenantry_core::TenantId;
use tenantry_proto::identity::v1 as wire;
use tenantry_proto::identity::v1::organization_service_client::OrganizationServiceClient;
use tenantry_proto::registry::v1::Tenant;
use tenantry_testkit::wait;
use tonic::Status;

use crate::caller::{Who, reason};
use crate::registry::Mishap;
use crate::world::{World, until};

/// As the rules have it.
const MOST: usize = 5;
const MOST_TRIES: usize = 50;
/// Longest time until a replica looks by itself.
const LOOKS_WITHIN: std::time::Duration = std::time::Duration::from_secs(20);

/// A person who signs in with a password of their own, and belongs somewhere already.
pub(crate) async fn person(world: &World, email: &str) -> Who {
    let elsewhere = world.tenant("elsewhere", None).await;
    world.member(elsewhere, email, "member").await
}

pub(crate) fn asked(slug: &str, request_id: &str) -> wire::SignUpRequest {
    wire::SignUpRequest {
        name: format!("The {slug} company"),
        slug: slug.to_owned(),
        request_id: request_id.to_owned(),
        ..Default::default()
    }
}

pub(crate) async fn sign_up(
    world: &World,
    who: &Who,
    request: wire::SignUpRequest,
) -> Result<Tenant, Status> {
    let ask = world.ask(who, request).await?;
    let mut organizations = world.organizations(who.replica);
    Ok(organizations.sign_up(ask).await?.into_inner())
}

async fn refused(world: &World, who: &Who, request: wire::SignUpRequest) -> String {
    reason(&sign_up(world, who, request).await.unwrap_err())
}

/// Whether the caller owns the tenant, as this replica sees it.
async fn owns(world: &World, who: &Who, tenant: TenantId) -> bool {
    let there = world.assertion(&who.clone().at(tenant)).await.unwrap();
    let owner = tenantry_core::role::Role::Owner.permissions();
    there.tenant == Some(tenant) && there.permissions == owner
}

/// Lets the time come for replicas to look at what was left, until nothing is.
async fn all_looked_at(world: &World) {
    let mut database = world.superuser().await;
    let due = "UPDATE identity.sign_ups SET look_at = clock_timestamp() WHERE look_at IS NOT NULL";
    let looked = wait::until("end of the looks", LOOKS_WITHIN, async || {
        let left = sqlx::query(due).execute(&mut database).await?;
        Ok((left.rows_affected() == 0).then_some(()))
    });
    looked.await.unwrap();
}

/// How many came to a tenant.
async fn added(world: &World, tenant: TenantId) -> i64 {
    sqlx::query_scalar(
        "SELECT count(*) FROM identity.outbox WHERE tenant_id = $1 AND action = 'member.added'",
    )
    .bind(tenant.uuid())
    .fetch_one(&mut world.superuser().await)
    .await
    .unwrap()
}

#[tokio::test]
async fn whoever_signs_up_is_the_owner_at_once_at_each_replica() {
    let world = World::start().await;
    let ann = person(&world, "ann@example.com").await;
    for (n, slug) in ["first", "second"].into_iter().enumerate() {
        // What both replicas remember of Ann, a moment ago.
        for replica in 0..2 {
            assert_eq!(world.reason(&ann.clone().of_replica(replica)).await, "");
        }
        let here = ann.clone().of_replica(n);
        let made = sign_up(&world, &here, asked(slug, slug)).await.unwrap();
        assert_eq!(made.email, "ann@example.com", "hers, where she gives none");
        for replica in 0..2 {
            let there = ann.clone().of_replica(replica);
            assert!(owns(&world, &there, made.id.parse().unwrap()).await);
        }
    }
}

#[tokio::test]
async fn whoever_belongs_nowhere_needs_no_name_for_the_first_tenant() {
    let world = World::start().await;
    let seed = world.tenant("seed", None).await;
    let ann = world.member(seed, "ann@example.com", "member").await;
    let request = wire::RemoveMemberRequest {
        user: world.id_of(&ann).await,
        ..Default::default()
    };
    let operator = Who::bearer(&world.operator).at(seed);
    let ask = world.ask(&operator, request).await.unwrap();
    world.members().remove_member(ask).await.unwrap();
    for replica in 0..2 {
        let who = ann.clone().of_replica(replica);
        until(async || world.assertion(&who).await.unwrap().no_tenant == "none").await;
    }
    let made = sign_up(&world, &ann, asked("first", "")).await.unwrap();
    for replica in 0..2 {
        let who = ann.clone().of_replica(replica);
        let here = world.assertion(&who).await.unwrap();
        assert_eq!(
            here.tenant.map(|id| id.to_string()).as_ref(),
            Some(&made.id)
        );
    }
}

#[tokio::test]
async fn equal_requests_at_once_are_one_sign_up_and_another_body_is_none() {
    let world = World::start().await;
    let ann = person(&world, "ann@example.com").await;
    let all = (0..8).map(|n| {
        let (world, who) = (&world, ann.clone().of_replica(n % 2));
        async move { sign_up(world, &who, asked("acme", "once")).await }
    });
    let answers = join_all(all).await;
    let first = answers[0].as_ref().unwrap();
    assert!(
        answers
            .iter()
            .all(|answer| answer.as_ref().unwrap() == first)
    );
    assert_eq!(world.registry.called("acme").len(), 1);
    assert_eq!(added(&world, first.id.parse().unwrap()).await, 1);
    let other = refused(&world, &ann, asked("other", "once")).await;
    assert_eq!(other, "REQUEST_ID_REUSED");
}

#[tokio::test]
async fn an_answer_that_was_lost_is_found_by_the_same_request_at_the_other_replica() {
    let world = World::start().await;
    let ann = person(&world, "ann@example.com").await;
    world.registry.have([Mishap::Lost]);
    let lost = refused(&world, &ann, asked("acme", "once")).await;
    assert_eq!(lost, "UNAVAILABLE");
    let ann = ann.of_replica(1);
    let found = sign_up(&world, &ann, asked("acme", "once")).await.unwrap();
    assert_eq!(world.registry.called("acme").len(), 1);
    assert!(owns(&world, &ann, found.id.parse().unwrap()).await);
}

#[tokio::test]
async fn a_tenant_whose_request_nobody_repeats_gets_its_owner_all_the_same() {
    let world = World::start().await;
    let ann = person(&world, "ann@example.com").await;
    world.registry.have([Mishap::Lost, Mishap::Lost]);
    assert_eq!(
        refused(&world, &ann, asked("acme", "once")).await,
        "UNAVAILABLE"
    );
    let tenant = world.registry.called("acme")[0];
    assert!(!owns(&world, &ann, tenant).await);
    all_looked_at(&world).await;
    assert!(owns(&world, &ann, tenant).await);
    assert_eq!(added(&world, tenant).await, 1);
    let told = sign_up(&world, &ann, asked("acme", "once")).await.unwrap();
    assert_eq!(told.id, tenant.to_string());
}

#[tokio::test]
async fn what_was_refused_leaves_nothing_and_may_be_tried_again_under_the_same_request_id() {
    let world = World::start().await;
    let ann = person(&world, "ann@example.com").await;
    world.registry.have([Mishap::Refused]);
    assert_eq!(
        refused(&world, &ann, asked("acme", "once")).await,
        "SLUG_TAKEN"
    );
    assert!(world.registry.called("acme").is_empty());
    all_looked_at(&world).await;
    let made = sign_up(&world, &ann, asked("other", "once")).await.unwrap();
    assert!(owns(&world, &ann, made.id.parse().unwrap()).await);
}

#[tokio::test]
async fn a_tenant_that_was_made_beside_its_refusal_gets_its_owner() {
    let world = World::start().await;
    let ann = person(&world, "ann@example.com").await;
    world.registry.have([Mishap::Overtaken]);
    assert_eq!(
        refused(&world, &ann, asked("acme", "once")).await,
        "SLUG_TAKEN"
    );
    let tenant = world.registry.called("acme")[0];
    all_looked_at(&world).await;
    assert!(owns(&world, &ann, tenant).await);
}

#[tokio::test]
async fn a_person_has_so_many_in_a_day_however_many_ask_at_once() {
    let world = World::start().await;
    let ann = person(&world, "ann@example.com").await;
    let all = (0..3 * MOST).map(|n| {
        let (world, who) = (&world, ann.clone().of_replica(n % 2));
        async move { sign_up(world, &who, asked(&format!("acme-{n}"), "")).await }
    });
    let (made, over): (Vec<_>, Vec<_>) = join_all(all).await.into_iter().partition(Result::is_ok);
    assert_eq!(made.len(), MOST);
    for refused in over.into_iter().map(Result::unwrap_err) {
        assert_eq!(reason(&refused), "SIGN_UP_LIMIT_REACHED");
        let wait = refused.metadata().get("retry-after").unwrap().to_str();
        let wait: u32 = wait.unwrap().parse().unwrap();
        assert!((86_000..=86_400).contains(&wait), "a day, nearly: {wait}");
    }
    assert_eq!(world.registry.called("acme").len(), MOST);
    let bob = person(&world, "bob@example.com").await;
    sign_up(&world, &bob, asked("bob", "")).await.unwrap();
    // A day later.
    sqlx::query("UPDATE identity.sign_ups SET created_at = created_at - interval '24 hours'")
        .execute(&mut world.superuser().await)
        .await
        .unwrap();
    sign_up(&world, &ann, asked("later", "")).await.unwrap();
}

#[tokio::test]
async fn a_person_tries_so_many_slugs_in_a_day() {
    let world = World::start().await;
    let ann = person(&world, "ann@example.com").await;
    world.registry.have([Mishap::Refused; MOST_TRIES]);
    for n in 0..MOST_TRIES {
        let taken = refused(&world, &ann, asked(&format!("slug-{n}"), "")).await;
        assert_eq!(taken, "SLUG_TAKEN");
    }
    let over = refused(&world, &ann, asked("one-more", "")).await;
    assert_eq!(over, "SIGN_UP_LIMIT_REACHED");
}

#[tokio::test]
async fn who_reaches_one_tenant_alone_and_what_is_no_person_signs_up_for_none() {
    let world = World::start().await;
    let acme = world.tenant_of("acme", None, &["example.com"]).await;
    let owner = world.member(acme, "owner@example.com", "owner").await;
    // The owner chose this one's password.
    let staff = wire::CreateMemberRequest {
        email: "staff@example.com".to_owned(),
        password: crate::world::PASSWORD.to_owned(),
        ..Default::default()
    };
    let ask = world.ask(&owner, staff).await.unwrap();
    world.members().create_member(ask).await.unwrap();
    let staff = Who::bearer(&world.login("staff@example.com").await.access_token);
    assert_eq!(
        refused(&world, &staff, asked("mine", "")).await,
        "SIGN_IN_BOUND"
    );
    let key = Who::key(&world.key(&owner).await);
    assert_eq!(
        refused(&world, &key, asked("mine", "")).await,
        "PERMISSION_DENIED"
    );
    assert!(world.registry.called("mine").is_empty());
    let operator = Who::bearer(&world.operator);
    sign_up(&world, &operator, asked("mine", "")).await.unwrap();
}

#[tokio::test]
async fn at_a_projects_host_anyone_signs_up_in_that_project_and_may_not_name_another() {
    let world = World::start().await;
    let theirs = world.registry.add_to("two", "acme", &["app.acme.com"]);
    let member = world.member(theirs, "ann@example.com", "member").await;
    let newcomer = person(&world, "bob@example.com").await;
    let sign_up = async |who: &Who, host: &str, project: &str, slug: &str| {
        let request = wire::SignUpRequest {
            project: project.to_owned(),
            ..asked(slug, "")
        };
        let path = "/tenantry.identity.v1.OrganizationService/SignUp";
        let who = who.clone().with(":path", path).with(":authority", host);
        let ask = world.ask(&who, request).await?;
        let mut there = OrganizationServiceClient::new(world.at_host(host));
        there.sign_up(ask).await
    };
    let host = "acme.two.tenants.example";
    for (slug, who, host) in [
        ("of-a-member", &member, host),
        ("of-a-newcomer", &newcomer, host),
        ("at-no-tenant", &newcomer, "absent.two.tenants.example"),
        ("at-an-own-domain", &newcomer, "app.acme.com"),
    ] {
        sign_up(who, host, "", slug).await.unwrap();
        let refused = sign_up(who, host, "default", "other").await.unwrap_err();
        assert_eq!(reason(&refused), "TENANT_CONFLICT", "{slug}");
        let header = who.clone().with("x-project", "default");
        let refused = sign_up(&header, host, "", "other").await.unwrap_err();
        assert_eq!(reason(&refused), "TENANT_CONFLICT", "{slug}");
    }
    let elsewhere = newcomer.with("x-tenant-slug", "foreign");
    let refused = sign_up(&elsewhere, host, "", "other").await.unwrap_err();
    assert_eq!(reason(&refused), "TENANT_NOT_FOUND", "named otherwise");
    let projects: Vec<(String, i64)> =
        sqlx::query_as("SELECT asked->>'project', count(*) FROM identity.sign_ups GROUP BY 1")
            .fetch_all(&mut world.superuser().await)
            .await
            .unwrap();
    assert_eq!(projects, [("two".to_owned(), 4)]);
}

#[tokio::test]
async fn what_no_field_of_a_tenant_can_be_is_refused_before_it_is_kept() {
    let world = World::start().await;
    let ann = person(&world, "ann@example.com").await;
    for wrong in [
        wire::SignUpRequest {
            project: "a\0b".to_owned(),
            ..asked("acme", "")
        },
        wire::SignUpRequest {
            name: "x".repeat(501),
            ..asked("acme", "")
        },
    ] {
        assert_eq!(refused(&world, &ann, wrong).await, "INVALID_ARGUMENT");
    }
    let kept: i64 = sqlx::query_scalar("SELECT count(*) FROM identity.sign_ups")
        .fetch_one(&mut world.superuser().await)
        .await
        .unwrap();
    assert_eq!(kept, 0);
}
