//! What does it take to let a month of events go? The drop of a partition of a million, with and without a hundredth of them to
//! be moved on before, against the commit of one batch of events, and against the bare DROP of a table with the same rows; and how
//! long such a batch waits at most while that is done.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::json;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use tenantry_audit::{Retention, Retired};
use tenantry_bench::load;
use tenantry_core::seal::Sealer;
use tenantry_proto::internal::audit::v1::append_service_client::AppendServiceClient;
use tenantry_proto::internal::audit::v1::{AppendRequest, SourceEvent, SourceStream};
use tenantry_rpc::Tasks;
use tenantry_rpc::client::{CallAs, Replicas};
use tenantry_rpc::convert::timestamp;
use tenantry_rpc::keys::KeyRing;
use tenantry_rpc::tenants::{Follower, Lookup, Tenants, View};
use tenantry_rpc::watched::Watched;
use tenantry_store::{PoolConfig, Store};
use tenantry_testkit::cluster::Role;
use tenantry_testkit::fleet::{Database, Fleet, FleetConfig};
use tenantry_testkit::postgres::Durability;
use tenantry_testkit::wait::until;

/// Events of the month, and of how many tenants.
const EVENTS: i64 = 1_000_000;
const TENANTS: i64 = 100;
/// The tenant whose events are to be moved on, and the one whose log grows meanwhile.
const MOVED: i64 = 1;
const GROWING: i64 = 100;
/// Places of one round's events among all, and in each log from which on they lie, and how many: whole runs of the search.
const ROUND: i64 = 1 << 20;
const PLACES: i64 = 1 << 24;
const LOG_ROUND: i64 = 1 << 14;
/// Events of one batch.
const BATCH: i64 = 2_000;
/// Batches before each drop.
const BATCHES: usize = 20;
const ROUNDS: usize = 3;
/// How old the month is: past its class of a year.
const AGE_DAYS: i32 = 420;
const APPEND_WITHIN: Duration = Duration::from_secs(30);
const KNOWN_WITHIN: Duration = Duration::from_secs(30);

/// Copies of the first event of a log, as many of each tenant, in that month; the events' places are behind $6, and $5 in each log.
const MONTH: &str = "
INSERT INTO events
SELECT (jsonb_populate_record(e, jsonb_build_object(
    'tenant_id', '01900000-0000-7000-8000-' || lpad(to_hex(1 + i % $1), 12, '0'), 'index', $5 + i / $1, 'position', $6 + i,
    'class', 365,
    'received_at', (date_trunc('month', now() AT TIME ZONE 'UTC' - make_interval(days => $3)) AT TIME ZONE 'UTC')
        + make_interval(secs => (i * 2)::float8)))).*
FROM events AS e, generate_series(0::bigint, $2 - 1) AS i WHERE e.tenant_id = $4 AND e.index = 0";

/// The runs that they are searched by, as appending them would have put them down.
const DUE: &str = "
INSERT INTO search_due (tenant_id, level, until)
SELECT scope, 0, first + run * search_span(0::smallint)
FROM (SELECT ('01900000-0000-7000-8000-' || lpad(to_hex(tenant), 12, '0'))::uuid AS scope, $3::bigint AS first, $2 / $1 AS events
      FROM generate_series(1, $1) AS tenant
      UNION ALL SELECT 'ffffffff-ffff-ffff-ffff-ffffffffffff', $4, $2) AS scopes,
     generate_series(1, events / search_span(0::smallint)) AS run";

/// An event as a service writes it.
const EVENT: &str = r#"{"id":"01900000-0000-7000-8000-0000000000aa","action":"tenant.updated",
    "resource":{"kind":"tenant","id":"01900000-0000-7000-8000-0000000000bb"},
    "actor":{"kind":"user","id":"01900000-0000-7000-8000-0000000000cc","name":"grace@example.com"},
    "before":{"name":"Old","billing_email":"old@example.com","labels":{"tier":"silver"},"version":1},
    "after":{"name":"New","billing_email":"new@example.com","labels":{"tier":"gold"},"version":2},
    "origin":{"ip":"192.0.2.7","user_agent":"Mozilla/5.0 (X11; Linux x86_64)","request_id":"6f1c2a7e","trace_id":""}}"#;

/// What the benchmark asks.
struct Audit {
    fleet: Fleet,
    tenants: Tenants,
    retention: Retention,
    registry: Replicas,
    /// Number of the next event.
    next: i64,
    round: i64,
}

