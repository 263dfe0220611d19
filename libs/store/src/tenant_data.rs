//! All that a service keeps of one tenant: counted, and removed for good.
//!
//! A purge first closes the tenant. Every change takes its number from the tenant's counter last, so whichever changes come
//! before the closing have committed when it commits, and those that come later find it closed and roll back. What is then
//! removed stays so.

use std::time::Instant;

use sqlx::AssertSqlSafe;
use tenantry_core::event::Event;
use tenantry_core::{Permissions, RequestContext, TenantId};

use crate::error::Error;
use crate::pool::Store;
use crate::tx::TenantTx;

/// Most rows that one transaction of a purge removes.
const BATCH: i64 = 5_000;

/// What the log calls the end of what a service kept of a tenant.
pub const DATA_PURGED: &str = "tenant.data_purged";

/// A table with rows of tenants that a purge removes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TenantTable {
    /// Its name in the schema.
    pub name: &'static str,
    /// The column that names the tenant.
    pub column: &'static str,
    /// What its rows are, for people, as `members`.
    pub kind: &'static str,
}

impl TenantTable {
    /// A table whose rows name their tenant in `tenant_id`.
    #[must_use]
    pub const fn of(name: &'static str, kind: &'static str) -> Self {
        Self::by(name, "tenant_id", kind)
    }

    /// A table whose rows name a tenant in another column.
    #[must_use]
    pub const fn by(name: &'static str, column: &'static str, kind: &'static str) -> Self {
        Self { name, column, kind }
    }
}

/// How much there is of one kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KindCount {
    /// What it is.
    pub kind: &'static str,
    /// How many rows.
    pub count: i64,
}

impl Store {
    /// Counts a tenant's rows in these tables.
    ///
    /// # Errors
    /// The database doesn't answer.
    pub async fn count_tenant_rows(
        &self,
        tenant: TenantId,
        tables: &[TenantTable],
    ) -> Result<Vec<KindCount>, Error> {
        let mut tx = self.read(tenant).await?;
        let mut counts = Vec::with_capacity(tables.len());
        for table in tables {
            // The names are constants of the service; a checked query can't have a table for a parameter.
            let TenantTable { name, column, .. } = table;
            let statement = format!("SELECT count(*) FROM {name} WHERE {column} = $1");
            let count = sqlx::query_scalar(AssertSqlSafe(statement))
                .bind(tenant.uuid())
                .fetch_one(tx.conn())
                .await?;
            counts.push(KindCount {
                kind: table.kind,
                count,
            });
        }
        Ok(counts)
    }

    /// Closes a tenant: when this returns, no change of it is under way that could still commit, nor will one be.
    ///
    /// # Errors
    /// The database doesn't answer.
    pub async fn close_tenant(&self, tenant: TenantId) -> Result<(), Error> {
        let mut tx = self.begin(tenant).await?;
        sqlx::query!(
            "INSERT INTO outbox_counter AS c (tenant_id, n, at, closed_at)
             VALUES ($1, 0, clock_timestamp(), clock_timestamp())
             ON CONFLICT (tenant_id) DO UPDATE SET closed_at = coalesce(c.closed_at, excluded.closed_at)",
            tenant.uuid(),
        )
        .execute(tx.conn())
        .await?;
        tx.commit().await
    }

