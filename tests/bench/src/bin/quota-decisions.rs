//! What does a decision on how much may pass cost? Quota's ShouldRateLimit, from leases and of a replica that asks Redis about each
//! request, and ConsumeQuota, which answers when Postgres has it, against an RPC that gives the same answer without doing anything for it, and against limitador with Redis and with its cached
//! Redis, all in turn: of one hot tenant, and of ten thousand; and how many each of them admits of a limit of a thousand.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use futures::future::try_join_all;
use prost::Message as _;
use tenantry_bench::cores::Cores;
use tenantry_bench::draw::{Dice, Zipf};
use tenantry_bench::drive::{Ask, Target};
use tenantry_bench::rate::{self, SHOULD_RATE_LIMIT};
use tenantry_bench::{figures, load, side, usage};
use tenantry_core::Reason;
use tenantry_proto::quota::v1::{ConsumeQuotaRequest, QuotaDecision};
use tenantry_rpc::assertion;
use tenantry_testkit::fleet::{Database, Fleet, FleetConfig};
use tenantry_testkit::postgres::Durability;
use tenantry_testkit::probe::Probe;
use tenantry_testkit::process::Command;
use tenantry_testkit::unit::Unit;
use tenantry_testkit::{paths, port};
use tonic::Status;
use tonic::metadata::{Ascii, MetadataValue};
use uuid::Uuid;

const CONSUME_QUOTA: &str = "/tenantry.quota.v1.QuotaService/ConsumeQuota";
const TENANTS: usize = 10_000;
/// Who use a limit up.
const CALLERS: usize = 64;
const IN_FLIGHT: [usize; 2] = [8, 64];
const REQUESTS: usize = 10_000;
const USES: usize = 3_000;
const ROUNDS: usize = 7;
const SEED: u64 = 1;
/// How each tenant is asked about first, which makes an account and a counter of it.
const FIRST_IN_FLIGHT: usize = 8;
/// A busy machine isn't what is measured.
const REDIS_TIMEOUT_MS: u64 = 5_000;

/// One of those that are compared.
struct Side<'a> {
    name: &'static str,
    target: Target,
    unit: &'a Unit,
    what: What<'a>,
}

