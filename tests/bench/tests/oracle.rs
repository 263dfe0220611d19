//! Does quota decide as another implementation of the same rule does? One random trace of decisions through our service, with a
//! real Postgres and Redis, and through limitador's counters in memory: each must come out alike.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use limitador::RateLimiter;
use limitador::limit::{Context, Limit, Namespace};
use sqlx::{Connection as _, PgConnection};
use tenantry_bench::draw::Dice;
use tenantry_bench::drive::Target;
use tenantry_bench::load;
use tenantry_bench::rate::{self, SHOULD_RATE_LIMIT};
use tenantry_core::{TenantId, clock, random};
use tenantry_proto::registry::v1::{Plan, PlanLimit};
use tenantry_testkit::cluster::Role;
use tenantry_testkit::database::TestDatabase;
use tenantry_testkit::keys::Keys;
use tenantry_testkit::redis::Redis;
use tenantry_testkit::registry_double::RegistryDouble;
use tenantry_testkit::service::{self, Service};
use tenantry_testkit::{paths, port};

const DECISIONS: usize = 100_000;
const TENANTS: usize = 200;
const MOST_LIMIT: u64 = 2_000;
const MOST_AMOUNT: u64 = 20;
/// One in so many asks for more than the whole limit.
const TOO_MUCH_ONE_IN: u64 = 50;
/// Requests at once; those of one tenant go one after the other.
const CALLERS: usize = 8;
/// Repeats the trace of an earlier run.
const SEED: &str = "TENANTRY_ORACLE_SEED";
const DAY_SECONDS: i64 = 86_400;

/// One decision of the trace: the tenant's number, and how much is asked for.
type Asked = (usize, u64);

/// The tenants' limits, and the trace.
fn trace(seed: u64) -> (Vec<u64>, Vec<Asked>) {
    let mut dice = Dice(seed);
    // The ends are among them, whatever the seed.
    let mut limits = vec![0, 1, MOST_LIMIT];
    limits.extend((limits.len()..TENANTS).map(|_| dice.below(MOST_LIMIT + 1)));
    let asked = |_| {
        let tenant = dice.below(TENANTS as u64) as usize;
        let above = match dice.below(TOO_MUCH_ONE_IN) {
            0 => limits[tenant],
            _ => 0,
        };
        (tenant, above + 1 + dice.below(MOST_AMOUNT))
    };
    let asked = (0..DECISIONS).map(asked).collect();
    (limits, asked)
}

/// A time zone where the day lasts at least twelve hours more, so that all decisions are of one window.
fn zone() -> &'static str {
    let of_day = clock::now().as_second() % DAY_SECONDS;
    // Tarawa is twelve hours ahead, all year.
    if of_day < DAY_SECONDS / 2 {
        "UTC"
    } else {
        "Pacific/Tarawa"
    }
}

/// The service as a process, and what it needs.
struct Ours {
    quota: Service,
    redis: Redis,
    target: Target,
    tenants: Vec<TenantId>,
}

async fn start(limits: &[u64]) -> Result<Ours> {
    let dir = paths::scratch("oracle")?;
    let log = dir.join("quota.log");
    let keys = Keys::create(&dir.join("keys"))?;
    let redis = Redis::prepare(&dir.join("redis"), port::free()?, &dir.join("redis.log"))?;
    redis.unit().start().await?;
    let registry = RegistryDouble::start(vec![plan()]).await?;
    let database = TestDatabase::empty().await?;
    let url = |role| database.url("quota", role).to_string();
    let file = |path: std::path::PathBuf| path.display().to_string();
    let environment = [
        ("TENANTRY_OWNER_DATABASE_URL", url(Role::Owner)),
        ("TENANTRY_APP_DATABASE_URL", url(Role::App)),
        ("TENANTRY_PLATFORM_DATABASE_URL", url(Role::Platform)),
        ("TENANTRY_TRUST_FILE", file(keys.trust_file())),
        (
            "TENANTRY_SERVICE_KEY_FILE",
            file(keys.service_ring("quota")),
        ),
        ("TENANTRY_SEAL_KEY_FILE", file(keys.seal_key("quota"))),
        ("TENANTRY_REGISTRY_ADDRS", registry.address().to_owned()),
        // Nobody is there: nothing here has an event.
        (
            "TENANTRY_AUDIT_ADDRS",
            format!("http://{}", port::local(port::free()?)),
        ),
        ("TENANTRY_REDIS_URLS", redis.url()),
        // A busy machine isn't what is tested.
        ("TENANTRY_REDIS_TIMEOUT_MS", "5000".to_owned()),
    ];
    let environment: BTreeMap<_, _> = environment
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect();
    service::command("quota", "migrate", &environment, &log)?
        .output()
        .await?;
    let zone = zone();
    let mut tenants = Vec::new();
    for n in 0..limits.len() {
        let tenant = registry.add(&format!("tenant-{n}"), "plan", None);
        registry.change(tenant, |tenant| tenant.timezone = zone.to_owned())?;
        tenants.push(tenant);
    }
    let rows = tenants.iter().zip(limits);
    let rows: Vec<_> = rows
        .map(|(tenant, limit)| (tenant.uuid(), limit.cast_signed()))
        .collect();
    let mut connection = PgConnection::connect(database.superuser_url().as_str()).await?;
    load::limits(&mut connection, &rows, "day").await?;
    connection.close().await?;
    let addresses = (port::local(port::free()?), port::local(port::free()?));
    let quota = Service::prepare("quota", 0, addresses, &environment, &log)?;
    quota.unit().start().await?;
    let target = Target::connect(quota.address(), SHOULD_RATE_LIMIT, rate::is_answer).await?;
    Ok(Ours {
        quota,
        redis,
        target: target.saying(keys.gateway_word()),
        tenants,
    })
}

