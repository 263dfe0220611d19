//! Searching: what is found is what is there, by whatever filters, however much of it is in runs already.

mod bulk;
mod filters;
mod long_runs;
mod model;
mod plans;
mod walls;

use std::time::Duration;

use tenantry_testkit::wait::until;

use crate::support::World;

/// What names the scope of all logs together.
const ALL: uuid::Uuid = uuid::Uuid::max();
/// Longest wait for the runs that are due.
const MADE_WITHIN: Duration = Duration::from_secs(240);
/// Places of a short run, as the service counts them.
const SHORT: i64 = 4_096;

/// Waits until every run that is due is made.
async fn all_made(world: &World) {
    let mut owner = world.owner().await;
    let made = until("end of what is due", MADE_WITHIN, async || {
        let due: i64 = sqlx::query_scalar("SELECT count(*) FROM search_due")
            .fetch_one(&mut owner)
            .await?;
        Ok((due == 0).then_some(()))
    });
    made.await.unwrap();
}

/// Level and end of each run of a scope, in order.
async fn runs(world: &World, scope: uuid::Uuid) -> Vec<(i16, i64)> {
    let rows =
        sqlx::query_as("SELECT level, until FROM search_runs WHERE tenant_id = $1 ORDER BY 2, 1");
    let mut owner = world.owner().await;
    rows.bind(scope).fetch_all(&mut owner).await.unwrap()
}