/// What it is asked.
enum What<'a> {
    /// How much may pass; by which domain where the limit is a thousand, if there is one.
    Rate { exact: Option<&'static str> },
    /// To use something, in the name of an operator of this fleet.
    Use(&'a Fleet),
}

/// What a round came to.
#[derive(Clone, Copy, Debug)]
struct Figures {
    rate: f64,
    p99_ms: f64,
    cpu_us: f64,
}

/// Which tenants requests are about, one after the other.
struct Load {
    name: &'static str,
    tenants: Vec<Uuid>,
    asks: Arc<[Ask]>,
}

impl Load {
    fn new(name: &'static str, tenants: Vec<Uuid>) -> Self {
        let asks = tenants
            .iter()
            .map(|tenant| rate::ask(rate::DOMAIN, *tenant, 1));
        Self {
            name,
            asks: asks.collect(),
            tenants,
        }
    }
}

fn main() -> Result<()> {
    let cores = Cores::part()?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(run(&cores))
}

async fn run(cores: &Cores) -> Result<()> {
    let fleet = Fleet::start(FleetConfig {
        database: Database::Own(Durability::Full),
        service_environment: vec![(
            "quota",
            "TENANTRY_REDIS_TIMEOUT_MS",
            REDIS_TIMEOUT_MS.to_string(),
        )],
        ..FleetConfig::default()
    })
    .await?;
    let (tenants, fresh) = tenants(&fleet).await?;
    let quota = fleet.service("quota", 0);
    // It learns the limits at its start.
    quota.unit().restart().await?;
    let ours = Target::of(&fleet, "quota", SHOULD_RATE_LIMIT, rate::is_ok).await?;
    let uses = Target::of(&fleet, "quota", CONSUME_QUOTA, is_decision).await?;
    let plain = fleet.beside("quota", &[("TENANTRY_LEASES", "false")])?;
    plain.unit().start().await?;
    let word = fleet.keys().gateway_word();
    let asking = Target::connect(plain.address(), SHOULD_RATE_LIMIT, rate::is_ok).await?;
    let all = Load::new("all", tenants.clone());
    let answer = ours.once(&all.asks[0]).await?;
    let redis = fleet.redis_url().as_bytes();
    let (nothing, at) = peer("noop", &answer).await?;
    let noop = Target::connect(at, SHOULD_RATE_LIMIT, rate::is_ok).await?;
    let (alone, at) = peer("redis", redis).await?;
    let redis_alone = Target::connect(at, SHOULD_RATE_LIMIT, rate::is_ok).await?;
    let (cached, at) = peer("cached", redis).await?;
    let redis_cached = Target::connect(at, SHOULD_RATE_LIMIT, rate::is_ok).await?;
    let exact = Some(rate::EXACT);
    let own = Some(rate::DOMAIN);
    let sides = [
        Side {
            name: "no-op",
            target: noop,
            unit: &nothing,
            what: What::Rate { exact: None },
        },
        Side {
            name: "limitador, Redis",
            target: redis_alone,
            unit: &alone,
            what: What::Rate { exact },
        },
        Side {
            name: "limitador, cached Redis",
            target: redis_cached,
            unit: &cached,
            what: What::Rate { exact },
        },
        Side {
            name: "ShouldRateLimit, Redis",
            target: asking.saying(word),
            unit: plain.unit(),
            what: What::Rate { exact: own },
        },
        Side {
            name: "ShouldRateLimit, leases",
            target: ours,
            unit: quota.unit(),
            what: What::Rate { exact: own },
        },
        Side {
            name: "ConsumeQuota",
            target: uses,
            unit: quota.unit(),
            what: What::Use(&fleet),
        },
    ];
    for side in &sides {
        cores.put(side.unit)?;
    }
    cores.tell(&["no-op", "limitador (both)", "quota (both)"]);
    for side in &sides {
        let began = std::time::Instant::now();
        let asks = side.asks(&all, TENANTS)?;
        side.target.round(&asks, FIRST_IN_FLIGHT, TENANTS).await?;
        let rate = TENANTS as f64 / began.elapsed().as_secs_f64();
        println!("each tenant once, {}: {rate:.0}/s", side.name);
    }
    let mut dice = Dice(SEED);
    let zipf = Zipf::new(TENANTS);
    let drawn = (0..REQUESTS).map(|_| tenants[zipf.draw(&mut dice)]);
    let loads = [
        Load::new("one tenant", vec![tenants[0]]),
        Load::new("10,000 tenants", drawn.collect()),
    ];
    let mut fresh = fresh.into_iter();
    for load in &loads {
        for in_flight in IN_FLIGHT {
            let measured = measure(&sides, load, in_flight).await?;
            let mut admitted = Vec::new();
            for side in &sides {
                admitted.push(
                    side.admitted(fresh.next().context("a fresh tenant")?)
                        .await?,
                );
            }
            tell(&sides, &measured, &admitted, load.name, in_flight);
        }
    }
    for unit in [&nothing, &alone, &cached, plain.unit()] {
        unit.stop().await?;
    }
    fleet.stop().await
}

/// Ten thousand tenants with a large limit, and some with the one that is counted.
async fn tenants(fleet: &Fleet) -> Result<(Vec<Uuid>, Vec<Uuid>)> {
    // One in a thousand of those that are loaded is suspended.
    let numbers = 1_i64..;
    let mut of_use = numbers.filter(|n| n % 1_000 != 7);
    let mut take = |number: usize| -> Vec<i64> { of_use.by_ref().take(number).collect() };
    let (many, fresh) = (take(TENANTS), take(100));
    let last = fresh.last().copied().unwrap_or_default();
    load::tenants(fleet, last, 0).await?;
    let ids = |numbers: Vec<i64>| -> Vec<Uuid> { numbers.into_iter().map(load::tenant).collect() };
    let (many, fresh) = (ids(many), ids(fresh));
    let plenty = many.iter().map(|tenant| (*tenant, rate::PLENTY));
    let limits: Vec<_> = plenty
        .chain(fresh.iter().map(|tenant| (*tenant, rate::LIMIT)))
        .collect();
    load::limits(&mut load::superuser(fleet).await?, &limits, "month").await?;
    Ok((many, fresh))
}

/// A peer as a process of its own.
async fn peer(kind: &str, file: &[u8]) -> Result<(Unit, SocketAddr)> {
    let address = port::local(port::free()?);
    let program = std::env::current_exe()?.with_file_name("quota-peer");
    let dir = paths::scratch("quota-peer")?;
    let path = dir.join("file");
    // A URL with its password isn't for the command line.
    paths::write_secret(&path, file)?;
    let command = Command::new(program, dir.join("log"))
        .arg(kind)
        .arg(address.to_string())
        .arg(path);
    let unit = Unit::new(kind, command, Probe::GrpcHealth(address));
    unit.start().await?;
    Ok((unit, address))
}

/// Asks all sides the same, in turn: what disturbs the machine disturbs all.
async fn measure(sides: &[Side<'_>], load: &Load, in_flight: usize) -> Result<Vec<Vec<Figures>>> {
    let mut measured = vec![Vec::new(); sides.len()];
    for n in 0..=ROUNDS {
        for i in 0..sides.len() {
            let which = (n + i) % sides.len();
            let figures = sides[which].round(load, in_flight).await?;
            // The first one warms up.
            if n > 0 {
                measured[which].push(figures);
            }
        }
    }
    Ok(measured)
}

impl Side<'_> {
    /// The requests of a round.
    fn asks(&self, load: &Load, requests: usize) -> Result<Arc<[Ask]>> {
        let fleet = match self.what {
            What::Rate { .. } => return Ok(Arc::clone(&load.asks)),
            What::Use(fleet) => fleet,
        };
        let assertion = usage::operator(fleet)?;
        let tenants = load.tenants.iter().cycle().take(requests);
        Ok(tenants.map(|tenant| using(*tenant, &assertion)).collect())
    }

    async fn round(&self, load: &Load, in_flight: usize) -> Result<Figures> {
        let requests = match self.what {
            What::Rate { .. } => REQUESTS,
            What::Use(_) => USES,
        };
        let asks = self.asks(load, requests)?;
        let before = side::cpu(self.unit)?;
        let round = self.target.round(&asks, in_flight, requests).await?;
        let cpu = side::cpu(self.unit)?.saturating_sub(before);
        let rate = round.per_second();
        let mut times: Vec<Duration> = round.times;
        times.sort_unstable();
        Ok(Figures {
            rate,
            p99_ms: figures::at(&times, 99),
            cpu_us: cpu.as_secs_f64() * 1e6 / requests as f64,
        })
    }

    /// How many of many callers at once are admitted until each is refused; none where nothing is counted.
    async fn admitted(&self, tenant: Uuid) -> Result<Option<i64>> {
        let (target, ask) = match self.what {
            What::Rate { exact: None } => return Ok(None),
            What::Rate {
                exact: Some(domain),
            } => {
                let target = self.target.clone().accepting(rate::is_answer);
                (target, Some(rate::ask(domain, tenant, 1)))
            }
            What::Use(_) => (self.target.clone(), None),
        };
        let assertion = match self.what {
            What::Rate { .. } => None,
            What::Use(fleet) => Some(usage::operator(fleet)?),
        };
        let calling = (0..CALLERS).map(|_| {
            let (target, ask, assertion) = (target.clone(), ask.clone(), assertion.clone());
            tokio::spawn(async move {
                let mut admitted = 0;
                loop {
                    let passed = match (&ask, &assertion) {
                        (Some(ask), _) => rate::is_ok(&target.once(ask).await?),
                        (None, Some(assertion)) => {
                            used(target.once(&using(tenant, assertion)).await)?
                        }
                        (None, None) => bail!("nothing to ask"),
                    };
                    if !passed {
                        return Ok(admitted);
                    }
                    admitted += 1;
                }
            })
        });
        let mut all = 0;
        for admitted in try_join_all(calling.collect::<Vec<_>>()).await? {
            all += admitted?;
        }
        Ok(Some(all))
    }
}

/// A use of one call.
fn using(tenant: Uuid, assertion: &MetadataValue<Ascii>) -> Ask {
    let request = ConsumeQuotaRequest {
        tenant: tenant.to_string(),
        resource_type: "api_calls".to_owned(),
        request_id: load::random_id().to_string(),
        ..Default::default()
    };
    let mut ask = Ask {
        body: request.encode_to_vec().into(),
        ..Ask::default()
    };
    ask.metadata.insert(assertion::HEADER, assertion.clone());
    ask
}

fn is_decision(answer: &[u8]) -> bool {
    QuotaDecision::decode(answer).is_ok_and(|decision| decision.allowed)
}

/// Whether it was used; an error where it was refused for anything but the limit.
fn used(answer: Result<bytes::Bytes>) -> Result<bool> {
    let error = match answer {
        Ok(_) => return Ok(true),
        Err(error) => error,
    };
    let status = error.downcast_ref::<Status>();
    let refusal = status.and_then(tenantry_rpc::status::refusal);
    ensure!(
        refusal.is_some_and(|refusal| refusal.reason == Reason::QuotaExceeded),
        error
    );
    Ok(false)
}

fn tell(
    sides: &[Side<'_>],
    measured: &[Vec<Figures>],
    admitted: &[Option<i64>],
    load: &str,
    in_flight: usize,
) {
    let title = format!("{load}, {in_flight} in flight");
    println!(
        "\n{title:28} {:>9} {:>8} {:>9} {:>10} {:>8} {:>9} {:>10} {:>8}",
        "calls/s", "/ no-op", "/ limit.", "p99", "/ no-op", "/ limit.", "processor", "of 1000"
    );
    for ((side, figures), admitted) in sides.iter().zip(measured).zip(admitted) {
        let of = |what: fn(&Figures) -> f64| median(figures.iter().map(what));
        let to = |base: usize, what: fn(&Figures) -> f64| {
            let pairs = figures.iter().zip(&measured[base]);
            median(pairs.map(|(one, other)| what(one) / what(other)))
        };
        let admitted = admitted.map_or_else(|| "-".to_owned(), |number| number.to_string());
        println!(
            "  {:26} {:9.0} {:8.2} {:9.2} {:8.2}ms {:8.2} {:9.2} {:8.1}us {admitted:>8}",
            side.name,
            of(|figures| figures.rate),
            to(0, |figures| figures.rate),
            to(1, |figures| figures.rate),
            of(|figures| figures.p99_ms),
            to(0, |figures| figures.p99_ms),
            to(1, |figures| figures.p99_ms),
            of(|figures| figures.cpu_us),
        );
    }
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
