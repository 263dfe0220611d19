//! Searching for a text in names and slugs.

use std::collections::BTreeSet;

use sqlx::{AssertSqlSafe, Connection as _};
use tenantry_core::{Permission, Reason};
use tenantry_proto::registry::v1::{CreateTenantRequest, ListTenantsRequest};
use tenantry_testkit::cluster::Role;
use tenantry_testkit::statements::Statements;

use super::delete;
use super::list::{filter, list, slugs};
use super::pages::all_pages;
use crate::support::{World, fields, member, named, operator, why};

fn search(text: &str) -> ListTenantsRequest {
    ListTenantsRequest {
        q: text.to_owned(),
        order_by: "slug".to_owned(),
        ..Default::default()
    }
}

/// A tenant of this slug and name.
async fn tenant(world: &World, slug: &str, name: &str) -> tenantry_proto::registry::v1::Tenant {
    let request = CreateTenantRequest {
        slug: slug.to_owned(),
        ..named(name)
    };
    world.create(request).await
}

/// Rows past the service, as many as a project of some size has: names in groups, so that a text is rare, common, or all in
/// one place of an order.
async fn many(world: &World) {
    sqlx::query(
        "INSERT INTO tenants (tenant_id, project, name, slug, status, plan, email, billing_email, contact_phone, timezone,
             locale, region, labels, metadata, suspend_reason, created_at, updated_at, version)
         SELECT gen_random_uuid(), 'default', (ARRAY['Alder', 'Birch', 'Cedar', 'Zelkova'])[1 + i / 100] || ' ' || i % 7,
             'grove-' || lpad(i::text, 4, '0'), CASE WHEN i % 10 = 3 THEN 'suspended' ELSE 'active' END, 'free', '', '', '',
             'UTC', 'en', '', '{}', '{}', '', now() + make_interval(secs => (i * 37) % 400), now(), 1
         FROM generate_series(0, 399) AS i",
    )
    .execute(&mut world.owner().await)
    .await
    .unwrap();
}

#[tokio::test]
async fn a_text_is_found_in_names_and_slugs_however_it_is_typed() {
    let world = World::start().await;
    for (slug, name) in [
        ("acme-berlin", "Ärztehaus \"Zur Linde\""),
        ("hidden", "The ACME company"),
        // Composed by hand: E and the accent are two characters.
        ("caf", "Cafe\u{301} 100%_\\"),
        ("tokyo", "東京 株式会社"),
        ("plus", "C++ users"),
        ("acm", "Short"),
    ] {
        tenant(&world, slug, name).await;
    }
    for (text, found) in [
        ("acme", vec!["acme-berlin", "hidden"]),
        (" AcMe ", vec!["acme-berlin", "hidden"]),
        ("cme-be", vec!["acme-berlin"]),
        ("acme b", vec![]),
        ("ÄRZTE", vec!["acme-berlin"]),
        ("a\u{308}rzte", vec!["acme-berlin"]),
        ("zur linde\"", vec!["acme-berlin"]),
        ("café", vec!["caf"]),
        ("CAFÉ", vec!["caf"]),
        ("cafe", vec![]),
        ("100%", vec!["caf"]),
        ("100%_\\", vec!["caf"]),
        ("10__", vec![]),
        ("株式会社", vec!["tokyo"]),
        // What is shorter begins a name or a slug.
        ("東京", vec!["tokyo"]),
        ("会社", vec![]),
        ("c++", vec!["plus"]),
        ("ac", vec!["acm", "acme-berlin"]),
        ("me", vec![]),
        ("s", vec!["acm"]),
        // Name and slug are not one text.
        ("linde\" acme", vec![]),
        ("short acm", vec![]),
        ("' OR true --", vec![]),
    ] {
        assert_eq!(slugs(list(&world, search(text)).await), found, "{text:?}");
    }
    // A search is one of several conditions.
    for (request, found) in [
        (
            ListTenantsRequest {
                filter: "name : company".into(),
                ..search("acme")
            },
            vec!["hidden"],
        ),
        (
            ListTenantsRequest {
                status: "suspended".into(),
                ..search("acme")
            },
            vec![],
        ),
        (
            ListTenantsRequest {
                tier: "free".into(),
                ..search("  ")
            },
            vec!["acm", "acme-berlin", "caf", "hidden", "plus", "tokyo"],
        ),
        (filter("name : CAFÉ"), vec!["caf"]),
        (
            filter("slug : ACME OR name : acme"),
            vec!["acme-berlin", "hidden"],
        ),
        (filter("NOT name : acme slug : hidden"), vec![]),
        (filter("slug : acme -name : linde"), vec![]),
    ] {
        assert_eq!(
            slugs(list(&world, request.clone()).await),
            found,
            "{request:?}"
        );
    }
}

