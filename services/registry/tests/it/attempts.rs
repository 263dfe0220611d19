//! Attempts at changes that are refused: each of someone who is known leaves one event, in the log of their own tenant and
//! before the refusal is answered; the others are counted.

use serde_json::{Value, json};
use sqlx::PgConnection;
use tenantry_core::{Permission, Reason, TenantId};
use tenantry_proto::internal::registry::v1::FollowTenantsRequest;
use tenantry_proto::internal::registry::v1::follow_tenants_response::Item;
use tenantry_proto::registry::v1::{Tenant, UpdateTenantRequest};
use tenantry_rpc::assertion::Claims;

use crate::support::{World, member, named, operator, rename, service, soon, why};

const READ: &[Permission] = &[Permission::TenantsRead];

/// The events of a stream that tell of no success, in their order.
async fn told(owner: &mut PgConnection, stream: &str) -> Vec<Value> {
    sqlx::query_scalar(
        "SELECT event FROM outbox WHERE tenant_id = $1::uuid AND event ? 'outcome' ORDER BY n",
    )
    .bind(stream)
    .fetch_all(owner)
    .await
    .unwrap()
}

async fn of_platform(owner: &mut PgConnection) -> Vec<Value> {
    told(owner, &TenantId::PLATFORM.to_string()).await
}

fn viewer(tenant: &Tenant) -> Claims {
    Claims {
        credential: "a session".to_owned(),
        ..member(tenant, READ)
    }
}

/// The same person, who names a tenant that isn't there for them.
fn beyond_reach(tenant: &Tenant) -> Claims {
    Claims {
        tenant: None,
        slug: String::new(),
        no_tenant: "not_found".to_owned(),
        ..viewer(tenant)
    }
}

#[tokio::test]
async fn whoever_may_not_change_their_tenant_leaves_one_event_in_its_log() {
    let world = World::start().await;
    let mut owner = world.owner().await;
    let acme = world.tenant("Acme").await;
    let viewer = viewer(&acme);
    let mut tenants = world.tenants(&viewer);
    let denied = tenants.update_tenant(rename(&acme, "Mine")).await;
    assert_eq!(why(denied), Reason::PermissionDenied);
    let events = told(&mut owner, &acme.id).await;
    let [event] = &events[..] else {
        panic!("{events:?}")
    };
    assert_eq!(event["action"], "tenant.updated");
    assert_eq!(event["resource"], json!({"kind": "tenant", "id": acme.id}));
    assert_eq!(event["actor"]["id"], json!(viewer.sub));
    assert_eq!(event["actor"]["name"], json!(viewer.name));
    assert_eq!(event["credential"], "a session");
    assert_eq!(
        (&event["outcome"], &event["reason"]),
        (&json!("denied"), &json!("PERMISSION_DENIED"))
    );
    assert_eq!(
        (&event["before"], &event["after"]),
        (&Value::Null, &Value::Null)
    );
    assert!(
        !event.to_string().contains("Mine"),
        "nothing of the request"
    );
    assert_eq!(of_platform(&mut owner).await, [] as [Value; 0]);
    // By its slug it is the tenant that they act in.
    let by_slug = UpdateTenantRequest {
        tenant: acme.slug.clone(),
        ..rename(&acme, "Mine")
    };
    assert_eq!(
        why(tenants.update_tenant(by_slug).await),
        Reason::PermissionDenied
    );
    let events = told(&mut owner, &acme.id).await;
    assert_eq!(events.len(), 2, "each attempt has its own");
    assert_eq!(events[1]["resource"]["id"], json!(acme.id));
}

