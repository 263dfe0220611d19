//! What a service asks its database, as Postgres itself counts it (pg_stat_statements).

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use sqlx::PgConnection;

/// Counts of one statement.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// How often it ran.
    pub calls: i64,
    /// Blocks that it looked at, in memory or not.
    pub blocks: i64,
}

/// What the roles of a service asked the connection's database so far, by the statement's text with single spaces.
#[derive(Clone, Debug, Default)]
pub struct Statements(BTreeMap<String, Counts>);

impl Statements {
    /// The counts of now.
    ///
    /// # Errors
    /// When the server doesn't count: pg_stat_statements comes with Debian's Postgres, and with others' as
    /// postgresql-contrib.
    pub async fn of(service: &str, superuser: &mut PgConnection) -> Result<Self> {
        sqlx::query("CREATE EXTENSION IF NOT EXISTS pg_stat_statements")
            .execute(&mut *superuser)
            .await
            .context(
                "pg_stat_statements isn't installed. Run: apt-get install postgresql-contrib",
            )?;
        let rows: Vec<(String, i64, i64)> = sqlx::query_as(
            "SELECT regexp_replace(query, '\\s+', ' ', 'g'), sum(calls)::bigint,
                    sum(shared_blks_hit + shared_blks_read)::bigint
             FROM pg_stat_statements JOIN pg_roles ON pg_roles.oid = userid
             WHERE rolname LIKE $1 || '\\_%' AND dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
             GROUP BY 1",
        )
        .bind(service)
        .fetch_all(superuser)
        .await?;
        let counts = |(query, calls, blocks)| (query, Counts { calls, blocks });
        Ok(Self(rows.into_iter().map(counts).collect()))
    }

    /// What was asked since those counts, the most frequent first.
    #[must_use]
    pub fn since(&self, before: &Self) -> Vec<(&str, Counts)> {
        let mut since: Vec<_> = self
            .0
            .iter()
            .map(|(query, now)| {
                let then = before.0.get(query).cloned().unwrap_or_default();
                let counts = Counts {
                    calls: now.calls - then.calls,
                    blocks: now.blocks - then.blocks,
                };
                (query.as_str(), counts)
            })
            .filter(|(_, counts)| counts.calls > 0)
            .collect();
        since.sort_by_key(|(_, counts)| -counts.calls);
        since
    }
}
