//! How tenants are doing.

use std::collections::HashMap;

use tenantry_core::page::PageTokens;
use tenantry_core::{RequestContext, TenantId, TenantStatus};
use tenantry_counter::{CounterKey, Opening};
use tenantry_rpc::tenants::{FRESH, TenantEntry};

use super::App;
use crate::domain::health::{Health, Mark, Status, Use};
use crate::domain::period::ResetPeriod;
use crate::error::Error;
use crate::store::accounts;

/// Most tenants that are looked at for a page.
const LOOKED_AT: usize = 1_000;

/// How a tenant is doing.
#[derive(Clone, Debug)]
pub(crate) struct OfTenant {
    pub(crate) tenant: TenantId,
    pub(crate) health: Health,
}

/// A page of tenants that is asked for.
#[derive(Clone, Debug)]
pub(crate) struct Page {
    pub(crate) project: String,
    pub(crate) status: Option<Status>,
    pub(crate) page_token: String,
    pub(crate) size: u32,
}

/// A limit of a tenant, and over which window it is counted.
struct Bounded {
    tenant: TenantId,
    resource_type: String,
    reset_period: ResetPeriod,
    limit: i64,
}

impl App {
    /// How a tenant is doing.
    pub(crate) async fn health(&self, tenant: &TenantEntry) -> Result<OfTenant, Error> {
        let connectivity = self.connectivity(tenant).await?;
        let uses = if connectivity == Mark::Fail {
            self.uses_by_ledger(std::slice::from_ref(tenant))
                .await?
                .pop()
        } else {
            let quotas = self.quotas(tenant).await?.into_iter();
            let uses = quotas.filter_map(|quota| {
                Some(Use {
                    limit: quota.standing.limit?,
                    resource_type: quota.resource_type,
                    used: quota.standing.usage,
                    gauge: quota.reset_period.is_never(),
                })
            });
            Some(uses.collect())
        };
        Ok(OfTenant {
            tenant: tenant.id,
            health: Health::of(connectivity, uses.unwrap_or_default()),
        })
    }

    /// One page of how tenants are doing, by id, by what the ledger has.
    pub(crate) async fn health_of_all(
        &self,
        ctx: &RequestContext,
        page: &Page,
        tokens: &PageTokens<'_>,
    ) -> Result<tenantry_core::page::Page<OfTenant>, Error> {
        let after: Option<TenantId> = tokens.read(&page.page_token)?;
        self.record_access(ctx, TenantId::PLATFORM).await?;
        let size = usize::try_from(page.size).unwrap_or(usize::MAX);
        // One more than the page, which tells whether another follows.
        let looked_at = page.status.map_or(size + 1, |_| LOOKED_AT);
        let there = |entry: &TenantEntry| entry.status != TenantStatus::Deleted;
        let tenants = self
            .tenants
            .list(&page.project, (after, looked_at), there)?;
        let connectivity = self.freshness();
        let uses = self.uses_by_ledger(&tenants).await?;
        let all = tenants.iter().zip(uses).map(|(tenant, uses)| OfTenant {
            tenant: tenant.id,
            health: Health::of(connectivity, uses),
        });
        let fit = all.filter(|of| page.status.is_none_or(|status| of.health.status == status));
        let token = |last: &OfTenant| tokens.write(&last.tenant);
        let mut cut = tenantry_core::page::Page::cut(fit.collect(), page.size, token);
        if cut.next_page_token.is_empty() && tenants.len() == looked_at {
            let last = tenants.last().map(|last| tokens.write(&last.id));
            cut.next_page_token = last.unwrap_or_default();
        }
        Ok(cut)
    }

    /// Whether what a tenant's uses are decided by answers.
    async fn connectivity(&self, tenant: &TenantEntry) -> Result<Mark, Error> {
        let root = self.root(tenant).await?;
        // Any name in the tree leads to the Redis that has its counters.
        let window = (ResetPeriod::Never.word(), jiff::Timestamp::UNIX_EPOCH);
        let key = CounterKey::new(root, tenant.id, "health", window);
        let nothing = Opening::noted(String::new());
        match self.counters.look(&[(&key, &nothing)]).await {
            Ok(_) => Ok(self.freshness()),
            Err(error) => {
                tracing::warn!(error = %error, "a counter can't be asked");
                Ok(Mark::Fail)
            }
        }
    }

    /// Whether tenants and overrides are known as they are now.
    fn freshness(&self) -> Mark {
        if self.tenants.age() > FRESH || self.overrides.age() > FRESH {
            Mark::Warning
        } else {
            Mark::Pass
        }
    }

    /// Of each of these tenants what is used of its limits, by what the ledger has. One whose plan isn't known yet has none.
    async fn uses_by_ledger(&self, tenants: &[TenantEntry]) -> Result<Vec<Vec<Use>>, Error> {
        let bounded: Vec<_> = tenants
            .iter()
            .flat_map(|tenant| self.bounded(tenant))
            .collect();
        let asked: Vec<_> = bounded
            .iter()
            .map(|of| (of.tenant, of.resource_type.as_str(), of.reset_period))
            .collect();
        let mut tx = self.store.platform().await?;
        let now = accounts::now(tx.conn()).await?;
        let newest = accounts::newest_of(tx.conn(), &asked).await?;
        drop(tx);
        let used: HashMap<_, _> = newest
            .iter()
            .filter(|account| account.window.end.is_none_or(|end| end > now))
            .map(|account| {
                let id = &account.id;
                let of = (id.tenant, id.resource_type.as_str(), id.reset_period);
                (of, account.used())
            })
            .collect();
        let mut uses = bounded.iter().peekable();
        let of_each = tenants.iter().map(|tenant| {
            let mut own = Vec::new();
            while let Some(of) = uses.next_if(|of| of.tenant == tenant.id) {
                let known = used.get(&(of.tenant, of.resource_type.as_str(), of.reset_period));
                own.push(Use {
                    used: known.copied().unwrap_or_default(),
                    resource_type: of.resource_type.clone(),
                    limit: of.limit,
                    gauge: of.reset_period.is_never(),
                });
            }
            own
        });
        Ok(of_each.collect())
    }

    /// The limits of a tenant, by what is in memory.
    fn bounded(&self, tenant: &TenantEntry) -> Vec<Bounded> {
        let Some(of_plan) = self.tenants.plan_limits(tenant) else {
            return Vec::new();
        };
        let set = self.overrides.of(tenant.id);
        let requested = tenant.requested_limits.iter();
        let mut names: Vec<&str> = of_plan
            .iter()
            .map(|limit| limit.resource_type.as_str())
            .chain(requested.map(|limit| limit.resource_type.as_str()))
            .chain(set.iter().map(|set| set.resource_type.as_str()))
            .collect();
        names.sort_unstable();
        names.dedup();
        let limits = names.into_iter().filter_map(|name| {
            let set = set.iter().find(|set| set.resource_type == name);
            let limit = self.holds(tenant, name, set.map(AsRef::as_ref)).ok()??;
            Some(Bounded {
                tenant: tenant.id,
                resource_type: name.to_owned(),
                reset_period: limit.reset_period,
                limit: limit.limit,
            })
        });
        limits.collect()
    }
}
