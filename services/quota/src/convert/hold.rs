//! Between the messages of holds and the use cases.

use std::collections::BTreeSet;

use jiff::SignedDuration;
use tenantry_core::refusal::Violations;
use tenantry_core::{Refusal, RequestContext, ReservationId};

use crate::app::Items;
use crate::domain::limit;

/// Most items of one call.
const MAX_ITEMS: usize = 1_000;
/// How long a hold may be before its owner is asked.
const MIN_TTL_MS: u32 = 1_000;
const MAX_TTL_MS: u32 = 3_600_000;

/// Items of the calling service.
pub(crate) fn items(
    ctx: &RequestContext,
    resource_type: String,
    ids: &[String],
) -> Result<Items, Refusal> {
    let mut wrong = Violations::new();
    wrong.take("resource_type", limit::resource_type(&resource_type));
    let parsed: Result<BTreeSet<ReservationId>, _> = ids.iter().map(|id| id.parse()).collect();
    let parsed = parsed.map_err(|_| "must be UUIDs".to_owned());
    let parsed = parsed.and_then(|parsed| {
        let each_once = parsed.len() == ids.len() && (1..=MAX_ITEMS).contains(&ids.len());
        each_once
            .then_some(ids)
            .ok_or_else(|| format!("must be 1 to {MAX_ITEMS}, each once"))
    });
    wrong.take("items", parsed);
    wrong.check()?;
    Ok(Items {
        owner: ctx.principal.name.clone(),
        resource_type,
        ids: ids.iter().filter_map(|id| id.parse().ok()).collect(),
    })
}

/// How long a hold is.
pub(crate) fn ttl(ms: u32) -> Result<SignedDuration, Refusal> {
    if (MIN_TTL_MS..=MAX_TTL_MS).contains(&ms) {
        return Ok(SignedDuration::from_millis(ms.into()));
    }
    let why = format!("must be {MIN_TTL_MS} to {MAX_TTL_MS}");
    Err(Refusal::field("ttl_ms", why))
}
