//! A database and a Redis of the test's own, and replicas of quota on them.

use std::ops::Deref;
use std::time::Duration;

use futures::future::join_all;
use sqlx::{Connection as _, PgConnection};
use tenantry_core::{Permission, Reason, TenantId};
use tenantry_proto::internal::data::v1::PurgeRequest;
use tenantry_proto::quota::v1::{
    ConsumeQuotaRequest, OverrideLimitRequest, Quota as WireQuota, QuotaDecision,
};
use tenantry_proto::registry::v1::{Plan, PlanLimit};
use tenantry_quota::Quota;
use tenantry_rpc::assertion::Claims;
use tenantry_runtime::Service as _;
use tenantry_testkit::caller::{member, operator};
use tenantry_testkit::cluster::Role;
use tenantry_testkit::database::TestDatabase;
use tenantry_testkit::keys::Keys;
use tenantry_testkit::redis::Redis;
use tenantry_testkit::redis_cluster::RedisCluster;
use tenantry_testkit::registry_double::RegistryDouble;
use tenantry_testkit::{paths, port};
use tonic::Status;

use super::{Owner, Process, Quotas, Replica};

/// What callers of the product may do.
const USE: &[Permission] = &[Permission::UsageRead, Permission::UsageRecord];

/// Which Redis.
#[derive(Debug)]
pub(crate) enum Kind {
    Alone(Box<Redis>),
    Cluster(RedisCluster),
}

impl Kind {
    pub(crate) async fn alone() -> Self {
        let dir = paths::scratch("redis").unwrap();
        let log = dir.join("redis.log");
        let redis = Redis::prepare(&dir.join("data"), port::free().unwrap(), &log).unwrap();
        redis.unit().start().await.unwrap();
        Self::Alone(Box::new(redis))
    }

    pub(crate) async fn cluster() -> Self {
        let dir = paths::scratch("redis-cluster").unwrap();
        Self::Cluster(RedisCluster::start(&dir, 3).await.unwrap())
    }

    fn urls(&self) -> Vec<String> {
        match self {
            Self::Alone(redis) => vec![redis.url()],
            Self::Cluster(cluster) => cluster.urls(),
        }
    }

    /// Each of its processes.
    pub(crate) fn nodes(&self) -> Vec<&Redis> {
        match self {
            Self::Alone(redis) => vec![redis],
            Self::Cluster(cluster) => cluster.nodes().iter().collect(),
        }
    }

    /// The Redis, where there is one alone.
    pub(crate) fn redis(&self) -> &Redis {
        match self {
            Self::Alone(redis) => redis,
            Self::Cluster(_) => panic!("a cluster"),
        }
    }
}

/// A database, a Redis, the keys of a fleet, and a first replica, which it stands for.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) database: TestDatabase,
    pub(crate) redis: Kind,
    pub(crate) registry: RegistryDouble,
    pub(crate) identity: Owner,
    keys: Keys,
    first: Replica,
}

impl Deref for World {
    type Target = Replica;

    fn deref(&self) -> &Replica {
        &self.first
    }
}

impl World {
    pub(crate) async fn start() -> Self {
        Self::with(Kind::alone().await).await
    }

    pub(crate) async fn with(redis: Kind) -> Self {
        let database = TestDatabase::migrated("quota", async |template: &TestDatabase| {
            let owner = template.url("quota", Role::Owner).as_str().parse()?;
            tenantry_store::migrate::run(&owner, Quota::migrations()).await
        })
        .await
        .unwrap();
        let keys = Keys::create(&paths::scratch("keys").unwrap()).unwrap();
        let plans = vec![
            plan(
                "basic",
                &[
                    ("users", 5, "never"),
                    ("api_calls", 1_000, "month"),
                    ("alerts", 10, "day"),
                ],
            ),
            plan(
                "small",
                &[("users", 2, "never"), ("api_calls", 100, "month")],
            ),
            plan("free_of_limits", &[]),
        ];
        let registry = RegistryDouble::start(plans).await.unwrap();
        let identity = Owner::start().await;
        let redis_urls = (&redis.urls()[..], true);
        let first = Replica::start(&database, &keys, &registry, &identity, redis_urls).await;
        Self {
            database,
            redis,
            registry,
            identity,
            keys,
            first,
        }
    }

    /// One more replica on the same database and Redis.
    pub(crate) async fn replica(&self) -> Replica {
        self.leasing(true).await
    }

    /// The same, which leases nothing.
    pub(crate) async fn replica_without_leases(&self) -> Replica {
        self.leasing(false).await
    }

    async fn leasing(&self, leases: bool) -> Replica {
        let redis = self.redis.urls();
        let redis = (&redis[..], leases);
        Replica::start(
            &self.database,
            &self.keys,
            &self.registry,
            &self.identity,
            redis,
        )
        .await
    }

    /// One more, as a process that can be killed.
    pub(crate) async fn process(&self) -> Process {
        Process::start(
            &self.database,
            &self.keys,
            &self.registry,
            &self.identity,
            &self.redis.urls(),
        )
        .await
    }

    /// A tenant on the plan `basic`.
    pub(crate) fn tenant(&self) -> TenantId {
        self.registry.add("acme", "basic", None)
    }

