//! The trees as far as they are checkpointed, and the logs that wait for a checkpoint.

use std::collections::HashMap;
use std::time::Duration;

use jiff::Timestamp;
use sqlx::PgConnection;
use tenantry_core::TenantId;
use tenantry_store::Error;
use tenantry_store::time::PgTime;
use tenantry_transparency::TreeHead;

use super::number::{hash, signed, unsigned};
use crate::domain::trees::{Alarm, Grown, Leaves, Waiting};

/// How many logs wait, and for how long.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Figures {
    pub(crate) waiting: i64,
    /// Of those: how many are to be looked at now.
    pub(crate) due: i64,
    /// Of those: for how many there is an alarm.
    pub(crate) alarmed: i64,
    /// Since when the one waits that waits longest, those with an alarm aside.
    pub(crate) longest: Duration,
}

/// A log and its newest checkpoint.
#[derive(Clone, Debug)]
pub(crate) struct Checkpointed {
    /// How many events the log has.
    pub(crate) size: u64,
    pub(crate) tree: TreeHead,
    /// The signed note.
    pub(crate) checkpoint: String,
    pub(crate) signed_at: Timestamp,
    /// Its place in the fleet's log.
    pub(crate) fleet_index: u64,
}

/// The logs that wait, in figures; a log is due so long after it has grown.
#[tracing::instrument(name = "logs.waiting", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
pub(crate) async fn figures(conn: &mut PgConnection, after: Duration) -> Result<Figures, Error> {
    let row = sqlx::query!(
        r#"SELECT count(*) AS "waiting!",
                  count(*) FILTER (WHERE queued_at <= clock_timestamp() - $1::bigint * interval '1 ms') AS "due!",
                  count(*) FILTER (WHERE alarm IS NOT NULL) AS "alarmed!",
                  coalesce(1000 * extract(epoch FROM clock_timestamp() - min(waiting_since) FILTER (WHERE alarm IS NULL)), 0)
                      ::bigint AS "longest_ms!"
           FROM logs WHERE queued_at IS NOT NULL"#,
        millis(after),
    )
    .fetch_one(conn)
    .await?;
    Ok(Figures {
        waiting: row.waiting,
        due: row.due,
        alarmed: row.alarmed,
        longest: Duration::from_millis(unsigned(row.longest_ms)),
    })
}

/// Logs that are due, in their turn, and the time at which they had these sizes.
#[tracing::instrument(name = "logs.due", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
pub(crate) async fn due(
    conn: &mut PgConnection,
    after: Duration,
    limit: usize,
) -> Result<Option<(Vec<Waiting>, Timestamp)>, Error> {
    let rows = sqlx::query!(
        r#"SELECT l.tenant_id, l.size, l.waiting_since AS "since!", t.size AS "tree_size?", t.root AS "root?",
                  clock_timestamp() AS "now!"
           FROM logs AS l LEFT JOIN trees AS t USING (tenant_id)
           WHERE l.queued_at <= clock_timestamp() - $1::bigint * interval '1 ms'
           ORDER BY l.queued_at LIMIT $2"#,
        millis(after),
        signed(limit as u64),
    )
    .fetch_all(conn)
    .await?;
    let Some(now) = rows.last().map(|row| row.now.into()) else {
        return Ok(None);
    };
    let rows = rows.into_iter().map(|row| Waiting {
        tenant: row.tenant_id.into(),
        size: unsigned(row.size),
        tree: tree(row.tree_size.zip(row.root.as_deref())),
        since: row.since.into(),
    });
    Ok(Some((rows.collect(), now)))
}

/// The leaves of some logs from one index up to another, of events that came in this time: events lie apart by it. A log of
/// which there are none is left out.
#[tracing::instrument(name = "events.leaves", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
pub(crate) async fn leaves(
    conn: &mut PgConnection,
    asked: &[(TenantId, u64, u64)],
    (since, until): (Timestamp, Timestamp),
) -> Result<HashMap<TenantId, Leaves>, Error> {
    let tenants: Vec<_> = asked.iter().map(|(tenant, ..)| tenant.uuid()).collect();
    let froms: Vec<_> = asked.iter().map(|(_, from, _)| signed(*from)).collect();
    let tos: Vec<_> = asked.iter().map(|(.., to)| signed(*to)).collect();
    let rows = sqlx::query!(
        r#"SELECT a.tenant_id AS "tenant_id!", l.indexes AS "indexes!", l.hashes AS "hashes!", l.last_at AS "last_at!"
           FROM unnest($1::uuid[], $2::bigint[], $3::bigint[]) AS a (tenant_id, first, behind)
           CROSS JOIN LATERAL (
               SELECT array_agg(e.index ORDER BY e.index) AS indexes, max(e.received_at) AS last_at,
                      string_agg(e.leaf_hash, ''::bytea ORDER BY e.index) AS hashes
               FROM events AS e
               WHERE e.tenant_id = a.tenant_id AND e.index >= a.first AND e.index < a.behind
                 AND e.received_at >= $4 AND e.received_at <= $5
           ) AS l
           WHERE l.indexes IS NOT NULL"#,
        &tenants,
        &froms,
        &tos,
        PgTime(since) as PgTime,
        PgTime(until) as PgTime,
    )
    .fetch_all(conn)
    .await?;
    let rows = rows.into_iter().map(|row| {
        let leaves = Leaves {
            indexes: row.indexes,
            hashes: row.hashes,
            last_at: row.last_at.into(),
        };
        (row.tenant_id.into(), leaves)
    });
    Ok(rows.collect())
}

