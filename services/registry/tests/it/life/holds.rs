//! Legal holds: several at once, each with its holder's name, and no deletion while any stands.

use std::time::{Duration, Instant};

use tenantry_core::{Permission, Permissions, Reason};
use tenantry_proto::internal::registry::v1::follow_tenants_response::Item;
use tenantry_proto::internal::registry::v1::{
    FollowTenantsRequest, FollowTenantsResponse, LookupTenantRequest,
};
use tenantry_proto::registry::v1::{
    DeleteTenantRequest, LegalHold, ListLegalHoldsRequest, PlaceLegalHoldRequest,
    ReleaseLegalHoldRequest, Tenant,
};
use tenantry_rpc::assertion::Claims;
use tonic::Streaming;

use super::{events, now};
use crate::support::{World, fields, member, operator, reason, service, soon, why};

fn place(tenant: &Tenant, holder: &str) -> PlaceLegalHoldRequest {
    PlaceLegalHoldRequest {
        tenant: tenant.id.clone(),
        holder: holder.to_owned(),
        reason: "Proceedings".to_owned(),
        request_id: String::new(),
    }
}

fn release(hold: &LegalHold) -> ReleaseLegalHoldRequest {
    ReleaseLegalHoldRequest {
        tenant: hold.tenant_id.clone(),
        hold: hold.id.clone(),
        request_id: String::new(),
    }
}

fn list(tenant: &Tenant) -> ListLegalHoldsRequest {
    ListLegalHoldsRequest {
        tenant: tenant.id.clone(),
    }
}

fn delete(tenant: &Tenant) -> DeleteTenantRequest {
    DeleteTenantRequest {
        tenant: tenant.id.clone(),
        ..Default::default()
    }
}

#[tokio::test]
async fn a_tenant_under_any_hold_is_not_deleted_and_the_holders_are_named() {
    let world = World::start().await;
    let tenant = world.tenant("Held").await;
    let mut holds = world.legal_holds(&operator());
    let mut tenants = world.tenants(&operator());
    let mut placed = Vec::new();
    for holder in ["Counsel Smith, case 12", "Tax office"] {
        let hold = holds.place_legal_hold(place(&tenant, holder)).await;
        placed.push(hold.unwrap().into_inner());
    }
    assert_eq!(placed[0].placed_by, "someone@example.com");
    let standing = holds.list_legal_holds(list(&tenant)).await.unwrap();
    assert_eq!(standing.into_inner().legal_holds, placed);

    let status = tenants.delete_tenant(delete(&tenant)).await.unwrap_err();
    assert_eq!(reason(&status), Reason::LegalHold);
    let told = tenantry_rpc::status::refusal(&status).unwrap();
    for hold in &placed {
        assert!(told.message.contains(&hold.holder), "{told:?}");
    }
    let released = holds.release_legal_hold(release(&placed[0])).await.unwrap();
    assert_eq!(released.into_inner(), placed[0]);
    let twice = holds.release_legal_hold(release(&placed[0])).await;
    assert_eq!(why(twice), Reason::LegalHoldNotFound);
    let refused = tenants.delete_tenant(delete(&tenant)).await;
    assert_eq!(why(refused), Reason::LegalHold);
    holds.release_legal_hold(release(&placed[1])).await.unwrap();
    tenants.delete_tenant(delete(&tenant)).await.unwrap();
    for (action, count) in [("legal_hold.placed", 2), ("legal_hold.released", 2)] {
        assert_eq!(events(&world, &tenant, action).await, count);
    }
}

/// Whether a hold stands on a tenant at this version, as a follower is told, and how long that took.
async fn told(
    stream: &mut Streaming<FollowTenantsResponse>,
    id: &str,
    version: i64,
) -> (bool, Duration) {
    let asked = Instant::now();
    soon(async {
        loop {
            if let Some(Item::Tenant(entry)) = stream.message().await.unwrap().unwrap().item
                && (entry.id.as_str(), entry.version) == (id, version)
            {
                return (entry.held, asked.elapsed());
            }
        }
    })
    .await
}

