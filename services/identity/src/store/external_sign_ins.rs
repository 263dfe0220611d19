//! Sign-ins at OpenID providers, from their beginning to their end, and who the people are that issuers speak of. No
//! tenant's rows: who signs in belongs to none yet.

use sqlx::PgConnection;
use tenantry_core::{Origin, TenantId, UserId};
use tenantry_store::TenantTx;
use tenantry_store::time::PgTime;

use crate::domain::external_sign_in::{Handed, MINUTES, Pending, Person};
use crate::domain::identity_provider::IdentityProvider;
use crate::domain::session::Session;
use crate::error::Error;

/// Writes a sign-in that begins.
#[tracing::instrument(skip_all, fields(otel.kind = "client", db.system = "postgresql"))]
pub(crate) async fn insert(
    conn: &mut PgConnection,
    handed: &Handed,
    pending: &Pending,
) -> Result<(), Error> {
    sqlx::query!(
        "INSERT INTO external_sign_ins (state_hash, provider_tenant_id, provider_id, holder_hash, sealed, redirect_uri,
                                        session_tenant_id, expires_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, clock_timestamp() + make_interval(mins => $8))",
        &handed.state_hash()[..],
        pending.provider_tenant.uuid(),
        pending.provider.uuid(),
        &handed.holder_hash()[..],
        pending.sealed,
        pending.redirect_uri,
        pending.session_tenant.map(TenantId::uuid),
        MINUTES,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Takes the sign-in of this state away, if its holder asks in time: of all who ask, one gets it.
#[tracing::instrument(skip_all, fields(otel.kind = "client", db.system = "postgresql"))]
pub(crate) async fn take(
    conn: &mut PgConnection,
    handed: &Handed,
) -> Result<Option<Pending>, Error> {
    let row = sqlx::query!(
        "DELETE FROM external_sign_ins WHERE state_hash = $1 AND holder_hash = $2 AND expires_at > clock_timestamp()
         RETURNING provider_tenant_id, provider_id, sealed, redirect_uri, session_tenant_id",
        &handed.state_hash()[..],
        &handed.holder_hash()[..],
    )
    .fetch_optional(conn)
    .await?;
    Ok(row.map(|row| Pending {
        provider: row.provider_id.into(),
        provider_tenant: row.provider_tenant_id.into(),
        redirect_uri: row.redirect_uri,
        session_tenant: row.session_tenant_id.map(TenantId::from),
        sealed: row.sealed,
    }))
}

/// Removes sign-ins past their time; returns how many.
#[tracing::instrument(skip_all, fields(otel.kind = "client", db.system = "postgresql"))]
pub(crate) async fn sweep(conn: &mut PgConnection, most: i64) -> Result<u64, Error> {
    let gone = sqlx::query!(
        "DELETE FROM external_sign_ins WHERE state_hash IN (
             SELECT state_hash FROM external_sign_ins WHERE expires_at < clock_timestamp() LIMIT $1)",
        most
    )
    .execute(conn)
    .await?;
    Ok(gone.rows_affected())
}

/// The user that an issuer's subject is; `None` where it never signed in.
#[tracing::instrument(skip_all, fields(otel.kind = "client", db.system = "postgresql"))]
pub(crate) async fn user_of(
    conn: &mut PgConnection,
    issuer: &str,
    subject: &str,
) -> Result<Option<UserId>, Error> {
    let user = sqlx::query_scalar!(
        "SELECT user_id FROM user_identities WHERE issuer = $1 AND subject = $2",
        issuer,
        subject,
    )
    .fetch_optional(conn)
    .await?;
    Ok(user.map(UserId::from))
}

/// Notes the address that a known person claims now, and returns whose it is.
#[tracing::instrument(skip_all, fields(otel.kind = "client", db.system = "postgresql"))]
pub(crate) async fn claim(
    conn: &mut PgConnection,
    issuer: &str,
    person: &Person,
) -> Result<UserId, Error> {
    let user = sqlx::query_scalar!(
        "UPDATE user_identities SET claimed_email = $3 WHERE issuer = $1 AND subject = $2 RETURNING user_id",
        issuer,
        person.subject,
        person.email,
    )
    .fetch_one(conn)
    .await?;
    Ok(user.into())
}

/// Writes the user of an issuer's subject, who has no address of the platform's; `false`, and nothing is written, where
/// another request did so a moment ago.
#[tracing::instrument(skip_all, fields(otel.kind = "client", db.system = "postgresql"))]
pub(crate) async fn insert_user(
    conn: &mut PgConnection,
    user: UserId,
    name: &str,
    issuer: &str,
    person: &Person,
) -> Result<bool, Error> {
    sqlx::query!(
        "INSERT INTO users (id, email, name) VALUES ($1, '', $2)",
        user.uuid(),
        name
    )
    .execute(&mut *conn)
    .await?;
    let written = sqlx::query!(
        "INSERT INTO user_identities (issuer, subject, user_id, claimed_email) VALUES ($1, $2, $3, $4)
         ON CONFLICT (issuer, subject) DO NOTHING",
        issuer,
        person.subject,
        user.uuid(),
        person.email,
    )
    .execute(&mut *conn)
    .await?;
    if written.rows_affected() == 1 {
        return Ok(true);
    }
    sqlx::query!("DELETE FROM users WHERE id = $1", user.uuid())
        .execute(conn)
        .await?;
    Ok(false)
}

/// Writes a session that a provider began, which reaches no further than the provider's tenant or project.
#[tracing::instrument(skip_all, fields(otel.kind = "client", db.system = "postgresql"))]
pub(crate) async fn insert_session(
    conn: &mut PgConnection,
    session: &Session,
    provider: &IdentityProvider,
    from: &Origin,
    network: &str,
) -> Result<(), Error> {
    let only_tenant = (!provider.tenant_id.is_platform()).then_some(provider.tenant_id.uuid());
    let only_project = only_tenant.is_none().then_some(provider.project.as_str());
    sqlx::query!(
        "INSERT INTO sessions (id, user_id, tenant_id, family_hash, refresh_hash, expires_at, provider_id, only_tenant_id,
                               only_project, ip, user_agent, network)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
        session.id.uuid(),
        session.user_id.uuid(),
        session.tenant_id.map(TenantId::uuid),
        session.family_hash,
        session.refresh_hash,
        PgTime(session.expires_at) as PgTime,
        provider.id.uuid(),
        only_tenant,
        only_project,
        from.ip,
        from.user_agent,
        network,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Whether the user signed in by a provider of the transaction's tenant lately, or was removed from it.
#[tracing::instrument(skip_all, fields(otel.kind = "client", db.system = "postgresql"))]
pub(crate) async fn came_before(tx: &mut TenantTx, user: UserId) -> Result<bool, Error> {
    let tenant = tx.scope().uuid();
    let came = sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT FROM sessions WHERE user_id = $2 AND only_tenant_id = $1)
                  OR EXISTS (SELECT FROM removed_members WHERE tenant_id = $1 AND user_id = $2) AS "came!""#,
        tenant,
        user.uuid(),
    )
    .fetch_one(tx.conn())
    .await?;
    Ok(came)
}
