//! Partitions that have had their time, and what has to stay of them.

use jiff::Timestamp;
use sqlx::{AssertSqlSafe, PgConnection};
use tenantry_core::TenantId;
use tenantry_store::Error;
use tenantry_store::time::PgTime;
use uuid::Uuid;

use crate::domain::retention::Class;

/// Longest wait for a lock of a table: others who come wait behind whoever waits here.
const LOCK_WITHIN_MS: u32 = 250;
/// Longest wait until nobody writes into a partition, behind which no reader waits. It's longer than Postgres's
/// `deadlock_timeout` of a second, after which a vacuum that Postgres began gives way to whoever waits, and not before.
const CLOSED_WITHIN_MS: u32 = 3_000;

/// A partition of events.
#[derive(Clone, Debug)]
pub(crate) struct Partition {
    pub(crate) name: String,
    pub(crate) class: Class,
    pub(crate) begins: Timestamp,
    pub(crate) ends: Timestamp,
    /// Whether it has had its time.
    pub(crate) past: bool,
}

/// Whether this transaction is the only one of its kind; then it is until it ends. It waits for no lock long, until it is to be
/// patient.
#[tracing::instrument(name = "retention.alone", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
pub(crate) async fn alone(conn: &mut PgConnection) -> Result<bool, Error> {
    wait_at_most(conn, LOCK_WITHIN_MS).await?;
    let alone = sqlx::query_scalar!(
        r#"SELECT pg_try_advisory_xact_lock(hashtextextended('retention of events', 0)) AS "alone!""#
    );
    Ok(alone.fetch_one(conn).await?)
}

async fn wait_at_most(conn: &mut PgConnection, ms: u32) -> Result<(), Error> {
    let wait = format!("SET LOCAL lock_timeout = {ms}");
    sqlx::query(AssertSqlSafe(wait)).execute(conn).await?;
    Ok(())
}

/// From here on the transaction waits for a lock as long as any other does. For whoever holds no table's lock that keeps others
/// from reading or writing.
#[tracing::instrument(name = "retention.patient", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
pub(crate) async fn patient(conn: &mut PgConnection) -> Result<(), Error> {
    sqlx::raw_sql("SET LOCAL lock_timeout TO DEFAULT")
        .execute(conn)
        .await?;
    Ok(())
}

/// All partitions: the shortest class first, so that what goes on to a longer one is looked at there, and the oldest first.
#[tracing::instrument(name = "retention.partitions", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
pub(crate) async fn partitions(conn: &mut PgConnection) -> Result<Vec<Partition>, Error> {
    let rows = sqlx::query!(
        r#"SELECT name AS "name!", class AS "class!", begins AS "begins!: PgTime", ends AS "ends!: PgTime", past AS "past!"
           FROM event_partitions() WHERE begins IS NOT NULL ORDER BY class, begins"#
    )
    .fetch_all(conn)
    .await?;
    let rows = rows.into_iter().filter_map(|row| {
        Some(Partition {
            name: row.name,
            class: Class::of_number(row.class)?,
            begins: row.begins.into(),
            ends: row.ends.into(),
            past: row.past,
        })
    });
    Ok(rows.collect())
}

/// Some tenants with events in a partition, in the order of their ids, behind this one. It goes from one to the next by the
/// index, however many events each has.
#[tracing::instrument(name = "retention.tenants", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
pub(crate) async fn tenants(
    conn: &mut PgConnection,
    partition: &Partition,
    after: Option<TenantId>,
    most: i64,
) -> Result<Vec<TenantId>, Error> {
    let tenants = sqlx::query_scalar!(
        r#"
        WITH RECURSIVE found AS (
            (SELECT tenant_id FROM events
             WHERE class = $1 AND received_at >= $2 AND received_at < $3 AND ($4::uuid IS NULL OR tenant_id > $4)
             ORDER BY tenant_id LIMIT 1)
            UNION ALL
            SELECT (SELECT e.tenant_id FROM events AS e
                    WHERE e.class = $1 AND e.received_at >= $2 AND e.received_at < $3 AND e.tenant_id > found.tenant_id
                    ORDER BY e.tenant_id LIMIT 1)
            FROM found WHERE found.tenant_id IS NOT NULL
        )
        SELECT tenant_id AS "tenant_id!" FROM found WHERE tenant_id IS NOT NULL LIMIT $5
        "#,
        partition.class.number(),
        PgTime(partition.begins) as PgTime,
        PgTime(partition.ends) as PgTime,
        after.map(TenantId::uuid),
        most,
    );
    let tenants = tenants.fetch_all(conn).await?;
    Ok(tenants.into_iter().map(TenantId::from).collect())
}

