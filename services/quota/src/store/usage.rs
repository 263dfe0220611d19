//! The log of what was used.

use std::collections::{HashMap, HashSet};

use jiff::Timestamp;
use serde_json::Value;
use sqlx::PgConnection;
use tenantry_core::TenantId;
use tenantry_store::Error;
use tenantry_store::time::PgTime;
use uuid::Uuid;

use crate::domain::entry::{Counted, Entry, Key, Kind};
use crate::domain::usage_event::{Event, Sum};

/// What is kept of a line, to answer whoever tells of it again.
#[derive(Clone, Debug)]
pub(crate) struct Kept {
    pub(crate) usage_id: Uuid,
    pub(crate) digest: Vec<u8>,
    pub(crate) counted: Counted,
}

/// Keeps the lines of entries that aren't there yet, in the order in which these are given: give them in the order of their keys, so
/// that of two who keep several none waits for the other. Returns how many lines were kept.
#[tracing::instrument(name = "usage_log.insert", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
pub(crate) async fn insert(
    conn: &mut PgConnection,
    entries: &[(&Entry, &[Counted])],
    now: Timestamp,
) -> Result<u64, Error> {
    let mut columns = Columns::default();
    for (entry, lines) in entries {
        for (line, counted) in (0..).zip(*lines) {
            columns.push(entry, (line, counted), now)?;
        }
    }
    let kept = sqlx::query!(
        "INSERT INTO usage_log (tenant_id, principal, request_id, line, usage_id, digest, kind, resource_type, amount, description,
                                occurred_at, refers_to, answer, recorded_at)
         SELECT tenant_id, principal, request_id, line, usage_id, digest, kind, resource_type, amount, description, occurred_at, refers_to,
                answer, $14
         FROM unnest($1::uuid[], $2::text[], $3::text[], $4::smallint[], $5::uuid[], $6::bytea[], $7::text[], $8::text[],
                     $9::bigint[], $10::text[], $11::timestamptz[], $12::uuid[], $13::jsonb[])
              AS r (tenant_id, principal, request_id, line, usage_id, digest, kind, resource_type, amount, description, occurred_at,
                    refers_to, answer)
         ON CONFLICT DO NOTHING",
        &columns.tenants,
        &columns.principals as &[&str],
        &columns.requests as &[&str],
        &columns.lines,
        &columns.ids,
        &columns.digests as &[&[u8]],
        &columns.kinds as &[&str],
        &columns.types as &[&str],
        &columns.amounts,
        &columns.descriptions as &[&str],
        &columns.occurred as &[PgTime],
        &columns.refers as &[Option<Uuid>],
        &columns.answers,
        PgTime(now) as PgTime,
    )
    .execute(conn)
    .await?;
    Ok(kept.rows_affected())
}

/// Lines as columns.
#[derive(Debug, Default)]
struct Columns<'a> {
    tenants: Vec<Uuid>,
    principals: Vec<&'a str>,
    requests: Vec<&'a str>,
    lines: Vec<i16>,
    ids: Vec<Uuid>,
    digests: Vec<&'a [u8]>,
    kinds: Vec<&'static str>,
    types: Vec<&'a str>,
    amounts: Vec<i64>,
    descriptions: Vec<&'a str>,
    occurred: Vec<PgTime>,
    refers: Vec<Option<Uuid>>,
    answers: Vec<Value>,
}

