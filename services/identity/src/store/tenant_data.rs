//! All that identity keeps of one tenant.

use tenantry_core::TenantId;
use tenantry_store::{TenantTable, TenantTx};

use crate::error::Error;

/// The tables that a purge empties of a tenant, in this order. What a purge leaves is reviewed beside the test that holds
/// this list against the schema.
pub const TENANT_TABLES: &[TenantTable] = &[
    TenantTable::of("sessions", "sessions"),
    TenantTable::by("sessions", "only_tenant_id", "provider_sessions"),
    TenantTable::by(
        "external_sign_ins",
        "provider_tenant_id",
        "provider_sign_ins",
    ),
    TenantTable::by("external_sign_ins", "session_tenant_id", "sign_ins"),
    TenantTable::of("sign_ups", "sign_ups"),
    TenantTable::of("identity_providers", "identity_providers"),
    TenantTable::of("invitations", "invitations"),
    TenantTable::of("mails", "mails"),
    TenantTable::of("mail_days", "mail_days"),
    TenantTable::of("api_key_uses", "api_key_uses"),
    TenantTable::of("api_keys", "api_keys"),
    TenantTable::of("service_accounts", "service_accounts"),
    TenantTable::of("memberships", "members"),
    // Behind the keys and members, whose end it has rows of.
    TenantTable::of("seat_changes", "seat_changes"),
    TenantTable::of("roles", "roles"),
    TenantTable::of("removed_members", "removed_members"),
    TenantTable::of("request_record", "request_records"),
];

/// Most users whose password one transaction takes away.
pub(crate) const BATCH: i64 = 1_000;

/// Takes their password and sessions from users whose password the people of this tenant chose: it reached nothing else.
/// Returns how many there were, at most [`BATCH`].
#[tracing::instrument(skip_all, fields(otel.kind = "client", db.system = "postgresql"))]
pub(crate) async fn take_passwords(tx: &mut TenantTx, tenant: TenantId) -> Result<i64, Error> {
    let taken = sqlx::query_scalar!(
        r#"
        WITH bare AS (
            UPDATE users SET password_hash = NULL, password_of = NULL
            WHERE id IN (SELECT id FROM users WHERE password_of = $1 ORDER BY id LIMIT $2 FOR NO KEY UPDATE)
            RETURNING id
        ), signed_out AS (
            DELETE FROM sessions WHERE user_id IN (SELECT id FROM bare)
        )
        SELECT count(*) AS "taken!" FROM bare
        "#,
        tenant.uuid(),
        BATCH,
    )
    .fetch_one(tx.conn())
    .await?;
    Ok(taken)
}
