//! What followers of the feed hear of a purge.

use tenantry_core::{Reason, TenantId};
use tenantry_proto::internal::registry::v1::follow_tenants_response::Item;
use tenantry_proto::internal::registry::v1::{FollowTenantsRequest, LookupTenantRequest};

use super::purge;
use crate::support::{World, operator, service, soon, why};

#[tokio::test]
async fn followers_are_told_of_a_purge_once_and_a_new_list_doesn_t_have_it() {
    let world = World::start().await;
    let tenant = world.tenant("Acme").await;
    let mut feed = world.feed(&service("identity"));
    let request = FollowTenantsRequest::default();
    let mut stream = feed
        .follow_tenants(request.clone())
        .await
        .unwrap()
        .into_inner();
    let mut tenants = world.tenants(&operator());
    tenants.purge_tenant(purge(&tenant, true)).await.unwrap();
    let mut seen = Vec::new();
    soon(async {
        while seen.last().is_none_or(|(status, _)| status != "purged") {
            if let Some(Item::Tenant(entry)) = stream.message().await.unwrap().unwrap().item {
                seen.push((entry.status, entry.version));
            }
        }
    })
    .await;
    seen.dedup();
    let last = &seen[seen.len() - 2..];
    assert_eq!(last, [("deleted".to_owned(), 2), ("purged".to_owned(), 3)]);

    let mut stream = feed.follow_tenants(request).await.unwrap().into_inner();
    loop {
        match soon(stream.message()).await.unwrap().unwrap().item.unwrap() {
            Item::Plan(_) => {}
            Item::Tenant(entry) => panic!("{entry:?}"),
            Item::Bookmark(bookmark) => {
                assert!(bookmark.complete);
                break;
            }
        }
    }
    for id in [tenant.id, TenantId::new().to_string()] {
        let asked = LookupTenantRequest {
            id,
            ..Default::default()
        };
        assert_eq!(why(feed.lookup_tenant(asked).await), Reason::TenantNotFound);
    }
}
