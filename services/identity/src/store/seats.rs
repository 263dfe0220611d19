//! Places that members and keys take. That one is taken or left is written down by the schema itself (`migrations/0019_seats.sql`), with
//! the member or the key, for quota to be told.

use std::time::Duration;

use sqlx::PgConnection;
use tenantry_core::{SeatId, TenantId};
use tenantry_store::{PlatformTx, TenantTx};
use uuid::Uuid;

use crate::domain::seat::{Change, SeatKind, Told};
use crate::error::Error;

/// Those of these places of the transaction's tenant that are taken; nobody takes one of the others from now on. Whoever is just about to
/// is waited for.
#[tracing::instrument(name = "seats.settle", skip_all, fields(otel.kind = "client", db.system = "postgresql"))]
pub(crate) async fn settle(
    tx: &mut TenantTx,
    kind: SeatKind,
    seats: &[SeatId],
) -> Result<Vec<SeatId>, Error> {
    let tenant = tx.scope().uuid();
    let seats: Vec<Uuid> = seats.iter().map(|seat| seat.uuid()).collect();
    sqlx::query!(
        "INSERT INTO seat_changes (tenant_id, seat_id, resource_type, change)
         SELECT $1, seat, $2, 'void' FROM unnest($3::uuid[]) AS seat ORDER BY seat
         ON CONFLICT DO NOTHING",
        tenant,
        kind.word(),
        &seats,
    )
    .execute(tx.conn())
    .await?;
    let taken = match kind {
        SeatKind::Member => {
            sqlx::query_scalar!(
                "SELECT seat_id FROM memberships WHERE tenant_id = $1 AND seat_id = ANY ($2)",
                tenant,
                &seats,
            )
            .fetch_all(tx.conn())
            .await?
        }
        SeatKind::Key => {
            sqlx::query_scalar!(
                "SELECT id FROM api_keys WHERE tenant_id = $1 AND id = ANY ($2) AND revoked_at IS NULL AND NOT seat_left",
                tenant,
                &seats,
            )
            .fetch_all(tx.conn())
            .await?
        }
    };
    // Those that quota was told about long ago have no row of their own.
    sqlx::query!(
        "DELETE FROM seat_changes WHERE tenant_id = $1 AND seat_id = ANY ($2) AND change = 'void'",
        tenant,
        &taken,
    )
    .execute(tx.conn())
    .await?;
    Ok(taken.into_iter().map(Into::into).collect())
}

/// Takes up some changes that are due, the oldest first; nobody else does for so long.
#[tracing::instrument(name = "seats.take", skip_all, fields(otel.kind = "client", db.system = "postgresql"))]
pub(crate) async fn take(
    tx: &mut PlatformTx,
    lease: Duration,
    most: i64,
) -> Result<Vec<Told>, Error> {
    let rows = sqlx::query!(
        "UPDATE seat_changes AS s SET due_at = clock_timestamp() + make_interval(secs => $1)
         FROM (SELECT tenant_id, seat_id FROM seat_changes WHERE due_at <= clock_timestamp() AND change <> 'gone'
               ORDER BY due_at LIMIT $2 FOR UPDATE SKIP LOCKED) AS due
         WHERE s.tenant_id = due.tenant_id AND s.seat_id = due.seat_id
         RETURNING s.tenant_id, s.seat_id, s.resource_type, s.change",
        lease.as_secs_f64(),
        most,
    )
    .fetch_all(tx.conn())
    .await?;
    let rows = rows.into_iter().filter_map(|row| {
        Some(Told {
            tenant: row.tenant_id.into(),
            kind: SeatKind::parse(&row.resource_type)?,
            change: Change::parse(&row.change)?,
            seat: row.seat_id.into(),
        })
    });
    Ok(rows.collect())
}

/// Notes that quota was told of a change of these places, unless they have changed since. What is void stays so for a day: longer than any
/// request lasts that could still take it.
#[tracing::instrument(name = "seats.told", skip_all, fields(otel.kind = "client", db.system = "postgresql"))]
pub(crate) async fn told(
    conn: &mut PgConnection,
    tenant: TenantId,
    change: Change,
    seats: &[SeatId],
) -> Result<(), Error> {
    let seats: Vec<Uuid> = seats.iter().map(|seat| seat.uuid()).collect();
    let note = match change {
        Change::Void => sqlx::query!(
            "UPDATE seat_changes SET change = 'gone', due_at = clock_timestamp() + interval '1 day'
             WHERE tenant_id = $1 AND seat_id = ANY ($2) AND change = $3",
            tenant.uuid(),
            &seats,
            change.word(),
        ),
        Change::Taken | Change::Left => sqlx::query!(
            "DELETE FROM seat_changes WHERE tenant_id = $1 AND seat_id = ANY ($2) AND change = $3",
            tenant.uuid(),
            &seats,
            change.word(),
        ),
    };
    note.execute(conn).await?;
    Ok(())
}

/// Has keys leave their places that have expired meanwhile.
#[tracing::instrument(name = "seats.leave_expired", skip_all, fields(otel.kind = "client", db.system = "postgresql"))]
pub(crate) async fn leave_expired(tx: &mut PlatformTx, most: i64) -> Result<(), Error> {
    let left = sqlx::query!(
        "UPDATE api_keys SET seat_left = true WHERE (tenant_id, id) IN (
             SELECT tenant_id, id FROM api_keys
             WHERE revoked_at IS NULL AND NOT seat_left AND expires_at <= clock_timestamp()
             ORDER BY expires_at LIMIT $1 FOR UPDATE SKIP LOCKED)",
        most,
    );
    left.execute(tx.conn()).await?;
    Ok(())
}

/// Removes what nobody can come late for any more.
#[tracing::instrument(name = "seats.sweep", skip_all, fields(otel.kind = "client", db.system = "postgresql"))]
pub(crate) async fn sweep(tx: &mut PlatformTx, most: i64) -> Result<(), Error> {
    let gone = sqlx::query!(
        "DELETE FROM seat_changes WHERE (tenant_id, seat_id) IN (
             SELECT tenant_id, seat_id FROM seat_changes WHERE change = 'gone' AND due_at <= clock_timestamp() LIMIT $1)",
        most,
    );
    gone.execute(tx.conn()).await?;
    Ok(())
}