#[tokio::test]
async fn followers_hear_within_a_second_of_each_hold_and_that_the_last_one_is_released() {
    let world = World::start().await;
    let tenant = world.tenant("Held").await;
    let mut holds = world.legal_holds(&operator());
    let mut feed = world.feed(&service("audit"));
    let begin = FollowTenantsRequest::default();
    let mut stream = feed
        .follow_tenants(begin.clone())
        .await
        .unwrap()
        .into_inner();
    assert!(!told(&mut stream, &tenant.id, 1).await.0);
    let mut placed = Vec::new();
    for version in [2, 3] {
        let hold = holds.place_legal_hold(place(&tenant, "Counsel")).await;
        placed.push(hold.unwrap().into_inner());
        let (held, took) = told(&mut stream, &tenant.id, version).await;
        assert!(held);
        assert!(took < Duration::from_secs(1), "{took:?}");
    }
    let shown = now(&world, &tenant).await;
    assert_eq!(shown.etag, "3", "it is a change of the tenant");
    let lookup = LookupTenantRequest {
        id: tenant.id.clone(),
        ..Default::default()
    };
    assert!(feed.lookup_tenant(lookup).await.unwrap().into_inner().held);
    let mut listed = feed.follow_tenants(begin).await.unwrap().into_inner();
    assert!(
        told(&mut listed, &tenant.id, 3).await.0,
        "who lists later too"
    );
    for (hold, (version, still)) in placed.iter().zip([(4, true), (5, false)]) {
        holds.release_legal_hold(release(hold)).await.unwrap();
        let (held, took) = told(&mut stream, &tenant.id, version).await;
        assert_eq!(held, still);
        assert!(took < Duration::from_secs(1), "{took:?}");
    }
    for (action, count) in [
        ("legal_hold.placed", 2),
        ("legal_hold.released", 2),
        ("tenant.updated", 0),
    ] {
        assert_eq!(events(&world, &tenant, action).await, count, "{action}");
    }
}

#[tokio::test]
async fn a_repeated_placing_places_one() {
    let world = World::start().await;
    let tenant = world.tenant("Held").await;
    let mut holds = world.legal_holds(&operator());
    let request = PlaceLegalHoldRequest {
        request_id: "once".to_owned(),
        ..place(&tenant, "Counsel")
    };
    let caller = operator();
    let mut one = world.legal_holds(&caller);
    let first = one.place_legal_hold(request.clone()).await.unwrap();
    let again = one.place_legal_hold(request).await.unwrap();
    assert_eq!(first.into_inner(), again.into_inner());
    let standing = holds.list_legal_holds(list(&tenant)).await.unwrap();
    assert_eq!(standing.into_inner().legal_holds.len(), 1);
}

#[tokio::test]
async fn only_those_with_the_right_place_and_release_and_on_the_tenant_itself() {
    let world = World::start().await;
    let (tenant, other) = (world.tenant("Held").await, world.tenant("Other").await);
    let hold = world
        .legal_holds(&operator())
        .place_legal_hold(place(&tenant, "Counsel"))
        .await
        .unwrap()
        .into_inner();
    let without = Claims {
        perms: Permissions::of(&[Permission::PlatformTenantsManage, Permission::TenantsManage]),
        ..operator()
    };
    for caller in [without, member(&tenant, &[Permission::TenantsManage])] {
        let mut holds = world.legal_holds(&caller);
        let refused = holds.place_legal_hold(place(&tenant, "Me")).await;
        assert_eq!(why(refused), Reason::PermissionDenied);
        let refused = holds.list_legal_holds(list(&tenant)).await;
        assert_eq!(why(refused), Reason::PermissionDenied);
        let refused = holds.release_legal_hold(release(&hold)).await;
        assert_eq!(why(refused), Reason::PermissionDenied);
    }
    let elsewhere = ReleaseLegalHoldRequest {
        tenant: other.id.clone(),
        ..release(&hold)
    };
    let mut holds = world.legal_holds(&operator());
    let refused = holds.release_legal_hold(elsewhere).await;
    assert_eq!(why(refused), Reason::LegalHoldNotFound);
    let blank = PlaceLegalHoldRequest {
        reason: " ".to_owned(),
        ..place(&tenant, "")
    };
    let wrong = fields(holds.place_legal_hold(blank).await);
    assert_eq!(wrong, ["holder", "reason"]);
}

#[tokio::test]
async fn a_legal_hold_that_comes_after_the_purge_began_is_refused() {
    let world = World::start().await;
    let tenant = world.tenant("Late").await;
    let mut owner = world.owner().await;
    // Begun, and nothing of it done yet: no purge is written that a worker could find.
    sqlx::query(
        "UPDATE tenants SET purge_started_at = clock_timestamp() WHERE tenant_id = $1::uuid",
    )
    .bind(&tenant.id)
    .execute(&mut owner)
    .await
    .unwrap();
    let mut holds = world.legal_holds(&operator());
    let refused = holds.place_legal_hold(place(&tenant, "Tax office")).await;
    assert_eq!(why(refused), Reason::StatusForbids);
}