#[tokio::test]
async fn an_attempt_at_a_foreign_tenant_is_told_in_ones_own_log_alone() {
    let world = World::start().await;
    let mut owner = world.owner().await;
    let (acme, beta) = (world.tenant("Acme").await, world.tenant("Beta").await);
    let mut tenants = world.tenants(&beyond_reach(&acme));
    let nobody = TenantId::new();
    for target in [beta.id.clone(), nobody.to_string()] {
        let update = UpdateTenantRequest {
            tenant: target,
            ..rename(&beta, "Mine")
        };
        let denied = tenants.update_tenant(update).await;
        assert_eq!(why(denied), Reason::TenantNotFound);
    }
    let events = told(&mut owner, &acme.id).await;
    let aimed_at: Vec<_> = events
        .iter()
        .map(|event| &event["resource"]["id"])
        .collect();
    assert_eq!(aimed_at, [&json!(beta.id), &json!(nobody)]);
    for event in &events {
        assert_eq!(event["outcome"], "denied");
        assert_eq!(event["reason"], "TENANT_NOT_FOUND");
    }
    assert_eq!(told(&mut owner, &beta.id).await, [] as [Value; 0]);
    assert_eq!(
        told(&mut owner, &nobody.to_string()).await,
        [] as [Value; 0]
    );
    assert_eq!(of_platform(&mut owner).await, [] as [Value; 0]);
}

#[tokio::test]
async fn what_operators_try_in_vain_is_told_in_the_platforms_log() {
    let world = World::start().await;
    let mut owner = world.owner().await;
    let acme = world.tenant("Acme").await;
    let crossed = UpdateTenantRequest {
        etag: "\"another\"".to_owned(),
        ..rename(&acme, "Acme Ltd")
    };
    let mut tenants = world.tenants(&operator());
    assert_eq!(
        why(tenants.update_tenant(crossed).await),
        Reason::EtagMismatch
    );
    let taken = tenantry_proto::registry::v1::CreateTenantRequest {
        slug: acme.slug.clone(),
        ..named("Another")
    };
    assert_eq!(why(tenants.create_tenant(taken).await), Reason::SlugTaken);
    let events = of_platform(&mut owner).await;
    let all: Vec<_> = events
        .iter()
        .map(|event| {
            (
                &event["action"],
                &event["outcome"],
                &event["resource"]["id"],
            )
        })
        .collect();
    let (failed, nil) = (json!("failed"), json!(uuid::Uuid::nil()));
    assert_eq!(
        all,
        [
            (&json!("tenant.updated"), &failed, &json!(acme.id)),
            (&json!("tenant.created"), &failed, &nil),
        ]
    );
    assert_eq!(told(&mut owner, &acme.id).await, [] as [Value; 0]);
}

#[tokio::test]
async fn malformed_requests_leave_one_count_however_many_they_are() {
    let world = World::start().await;
    let mut owner = world.owner().await;
    let acme = world.tenant("Acme").await;
    let mut tenants = world.tenants(&operator());
    for _ in 0..50 {
        let refused = tenants.update_tenant(rename(&acme, "")).await;
        assert_eq!(why(refused), Reason::InvalidArgument);
    }
    assert_eq!(of_platform(&mut owner).await, [] as [Value; 0]);
    world.attempts.write_down().await.unwrap();
    let events = of_platform(&mut owner).await;
    // Two where a minute went by.
    assert!(events.len() <= 2, "{events:?}");
    let mut sum = 0;
    for event in &events {
        assert_eq!(event["action"], "requests.refused");
        assert_eq!(event["actor"]["kind"], "anonymous");
        assert_eq!(
            (&event["outcome"], &event["reason"]),
            (&json!("failed"), &json!("INVALID_ARGUMENT"))
        );
        let update = "/tenantry.registry.v1.TenantService/UpdateTenant";
        assert_eq!(event["after"]["method"], update);
        assert!(event["after"]["minute"].as_str().unwrap().ends_with(":00Z"));
        sum += event["after"]["count"].as_u64().unwrap();
    }
    assert_eq!(sum, 50);
    world.attempts.write_down().await.unwrap();
    assert_eq!(
        of_platform(&mut owner).await.len(),
        events.len(),
        "told once"
    );
}

#[tokio::test]
async fn counts_that_can_t_be_written_are_counted_on() {
    let world = World::start().await;
    let mut owner = world.owner().await;
    let acme = world.tenant("Acme").await;
    let mut tenants = world.tenants(&operator());
    for writable in [false, true] {
        let refused = tenants.update_tenant(rename(&acme, "")).await;
        assert_eq!(why(refused), Reason::InvalidArgument);
        outbox_takes_events(&mut owner, writable).await;
        assert_eq!(world.attempts.write_down().await.is_ok(), writable);
    }
    let events = of_platform(&mut owner).await;
    let counts = events.iter().map(|event| &event["after"]["count"]);
    assert_eq!(counts.filter_map(Value::as_u64).sum::<u64>(), 2);
}

