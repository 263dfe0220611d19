//! Appending: one batch at a time over all logs, under the lock of the head.

use std::collections::HashMap;

use jiff::Timestamp;
use sqlx::PgConnection;
use tenantry_core::TenantId;
use tenantry_store::Error;
use tenantry_store::time::PgTime;

use crate::domain::entry::Entry;
use crate::domain::query::Scope;
use crate::domain::retention::Class;
use crate::domain::search::Run;
use crate::store::search::due;

/// An entry and its place.
#[derive(Debug)]
pub(crate) struct Placed<'a> {
    pub(crate) tenant: TenantId,
    pub(crate) index: i64,
    pub(crate) class: Class,
    pub(crate) source: &'a str,
    pub(crate) epoch: i32,
    pub(crate) entry: Entry,
}

/// The end of what was appended, and the time; locked until the transaction ends.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Head {
    pub(crate) position: i64,
    pub(crate) now: Timestamp,
}

/// Locks the head: whoever else appends waits.
#[tracing::instrument(name = "log_head.lock", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
pub(crate) async fn lock_head(conn: &mut PgConnection) -> Result<Head, Error> {
    // The time is taken behind the lock, and never goes back from one batch to the next, whatever the clock does.
    let head = sqlx::query!("SELECT position, at FROM log_head FOR UPDATE")
        .fetch_one(&mut *conn)
        .await?;
    let now = sqlx::query_scalar!(
        r#"SELECT greatest(clock_timestamp(), $1) AS "now!: PgTime""#,
        head.at as PgTime
    )
    .fetch_one(conn)
    .await?;
    Ok(Head {
        position: head.position,
        now: now.into(),
    })
}

/// The sizes of these tenants' logs; one that isn't there yet is left out.
#[tracing::instrument(name = "logs.sizes", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
pub(crate) async fn sizes(
    conn: &mut PgConnection,
    tenants: &[TenantId],
) -> Result<HashMap<TenantId, i64>, Error> {
    let ids: Vec<_> = tenants.iter().map(|id| id.uuid()).collect();
    let rows = sqlx::query!(
        "SELECT tenant_id, size FROM logs WHERE tenant_id = ANY($1)",
        &ids
    )
    .fetch_all(conn)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| (row.tenant_id.into(), row.size))
        .collect())
}

/// Writes entries behind the head, in their order, and moves it.
#[tracing::instrument(name = "events.insert", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
pub(crate) async fn insert(
    conn: &mut PgConnection,
    head: Head,
    placed: Vec<Placed<'_>>,
) -> Result<(), Error> {
    let mut rows = Rows::default();
    for one in placed {
        rows.push(one);
    }
    let due = rows.filled_runs(head.position);
    if !due.is_empty() {
        due::add(conn, &due).await?;
    }
    let Rows {
        tenants,
        indexes,
        classes,
        ids,
        ats,
        sources,
        epochs,
        ns,
        digests,
        leaves,
        hashes,
        disclosed,
        terms,
    } = rows;
    sqlx::query!(
        r#"
        INSERT INTO events (tenant_id, index, class, received_at, position, event_id, at, source, epoch, n, digest, leaf,
                            leaf_hash, disclosed, terms)
        SELECT tenant_id, index, class, $1, $2::bigint + place, event_id, at, source, epoch, n, digest, leaf, leaf_hash,
               disclosed, terms::bigint[]
        FROM unnest($3::uuid[], $4::bigint[], $5::smallint[], $6::uuid[], $7::timestamptz[], $8::text[], $9::integer[],
                    $10::bigint[], $11::bytea[], $12::text[], $13::bytea[], $14::text[], $15::text[])
             WITH ORDINALITY AS e (tenant_id, index, class, event_id, at, source, epoch, n, digest, leaf, leaf_hash,
                                   disclosed, terms, place)
        "#,
        PgTime(head.now) as PgTime,
        head.position,
        &tenants,
        &indexes,
        &classes,
        &ids,
        &ats as &[PgTime],
        &sources,
        &epochs,
        &ns,
        &digests,
        &leaves,
        &hashes,
        &disclosed as &[Option<String>],
        &terms,
    )
    .execute(&mut *conn)
    .await?;
    sqlx::query!(
        "UPDATE log_head SET position = position + $1, at = $2",
        i64::try_from(tenants.len()).unwrap_or(i64::MAX),
        PgTime(head.now) as PgTime,
    )
    .execute(&mut *conn)
    .await?;
    Ok(())
}

