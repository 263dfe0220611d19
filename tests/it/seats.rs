//! Members count against their tenant's plan: exactly its number, whoever comes in by whichever way, and whatever is killed meanwhile.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use futures::future::{join_all, try_join_all};
use reqwest::Method;
use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection};
use tenantry_testkit::fleet::{Fleet, FleetConfig};
use tenantry_testkit::rest::{Answer, Rest};
use tenantry_testkit::unit::Unit;
use tenantry_testkit::wait::until;

use crate::crash_transfer::someone_waits;
use crate::support::insist::insist_on;
use crate::support::world::{PASSWORD, create_tenant, text};
use crate::support::{OwnFleet, fleet, full, unique};

/// What is promised between a place that is free and its use.
const AT_ONCE: Duration = Duration::from_secs(1);
/// Longest wait for what replicas left behind: the hold's time, and a few looks.
const SETTLED_WITHIN: Duration = Duration::from_secs(60);
/// Longest time without work after a kill.
const GOES_ON_WITHIN: Duration = Duration::from_secs(120);
/// What the plan `free` has.
const USERS: usize = 5;
const CLIENTS: usize = 8;

fn users(tenant: &str) -> String {
    format!("/api/v1/tenants/{tenant}/users")
}

fn new_user() -> Value {
    json!({"email": format!("{}@example.com", unique("user")), "request_id": unique("add")})
}

async fn set_limit(operator: &Rest, tenant: &str, limit: usize) -> Result<()> {
    let body = json!({"resource_type": "users", "limit": limit, "reason": "Agreed"});
    operator
        .patch(&format!("/api/v1/tenants/{tenant}/limits"), body)
        .await?
        .ok()?;
    Ok(())
}

/// Members that there are, what is counted of them, and what the log of that adds up to.
async fn counted(database: &mut PgConnection, tenant: &str) -> Result<(i64, i64, i64)> {
    Ok(sqlx::query_as(
        "SELECT (SELECT count(*) FROM identity.memberships WHERE tenant_id = $1::uuid),
                (SELECT coalesce(sum(settled), 0)::bigint FROM quota.accounts WHERE tenant_id = $1::uuid AND resource_type = 'users'),
                (SELECT coalesce(sum(amount), 0)::bigint FROM quota.usage_log WHERE tenant_id = $1::uuid AND resource_type = 'users')",
    )
    .bind(tenant)
    .fetch_one(database)
    .await?)
}

/// Waits until all that is counted is what there is; how many that are.
async fn settled(fleet: &Fleet, tenant: &str, within: Duration) -> Result<i64> {
    let mut database = PgConnection::connect(fleet.superuser_url().as_str()).await?;
    until("exact count", within, async || {
        let (members, counted, logged) = counted(&mut database, tenant).await?;
        ensure!(counted == logged, "{counted} are counted, {logged} logged");
        Ok((members == counted).then_some(members))
    })
    .await
}

/// Waits until quota has heard of each member and key of a tenant.
pub async fn told_of(fleet: &Fleet, tenant: &str) -> Result<()> {
    let mut database = PgConnection::connect(fleet.superuser_url().as_str()).await?;
    until("word of all members", SETTLED_WITHIN, async || {
        let untold: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM identity.seat_changes WHERE tenant_id = $1::uuid AND change <> 'gone'",
        )
        .bind(tenant)
        .fetch_one(&mut database)
        .await?;
        Ok((untold == 0).then_some(()))
    })
    .await
}

/// The tenant's own word for how many users it has.
async fn told(operator: &Rest, tenant: &str) -> Result<(i64, i64)> {
    let quotas = operator
        .get(&format!("/api/v1/tenants/{tenant}/quotas"))
        .await?
        .ok()?;
    let quotas = quotas["quotas"].as_array().cloned().unwrap_or_default();
    let of_users = quotas
        .iter()
        .find(|quota| quota["resource_type"] == "users");
    let of_users = of_users.cloned().unwrap_or_default();
    Ok((
        text(&of_users, "usage").parse()?,
        text(&of_users, "limit").parse()?,
    ))
}

