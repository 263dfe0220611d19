//! Removes from the outbox what everyone has had their time to read: so that it holds some days of events and not all there were.

use crate::error::Error;
use crate::pool::Store;

/// Most changes removed in one transaction: numbering waits for it at most as long as that takes.
const BATCH: i64 = 2_000;

impl Store {
    /// Removes changes older than this that the log has, the oldest first, and returns how many. Nothing goes of a stream that
    /// the log doesn't take at present, nor anything behind a change that isn't old enough. With what goes the feed's floor
    /// rises: whoever comes with a position below it is told to list again. It goes on until none is left, in transactions of
    /// a bounded size: dropped, it loses the one that runs.
    ///
    /// # Errors
    /// The database doesn't answer.
    pub async fn sweep_outbox(&self, older_than_hours: u32) -> Result<u64, Error> {
        let mut gone = 0;
        loop {
            let batch = self.sweep_outbox_batch(older_than_hours).await?;
            gone += batch.unsigned_abs();
            if batch < BATCH {
                return Ok(gone);
            }
        }
    }

    async fn sweep_outbox_batch(&self, older_than_hours: u32) -> Result<i64, Error> {
        let mut tx = self.platform().await?;
        // What goes and the floor are one statement: nobody sees the one without the other. Of the relay it sees one instant,
        // in which a position and the streams held back behind it belong together.
        let gone = sqlx::query_scalar!(
            r#"
            WITH first AS (
                SELECT tenant_id, n, feed_n, at FROM outbox AS o
                WHERE feed_n > 0 AND feed_n <= (SELECT position FROM relay)
                  AND NOT EXISTS (SELECT FROM relay_held AS h WHERE h.tenant_id = o.tenant_id)
                ORDER BY feed_n LIMIT $2
            ), judged AS (
                SELECT tenant_id, n,
                       bool_and(at < clock_timestamp() - make_interval(hours => $1)) OVER (ORDER BY feed_n) AS old
                FROM first
            ), gone AS (
                DELETE FROM outbox AS o USING judged AS j WHERE j.old AND o.tenant_id = j.tenant_id AND o.n = j.n
                RETURNING o.feed_n
            )
            UPDATE feed_head SET floor = greatest(floor, (SELECT max(feed_n) FROM gone))
            WHERE EXISTS (SELECT FROM gone)
            RETURNING (SELECT count(*) FROM gone) AS "gone!"
            "#,
            i32::try_from(older_than_hours).unwrap_or(i32::MAX),
            BATCH,
        )
        .fetch_optional(tx.conn())
        .await?;
        tx.commit().await?;
        Ok(gone.unwrap_or(0))
    }
}
