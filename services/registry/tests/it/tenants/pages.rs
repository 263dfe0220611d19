//! Lists: orders, pages, their tokens and bounds.

use std::collections::BTreeSet;

use futures::future::join_all;
use tenantry_core::{Permission, Reason};
use tenantry_proto::registry::v1::{CreateTenantRequest, ListProjectsRequest, ListTenantsRequest};

use super::list::{filter, list, slugs, three};
use crate::support::{World, fields, member, named, operator, rename, why};

/// Reads to the end, page by page.
pub(super) async fn all_pages(world: &World, request: ListTenantsRequest) -> Vec<String> {
    let (mut request, mut all) = (request, Vec::new());
    loop {
        let page = list(world, request.clone()).await;
        let next = page.next_page_token.clone();
        let size = request.page_size as usize;
        assert!(page.tenants.len() == size || next.is_empty());
        all.extend(slugs(page));
        if next.is_empty() {
            return all;
        }
        request.page_token = next;
    }
}

#[tokio::test]
async fn every_order_is_kept_from_page_to_page() {
    let world = World::start().await;
    // Names repeat, so that ties fall on the pages' edges.
    let creates = (0..23).map(|n| {
        let world = &world;
        async move {
            let request = CreateTenantRequest {
                slug: format!("slug-{:02}", (n * 7) % 23),
                ..named(["B", "a", "Ä", "b"][n % 4])
            };
            world.create(request).await
        }
    });
    let mut tenants = join_all(creates).await;
    for tenant in &tenants[..5] {
        world
            .tenants(&operator())
            .update_tenant(rename(tenant, "a"))
            .await
            .unwrap();
    }
    tenants = list(
        &world,
        ListTenantsRequest {
            page_size: 100,
            ..Default::default()
        },
    )
    .await
    .tenants;
    assert_eq!(tenants.len(), 23);
    let micros = |at: &Option<prost_types::Timestamp>| at.map(|at| (at.seconds, at.nanos));
    for key in ["name", "slug", "created_at", "updated_at", ""] {
        tenants.sort_by(|a, b| {
            let order = match key {
                "name" => a.name.cmp(&b.name),
                "slug" => a.slug.cmp(&b.slug),
                "updated_at" => micros(&a.updated_at).cmp(&micros(&b.updated_at)),
                _ => micros(&a.created_at).cmp(&micros(&b.created_at)),
            };
            order.then_with(|| a.id.cmp(&b.id))
        });
        let mut expected: Vec<String> = tenants.iter().map(|tenant| tenant.slug.clone()).collect();
        for (suffix, reversed) in [("", false), (" asc", false), (" desc", true)] {
            if key.is_empty() && !suffix.is_empty() {
                continue;
            }
            let request = ListTenantsRequest {
                order_by: format!("{key}{suffix}"),
                page_size: 4,
                ..Default::default()
            };
            if reversed {
                expected.reverse();
            }
            assert_eq!(all_pages(&world, request).await, expected, "{key}{suffix}");
        }
    }
}

#[tokio::test]
async fn pages_neither_skip_nor_repeat_while_others_insert() {
    let world = World::start().await;
    let names = |prefix: &'static str| (0..12).map(move |n| format!("{prefix} {n:02}"));
    join_all(names("Old").map(|name| {
        let world = &world;
        async move { world.tenant(&name).await }
    }))
    .await;
    let paging = async {
        let mut request = ListTenantsRequest {
            order_by: "name".to_owned(),
            page_size: 3,
            ..Default::default()
        };
        let mut seen = Vec::new();
        loop {
            let page = list(&world, request.clone()).await;
            seen.extend(page.tenants.into_iter().map(|tenant| tenant.name));
            if page.next_page_token.is_empty() {
                return seen;
            }
            request.page_token = page.next_page_token;
        }
    };
    // New ones sort before, between and behind.
    let inserting = join_all(
        names("Old 05 and")
            .chain(names("New"))
            .chain(names("Zzz"))
            .map(|name| {
                let world = &world;
                async move { world.tenant(&name).await }
            }),
    );
    let (seen, _) = futures::join!(paging, inserting);
    let distinct: BTreeSet<&String> = seen.iter().collect();
    assert_eq!(distinct.len(), seen.len(), "nothing twice: {seen:?}");
    assert!(
        names("Old").all(|name| distinct.contains(&name)),
        "nothing skipped: {seen:?}"
    );
    assert!(seen.is_sorted());
}

