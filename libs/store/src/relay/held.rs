//! Streams that the log didn't take: held back, so that the others go on, and tried again until it takes them.

use metrics::gauge;
use tenantry_core::TenantId;

use super::store::{self, BATCH, BATCH_BYTES};
use super::{Failed, Log, Outgoing, Stream, Taken};
use crate::error::Error;
use crate::pool::Store;
use crate::time::PgTime;
use crate::tx::PlatformTx;

/// Most streams that are tried again at once.
const STREAMS: i64 = 100;

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

/// Tries the streams again that are held back. One of which the log has all up to the position goes on with the others.
pub(super) async fn try_again(store: &Store, log: &impl Log) -> Result<(), Failed> {
    let mut tx = store.platform().await?;
    let Some(position) = store::lock(&mut tx).await? else {
        return Ok(());
    };
    let held = sqlx::query!(
        "SELECT tenant_id, from_n FROM relay_held ORDER BY since LIMIT $1",
        STREAMS
    )
    .fetch_all(tx.conn())
    .await
    .map_err(Error::from)?;
    gauge!("tenantry_relay_held_streams").set(held.len() as f64);
    for row in held {
        let tenant = row.tenant_id.into();
        let events = waiting(&mut tx, tenant, row.from_n, position).await?;
        let Some(last) = events.last().map(|event| event.n) else {
            go_on(&mut tx, tenant).await?;
            continue;
        };
        let stream = Stream { tenant, events };
        let taken = log.append(vec![stream]).await.map_err(Failed::Log)?;
        match taken.first() {
            Some((_, Taken::All)) => from(&mut tx, tenant, last + 1).await?,
            Some((_, Taken::From(n))) => from(&mut tx, tenant, *n).await?,
            Some((_, Taken::Nothing)) | None => {}
        }
    }
    Ok(tx.commit().await?)
}

/// What a held stream has from this number on, up to the position: what follows there is handed on with the others.
async fn waiting(
    tx: &mut PlatformTx,
    tenant: TenantId,
    from_n: i64,
    position: i64,
) -> Result<Vec<Outgoing>, Error> {
    let rows = sqlx::query!(
        r#"SELECT n, at AS "at: PgTime", event::text AS "event!" FROM outbox
           WHERE tenant_id = $1 AND n >= $2 AND feed_n <= $3 ORDER BY n LIMIT $4"#,
        tenant.uuid(),
        from_n,
        position,
        BATCH,
    )
    .fetch_all(tx.conn())
    .await?;
    let mut bytes = 0;
    let fitting = rows.into_iter().enumerate().take_while(|(place, row)| {
        bytes += row.event.len();
        *place == 0 || bytes <= BATCH_BYTES
    });
    Ok(fitting
        .map(|(_, row)| Outgoing {
            n: row.n,
            at: row.at.into(),
            event: row.event,
        })
        .collect())
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
