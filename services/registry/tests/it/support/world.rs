//! A database of the test's own, and replicas of registry on it.

use std::ops::Deref;
use std::path::PathBuf;

use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection as _, PgConnection};
use tenantry_proto::registry::v1::{CreateTenantRequest, Tenant};
use tenantry_registry::Registry;
use tenantry_runtime::Service as _;
use tenantry_testkit::cluster::Role;
use tenantry_testkit::database::TestDatabase;
use tenantry_testkit::dns::DnsServer;
use tenantry_testkit::keys::Keys;
use tenantry_testkit::paths;
use tenantry_testkit::pgbouncer::PgBouncer;

use super::replica::{Database, Replica};
use super::{Keeper, named, operator};

/// A database, the keys of a fleet, and a first replica, which it stands for.
#[derive(Debug)]
pub(crate) struct World {
    database: TestDatabase,
    keys: Keys,
    pooler: Option<PgBouncer>,
    /// What the replicas ask for the records of domains.
    pub(crate) dns: DnsServer,
    keeper: Keeper,
    audit: Keeper,
    quota: Keeper,
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
        Self::start_behind(None).await
    }

    /// The same, behind a PgBouncer in transaction mode that has one server connection for each role.
    pub(crate) async fn start_pooled() -> Self {
        let cluster = tenantry_testkit::database::shared_cluster().await.unwrap();
        Self::start_behind(Some(PgBouncer::start(cluster, 1).await.unwrap())).await
    }

    async fn start_behind(pooler: Option<PgBouncer>) -> Self {
        let database = TestDatabase::migrated("registry", async |template: &TestDatabase| {
            let owner = template.url("registry", Role::Owner).as_str().parse()?;
            tenantry_store::migrate::run(&owner, Registry::migrations()).await?;
            load_plans(template).await
        })
        .await
        .unwrap();
        let keys = Keys::create(&paths::scratch("keys").unwrap()).unwrap();
        let dns = DnsServer::start().await.unwrap();
        let reached = reach(&database, pooler.as_ref());
        let keeper = Keeper::start().await;
        let audit = Keeper::start().await;
        let quota = Keeper::start().await;
        let keepers = [&keeper, &audit, &quota];
        let first = Replica::start(reached, &keys, plans_file(), dns.address(), keepers).await;
        Self {
            database,
            keys,
            pooler,
            dns,
            keeper,
            audit,
            quota,
            first,
        }
    }

    /// One more replica on the same database.
    pub(crate) async fn replica(&self) -> Replica {
        self.replica_with(plans_file()).await
    }

    /// The same, with a catalogue of plans of its own.
    pub(crate) async fn replica_with(&self, plans_file: PathBuf) -> Replica {
        let database = reach(&self.database, self.pooler.as_ref());
        let dns = self.dns.address();
        let keepers = [&self.keeper, &self.audit, &self.quota];
        Replica::start(database, &self.keys, plans_file, dns, keepers).await
    }

    /// What stands in for identity.
    pub(crate) const fn keeper(&self) -> &Keeper {
        &self.keeper
    }

    /// What stands in for audit.
    pub(crate) const fn audit(&self) -> &Keeper {
        &self.audit
    }

    /// What stands in for quota.
    pub(crate) const fn quota(&self) -> &Keeper {
        &self.quota
    }

    /// A connection of a role of registry, past the service.
    pub(crate) async fn connect(&self, role: Role) -> PgConnection {
        PgConnection::connect_with(&options(&self.database, self.pooler.as_ref(), role))
            .await
            .unwrap()
    }

    /// A connection that sees every row.
    pub(crate) async fn owner(&self) -> PgConnection {
        PgConnection::connect_with(&options(&self.database, None, Role::Owner))
            .await
            .unwrap()
    }

    /// A connection that sees what others' statements do.
    pub(crate) async fn superuser(&self) -> PgConnection {
        PgConnection::connect(self.database.superuser_url().as_str())
            .await
            .unwrap()
    }

    /// Name of the database.
    pub(crate) fn database(&self) -> &str {
        self.database.name()
    }

    /// A tenant that an operator created.
    pub(crate) async fn tenant(&self, name: &str) -> Tenant {
        self.create(named(name)).await
    }

    /// The same, below a parent.
    pub(crate) async fn child(&self, name: &str, parent: &Tenant) -> Tenant {
        self.create(CreateTenantRequest {
            parent_id: parent.id.clone(),
            ..named(name)
        })
        .await
    }

    pub(crate) async fn create(&self, request: CreateTenantRequest) -> Tenant {
        let mut tenants = self.tenants(&operator());
        let created = tenants.create_tenant(request).await.unwrap().into_inner();
        assert_eq!(
            created.current_users,
            Some(0),
            "nothing is used of a new one"
        );
        // Later answers have no figures where there is no quota.
        Tenant {
            max_users: None,
            max_classes: None,
            max_storage_gb: None,
            current_users: None,
            current_classes: None,
            current_storage_gb: None,
            ..created
        }
    }
}

/// Loads the plans, as a replica does that was there long before, and clears the feed of what that told: a test begins with
/// an empty one.
async fn load_plans(template: &TestDatabase) -> anyhow::Result<()> {
    let keys = Keys::create(&paths::scratch("keys")?)?;
    let (dns, keeper) = (DnsServer::start().await?, Keeper::start().await);
    let reached = reach(template, None);
    let keepers = [&keeper, &keeper, &keeper];
    let replica = Replica::start(reached, &keys, plans_file(), dns.address(), keepers).await;
    replica.end().await;
    replica.store.close().await;
    let mut owner = PgConnection::connect_with(&options(template, None, Role::Owner)).await?;
    sqlx::raw_sql(
        "DELETE FROM outbox; DELETE FROM outbox_counter; UPDATE feed_head SET head = 0;
         ALTER TABLE outbox ALTER COLUMN drawn RESTART",
    )
    .execute(&mut owner)
    .await?;
    Ok(owner.close().await?)
}

/// The catalogue of production.
pub(crate) fn plans_file() -> PathBuf {
    paths::repository().join("deploy/plans.json")
}

fn reach(database: &TestDatabase, pooler: Option<&PgBouncer>) -> Database {
    Database {
        app: options(database, pooler, Role::App),
        platform: options(database, pooler, Role::Platform),
        statement_cache: if pooler.is_some() { 0 } else { 100 },
    }
}

fn options(database: &TestDatabase, pooler: Option<&PgBouncer>, role: Role) -> PgConnectOptions {
    let cluster = pooler.map_or(database.cluster(), PgBouncer::cluster);
    cluster
        .url("registry", role, database.name())
        .as_str()
        .parse()
        .unwrap()
}
