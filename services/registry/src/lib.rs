//! Registry: who the tenants are. Projects, tenants and their tree, the plan catalogue, and the feed that everyone follows.

mod app;
mod config;
mod convert;
mod domain;
mod error;
mod feed;
mod service;
mod store;

use std::sync::Arc;

use anyhow::Context as _;
use sqlx::migrate::Migrator;
use tenantry_proto::internal::registry::v1::tenant_feed_service_server::TenantFeedServiceServer;
use tenantry_proto::registry::v1::plan_service_server::PlanServiceServer;
use tenantry_proto::registry::v1::project_service_server::ProjectServiceServer;
use tenantry_proto::registry::v1::tenant_service_server::TenantServiceServer;
use tenantry_rpc::client::{CallAs, Replicas};
use tenantry_rpc::revocations::Revocations;
use tenantry_runtime::{NoCommands, Runtime, Service};
use tenantry_store::feed::Tail;
use tonic::service::Routes;

pub use config::Config;

/// The registry service.
#[derive(Debug)]
pub struct Registry;

impl Service for Registry {
    const NAME: &'static str = "registry";
    const ABOUT: &'static str = "Tenantry's registry: projects, tenants and plans";
    type Config = Config;
    type Command = NoCommands;

    fn migrations() -> Migrator {
        sqlx::migrate!()
    }

    async fn start(config: Config, runtime: &Runtime) -> anyhow::Result<Routes> {
        let plans = std::fs::read_to_string(&config.plans_file).with_context(|| {
            format!(
                "can't read the plan catalogue {}",
                config.plans_file.display()
            )
        })?;
        let plans = Arc::new(domain::plan::Catalogue::parse(&plans).map_err(|why| {
            anyhow::anyhow!(
                "the plan catalogue {} can't be used: {why}",
                config.plans_file.display()
            )
        })?);
        let (tail, fill) = Tail::new(runtime.store.clone(), runtime.tasks.token());
        runtime.tasks.spawn("feed", fill);
        let call_as = CallAs::new(runtime.service_keys.clone(), Self::NAME, "identity");
        let identity = Replicas::new(&config.identity_addrs, call_as)
            .map_err(|why| anyhow::anyhow!("TENANTRY_IDENTITY_ADDRS: {why}"))?;
        let revocations = Revocations::follow(&identity, config.freshness_grace(), &runtime.tasks);
        let feed = feed::Feed::new(
            runtime.store.clone(),
            tail,
            runtime.tasks.clone(),
            revocations,
        );
        let app = app::App::new(runtime.store.clone(), plans, identity);
        Ok(
            Routes::new(TenantServiceServer::new(service::tenants::Tenants::new(
                app.clone(),
                feed.clone(),
            )))
            .add_service(ProjectServiceServer::new(service::projects::Projects::new(
                app.clone(),
            )))
            .add_service(PlanServiceServer::new(service::plans::Plans::new(
                app.clone(),
            )))
            .add_service(TenantFeedServiceServer::new(
                service::tenant_feed::TenantFeed::new(app, feed),
            )),
        )
    }

    async fn command(command: NoCommands) -> anyhow::Result<()> {
        match command {}
    }
}
