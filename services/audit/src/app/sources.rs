//! Looking after streams that an alarm has stopped.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tenantry_core::event::Event;
use tenantry_core::page::{Page, PageTokens};
use tenantry_core::request_id::RequestKey;
use tenantry_core::{RequestContext, TenantId};

use super::App;
use crate::domain::stream::Source;
use crate::error::Error;
use crate::store::{append, sources};

/// One source's stream of one tenant, as it is shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Stream {
    pub(crate) source: String,
    pub(crate) tenant: TenantId,
    pub(crate) epoch: i32,
    pub(crate) expected_n: i64,
    pub(crate) stopped_at: Option<Timestamp>,
}

/// Where a page of stopped streams was cut.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Position {
    pub(crate) stopped_at: Timestamp,
    pub(crate) tenant: TenantId,
    pub(crate) source: String,
}

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
        let state = state.filter(|state| state.stopped);
        let state = state.ok_or(Error::SourceNotStopped)?;
        let resumed = Source {
            epoch: state.epoch + 1,
            last_n: first_n.map_or(state.last_n, |first| first - 1),
            stopped: false,
        };
        sources::resume(tx.conn(), source, tenant, resumed).await?;
        let stream = Stream {
            source: source.to_owned(),
            tenant,
            epoch: resumed.epoch,
            expected_n: resumed.expected(),
            stopped_at: None,
        };
        let shown = |state: Source| json!({ "epoch": state.epoch, "expected_n": state.expected() });
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
