//! Works purges off. Any replica takes up a purge that is due; one that dies in the middle leaves it to the others, and each
//! step may be done again.

use std::time::Duration;

use tenantry_core::clock;
use tenantry_core::event::Event;
use tenantry_rpc::Tasks;

use super::event::json;
use super::purge::{PURGE_WITHIN, count_at, purge_at};
use super::{App, contained};
use crate::domain::OWN;
use crate::domain::purge::Purge;
use crate::error::Error;
use crate::store::purges::{self, TENANT_TABLES};
use crate::store::tenants;

/// How often purges are looked for that another replica left, or that come due.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long a purge is a replica's own before others take it up: longer than any one step.
const LEASE: Duration = PURGE_WITHIN.saturating_add(Duration::from_secs(10));
/// Most tenants whose purge starts by itself in one look.
const OVERDUE: i64 = 100;

impl App {
    /// Works purges off until cancelled, and starts those whose time has come. While the database or a service doesn't
    /// answer, it goes on trying.
    pub(crate) async fn work_purges_off(self, tasks: Tasks) {
        let work = async {
            loop {
                if let Err(error) = self.start_overdue_purges().await {
                    tracing::warn!(error = %error, "tenants to be purged can't be looked for");
                }
                loop {
                    match self.take_a_turn().await {
                        Ok(true) => {}
                        Ok(false) => break,
                        Err(error) => {
                            tracing::warn!(error = %error, "purges can't be worked off");
                            break;
                        }
                    }
                }
                tokio::select! {
                    () = self.purge_started.notified() => {}
                    () = tokio::time::sleep(LOOK_EVERY) => {}
                }
            }
        };
        tokio::select! {
            () = tasks.cancelled() => {}
            () = work => {}
        }
    }

    async fn start_overdue_purges(&self) -> Result<(), Error> {
        let mut tx = self.store.platform().await?;
        let overdue = purges::overdue(tx.conn(), OVERDUE).await?;
        drop(tx);
        for tenant in overdue {
            match contained("purges", self.purge_overdue(tenant)).await {
                // Another replica was first, or something keeps it since.
                Ok(())
                | Err(Error::TenantNotFound | Error::HasChildrenToPurge | Error::LegalHold(_)) => {}
                // It has its turn again at the next look, and the others now.
                Err(error) => {
                    tracing::warn!(tenant.id = %tenant, error = %error, "a purge can't be started");
                }
            }
        }
        Ok(())
    }

    /// Takes up one purge, if one is due, and brings it as far as it goes.
    async fn take_a_turn(&self) -> Result<bool, Error> {
        let mut tx = self.store.platform().await?;
        let Some(purge) = purges::take(tx.conn(), LEASE).await? else {
            return Ok(false);
        };
        tx.commit().await?;
        let (tenant, pause) = (purge.tenant, purge.pause());
        if let Err(error) = contained("purges", self.bring_on(purge)).await {
            tracing::warn!(tenant.id = %tenant, error = %error, "a purge has to wait");
            let mut tx = self.store.begin(tenant).await?;
            purges::postpone(tx.conn(), tenant, pause.unsigned_abs()).await?;
            tx.commit().await?;
        }
        Ok(true)
    }

    async fn bring_on(&self, mut purge: Purge) -> Result<(), Error> {
        for (service, replicas) in self.keepers() {
            if purge.part(service).counts.is_none() {
                purge.part(service).counts = Some(count_at(replicas, purge.tenant).await?);
                self.note(&purge).await?;
            }
            while purge.part(service).acknowledged_at.is_none() {
                if purge_at(replicas, purge.tenant).await? {
                    purge.part(service).acknowledged_at = Some(clock::now());
                }
                self.note(&purge).await?;
            }
        }
        self.end_purge(&purge).await
    }

    async fn note(&self, purge: &Purge) -> Result<(), Error> {
        let mut tx = self.store.begin(purge.tenant).await?;
        purges::advance(tx.conn(), purge.tenant, &purge.parts, LEASE).await?;
        Ok(tx.commit().await?)
    }

    /// Removes what registry itself has, once every other service has acknowledged: the purge with it, so that it ends once.
    async fn end_purge(&self, purge: &Purge) -> Result<(), Error> {
        let mut tx = self.store.begin(purge.tenant).await?;
        let Some(tenant) = tenants::find_for_update(tx.conn(), purge.tenant).await? else {
            return Ok(()); // A replica that was taken for dead has done it.
        };
        purges::hold_names(tx.conn(), &tenant).await?;
        tx.remove_rows(TENANT_TABLES).await?;
        let last = json(&tenant.tombstone())?;
        let (kind, id) = ("tenant", tenant.id.uuid());
        let gone = serde_json::Value::Null;
        let event = Event {
            actor: purge.started_by.actor.clone(),
            origin: purge.started_by.origin.clone(),
            credential: purge.started_by.credential.clone(),
            ..Event::by_service(OWN, "tenant.purged", kind, id, last, gone)
        };
        tx.record_last(&event).await?;
        tx.commit().await?;
        tracing::info!(tenant.id = %tenant.id, "a tenant is purged");
        Ok(())
    }
}
