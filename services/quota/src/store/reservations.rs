//! Reservations.

use jiff::Timestamp;
use serde_json::Value;
use sqlx::PgConnection;
use tenantry_core::{ReservationId, TenantId};
use tenantry_store::Error;
use tenantry_store::time::PgTime;
use uuid::Uuid;

use crate::domain::reservation::{Ending, NewReservation, Reservation, Status};

/// A reservation of a tenant.
type Which = (TenantId, ReservationId);

/// A reservation as it stands in its row.
pub(super) struct Row {
    pub(super) reservation_id: Uuid,
    pub(super) status: String,
    pub(super) lines: Value,
    pub(super) description: String,
    pub(super) created_at: PgTime,
    pub(super) expires_at: PgTime,
    pub(super) ended_at: Option<PgTime>,
}

impl TryFrom<Row> for Reservation {
    type Error = Error;

    fn try_from(row: Row) -> Result<Self, Error> {
        Ok(Self {
            id: row.reservation_id.into(),
            status: serde_json::from_value(Value::String(row.status))?,
            lines: serde_json::from_value(row.lines)?,
            description: row.description,
            created_at: row.created_at.into(),
            expires_at: row.expires_at.into(),
            ended_at: row.ended_at.map(Into::into),
        })
    }
}

/// One reservation of a tenant's own.
#[tracing::instrument(name = "reservations.find", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
pub(crate) async fn find(
    conn: &mut PgConnection,
    tenant: TenantId,
    id: ReservationId,
) -> Result<Option<Reservation>, Error> {
    let row = sqlx::query_as!(
        Row,
        r#"SELECT reservation_id, status, lines, description, created_at AS "created_at: PgTime", expires_at AS "expires_at: PgTime",
                  ended_at AS "ended_at: PgTime"
           FROM reservations WHERE tenant_id = $1 AND reservation_id = $2 AND owner IS NULL"#,
        tenant.uuid(),
        id.uuid(),
    )
    .fetch_optional(conn)
    .await?;
    row.map(Reservation::try_from).transpose()
}

/// What became of these reservations so far; whoever ends one of them waits until the transaction ends.
#[tracing::instrument(name = "reservations.lock", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
pub(crate) async fn lock(
    conn: &mut PgConnection,
    ids: &[Which],
) -> Result<Vec<(Which, Status)>, Error> {
    let tenants: Vec<_> = ids.iter().map(|(tenant, _)| tenant.uuid()).collect();
    let ids: Vec<_> = ids.iter().map(|(_, id)| id.uuid()).collect();
    let rows = sqlx::query!(
        "SELECT r.tenant_id, r.reservation_id, r.status FROM reservations AS r
         JOIN unnest($1::uuid[], $2::uuid[]) AS asked (tenant_id, reservation_id) USING (tenant_id, reservation_id)
         ORDER BY r.tenant_id, r.reservation_id FOR UPDATE OF r",
        &tenants,
        &ids,
    )
    .fetch_all(conn)
    .await?;
    let rows = rows.into_iter().map(|row| {
        let status = serde_json::from_value(Value::String(row.status))?;
        Ok(((row.tenant_id.into(), row.reservation_id.into()), status))
    });
    rows.collect()
}

/// Keeps a new reservation; false where there is one of its id.
#[tracing::instrument(name = "reservations.insert", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
pub(crate) async fn insert(
    conn: &mut PgConnection,
    tenant: TenantId,
    new: &NewReservation,
    now: Timestamp,
) -> Result<bool, Error> {
    let expires_at = now.saturating_add(new.ttl).unwrap_or(Timestamp::MAX);
    let ended_at = (new.status() == Status::Released).then_some(PgTime(now));
    let made = sqlx::query!(
        "INSERT INTO reservations (tenant_id, reservation_id, status, lines, description, created_at, expires_at, owner, ended_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT DO NOTHING",
        tenant.uuid(),
        new.id.uuid(),
        new.status().word(),
        serde_json::to_value(&new.lines)?,
        new.description,
        PgTime(now) as PgTime,
        PgTime(expires_at) as PgTime,
        new.owned.as_ref().map(|owned| owned.owner.as_str()),
        ended_at as Option<PgTime>,
    )
    .execute(conn)
    .await?;
    Ok(made.rows_affected() > 0)
}

/// Ends a reservation. One of another service that is committed lasts as long as what it is for.
#[tracing::instrument(name = "reservations.end", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
pub(crate) async fn end(
    conn: &mut PgConnection,
    tenant: TenantId,
    ending: &Ending,
    now: Timestamp,
) -> Result<(), Error> {
    sqlx::query!(
        "UPDATE reservations SET status = $3, lines = $4, ended_at = CASE WHEN owner IS NULL OR $3 <> 'committed' THEN $5::timestamptz END
         WHERE tenant_id = $1 AND reservation_id = $2",
        tenant.uuid(),
        ending.id.uuid(),
        ending.status.word(),
        serde_json::to_value(&ending.lines)?,
        PgTime(now) as PgTime,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Reservations of tenants' own that are held past their time, the oldest first.
#[tracing::instrument(name = "reservations.due", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
pub(crate) async fn due(
    conn: &mut PgConnection,
    limit: i64,
) -> Result<Vec<(TenantId, Reservation)>, Error> {
    let rows = sqlx::query!(
        r#"SELECT tenant_id, reservation_id, status, lines, description, created_at AS "created_at: PgTime",
                  expires_at AS "expires_at: PgTime", ended_at AS "ended_at: PgTime"
           FROM reservations WHERE status = 'held' AND owner IS NULL AND expires_at <= clock_timestamp() ORDER BY expires_at LIMIT $1"#,
        limit,
    )
    .fetch_all(conn)
    .await?;
    let rows = rows.into_iter().map(|row| {
        let reservation = Row {
            reservation_id: row.reservation_id,
            status: row.status,
            lines: row.lines,
            description: row.description,
            created_at: row.created_at,
            expires_at: row.expires_at,
            ended_at: row.ended_at,
        };
        Ok((row.tenant_id.into(), reservation.try_into()?))
    });
    rows.collect()
}

/// Removes reservations that ended long ago; how many went.
#[tracing::instrument(name = "reservations.sweep", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
pub(crate) async fn sweep(conn: &mut PgConnection, limit: i64) -> Result<u64, Error> {
    let gone = sqlx::query!(
        "DELETE FROM reservations WHERE ctid = ANY (ARRAY (
             SELECT ctid FROM reservations WHERE status <> 'held' AND ended_at < clock_timestamp() - interval '35 days' LIMIT $1))",
        limit,
    );
    Ok(gone.execute(conn).await?.rows_affected())
}
