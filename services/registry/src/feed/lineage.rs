//! What a tenant's own stream stands on. Access may come from above, so the stream ends when a tenant above goes out of use
//! or moves; whoever has access of their own reconnects.

use std::time::Duration;

use tenantry_core::TenantId;
use tenantry_store::Store;
use tenantry_store::feed::Tail;

use crate::domain::tenant::Tenant;
use crate::error::Error;
use crate::store::tree;

/// A tenant above that changed this short a time before the stream began may be unknown yet to whoever admitted its caller.
const SETTLED_AFTER: Duration = Duration::from_secs(5);

/// A tenant and all above it, as they were when its stream began.
#[derive(Debug)]
pub(super) struct Lineage {
    ids: Vec<TenantId>,
    parents: Vec<Option<TenantId>>,
    /// Changes up to this place in the feed were in what was read.
    known_to: i64,
    lost: bool,
}

impl Lineage {
    /// The lineage now.
    pub(super) async fn read(store: &Store, tail: &Tail, own: TenantId) -> Result<Self, Error> {
        // Before the rows: what is numbered later is looked at again.
        let known_to = tail.head().head;
        let mut tx = store.platform().await?;
        let tenants = tree::lineage(tx.conn(), own).await?;
        let now = tenantry_core::clock::now();
        let lost = tenants.iter().skip(1).any(|above| {
            !above.status.is_active()
                && now.duration_since(above.updated_at).unsigned_abs() < SETTLED_AFTER
        });
        Ok(Self {
            ids: tenants.iter().map(|tenant| tenant.id).collect(),
            parents: tenants.iter().map(|tenant| tenant.parent_id).collect(),
            known_to,
            lost,
        })
    }

    /// The tenants whose changes concern the stream, its own first.
    pub(super) fn ids(&self) -> &[TenantId] {
        &self.ids
    }

    /// Whether this is one of the tenants above, which the stream doesn't show.
    pub(super) fn is_above(&self, id: TenantId) -> bool {
        self.ids.iter().skip(1).any(|above| *above == id)
    }

    /// Whether access from above may have ended just before the stream began.
    pub(super) const fn is_lost(&self) -> bool {
        self.lost
    }

    /// Whether access from above may end with this state of a tenant, at this place in the feed.
    pub(super) fn ends_with(&self, tenant: &Tenant, feed_n: i64) -> bool {
        if feed_n <= self.known_to {
            return false;
        }
        let mut known = self.ids.iter().zip(&self.parents);
        known.any(|(id, parent)| *id == tenant.id && *parent != tenant.parent_id)
            || (self.is_above(tenant.id) && !tenant.status.is_active())
    }
}
