//! Signs checkpoints. Whichever replica locks the end of the fleet's log takes up logs that have grown, lets their trees grow
//! by the leaves that came, signs them, and makes their checkpoints the next leaves of the fleet's log, which it signs too:
//! one transaction, so that nothing is signed that isn't kept, and nothing is built on anything but what was signed last.

mod turn;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use metrics::{counter, gauge};
use serde_json::{Value, json};
use tenantry_core::TenantId;
use tenantry_core::event::Event;
use tenantry_rpc::tasks::contained;
use tenantry_store::{Error as StoreError, PlatformTx, Store};
use tenantry_transparency::{Growth, TileId};
use tokio_util::sync::CancellationToken;

use self::turn::{Log, Turn};
use super::App;
use super::append::OWN;
use crate::domain::trees::{Alarm, Fleet, Grown, Leaves, Waiting, edge, shares};
use crate::error::Error;
use crate::store::{events, fleet, tiles, trees};

/// How often logs are looked for that are due, at most and at least: a part of the time after which they are.
const TICKS: [Duration; 2] = [Duration::from_millis(50), Duration::from_millis(500)];
/// Which part.
const TICKS_PER_WAIT: u32 = 4;
/// Pause after a turn that failed, so that a database in trouble isn't hammered.
const RETRY_PAUSE: Duration = Duration::from_secs(2);
/// How long a log with an alarm waits until it is looked at again.
const ALARM_PAUSE: Duration = Duration::from_secs(60);
/// Most logs that one transaction takes up.
const MOST_LOGS: usize = 200;
/// Most leaves that one transaction takes up.
const MOST_LEAVES: u64 = 50_000;
/// Most transactions of one turn: the next one begins with a look at the figures.
const TRANSACTIONS_PER_TURN: usize = 100;
/// Connections of its own: it does one thing after the other.
const CONNECTIONS: u32 = 1;
/// Longest silence within a transaction: a replica that stands still gives way to the others.
const MAX_SILENCE: Duration = Duration::from_secs(10);

/// Whoever signs, on one replica.
pub(crate) struct Signing {
    app: Arc<App>,
    store: Store,
    /// How long after it has grown a log is due.
    after: Duration,
}

impl Signing {
    pub(crate) fn new(app: Arc<App>, after: Duration) -> Self {
        Self {
            store: app.store().apart(CONNECTIONS),
            app,
            after,
        }
    }

    /// Signs until it is cancelled. While the database doesn't answer it goes on trying.
    pub(crate) async fn run(self, cancel: CancellationToken) {
        let work = async {
            loop {
                let turn = contained("checkpoints", self.turn()).await;
                let pause = match turn {
                    Some(Ok(())) => (self.after / TICKS_PER_WAIT).clamp(TICKS[0], TICKS[1]),
                    Some(Err(error)) => {
                        tell(&error);
                        RETRY_PAUSE
                    }
                    None => RETRY_PAUSE,
                };
                tokio::time::sleep(pause).await;
            }
        };
        tokio::select! {
            () = cancel.cancelled() => {}
            () = work => {}
        }
    }

    async fn turn(&self) -> Result<(), Error> {
        if self.look().await? == 0 {
            return Ok(());
        }
        for _ in 0..TRANSACTIONS_PER_TURN {
            if !self.take_up_some().await? {
                break;
            }
        }
        Ok(())
    }

    /// Tells how many logs wait, and returns how many are due.
    async fn look(&self) -> Result<i64, Error> {
        let mut tx = self.store.platform().await?;
        events::steady_plans(tx.conn()).await?;
        let figures = trees::figures(tx.conn(), self.after).await?;
        gauge!("tenantry_audit_logs_waiting").set(figures.waiting as f64);
        gauge!("tenantry_audit_logs_alarmed").set(figures.alarmed as f64);
        gauge!("tenantry_audit_checkpoint_lag_seconds").set(figures.longest.as_secs_f64());
        Ok(figures.due)
    }

    /// Signs some logs that are due; whether there may be more.
    async fn take_up_some(&self) -> Result<bool, Error> {
        let mut tx = self.store.platform().await?;
        let Some(fleet) = fleet::lock(tx.conn(), MAX_SILENCE).await? else {
            return Ok(false);
        };
        events::steady_plans(tx.conn()).await?;
        let due = trees::due(tx.conn(), self.after, MOST_LOGS).await?;
        let Some((waiting, now)) = due else {
            return Ok(false);
        };
        let full = waiting.len() == MOST_LOGS;
        let turn = self.prepare(&mut tx, fleet, waiting, now).await?;
        let done = tokio::task::spawn_blocking(move || turn.sign());
        let done = done.await;
        let done = done.map_err(|_panicked| Error::NotSigned(Alarm::Fault))??;
        if let Some((growth, note)) = &done.fleet {
            keep(&mut tx, &done.grown, growth, note, now).await?;
            tx.commit().await?;
            counter!("tenantry_audit_checkpoints_total").increment(done.grown.len() as u64);
        } else {
            drop(tx);
        }
        let mut tx = self.store.platform().await?;
        trees::settle(tx.conn(), &done.settled).await?;
        tx.commit().await?;
        for (tenant, alarm) in done.alarms {
            self.alarm(tenant, alarm).await?;
        }
        Ok(full || done.more)
    }

