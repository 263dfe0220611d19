//! Reservations of other services.

use jiff::SignedDuration;
use sqlx::PgConnection;
use tenantry_core::{ReservationId, TenantId};
use tenantry_store::Error;
use tenantry_store::time::PgTime;

use super::reservations::Row;
use crate::domain::reservation::{Doubtful, Reservation};

/// Those of these reservations that there are, and that the service owns.
#[tracing::instrument(name = "holds.known", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
pub(crate) async fn known(
    conn: &mut PgConnection,
    tenant: TenantId,
    owner: &str,
    ids: &[ReservationId],
) -> Result<Vec<Reservation>, Error> {
    let ids: Vec<_> = ids.iter().map(|id| id.uuid()).collect();
    let rows = sqlx::query_as!(
        Row,
        r#"SELECT reservation_id, status, lines, description, created_at AS "created_at: PgTime", expires_at AS "expires_at: PgTime",
                  ended_at AS "ended_at: PgTime"
           FROM reservations WHERE tenant_id = $1 AND reservation_id = ANY ($2) AND owner = $3"#,
        tenant.uuid(),
        &ids,
        owner,
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter().map(Reservation::try_from).collect()
}

/// Some that are counted of a tenant in pools above it too.
#[tracing::instrument(name = "holds.pooled", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
pub(crate) async fn pooled(
    conn: &mut PgConnection,
    tenant: TenantId,
    limit: i64,
) -> Result<Vec<Reservation>, Error> {
    let rows = sqlx::query_as!(
        Row,
        r#"SELECT reservation_id, status, lines, description, created_at AS "created_at: PgTime", expires_at AS "expires_at: PgTime",
                  ended_at AS "ended_at: PgTime"
           FROM reservations WHERE tenant_id = $1 AND owner IS NOT NULL AND status IN ('held', 'committed')
             AND jsonb_array_length(lines -> 0 -> 'accounts') > 1
           LIMIT $2"#,
        tenant.uuid(),
        limit,
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter().map(Reservation::try_from).collect()
}

/// Takes up some that are held past their time, the oldest first; nobody else does for so long, and whoever fails leaves them to the
/// next one then.
#[tracing::instrument(name = "holds.take", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
pub(crate) async fn take(
    conn: &mut PgConnection,
    lease: SignedDuration,
    limit: i64,
) -> Result<Vec<Doubtful>, Error> {
    let rows = sqlx::query!(
        r#"UPDATE reservations AS r SET expires_at = clock_timestamp() + make_interval(secs => $1)
           FROM (SELECT tenant_id, reservation_id FROM reservations
                 WHERE status = 'held' AND owner IS NOT NULL AND expires_at <= clock_timestamp()
                 ORDER BY expires_at LIMIT $2 FOR UPDATE SKIP LOCKED) AS due
           WHERE r.tenant_id = due.tenant_id AND r.reservation_id = due.reservation_id
           RETURNING r.tenant_id, r.reservation_id, r.owner AS "owner!", r.lines -> 0 ->> 'resource_type' AS "resource_type!""#,
        lease.as_secs_f64(),
        limit,
    )
    .fetch_all(conn)
    .await?;
    let rows = rows.into_iter().map(|row| Doubtful {
        tenant: row.tenant_id.into(),
        owner: row.owner,
        resource_type: row.resource_type,
        id: row.reservation_id.into(),
    });
    Ok(rows.collect())
}
