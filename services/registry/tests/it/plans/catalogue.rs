//! The catalogue file: loaded once by however many replicas, and never over an edit that it doesn't know of.

use std::path::PathBuf;

use futures::future::join_all;
use sqlx::Row as _;
use tenantry_testkit::paths;

use super::{create, get, list, new_plan, price, project, update, versions};
use crate::support::{World, plans_file};

/// A file that differs from that of production in these words.
fn file_with(changes: &[(&str, &str)]) -> PathBuf {
    let mut text = std::fs::read_to_string(plans_file()).unwrap();
    for (from, to) in changes {
        assert!(text.contains(from), "{from}");
        text = text.replacen(from, to, 1);
    }
    let file = paths::scratch("plans")
        .unwrap()
        .join(format!("{}.json", uuid::Uuid::new_v4()));
    std::fs::write(&file, text).unwrap();
    file
}

const DEARER: (&str, &str) = ("\"price_minor\": 9900,", "\"price_minor\": 10900,");

#[tokio::test]
async fn replicas_that_start_at_once_load_once() {
    let world = World::start().await;
    let file = file_with(&[DEARER, ("\"key\": \"msp\"", "\"key\": \"gold\"")]);
    let replicas = join_all((0..5).map(|_| world.replica_with(file.clone()))).await;
    for replica in &replicas {
        let basic = get(replica, "", "basic").await;
        assert_eq!((basic.version, basic.price_minor), (2, 10_900));
        assert_eq!(get(replica, "", "gold").await.version, 1);
    }
    let rows = sqlx::query(
        "SELECT action, event -> 'actor' ->> 'kind', count(*) FROM outbox WHERE event -> 'resource' ->> 'kind' = 'plan'
         GROUP BY 1, 2 ORDER BY 1",
    )
    .fetch_all(&mut world.owner().await)
    .await
    .unwrap();
    let events: Vec<(String, String, i64)> = rows
        .iter()
        .map(|row| (row.get(0), row.get(1), row.get(2)))
        .collect();
    let expected = [
        ("plan.created", "service", 1),
        ("plan.updated", "service", 1),
    ]
    .map(|(action, kind, count)| (action.to_owned(), kind.to_owned(), count));
    assert_eq!(
        events, expected,
        "one event for each version, and none for the rest"
    );
}

#[tokio::test]
async fn a_restart_never_undoes_an_edit() {
    let world = World::start().await;
    let edited = update(&world, price("basic", 5_000, "")).await;
    let restarted = world.replica().await;
    assert_eq!(get(&restarted, "", "basic").await, edited);
    let other_change = file_with(&[("\"price_minor\": 29900,", "\"price_minor\": 30900,")]);
    let restarted = world.replica_with(other_change).await;
    assert_eq!(
        get(&restarted, "", "basic").await,
        edited,
        "the file's change is of another plan"
    );
    assert_eq!(get(&restarted, "", "pro").await.price_minor, 30_900);
}

#[tokio::test]
async fn what_the_file_says_anew_is_a_new_version_over_any_edit() {
    let world = World::start().await;
    update(&world, price("basic", 5_000, "")).await;
    let file = file_with(&[DEARER]);
    let restarted = world.replica_with(file.clone()).await;
    assert_eq!(get(&restarted, "", "basic").await.price_minor, 10_900);
    let again = world.replica_with(file).await;
    let prices: Vec<_> = versions(&again, "basic")
        .await
        .iter()
        .map(|plan| plan.price_minor)
        .collect();
    assert_eq!(prices, [10_900, 5_000, 9_900]);
    // An edit that says what the file is about to say is no version twice.
    update(&again, price("basic", 11_900, "")).await;
    let caught_up = file_with(&[("\"price_minor\": 9900,", "\"price_minor\": 11900,")]);
    let restarted = world.replica_with(caught_up).await;
    assert_eq!(get(&restarted, "", "basic").await.version, 4);
}

#[tokio::test]
async fn every_project_begins_with_the_file_and_goes_its_own_way() {
    let world = World::start().await;
    project(&world, "second").await;
    let keys = |plans: Vec<_>| -> Vec<String> {
        plans
            .into_iter()
            .map(|plan: tenantry_proto::registry::v1::Plan| plan.key)
            .collect()
    };
    assert_eq!(
        keys(list(&world, "second").await),
        keys(list(&world, "").await)
    );
    let mut own = price("basic", 1, "");
    own.project = "second".to_owned();
    update(&world, own).await;
    assert_eq!(get(&world, "", "basic").await.price_minor, 9_900);
    let file = file_with(&[("\"price_minor\": 29900,", "\"price_minor\": 30900,")]);
    let restarted = world.replica_with(file).await;
    for project in ["default", "second"] {
        assert_eq!(get(&restarted, project, "pro").await.price_minor, 30_900);
    }
    assert_eq!(get(&restarted, "second", "basic").await.price_minor, 1);
}

#[tokio::test]
async fn a_plan_that_was_made_through_the_api_is_never_the_files() {
    let world = World::start().await;
    let own = create(&world, new_plan("gold")).await;
    let mut alias = new_plan("silver");
    alias.aliases = vec!["profi".to_owned()];
    create(&world, alias).await;
    let file = file_with(&[
        ("\"key\": \"msp\"", "\"key\": \"gold\""),
        ("\"pro\"", "\"pro\", \"profi\""),
    ]);
    let restarted = world.replica_with(file).await;
    assert_eq!(get(&restarted, "", "gold").await, own);
    assert_eq!(
        get(&restarted, "", "msp").await.version,
        1,
        "a plan that the file no longer names stays"
    );
    assert_eq!(get(&restarted, "", "profi").await.key, "silver");
    assert_eq!(get(&restarted, "", "pro").await.key, "professional");
}
