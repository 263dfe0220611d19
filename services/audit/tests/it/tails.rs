//! Live tails: every event once and in order, whichever replica appends, and an end in time.

use std::time::Duration;

use tenantry_core::{Permission, Reason, TenantId};
use tenantry_proto::audit::v1::tail_events_response::Item;
use tenantry_proto::audit::v1::{TailEventsRequest, TailEventsResponse};
use tonic::Streaming;

use crate::support::{Replica, World, member, reason};

/// What is promised to be seen within.
const SOON: Duration = Duration::from_secs(1);

async fn tail(
    replica: &Replica,
    tenant: TenantId,
    from_index: Option<i64>,
) -> Streaming<TailEventsResponse> {
    let mut events = replica.events(&member(tenant, &[Permission::AuditRead]));
    let request = TailEventsRequest {
        tenant: String::new(),
        from_index,
    };
    events.tail_events(request).await.unwrap().into_inner()
}

/// The indexes of so many events.
async fn indexes(tail: &mut Streaming<TailEventsResponse>, count: usize) -> Vec<i64> {
    let mut seen = Vec::new();
    while seen.len() < count {
        let next = tokio::time::timeout(Duration::from_secs(20), tail.message());
        let next = next.await.expect("an event comes").unwrap();
        match next.expect("the stream goes on").item {
            Some(Item::Event(event)) => seen.push(event.index),
            Some(Item::Bookmark(_)) => {}
            other => panic!("{other:?}"),
        }
    }
    seen
}

#[tokio::test]
async fn a_tail_shows_every_event_once_whichever_replica_takes_it_and_resumes_by_index() {
    let world = World::start().await;
    let second = world.replica().await;
    let [tenant, other] = ["acme", "other"].map(|slug| world.registry.add(slug, 365, None));
    world.fill(tenant, 1, 3).await;
    let mut from_start = tail(&second, tenant, Some(0)).await;
    let mut from_now = tail(&second, tenant, None).await;
    assert_eq!(indexes(&mut from_start, 3).await, [0, 1, 2]);
    world.fill(other, 1, 5).await;
    for n in 4..=300 {
        world.fill(tenant, n, 1).await;
    }
    assert!(indexes(&mut from_start, 297).await.into_iter().eq(3..300));
    assert!(indexes(&mut from_now, 297).await.into_iter().eq(3..300));
    let mut resumed = tail(&world, tenant, Some(290)).await;
    assert!(indexes(&mut resumed, 10).await.into_iter().eq(290..300));
}

#[tokio::test]
async fn an_event_is_shown_within_a_second_of_its_append() {
    let world = World::start().await;
    let second = world.replica().await;
    let tenant = world.registry.add("acme", 365, None);
    let mut tail = tail(&second, tenant, None).await;
    for n in 1..=5 {
        world.fill(tenant, n, 1).await;
        let shown = tokio::time::timeout(SOON, indexes(&mut tail, 1));
        assert_eq!(shown.await.expect("within a second"), [n - 1]);
    }
}

#[tokio::test]
async fn a_suspended_tenants_tail_ends_with_a_reason_within_a_second() {
    let world = World::start().await;
    let parent = world.registry.add("parent", 365, None);
    let child = world.registry.add("child", 365, Some(parent));
    for stopped in [child, parent] {
        let mut tail = tail(&world, child, None).await;
        world
            .registry
            .change(stopped, |t| t.status = "suspended".to_owned());
        let ended = async {
            let mut said = None;
            loop {
                match tail.message().await {
                    Ok(Some(item)) => {
                        if let Some(Item::End(end)) = item.item {
                            said = Some(end.reason);
                        }
                    }
                    Ok(None) => panic!("a status says why"),
                    Err(status) => return (said, reason(&status)),
                }
            }
        };
        let (said, status) = tokio::time::timeout(SOON, ended)
            .await
            .expect("within a second");
        assert_eq!(said.as_deref(), Some(Reason::StreamTenantStatus.word()));
        assert_eq!(status, Reason::StreamTenantStatus);
        world
            .registry
            .change(stopped, |t| t.status = "active".to_owned());
        let active = async || {
            let events = world.events(&member(child, &[Permission::AuditRead]));
            let request = TailEventsRequest::default();
            Ok(events
                .clone()
                .tail_events(request)
                .await
                .is_ok()
                .then_some(()))
        };
        let again = tenantry_testkit::wait::until("active tenant", Duration::from_secs(5), active);
        again.await.unwrap();
    }
}

#[tokio::test]
async fn a_negative_place_is_refused() {
    let world = World::start().await;
    let tenant = world.registry.add("acme", 365, None);
    let mut events = world.events(&member(tenant, &[Permission::AuditRead]));
    let request = TailEventsRequest {
        tenant: String::new(),
        from_index: Some(-1),
    };
    let refused = events.tail_events(request).await.unwrap_err();
    assert_eq!(reason(&refused), Reason::InvalidArgument);
}
