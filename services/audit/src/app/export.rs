//! Taking events out of a log: in its order, page by page, each with the proof that the log of one checkpoint has it.

use std::sync::Arc;

use metrics::counter;
use tenantry_core::{Refusal, RequestContext, clock};
use tenantry_rpc::export::{Client, PART_BYTES, Part, parts};
use tenantry_rpc::tenant_stream::{Stop, TenantStream};
use tenantry_rpc::tenants::TenantEntry;
use tenantry_store::TenantTx;
use tenantry_transparency::{Hash, Tiles, TreeHead};
use tokio::sync::mpsc;

use super::App;
use crate::domain::export::{COMPLETE, Head, Line, Wanted, Writer};
use crate::domain::query::Scope;
use crate::domain::retention::first_shown;
use crate::error::Error;
use crate::store::events::{self, Hit as _, Row};
use crate::store::number::{signed, unsigned};
use crate::store::ranges::{self, Range};
use crate::store::{logs, tiles, trees};

/// Most events that are read at once, about how many bytes of them, and how many before it is known how large they are.
const READ: usize = 200;
const READ_BYTES: usize = 512 * 1024;
const FIRST_READ: usize = 20;
/// Most places of the log that are looked at for them at once: where few fit the filter, a read ends nevertheless.
const PLACES: i64 = 50_000;
impl App {
    /// Begins an export of a tenant's log, as far as its newest checkpoint goes.
    pub(crate) async fn export(
        self: &Arc<Self>,
        ctx: &RequestContext,
        tenant: &TenantEntry,
        wanted: Wanted,
    ) -> Result<mpsc::Receiver<Part>, Error> {
        let open = self.streams.open(ctx, tenant, &self.export_slots).await?;
        let mut tx = self.store.read(tenant.id).await?;
        let log = trees::newest(tx.conn(), tenant.id).await?;
        let log = log.ok_or(Error::NotYetCheckpointed)?;
        let consistency = consistency(&mut tx, &log.tree, wanted.consistent_with).await?;
        let mut range = Range {
            tenant: tenant.id,
            from: wanted.from_index,
            below: signed(log.tree.size),
            since: self.visible_since(Scope::Log(tenant.id)),
        };
        events::steady_plans(tx.conn()).await?;
        let hidden = ranges::hidden(tx.conn(), &range).await?;
        // Read last: what goes meanwhile is in it.
        let gone_to = logs::gone_to(tx.conn(), tenant.id).await?;
        drop(tx);
        range.from = first_shown(range.from, hidden, gone_to, range.below);
        let proved_by = (log.tree.size, log.checkpoint);
        let head = Head::new(&wanted, (tenant.id, range.from), proved_by, &consistency);
        let (client, receiver) = parts();
        let export = Export {
            app: Arc::clone(self),
            range,
            tree: log.tree,
            limit: FIRST_READ,
            writer: Writer::begin(wanted.format, &head, clock::now()),
            wanted,
            client,
        };
        self.tasks.spawn("audit export", export.run(open));
        Ok(receiver)
    }
}

/// The proof that the log of an earlier size is the beginning of this one; empty where none is asked for.
async fn consistency(tx: &mut TenantTx, tree: &TreeHead, from: u64) -> Result<Vec<Hash>, Error> {
    let size = tree.size;
    if from > size {
        let what =
            format!("must be at most {size}, the size of the log under its newest checkpoint");
        return Err(Refusal::field("consistent_with", what).into());
    }
    let wanted = Tiles::of_consistency(from, size)?;
    let tenant = tx.scope();
    let tiles = tiles::of(tx.conn(), tenant, &wanted).await?;
    Ok(tiles.prove_consistency(from, tree)?)
}

/// One export that is under way.
struct Export {
    app: Arc<App>,
    /// What is still to be read.
    range: Range,
    /// The log that each event is proved to be in.
    tree: TreeHead,
    /// How many events are read next.
    limit: usize,
    wanted: Wanted,
    writer: Writer,
    client: Client,
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
        self.writer.end(reason, clock::now());
        self.client.end(self.writer.take(), broken_off).await;
        counter!("tenantry_audit_exported_events_total").increment(self.writer.events());
    }

    /// Tells all but the last record.
    async fn tell(&mut self) -> Result<(), Stop> {
        while self.range.from < self.range.below {
            let (rows, proofs) = self.read().await?;
            for (row, proof) in rows.into_iter().zip(proofs) {
                let (line, damage) = Line::new(row.index, row.leaf, row.disclosed, &proof);
                if let Some(damage) = damage {
                    tracing::error!(tenant.id = %self.range.tenant, log.index = row.index, error = %damage, "an event of the log can't be read back");
                }
                self.writer.line(&line);
                if self.writer.size() >= PART_BYTES {
                    self.hand_on().await?;
                }
                tokio::task::coop::consume_budget().await;
            }
            self.hand_on().await?;
        }
        Ok(())
    }

    /// Reads on: the next events, and their proofs.
    async fn read(&mut self) -> Result<(Vec<Row>, Vec<Vec<Hash>>), Error> {
        let mut page = self.range.clone();
        page.below = page.below.min(page.from + PLACES);
        let mut tx = self.app.store.read(page.tenant).await?;
        events::steady_plans(tx.conn()).await?;
        let limit = i64::try_from(self.limit).unwrap_or(i64::MAX);
        let rows = ranges::first(tx.conn(), &page, &self.wanted.filter, limit).await?;
        let indexes: Vec<_> = rows.iter().map(|row| unsigned(row.index)).collect();
        let wanted = Tiles::of_inclusions(self.tree.size, &indexes)?;
        let tiles = tiles::of(tx.conn(), page.tenant, &wanted).await?;
        drop(tx);
        self.range.from = match rows.get(self.limit - 1) {
            Some(last) => last.index + 1,
            None => page.below,
        };
        let bytes: usize = rows.iter().map(Row::bytes).sum();
        if let Some(limit) = (rows.len() * READ_BYTES).checked_div(bytes) {
            self.limit = limit.clamp(1, READ);
        }
        let proofs = tiles.prove_inclusions(&self.tree, &indexes)?;
        Ok((rows, proofs))
    }

    /// Hands on what was written.
    async fn hand_on(&mut self) -> Result<(), Stop> {
        if self.writer.size() == 0 {
            return Ok(());
        }
        let writer = &mut self.writer;
        self.client.hand_on(|| writer.take()).await
    }
}