fn is_full(answer: &Answer) -> bool {
    answer.status == 429 && answer.reason() == "QUOTA_EXCEEDED"
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plan_admits_exactly_its_number_of_users_by_all_ways_and_room_is_used_at_once()
-> Result<()> {
    let fleet = fleet().await?;
    let operator = fleet.operator_rest()?;
    let tenant = text(
        &create_tenant(&operator, json!({"name": unique("Seats")})).await?,
        "id",
    );
    // Invitations wait; they take no place.
    let mut links = Vec::new();
    for _ in 0..8 {
        let email = format!("{}@example.com", unique("guest"));
        let body = json!({"email": email, "roles": ["viewer"]});
        operator
            .post(&format!("/api/v1/tenants/{tenant}/users/invite"), body)
            .await?
            .ok()?;
        links.push(fleet.post().nth(&email, 0).await?.token().to_owned());
    }
    let path = users(&tenant);
    let added = join_all((0..12).map(|_| operator.post(&path, new_user())));
    let guest = fleet.rest()?;
    let accepted = join_all(links.iter().map(|token| {
        let path = format!("/api/v1/invitations/{token}:accept");
        let guest = &guest;
        async move { guest.post(&path, json!({"password": PASSWORD})).await }
    }));
    let (added, accepted) = tokio::join!(added, accepted);
    let mut admitted = Vec::new();
    for answer in added.into_iter().chain(accepted) {
        let answer = answer?;
        if answer.status == 200 {
            admitted.push(text(&answer.json(), "id"));
            continue;
        }
        ensure!(is_full(&answer), "{} {}", answer.status, answer.text);
        let facts = &answer.json()["details"][0]["metadata"];
        assert_eq!(
            (&facts["limit"], &facts["resource_type"]),
            (&json!("5"), &json!("users"))
        );
    }
    assert_eq!(admitted.len(), USERS);
    assert_eq!(settled(fleet, &tenant, AT_ONCE).await?, 5);
    assert_eq!(told(&operator, &tenant).await?, (5, 5));

    // Who goes leaves room at once.
    operator
        .delete(&format!("{path}/{}", admitted[0]))
        .await?
        .ok()?;
    let admits = async || {
        until("room", AT_ONCE, async || {
            let answer = operator.post(&path, new_user()).await?;
            ensure!(
                answer.status == 200 || is_full(&answer),
                "{} {}",
                answer.status,
                answer.text
            );
            Ok((answer.status == 200).then_some(()))
        })
        .await
    };
    admits().await?;
    assert!(is_full(&operator.post(&path, new_user()).await?));
    // And so does a raised limit.
    set_limit(&operator, &tenant, USERS + 1).await?;
    admits().await?;
    assert!(is_full(&operator.post(&path, new_user()).await?));
    // A repetition is no second one.
    set_limit(&operator, &tenant, USERS + 10).await?;
    admits().await?;
    let body = new_user();
    let once = try_join_all((0..6).map(|_| operator.post(&path, body.clone()))).await?;
    for answer in once {
        ensure!(answer.status == 200, "{} {}", answer.status, answer.text);
    }
    assert_eq!(settled(fleet, &tenant, AT_ONCE).await?, 8);
    assert_eq!(told(&operator, &tenant).await?, (8, 15));
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_place_that_was_held_when_identity_died_is_given_back() -> Result<()> {
    let fleet = OwnFleet::start(FleetConfig::default()).await?;
    let operator = fleet.operator_rest()?;
    let tenant = text(
        &create_tenant(&operator, json!({"name": unique("Seats")})).await?,
        "id",
    );
    let path = users(&tenant);
    for _ in 1..USERS {
        operator.post(&path, new_user()).await?.ok()?;
    }
    let mut database = PgConnection::connect(fleet.superuser_url().as_str()).await?;
    let mut holder = PgConnection::connect(fleet.superuser_url().as_str()).await?;
    let mut held = holder.begin().await?;
    sqlx::query("LOCK TABLE identity.memberships IN EXCLUSIVE MODE")
        .execute(&mut *held)
        .await?;
    let identity = fleet.service("identity", 0).unit();
    let killed = async {
        someone_waits(&mut database).await?;
        identity.kill_9().await
    };
    let (lost, killed) = tokio::join!(operator.post(&path, new_user()), killed);
    killed?;
    if let Ok(answer) = lost {
        ensure!(answer.status >= 500, "{} {}", answer.status, answer.text);
    }
    held.rollback().await?;
    let (members, counts, _) = counted(&mut database, &tenant).await?;
    assert_eq!(
        (members, counts),
        (4, 5),
        "the last place is held for nobody"
    );
    identity.start().await?;
    // Quota asks, and gives it back.
    let last = until("the last place", SETTLED_WITHIN, async || {
        let answer = insist_on(&[200, 429], &operator, Method::POST, &path, &new_user()).await?;
        Ok((answer.status == 200).then_some(()))
    });
    last.await?;
    assert_eq!(settled(&fleet, &tenant, SETTLED_WITHIN).await?, 5);
    fleet.stop().await
}

/// Sends it until it is answered with 200, or with a full plan.
async fn answered(send: impl AsyncFn() -> Result<Answer>) -> Result<Answer> {
    until("an answer", GOES_ON_WITHIN, async || match send().await {
        Ok(answer) if answer.status == 200 || is_full(&answer) => Ok(Some(answer)),
        Ok(answer) if answer.status >= 500 || answer.status == 429 => Ok(None),
        Ok(answer) => bail!("{} {}", answer.status, answer.text),
        Err(_gone) => Ok(None),
    })
    .await
}

/// Adds and removes members until told to stop; how many steps were acknowledged.
async fn client(rest: &Rest, path: &str, steps: &AtomicUsize, stop: &AtomicBool) -> Result<()> {
    let mut mine: Vec<String> = Vec::new();
    for n in 0_usize.. {
        if stop.load(Ordering::Relaxed) {
            return Ok(());
        }
        let goes = mine.len() > 2 || (n % 3 == 2 && !mine.is_empty());
        if let Some(user) = mine.pop().filter(|_| goes) {
            let gone = format!("{path}/{user}?request_id={}", unique("remove"));
            answered(async || rest.delete(&gone).await).await?;
        } else {
            let body = new_user();
            let answer = answered(async || rest.post(path, body.clone()).await).await?;
            if answer.status == 200 {
                mine.push(text(&answer.json(), "id"));
            }
        }
        steps.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}

/// kill -9, and start.
async fn again(unit: &Unit) -> Result<()> {
    unit.kill_9().await?;
    unit.start().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_who_come_and_go_are_counted_exactly_whatever_is_killed() -> Result<()> {
    let fleet = OwnFleet::start_alone(FleetConfig::replicas(2)).await?;
    let operator = fleet.operator_rest()?;
    let mut tenants = Vec::new();
    for _ in 0..2 {
        let made = create_tenant(&operator, json!({"name": unique("Storm")})).await?;
        tenants.push(text(&made, "id"));
    }
    let paths: Vec<_> = tenants.iter().map(|tenant| users(tenant)).collect();
    let (steps, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
    let clients = (0..CLIENTS).map(|n| client(&operator, &paths[n % 2], &steps, &stop));
    let rounds = if full() { 8 } else { 2 };
    let killer = async {
        let mut database = PgConnection::connect(fleet.superuser_url().as_str()).await?;
        for round in 0..rounds {
            for service in ["identity", "quota"] {
                let reached = steps.load(Ordering::Relaxed) + 25;
                until("work", GOES_ON_WITHIN, async || {
                    for tenant in &tenants {
                        let (members, counts, _) = counted(&mut database, tenant).await?;
                        ensure!(
                            members <= 5 && counts <= 5,
                            "{members} members, {counts} counted"
                        );
                    }
                    Ok((steps.load(Ordering::Relaxed) >= reached).then_some(()))
                })
                .await?;
                again(fleet.service(service, round % 2).unit()).await?;
            }
        }
        stop.store(true, Ordering::Relaxed);
        anyhow::Ok(())
    };
    tokio::try_join!(try_join_all(clients), killer)?;
    for tenant in &tenants {
        let members = settled(&fleet, tenant, SETTLED_WITHIN).await?;
        assert_eq!(told(&operator, tenant).await?, (members, 5));
        println!(
            "{members} members after {} steps",
            steps.load(Ordering::Relaxed)
        );
    }
    fleet.stop().await
}
