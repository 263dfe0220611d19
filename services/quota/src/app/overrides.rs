//! All overrides in memory, as quota's own feed tells of them: every replica follows the changes of all.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use serde_json::Value;
use tenantry_core::TenantId;
use tenantry_core::event::{Event, Outcome};
use tenantry_rpc::Tasks;
use tenantry_store::Store;
use tenantry_store::feed::{Head, Read, Tail};
use tenantry_store::tenant_data::DATA_PURGED;
use tokio_util::sync::CancellationToken;

use super::limits::{EXPIRED, OVERRIDDEN, RESET};
use crate::domain::limit::LimitOverride;
use crate::error::Error;
use crate::store::overrides;

/// Most overrides read at once.
const PAGE: i64 = 5_000;

type Table = HashMap<TenantId, Vec<Arc<LimitOverride>>>;

/// The overrides of all tenants. Clones share them.
#[derive(Clone, Debug)]
pub(crate) struct Overrides {
    store: Store,
    table: Arc<RwLock<Table>>,
    /// When what is known was all there was.
    fresh: Arc<RwLock<Instant>>,
}

impl Overrides {
    /// Reads all, and goes on with what changes.
    pub(crate) async fn start(store: Store, tail: Tail, tasks: &Tasks) -> Result<Self, Error> {
        let overrides = Self {
            store,
            table: Arc::default(),
            fresh: Arc::new(RwLock::new(Instant::now())),
        };
        let mut ticks = tail.ticks();
        let head = *ticks
            .wait_for(|head| {
                head.head > 0 || head.floor > 0 || head.age() < Duration::from_secs(60)
            })
            .await
            .map_err(|_closed| tenantry_core::Refusal::unavailable())?;
        overrides.list().await?;
        let follow = overrides.clone().follow(tail, head.head, tasks.token());
        tasks.keep("overrides", follow);
        Ok(overrides)
    }

    /// The override of a tenant's limit.
    pub(super) fn get(&self, tenant: TenantId, resource_type: &str) -> Option<Arc<LimitOverride>> {
        let table = self.table.read().unwrap_or_else(PoisonError::into_inner);
        let mut of_tenant = table.get(&tenant)?.iter();
        of_tenant
            .find(|set| set.resource_type == resource_type)
            .cloned()
    }

    /// All overrides of a tenant.
    pub(super) fn of(&self, tenant: TenantId) -> Vec<Arc<LimitOverride>> {
        let table = self.table.read().unwrap_or_else(PoisonError::into_inner);
        table.get(&tenant).cloned().unwrap_or_default()
    }

    /// Each tenant and resource type whose limit is set to be a pool.
    pub(super) fn pools(&self) -> Vec<(TenantId, String)> {
        let table = self.table.read().unwrap_or_else(PoisonError::into_inner);
        let all = table.iter().flat_map(|(tenant, set)| {
            let shared = set.iter().filter(|set| set.shared);
            shared.map(|set| (*tenant, set.resource_type.clone()))
        });
        all.collect()
    }

    /// How old what is known is.
    pub(super) fn age(&self) -> Duration {
        let fresh = self.fresh.read().unwrap_or_else(PoisonError::into_inner);
        fresh.elapsed()
    }

    /// Reads all there are, in the place of what is known.
    async fn list(&self) -> Result<(), Error> {
        let mut listed = Table::new();
        let mut after = (TenantId::PLATFORM, String::new());
        loop {
            let mut tx = self.store.platform().await?;
            let page = overrides::page(tx.conn(), (after.0, &after.1), PAGE).await?;
            drop(tx);
            let Some((tenant, last)) = page.last() else {
                break;
            };
            after = (*tenant, last.resource_type.clone());
            for (tenant, set) in page {
                listed.entry(tenant).or_default().push(Arc::new(set));
            }
        }
        *self.table.write().unwrap_or_else(PoisonError::into_inner) = listed;
        Ok(())
    }

    /// Applies changes until cancelled. While the database doesn't answer, what is known grows old.
    async fn follow(self, tail: Tail, mut position: i64, cancel: CancellationToken) {
        let mut ticks = tail.ticks();
        loop {
            tokio::select! {
                () = cancel.cancelled() => return,
                ticked = ticks.changed() => if ticked.is_err() { return },
            }
            let head = *ticks.borrow_and_update();
            match self.apply_up_to(&tail, head, position).await {
                Ok(reached) => position = reached,
                Err(error) => tracing::warn!(error = %error, "overrides can't be followed"),
            }
        }
    }

    async fn apply_up_to(&self, tail: &Tail, head: Head, from: i64) -> Result<i64, Error> {
        let mut position = from;
        while position < head.head {
            match tail.after(position, None).await? {
                Read::Items(items, next) => {
                    for item in items {
                        self.apply(item.tenant_id, &item.event);
                    }
                    if next == position {
                        break;
                    }
                    position = next;
                }
                Read::TooOld => {
                    self.list().await?;
                    position = head.head;
                }
            }
        }
        if position >= head.head
            && let Some(fresh) = Instant::now().checked_sub(head.age())
        {
            *self.fresh.write().unwrap_or_else(PoisonError::into_inner) = fresh;
        }
        Ok(position)
    }

    fn apply(&self, tenant: TenantId, event: &Event) {
        if event.outcome != Outcome::Success {
            return;
        }
        match event.action.as_str() {
            OVERRIDDEN => {
                if let Some(set) = state(tenant, &event.after) {
                    self.put(tenant, set);
                }
            }
            RESET | EXPIRED => {
                if let Some(set) = state(tenant, &event.before) {
                    self.remove(tenant, &set);
                }
            }
            DATA_PURGED => {
                let mut table = self.table.write().unwrap_or_else(PoisonError::into_inner);
                table.remove(&tenant);
            }
            _ => {}
        }
    }

    /// Knows an override that was set, unless a newer one is known: what this replica did itself it knows before the feed tells.
    pub(super) fn put(&self, tenant: TenantId, set: LimitOverride) {
        let mut table = self.table.write().unwrap_or_else(PoisonError::into_inner);
        let of_tenant = table.entry(tenant).or_default();
        let same = |known: &&Arc<LimitOverride>| known.resource_type == set.resource_type;
        if of_tenant
            .iter()
            .find(same)
            .is_some_and(|known| known.created_at > set.created_at)
        {
            return;
        }
        of_tenant.retain(|known| known.resource_type != set.resource_type);
        of_tenant.push(Arc::new(set));
    }

    /// Knows that an override is gone.
    pub(super) fn remove(&self, tenant: TenantId, set: &LimitOverride) {
        let mut table = self.table.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(of_tenant) = table.get_mut(&tenant) {
            of_tenant.retain(|known| known.id != set.id);
            if of_tenant.is_empty() {
                table.remove(&tenant);
            }
        }
    }
}

/// An override as it stands in an event.
fn state(tenant: TenantId, state: &Value) -> Option<LimitOverride> {
    let set = serde_json::from_value(state.clone());
    set.inspect_err(|error| tracing::error!(tenant.id = %tenant, error = %error, "an override in the feed can't be read"))
        .ok()
}
