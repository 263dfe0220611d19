//! Invitations: a tenant's rows.

use jiff::Timestamp;
use tenantry_core::{InvitationId, UserId};
use tenantry_store::TenantTx;
use tenantry_store::time::PgTime;
use uuid::Uuid;

use super::roles;
use crate::domain::invitation::Invitation;
use crate::domain::mail::MailState;
use crate::error::Error;

struct Row {
    tenant_id: Uuid,
    id: Uuid,
    email: String,
    roles: Vec<String>,
    hash: Vec<u8>,
    invited_by: String,
    invited_by_email: String,
    created_at: PgTime,
    sent_at: PgTime,
    times_sent: i32,
    expires_at: PgTime,
    accepted_at: Option<PgTime>,
    revoked_at: Option<PgTime>,
    mail_state: String,
    mail_state_at: PgTime,
}

/// An invitation with the hash of its newest token.
pub(crate) struct Hashed {
    pub(crate) invitation: Invitation,
    pub(crate) hash: Vec<u8>,
}

impl From<Row> for Hashed {
    fn from(row: Row) -> Self {
        Self {
            invitation: Invitation {
                id: row.id.into(),
                tenant_id: row.tenant_id.into(),
                email: row.email,
                roles: roles(row.roles),
                invited_by: row.invited_by,
                invited_by_email: row.invited_by_email,
                created_at: row.created_at.into(),
                sent_at: row.sent_at.into(),
                times_sent: row.times_sent,
                expires_at: row.expires_at.into(),
                accepted_at: row.accepted_at.map(Into::into),
                revoked_at: row.revoked_at.map(Into::into),
                mail: MailState::stored(&row.mail_state),
                mail_at: Some(row.mail_state_at.into()),
            },
            hash: row.hash,
        }
    }
}

