//! Writing the event of a change, in the change's transaction.

use tenantry_core::TenantId;
use tenantry_core::event::Event;

use crate::error::Error;
use crate::tx::TenantTx;

impl TenantTx {
    /// Writes the event with its tenant's next number. Call it last: the counter's row is locked until the commit, which
    /// is what makes the numbers gapless and their order that of the commits.
    ///
    /// # Errors
    /// The database doesn't answer; [`Error::TenantClosed`] where the tenant is being purged.
    pub async fn record(&mut self, event: &Event) -> Result<(), Error> {
        let scope = self.scope().uuid();
        let json = serde_json::to_value(event)?;
        let recorded = sqlx::query!(
            r#"
            WITH counted AS (
                INSERT INTO outbox_counter AS c (tenant_id, n, at)
                VALUES ($1, 1, clock_timestamp())
                ON CONFLICT (tenant_id) DO UPDATE
                    SET n = c.n + 1, at = greatest(clock_timestamp(), c.at + interval '1 microsecond')
                    WHERE c.closed_at IS NULL
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
        if recorded.rows_affected() == 0 {
            return Err(Error::TenantClosed);
        }
        self.recorded = true;
        Ok(())
    }

    /// Writes events of one change into the streams of several tenants, where the change is of something that belongs to
    /// none of them, as a person's sessions. Call it last: the counters' rows are locked in the order of tenants, so that of
    /// two such changes none waits for the other. Only streams are entered: nothing else of those tenants is in reach.
    ///
    /// # Errors
    /// The database doesn't answer.
    pub async fn record_each(&mut self, events: Vec<(TenantId, Event)>) -> Result<(), Error> {
        let own = self.scope();
        let mut events = events;
        events.sort_by_key(|(tenant, _)| *tenant);
        for (tenant, event) in &events {
            self.go_to(*tenant).await?;
            self.record(event).await?;
        }
        self.go_to(own).await
    }
}
