//! Updates: which fields a request changes, with a mask and without.

use prost_types::value::Kind;
use prost_types::{FieldMask, Struct, Value};
use tenantry_core::{Permission, Reason};
use tenantry_proto::registry::v1::{CreateTenantRequest, Label, Tenant, UpdateTenantRequest};
use tonic::{Response, Status};

use crate::support::{World, fields, member, named, operator, why};

fn label(key: &str, value: &str) -> Label {
    Label {
        key: key.to_owned(),
        value: value.to_owned(),
    }
}

fn object(key: &str, value: &str) -> Struct {
    let value = Value {
        kind: Some(Kind::StringValue(value.to_owned())),
    };
    Struct {
        fields: [(key.to_owned(), value)].into(),
    }
}

/// A tenant with every field set.
async fn full(world: &World) -> Tenant {
    let request = CreateTenantRequest {
        email: "ops@example.com".to_owned(),
        billing_email: "billing@example.com".to_owned(),
        contact_phone: "+491701234567".to_owned(),
        timezone: "Europe/Berlin".to_owned(),
        locale: "de-DE".to_owned(),
        region: "eu".to_owned(),
        subscription_tier: "basic".to_owned(),
        external_id: "crm-1".to_owned(),
        labels: vec![label("a", "1"), label("b", "2")],
        metadata: Some(object("k", "v")),
        ..named("Full")
    };
    world.create(request).await
}

async fn update(
    world: &World,
    tenant: &Tenant,
    request: UpdateTenantRequest,
    mask: &[&str],
) -> Result<Response<Tenant>, Status> {
    let mask = FieldMask {
        paths: mask.iter().map(ToString::to_string).collect(),
    };
    let request = UpdateTenantRequest {
        tenant: tenant.id.clone(),
        update_mask: Some(mask),
        ..request
    };
    world.tenants(&operator()).update_tenant(request).await
}

/// The tenant, as if it had been made so: without what each change counts.
fn apart(tenant: Tenant) -> Tenant {
    Tenant {
        etag: String::new(),
        updated_at: None,
        ..tenant
    }
}

#[tokio::test]
async fn without_a_mask_the_fields_that_come_are_changed_and_no_others() {
    let world = World::start().await;
    let before = full(&world).await;
    let request = UpdateTenantRequest {
        name: Some("New".to_owned()),
        email: Some(String::new()),
        labels: vec![label("c", "3")],
        ..Default::default()
    };
    let after = update(&world, &before, request, &[])
        .await
        .unwrap()
        .into_inner();
    assert_ne!(after.etag, before.etag);
    assert!(after.updated_at.unwrap().nanos != before.updated_at.unwrap().nanos);
    let expected = Tenant {
        name: "New".to_owned(),
        email: String::new(),
        labels: vec![label("c", "3")],
        ..before
    };
    assert_eq!(apart(after), apart(expected));
}

#[tokio::test]
async fn with_a_mask_only_what_it_names_is_changed_and_the_absent_is_cleared() {
    let world = World::start().await;
    let before = full(&world).await;
    let request = UpdateTenantRequest {
        name: Some("New".to_owned()),
        region: Some("not named".to_owned()),
        metadata: Some(object("not", "named")),
        ..Default::default()
    };
    let mask = [
        "name",
        "billing_email",
        "contact_phone",
        "external_id",
        "labels",
    ];
    let after = update(&world, &before, request, &mask)
        .await
        .unwrap()
        .into_inner();
    let expected = Tenant {
        name: "New".to_owned(),
        billing_email: String::new(),
        contact_phone: String::new(),
        external_id: String::new(),
        labels: Vec::new(),
        ..before
    };
    assert_eq!(apart(after), apart(expected));
}