    /// A tenant with this limit on `api_calls`, in the day: it hardly ever ends while a test runs.
    pub(crate) async fn limited(&self, limit: i64) -> TenantId {
        let tenant = self.tenant();
        self.set(tenant, "api_calls", limit, "day").await;
        tenant
    }

    /// Sets a limit, as an operator.
    pub(crate) async fn set(
        &self,
        tenant: TenantId,
        resource_type: &str,
        limit: i64,
        period: &str,
    ) -> WireQuota {
        let request = OverrideLimitRequest {
            reset_period: period.to_owned(),
            ..to(tenant, resource_type, limit)
        };
        self.set_by(request).await.unwrap()
    }

    /// The same, with all that a request may say.
    pub(crate) async fn set_by(&self, request: OverrideLimitRequest) -> Result<WireQuota, Status> {
        let mut limits = self.limits(&operator());
        limits
            .override_limit(request)
            .await
            .map(tonic::Response::into_inner)
    }

    /// Has what there is of a tenant removed, as registry does.
    pub(crate) async fn purge(&self, tenant: TenantId) {
        let request = PurgeRequest {
            tenant_id: tenant.to_string(),
            request_id: "purge".to_owned(),
        };
        let mut data = self.data(&Claims::of_service("registry", "quota"));
        while !data.purge(request.clone()).await.unwrap().into_inner().done {}
    }

    /// A connection that sees every row.
    pub(crate) async fn owner(&self) -> PgConnection {
        let url = self.database.url("quota", Role::Owner);
        PgConnection::connect(url.as_str()).await.unwrap()
    }

    /// Claims of a program of the tenant.
    pub(crate) fn program(&self, tenant: TenantId) -> Claims {
        member(tenant, USE)
    }

    /// Uses so much of `api_calls`.
    pub(crate) async fn consume(
        &self,
        tenant: TenantId,
        amount: i64,
    ) -> Result<QuotaDecision, Status> {
        let mut quotas = self.quotas(&self.program(tenant));
        let request = using("api_calls", amount);
        quotas
            .consume_quota(request)
            .await
            .map(tonic::Response::into_inner)
    }
}

/// A client's pause before it sends again what nobody answered: nothing is awaited by it.
const ASKS_AGAIN_AFTER: Duration = Duration::from_millis(20);

/// Uses so much, as often as the replica has no place for the request: one that wasn't begun counts nothing. One under an id is sent
/// again too where nobody says what became of it, as the refusal asks.
pub(crate) async fn decided(
    quotas: &mut Quotas,
    request: ConsumeQuotaRequest,
) -> Result<QuotaDecision, Reason> {
    loop {
        match quotas.consume_quota(request.clone()).await {
            Ok(answer) => return Ok(answer.into_inner()),
            Err(refused) => match reason(&refused) {
                Reason::Overloaded => tokio::task::yield_now().await,
                Reason::Unavailable if !request.request_id.is_empty() => {
                    tokio::time::sleep(ASKS_AGAIN_AFTER).await;
                }
                refused => return Err(refused),
            },
        }
    }
}

/// Has so many call at once, in turn over these replicas; what each came to.
pub(crate) fn at_once<T, F, C>(
    replicas: &[&Replica],
    callers: usize,
    call: C,
) -> impl Future<Output = Vec<T>> + use<T, F, C>
where
    C: Fn(usize, &Replica) -> F,
    F: Future<Output = T> + Send + 'static,
    T: Send + 'static,
{
    let calls = (0..callers).map(|n| tokio::spawn(call(n, replicas[n % replicas.len()])));
    let calls = join_all(calls.collect::<Vec<_>>());
    async { calls.await.into_iter().map(Result::unwrap).collect() }
}

/// A request to use so much.
pub(crate) fn using(resource_type: &str, amount: i64) -> ConsumeQuotaRequest {
    ConsumeQuotaRequest {
        resource_type: resource_type.to_owned(),
        amount: Some(amount),
        ..Default::default()
    }
}

/// A request to set a limit.
pub(crate) fn to(tenant: TenantId, resource_type: &str, limit: i64) -> OverrideLimitRequest {
    OverrideLimitRequest {
        tenant: tenant.to_string(),
        resource_type: resource_type.to_owned(),
        limit: Some(limit),
        reason: "agreed with sales".to_owned(),
        ..Default::default()
    }
}

/// A plan with these limits: resource type, most, reset period.
pub(crate) fn plan(key: &str, limits: &[(&str, i64, &str)]) -> Plan {
    let limits = limits
        .iter()
        .map(|(resource_type, limit, period)| PlanLimit {
            resource_type: (*resource_type).to_owned(),
            limit: *limit,
            reset_period: (*period).to_owned(),
            policy: None,
        });
    Plan {
        key: key.to_owned(),
        project: "default".to_owned(),
        version: 1,
        retention_days: 30,
        limits: limits.collect(),
        ..Default::default()
    }
}

/// The reason of a refusal.
#[track_caller]
pub(crate) fn reason(status: &Status) -> Reason {
    let refusal = tenantry_rpc::status::refusal(status);
    refusal.unwrap_or_else(|| panic!("{status:?}")).reason
}
