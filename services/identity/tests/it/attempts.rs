//! Attempts that identity refuses, as a service and at the gateway: told in the log of whoever made them, or counted.

use serde_json::{Value, json};
use tenantry_core::TenantId;
use tenantry_proto::identity::v1 as wire;
use tenantry_proto::internal::identity::v1 as internal;
use tenantry_proto::internal::identity::v1::follow_revocations_response::Item;
use tonic::{Request, Status};

use crate::caller::{Who, reason};
use crate::world::{OPERATOR, World, until};

const IP: &str = "192.0.2.7";
const REMOVE: &str = "/tenantry.identity.v1.MemberService/RemoveMember";

/// The events of a stream that tell of no success, in their order.
async fn told(world: &World, stream: TenantId) -> Vec<Value> {
    sqlx::query_scalar(
        "SELECT event FROM identity.outbox WHERE tenant_id = $1 AND event ? 'outcome' ORDER BY n",
    )
    .bind(stream.uuid())
    .fetch_all(&mut world.superuser().await)
    .await
    .unwrap()
}

/// The same of the platform, once both replicas wrote down what they counted.
async fn counted(world: &World) -> Vec<Value> {
    for attempts in &world.attempts {
        attempts.write_down().await.unwrap();
    }
    told(world, TenantId::PLATFORM).await
}

/// How many an event of these words counts, over the minutes that went by.
fn sum(events: &[Value], action: &str, reason: &str) -> u64 {
    events
        .iter()
        .filter(|event| event["action"] == action && event["reason"] == reason)
        .filter_map(|event| event["after"]["count"].as_u64())
        .sum()
}

async fn remove(world: &World, who: &Who, user: &str) -> Result<(), Status> {
    let removal = wire::RemoveMemberRequest {
        user: user.to_owned(),
        ..Default::default()
    };
    let ask = world.ask(who, removal).await?;
    world.members().remove_member(ask).await.map(drop)
}

#[tokio::test]
async fn what_someone_may_not_do_below_is_told_where_their_rights_come_from() {
    let world = World::start().await;
    let acme = world.tenant("acme", None).await;
    let below = world.tenant("below", Some(acme)).await;
    let owner = world.member(below, "owner@example.com", "owner").await;
    let admin = world.member(acme, "admin@example.com", "admin").await;
    let (owner, id) = (world.id_of(&owner).await, world.id_of(&admin).await);
    let denied = remove(&world, &admin.at(below), &owner).await.unwrap_err();
    let events = told(&world, acme).await;
    let [event] = &events[..] else {
        panic!("{denied:?}: {events:?}")
    };
    assert_eq!(event["action"], "member.removed");
    assert_eq!(event["resource"], json!({"kind": "member", "id": owner}));
    assert_eq!(
        (&event["actor"]["id"], &event["reason"]),
        (&json!(id), &json!(reason(&denied)))
    );
    assert_ne!(event["credential"], Value::Null);
    assert!(told(&world, below).await.is_empty());
    assert!(told(&world, TenantId::PLATFORM).await.is_empty());
}

#[tokio::test]
async fn what_the_people_and_keys_of_a_suspended_tenant_try_is_told_in_its_log() {
    let world = World::start().await;
    let acme = world.tenant("acme", None).await;
    let owner = world.member(acme, "owner@example.com", "owner").await;
    let key = Who::key(&world.key(&owner).await);
    let id = world.id_of(&owner).await;
    world.registry.set_status(acme, "suspended");
    for who in [&owner, &key] {
        until(async || world.reason(&who.clone().at(acme)).await == "TENANT_SUSPENDED").await;
    }
    assert!(told(&world, acme).await.is_empty(), "reading is no attempt");
    let sent = |who: &Who| {
        let who = who.clone().with(":path", REMOVE);
        who.with("x-envoy-external-address", IP)
    };
    for who in [sent(&owner), sent(&key).of_replica(1)] {
        assert_eq!(world.reason(&who).await, "TENANT_SUSPENDED");
    }
    let events = told(&world, acme).await;
    assert_eq!(events.len(), 2, "{events:?}");
    for event in &events {
        assert_eq!(
            (&event["action"], &event["outcome"]),
            (&json!("member.removed"), &json!("denied"))
        );
        assert_eq!(
            (&event["reason"], &event["origin"]["ip"]),
            (&json!("TENANT_SUSPENDED"), &json!(IP))
        );
    }
    assert_eq!(events[0]["actor"]["id"], json!(id));
    assert_eq!(events[1]["actor"]["kind"], "api_key");
    assert!(
        counted(&world).await.is_empty(),
        "told or counted, never both"
    );
}

