//! Events of long ago, and the retention that looks after them.

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use sqlx::PgConnection;
use tenantry_audit::Retention;
use tenantry_core::TenantId;
use tenantry_rpc::Tasks;
use tenantry_rpc::client::{CallAs, Replicas};
use tenantry_rpc::keys::KeyRing;
use tenantry_rpc::tenants::{Follower, Lookup, Tenants, View};
use tenantry_rpc::watched::Watched;
use tenantry_testkit::wait::until;

use super::World;

/// Longer than the view needs for anything.
const KNOWN_WITHIN: Duration = Duration::from_secs(10);

/// A row of `events`, but for its class: where it stands, what it is, and what the log proves of it.
pub(crate) type Row = (i64, String, Vec<u8>, Option<String>, Vec<i64>);

/// A world whose own replica has ended, so that nobody looks after its partitions but the test.
#[derive(Debug)]
pub(crate) struct Old {
    world: World,
    /// What the retention knows of tenants.
    pub(crate) tenants: Tenants,
    pub(crate) retention: Retention,
    tasks: Tasks,
}

impl Deref for Old {
    type Target = World;

    fn deref(&self) -> &World {
        &self.world
    }
}

impl Drop for Old {
    fn drop(&mut self) {
        self.tasks.cancel();
    }
}

impl Old {
    /// Ends the replica of a world.
    pub(crate) async fn of(world: World) -> Self {
        world.end().await;
        let tasks = Tasks::new();
        let (tenants, follower) = known(&world, &tasks);
        tasks.keep("tenants", follower.run(tasks.token()));
        let retention = Retention::new(&world.store, tenants.clone());
        let old = Self {
            world,
            tenants,
            retention,
            tasks,
        };
        old.known("tenants", |tenants| tenants.is_ready()).await;
        old
    }

    /// A retention that heard nothing of any tenant.
    pub(crate) fn ignorant(&self) -> Retention {
        Retention::new(&self.world.store, known(&self.world, &self.tasks).0)
    }

    /// Waits until something is known of tenants.
    pub(crate) async fn known(&self, what: &str, known: impl Fn(&Tenants) -> bool) {
        let look = async || Ok(known(&self.tenants).then_some(()));
        until(what, KNOWN_WITHIN, look).await.unwrap();
    }

    /// Has all of a tenant's events come so many days earlier.
    pub(crate) async fn age(&self, tenant: TenantId, days: i32) {
        let mut owner = self.world.owner().await;
        sqlx::query("SELECT ensure_partitions(clock_timestamp() - make_interval(days => $1))")
            .bind(days)
            .execute(&mut owner)
            .await
            .unwrap();
        sqlx::query("UPDATE events SET received_at = received_at - make_interval(days => $2) WHERE tenant_id = $1")
            .bind(tenant.uuid())
            .bind(days)
            .execute(&mut owner)
            .await
            .unwrap();
    }

    /// The classes of a tenant's events, each with how many.
    pub(crate) async fn classes(&self, tenant: TenantId) -> Vec<(i16, i64)> {
        sqlx::query_as(
            "SELECT class, count(*) FROM events WHERE tenant_id = $1 GROUP BY class ORDER BY class",
        )
        .bind(tenant.uuid())
        .fetch_all(&mut self.world.owner().await)
        .await
        .unwrap()
    }

    /// A tenant's events, in order.
    pub(crate) async fn rows(&self, tenant: TenantId) -> Vec<Row> {
        sqlx::query_as("SELECT index, leaf, leaf_hash, disclosed, terms FROM events WHERE tenant_id = $1 ORDER BY index")
            .bind(tenant.uuid())
            .fetch_all(&mut self.world.owner().await)
            .await
            .unwrap()
    }

    /// The partitions that have had their time.
    pub(crate) async fn past(&self) -> Vec<String> {
        past(&mut self.world.owner().await).await
    }
}

async fn past(owner: &mut PgConnection) -> Vec<String> {
    sqlx::query_scalar("SELECT name FROM event_partitions() WHERE past ORDER BY name")
        .fetch_all(owner)
        .await
        .unwrap()
}

fn known(world: &World, tasks: &Tasks) -> (Tenants, Follower) {
    let ring = world.keys.service_ring("audit");
    let keys = Watched::open(ring, tasks, KeyRing::parse).unwrap();
    let call_as = CallAs::new(keys, "audit", "registry");
    let registry = Replicas::new(std::slice::from_ref(&world.registry.address), call_as).unwrap();
    let view = Arc::new(View::default());
    let follower = Follower::new(&registry, Arc::clone(&view));
    let tenants = Tenants::new(view, Lookup::new(&registry), Duration::from_secs(60));
    (tenants, follower)
}
