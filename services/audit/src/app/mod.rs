//! Audit's use cases: taking events into the log, reading them, and taking them out.

pub(crate) mod append;
mod checkpoints;
mod export;
mod indexing;
mod keeping;
mod partitions;
mod proofs;
mod reading;
mod record;
mod retention;
mod searching;
pub(crate) mod sources;
mod tails;
mod tenant_data;

use std::sync::Arc;

use serde_json::json;
use tenantry_core::event::Event;
use tenantry_core::{Permission, RequestContext, TenantId};
use tenantry_rpc::Tasks;
use tenantry_rpc::stream::StreamSlots;
use tenantry_rpc::tenant_stream::TenantStreams;
use tenantry_rpc::tenants::{TenantEntry, Tenants};
use tenantry_rpc::watched::Watched;
use tenantry_store::Store;
use tenantry_transparency::Signers;

use crate::domain::query::Scope;
use crate::error::Error;

pub(crate) use checkpoints::Signing;
pub(crate) use proofs::{Asked, FleetProved, InFleet, Proved};
pub(crate) use reading::{Page, Reading};
use record::Recordings;
pub(crate) use record::{NewEvent, Recording};
pub use retention::{Retention, Retired};
pub(crate) use tails::{Grown, Item};
pub use tenant_data::TENANT_TABLES;

/// Most tails that a replica has open, and with one credential.
const TAILS: usize = 1_000;
const TAILS_OF_ONE: usize = 16;
/// Most exports likewise: each of them works until it has all.
const EXPORTS: usize = 32;
const EXPORTS_OF_ONE: usize = 4;

/// The use cases and what they need.
#[derive(Clone, Debug)]
pub(crate) struct App {
    store: Store,
    tenants: Tenants,
    streams: TenantStreams,
    tail_slots: StreamSlots,
    export_slots: StreamSlots,
    grown: Grown,
    recordings: Recordings,
    /// The keys that checkpoints are signed with.
    signers: Watched<Signers>,
    tasks: Tasks,
}

impl App {
    pub(crate) fn new(
        store: Store,
        tenants: Tenants,
        streams: TenantStreams,
        signers: Watched<Signers>,
        tasks: Tasks,
    ) -> Arc<Self> {
        Arc::new(Self {
            store,
            tenants,
            streams,
            tail_slots: StreamSlots::new(TAILS, TAILS_OF_ONE),
            export_slots: StreamSlots::new(EXPORTS, EXPORTS_OF_ONE),
            grown: Grown::new(),
            recordings: Recordings::new(),
            signers,
            tasks,
        })
    }

    pub(crate) const fn store(&self) -> &Store {
        &self.store
    }

    /// The tenant that a request acts on, whose caller has this permission there and whom its status admits.
    pub(crate) async fn authorise(
        &self,
        ctx: &RequestContext,
        named: &str,
        permission: Permission,
    ) -> Result<TenantEntry, Error> {
        Ok(self.tenants.authorise(ctx, named, permission).await?)
    }

    /// Writes that logs are about to be searched: one that is in use is told so itself, of all others the platform's own is.
    pub(crate) async fn record_search(
        &self,
        ctx: &RequestContext,
        scope: Scope,
    ) -> Result<(), Error> {
        let own = match scope {
            Scope::Log(tenant) => self.tenants.get(tenant).await?.map(|entry| entry.id),
            Scope::All => None,
        };
        let action = "audit_log.searched";
        if let Some(log) = own {
            match self.record_reading(ctx, log, action).await {
                // It is being purged: its own log has ended.
                Err(Error::Store(tenantry_store::Error::TenantClosed)) => {}
                recorded => return recorded,
            }
        }
        self.record_reading(ctx, TenantId::PLATFORM, action).await
    }

    /// Writes that a log is about to be read into that log.
    pub(crate) async fn record_reading(
        &self,
        ctx: &RequestContext,
        log: TenantId,
        action: &str,
    ) -> Result<(), Error> {
        let (kind, id) = ("audit_log", log.uuid());
        let (before, after) = (serde_json::Value::Null, json!({ "method": ctx.method }));
        let event = Event::of(ctx, action, kind, id, before, after);
        let mut tx = self.store.begin(log).await?;
        tx.record(&event).await?;
        Ok(tx.commit().await?)
    }
}

/// Does pure work away from the threads that serve.
async fn away<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Error> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|_panicked| tenantry_core::Refusal::internal().into())
}