#[tokio::test]
async fn a_refusal_that_can_t_be_told_is_not_answered() {
    let world = World::start().await;
    let mut owner = world.owner().await;
    let acme = world.tenant("Acme").await;
    let mut tenants = world.tenants(&viewer(&acme));
    for (writable, expected) in [
        (false, Reason::Unavailable),
        (true, Reason::PermissionDenied),
    ] {
        outbox_takes_events(&mut owner, writable).await;
        let refused = tenants.update_tenant(rename(&acme, "Mine")).await;
        assert_eq!(why(refused), expected);
        let events = told(&mut owner, &acme.id).await;
        assert_eq!(events.len(), usize::from(writable));
    }
}

async fn outbox_takes_events(owner: &mut PgConnection, takes: bool) {
    let change = if takes {
        "GRANT INSERT ON outbox TO registry_app"
    } else {
        "REVOKE INSERT ON outbox FROM registry_app"
    };
    sqlx::raw_sql(change).execute(owner).await.unwrap();
}

#[tokio::test]
async fn an_attempt_of_a_tenant_that_is_being_purged_is_told_in_the_platforms_log() {
    let world = World::start().await;
    let mut owner = world.owner().await;
    let acme = world.tenant("Acme").await;
    world
        .store
        .close_tenant(acme.id.parse().unwrap())
        .await
        .unwrap();
    let mut tenants = world.tenants(&viewer(&acme));
    let denied = tenants.update_tenant(rename(&acme, "Mine")).await;
    assert_eq!(why(denied), Reason::PermissionDenied);
    assert_eq!(told(&mut owner, &acme.id).await, [] as [Value; 0]);
    let events = of_platform(&mut owner).await;
    assert_eq!(events.len(), 1);
    assert_eq!(events[0]["resource"]["id"], json!(acme.id));
}

#[tokio::test]
async fn followers_hear_of_changes_and_not_of_attempts() {
    let world = World::start().await;
    let acme = world.tenant("Acme").await;
    let mut feed = world.feed(&service("identity"));
    let stream = feed.follow_tenants(FollowTenantsRequest::default()).await;
    let mut stream = stream.unwrap().into_inner();
    let mut viewers = world.tenants(&viewer(&acme));
    let mut operators = world.tenants(&operator());
    let mut versions = Vec::new();
    for name in ["One", "Two"] {
        viewers
            .update_tenant(rename(&acme, "Mine"))
            .await
            .unwrap_err();
        operators.update_tenant(rename(&acme, name)).await.unwrap();
    }
    soon(async {
        while versions.last() != Some(&3) {
            let item = stream.message().await.unwrap().unwrap().item;
            // What was listed may come again: a follower applies what is newer.
            if let Some(Item::Tenant(tenant)) = item
                && versions.last().is_none_or(|last| *last < tenant.version)
            {
                versions.push(tenant.version);
            }
        }
    })
    .await;
    assert!([1, 2, 3].ends_with(&versions), "{versions:?}");
}

#[tokio::test]
async fn many_attempts_at_once_leave_one_event_each_without_a_gap() {
    let world = World::start().await;
    let mut owner = world.owner().await;
    let acme = world.tenant("Acme").await;
    let attempts = (0..40).map(|_| {
        let (mut tenants, rename) = (world.tenants(&viewer(&acme)), rename(&acme, "Mine"));
        async move { why(tenants.update_tenant(rename).await) }
    });
    let reasons = futures::future::join_all(attempts).await;
    assert!(
        reasons
            .iter()
            .all(|reason| *reason == Reason::PermissionDenied)
    );
    assert_eq!(told(&mut owner, &acme.id).await.len(), 40);
    let gapless: bool = sqlx::query_scalar(
        "SELECT c.n = 41 AND (SELECT count(*) = 41 AND max(n) = 41 FROM outbox o WHERE o.tenant_id = c.tenant_id)
         FROM outbox_counter c WHERE tenant_id = $1::uuid",
    )
    .bind(&acme.id)
    .fetch_one(&mut owner)
    .await
    .unwrap();
    assert!(gapless);
}
