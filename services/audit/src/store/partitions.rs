//! The partitions that events go to.

use jiff::Timestamp;
use sqlx::PgConnection;
use tenantry_store::Error;
use tenantry_store::time::PgTime;

use crate::domain::retention::Class;

/// Makes the partitions that events of this time go to, where they aren't there yet.
#[tracing::instrument(name = "partitions.ensure", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
pub(crate) async fn ensure(conn: &mut PgConnection, at: Timestamp) -> Result<(), Error> {
    // Unchecked, because statements are checked as the role that has no right to it.
    sqlx::query("SELECT ensure_partitions($1)")
        .bind(PgTime(at))
        .execute(conn)
        .await?;
    Ok(())
}

/// Makes the partition of a class for events of this time, where it isn't there.
#[tracing::instrument(name = "partitions.ensure_one", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
pub(crate) async fn ensure_one(
    conn: &mut PgConnection,
    class: Class,
    at: Timestamp,
) -> Result<(), Error> {
    // Unchecked, because statements are checked as the role that has no right to it.
    sqlx::query("SELECT ensure_partition($1, $2)")
        .bind(i32::from(class.number()))
        .bind(PgTime(at))
        .execute(conn)
        .await?;
    Ok(())
}
