//! The pools of one service: one as the application's role, a small one as the platform's, and a smaller one for the feed.

use std::time::Duration;

use sqlx::PgPool;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use tenantry_core::TenantId;
use tenantry_core::seal::Sealer;

use crate::across::AcrossTx;
use crate::error::Error;
use crate::tx::{Mode, PlatformTx, Statements, TenantTx};

/// How to reach a service's schema.
#[derive(Clone, Debug)]
pub struct PoolConfig {
    /// Connection of the role `<service>_app`.
    pub app: PgConnectOptions,
    /// Connection of the role `<service>_platform`.
    pub platform: PgConnectOptions,
    /// Most connections of the application's pool.
    pub app_connections: u32,
    /// Most connections of the platform's pool.
    pub platform_connections: u32,
    /// Prepared statements kept per connection; 0 behind a PgBouncer that knows none (before 1.21).
    pub statement_cache: usize,
}

/// Longest wait for a connection of a pool before the request is refused as unavailable.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);

/// Most connections that the feed has to itself, so that lists and look-ups can't hold it up.
const FEED_CONNECTIONS: u32 = 2;
/// Connections that hand events to the log: one holds its transaction open while the log is asked.
const RELAY_CONNECTIONS: u32 = 1;
/// Most connections for changes of several tenants. They wait for others who, while they hold what is waited for, need a
/// connection of the platform's pool: so they take none of those.
const ACROSS_CONNECTIONS: u32 = 2;

/// The store of one service. A tenant's rows are reached through [`Store::begin`] only; [`Store::platform`] is the other
/// door, and its call sites are a golden list.
#[derive(Clone, Debug)]
pub struct Store {
    app: PgPool,
    platform: PgPool,
    feed: PgPool,
    across: PgPool,
    relay: PgPool,
    statements: Statements,
    sealer: Sealer,
}

impl Store {
    /// Pools that connect when first used.
    #[must_use]
    pub fn new(config: PoolConfig, sealer: Sealer) -> Self {
        let pool = |options: PgConnectOptions, most: u32| {
            pool(
                options.statement_cache_capacity(config.statement_cache),
                most,
            )
        };
        Self {
            app: pool(config.app, config.app_connections),
            platform: pool(config.platform.clone(), config.platform_connections),
            feed: pool(config.platform.clone(), FEED_CONNECTIONS),
            across: pool(config.platform.clone(), ACROSS_CONNECTIONS),
            relay: pool(config.platform, RELAY_CONNECTIONS),
            statements: if config.statement_cache == 0 {
                Statements::Forgotten
            } else {
                Statements::Kept
            },
            sealer,
        }
    }

    /// Begins a transaction in a tenant's scope; [`TenantId::PLATFORM`] is the scope of what belongs to no tenant.
    ///
    /// # Errors
    /// The database doesn't answer.
    pub async fn begin(&self, scope: TenantId) -> Result<TenantTx, Error> {
        self.begin_as(scope, Mode::ReadWrite).await
    }

    /// Begins a transaction that can turn from one tenant to one other and back: for what moves between the two. Row-level
    /// security shows it one of them at a time; that the caller may act in both was decided before.
    ///
    /// # Errors
    /// The database doesn't answer.
    pub async fn begin_between(
        &self,
        scope: TenantId,
        partner: TenantId,
    ) -> Result<TenantTx, Error> {
        Ok(self.begin(scope).await?.with_partner(partner))
    }

    /// Begins a transaction in a tenant's scope that can only read.
    ///
    /// # Errors
    /// The database doesn't answer.
    pub async fn read(&self, scope: TenantId) -> Result<TenantTx, Error> {
        self.begin_as(scope, Mode::ReadOnly).await
    }

    async fn begin_as(&self, scope: TenantId, mode: Mode) -> Result<TenantTx, Error> {
        TenantTx::begin(&self.app, scope, self.sealer.clone(), mode, self.statements).await
    }

    /// Begins a transaction that sees every tenant.
    ///
    /// # Errors
    /// The database doesn't answer.
    pub async fn platform(&self) -> Result<PlatformTx, Error> {
        PlatformTx::begin(&self.platform, self.statements).await
    }

    /// Begins a transaction that changes several tenants, and claims its request id in the scope of this one.
    ///
    /// # Errors
    /// The database doesn't answer.
    pub async fn across(&self, scope: TenantId) -> Result<AcrossTx, Error> {
        let (sealer, mode) = (self.sealer.clone(), Mode::ReadWrite);
        let tx = TenantTx::begin(&self.across, scope, sealer, mode, self.statements).await?;
        Ok(AcrossTx(tx))
    }

    /// The same store, with connections of its own for what a worker reads and changes as the platform's role: lists and look-ups,
    /// which have the others, can't hold it up.
    #[must_use]
    pub fn apart(&self, connections: u32) -> Self {
        let apart = |of: &PgPool| pool(PgConnectOptions::clone(&of.connect_options()), connections);
        Self {
            platform: apart(&self.platform),
            across: apart(&self.across),
            ..self.clone()
        }
    }

    /// The same store, for the feed's own work: what it does as the platform's role has connections of its own.
    pub(crate) fn for_feed(&self) -> Self {
        Self {
            platform: self.feed.clone(),
            ..self.clone()
        }
    }

    /// The same store, for the relay, whose work as the platform's role has a connection of its own.
    pub(crate) fn for_relay(&self) -> Self {
        Self {
            platform: self.relay.clone(),
            ..self.clone()
        }
    }

    /// Asks both pools of requests for a sign of life, for readiness.
    ///
    /// # Errors
    /// The database doesn't answer.
    pub async fn ping(&self) -> Result<(), Error> {
        // Outside a transaction, so in one message each: a pooler may part two.
        sqlx::raw_sql("SELECT 1").execute(&self.app).await?;
        sqlx::raw_sql("SELECT 1").execute(&self.platform).await?;
        Ok(())
    }

    /// The service's sealer, for page and resume tokens.
    #[must_use]
    pub const fn sealer(&self) -> &Sealer {
        &self.sealer
    }

    /// Closes all pools, once nothing needs them.
    pub async fn close(&self) {
        self.app.close().await;
        self.platform.close().await;
        self.feed.close().await;
        self.across.close().await;
        self.relay.close().await;
    }
}

/// A pool that connects when first used.
fn pool(options: PgConnectOptions, most: u32) -> PgPool {
    PgPoolOptions::new()
        .max_connections(most)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .connect_lazy_with(options)
}
