//! The life of the developer's fleet: start, demo, watch over the processes, end.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use std::{fs, process};

use anyhow::{Context as _, Result, bail};
use tenantry_testkit::environment::{self, EXTERNAL_DATABASE_URL, EXTERNAL_REDIS_URL};
use tenantry_testkit::fleet::{Database, Fleet, FleetConfig, Operator};
use tenantry_testkit::postgres::Durability;
use tenantry_testkit::probe::Probe;
use tenantry_testkit::unit::Unit;
use tenantry_testkit::{paths, port};
use tokio::signal::unix::{SignalKind, signal};
use url::Url;

use crate::state::{self, Part, Phase, State};
use crate::{demo, tour};

const GATEWAY_PORT: &str = "TENANTRY_GATEWAY_PORT";
const DEFAULT_GATEWAY_PORT: u16 = 8080;
/// A process that ends this often within a minute isn't started again.
const MOST_RESTARTS: usize = 5;
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Who watches.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// A person at a terminal.
    Terminal,
    /// Nobody.
    Background,
}

/// Runs the fleet until Ctrl-C, SIGTERM or SIGHUP.
pub(crate) async fn run(place: Place) -> Result<()> {
    let _lock = state::lock()?.context("the fleet is up already")?;
    let (mut interrupt, mut terminate, mut hangup) = (
        signal(SignalKind::interrupt())?,
        signal(SignalKind::terminate())?,
        signal(SignalKind::hangup())?,
    );
    let asked_to_end = async {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
    };
    tokio::pin!(asked_to_end);
    let started = tokio::select! {
        started = start() => started,
        // Dropping what was started so far kills it.
        () = &mut asked_to_end => {
            State::remove();
            bail!("ended before the fleet was ready");
        }
    };
    let fleet = match started {
        Ok(fleet) => fleet,
        Err(error) => {
            write_state(None, Phase::Failed)?;
            return Err(error);
        }
    };
    if place == Place::Terminal {
        println!("\nCtrl-C ends the fleet. Its data stays for the next ./dev up.");
    }
    let watched = tokio::select! {
        result = watch(&fleet) => result,
        () = &mut asked_to_end => Ok(()),
    };
    println!("ending the fleet");
    fleet.stop().await?;
    State::remove();
    println!("all processes have ended");
    watched
}

async fn start() -> Result<Fleet> {
    let begun = begun_before();
    let gateway_port = gateway_port()?;
    write_state(None, Phase::Starting)?;
    let database = match environment::get(EXTERNAL_DATABASE_URL) {
        Some(url) => Database::External(
            Url::parse(&url).context("TENANTRY_EXTERNAL_DATABASE_URL isn't a URL")?,
        ),
        None => Database::Own(Durability::Full),
    };
    let external_redis = environment::get(EXTERNAL_REDIS_URL)
        .map(|url| Url::parse(&url))
        .transpose();
    let config = FleetConfig {
        database,
        external_redis: external_redis.context("TENANTRY_EXTERNAL_REDIS_URL isn't a URL")?,
        dir: Some(paths::dev()),
        postgres_dir: Some(state::postgres_dir()),
        gateway_port: Some(gateway_port),
        otlp_endpoint: environment::get("OTEL_EXPORTER_OTLP_ENDPOINT"),
        bootstrap: false,
        progress: std::sync::Arc::new(|line| println!("  {line}")),
        ..FleetConfig::default()
    };
    let mut fleet = Fleet::start(config).await?;
    match furnish(&mut fleet, begun).await {
        Ok(()) => Ok(fleet),
        Err(error) => {
            fleet.stop().await?;
            Err(error)
        }
    }
}

/// Gives a fleet that serves its operator and its demo, and tells how to try it.
async fn furnish(fleet: &mut Fleet, begun: Instant) -> Result<()> {
    operator(fleet).await?;
    println!("  seeding the demo");
    let demo = demo::seed(fleet)
        .await
        .context("the demo's data can't be made")?;
    tour::write_environment(fleet)?;
    write_state(Some(fleet), Phase::Ready)?;
    tour::print(fleet, &demo, begun.elapsed());
    Ok(())
}

