//! Audit: what happened. It takes the events of every service into a log that outsiders can check, and gives them to read.

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
use tenantry_proto::audit::v1::audit_event_service_server::AuditEventServiceServer;
use tenantry_proto::audit::v1::audit_export_service_server::AuditExportServiceServer;
use tenantry_proto::audit::v1::audit_log_service_server::AuditLogServiceServer;
use tenantry_proto::audit::v1::audit_source_service_server::AuditSourceServiceServer;
use tenantry_proto::internal::audit::v1::append_service_server::AppendServiceServer;
use tenantry_rpc::revocations::Revocations;
use tenantry_rpc::tenant_data;
use tenantry_rpc::tenant_stream::TenantStreams;
use tenantry_rpc::tenants::{Follower, Lookup, Tenants, View};
use tenantry_rpc::watched::Watched;
use tenantry_runtime::{NoCommands, Runtime, Service};
use tenantry_transparency::Signers;
use tonic::service::Routes;

pub use app::{Retention, Retired, TENANT_TABLES};
pub use config::Config;

/// Largest batch that a service appends at once, in bytes.
const MAX_APPEND_BYTES: usize = 16 << 20;

/// The audit service.
#[derive(Debug)]
pub struct Audit;

impl Service for Audit {
    const NAME: &'static str = app::append::OWN;
    const ABOUT: &'static str = "Tenantry's audit: the log of what happened, provable to outsiders";
    type Config = Config;
    type Command = NoCommands;

    fn migrations() -> Migrator {
        sqlx::migrate!()
    }

    async fn start(config: Config, runtime: &Runtime) -> anyhow::Result<Routes> {
        let registry = runtime.replicas(Self::NAME, "registry", &config.registry_addrs)?;
        let identity = runtime.replicas(Self::NAME, "identity", &config.identity_addrs)?;
        let grace = config.freshness_grace();
        let view = Arc::new(View::default());
        let follower = Follower::new(&registry, Arc::clone(&view));
        let tasks = &runtime.tasks;
        tasks.keep("tenants", follower.run(tasks.token()));
        let revocations = Revocations::follow(&identity, grace, tasks);
        let parse = |file: &str| Signers::parse(file).map_err(|why| why.to_string());
        let signers = Watched::open(config.log_key_file.clone(), tasks, parse);
        let signers = signers.map_err(|why| anyhow::anyhow!("TENANTRY_LOG_KEY_FILE: {why}"))?;
        let tenants = Tenants::new(view, Lookup::new(&registry), grace);
        let app = app::App::new(
            runtime.store.clone(),
            tenants.clone(),
            TenantStreams::new(tenants.clone(), revocations, tasks.token()),
            signers,
            tasks.clone(),
        );
        app.ensure_partitions()
            .await
            .context("no partitions can be made for the events to come; was `migrate` run?")?;
        let partitions = Arc::clone(&app).look_after_partitions(tasks.token());
        tasks.keep("partitions", partitions);
        let retention = Retention::new(&runtime.store, tenants);
        tasks.keep("retention", retention.look_after(tasks.token()));
        let head = app.head().await.context("the log can't be read")?;
        tasks.keep(
            "growth",
            Arc::clone(&app).look_for_growth(head, tasks.token()),
        );
        let signing = app::Signing::new(Arc::clone(&app), config.checkpoint_after());
        tasks.keep("checkpoints", signing.run(tasks.token()));
        tasks.keep("search", Arc::clone(&app).keep_searchable(tasks.token()));
        let append = AppendServiceServer::new(service::append::Append(Arc::clone(&app)));
        Ok(
            Routes::new(append.max_decoding_message_size(MAX_APPEND_BYTES))
                .add_service(AuditSourceServiceServer::new(service::sources::Sources(
                    Arc::clone(&app),
                )))
                .add_service(AuditLogServiceServer::new(service::logs::Logs(Arc::clone(
                    &app,
                ))))
                .add_service(tenant_data::server(Arc::clone(&app)))
                .add_service(AuditExportServiceServer::new(service::export::Export(
                    Arc::clone(&app),
                )))
                .add_service(AuditEventServiceServer::new(service::events::Events(app))),
        )
    }

    async fn command(command: NoCommands) -> anyhow::Result<()> {
        match command {}
    }
}
