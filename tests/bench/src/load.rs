//! Rows by the hundred thousand, as the services would have written them, put into the database behind their backs.

use std::fs;
use std::time::Duration;

use anyhow::{Context as _, Result};
use jsonwebtoken::{Algorithm, Header, encode};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use sqlx::{Connection as _, PgConnection};
use tenantry_core::Principal;
use tenantry_core::role::Role;
use tenantry_rpc::keys::KeyRing;
use tenantry_testkit::fleet::{Database, Fleet, FleetConfig};
use tenantry_testkit::postgres::Durability;
use tenantry_testkit::wait::until;
use uuid::Uuid;

/// Longest wait for workers to do what was put in.
const SETTLED_WITHIN: Duration = Duration::from_secs(1_800);

/// One in a thousand is a suspended business tenant; each has a name and a time of its own; the first `$2` are a tree, its
/// top first. One is called by words, the others by digits that look alike to an index of trigrams.
const TENANTS: &str = "
INSERT INTO registry.tenants (tenant_id, project, name, slug, status, plan, parent_id, email, billing_email, contact_phone,
    timezone, locale, region, labels, metadata, suspend_reason, created_at, updated_at, version)
SELECT ('01900000-0000-7000-8000-' || lpad(to_hex(i), 12, '0'))::uuid, 'default',
    CASE WHEN i = 77 THEN 'Brauerei Zwettl' ELSE 'Tenant ' || md5(i::text) END, 'tenant-' || i,
    CASE WHEN i % 1000 = 7 THEN 'suspended' ELSE 'active' END,
    CASE WHEN i % 1000 = 7 THEN 'business' ELSE (ARRAY['free', 'basic', 'professional', 'enterprise'])[(1 + i % 4)::int] END,
    CASE WHEN i BETWEEN 2 AND $2 THEN '01900000-0000-7000-8000-000000000001'::uuid END,
    'ops@example.com', '', '', 'UTC', 'en-US', 'eu', '{}', '{}', '', now() - make_interval(secs => ($1 - i)::float8),
    now() - make_interval(secs => ($1 - i)::float8), 1
FROM generate_series(1::bigint, $1) AS i";

const KEYS: &str = "
INSERT INTO identity.api_keys (tenant_id, id, name, prefix, hash, permissions, created_by)
SELECT tenant, id, 'bench', left(secret, 19), sha256(secret::bytea), $4, 'user:' || gen_random_uuid()
FROM unnest($1::uuid[], $2::uuid[], $3::text[]) AS k (tenant, id, secret)";

const SESSIONS: &str = "
WITH people AS (
    INSERT INTO identity.users (id, email, name)
    SELECT id, id || '@example.com', 'Bench' FROM unnest($2::uuid[]) AS id
    RETURNING id, email
), members AS (
    INSERT INTO identity.memberships (tenant_id, user_id, email, name, roles)
    SELECT tenant, id, email, 'Bench', '{member}' FROM people JOIN unnest($1::uuid[], $2::uuid[]) AS m (tenant, id) USING (id)
)
INSERT INTO identity.sessions (id, user_id, family_hash, refresh_hash, expires_at)
SELECT s.id, people.id, '', '', now() + interval '1 day'
FROM people JOIN unnest($2::uuid[], $3::uuid[]) AS s (user_id, id) ON s.user_id = people.id";

const LIMITS: &str = "
INSERT INTO quota.limit_overrides (tenant_id, resource_type, override_id, \"limit\", reset_period, shared, reason, created_at,
    created_by, by_operator)
SELECT tenant, 'api_calls', gen_random_uuid(), most, $3, false, 'bench', now(), $4::jsonb, true
FROM unnest($1::uuid[], $2::bigint[]) AS l (tenant, most)";

/// Rows in one statement.
const BATCH: i64 = 10_000;
/// Life of an access token, in seconds.
const TOKEN_SECONDS: i64 = 3_600;

/// The id of the nth tenant, from 1.
#[must_use]
pub fn tenant(n: i64) -> Uuid {
    Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0000 | n.cast_unsigned() as u128)
}

/// A tenant in use: the nth of them, counted round.
#[must_use]
pub fn tenant_in_use(n: i64, tenants: i64) -> Uuid {
    let n = n * 7_919 % tenants + 1;
    tenant(if n % 1_000 == 7 { n - 1 } else { n })
}

/// A fleet with a database of its own that needn't outlive a fault.
///
/// # Errors
/// When it doesn't start.
pub async fn fleet() -> Result<Fleet> {
    Fleet::start(FleetConfig {
        database: Database::Own(Durability::None),
        ..FleetConfig::default()
    })
    .await
}

/// A connection that sees everything.
///
/// # Errors
/// When the database doesn't answer.
pub async fn superuser(fleet: &Fleet) -> Result<PgConnection> {
    Ok(PgConnection::connect(fleet.superuser_url().as_str()).await?)
}

/// Returns once a look at the database says yes: that workers have done what was put in.
///
/// # Errors
/// When it doesn't within half an hour.
pub async fn settled(connection: &mut PgConnection, what: &'static str) -> Result<()> {
    until(what, SETTLED_WITHIN, async || {
        let settled: bool = sqlx::query_scalar(what).fetch_one(&mut *connection).await?;
        Ok(settled.then_some(()))
    })
    .await
}

