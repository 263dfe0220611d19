//! What the plan doesn't show any more isn't exported, and an export says where it begins.

use sqlx::AssertSqlSafe;
use tenantry_core::TenantId;

use super::fill;
use crate::support::{FORMATS, Old, World, all};

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

/// A log of thirty events, of which the first ten are older than its plan shows and stand as these statements have it. Retention
/// has taken out what has had its time.
async fn retired(statements: &str) -> (Old, TenantId) {
    let world = World::start().await;
    let tenant = world.registry.add("acme", 30, None);
    fill(&world, tenant, 20).await;
    world.all_signed(tenant).await;
    let old = Old::of(world).await;
    let age = "SELECT ensure_partitions(now() - interval '45 days');
               UPDATE events SET class = 30;
               UPDATE events SET received_at = received_at - interval '45 days' WHERE index < 10;";
    let statements = AssertSqlSafe(format!("{age} {statements}"));
    let mut owner = old.owner().await;
    sqlx::raw_sql(statements).execute(&mut owner).await.unwrap();
    assert!(!old.retention.turn().await.unwrap().left);
    (old, tenant)
}

/// What stays of the first ten events, where any does, lies before those that have gone.
const GONE: [(&str, &[i64]); 4] = [
    ("", &[]),
    // Came before anyone knew the tenant.
    ("UPDATE events SET class = 730 WHERE index = 0", &[0]),
    // Came before the tenant had a smaller plan.
    (
        "UPDATE events SET class = 365 WHERE index < 5",
        &[0, 1, 2, 3, 4],
    ),
    // A hold kept them, which is released.
    ("UPDATE events SET class = 0 WHERE index < 10", &[]),
];

#[tokio::test]
async fn where_events_have_gone_an_export_begins_behind_them_whatever_stays_before() {
    for (statements, stay) in GONE {
        let (old, tenant) = retired(statements).await;
        let rows = old.rows(tenant).await;
        let rows: Vec<_> = rows.into_iter().map(|row| row.0).collect();
        assert_eq!(rows, [stay, &Vec::from_iter(10..30)].concat());
        // Under a larger plan what stays is seen again.
        for plan in [30, 365] {
            old.registry
                .change(tenant, |tenant| tenant.plan = format!("days-{plan}"));
            let replica = old.replica().await;
            for format in FORMATS {
                let export = replica.exported(tenant, all(format)).await.unwrap();
                let verdict = export.verdict(&old.vkeys(), &[]);
                verdict.proves(&[
                    "20 of 20 events are in this log",
                    "From index 10 to 29 none is missing",
                    "The log has 10 events before these.",
                ]);
            }
            replica.end().await;
        }
    }
}

#[tokio::test]
async fn where_all_events_have_gone_an_export_is_empty_and_nothing_is_missing() {
    let all_old =
        "UPDATE events SET received_at = received_at - interval '45 days' WHERE index >= 10";
    let (old, tenant) = retired(all_old).await;
    assert_eq!(old.classes(tenant).await, []);
    let replica = old.replica().await;
    for format in FORMATS {
        let export = replica.exported(tenant, all(format)).await.unwrap();
        let verdict = export.verdict(&old.vkeys(), &[]);
        verdict.proves(&["The export has no events"]);
    }
}

#[tokio::test]
async fn a_row_that_was_removed_behind_those_that_have_gone_is_noticed() {
    for (index, because) in [
        (10, "index 11: index 10 is missing before it"),
        (17, "index 18: index 17 is missing before it"),
        (29, "index 29 is missing at its end"),
    ] {
        let (old, tenant) = retired("").await;
        let remove = AssertSqlSafe(format!("DELETE FROM events WHERE index = {index}"));
        let mut owner = old.owner().await;
        sqlx::raw_sql(remove).execute(&mut owner).await.unwrap();
        let replica = old.replica().await;
        for format in FORMATS {
            let export = replica.exported(tenant, all(format)).await.unwrap();
            export.verdict(&old.vkeys(), &[]).refuses(&[because]);
        }
    }
}
