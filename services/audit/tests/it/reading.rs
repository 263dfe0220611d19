//! Reading: who sees which events, by which filters, in which pages.

use serde_json::json;
use tenantry_core::{Permission, Reason, TenantId};
use tenantry_proto::audit::v1::{AuditEvent, ListEventsRequest, SearchEventsRequest};
use tenantry_testkit::wait::until;

use crate::support::{World, event, member, operator, reason, stream};

async fn listed(world: &World, tenant: TenantId, request: ListEventsRequest) -> Vec<AuditEvent> {
    let mut events = world.events(&member(tenant, &[Permission::AuditRead]));
    events
        .list_events(request)
        .await
        .unwrap()
        .into_inner()
        .events
}

fn types(events: &[AuditEvent]) -> Vec<&str> {
    events
        .iter()
        .map(|event| event.event_type.as_str())
        .collect()
}

#[tokio::test]
async fn filters_hold_together_and_each_finds_what_it_names() {
    let world = World::start().await;
    let tenant = world.registry.add("acme", 365, None);
    let mut events = [
        event("tenant.updated"),
        event("tenant.domain.added"),
        event("member.added"),
    ];
    events[1].origin.ip = "203.0.113.9".to_owned();
    events[1].after = serde_json::json!({"name": "Zürich Bahnhof"});
    events[2].actor.name = "Ada@Example.com".to_owned();
    world.appended("registry", stream(tenant, 1, &events)).await;
    let base = ListEventsRequest::default;
    let actor = events[0].actor.id.to_string();
    let cases = [
        (
            base(),
            vec!["member.added", "tenant.domain.added", "tenant.updated"],
        ),
        (
            ListEventsRequest {
                event_type: "tenant".into(),
                ..base()
            },
            vec!["tenant.domain.added", "tenant.updated"],
        ),
        (
            ListEventsRequest {
                event_type: "tenant.dom".into(),
                ..base()
            },
            vec![],
        ),
        (
            ListEventsRequest { actor, ..base() },
            vec!["tenant.updated"],
        ),
        (
            ListEventsRequest {
                actor: "ada@example.com".into(),
                ..base()
            },
            vec!["member.added"],
        ),
        (
            ListEventsRequest {
                ip_address: "203.0.113.9".into(),
                ..base()
            },
            vec!["tenant.domain.added"],
        ),
        (
            ListEventsRequest {
                q: "bahnhof ZÜRICH".into(),
                ..base()
            },
            vec!["tenant.domain.added"],
        ),
        (
            ListEventsRequest {
                q: "bahnhof".into(),
                event_type: "member".into(),
                ..base()
            },
            vec![],
        ),
        (
            ListEventsRequest {
                outcome: "denied".into(),
                ..base()
            },
            vec![],
        ),
        (
            ListEventsRequest {
                offset: 1,
                limit: 1,
                ..base()
            },
            vec!["tenant.domain.added"],
        ),
    ];
    for (request, expected) in cases {
        let told = format!("{request:?}");
        assert_eq!(
            types(&listed(&world, tenant, request).await),
            expected,
            "{told}"
        );
    }
}

#[tokio::test]
async fn pages_show_each_event_once_while_others_come() {
    let world = World::start().await;
    let tenant = world.registry.add("acme", 365, None);
    world.fill(tenant, 1, 25).await;
    let mut events = world.events(&member(tenant, &[Permission::AuditRead]));
    let (mut token, mut seen) = (String::new(), Vec::new());
    for n in 0.. {
        let request = ListEventsRequest {
            page_size: 10,
            page_token: token,
            ..Default::default()
        };
        let page = events.list_events(request).await.unwrap().into_inner();
        seen.extend(page.events.iter().map(|event| event.index));
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
        world.fill(tenant, 26 + n, 1).await;
    }
    assert!(seen.iter().copied().eq((0..25).rev()), "{seen:?}");
}

