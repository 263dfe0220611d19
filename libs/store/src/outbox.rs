//! Writing the events of a change, in the change's transaction.

use std::collections::BTreeMap;
use std::slice;

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
        self.write(slice::from_ref(event)).await
    }

    /// Writes events of one change into the streams of several tenants: where it is of something that belongs to none of
    /// them, as a person's sessions, or moves between them. Call it last: the counters' rows are locked in the order of
    /// tenants, so that of two such changes none waits for the other. In each stream the events keep their order. Only
    /// streams are entered: nothing else of those tenants is in reach.
    ///
    /// # Errors
    /// As [`Self::record`].
    pub async fn record_each(&mut self, events: Vec<(TenantId, Event)>) -> Result<(), Error> {
        let own = self.scope();
        let mut streams: BTreeMap<TenantId, Vec<Event>> = BTreeMap::new();
        for (tenant, event) in events {
            streams.entry(tenant).or_default().push(event);
        }
        for (tenant, events) in &streams {
            self.go_to(*tenant).await?;
            self.write(events).await?;
        }
        self.go_to(own).await
    }

    /// Writes events of the present tenant, in their order, with one statement.
    async fn write(&mut self, events: &[Event]) -> Result<(), Error> {
        let scope = self.scope().uuid();
        let count = i64::try_from(events.len()).unwrap_or(i64::MAX);
        let ids: Vec<_> = events.iter().map(|event| event.id.uuid()).collect();
        let actions: Vec<_> = events.iter().map(|event| event.action.as_str()).collect();
        let bodies = events
            .iter()
            .map(serde_json::to_value)
            .collect::<Result<Vec<_>, _>>()?;
        let recorded = sqlx::query!(
            r#"
            WITH counted AS (
                INSERT INTO outbox_counter AS c (tenant_id, n, at)
                VALUES ($1, $2::bigint, clock_timestamp() + $2::bigint * interval '1 microsecond')
                ON CONFLICT (tenant_id) DO UPDATE
                    SET n = c.n + $2::bigint, at = greatest(clock_timestamp(), c.at) + $2::bigint * interval '1 microsecond'
                    WHERE c.closed_at IS NULL
                RETURNING n, at
            )
            INSERT INTO outbox (tenant_id, n, event_id, at, action, event)
            SELECT $1, c.n - $2::bigint + e.i, e.id, c.at - ($2::bigint - e.i) * interval '1 microsecond', e.action, e.event
            FROM counted AS c, unnest($3::uuid[], $4::text[], $5::jsonb[]) WITH ORDINALITY AS e (id, action, event, i)
            ORDER BY e.i
            "#,
            scope,
            count,
            &ids,
            &actions as &[&str],
            &bodies,
        )
        .execute(self.conn())
        .await?;
        if recorded.rows_affected() == 0 {
            return Err(Error::TenantClosed);
        }
        self.recorded = true;
        Ok(())
    }
}
