//! The stream and the look-up for the fleet's own services.

use tenantry_core::Reason;
use tenantry_proto::internal::registry::v1::follow_tenants_response::Item;
use tenantry_proto::internal::registry::v1::{
    FollowTenantsRequest, FollowTenantsResponse, LookupTenantRequest,
};
use tenantry_proto::registry::v1::DeleteTenantRequest;
use tenantry_rpc::assertion::Claims;
use tonic::Streaming;

use crate::support::{World, operator, service, soon, why};

async fn tenants_until_complete(stream: &mut Streaming<FollowTenantsResponse>) -> Vec<String> {
    let mut ids = Vec::new();
    loop {
        match stream.message().await.unwrap().unwrap().item.unwrap() {
            Item::Tenant(tenant) => ids.push(tenant.id),
            Item::Bookmark(bookmark) if bookmark.complete => return ids,
            Item::Bookmark(_) | Item::Plan(_) => {}
        }
    }
}

#[tokio::test]
async fn a_trusted_service_follows_all_tenants_of_all_projects() {
    let world = World::start().await;
    let mut ids = Vec::new();
    for n in 0..5 {
        ids.push(world.tenant(&format!("Tenant {n}")).await.id);
    }
    let deleted = ids.pop().unwrap();
    let delete = DeleteTenantRequest {
        tenant: deleted.clone(),
        ..Default::default()
    };
    world
        .tenants(&operator())
        .delete_tenant(delete)
        .await
        .unwrap();
    ids.push(deleted);
    let mut feed = world.feed(&service("identity"));
    let mut stream = feed
        .follow_tenants(FollowTenantsRequest::default())
        .await
        .unwrap()
        .into_inner();
    let mut followed = soon(tenants_until_complete(&mut stream)).await;
    followed.sort();
    followed.dedup();
    ids.sort();
    assert_eq!(
        followed, ids,
        "deleted ones too: a follower must know that they are"
    );
}

#[tokio::test]
async fn a_lookup_finds_by_id_and_by_slug_inside_its_project() {
    let world = World::start().await;
    let tenant = world.tenant("Acme").await;
    let mut feed = world.feed(&service("identity"));
    let by = |id: &str, project: &str, slug: &str| LookupTenantRequest {
        id: id.to_owned(),
        project: project.to_owned(),
        slug: slug.to_owned(),
    };
    for found in [by(&tenant.id, "", ""), by("", "default", "acme")] {
        let entry = feed.lookup_tenant(found).await.unwrap().into_inner();
        assert_eq!((entry.id, entry.version), (tenant.id.clone(), 1));
    }
    let nobody = uuid::Uuid::from_u128(7).to_string();
    for absent in [
        by(&nobody, "", ""),
        by("", "default", "nobody"),
        by("", "other", "acme"),
        by("", "default", "nul\0"),
        by("", "nul\0", "acme"),
        by("", "", ""),
    ] {
        assert_eq!(
            why(feed.lookup_tenant(absent).await),
            Reason::TenantNotFound
        );
    }
}

#[tokio::test]
async fn the_internal_feed_refuses_the_gateway_and_services_not_trusted_for_it() {
    let world = World::start().await;
    let other_audience = Claims {
        aud: "service:identity".to_owned(),
        ..service("identity")
    };
    for (claims, expected) in [
        (operator(), Reason::InternalMethod),
        (service("registry"), Reason::InternalMethod),
        (other_audience, Reason::Unauthenticated),
    ] {
        let mut feed = world.feed(&claims);
        let refused = feed.follow_tenants(FollowTenantsRequest::default()).await;
        assert_eq!(why(refused), expected);
        let refused = feed.lookup_tenant(LookupTenantRequest::default()).await;
        assert_eq!(why(refused), expected);
    }
}
