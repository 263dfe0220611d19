//! Suspended means suspended, within a second, everywhere; and registry's absence never means stale admission.

use std::time::{Duration, Instant};

use anyhow::Result;
use serde_json::json;
use tenantry_testkit::fleet::{FleetConfig, sign_in};
use tenantry_testkit::rest::Rest;
use tenantry_testkit::unit::Signal;
use tenantry_testkit::wait::until;

use crate::support::served::{served, shared};
use crate::support::watch::Watch;
use crate::support::world::{PASSWORD, Party, create_tenant, set_status, text};
use crate::support::{OwnFleet, fleet};

/// The promise.
const WITHIN: Duration = Duration::from_secs(1);

/// Returns once the credential is answered with this status, and how long that took; fails beyond the bound. It asks
/// often enough that each replica of identity answers several times in a row.
pub async fn becomes(rest: &Rest, path: &str, status: u16, within: Duration) -> Result<Duration> {
    const IN_A_ROW: usize = 8;
    let began = Instant::now();
    let mut in_a_row = 0;
    loop {
        let asked = began.elapsed();
        let answer = rest.get(path).await?;
        if answer.status == status {
            in_a_row += 1;
            if in_a_row == IN_A_ROW {
                return Ok(asked);
            }
        } else {
            in_a_row = 0;
            assert!(
                asked < within,
                "after {asked:?} the answer is still {}: {}",
                answer.status,
                answer.text
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_suspended_tenant_is_refused_within_a_second_and_comes_back() -> Result<()> {
    let fleet = fleet().await?;
    let a = Party::create(fleet).await?;
    let (user, key) = (a.rest(fleet)?, a.key_rest(fleet)?);
    let mut watch = Watch::open(&user, "").await?;
    watch.until(|item| item.get("bookmark").is_some()).await?;
    for rest in [&user, &key] {
        assert_eq!(rest.get("/api/v1/tenants/current").await?.status, 200);
    }

    let before = served(fleet, "identity", "Authorization/Check").await?;
    set_status(fleet, &a.id, "suspended").await?;
    let suspended = Instant::now();
    let ended =
        tokio::time::timeout(WITHIN, watch.until(|item| item.get("end").is_some())).await??;
    assert_eq!(ended["end"]["reason"], "STREAM_TENANT_STATUS", "{ended}");
    assert!(
        !matches!(watch.next().await, Ok(Some(_))),
        "nothing follows the end"
    );
    println!(
        "the watch ended {:?} after the suspension",
        suspended.elapsed()
    );
    for (what, rest) in [("the user", &user), ("the key", &key)] {
        let took = becomes(rest, "/api/v1/tenants/current", 403, WITHIN).await?;
        println!("{what} was refused {took:?} after the question");
        shared(fleet, "identity", "Authorization/Check", &before).await?;
        let refused = rest.get("/api/v1/tenants/current").await?;
        assert_eq!(refused.reason(), "TENANT_SUSPENDED", "{}", refused.text);
    }
    // Whoever doesn't belong there learns nothing of it.
    let b = Party::create(fleet).await?;
    let foreign = b
        .rest(fleet)?
        .get(&format!("/api/v1/tenants/{}", a.id))
        .await?;
    assert_eq!(
        (foreign.status, foreign.reason().as_str()),
        (404, "TENANT_NOT_FOUND")
    );
    // The operator still sees it.
    assert_eq!(
        fleet
            .operator_rest()?
            .get(&format!("/api/v1/tenants/{}", a.id))
            .await?
            .status,
        200
    );

    set_status(fleet, &a.id, "active").await?;
    for rest in [&user, &key] {
        becomes(rest, "/api/v1/tenants/current", 200, WITHIN).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_open_by_access_from_above_ends_within_a_second_of_the_suspension_there()
-> Result<()> {
    let fleet = fleet().await?;
    let a = Party::create(fleet).await?;
    let operator = fleet.operator_rest()?;
    // Somebody who has a role in the child itself reads it as well.
    let email = format!("{}@example.com", crate::support::unique("below"));
    crate::support::world::add_user(&operator, &a.child, &email, "owner").await?;
    let below = fleet
        .rest()?
        .bearer(&sign_in(&fleet.rest()?, &email, PASSWORD).await?);
    let above = a.rest(fleet)?.header("x-tenant-id", &a.child);
    let mut watches = Vec::new();
    for rest in [&above, &below] {
        let mut watch = Watch::open(rest, "").await?;
        watch.until(|item| item.get("bookmark").is_some()).await?;
        watches.push(watch);
    }

    set_status(fleet, &a.id, "suspended").await?;
    let suspended = Instant::now();
    for watch in &mut watches {
        let ended =
            tokio::time::timeout(WITHIN, watch.until(|item| item.get("end").is_some())).await??;
        assert_eq!(ended["end"]["reason"], "STREAM_TENANT_STATUS", "{ended}");
    }
    println!("the watches ended {:?} after", suspended.elapsed());
    assert!(suspended.elapsed() < WITHIN);
    // Neither anew nor by token, while the child's own people go on where they were.
    becomes(&above, "/api/v1/tenants/current", 404, WITHIN).await?;
    for token in ["", &watches[0].token] {
        assert!(Watch::open(&above, token).await.is_err());
    }
    until("watch that goes on", Duration::from_secs(10), async || {
        let mut again = Watch::open(&below, &watches[1].token).await?;
        let next = again.next().await?.unwrap_or_default();
        Ok(next.get("bookmark").map(|_| ()))
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn logout_and_revocation_are_felt_on_every_replica_within_a_second() -> Result<()> {
    let fleet = fleet().await?;
    let a = Party::create(fleet).await?;
    let user = a.rest(fleet)?;
    let key = a.key_rest(fleet)?;
    for rest in [&user, &key] {
        becomes(rest, "/api/v1/tenants/current", 200, WITHIN).await?;
    }
    fleet
        .operator_rest()?
        .delete(&format!("/api/v1/tenants/{}/api-keys/{}", a.id, a.key_id))
        .await?
        .ok()?;
    becomes(&key, "/api/v1/tenants/current", 401, WITHIN).await?;
    user.post("/api/v1/auth/logout", json!({})).await?.ok()?;
    becomes(&user, "/api/v1/tenants/current", 401, WITHIN).await?;

    // A membership that ends.
    let again = fleet
        .rest()?
        .bearer(&sign_in(&fleet.rest()?, &a.owner_email, PASSWORD).await?);
    let member_path = format!("/api/v1/tenants/{}/users", a.id);
    let second = format!("{}@example.com", crate::support::unique("second"));
    let id =
        crate::support::world::add_user(&fleet.operator_rest()?, &a.id, &second, "member").await?;
    let second = fleet
        .rest()?
        .bearer(&sign_in(&fleet.rest()?, &second, PASSWORD).await?);
    becomes(&second, "/api/v1/tenants/current", 200, WITHIN).await?;
    again.delete(&format!("{member_path}/{id}")).await?.ok()?;
    becomes(&second, &format!("/api/v1/tenants/{}", a.id), 404, WITHIN).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn registry_restarting_is_no_outage_and_gone_is_no_stale_admission() -> Result<()> {
    const GRACE: Duration = Duration::from_secs(3);
    let config = FleetConfig {
        service_environment: vec![(
            "identity",
            "TENANTRY_FRESHNESS_GRACE_MS",
            GRACE.as_millis().to_string(),
        )],
        ..FleetConfig::replicas(2)
    };
    let fleet = OwnFleet::start(config).await?;
    let a = Party::create(&fleet).await?;
    let user = a.rest(&fleet)?;
    // Answered by identity alone, so that only its view of the tenants counts.
    let path = "/api/v1/auth/me";

    // One replica after the other: every request is answered.
    for replica in fleet.replicas("registry") {
        let restart = replica.unit().restart();
        tokio::pin!(restart);
        loop {
            tokio::select! {
                done = &mut restart => { done?; break }
                answer = user.get(path) => assert_eq!(answer?.status, 200, "while {} restarts", replica.unit().name()),
            }
        }
    }

    // Both gone: served within the grace, then refused, and never anything else.
    for replica in fleet.replicas("registry") {
        replica.unit().kill_9().await?;
    }
    let gone = Instant::now();
    assert_eq!(user.get(path).await?.status, 200, "within the grace");
    let refused_after = loop {
        let answer = user.get(path).await?;
        match answer.status {
            200 => assert!(
                gone.elapsed() < GRACE + WITHIN,
                "stale admission after {:?}",
                gone.elapsed()
            ),
            503 => {
                assert_eq!(answer.reason(), "UNAVAILABLE", "{}", answer.text);
                break gone.elapsed();
            }
            other => panic!("{other}: {}", answer.text),
        }
    };
    println!("refused {refused_after:?} after registry went, with a grace of {GRACE:?}");
    for replica in fleet.replicas("registry") {
        replica.unit().start().await?;
    }
    becomes(&user, path, 200, Duration::from_secs(10)).await?;
    fleet.stop().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_registry_that_hangs_costs_no_answer_within_the_grace_and_none_is_given_after_it()
-> Result<()> {
    const GRACE: Duration = Duration::from_secs(6);
    /// How old the view may be already when registry stops.
    const VIEW_AGE: Duration = Duration::from_millis(500);
    let config = FleetConfig {
        service_environment: vec![(
            "identity",
            "TENANTRY_FRESHNESS_GRACE_MS",
            GRACE.as_millis().to_string(),
        )],
        ..FleetConfig::replicas(2)
    };
    let fleet = OwnFleet::start(config).await?;
    let a = Party::create(&fleet).await?;
    let deep = json!({"name": crate::support::unique("Deep"), "parent_id": a.child});
    let deep = text(&create_tenant(&fleet.operator_rest()?, deep).await?, "id");
    let own = a.rest(&fleet)?;
    let deep = a.rest(&fleet)?.header("x-tenant-id", &deep);
    let path = "/api/v1/auth/me";
    for rest in [&own, &deep] {
        becomes(rest, path, 200, WITHIN).await?;
    }

    for replica in fleet.replicas("registry") {
        replica.unit().signal(Signal::SIGSTOP);
    }
    let hung = Instant::now();
    let mut longest = Duration::ZERO;
    let mut refused = [false; 2];
    while refused != [true; 2] {
        for (rest, refused) in [&own, &deep].into_iter().zip(&mut refused) {
            let asked = hung.elapsed();
            let answer = rest.get(path).await?;
            let took = hung.elapsed() - asked;
            match answer.status {
                200 => {
                    assert!(asked < GRACE + WITHIN, "stale admission after {asked:?}");
                    longest = longest.max(took);
                }
                503 => {
                    assert!(hung.elapsed() > GRACE - VIEW_AGE, "{asked:?}, {took:?}");
                    *refused = true;
                }
                other => panic!("{other}: {}", answer.text),
            }
        }
    }
    println!("the longest answer within the grace took {longest:?}");
    for replica in fleet.replicas("registry") {
        replica.unit().signal(Signal::SIGCONT);
    }
    for rest in [&own, &deep] {
        let deadline = Instant::now() + Duration::from_secs(10);
        while rest.get(path).await?.status != 200 {
            assert!(Instant::now() < deadline, "registry goes on");
        }
    }
    fleet.stop().await
}
