//! Live tails: each replica looks once for all of its streams whether logs grew, and each stream reads what is new to it.

use std::collections::HashSet;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use tenantry_core::{Refusal, RequestContext, TenantId};
use tenantry_rpc::tenant_stream::{END_WITHIN, Stop, TenantStream};
use tenantry_rpc::tenants::TenantEntry;
use tokio::sync::{Notify, broadcast, mpsc};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::App;
use super::reading::Reading;
use crate::domain::query::Scope;
use crate::error::Error;
use crate::store::events;

/// How often another replica's appends are looked for; its own wake it at once.
const TICK: Duration = Duration::from_millis(100);
/// Most positions that one look goes through.
const MOST_GROWTH: i64 = 100_000;
/// Most looks that a slow stream may be behind before it just reads.
const LOOKS_KEPT: usize = 64;
/// Most events that one stream reads at once: it keeps them while its client doesn't read.
const READ: i64 = 16;
/// Most items that wait for a slow client; the log has the others.
const WAITING: usize = 16;
/// A bookmark comes when nothing else came for this long.
const BOOKMARK_EVERY: Duration = Duration::from_secs(1);

/// Tells which logs grew.
#[derive(Clone, Debug)]
pub(crate) struct Grown {
    news: broadcast::Sender<Arc<HashSet<TenantId>>>,
    appended: Arc<Notify>,
}

impl Grown {
    pub(super) fn new() -> Self {
        Self {
            news: broadcast::Sender::new(LOOKS_KEPT),
            appended: Arc::default(),
        }
    }

    /// Something was appended here: look at once.
    pub(super) fn look(&self) {
        self.appended.notify_one();
    }
}

/// What a stream tells.
#[derive(Debug)]
pub(crate) enum Item {
    Event(Reading),
    Bookmark(i64),
    End(Refusal),
}

impl App {
    /// The end of what was appended, over all logs.
    pub(crate) async fn head(&self) -> Result<i64, Error> {
        let mut tx = self.store.platform().await?;
        Ok(events::head(tx.conn()).await?)
    }

    /// Looks for what was appended behind this position, until it is cancelled. While the database doesn't answer it goes on
    /// trying.
    pub(crate) async fn look_for_growth(self: Arc<Self>, mut seen: i64, cancel: CancellationToken) {
        loop {
            tokio::select! {
                () = cancel.cancelled() => return,
                () = self.grown.appended.notified() => {}
                () = tokio::time::sleep(TICK) => {}
            }
            if let Err(error) = self.growth(&mut seen).await {
                tracing::warn!(error = %error, "nobody can say which logs grew");
            }
        }
    }

    async fn growth(&self, seen: &mut i64) -> Result<(), Error> {
        let mut tx = self.store.platform().await?;
        let head = events::head(tx.conn()).await?;
        if self.grown.news.receiver_count() > 0 {
            events::steady_plans(tx.conn()).await?;
            while head > *seen {
                let to = head.min(*seen + MOST_GROWTH);
                let grown = events::grown(tx.conn(), *seen, to).await?;
                // Whoever left meanwhile misses nothing.
                let _ = self.grown.news.send(Arc::new(grown));
                *seen = to;
            }
        }
        *seen = head;
        Ok(())
    }

    /// Opens a stream of a log from this place on, or from what comes next.
    pub(crate) async fn tail(
        self: &Arc<Self>,
        ctx: &RequestContext,
        tenant: &TenantEntry,
        from: Option<i64>,
    ) -> Result<mpsc::Receiver<Item>, Error> {
        let open = self.streams.open(ctx, tenant, &self.tail_slots).await?;
        // Heard of from here on, and read only then: nothing comes in between.
        let news = self.grown.news.subscribe();
        let next = match from {
            Some(index) => index,
            None => {
                let mut tx = self.store.read(tenant.id).await?;
                events::size(tx.conn(), tenant.id).await?
            }
        };
        let (sender, receiver) = mpsc::channel(WAITING);
        let tail = Tail {
            app: Arc::clone(self),
            tenant: tenant.id,
            next,
            sender,
        };
        self.tasks.spawn("audit tail", tail.run(news, open));
        Ok(receiver)
    }
}

/// One open stream.
struct Tail {
    app: Arc<App>,
    tenant: TenantId,
    next: i64,
    sender: mpsc::Sender<Item>,
}

impl Tail {
    async fn run(mut self, news: broadcast::Receiver<Arc<HashSet<TenantId>>>, open: TenantStream) {
        let sender = self.sender.clone();
        match open.run(self.stream(news)).await {
            Ok(never) => match never {},
            Err(Stop::ClientGone) => {}
            Err(Stop::Ended(refusal)) => {
                // A client that doesn't read isn't waited for.
                let _ = tokio::time::timeout(END_WITHIN, sender.send(Item::End(refusal))).await;
            }
        }
    }

    async fn stream(
        &mut self,
        mut news: broadcast::Receiver<Arc<HashSet<TenantId>>>,
    ) -> Result<Infallible, Stop> {
        let mut told = Instant::now();
        let mut grown = true;
        loop {
            if grown && self.read().await? {
                told = Instant::now();
                continue;
            }
            if told.elapsed() >= BOOKMARK_EVERY {
                self.send(Item::Bookmark(self.next)).await?;
                told = Instant::now();
            }
            grown = tokio::select! {
                () = self.sender.closed() => return Err(Stop::ClientGone),
                grown = news.recv() => match grown {
                    Ok(grown) => grown.contains(&self.tenant),
                    // Too slow to hear all of it: read.
                    Err(_) => true,
                },
                () = tokio::time::sleep_until(told + BOOKMARK_EVERY) => false,
            };
        }
    }

    /// Reads what is new, and sends it; whether there was any.
    async fn read(&mut self) -> Result<bool, Stop> {
        let since = self.app.visible_since(Scope::Log(self.tenant));
        let mut tx = self
            .app
            .store
            .read(self.tenant)
            .await
            .map_err(Error::from)?;
        events::steady_plans(tx.conn()).await.map_err(Error::from)?;
        let rows = events::from(tx.conn(), self.tenant, self.next, since, READ).await;
        let rows = rows.map_err(Error::from)?;
        drop(tx);
        let any = !rows.is_empty();
        for row in rows {
            let reading = Reading::of(row)?;
            self.next = reading.index + 1;
            self.send(Item::Event(reading)).await?;
        }
        Ok(any)
    }

    async fn send(&self, item: Item) -> Result<(), Stop> {
        let sent = self.sender.send(item).await;
        sent.map_err(|_| Stop::ClientGone)
    }
}
