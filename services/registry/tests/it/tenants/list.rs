//! Lists: what is found, by filters, in which project.

use tenantry_core::{Permission, Reason};
use tenantry_proto::registry::v1::{
    CreateProjectRequest, CreateTenantRequest, Label, ListProjectsRequest, ListTenantsRequest,
    ListTenantsResponse,
};

use super::{delete, suspend};
use crate::support::{World, fields, member, named, operator, why};

pub(super) async fn list(world: &World, request: ListTenantsRequest) -> ListTenantsResponse {
    let page = world.tenants(&operator()).list_tenants(request).await;
    page.unwrap().into_inner()
}

pub(super) fn slugs(page: ListTenantsResponse) -> Vec<String> {
    page.tenants.into_iter().map(|tenant| tenant.slug).collect()
}

pub(super) fn filter(filter: &str) -> ListTenantsRequest {
    ListTenantsRequest {
        filter: filter.to_owned(),
        order_by: "slug".to_owned(),
        ..Default::default()
    }
}

/// Three tenants that differ in everything that can be filtered by.
pub(super) async fn three(world: &World) {
    let one = |slug: &str, name: &str, plan: &str, region: &str| CreateTenantRequest {
        slug: slug.to_owned(),
        subscription_tier: plan.to_owned(),
        region: region.to_owned(),
        email: format!("ops@{slug}.example.com"),
        external_id: format!("crm-{slug}"),
        labels: vec![Label {
            key: "size".to_owned(),
            value: slug.to_owned(),
        }],
        ..named(name)
    };
    let big = world
        .create(one("big", "Big 100% Corp", "enterprise", "eu"))
        .await;
    world
        .create(one("mid", "Mid_dle \\ Inc", "basic", "us"))
        .await;
    let small = CreateTenantRequest {
        labels: Vec::new(),
        external_id: String::new(),
        trial_days: 3,
        parent_id: big.id,
        ..one("small", "small corp", "free", "")
    };
    world.create(small).await;
}

#[tokio::test]
async fn a_filter_finds_what_it_says() {
    let world = World::start().await;
    three(&world).await;
    let id = list(&world, filter("slug = big")).await.tenants[0]
        .id
        .clone();
    let (by_id, by_parent, not_parent) = (
        format!("id = {id}"),
        format!("parent_id = {id}"),
        format!("parent_id != {id}"),
    );
    for (text, expected) in [
        ("", vec!["big", "mid", "small"]),
        ("status = trial", vec!["small"]),
        ("status != trial", vec!["big", "mid"]),
        ("NOT status = trial", vec!["big", "mid"]),
        ("subscription_tier = \"enterprise\"", vec!["big"]),
        ("name : \"CORP\"", vec!["big", "small"]),
        ("name : \"100%\"", vec!["big"]),
        ("name : \"0_\"", vec![]),
        ("name : \"_d\"", vec!["mid"]),
        ("name : \"\\\\\"", vec!["mid"]),
        ("name = \"'; DROP TABLE tenants; --\"", vec![]),
        ("slug = big OR slug = mid", vec!["big", "mid"]),
        ("slug = big AND region = us", vec![]),
        ("(slug = big OR slug = mid) -region = us", vec!["big"]),
        ("slug > big", vec!["mid", "small"]),
        ("region = \"\"", vec!["small"]),
        ("external_id = \"\"", vec!["small"]),
        ("external_id != crm-big", vec!["mid", "small"]),
        ("email : \"@mid.\"", vec!["mid"]),
        ("labels.size = big", vec!["big"]),
        ("labels.size != big", vec!["mid", "small"]),
        ("labels.size : *", vec!["big", "mid"]),
        ("NOT labels.size : *", vec!["small"]),
        ("NOT labels.size = big", vec!["mid", "small"]),
        ("labels.nothing = big", vec![]),
        ("created_at > 2020-01-01", vec!["big", "mid", "small"]),
        ("created_at < \"2020-01-31T12:00:00Z\"", vec![]),
        ("updated_at >= 0001-01-01", vec!["big", "mid", "small"]),
        ("created_at <= 9999-12-30", vec!["big", "mid", "small"]),
        (by_id.as_str(), vec!["big"]),
        (by_parent.as_str(), vec!["small"]),
        (not_parent.as_str(), vec!["big", "mid"]),
    ] {
        assert_eq!(slugs(list(&world, filter(text)).await), expected, "{text}");
    }
}

#[tokio::test]
async fn a_filter_that_can_t_be_used_is_refused_with_its_reason() {
    let world = World::start().await;
    let mut tenants = world.tenants(&operator());
    let (long, deep) = ("a".repeat(3_000), "NOT ".repeat(20) + "slug = a");
    for bad in [
        "nonsense",
        "slug =",
        "= a",
        "unknown = a",
        "metadata.a = b",
        "labels = a",
        "status = nothing",
        "status > active",
        "id = 7",
        "id > 01900000-0000-7000-8000-000000000001",
        "created_at = yesterday",
        "created_at : 2026",
        "created_at > \"-009999-01-01T00:00:00Z\"",
        "created_at > \"-004800-01-01\"",
        "labels.size < big",
        "slug = \"unclosed",
        "name = \"a\0b\"",
        "name : \"a\0b\"",
        "labels.size = \"a\0\"",
        "labels.\0 : *",
        "slug = a OR",
        "(slug = a",
        &long,
        &deep,
    ] {
        let refused = tenants.list_tenants(filter(bad)).await;
        assert_eq!(why(refused), Reason::InvalidFilter, "{bad:?}");
    }
    // A label's key may be any text: one that no label has finds nothing.
    for odd in ["labels. : *", "labels.a_b/c = \"'\"", "labels.a.b = c"] {
        assert_eq!(slugs(list(&world, filter(odd)).await), [""; 0], "{odd}");
    }
}