/// Each tenant's limit stands apart from it.
fn plan() -> Plan {
    Plan {
        key: "plan".to_owned(),
        project: "default".to_owned(),
        version: 1,
        retention_days: 30,
        limits: vec![PlanLimit {
            resource_type: "api_calls".to_owned(),
            limit: 1,
            reset_period: "day".to_owned(),
            policy: None,
        }],
        ..Default::default()
    }
}

/// Limitador with the same limits, each the namespace of its tenant.
fn oracle(limits: &[u64]) -> RateLimiter {
    let limiter = RateLimiter::new(limits.len() as u64);
    for (n, limit) in limits.iter().enumerate() {
        let seconds = DAY_SECONDS.unsigned_abs();
        limiter.add_limit(Limit::new(n.to_string(), *limit, seconds, [], []));
    }
    limiter
}

#[tokio::test(flavor = "multi_thread")]
async fn quota_decides_as_limitador_does() -> Result<()> {
    let seed = match std::env::var(SEED) {
        Ok(seed) => seed.parse().with_context(|| format!("{SEED}={seed}"))?,
        Err(_) => u64::from_le_bytes(random::bytes()),
    };
    println!("{SEED}={seed} repeats this");
    let (limits, trace) = trace(seed);
    let ours = start(&limits).await?;
    let (oracle, trace) = (Arc::new(oracle(&limits)), Arc::new(trace));
    let callers = (0..CALLERS).map(|caller| {
        let (oracle, trace) = (Arc::clone(&oracle), Arc::clone(&trace));
        let (target, tenants) = (ours.target.clone(), ours.tenants.clone());
        tokio::spawn(async move {
            let mut decided = Vec::new();
            let of_caller = |(_, (tenant, _)): &(usize, &Asked)| tenant % CALLERS == caller;
            for (place, (tenant, amount)) in trace.iter().enumerate().filter(of_caller) {
                let ask = rate::ask(
                    rate::DOMAIN,
                    tenants[*tenant].uuid(),
                    u32::try_from(*amount)?,
                );
                let answer = target.once(&ask).await;
                let answer = answer.with_context(|| format!("decision {place} of the trace"))?;
                let namespace = Namespace::from(tenant.to_string());
                let theirs =
                    oracle.check_rate_limited_and_update(&namespace, &Context::default(), *amount);
                let theirs = theirs.map_err(|error| anyhow::anyhow!("limitador: {error}"))?;
                decided.push((place, rate::is_ok(&answer), !theirs.limited));
            }
            anyhow::Ok(decided)
        })
    });
    let mut decided = Vec::new();
    for caller in callers.collect::<Vec<_>>() {
        decided.extend(caller.await??);
    }
    ours.quota.unit().stop().await?;
    ours.redis.unit().stop().await?;
    decided.sort_unstable();
    assert_eq!(decided.len(), DECISIONS);
    let admitted = decided.iter().filter(|(_, ours, _)| *ours).count();
    println!("{DECISIONS} decisions on {TENANTS} limits, {admitted} of them admitted");
    let mut unlike = 0;
    for (place, ours, theirs) in decided {
        if ours != theirs {
            let (tenant, amount) = trace[place];
            let limit = limits[tenant];
            println!(
                "{place}: {amount} of tenant {tenant}'s {limit}: ours {ours}, limitador's {theirs}"
            );
            unlike += 1;
        }
    }
    assert_eq!(unlike, 0, "decisions differ");
    Ok(())
}
