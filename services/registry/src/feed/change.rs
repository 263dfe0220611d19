//! What a stream tells of a change.

use std::sync::Arc;

use tenantry_core::event::Outcome;
use tenantry_store::feed::FeedItem;

use super::follow::{Follow, Item, Sink, Stop};
use super::lineage::Lineage;
use super::out_of_use;
use crate::domain::tenant::Tenant;
use crate::store::tenants;

impl<S: Sink> Follow<S> {
    /// Sends a change, if it is one of a tenant, its legal holds or a plan; the feed also carries others, and attempts that
    /// changed nothing.
    pub(super) async fn change(
        &self,
        item: Arc<FeedItem>,
        lineage: Option<&Lineage>,
    ) -> Result<bool, Stop> {
        if item.event.outcome != Outcome::Success {
            return Ok(false);
        }
        match item.event.resource.kind.as_str() {
            "tenant" => self.tenant_change(item, lineage).await,
            "legal_hold" => self.hold_change(item, lineage).await,
            "plan" => {
                let plan = serde_json::from_value(item.event.after.clone())
                    .map_err(tenantry_store::Error::from)?;
                let position = item.feed_n;
                self.send(Item::Plan(plan, Some(item)), Some(position))
                    .await?;
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    async fn tenant_change(
        &self,
        item: Arc<FeedItem>,
        lineage: Option<&Lineage>,
    ) -> Result<bool, Stop> {
        let purged = item.event.after.is_null();
        let state = if purged {
            &item.event.before
        } else {
            &item.event.after
        };
        let tenant: Tenant =
            serde_json::from_value(state.clone()).map_err(tenantry_store::Error::from)?;
        self.tell(tenant, item, purged, lineage).await
    }

    /// Sends the tenant of a legal hold that was placed or released, which its event doesn't have: as it is by now, so that
    /// later changes may be in it already. A follower takes newer versions only.
    async fn hold_change(
        &self,
        item: Arc<FeedItem>,
        lineage: Option<&Lineage>,
    ) -> Result<bool, Stop> {
        let mut tx = self.store.read(item.tenant_id).await?;
        let found = tenants::find(tx.conn(), item.tenant_id).await?;
        drop(tx);
        match found {
            Some(tenant) => self.tell(tenant, item, false, lineage).await,
            // Purged since: that comes behind.
            None => Ok(false),
        }
    }

    /// Sends a tenant's new state, or ends the stream with it, or because of it.
    async fn tell(
        &self,
        tenant: Tenant,
        item: Arc<FeedItem>,
        purged: bool,
        lineage: Option<&Lineage>,
    ) -> Result<bool, Stop> {
        let position = item.feed_n;
        let cut_off = lineage
            .is_some_and(|lineage| lineage.ends_with(&tenant, position))
            .then(out_of_use);
        if lineage.is_some_and(|lineage| lineage.is_above(tenant.id)) {
            return cut_off.map_or(Ok(false), |refusal| Err(Stop::Ended(refusal)));
        }
        let end = self.sink.ends_with(&tenant).or(cut_off);
        let change = if purged {
            Item::Purged(tenant, item)
        } else {
            Item::Change(tenant, item)
        };
        self.send(change, Some(position)).await?;
        end.map_or(Ok(true), |refusal| Err(Stop::Ended(refusal)))
    }
}