    /// Removes a closed tenant's rows from these tables, in their order and in transactions of a bounded size, for at most
    /// this long; `false` where something is left.
    ///
    /// # Errors
    /// The database doesn't answer.
    pub async fn remove_tenant_rows(
        &self,
        tenant: TenantId,
        tables: &[TenantTable],
        until: Instant,
    ) -> Result<bool, Error> {
        for table in tables {
            loop {
                let mut tx = self.begin(tenant).await?;
                let gone = tx.remove_batch(table).await?;
                tx.commit().await?;
                if gone < BATCH.unsigned_abs() {
                    break;
                }
                if Instant::now() >= until {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }
}

impl Store {
    /// Says at the end of a closed tenant's stream that nothing is left of it here; does nothing where that was done before.
    ///
    /// # Errors
    /// The database doesn't answer.
    pub async fn end_tenant(&self, tenant: TenantId) -> Result<(), Error> {
        let ctx = RequestContext::of_service("registry", Permissions::NONE);
        let nothing = serde_json::Value::Null;
        let event = Event::of(
            &ctx,
            DATA_PURGED,
            "tenant",
            tenant.uuid(),
            nothing.clone(),
            nothing,
        );
        let mut tx = self.begin(tenant).await?;
        tx.record_last(&event).await?;
        tx.commit().await
    }
}

impl TenantTx {
    /// Removes all rows of this transaction's tenant from these tables, in their order. For what is few.
    ///
    /// # Errors
    /// The database doesn't answer.
    pub async fn remove_rows(&mut self, tables: &[TenantTable]) -> Result<(), Error> {
        for table in tables {
            while self.remove_batch(table).await? == BATCH.unsigned_abs() {}
        }
        Ok(())
    }

    async fn remove_batch(&mut self, table: &TenantTable) -> Result<u64, Error> {
        let tenant = self.scope().uuid();
        // The names are constants of the service; a checked query can't have a table for a parameter.
        let TenantTable { name, column, .. } = table;
        let statement = format!(
            "DELETE FROM {name} WHERE ctid = ANY (ARRAY (SELECT ctid FROM {name} WHERE {column} = $1 LIMIT $2))"
        );
        let gone = sqlx::query(AssertSqlSafe(statement))
            .bind(tenant)
            .bind(BATCH)
            .execute(self.conn())
            .await?;
        Ok(gone.rows_affected())
    }

    /// Writes the tenant's last event and closes its stream for good; does nothing where that was done before. Like
    /// [`TenantTx::record`], call it last.
    ///
    /// # Errors
    /// The database doesn't answer.
    pub async fn record_last(&mut self, event: &Event) -> Result<(), Error> {
        let scope = self.scope().uuid();
        let json = serde_json::to_value(event)?;
        sqlx::query!(
            r#"
            WITH counted AS (
                INSERT INTO outbox_counter AS c (tenant_id, n, at, closed_at, ended_at)
                VALUES ($1, 1, clock_timestamp(), clock_timestamp(), clock_timestamp())
                ON CONFLICT (tenant_id) DO UPDATE
                    SET n = c.n + 1, at = greatest(clock_timestamp(), c.at + interval '1 microsecond'),
                        closed_at = coalesce(c.closed_at, excluded.closed_at), ended_at = excluded.ended_at
                    WHERE c.ended_at IS NULL
                RETURNING n, at
            )
            INSERT INTO outbox (tenant_id, n, event_id, at, action, event)
            SELECT $1, n, $2, at, $3, $4 FROM counted
            "#,
            scope,
            event.id.uuid(),
            event.action,
            json,
        )
        .execute(self.conn())
        .await?;
        Ok(())
    }

    /// Refuses where this transaction's tenant was closed, and holds off its closing until the transaction ends: for a
    /// transaction that writes and records no event.
    ///
    /// # Errors
    /// The database doesn't answer; [`Error::TenantClosed`] where the tenant is being purged.
    pub async fn still_open(&mut self) -> Result<(), Error> {
        let scope = self.scope();
        if scope.is_platform() {
            return Ok(());
        }
        let closed = match self.is_closed(scope).await? {
            Some(closed) => closed,
            None => {
                // Nothing has happened yet: a row for the closing to wait at.
                sqlx::query!(
                    "INSERT INTO outbox_counter (tenant_id, n, at) VALUES ($1, 0, clock_timestamp()) ON CONFLICT DO NOTHING",
                    scope.uuid(),
                )
                .execute(self.conn())
                .await?;
                self.is_closed(scope).await?.unwrap_or(true)
            }
        };
        if closed {
            return Err(Error::TenantClosed);
        }
        Ok(())
    }

    async fn is_closed(&mut self, scope: TenantId) -> Result<Option<bool>, Error> {
        let closed = sqlx::query_scalar!(
            r#"SELECT closed_at IS NOT NULL AS "closed!" FROM outbox_counter WHERE tenant_id = $1 FOR SHARE"#,
            scope.uuid(),
        );
        Ok(closed.fetch_optional(self.conn()).await?)
    }
}
