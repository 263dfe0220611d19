//! Changes of several tenants at once: one transaction, all or nothing, with each tenant's own event in its own stream.

use serde::Serialize;
use serde::de::DeserializeOwned;
use sqlx::PgConnection;
use tenantry_core::TenantId;
use tenantry_core::event::Event;
use tenantry_core::request_id::RequestKey;

use crate::error::Error;
use crate::request_record::Replay;
use crate::tx::TenantTx;

/// A transaction that sees the rows of every tenant, for one change of several; its request id is claimed in the scope of
/// one. Dropped, it is rolled back. A test holds the list of the places that begin one.
#[derive(Debug)]
pub struct AcrossTx(pub(crate) TenantTx);

impl AcrossTx {
    /// The connection, for the service's own statements. Lock tenants in the order of their ids.
    pub fn conn(&mut self) -> &mut PgConnection {
        self.0.conn()
    }

    /// [`TenantTx::claim`].
    ///
    /// # Errors
    /// As there.
    pub async fn claim<T: DeserializeOwned>(
        &mut self,
        key: Option<&RequestKey>,
    ) -> Result<Option<Replay<T>>, Error> {
        self.0.claim(key).await
    }

    /// Writes events into the streams of their tenants, those of one tenant in the order in which they are given. Call it last: the
    /// counters are locked until the commit, in the order of the tenants' ids, so that two such changes never wait for each other.
    ///
    /// # Errors
    /// The database doesn't answer.
    pub async fn record_all(&mut self, events: &[(TenantId, Event)]) -> Result<(), Error> {
        let tenants: Vec<_> = events.iter().map(|(tenant, _)| tenant.uuid()).collect();
        let ids: Vec<_> = events.iter().map(|(_, event)| event.id.uuid()).collect();
        let actions: Vec<_> = events
            .iter()
            .map(|(_, event)| event.action.clone())
            .collect();
        let bodies = events
            .iter()
            .map(|(_, event)| serde_json::to_value(event))
            .collect::<Result<Vec<_>, _>>()?;
        sqlx::query!(
            r#"
            WITH given AS (
                SELECT tenant_id, event_id, action, event, row_number() OVER (PARTITION BY tenant_id ORDER BY place) AS nth, count(*) OVER (PARTITION BY tenant_id) AS of_all
                FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::jsonb[]) WITH ORDINALITY AS g (tenant_id, event_id, action, event, place)
            ), counted AS (
                INSERT INTO outbox_counter AS c (tenant_id, n, at)
                SELECT tenant_id, count(*), clock_timestamp() + count(*) * interval '1 microsecond' FROM given
                GROUP BY tenant_id ORDER BY tenant_id
                ON CONFLICT (tenant_id) DO UPDATE
                    SET n = c.n + excluded.n, at = greatest(clock_timestamp(), c.at) + excluded.n * interval '1 microsecond'
                RETURNING tenant_id, n, at
            )
            INSERT INTO outbox (tenant_id, n, event_id, at, action, event)
            SELECT tenant_id, n - of_all + nth, event_id, at - (of_all - nth) * interval '1 microsecond', action, event
            FROM counted JOIN given USING (tenant_id)
            ORDER BY tenant_id, nth
            "#,
            &tenants,
            &ids,
            &actions,
            &bodies,
        )
        .execute(self.conn())
        .await?;
        Ok(())
    }

    /// [`TenantTx::finish`].
    ///
    /// # Errors
    /// As there.
    pub async fn finish(
        self,
        key: Option<&RequestKey>,
        answer: &(impl Serialize + Sync),
    ) -> Result<(), Error> {
        self.0.finish(key, answer).await
    }
}