/// Writes a new invitation.
#[tracing::instrument(skip_all, fields(otel.kind = "client", db.system = "postgresql"))]
pub(crate) async fn insert(
    tx: &mut TenantTx,
    invitation: &Invitation,
    hash: &[u8; 32],
) -> Result<(), Error> {
    let names: Vec<String> = invitation
        .roles
        .iter()
        .map(|role| role.as_str().to_owned())
        .collect();
    sqlx::query!(
        "INSERT INTO invitations (tenant_id, id, email, roles, hash, invited_by, invited_by_email, created_at, sent_at,
                                  times_sent, expires_at, mail_state, mail_state_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $9)",
        invitation.tenant_id.uuid(),
        invitation.id.uuid(),
        invitation.email,
        &names,
        &hash[..],
        invitation.invited_by,
        invitation.invited_by_email,
        PgTime(invitation.created_at) as PgTime,
        PgTime(invitation.sent_at) as PgTime,
        invitation.times_sent,
        PgTime(invitation.expires_at) as PgTime,
        invitation.mail.name(),
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// One invitation of the transaction's tenant.
#[tracing::instrument(skip_all, fields(otel.kind = "client", db.system = "postgresql"))]
pub(crate) async fn find(tx: &mut TenantTx, id: InvitationId) -> Result<Option<Hashed>, Error> {
    let tenant = tx.scope().uuid();
    let row = sqlx::query_as!(
        Row,
        "SELECT tenant_id, id, email, roles, hash, invited_by, invited_by_email, created_at, sent_at, times_sent,
                expires_at, accepted_at, revoked_at, mail_state, mail_state_at
         FROM invitations WHERE tenant_id = $1 AND id = $2",
        tenant,
        id.uuid(),
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(row.map(Hashed::from))
}

/// The same, locked until the transaction's end: of those who use a link at once, one finds it unused.
#[tracing::instrument(skip_all, fields(otel.kind = "client", db.system = "postgresql"))]
pub(crate) async fn lock(tx: &mut TenantTx, id: InvitationId) -> Result<Option<Hashed>, Error> {
    let tenant = tx.scope().uuid();
    let row = sqlx::query_as!(
        Row,
        "SELECT tenant_id, id, email, roles, hash, invited_by, invited_by_email, created_at, sent_at, times_sent,
                expires_at, accepted_at, revoked_at, mail_state, mail_state_at
         FROM invitations WHERE tenant_id = $1 AND id = $2 FOR UPDATE",
        tenant,
        id.uuid(),
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(row.map(Hashed::from))
}

/// One page of the transaction's tenant, newest first, and one more where there is one: of all, or of the pending ones.
#[tracing::instrument(skip_all, fields(otel.kind = "client", db.system = "postgresql"))]
pub(crate) async fn page(
    tx: &mut TenantTx,
    pending_at: Option<Timestamp>,
    before: Option<InvitationId>,
    limit: i64,
) -> Result<Vec<Invitation>, Error> {
    let tenant = tx.scope().uuid();
    let before = before.map_or(Uuid::max(), InvitationId::uuid);
    let rows = match pending_at {
        Some(now) => {
            sqlx::query_as!(
                Row,
                "SELECT tenant_id, id, email, roles, hash, invited_by, invited_by_email, created_at, sent_at, times_sent,
                        expires_at, accepted_at, revoked_at, mail_state, mail_state_at
                 FROM invitations
                 WHERE tenant_id = $1 AND id < $2 AND accepted_at IS NULL AND revoked_at IS NULL AND expires_at > $3
                 ORDER BY id DESC LIMIT $4",
                tenant,
                before,
                PgTime(now) as PgTime,
                limit,
            )
            .fetch_all(tx.conn())
            .await?
        }
        None => {
            sqlx::query_as!(
                Row,
                "SELECT tenant_id, id, email, roles, hash, invited_by, invited_by_email, created_at, sent_at, times_sent,
                        expires_at, accepted_at, revoked_at, mail_state, mail_state_at
                 FROM invitations WHERE tenant_id = $1 AND id < $2 ORDER BY id DESC LIMIT $3",
                tenant,
                before,
                limit,
            )
            .fetch_all(tx.conn())
            .await?
        }
    };
    Ok(rows
        .into_iter()
        .map(|row| Hashed::from(row).invitation)
        .collect())
}

/// Makes way for a new invitation of this address where the open one has expired.
#[tracing::instrument(skip_all, fields(otel.kind = "client", db.system = "postgresql"))]
pub(crate) async fn close_expired(
    tx: &mut TenantTx,
    email: &str,
    now: Timestamp,
) -> Result<(), Error> {
    let tenant = tx.scope().uuid();
    sqlx::query!(
        "UPDATE invitations SET revoked_at = $3
         WHERE tenant_id = $1 AND email = $2 AND accepted_at IS NULL AND revoked_at IS NULL AND expires_at <= $3",
        tenant,
        email,
        PgTime(now) as PgTime,
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Writes that a new link was sent: from the commit on it is the only one.
#[tracing::instrument(skip_all, fields(otel.kind = "client", db.system = "postgresql"))]
pub(crate) async fn send_again(
    tx: &mut TenantTx,
    invitation: &Invitation,
    hash: &[u8; 32],
) -> Result<(), Error> {
    let tenant = tx.scope().uuid();
    sqlx::query!(
        "UPDATE invitations SET hash = $3, invited_by = $4, invited_by_email = $5, sent_at = $6, times_sent = $7, expires_at = $8,
                mail_state = $9, mail_state_at = $6
         WHERE tenant_id = $1 AND id = $2",
        tenant,
        invitation.id.uuid(),
        &hash[..],
        invitation.invited_by,
        invitation.invited_by_email,
        PgTime(invitation.sent_at) as PgTime,
        invitation.times_sent,
        PgTime(invitation.expires_at) as PgTime,
        invitation.mail.name(),
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Writes that it was revoked, and where its mail stands since then.
#[tracing::instrument(skip_all, fields(otel.kind = "client", db.system = "postgresql"))]
pub(crate) async fn revoke(tx: &mut TenantTx, invitation: &Invitation) -> Result<(), Error> {
    let tenant = tx.scope().uuid();
    sqlx::query!(
        "UPDATE invitations SET revoked_at = $3, mail_state = $4, mail_state_at = coalesce($5, mail_state_at)
         WHERE tenant_id = $1 AND id = $2",
        tenant,
        invitation.id.uuid(),
        invitation.revoked_at.map(PgTime) as Option<PgTime>,
        invitation.mail.name(),
        invitation.mail_at.map(PgTime) as Option<PgTime>,
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Writes who accepted it. The link came with the newest mail: that has gone, whatever its server said.
#[tracing::instrument(skip_all, fields(otel.kind = "client", db.system = "postgresql"))]
pub(crate) async fn accept(
    tx: &mut TenantTx,
    id: InvitationId,
    user: UserId,
    now: Timestamp,
) -> Result<(), Error> {
    let tenant = tx.scope().uuid();
    sqlx::query!(
        "UPDATE invitations SET accepted_at = $3, accepted_by = $4, mail_state = $5,
                mail_state_at = CASE WHEN mail_state = $5 THEN mail_state_at ELSE $3 END
         WHERE tenant_id = $1 AND id = $2",
        tenant,
        id.uuid(),
        PgTime(now) as PgTime,
        user.uuid(),
        MailState::Sent.name(),
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// How many are pending in the transaction's tenant.
#[tracing::instrument(skip_all, fields(otel.kind = "client", db.system = "postgresql"))]
pub(crate) async fn pending(tx: &mut TenantTx, now: Timestamp) -> Result<i64, Error> {
    let tenant = tx.scope().uuid();
    Ok(sqlx::query_scalar!(
        r#"SELECT count(*) AS "count!" FROM invitations
           WHERE tenant_id = $1 AND accepted_at IS NULL AND revoked_at IS NULL AND expires_at > $2"#,
        tenant,
        PgTime(now) as PgTime,
    )
    .fetch_one(tx.conn())
    .await?)
}

/// How many mails went from the transaction's tenant to an address with the invitations last sent since then.
#[tracing::instrument(skip_all, fields(otel.kind = "client", db.system = "postgresql"))]
pub(crate) async fn mails_since(
    tx: &mut TenantTx,
    email: &str,
    since: Timestamp,
) -> Result<i64, Error> {
    let tenant = tx.scope().uuid();
    Ok(sqlx::query_scalar!(
        r#"SELECT coalesce(sum(times_sent), 0) AS "sum!" FROM invitations
           WHERE tenant_id = $1 AND email = $2 AND sent_at > $3"#,
        tenant,
        email,
        PgTime(since) as PgTime,
    )
    .fetch_one(tx.conn())
    .await?)
}
