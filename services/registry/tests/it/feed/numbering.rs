//! How fresh the feed says it is.

use sqlx::PgConnection;
use tenantry_store::feed::number;

use crate::support::World;

/// Most changes that one numbering takes.
const BATCH: i64 = 2_000;

async fn dated(conn: &mut PgConnection) -> String {
    sqlx::query_scalar("SELECT numbered_at::text FROM feed_head")
        .fetch_one(conn)
        .await
        .unwrap()
}

#[tokio::test]
async fn a_numbering_that_may_have_left_something_behind_dates_nothing() {
    let world = World::start().await;
    // The world's own replica numbers no more.
    world.end().await;
    let mut owner = world.owner().await;
    sqlx::query(
        "INSERT INTO outbox (tenant_id, n, event_id, at, action, event)
         SELECT gen_random_uuid(), 1, gen_random_uuid(), now(), 'tenant.updated', '{}' FROM generate_series(1, $1)",
    )
    .bind(BATCH + 1)
    .execute(&mut owner)
    .await
    .unwrap();
    let before = dated(&mut owner).await;
    assert_eq!(number(&world.store).await.unwrap(), Some(BATCH));
    assert_eq!(dated(&mut owner).await, before);
    assert_eq!(number(&world.store).await.unwrap(), Some(1));
    assert_ne!(dated(&mut owner).await, before);
}
