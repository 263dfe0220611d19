//! What the tests share: one fleet of two replicas behind one gateway, tenants of their own, and calls by descriptor.

pub mod checkpoints;
pub mod dynamic;
pub mod external;
pub mod insist;
pub mod log;
pub mod raw;
pub mod served;
pub mod traces;
pub mod watch;
pub mod world;

use std::ops::Deref;
use std::sync::OnceLock;

use anyhow::Result;
use tenantry_testkit::dns::DnsServer;
use tenantry_testkit::fleet::{Fleet, FleetConfig};
use tokio::sync::{OnceCell, Semaphore, SemaphorePermit};

/// The fleet that all tests share which neither kill nor reconfigure it: two replicas of each service. It ends with the
/// process.
pub async fn fleet() -> Result<&'static Fleet> {
    static FLEET: OnceCell<Fleet> = OnceCell::const_new();
    let start = async || {
        Fleet::start(FleetConfig {
            service_environment: vec![(
                "registry",
                "TENANTRY_DNS_SERVERS",
                dns()?.address().to_string(),
            )],
            ..FleetConfig::replicas(2)
        })
        .await
    };
    FLEET.get_or_try_init(start).await
}

/// The name server that registry asks in that fleet. It runs beside the tests, whose runtimes end one by one.
pub fn dns() -> Result<&'static DnsServer> {
    static DNS: OnceLock<Result<DnsServer>> = OnceLock::new();
    let started = DNS.get_or_init(|| {
        let (sender, receiver) = std::sync::mpsc::channel();
        std::thread::spawn(move || -> Result<()> {
            let runtime = tokio::runtime::Runtime::new()?;
            runtime.block_on(async {
                sender.send(DnsServer::start().await)?;
                std::future::pending().await
            })
        });
        receiver.recv()?
    });
    started
        .as_ref()
        .map_err(|error| anyhow::anyhow!("no name server: {error:#}"))
}

/// How many fleets of tests' own there are at a time: each is a dozen processes.
const FLEETS: u32 = 2;

/// A fleet of a test's own, to kill and reconfigure.
pub struct OwnFleet {
    fleet: Fleet,
    _turn: SemaphorePermit<'static>,
}

impl OwnFleet {
    pub async fn start(config: FleetConfig) -> Result<Self> {
        Self::start_beside(config, FLEETS - 1).await
    }

    /// With no other one beside it: for what keeps the whole machine busy, while others await what is promised within a second.
    pub async fn start_alone(config: FleetConfig) -> Result<Self> {
        Self::start_beside(config, 0).await
    }

    async fn start_beside(config: FleetConfig, others: u32) -> Result<Self> {
        static TURNS: Semaphore = Semaphore::const_new(FLEETS as usize);
        let turn = TURNS.acquire_many(FLEETS - others).await?;
        Ok(Self {
            fleet: Fleet::start(config).await?,
            _turn: turn,
        })
    }
}

impl Deref for OwnFleet {
    type Target = Fleet;

    fn deref(&self) -> &Fleet {
        &self.fleet
    }
}

/// Whether the long forms were asked for (`./dev test --full`).
pub fn full() -> bool {
    tenantry_testkit::environment::full()
}

/// A word that no other test uses, fit for slugs.
pub fn unique(prefix: &str) -> String {
    let random = uuid::Uuid::from_bytes(tenantry_core::random::bytes())
        .simple()
        .to_string();
    format!("{prefix}-{}", &random[..12])
}
