//! Moving many memberships from one tenant to another: each statement sees the transaction's present tenant alone.

use std::collections::BTreeSet;

use tenantry_core::{SeatId, TenantId, UserId};
use tenantry_store::TenantTx;
use uuid::Uuid;

use super::members::Row;
use crate::domain::member::Member;
use crate::domain::role::RoleKey;
use crate::error::Error;

/// The memberships of these users in the transaction's present tenant, locked until its end in one order.
#[tracing::instrument(skip_all, fields(otel.kind = "client", db.system = "postgresql"))]
pub(crate) async fn lock(tx: &mut TenantTx, users: &[UserId]) -> Result<Vec<Member>, Error> {
    let tenant = tx.scope().uuid();
    let users: Vec<Uuid> = users.iter().map(|user| user.uuid()).collect();
    let rows = sqlx::query_as!(
        Row,
        "SELECT tenant_id, user_id, email, name, roles, created_at, username FROM memberships
         WHERE tenant_id = $1 AND user_id = ANY ($2) ORDER BY user_id FOR UPDATE",
        tenant,
        &users,
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(rows.into_iter().map(Member::from).collect())
}

/// Those of the users whose password was chosen by the people of a tenant other than this one.
#[tracing::instrument(skip_all, fields(otel.kind = "client", db.system = "postgresql"))]
pub(crate) async fn bound_elsewhere(
    tx: &mut TenantTx,
    users: &[UserId],
    than: TenantId,
) -> Result<BTreeSet<UserId>, Error> {
    let users: Vec<Uuid> = users.iter().map(|user| user.uuid()).collect();
    let bound = sqlx::query_scalar!(
        "SELECT id FROM users WHERE id = ANY ($1) AND password_of <> $2",
        &users,
        than.uuid(),
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(bound.into_iter().map(UserId::from).collect())
}

/// Writes new memberships of the present tenant, which take these places; gives the users that weren't members meanwhile.
#[tracing::instrument(skip_all, fields(otel.kind = "client", db.system = "postgresql"))]
pub(crate) async fn insert(
    tx: &mut TenantTx,
    members: &[(Member, SeatId)],
) -> Result<BTreeSet<UserId>, Error> {
    let tenant = tx.scope().uuid();
    let users: Vec<Uuid> = members.iter().map(|(one, _)| one.user_id.uuid()).collect();
    let seats: Vec<Uuid> = members.iter().map(|(_, seat)| seat.uuid()).collect();
    let emails: Vec<String> = members.iter().map(|(one, _)| one.email.clone()).collect();
    let names: Vec<String> = members.iter().map(|(one, _)| one.name.clone()).collect();
    // An array of arrays must be a rectangle; no role's key holds a comma.
    let words: Vec<String> = members
        .iter()
        .map(|(one, _)| {
            let words: Vec<&str> = one.roles.iter().map(RoleKey::as_str).collect();
            words.join(",")
        })
        .collect();
    let rows = sqlx::query_scalar!(
        "INSERT INTO memberships (tenant_id, user_id, email, name, roles, seat_id)
         SELECT $1, t.user_id, t.email, t.name, string_to_array(t.roles, ','), t.seat_id
         FROM unnest($2::uuid[], $3::text[], $4::text[], $5::text[], $6::uuid[]) AS t (user_id, email, name, roles, seat_id)
         ORDER BY t.user_id
         ON CONFLICT DO NOTHING RETURNING user_id",
        tenant,
        &users,
        &emails,
        &names,
        &words,
        &seats,
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(rows.into_iter().map(UserId::from).collect())
}

/// Ends memberships of the present tenant, as [`super::members::delete`] does one.
#[tracing::instrument(skip_all, fields(otel.kind = "client", db.system = "postgresql"))]
pub(crate) async fn delete(tx: &mut TenantTx, users: &[UserId]) -> Result<(), Error> {
    let tenant = tx.scope().uuid();
    let users: Vec<Uuid> = users.iter().map(|user| user.uuid()).collect();
    sqlx::query!(
        "WITH gone AS (DELETE FROM memberships WHERE tenant_id = $1 AND user_id = ANY ($2) RETURNING tenant_id, user_id, email)
         INSERT INTO removed_members (tenant_id, user_id) SELECT tenant_id, user_id FROM gone WHERE email = ''
         ON CONFLICT (tenant_id, user_id) DO NOTHING",
        tenant,
        &users,
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}
