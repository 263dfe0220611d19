//! Hands every committed event to the log, in the order of the feed, so that each tenant's come in the order of their
//! numbers.
//!
//! There is no leader. Whichever replica locks the relay's row reads what follows its position, hands it on, and moves the
//! position once the log has acknowledged. Whoever dies in between is followed by one that hands the same on again, and the
//! log knows it by its numbers. What the log refuses of one tenant is held back, and tried again, while the others go on.
//! One batch is under way at a time, so memory is bounded, and a slow log slows nobody but the relay.

mod held;
mod store;

use std::time::{Duration, Instant};

use jiff::Timestamp;
use metrics::gauge;
use tenantry_core::TenantId;
use tokio_util::sync::CancellationToken;

use crate::error::Error;
use crate::feed::number;
use crate::pool::Store;

/// Pause between looks when there is nothing to hand on.
const TICK: Duration = Duration::from_millis(50);
/// Pause after a failure, so that an absent log isn't hammered.
const RETRY_PAUSE: Duration = Duration::from_millis(500);
/// How often streams that are held back are tried again.
const HELD_EVERY: Duration = Duration::from_secs(2);

/// One event on its way to the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outgoing {
    /// Its number within its tenant.
    pub n: i64,
    /// When it happened.
    pub at: Timestamp,
    /// The event as JSON, the same text however often it is handed on.
    pub event: String,
}

/// Events of one tenant, in the order of their numbers, without a gap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stream {
    /// The tenant.
    pub tenant: TenantId,
    /// Its events, at least one.
    pub events: Vec<Outgoing>,
}

/// What the log says of one stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// It has all of it.
    All,
    /// It takes none of it before the one of this number came.
    From(i64),
    /// It takes none of it until an operator says how to go on.
    Nothing,
}

/// The log, as the relay sees it.
pub trait Log: Send + Sync {
    /// Hands on a batch, at most one stream of each tenant. What is acknowledged is in the log for good.
    ///
    /// # Errors
    /// The log can't be reached, with a sentence for our own log.
    fn append(
        &self,
        streams: Vec<Stream>,
    ) -> impl Future<Output = Result<Vec<(TenantId, Taken)>, String>> + Send;
}

/// Why a turn handed on nothing.
#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error("the database: {0}")]
    Store(#[from] Error),
    #[error("the log: {0}")]
    Log(String),
}

/// What a turn came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    /// There may be more.
    Moved,
    /// All is handed on, or another replica is at it.
    Idle,
}

/// Hands events on until it is cancelled. Nothing else ends it: while the log or the database doesn't answer it goes on
/// trying, and the lag grows, which its metrics show.
pub async fn run(store: Store, log: impl Log, cancel: CancellationToken) {
    let store = store.for_relay();
    let mut tried_held = Instant::now();
    loop {
        let turn = tokio::select! {
            () = cancel.cancelled() => return,
            turn = take_turn(&store, &log, &mut tried_held) => turn,
        };
        let pause = match turn {
            Ok(Turn::Moved) => continue,
            Ok(Turn::Idle) => TICK,
            Err(why) => {
                tracing::warn!(error = %why, "events can't be handed to the log");
                RETRY_PAUSE
            }
        };
        tokio::select! {
            () = cancel.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
    }
}

async fn take_turn(
    store: &Store,
    log: &impl Log,
    tried_held: &mut Instant,
) -> Result<Turn, Failed> {
    number(store).await?;
    let turn = hand_on(store, log).await?;
    if tried_held.elapsed() >= HELD_EVERY {
        *tried_held = Instant::now();
        held::try_again(store, log).await?;
    }
    Ok(turn)
}

/// Hands on what follows the position, as much as one batch holds.
async fn hand_on(store: &Store, log: &impl Log) -> Result<Turn, Failed> {
    let mut tx = store.platform().await?;
    let Some(position) = store::lock(&mut tx).await? else {
        return Ok(Turn::Idle);
    };
    let lag = store::lag(&mut tx, position).await?;
    gauge!("tenantry_relay_lag_events").set(lag.events as f64);
    gauge!("tenantry_relay_lag_seconds").set(lag.age.as_secs_f64());
    let Some(batch) = store::after(&mut tx, position).await? else {
        return Ok(Turn::Idle);
    };
    let firsts: Vec<(TenantId, i64)> = batch
        .streams
        .iter()
        .filter_map(|stream| Some((stream.tenant, stream.events.first()?.n)))
        .collect();
    let answers = if batch.streams.is_empty() {
        Vec::new()
    } else {
        log.append(batch.streams).await.map_err(Failed::Log)?
    };
    for (tenant, first) in firsts {
        let taken = answers.iter().find(|(id, _)| *id == tenant);
        let (_, taken) = taken.ok_or_else(|| Failed::Log(unanswered(tenant)))?;
        let from = match taken {
            Taken::All => continue,
            Taken::From(n) => first.min(*n),
            Taken::Nothing => first,
        };
        tracing::error!(tenant.id = %tenant, from, "the log doesn't take this stream; it is held back");
        held::hold(&mut tx, tenant, from).await?;
    }
    store::move_to(&mut tx, batch.end).await?;
    tx.commit().await?;
    Ok(Turn::Moved)
}

/// Silence is no acknowledgement.
fn unanswered(tenant: TenantId) -> String {
    format!("it says nothing of the stream of {tenant}")
}
