//! The service's feed: every committed change, numbered once, in an order that has cause before effect and each tenant's
//! changes as they were committed.
//!
//! There is no leader. Whichever replica locks the head numbers what was committed and has no number yet. A sequence
//! drawn at insert would lose rows, because commits overtake each other; a number given after commit can't.

mod numberer;
mod sweep;
mod tail;

use jiff::Timestamp;
use tenantry_core::TenantId;
use tenantry_core::event::Event;

pub use numberer::number;
pub use tail::{Head, Read, Tail};

/// One change in the feed.
#[derive(Clone, Debug)]
pub struct FeedItem {
    /// Place in the feed, counted from 1.
    pub feed_n: i64,
    /// The tenant; [`TenantId::PLATFORM`] for what belongs to none.
    pub tenant_id: TenantId,
    /// Number within the tenant, gapless from 1.
    pub n: i64,
    /// When it happened, by the database's clock under the counter's lock.
    pub at: Timestamp,
    /// What happened.
    pub event: Event,
}
