//! What every service's `main` calls once: command line, telemetry, the server with health and the one stack, background
//! work, and an orderly end.

mod attempts;
pub mod config;
mod relay;
mod serve;
mod telemetry;

use std::process::ExitCode;

use anyhow::Context as _;
use clap::error::{ContextKind, ContextValue};
use clap::{Parser, Subcommand};
use sqlx::migrate::Migrator;
use tenantry_core::seal::Sealer;
use tenantry_rpc::Tasks;
use tenantry_rpc::client::{CallAs, Replicas};
use tenantry_rpc::keys::{KeyRing, Trust};
use tenantry_rpc::watched::Watched;
use tenantry_store::Store;
use tonic::service::Routes;

pub use attempts::StoredAttempts;
pub use config::Shared;

/// Small requests are mostly allocations: glibc's take a tenth of the gateway's question.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// One service of the fleet.
pub trait Service {
    /// Its name, which is also that of its schema, its roles and its assertions.
    const NAME: &'static str;
    /// One sentence for `--help`.
    const ABOUT: &'static str;
    /// Its own part of the configuration.
    type Config: clap::Args + Send;
    /// Its own subcommands, [`NoCommands`] for none.
    type Command: Subcommand + Send;

    /// Its migrations.
    fn migrations() -> Migrator;

    /// Starts its background work and returns what it serves.
    fn start(
        config: Self::Config,
        runtime: &Runtime,
    ) -> impl Future<Output = anyhow::Result<Routes>> + Send;

    /// Runs one of its own subcommands.
    fn command(command: Self::Command) -> impl Future<Output = anyhow::Result<()>> + Send;
}

/// The subcommands of a service that has none of its own.
#[derive(Debug, Subcommand)]
pub enum NoCommands {}

/// What a starting service finds ready.
#[derive(Debug)]
pub struct Runtime {
    /// Its store.
    pub store: Store,
    /// Where its background work is spawned.
    pub tasks: Tasks,
    /// Where refused attempts are told and counted.
    pub attempts: StoredAttempts,
    /// Whom it trusts.
    pub trust: Watched<Trust>,
    /// The keys of its own assertions to other services.
    pub service_keys: Watched<KeyRing>,
    /// Audit, which takes its events.
    pub audit: Replicas,
}

impl Runtime {
    /// The replicas of another service, to call as the service of this name.
    ///
    /// # Errors
    /// An address is none; the error names the variable that it is from.
    pub fn replicas(
        &self,
        own: &'static str,
        called: &'static str,
        addresses: &[String],
    ) -> anyhow::Result<Replicas> {
        replicas(&self.service_keys, own, called, addresses)
    }
}

fn replicas(
    keys: &Watched<KeyRing>,
    own: &'static str,
    called: &'static str,
    addresses: &[String],
) -> anyhow::Result<Replicas> {
    Replicas::new(addresses, CallAs::new(keys.clone(), own, called)).map_err(|why| {
        let variable = called.to_uppercase();
        anyhow::anyhow!("TENANTRY_{variable}_ADDRS: {why}")
    })
}

#[derive(Parser)]
#[command(version)]
struct Cli<S: Service> {
    #[command(subcommand)]
    command: Command<S>,
}

#[derive(Subcommand)]
#[allow(clippy::large_enum_variant)] // Read once per process.
enum Command<S: Service> {
    /// Serve requests until SIGTERM or Ctrl-C
    Serve {
        #[command(flatten)]
        shared: Box<Shared>,
        #[command(flatten)]
        own: Box<S::Config>,
    },
    /// Bring the schema up to date, then exit
    Migrate(config::Migrate),
    #[command(flatten)]
    Own(S::Command),
}

/// The whole life of a service's process.
#[must_use]
pub fn main<S: Service>() -> ExitCode {
    let command = Cli::<S>::command_for(S::NAME, S::ABOUT);
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("{}: can't start threads: {error}", S::NAME);
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(run::<S>(command)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(error = format!("{error:#}"), "stopped");
            eprintln!("{}: {error:#}", S::NAME);
            ExitCode::FAILURE
        }
    }
}

impl<S: Service> Cli<S> {
    fn command_for(name: &'static str, about: &'static str) -> Command<S> {
        use clap::{CommandFactory as _, FromArgMatches as _};
        let mut command = Self::command().name(name).about(about);
        command.build();
        let matches = command.clone().try_get_matches();
        match matches.and_then(|matches| Self::from_arg_matches(&matches)) {
            Ok(cli) => cli.command,
            Err(error) => without_secret(&command, error).exit(),
        }
    }
}

/// The error without the value that it is about, where that is one that `--help` doesn't show either.
fn without_secret(command: &clap::Command, mut error: clap::Error) -> clap::Error {
    let hides = match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::String(named)) => command
            .get_subcommands()
            .flat_map(clap::Command::get_arguments)
            .any(|arg| arg.is_hide_env_values_set() && arg.to_string() == *named),
        _ => false,
    };
    if hides {
        let hidden = ContextValue::String("(hidden)".to_owned());
        error.insert(ContextKind::InvalidValue, hidden);
    }
    error
}

async fn run<S: Service>(command: Command<S>) -> anyhow::Result<()> {
    match command {
        Command::Migrate(migrate) => {
            tenantry_store::migrate::run(&migrate.owner_database_url.0, S::migrations())
                .await
                .context("the migration failed; nothing of the failed step is in the database")
        }
        Command::Own(command) => S::command(command).await,
        Command::Serve { shared, own } => {
            let telemetry = telemetry::start(S::NAME, &shared)?;
            let runtime = runtime(S::NAME, &shared)?;
            let routes = S::start(*own, &runtime).await?;
            relay::start(&runtime);
            let served = serve::until_ended(S::NAME, &shared, &runtime, routes).await;
            runtime.store.close().await;
            telemetry.end();
            served
        }
    }
}

fn runtime(name: &'static str, shared: &Shared) -> anyhow::Result<Runtime> {
    let tasks = Tasks::new();
    let file = |problem: String| anyhow::anyhow!(problem);
    let trust = Watched::open(shared.trust_file.clone(), &tasks, Trust::parse).map_err(file)?;
    let service_keys =
        Watched::open(shared.service_key_file.clone(), &tasks, KeyRing::parse).map_err(file)?;
    let seal_key = std::fs::read_to_string(&shared.seal_key_file)
        .with_context(|| format!("can't read {}", shared.seal_key_file.display()))?;
    let sealer = Sealer::parse(&seal_key).with_context(|| {
        format!(
            "{} must hold 32 bytes in base64url",
            shared.seal_key_file.display()
        )
    })?;
    let audit = replicas(&service_keys, name, relay::AUDIT, &shared.audit_addrs)?;
    let store = Store::new(shared.pools(), sealer);
    Ok(Runtime {
        attempts: StoredAttempts::start(store.clone(), &tasks),
        store,
        tasks,
        trust,
        service_keys,
        audit,
    })
}
