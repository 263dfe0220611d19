//! Users: global, in no tenant's scope.

use sqlx::PgConnection;
use tenantry_core::UserId;

use crate::domain::member::User;
use crate::error::Error;

/// A user with what signs it in.
pub(crate) struct Credentials {
    pub(crate) user: User,
    pub(crate) password_hash: Option<String>,
}

/// The user of this address.
#[tracing::instrument(skip_all, fields(otel.kind = "client", db.system = "postgresql"))]
pub(crate) async fn by_email(
    conn: &mut PgConnection,
    email: &str,
) -> Result<Option<Credentials>, Error> {
    let row = sqlx::query!(
        "SELECT id, email, name, password_hash FROM users WHERE email = $1",
        email
    )
    .fetch_optional(conn)
    .await?;
    Ok(row.map(|row| Credentials {
        user: User {
            id: row.id.into(),
            email: row.email,
            name: row.name,
        },
        password_hash: row.password_hash,
    }))
}

/// The user of this id.
#[tracing::instrument(skip_all, fields(otel.kind = "client", db.system = "postgresql"))]
pub(crate) async fn by_id(conn: &mut PgConnection, id: UserId) -> Result<Option<User>, Error> {
    let row = sqlx::query!("SELECT id, email, name FROM users WHERE id = $1", id.uuid())
        .fetch_optional(conn)
        .await?;
    Ok(row.map(|row| User {
        id: row.id.into(),
        email: row.email,
        name: row.name,
    }))
}

/// Writes a new user; `false` where another has the address by now.
#[tracing::instrument(skip_all, fields(otel.kind = "client", db.system = "postgresql"))]
pub(crate) async fn insert(
    conn: &mut PgConnection,
    user: &User,
    password_hash: Option<&str>,
) -> Result<bool, Error> {
    let written = sqlx::query!(
        "INSERT INTO users (id, email, name, password_hash) VALUES ($1, $2, $3, $4) ON CONFLICT (email) DO NOTHING",
        user.id.uuid(),
        user.email,
        user.name,
        password_hash,
    )
    .execute(conn)
    .await?;
    Ok(written.rows_affected() == 1)
}