/// Writes what these trees became; the first of their checkpoints has this place in the fleet's log.
#[tracing::instrument(name = "trees.save", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
pub(crate) async fn save(
    conn: &mut PgConnection,
    grown: &[Grown],
    first_index: u64,
    signed_at: Timestamp,
) -> Result<(), Error> {
    let tenants: Vec<_> = grown.iter().map(|one| one.tenant.uuid()).collect();
    let heads = || grown.iter().map(|one| one.growth.head);
    let sizes: Vec<_> = heads().map(|head| signed(head.size)).collect();
    let roots: Vec<_> = heads().map(|head| head.root.0.to_vec()).collect();
    let notes: Vec<_> = grown.iter().map(|one| one.checkpoint.as_str()).collect();
    sqlx::query!(
        "INSERT INTO trees (tenant_id, size, root, checkpoint, signed_at, fleet_index)
         SELECT tenant_id, size, root, checkpoint, $1, $2::bigint + place - 1
         FROM unnest($3::uuid[], $4::bigint[], $5::bytea[], $6::text[])
              WITH ORDINALITY AS g (tenant_id, size, root, checkpoint, place)
         ON CONFLICT (tenant_id) DO UPDATE SET size = excluded.size, root = excluded.root, checkpoint = excluded.checkpoint,
             signed_at = excluded.signed_at, fleet_index = excluded.fleet_index",
        PgTime(signed_at) as PgTime,
        signed(first_index),
        &tenants,
        &sizes,
        &roots,
        &notes as &[&str],
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Takes logs out of the queue whose trees reached these sizes, and puts those that have more events at its end: at once due
/// where `again`. `last_at` is when the last event came that the tree has. Appends that wait for these rows wait for this
/// transaction alone, which waits for none: rows that are locked are left for the next turn.
#[tracing::instrument(name = "logs.settle", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
pub(crate) async fn settle(conn: &mut PgConnection, settled: &[Settled]) -> Result<(), Error> {
    let tenants: Vec<_> = settled.iter().map(|one| one.tenant.uuid()).collect();
    let sizes: Vec<_> = settled.iter().map(|one| signed(one.size)).collect();
    let lasts: Vec<_> = settled.iter().map(|one| PgTime(one.last_at)).collect();
    let due: Vec<_> = settled.iter().map(|one| PgTime(one.queued_at)).collect();
    sqlx::query!(
        "WITH free AS (
             SELECT l.tenant_id, s.size, s.last_at, s.queued_at
             FROM unnest($1::uuid[], $2::bigint[], $3::timestamptz[], $4::timestamptz[]) AS s (tenant_id, size, last_at, queued_at)
             JOIN logs AS l USING (tenant_id)
             FOR UPDATE OF l SKIP LOCKED
         )
         UPDATE logs AS l SET alarm = NULL,
             waiting_since = CASE WHEN l.size > free.size THEN free.last_at END,
             queued_at = CASE WHEN l.size > free.size THEN free.queued_at END
         FROM free WHERE l.tenant_id = free.tenant_id",
        &tenants,
        &sizes,
        &lasts as &[PgTime],
        &due as &[PgTime],
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// A log whose tree reached a size.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settled {
    pub(crate) tenant: TenantId,
    pub(crate) size: u64,
    /// When the last event came that the tree has.
    pub(crate) last_at: Timestamp,
    /// Its next place in the queue, if it has more events.
    pub(crate) queued_at: Timestamp,
}

/// Notes why a log gets no checkpoint, and lets it wait until it is looked at again; `true` where this is news, `false` also
/// where somebody appends to it just now: then it is due again at the next turn.
#[tracing::instrument(name = "logs.alarm", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
pub(crate) async fn alarm(
    conn: &mut PgConnection,
    tenant: TenantId,
    alarm: Alarm,
    pause: Duration,
) -> Result<bool, Error> {
    let news = sqlx::query_scalar!(
        r#"WITH free AS (
               SELECT tenant_id, alarm FROM logs WHERE tenant_id = $1 AND queued_at IS NOT NULL FOR UPDATE SKIP LOCKED
           )
           UPDATE logs AS l SET alarm = $2, queued_at = clock_timestamp() + $3::bigint * interval '1 ms'
           FROM free WHERE l.tenant_id = free.tenant_id
           RETURNING free.alarm IS DISTINCT FROM $2 AS "news!""#,
        tenant.uuid(),
        alarm.name(),
        millis(pause),
    )
    .fetch_optional(conn)
    .await?;
    Ok(news.unwrap_or(false))
}

/// A log and its newest checkpoint; `None` where it has none yet.
#[tracing::instrument(name = "trees.newest", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
pub(crate) async fn newest(
    conn: &mut PgConnection,
    tenant: TenantId,
) -> Result<Option<Checkpointed>, Error> {
    let row = sqlx::query!(
        "SELECT l.size AS log_size, t.size, t.root, t.checkpoint, t.signed_at, t.fleet_index
         FROM trees AS t JOIN logs AS l USING (tenant_id) WHERE t.tenant_id = $1",
        tenant.uuid(),
    )
    .fetch_optional(conn)
    .await?;
    Ok(row.map(|row| Checkpointed {
        size: unsigned(row.log_size),
        tree: tree(Some((row.size, &row.root))),
        checkpoint: row.checkpoint,
        signed_at: row.signed_at.into(),
        fleet_index: unsigned(row.fleet_index),
    }))
}

fn tree(kept: Option<(i64, &[u8])>) -> TreeHead {
    kept.map_or(TreeHead::EMPTY, |(size, root)| TreeHead {
        size: unsigned(size),
        root: hash(root),
    })
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
