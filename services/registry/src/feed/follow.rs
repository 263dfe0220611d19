//! One open stream of the feed.

use std::sync::Arc;
use std::time::Duration;

use tenantry_core::{PlanId, Refusal, TenantId};
use tenantry_rpc::status;
use tenantry_rpc::stream::StreamLife;
use tenantry_store::Store;
use tenantry_store::feed::{FeedItem, Read, Tail};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tonic::Status;

use super::lineage::Lineage;
use super::{BOOKMARK_EVERY, out_of_use, too_old};
use crate::domain::plan::Plan;
use crate::domain::tenant::Tenant;
use crate::error::Error;
use crate::store::{plans, tenants, tree};

/// Tenants of the present state that are read at once.
const SNAPSHOT_PAGE: i64 = 1_000;
/// A tail that old has never read the feed: wait for its first look.
const UNREAD: Duration = Duration::from_secs(3_600);
/// Longest wait for a client to take the end of its stream.
const END_WITHIN: Duration = Duration::from_secs(10);

/// Where a stream begins.
pub(super) enum Start {
    /// With the present state.
    Snapshot,
    /// Behind this place in the feed.
    Behind(i64),
}

/// What a stream tells.
pub(super) enum Item {
    /// A tenant as it is, in the first, complete state.
    State(Tenant),
    /// A tenant as it was just changed to.
    Change(Tenant, Arc<FeedItem>),
    /// A version of a plan: in the first, complete state, or as it was just made.
    Plan(Plan, Option<Arc<FeedItem>>),
    /// A tenant that was just purged, as little as is told of it.
    Purged(Tenant, Arc<FeedItem>),
    /// How fresh the follower is now.
    Bookmark {
        age: Duration,
        /// Age of the stream at the same instant.
        stream_age: Duration,
        complete: bool,
    },
}

/// How a stream's items look on the wire.
pub(super) trait Sink: Send + Sync + 'static {
    /// The message.
    type Wire: Send + 'static;
    /// An item as a message.
    fn wire(&self, item: Item, resume_token: String) -> Self::Wire;
    /// The in-band end, where the contract has one.
    fn end(&self, refusal: &Refusal) -> Option<Self::Wire>;
    /// Why the stream ends behind this state of a tenant, if it does.
    fn ends_with(&self, tenant: &Tenant) -> Option<Refusal>;
}

/// Waits until the tail has read the feed once, just after the process started.
pub(super) async fn first_look(tail: &Tail) {
    let mut ticks = tail.ticks();
    while tail.head().age() > UNREAD {
        // The tail lives as long as the process.
        let _ = ticks.changed().await;
    }
}

/// One open stream.
pub(super) struct Follow<S: Sink> {
    pub(super) store: Store,
    pub(super) tail: Tail,
    pub(super) tenant: Option<TenantId>,
    pub(super) lineage: Option<Lineage>,
    pub(super) opened: Instant,
    pub(super) context: String,
    pub(super) sink: S,
    pub(super) sender: mpsc::Sender<Result<S::Wire, Status>>,
}

/// Why a stream stopped: its client went, or it must end.
pub(super) enum Stop {
    ClientGone,
    Ended(Refusal),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Ended(error.into())
    }
}

impl From<tenantry_store::Error> for Stop {
    fn from(error: tenantry_store::Error) -> Self {
        Self::Ended(error.into())
    }
}

impl<S: Sink> Follow<S> {
    /// Runs until the client goes, the stream's life ends, or the store fails; then says why, in band and as status.
    pub(super) async fn run(self, start: Start, life: StreamLife) {
        let stop = tokio::select! {
            stopped = self.stream(start) => match stopped { Err(stop) => stop, Ok(never) => match never {} },
            refusal = life.ended() => Stop::Ended(refusal),
        };
        if let Stop::Ended(refusal) = stop {
            // A client that doesn't read isn't waited for.
            let _ = tokio::time::timeout(END_WITHIN, self.end(refusal)).await;
        }
    }

    async fn end(&self, refusal: Refusal) {
        if let Some(end) = self.sink.end(&refusal) {
            let _ = self.sender.send(Ok(end)).await;
        }
        let _ = self.sender.send(Err(status(refusal))).await;
    }

