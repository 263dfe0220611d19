//! Every acknowledged change is one event of the log, in order and without a gap, whatever is killed or frozen meanwhile: the
//! service that writes it, the relay that hands it on, audit that takes it, and Postgres under all of them. Every checkpoint that
//! was published is of a beginning of the log that there is in the end.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result};
use futures::future::try_join_all;
use sqlx::{Connection as _, PgConnection};
use tenantry_testkit::fleet::{Database, Fleet, FleetConfig};
use tenantry_testkit::port;
use tenantry_testkit::postgres::Durability;
use tenantry_testkit::unit::{Signal, Unit};
use tenantry_testkit::wait::until;
use tokio::sync::watch;

use crate::support::checkpoints::{self, Published};
use crate::support::log::{self, Acknowledged, recorder, writer};
use crate::support::{OwnFleet, full};

const WRITERS: usize = 16;
/// Who record events of the product's own meanwhile.
const RECORDERS: usize = 2;
/// Longest time without work after a kill.
const GOES_ON_WITHIN: Duration = Duration::from_secs(120);
/// Most changes between two kills; how many is drawn.
const BETWEEN_KILLS: u8 = 40;
/// Every so many rounds the relay is frozen too, in the long form: it takes until the database lets go of a frozen client.
const FREEZE_EVERY: usize = 5;

/// What is killed in turn.
#[derive(Clone, Copy, Debug)]
enum Victim {
    Source,
    Relay,
    Audit,
    Postgres,
}

const VICTIMS: [Victim; 4] = [
    Victim::Source,
    Victim::Relay,
    Victim::Audit,
    Victim::Postgres,
];

/// kill -9, and start.
async fn again(unit: &Unit) -> Result<()> {
    unit.kill_9().await?;
    unit.start().await
}

/// Longest time until somebody is seen to hand events on, while writers write.
const SEEN_WITHIN: Duration = Duration::from_secs(30);

/// The replica of registry that hands events on: it has the relay's row locked while audit is asked, and its transaction stands
/// still.
async fn relaying<'a>(fleet: &'a Fleet, connection: &mut PgConnection) -> Result<&'a Unit> {
    until("relay at work", SEEN_WITHIN, async || {
        let client: Option<i32> = sqlx::query_scalar(
            "SELECT client_port FROM pg_stat_activity
             WHERE usename = 'registry_platform' AND state = 'idle in transaction' AND query LIKE '%relay_held%' LIMIT 1",
        )
        .fetch_optional(&mut *connection)
        .await?;
        let pid = client.and_then(|port| port::client(u16::try_from(port).ok()?));
        let Some((pid, _)) = pid else { return Ok(None) };
        let mut units = fleet.replicas("registry").map(|replica| replica.unit());
        Ok(units.find(|unit| unit.process().is_some_and(|process| process.pid() == pid)))
    })
    .await
}

async fn kill(fleet: &Fleet, victim: Victim, round: usize) -> Result<()> {
    match victim {
        Victim::Source => again(fleet.service("registry", round % 2).unit()).await,
        Victim::Relay => {
            let mut connection = PgConnection::connect(fleet.superuser_url().as_str()).await?;
            again(relaying(fleet, &mut connection).await?).await
        }
        Victim::Audit => again(fleet.service("audit", round % 2).unit()).await,
        Victim::Postgres => {
            let postgres = fleet.postgres().context("a server of its own")?;
            postgres.unit().kill_9().await?;
            postgres.start().await
        }
    }
}

/// Freezes whoever hands events on, until another replica does; then it goes on, with nothing of what it had.
async fn freeze_relay(fleet: &Fleet) -> Result<()> {
    let mut connection = PgConnection::connect(fleet.superuser_url().as_str()).await?;
    let position = "SELECT position FROM registry.relay";
    let frozen = relaying(fleet, &mut connection).await?;
    frozen.signal(Signal::SIGSTOP);
    let before: i64 = sqlx::query_scalar(position)
        .fetch_one(&mut connection)
        .await?;
    let moved = until("another relay", GOES_ON_WITHIN, async || {
        let now: i64 = sqlx::query_scalar(position)
            .fetch_one(&mut connection)
            .await?;
        Ok((now > before).then_some(()))
    })
    .await;
    frozen.signal(Signal::SIGCONT);
    moved
}

async fn storm(kills_of_each: usize) -> Result<()> {
    let fleet = OwnFleet::start_alone(FleetConfig {
        database: Database::Own(Durability::Full),
        ..FleetConfig::replicas(2)
    })
    .await?;
    let operator = fleet.operator_rest()?;
    let acknowledged = Acknowledged::default();
    let count = watch::Sender::new(0);
    let mut counted = count.subscribe();
    let stop = AtomicBool::new(false);
    let published = Published::default();
    let writers =
        try_join_all((0..WRITERS).map(|_| writer(&operator, &acknowledged, &count, &stop)));
    let recorders = try_join_all((0..RECORDERS).map(|_| recorder(&operator, &acknowledged, &stop)));
    let collector = async {
        checkpoints::collect(&fleet, &published, &stop).await;
        anyhow::Ok(())
    };
    let killer = async {
        until("first checkpoint", GOES_ON_WITHIN, async || {
            Ok((!published.lock().await.is_empty()).then_some(()))
        })
        .await?;
        for round in 0..kills_of_each {
            if full() && round % FREEZE_EVERY == 0 {
                freeze_relay(&fleet).await?;
            }
            for victim in VICTIMS {
                let [drawn] = tenantry_core::random::bytes::<1>();
                let reached = *count.borrow() + 1 + usize::from(drawn % BETWEEN_KILLS);
                let goes_on = counted.wait_for(|count| *count >= reached);
                tokio::time::timeout(GOES_ON_WITHIN, goes_on)
                    .await
                    .with_context(|| format!("no work goes on, before killing {victim:?}"))??;
                kill(&fleet, victim, round).await?;
            }
        }
        stop.store(true, Ordering::Relaxed);
        anyhow::Ok(())
    };
    tokio::try_join!(writers, recorders, collector, killer)?;
    let acknowledged = acknowledged.into_inner();
    println!(
        "{} kills, {} acknowledged changes",
        kills_of_each * VICTIMS.len(),
        acknowledged.len()
    );
    log::compare(&fleet, &acknowledged).await?;
    checkpoints::compare(&fleet, published.into_inner()).await?;
    fleet.stop().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killing_source_relay_audit_and_postgres_leaves_each_change_one_event() -> Result<()> {
    storm(if full() { 20 } else { 2 }).await
}
