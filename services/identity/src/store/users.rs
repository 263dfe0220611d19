//! Users: global, in no tenant's scope. Those that another issuer speaks for have no address here: what is looked up by
//! address signs in by password.

use sqlx::PgConnection;
use tenantry_core::{TenantId, UserId};
use uuid::Uuid;

use crate::domain::member::User;
use crate::error::Error;

/// A user with what signs it in.
pub(crate) struct Credentials {
    pub(crate) user: User,
    pub(crate) password_hash: Option<String>,
    /// The tenant that alone the password reaches, where a tenant's people chose it.
    pub(crate) password_of: Option<TenantId>,
}

struct Row {
    id: Uuid,
    email: String,
    name: String,
    password_hash: Option<String>,
    password_of: Option<Uuid>,
}

impl From<Row> for Credentials {
    fn from(row: Row) -> Self {
        Self {
            user: User {
                id: row.id.into(),
                email: row.email,
                name: row.name,
            },
            password_hash: row.password_hash,
            password_of: row.password_of.map(TenantId::from),
        }
    }
}

/// The user of this address.
#[tracing::instrument(skip_all, fields(otel.kind = "client", db.system = "postgresql"))]
pub(crate) async fn by_email(
    conn: &mut PgConnection,
    email: &str,
) -> Result<Option<Credentials>, Error> {
    let row = sqlx::query_as!(
        Row,
        "SELECT id, email, name, password_hash, password_of FROM users WHERE email = $1 AND email <> ''",
        email
    )
    .fetch_optional(conn)
    .await?;
    Ok(row.map(Credentials::from))
}

/// The user of this address, locked until the transaction's end: what is decided by its password holds until then.
#[tracing::instrument(skip_all, fields(otel.kind = "client", db.system = "postgresql"))]
pub(crate) async fn lock_by_email(
    conn: &mut PgConnection,
    email: &str,
) -> Result<Option<Credentials>, Error> {
    let row = sqlx::query_as!(
        Row,
        "SELECT id, email, name, password_hash, password_of FROM users WHERE email = $1 AND email <> '' FOR NO KEY UPDATE",
        email
    )
    .fetch_optional(conn)
    .await?;
    Ok(row.map(Credentials::from))
}

/// The user of this id, locked until the transaction's end.
#[tracing::instrument(skip_all, fields(otel.kind = "client", db.system = "postgresql"))]
pub(crate) async fn lock(
    conn: &mut PgConnection,
    id: UserId,
) -> Result<Option<Credentials>, Error> {
    let row = sqlx::query_as!(
        Row,
        "SELECT id, email, name, password_hash, password_of FROM users WHERE id = $1 FOR NO KEY UPDATE",
        id.uuid()
    )
    .fetch_optional(conn)
    .await?;
    Ok(row.map(Credentials::from))
}

/// Writes the password that a person chose. Where the address is known to be theirs by now, it reaches all that they do.
#[tracing::instrument(skip_all, fields(otel.kind = "client", db.system = "postgresql"))]
pub(crate) async fn set_password(
    conn: &mut PgConnection,
    id: UserId,
    password_hash: &str,
    address_proven: bool,
) -> Result<(), Error> {
    sqlx::query!(
        "UPDATE users SET password_hash = $2, password_of = CASE WHEN $3 THEN NULL ELSE password_of END WHERE id = $1",
        id.uuid(),
        password_hash,
        address_proven,
    )
    .execute(conn)
    .await?;
    Ok(())
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
    password_of: Option<TenantId>,
) -> Result<bool, Error> {
    let written = sqlx::query!(
        "INSERT INTO users (id, email, name, password_hash, password_of) VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (email) WHERE email <> '' DO NOTHING",
        user.id.uuid(),
        user.email,
        user.name,
        password_hash,
        password_of.map(TenantId::uuid),
    )
    .execute(conn)
    .await?;
    Ok(written.rows_affected() == 1)
}

/// Replaces a password that a tenant's people chose by one of the platform's, or by none, and ends every session that the
/// old one began.
#[tracing::instrument(skip_all, fields(otel.kind = "client", db.system = "postgresql"))]
pub(crate) async fn take_over(
    conn: &mut PgConnection,
    user: UserId,
    password_hash: Option<&str>,
) -> Result<(), Error> {
    sqlx::query!(
        "UPDATE users SET password_hash = $2, password_of = NULL WHERE id = $1",
        user.uuid(),
        password_hash,
    )
    .execute(&mut *conn)
    .await?;
    sqlx::query!(
        "UPDATE sessions SET ended_at = clock_timestamp() WHERE user_id = $1 AND ended_at IS NULL",
        user.uuid(),
    )
    .execute(conn)
    .await?;
    Ok(())
}