/// The moment `./dev` was called, which may lie before a long build.
fn begun_before() -> Instant {
    let now = Instant::now();
    let begun_ms = environment::get("TENANTRY_DEV_BEGUN_MS").and_then(|ms| ms.parse::<i64>().ok());
    let ago = begun_ms
        .and_then(|ms| u64::try_from(tenantry_core::clock::now().as_millisecond() - ms).ok());
    ago.and_then(|ms| now.checked_sub(Duration::from_millis(ms)))
        .unwrap_or(now)
}

fn gateway_port() -> Result<u16> {
    let port = match environment::get(GATEWAY_PORT) {
        Some(text) => text
            .parse()
            .with_context(|| format!("{GATEWAY_PORT}={text:?} isn't a port"))?,
        None => DEFAULT_GATEWAY_PORT,
    };
    if !port::is_free(port) {
        let owner = port::owner(port).map_or_else(
            || "a process that this user can't see".to_owned(),
            |(pid, command)| format!("process {pid} ({command})"),
        );
        bail!(
            "port {port}, meant for the gateway, is in use by {owner}. End it, or run: {GATEWAY_PORT}=<another port> ./dev up"
        );
    }
    Ok(port)
}

/// The operator of an earlier run, if its key still works; else the first one.
async fn operator(fleet: &mut Fleet) -> Result<()> {
    let file = paths::dev().join("operator.json");
    if let Ok(text) = fs::read(&file) {
        let operator: Operator = serde_json::from_slice(&text)
            .with_context(|| format!("{} can't be read. Run: ./dev reset", file.display()))?;
        let answer = fleet
            .rest()?
            .bearer(&operator.token)
            .get("/api/v1/auth/me")
            .await?;
        if answer.status == 200 {
            fleet.set_operator(operator);
            return Ok(());
        }
        println!(
            "  the operator of {} isn't known to this database ({}): making one",
            file.display(),
            answer.status
        );
    }
    println!("  making the first operator");
    let operator = fleet.bootstrap().await.context(
        "the first operator can't be made. When the database has one whose credentials are lost, run: ./dev reset",
    )?;
    paths::write_secret(&file, &serde_json::to_vec_pretty(operator)?)?;
    Ok(())
}

/// Starts again what ends; returns when something ends too often.
async fn watch(fleet: &Fleet) -> Result<()> {
    let mut ends: BTreeMap<String, Vec<Instant>> = BTreeMap::new();
    loop {
        for unit in fleet.units().filter(|unit| unit.process().is_none()) {
            let recent = ends.entry(unit.name().to_owned()).or_default();
            recent.retain(|at| at.elapsed() < Duration::from_secs(60));
            recent.push(Instant::now());
            if recent.len() > MOST_RESTARTS {
                bail!(
                    "{} ended {} times within a minute. Its log: {}",
                    unit.name(),
                    recent.len(),
                    unit.log().display()
                );
            }
            println!(
                "{} ended; starting it again. Its log: {}",
                unit.name(),
                unit.log().display()
            );
            restart(fleet, unit).await;
            write_state(Some(fleet), Phase::Ready)?;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

async fn restart(fleet: &Fleet, unit: &Unit) {
    let result = match fleet.postgres() {
        Some(postgres) if unit.name() == "postgres" => postgres.start().await,
        _ => unit.start().await,
    };
    match result {
        Ok(()) => println!("{} is ready again", unit.name()),
        Err(error) => println!("{error:#}"),
    }
}

fn write_state(fleet: Option<&Fleet>, phase: Phase) -> Result<()> {
    let parts = fleet
        .iter()
        .flat_map(|fleet| fleet.units())
        .map(|unit| Part {
            name: unit.name().to_owned(),
            pid: unit.process().map(|process| process.pid()),
            address: address(unit, fleet).to_string(),
            log: unit.log().to_owned(),
        });
    let gateway = fleet.map(Fleet::gateway).unwrap_or_default();
    State {
        supervisor: process::id(),
        phase,
        gateway,
        parts: parts.collect(),
    }
    .write()
}

/// Where others reach it.
fn address(unit: &Unit, fleet: Option<&Fleet>) -> SocketAddr {
    match (unit.probe(), fleet) {
        (Probe::Envoy(_), Some(fleet)) => fleet.gateway_address(),
        (Probe::Envoy(address) | Probe::Tcp(address) | Probe::GrpcHealth(address), _) => *address,
        (Probe::Redis { address, .. }, _) => *address,
        (Probe::Postgres(url), _) => port::local(url.port().unwrap_or(5432)),
    }
}
