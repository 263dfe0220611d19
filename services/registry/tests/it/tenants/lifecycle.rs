//! A tenant's life: created, suspended and resumed, deleted and undeleted; and the slug that it leaves behind.

use tenantry_core::{Permission, Reason};
use tenantry_proto::registry::v1::{
    CreateProjectRequest, CreateTenantRequest, GetTenantRequest, Label, ListTenantsRequest,
    UpdateTenantRequest,
};

use super::{delete, resume, suspend, undelete};
use crate::support::{World, member, named, operator, rename, why};

/// Days from deletion to purge.
const UNDELETE_DAYS: i64 = 30;
const DAY_SECONDS: i64 = 86_400;

fn get(tenant: &str) -> GetTenantRequest {
    GetTenantRequest {
        tenant: tenant.to_owned(),
    }
}

#[tokio::test]
async fn a_create_with_only_a_name_gets_the_defaults() {
    let world = World::start().await;
    let tenant = world.tenant("Acme, Inc.").await;
    assert_eq!(tenant.slug, "acme-inc");
    assert_eq!((tenant.status.as_str(), tenant.is_active), ("active", true));
    assert_eq!(tenant.project, "default");
    assert_eq!(tenant.subscription_tier, "free");
    assert_eq!(
        (tenant.timezone.as_str(), tenant.locale.as_str()),
        ("UTC", "en-US")
    );
    assert_eq!(tenant.trial_ends_at, None);
    assert!(!tenant.etag.is_empty() && tenant.created_at == tenant.updated_at);
    let id: uuid::Uuid = tenant.id.parse().unwrap();
    assert_eq!(id.get_version_num(), 7);
}

#[tokio::test]
async fn a_create_with_everything_is_read_back_as_it_was_answered() {
    let world = World::start().await;
    let text = |text: &str| prost_types::Value {
        kind: Some(prost_types::value::Kind::StringValue(text.to_owned())),
    };
    let request = CreateTenantRequest {
        slug: "acme-corp".to_owned(),
        email: "ops@example.com".to_owned(),
        billing_email: "billing@example.com".to_owned(),
        contact_phone: "+491701234567".to_owned(),
        timezone: "Europe/Berlin".to_owned(),
        locale: "de-DE".to_owned(),
        region: "eu-1".to_owned(),
        subscription_tier: "pro".to_owned(),
        external_id: "crm-17".to_owned(),
        trial_days: 14,
        labels: vec![Label {
            key: "tier".to_owned(),
            value: "gold".to_owned(),
        }],
        metadata: Some(prost_types::Struct {
            fields: [("note".to_owned(), text("it's \"quoted\" \u{1F600}"))].into(),
        }),
        ..named("Acme Corporation")
    };
    let created = world.create(request.clone()).await;
    assert_eq!(created.status, "trial");
    assert!(created.is_active);
    assert_eq!(
        created.subscription_tier, "professional",
        "an alias becomes the plan's key"
    );
    let lasts = created.trial_ends_at.unwrap().seconds - created.created_at.unwrap().seconds;
    assert_eq!(lasts, 14 * DAY_SECONDS);
    assert_eq!(created.labels, request.labels);
    assert_eq!(created.metadata, request.metadata);

    let read = world
        .tenants(&operator())
        .get_tenant(get(&created.id))
        .await
        .unwrap();
    let mut read = read.into_inner();
    assert_eq!(read.sub_tenants_count.take(), Some(0));
    assert_eq!(read, created);
}

#[tokio::test]
async fn a_tenant_is_found_by_id_by_slug_and_as_one_s_own() {
    let world = World::start().await;
    let tenant = world.tenant("Acme").await;
    let mut own = world.tenants(&member(&tenant, &[Permission::TenantsRead]));
    let mut above = world.tenants(&operator());
    for name in ["", "acme", &tenant.id] {
        let found = own.get_tenant(get(name)).await.unwrap().into_inner();
        assert_eq!(found.id, tenant.id);
        if !name.is_empty() {
            let found = above.get_tenant(get(name)).await.unwrap().into_inner();
            assert_eq!(found.id, tenant.id);
        }
    }
    let upper = tenant.id.to_uppercase();
    assert_eq!(
        own.get_tenant(get(&upper)).await.unwrap().into_inner().id,
        tenant.id
    );
    assert_eq!(why(above.get_tenant(get("")).await), Reason::TenantRequired);
}