impl Audit {
    async fn start(tasks: &Tasks) -> Result<Self> {
        let fleet = Fleet::start(FleetConfig {
            database: Database::Own(Durability::Full),
            ..FleetConfig::default()
        })
        .await?;
        load::tenants(&fleet, TENANTS, 0).await?;
        let mut connection = load::superuser(&fleet).await?;
        sqlx::query("UPDATE registry.tenants SET plan = 'business', status = 'active'")
            .execute(&mut connection)
            .await?;
        // Behind all rounds: what is appended comes later than the months that are filled.
        sqlx::query("UPDATE audit.log_head SET position = $1")
            .bind((2 + 2 * ROUNDS) as i64 * ROUND)
            .execute(&mut connection)
            .await?;
        let called = |caller: &'static str, called: &'static str| {
            let ring = fleet.keys().service_ring(caller);
            let keys = Watched::open(ring, tasks, KeyRing::parse).map_err(anyhow::Error::msg)?;
            let address = format!("http://{}", fleet.service(called, 0).address());
            Replicas::new(&[address], CallAs::new(keys, caller, called)).map_err(anyhow::Error::msg)
        };
        let follow = called("audit", "registry")?;
        let view = Arc::new(View::default());
        let follower = Follower::new(&follow, Arc::clone(&view));
        tasks.keep("tenants", follower.run(tasks.token()));
        let tenants = Tenants::new(view, Lookup::new(&follow), KNOWN_WITHIN);
        let retention = Retention::new(&store(&fleet)?, tenants.clone());
        let registry = called("registry", "audit")?;
        Ok(Self {
            tenants,
            retention,
            registry,
            next: 1,
            round: 0,
            fleet,
        })
    }

    /// Puts one tenant, whose event one in a hundred is, on a plan that keeps events for so many days.
    async fn plan(&self, plan: &str, days: i32) -> Result<()> {
        let path = format!("/api/v1/tenants/{}", load::tenant(MOVED));
        let body = json!({ "subscription_tier": plan });
        self.fleet.operator_rest()?.patch(&path, body).await?.ok()?;
        let moved = load::tenant(MOVED).into();
        until("plan", KNOWN_WITHIN, async || {
            Ok((self.tenants.retention_days(moved) == Some(days)).then_some(()))
        })
        .await
    }

    /// Appends a batch as registry's relay does, and returns how long that took.
    async fn append(&mut self) -> Result<Duration> {
        let at = Some(timestamp(tenantry_core::clock::now()));
        let events = (0..BATCH).map(|_| SourceEvent {
            at,
            event: EVENT.as_bytes().to_vec(),
        });
        let request = AppendRequest {
            streams: vec![SourceStream {
                tenant_id: load::tenant(GROWING).to_string(),
                first_n: self.next,
                events: events.collect(),
            }],
            request_id: String::new(),
        };
        let began = Instant::now();
        let answer = self.registry.call(APPEND_WITHIN, |channel| {
            let request = request.clone();
            async move { AppendServiceClient::new(channel).append(request).await }
        });
        let answer = answer.await?.into_inner();
        let took = began.elapsed();
        ensure!(answer.outcomes[0].outcome == "taken", "{answer:?}");
        self.next += BATCH;
        Ok(took)
    }

    /// Fills a month long ago.
    async fn fill(&self) -> Result<()> {
        let mut connection = load::superuser(&self.fleet).await?;
        sqlx::query("SET search_path = audit")
            .execute(&mut connection)
            .await?;
        let age = "SELECT ensure_partition(365, now() - make_interval(days => $1))";
        sqlx::query(age)
            .bind(AGE_DAYS)
            .execute(&mut connection)
            .await?;
        sqlx::query(MONTH)
            .bind(TENANTS)
            .bind(EVENTS)
            .bind(AGE_DAYS)
            .bind(load::tenant(GROWING))
            .bind(PLACES + self.round * LOG_ROUND)
            .bind(self.round * ROUND)
            .execute(&mut connection)
            .await?;
        sqlx::query(DUE)
            .bind(TENANTS)
            .bind(EVENTS)
            .bind(PLACES + self.round * LOG_ROUND)
            .bind(self.round * ROUND)
            .execute(&mut connection)
            .await?;
        let made = "SELECT NOT EXISTS (SELECT FROM search_due)";
        load::settled(&mut connection, made).await?;
        // As it has been long before it goes.
        for settle in ["VACUUM ANALYZE events", "CHECKPOINT"] {
            sqlx::query(settle).execute(&mut connection).await?;
        }
        Ok(connection.close().await?)
    }