/// Moves some events of these tenants from a partition to their times' partitions of another class; returns how many.
#[tracing::instrument(name = "retention.move", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
pub(crate) async fn move_to(
    conn: &mut PgConnection,
    partition: &Partition,
    class: Class,
    tenants: &[TenantId],
    most: i64,
) -> Result<u64, Error> {
    let moved = sqlx::query!(
        "UPDATE events AS e SET class = $5
         WHERE e.class = $1 AND e.received_at >= $2 AND e.received_at < $3 AND (e.tenant_id, e.index) IN (
             SELECT tenant_id, index FROM events
             WHERE class = $1 AND received_at >= $2 AND received_at < $3 AND tenant_id = ANY($4) LIMIT $6)",
        partition.class.number(),
        PgTime(partition.begins) as PgTime,
        PgTime(partition.ends) as PgTime,
        &uuids(tenants),
        class.number(),
        most,
    )
    .execute(conn)
    .await?;
    Ok(moved.rows_affected())
}

/// Removes some events of a tenant from a partition that are older than its class says, and a day, as far as a checkpoint has them,
/// and notes how far the log has gone; returns their indexes and their positions.
#[tracing::instrument(name = "retention.remove", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
pub(crate) async fn remove(
    conn: &mut PgConnection,
    partition: &Partition,
    tenant: TenantId,
    class: Class,
    most: i64,
) -> Result<(Vec<i64>, Vec<i64>), Error> {
    let removed = sqlx::query!(
        "DELETE FROM events AS e
         WHERE e.class = $1 AND e.received_at >= $2 AND e.received_at < $3 AND e.tenant_id = $4 AND e.index IN (
             SELECT index FROM events
             WHERE class = $1 AND received_at >= $2 AND received_at < $3 AND tenant_id = $4
               AND received_at < clock_timestamp() - make_interval(days => $5 + 1)
               AND received_at < coalesce((SELECT waiting_since FROM logs WHERE tenant_id = $4), 'infinity')
             LIMIT $6)
         RETURNING e.index, e.position",
        partition.class.number(),
        PgTime(partition.begins) as PgTime,
        PgTime(partition.ends) as PgTime,
        tenant.uuid(),
        i32::from(class.number()),
        most,
    )
    .fetch_all(&mut *conn)
    .await?;
    if let Some(last) = removed.iter().map(|row| row.index).max() {
        sqlx::query!(
            "INSERT INTO gone (tenant_id, gone_to) VALUES ($1, $2)
             ON CONFLICT (tenant_id) DO UPDATE SET gone_to = greatest(gone.gone_to, excluded.gone_to)",
            tenant.uuid(),
            last + 1,
        )
        .execute(conn)
        .await?;
    }
    let removed = removed.into_iter().map(|row| (row.index, row.position));
    Ok(removed.unzip())
}

/// Lets nobody write into a partition until the transaction ends; readers go on.
#[tracing::instrument(name = "retention.close", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
pub(crate) async fn close(conn: &mut PgConnection, partition: &Partition) -> Result<(), Error> {
    // The name is one of the catalogue's.
    let lock = format!(
        "LOCK TABLE \"{}\" IN SHARE ROW EXCLUSIVE MODE",
        partition.name
    );
    wait_at_most(conn, CLOSED_WITHIN_MS).await?;
    sqlx::query(AssertSqlSafe(lock)).execute(&mut *conn).await?;
    wait_at_most(conn, LOCK_WITHIN_MS).await
}

/// Notes of each log with events in a partition how far it has gone once the partition has. It goes from one tenant to the next by
/// the index, however many events each has.
#[tracing::instrument(name = "retention.note_gone", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
pub(crate) async fn note_gone(conn: &mut PgConnection, partition: &Partition) -> Result<(), Error> {
    sqlx::query!(
        "WITH RECURSIVE last AS (
             (SELECT tenant_id, index FROM events
              WHERE class = $1 AND received_at >= $2 AND received_at < $3
              ORDER BY tenant_id DESC, index DESC LIMIT 1)
             UNION ALL
             SELECT next.tenant_id, next.index
             FROM last CROSS JOIN LATERAL (
                 SELECT e.tenant_id, e.index FROM events AS e
                 WHERE e.class = $1 AND e.received_at >= $2 AND e.received_at < $3 AND e.tenant_id < last.tenant_id
                 ORDER BY e.tenant_id DESC, e.index DESC LIMIT 1) AS next
         )
         INSERT INTO gone (tenant_id, gone_to) SELECT tenant_id, index + 1 FROM last
         ON CONFLICT (tenant_id) DO UPDATE SET gone_to = greatest(gone.gone_to, excluded.gone_to)",
        partition.class.number(),
        PgTime(partition.begins) as PgTime,
        PgTime(partition.ends) as PgTime,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Drops a partition that has had its time.
#[tracing::instrument(name = "retention.drop", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
pub(crate) async fn drop(conn: &mut PgConnection, partition: &Partition) -> Result<(), Error> {
    // Unchecked, because statements are checked as the role that has no right to it.
    sqlx::query("SELECT drop_partition($1)")
        .bind(&partition.name)
        .execute(conn)
        .await?;
    Ok(())
}

fn uuids(tenants: &[TenantId]) -> Vec<Uuid> {
    tenants.iter().map(|tenant| tenant.uuid()).collect()
}
