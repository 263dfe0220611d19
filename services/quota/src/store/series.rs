//! What the log adds up to in spans of time.

use std::collections::BTreeMap;

use jiff::Timestamp;
use sqlx::PgConnection;
use tenantry_core::TenantId;
use tenantry_store::Error;
use tenantry_store::time::PgTime;

/// In how many minutes amounts are added up.
pub(crate) const WIDTHS: [i16; 2] = [1, 15];

/// Amounts by tenant, resource type, width in minutes and start: in the order in which rows are locked.
#[derive(Debug, Default)]
pub(crate) struct Sums<'a>(BTreeMap<(TenantId, &'a str, i16, Timestamp), i64>);

impl<'a> Sums<'a> {
    /// Adds an amount that was used at this time.
    pub(crate) fn add(&mut self, tenant: TenantId, resource_type: &'a str, at: Timestamp, by: i64) {
        if by == 0 {
            return;
        }
        for width in WIDTHS {
            let seconds = i64::from(width) * 60;
            let start = at.as_second().div_euclid(seconds) * seconds;
            // Rounded down, it is as much a timestamp as before.
            let start = Timestamp::from_second(start).unwrap_or(Timestamp::MIN);
            let sum = self.0.entry((tenant, resource_type, width, start));
            let sum = sum.or_default();
            *sum = sum.saturating_add(by);
        }
    }
}

/// Adds these amounts to what there is.
#[tracing::instrument(name = "usage_series.add", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
pub(crate) async fn add(conn: &mut PgConnection, sums: &Sums<'_>) -> Result<(), Error> {
    if sums.0.is_empty() {
        return Ok(());
    }
    let keys = || sums.0.keys();
    let tenants: Vec<_> = keys().map(|key| key.0.uuid()).collect();
    let types: Vec<_> = keys().map(|key| key.1).collect();
    let widths: Vec<_> = keys().map(|key| key.2).collect();
    let starts: Vec<_> = keys().map(|key| PgTime(key.3)).collect();
    let amounts: Vec<_> = sums.0.values().copied().collect();
    sqlx::query!(
        "INSERT INTO usage_series AS s (tenant_id, resource_type, minutes, start, amount)
         SELECT tenant_id, resource_type, minutes, start, amount
         FROM unnest($1::uuid[], $2::text[], $3::smallint[], $4::timestamptz[], $5::bigint[])
              AS u (tenant_id, resource_type, minutes, start, amount)
         ON CONFLICT (tenant_id, resource_type, minutes, start) DO UPDATE
             SET amount = greatest(least(s.amount::numeric + excluded.amount, 9223372036854775807), -9223372036854775808)::bigint",
        &tenants,
        &types as &[&str],
        &widths,
        &starts as &[PgTime],
        &amounts,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Removes spans past their time: minutes with the log, quarters of an hour with the accounts. How many went.
#[tracing::instrument(name = "usage_series.sweep", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
pub(crate) async fn sweep(conn: &mut PgConnection, limit: i64) -> Result<u64, Error> {
    let gone = sqlx::query!(
        "DELETE FROM usage_series WHERE ctid = ANY (ARRAY (
             SELECT ctid FROM usage_series
             WHERE start < clock_timestamp() - CASE WHEN minutes = 1 THEN interval '35 days' ELSE interval '400 days' END
             LIMIT $1))",
        limit,
    );
    Ok(gone.execute(conn).await?.rows_affected())
}

/// What a resource type adds up to in each of the spans between these instants, which are in order: of sums of so many minutes, which
/// lie in one span each.
#[tracing::instrument(name = "usage_series.sums", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
pub(crate) async fn sums(
    conn: &mut PgConnection,
    tenant: TenantId,
    (resource_type, width_minutes): (&str, i16),
    bounds: &[Timestamp],
) -> Result<Vec<i64>, Error> {
    let mut sums = vec![0; bounds.len().saturating_sub(1)];
    let (Some(first), Some(last)) = (bounds.first(), bounds.last()) else {
        return Ok(sums);
    };
    let starts: Vec<_> = bounds.iter().copied().map(PgTime).collect();
    let rows = sqlx::query!(
        r#"SELECT width_bucket(start, $4::timestamptz[]) AS "span!",
                  least(greatest(sum(amount), -9223372036854775808), 9223372036854775807)::bigint AS "amount!"
           FROM usage_series
           WHERE tenant_id = $1 AND resource_type = $2 AND minutes = $3 AND start >= $5 AND start < $6
           GROUP BY 1"#,
        tenant.uuid(),
        resource_type,
        width_minutes,
        &starts as &[PgTime],
        PgTime(*first) as PgTime,
        PgTime(*last) as PgTime,
    )
    .fetch_all(conn)
    .await?;
    for row in rows {
        // Counted from 1.
        let place = usize::try_from(row.span - 1).unwrap_or(usize::MAX);
        if let Some(sum) = sums.get_mut(place) {
            *sum = row.amount;
        }
    }
    Ok(sums)
}

/// What each of these resource types adds up to since each of two instants, the later one first.
#[tracing::instrument(name = "usage_series.since", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
pub(crate) async fn since(
    conn: &mut PgConnection,
    tenant: TenantId,
    resource_types: &[&str],
    (late, early): (Timestamp, Timestamp),
) -> Result<Vec<(i64, i64)>, Error> {
    let rows = sqlx::query!(
        r#"SELECT least(greatest(coalesce(sums.late, 0), -9223372036854775808), 9223372036854775807)::bigint AS "late!",
                  least(greatest(coalesce(sums.early, 0), -9223372036854775808), 9223372036854775807)::bigint AS "early!"
           FROM unnest($2::text[]) WITH ORDINALITY AS asked (resource_type, place), LATERAL (
               SELECT sum(amount) FILTER (WHERE start >= $3) AS late, sum(amount) AS early FROM usage_series AS s
               WHERE s.tenant_id = $1 AND s.resource_type = asked.resource_type AND s.minutes = 15 AND s.start >= $4) AS sums
           ORDER BY asked.place"#,
        tenant.uuid(),
        resource_types as &[&str],
        PgTime(late) as PgTime,
        PgTime(early) as PgTime,
    )
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(|row| (row.late, row.early)).collect())
}
