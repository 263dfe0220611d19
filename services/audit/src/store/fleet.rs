//! The fleet's log: where it ends, and its entries.

use std::time::Duration;

use sqlx::PgConnection;
use tenantry_store::Error;
use tenantry_transparency::TreeHead;

use super::number::{hash, signed, unsigned};
use crate::domain::trees::{Fleet, Grown};

/// Locks the end of the fleet's log, and with it the signing of checkpoints; `None` where another replica has it. A replica
/// that stops in the middle, without ending, loses its connection and the lock after this silence.
#[tracing::instrument(name = "fleet_log.lock", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
pub(crate) async fn lock(
    conn: &mut PgConnection,
    silence: Duration,
) -> Result<Option<Fleet>, Error> {
    let silence = silence.as_millis().to_string();
    sqlx::query!(
        "SELECT set_config('idle_in_transaction_session_timeout', $1, true) AS silence",
        silence,
    )
    .fetch_one(&mut *conn)
    .await?;
    // Unchecked, because statements are checked as the role that has no right to it.
    let locked = sqlx::query("SELECT FROM fleet_log FOR UPDATE SKIP LOCKED");
    if locked.fetch_optional(&mut *conn).await?.is_none() {
        return Ok(None);
    }
    // In a statement of its own, which sees what whoever had the lock before has written.
    newest(conn).await.map(Some)
}

/// The fleet's log and its newest checkpoint.
#[tracing::instrument(name = "fleet_log.newest", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
pub(crate) async fn newest(conn: &mut PgConnection) -> Result<Fleet, Error> {
    let row = sqlx::query!("SELECT size, root, checkpoint FROM fleet_log");
    let row = row.fetch_one(conn).await?;
    Ok(Fleet {
        tree: TreeHead {
            size: unsigned(row.size),
            root: hash(&row.root),
        },
        checkpoint: row.checkpoint,
    })
}

/// Appends an entry for each of these checkpoints, and moves the locked end.
#[tracing::instrument(name = "fleet_entries.append", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
pub(crate) async fn append(
    conn: &mut PgConnection,
    first_index: u64,
    grown: &[Grown],
    tree: &TreeHead,
    checkpoint: &str,
) -> Result<(), Error> {
    let entries: Vec<_> = grown.iter().map(|one| one.entry.as_str()).collect();
    sqlx::query!(
        "INSERT INTO fleet_entries (index, entry)
         SELECT $1::bigint + place - 1, entry FROM unnest($2::text[]) WITH ORDINALITY AS e (entry, place)",
        signed(first_index),
        &entries as &[&str],
    )
    .execute(&mut *conn)
    .await?;
    sqlx::query!(
        "UPDATE fleet_log SET size = $1, root = $2, checkpoint = $3",
        signed(tree.size),
        tree.root.0.as_slice(),
        checkpoint,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Entries from this place on, in order.
#[tracing::instrument(name = "fleet_entries.from", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
pub(crate) async fn entries(
    conn: &mut PgConnection,
    start: u64,
    limit: i64,
) -> Result<Vec<(i64, String)>, Error> {
    // Unchecked, because statements are checked as the role that has no right to it.
    let rows = sqlx::query_as(
        "SELECT index, entry FROM fleet_entries WHERE index >= $1 ORDER BY index LIMIT $2",
    );
    Ok(rows.bind(signed(start)).bind(limit).fetch_all(conn).await?)
}