impl<'a> Columns<'a> {
    fn push(
        &mut self,
        entry: &'a Entry,
        (line, counted): (i16, &'a Counted),
        now: Timestamp,
    ) -> Result<(), Error> {
        let (tenant, principal, request) = &entry.key;
        self.tenants.push(tenant.uuid());
        self.principals.push(principal);
        self.requests.push(request);
        self.lines.push(line);
        self.ids.push(entry.usage_id);
        self.digests.push(&entry.digest);
        self.kinds.push(entry.kind.word());
        self.types.push(&counted.resource_type);
        self.amounts.push(counted.amount);
        self.descriptions.push(&entry.description);
        self.occurred.push(PgTime(entry.occurred_at.unwrap_or(now)));
        self.refers.push(entry.refers_to);
        self.answers.push(serde_json::to_value(counted.standing)?);
        Ok(())
    }
}

/// Keeps events of a tenant that aren't there yet, in the order in which they are given: give them in the order of their keys, so that
/// of two who keep the same none waits for the other. Returns the ids of those that were kept.
#[tracing::instrument(name = "usage_log.record", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
pub(crate) async fn record(
    conn: &mut PgConnection,
    tenant: TenantId,
    events: &[Event<'_>],
    now: Timestamp,
) -> Result<Vec<Uuid>, Error> {
    let told = || events.iter().map(|event| event.told);
    let sources: Vec<_> = told().map(|told| told.source.as_str()).collect();
    let requests: Vec<_> = told().map(|told| told.id.as_str()).collect();
    let ids: Vec<_> = events.iter().map(|event| event.usage_id).collect();
    let digests: Vec<_> = told().map(|told| told.digest.as_slice()).collect();
    let types: Vec<_> = told().map(|told| told.resource_type.as_str()).collect();
    let amounts: Vec<_> = told().map(|told| told.amount).collect();
    let descriptions: Vec<_> = told().map(|told| told.description.as_str()).collect();
    let occurred: Vec<_> = events
        .iter()
        .map(|event| PgTime(event.occurred_at))
        .collect();
    let kept = sqlx::query_scalar!(
        "INSERT INTO usage_log (tenant_id, principal, request_id, usage_id, digest, kind, resource_type, amount, description, occurred_at,
                                recorded_at, answer)
         SELECT $1, source, request_id, usage_id, digest, $10, resource_type, amount, description, occurred_at, $11, 'null'
         FROM unnest($2::text[], $3::text[], $4::uuid[], $5::bytea[], $6::text[], $7::bigint[], $8::text[], $9::timestamptz[])
              AS e (source, request_id, usage_id, digest, resource_type, amount, description, occurred_at)
         ON CONFLICT DO NOTHING RETURNING usage_id",
        tenant.uuid(),
        &sources as &[&str],
        &requests as &[&str],
        &ids,
        &digests as &[&[u8]],
        &types as &[&str],
        &amounts,
        &descriptions as &[&str],
        &occurred as &[PgTime],
        Kind::Recorded.word(),
        PgTime(now) as PgTime,
    )
    .fetch_all(conn)
    .await?;
    Ok(kept)
}

/// Keeps sums of requests that aren't there yet, in the order in which they are given. Returns the ids of those that were kept.
#[tracing::instrument(name = "usage_log.log_requests", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
pub(crate) async fn log_requests(
    conn: &mut PgConnection,
    sums: &[&Sum],
    now: Timestamp,
) -> Result<HashSet<Uuid>, Error> {
    let tenants: Vec<_> = sums.iter().map(|sum| sum.tenant.uuid()).collect();
    let ids: Vec<_> = sums.iter().map(|sum| sum.id).collect();
    let types: Vec<_> = sums.iter().map(|sum| &*sum.resource_type).collect();
    let amounts: Vec<_> = sums.iter().map(|sum| sum.amount).collect();
    let kept = sqlx::query_scalar!(
        "INSERT INTO usage_log (tenant_id, principal, request_id, usage_id, digest, kind, resource_type, amount, description, occurred_at,
                                recorded_at, answer)
         SELECT tenant_id, 'service:quota', usage_id::text, usage_id, '', $5, resource_type, amount, '', $6, $6, 'null'
         FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::bigint[]) AS r (tenant_id, usage_id, resource_type, amount)
         ON CONFLICT DO NOTHING RETURNING usage_id",
        &tenants,
        &ids,
        &types as &[&str],
        &amounts,
        Kind::Requests.word(),
        PgTime(now) as PgTime,
    )
    .fetch_all(conn)
    .await?;
    Ok(kept.into_iter().collect())
}

/// What tells the requests under these keys from others.
#[tracing::instrument(name = "usage_log.digests", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
pub(crate) async fn digests(
    conn: &mut PgConnection,
    keys: &[Key],
) -> Result<HashMap<Key, Vec<u8>>, Error> {
    if keys.is_empty() {
        return Ok(HashMap::new());
    }
    let tenants: Vec<_> = keys.iter().map(|key| key.0.uuid()).collect();
    let principals: Vec<_> = keys.iter().map(|key| key.1.as_str()).collect();
    let requests: Vec<_> = keys.iter().map(|key| key.2.as_str()).collect();
    let rows = sqlx::query!(
        "SELECT u.tenant_id, u.principal, u.request_id, u.digest
         FROM unnest($1::uuid[], $2::text[], $3::text[]) AS asked (tenant_id, principal, request_id)
         JOIN usage_log AS u USING (tenant_id, principal, request_id) WHERE u.line = 0",
        &tenants,
        &principals as &[&str],
        &requests as &[&str],
    )
    .fetch_all(conn)
    .await?;
    let rows = rows.into_iter();
    Ok(rows
        .map(|row| {
            (
                (row.tenant_id.into(), row.principal, row.request_id),
                row.digest,
            )
        })
        .collect())
}

/// A line of the log that may be corrected, and what corrections have added to it.
#[derive(Debug)]
pub(crate) struct Correctable {
    pub(crate) kind: String,
    pub(crate) amount: i64,
    pub(crate) corrected: i64,
    pub(crate) occurred_at: Timestamp,
}

