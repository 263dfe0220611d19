//! Sessions end with the provider that began them. From the commit on no replica believes one of them; their rows, and the
//! events that end their streams, follow here in batches, on whichever replica is free.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tenantry_core::TenantId;
use tenantry_core::event::Event;
use tenantry_rpc::{Tasks, contained};

use super::App;
use crate::error::Error;
use crate::store;
use crate::store::provider_ends::Ended;

/// Most sessions that one transaction ends.
const BATCH: i64 = 200;
/// How often it is looked for what a replica that went left behind.
const LOOK_EVERY: Duration = Duration::from_secs(15);

impl App {
    /// Ends sessions of providers whenever there are some, until cancelled. What fails is tried again at the next look.
    pub(crate) async fn end_provider_sessions(self: Arc<Self>, tasks: Tasks) {
        loop {
            tokio::select! {
                () = tasks.cancelled() => return,
                () = self.provider_ended.notified() => {}
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
            while !tasks.token().is_cancelled() {
                match contained("ends of sessions", self.end_some()).await {
                    Some(Ok(true)) => {}
                    Some(Ok(false)) | None => break,
                    Some(Err(error)) => {
                        tracing::warn!(error = %error, "sessions of a provider were not ended");
                        break;
                    }
                }
            }
        }
    }

    /// Ends some sessions; `false` where there was nothing to do.
    async fn end_some(&self) -> Result<bool, Error> {
        let mut tx = self.store.begin(TenantId::PLATFORM).await?;
        let Some(provider) = store::provider_ends::next(tx.conn()).await? else {
            return Ok(false);
        };
        let ended = store::provider_ends::batch(tx.conn(), provider, BATCH).await?;
        let events = ended.iter().map(|one| {
            let after = json!({
                "user_id": one.user, "why": "identity_provider", "identity_provider": provider,
            });
            (super::sessions::stream(one.tenant), event(one, after))
        });
        tx.record_each(events.collect()).await?;
        tx.commit().await?;
        Ok(true)
    }
}

fn event(ended: &Ended, after: Value) -> Event {
    let id = ended.session.uuid();
    Event::by_service(
        "identity",
        "session.ended",
        "session",
        id,
        Value::Null,
        after,
    )
}
