//! The runs that there are.

use sqlx::PgConnection;
use tenantry_store::Error;
use tenantry_store::time::PgTime;

use crate::domain::query::Scope;
use crate::domain::search::way::Contents;
use crate::domain::search::{Level, Run, key, postings};

/// A run, and of its buckets those that were asked for.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub(crate) run: Run,
    /// None where all of its events have gone.
    pub(crate) contents: Option<Contents>,
    pub(crate) buckets: Vec<postings::Bucket>,
}

/// From when to when, as the columns have it.
type Times = (Option<PgTime>, Option<PgTime>);

fn contents(events: i32, came: Times, happened: Times) -> Option<Contents> {
    let between = |(first, last): Times| Some((first?.into(), last?.into()));
    Some(Contents {
        events,
        came: between(came)?,
        happened: between(happened)?,
    })
}

/// Beyond every place, and not so far that nothing can be added.
const NO_END: i64 = i64::MAX >> 1;

/// The last runs that have places before this one, so many, from the last to the first; a long one comes before those that are
/// part of it. With the buckets that these terms are in: all of it at one instant, because runs are merged meanwhile.
#[tracing::instrument(name = "search_runs.below", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
pub(crate) async fn below(
    conn: &mut PgConnection,
    scope: Scope,
    before: Option<i64>,
    terms: &[i64],
    limit: i64,
) -> Result<Vec<Found>, Error> {
    let before = before.unwrap_or(NO_END);
    let buckets = |level| -> Vec<i32> {
        let mut buckets: Vec<_> = terms
            .iter()
            .map(|term| postings::bucket(level, *term))
            .collect();
        buckets.sort_unstable();
        buckets.dedup();
        buckets
    };
    let rows = sqlx::query!(
        r#"
        SELECT r.until, r.level, r.events, r.received_from, r.received_to, r.at_from, r.at_to,
               p.bucket AS "bucket?", p.postings AS "postings?"
        FROM (SELECT until, level, events, received_from, received_to, at_from, at_to
              FROM search_runs
              WHERE tenant_id = $1 AND until < $2::bigint + $3::bigint AND until - search_span(level) < $2
              ORDER BY until DESC, level DESC LIMIT $4) AS r
        LEFT JOIN search_postings AS p ON p.tenant_id = $1 AND p.level = r.level AND p.until = r.until
             AND p.bucket = ANY (CASE r.level WHEN 0 THEN $5::integer[] ELSE $6::integer[] END)
        ORDER BY r.until DESC, r.level DESC
        "#,
        key(scope),
        before,
        Level::Long.span(),
        limit,
        &buckets(Level::Short),
        &buckets(Level::Long),
    )
    .fetch_all(conn)
    .await?;
    let mut found: Vec<Found> = Vec::new();
    for row in rows {
        let run = Run {
            level: Level::of(row.level),
            until: row.until,
        };
        if found.last().is_none_or(|last| last.run != run) {
            let came = (row.received_from, row.received_to);
            found.push(Found {
                run,
                contents: contents(row.events, came, (row.at_from, row.at_to)),
                buckets: Vec::new(),
            });
        }
        if let (Some(last), Some(bucket)) = (found.last_mut(), row.bucket.zip(row.postings)) {
            last.buckets.push(bucket);
        }
    }
    Ok(found)
}

/// Writes what a run has, which was just made.
#[tracing::instrument(name = "search_runs.put", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
pub(crate) async fn put(
    conn: &mut PgConnection,
    scope: Scope,
    run: Run,
    contents: Option<&Contents>,
) -> Result<(), Error> {
    let came = contents.map(|contents| contents.came);
    let happened = contents.map(|contents| contents.happened);
    sqlx::query!(
        "INSERT INTO search_runs (tenant_id, until, level, events, received_from, received_to, at_from, at_to)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
         ON CONFLICT (tenant_id, until, level) DO UPDATE SET events = excluded.events,
             received_from = excluded.received_from, received_to = excluded.received_to,
             at_from = excluded.at_from, at_to = excluded.at_to",
        key(scope),
        run.until,
        run.level.number(),
        contents.map_or(0, |contents| contents.events),
        came.map(|came| PgTime(came.0)) as Option<PgTime>,
        came.map(|came| PgTime(came.1)) as Option<PgTime>,
        happened.map(|happened| PgTime(happened.0)) as Option<PgTime>,
        happened.map(|happened| PgTime(happened.1)) as Option<PgTime>,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// How many short runs of this long one there are, and what they have together.
#[tracing::instrument(name = "search_runs.parts", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
pub(crate) async fn parts(
    conn: &mut PgConnection,
    scope: Scope,
    long: Run,
) -> Result<(i64, Option<Contents>), Error> {
    let row = sqlx::query!(
        r#"SELECT count(*) AS "count!", coalesce(sum(events), 0)::integer AS "events!", min(received_from) AS "received_from",
                  max(received_to) AS "received_to", min(at_from) AS "at_from", max(at_to) AS "at_to"
           FROM search_runs WHERE tenant_id = $1 AND until > $2 AND until <= $3 AND level = $4"#,
        key(scope),
        long.first(),
        long.until,
        Level::Short.number(),
    )
    .fetch_one(conn)
    .await?;
    let came = (row.received_from, row.received_to);
    let contents = contents(row.events, came, (row.at_from, row.at_to));
    Ok((row.count, contents))
}

/// Removes the short runs of a long one, which has all that they had.
#[tracing::instrument(name = "search_runs.remove_parts", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
pub(crate) async fn remove_parts(
    conn: &mut PgConnection,
    scope: Scope,
    long: Run,
) -> Result<(), Error> {
    sqlx::query!(
        "WITH postings AS (DELETE FROM search_postings WHERE tenant_id = $1 AND level = $4 AND until > $2 AND until <= $3)
         DELETE FROM search_runs WHERE tenant_id = $1 AND until > $2 AND until <= $3 AND level = $4",
        key(scope),
        long.first(),
        long.until,
        Level::Short.number(),
    )
    .execute(conn)
    .await?;
    Ok(())
}
