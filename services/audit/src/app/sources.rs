//! Looking after streams that an alarm has stopped.

use serde_json::json;
use tenantry_core::event::Event;
use tenantry_core::page::{Page, PageTokens};
use tenantry_core::request_id::RequestKey;
use tenantry_core::{Refusal, RequestContext, TenantId};

use super::App;
use crate::domain::stream::{Position, Source, Stream};
use crate::error::Error;
use crate::store::{append, sources};

impl App {
    /// One page of the streams that an alarm has stopped, the longest stopped first.
    pub(crate) async fn stopped(
        &self,
        page_token: &str,
        size: u32,
        tokens: &PageTokens<'_>,
    ) -> Result<Page<Stream>, Error> {
        let after: Option<Position> = tokens.read(page_token)?;
        let mut tx = self.store.platform().await?;
        let items = sources::stopped(tx.conn(), after.as_ref(), i64::from(size) + 1).await?;
        Ok(Page::cut(items, size, |last| {
            tokens.write(&Position {
                stopped_at: last.stopped_at.unwrap_or_default(),
                tenant: last.tenant,
                source: last.source.clone(),
            })
        }))
    }

    /// Goes on with a stopped stream in a new epoch, from this number or from where it stopped.
    pub(crate) async fn resume(
        &self,
        ctx: &RequestContext,
        key: Option<&RequestKey>,
        (source, tenant): (&str, TenantId),
        first_n: Option<i64>,
        reason: &str,
    ) -> Result<Stream, Error> {
        let mut tx = self.store.across(TenantId::PLATFORM).await?;
        if let Some(replay) = tx.claim::<Stream>(key).await? {
            return Ok(replay.answer);
        }
        append::lock_head(tx.conn()).await?;
        let known = sources::of(tx.conn(), source, &[tenant]).await?;
        let state = known.get(&tenant).copied();
        let state = state.filter(|state| state.stopped_n.is_some());
        let state = state.ok_or(Error::SourceNotStopped)?;
        let resumed = state.resumed(first_n).ok_or_else(|| {
            let most = state.expected() + 1;
            Refusal::field("first_n", format!("must be 1 to {most}, for no more than one event is left out; 0 goes on where the stream stopped"))
        })?;
        sources::resume(tx.conn(), source, tenant, resumed).await?;
        let stream = Stream {
            source: source.to_owned(),
            tenant,
            epoch: resumed.epoch,
            expected_n: resumed.expected(),
            stopped_n: None,
            stopped_at: None,
        };
        let shown = |state: Source| json!({ "epoch": state.epoch, "expected_n": state.expected(), "stopped_n": state.stopped_n });
        let mut after = shown(resumed);
        after["source"] = json!(source);
        after["why"] = json!(reason);
        let (action, kind) = ("audit_source.resumed", "audit_source");
        let event = Event::of(ctx, action, kind, tenant.uuid(), shown(state), after);
        tx.record_all(&[(tenant, event)]).await?;
        tx.finish(key, &stream).await?;
        Ok(stream)
    }
}
