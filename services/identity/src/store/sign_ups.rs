//! Sign-ups: of people, in no tenant's scope until they are done.

use serde_json::Value;
use sqlx::PgConnection;
use tenantry_core::{TenantId, UserId};
use tenantry_store::time::PgTime;
use uuid::Uuid;

use crate::domain::sign_up::{Count, SignUp, State, Tally, WINDOW};
use crate::error::Error;

struct Row {
    tenant_id: Uuid,
    user_id: Uuid,
    state: String,
    asked: Value,
    actor: Value,
    origin: Value,
    answer: Option<Vec<u8>>,
}

impl TryFrom<Row> for SignUp {
    type Error = Error;

    fn try_from(row: Row) -> Result<Self, Error> {
        let corrupt = tenantry_store::Error::Corrupt;
        Ok(Self {
            tenant: row.tenant_id.into(),
            user: row.user_id.into(),
            state: match (row.answer, row.state.as_str()) {
                (Some(answer), _) => State::Done(answer),
                (None, "refused") => State::Refused,
                (None, _) => State::Open,
            },
            asked: serde_json::from_value(row.asked).map_err(corrupt)?,
            actor: serde_json::from_value(row.actor).map_err(corrupt)?,
            origin: serde_json::from_value(row.origin).map_err(corrupt)?,
        })
    }
}

/// A person's sign-up by the request that asked for it, with the keyed digest of that request's body.
#[tracing::instrument(skip_all, fields(otel.kind = "client", db.system = "postgresql"))]
pub(crate) async fn find(
    conn: &mut PgConnection,
    user: UserId,
    request_id: &str,
) -> Result<Option<(SignUp, Vec<u8>)>, Error> {
    let found = sqlx::query!(
        r#"SELECT tenant_id, user_id, state, asked, actor, origin, answer, digest AS "digest!" FROM sign_ups
           WHERE user_id = $1 AND request_id = $2"#,
        user.uuid(),
        request_id,
    )
    .fetch_optional(conn)
    .await?;
    let Some(row) = found else { return Ok(None) };
    let digest = row.digest;
    let row = Row {
        tenant_id: row.tenant_id,
        user_id: row.user_id,
        state: row.state,
        asked: row.asked,
        actor: row.actor,
        origin: row.origin,
        answer: row.answer,
    };
    Ok(Some((row.try_into()?, digest)))
}

/// What a person did lately.
#[tracing::instrument(skip_all, fields(otel.kind = "client", db.system = "postgresql"))]
pub(crate) async fn tally(conn: &mut PgConnection, user: UserId) -> Result<Tally, Error> {
    let row = sqlx::query!(
        r#"SELECT count(*) FILTER (WHERE state <> 'refused') AS "made!", count(*) AS "tries!",
                  min(created_at) FILTER (WHERE state <> 'refused') AS "first_made: PgTime",
                  min(created_at) AS "first_try: PgTime"
           FROM sign_ups WHERE user_id = $1 AND created_at > clock_timestamp() - make_interval(secs => $2)"#,
        user.uuid(),
        WINDOW.as_secs_f64(),
    )
    .fetch_one(conn)
    .await?;
    Ok(Tally {
        made: Count {
            many: row.made,
            first: row.first_made.map(Into::into),
        },
        tries: Count {
            many: row.tries,
            first: row.first_try.map(Into::into),
        },
    })
}

