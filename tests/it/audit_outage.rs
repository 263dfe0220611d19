//! A log that can't be reached loses nothing and slows nobody.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use futures::future::try_join_all;
use sqlx::{Connection as _, PgConnection};
use tenantry_testkit::fleet::{Database, Fleet, FleetConfig};
use tenantry_testkit::postgres::Durability;
use tokio::sync::watch;

use crate::support::log::{self, Acknowledged, writer};
use crate::support::{OwnFleet, full};

const WRITERS: usize = 16;
/// How long writers are watched with the log and, the first time, without it.
const SHORT: Duration = Duration::from_secs(5);
/// The whole outage, in the long form.
const LONG: Duration = Duration::from_secs(600);
/// Longest time until a change is acknowledged, whatever the log does.
const GOES_ON_WITHIN: Duration = Duration::from_secs(20);

/// Changes per second over this long. Work must go on all the time.
async fn rate(counted: &mut watch::Receiver<usize>, span: Duration) -> Result<f64> {
    let (began, first) = (Instant::now(), *counted.borrow_and_update());
    while began.elapsed() < span {
        tokio::time::timeout(GOES_ON_WITHIN, counted.changed())
            .await
            .context("writers stand still")??;
    }
    let made = *counted.borrow() - first;
    Ok(made as f64 / began.elapsed().as_secs_f64())
}

async fn behind(fleet: &Fleet) -> Result<i64> {
    let mut connection = PgConnection::connect(fleet.superuser_url().as_str()).await?;
    let behind = sqlx::query_scalar(
        "SELECT (SELECT head FROM registry.feed_head) - (SELECT position FROM registry.relay)",
    );
    Ok(behind.fetch_one(&mut connection).await?)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_log_loses_nothing_and_slows_nobody() -> Result<()> {
    let fleet = OwnFleet::start_alone(FleetConfig {
        database: Database::Own(Durability::Full),
        ..FleetConfig::default()
    })
    .await?;
    let operator = fleet.operator_rest()?;
    let acknowledged = Acknowledged::default();
    let count = watch::Sender::new(0);
    let mut counted = count.subscribe();
    let stop = AtomicBool::new(false);
    let writers =
        try_join_all((0..WRITERS).map(|_| writer(&operator, &acknowledged, &count, &stop)));
    let outage = async {
        let with = rate(&mut counted, SHORT).await?;
        let audit = fleet.service("audit", 0).unit();
        audit.kill_9().await?;
        let without = rate(&mut counted, SHORT).await?;
        let later = if full() {
            rate(&mut counted, LONG).await?
        } else {
            without
        };
        let waiting = behind(&fleet).await?;
        audit.start().await?;
        stop.store(true, Ordering::Relaxed);
        println!(
            "changes/s with the log {with:.0}, without it {without:.0} (ratio {:.2}), at last {later:.0} (ratio {:.2}); {waiting} events waited",
            without / with,
            later / with
        );
        assert!(waiting > 0, "the outage was one");
        anyhow::Ok(())
    };
    tokio::try_join!(writers, outage)?;
    let began = Instant::now();
    let acknowledged = acknowledged.into_inner();
    log::compare(&fleet, &acknowledged).await?;
    println!(
        "{} acknowledged changes, all in the log {:.1} s after it came back",
        acknowledged.len(),
        began.elapsed().as_secs_f64()
    );
    fleet.stop().await
}