#[tokio::test]
async fn pages_of_the_largest_events_fit_into_what_clients_take() {
    const EVENTS: i64 = 120;
    /// One that is larger than a page is to be.
    const LARGEST: i64 = 60;
    let world = World::start().await;
    let tenant = world.registry.add("acme", 365, None);
    // A list of numbers grows more than anything else on its way.
    let numbers: Vec<_> = (0..8_000).map(|n| n % 10).collect();
    for n in 1..=EVENTS {
        let mut event = event("tenant.updated");
        event.after = match n {
            LARGEST => json!({ "note": "x".repeat(3_600_000) }),
            _ => json!({ "readings": numbers }),
        };
        world
            .appended("registry", stream(tenant, n, &[event]))
            .await;
    }
    let mut events = world.events(&member(tenant, &[Permission::AuditRead]));
    let mut request = ListEventsRequest {
        event_type: "tenant.updated".to_owned(),
        page_size: 1_000,
        ..Default::default()
    };
    let mut seen = Vec::new();
    loop {
        let page = events
            .list_events(request.clone())
            .await
            .unwrap()
            .into_inner();
        assert!(!page.events.is_empty());
        seen.extend(page.events.iter().map(|event| event.index));
        request.page_token = page.next_page_token;
        if request.page_token.is_empty() {
            break;
        }
    }
    assert!(seen.into_iter().eq((0..EVENTS).rev()));
}

#[tokio::test]
async fn of_all_logs_each_event_is_shown_as_far_back_as_its_own_tenants_plan_says() {
    let world = World::start().await;
    let [short, long] =
        [("short", 365), ("long", 365)].map(|(slug, days)| world.registry.add(slug, days, None));
    // More of what isn't shown than is read at once.
    world.fill(long, 1, 2).await;
    world.fill(short, 1, 250).await;
    let mut owner = world.owner().await;
    sqlx::raw_sql(
        "SELECT ensure_partitions(now() - interval '40 days');
         UPDATE events SET received_at = received_at - interval '40 days'",
    )
    .execute(&mut owner)
    .await
    .unwrap();
    world.fill(short, 251, 3).await;
    let mut search = world.events(&operator());
    for (days, shown) in [(365, 255), (30, 5)] {
        world
            .registry
            .change(short, |tenant| tenant.plan = format!("days-{days}"));
        let look = async || {
            let (mut request, mut found) = (SearchEventsRequest::default(), 0);
            request.event_type = "tenant.updated".to_owned();
            loop {
                let page = search.search_events(request.clone()).await?.into_inner();
                found += page.events.len();
                request.page_token = page.next_page_token;
                if request.page_token.is_empty() {
                    return Ok((found == shown).then_some(()));
                }
            }
        };
        let what = format!("{shown} events");
        until(&what, std::time::Duration::from_secs(10), look)
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn a_tenant_sees_its_own_log_only_and_operators_search_by_a_right_of_their_own() {
    let world = World::start().await;
    let [acme, other] = ["acme", "other"].map(|slug| world.registry.add(slug, 365, None));
    world.fill(acme, 1, 2).await;
    world.fill(other, 1, 2).await;
    let mut of_acme = world.events(&member(acme, &[Permission::AuditRead]));
    let foreign = ListEventsRequest {
        tenant: other.to_string(),
        ..Default::default()
    };
    let absent = ListEventsRequest {
        tenant: TenantId::new().to_string(),
        ..Default::default()
    };
    let [foreign, absent] = [
        of_acme.list_events(foreign).await.unwrap_err(),
        of_acme.list_events(absent).await.unwrap_err(),
    ];
    assert_eq!(reason(&foreign), Reason::TenantNotFound);
    assert_eq!(
        (foreign.message(), foreign.details()),
        (absent.message(), absent.details())
    );
    let mut without = world.events(&member(acme, &[Permission::TenantsRead]));
    let refused = without.list_events(ListEventsRequest::default()).await;
    assert_eq!(reason(&refused.unwrap_err()), Reason::PermissionDenied);
    let search = SearchEventsRequest {
        event_type: "tenant".to_owned(),
        ..Default::default()
    };
    let refused = of_acme.search_events(search.clone()).await.unwrap_err();
    assert_eq!(reason(&refused), Reason::PermissionDenied);
    let mut searching = world.events(&operator());
    let found = searching.search_events(search).await.unwrap().into_inner();
    assert_eq!(found.events.len(), 4);
}

#[tokio::test]
async fn each_reading_is_an_event_of_the_log_that_was_read() {
    let world = World::start().await;
    let tenant = world.registry.add("acme", 365, None);
    world.fill(tenant, 1, 1).await;
    listed(&world, tenant, ListEventsRequest::default()).await;
    let mut owner = world.owner().await;
    let read: (String, String) = sqlx::query_as(
        "SELECT action, event -> 'actor' ->> 'name' FROM outbox WHERE tenant_id = $1",
    )
    .bind(tenant.uuid())
    .fetch_one(&mut owner)
    .await
    .unwrap();
    assert_eq!(
        read,
        ("audit_log.read".to_owned(), "ada@example.com".to_owned())
    );
}
