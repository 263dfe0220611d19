//! The whole fleet on this machine: Postgres, Redis, replicas of each service, and Envoy in front of them.

mod config;
mod operator;
mod ports;
mod storage;
mod told;

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
use url::Url;

pub use self::config::{Database, FleetConfig, Progress};
pub use self::operator::{Operator, sign_in};
use self::ports::Ports;
use self::storage::database;
use self::told::environment;
use crate::cluster::{Cluster, SERVICES};
use crate::envoy::{Envoy, EnvoyConfig, Tls};
use crate::fault_proxy::FaultProxy;
use crate::keys::Keys;
use crate::mail::Post;
use crate::postgres::Postgres;
use crate::redis::Redis;
use crate::rest::Rest;
use crate::service::{self, Service};
use crate::unit::Unit;
use crate::wait::until;
use crate::{paths, port};

/// Longest wait until the gateway reports every service ready.
const READY_WITHIN: Duration = Duration::from_secs(60);

/// A running fleet. Dropping it kills every process of it.
#[derive(Debug)]
pub struct Fleet {
    dir: PathBuf,
    keys: Keys,
    gateway: SocketAddr,
    tls: Option<Tls>,
    envoy: Envoy,
    services: Vec<Service>,
    /// What the processes of each service are told.
    environments: BTreeMap<&'static str, BTreeMap<String, String>>,
    redis: Option<Redis>,
    redis_url: String,
    database_proxies: BTreeMap<&'static str, FaultProxy>,
    postgres: Option<Postgres>,
    cluster: Cluster,
    database: String,
    operator: Option<Operator>,
}

impl Fleet {
    /// Starts a fleet and returns when its gateway reports every service ready.
    ///
    /// # Errors
    /// When a program isn't installed or built, a port is taken, or a process doesn't get ready; the error quotes its
    /// log.
    pub async fn start(config: FleetConfig) -> Result<Self> {
        let mut fleet = Self::prepare(&config).await?;
        match fleet.launch(&config).await {
            Ok(()) => Ok(fleet),
            Err(error) => {
                fleet.stop().await?;
                Err(error)
            }
        }
    }

    /// Starts what is prepared.
    async fn launch(&mut self, config: &FleetConfig) -> Result<()> {
        let progress = &config.progress;
        progress("starting Redis, the services and Envoy");
        for unit in self.units().filter(|unit| unit.name() != "postgres") {
            unit.launch()?;
        }
        for unit in self.units() {
            unit.ready().await?;
            progress(&format!("{} is ready", unit.name()));
        }
        self.ready().await?;
        if config.bootstrap {
            progress("making the first operator");
            self.bootstrap().await?;
        }
        Ok(())
    }

