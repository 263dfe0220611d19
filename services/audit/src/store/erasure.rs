//! Taking what is personal out of events, whose leaves stay.

use sqlx::PgConnection;
use tenantry_core::TenantId;
use tenantry_store::Error;

use super::append::array;

/// An event as far as its erasure needs it.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) index: i64,
    pub(crate) position: i64,
    pub(crate) leaf: String,
}

/// How many events of a tenant have personal values; of very many, this many.
#[tracing::instrument(name = "erasure.count", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
pub(crate) async fn count(
    conn: &mut PgConnection,
    tenant: TenantId,
    most: i64,
) -> Result<i64, Error> {
    let count = sqlx::query_scalar!(
        r#"SELECT count(*) AS "count!" FROM (
               SELECT FROM events WHERE tenant_id = $1 AND disclosed IS NOT NULL LIMIT $2
           ) AS disclosed"#,
        tenant.uuid(),
        most,
    );
    Ok(count.fetch_one(conn).await?)
}

/// Some events of a log from this place on, in order.
#[tracing::instrument(name = "erasure.from", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
pub(crate) async fn from(
    conn: &mut PgConnection,
    tenant: TenantId,
    index: i64,
    most: i64,
) -> Result<Vec<Row>, Error> {
    let rows = sqlx::query_as!(
        Row,
        "SELECT index, position, leaf FROM events WHERE tenant_id = $1 AND index >= $2 ORDER BY index LIMIT $3",
        tenant.uuid(),
        index,
        most,
    );
    Ok(rows.fetch_all(conn).await?)
}

/// Takes values and digests out of events of a log, and has them found by these terms alone.
#[tracing::instrument(name = "erasure.erase", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
pub(crate) async fn erase(
    conn: &mut PgConnection,
    tenant: TenantId,
    events: &[(i64, Vec<i64>)],
) -> Result<(), Error> {
    let (Some(first), Some(last)) = (events.first(), events.last()) else {
        return Ok(());
    };
    let indexes: Vec<_> = events.iter().map(|(index, _)| *index).collect();
    let terms: Vec<_> = events.iter().map(|(_, terms)| array(terms)).collect();
    // The range bounds what each partition is looked through for.
    sqlx::query!(
        "UPDATE events AS e SET disclosed = NULL, digest = '', terms = g.terms::bigint[]
         FROM unnest($2::bigint[], $3::text[]) AS g (index, terms)
         WHERE e.tenant_id = $1 AND e.index BETWEEN $4 AND $5 AND e.index = g.index",
        tenant.uuid(),
        &indexes,
        &terms,
        first.0,
        last.0,
    )
    .execute(conn)
    .await?;
    Ok(())
}