#[tokio::test]
async fn the_short_filters_say_the_same() {
    let world = World::start().await;
    three(&world).await;
    let mut above = world.tenants(&operator());
    let mid = list(&world, filter("slug = mid")).await.tenants.remove(0);
    let small = list(&world, filter("slug = small")).await.tenants.remove(0);
    above.suspend_tenant(suspend(&mid)).await.unwrap();
    above.delete_tenant(delete(&small)).await.unwrap();
    let by = |status: &str, tier: &str, show_deleted: bool| ListTenantsRequest {
        status: status.to_owned(),
        tier: tier.to_owned(),
        show_deleted,
        order_by: "slug".to_owned(),
        ..Default::default()
    };
    for (request, expected) in [
        (by("", "", false), vec!["big", "mid"]),
        (by("", "", true), vec!["big", "mid", "small"]),
        (by("active", "", false), vec!["big"]),
        (by("suspended", "", false), vec!["mid"]),
        (by("inactive", "", false), vec!["mid"]),
        (by("deleted", "", false), vec!["small"]),
        (by("", "enterprise", false), vec!["big"]),
        (by("", "pro", false), vec![]),
    ] {
        assert_eq!(
            slugs(list(&world, request.clone()).await),
            expected,
            "{request:?}"
        );
    }
    assert_eq!(
        fields(above.list_tenants(by("Active", "", false)).await),
        ["status"]
    );
    assert_eq!(
        why(above.list_tenants(by("", "gold", false)).await),
        Reason::PlanNotFound
    );
}

#[tokio::test]
async fn what_can_t_be_sorted_by_or_looked_below_is_refused() {
    let world = World::start().await;
    let mut tenants = world.tenants(&operator());
    for order_by in [
        "email",
        "name up",
        "name desc asc",
        "name,slug",
        "name; DROP",
        "\0",
    ] {
        let request = ListTenantsRequest {
            order_by: order_by.to_owned(),
            ..Default::default()
        };
        assert_eq!(
            why(tenants.list_tenants(request).await),
            Reason::InvalidOrderBy,
            "{order_by}"
        );
    }
    for parent in [
        "nobody",
        "nul\0",
        "01900000-0000-7000-8000-000000000001",
        "Ä",
        "%",
    ] {
        let request = ListTenantsRequest {
            parent: parent.to_owned(),
            ..Default::default()
        };
        assert_eq!(
            why(tenants.list_tenants(request).await),
            Reason::TenantNotFound,
            "{parent:?}"
        );
    }
    for project in ["nowhere", "nul\0", "DEFAULT"] {
        let request = ListTenantsRequest {
            project: project.to_owned(),
            ..Default::default()
        };
        assert_eq!(
            why(tenants.list_tenants(request).await),
            Reason::ProjectNotFound,
            "{project:?}"
        );
    }
}

#[tokio::test]
async fn a_list_stays_inside_one_project() {
    let world = World::start().await;
    let caller = operator();
    for key in ["one", "two"] {
        let project = CreateProjectRequest {
            key: key.to_owned(),
            ..Default::default()
        };
        world
            .projects(&caller)
            .create_project(project)
            .await
            .unwrap();
        let tenant = CreateTenantRequest {
            project: key.to_owned(),
            ..named(&format!("In {key}"))
        };
        world.create(tenant).await;
    }
    let of = |project: &str| ListTenantsRequest {
        project: project.to_owned(),
        ..Default::default()
    };
    assert_eq!(slugs(list(&world, of("")).await), [""; 0]);
    let mut in_one = list(&world, of("one")).await.tenants;
    assert_eq!(in_one.len(), 1);
    let own = in_one.remove(0);
    let mut tenants = world.tenants(&member(&own, &[Permission::TenantsRead]));
    let listed = tenants.list_tenants(of("")).await.unwrap().into_inner();
    assert_eq!(slugs(listed), [own.slug]);
    // Another project, there or not, is one answer.
    for other in ["two", "nowhere"] {
        assert_eq!(
            why(tenants.list_tenants(of(other)).await),
            Reason::ProjectNotFound
        );
    }
    // Projects are listed by key, page by page.
    let mut request = ListProjectsRequest {
        page_size: 2,
        ..Default::default()
    };
    let mut keys = Vec::new();
    loop {
        let page = world
            .projects(&caller)
            .list_projects(request.clone())
            .await
            .unwrap()
            .into_inner();
        keys.extend(page.projects.into_iter().map(|project| project.key));
        if page.next_page_token.is_empty() {
            break;
        }
        request.page_token = page.next_page_token;
    }
    assert_eq!(keys, ["default", "one", "two"]);
}
