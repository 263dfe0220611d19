//! Sign-up as identity asks for it: one tenant under one id, in projects that let people in, by the person in the log.

use futures::future::join_all;
use tenantry_core::{Origin, Principal, PrincipalKind, Reason, TenantId, UserId};
use tenantry_proto::internal::registry::v1::CreateSignedUpTenantRequest;
use tenantry_proto::registry::v1::UpdateProjectRequest;
use tenantry_rpc::assertion::{Claims, OnBehalfOf};

use crate::support::{World, fields, named, operator, reason, service, why};

fn ann() -> OnBehalfOf {
    OnBehalfOf {
        principal: Principal {
            kind: PrincipalKind::User,
            id: UserId::new().uuid(),
            name: "ann@example.com".to_owned(),
        },
        origin: Origin {
            ip: "192.0.2.7".to_owned(),
            user_agent: "a browser".to_owned(),
            request_id: "the person's".to_owned(),
            trace_id: String::new(),
        },
    }
}

fn on_behalf_of(who: &OnBehalfOf) -> Claims {
    Claims {
        on_behalf_of: Some(who.clone()),
        ..service("identity")
    }
}

fn asked(id: TenantId, slug: &str) -> CreateSignedUpTenantRequest {
    CreateSignedUpTenantRequest {
        tenant_id: id.to_string(),
        name: "Acme".to_owned(),
        slug: slug.to_owned(),
        ..Default::default()
    }
}

/// Who did what to a tenant, from where.
async fn log(world: &World, id: &str) -> Vec<(String, String, String, String, String)> {
    sqlx::query_as(
        "SELECT action, event->'actor'->>'kind', event->'actor'->>'name', event->'origin'->>'ip',
                event->'origin'->>'request_id'
         FROM outbox WHERE tenant_id = $1::uuid ORDER BY n",
    )
    .bind(id)
    .fetch_all(&mut world.owner().await)
    .await
    .unwrap()
}

#[tokio::test]
async fn a_signed_up_tenant_is_in_use_on_the_default_plan_and_the_persons_doing() {
    let world = World::start().await;
    let id = TenantId::new();
    let mut sign_ups = world.sign_ups(&on_behalf_of(&ann()));
    let made = sign_ups.create_signed_up_tenant(asked(id, "acme")).await;
    let made = made.unwrap().into_inner();
    assert_eq!(made.id, id.to_string());
    let facts = (
        made.slug.as_str(),
        made.status.as_str(),
        made.subscription_tier.as_str(),
    );
    assert_eq!(facts, ("acme", "active", "free"));
    assert_eq!(
        (made.timezone.as_str(), made.locale.as_str()),
        ("UTC", "en-US")
    );
    let told = [
        "tenant.created",
        "user",
        "ann@example.com",
        "192.0.2.7",
        "the person's",
    ];
    let told = told.map(str::to_owned).into();
    assert_eq!(log(&world, &made.id).await, [told]);
}

#[tokio::test]
async fn one_id_is_one_sign_up_however_often_and_wherever_it_is_asked_for() {
    let world = World::start().await;
    let second = world.replica().await;
    let (id, claims) = (TenantId::new(), on_behalf_of(&ann()));
    let all = (0..12).map(|n| {
        let replica = if n % 2 == 0 { &*world } else { &second };
        let mut sign_ups = replica.sign_ups(&claims);
        async move { sign_ups.create_signed_up_tenant(asked(id, "acme")).await }
    });
    for made in join_all(all).await {
        assert_eq!(made.unwrap().into_inner().id, id.to_string());
    }
    assert_eq!(log(&world, &id.to_string()).await.len(), 1);
}

