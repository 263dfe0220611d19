//! Live tails over REST: each event of a log once, in order, whoever is killed meanwhile, until the credential's right ends.

use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use tenantry_testkit::fleet::FleetConfig;
use tenantry_testkit::rest::Rest;

use crate::support::watch::Watch;
use crate::support::world::{Party, create_tenant, set_status, text};
use crate::support::{OwnFleet, fleet, unique};

/// Changes that are followed, and how often a replica of the log is killed meanwhile.
const CHANGES: usize = 60;
const KILLS: usize = 4;
const BETWEEN_CHANGES: Duration = Duration::from_millis(100);
const BETWEEN_KILLS: Duration = Duration::from_secs(1);
/// Pause before a stream that broke off is opened again.
const AGAIN: Duration = Duration::from_millis(100);
/// Longest time until all of it was seen.
const SEEN_WITHIN: Duration = Duration::from_secs(60);
/// Within what a stream ends with the right to it.
const ENDS_WITHIN: Duration = Duration::from_secs(1);

fn path(tenant: &str, from: usize) -> String {
    format!("/api/v1/tenants/{tenant}/audit-log:tail?from_index={from}")
}

async fn rename(rest: &Rest, tenant: &str) -> Result<String> {
    let name = unique("Tail");
    let path = format!("/api/v1/tenants/{tenant}");
    rest.patch(&path, json!({ "name": name })).await?.ok()?;
    Ok(name)
}

/// The name that an event tells of, if it does.
fn named(event: &Value) -> Option<String> {
    let name = event["changes"]["name"]["after"].as_str()?;
    Some(name.to_owned())
}

/// Follows a log from its beginning until it has told of so many names, over as many streams as that takes.
async fn follow(rest: &Rest, tenant: &str, names: usize) -> Result<(Vec<String>, usize)> {
    let (mut told, mut next, mut streams) = (Vec::new(), 0, 0);
    while told.len() < names {
        let Ok(mut tail) = Watch::at(rest, &path(tenant, next)).await else {
            tokio::time::sleep(AGAIN).await;
            continue;
        };
        streams += 1;
        while let Ok(Some(item)) = tail.next().await {
            let Some(event) = item.get("event") else {
                continue;
            };
            assert_eq!(text(event, "index"), next.to_string(), "{event:#}");
            next += 1;
            told.extend(named(event));
            if told.len() == names {
                break;
            }
        }
    }
    Ok((told, streams))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_goes_on_behind_the_last_index_gets_each_event_once_though_replicas_are_killed()
-> Result<()> {
    let fleet = OwnFleet::start(FleetConfig::replicas(2)).await?;
    let operator = fleet.operator_rest()?;
    let tenant = create_tenant(&operator, json!({"name": unique("Tail")})).await?;
    let (id, first) = (text(&tenant, "id"), text(&tenant, "name"));
    let changes = async {
        let mut names = vec![first];
        for _ in 0..CHANGES {
            names.push(rename(&operator, &id).await?);
            tokio::time::sleep(BETWEEN_CHANGES).await;
        }
        anyhow::Ok(names)
    };
    let killer = async {
        for round in 0..KILLS {
            tokio::time::sleep(BETWEEN_KILLS).await;
            let replica = fleet.service("audit", round % 2).unit();
            replica.kill_9().await?;
            replica.start().await?;
        }
        anyhow::Ok(())
    };
    let follower = async {
        let followed = tokio::time::timeout(SEEN_WITHIN, follow(&operator, &id, CHANGES + 1));
        followed.await.context("all events")?
    };
    let (names, (), (told, streams)) = tokio::try_join!(changes, killer, follower)?;
    assert_eq!(told, names);
    println!("{} events over {streams} streams", told.len());
    assert!(streams > 1, "no kill broke the stream off");
    fleet.stop().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_line_says_why_a_tail_ended() -> Result<()> {
    let fleet = fleet().await?;
    let party = Party::create(fleet).await?;
    let mut tail = Watch::at(&party.rest(fleet)?, &path(&party.id, 0)).await?;
    let operator = fleet.operator_rest()?;
    let name = rename(&operator, &party.id).await?;
    let tells = |item: &Value| named(&item["event"]).as_deref() == Some(&name);
    tail.until(tells).await?;
    set_status(fleet, &party.id, "suspended").await?;
    let end = tail.until(|item| item.get("end").is_some());
    let end = tokio::time::timeout(ENDS_WITHIN, end).await??;
    assert_eq!(end["end"]["reason"], "STREAM_TENANT_STATUS", "{end}");
    assert!(!matches!(tail.next().await, Ok(Some(_))), "nothing follows");
    Ok(())
}
