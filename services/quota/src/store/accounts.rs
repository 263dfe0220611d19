//! The ledger's accounts.

use jiff::Timestamp;
use serde_json::Value;
use sqlx::PgConnection;
use tenantry_core::{TenantId, Window};
use tenantry_store::Error;
use tenantry_store::time::PgTime;
use uuid::Uuid;

use crate::domain::account::{Account, AccountId};
use crate::domain::limit::Cap;
use crate::domain::period::ResetPeriod;

struct Row {
    tenant_id: Uuid,
    resource_type: String,
    reset_period: String,
    window_start: PgTime,
    window_end: Option<PgTime>,
    root_id: Uuid,
    limit: Option<i64>,
    beyond: i64,
    superseded: bool,
    settled: i64,
    opening: Option<String>,
    fast: bool,
    granted: i64,
    committed: i64,
    told_percent: i16,
    told_refusal: bool,
}

impl TryFrom<Row> for Account {
    type Error = Error;

    fn try_from(row: Row) -> Result<Self, Error> {
        let start = row.window_start.into();
        Ok(Self {
            id: AccountId {
                tenant: row.tenant_id.into(),
                resource_type: row.resource_type,
                reset_period: serde_json::from_value(Value::String(row.reset_period))?,
                start,
            },
            window: Window {
                start,
                end: row.window_end.map(Into::into),
            },
            root: row.root_id.into(),
            cap: row.limit.map(|limit| Cap {
                limit,
                beyond: row.beyond,
            }),
            superseded: row.superseded,
            settled: row.settled,
            opening: row.opening,
            fast: row.fast,
            granted: row.granted,
            committed: row.committed,
            told_percent: row.told_percent,
            told_refusal: row.told_refusal,
        })
    }
}