    /// Brings up the database, migrates it, and prepares all else without starting it.
    async fn prepare(config: &FleetConfig) -> Result<Self> {
        let progress = &config.progress;
        let dir = match &config.dir {
            Some(dir) => dir.clone(),
            None => paths::scratch("fleet")?,
        };
        let logs = dir.join("logs");
        let mail = dir.join("mail");
        for dir in [&dir, &logs, &mail] {
            fs::create_dir_all(dir)
                .with_context(|| format!("can't make the folder {}", dir.display()))?;
        }
        let keys = Keys::create(&dir.join("keys"))?;
        let mut ports = Ports::load(config.dir.as_ref().map(|dir| dir.join("ports.json")));
        let gateway = port::local(match config.gateway_port {
            Some(port) => port,
            None => ports.take("gateway")?,
        });

        progress("starting Postgres");
        let (postgres, cluster, database) = database(config, &dir, &mut ports).await?;

        let mut database_proxies = BTreeMap::new();
        if config.database_proxies {
            let server = cluster.superuser_url(&database);
            let address = server
                .socket_addrs(|| Some(5432))?
                .first()
                .copied()
                .context("Postgres has no address")?;
            for service in SERVICES {
                database_proxies.insert(service, FaultProxy::start(address).await?);
            }
        }

        let (redis, redis_url) = match &config.external_redis {
            Some(url) => (None, url.to_string()),
            None => {
                let redis = Redis::prepare(
                    &dir.join("redis"),
                    ports.take("redis")?,
                    &logs.join("redis.log"),
                )?;
                let url = redis.url();
                (Some(redis), url)
            }
        };
        let mut addresses: BTreeMap<&'static str, Vec<SocketAddr>> = BTreeMap::new();
        for service in SERVICES {
            for replica in 0..config.replicas {
                addresses
                    .entry(service)
                    .or_default()
                    .push(port::local(ports.take(&format!("{service}-{replica}"))?));
            }
        }
        let scheme = if config.tls.is_some() {
            "https"
        } else {
            "http"
        };
        let public_url = format!("{scheme}://{gateway}/api/v1");
        let mut services = Vec::new();
        let mut migrations = Vec::new();
        let mut environments = BTreeMap::new();
        for service in SERVICES {
            let through = database_proxies.get(service).map(FaultProxy::address);
            let mut environment = environment(service, &keys, &cluster, &database, through)?;
            environment.insert(
                "TENANTRY_MAIL_URL".to_owned(),
                format!("file://{}", mail.display()),
            );
            environment.insert("TENANTRY_PUBLIC_URL".to_owned(), public_url.clone());
            environment.insert("TENANTRY_REDIS_URLS".to_owned(), redis_url.clone());
            for (other, addresses) in &addresses {
                let addresses: Vec<String> = addresses
                    .iter()
                    .map(|one| format!("http://{one}"))
                    .collect();
                let name = format!("TENANTRY_{}_ADDRS", other.to_uppercase());
                environment.insert(name, addresses.join(","));
            }
            if let Some(endpoint) = &config.otlp_endpoint {
                environment.insert("OTEL_EXPORTER_OTLP_ENDPOINT".to_owned(), endpoint.clone());
            }
            let further = config
                .service_environment
                .iter()
                .filter(|(name, ..)| *name == service);
            environment.extend(further.map(|(_, name, value)| ((*name).to_owned(), value.clone())));
            migrations.push(service::command(
                service,
                "migrate",
                &environment,
                &logs.join("migrate.log"),
            )?);
            for (replica, address) in addresses[service].iter().enumerate() {
                let metrics = port::local(ports.take(&format!("{service}-{replica}-metrics"))?);
                let log = logs.join(format!("{service}-{replica}.log"));
                services.push(Service::prepare(
                    service,
                    replica,
                    (*address, metrics),
                    &environment,
                    &log,
                )?);
            }
            environments.insert(service, environment);
        }
        progress("migrating the services' schemas");
        for migration in &migrations {
            migration.output().await?;
        }

        let envoy = EnvoyConfig {
            listen: gateway,
            admin: port::local(ports.take("envoy-admin")?),
            registry: addresses["registry"].clone(),
            identity: addresses["identity"].clone(),
            audit: addresses["audit"].clone(),
            quota: addresses["quota"].clone(),
            rate_limit_fails_closed: config.rate_limit_fails_closed,
            cors_origins: config.cors_origins.clone(),
            otlp_endpoint: config.otlp_endpoint.clone(),
            tls: config.tls.clone(),
            word_dir: keys.dir().to_owned(),
        };
        let envoy = Envoy::prepare(&dir.join("envoy"), &envoy, &logs.join("envoy.log"))?;
        Ok(Self {
            dir,
            keys,
            gateway,
            tls: config.tls.clone(),
            envoy,
            services,
            environments,
            redis,
            redis_url,
            database_proxies,
            postgres,
            cluster,
            database,
            operator: None,
        })
    }

    /// One more process of a service beside its replicas, that nobody is led to, with further environment: name, value. It is started
    /// by its unit.
    ///
    /// # Errors
    /// When there is no such service.
    pub fn beside(&self, service: &'static str, further: &[(&str, &str)]) -> Result<Service> {
        let environment = self.environments.get(service);
        let mut environment = environment.context("no such service")?.clone();
        for (name, value) in further {
            environment.insert((*name).to_owned(), (*value).to_owned());
        }
        let addresses = (port::local(port::free()?), port::local(port::free()?));
        let log = self.dir.join("logs").join(format!("{service}-beside.log"));
        Service::prepare(service, 0, addresses, &environment, &log)
    }

    /// Returns when the gateway reports every service ready.
    ///
    /// # Errors
    /// When it doesn't within a minute.
    pub async fn ready(&self) -> Result<()> {
        let rest = self.rest()?;
        let mut last = String::new();
        let ready = until("ready gateway", READY_WITHIN, async || {
            last = match rest.get("/readyz").await {
                Ok(answer) if answer.status == 200 => return Ok(Some(())),
                Ok(answer) => format!("{} {}", answer.status, answer.text),
                Err(error) => error.to_string(),
            };
            Ok(None)
        });
        ready
            .await
            .with_context(|| format!("{}/readyz: {last}", self.gateway()))
    }

