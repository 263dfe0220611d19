//! The feed's newest part in memory, read from the database once per replica however many streams follow it.

use std::collections::VecDeque;
use std::sync::{Arc, RwLock};
use std::time::{Duration, Instant};

use tenantry_core::TenantId;
use tenantry_core::event::Event;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{FeedItem, number};
use crate::error::Error;
use crate::pool::Store;

/// How often committed changes are numbered and read.
const TICK: Duration = Duration::from_millis(50);
/// Most changes held in memory; streams further behind read the database.
const HELD: usize = 10_000;
/// Most changes read from the database at once.
const PAGE: i64 = 1_000;

/// How far the feed is.
#[derive(Clone, Copy, Debug)]
pub struct Head {
    /// Last place that was given.
    pub head: i64,
    /// Resume positions below this are too old.
    pub floor: i64,
    /// Age of the last numbering when it was read, by the database's clock.
    age: Duration,
    /// When it was read, by this process's clock.
    read_at: Instant,
}

impl Head {
    /// How old the feed's newest part is by now. Only differences of one clock enter, so that clocks may disagree.
    #[must_use]
    pub fn age(&self) -> Duration {
        self.age + self.read_at.elapsed()
    }
}

/// What follows a position.
#[derive(Debug)]
pub enum Read {
    /// These changes, in order, perhaps none, and the position to go on from.
    Items(Vec<Arc<FeedItem>>, i64),
    /// The position is older than what is kept: list again.
    TooOld,
}

/// One replica's view of the feed.
#[derive(Clone, Debug)]
pub struct Tail {
    store: Store,
    held: Arc<RwLock<VecDeque<Arc<FeedItem>>>>,
    head: watch::Receiver<Head>,
}

impl Tail {
    /// A tail, and the task that fills it until it is cancelled. The task ends by cancellation only; while the database
    /// doesn't answer it goes on trying, and the head grows old, which readers see.
    pub fn new(store: Store, cancel: CancellationToken) -> (Self, impl Future<Output = ()> + Send) {
        let unread = Head {
            head: 0,
            floor: 0,
            age: Duration::from_secs(86_400),
            read_at: Instant::now(),
        };
        let (sender, head) = watch::channel(unread);
        let held = Arc::new(RwLock::new(VecDeque::new()));
        let tail = Self { store, held, head };
        let filler = Self {
            store: tail.store.for_feed(),
            ..tail.clone()
        };
        let task = async move {
            let mut last = None;
            let mut ticks = tokio::time::interval(TICK);
            ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            loop {
                tokio::select! {
                    () = cancel.cancelled() => return,
                    _ = ticks.tick() => {}
                }
                match filler.advance(&mut last).await {
                    Ok(head) => {
                        sender.send_replace(head);
                    }
                    Err(error) => tracing::warn!(error = %error, "the feed can't be read"),
                }
            }
        };
        (tail, task)
    }

    /// How far the feed is, and how fresh.
    #[must_use]
    pub fn head(&self) -> Head {
        *self.head.borrow()
    }

    /// Wakes at each tick that read the feed, whether or not it moved.
    #[must_use]
    pub fn ticks(&self) -> watch::Receiver<Head> {
        self.head.clone()
    }

    /// What follows the position, at most a page of it; of these tenants only where some are given.
    ///
    /// # Errors
    /// The database doesn't answer.
    pub async fn after(&self, position: i64, only: Option<&[TenantId]>) -> Result<Read, Error> {
        let head = self.head();
        if position < head.floor {
            return Ok(Read::TooOld);
        }
        if let Some(mut items) = self.held_after(position) {
            let next = items.last().map_or(position, |item| item.feed_n);
            items.retain(|item| only.is_none_or(|only| only.contains(&item.tenant_id)));
            return Ok(Read::Items(items, next));
        }
        let Some(items) = self.stored_after(position, only).await? else {
            return Ok(Read::TooOld);
        };
        let whole = items.len() < PAGE as usize;
        let last = items.last().map_or(position, |item| item.feed_n);
        let next = if whole { last.max(head.head) } else { last };
        Ok(Read::Items(items, next))
    }

    /// From memory, of all tenants; `None` where memory doesn't reach back to the position.
    fn held_after(&self, position: i64) -> Option<Vec<Arc<FeedItem>>> {
        let held = self
            .held
            .read()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let first = held
            .front()
            .map_or(self.head().head + 1, |item| item.feed_n);
        if position + 1 < first {
            return None;
        }
        let skip = usize::try_from(position + 1 - first).unwrap_or(usize::MAX);
        Some(
            held.iter()
                .skip(skip)
                .take(PAGE as usize)
                .cloned()
                .collect(),
        )
    }

    /// From the database; `None` where some of what follows the position is gone.
    async fn stored_after(
        &self,
        position: i64,
        only: Option<&[TenantId]>,
    ) -> Result<Option<Vec<Arc<FeedItem>>>, Error> {
        let only: Option<Vec<_>> = only.map(|only| only.iter().map(|id| id.uuid()).collect());
        let mut tx = self.store.platform().await?;
        let rows = sqlx::query!(
            r#"SELECT feed_n AS "feed_n!", tenant_id, n, at, event AS "event: serde_json::Value"
               FROM outbox WHERE feed_n > $1 AND ($2::uuid[] IS NULL OR tenant_id = ANY($2)) ORDER BY feed_n LIMIT $3"#,
            position,
            only.as_deref(),
            PAGE,
        )
        .fetch_all(tx.conn())
        .await?;
        // Read behind the rows: whoever removed some of them before these were read has raised it.
        let floor = sqlx::query_scalar!("SELECT floor FROM feed_head")
            .fetch_one(tx.conn())
            .await?;
        if position < floor {
            return Ok(None);
        }
        let items = rows.into_iter().map(|row| {
            Ok(Arc::new(FeedItem {
                feed_n: row.feed_n,
                tenant_id: row.tenant_id.into(),
                n: row.n,
                at: row.at.0,
                event: serde_json::from_value::<Event>(row.event)?,
            }))
        });
        Ok(Some(items.collect::<Result<_, Error>>()?))
    }

    /// One tick: numbers what was committed, reads what is new, and tells how far the feed is.
    async fn advance(&self, last: &mut Option<i64>) -> Result<Head, Error> {
        number(&self.store).await?;
        let head = self.read_head().await?;
        let mut position = *last.get_or_insert(head.head);
        while position < head.head {
            let items = self.stored_after(position, None).await?;
            let mut held = self
                .held
                .write()
                .unwrap_or_else(std::sync::PoisonError::into_inner);
            let Some(items) = items else {
                // This replica stood still for as long as the feed keeps changes: memory begins anew, without a gap.
                held.clear();
                *last = Some(head.head);
                break;
            };
            let Some(newest) = items.last() else { break };
            position = newest.feed_n;
            *last = Some(position);
            held.extend(items);
            let surplus = held.len().saturating_sub(HELD);
            held.drain(..surplus);
        }
        Ok(head)
    }

    async fn read_head(&self) -> Result<Head, Error> {
        let mut tx = self.store.platform().await?;
        let read_at = Instant::now();
        let row = sqlx::query!(
            r#"SELECT head, floor,
                      (extract(epoch FROM clock_timestamp() - numbered_at) * 1000)::bigint AS "age_ms!"
               FROM feed_head"#
        )
        .fetch_one(tx.conn())
        .await?;
        Ok(Head {
            head: row.head,
            floor: row.floor,
            age: Duration::from_millis(u64::try_from(row.age_ms).unwrap_or(0)),
            read_at,
        })
    }
}
