//! Whoever goes away while a transaction begins leaves nothing to whoever has its connection next.

use std::time::Duration;

use tenantry_core::TenantId;

use crate::support::World;

/// How often somebody goes away, and after how many looks at most.
const TIMES: usize = 400;
const LOOKS: usize = 8;
const BETWEEN_LOOKS: Duration = Duration::from_micros(20);

#[tokio::test]
async fn a_change_after_a_reading_that_was_given_up_while_it_began_can_write() {
    let world = World::start().await;
    let tenant: TenantId = world.tenant("Alpha").await.id.parse().unwrap();
    let mut given_up = 0;
    for time in 0..TIMES {
        let mut reading = Box::pin(world.store.read(tenant));
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
        let mut tx = world.store.begin(tenant).await.unwrap();
        let change = sqlx::query("UPDATE tenants SET region = 'changed'");
        let changed = change.execute(tx.conn()).await;
        assert_eq!(changed.unwrap().rows_affected(), 1, "time {time}");
    }
    assert!(given_up > TIMES / 10, "{given_up} went away");
}
