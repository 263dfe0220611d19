//! Registry: who the tenants are. Projects, tenants and their tree, the plan catalogue, and the feed that everyone follows.

mod app;
mod config;
mod convert;
mod dns;
mod domain;
mod error;
mod feed;
mod service;
mod store;

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use sqlx::migrate::Migrator;
use tenantry_proto::internal::registry::v1::sign_up_service_server::SignUpServiceServer;
use tenantry_proto::internal::registry::v1::tenant_feed_service_server::TenantFeedServiceServer;
use tenantry_proto::registry::v1::domain_service_server::DomainServiceServer;
use tenantry_proto::registry::v1::legal_hold_service_server::LegalHoldServiceServer;
use tenantry_proto::registry::v1::plan_service_server::PlanServiceServer;
use tenantry_proto::registry::v1::project_service_server::ProjectServiceServer;
use tenantry_proto::registry::v1::subscription_service_server::SubscriptionServiceServer;
use tenantry_proto::registry::v1::tenant_import_service_server::TenantImportServiceServer;
use tenantry_proto::registry::v1::tenant_service_server::TenantServiceServer;
use tenantry_rpc::revocations::Revocations;
use tenantry_runtime::{NoCommands, Runtime, Service};
use tenantry_store::feed::Tail;
use tonic::service::Routes;

pub use config::Config;
use domain::plan::Catalogue;
pub use store::purges::TENANT_TABLES;

/// The registry service.
#[derive(Debug)]
pub struct Registry;

impl Service for Registry {
    const NAME: &'static str = domain::OWN;
    const ABOUT: &'static str = "Tenantry's registry: projects, tenants and plans";
    type Config = Config;
    type Command = NoCommands;

    fn migrations() -> Migrator {
        sqlx::migrate!()
    }

    async fn start(config: Config, runtime: &Runtime) -> anyhow::Result<Routes> {
        let catalogue = Arc::new(read_catalogue(&config.plans_file)?);
        let (tail, fill) = Tail::new(runtime.store.clone(), runtime.tasks.token());
        runtime.tasks.keep("feed", fill);
        let identity = runtime.replicas(Self::NAME, "identity", &config.identity_addrs)?;
        let quota = runtime.replicas(Self::NAME, "quota", &config.quota_addrs)?;
        let revocations = Revocations::follow(&identity, config.freshness_grace(), &runtime.tasks);
        let feed = feed::Feed::new(
            runtime.store.clone(),
            tail,
            runtime.tasks.clone(),
            revocations,
        );
        let resolver = dns::Resolver::new(&config.dns_servers)?;
        let base_domain = config.base_domain.unwrap_or_default().to_ascii_lowercase();
        let app = app::App::new(
            runtime.store.clone(),
            catalogue,
            [identity, runtime.audit.clone(), quota],
            resolver,
            base_domain,
        );
        app.load_catalogue()
            .await
            .context("the plan catalogue can't be loaded into the database; was `migrate` run?")?;
        runtime.tasks.keep(
            "ends of trials",
            app.clone().end_trials(runtime.tasks.token()),
        );
        runtime.tasks.keep(
            "domains",
            app.clone().look_after_domains(runtime.tasks.clone()),
        );
        let purges = app.clone().work_purges_off(runtime.tasks.clone());
        runtime.tasks.keep("purges", purges);
        let imports = app.clone().work_imports_off(runtime.tasks.clone());
        runtime.tasks.keep("imports", imports);
        Ok(
            Routes::new(TenantServiceServer::new(service::tenants::Tenants::new(
                app.clone(),
                feed.clone(),
            )))
            .add_service(ProjectServiceServer::new(service::projects::Projects::new(
                app.clone(),
            )))
            .add_service(DomainServiceServer::new(service::domains::Domains::new(
                app.clone(),
            )))
            .add_service(PlanServiceServer::new(service::plans::Plans::new(
                app.clone(),
            )))
            .add_service(SubscriptionServiceServer::new(
                service::subscriptions::Subscriptions::new(app.clone()),
            ))
            .add_service(LegalHoldServiceServer::new(
                service::legal_holds::LegalHolds::new(app.clone()),
            ))
            .add_service(SignUpServiceServer::new(service::sign_up::SignUps::new(
                app.clone(),
            )))
            .add_service(TenantImportServiceServer::new(
                service::tenant_imports::TenantImports::new(app.clone()),
            ))
            .add_service(TenantFeedServiceServer::new(
                service::tenant_feed::TenantFeed::new(app, feed),
            )),
        )
    }

    async fn command(command: NoCommands) -> anyhow::Result<()> {
        match command {}
    }
}

fn read_catalogue(file: &Path) -> anyhow::Result<Catalogue> {
    let text = std::fs::read_to_string(file)
        .with_context(|| format!("can't read the plan catalogue {}", file.display()))?;
    Catalogue::parse(&text).map_err(|why| {
        anyhow::anyhow!("the plan catalogue {} can't be used: {why}", file.display())
    })
}
