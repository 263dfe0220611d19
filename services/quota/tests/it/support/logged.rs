//! What was used in the past, as the ledger would have it: nobody can use anything then.

use jiff::Timestamp;
use sqlx::PgConnection;
use tenantry_core::TenantId;
use tenantry_store::time::PgTime;
use uuid::Uuid;

use super::World;

/// A line of the log.
#[derive(Clone, Debug)]
pub(crate) struct Logged {
    pub(crate) principal: String,
    pub(crate) resource_type: &'static str,
    pub(crate) amount: i64,
    pub(crate) at: Timestamp,
}

/// A line of a program.
pub(crate) fn used(resource_type: &'static str, amount: i64, at: Timestamp) -> Logged {
    Logged {
        principal: format!("api_key:{}", Uuid::from_u128(1)),
        resource_type,
        amount,
        at,
    }
}

/// Puts lines into a tenant's log, and what they add up to into its series, by Postgres's own reckoning.
pub(crate) async fn log(world: &World, tenant: TenantId, lines: &[Logged]) {
    let mut owner = world.owner().await;
    let principals: Vec<_> = lines.iter().map(|line| line.principal.as_str()).collect();
    let types: Vec<_> = lines.iter().map(|line| line.resource_type).collect();
    let amounts: Vec<_> = lines.iter().map(|line| line.amount).collect();
    let at: Vec<_> = lines.iter().map(|line| PgTime(line.at)).collect();
    sqlx::query(
        "INSERT INTO usage_log (tenant_id, principal, request_id, line, usage_id, digest, kind, resource_type, amount, description,
                                occurred_at, recorded_at, answer)
         SELECT $1, principal, gen_random_uuid(), 0, gen_random_uuid(), '', 'used', resource_type, amount, '=a line', at, at, '{}'
         FROM unnest($2::text[], $3::text[], $4::bigint[], $5::timestamptz[]) AS line (principal, resource_type, amount, at)",
    )
    .bind(tenant.uuid())
    .bind(principals)
    .bind(types)
    .bind(amounts)
    .bind(at)
    .execute(&mut owner)
    .await
    .unwrap();
    add_up(&mut owner, tenant).await;
}

/// What a tenant's log adds up to.
async fn add_up(owner: &mut PgConnection, tenant: TenantId) {
    let gone = sqlx::query("DELETE FROM usage_series WHERE tenant_id = $1").bind(tenant.uuid());
    gone.execute(&mut *owner).await.unwrap();
    sqlx::query(
        "INSERT INTO usage_series
         SELECT tenant_id, resource_type, width, date_bin(make_interval(mins => width), occurred_at, timestamptz '2000-01-01 00:00:00Z'),
                sum(amount)
         FROM usage_log, unnest(ARRAY[1, 15]) AS width WHERE tenant_id = $1 GROUP BY 1, 2, 3, 4",
    )
    .bind(tenant.uuid())
    .execute(owner)
    .await
    .unwrap();
}
