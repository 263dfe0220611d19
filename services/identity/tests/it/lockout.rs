//! Guessing is slowed down, over both replicas, whoever has the address.

use sqlx::{AssertSqlSafe, PgConnection};
use tenantry_proto::identity::v1 as wire;
use tonic::{Code, Request, Status};

use crate::caller::reason;
use crate::world::{OPERATOR, PASSWORD, World};

/// Where the operator of these tests signs in, and where others do.
const HOME: &str = "192.0.2.1";
const ELSEWHERE: &str = "198.51.100.7";

async fn login(
    world: &World,
    replica: usize,
    email: &str,
    password: &str,
    ip: &str,
) -> Result<wire::TokenPair, Status> {
    let mut request = Request::new(wire::LoginRequest {
        email: email.to_owned(),
        password: password.to_owned(),
        ..Default::default()
    });
    request
        .metadata_mut()
        .insert("x-envoy-external-address", ip.parse().unwrap());
    let answer = world.auth_of(replica).login(request).await?;
    Ok(answer.into_inner())
}

async fn wrong(world: &World, replica: usize, email: &str, ip: &str) -> Status {
    login(world, replica, email, "not the password", ip)
        .await
        .unwrap_err()
}

/// Moves the ends of all locks that there were, so that no test waits for one or hurries before it.
async fn locks_end(connection: &mut PgConnection, interval: &str) {
    let sql = format!(
        "UPDATE identity.attempts SET locked_until = clock_timestamp() + interval '{interval}' WHERE locked_until IS NOT NULL"
    );
    sqlx::query(AssertSqlSafe(sql))
        .execute(connection)
        .await
        .unwrap();
}

async fn events(connection: &mut PgConnection, action: &str) -> i64 {
    sqlx::query_scalar("SELECT count(*) FROM identity.outbox WHERE action = $1")
        .bind(action)
        .fetch_one(connection)
        .await
        .unwrap()
}

#[tokio::test]
async fn after_five_failures_nothing_is_tried_and_an_unknown_address_is_no_different() {
    let world = World::start().await;
    let mut past = world.superuser().await;
    let mut told = Vec::new();
    for email in [OPERATOR, "nobody@example.com"] {
        for failure in 0..5 {
            let refused = wrong(&world, failure % 2, email, ELSEWHERE).await;
            assert_eq!(reason(&refused), "BAD_CREDENTIALS", "{failure}");
        }
        locks_end(&mut past, "30.5 seconds").await;
        for replica in 0..2 {
            let locked = login(&world, replica, email, PASSWORD, ELSEWHERE).await;
            let locked = locked.unwrap_err();
            assert_eq!(locked.code(), Code::ResourceExhausted);
            assert_eq!(reason(&locked), "SIGN_IN_LOCKED");
            let wait = locked.metadata().get("retry-after").unwrap();
            let wait: u32 = wait.to_str().unwrap().parse().unwrap();
            assert!((25..=31).contains(&wait), "{wait}");
            told.push(locked.message().replace(&wait.to_string(), "n"));
        }
    }
    told.dedup();
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(
        events(&mut past, "user.locked").await,
        1,
        "one, of the one there is"
    );

    // Where its owner is, nothing is locked; and there the lock of the whole account doesn't count either.
    assert!(login(&world, 0, OPERATOR, PASSWORD, HOME).await.is_ok());
    sqlx::query("UPDATE identity.attempts SET locked_until = clock_timestamp() + interval '1 minute' WHERE network = ''")
        .execute(&mut past)
        .await
        .unwrap();
    assert!(login(&world, 1, OPERATOR, PASSWORD, HOME).await.is_ok());
    let third = login(&world, 1, OPERATOR, PASSWORD, "203.0.113.9").await;
    assert_eq!(reason(&third.unwrap_err()), "SIGN_IN_LOCKED");
}

#[tokio::test]
async fn a_right_password_after_the_lock_forgets_the_failures_of_its_network() {
    let world = World::start().await;
    let mut past = world.superuser().await;
    for _ in 0..5 {
        wrong(&world, 0, OPERATOR, ELSEWHERE).await;
    }
    locks_end(&mut past, "-1 second").await;
    assert!(
        login(&world, 1, OPERATOR, PASSWORD, ELSEWHERE)
            .await
            .is_ok()
    );
    let again = wrong(&world, 1, OPERATOR, ELSEWHERE).await;
    assert_eq!(reason(&again), "BAD_CREDENTIALS");
    assert!(
        login(&world, 0, OPERATOR, PASSWORD, ELSEWHERE)
            .await
            .is_ok()
    );
}

#[tokio::test]
async fn failures_at_once_from_many_networks_are_each_counted() {
    let world = World::start().await;
    let mut past = world.superuser().await;
    let all = (0..20).map(|n| {
        let world = &world;
        async move { wrong(world, n % 2, "nobody@example.com", &format!("192.0.2.{n}")).await }
    });
    let refused = futures::future::join_all(all).await;
    let counted = refused
        .iter()
        .filter(|refused| reason(refused) == "BAD_CREDENTIALS")
        .count();
    assert!(
        refused
            .iter()
            .all(|refused| refused.code() != Code::Internal)
    );
    let level: i64 = sqlx::query_scalar(
        "SELECT ceil(extract(epoch FROM empty_at - clock_timestamp()) / 900)::bigint FROM identity.attempts WHERE network = ''",
    )
    .fetch_one(&mut past)
    .await
    .unwrap();
    assert_eq!(usize::try_from(level).unwrap(), counted);
}
