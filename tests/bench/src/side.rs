//! One of the two that are compared: whom the requests go to, and the process whose work they are.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use tenantry_testkit::probe::Probe;
use tenantry_testkit::process::Command;
use tenantry_testkit::unit::Unit;
use tenantry_testkit::{paths, port};

use crate::drive::{Ask, Round, Target};

/// The kernel counts a process's time in hundredths of a second (`getconf CLK_TCK`), the same everywhere on Linux.
const TICK: Duration = Duration::from_millis(10);

/// One side.
pub struct Side<'a> {
    /// Whom the requests go to.
    pub target: Target,
    /// The requests, in turn.
    pub asks: Arc<[Ask]>,
    /// The process whose time is counted.
    pub unit: &'a Unit,
}

/// What a side came to over all rounds.
#[derive(Clone, Debug, Default)]
pub struct Measured {
    /// Time of each answer, sorted once all are there.
    pub times: Vec<Duration>,
    /// Answers per second of each round.
    pub rates: Vec<f64>,
    /// Processor time of the process.
    pub cpu: Duration,
}

/// Asks both sides, in turn: what disturbs the machine disturbs both.
///
/// # Errors
/// When a request is refused.
pub async fn compare(
    sides: [&Side<'_>; 2],
    in_flight: usize,
    requests: usize,
    rounds: usize,
) -> Result<[Measured; 2]> {
    let mut measured = [Measured::default(), Measured::default()];
    for n in 0..rounds {
        // Who comes first changes too.
        for which in [n % 2, 1 - n % 2] {
            let before = cpu(sides[which].unit)?;
            let side = sides[which];
            let round: Round = side.target.round(&side.asks, in_flight, requests).await?;
            measured[which].cpu += cpu(side.unit)?.saturating_sub(before);
            measured[which].rates.push(round.per_second());
            measured[which].times.extend(round.times);
        }
    }
    for side in &mut measured {
        side.times.sort_unstable();
        side.rates.sort_by(f64::total_cmp);
    }
    Ok(measured)
}

impl Measured {
    /// The median round's answers per second.
    #[must_use]
    pub fn rate(&self) -> f64 {
        self.rates[self.rates.len() / 2]
    }

    /// The time within which this part of the answers came, in milliseconds.
    #[must_use]
    pub fn within_ms(&self, part: f64) -> f64 {
        let last = self.times.len() - 1;
        self.times[(last as f64 * part) as usize].as_secs_f64() * 1e3
    }

    /// Processor time of the process for each answer, in microseconds.
    #[must_use]
    pub fn cpu_us(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / self.times.len() as f64
    }
}

/// Processor time of a process so far, of all its threads.
///
/// # Errors
/// When the process has ended.
pub fn cpu(unit: &Unit) -> Result<Duration> {
    let pid = unit.process().context("it has ended")?.pid();
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name may hold anything; it ends with the last bracket. See proc(5) for the fields.
    let (_, fields) = stat.rsplit_once(") ").context("/proc/<pid>/stat")?;
    let fields: Vec<&str> = fields.split(' ').collect();
    let ticks: u32 = fields[11].parse::<u32>()? + fields[12].parse::<u32>()?;
    Ok(TICK * ticks)
}

/// A line of `/proc/<pid>/status` that counts memory, in MiB.
///
/// # Errors
/// When the process has ended.
pub fn memory_mib(unit: &Unit, line: &str) -> Result<f64> {
    let pid = unit.process().context("it has ended")?.pid();
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let kib = status
        .lines()
        .find_map(|found| found.strip_prefix(line)?.strip_prefix(':'))
        .and_then(|rest| rest.trim().strip_suffix(" kB"))
        .context("no such line")?;
    Ok(kib.trim().parse::<f64>()? / 1024.0)
}

/// The server that does nothing, as a process of its own, like the services. To the gateway's question it gives this
/// answer, whatever is asked.
///
/// # Errors
/// When it isn't built or doesn't start.
pub async fn noop(answer: &[u8]) -> Result<(Unit, SocketAddr)> {
    let address = port::local(port::free()?);
    let program = std::env::current_exe()?.with_file_name("noop");
    let dir = paths::scratch("noop")?;
    let file = dir.join("answer");
    std::fs::write(&file, answer)?;
    let command = Command::new(program, dir.join("noop.log"))
        .arg(address.to_string())
        .arg(file);
    let unit = Unit::new("noop", command, Probe::GrpcHealth(address));
    unit.start().await?;
    Ok((unit, address))
}