    /// Makes the first operator, once in the life of a database.
    ///
    /// # Errors
    /// When there is one already.
    pub async fn bootstrap(&mut self) -> Result<&Operator> {
        let environment = environment("identity", &self.keys, &self.cluster, &self.database, None)?;
        let log = self.dir.join("logs/bootstrap-token.log");
        let token = service::command("identity", "bootstrap-token", &environment, &log)?
            .output()
            .await?;
        let operator = Operator::bootstrap(&self.rest()?, &token).await?;
        Ok(self.operator.insert(operator))
    }

    /// Takes an operator of an earlier run of the same database.
    pub fn set_operator(&mut self, operator: Operator) {
        self.operator = Some(operator);
    }

    /// The first operator.
    ///
    /// # Panics
    /// When the configuration asked for none.
    #[must_use]
    pub fn operator(&self) -> &Operator {
        self.operator
            .as_ref()
            .expect("the fleet was started with `bootstrap`")
    }

    /// Base URL of the gateway.
    #[must_use]
    pub fn gateway(&self) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.gateway)
    }

    /// Address of the gateway.
    #[must_use]
    pub fn gateway_address(&self) -> SocketAddr {
        self.gateway
    }

    /// A client of the gateway without a credential. Make one per test.
    ///
    /// # Errors
    /// When the client can't be built.
    pub fn rest(&self) -> Result<Rest> {
        match &self.tls {
            Some(tls) => Rest::trusting(self.gateway(), &fs::read(&tls.certificate)?),
            None => Rest::new(self.gateway()),
        }
    }

    /// A client of the gateway with the operator's API key.
    ///
    /// # Errors
    /// When the client can't be built.
    pub fn operator_rest(&self) -> Result<Rest> {
        Ok(self.rest()?.bearer(&self.operator().token))
    }

    /// The replicas of a service.
    pub fn replicas(&self, service: &str) -> impl Iterator<Item = &Service> {
        self.services
            .iter()
            .filter(move |replica| replica.name() == service)
    }

    /// One replica of a service.
    ///
    /// # Panics
    /// When there is no such replica.
    #[must_use]
    pub fn service(&self, service: &str, replica: usize) -> &Service {
        self.replicas(service)
            .nth(replica)
            .expect("a replica that the fleet was started with")
    }

    /// All replicas of all services.
    #[must_use]
    pub fn services(&self) -> &[Service] {
        &self.services
    }

    /// The gateway's process.
    #[must_use]
    pub fn envoy(&self) -> &Envoy {
        &self.envoy
    }

    /// The fleet's own Postgres, where it has one.
    #[must_use]
    pub fn postgres(&self) -> Option<&Postgres> {
        self.postgres.as_ref()
    }

    /// The Postgres server.
    #[must_use]
    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// Name of the fleet's database.
    #[must_use]
    pub fn database(&self) -> &str {
        &self.database
    }

    /// URL of the database for the superuser, to look behind the services' backs.
    #[must_use]
    pub fn superuser_url(&self) -> Url {
        self.cluster.superuser_url(&self.database)
    }

    /// The fleet's own Redis, where it has one.
    #[must_use]
    pub fn redis(&self) -> Option<&Redis> {
        self.redis.as_ref()
    }

    /// URL of Redis.
    #[must_use]
    pub fn redis_url(&self) -> &str {
        &self.redis_url
    }

    /// The proxy between a service and Postgres.
    ///
    /// # Panics
    /// When the configuration asked for none.
    #[must_use]
    pub fn database_proxy(&self, service: &str) -> &FaultProxy {
        self.database_proxies
            .get(service)
            .expect("the fleet was started with `database_proxies`")
    }

    /// The fleet's keys.
    #[must_use]
    pub fn keys(&self) -> &Keys {
        &self.keys
    }

    /// Folder of the fleet's files: `keys`, `logs`, `mail`.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The mails that the fleet sent.
    #[must_use]
    pub fn post(&self) -> Post {
        Post::new(self.dir.join("mail"))
    }

    /// Every process of the fleet, in the order of their start.
    pub fn units(&self) -> impl Iterator<Item = &Unit> {
        let postgres = self.postgres.iter().map(Postgres::unit);
        let redis = self.redis.iter().map(Redis::unit);
        postgres
            .chain(redis)
            .chain(self.services.iter().map(Service::unit))
            .chain([self.envoy.unit()])
    }

    /// Ends every process, the gateway first and Postgres last; returns when they are gone.
    ///
    /// # Errors
    /// When one survives even kill -9.
    pub async fn stop(&self) -> Result<()> {
        let units: Vec<&Unit> = self.units().collect();
        for unit in units.into_iter().rev() {
            unit.stop().await?;
        }
        Ok(())
    }
}