    /// How long it takes Postgres to drop a table of that month's rows and indexes, which is nobody's partition.
    async fn bare_drop(&self) -> Result<Duration> {
        let mut connection = load::superuser(&self.fleet).await?;
        sqlx::raw_sql(AssertSqlSafe(format!(
            "SET search_path = audit;
             CREATE TABLE bare (LIKE events_365 INCLUDING ALL);
             INSERT INTO bare SELECT * FROM events WHERE class = 365 AND received_at < now() - interval '{} days';
             CHECKPOINT",
            AGE_DAYS - 60
        )))
        .execute(&mut connection)
        .await?;
        let began = Instant::now();
        sqlx::query("DROP TABLE bare")
            .execute(&mut connection)
            .await?;
        let took = began.elapsed();
        connection.close().await?;
        Ok(took)
    }

    /// One drop: the median commit before it, the bare drop of as many rows, how long it took, and the longest commit meanwhile.
    async fn round(&mut self, moved: u64) -> Result<[Duration; 4]> {
        self.round += 1;
        self.fill().await?;
        let bare = self.bare_drop().await?;
        let mut commits = Vec::new();
        for _ in 0..BATCHES {
            commits.push(self.append().await?);
        }
        commits.sort_unstable();
        let retention = self.retention.clone();
        let mut turn = Box::pin(async move {
            let began = Instant::now();
            anyhow::Ok((
                retention.turn().await.map_err(anyhow::Error::msg)?,
                began.elapsed(),
            ))
        });
        let mut longest = Duration::ZERO;
        let (retired, took): (Retired, Duration) = loop {
            let appending = Box::pin(self.append());
            tokio::select! {
                biased;
                ended = &mut turn => break ended?,
                appended = appending => longest = longest.max(appended?),
            }
        };
        ensure!(retired.moved == moved && !retired.left, "{retired:?}");
        ensure!(!retired.dropped.is_empty(), "nothing was dropped");
        self.settle().await?;
        Ok([commits[BATCHES / 2], bare, took, longest])
    }

    /// Finds out which event is next: a batch may have been under way.
    async fn settle(&mut self) -> Result<()> {
        let mut connection: PgConnection = load::superuser(&self.fleet).await?;
        self.next = 1 + sqlx::query_scalar::<_, i64>(
            "SELECT last_n FROM audit.sources WHERE source = 'registry' AND tenant_id = $1",
        )
        .bind(load::tenant(GROWING))
        .fetch_one(&mut connection)
        .await?;
        Ok(())
    }
}

fn store(fleet: &Fleet) -> Result<Store> {
    let options = |role| {
        let url = fleet.cluster().url("audit", role, fleet.database());
        url.as_str().parse().context("a URL of Postgres")
    };
    let key = std::fs::read_to_string(fleet.keys().seal_key("audit"))?;
    let config = PoolConfig {
        app: options(Role::App)?,
        platform: options(Role::Platform)?,
        app_connections: 2,
        platform_connections: 2,
        statement_cache: 100,
    };
    let sealer = Sealer::parse(&key).context("a sealing key")?;
    Ok(Store::new(config, sealer))
}

#[tokio::main]
async fn main() -> Result<()> {
    let tasks = Tasks::new();
    let mut audit = Audit::start(&tasks).await?;
    audit.plan("business", 365).await?;
    audit.append().await?;
    println!(
        "{:34} {:>10} {:>10} {:>10} {:>7} {:>7} {:>16}",
        "a month of a million events",
        "a commit",
        "bare DROP",
        "its drop",
        "ratios",
        "",
        "longest commit"
    );
    let share = EVENTS.unsigned_abs() / TENANTS.unsigned_abs();
    for (what, plan, days, moved) in [
        ("nothing to be moved before", "business", 365, 0),
        ("1 % to be moved before", "enterprise", 730, share),
    ] {
        audit.plan(plan, days).await?;
        for _ in 0..ROUNDS {
            let [commit, bare, drop, longest] = audit
                .round(moved)
                .await?
                .map(|took| took.as_secs_f64() * 1e3);
            println!(
                "{what:34} {commit:>8.1}ms {bare:>8.1}ms {drop:>8.1}ms {:>7.2} {:>7.2} {longest:>14.1}ms",
                drop / commit,
                drop / bare
            );
        }
    }
    tasks.cancel();
    audit.fleet.stop().await
}
