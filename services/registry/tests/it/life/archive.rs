//! Archiving: its own people are told so, those above still get to it, and it comes back as what it was.

use tenantry_core::{Permission, Reason};
use tenantry_proto::registry::v1::{
    ArchiveTenantRequest, CreateTenantRequest, GetTenantRequest, ResumeTenantRequest, Tenant,
};

use super::{events, now};
use crate::support::{World, member, named, operator, rename, why};

fn archive(tenant: &Tenant) -> ArchiveTenantRequest {
    ArchiveTenantRequest {
        tenant: tenant.id.clone(),
        ..Default::default()
    }
}

fn resume(tenant: &Tenant) -> ResumeTenantRequest {
    ResumeTenantRequest {
        tenant: tenant.id.clone(),
        ..Default::default()
    }
}

#[tokio::test]
async fn an_archived_tenant_is_kept_as_it_was_until_it_is_resumed() {
    let world = World::start().await;
    let tenant = world
        .create(CreateTenantRequest {
            trial_days: 30,
            ..named("Put away")
        })
        .await;
    let mut above = world.tenants(&operator());
    let archived = above.archive_tenant(archive(&tenant)).await.unwrap();
    let archived = archived.into_inner();
    assert_eq!(archived.status, "archived");
    assert!(!archived.is_active && archived.archived_at.is_some());
    let again = above.archive_tenant(archive(&tenant)).await.unwrap();
    assert_eq!(
        again.into_inner(),
        archived,
        "a second time changes nothing"
    );
    assert_eq!(events(&world, &tenant, "tenant.archived").await, 1);

    let own = member(&tenant, &[Permission::TenantsRead]);
    let read = GetTenantRequest::default();
    let refused = world.tenants(&own).get_tenant(read.clone()).await;
    assert_eq!(why(refused), Reason::TenantArchived);
    let refused = above.update_tenant(rename(&tenant, "Other")).await;
    assert_eq!(why(refused), Reason::StatusForbids);
    let child = CreateTenantRequest {
        parent_id: tenant.id.clone(),
        ..named("Child")
    };
    let refused = above.create_tenant(child).await;
    assert_eq!(why(refused), Reason::ParentNotFound);

    let back = above.resume_tenant(resume(&tenant)).await.unwrap();
    let back = back.into_inner();
    assert_eq!((back.status.as_str(), back.archived_at), ("trial", None));
    assert_eq!(back, {
        let mut seen = now(&world, &tenant).await;
        seen.sub_tenants_count = None;
        seen
    });
    assert!(world.tenants(&own).get_tenant(read).await.is_ok());
}

#[tokio::test]
async fn nobody_archives_their_own_tenant() {
    let world = World::start().await;
    let tenant = world.tenant("Own").await;
    let own = member(
        &tenant,
        &[Permission::TenantsRead, Permission::TenantsUpdate],
    );
    let refused = world.tenants(&own).archive_tenant(archive(&tenant)).await;
    assert_eq!(why(refused), Reason::PermissionDenied);
}
