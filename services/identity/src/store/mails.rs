//! Mails in waiting: written down in their tenant's transaction, and taken up by any replica, whosever they are.

use jiff::{SignedDuration, Timestamp};
use tenantry_core::TenantId;
use tenantry_store::time::PgTime;
use tenantry_store::{PlatformTx, TenantTx};
use uuid::Uuid;

use crate::domain::mail::{DOUBT, MailState};
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
    /// How many of the tries before handed it over, and never heard whether it was kept.
    pub(crate) unanswered: i32,
    /// Whether its server has taken the recipient not for [`DOUBT`], and never said why.
    pub(crate) doubted: bool,
}

/// Why a mail waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PutOff {
    /// The server said no, or wasn't reached.
    Answered,
    /// The server took the recipient not, and said not why.
    Doubted,
    /// It was handed over, and the server never said whether it keeps it.
    Unanswered,
}

/// How much is taken up at once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shares {
    /// Mails in all.
    pub(crate) most: i64,
    /// Of one tenant, what replicas have under way included.
    pub(crate) of_a_tenant: i64,
    /// The same of the platform.
    pub(crate) of_the_platform: i64,
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

/// Sees to it that no mail about something goes from now on; tells whether one was stopped that waited. What a server was
/// handed already may go: its try is the last, and tells what became of it.
#[tracing::instrument(skip_all, fields(otel.kind = "client", db.system = "postgresql"))]
pub(crate) async fn stop(tx: &mut TenantTx, about: Uuid) -> Result<bool, Error> {
    let tenant = tx.scope().uuid();
    // In this order: one that is handed over meanwhile is found by the second.
    let stopped = sqlx::query!(
        "DELETE FROM mails
         WHERE tenant_id = $1 AND about = $2 AND NOT (stage = 'handed_over' AND next_at > clock_timestamp())",
        tenant,
        about,
    )
    .execute(tx.conn())
    .await?;
    sqlx::query!(
        "UPDATE mails SET ends_at = least(ends_at, clock_timestamp()) WHERE tenant_id = $1 AND about = $2",
        tenant,
        about,
    )
    .execute(tx.conn())
    .await?;
    Ok(stopped.rows_affected() > 0)
}

/// Removes all mails about something of which nothing is to be told any more.
#[tracing::instrument(skip_all, fields(otel.kind = "client", db.system = "postgresql"))]
pub(crate) async fn forget(tx: &mut TenantTx, about: Uuid) -> Result<(), Error> {
    let tenant = tx.scope().uuid();
    sqlx::query!(
        "DELETE FROM mails WHERE tenant_id = $1 AND about = $2",
        tenant,
        about,
    )
    .execute(tx.conn())
    .await?;
    Ok(())
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

/// Rows that are looked at for those to take up: of tenants with room, the longest due.
const WINDOW: i64 = 200;

/// Takes up some mails that are due, the longest due first, each for as long as the lease: then another replica may. A tenant
/// has its share and no more; while it has that under way, the mails behind its own are found as if these weren't there.
#[tracing::instrument(skip_all, fields(otel.kind = "client", db.system = "postgresql"))]
pub(crate) async fn take(
    tx: &mut PlatformTx,
    shares: Shares,
    lease: SignedDuration,
) -> Result<Vec<Waiting>, Error> {
    let rows = sqlx::query!(
        "WITH busy AS MATERIALIZED (
             SELECT tenant_id, count(*) AS mails FROM mails
             WHERE stage <> 'waits' AND next_at > statement_timestamp() GROUP BY tenant_id
         ), rooms AS MATERIALIZED (
             SELECT tenant_id, CASE WHEN tenant_id = $4 THEN $3::bigint ELSE $2::bigint END - mails AS room FROM busy
         ), due AS MATERIALIZED (
             SELECT tenant_id, id, next_at FROM mails
             WHERE next_at <= statement_timestamp() AND ends_at > statement_timestamp()
               AND tenant_id <> ALL (ARRAY(SELECT tenant_id FROM rooms WHERE room <= 0))
             ORDER BY next_at LIMIT $5
         ), nth AS (
             SELECT tenant_id, id, next_at, row_number() OVER (PARTITION BY tenant_id ORDER BY next_at, id) AS nth FROM due
         ), chosen AS MATERIALIZED (
             SELECT n.tenant_id, n.id FROM nth AS n LEFT JOIN rooms AS r ON r.tenant_id = n.tenant_id
             WHERE nth <= coalesce(r.room, CASE WHEN n.tenant_id = $4 THEN $3::bigint ELSE $2::bigint END)
             ORDER BY n.next_at LIMIT $1
         ), free AS (
             SELECT tenant_id, id FROM mails
             WHERE (tenant_id, id) IN (SELECT tenant_id, id FROM chosen) AND next_at <= statement_timestamp()
             FOR UPDATE SKIP LOCKED
         )
         UPDATE mails SET tries = tries + 1, stage = 'taken', next_at = clock_timestamp() + make_interval(secs => $6)
         WHERE (tenant_id, id) IN (SELECT tenant_id, id FROM free)
         RETURNING tenant_id, id, about, kind, sealed, tries, unanswered,
             coalesce(doubted_since + make_interval(secs => $7) <= clock_timestamp(), false) AS \"doubted!\"",
        shares.most,
        shares.of_a_tenant,
        shares.of_the_platform,
        TenantId::PLATFORM.uuid(),
        WINDOW,
        lease.as_secs_f64(),
        DOUBT.as_secs_f64(),
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
        unanswered: row.unanswered,
        doubted: row.doubted,
    });
    Ok(taken.collect())
}