    async fn stream(&self, start: Start) -> Result<std::convert::Infallible, Stop> {
        first_look(&self.tail).await;
        let mut ticks = self.tail.ticks();
        let lineage = self.lineage.as_ref();
        let only = lineage.map(Lineage::ids);
        let mut position = match start {
            Start::Behind(position) => position,
            Start::Snapshot => {
                // Read before the first page: whatever changes meanwhile comes again behind the snapshot.
                let head = self.tail.head().head;
                self.snapshot().await?;
                head
            }
        };
        if lineage.is_some_and(Lineage::is_lost) {
            return Err(Stop::Ended(out_of_use()));
        }
        let mut bookmarked: Option<Instant> = None;
        loop {
            // Once per turn: a head that moved on meanwhile would date the bookmark by changes that weren't sent.
            let head = self.tail.head();
            let mut sent = false;
            let caught_up = match self.tail.after(position, only).await? {
                Read::TooOld => return Err(Stop::Ended(too_old())),
                Read::Items(items, next) => {
                    for item in items {
                        sent |= self.change(item, lineage).await?;
                    }
                    position = next;
                    next >= head.head
                }
            };
            if !caught_up {
                continue;
            }
            if sent || bookmarked.is_none_or(|at| at.elapsed() >= BOOKMARK_EVERY) {
                let bookmark = Item::Bookmark {
                    age: head.age(),
                    stream_age: self.opened.elapsed(),
                    complete: true,
                };
                self.send(bookmark, Some(position)).await?;
                bookmarked = Some(Instant::now());
            }
            let wait =
                BOOKMARK_EVERY.saturating_sub(bookmarked.map_or(Duration::ZERO, |at| at.elapsed()));
            tokio::select! {
                _ = ticks.changed() => {}
                () = tokio::time::sleep(wait) => {}
                () = self.sender.closed() => return Err(Stop::ClientGone),
            }
        }
    }

    /// Sends the present state.
    async fn snapshot(&self) -> Result<(), Stop> {
        if let Some(id) = self.tenant {
            let mut tx = self.store.read(id).await?;
            let tenant = tenants::find(tx.conn(), id)
                .await?
                .ok_or(Error::TenantNotFound)?;
            drop(tx);
            return self.state(tenant).await;
        }
        // Plans first, so that each tenant's is known when it comes.
        self.plans().await?;
        let mut after = TenantId::PLATFORM;
        loop {
            let mut tx = self.store.platform().await?;
            let page = tree::snapshot(tx.conn(), after, SNAPSHOT_PAGE).await?;
            drop(tx);
            let Some(last) = page.last() else {
                return Ok(());
            };
            after = last.id;
            for tenant in page {
                self.state(tenant).await?;
            }
            self.send(
                Item::Bookmark {
                    age: self.tail.head().age(),
                    stream_age: self.opened.elapsed(),
                    complete: false,
                },
                None,
            )
            .await?;
        }
    }

    /// Sends all versions of all plans.
    async fn plans(&self) -> Result<(), Stop> {
        let mut after = (PlanId::from(TenantId::PLATFORM.uuid()), 0);
        loop {
            let mut tx = self.store.read(TenantId::PLATFORM).await?;
            let page = plans::snapshot(tx.conn(), after, SNAPSHOT_PAGE).await?;
            drop(tx);
            let Some(last) = page.last() else {
                return Ok(());
            };
            after = (last.id, last.version);
            for plan in page {
                self.send(Item::Plan(plan, None), None).await?;
            }
        }
    }

    async fn state(&self, tenant: Tenant) -> Result<(), Stop> {
        let end = self.sink.ends_with(&tenant);
        self.send(Item::State(tenant), None).await?;
        end.map_or(Ok(()), |refusal| Err(Stop::Ended(refusal)))
    }

    pub(super) async fn send(&self, item: Item, position: Option<i64>) -> Result<(), Stop> {
        let token = position.map(|position| {
            self.store
                .sealer()
                .seal_text(self.context.as_bytes(), &position.to_be_bytes())
        });
        let message = self.sink.wire(item, token.unwrap_or_default());
        self.sender
            .send(Ok(message))
            .await
            .map_err(|_| Stop::ClientGone)
    }
}
