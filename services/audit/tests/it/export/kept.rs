//! What the plan doesn't show any more isn't exported, and an export says where it begins.

use tenantry_core::TenantId;
use uuid::{NoContext, Timestamp, Uuid};

use super::fill;
use crate::support::{FORMATS, World, all};

/// Days that are longer than the shortest time for which events are kept.
const LONG_AGO: u64 = 40;

#[tokio::test]
async fn what_is_older_than_the_plan_keeps_is_left_out_and_the_rest_is_proved() {
    let world = World::start().await;
    let tenant = world.registry.add("acme", 30, None);
    fill(&world, tenant, 20).await;
    world.all_signed(tenant).await;
    let age = "SELECT ensure_partitions(now() - interval '40 days');
               UPDATE events SET received_at = received_at - interval '40 days' WHERE index < 10";
    let mut owner = world.owner().await;
    sqlx::raw_sql(age).execute(&mut owner).await.unwrap();
    for format in FORMATS {
        let export = world.exported(tenant, all(format)).await.unwrap();
        let verdict = export.verdict(&world.vkeys(), &[]);
        verdict.proves(&[
            "20 of 20 events are in this log",
            "From index 10 to 29 none is missing",
            "The log has 10 events before these.",
        ]);
    }
}

#[tokio::test]
async fn where_events_have_gone_for_good_an_export_begins_behind_them() {
    let world = World::start().await;
    let made = tenantry_core::clock::now().as_second() as u64 - LONG_AGO * 24 * 3_600;
    let id = Uuid::new_v7(Timestamp::from_unix(NoContext, made, 0));
    let old = world.registry.add_as(TenantId::from(id), "old", 365, None);
    fill(&world, old, 20).await;
    world.all_signed(old).await;
    let drop_some = "DELETE FROM events WHERE index < 10";
    let mut owner = world.owner().await;
    sqlx::raw_sql(drop_some).execute(&mut owner).await.unwrap();
    for format in FORMATS {
        let export = world.exported(old, all(format)).await.unwrap();
        let verdict = export.verdict(&world.vkeys(), &[]);
        verdict.proves(&[
            "From index 10 to 29 none is missing",
            "The log has 10 events before these.",
        ]);
    }
}
