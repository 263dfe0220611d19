//! The relay's row, and what of the outbox follows it.

use std::collections::BTreeMap;
use std::time::Duration;

use tenantry_core::TenantId;

use super::{Outgoing, Stream};
use crate::error::Error;
use crate::time::PgTime;
use crate::tx::PlatformTx;

/// Most events of one batch.
pub(super) const BATCH: i64 = 2_000;
/// Most bytes of events in one batch, or else one event: what the log takes at once.
pub(super) const BATCH_BYTES: i64 = 3 << 20;

/// What follows a position.
#[derive(Debug)]
pub(super) struct Batch {
    /// The events, by tenant.
    pub(super) streams: Vec<Stream>,
    /// The place of the last of them in the feed.
    pub(super) end: i64,
}

/// How far the log is behind.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lag {
    pub(super) events: i64,
    pub(super) age: Duration,
}

/// The position, locked; `None` where another replica hands on.
pub(super) async fn lock(tx: &mut PlatformTx) -> Result<Option<i64>, Error> {
    let locked = sqlx::query_scalar!("SELECT position FROM relay FOR UPDATE SKIP LOCKED");
    Ok(locked.fetch_optional(tx.conn()).await?)
}

/// Moves the locked position.
pub(super) async fn move_to(tx: &mut PlatformTx, position: i64) -> Result<(), Error> {
    sqlx::query!("UPDATE relay SET position = $1", position)
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// How much there is behind this position, and how old the first of it is.
pub(super) async fn lag(tx: &mut PlatformTx, position: i64) -> Result<Lag, Error> {
    let row = sqlx::query!(
        r#"SELECT head - $1 AS "events!",
                  coalesce((SELECT (extract(epoch FROM clock_timestamp() - at) * 1000)::bigint
                            FROM outbox WHERE feed_n > $1 ORDER BY feed_n LIMIT 1), 0) AS "age_ms!"
           FROM feed_head"#,
        position,
    )
    .fetch_one(tx.conn())
    .await?;
    Ok(Lag {
        events: row.events,
        age: Duration::from_millis(u64::try_from(row.age_ms).unwrap_or(0)),
    })
}

/// What follows the position, but for streams that are held back.
pub(super) async fn after(tx: &mut PlatformTx, position: i64) -> Result<Option<Batch>, Error> {
    let rows = sqlx::query!(
        r#"SELECT feed_n AS "feed_n!", tenant_id, n, at AS "at: PgTime", event AS "event!",
                  EXISTS (SELECT FROM relay_held AS h WHERE h.tenant_id = o.tenant_id) AS "held!"
           FROM (SELECT feed_n, tenant_id, n, at, event::text AS event,
                        sum(octet_length(event::text)) OVER (ORDER BY feed_n) AS bytes, row_number() OVER (ORDER BY feed_n) AS place
                 FROM (SELECT feed_n, tenant_id, n, at, event FROM outbox WHERE feed_n > $1 ORDER BY feed_n LIMIT $2) AS next) AS o
           WHERE place = 1 OR bytes <= $3 ORDER BY feed_n"#,
        position,
        BATCH,
        BATCH_BYTES,
    )
    .fetch_all(tx.conn())
    .await?;
    let mut streams: BTreeMap<TenantId, Vec<Outgoing>> = BTreeMap::new();
    let mut end = None;
    for row in rows {
        end = Some(row.feed_n);
        if !row.held {
            streams
                .entry(row.tenant_id.into())
                .or_default()
                .push(Outgoing {
                    n: row.n,
                    at: row.at.into(),
                    event: row.event,
                });
        }
    }
    let streams = streams.into_iter();
    let streams = streams.map(|(tenant, events)| Stream { tenant, events });
    Ok(end.map(|end| Batch {
        streams: streams.collect(),
        end,
    }))
}