    /// Reads what it takes to sign.
    async fn prepare(
        &self,
        tx: &mut PlatformTx,
        fleet: Fleet,
        waiting: Vec<Waiting>,
        now: Timestamp,
    ) -> Result<Turn, Error> {
        let signers = self.app.signers.get();
        fleet.check_name(&signers).map_err(Error::NotSigned)?;
        let sizes = shares(&waiting, MOST_LEAVES);
        let mut leaves = leaves(tx, &waiting, &sizes, now).await?;
        let edges: Vec<(TenantId, TileId)> = waiting
            .iter()
            .flat_map(|log| edge(&log.tree).into_iter().map(|id| (log.tenant, id)))
            .collect();
        let mut edges = tiles::of_logs(tx.conn(), &edges).await?;
        let fleet_edge = tiles::of_fleet(tx.conn(), &edge(&fleet.tree)).await?;
        let logs = waiting.into_iter().zip(sizes).map(|(waiting, to)| Log {
            waiting,
            to,
            edge: edges.remove(&waiting.tenant).unwrap_or_default(),
            leaves: leaves.remove(&waiting.tenant),
        });
        Ok(Turn {
            signers,
            fleet,
            fleet_edge,
            logs: logs.collect(),
            now,
            at_once: now - self.after,
        })
    }

    /// Notes that a log gets no checkpoint, and tells of it on the platform's stream where it is news.
    async fn alarm(&self, tenant: TenantId, alarm: Alarm) -> Result<(), Error> {
        raise(alarm);
        tracing::error!(tenant.id = %tenant, why = alarm.name(), "a log gets no checkpoint");
        let mut tx = self.store.across(TenantId::PLATFORM).await?;
        if trees::alarm(tx.conn(), tenant, alarm, ALARM_PAUSE).await? {
            let after = json!({ "tenant_id": tenant, "why": alarm.name() });
            let (action, kind) = ("audit_log.not_signed", "audit_log");
            let event = Event::by_service(OWN, action, kind, tenant.uuid(), Value::Null, after);
            tx.record_all(&[(TenantId::PLATFORM, event)]).await?;
        }
        Ok(tx.finish(None, &()).await?)
    }
}

/// The leaves by which these logs grow to these sizes. They are looked for by the time that they came, and everywhere where
/// that doesn't find all: a database's clock may have been set back.
async fn leaves(
    tx: &mut PlatformTx,
    waiting: &[Waiting],
    sizes: &[u64],
    now: Timestamp,
) -> Result<HashMap<TenantId, Leaves>, Error> {
    let since = waiting.iter().map(|log| log.since).min().unwrap_or(now);
    let asked = waiting.iter().zip(sizes);
    let asked = asked.map(|(log, to)| (log.tenant, log.tree.size, *to));
    let mut asked: Vec<_> = asked.filter(|(_, from, to)| from < to).collect();
    let mut leaves = trees::leaves(tx.conn(), &asked, (since, now)).await?;
    asked.retain(|(tenant, from, to)| !leaves.get(tenant).is_some_and(|of| of.are(*from, *to)));
    if !asked.is_empty() {
        let always = (Timestamp::UNIX_EPOCH, Timestamp::MAX);
        leaves.extend(trees::leaves(tx.conn(), &asked, always).await?);
    }
    Ok(leaves)
}

/// Writes what became of the trees.
async fn keep(
    tx: &mut PlatformTx,
    grown: &[Grown],
    fleet: &Growth,
    note: &str,
    now: Timestamp,
) -> Result<(), Error> {
    let mut of_logs = Vec::new();
    for one in grown {
        let tiles = one.growth.tiles.iter();
        of_logs.extend(tiles.map(|(id, hashes)| ((one.tenant, *id), hashes.as_slice())));
    }
    let first = fleet.head.size - grown.len() as u64;
    tiles::save(tx.conn(), &of_logs).await?;
    trees::save(tx.conn(), grown, first, now).await?;
    tiles::save_of_fleet(tx.conn(), &fleet.tiles).await?;
    fleet::append(tx.conn(), first, grown, &fleet.head, note).await?;
    Ok(())
}

/// Tells why no log got a checkpoint: an alarm, unless the database just doesn't answer.
fn tell(error: &Error) {
    if let Error::Store(StoreError::Unavailable(_)) = error {
        tracing::warn!(error = %error, "checkpoints can't be signed");
        return;
    }
    raise(match error {
        Error::NotSigned(alarm) => *alarm,
        _ => Alarm::Fault,
    });
    tracing::error!(error = %error, "no log gets a checkpoint");
}

fn raise(alarm: Alarm) {
    counter!("tenantry_audit_checkpoint_alarms_total", "why" => alarm.name()).increment(1);
}