/// The database's time.
#[tracing::instrument(name = "accounts.now", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
pub(crate) async fn now(conn: &mut PgConnection) -> Result<Timestamp, Error> {
    let now = sqlx::query_scalar!(r#"SELECT clock_timestamp() AS "now!: PgTime""#);
    Ok(now.fetch_one(conn).await?.into())
}

/// The last account of a tenant's resource type and reset period that has begun by then, locked.
#[tracing::instrument(name = "accounts.lock_last", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
pub(crate) async fn lock_last(
    conn: &mut PgConnection,
    tenant: TenantId,
    resource_type: &str,
    (period, now): (ResetPeriod, Timestamp),
) -> Result<Option<Account>, Error> {
    let row = sqlx::query_as!(
        Row,
        r#"SELECT tenant_id, resource_type, reset_period, window_start AS "window_start: PgTime", window_end AS "window_end: PgTime",
                  root_id, "limit", beyond, superseded, settled, opening, fast, granted, committed, told_percent, told_refusal
           FROM accounts WHERE tenant_id = $1 AND resource_type = $2 AND reset_period = $3 AND window_start <= $4
           ORDER BY window_start DESC LIMIT 1 FOR UPDATE"#,
        tenant.uuid(),
        resource_type,
        period.word(),
        PgTime(now) as PgTime,
    )
    .fetch_optional(conn)
    .await?;
    row.map(Account::try_from).transpose()
}

/// The newest account of each of a tenant's resource types and reset periods.
#[tracing::instrument(name = "accounts.newest", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
pub(crate) async fn newest(
    conn: &mut PgConnection,
    tenant: TenantId,
) -> Result<Vec<Account>, Error> {
    let rows = sqlx::query_as!(
        Row,
        r#"SELECT DISTINCT ON (resource_type, reset_period)
                  tenant_id, resource_type, reset_period, window_start AS "window_start: PgTime", window_end AS "window_end: PgTime",
                  root_id, "limit", beyond, superseded, settled, opening, fast, granted, committed, told_percent, told_refusal
           FROM accounts WHERE tenant_id = $1 ORDER BY resource_type, reset_period, window_start DESC"#,
        tenant.uuid(),
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter().map(Account::try_from).collect()
}

/// A tenant's accounts whose counters are open, locked.
#[tracing::instrument(name = "accounts.lock_open", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
pub(crate) async fn lock_open(
    conn: &mut PgConnection,
    tenant: TenantId,
) -> Result<Vec<Account>, Error> {
    let rows = sqlx::query_as!(
        Row,
        r#"SELECT tenant_id, resource_type, reset_period, window_start AS "window_start: PgTime", window_end AS "window_end: PgTime",
                  root_id, "limit", beyond, superseded, settled, opening, fast, granted, committed, told_percent, told_refusal
           FROM accounts WHERE tenant_id = $1 AND opening IS NOT NULL
           ORDER BY resource_type, reset_period, window_start FOR UPDATE"#,
        tenant.uuid(),
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter().map(Account::try_from).collect()
}

/// Accounts whose window is over, for long enough that Redis's clock says so too, and whose counters aren't closed yet.
#[tracing::instrument(name = "accounts.over", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
pub(crate) async fn over(conn: &mut PgConnection, limit: i64) -> Result<Vec<AccountId>, Error> {
    let rows = sqlx::query!(
        r#"SELECT tenant_id, resource_type, reset_period, window_start AS "window_start: PgTime" FROM accounts
           WHERE opening IS NOT NULL AND window_end < clock_timestamp() - interval '5 seconds' ORDER BY window_end LIMIT $1"#,
        limit,
    )
    .fetch_all(conn)
    .await?;
    let rows = rows.into_iter().map(|row| {
        Ok(AccountId {
            tenant: row.tenant_id.into(),
            resource_type: row.resource_type,
            reset_period: serde_json::from_value(Value::String(row.reset_period))?,
            start: row.window_start.into(),
        })
    });
    rows.collect()
}

/// The newest account of one resource type and reset period.
#[tracing::instrument(name = "accounts.find_newest", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
pub(crate) async fn find_newest(
    conn: &mut PgConnection,
    tenant: TenantId,
    resource_type: &str,
    reset_period: &str,
) -> Result<Option<Account>, Error> {
    let row = sqlx::query_as!(
        Row,
        r#"SELECT tenant_id, resource_type, reset_period, window_start AS "window_start: PgTime", window_end AS "window_end: PgTime",
                  root_id, "limit", beyond, superseded, settled, opening, fast, granted, committed, told_percent, told_refusal
           FROM accounts WHERE tenant_id = $1 AND resource_type = $2 AND reset_period = $3
           ORDER BY window_start DESC LIMIT 1"#,
        tenant.uuid(),
        resource_type,
        reset_period,
    )
    .fetch_optional(conn)
    .await?;
    row.map(Account::try_from).transpose()
}

/// Keeps a new account, unless it is there already: whoever comes second waits for the first.
#[tracing::instrument(name = "accounts.insert", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
pub(crate) async fn insert(conn: &mut PgConnection, account: &Account) -> Result<bool, Error> {
    let done = sqlx::query!(
        r#"INSERT INTO accounts (tenant_id, resource_type, reset_period, window_start, window_end, root_id, "limit", settled,
                                 opening, fast, granted, committed, superseded, beyond)
           VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)
           ON CONFLICT DO NOTHING"#,
        account.id.tenant.uuid(),
        account.id.resource_type,
        account.id.reset_period.word(),
        PgTime(account.id.start) as PgTime,
        account.window.end.map(PgTime) as Option<PgTime>,
        account.root.uuid(),
        account.cap.map(|cap| cap.limit),
        account.settled,
        account.opening,
        account.fast,
        account.granted,
        account.committed,
        account.superseded,
        account.cap.map_or(0, |cap| cap.beyond),
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Writes what an account has become.
#[tracing::instrument(name = "accounts.save", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
pub(crate) async fn save(conn: &mut PgConnection, account: &Account) -> Result<(), Error> {
    sqlx::query!(
        r#"UPDATE accounts SET root_id = $5, "limit" = $6, settled = $7, opening = $8, fast = $9, granted = $10, committed = $11, superseded = $12,
                               told_percent = $13, told_refusal = $14, beyond = $15
           WHERE tenant_id = $1 AND resource_type = $2 AND reset_period = $3 AND window_start = $4"#,
        account.id.tenant.uuid(),
        account.id.resource_type,
        account.id.reset_period.word(),
        PgTime(account.id.start) as PgTime,
        account.root.uuid(),
        account.cap.map(|cap| cap.limit),
        account.settled,
        account.opening,
        account.fast,
        account.granted,
        account.committed,
        account.superseded,
        account.told_percent,
        account.told_refusal,
        account.cap.map_or(0, |cap| cap.beyond),
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Accounts as columns.
#[derive(Debug, Default)]
struct Columns {
    tenants: Vec<Uuid>,
    resource_types: Vec<String>,
    reset_periods: Vec<&'static str>,
    starts: Vec<PgTime>,
}

impl<'a> FromIterator<&'a AccountId> for Columns {
    fn from_iter<I: IntoIterator<Item = &'a AccountId>>(ids: I) -> Self {
        let mut columns = Self::default();
        for id in ids {
            columns.tenants.push(id.tenant.uuid());
            columns.resource_types.push(id.resource_type.clone());
            columns.reset_periods.push(id.reset_period.word());
            columns.starts.push(PgTime(id.start));
        }
        columns
    }
}

/// These accounts, as far as they are there, locked in the order of their ids, so that of two who lock several none waits for the
/// other.
#[tracing::instrument(name = "accounts.lock", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
pub(crate) async fn lock(
    conn: &mut PgConnection,
    ids: impl IntoIterator<Item = &AccountId>,
) -> Result<Vec<Account>, Error> {
    let columns: Columns = ids.into_iter().collect();
    let rows = sqlx::query_as!(
        Row,
        r#"SELECT a.tenant_id, a.resource_type, a.reset_period, a.window_start AS "window_start: PgTime",
                  a.window_end AS "window_end: PgTime", a.root_id, a."limit", a.beyond, a.superseded, a.settled, a.opening, a.fast, a.granted, a.committed,
                  a.told_percent, a.told_refusal
           FROM accounts AS a
           JOIN unnest($1::uuid[], $2::text[], $3::text[], $4::timestamptz[]) AS asked (tenant_id, resource_type, reset_period, window_start)
                USING (tenant_id, resource_type, reset_period, window_start)
           ORDER BY a.tenant_id, a.resource_type, a.reset_period, a.window_start FOR UPDATE OF a"#,
        &columns.tenants,
        &columns.resource_types,
        &columns.reset_periods as &[&str],
        &columns.starts as &[PgTime],
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter().map(Account::try_from).collect()
}

/// Writes what these accounts have settled and committed, and what was told of it.
#[tracing::instrument(name = "accounts.save_used", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
pub(crate) async fn save_used(
    conn: &mut PgConnection,
    accounts: impl IntoIterator<Item = &Account> + Clone,
) -> Result<(), Error> {
    let columns: Columns = accounts
        .clone()
        .into_iter()
        .map(|account| &account.id)
        .collect();
    let settled: Vec<_> = accounts
        .clone()
        .into_iter()
        .map(|account| account.settled)
        .collect();
    let committed: Vec<_> = accounts
        .clone()
        .into_iter()
        .map(|account| account.committed)
        .collect();
    let percents: Vec<_> = accounts
        .clone()
        .into_iter()
        .map(|account| account.told_percent)
        .collect();
    let refusals: Vec<_> = accounts
        .into_iter()
        .map(|account| account.told_refusal)
        .collect();
    sqlx::query!(
        "UPDATE accounts AS a
         SET settled = u.settled, committed = u.committed, told_percent = u.told_percent, told_refusal = u.told_refusal
         FROM unnest($1::uuid[], $2::text[], $3::text[], $4::timestamptz[], $5::bigint[], $6::bigint[], $7::smallint[], $8::boolean[])
              AS u (tenant_id, resource_type, reset_period, window_start, settled, committed, told_percent, told_refusal)
         WHERE (a.tenant_id, a.resource_type, a.reset_period, a.window_start)
             = (u.tenant_id, u.resource_type, u.reset_period, u.window_start)",
        &columns.tenants,
        &columns.resource_types,
        &columns.reset_periods as &[&str],
        &columns.starts as &[PgTime],
        &settled,
        &committed,
        &percents,
        &refusals,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Removes accounts that are settled and past their time: days and months are kept for longer than hours and minutes. How many went.
#[tracing::instrument(name = "accounts.sweep", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
pub(crate) async fn sweep(conn: &mut PgConnection, limit: i64) -> Result<u64, Error> {
    let gone = sqlx::query!(
        "DELETE FROM accounts WHERE ctid = ANY (ARRAY (
             SELECT ctid FROM accounts
             WHERE opening IS NULL AND window_end < clock_timestamp()
                 - CASE WHEN reset_period IN ('minute', 'hour') THEN interval '35 days' ELSE interval '400 days' END
             LIMIT $1))",
        limit,
    );
    Ok(gone.execute(conn).await?.rows_affected())
}

/// The newest account of each of these tenants' resource types and reset periods, of those that have one.
#[tracing::instrument(name = "accounts.newest_of", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
pub(crate) async fn newest_of(
    conn: &mut PgConnection,
    asked: &[(TenantId, &str, ResetPeriod)],
) -> Result<Vec<Account>, Error> {
    let tenants: Vec<_> = asked.iter().map(|(tenant, ..)| tenant.uuid()).collect();
    let types: Vec<_> = asked.iter().map(|(_, name, _)| *name).collect();
    let periods: Vec<_> = asked.iter().map(|(.., period)| period.word()).collect();
    let rows = sqlx::query_as!(
        Row,
        r#"SELECT a.tenant_id, a.resource_type, a.reset_period, a.window_start AS "window_start: PgTime",
                  a.window_end AS "window_end: PgTime", a.root_id, a."limit", a.beyond, a.superseded, a.settled, a.opening, a.fast, a.granted,
                  a.committed, a.told_percent, a.told_refusal
           FROM unnest($1::uuid[], $2::text[], $3::text[]) AS asked (tenant_id, resource_type, reset_period),
           LATERAL (SELECT one.tenant_id, one.resource_type, one.reset_period, one.window_start, one.window_end, one.root_id, one."limit", one.beyond,
                           one.superseded, one.settled, one.opening, one.fast, one.granted, one.committed, one.told_percent,
                           one.told_refusal FROM accounts AS one
                    WHERE one.tenant_id = asked.tenant_id AND one.resource_type = asked.resource_type
                      AND one.reset_period = asked.reset_period
                    ORDER BY one.window_start DESC LIMIT 1) AS a"#,
        &tenants,
        &types as &[&str],
        &periods as &[&str],
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter().map(Account::try_from).collect()
}
