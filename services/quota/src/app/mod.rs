//! Quota's use cases: what bounds a tenant, deciding whether it may use more, and counting what it uses.

mod alerts;
mod bounds;
mod checking;
mod committing;
mod consuming;
mod correcting;
mod doubts;
mod expiry;
mod health;
mod holding;
mod leases;
mod ledger;
mod limits;
mod metrics;
mod overrides;
mod posting;
mod rates;
mod recording;
mod reserving;
mod settling;
mod spending;
mod streaming;
mod tally;
mod tenant_data;
mod usage;

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tenantry_core::event::Event;
use tenantry_core::seal::Sealer;
use tenantry_core::{Permission, RequestContext, TenantId};
use tenantry_counter::Counters;
use tenantry_proto::methods;
use tenantry_rpc::Tasks;
use tenantry_rpc::client::Replicas;
use tenantry_rpc::stream::StreamSlots;
use tenantry_rpc::tenant_stream::TenantStreams;
use tenantry_rpc::tenants::{TenantEntry, Tenants};
use tenantry_store::Store;

use crate::Config;
use crate::error::Error;

use committing::Committer;
pub(crate) use consuming::{Consumed, Consumption, Mode};
pub(crate) use correcting::Correction;
pub(crate) use health::{OfTenant, Page as HealthPage};
pub(crate) use holding::Items;
use leases::Leases;
use ledger::Ledger;
pub(crate) use limits::{NewOverride, Quota};
pub(crate) use metrics::{Month, PlatformTotals};
pub(crate) use overrides::Overrides;
pub(crate) use posting::tightest;
pub(crate) use rates::Rated;
pub(crate) use recording::Recorded;
pub(crate) use reserving::{Reserved, Used, Wish};
pub(crate) use streaming::Bounds;
use tally::Tally;
pub use tenant_data::TENANT_TABLES;
pub(crate) use usage::{AskedSeries, Forecast, Present, ResourceUse, Series};

/// Name of this service.
pub(crate) const OWN: &str = "quota";

/// How many requests' events a replica takes down at once.
const INTAKES: u32 = 4;
/// Most exports that a replica has open, and with one credential: each of them works until it has all.
const EXPORTS: usize = 16;
const EXPORTS_OF_ONE: usize = 4;
/// Streams that a replica has open, and of them with one credential.
const STREAMS: usize = 1_024;
const STREAMS_OF_ONE: usize = 64;

/// The use cases and what they need.
#[derive(Clone, Debug)]
pub(crate) struct App {
    store: Store,
    tenants: Tenants,
    overrides: Overrides,
    counters: Counters,
    ledger: Ledger,
    leases: Leases,
    tally: Tally,
    /// Takes down events by connections of its own: they come many at once, and hold up nobody.
    intake: Store,
    committer: Committer,
    streams: TenantStreams,
    export_slots: StreamSlots,
    stream_slots: StreamSlots,
    tasks: Tasks,
    /// Identity, which holds places for members and keys.
    identity: Replicas,
    /// How long overrides serve without news.
    grace: Duration,
}

impl App {
    pub(crate) fn new(
        store: Store,
        tenants: Tenants,
        overrides: Overrides,
        counters: Counters,
        (streams, identity): (TenantStreams, Replicas),
        config: &Config,
        tasks: &Tasks,
    ) -> Arc<Self> {
        let ledger = Ledger::new(store.clone(), counters.clone());
        let tally = Tally::default();
        Arc::new(Self {
            committer: Committer::start(&store, &ledger, tasks),
            ledger,
            leases: Leases::new(counters.clone(), &tally, tasks, config.leases),
            tally,
            intake: store.apart(INTAKES),
            store,
            tenants,
            overrides,
            counters,
            streams,
            identity,
            export_slots: StreamSlots::new(EXPORTS, EXPORTS_OF_ONE),
            stream_slots: StreamSlots::new(STREAMS, STREAMS_OF_ONE),
            tasks: tasks.clone(),
            grace: config.freshness_grace(),
        })
    }

    /// What seals page tokens.
    pub(crate) const fn sealer(&self) -> &Sealer {
        self.store.sealer()
    }

    /// The tenant that a request acts on, whose caller has this permission there and whom its status admits. That an operator reads
    /// what a tenant uses is in its log before the answer.
    pub(crate) async fn authorise(
        &self,
        ctx: &RequestContext,
        named: &str,
        permission: Permission,
    ) -> Result<TenantEntry, Error> {
        let tenant = self.tenants.authorise(ctx, named, permission).await?;
        if ctx.is_content_access(permission) && methods::is_read_only(&ctx.method) {
            self.record_access(ctx, tenant.id).await?;
        }
        Ok(tenant)
    }

    /// Writes into the tenant's log that an operator is about to read what it uses.
    pub(super) async fn record_access(
        &self,
        ctx: &RequestContext,
        tenant: TenantId,
    ) -> Result<(), Error> {
        let (action, nothing) = ("tenant.content_accessed", Value::Null);
        let what = json!({ "method": ctx.method });
        let event = Event::of(ctx, action, "tenant", tenant.uuid(), nothing, what);
        let mut tx = self.store.begin(tenant).await?;
        tx.record(&event).await?;
        Ok(tx.commit().await?)
    }

    /// The same for a change of its limits: for those who manage it from above, and for operators.
    pub(crate) async fn authorise_management(
        &self,
        ctx: &RequestContext,
        named: &str,
    ) -> Result<TenantEntry, Error> {
        let permission = if ctx.allows(Permission::PlatformTenantsManage) {
            Permission::PlatformTenantsManage
        } else {
            Permission::TenantsManage
        };
        self.authorise(ctx, named, permission).await
    }
}
