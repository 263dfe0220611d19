//! Events of changes, with the states before and after as they stand in rows.

use serde::Serialize;
use serde_json::Value;
use tenantry_core::RequestContext;
use tenantry_core::event::Event;
use uuid::Uuid;

use crate::error::Error;

/// The event of a change: nothing before is a creation, nothing after a removal.
pub(super) fn event<T: Serialize>(
    ctx: &RequestContext,
    action: &str,
    (kind, id): (&str, Uuid),
    before: Option<&T>,
    after: Option<&T>,
) -> Result<Event, Error> {
    let (before, after) = (json(&before)?, json(&after)?);
    Ok(Event::of(ctx, action, kind, id, before, after))
}

/// A state as it stands in events.
pub(super) fn json<T: Serialize>(state: &T) -> Result<Value, Error> {
    Ok(serde_json::to_value(state).map_err(tenantry_store::Error::from)?)
}
