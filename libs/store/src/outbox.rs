//! Writing the event of a change, in the change's transaction.

use tenantry_core::event::Event;

use crate::error::Error;
use crate::tx::TenantTx;

impl TenantTx {
    /// Writes the event with its tenant's next number. Call it last: the counter's row is locked until the commit, which
    /// is what makes the numbers gapless and their order that of the commits.
    ///
    /// # Errors
    /// The database doesn't answer.
    pub async fn record(&mut self, event: &Event) -> Result<(), Error> {
        let scope = self.scope().uuid();
        let json = serde_json::to_value(event)?;
        sqlx::query!(
            r#"
            WITH counted AS (
                INSERT INTO outbox_counter AS c (tenant_id, n, at)
                VALUES ($1, 1, clock_timestamp())
                ON CONFLICT (tenant_id) DO UPDATE
                    SET n = c.n + 1, at = greatest(clock_timestamp(), c.at + interval '1 microsecond')
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
}