/// Notes that a mail is handed over from now on, with so long a lease; `false` where it isn't to go any more, or isn't this
/// try's.
#[tracing::instrument(skip_all, fields(otel.kind = "client", db.system = "postgresql"))]
pub(crate) async fn hand_over(
    tx: &mut PlatformTx,
    mail: &Waiting,
    lease: SignedDuration,
) -> Result<bool, Error> {
    let noted = sqlx::query!(
        "UPDATE mails SET stage = 'handed_over', unanswered = unanswered + 1,
                next_at = clock_timestamp() + make_interval(secs => $4)
         WHERE tenant_id = $1 AND id = $2 AND tries = $3 AND stage = 'taken' AND next_at > clock_timestamp()",
        mail.ids.tenant.uuid(),
        mail.ids.id,
        mail.tries,
        lease.as_secs_f64(),
    )
    .execute(tx.conn())
    .await?;
    Ok(noted.rows_affected() > 0)
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
    mail: &Waiting,
    wait: SignedDuration,
    why: PutOff,
) -> Result<(), Error> {
    sqlx::query!(
        "WITH off AS (
             UPDATE mails SET next_at = least(clock_timestamp() + make_interval(secs => $4), ends_at), stage = 'waits',
                    unanswered = unanswered - CASE WHEN stage = 'handed_over' AND $5 THEN 1 ELSE 0 END,
                    doubted_since = CASE WHEN $7 THEN coalesce(doubted_since, clock_timestamp()) END
             WHERE tenant_id = $1 AND id = $2 AND tries = $3 RETURNING tenant_id, about)
         UPDATE invitations AS i SET mail_state = $6, mail_state_at = clock_timestamp()
         FROM off WHERE i.tenant_id = off.tenant_id AND i.id = off.about",
        mail.ids.tenant.uuid(),
        mail.ids.id,
        mail.tries,
        wait.as_secs_f64(),
        why != PutOff::Unanswered,
        MailState::Delayed.name(),
        why == PutOff::Doubted,
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Some that are of no use any more, and that no replica has taken up: what it has may be sent yet.
#[tracing::instrument(skip_all, fields(otel.kind = "client", db.system = "postgresql"))]
pub(crate) async fn ended(tx: &mut PlatformTx, most: i64) -> Result<Vec<Ids>, Error> {
    let rows = sqlx::query!(
        "SELECT tenant_id, id, about FROM mails
         WHERE ends_at <= statement_timestamp() AND next_at <= statement_timestamp()
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