/// The line of a use that says how much of a resource type it was; nobody else corrects it until the transaction ends. Ids say when
/// they were made (RFC 9562, version 7), and lines are found by when they were recorded.
#[tracing::instrument(name = "usage_log.lock", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
pub(crate) async fn lock(
    conn: &mut PgConnection,
    tenant: TenantId,
    (usage_id, resource_type): (Uuid, &str),
) -> Result<Option<Correctable>, Error> {
    let made = usage_id.get_timestamp().map(|made| made.to_unix());
    let made = made.and_then(|(seconds, _)| Timestamp::from_second(seconds.cast_signed()).ok());
    let Some(made) = made else {
        return Ok(None);
    };
    let row = sqlx::query!(
        r#"SELECT kind, amount, occurred_at AS "occurred_at: PgTime" FROM usage_log
           WHERE tenant_id = $1 AND usage_id = $2 AND resource_type = $3
             AND recorded_at BETWEEN $4::timestamptz - interval '5 minutes' AND $4::timestamptz + interval '5 minutes'
           FOR UPDATE"#,
        tenant.uuid(),
        usage_id,
        resource_type,
        PgTime(made) as PgTime,
    )
    .fetch_optional(&mut *conn)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let corrected = sqlx::query_scalar!(
        r#"SELECT coalesce(sum(amount), 0)::bigint AS "corrected!" FROM usage_log
           WHERE tenant_id = $1 AND refers_to = $2 AND resource_type = $3 AND kind = $4"#,
        tenant.uuid(),
        usage_id,
        resource_type,
        Kind::Corrected.word(),
    )
    .fetch_one(conn)
    .await?;
    Ok(Some(Correctable {
        kind: row.kind,
        amount: row.amount,
        corrected,
        occurred_at: row.occurred_at.into(),
    }))
}

/// Those of these tenants that are open to changes, and stay so until the transaction ends. Ask it last: whoever changes a tenant
/// comes here last too.
#[tracing::instrument(name = "outbox_counter.open", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
pub(crate) async fn open_tenants(
    conn: &mut PgConnection,
    tenants: &[TenantId],
) -> Result<Vec<TenantId>, Error> {
    let ids: Vec<_> = tenants.iter().map(|id| id.uuid()).collect();
    let open = sqlx::query_scalar!(
        "SELECT tenant_id FROM outbox_counter WHERE tenant_id = ANY($1) AND closed_at IS NULL ORDER BY tenant_id FOR SHARE",
        &ids,
    );
    let open = open.fetch_all(conn).await?;
    Ok(open.into_iter().map(Into::into).collect())
}

/// What is kept under these keys, each with its key, line by line.
#[tracing::instrument(name = "usage_log.kept", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
pub(crate) async fn kept(
    conn: &mut PgConnection,
    keys: &[&Key],
) -> Result<Vec<(Key, Kept)>, Error> {
    let tenants: Vec<_> = keys.iter().map(|key| key.0.uuid()).collect();
    let principals: Vec<_> = keys.iter().map(|key| key.1.as_str()).collect();
    let requests: Vec<_> = keys.iter().map(|key| key.2.as_str()).collect();
    let rows = sqlx::query!(
        r#"SELECT u.tenant_id, u.principal, u.request_id, u.usage_id, u.digest, u.resource_type, u.amount, u.answer
           FROM unnest($1::uuid[], $2::text[], $3::text[]) AS asked (tenant_id, principal, request_id)
           JOIN usage_log AS u USING (tenant_id, principal, request_id) ORDER BY u.line"#,
        &tenants,
        &principals as &[&str],
        &requests as &[&str],
    )
    .fetch_all(conn)
    .await?;
    let rows = rows.into_iter().map(|row| {
        let kept = Kept {
            usage_id: row.usage_id,
            digest: row.digest,
            counted: Counted {
                resource_type: row.resource_type,
                amount: row.amount,
                standing: serde_json::from_value(row.answer)?,
            },
        };
        Ok(((row.tenant_id.into(), row.principal, row.request_id), kept))
    });
    rows.collect()
}

/// Removes records past their time; how many went.
#[tracing::instrument(name = "usage_log.sweep", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
pub(crate) async fn sweep(conn: &mut PgConnection, limit: i64) -> Result<u64, Error> {
    let gone = sqlx::query!(
        "DELETE FROM usage_log WHERE ctid = ANY (ARRAY (
             SELECT ctid FROM usage_log WHERE recorded_at < clock_timestamp() - interval '35 days' LIMIT $1))",
        limit,
    );
    Ok(gone.execute(conn).await?.rows_affected())
}
