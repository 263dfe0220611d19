//! OpenID providers: a tenant's rows, or projects' in the scope of none.

use tenantry_core::IdentityProviderId;
use tenantry_store::TenantTx;
use uuid::Uuid;

use super::roles;
use crate::domain::identity_provider::{IdentityProvider, Scope};
use crate::error::Error;

/// A provider, and the client's secret as it is sealed.
pub(crate) struct Known {
    pub(crate) provider: IdentityProvider,
    pub(crate) client_secret: Option<Vec<u8>>,
}

struct Row {
    tenant_id: Uuid,
    id: Uuid,
    project: String,
    name: String,
    issuer: String,
    client_id: String,
    client_secret: Option<Vec<u8>>,
    scopes: Vec<String>,
    redirect_uris: Vec<String>,
    email_domains: Vec<String>,
    just_in_time_roles: Vec<String>,
    enabled: bool,
    version: i64,
    created_at: tenantry_store::time::PgTime,
    updated_at: tenantry_store::time::PgTime,
}

/// A checked statement that gives providers, with each column by its name between its two halves: one that was prepared with
/// `*` fails from the moment a migration adds a column.
macro_rules! rows {
    ($before:tt, $after:tt, $($values:tt)*) => {
        sqlx::query_as!(
            Row,
            $before
                + " tenant_id, id, project, name, issuer, client_id, client_secret, scopes, redirect_uris, email_domains, \
                    just_in_time_roles, enabled, version, created_at, updated_at "
                + $after,
            $($values)*
        )
    };
}

impl From<Row> for Known {
    fn from(row: Row) -> Self {
        Self {
            provider: IdentityProvider {
                id: row.id.into(),
                tenant_id: row.tenant_id.into(),
                project: row.project,
                name: row.name,
                issuer: row.issuer,
                client_id: row.client_id,
                has_client_secret: row.client_secret.is_some(),
                scopes: row.scopes,
                redirect_uris: row.redirect_uris,
                email_domains: row.email_domains,
                just_in_time_roles: roles(row.just_in_time_roles),
                enabled: row.enabled,
                version: row.version,
                created_at: row.created_at.into(),
                updated_at: row.updated_at.into(),
            },
            client_secret: row.client_secret,
        }
    }
}

fn names(provider: &IdentityProvider) -> Vec<String> {
    let roles = provider.just_in_time_roles.iter();
    roles.map(|role| role.as_str().to_owned()).collect()
}

/// Writes a new provider and returns it as it stands.
#[tracing::instrument(skip_all, fields(otel.kind = "client", db.system = "postgresql"))]
pub(crate) async fn insert(
    tx: &mut TenantTx,
    new: &IdentityProvider,
    client_secret: Option<&[u8]>,
) -> Result<IdentityProvider, Error> {
    let row = rows!(
        "INSERT INTO identity_providers (tenant_id, id, project, name, issuer, client_id, client_secret, scopes,
                                         redirect_uris, email_domains, just_in_time_roles, enabled)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) RETURNING",
        "",
        new.tenant_id.uuid(),
        new.id.uuid(),
        new.project,
        new.name,
        new.issuer,
        new.client_id,
        client_secret,
        &new.scopes,
        &new.redirect_uris,
        &new.email_domains,
        &names(new),
        new.enabled,
    )
    .fetch_one(tx.conn())
    .await?;
    Ok(Known::from(row).provider)
}

/// How many the scope has. Whoever adds one at the same time waits, and counts anew.
#[tracing::instrument(skip_all, fields(otel.kind = "client", db.system = "postgresql"))]
pub(crate) async fn lock_count(tx: &mut TenantTx, scope: &Scope) -> Result<i64, Error> {
    let lock = format!("identity_providers/{}/{}", scope.tenant(), scope.project());
    sqlx::query!(
        "SELECT pg_advisory_xact_lock(hashtextextended($1, 0))",
        lock
    )
    .execute(tx.conn())
    .await?;
    let count = sqlx::query_scalar!(
        r#"SELECT count(*) AS "count!" FROM identity_providers WHERE tenant_id = $1 AND project = $2"#,
        scope.tenant().uuid(),
        scope.project(),
    )
    .fetch_one(tx.conn())
    .await?;
    Ok(count)
}

