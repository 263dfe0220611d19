//! The log of what was used.

use serde_json::Value;
use sqlx::PgConnection;
use tenantry_core::TenantId;
use tenantry_store::Error;
use uuid::Uuid;

/// By what a record is known: the tenant, who told of it, and their id of the request.
pub(crate) type Key = (TenantId, String, String);

/// One use.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub(crate) key: Key,
    pub(crate) usage_id: Uuid,
    pub(crate) digest: Vec<u8>,
    pub(crate) resource_type: String,
    pub(crate) amount: i64,
    pub(crate) description: String,
    pub(crate) answer: Value,
}

/// What is kept of a use, to answer whoever tells of it again.
#[derive(Clone, Debug)]
pub(crate) struct Kept {
    pub(crate) usage_id: Uuid,
    pub(crate) digest: Vec<u8>,
    pub(crate) answer: Value,
}

/// Keeps records that aren't there yet, in the order in which they are given: give them in the order of their keys, so that of two
/// who keep several none waits for the other. Returns the ids of those that were kept.
#[tracing::instrument(name = "usage_log.insert", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
pub(crate) async fn insert(
    conn: &mut PgConnection,
    records: &[&Record],
) -> Result<Vec<Uuid>, Error> {
    let tenants: Vec<_> = records.iter().map(|record| record.key.0.uuid()).collect();
    let principals: Vec<_> = records.iter().map(|record| record.key.1.as_str()).collect();
    let requests: Vec<_> = records.iter().map(|record| record.key.2.as_str()).collect();
    let ids: Vec<_> = records.iter().map(|record| record.usage_id).collect();
    let digests: Vec<_> = records
        .iter()
        .map(|record| record.digest.as_slice())
        .collect();
    let types: Vec<_> = records
        .iter()
        .map(|record| record.resource_type.as_str())
        .collect();
    let amounts: Vec<_> = records.iter().map(|record| record.amount).collect();
    let descriptions: Vec<_> = records
        .iter()
        .map(|record| record.description.as_str())
        .collect();
    let answers: Vec<_> = records.iter().map(|record| record.answer.clone()).collect();
    let kept = sqlx::query_scalar!(
        "INSERT INTO usage_log (tenant_id, principal, request_id, usage_id, digest, resource_type, amount, description, recorded_at, answer)
         SELECT tenant_id, principal, request_id, usage_id, digest, resource_type, amount, description, clock_timestamp(), answer
         FROM unnest($1::uuid[], $2::text[], $3::text[], $4::uuid[], $5::bytea[], $6::text[], $7::bigint[], $8::text[], $9::jsonb[])
              AS r (tenant_id, principal, request_id, usage_id, digest, resource_type, amount, description, answer)
         ON CONFLICT DO NOTHING RETURNING usage_id",
        &tenants,
        &principals as &[&str],
        &requests as &[&str],
        &ids,
        &digests as &[&[u8]],
        &types as &[&str],
        &amounts,
        &descriptions as &[&str],
        &answers,
    )
    .fetch_all(conn)
    .await?;
    Ok(kept)
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

/// What is kept under these keys, each with its key.
#[tracing::instrument(name = "usage_log.kept", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
pub(crate) async fn kept(
    conn: &mut PgConnection,
    keys: &[&Key],
) -> Result<Vec<(Key, Kept)>, Error> {
    let tenants: Vec<_> = keys.iter().map(|key| key.0.uuid()).collect();
    let principals: Vec<_> = keys.iter().map(|key| key.1.as_str()).collect();
    let requests: Vec<_> = keys.iter().map(|key| key.2.as_str()).collect();
    let rows = sqlx::query!(
        r#"SELECT u.tenant_id, u.principal, u.request_id, u.usage_id, u.digest, u.answer
           FROM unnest($1::uuid[], $2::text[], $3::text[]) AS asked (tenant_id, principal, request_id)
           JOIN usage_log AS u USING (tenant_id, principal, request_id)"#,
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
            answer: row.answer,
        };
        ((row.tenant_id.into(), row.principal, row.request_id), kept)
    });
    Ok(rows.collect())
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
