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

/// The promise.
const WITHIN: Duration = Duration::from_secs(1);
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