#[tokio::test]
async fn metadata_is_replaced_whole_and_cleared_by_its_name_alone() {
    let world = World::start().await;
    let tenant = full(&world).await;
    let replaced = UpdateTenantRequest {
        metadata: Some(object("other", "w")),
        ..Default::default()
    };
    let after = update(&world, &tenant, replaced, &[])
        .await
        .unwrap()
        .into_inner();
    assert_eq!(after.metadata, Some(object("other", "w")));
    let after = update(
        &world,
        &tenant,
        UpdateTenantRequest::default(),
        &["metadata"],
    )
    .await;
    assert_eq!(
        after.unwrap().into_inner().metadata,
        Some(Struct::default())
    );
}

#[tokio::test]
async fn a_cleared_external_id_can_be_another_tenant_s() {
    let world = World::start().await;
    let tenant = full(&world).await;
    let other = world.tenant("Other").await;
    let take = UpdateTenantRequest {
        external_id: Some("crm-1".to_owned()),
        ..Default::default()
    };
    assert_eq!(
        why(update(&world, &other, take.clone(), &[]).await),
        Reason::ExternalIdTaken
    );
    update(
        &world,
        &tenant,
        UpdateTenantRequest::default(),
        &["external_id"],
    )
    .await
    .unwrap();
    assert_eq!(
        update(&world, &other, take, &[])
            .await
            .unwrap()
            .into_inner()
            .external_id,
        "crm-1"
    );
}

#[tokio::test]
async fn what_a_tenant_can_t_be_without_can_t_be_cleared() {
    let world = World::start().await;
    let tenant = full(&world).await;
    for path in ["name", "slug", "timezone", "locale"] {
        let refused = update(&world, &tenant, UpdateTenantRequest::default(), &[path]).await;
        assert_eq!(fields(refused), [path]);
    }
    let cleared = update(
        &world,
        &tenant,
        UpdateTenantRequest::default(),
        &["subscription_tier"],
    )
    .await;
    assert_eq!(
        cleared.unwrap().into_inner().subscription_tier,
        "free",
        "the default plan"
    );
}

#[tokio::test]
async fn an_unknown_path_and_an_update_of_nothing_are_refused() {
    let world = World::start().await;
    let tenant = world.tenant("Acme").await;
    let name = || UpdateTenantRequest {
        name: Some("New".to_owned()),
        ..Default::default()
    };
    for path in [
        "nothing", "id", "status", "etag", "tenant", "labels.a", "*", "", "Name", "na\0me",
    ] {
        let refused = update(&world, &tenant, name(), &["name", path]).await;
        assert_eq!(fields(refused), ["update_mask"], "{path:?}");
    }
    let nothing = UpdateTenantRequest::default;
    assert_eq!(
        why(update(&world, &tenant, nothing(), &[]).await),
        Reason::NothingToUpdate
    );
    let no_mask = UpdateTenantRequest {
        tenant: tenant.id.clone(),
        ..Default::default()
    };
    let refused = world.tenants(&operator()).update_tenant(no_mask).await;
    assert_eq!(why(refused), Reason::NothingToUpdate);
}

#[tokio::test]
async fn a_mask_asks_for_the_right_to_each_field_that_it_names() {
    let world = World::start().await;
    let tenant = full(&world).await;
    let mut own = world.tenants(&member(&tenant, &[Permission::TenantsUpdate]));
    for path in ["slug", "subscription_tier", "external_id"] {
        let request = UpdateTenantRequest {
            update_mask: Some(FieldMask {
                paths: vec!["name".to_owned(), path.to_owned()],
            }),
            name: Some("New".to_owned()),
            ..Default::default()
        };
        assert_eq!(
            why(own.update_tenant(request).await),
            Reason::PermissionDenied,
            "{path}"
        );
    }
    // Carried but not named is not asked for.
    let request = UpdateTenantRequest {
        update_mask: Some(FieldMask {
            paths: vec!["name".to_owned()],
        }),
        name: Some("New".to_owned()),
        slug: Some("not-asked-for".to_owned()),
        ..Default::default()
    };
    let after = own.update_tenant(request).await.unwrap().into_inner();
    assert_eq!((after.name.as_str(), after.slug), ("New", tenant.slug));
}
