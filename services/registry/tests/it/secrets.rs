//! An answer that shows a secret once: kept sealed for ten minutes, for the same request alone, and never in clear.

use sqlx::PgConnection;
use tenantry_core::TenantId;
use tenantry_core::request_id::RequestKey;
use tenantry_store::Replay;

use crate::support::World;

const SECRET: &str = "tk_a-secret-that-must-not-be-found";

fn key(principal: &str) -> RequestKey {
    RequestKey {
        principal: principal.to_owned(),
        method: "/test/Make".to_owned(),
        request_id: "once".to_owned(),
        digest: [7; 32],
    }
}

/// Makes something with a secret, once.
async fn make(world: &World, scope: TenantId, key: &RequestKey) {
    let mut tx = world.store.begin(scope).await.unwrap();
    let first = tx.claim::<String>(Some(key)).await.unwrap();
    assert!(first.is_none());
    tx.finish_with_secret(Some(key), &"made", SECRET)
        .await
        .unwrap();
}

async fn again(world: &World, scope: TenantId, key: &RequestKey) -> Replay<String> {
    let mut tx = world.store.begin(scope).await.unwrap();
    tx.claim(Some(key)).await.unwrap().unwrap()
}

async fn run(owner: &mut PgConnection, statement: &'static str) -> u64 {
    let done = sqlx::query(statement).execute(owner).await;
    done.unwrap().rows_affected()
}

#[tokio::test]
async fn a_repeated_request_has_its_secret_again_for_ten_minutes_and_its_answer_for_a_day() {
    let world = World::start().await;
    let (scope, key) = (TenantId::new(), key("user:1"));
    make(&world, scope, &key).await;
    let replay = again(&world, scope, &key).await;
    assert_eq!(
        (replay.answer.as_str(), replay.secret.as_deref()),
        ("made", Some(SECRET))
    );

    let mut owner = world.owner().await;
    let left: f64 = sqlx::query_scalar(
        "SELECT extract(epoch FROM sealed_until - created_at)::float8 FROM request_record",
    )
    .fetch_one(&mut owner)
    .await
    .unwrap();
    assert!((599.0..=660.0).contains(&left), "{left}");
    run(
        &mut owner,
        "UPDATE request_record SET sealed_until = clock_timestamp()",
    )
    .await;
    let replay = again(&world, scope, &key).await;
    assert_eq!((replay.answer.as_str(), replay.secret), ("made", None));

    // A sweep takes the secret away first, and the answer after a day.
    assert_eq!(world.store.sweep_request_records().await.unwrap(), 0);
    let sealed: i64 = sqlx::query_scalar("SELECT count(sealed) FROM request_record")
        .fetch_one(&mut owner)
        .await
        .unwrap();
    assert_eq!(sealed, 0);
    run(
        &mut owner,
        "UPDATE request_record SET created_at = created_at - interval '25 hours'",
    )
    .await;
    assert_eq!(world.store.sweep_request_records().await.unwrap(), 1);
}

#[tokio::test]
async fn no_secret_stands_in_the_database_in_clear() {
    let world = World::start().await;
    make(&world, TenantId::new(), &key("user:1")).await;
    let dump: Vec<String> = sqlx::query_scalar("SELECT r::text FROM request_record AS r")
        .fetch_all(&mut world.owner().await)
        .await
        .unwrap();
    assert_eq!(dump.len(), 1);
    let in_hex: String = SECRET.bytes().map(|byte| format!("{byte:02x}")).collect();
    for form in [SECRET, &in_hex] {
        assert!(!dump[0].contains(form), "{dump:?}");
    }
}

#[tokio::test]
async fn a_sealed_secret_opens_for_its_own_request_alone() {
    let world = World::start().await;
    let [one, other] = [TenantId::new(), TenantId::new()];
    let (mine, theirs) = (key("user:1"), key("user:2"));
    make(&world, one, &mine).await;
    // Whoever could write the table and copies the seal to a record of their own, or to another tenant, has nothing.
    let mut owner = world.owner().await;
    for (scope, key) in [(one, &theirs), (other, &mine)] {
        sqlx::query(
            "INSERT INTO request_record (tenant_id, principal, method, request_id, digest, answer, sealed, sealed_until)
             SELECT $1, $2, method, request_id, digest, answer, sealed, sealed_until
             FROM request_record WHERE tenant_id = $3 AND principal = $4",
        )
        .bind(scope.uuid())
        .bind(&key.principal)
        .bind(one.uuid())
        .bind(&mine.principal)
        .execute(&mut owner)
        .await
        .unwrap();
        let replay = again(&world, scope, key).await;
        assert_eq!((replay.answer.as_str(), replay.secret), ("made", None));
    }
    assert_eq!(
        again(&world, one, &mine).await.secret.as_deref(),
        Some(SECRET)
    );
}

#[tokio::test]
async fn another_body_neither_gets_the_secret_nor_spoils_it() {
    let world = World::start().await;
    let (scope, key) = (TenantId::new(), key("user:1"));
    make(&world, scope, &key).await;
    let other = RequestKey {
        digest: [8; 32],
        ..key.clone()
    };
    let mut tx = world.store.begin(scope).await.unwrap();
    let refused = tx.claim::<String>(Some(&other)).await.unwrap_err();
    assert!(
        matches!(refused, tenantry_store::Error::RequestIdReused),
        "{refused}"
    );
    drop(tx);
    assert_eq!(
        again(&world, scope, &key).await.secret.as_deref(),
        Some(SECRET)
    );
}