#[tokio::test]
async fn what_is_found_comes_in_every_order_page_by_page() {
    let world = World::start().await;
    many(&world).await;
    let everything = ListTenantsRequest {
        page_size: 1000,
        ..Default::default()
    };
    let everything = list(&world, everything).await.tenants;
    let contains = |text: &'static str| {
        move |name: &str, slug: &str| name.to_lowercase().contains(text) || slug.contains(text)
    };
    for order_by in ["name", "name desc", "slug", "created_at", "updated_at desc"] {
        for (text, page_size) in [
            ("grove", 150),
            ("zelkova", 7),
            ("cedar 3", 2),
            ("003", 1),
            ("nothing", 3),
        ] {
            let contains = contains(text);
            let mut expected: Vec<_> = everything
                .iter()
                .filter(|tenant| contains(&tenant.name, &tenant.slug))
                .collect();
            let at = |at: &Option<prost_types::Timestamp>| at.map(|at| (at.seconds, at.nanos));
            expected.sort_by(|a, b| {
                let order = match order_by.trim_end_matches(" desc") {
                    "name" => a.name.cmp(&b.name),
                    "slug" => a.slug.cmp(&b.slug),
                    "updated_at" => at(&a.updated_at).cmp(&at(&b.updated_at)),
                    _ => at(&a.created_at).cmp(&at(&b.created_at)),
                };
                order.then_with(|| a.id.cmp(&b.id))
            });
            if order_by.ends_with(" desc") {
                expected.reverse();
            }
            let expected: Vec<_> = expected.iter().map(|tenant| tenant.slug.clone()).collect();
            let searched = ListTenantsRequest {
                q: text.to_owned(),
                order_by: order_by.to_owned(),
                page_size,
                ..Default::default()
            };
            let filtered = ListTenantsRequest {
                q: String::new(),
                filter: format!("name : \"{text}\" OR slug : \"{text}\""),
                ..searched.clone()
            };
            for request in [searched, filtered] {
                let found = all_pages(&world, request.clone()).await;
                assert_eq!(found, expected, "{request:?}");
            }
        }
    }
    let skipped = ListTenantsRequest {
        offset: 95,
        limit: 4,
        ..search("zelkova")
    };
    assert_eq!(
        slugs(list(&world, skipped).await),
        ["grove-0395", "grove-0396", "grove-0397", "grove-0398"]
    );
}

#[tokio::test]
async fn a_page_far_behind_is_read_in_order_where_the_rows_have_the_text_often_enough() {
    let world = World::start().await;
    // One in sixteen: not enough among the first rows that are read, and plenty among the next.
    sqlx::query(
        "INSERT INTO tenants (tenant_id, project, name, slug, status, plan, email, billing_email, contact_phone, timezone,
             locale, region, labels, metadata, suspend_reason, created_at, updated_at, version)
         SELECT gen_random_uuid(), 'default', CASE i % 16 WHEN 0 THEN 'Rowan' ELSE 'Other' END, 'tree-' || lpad(i::text, 4, '0'),
             'active', 'free', '', '', '', 'UTC', 'en', '', '{}', '{}', '', now(), now(), 1
         FROM generate_series(0, 799) AS i",
    )
    .execute(&mut world.owner().await)
    .await
    .unwrap();
    let mut superuser = world.superuser().await;
    let before = Statements::of("registry", &mut superuser).await.unwrap();
    let page = ListTenantsRequest {
        offset: 20,
        limit: 2,
        ..search("rowan")
    };
    assert_eq!(slugs(list(&world, page).await), ["tree-0320", "tree-0336"]);
    let after = Statements::of("registry", &mut superuser).await.unwrap();
    let searched = after.since(&before);
    let searched: Vec<_> = searched
        .iter()
        .filter(|(statement, _)| statement.contains("search_form"))
        .collect();
    let from_the_index = |(statement, _): &&&(&str, _)| statement.contains("OFFSET");
    assert_eq!(
        searched.iter().filter(from_the_index).count(),
        0,
        "{searched:?}"
    );
    assert!(!searched.is_empty());
}

