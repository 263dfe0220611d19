//! Streams that the log didn't take: held back, so that the others go on, and tried again until it takes them.

use metrics::gauge;
use tenantry_core::TenantId;

use super::store::{self, BATCH, BATCH_BYTES};
use super::{Failed, Log, Outgoing, Stream, Taken, unanswered};
use crate::error::Error;
use crate::pool::Store;
use crate::time::PgTime;
use crate::tx::PlatformTx;

/// Most streams that are tried again at once: all others wait meanwhile.
const STREAMS: i64 = 10;

/// Holds a stream back, from this number on.
pub(super) async fn hold(tx: &mut PlatformTx, tenant: TenantId, from_n: i64) -> Result<(), Error> {
    sqlx::query!(
        "INSERT INTO relay_held AS h (tenant_id, from_n) VALUES ($1, $2)
         ON CONFLICT (tenant_id) DO UPDATE SET from_n = least(h.from_n, excluded.from_n)",
        tenant.uuid(),
        from_n,
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Tries the streams again that are held back, the one that waited longest first, each in a transaction of its own: what goes wrong
/// with one keeps no other.
pub(super) async fn try_again(store: &Store, log: &impl Log) -> Result<(), Failed> {
    let mut tx = store.platform().await?;
    let all = sqlx::query_scalar!(r#"SELECT count(*) AS "all!" FROM relay_held"#)
        .fetch_one(tx.conn())
        .await
        .map_err(Error::from)?;
    gauge!("tenantry_relay_held_streams").set(all as f64);
    let held = sqlx::query_scalar!(
        "UPDATE relay_held SET tried_at = clock_timestamp()
         WHERE tenant_id IN (SELECT tenant_id FROM relay_held ORDER BY tried_at LIMIT $1 FOR UPDATE SKIP LOCKED)
         RETURNING tenant_id",
        STREAMS
    )
    .fetch_all(tx.conn())
    .await
    .map_err(Error::from)?;
    tx.commit().await?;
    for tenant in held.into_iter().map(TenantId::from) {
        if let Err(why) = try_one(store, log, tenant).await {
            tracing::warn!(tenant.id = %tenant, error = %why, "a stream that is held back can't be tried");
        }
    }
    Ok(())
}

/// Hands on what a held stream has up to the position. Once the log has all of it, it goes on with the others.
async fn try_one(store: &Store, log: &impl Log, tenant: TenantId) -> Result<(), Failed> {
    let mut tx = store.platform().await?;
    // Locked, so that the position doesn't move: what follows it is handed on with the others from then on.
    let Some(position) = store::lock(&mut tx).await? else {
        return Ok(());
    };
    let from_n = sqlx::query_scalar!(
        "SELECT from_n FROM relay_held WHERE tenant_id = $1",
        tenant.uuid()
    )
    .fetch_optional(tx.conn())
    .await
    .map_err(Error::from)?;
    let Some(from_n) = from_n else { return Ok(()) };
    let Waiting { events, all } = waiting(&mut tx, tenant, from_n, position).await?;
    let (Some(first), Some(last)) = (events.first(), events.last()) else {
        go_on(&mut tx, tenant).await?;
        return Ok(tx.commit().await?);
    };
    let (first, last) = (first.n, last.n);
    let stream = Stream { tenant, events };
    let taken = log.append(vec![stream]).await.map_err(Failed::Log)?;
    match taken.first() {
        Some((_, Taken::All)) if all => go_on(&mut tx, tenant).await?,
        Some((_, Taken::All)) => from(&mut tx, tenant, last + 1).await?,
        Some((_, Taken::From(n))) => {
            if is_lost(from_n, first, *n) {
                tracing::error!(tenant.id = %tenant, expected_n = n, first_n = first, "the log waits for an event that the outbox hasn't any more");
            }
            from(&mut tx, tenant, *n).await?;
        }
        Some((_, Taken::Nothing)) => {
            tracing::warn!(tenant.id = %tenant, from_n, "the log still doesn't take this stream");
        }
        None => return Err(Failed::Log(unanswered(tenant))),
    }
    Ok(tx.commit().await?)
}

/// Whether the log waits for an event that isn't there: it was looked for from this number on, and the first one that is left
/// comes behind it.
const fn is_lost(from_n: i64, first_n: i64, expected_n: i64) -> bool {
    from_n <= expected_n && expected_n < first_n
}

/// Events that wait, and whether these are all.
struct Waiting {
    events: Vec<Outgoing>,
    all: bool,
}

/// What a held stream has from this number on, up to the position: what follows there is handed on with the others.
async fn waiting(
    tx: &mut PlatformTx,
    tenant: TenantId,
    from_n: i64,
    position: i64,
) -> Result<Waiting, Error> {
    let rows = sqlx::query!(
        r#"SELECT n, at AS "at: PgTime", event AS "event!"
           FROM (SELECT n, at, event::text AS event, sum(octet_length(event::text)) OVER (ORDER BY n) AS bytes,
                        row_number() OVER (ORDER BY n) AS place
                 FROM (SELECT n, at, event FROM outbox
                       WHERE tenant_id = $1 AND n >= $2 AND feed_n <= $3 ORDER BY n LIMIT $4) AS next) AS o
           WHERE place = 1 OR bytes <= $5 ORDER BY n"#,
        tenant.uuid(),
        from_n,
        position,
        BATCH,
        BATCH_BYTES,
    )
    .fetch_all(tx.conn())
    .await?;
    let last = sqlx::query_scalar!(
        r#"SELECT max(n) AS "n" FROM outbox WHERE tenant_id = $1 AND feed_n <= $2"#,
        tenant.uuid(),
        position,
    )
    .fetch_one(tx.conn())
    .await?;
    let all = rows.last().map(|row| row.n) == last;
    let events = rows.into_iter().map(|row| Outgoing {
        n: row.n,
        at: row.at.into(),
        event: row.event,
    });
    Ok(Waiting {
        events: events.collect(),
        all,
    })
}

async fn from(tx: &mut PlatformTx, tenant: TenantId, n: i64) -> Result<(), Error> {
    sqlx::query!(
        "UPDATE relay_held SET from_n = $2 WHERE tenant_id = $1",
        tenant.uuid(),
        n
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

async fn go_on(tx: &mut PlatformTx, tenant: TenantId) -> Result<(), Error> {
    sqlx::query!("DELETE FROM relay_held WHERE tenant_id = $1", tenant.uuid())
        .execute(tx.conn())
        .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_that_the_outbox_can_t_fill_is_told_from_one_that_is_filled_next() {
        assert!(is_lost(3, 7, 3));
        assert!(is_lost(3, 7, 6));
        assert!(!is_lost(7, 7, 3), "what comes before is looked for next");
        assert!(!is_lost(3, 3, 5), "it has some of these");
        assert!(!is_lost(3, 7, 7));
    }
}
