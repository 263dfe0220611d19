//! How what comes to logs is to be kept: for how long, and with or without what tells of a person.

use std::collections::HashMap;

use sqlx::PgConnection;
use tenantry_core::TenantId;

use super::App;
use crate::domain::retention::{Class, Kept};
use crate::error::Error;
use crate::store::append::Placed;
use crate::store::logs;

/// How what comes to these logs in one transaction is to be kept.
#[derive(Debug)]
pub(super) struct Keeping(HashMap<TenantId, One>);

/// The same of one log.
#[derive(Clone, Copy, Debug)]
struct One {
    kept: Kept,
    /// For how many days the plan of its tenant keeps events, where that is known.
    days: Option<i32>,
}

impl App {
    /// How what comes to the logs of these tenants is to be kept. Ask behind the lock of the head: a purge waits for it too.
    pub(super) async fn keeping(
        &self,
        conn: &mut PgConnection,
        tenants: &[TenantId],
    ) -> Result<Keeping, Error> {
        let kept = logs::kept(conn, tenants).await?;
        let each = tenants.iter().map(|tenant| {
            let one = One {
                kept: kept.get(tenant).copied().unwrap_or_default(),
                days: self.tenants.retention_days(*tenant),
            };
            (*tenant, one)
        });
        Ok(Keeping(each.collect()))
    }
}

impl Keeping {
    /// The class that an event of this tenant comes in.
    pub(super) fn class(&self, tenant: TenantId) -> Class {
        let one = self.0.get(&tenant);
        one.map_or(Class::of(None), |one| one.kept.class(one.days))
    }

    /// Whether the tenant is purged.
    pub(super) fn purged(&self, tenant: TenantId) -> bool {
        self.0.get(&tenant).is_some_and(|one| one.kept.purged)
    }

    /// Takes out of entries of purged logs what tells of a person.
    pub(super) fn settle(&self, placed: &mut [Placed<'_>]) -> Result<(), Error> {
        let purged = placed.iter_mut().filter(|one| self.purged(one.tenant));
        for one in purged {
            one.entry.erase()?;
        }
        Ok(())
    }

    /// Writes down which of the logs, which are there by now, had no events of so long a class before.
    pub(super) async fn note(&self, conn: &mut PgConnection) -> Result<(), Error> {
        let longer = self.0.iter().filter_map(|(tenant, one)| {
            let class = one.kept.longer(one.days)?;
            Some((*tenant, class))
        });
        Ok(logs::lengthen(conn, &longer.collect::<Vec<_>>()).await?)
    }
}
