//! What is open ends with the credential that opened it, and with the rights of whoever did.

use std::time::{Duration, Instant};

use anyhow::Result;
use futures::future::try_join_all;
use serde_json::{Value, json};
use tenantry_testkit::fleet::sign_in;
use tenantry_testkit::rest::Rest;

use crate::support::watch::Watch;
use crate::support::world::{PASSWORD, Party, add_user};
use crate::support::{fleet, unique};
use crate::suspension::becomes;

/// The promise.
const WITHIN: Duration = Duration::from_secs(1);
/// How long a change of rights ends streams that begin after it.
const SETTLED: Duration = Duration::from_millis(1_600);
/// Watches of one credential: enough that both replicas of registry serve some.
const EACH: usize = 4;

/// Watches of this caller, open and up to date.
pub async fn open(rest: &Rest) -> Result<Vec<Watch>> {
    try_join_all((0..EACH).map(|_| async {
        let mut watch = Watch::open(rest, "").await?;
        watch.until(is("bookmark")).await?;
        Ok(watch)
    }))
    .await
}

fn is(kind: &str) -> impl Fn(&Value) -> bool {
    move |item| item.get(kind).is_some()
}

/// Reads the end of each, which comes within a second from now with this reason, in band, and nothing after it.
pub async fn end(what: &str, watches: Vec<Watch>, reason: &str) -> Result<()> {
    let began = Instant::now();
    let ends = try_join_all(watches.into_iter().map(|mut watch| async move {
        let end = tokio::time::timeout(WITHIN, watch.until(is("end"))).await??;
        assert!(
            !matches!(watch.next().await, Ok(Some(_))),
            "nothing follows the end"
        );
        anyhow::Ok(end)
    }))
    .await?;
    println!("{what}: the watches ended {:?} after", began.elapsed());
    for end in ends {
        assert_eq!(end["end"]["reason"], reason, "{what}: {end}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_ends_within_a_second_of_what_admitted_it() -> Result<()> {
    let fleet = fleet().await?;
    let a = Party::create(fleet).await?;
    let operator = fleet.operator_rest()?;
    let user = |token: &str| anyhow::Ok(fleet.rest()?.bearer(token));
    let email = format!("{}@example.com", unique("leaves"));
    let leaver = add_user(&operator, &a.id, &email, "member").await?;
    let leaver_rest = user(&sign_in(&fleet.rest()?, &email, PASSWORD).await?)?;
    let stays = user(&sign_in(&fleet.rest()?, &a.owner_email, PASSWORD).await?)?;
    let mut stay = open(&stays).await?;

    let by_key = open(&a.key_rest(fleet)?).await?;
    let path = format!("/api/v1/tenants/{}/api-keys/{}", a.id, a.key_id);
    operator.delete(&path).await?.ok()?;
    end("revoked key", by_key, "STREAM_CREDENTIAL_ENDED").await?;

    let by_session = open(&a.rest(fleet)?).await?;
    a.rest(fleet)?
        .post("/api/v1/auth/logout", json!({}))
        .await?
        .ok()?;
    end("logout", by_session, "STREAM_CREDENTIAL_ENDED").await?;

    let by_member = open(&leaver_rest).await?;
    let path = format!("/api/v1/tenants/{}/users/{leaver}", a.id);
    stays.delete(&path).await?.ok()?;
    end("end of membership", by_member, "STREAM_RIGHTS_CHANGED").await?;

    // Another session of the same user, and another user of the same tenant, go on.
    for watch in &mut stay {
        watch.until(is("bookmark")).await?;
        watch.until(is("bookmark")).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_of_a_child_ends_when_the_membership_above_does() -> Result<()> {
    let fleet = fleet().await?;
    let a = Party::create(fleet).await?;
    let operator = fleet.operator_rest()?;
    let email = format!("{}@example.com", unique("above"));
    let above = add_user(&operator, &a.id, &email, "admin").await?;
    let token = sign_in(&fleet.rest()?, &email, PASSWORD).await?;
    let below = fleet.rest()?.bearer(&token).header("x-tenant-id", &a.child);
    let watches = open(&below).await?;
    let path = format!("/api/v1/tenants/{}/users/{above}", a.id);
    operator.delete(&path).await?.ok()?;
    end("membership above", watches, "STREAM_RIGHTS_CHANGED").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rotated_secret_and_what_it_opened_end_with_the_overlap() -> Result<()> {
    const OVERLAP: Duration = Duration::from_secs(6);
    let fleet = fleet().await?;
    let a = Party::create(fleet).await?;
    let path = "/api/v1/tenants/current";
    let old = a.key_rest(fleet)?;
    let opened_before = open(&old).await?;
    let rotate = format!("/api/v1/tenants/{}/api-keys/{}:rotate", a.id, a.key_id);
    let overlap = json!({"overlap": format!("{}s", OVERLAP.as_secs())});
    let rotated = fleet.operator_rest()?.post(&rotate, overlap).await?.ok()?;
    let began = Instant::now();
    // The stream doesn't know with which secret it was opened: it begins anew, and then it does.
    end("rotation", opened_before, "STREAM_RIGHTS_CHANGED").await?;
    let new = fleet
        .rest()?
        .header("x-api-key", rotated["secret"].as_str().unwrap_or_default());
    // A change of rights just before ends streams that begin with it.
    tokio::time::sleep(SETTLED).await;
    let (by_new, by_old) = (open(&new).await?, open(&old).await?);
    for rest in [&old, &new] {
        becomes(rest, path, 200, WITHIN).await?;
    }
    assert!(began.elapsed() < OVERLAP, "too slow to show anything");
    tokio::time::sleep_until((began + OVERLAP).into()).await;
    becomes(&old, path, 401, WITHIN).await?;
    end("overlap", by_old, "STREAM_CREDENTIAL_ENDED").await?;
    becomes(&new, path, 200, WITHIN).await?;
    for mut watch in by_new {
        watch.until(is("bookmark")).await?;
    }
    Ok(())
}