#[tokio::test]
async fn a_page_token_belongs_to_its_list_and_parameters() {
    let world = World::start().await;
    for n in 0..4 {
        world.tenant(&format!("Tenant {n}")).await;
    }
    let base = ListTenantsRequest {
        page_size: 2,
        ..Default::default()
    };
    let token = list(&world, base.clone()).await.next_page_token;
    assert!(!token.is_empty());
    let with = |request: ListTenantsRequest| ListTenantsRequest {
        page_token: token.clone(),
        ..request
    };
    let larger = ListTenantsRequest {
        page_size: 10,
        ..base.clone()
    };
    assert_eq!(
        list(&world, with(larger)).await.tenants.len(),
        2,
        "the size may change"
    );

    let mut tenants = world.tenants(&operator());
    for other in [
        ListTenantsRequest {
            order_by: "name".to_owned(),
            ..base.clone()
        },
        ListTenantsRequest {
            filter: "slug : tenant".to_owned(),
            ..base.clone()
        },
        ListTenantsRequest {
            status: "active".to_owned(),
            ..base.clone()
        },
        ListTenantsRequest {
            tier: "free".to_owned(),
            ..base.clone()
        },
        ListTenantsRequest {
            show_deleted: true,
            ..base.clone()
        },
        ListTenantsRequest {
            parent: "tenant-0".to_owned(),
            ..base.clone()
        },
    ] {
        let refused = tenants.list_tenants(with(other.clone())).await;
        assert_eq!(why(refused), Reason::InvalidPageToken, "{other:?}");
    }
    let own = list(&world, filter("slug = tenant-0"))
        .await
        .tenants
        .remove(0);
    let mut own = world.tenants(&member(&own, &[Permission::TenantsRead]));
    assert_eq!(
        why(own.list_tenants(with(base.clone())).await),
        Reason::InvalidPageToken
    );
    let projects = ListProjectsRequest {
        page_token: token.clone(),
        ..Default::default()
    };
    let refused = world.projects(&operator()).list_projects(projects).await;
    assert_eq!(why(refused), Reason::InvalidPageToken);
    let mut flipped = token.clone();
    flipped.replace_range(40..41, if &token[40..41] == "A" { "B" } else { "A" });
    for damaged in [&flipped, &token[1..], "x", "%", "\0", &"A".repeat(9_999)] {
        let request = ListTenantsRequest {
            page_token: damaged.to_owned(),
            ..base.clone()
        };
        assert_eq!(
            why(tenants.list_tenants(request).await),
            Reason::InvalidPageToken
        );
    }
}

#[tokio::test]
async fn sizes_and_offsets_have_bounds() {
    let world = World::start().await;
    three(&world).await;
    let mut tenants = world.tenants(&operator());
    let sized = |page_size, limit, offset| ListTenantsRequest {
        page_size,
        limit,
        offset,
        order_by: "slug".to_owned(),
        ..Default::default()
    };
    assert_eq!(slugs(list(&world, sized(0, 0, 0)).await).len(), 3);
    assert_eq!(slugs(list(&world, sized(i32::MAX, 0, 0)).await).len(), 3);
    assert_eq!(
        slugs(list(&world, sized(0, 1, 1)).await),
        ["mid"],
        "limit and offset"
    );
    assert_eq!(
        slugs(list(&world, sized(2, 1, 0)).await).len(),
        2,
        "page_size first"
    );
    assert_eq!(slugs(list(&world, sized(0, 0, 10_000)).await), [""; 0]);
    for (request, field) in [
        (sized(-1, 0, 0), "page_size"),
        (sized(0, -1, 0), "page_size"),
        (sized(0, 0, -1), "offset"),
        (sized(0, 0, 10_001), "offset"),
    ] {
        assert_eq!(fields(tenants.list_tenants(request).await), [field]);
    }
}
