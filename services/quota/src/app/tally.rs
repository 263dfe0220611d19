//! Requests as the log has them: what a replica admitted is added up, and written down every few seconds. The accounts know of each
//! request by what their counters were spent; what a replica had not written yet when it ended, the log doesn't have.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tenantry_core::{TenantId, UsageId};
use tokio_util::sync::CancellationToken;

use super::App;
use crate::domain::usage_event::Sum;
use crate::error::Error;
use crate::store::{accounts, series, usage};

/// How often sums are written.
const WRITE_EVERY: Duration = Duration::from_secs(5);
/// Most sums of one transaction.
const AT_ONCE: usize = 1_000;
/// Most transactions that wait for a database that doesn't answer; what is beyond them is given up, and said so.
const MOST_WAITING: usize = 1_000;

/// How much of each resource type.
type OfTenant = Vec<(Box<str>, i64)>;

/// What was admitted and isn't written yet. Clones share it.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally(Arc<Mutex<HashMap<TenantId, OfTenant>>>);

impl Tally {
    /// Adds what was admitted.
    pub(super) fn add(&self, tenant: TenantId, resource_type: &str, amount: i64) {
        if amount <= 0 {
            return;
        }
        let mut tenants = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let of_tenant = tenants.entry(tenant).or_default();
        let mut known = of_tenant.iter_mut();
        match known.find(|(known, _)| **known == *resource_type) {
            Some((_, sum)) => *sum = sum.saturating_add(amount),
            None => of_tenant.push((resource_type.into(), amount)),
        }
    }

    /// Takes all sums away.
    fn take(&self) -> Vec<Sum> {
        let mut tenants = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let tenants = std::mem::take(&mut *tenants).into_iter();
        let sums = tenants.flat_map(|(tenant, of_tenant)| {
            of_tenant
                .into_iter()
                .map(move |(resource_type, amount)| Sum {
                    id: UsageId::new().uuid(),
                    tenant,
                    resource_type,
                    amount,
                })
        });
        sums.collect()
    }
}

impl App {
    /// Writes what was admitted until told to stop, and then once more.
    pub(crate) async fn log_requests(self: Arc<Self>, stop: CancellationToken) {
        let mut waiting = VecDeque::new();
        while !stop.is_cancelled() {
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(WRITE_EVERY) => {}
            }
            let sums = self.tally.take();
            waiting.extend(sums.chunks(AT_ONCE).map(<[Sum]>::to_vec));
            while let Some(sums) = waiting.front() {
                if let Err(error) = self.log_sums(sums).await {
                    tracing::warn!(error = %error, "requests can't be written into the log; trying again");
                    break;
                }
                waiting.pop_front();
            }
            while waiting.len() > MOST_WAITING {
                let sums = waiting.pop_front().unwrap_or_default();
                tracing::error!(
                    tenants = sums.len(),
                    "requests are not in the log: the database was away for too long"
                );
            }
        }
    }

    /// Writes sums that aren't there yet. A tenant that is purged has none.
    async fn log_sums(&self, sums: &[Sum]) -> Result<(), Error> {
        let mut sums: Vec<_> = sums.iter().collect();
        sums.sort_by_key(|sum| (sum.tenant, sum.id));
        while !sums.is_empty() {
            let mut tx = self.store.across(TenantId::PLATFORM).await?;
            let now = accounts::now(tx.conn()).await?;
            let written = usage::log_requests(tx.conn(), &sums, now).await?;
            let mut spans = series::Sums::default();
            for sum in sums.iter().filter(|sum| written.contains(&sum.id)) {
                spans.add(sum.tenant, &sum.resource_type, now, sum.amount);
            }
            series::add(tx.conn(), &spans).await?;
            let mut tenants: Vec<_> = sums.iter().map(|sum| sum.tenant).collect();
            tenants.dedup();
            let open = usage::open_tenants(tx.conn(), &tenants).await?;
            if open.len() == tenants.len() {
                return Ok(tx.finish(None, &()).await?);
            }
            sums.retain(|sum| open.contains(&sum.tenant));
        }
        Ok(())
    }
}
