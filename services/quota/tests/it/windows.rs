//! Windows: a new one begins anew, and what was used in one that is over stays known.

use std::time::Duration;

use tenantry_core::Reason;
use tenantry_testkit::wait::until;

use crate::rates::one_of;
use crate::support::{World, reason, using};

/// A minute, and a little.
const NEXT_MINUTE: Duration = Duration::from_secs(65);

#[tokio::test(flavor = "multi_thread")]
async fn a_new_minute_admits_as_much_again_and_no_more() {
    let world = World::start().await;
    let other = world.replica().await;
    let tenant = world.tenant();
    world.set(tenant, "alerts", 5, "minute").await;
    let claims = world.program(tenant);
    let mut clients = [world.quotas(&claims), other.quotas(&claims)];
    // So that the first window isn't about to end.
    let mut used = Vec::new();
    let mut windows = Vec::new();
    let over = until("the third window", NEXT_MINUTE * 2, async || {
        for quotas in &mut clients {
            match quotas.consume_quota(using("alerts", 1)).await {
                Ok(answer) => {
                    let answer = answer.into_inner();
                    let window = answer.reset_at.unwrap().seconds;
                    if windows.last() != Some(&window) {
                        windows.push(window);
                        used.push(0);
                    }
                    *used.last_mut().unwrap() += 1;
                    assert_eq!(answer.usage, *used.last().unwrap());
                }
                Err(refused) => {
                    assert_eq!(reason(&refused), Reason::QuotaExceeded);
                    let left = tenantry_rpc::status::refusal(&refused)
                        .unwrap()
                        .retry_after_ms;
                    assert!(left.is_some_and(|ms| ms <= 60_000));
                }
            }
        }
        Ok((used.len() == 2 && used[1] == 5).then_some(()))
    });
    over.await.unwrap();
    assert_eq!(windows[1] - windows[0], 60);
    assert!(used[0] <= 5, "{used:?}");
}

#[tokio::test]
async fn requests_of_a_window_that_is_over_are_settled() {
    let world = World::start().await;
    let _other = world.replica().await;
    let tenant = world.limited(100).await;
    let mut rates = world.rates();
    for _ in 0..7 {
        rates.should_rate_limit(one_of(tenant)).await.unwrap();
    }
    world.consume(tenant, 3).await.unwrap();
    let mut owner = world.owner().await;
    sqlx::query("UPDATE accounts SET window_end = clock_timestamp() - interval '1 minute' WHERE tenant_id = $1")
        .bind(tenant.uuid())
        .execute(&mut owner)
        .await
        .unwrap();
    let settled = until("settled account", Duration::from_secs(20), async || {
        let account: (i64, Option<String>) = sqlx::query_as(
            "SELECT settled, opening FROM accounts WHERE tenant_id = $1 AND NOT superseded",
        )
        .bind(tenant.uuid())
        .fetch_one(&mut owner)
        .await?;
        Ok(account.1.is_none().then_some(account.0))
    });
    assert_eq!(settled.await.unwrap(), 10);
}
