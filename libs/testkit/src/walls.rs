//! The catalogue's word for it that each table of a schema is behind row-level security.

use anyhow::{Result, ensure};
use sqlx::PgConnection;

/// The tables of a service's schema that no tenant is the first key of, by name. Every other one is behind the wall, also for its
/// owner, by the three policies that each such table has.
///
/// # Errors
/// When the server can't be reached, or a table has other policies.
pub async fn without_a_tenant(owner: &mut PgConnection, service: &str) -> Result<Vec<String>> {
    let tables: Vec<(String, bool, i64)> = sqlx::query_as(
        "SELECT c.relname::text, c.relrowsecurity AND c.relforcerowsecurity AND k.attname = 'tenant_id',
                (SELECT count(*) FROM pg_policies WHERE schemaname = $1 AND tablename = c.relname)
         FROM pg_class AS c
         LEFT JOIN pg_index AS i ON i.indrelid = c.oid AND i.indisprimary
         LEFT JOIN pg_attribute AS k ON k.attrelid = c.oid AND k.attnum = i.indkey[0]
         WHERE c.relnamespace = $1::regnamespace AND c.relkind IN ('r', 'p') ORDER BY 1",
    )
    .bind(service)
    .fetch_all(owner)
    .await?;
    for (name, walled, policies) in &tables {
        ensure!(
            *policies == if *walled { 3 } else { 0 },
            "{name} has {policies} policies, and row-level security is {walled}"
        );
    }
    let open = tables.into_iter().filter(|(_, walled, _)| !walled);
    Ok(open.map(|(name, ..)| name).collect())
}
