//! Operators: of the platform, in no tenant's scope.

use sqlx::PgConnection;
use tenantry_core::{Permissions, UserId};

use super::permissions;
use crate::domain::operator::{MANAGER, Operator};
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

/// An operator.
#[tracing::instrument(skip_all, fields(otel.kind = "client", db.system = "postgresql"))]
pub(crate) async fn find(conn: &mut PgConnection, id: UserId) -> Result<Option<Operator>, Error> {
    let row = sqlx::query!(
        "SELECT o.user_id, o.email, u.name, o.permissions, o.created_at
         FROM operators o JOIN users u ON u.id = o.user_id WHERE o.user_id = $1",
        id.uuid(),
    )
    .fetch_optional(conn)
    .await?;
    Ok(row.map(|row| Operator {
        user_id: row.user_id.into(),
        email: row.email,
        name: row.name,
        permissions: permissions(row.permissions),
        created_at: row.created_at.into(),
    }))
}

/// All operators who can manage operators and this one, locked until the transaction's end, each in its turn: of two
/// changes at once the second sees what the first left. Returns those who can manage; whose password is of a tenant can't.
#[tracing::instrument(skip_all, fields(otel.kind = "client", db.system = "postgresql"))]
pub(crate) async fn lock_managers(
    conn: &mut PgConnection,
    and: UserId,
) -> Result<Vec<UserId>, Error> {
    let rows = sqlx::query!(
        r#"SELECT o.user_id, o.permissions, u.password_of IS NOT NULL AS "of_a_tenant!"
           FROM operators o JOIN users u ON u.id = o.user_id
           WHERE o.user_id = $1 OR o.permissions & $2 <> 0
           ORDER BY o.user_id FOR UPDATE OF o"#,
        and.uuid(),
        Permissions::of(&[MANAGER]).bits().cast_signed(),
    )
    .fetch_all(conn)
    .await?;
    Ok(rows
        .into_iter()
        .filter(|row| !row.of_a_tenant && permissions(row.permissions).contains(MANAGER))
        .map(|row| row.user_id.into())
        .collect())
}

/// Writes an operator's permissions.
#[tracing::instrument(skip_all, fields(otel.kind = "client", db.system = "postgresql"))]
pub(crate) async fn update(conn: &mut PgConnection, operator: &Operator) -> Result<(), Error> {
    sqlx::query!(
        "UPDATE operators SET permissions = $2 WHERE user_id = $1",
        operator.user_id.uuid(),
        operator.permissions.bits().cast_signed(),
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Makes an operator a user like any other.
#[tracing::instrument(skip_all, fields(otel.kind = "client", db.system = "postgresql"))]
pub(crate) async fn delete(conn: &mut PgConnection, id: UserId) -> Result<(), Error> {
    sqlx::query!("DELETE FROM operators WHERE user_id = $1", id.uuid())
        .execute(conn)
        .await?;
    Ok(())
}
