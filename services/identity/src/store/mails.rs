//! Mails in waiting: written down in their tenant's transaction, and taken up by any replica, whosever they are.

use jiff::{SignedDuration, Timestamp};
use tenantry_core::TenantId;
use tenantry_store::time::PgTime;
use tenantry_store::{PlatformTx, TenantTx};
use uuid::Uuid;

use crate::domain::mail::MailState;
use crate::error::Error;

/// One mail that waits, and what it tells of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ids {
    pub(crate) tenant: TenantId,
    pub(crate) id: Uuid,
    pub(crate) about: Uuid,
}

/// One mail that a replica took up.
pub(crate) struct Waiting {
    pub(crate) ids: Ids,
    pub(crate) kind: String,
    pub(crate) sealed: Vec<u8>,
    /// This try included.
    pub(crate) tries: i32,
}

/// A mail to write down.
pub(crate) struct New<'a> {
    pub(crate) id: Uuid,
    pub(crate) about: Uuid,
    pub(crate) kind: &'a str,
    pub(crate) sealed: &'a [u8],
    pub(crate) ends_at: Timestamp,
}

/// Writes a mail of the transaction's tenant down, in the place of one about the same.
#[tracing::instrument(skip_all, fields(otel.kind = "client", db.system = "postgresql"))]
pub(crate) async fn put(tx: &mut TenantTx, new: &New<'_>) -> Result<(), Error> {
    let tenant = tx.scope().uuid();
    sqlx::query!(
        "WITH older AS (DELETE FROM mails WHERE tenant_id = $1 AND about = $3)
         INSERT INTO mails (tenant_id, id, about, kind, sealed, ends_at) VALUES ($1, $2, $3, $4, $5, $6)",
        tenant,
        new.id,
        new.about,
        new.kind,
        new.sealed,
        PgTime(new.ends_at) as PgTime,
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Counts one more mail of the transaction's tenant today; returns how many there are with it.
#[tracing::instrument(skip_all, fields(otel.kind = "client", db.system = "postgresql"))]
pub(crate) async fn count_today(tx: &mut TenantTx) -> Result<i64, Error> {
    let tenant = tx.scope().uuid();
    Ok(sqlx::query_scalar!(
        "WITH today AS (SELECT (clock_timestamp() AT TIME ZONE 'UTC')::date AS day),
              older AS (DELETE FROM mail_days WHERE tenant_id = $1 AND day < (SELECT day FROM today))
         INSERT INTO mail_days AS d (tenant_id, day, mails) SELECT $1, day, 1 FROM today
         ON CONFLICT (tenant_id, day) DO UPDATE SET mails = d.mails + 1
         RETURNING mails",
        tenant,
    )
    .fetch_one(tx.conn())
    .await?)
}

/// Removes what waits about something that is over; tells whether anything did.
#[tracing::instrument(skip_all, fields(otel.kind = "client", db.system = "postgresql"))]
pub(crate) async fn drop_about(tx: &mut TenantTx, about: Uuid) -> Result<bool, Error> {
    let tenant = tx.scope().uuid();
    let dropped = sqlx::query!(
        "DELETE FROM mails WHERE tenant_id = $1 AND about = $2",
        tenant,
        about,
    )
    .execute(tx.conn())
    .await?;
    Ok(dropped.rows_affected() > 0)
}

/// How many of the transaction's tenant wait, counted so far.
#[tracing::instrument(skip_all, fields(otel.kind = "client", db.system = "postgresql"))]
pub(crate) async fn waiting(tx: &mut TenantTx, so_far: i64) -> Result<i64, Error> {
    let tenant = tx.scope().uuid();
    Ok(sqlx::query_scalar!(
        r#"SELECT count(*) AS "count!" FROM (SELECT FROM mails WHERE tenant_id = $1 LIMIT $2) AS counted"#,
        tenant,
        so_far,
    )
    .fetch_one(tx.conn())
    .await?)
}

/// Takes up some mails that are due, the longest due first, each for as long as the lease: then another replica may.
#[tracing::instrument(skip_all, fields(otel.kind = "client", db.system = "postgresql"))]
pub(crate) async fn take(
    tx: &mut PlatformTx,
    most: i64,
    lease: SignedDuration,
) -> Result<Vec<Waiting>, Error> {
    let rows = sqlx::query!(
        "UPDATE mails SET tries = tries + 1, next_at = clock_timestamp() + make_interval(secs => $2)
         WHERE (tenant_id, id) IN (SELECT tenant_id, id FROM mails
                                   WHERE next_at <= clock_timestamp() AND ends_at > clock_timestamp()
                                   ORDER BY next_at LIMIT $1 FOR UPDATE SKIP LOCKED)
         RETURNING tenant_id, id, about, kind, sealed, tries",
        most,
        lease.as_secs_f64(),
    )
    .fetch_all(tx.conn())
    .await?;
    let taken = rows.into_iter().map(|row| Waiting {
        ids: Ids {
            tenant: row.tenant_id.into(),
            id: row.id,
            about: row.about,
        },
        kind: row.kind,
        sealed: row.sealed,
        tries: row.tries,
    });
    Ok(taken.collect())
}

/// Locks the invitations that these mails tell of until the transaction's end. Comes before any change of the mails: who
/// sends an invitation again has locked it too before its mail takes the place of the one before.
#[tracing::instrument(skip_all, fields(otel.kind = "client", db.system = "postgresql"))]
pub(crate) async fn hold_invitations(tx: &mut PlatformTx, mails: &[Ids]) -> Result<(), Error> {
    let tenants: Vec<Uuid> = mails.iter().map(|mail| mail.tenant.uuid()).collect();
    let about: Vec<Uuid> = mails.iter().map(|mail| mail.about).collect();
    sqlx::query!(
        "SELECT id FROM invitations WHERE (tenant_id, id) IN (SELECT * FROM unnest($1::uuid[], $2::uuid[]))
         ORDER BY tenant_id, id FOR NO KEY UPDATE",
        &tenants,
        &about,
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(())
}

/// Removes mails that are over, and tells the invitations that they are about. A mail that another took the place of
/// meanwhile is gone already, and tells nothing.
#[tracing::instrument(skip_all, fields(otel.kind = "client", db.system = "postgresql"))]
pub(crate) async fn remove(
    tx: &mut PlatformTx,
    over: &[Ids],
    state: MailState,
) -> Result<(), Error> {
    let tenants: Vec<Uuid> = over.iter().map(|mail| mail.tenant.uuid()).collect();
    let ids: Vec<Uuid> = over.iter().map(|mail| mail.id).collect();
    sqlx::query!(
        "WITH gone AS (
             DELETE FROM mails WHERE (tenant_id, id) IN (SELECT * FROM unnest($1::uuid[], $2::uuid[]))
             RETURNING tenant_id, about)
         UPDATE invitations AS i SET mail_state = $3, mail_state_at = clock_timestamp()
         FROM gone WHERE i.tenant_id = gone.tenant_id AND i.id = gone.about",
        &tenants,
        &ids,
        state.name(),
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Has a mail wait for so long, while it is of use, and tells the invitation that it is about.
#[tracing::instrument(skip_all, fields(otel.kind = "client", db.system = "postgresql"))]
pub(crate) async fn put_off(
    tx: &mut PlatformTx,
    mail: Ids,
    wait: SignedDuration,
) -> Result<(), Error> {
    sqlx::query!(
        "WITH off AS (
             UPDATE mails SET next_at = least(clock_timestamp() + make_interval(secs => $3), ends_at)
             WHERE tenant_id = $1 AND id = $2 RETURNING tenant_id, about)
         UPDATE invitations AS i SET mail_state = $4, mail_state_at = clock_timestamp()
         FROM off WHERE i.tenant_id = off.tenant_id AND i.id = off.about",
        mail.tenant.uuid(),
        mail.id,
        wait.as_secs_f64(),
        MailState::Delayed.name(),
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Some that are of no use any more, and that no replica has taken up: what it has may be sent yet.
#[tracing::instrument(skip_all, fields(otel.kind = "client", db.system = "postgresql"))]
pub(crate) async fn ended(tx: &mut PlatformTx, most: i64) -> Result<Vec<Ids>, Error> {
    let rows = sqlx::query!(
        "SELECT tenant_id, id, about FROM mails WHERE ends_at <= clock_timestamp() AND next_at <= clock_timestamp()
         ORDER BY ends_at LIMIT $1",
        most,
    )
    .fetch_all(tx.conn())
    .await?;
    let ended = rows.into_iter().map(|row| Ids {
        tenant: row.tenant_id.into(),
        id: row.id,
        about: row.about,
    });
    Ok(ended.collect())
}