#[tokio::test]
async fn a_suspension_is_not_told_by_who_can_t_tell_the_attempt() {
    let world = World::start().await;
    let acme = world.tenant("acme", None).await;
    let owner = world.member(acme, "owner@example.com", "owner").await;
    world.registry.set_status(acme, "suspended");
    until(async || world.reason(&owner).await == "TENANT_SUSPENDED").await;
    let mut past = world.superuser().await;
    let attempt = owner.clone().with(":path", REMOVE);
    for (change, expected) in [
        (
            "REVOKE INSERT ON identity.outbox FROM identity_app",
            "UNAVAILABLE",
        ),
        (
            "GRANT INSERT ON identity.outbox TO identity_app",
            "TENANT_SUSPENDED",
        ),
    ] {
        sqlx::raw_sql(change).execute(&mut past).await.unwrap();
        assert_eq!(world.reason(&attempt).await, expected);
    }
    assert_eq!(told(&world, acme).await.len(), 1);
}

#[tokio::test]
async fn what_comes_without_a_good_credential_is_counted_at_the_gateway() {
    let world = World::start().await;
    let bad = Who::bearer("not.a.token").with("x-envoy-external-address", IP);
    for n in 0..6 {
        let who = bad.clone().of_replica(n % 2);
        assert_eq!(world.reason(&who).await, "UNAUTHENTICATED");
    }
    assert!(told(&world, TenantId::PLATFORM).await.is_empty());
    let events = counted(&world).await;
    assert_eq!(sum(&events, "requests.refused", "UNAUTHENTICATED"), 6);
    for event in &events {
        let caller = "/tenantry.identity.v1.AuthService/GetCaller";
        assert_eq!(event["after"]["method"], caller);
        assert_eq!(
            (&event["outcome"], &event["origin"]["ip"]),
            (&json!("denied"), &json!(IP))
        );
    }
}

#[tokio::test]
async fn failed_sign_ins_of_a_person_are_counted_and_take_nothing_from_them() {
    let world = World::start().await;
    let operator = Who::bearer(&world.operator);
    let id = world.id_of(&operator).await;
    for email in [OPERATOR, "nobody@example.com"] {
        for n in 0..6 {
            let mut login = Request::new(wire::LoginRequest {
                email: email.to_owned(),
                password: "not the password".to_owned(),
                ..Default::default()
            });
            let metadata = login.metadata_mut();
            metadata.insert("x-envoy-external-address", IP.parse().unwrap());
            let refused = world.auth_of(n % 2).login(login).await.unwrap_err();
            let expected = if n < 5 {
                "BAD_CREDENTIALS"
            } else {
                "SIGN_IN_LOCKED"
            };
            assert_eq!(reason(&refused), expected);
        }
    }
    let events = counted(&world).await;
    for (words, many) in [("BAD_CREDENTIALS", 5), ("SIGN_IN_LOCKED", 1)] {
        assert_eq!(sum(&events, "session.denied", words), many, "{words}");
        assert_eq!(sum(&events, "requests.refused", words), 2 * many, "{words}");
    }
    let denied = events
        .iter()
        .filter(|event| event["action"] == "session.denied");
    for event in denied {
        assert_eq!(event["resource"], json!({"kind": "user", "id": id}));
        assert_eq!(
            (&event["outcome"], &event["origin"]["ip"]),
            (&json!("denied"), &json!(IP))
        );
    }
    assert!(
        world.assertion(&operator).await.is_ok(),
        "their session goes on"
    );
}

#[tokio::test]
async fn an_attempt_revokes_nothing() {
    let world = World::start().await;
    let acme = world.tenant("acme", None).await;
    let owner = world.member(acme, "owner@example.com", "owner").await;
    let viewer = world.member(acme, "viewer@example.com", "viewer").await;
    let mut ids = Vec::new();
    for _ in 0..2 {
        let id = world.key(&owner).await[3..35].to_owned();
        ids.push(id.parse::<uuid::Uuid>().unwrap().to_string());
    }
    let follow = internal::FollowRevocationsRequest::default();
    let follow = world.ask_as_service("registry", follow);
    let stream = world.revocations().follow_revocations(follow).await;
    let mut stream = stream.unwrap().into_inner();
    // From here on.
    stream.message().await.unwrap().unwrap();
    for (who, id, succeeds) in [(&viewer, &ids[0], false), (&owner, &ids[1], true)] {
        let revoke = wire::RevokeApiKeyRequest {
            api_key: id.clone(),
            ..Default::default()
        };
        let ask = world.ask(who, revoke).await.unwrap();
        let revoked = world.api_keys().revoke_api_key(ask).await;
        assert_eq!(revoked.is_ok(), succeeds);
    }
    assert_eq!(told(&world, acme).await[0]["resource"]["id"], json!(ids[0]));
    loop {
        let item = stream.message().await.unwrap().unwrap().item;
        if let Some(Item::Revocation(revoked)) = item {
            assert_eq!(revoked.subject, ids[1]);
            break;
        }
    }
}