/// Writes the sizes that these logs have now, and that they wait for a checkpoint.
#[tracing::instrument(name = "logs.grow", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
pub(crate) async fn grow(
    conn: &mut PgConnection,
    now: Timestamp,
    sizes: &HashMap<TenantId, i64>,
) -> Result<(), Error> {
    let ids: Vec<_> = sizes.keys().map(|id| id.uuid()).collect();
    let sizes: Vec<_> = sizes.values().copied().collect();
    sqlx::query!(
        "INSERT INTO logs AS l (tenant_id, size, waiting_since, queued_at)
         SELECT tenant_id, size, $1, $1 FROM unnest($2::uuid[], $3::bigint[]) AS g (tenant_id, size)
         ON CONFLICT (tenant_id) DO UPDATE SET size = excluded.size,
             waiting_since = coalesce(l.waiting_since, excluded.waiting_since),
             queued_at = coalesce(l.queued_at, excluded.queued_at)",
        PgTime(now) as PgTime,
        &ids,
        &sizes,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// The columns of a batch.
#[derive(Default)]
struct Rows {
    tenants: Vec<uuid::Uuid>,
    indexes: Vec<i64>,
    classes: Vec<i16>,
    ids: Vec<uuid::Uuid>,
    ats: Vec<PgTime>,
    sources: Vec<String>,
    epochs: Vec<i32>,
    ns: Vec<i64>,
    digests: Vec<Vec<u8>>,
    leaves: Vec<String>,
    hashes: Vec<Vec<u8>>,
    disclosed: Vec<Option<String>>,
    terms: Vec<String>,
}

impl Rows {
    /// The runs whose last event is among these, the first of which is behind this position. All others of them are committed:
    /// appends come one after the other.
    fn filled_runs(&self, position: i64) -> Vec<(Scope, Run)> {
        let indexes = self.tenants.iter().zip(&self.indexes);
        let of_logs = indexes.map(|(tenant, index)| (Scope::Log((*tenant).into()), *index));
        let positions = (position + 1..).take(self.tenants.len());
        let of_all = positions.map(|position| (Scope::All, position));
        let placed = of_logs.chain(of_all);
        let filled = placed.filter_map(|(scope, place)| Some((scope, Run::filled_by(place)?)));
        filled.collect()
    }

    fn push(&mut self, placed: Placed<'_>) {
        let entry = placed.entry;
        self.tenants.push(placed.tenant.uuid());
        self.indexes.push(placed.index);
        self.classes.push(placed.class.number());
        self.ids.push(entry.id);
        self.ats.push(entry.at.into());
        self.sources.push(placed.source.to_owned());
        self.epochs.push(placed.epoch);
        self.ns.push(entry.n);
        self.digests.push(entry.digest);
        self.hashes.push(entry.leaf.hash().0.to_vec());
        self.leaves.push(entry.leaf.into_string());
        self.disclosed.push(entry.disclosed);
        self.terms.push(array(&entry.terms));
    }
}

/// An array as Postgres writes it: arrays of arrays don't travel where their lengths differ.
pub(super) fn array(numbers: &[i64]) -> String {
    use std::fmt::Write as _;
    let mut text = String::with_capacity(numbers.len() * 21 + 2);
    text.push('{');
    for (place, number) in numbers.iter().enumerate() {
        let comma = if place == 0 { "" } else { "," };
        // Writing to a text can't fail.
        let _ = write!(text, "{comma}{number}");
    }
    text.push('}');
    text
}