/// A connection that sees everything, where a service's triggers find its own tables.
async fn as_service(fleet: &Fleet, schema: &str) -> Result<PgConnection> {
    let mut connection = superuser(fleet).await?;
    sqlx::query("SELECT set_config('search_path', $1, false)")
        .bind(schema)
        .execute(&mut connection)
        .await?;
    Ok(connection)
}

/// Loads tenants, of which the first so many are one tree.
///
/// # Errors
/// When the database refuses.
pub async fn tenants(fleet: &Fleet, tenants: i64, tree: i64) -> Result<()> {
    let mut connection = as_service(fleet, "registry").await?;
    sqlx::query(TENANTS)
        .bind(tenants)
        .bind(tree)
        .execute(&mut connection)
        .await?;
    sqlx::query("VACUUM ANALYZE registry.tenants")
        .execute(&mut connection)
        .await?;
    Ok(())
}

/// Sets limits on the API calls of tenants, over a period (`month`, `day`, ...). Quota learns them at its start.
///
/// # Errors
/// When the database refuses.
pub async fn limits(
    connection: &mut PgConnection,
    limits: &[(Uuid, i64)],
    period: &str,
) -> Result<()> {
    let (tenants, most): (Vec<_>, Vec<_>) = limits.iter().copied().unzip();
    sqlx::query(LIMITS)
        .bind(tenants)
        .bind(most)
        .bind(period)
        .bind(serde_json::to_string(&Principal::anonymous())?)
        .execute(&mut *connection)
        .await?;
    sqlx::query("VACUUM ANALYZE quota.limit_overrides")
        .execute(connection)
        .await?;
    Ok(())
}

/// Loads keys, each of some tenant in use, and returns their secrets.
///
/// # Errors
/// When the database refuses.
pub async fn keys(fleet: &Fleet, keys: i64, tenants: i64) -> Result<Vec<String>> {
    let mut connection = as_service(fleet, "identity").await?;
    let mut secrets = Vec::new();
    let all: Vec<i64> = (0..keys).collect();
    for batch in all.chunks(BATCH.unsigned_abs() as usize) {
        let ids: Vec<Uuid> = batch.iter().map(|_| random_id()).collect();
        let new: Vec<String> = ids.iter().map(secret).collect();
        let of: Vec<Uuid> = batch.iter().map(|n| tenant_in_use(*n, tenants)).collect();
        sqlx::query(KEYS)
            .bind(of)
            .bind(ids)
            .bind(&new)
            .bind(Role::Member.permissions().bits().cast_signed())
            .execute(&mut connection)
            .await?;
        secrets.extend(new);
    }
    sqlx::query("VACUUM ANALYZE identity.api_keys")
        .execute(&mut connection)
        .await?;
    Ok(secrets)
}

/// Loads signed-in members, each of some tenant in use, and returns their access tokens.
///
/// # Errors
/// When the database refuses.
pub async fn sessions(fleet: &Fleet, sessions: i64, tenants: i64) -> Result<Vec<String>> {
    let mut connection = as_service(fleet, "identity").await?;
    let of: Vec<Uuid> = (0..sessions).map(|n| tenant_in_use(n, tenants)).collect();
    let users: Vec<Uuid> = of.iter().map(|_| random_id()).collect();
    let ids: Vec<Uuid> = of.iter().map(|_| random_id()).collect();
    sqlx::query(SESSIONS)
        .bind(of)
        .bind(&users)
        .bind(&ids)
        .execute(&mut connection)
        .await?;
    let ring = fs::read_to_string(fleet.keys().token_ring())?;
    let ring = KeyRing::parse(&ring).map_err(anyhow::Error::msg)?;
    users
        .iter()
        .zip(&ids)
        .map(|(user, session)| access_token(&ring, *user, *session))
        .collect()
}

/// An access token as identity signs it for a session.
///
/// # Errors
/// When the key can't sign.
pub fn access_token(ring: &KeyRing, user: Uuid, session: Uuid) -> Result<String> {
    let mut header = Header::new(Algorithm::EdDSA);
    header.typ = Some("at+jwt".to_owned());
    header.kid = Some(ring.signing_kid().to_owned());
    let now = tenantry_core::clock::now().as_second();
    let claims = json!({
        "iss": "tenantry", "aud": "tenantry", "client_id": "tenantry", "sub": user, "sid": session, "jti": random_id(),
        "iat": now, "exp": now + TOKEN_SECONDS,
    });
    encode(&header, &claims, ring.signing_key()).context("no token")
}

/// The secret of a key of this id: mark, id, 256 random bits, checksum.
#[must_use]
pub fn secret(id: &Uuid) -> String {
    let random = tenantry_core::random::bytes::<32>();
    let body = format!("tk_{}_{}", id.simple(), hex(&random));
    let sum = Sha256::digest(body.as_bytes());
    format!("{body}_{}", hex(&sum[..4]))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// An id that nothing has.
#[must_use]
pub fn random_id() -> Uuid {
    uuid::Builder::from_random_bytes(tenantry_core::random::bytes()).into_uuid()
}