#[tokio::test]
async fn suspending_and_resuming_a_trial_gives_the_trial_back() {
    let world = World::start().await;
    let mut tenants = world.tenants(&operator());
    let trial = world
        .create(CreateTenantRequest {
            trial_days: 7,
            ..named("Acme")
        })
        .await;
    let suspended = tenants
        .suspend_tenant(suspend(&trial))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(
        (suspended.status.as_str(), suspended.is_active),
        ("suspended", false)
    );
    let again = tenants
        .suspend_tenant(suspend(&trial))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(again, suspended, "suspending it again changes nothing");
    let resumed = tenants
        .resume_tenant(resume(&trial))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(resumed.status, "trial");
    assert_eq!(resumed.trial_ends_at, trial.trial_ends_at);
    let again = tenants
        .resume_tenant(resume(&trial))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(again, resumed, "resuming it again changes nothing");
}

#[tokio::test]
async fn a_suspended_tenant_refuses_its_own_people_in_every_rpc_and_obeys_those_above() {
    let world = World::start().await;
    let tenant = world.tenant("Acme").await;
    let mut above = world.tenants(&operator());
    above.suspend_tenant(suspend(&tenant)).await.unwrap();
    let rights = [
        Permission::TenantsRead,
        Permission::TenantsUpdate,
        Permission::TenantsCreate,
    ];
    let mut own = world.tenants(&member(&tenant, &rights));
    let child = CreateTenantRequest {
        parent_id: tenant.id.clone(),
        ..named("Child")
    };
    assert_eq!(why(own.get_tenant(get("")).await), Reason::TenantSuspended);
    assert_eq!(
        why(own.list_tenants(ListTenantsRequest::default()).await),
        Reason::TenantSuspended
    );
    assert_eq!(
        why(own.update_tenant(rename(&tenant, "New")).await),
        Reason::TenantSuspended
    );
    assert_eq!(
        why(own.create_tenant(child.clone()).await),
        Reason::TenantSuspended
    );

    let renamed = above
        .update_tenant(rename(&tenant, "New"))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(
        (renamed.name.as_str(), renamed.status.as_str()),
        ("New", "suspended")
    );
    assert_eq!(
        why(above.create_tenant(child).await),
        Reason::ParentNotFound,
        "not in use"
    );
    above.resume_tenant(resume(&tenant)).await.unwrap();
    assert_eq!(
        own.get_tenant(get("")).await.unwrap().into_inner().name,
        "New"
    );
}

#[tokio::test]
async fn a_deleted_tenant_is_absent_to_its_own_and_comes_back_as_it_was() {
    let world = World::start().await;
    let tenant = world.tenant("Acme").await;
    let mut above = world.tenants(&operator());
    above.suspend_tenant(suspend(&tenant)).await.unwrap();
    let deleted = above
        .delete_tenant(delete(&tenant))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(
        (deleted.status.as_str(), deleted.is_active),
        ("deleted", false)
    );
    let purge_after = deleted.purge_at.unwrap().seconds - deleted.deleted_at.unwrap().seconds;
    assert_eq!(purge_after, UNDELETE_DAYS * DAY_SECONDS);
    let again = above
        .delete_tenant(delete(&tenant))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(again, deleted, "deleting it again changes nothing");

    let mut own = world.tenants(&member(&tenant, &[Permission::TenantsRead]));
    assert_eq!(why(own.get_tenant(get("")).await), Reason::TenantNotFound);
    assert_eq!(
        why(own.list_tenants(ListTenantsRequest::default()).await),
        Reason::TenantNotFound
    );
    for (refused, what) in [
        (above.update_tenant(rename(&tenant, "New")).await, "update"),
        (above.suspend_tenant(suspend(&tenant)).await, "suspend"),
        (above.resume_tenant(resume(&tenant)).await, "resume"),
    ] {
        assert_eq!(why(refused), Reason::StatusForbids, "{what}");
    }
    let back = above
        .undelete_tenant(undelete(&tenant))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(back.status, "suspended");
    assert_eq!((back.deleted_at, back.purge_at), (None, None));
    let again = above
        .undelete_tenant(undelete(&tenant))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(again, back, "undeleting it again changes nothing");
}

