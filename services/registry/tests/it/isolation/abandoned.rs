//! Whoever goes away while a transaction begins leaves nothing to whoever has its connection next.

use std::time::Duration;

use tenantry_core::TenantId;
use tenantry_store::Error;
use tenantry_testkit::wait::until;
use uuid::Uuid;

use crate::support::World;

/// How often somebody goes away, and after how many looks at most.
const TIMES: usize = 400;
const LOOKS: usize = 8;
const BETWEEN_LOOKS: Duration = Duration::from_micros(20);
/// Longest wait for the database to end what stands still.
const ENDED_WITHIN: Duration = Duration::from_secs(20);

#[tokio::test]
async fn a_change_after_a_reading_that_was_given_up_while_it_began_can_write_and_sees_its_own_tenant()
 {
    let world = World::start().await;
    let [one, other] = [world.tenant("Alpha").await, world.tenant("Beta").await];
    let [one, other]: [TenantId; 2] = [one, other].map(|tenant| tenant.id.parse().unwrap());
    let mut given_up = 0;
    for time in 0..TIMES {
        let mut reading = Box::pin(world.store.read(one));
        let mut begun = false;
        for _ in 0..=time % LOOKS {
            begun = futures::poll!(&mut reading).is_ready();
            if begun {
                break;
            }
            std::thread::sleep(BETWEEN_LOOKS);
            tokio::task::yield_now().await;
        }
        given_up += usize::from(!begun);
        drop(reading);
        let mut tx = world.store.begin(other).await.unwrap();
        let change = "UPDATE tenants SET region = 'changed' RETURNING tenant_id";
        let changed: Vec<Uuid> = sqlx::query_scalar(change)
            .fetch_all(tx.conn())
            .await
            .unwrap();
        assert_eq!(changed, [other.uuid()], "time {time}");
    }
    assert!(given_up > TIMES / 10, "{given_up} went away");
}

#[tokio::test]
async fn a_transaction_that_stood_still_for_too_long_is_to_be_tried_again() {
    let world = World::start().await;
    let tenant: TenantId = world.tenant("Alpha").await.id.parse().unwrap();
    let mut tx = world.store.begin(tenant).await.unwrap();
    let backend: i32 = sqlx::query_scalar("SELECT pg_backend_pid()")
        .fetch_one(tx.conn())
        .await
        .unwrap();
    let soon = sqlx::raw_sql("SET LOCAL idle_in_transaction_session_timeout = 1");
    soon.execute(tx.conn()).await.unwrap();
    let mut superuser = world.superuser().await;
    until("end of its connection", ENDED_WITHIN, async || {
        let there = "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE pid = $1)";
        let there = sqlx::query_scalar(there).bind(backend);
        let there: bool = there.fetch_one(&mut superuser).await?;
        Ok((!there).then_some(()))
    })
    .await
    .unwrap();
    let ended = sqlx::query("SELECT 1").execute(tx.conn()).await;
    let ended = Error::from(ended.unwrap_err());
    assert!(matches!(ended, Error::Unavailable(_)), "{ended:?}");
}