#[tokio::test]
async fn of_two_with_one_slug_the_other_leaves_nothing() {
    let world = World::start().await;
    let mut sign_ups = world.sign_ups(&on_behalf_of(&ann()));
    let (first, other) = (TenantId::new(), TenantId::new());
    sign_ups
        .create_signed_up_tenant(asked(first, "acme"))
        .await
        .unwrap();
    let refused = sign_ups.create_signed_up_tenant(asked(other, "acme")).await;
    assert_eq!(why(refused), Reason::SlugTaken);
    assert!(log(&world, &other.to_string()).await.is_empty());
    let free = sign_ups.create_signed_up_tenant(asked(other, "beta")).await;
    assert_eq!(free.unwrap().into_inner().id, other.to_string());
}

#[tokio::test]
async fn a_closed_project_and_an_absent_one_let_nobody_in_with_the_same_bytes() {
    let world = World::start().await;
    let close = UpdateProjectRequest {
        project: "default".to_owned(),
        sign_up: Some("closed".to_owned()),
        ..Default::default()
    };
    let mut sign_ups = world.sign_ups(&on_behalf_of(&ann()));
    let before = TenantId::new();
    sign_ups
        .create_signed_up_tenant(asked(before, "before"))
        .await
        .unwrap();
    world
        .projects(&operator())
        .update_project(close)
        .await
        .unwrap();
    let refused = sign_ups
        .create_signed_up_tenant(asked(TenantId::new(), "acme"))
        .await;
    let closed = refused.unwrap_err();
    assert_eq!(reason(&closed), Reason::SignUpClosed);
    let again = sign_ups
        .create_signed_up_tenant(asked(before, "before"))
        .await;
    assert_eq!(again.unwrap().into_inner().slug, "before", "it is there");
    for project in ["absent", "a\0b"] {
        let request = CreateSignedUpTenantRequest {
            project: project.to_owned(),
            ..asked(TenantId::new(), "acme")
        };
        let refused = sign_ups.create_signed_up_tenant(request).await;
        let absent = refused.unwrap_err();
        assert_eq!(absent.code(), closed.code(), "{project:?}");
        assert_eq!(absent.message(), closed.message());
        assert_eq!(absent.details(), closed.details());
    }
}

#[tokio::test]
async fn wrong_fields_are_told_all_at_once_and_a_purged_id_comes_back_to_nobody() {
    let world = World::start().await;
    let mut sign_ups = world.sign_ups(&on_behalf_of(&ann()));
    let wrong = CreateSignedUpTenantRequest {
        name: " ".to_owned(),
        email: "nobody".to_owned(),
        timezone: "Mars".to_owned(),
        ..asked(TenantId::new(), "acme")
    };
    let refused = sign_ups.create_signed_up_tenant(wrong).await;
    assert_eq!(fields(refused), ["name", "email", "timezone"]);
    let platform = asked(TenantId::PLATFORM, "acme");
    let refused = sign_ups.create_signed_up_tenant(platform).await;
    assert_eq!(fields(refused), ["tenant_id"]);
    let purged = TenantId::new();
    sqlx::query("INSERT INTO purged_tenants (id, project) VALUES ($1, 'default')")
        .bind(purged.uuid())
        .execute(&mut world.owner().await)
        .await
        .unwrap();
    let refused = sign_ups
        .create_signed_up_tenant(asked(purged, "acme"))
        .await;
    assert_eq!(why(refused), Reason::TenantNotFound);
}

#[tokio::test]
async fn only_a_service_speaks_for_someone_and_only_identity_signs_people_up() {
    let world = World::start().await;
    let claims = Claims {
        on_behalf_of: Some(ann()),
        ..operator()
    };
    let mut tenants = world.tenants(&claims);
    let made = tenants
        .create_tenant(named("Acme"))
        .await
        .unwrap()
        .into_inner();
    let (_, _, actor, ..) = &log(&world, &made.id).await[0];
    assert_eq!(
        actor, "someone@example.com",
        "the gateway's word is who it is"
    );
    let mut by_gateway = world.sign_ups(&claims);
    let refused = by_gateway
        .create_signed_up_tenant(asked(TenantId::new(), "beta"))
        .await;
    assert_eq!(reason(&refused.unwrap_err()), Reason::InternalMethod);
}
