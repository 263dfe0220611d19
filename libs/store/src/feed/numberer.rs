//! Gives committed changes their place in the feed.

use crate::error::Error;
use crate::pool::Store;

/// Most changes numbered in one transaction.
const BATCH: i64 = 2_000;

/// Numbers one batch of committed changes. Returns how many, or `None` where another replica is at it.
///
/// The head is locked in one statement and the rows are read in a later one: in READ COMMITTED that later snapshot holds
/// everything that was committed before the lock was ours. The feed is as fresh as that snapshot, so what it is dated by is
/// the statement's own beginning; a full batch may have left something behind, and dates nothing.
///
/// # Errors
/// The database doesn't answer.
pub async fn number(store: &Store) -> Result<Option<i64>, Error> {
    let mut tx = store.platform().await?;
    let locked = sqlx::query_scalar!("SELECT head FROM feed_head FOR UPDATE SKIP LOCKED")
        .fetch_optional(tx.conn())
        .await?;
    let Some(head) = locked else { return Ok(None) };
    let numbered = sqlx::query_scalar!(
        r#"
        WITH batch AS (
            SELECT tenant_id, n, row_number() OVER (ORDER BY drawn) AS place
            FROM (SELECT tenant_id, n, drawn FROM outbox WHERE feed_n IS NULL ORDER BY drawn LIMIT $2) AS waiting
        ), numbered AS (
            UPDATE outbox AS o SET feed_n = $1 + batch.place
            FROM batch WHERE o.tenant_id = batch.tenant_id AND o.n = batch.n
            RETURNING 1
        )
        UPDATE feed_head SET
            head = head + (SELECT count(*) FROM numbered),
            numbered_at = CASE WHEN (SELECT count(*) FROM numbered) < $2 THEN statement_timestamp() ELSE numbered_at END
        RETURNING head - $1 AS "numbered!"
        "#,
        head,
        BATCH,
    )
    .fetch_one(tx.conn())
    .await?;
    tx.commit().await?;
    Ok(Some(numbered))
}