/// Writes a new sign-up, which a replica looks at by itself after so many seconds.
#[tracing::instrument(skip_all, fields(otel.kind = "client", db.system = "postgresql"))]
pub(crate) async fn insert(
    conn: &mut PgConnection,
    sign_up: &SignUp,
    request: Option<(&str, &[u8])>,
    look_in: f64,
) -> Result<(), Error> {
    let corrupt = tenantry_store::Error::Corrupt;
    sqlx::query!(
        "INSERT INTO sign_ups (tenant_id, user_id, request_id, digest, state, asked, actor, origin, look_at)
         VALUES ($1, $2, $3, $4, 'open', $5, $6, $7, clock_timestamp() + make_interval(secs => $8))",
        sign_up.tenant.uuid(),
        sign_up.user.uuid(),
        request.map(|(id, _)| id),
        request.map(|(_, digest)| digest),
        serde_json::to_value(&sign_up.asked).map_err(corrupt)?,
        serde_json::to_value(&sign_up.actor).map_err(corrupt)?,
        serde_json::to_value(&sign_up.origin).map_err(corrupt)?,
        look_in,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// How far a sign-up is, locked until the transaction's end; none where a purge took it along.
#[tracing::instrument(skip_all, fields(otel.kind = "client", db.system = "postgresql"))]
pub(crate) async fn lock(
    conn: &mut PgConnection,
    tenant: TenantId,
) -> Result<Option<SignUp>, Error> {
    sqlx::query_as!(
        Row,
        "SELECT tenant_id, user_id, state, asked, actor, origin, answer FROM sign_ups WHERE tenant_id = $1 FOR UPDATE",
        tenant.uuid(),
    )
    .fetch_optional(conn)
    .await?
    .map(SignUp::try_from)
    .transpose()
}

/// The person is the owner.
#[tracing::instrument(skip_all, fields(otel.kind = "client", db.system = "postgresql"))]
pub(crate) async fn done(
    conn: &mut PgConnection,
    tenant: TenantId,
    answer: &[u8],
) -> Result<(), Error> {
    sqlx::query!(
        "UPDATE sign_ups SET state = 'done', answer = $2, look_at = NULL WHERE tenant_id = $1",
        tenant.uuid(),
        answer,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Registry refused it. It is looked at once more, after so many seconds.
#[tracing::instrument(skip_all, fields(otel.kind = "client", db.system = "postgresql"))]
pub(crate) async fn refused(
    conn: &mut PgConnection,
    tenant: TenantId,
    look_in: f64,
) -> Result<(), Error> {
    sqlx::query!(
        "UPDATE sign_ups SET state = 'refused', request_id = NULL, digest = NULL,
                look_at = clock_timestamp() + make_interval(secs => $2)
         WHERE tenant_id = $1 AND state = 'open'",
        tenant.uuid(),
        look_in,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// A refused one is over: there is no such tenant and there will be none.
#[tracing::instrument(skip_all, fields(otel.kind = "client", db.system = "postgresql"))]
pub(crate) async fn over(conn: &mut PgConnection, tenant: TenantId) -> Result<(), Error> {
    sqlx::query!(
        "UPDATE sign_ups SET look_at = NULL WHERE tenant_id = $1 AND state = 'refused'",
        tenant.uuid(),
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Takes up some that are due, each for so many seconds: then another replica may.
#[tracing::instrument(skip_all, fields(otel.kind = "client", db.system = "postgresql"))]
pub(crate) async fn take(
    conn: &mut PgConnection,
    most: i64,
    look_in: f64,
) -> Result<Vec<SignUp>, Error> {
    sqlx::query_as!(
        Row,
        "UPDATE sign_ups SET look_at = clock_timestamp() + make_interval(secs => $2)
         WHERE tenant_id IN (SELECT tenant_id FROM sign_ups WHERE look_at <= clock_timestamp()
                             ORDER BY look_at LIMIT $1 FOR UPDATE SKIP LOCKED)
         RETURNING tenant_id, user_id, state, asked, actor, origin, answer",
        most,
        look_in,
    )
    .fetch_all(conn)
    .await?
    .into_iter()
    .map(SignUp::try_from)
    .collect()
}

/// Removes some that are over and count no more.
#[tracing::instrument(skip_all, fields(otel.kind = "client", db.system = "postgresql"))]
pub(crate) async fn sweep(conn: &mut PgConnection, rows: i64) -> Result<u64, Error> {
    let gone = sqlx::query!(
        "DELETE FROM sign_ups WHERE tenant_id IN (
             SELECT tenant_id FROM sign_ups
             WHERE created_at < clock_timestamp() - make_interval(secs => $1) AND look_at IS NULL LIMIT $2)",
        WINDOW.as_secs_f64(),
        rows,
    )
    .execute(conn)
    .await?;
    Ok(gone.rows_affected())
}
