//! Taking lines out of the log, page by page.

use std::sync::Arc;

use metrics::counter;
use tenantry_core::filter::Filter;
use tenantry_core::{RequestContext, TenantId, page};
use tenantry_rpc::export::{Client, PART_BYTES, Part, parts};
use tenantry_rpc::tenant_stream::{Stop, TenantStream};
use tenantry_rpc::tenants::TenantEntry;
use tokio::sync::mpsc;

use crate::app::App;
use crate::domain::export::{COMPLETE, Writer};
use crate::domain::usage_log::Query;
use crate::error::Error;
use crate::store::usage_list;

impl App {
    /// Begins an export of a tenant's log.
    pub(crate) async fn export_usage(
        self: &Arc<Self>,
        ctx: &RequestContext,
        tenant: &TenantEntry,
        filter: Option<Filter>,
    ) -> Result<mpsc::Receiver<Part>, Error> {
        let open = self.streams.open(ctx, tenant, &self.export_slots).await?;
        let (client, receiver) = parts();
        let mut export = Export {
            app: Arc::clone(self),
            tenant: tenant.id,
            query: Query {
                filter,
                after: None,
                offset: 0,
                limit: page::MAX_SIZE,
            },
            writer: Writer::begin(),
            client,
            all: false,
        };
        // The first lines too: a filter that can't be used is refused, and not told at the end.
        export.read().await?;
        self.tasks.spawn("usage export", export.run(open));
        Ok(receiver)
    }
}

/// One export that is under way.
struct Export {
    app: Arc<App>,
    tenant: TenantId,
    /// What is read next.
    query: Query,
    writer: Writer,
    client: Client,
    /// Whether all was read.
    all: bool,
}

impl Export {
    async fn run(mut self, open: TenantStream) {
        let broken_off = match open.run(self.tell()).await {
            Ok(()) => None,
            Err(Stop::ClientGone) => return,
            Err(Stop::Ended(refusal)) => Some(refusal),
        };
        let reason = broken_off
            .as_ref()
            .map_or(COMPLETE, |why| why.reason.word());
        self.writer.end(reason);
        self.client.end(self.writer.take(), broken_off).await;
        counter!("tenantry_quota_usage_exports_total").increment(1);
    }

    /// Tells all but the last record.
    async fn tell(&mut self) -> Result<(), Stop> {
        loop {
            if self.writer.size() >= PART_BYTES || self.all {
                self.hand_on().await?;
            }
            if self.all {
                return Ok(());
            }
            if self.client.is_gone() {
                return Err(Stop::ClientGone);
            }
            self.read().await?;
        }
    }

    /// Reads on, and writes what was read.
    async fn read(&mut self) -> Result<(), Error> {
        let mut tx = self.app.store.read(self.tenant).await?;
        let (lines, next) = usage_list::page(tx.conn(), self.tenant, &self.query).await?;
        drop(tx);
        for line in lines {
            self.writer.line(line);
        }
        self.query.after = next;
        self.all = next.is_none();
        Ok(())
    }

    /// Hands on what was written.
    async fn hand_on(&mut self) -> Result<(), Stop> {
        let writer = &mut self.writer;
        self.client.hand_on(|| writer.take()).await
    }
}
