//! What identity's events say of persons stands in fields that the contracts call personal, so that it can be erased.

use std::collections::BTreeSet;

use serde_json::Value;
use tenantry_proto::identity::v1 as wire;
use tenantry_proto::personal::is_personal;

use crate::caller::Who;
use crate::world::{PASSWORD, World};

/// A name that nothing else is called by.
const NAME: &str = "Quintessa";
const EMAIL: &str = "quintessa@example.com";

#[tokio::test]
async fn no_event_names_a_person_where_it_could_not_be_erased() {
    let world = World::start().await;
    let acme = world.tenant("acme", None).await;
    let operator = Who::bearer(&world.operator).at(acme);
    let new = wire::CreateMemberRequest {
        email: EMAIL.to_owned(),
        name: NAME.to_owned(),
        password: PASSWORD.to_owned(),
        ..Default::default()
    };
    let ask = world.ask(&operator, new).await.unwrap();
    let member = world
        .members()
        .create_member(ask)
        .await
        .unwrap()
        .into_inner();
    let update = wire::UpdateMemberRequest {
        user: member.id,
        username: Some(NAME.to_lowercase()),
        ..Default::default()
    };
    let ask = world.ask(&operator, update).await.unwrap();
    world.members().update_member(ask).await.unwrap();
    let invite = wire::InviteMemberRequest {
        email: format!("another.{EMAIL}"),
        ..Default::default()
    };
    let ask = world.ask(&operator, invite).await.unwrap();
    world.invitations(0).invite_member(ask).await.unwrap();
    let promote = wire::CreateOperatorRequest {
        email: EMAIL.to_owned(),
        ..Default::default()
    };
    let ask = world.ask(&operator, promote).await.unwrap();
    world.operators().create_operator(ask).await.unwrap();
    world.login(EMAIL).await;

    let events: Vec<Value> = sqlx::query_scalar("SELECT event FROM identity.outbox")
        .fetch_all(&mut world.superuser().await)
        .await
        .unwrap();
    let mut found = BTreeSet::new();
    for event in &events {
        let kind = event["resource"]["kind"].as_str().unwrap();
        let states = [&event["before"], &event["after"]].into_iter();
        for (field, value) in states.filter_map(Value::as_object).flatten() {
            if value.to_string().to_lowercase().contains("quintessa") {
                assert!(is_personal(kind, field), "{kind}.{field} of {event}");
                found.insert(format!("{kind}.{field}"));
            }
        }
    }
    let expected = [
        "invitation.email",
        "member.email",
        "member.name",
        "member.username",
        "operator.email",
        "user.email",
        "user.name",
    ];
    assert_eq!(
        found.iter().map(String::as_str).collect::<Vec<_>>(),
        expected
    );
}
