//! Operators: of the platform, in no tenant's scope.

use sqlx::PgConnection;

use super::permissions;
use crate::domain::operator::Operator;
use crate::error::Error;

/// Writes a new operator and returns it as it stands.
#[tracing::instrument(skip_all, fields(otel.kind = "client", db.system = "postgresql"))]
pub(crate) async fn insert(
    conn: &mut PgConnection,
    operator: &Operator,
) -> Result<Operator, Error> {
    let created_at = sqlx::query_scalar!(
        "INSERT INTO operators (user_id, email, permissions) VALUES ($1, $2, $3) RETURNING created_at",
        operator.user_id.uuid(),
        operator.email,
        operator.permissions.bits().cast_signed(),
    )
    .fetch_one(conn)
    .await?;
    Ok(Operator {
        created_at: created_at.into(),
        ..operator.clone()
    })
}

/// One page by address, and one more where there is one.
#[tracing::instrument(skip_all, fields(otel.kind = "client", db.system = "postgresql"))]
pub(crate) async fn page(
    conn: &mut PgConnection,
    after_email: &str,
    limit: i64,
) -> Result<Vec<Operator>, Error> {
    let rows = sqlx::query!(
        "SELECT o.user_id, o.email, u.name, o.permissions, o.created_at
         FROM operators o JOIN users u ON u.id = o.user_id
         WHERE o.email > $1 ORDER BY o.email LIMIT $2",
        after_email,
        limit,
    )
    .fetch_all(conn)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| Operator {
            user_id: row.user_id.into(),
            email: row.email,
            name: row.name,
            permissions: permissions(row.permissions),
            created_at: row.created_at.into(),
        })
        .collect())
}