/// One page of a scope, newest first, and one more where there is one.
#[tracing::instrument(skip_all, fields(otel.kind = "client", db.system = "postgresql"))]
pub(crate) async fn page(
    tx: &mut TenantTx,
    scope: &Scope,
    before: Option<IdentityProviderId>,
    limit: i64,
) -> Result<Vec<IdentityProvider>, Error> {
    let rows = rows!(
        "SELECT",
        "FROM identity_providers WHERE tenant_id = $1 AND project = $2 AND id < $3 ORDER BY id DESC LIMIT $4",
        scope.tenant().uuid(),
        scope.project(),
        before.map_or(Uuid::max(), IdentityProviderId::uuid),
        limit,
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| Known::from(row).provider)
        .collect())
}

/// A provider of the transaction's scope: a tenant's, or that of any project.
#[tracing::instrument(skip_all, fields(otel.kind = "client", db.system = "postgresql"))]
pub(crate) async fn get(tx: &mut TenantTx, id: IdentityProviderId) -> Result<Option<Known>, Error> {
    let tenant = tx.scope().uuid();
    let row = rows!(
        "SELECT",
        "FROM identity_providers WHERE tenant_id = $1 AND id = $2",
        tenant,
        id.uuid(),
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(row.map(Known::from))
}

/// The same, locked until the transaction's end.
#[tracing::instrument(skip_all, fields(otel.kind = "client", db.system = "postgresql"))]
pub(crate) async fn lock(
    tx: &mut TenantTx,
    id: IdentityProviderId,
) -> Result<Option<Known>, Error> {
    let tenant = tx.scope().uuid();
    let row = rows!(
        "SELECT",
        "FROM identity_providers WHERE tenant_id = $1 AND id = $2 FOR UPDATE",
        tenant,
        id.uuid(),
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(row.map(Known::from))
}

/// Whether the provider of the transaction's scope still stands as it was read, which then stays so until the
/// transaction's end: who changes it waits, and ends the session that this one begins with the others.
#[tracing::instrument(skip_all, fields(otel.kind = "client", db.system = "postgresql"))]
pub(crate) async fn hold(tx: &mut TenantTx, read: &IdentityProvider) -> Result<bool, Error> {
    let same = sqlx::query!(
        "SELECT id FROM identity_providers WHERE tenant_id = $1 AND id = $2 AND version = $3 AND enabled FOR SHARE",
        read.tenant_id.uuid(),
        read.id.uuid(),
        read.version,
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(same.is_some())
}

/// Writes what a provider became and returns it as it stands.
#[tracing::instrument(skip_all, fields(otel.kind = "client", db.system = "postgresql"))]
pub(crate) async fn update(
    tx: &mut TenantTx,
    new: &IdentityProvider,
    client_secret: Option<&[u8]>,
) -> Result<IdentityProvider, Error> {
    let row = rows!(
        "UPDATE identity_providers
         SET name = $3, issuer = $4, client_id = $5, client_secret = $6, scopes = $7, redirect_uris = $8,
             email_domains = $9, just_in_time_roles = $10, enabled = $11, version = version + 1,
             updated_at = clock_timestamp()
         WHERE tenant_id = $1 AND id = $2 RETURNING",
        "",
        new.tenant_id.uuid(),
        new.id.uuid(),
        new.name,
        new.issuer,
        new.client_id,
        client_secret,
        &new.scopes,
        &new.redirect_uris,
        &new.email_domains,
        &names(new),
        new.enabled,
    )
    .fetch_one(tx.conn())
    .await?;
    Ok(Known::from(row).provider)
}

/// Removes a provider of the transaction's scope.
#[tracing::instrument(skip_all, fields(otel.kind = "client", db.system = "postgresql"))]
pub(crate) async fn delete(tx: &mut TenantTx, id: IdentityProviderId) -> Result<(), Error> {
    let tenant = tx.scope().uuid();
    sqlx::query!(
        "DELETE FROM identity_providers WHERE tenant_id = $1 AND id = $2",
        tenant,
        id.uuid(),
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}