#[tokio::test]
async fn a_search_shows_nobody_more_than_a_list_does() {
    let world = World::start().await;
    let mine = tenant(&world, "needle-mine", "Needle top").await;
    let other = tenant(&world, "needle-other", "Needle other").await;
    let below = world.child("Needle below", &mine).await;
    world.child("Needle foreign child", &other).await;
    let gone = world.child("Needle gone", &mine).await;
    world
        .tenants(&operator())
        .delete_tenant(delete(&gone))
        .await
        .unwrap();
    let admin = member(&mine, &[Permission::TenantsRead, Permission::TenantsCreate]);
    let viewer = member(&mine, &[Permission::TenantsRead]);
    for request in [
        search("needle"),
        search("ne"),
        filter("name : needle"),
        filter("slug : needle OR name : foreign"),
    ] {
        for (who, seen) in [
            (&admin, vec![&below.slug, &mine.slug]),
            (&viewer, vec![&mine.slug]),
        ] {
            let listed = world.tenants(who).list_tenants(request.clone()).await;
            let found = slugs(listed.unwrap().into_inner());
            assert_eq!(found.iter().collect::<Vec<_>>(), seen, "{request:?}");
        }
    }
    for text in ["foreign", "needle-other"] {
        let found = world.tenants(&admin).list_tenants(search(text)).await;
        assert_eq!(slugs(found.unwrap().into_inner()), [""; 0], "{text}");
    }
    // Nor below a tenant that the caller doesn't see.
    let there = ListTenantsRequest {
        parent: other.id.clone(),
        subtree: true,
        ..search("needle")
    };
    let refused = world.tenants(&admin).list_tenants(there.clone()).await;
    assert_eq!(why(refused), Reason::TenantNotFound);
    let found = slugs(list(&world, there).await);
    assert_eq!(found, ["needle-foreign-child"]);
    let all: BTreeSet<_> = slugs(list(&world, search("needle")).await)
        .into_iter()
        .collect();
    assert_eq!(all.len(), 4, "{all:?}");
}

#[tokio::test]
async fn a_page_token_belongs_to_its_text() {
    let world = World::start().await;
    many(&world).await;
    let first = ListTenantsRequest {
        page_size: 3,
        ..search("cedar")
    };
    let token = list(&world, first.clone()).await.next_page_token;
    let next = ListTenantsRequest {
        page_token: token.clone(),
        ..first.clone()
    };
    assert_eq!(slugs(list(&world, next).await)[0], "grove-0203");
    let mut tenants = world.tenants(&operator());
    for other in ["", "birch", "Cedar"] {
        let request = ListTenantsRequest {
            q: other.to_owned(),
            page_token: token.clone(),
            ..first.clone()
        };
        let refused = tenants.list_tenants(request).await;
        assert_eq!(why(refused), Reason::InvalidPageToken, "{other}");
    }
}

#[tokio::test]
async fn a_text_that_can_t_be_looked_for_is_refused() {
    let world = World::start().await;
    let mut tenants = world.tenants(&operator());
    let long = "x".repeat(201);
    for bad in ["%", "...", "- -", "a\0b", "a\nb", "\u{7f}a", long.as_str()] {
        let refused = tenants.list_tenants(search(bad)).await;
        assert_eq!(fields(refused), ["q"], "{bad:?}");
    }
    let longest = search(&"ü".repeat(200));
    assert_eq!(slugs(list(&world, longest).await), [""; 0]);
}

#[tokio::test]
async fn the_index_of_texts_serves_the_role_that_lists() {
    let world = World::start().await;
    let mut platform = world.connect(Role::Platform).await;
    let mut tx = platform.begin().await.unwrap();
    // Few rows are read faster without any index.
    sqlx::query("SET LOCAL enable_seqscan = off")
        .execute(&mut *tx)
        .await
        .unwrap();
    for pattern in ["%acme%", r"%\nac%"] {
        let explain = format!(
            r"EXPLAIN SELECT * FROM tenants AS t
              WHERE search_form(E'\n' || t.name || E'\n' || t.slug) LIKE search_form(E'{pattern}') OFFSET 0"
        );
        let plan: Vec<String> = sqlx::query_scalar(AssertSqlSafe(explain))
            .fetch_all(&mut *tx)
            .await
            .unwrap();
        assert!(plan.join("\n").contains("tenants_by_text"), "{plan:#?}");
    }
}
