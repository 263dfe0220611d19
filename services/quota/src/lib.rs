//! Quota: how much a tenant may use, and how much it does. What it admits is exact, over any number of replicas and through
//! crashes: a ledger in Postgres grants, and counters in Redis spend what was granted.

// A decision is one future from the handler to Redis and Postgres: laid out for a release it nests deeper than 128.
#![recursion_limit = "256"]

mod app;
mod config;
mod convert;
mod domain;
mod error;
mod service;
mod store;

use std::sync::Arc;

use anyhow::Context as _;
use sqlx::migrate::Migrator;
use tenantry_counter::Counters;
use tenantry_proto::envoy::service::ratelimit::v3::rate_limit_service_server::RateLimitServiceServer;
use tenantry_proto::internal::quota::v1::figure_service_server::FigureServiceServer;
use tenantry_proto::internal::quota::v1::hold_service_server::HoldServiceServer;
use tenantry_proto::quota::v1::health_service_server::HealthServiceServer;
use tenantry_proto::quota::v1::limit_service_server::LimitServiceServer;
use tenantry_proto::quota::v1::quota_service_server::QuotaServiceServer;
use tenantry_proto::quota::v1::reservation_service_server::ReservationServiceServer;
use tenantry_proto::quota::v1::usage_event_service_server::UsageEventServiceServer;
use tenantry_proto::quota::v1::usage_service_server::UsageServiceServer;
use tenantry_rpc::revocations::Revocations;
use tenantry_rpc::tenant_data;
use tenantry_rpc::tenant_stream::TenantStreams;
use tenantry_rpc::tenants::{Follower, Lookup, Tenants, View};
use tenantry_runtime::{NoCommands, Runtime, Service};
use tenantry_store::feed::Tail;
use tonic::service::Routes;

pub use app::TENANT_TABLES;
pub use config::{Config, RedisUrl};

/// The quota service.
#[derive(Debug)]
pub struct Quota;

impl Service for Quota {
    const NAME: &'static str = app::OWN;
    const ABOUT: &'static str =
        "Tenantry's quota: how much a tenant may use, decided exactly and fast";
    type Config = Config;
    type Command = NoCommands;

    fn migrations() -> Migrator {
        sqlx::migrate!()
    }

    async fn start(config: Config, runtime: &Runtime) -> anyhow::Result<Routes> {
        let registry = runtime.replicas(Self::NAME, "registry", &config.registry_addrs)?;
        let identity = runtime.replicas(Self::NAME, "identity", &config.identity_addrs)?;
        let view = Arc::new(View::default());
        let follower = Follower::new(&registry, Arc::clone(&view));
        let tasks = &runtime.tasks;
        tasks.keep("tenants", follower.run(tasks.token()));
        let tenants = Tenants::new(view, Lookup::new(&registry), config.freshness_grace());
        let revocations = Revocations::follow(&identity, config.freshness_grace(), tasks);
        let streams = TenantStreams::new(tenants.clone(), revocations, tasks.token());
        let counters = counters(&config).await.context("TENANTRY_REDIS_URLS")?;
        let (tail, fill) = Tail::new(runtime.store.clone(), tasks.token());
        tasks.keep("feed", fill);
        let overrides = app::Overrides::start(runtime.store.clone(), tail, tasks)
            .await
            .context("the overrides can't be read; was `migrate` run?")?;
        let app = app::App::new(
            runtime.store.clone(),
            tenants,
            overrides,
            counters,
            (streams, identity),
            &config,
            tasks,
        );
        tasks.keep(
            "ends of overrides",
            Arc::clone(&app).end_overrides(tasks.token()),
        );
        let expire = Arc::clone(&app).expire_reservations(tasks.token());
        tasks.keep("ends of reservations", expire);
        let settle_doubts = Arc::clone(&app).settle_doubts(tasks.token());
        tasks.keep("doubtful holds", settle_doubts);
        let log = Arc::clone(&app).log_requests(tasks.token());
        tasks.keep("requests in the log", log);
        let settle = Arc::clone(&app).settle_accounts(tasks.token());
        tasks.keep("settling of accounts", settle);
        Ok(Routes::new(tenant_data::server(Arc::clone(&app)))
            .add_service(HoldServiceServer::new(service::holds::Holds(Arc::clone(
                &app,
            ))))
            .add_service(FigureServiceServer::new(service::figures::Figures(
                Arc::clone(&app),
            )))
            .add_service(LimitServiceServer::new(service::limits::Limits(
                Arc::clone(&app),
            )))
            .add_service(RateLimitServiceServer::new(
                service::rate_limit::RateLimits(Arc::clone(&app)),
            ))
            .add_service(ReservationServiceServer::new(
                service::reservations::Reservations(Arc::clone(&app)),
            ))
            .add_service(UsageEventServiceServer::new(
                service::usage_events::UsageEvents(Arc::clone(&app)),
            ))
            .add_service(HealthServiceServer::new(service::health::Healths(
                Arc::clone(&app),
            )))
            .add_service(UsageServiceServer::new(service::usage::Usages(Arc::clone(
                &app,
            ))))
            .add_service(QuotaServiceServer::new(service::quota::Quotas(app))))
    }

    async fn command(command: NoCommands) -> anyhow::Result<()> {
        match command {}
    }
}

async fn counters(config: &Config) -> anyhow::Result<Counters> {
    let urls: Vec<_> = config.redis_urls.iter().map(|url| url.0.clone()).collect();
    let within = config.redis_timeout();
    Ok(match (config.redis_cluster, &urls[..]) {
        (true, urls) => Counters::cluster(urls, within).await?,
        (false, [url]) => Counters::alone(url, within)?,
        (false, _) => anyhow::bail!(
            "names several; set TENANTRY_REDIS_CLUSTER=true for a cluster, or name one"
        ),
    })
}
