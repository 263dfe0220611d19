//! The tiles of the trees: those of tenants' logs, and those of the fleet's.

use std::collections::HashMap;

use sqlx::PgConnection;
use tenantry_core::TenantId;
use tenantry_store::Error;
use tenantry_transparency::{TileId, Tiles};
use uuid::Uuid;

use super::number::{signed, unsigned};

/// A tile of a tenant's log.
pub(crate) type OfLog = (TenantId, TileId);

/// Some tiles of some logs, by log. One that isn't there is left out.
#[tracing::instrument(name = "tiles.of_logs", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
pub(crate) async fn of_logs(
    conn: &mut PgConnection,
    tiles: &[OfLog],
) -> Result<HashMap<TenantId, Tiles>, Error> {
    let tenants: Vec<_> = tiles.iter().map(|(tenant, _)| tenant.uuid()).collect();
    let (levels, indexes) = places(tiles.iter().map(|(_, id)| *id));
    let rows = sqlx::query!(
        "SELECT t.tenant_id, t.level, t.index, t.hashes
         FROM unnest($1::uuid[], $2::smallint[], $3::bigint[]) AS asked (tenant_id, level, index)
         JOIN tiles AS t USING (tenant_id, level, index)",
        &tenants,
        &levels,
        &indexes,
    )
    .fetch_all(conn)
    .await?;
    let mut found: HashMap<TenantId, Tiles> = HashMap::new();
    for row in rows {
        let of_log = found.entry(row.tenant_id.into()).or_default();
        of_log.insert(id(row.level, row.index), row.hashes);
    }
    Ok(found)
}

/// Some tiles of one log. One that isn't there is left out.
pub(crate) async fn of(
    conn: &mut PgConnection,
    tenant: TenantId,
    tiles: &[TileId],
) -> Result<Tiles, Error> {
    let tiles: Vec<_> = tiles.iter().map(|id| (tenant, *id)).collect();
    let mut found = of_logs(conn, &tiles).await?;
    Ok(found.remove(&tenant).unwrap_or_default())
}

/// One tile of a log.
#[tracing::instrument(name = "tiles.one", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
pub(crate) async fn one(
    conn: &mut PgConnection,
    tenant: TenantId,
    id: TileId,
) -> Result<Option<Vec<u8>>, Error> {
    let hashes = sqlx::query_scalar!(
        "SELECT hashes FROM tiles WHERE tenant_id = $1 AND level = $2 AND index = $3",
        tenant.uuid(),
        i16::from(id.level),
        signed(id.index),
    );
    Ok(hashes.fetch_optional(conn).await?)
}

/// Writes tiles that are new or became longer.
#[tracing::instrument(name = "tiles.save", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
pub(crate) async fn save(conn: &mut PgConnection, tiles: &[(OfLog, &[u8])]) -> Result<(), Error> {
    let tenants: Vec<Uuid> = tiles.iter().map(|((of, _), _)| of.uuid()).collect();
    let (levels, indexes) = places(tiles.iter().map(|((_, id), _)| *id));
    let hashes: Vec<_> = tiles.iter().map(|(_, hashes)| *hashes).collect();
    sqlx::query!(
        "INSERT INTO tiles (tenant_id, level, index, hashes)
         SELECT * FROM unnest($1::uuid[], $2::smallint[], $3::bigint[], $4::bytea[])
         ON CONFLICT (tenant_id, level, index) DO UPDATE SET hashes = excluded.hashes",
        &tenants,
        &levels,
        &indexes,
        &hashes as &[&[u8]],
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Some tiles of the fleet's log.
#[tracing::instrument(name = "fleet_tiles.of", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
pub(crate) async fn of_fleet(conn: &mut PgConnection, tiles: &[TileId]) -> Result<Tiles, Error> {
    let (levels, indexes) = places(tiles.iter().copied());
    let rows = sqlx::query!(
        "SELECT t.level, t.index, t.hashes FROM unnest($1::smallint[], $2::bigint[]) AS asked (level, index)
         JOIN fleet_tiles AS t USING (level, index)",
        &levels,
        &indexes,
    )
    .fetch_all(conn)
    .await?;
    let rows = rows.into_iter();
    Ok(rows
        .map(|row| (id(row.level, row.index), row.hashes))
        .collect())
}

/// Writes tiles of the fleet's log that are new or became longer.
#[tracing::instrument(name = "fleet_tiles.save", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
pub(crate) async fn save_of_fleet(
    conn: &mut PgConnection,
    tiles: &[(TileId, Vec<u8>)],
) -> Result<(), Error> {
    let (levels, indexes) = places(tiles.iter().map(|(id, _)| *id));
    let hashes: Vec<_> = tiles.iter().map(|(_, hashes)| hashes.as_slice()).collect();
    sqlx::query!(
        "INSERT INTO fleet_tiles (level, index, hashes) SELECT * FROM unnest($1::smallint[], $2::bigint[], $3::bytea[])
         ON CONFLICT (level, index) DO UPDATE SET hashes = excluded.hashes",
        &levels,
        &indexes,
        &hashes as &[&[u8]],
    )
    .execute(conn)
    .await?;
    Ok(())
}

fn places(tiles: impl Iterator<Item = TileId>) -> (Vec<i16>, Vec<i64>) {
    tiles
        .map(|id| (i16::from(id.level), signed(id.index)))
        .unzip()
}

fn id(level: i16, index: i64) -> TileId {
    TileId {
        level: u8::try_from(level).unwrap_or(u8::MAX),
        index: unsigned(index),
    }
}