#[tokio::test]
async fn a_slug_is_never_another_tenant_s_again() {
    let world = World::start().await;
    let mut tenants = world.tenants(&operator());
    let slug = |slug: &str| CreateTenantRequest {
        slug: slug.to_owned(),
        ..named("Someone")
    };
    let first = world.create(slug("acme")).await;
    let moved = UpdateTenantRequest {
        tenant: first.id.clone(),
        slug: Some("acme-two".to_owned()),
        ..Default::default()
    };
    tenants.update_tenant(moved).await.unwrap();
    assert_eq!(
        why(tenants.create_tenant(slug("acme")).await),
        Reason::SlugTaken,
        "freed"
    );
    assert_eq!(
        why(tenants.get_tenant(get("acme")).await),
        Reason::TenantNotFound
    );
    let other = world.create(slug("other")).await;
    let grab = UpdateTenantRequest {
        tenant: other.id.clone(),
        slug: Some("acme".to_owned()),
        ..Default::default()
    };
    assert_eq!(
        why(tenants.update_tenant(grab).await),
        Reason::SlugTaken,
        "freed"
    );

    let back = UpdateTenantRequest {
        tenant: first.id.clone(),
        slug: Some("acme".to_owned()),
        ..Default::default()
    };
    let back = tenants.update_tenant(back).await.unwrap().into_inner();
    assert_eq!(back.slug, "acme", "it is its former tenant's to have again");
    tenants.delete_tenant(delete(&first)).await.unwrap();
    assert_eq!(
        why(tenants.create_tenant(slug("acme")).await),
        Reason::SlugTaken,
        "deleted"
    );
    assert_eq!(
        why(tenants.create_tenant(slug("acme-two")).await),
        Reason::SlugTaken,
        "freed"
    );
}

#[tokio::test]
async fn a_slug_is_one_project_s() {
    let world = World::start().await;
    let caller = operator();
    let project = CreateProjectRequest {
        key: "other".to_owned(),
        ..Default::default()
    };
    let made = world
        .projects(&caller)
        .create_project(project.clone())
        .await
        .unwrap()
        .into_inner();
    assert_eq!((made.key.as_str(), made.name.as_str()), ("other", "other"));
    let again = world.projects(&caller).create_project(project).await;
    assert_eq!(why(again), Reason::ProjectExists);
    let request = CreateTenantRequest {
        slug: "acme".to_owned(),
        ..named("Acme")
    };
    let here = world.create(request.clone()).await;
    let there = world
        .create(CreateTenantRequest {
            project: "other".to_owned(),
            ..request.clone()
        })
        .await;
    assert_ne!(here.id, there.id);
    let nowhere = CreateTenantRequest {
        project: "nowhere".to_owned(),
        ..request
    };
    let refused = world.tenants(&caller).create_tenant(nowhere).await;
    assert_eq!(why(refused), Reason::ProjectNotFound);

    let below = |project: &str| CreateTenantRequest {
        project: project.to_owned(),
        parent_id: there.id.clone(),
        ..named("Below")
    };
    let elsewhere = world.tenants(&caller).create_tenant(below("default")).await;
    assert_eq!(why(elsewhere), Reason::InvalidArgument);
    for project in ["", "other"] {
        assert_eq!(world.create(below(project)).await.project, "other");
    }
}

#[tokio::test]
async fn only_those_with_the_right_may() {
    let world = World::start().await;
    let tenant = world.tenant("Acme").await;
    let mut nobody = world.tenants(&member(&tenant, &[]));
    assert_eq!(
        why(nobody.get_tenant(get("")).await),
        Reason::PermissionDenied
    );
    assert_eq!(
        why(nobody.list_tenants(ListTenantsRequest::default()).await),
        Reason::PermissionDenied
    );
    let mut own = world.tenants(&member(
        &tenant,
        &[Permission::TenantsRead, Permission::TenantsUpdate],
    ));
    let child = CreateTenantRequest {
        parent_id: tenant.id.clone(),
        ..named("Child")
    };
    assert_eq!(
        why(own.create_tenant(child).await),
        Reason::PermissionDenied
    );
    assert_eq!(
        why(own.create_tenant(named("Top")).await),
        Reason::PermissionDenied
    );
    assert_eq!(
        why(own.suspend_tenant(suspend(&tenant)).await),
        Reason::PermissionDenied
    );
    assert_eq!(
        why(own.resume_tenant(resume(&tenant)).await),
        Reason::PermissionDenied
    );
    assert_eq!(
        why(own.delete_tenant(delete(&tenant)).await),
        Reason::PermissionDenied
    );
    assert_eq!(
        why(own.undelete_tenant(undelete(&tenant)).await),
        Reason::PermissionDenied
    );
    for managed in [
        UpdateTenantRequest {
            slug: Some("mine".to_owned()),
            ..Default::default()
        },
        UpdateTenantRequest {
            subscription_tier: Some("enterprise".to_owned()),
            ..Default::default()
        },
        UpdateTenantRequest {
            external_id: Some("x".to_owned()),
            ..Default::default()
        },
    ] {
        assert_eq!(
            why(own.update_tenant(managed).await),
            Reason::PermissionDenied
        );
    }
    let projects = world
        .projects(&member(&tenant, &Permission::ALL[2..]))
        .list_projects(tenantry_proto::registry::v1::ListProjectsRequest::default())
        .await;
    assert_eq!(why(projects), Reason::PermissionDenied);
}
